/*
 * Units of a line that do not answer, on virtual time: what they cost the others, how they are found again, and what is told about it. Tests whose
 * names begin with complaint_N stand for a complaint that users of other gateways keep making: they fail when its remedy is taken out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bus_world.h"
#include "rtu_line.h"

/* ---- silent units ---- */

/* Reads a minute of the `live` first units, when `silent` more are on the line and do not answer; `ms` after the start. */
static unsigned live_rate(unsigned live, unsigned silent, uint64_t after_ms, unsigned seed)
{
	struct world *w = bus_world(seed, 9600);
	unsigned before, n;

	for (unsigned u = live + 1; u <= live + silent; u++)
		bus_of(w)->units[u].is_silent = true;
	apply_units(w, live + silent, 10, "100ms", "");
	world_run(w, after_ms);
	before = reads_of(bus_of(w), 1, live);
	world_run(w, 60000);
	n = reads_of(bus_of(w), 1, live) - before;
	bus_world_destroy(w);
	return n;
}

static void complaint_1_silent_units_leave_the_others_95_percent_of_what_they_have_alone(void **state)
{
	static const struct {
		unsigned live, silent;
	} cases[] = {{9, 1}, {5, 5}, {1, 9}, {1, 1}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		unsigned alone = live_rate(cases[i].live, 0, 12000, 1);
		unsigned beside = live_rate(cases[i].live, cases[i].silent, 12000, 1);

		print_message("# %u live, %u silent: %u reads a minute alone, %u beside: %.1f %%\n",
			      cases[i].live, cases[i].silent, alone, beside, 100.0 * beside / alone);
		assert_true(beside >= 0.95 * alone);
	}
}

/* The first minute of the others, with the silent units before or behind them in the configuration. */
static unsigned first_minute(unsigned live, unsigned silent, bool are_first)
{
	struct world *w = bus_world(2, 9600);
	unsigned from = are_first ? silent + 1 : 1, n;

	for (unsigned u = 1; u <= live + silent; u++)
		bus_of(w)->units[u].is_silent = u < from || u >= from + live;
	apply_units(w, live + silent, 10, "100ms", "");
	world_run(w, 60000);
	n = reads_of(bus_of(w), from, from + live - 1);
	bus_world_destroy(w);
	return n;
}

static void complaint_1_the_first_minute_leaves_the_others_95_percent_too(void **state)
{
	(void)state;
	for (unsigned silent = 1; silent <= 5; silent += 4)
		for (int are_first = 0; are_first < 2; are_first++) {
			unsigned alone = first_minute(10 - silent, 0, false);
			unsigned beside = first_minute(10 - silent, silent, are_first);

			print_message("# the first minute, %u silent: %u alone, %u beside: %.1f %%\n", silent,
				      alone, beside, 100.0 * beside / alone);
			assert_true(beside >= 0.95 * alone);
		}
}

/* A unit is asked for the first time before another is asked again. */
static void the_silence_of_some_delays_the_start_of_others_by_one_attempt_each(void **state)
{
	struct world *w = bus_world(3, 9600);

	(void)state;
	for (unsigned u = 1; u <= 5; u++)
		bus_of(w)->units[u].is_silent = true;
	bus_of(w)->units[10].response_us = 250000; /* nearly its time-out: it has all of that */
	apply_units(w, 10, 10, "1s", "");
	world_run(w, 5 * 330 + 4 * 50 + 300);
	for (unsigned u = 6; u <= 10; u++) {
		char topic[16];

		snprintf(topic, sizeof(topic), "p/u%u/a", u);
		assert_true(world_has(w, topic, "\"quality\":\"good\""));
	}
	bus_world_destroy(w);
}

/* Its first answer is lost, or late: it is there all the same. */
static void a_unit_whose_first_answer_is_lost_is_asked_again_soon(void **state)
{
	struct world *w = bus_world(4, 9600);

	(void)state;
	bus_of(w)->units[3].is_silent = true;
	apply_units(w, 6, 10, "1s", "");
	while (bus_of(w)->units[3].reads == 0)
		world_run(w, 1);
	bus_of(w)->units[3].is_silent = false;
	print_message("# found after %lu ms\n",
		      (unsigned long)world_await(w, "p/u3/a", "\"quality\":\"good\"", 1000));
	bus_world_destroy(w);
}

