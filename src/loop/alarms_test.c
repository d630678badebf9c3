#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "loop/loop_sim.h"

struct bell {
	struct loop_alarm a;
	struct loop *loop;
	unsigned rung, order;
	uint64_t rung_us;
	struct loop_alarm *cancels;
	bool again, stops;
};

static unsigned order;

static void ring(struct loop_alarm *a)
{
	struct bell *b = container_of(a, struct bell, a);

	assert_false(loop_alarm_pending(a));
	b->rung++;
	b->order = ++order;
	b->rung_us = loop_now_us(b->loop);
	if (b->again)
		loop_alarm_set(b->loop, a, 0);
	if (b->cancels)
		loop_alarm_cancel(b->cancels);
	if (b->stops)
		loop_stop(b->loop);
}

static void bell_init(struct bell *b, struct loop *loop)
{
	*b = (struct bell){.loop = loop};
	loop_alarm_init(&b->a, ring);
}

static bool has_rung(void *arg)
{
	return ((const struct bell *)arg)->rung > 0;
}

static void in_a_simulation_an_alarm_is_exact(void **state)
{
	struct sim_world *w;
	struct loop *loop;
	struct bell b;
	uint64_t at_us;

	(void)state;
	assert_int_equal(sim_world_create(1, &w), OK);
	assert_int_equal(sim_loop_create(w, &loop), OK);
	bell_init(&b, loop);
	at_us = sim_now_us(w) + 12345;
	loop_alarm_set(loop, &b.a, at_us);
	assert_int_equal(sim_run(w, 1000000, has_rung, &b), OK);
	assert_int_equal(b.rung_us, at_us);
	assert_int_equal(loop_precise_us(loop), at_us);
	loop_destroy(loop);
	sim_world_destroy(w);
}

static struct loop *real_loop(void)
{
	struct loop *loop;

	assert_int_equal(loop_create(&loop), OK);
	return loop;
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void on_the_kernel_an_alarm_is_never_early_and_hardly_late(void **state)
{
	struct loop *loop = real_loop();
	uint64_t late_us[51];
	struct bell b;

	(void)state;
	for (unsigned i = 0; i < 51; i++) {
		uint64_t at_us = loop_precise_us(loop) + 1750;

		bell_init(&b, loop);
		b.stops = true;
		loop_alarm_set(loop, &b.a, at_us);
		assert_int_equal(loop_run(loop), OK);
		assert_int_equal(b.rung, 1);
		assert_true(b.rung_us >= at_us);
		late_us[i] = b.rung_us - at_us;
	}
	/* Whole milliseconds would be 250 us too late. Half of them in time leaves room for a busy machine. */
	qsort(late_us, 51, sizeof(late_us[0]), by_size);
	assert_true(late_us[25] < 200);
	loop_destroy(loop);
}

static void alarms_come_in_order_of_time(void **state)
{
	struct loop *loop = real_loop();
	struct bell b[4];
	uint64_t now_us = loop_precise_us(loop);

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		bell_init(&b[i], loop);
	order = 0;
	b[0].stops = true;
	loop_alarm_set(loop, &b[0].a, now_us + 3000);
	loop_alarm_set(loop, &b[1].a, now_us + 1000);
	loop_alarm_set(loop, &b[2].a, now_us + 9000000);
	loop_alarm_set(loop, &b[3].a, now_us + 1000);
	loop_alarm_set(loop, &b[2].a, now_us + 500); /* moved */
	assert_int_equal(loop_run(loop), OK);
	assert_int_equal(b[2].order, 1);
	assert_int_equal(b[1].order, 2);
	assert_int_equal(b[3].order, 3);
	assert_int_equal(b[0].order, 4);
	loop_destroy(loop);
}

static void one_in_the_past_rings_in_the_next_turn_once(void **state)
{
	struct loop *loop = real_loop();
	struct bell b;

	(void)state;
	bell_init(&b, loop);
	b.again = true;
	loop_alarm_set(loop, &b.a, 0);
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(loop_turn(loop, -1), OK);
		assert_int_equal(b.rung, i);
	}
	loop_alarm_cancel(&b.a);
	assert_int_equal(loop_turn(loop, 0), OK);
	assert_int_equal(b.rung, 5);
	loop_destroy(loop);
}

static void one_can_cancel_another_that_is_due_with_it(void **state)
{
	struct loop *loop = real_loop();
	struct bell a, b;

	(void)state;
	bell_init(&a, loop);
	bell_init(&b, loop);
	a.cancels = &b.a;
	loop_alarm_set(loop, &a.a, 0);
	loop_alarm_set(loop, &b.a, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(loop_turn(loop, 0), OK);
	assert_int_equal(a.rung, 1);
	assert_int_equal(b.rung, 0);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_a_simulation_an_alarm_is_exact),
		cmocka_unit_test(on_the_kernel_an_alarm_is_never_early_and_hardly_late),
		cmocka_unit_test(alarms_come_in_order_of_time),
		cmocka_unit_test(one_in_the_past_rings_in_the_next_turn_once),
		cmocka_unit_test(one_can_cancel_another_that_is_due_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
