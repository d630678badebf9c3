/*
 * A line and its wire on virtual time: who is served when, commands, foreign masters and polls, and everything at once. Tests whose
 * names begin with complaint_N stand for a complaint that users of other gateways keep making: they fail when its remedy is taken out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bus_world.h"
#include "field/pass.h"

/* ---- order and fairness ---- */

#define UNIT_TAG(unit, tag) "p/u" #unit "/" #tag

struct asker {
	struct world *w;
	struct field_pass pass;
	uint8_t unit;
	unsigned asked, done, ok, timeouts, refused;
	bool is_again; /* ask the next as soon as one is done */
};

static void ask(struct asker *a);

static void pass_done(struct field_pass *p)
{
	struct asker *a = container_of(p, struct asker, pass);

	a->done++;
	a->ok += p->rc == OK;
	a->timeouts += p->rc == ERR_TIMEOUT;
	a->refused += p->rc == ERR_IO || p->rc == ERR_NOT_FOUND;
	if (a->is_again)
		ask(a);
}

static void ask(struct asker *a)
{
	a->pass.unit = a->unit;
	a->pass.pdu[0] = 3;
	a->pass.pdu_len = 5;
	a->pass.owner = a;
	a->pass.done = pass_done;
	if (field_pass(a->w->field, "bus", &a->pass) == OK)
		a->asked++;
}

static void complaint_5_commands_go_before_foreign_masters_and_these_before_polls(void **state)
{
	static const enum source_op expected[] = {SOURCE_WRITE, SOURCE_WRITE, SOURCE_RAW, SOURCE_READ};
	struct world *w = bus_world(10, 9600);
	struct asker a = {.w = w, .unit = 2};
	unsigned at;

	(void)state;
	apply_units(w, 4, 100, "10ms", ""); /* the polls always wait */
	world_await(w, "p/u4/a", "\"quality\":\"good\"", 5000);
	a.pass.timeout_ms = 5000;
	ask(&a);
	world_set(w, "p/u1/a/set", "1");
	world_set(w, "p/u2/a/set", "2");
	at = bus_of(w)->nlog;
	world_run(w, 2000);
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++)
		assert_int_equal(event(bus_of(w), at + (unsigned)i)->op, expected[i]);
	assert_int_equal(a.ok, 1);
	assert_true(world_has(w, "p/u1/a/set/result", "\"ok\":true"));
	bus_world_destroy(w);
}

static uint64_t busy_with(const struct bus *b, unsigned from, enum source_op op)
{
	uint64_t n = 0;

	for (unsigned i = from; i + 1 < b->nlog; i++)
		if (event(b, i)->op == op)
			n += event(b, i + 1)->at_us - event(b, i)->at_us;
	return n;
}

/* Nobody stops the polls: neither commands nor foreign masters without end, nor one that asks a dead unit all the time. */
static void complaint_5_polls_keep_a_fifth_of_the_wire(void **state)
{
	static const struct {
		bool writes, is_dead;
		unsigned masters;
	} cases[] = {{true, false, 0}, {false, false, 3}, {true, false, 3}, {false, true, 2}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct world *w = bus_world(11 + i, 9600);
		struct asker askers[3] = {0};
		uint64_t polls, passes, writes;
		unsigned at;

		bus_of(w)->units[30].is_silent = true;
		apply_units(w, 4, 20, "10ms", "");
		world_await(w, "p/u4/a", "\"quality\":\"good\"", 5000);
		for (unsigned k = 0; k < cases[i].masters; k++) {
			askers[k] = (struct asker){
				.w = w, .unit = (uint8_t)(cases[i].is_dead ? 30 : 2), .is_again = true};
			ask(&askers[k]);
		}
		for (int k = 0; cases[i].writes && k < 900; k++)
			world_set(w, k % 2 ? "p/u1/a/set" : "p/u2/a/set", "7");
		at = bus_of(w)->nlog;
		world_run(w, 15000);
		polls = busy_with(bus_of(w), at, SOURCE_READ);
		passes = busy_with(bus_of(w), at, SOURCE_RAW);
		writes = busy_with(bus_of(w), at, SOURCE_WRITE);
		print_message("# polls %lu, foreign %lu, commands %lu ms\n", (unsigned long)polls / 1000,
			      (unsigned long)passes / 1000, (unsigned long)writes / 1000);
		assert_true(polls * 100 >= (polls + passes + writes) * 19);
		assert_true(!cases[i].masters || passes * 100 >= (passes + writes) * 19);
		for (unsigned k = 0; k < cases[i].masters; k++)
			field_pass_cancel(&askers[k].pass);
		bus_world_destroy(w);
	}
}

