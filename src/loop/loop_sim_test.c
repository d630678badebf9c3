#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/alloc_fail.h"
#include "loop/loop_sim.h"

#define MAX_LOOPS 4

struct fixture {
	struct sim_world *w;
	struct loop *loop[MAX_LOOPS];
};

static void fixture_init(struct fixture *f, uint64_t seed, unsigned nloops)
{
	assert_int_equal(sim_world_create(seed, &f->w), OK);
	for (unsigned i = 0; i < nloops; i++)
		assert_int_equal(sim_loop_create(f->w, &f->loop[i]), OK);
}

/* ---- timers ---- */

struct alarm {
	struct loop_timer t;
	struct sim_world *w;
	struct loop *loop;
	uint64_t fired_us;
	unsigned count;
	uint64_t every_ms;
};

static void alarm_fire(struct loop_timer *t)
{
	struct alarm *a = container_of(t, struct alarm, t);

	a->fired_us = sim_now_us(a->w);
	a->count++;
	assert_int_equal(loop_now_us(a->loop), a->fired_us);
	if (a->every_ms)
		loop_timer_set(a->loop, t, a->every_ms);
}

static bool alarm_fired(void *arg)
{
	return ((struct alarm *)arg)->count > 0;
}

static void time_jumps_to_the_next_timer(void **state)
{
	struct fixture f;
	struct alarm a;
	uint64_t start;

	(void)state;
	fixture_init(&f, 1, 2);
	a = (struct alarm){.w = f.w, .loop = f.loop[1]};
	start = sim_now_us(f.w);
	loop_timer_init(&a.t, alarm_fire);
	loop_timer_set(f.loop[1], &a.t, 86400000);
	assert_int_equal(sim_run(f.w, UINT64_MAX, alarm_fired, &a), OK);
	assert_int_equal(a.fired_us - start, UINT64_C(86400000000));
	assert_int_equal(sim_run(f.w, UINT64_MAX, NULL, NULL), ERR_NOT_FOUND);
	assert_int_equal(a.count, 1);
	sim_world_destroy(f.w);
}

static void running_for_a_time_ends_exactly_there(void **state)
{
	struct fixture f;
	struct alarm a;
	uint64_t start;

	(void)state;
	fixture_init(&f, 2, 1);
	a = (struct alarm){.w = f.w, .loop = f.loop[0], .every_ms = 10};
	start = sim_now_us(f.w);
	loop_timer_init(&a.t, alarm_fire);
	loop_timer_set(f.loop[0], &a.t, 10);
	assert_int_equal(sim_run(f.w, 1000500, NULL, NULL), ERR_TIMEOUT);
	assert_int_equal(sim_now_us(f.w) - start, 1000500);
	assert_int_equal(a.count, 100);
	sim_world_destroy(f.w);
}

static void stepping_the_wall_clock_leaves_timers_alone(void **state)
{
	struct fixture f;
	struct alarm a;
	uint64_t start;
	int64_t wall;

	(void)state;
	fixture_init(&f, 3, 1);
	a = (struct alarm){.w = f.w, .loop = f.loop[0]};
	start = sim_now_us(f.w);
	wall = loop_wall_ms(f.loop[0]);
	loop_timer_init(&a.t, alarm_fire);
	loop_timer_set(f.loop[0], &a.t, 1000);
	sim_step_wall(f.w, -3600000);
	assert_int_equal(loop_wall_ms(f.loop[0]), wall - 3600000);
	assert_int_equal(sim_run(f.w, UINT64_MAX, alarm_fired, &a), OK);
	assert_int_equal(a.fired_us - start, 1000000);
	assert_int_equal(loop_wall_ms(f.loop[0]), wall - 3599000);
	sim_world_destroy(f.w);
}

/* ---- sources ---- */

struct bell {
	struct loop_source s;
	struct sim_world *w;
	struct loop_source *answer;
	unsigned rung;
	uint64_t last_us;
};