static void complaint_1_a_unit_that_comes_back_is_found_though_others_are_busy(void **state)
{
	struct world *w = bus_world(3, 9600);

	(void)state;
	for (unsigned u = 6; u <= 10; u++)
		bus_of(w)->units[u].is_silent = true;
	apply_units(w, 10, 10, "100ms", "");
	world_await(w, "p/u10/_status", "\"state\":\"offline\"", 20000);
	world_run(w, 30000);
	bus_of(w)->units[10].is_silent = false;
	print_message("# found after %lu ms\n",
		      (unsigned long)world_await(w, "p/u10/a", "\"quality\":\"good\"", 80000));
	assert_true(world_has(w, "p/u10/_status", "\"state\":\"online\""));
	bus_world_destroy(w);
}

/* It never needed more than 20 ms; now it needs 250, which is below its time-out. */
static void complaint_1_a_unit_that_comes_back_slower_is_found_too(void **state)
{
	struct world *w = bus_world(4, 19200);

	(void)state;
	apply_units(w, 4, 10, "200ms", "");
	world_await(w, "p/u4/a", "\"quality\":\"good\"", 1000);
	bus_of(w)->units[4].is_silent = true;
	world_await(w, "p/u4/a", "\"reason\":\"timeout\"", 3000);
	world_run(w, 10000);
	bus_of(w)->units[4].is_silent = false;
	bus_of(w)->units[4].response_us = 250000;
	world_await(w, "p/u4/a", "\"quality\":\"good\"", 160000);
	bus_world_destroy(w);
}

static void a_probe_is_one_short_attempt_while_others_answer(void **state)
{
	struct world *w = bus_world(5, 19200);
	struct bus_unit *u = &bus_of(w)->units[2];
	unsigned reads;

	(void)state;
	apply_units(w, 2, 10, "500ms", "");
	world_await(w, "p/u2/a", "\"quality\":\"good\"", 1000);
	u->is_silent = true;
	world_await(w, "p/u2/a", "\"reason\":\"timeout\"", 3000);
	reads = u->reads;
	u->worst_timeout_ms = 0;
	world_run(w, 4300);
	assert_int_equal(u->reads, reads);
	world_run(w, 1000);
	assert_int_equal(u->reads, reads + 1);
	assert_in_range(u->worst_timeout_ms, 50, 100);
	bus_world_destroy(w);
}

/* The line is not held by who waits for a connection, and neither is what it may spend on probes. */
static void a_connection_that_is_slow_to_come_does_not_put_off_later_probes(void **state)
{
	struct world *w = bus_world(5, 19200);
	struct bus_unit *u = &bus_of(w)->units[2];
	unsigned reads;

	(void)state;
	apply_units(w, 2, 10, "20ms", ", timeout: 5s, backoff: {first: 1s, max: 1s}");
	world_await(w, "p/u2/a", "\"quality\":\"good\"", 1000);
	u->is_silent = true;
	world_await(w, "p/u2/a", "\"reason\":\"timeout\"", 30000);
	for (reads = u->reads; u->reads == reads;)
		world_run(w, 1);
	world_run(w, 100);
	for (u->connecting_ms = 4000, reads = u->reads; u->reads == reads;)
		world_run(w, 1);
	u->connecting_ms = 0;
	u->is_silent = false;
	world_await(w, "p/u2/a", "\"quality\":\"good\"", 4000 + 10000);
	bus_world_destroy(w);
}

/* The line asks for a probe when it is down; the only device left has one under way. */
static void a_device_has_one_probe_at_a_time(void **state)
{
	static const char line[] = ", max_in_flight: 4, backoff: {first: 1s, max: 1s}";
	struct world *w = bus_world(5, 19200);
	struct bus_unit *u = bus_of(w)->units;
	unsigned reads;

	(void)state;
	u[1].is_silent = u[2].is_silent = true;
	bus_of(w)->is_unplugged = true;
	apply_units(w, 2, 10, "500ms", line);
	world_await(w, "p/u1/a", "\"reason\":\"offline\"", 1000);
	bus_of(w)->is_unplugged = false;
	for (reads = u[1].reads + u[2].reads; u[1].reads + u[2].reads == reads;)
		world_run(w, 1);
	assert_int_equal(bus_of(w)->waiting[0]->unit, 1);
	apply_units(w, 1, 10, "500ms", line);
	world_run(w, 10);
	assert_int_equal(bus_of(w)->nwaiting, 1);
	world_run(w, 10000);
	bus_of(w)->collisions = 0; /* several may be in flight */
	bus_world_destroy(w);
}

