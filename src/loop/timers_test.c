#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loop/timers.h"

#define NTIMERS 400

struct fixture {
	struct wheel wheel;
	struct list due;
	struct loop_timer timers[NTIMERS];
};

static void fixture_init(struct fixture *f, uint64_t at)
{
	wheel_init(&f->wheel, at);
	list_init(&f->due);
	for (unsigned i = 0; i < NTIMERS; i++)
		loop_timer_init(&f->timers[i], NULL);
}

static void put(struct fixture *f, unsigned i, uint64_t due)
{
	f->timers[i].due_ms = due;
	wheel_put(&f->wheel, &f->timers[i]);
}

static int first_due(struct fixture *f)
{
	struct list *node = list_take_first(&f->due);

	return node ? (int)(container_of(node, struct loop_timer, node) - f->timers) : -1;
}

static uint64_t next_random(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Follow wheel_next() until something is due; the tick at which it was. */
static uint64_t follow(struct fixture *f, unsigned *hops)
{
	for (*hops = 1;; ++*hops) {
		uint64_t next = wheel_next(&f->wheel);

		assert_true(next != WHEEL_NEVER);
		wheel_expire(&f->wheel, next, &f->due);
		if (!list_empty(&f->due))
			return next;
	}
}

static void a_timer_is_due_at_its_tick_and_not_before(void **state)
{
	static const uint64_t starts[] = {0, 1, 63, 64, 4095, 4096, 123456789, UINT64_C(1) << 40};
	static const uint64_t after[] = {
		1,    2,      62,     63,       64,   65,    127,    128,    4095,    4096,
		4097, 262143, 262144, 86400000, 1000, 10000, 100000, 999999, 1 << 30, UINT64_C(1) << 45};

	(void)state;
	for (unsigned s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
		for (unsigned a = 0; a < sizeof(after) / sizeof(after[0]); a++) {
			struct fixture f;

			fixture_init(&f, starts[s]);
			put(&f, 0, starts[s] + after[a]);
			assert_int_equal(wheel_next(&f.wheel), starts[s] + after[a]);
			wheel_expire(&f.wheel, starts[s] + after[a] - 1, &f.due);
			assert_int_equal(first_due(&f), -1);
			assert_int_equal(wheel_next(&f.wheel), starts[s] + after[a]);
			wheel_expire(&f.wheel, starts[s] + after[a], &f.due);
			assert_int_equal(first_due(&f), 0);
			assert_int_equal(wheel_next(&f.wheel), WHEEL_NEVER);
		}
	}
}

static void a_timer_of_the_past_is_due_at_once(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 1000);
	put(&f, 0, 1000);
	put(&f, 1, 3);
	assert_true(wheel_next(&f.wheel) <= 1000);
	wheel_expire(&f.wheel, 1000, &f.due);
	assert_int_equal(first_due(&f), 0);
	assert_int_equal(first_due(&f), 1);
	assert_int_equal(first_due(&f), -1);
}

static void the_last_tick_can_be_set(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 5);
	put(&f, 0, WHEEL_NEVER - 1);
	assert_true(wheel_next(&f.wheel) == WHEEL_NEVER - 1);
	wheel_expire(&f.wheel, WHEEL_NEVER - 2, &f.due);
	assert_int_equal(first_due(&f), -1);
	wheel_expire(&f.wheel, WHEEL_NEVER - 1, &f.due);
	assert_int_equal(first_due(&f), 0);
}

static void a_cancelled_timer_leaves_nothing_behind(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 7);
	put(&f, 0, 70);
	put(&f, 1, 70000);
	list_remove(&f.timers[0].node);
	assert_int_equal(wheel_next(&f.wheel), 70000);
	list_remove(&f.timers[1].node);
	assert_int_equal(wheel_next(&f.wheel), WHEEL_NEVER);
	wheel_expire(&f.wheel, 100000, &f.due);
	assert_int_equal(first_due(&f), -1);
}

static void timers_of_one_tick_keep_their_order(void **state)
{
	struct fixture f;
	unsigned n = 0;

	(void)state;
	fixture_init(&f, 0);
	/* Put in from far, nearer and close: through one, two and three levels. */
	for (; n < 5; n++)
		put(&f, n, 100000);
	wheel_expire(&f.wheel, 99000, &f.due);
	for (; n < 10; n++)
		put(&f, n, 100000);
	wheel_expire(&f.wheel, 99999, &f.due);
	for (; n < 15; n++)
		put(&f, n, 100000);
	wheel_expire(&f.wheel, 200000, &f.due);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(first_due(&f), i);
}

static void many_in_one_slot_are_found_in_few_hops(void **state)
{
	struct fixture f;
	unsigned hops;

	(void)state;
	fixture_init(&f, 0);
	for (unsigned i = 0; i < NTIMERS; i++)
		put(&f, i, 1000000 + NTIMERS - i);
	assert_int_equal(follow(&f, &hops), 1000001);
	assert_true(hops <= WHEEL_LEVELS);
	assert_int_equal(first_due(&f), NTIMERS - 1);
}

static void random_timers_come_in_order_and_in_time(void **state)
{
	uint64_t x = 88172645463325252;

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		struct fixture f;
		uint64_t now = next_random(&x) >> 20, last = 0;
		unsigned left = NTIMERS;

		fixture_init(&f, now);
		for (unsigned i = 0; i < NTIMERS; i++)
			put(&f, i, now + 1 + next_random(&x) % (UINT64_C(1) << (1 + next_random(&x) % 40)));
		while (left > 0) {
			int i;

			now += next_random(&x) % (UINT64_C(1) << (1 + next_random(&x) % 40));
			wheel_expire(&f.wheel, now, &f.due);
			while ((i = first_due(&f)) >= 0) {
				assert_true(f.timers[i].due_ms >= last && f.timers[i].due_ms <= now);
				last = f.timers[i].due_ms;
				left--;
			}
			for (unsigned k = 0; k < NTIMERS; k++)
				if (loop_timer_pending(&f.timers[k])) {
					assert_true(f.timers[k].due_ms > now);
					assert_true(wheel_next(&f.wheel) <= f.timers[k].due_ms);
				}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_timer_is_due_at_its_tick_and_not_before),
		cmocka_unit_test(a_timer_of_the_past_is_due_at_once),
		cmocka_unit_test(the_last_tick_can_be_set),
		cmocka_unit_test(a_cancelled_timer_leaves_nothing_behind),
		cmocka_unit_test(timers_of_one_tick_keep_their_order),
		cmocka_unit_test(many_in_one_slot_are_found_in_few_hops),
		cmocka_unit_test(random_timers_come_in_order_and_in_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