static void bell_run(struct loop_source *s)
{
	struct bell *b = container_of(s, struct bell, s);

	b->rung++;
	b->last_us = sim_now_us(b->w);
	if (b->answer)
		loop_notify(b->answer);
}

static void notify_is_seen_once_and_within_its_delay(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct fixture f;
		struct bell b;
		uint64_t start;

		fixture_init(&f, seed, 1);
		b = (struct bell){.w = f.w};
		loop_source_add(f.loop[0], &b.s, bell_run);
		sim_set_notify_delay(f.w, 1000);
		assert_int_equal(sim_run(f.w, UINT64_MAX, NULL, NULL), ERR_NOT_FOUND);
		start = sim_now_us(f.w);
		loop_notify(&b.s);
		loop_notify(&b.s);
		assert_int_equal(sim_run(f.w, UINT64_MAX, NULL, NULL), ERR_NOT_FOUND);
		assert_int_equal(b.rung, 1);
		assert_in_range(b.last_us - start, 0, 1000 + 21);
		sim_world_destroy(f.w);
	}
}

static void a_removed_source_does_not_run(void **state)
{
	struct fixture f;
	struct bell b;

	(void)state;
	fixture_init(&f, 4, 1);
	b = (struct bell){.w = f.w};
	loop_source_add(f.loop[0], &b.s, bell_run);
	loop_notify(&b.s);
	loop_source_remove(&b.s);
	assert_int_equal(sim_run(f.w, 1000000, NULL, NULL), ERR_NOT_FOUND);
	assert_int_equal(b.rung, 0);
	sim_world_destroy(f.w);
}

static uint64_t ping_pong(uint64_t seed)
{
	struct fixture f;
	struct bell a, b;
	uint64_t hash;

	fixture_init(&f, seed, 2);
	a = (struct bell){.w = f.w};
	b = (struct bell){.w = f.w};
	loop_source_add(f.loop[0], &a.s, bell_run);
	loop_source_add(f.loop[1], &b.s, bell_run);
	a.answer = &b.s;
	b.answer = &a.s;
	loop_notify(&a.s);
	assert_int_equal(sim_run(f.w, 100000, NULL, NULL), ERR_TIMEOUT);
	assert_true(a.rung > 50);
	hash = sim_trace_hash(f.w);
	sim_world_destroy(f.w);
	return hash;
}

static void one_seed_is_one_trace(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		assert_true(ping_pong(seed) == ping_pong(seed));
		assert_true(ping_pong(seed) != ping_pong(seed + 1));
	}
}

/* ---- turns ---- */

struct turn_log {
	struct loop_hook h;
	struct loop *loop;
	unsigned *order;
	unsigned *n;
	unsigned id;
};

static void log_turn(struct loop_hook *h)
{
	struct turn_log *t = container_of(h, struct turn_log, h);

	if (*t->n < 64)
		t->order[(*t->n)++] = t->id;
	loop_again(t->loop);
}

static void ready_loops_take_turns_in_any_order_and_none_starves(void **state)
{
	struct fixture f;
	struct turn_log logs[3];
	unsigned order[64], n = 0, turns[3] = {0}, repeats = 0;
	uint64_t start;

	(void)state;
	fixture_init(&f, 5, 3);
	for (unsigned i = 0; i < 3; i++) {
		logs[i] = (struct turn_log){.loop = f.loop[i], .order = order, .n = &n, .id = i};
		loop_hook_add(f.loop[i], LOOP_TURN_END, &logs[i].h, log_turn);
	}
	start = sim_now_us(f.w);
	assert_int_equal(sim_run(f.w, 1000, NULL, NULL), ERR_TIMEOUT);
	assert_int_equal(sim_now_us(f.w) - start, 1000); /* time passes although nobody sleeps */
	assert_int_equal(n, 64);
	for (unsigned i = 0; i < 64; i++) {
		turns[order[i]]++;
		repeats += i > 0 && order[i] == order[i - 1];
	}
	for (unsigned i = 0; i < 3; i++)
		assert_true(turns[i] > 8);
	assert_true(repeats > 0);
	sim_world_destroy(f.w);
}