static void when_nobody_answers_probes_have_the_whole_time(void **state)
{
	struct world *w = bus_world(6, 19200);
	struct bus_unit *u = &bus_of(w)->units[1];

	(void)state;
	apply_units(w, 1, 10, "500ms", "");
	world_await(w, "p/u1/a", "\"quality\":\"good\"", 1000);
	u->is_silent = true;
	world_await(w, "p/u1/a", "\"reason\":\"timeout\"", 3000);
	u->is_silent = false;
	u->response_us = 290000;
	world_await(w, "p/u1/a", "\"quality\":\"good\"", 5000);
	bus_world_destroy(w);
}

static void a_block_without_answer_does_not_blank_its_device(void **state)
{
	static const char yaml[] =
		HEAD LINE(", retries: 1") "  - {name: u1, line: bus, unit: 1, max_gap: 0, groups: [{name: g, "
					  "scan: 500ms}], tags: "
					  "[\n"
					  "      {name: a, address: 'holding:0', type: int16}, {name: hole, "
					  "address: 'holding:50', "
					  "type: int16}, {name: z, address: 'holding:90', type: int16}]}\n";
	struct world *w = bus_world(7, 19200);
	unsigned at, tried = 0;

	(void)state;
	bus_of(w)->units[1].silent_from = 50;
	bus_of(w)->units[1].silent_to = 51;
	world_apply(w, yaml);
	world_await(w, "p/u1/hole", "\"reason\":\"timeout\"", 3000);
	assert_true(world_has(w, "p/u1/a", "\"quality\":\"good\""));
	assert_true(world_has(w, "p/u1/z", "\"quality\":\"good\""));
	assert_true(world_has(w, "p/u1/_status", "\"state\":\"online\""));
	at = bus_of(w)->nlog;
	world_run(w, 20000);
	assert_true(world_has(w, "p/u1/a", "\"quality\":\"good\""));
	for (unsigned i = at; i < bus_of(w)->nlog; i++)
		tried += event(bus_of(w), i)->start == 50;
	assert_int_equal(tried, 4); /* two attempts after 5 s, and two after 10 more */
	assert_true(bus_of(w)->nlog - at >= 76 + 4);
	bus_of(w)->units[1].silent_to = 0;
	world_await(w, "p/u1/hole", "\"quality\":\"good\"", 30000);
	bus_world_destroy(w);
}

/* Nothing else of the scan is left to be asked between its attempts. */
static void a_last_block_without_answer_does_not_blank_its_device(void **state)
{
	static const char yaml[] = HEAD LINE(
		", retries: 1") "  - {name: u1, line: bus, unit: 1, max_gap: 0, groups: [{name: g, scan: "
				"500ms}, "
				"{name: s, scan: 10s}], tags: [\n"
				"      {name: a, address: 'holding:0', type: int16, group: g},\n"
				"      {name: hole, address: 'holding:90', type: int16, group: s}]}\n";
	struct world *w = bus_world(9, 19200);

	(void)state;
	bus_of(w)->units[1].silent_from = 90;
	bus_of(w)->units[1].silent_to = 91;
	world_apply(w, yaml);
	world_await(w, "p/u1/hole", "\"reason\":\"timeout\"", 3000);
	world_run(w, 60000);
	assert_true(world_has(w, "p/u1/a", "\"quality\":\"good\""));
	assert_int_equal(world_seen(w, "p/u1/a")->count, 1);
	assert_true(world_has(w, "p/u1/_status", "\"state\":\"online\""));
	bus_of(w)->units[1].is_silent = true;
	world_await(w, "p/u1/_status", "\"state\":\"offline\"", 500 + 2 * 330);
	bus_world_destroy(w);
}