static void foreign_masters_have_their_turns_and_one_outcome_each(void **state)
{
	struct world *w = bus_world(20, 19200);
	struct asker greedy[PASS_OWNER_MAX + 1] = {0}, modest = {.w = w, .unit = 2, .is_again = true};
	unsigned done = 0, in_rounds = 0;

	(void)state;
	apply_units(w, 2, 10, "1s", ", timeout: 5s");
	world_run(w, 500);
	for (unsigned i = 0; i <= PASS_OWNER_MAX; i++) {
		greedy[i] = (struct asker){.w = w, .unit = 1};
		greedy[i].pass = (struct field_pass){
			.unit = 1, .pdu = {3}, .pdu_len = 5, .owner = greedy, .done = pass_done};
		if (field_pass(w->field, "bus", &greedy[i].pass) == OK)
			greedy[i].asked = 1;
	}
	assert_int_equal(greedy[PASS_OWNER_MAX].asked, 0); /* ERR_FULL: as many wait as one may have */
	ask(&modest);
	for (int i = 0; i < 1000 && done < PASS_OWNER_MAX; i++) {
		world_run(w, 5);
		for (done = 0; done < PASS_OWNER_MAX && greedy[done].done; done++)
			;
		in_rounds = done ? modest.done : in_rounds;
	}
	assert_in_range(in_rounds, PASS_OWNER_MAX - 2, PASS_OWNER_MAX + 1);
	modest.is_again = false;
	world_run(w, 1000);
	for (unsigned i = 0; i < PASS_OWNER_MAX; i++)
		assert_int_equal(greedy[i].ok, 1);
	assert_int_equal(modest.done, modest.asked);
	bus_world_destroy(w);
}

/* They ask on and on for a unit that is not there, by the line's default time-out. */
static unsigned polls_beside_a_dead_route(unsigned nmasters)
{
	struct world *w = bus_world(27, 9600);
	struct asker dead[3] = {{.w = w, .unit = 30}, {.w = w, .unit = 30}, {.w = w, .unit = 31}};
	unsigned polls;

	bus_of(w)->units[30].is_silent = bus_of(w)->units[31].is_silent = true;
	apply_units(w, 1, 10, "10ms", ", timeout: 1s");
	for (unsigned i = 0; i < 1200; i++) {
		world_run(w, 100);
		for (unsigned k = 0; k < nmasters; k++)
			if (dead[k].done == dead[k].asked)
				ask(&dead[k]);
	}
	polls = reads_of(bus_of(w), 1, 1);
	bus_of(w)->units[31].is_silent = false;
	world_run(w, 6000);
	ask(&dead[2]);
	world_run(w, 3000);
	assert_int_equal(dead[2].ok, 1); /* it is back */
	bus_world_destroy(w);
	return polls;
}

static void a_dead_unit_costs_little_however_often_foreign_masters_ask_for_it(void **state)
{
	unsigned alone = polls_beside_a_dead_route(0);

	(void)state;
	assert_true(polls_beside_a_dead_route(3) * 100 >= alone * 60); /* two units: a second of six each */
}

static void waiting_counts_against_the_time_of_a_foreign_master(void **state)
{
	struct world *w = bus_world(21, 9600);
	struct asker slow = {.w = w, .unit = 30}, hasty = {.w = w, .unit = 1};

	(void)state;
	bus_of(w)->units[30].is_silent = true;
	apply_units(w, 1, 10, "10s", "");
	world_run(w, 1000);
	ask(&slow); /* holds the wire for 300 ms */
	world_run(w, 10);
	hasty.pass.timeout_ms = 100;
	ask(&hasty);
	world_run(w, 150);
	assert_int_equal(hasty.timeouts, 1);
	assert_int_equal(bus_of(w)->units[1].raws, 0);
	assert_int_equal(slow.done, 0);
	field_pass_cancel(&slow.pass);
	world_run(w, 1000);
	assert_int_equal(slow.done, 0);
	ask(&hasty);
	world_run(w, 100);
	assert_int_equal(hasty.ok, 1);
	bus_world_destroy(w);
}

