#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/alloc_fail.h"
#include "tools/bench.h"

#define WORDS_MAX 16

/* Options of a command line; the words are borrowed for ever. */
static struct bench_options options(const char *mode, const char *a, const char *b, const char *c,
				    const char *d)
{
	static char words[WORDS_MAX][32];
	const char *given[] = {"bench", mode, "--workers", "3", a, b, c, d};
	char *argv[WORDS_MAX] = {NULL};
	struct bench_options o;
	int argc = 0;

	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]) && given[i]; i++, argc++) {
		snprintf(words[i], sizeof(words[i]), "%s", given[i]);
		argv[argc] = words[i];
	}
	assert_int_equal(bench_options_parse(&o, argc, argv), OK);
	return o;
}

static void a_publisher_lives_with_its_subscriber(void **state)
{
	struct bench_options o = options("exchange", "-c", "10", NULL, NULL);
	struct bench_load l;

	(void)state;
	assert_int_equal(bench_load_open(&l, &o), OK);
	assert_int_equal(l.nworkers, 3);
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(l.publishers[i].worker, l.subscribers[i].worker);
		assert_int_equal(l.publishers[i].readers, 1u << l.subscribers[i].worker);
	}
	assert_int_equal(l.subscribers[8].worker, 2);
	bench_load_close(&l);
}

static void publishers_of_one_subscriber_spread_over_the_workers(void **state)
{
	struct bench_options o = options("fan-in", "-c", "9", NULL, NULL);
	struct bench_load l;

	(void)state;
	assert_int_equal(bench_load_open(&l, &o), OK);
	for (unsigned i = 0; i < 9; i++) {
		assert_int_equal(l.publishers[i].worker, i % 3);
		assert_int_equal(l.publishers[i].readers, 1);
	}
	bench_load_close(&l);
}

static void a_fan_out_is_read_by_all_workers(void **state)
{
	struct bench_options o = options("fan-out", "-c", "9", NULL, NULL);
	struct bench_load l;

	(void)state;
	assert_int_equal(bench_load_open(&l, &o), OK);
	assert_int_equal(l.npublishers, 1);
	assert_int_equal(l.publishers[0].readers, 7);
	bench_load_close(&l);
}

static void a_limit_is_shared_out_to_the_last_message(void **state)
{
	struct bench_options o = options("exchange", "-c", "7", "-L", "1000");
	struct bench_load l;
	uint64_t all = 0;

	(void)state;
	assert_int_equal(bench_load_open(&l, &o), OK);
	for (unsigned i = 0; i < 7; i++) {
		assert_true(l.publishers[i].limit == 142 || l.publishers[i].limit == 143);
		assert_int_equal(l.publishers[i].base, all);
		all += l.publishers[i].limit;
	}
	assert_int_equal(all, 1000);
	bench_load_close(&l);
}

static void a_failed_allocation_leaves_nothing_behind(void **state)
{
	static const char *const modes[] = {"exchange", "fan-in",  "fan-out", "retained",
					    "offline",  "connect", "pub",     "sub"};

	(void)state;
	for (size_t m = 0; m < sizeof(modes) / sizeof(modes[0]); m++) {
		struct bench_options o = options(modes[m], "-c", "3", NULL, NULL);
		bool hit = true;

		for (long n = 1; hit; n++) {
			struct bench_load l;
			int rc;

			alloc_fail_at(n);
			rc = bench_load_open(&l, &o);
			hit = alloc_fail_end();
			assert_int_equal(rc, hit ? ERR_IO : OK);
			bench_load_close(&l);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_publisher_lives_with_its_subscriber),
		cmocka_unit_test(publishers_of_one_subscriber_spread_over_the_workers),
		cmocka_unit_test(a_fan_out_is_read_by_all_workers),
		cmocka_unit_test(a_limit_is_shared_out_to_the_last_message),
		cmocka_unit_test(a_failed_allocation_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