/* From its first answer on and before it, with the hole asked first or last, alone on its line or not. */
static void without_retries_a_block_without_answer_does_not_blank_its_device(void **state)
{
	static const char yaml[] = HEAD LINE(
		", retries: 0") "  - {name: u1, line: bus, unit: 1, max_gap: 0, groups: [{name: g, scan: "
				"500ms}], "
				"tags: [\n"
				"      {name: a, address: 'holding:0', type: int16}, {name: m, address: "
				"'holding:50', type: int16}, {name: z, address: 'holding:90', type: "
				"int16}]}\n";
	static const struct {
		unsigned from, to;
		const char *hole, *good;
	} cases[] = {{0, 1, "p/u1/a", "p/u1/z"}, {50, 51, "p/u1/m", "p/u1/a"}, {90, 91, "p/u1/z", "p/u1/m"}};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(*cases); i++) {
		struct world *w = bus_world(30 + i, 19200);
		struct bus_unit *u = &bus_of(w)->units[1];
		bool is_later = i % 2;
		unsigned told;

		if (is_later) {
			world_apply(w, yaml);
			world_await(w, cases[i / 2].hole, "\"quality\":\"good\"", 3000);
		}
		u->silent_from = (uint16_t)cases[i / 2].from;
		u->silent_to = (uint16_t)cases[i / 2].to;
		if (!is_later)
			world_apply(w, yaml);
		world_await(w, cases[i / 2].hole, "\"reason\":\"timeout\"", 3000);
		world_await(w, cases[i / 2].good, "\"quality\":\"good\"", 3000);
		told = world_seen(w, cases[i / 2].good)->count;
		world_run(w, 60000);
		assert_int_equal(world_seen(w, cases[i / 2].good)->count, told);
		assert_true(world_has(w, "p/u1/_status", "\"state\":\"online\""));
		assert_true(world_has(w, cases[i / 2].hole, "\"reason\":\"timeout\""));
		u->is_silent = true;
		world_await(w, "p/u1/_status", "\"state\":\"offline\"", 500 + 2 * 330);
		bus_world_destroy(w);
	}
}

/*
 * The longest time for which unit 1 of a serial line is not asked, ms, while unit 2 falls silent; it has two blocks, and a late answer
 * to one would look like one to the other.
 */
static unsigned longest_wait(void)
{
	static const char yaml[] =
		HEAD "lines: [{name: bus, type: modbus-rtu, path: /dev/ttyS0, baud: 19200, timeout: 300ms, "
		     "retries: 3}]\n"
		     "devices:\n"
		     "  - {name: u1, line: bus, unit: 1, groups: [{name: g, scan: 20ms}], tags: [{name: a, "
		     "address: "
		     "'holding:0', type: int16}]}\n"
		     "  - {name: u2, line: bus, unit: 2, max_gap: 0, groups: [{name: g, scan: 100ms}], tags: "
		     "[{name: a, "
		     "address: 'holding:0', type: int16}, {name: z, address: 'holding:50', type: int16}]}\n";
	struct world *w = world_create(50);
	struct rtu_line line;
	unsigned longest = 0, asked = 0;

	rtu_line_open(&line, w->sim, 19200, 2);
	w->wire = line.bus;
	world_apply(w, yaml);
	world_await(w, "p/u2/z", "\"quality\":\"good\"", 3000);
	line.units[1].is_silent = true;
	for (unsigned ms = 0, wait = 0; ms < 20000; ms++, wait++) {
		world_run(w, 1);
		if (line.units[0].asked != asked)
			wait = 0;
		asked = line.units[0].asked;
		longest = wait > longest ? wait : longest;
	}
	assert_true(world_has(w, "p/u2/_status", "\"state\":\"offline\""));
	assert_int_equal(rtu_line_collisions(&line), 0);
	world_apply(w, HEAD);
	world_run(w, 10);
	rtu_line_close(&line);
	w->wire = NULL;
	world_destroy(w);
	return longest;
}

static void waiting_for_a_late_answer_does_not_hold_up_other_units(void **state)
{
	unsigned ms = longest_wait();

	(void)state;
	print_message("# another unit waits for %u ms at most, beside a time-out of 300\n", ms);
	assert_in_range(ms, 300, 330);
}