static void a_line_that_goes_or_is_down_answers_its_foreign_masters(void **state)
{
	struct world *w = bus_world(22, 9600);
	struct asker a[3] = {{.w = w, .unit = 1}, {.w = w, .unit = 1}, {.w = w, .unit = 1}};

	(void)state;
	apply_units(w, 1, 10, "1s", "");
	world_run(w, 500);
	for (int i = 0; i < 3; i++)
		ask(&a[i]);
	world_run(w, 1);
	world_apply(w, HEAD);
	for (int i = 0; i < 3; i++)
		assert_int_equal(a[i].refused, 1);
	ask(&a[0]);
	assert_int_equal(a[0].asked, 1); /* there is no such line */
	apply_units(w, 1, 10, "1s", "");
	world_run(w, 500);
	bus_of(w)->is_unplugged = true;
	world_run(w, 2000);
	ask(&a[1]);
	world_run(w, 5);
	assert_int_equal(a[1].refused, 2);
	bus_of(w)->is_unplugged = false;
	world_run(w, 5000);
	ask(&a[1]);
	world_run(w, 100);
	assert_int_equal(a[1].ok, 1);
	bus_world_destroy(w);
}

static void a_line_for_foreign_masters_alone_recovers_too(void **state)
{
	struct world *w = bus_world(23, 9600);
	struct asker a = {.w = w, .unit = 1};

	(void)state;
	bus_of(w)->is_unplugged = true;
	world_apply(w, HEAD "lines: [{name: bus, type: modbus-tcp, host: bus}]\n");
	ask(&a);
	world_run(w, 100);
	assert_int_equal(a.refused, 1);
	bus_of(w)->is_unplugged = false;
	ask(&a);
	world_run(w, 100);
	assert_int_equal(a.refused, 2); /* not before the back-off is over */
	world_run(w, 5000);
	ask(&a);
	world_run(w, 100);
	assert_int_equal(a.ok, 1);
	bus_world_destroy(w);
}

static void complaint_2_units_of_one_line_share_its_wire_by_time(void **state)
{
	struct world *w = bus_world(24, 19200);
	struct bus *b = bus_of(w);
	uint64_t least = UINT64_MAX, most = 0;

	(void)state;
	b->units[1].response_us = 100000; /* twenty times as slow as the others */
	apply_units(w, 8, 60, "10ms", "");
	world_run(w, 60000);
	for (unsigned u = 1; u <= 8; u++) {
		least = b->units[u].busy_us < least ? b->units[u].busy_us : least;
		most = b->units[u].busy_us > most ? b->units[u].busy_us : most;
	}
	print_message("# wire time of 8 units in a minute: %lu to %lu ms\n", (unsigned long)least / 1000,
		      (unsigned long)most / 1000);
	assert_true(least * 100 >= most * 95);
	bus_world_destroy(w);
}

static void complaint_4_a_device_has_its_own_silence_before_each_request(void **state)
{
	static const char yaml[] = HEAD
		"lines: [{name: bus, type: rtu-over-tcp, host: bus, baud: 19200, timeout: 300ms, retries: "
		"1}]\n"
		"devices:\n"
		"  - {name: u1, line: bus, unit: 1, silence: 150ms, timeout: 700ms, retries: 3, tags: "
		"[{name: a, "
		"address: 'holding:0', type: int16}]}\n"
		"  - {name: u2, line: bus, unit: 2, tags: [{name: a, address: 'holding:0', type: int16}]}\n";
	struct world *w = bus_world(25, 19200);

	(void)state;
	world_apply(w, yaml);
	world_run(w, 5000);
	assert_true(bus_of(w)->nlog > 4);
	for (unsigned i = 0; i < bus_of(w)->nlog; i++) {
		const struct bus_event *e = event(bus_of(w), i);

		assert_int_equal(e->silence_us, e->unit == 1 ? 150000 : 0);
		assert_int_equal(e->timeout_ms, e->unit == 1 ? 700 : 300);
	}
	bus_of(w)->units[1].is_silent = true;
	bus_of(w)->units[1].reads = 0;
	world_await(w, "p/u1/_status", "\"state\":\"offline\"", 8000);
	assert_int_equal(bus_of(w)->units[1].reads, 4);
	bus_world_destroy(w);
}

