#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tools/bench_hist.h"

static void cells_follow_one_another_without_a_gap(void **state)
{
	unsigned before = 0;

	(void)state;
	for (uint64_t ns = 1; ns < 1u << 20; ns++) {
		unsigned cell = bench_hist_cell(ns);

		assert_true(cell == before || cell == before + 1);
		before = cell;
	}
	assert_int_equal(bench_hist_cell(((uint64_t)1 << BENCH_HIST_MAX_BIT) - 1), BENCH_HIST_CELLS - 1);
	assert_int_equal(bench_hist_cell((uint64_t)1 << BENCH_HIST_MAX_BIT), BENCH_HIST_CELLS - 1);
	assert_int_equal(bench_hist_cell(UINT64_MAX), BENCH_HIST_CELLS - 1);
}

static void percentiles_are_right_to_the_width_of_a_cell(void **state)
{
	static struct bench_hist h;
	static const struct {
		double share;
		uint64_t exact;
	} rows[] = {{0, 1},        {0.00001, 1},   {0.5, 50000}, {0.9, 90000},
		    {0.99, 99000}, {0.999, 99900}, {1, 100000}};

	(void)state;
	assert_int_equal(bench_hist_at(&h, 0.5), 0);
	for (uint64_t ns = 1; ns <= 100000; ns++)
		bench_hist_add(&h, ns);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t got = bench_hist_at(&h, rows[i].share);

		assert_true(got >= rows[i].exact && got <= rows[i].exact + rows[i].exact / 64 + 1);
	}
}

static void one_stall_shows_in_the_highest_percentile_only(void **state)
{
	static struct bench_hist h, other;

	(void)state;
	for (unsigned i = 0; i < 999; i++)
		bench_hist_add(&h, 10);
	bench_hist_add(&other, 1000000007);
	bench_hist_merge(&h, &other);
	assert_int_equal(h.count, 1000);
	assert_int_equal(bench_hist_at(&h, 0.999), 10);
	assert_int_equal(bench_hist_at(&h, 0.9995), 1000000007);
	assert_int_equal(h.max_ns, 1000000007);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cells_follow_one_another_without_a_gap),
		cmocka_unit_test(percentiles_are_right_to_the_width_of_a_cell),
		cmocka_unit_test(one_stall_shows_in_the_highest_percentile_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