static void a_device_that_was_busy_is_there_and_has_all_its_attempts(void **state)
{
	struct world *w = bus_world(10, 19200);
	struct bus_unit *u = &bus_of(w)->units[1];
	const char *told;
	unsigned reads;

	(void)state;
	apply_units(w, 2, 10, "500ms", "");
	world_await(w, "p/u1/a", "\"quality\":\"good\"", 1000);
	u->exception = 6;
	reads = u->reads;
	world_await(w, "p/u1/a", "\"reason\":\"exception\"", 2000);
	world_run(w, 60000);
	assert_true(world_has(w, "p/u1/_status", "\"state\":\"online\""));
	told = strstr(world_seen(w, "p/u1/_status")->payload, "\"6\":");
	assert_non_null(told);
	assert_in_range(strtoul(told + 4, NULL, 10), u->reads - reads - 45, u->reads - reads);
	u->exception = 0;
	u->is_silent = true;
	for (reads = u->reads; u->reads == reads;)
		world_run(w, 10);
	u->is_silent = false;
	world_await(w, "p/u1/a", "\"quality\":\"good\"", 600);
	bus_world_destroy(w);
}

/* ---- errors that clear ---- */

static void complaint_12_an_error_clears_and_shows_beside_the_last_success(void **state)
{
	struct world *w = bus_world(8, 19200);

	(void)state;
	apply_units(w, 2, 10, "500ms", "");
	world_await(w, "p/u1/a", "\"quality\":\"good\"", 1000);
	bus_of(w)->units[1].is_silent = true;
	world_await(w, "p/u1/_status", "\"state\":\"offline\"", 3000);
	assert_true(world_has(w, "p/u1/_status", "\"last_error\":\"no answer in time\"") ||
		    !world_has(w, "p/u1/_status", "\"last_error\":null"));
	assert_false(world_has(w, "p/u1/_status", "\"last_ok\":null"));
	assert_false(world_has(w, "p/u1/_status", "\"timeouts\":0,"));
	bus_of(w)->units[1].is_silent = false;
	world_await(w, "p/u1/_status", "\"state\":\"online\"", 6000);
	assert_true(world_has(w, "p/u1/a", "\"quality\":\"good\""));
	/* what went wrong last stays to be read, beside the time of the last success */
	assert_false(world_has(w, "p/u1/_status", "\"last_error\":null"));
	bus_world_destroy(w);
}

/* ---- broken answers ---- */

static void complaint_14_broken_answers_are_counted_and_blank_nothing(void **state)
{
	struct world *w = bus_world(9, 19200);
	const struct seen *s;

	(void)state;
	bus_of(w)->units[1].corrupt_one_in = 10;
	apply_units(w, 2, 10, "200ms", ", retries: 4");
	world_run(w, 120000);
	s = world_seen(w, "p/u1/_status");
	assert_true(strstr(s->payload, "\"state\":\"online\"") && !strstr(s->payload, "\"crc\":0,"));
	assert_true(world_has(w, "p/u2/_status", "\"crc\":0,"));
	assert_int_equal(world_seen(w, "p/u1/z")->count, 1); /* good at the start, and never bad */
	assert_false(world_has(w, "p/_gateway/line/bus", "\"crc\":0,"));
	bus_world_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			complaint_1_silent_units_leave_the_others_95_percent_of_what_they_have_alone),
		cmocka_unit_test(complaint_1_the_first_minute_leaves_the_others_95_percent_too),
		cmocka_unit_test(the_silence_of_some_delays_the_start_of_others_by_one_attempt_each),
		cmocka_unit_test(a_unit_whose_first_answer_is_lost_is_asked_again_soon),
		cmocka_unit_test(complaint_1_a_unit_that_comes_back_is_found_though_others_are_busy),
		cmocka_unit_test(complaint_1_a_unit_that_comes_back_slower_is_found_too),
		cmocka_unit_test(a_probe_is_one_short_attempt_while_others_answer),
		cmocka_unit_test(a_connection_that_is_slow_to_come_does_not_put_off_later_probes),
		cmocka_unit_test(a_device_has_one_probe_at_a_time),
		cmocka_unit_test(when_nobody_answers_probes_have_the_whole_time),
		cmocka_unit_test(a_last_block_without_answer_does_not_blank_its_device),
		cmocka_unit_test(without_retries_a_block_without_answer_does_not_blank_its_device),
		cmocka_unit_test(waiting_for_a_late_answer_does_not_hold_up_other_units),
		cmocka_unit_test(a_device_that_was_busy_is_there_and_has_all_its_attempts),
		cmocka_unit_test(a_block_without_answer_does_not_blank_its_device),
		cmocka_unit_test(complaint_12_an_error_clears_and_shows_beside_the_last_success),
		cmocka_unit_test(complaint_14_broken_answers_are_counted_and_blank_nothing),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