/* ---- scans ---- */

/* Groups of one interval fall due spread over it, and each keeps to its grid. */
static void complaint_4_groups_are_spread_and_keep_their_own_grid(void **state)
{
	struct world *w = bus_world(26, 115200);
	struct bus *b = bus_of(w);
	uint64_t last[BUS_UNITS] = {0}, asked = 1000000;
	unsigned scans = 0, late = 0, at, at_once = 0;

	(void)state;
	apply_units(w, 32, 20, "1s", "");
	world_run(w, 3000);
	at = b->nlog;
	world_run(w, 120000);
	for (unsigned i = at; i < b->nlog; i++) {
		const struct bus_event *e = event(b, i);

		at_once += i > at && e->at_us - event(b, i - 1)->at_us < 14000;
		if (last[e->unit]) {
			scans++;
			late += fabs((double)(e->at_us - last[e->unit]) - (double)asked) >
				0.1 * (double)asked;
		}
		last[e->unit] = e->at_us;
	}
	print_message("# %u scans, %u not within a tenth; %u right behind another\n", scans, late, at_once);
	assert_true(scans >= 32 * 118 && late * 100 <= scans);
	assert_true(at_once * 10 < scans);
	for (unsigned u = 1; u <= 32; u++) /* no drift: as many as seconds went by */
		assert_in_range(b->units[u].reads, 123, 125);
	bus_world_destroy(w);
}

static void complaint_2_the_status_says_how_well_scans_keep_their_time(void **state)
{
	struct world *w = bus_world(27, 9600);

	(void)state;
	apply_units(w, 3, 100, "100ms", "");
	world_run(w, 60000);
	assert_true(world_has(w, "p/u1/_status", "\"groups\":{\"g\":{\"scan_ms\":100,\"average_ms\":"));
	assert_false(world_has(w, "p/u1/_status", "\"worst_ms\":0"));
	assert_false(world_has(w, "p/u1/_status", "\"late\":0"));
	assert_true(world_has(w, "p/_gateway/line/bus", "\"utilisation_percent\":9") ||
		    world_has(w, "p/_gateway/line/bus", "\"utilisation_percent\":100"));
	assert_true(world_has(w, "p/u1/_status", "\"up_to\":{\"500\":"));
	world_apply(w, HEAD);
	assert_true(world_has(w, "p/_gateway/line/bus", ""));
	assert_string_equal(world_seen(w, "p/_gateway/line/bus")->payload, "");
	bus_world_destroy(w);
}

/* ---- everything at once ---- */

struct storm {
	struct world *w;
	struct asker askers[6];
	unsigned sets;
};

static void change_a_unit(struct world *w)
{
	struct bus_unit *u = &bus_of(w)->units[1 + sim_random(w->sim, 8)];

	u->is_silent = sim_one_in(w->sim, 3);
	u->response_us = sim_one_in(w->sim, 4) ? (uint32_t)sim_random(w->sim, 400000) : 0;
	u->corrupt_one_in = sim_one_in(w->sim, 4) ? 3 : 0;
	u->lose_one_in = sim_one_in(w->sim, 4) ? 4 : 0;
	u->exception = sim_one_in(w->sim, 6) ? (uint8_t)(1 + sim_random(w->sim, 11)) : 0;
}

static void set_something(struct storm *s)
{
	char topic[32];

	snprintf(topic, sizeof(topic), "p/u%u/a/set", 1 + (unsigned)sim_random(s->w->sim, 8));
	for (uint64_t n = sim_random(s->w->sim, 20); n; n--, s->sets++)
		world_set(s->w, topic, "3");
}