struct sleeper {
	struct loop_hook before, after, end;
	unsigned sleeps, wakes, ends;
	bool asleep;
};

static void before_sleep(struct loop_hook *h)
{
	struct sleeper *s = container_of(h, struct sleeper, before);

	assert_false(s->asleep);
	s->asleep = true;
	s->sleeps++;
}

static void after_sleep(struct loop_hook *h)
{
	struct sleeper *s = container_of(h, struct sleeper, after);

	assert_true(s->asleep);
	s->asleep = false;
	s->wakes++;
}

static void turn_end(struct loop_hook *h)
{
	struct sleeper *s = container_of(h, struct sleeper, end);

	assert_false(s->asleep);
	s->ends++;
}

static void hooks_run_around_sleeps_only(void **state)
{
	struct fixture f;
	struct sleeper s = {0};
	struct alarm a;

	(void)state;
	fixture_init(&f, 6, 1);
	a = (struct alarm){.w = f.w, .loop = f.loop[0]};
	loop_hook_add(f.loop[0], LOOP_BEFORE_SLEEP, &s.before, before_sleep);
	loop_hook_add(f.loop[0], LOOP_AFTER_SLEEP, &s.after, after_sleep);
	loop_hook_add(f.loop[0], LOOP_TURN_END, &s.end, turn_end);
	assert_int_equal(sim_run(f.w, 1000, NULL, NULL), ERR_NOT_FOUND);
	assert_int_equal(s.sleeps, 1); /* the first turn found nothing to do */
	assert_int_equal(s.wakes, 0);
	loop_timer_init(&a.t, alarm_fire);
	loop_timer_set(f.loop[0], &a.t, 5);
	assert_int_equal(sim_run(f.w, 1000000, alarm_fired, &a), OK);
	assert_int_equal(s.wakes, 1);
	assert_int_equal(s.sleeps, 2);
	assert_int_equal(s.ends, 2);
	loop_hook_remove(&s.before);
	loop_hook_remove(&s.after);
	loop_hook_remove(&s.end);
	sim_world_destroy(f.w);
}

static void stop_alarm(struct loop_timer *t)
{
	loop_stop(container_of(t, struct alarm, t)->loop);
}

static void running_one_loop_runs_the_world_until_it_stops(void **state)
{
	struct fixture f;
	struct alarm a, other;

	(void)state;
	fixture_init(&f, 7, 2);
	a = (struct alarm){.w = f.w, .loop = f.loop[0]};
	other = (struct alarm){.w = f.w, .loop = f.loop[1], .every_ms = 1};
	loop_timer_init(&a.t, stop_alarm);
	loop_timer_init(&other.t, alarm_fire);
	loop_timer_set(f.loop[0], &a.t, 100);
	loop_timer_set(f.loop[1], &other.t, 1);
	assert_int_equal(loop_run(f.loop[0]), OK);
	assert_in_range(other.count, 98, 100);
	assert_int_equal(loop_turn(f.loop[0], 50), OK); /* nothing for it: 50 ms pass */
	assert_in_range(other.count, 146, 151);
	loop_timer_cancel(f.loop[1], &other.t);
	assert_int_equal(sim_run(f.w, 1000000, NULL, NULL), ERR_NOT_FOUND);
	assert_int_equal(loop_turn(f.loop[0], -1), ERR_IO);
	assert_int_equal(loop_run(f.loop[0]), ERR_IO);
	assert_int_equal(loop_turn(f.loop[0], 0), OK);
	sim_world_destroy(f.w);
}

static void descriptors_are_not_supported(void **state)
{
	struct fixture f;
	struct loop_fd fd = {.fd = 0};

	(void)state;
	fixture_init(&f, 8, 1);
	assert_int_equal(loop_fd_add(f.loop[0], &fd), ERR_UNSUPPORTED);
	sim_world_destroy(f.w);
}

