#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

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

/* ---- memory ---- */

static void write_file(const char *root, const char *path, const char *text)
{
	char name[512];
	FILE *f;

	snprintf(name, sizeof(name), "%s%s", root, path);
	for (char *slash = strchr(name + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(name, 0700);
		*slash = '/';
	}
	f = fopen(name, "we");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st, (void)flag, (void)ftw;
	return remove(path);
}

static void memory_is_half_of_the_machines_or_the_groups(void **state)
{
	char root[] = "/tmp/lineside-limits-XXXXXX";
	struct gateway_config cfg = {0};

	(void)state;
	assert_non_null(mkdtemp(root));
	assert_int_equal(limits_memory(&cfg, root), 0);
	write_file(root, "/proc/meminfo", "MemTotal:        1048576 kB\nMemFree:  5 kB\n");
	assert_int_equal(limits_memory(&cfg, root), 512 << 20);
	write_file(root, "/proc/self/cgroup", "0::/system/lineside.service\n");
	write_file(root, "/sys/fs/cgroup/system/lineside.service/memory.max", "max\n");
	assert_int_equal(limits_memory(&cfg, root), 512 << 20);
	write_file(root, "/sys/fs/cgroup/system/memory.max", "268435456\n");
	assert_int_equal(limits_memory(&cfg, root), 128 << 20);
	write_file(root, "/sys/fs/cgroup/system/lineside.service/memory.max", "134217728\n");
	assert_int_equal(limits_memory(&cfg, root), 64 << 20);
	write_file(root, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n");
	assert_int_equal(limits_memory(&cfg, root), 32 << 20);
	cfg.broker.memory_limit = 99 << 20;
	assert_int_equal(limits_memory(&cfg, root), 99 << 20);
	assert_int_equal(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void sessions_fit_the_memory(void **state)
{
	struct gateway_config cfg = {0};

	(void)state;
	assert_int_equal(limits_sessions(&cfg, 0), 1000000000);
	assert_int_equal(limits_sessions(&cfg, 1 << 20), 1000);
	assert_int_equal(limits_sessions(&cfg, 1 << 30), 131072);
	cfg.broker.max_sessions = 7;
	assert_int_equal(limits_sessions(&cfg, 1 << 30), 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_fit_the_descriptors),
		cmocka_unit_test(workers_are_as_configured_or_one_for_each_cpu),
		cmocka_unit_test(memory_is_half_of_the_machines_or_the_groups),
		cmocka_unit_test(sessions_fit_the_memory),
		cmocka_unit_test(the_soft_limit_is_raised_to_the_hard_one),
		cmocka_unit_test(memory_in_use_is_never_more_than_the_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
