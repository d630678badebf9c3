#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "field/window.h"

static double value_of(enum expr_window_kind kind, const double *values, size_t n, uint64_t now_ms)
{
	struct window w;
	double value = 0;

	window_init(&w, kind, 3200);
	for (size_t i = 0; i < n; i++)
		window_add(&w, values[i], 1000 * i);
	assert_int_equal(window_value(&w, now_ms, &value), OK);
	return value;
}

static void a_window_tells_of_its_samples(void **state)
{
	static const double v[] = {4, 1, 10};

	(void)state;
	assert_true(value_of(EXPR_WINDOW_AVG, v, 3, 2000) == 5);
	assert_true(value_of(EXPR_WINDOW_MIN, v, 3, 2000) == 1);
	assert_true(value_of(EXPR_WINDOW_MAX, v, 3, 2000) == 10);
	assert_true(value_of(EXPR_WINDOW_DELTA, v, 3, 2000) == 6);
	assert_true(value_of(EXPR_WINDOW_RATE, v, 3, 2000) == 3);
}

static void old_samples_leave_it(void **state)
{
	static const double v[] = {100, 1, 3};

	(void)state;
	/* 3200 ms: at 3300 the sample at 0 is gone, at 3000 it is there. */
	assert_true(value_of(EXPR_WINDOW_MAX, v, 3, 3000) == 100);
	assert_true(value_of(EXPR_WINDOW_MAX, v, 3, 3300) == 3);
	assert_true(value_of(EXPR_WINDOW_MIN, v, 3, 4300) == 3);
}

static void without_samples_it_has_no_value(void **state)
{
	struct window w;
	double value = 0;

	(void)state;
	window_init(&w, EXPR_WINDOW_AVG, 10);
	assert_int_equal(window_value(&w, 5, &value), ERR_NOT_FOUND);
	window_add(&w, 1, 5);
	assert_int_equal(window_value(&w, 5, &value), OK);
	assert_int_equal(window_value(&w, 100, &value), ERR_NOT_FOUND);
	window_init(&w, EXPR_WINDOW_RATE, 1000);
	window_add(&w, 1, 5);
	assert_int_equal(window_value(&w, 5, &value), ERR_NOT_FOUND);
	window_add(&w, 2, 505);
	assert_int_equal(window_value(&w, 505, &value), OK);
	assert_true(value == 2);
}

static void it_has_one_size_however_many_come(void **state)
{
	struct window w;
	double value = 0;

	(void)state;
	window_init(&w, EXPR_WINDOW_AVG, 60000);
	for (uint64_t ms = 0; ms < 600000; ms += 10)
		window_add(&w, (double)(ms / 60000), ms);
	assert_int_equal(window_value(&w, 599999, &value), OK);
	assert_true(value > 8.9 && value <= 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_window_tells_of_its_samples),
		cmocka_unit_test(old_samples_leave_it),
		cmocka_unit_test(without_samples_it_has_no_value),
		cmocka_unit_test(it_has_one_size_however_many_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