/* ---- calls and random numbers ---- */

struct call_log {
	struct sim_world *w;
	uint64_t at_us[3];
	unsigned n;
	struct loop *doomed;
};

static void note_call(void *arg)
{
	struct call_log *c = arg;

	c->at_us[c->n++] = sim_now_us(c->w);
	if (c->doomed)
		loop_destroy(c->doomed);
	c->doomed = NULL;
}

static void calls_come_at_their_time_and_may_destroy_a_loop(void **state)
{
	struct fixture f;
	struct call_log c;
	uint64_t start;

	(void)state;
	fixture_init(&f, 9, 2);
	c = (struct call_log){.w = f.w, .doomed = f.loop[0]};
	start = sim_now_us(f.w);
	assert_int_equal(sim_at(f.w, 70000, note_call, &c), OK);
	assert_int_equal(sim_at(f.w, 5, note_call, &c), OK);
	assert_int_equal(sim_at(f.w, 5, note_call, &c), OK);
	assert_int_equal(sim_run(f.w, UINT64_MAX, NULL, NULL), ERR_NOT_FOUND);
	assert_int_equal(c.n, 3);
	assert_int_equal(c.at_us[0] - start, 5);
	assert_int_equal(c.at_us[1] - start, 5);
	assert_int_equal(c.at_us[2] - start, 70000);
	assert_int_equal(sim_at(f.w, 5, note_call, &c), OK); /* freed with the world */
	sim_world_destroy(f.w);
}

static void random_numbers_stay_below_their_bound(void **state)
{
	static const uint64_t bounds[] = {1, 2, 3, 10, UINT64_C(1) << 63, UINT64_MAX};
	struct fixture f;
	unsigned seen[10] = {0}, hits = 0;

	(void)state;
	fixture_init(&f, 0, 0);
	for (unsigned i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++)
		for (unsigned n = 0; n < 200; n++)
			assert_true(sim_random(f.w, bounds[i]) < bounds[i]);
	for (unsigned n = 0; n < 10000; n++) {
		seen[sim_random(f.w, 10)]++;
		hits += sim_one_in(f.w, 10);
		assert_false(sim_one_in(f.w, 0));
	}
	for (unsigned i = 0; i < 10; i++)
		assert_in_range(seen[i], 850, 1150);
	assert_in_range(hits, 850, 1150);
	sim_world_destroy(f.w);
}

static void every_failing_allocation_is_survived(void **state)
{
	(void)state;
	for (long n = 1;; n++) {
		struct sim_world *w = NULL;
		struct loop *loop;
		int rc;
		bool hit;

		alloc_fail_at(n);
		rc = sim_world_create(1, &w);
		if (rc == OK)
			rc = sim_loop_create(w, &loop);
		if (rc == OK)
			rc = sim_at(w, 1, note_call, NULL);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		sim_world_destroy(w);
		if (!hit)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_jumps_to_the_next_timer),
		cmocka_unit_test(running_for_a_time_ends_exactly_there),
		cmocka_unit_test(stepping_the_wall_clock_leaves_timers_alone),
		cmocka_unit_test(notify_is_seen_once_and_within_its_delay),
		cmocka_unit_test(a_removed_source_does_not_run),
		cmocka_unit_test(one_seed_is_one_trace),
		cmocka_unit_test(ready_loops_take_turns_in_any_order_and_none_starves),
		cmocka_unit_test(hooks_run_around_sleeps_only),
		cmocka_unit_test(running_one_loop_runs_the_world_until_it_stops),
		cmocka_unit_test(descriptors_are_not_supported),
		cmocka_unit_test(calls_come_at_their_time_and_may_destroy_a_loop),
		cmocka_unit_test(random_numbers_stay_below_their_bound),
		cmocka_unit_test(every_failing_allocation_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
