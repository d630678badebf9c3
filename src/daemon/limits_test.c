#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "daemon/limits.h"

static void connections_fit_the_descriptors(void **state)
{
	static const struct {
		uint32_t configured, workers;
		uint64_t descriptors;
		uint32_t fit;
	} rows[] = {
		{0, 1, 1u << 20, 100000},
		{0, 1, 1024, 1024 - 41},
		{0, 4, 1024, 1024 - 50},
		{5, 1, 1024, 5},
		{1000, 1, 1024, 983},
		{0, 1, 42, 1},
		{0, 1, 41, 1},
		{0, 1, 0, 1},
		{2000000, 1, UINT32_MAX, 2000000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct gateway_config cfg = {.broker = {.max_connections = rows[i].configured}};

		assert_int_equal(limits_connections(&cfg, rows[i].workers, rows[i].descriptors), rows[i].fit);
	}
}

static void workers_are_as_configured_or_one_for_each_cpu(void **state)
{
	struct gateway_config cfg = {.broker = {.workers = 3}};

	(void)state;
	assert_int_equal(limits_workers(&cfg), 3);
	cfg.broker.workers = 128;
	assert_int_equal(limits_workers(&cfg), 63);
	cfg.broker.workers = 0;
	assert_in_range(limits_workers(&cfg), 1, 63);
}

static void the_soft_limit_is_raised_to_the_hard_one(void **state)
{
	struct rlimit limit;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(limits_raise_descriptors() > 64 || limit.rlim_max == 64);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(limit.rlim_cur == limit.rlim_max);
}

static void memory_in_use_is_never_more_than_the_most(void **state)
{
	uint64_t most, now = limits_memory_in_use(&most);

	(void)state;
	assert_in_range(now, 64 * 1024, most);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_fit_the_descriptors),
		cmocka_unit_test(workers_are_as_configured_or_one_for_each_cpu),
		cmocka_unit_test(the_soft_limit_is_raised_to_the_hard_one),
		cmocka_unit_test(memory_in_use_is_never_more_than_the_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