static void pass_something(struct storm *s)
{
	struct asker *a = &s->askers[sim_random(s->w->sim, 6)];

	if (a->asked != a->done && sim_one_in(s->w->sim, 3)) {
		field_pass_cancel(&a->pass);
		a->done++;
	}
	if (a->asked == a->done) {
		a->unit = (uint8_t)(1 + sim_random(s->w->sim, 10));
		a->pass.timeout_ms = (uint32_t)sim_random(s->w->sim, 500);
		ask(a);
	}
}

static void one_step(struct storm *s)
{
	struct world *w = s->w;

	switch (sim_random(w->sim, 8)) {
	case 0:
		bus_of(w)->is_unplugged = sim_one_in(w->sim, 3);
		break;
	case 1:
	case 2:
		change_a_unit(w);
		break;
	case 3:
	case 4:
		set_something(s);
		break;
	case 5:
		if (sim_one_in(w->sim, 4))
			apply_units(w, 4 + (unsigned)sim_random(w->sim, 5), 10, "200ms",
				    sim_one_in(w->sim, 2) ? ", backoff: {first: 300ms, max: 2s}" : "");
		break;
	default:
		pass_something(s);
	}
	world_run(w, sim_random(w->sim, 400));
}

static unsigned results(const struct world *w)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->nseen; i++)
		if (strstr(w->seen[i].topic, "/set/result"))
			n += w->seen[i].count;
	return n;
}

static void storm_run(uint64_t seed)
{
	struct storm s = {.w = bus_world(seed, seed % 2 ? 9600 : 115200)};
	struct world *w = s.w;

	for (int i = 0; i < 6; i++)
		s.askers[i].w = w;
	apply_units(w, 8, 10, "200ms", "");
	for (int i = 0; i < 150; i++)
		one_step(&s);
	bus_of(w)->is_unplugged = false;
	memset(bus_of(w)->units, 0, sizeof(bus_of(w)->units));
	apply_units(w, 8, 10, "500ms", ", backoff: {first: 300ms, max: 2s}");
	world_run(w, 8000);
	for (unsigned u = 1; u <= 8; u++) {
		char topic[16];

		snprintf(topic, sizeof(topic), "p/u%u/z", u);
		assert_true(world_has(w, topic, "\"quality\":\"good\""));
	}
	for (int i = 0; i < 6; i++) {
		field_pass_cancel(&s.askers[i].pass);
		assert_int_equal(s.askers[i].asked, s.askers[i].done);
	}
	assert_int_equal(results(w), s.sets);
	bus_world_destroy(w);
}

static void everything_ends_once_and_is_good_in_the_end(void **state)
{
	const char *only = getenv("LINESIDE_SEED");
	uint64_t first = only ? strtoull(only, NULL, 10) : 1, last = only ? first : 200;

	(void)state;
	for (uint64_t seed = first; seed <= last; seed++) {
		print_message("%s", only ? "# replaying\n" : "");
		storm_run(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(complaint_5_commands_go_before_foreign_masters_and_these_before_polls),
		cmocka_unit_test(complaint_5_polls_keep_a_fifth_of_the_wire),
		cmocka_unit_test(foreign_masters_have_their_turns_and_one_outcome_each),
		cmocka_unit_test(a_dead_unit_costs_little_however_often_foreign_masters_ask_for_it),
		cmocka_unit_test(waiting_counts_against_the_time_of_a_foreign_master),
		cmocka_unit_test(a_line_that_goes_or_is_down_answers_its_foreign_masters),
		cmocka_unit_test(a_line_for_foreign_masters_alone_recovers_too),
		cmocka_unit_test(complaint_2_units_of_one_line_share_its_wire_by_time),
		cmocka_unit_test(complaint_4_a_device_has_its_own_silence_before_each_request),
		cmocka_unit_test(complaint_4_groups_are_spread_and_keep_their_own_grid),
		cmocka_unit_test(complaint_2_the_status_says_how_well_scans_keep_their_time),
		cmocka_unit_test(everything_ends_once_and_is_good_in_the_end),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
