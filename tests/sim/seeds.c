#include "seeds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"

#define BROKEN_MAX 5u /* seeds that fail before the rest is left out */

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void every_promise_is_kept_under_faults(void **state)
{
	const struct seeds *s = *state;
	uint64_t only = number_of("LINESIDE_SEED", 0), seeds = number_of("LINESIDE_SEEDS", s->count),
		 first = number_of("LINESIDE_FIRST", 1), trace;
	unsigned broken = 0;

	if (only) {
		assert_true(s->run(only, &trace));
		return;
	}
	for (uint64_t seed = first; seed < first + seeds && broken < BROKEN_MAX; seed++)
		broken += !s->run(seed, &trace);
	if (s->summary)
		s->summary();
	assert_int_equal(broken, 0);
}

static void a_seed_replays_exactly(void **state)
{
	const struct seeds *s = *state;
	uint64_t first, second;

	if (number_of("LINESIDE_FIRST", 0) || number_of("LINESIDE_SEED", 0))
		return; /* one part of many, or a single one */
	for (uint64_t seed = 1; seed <= 5; seed++) {
		(void)s->run(seed, &first);
		(void)s->run(seed, &second);
		assert_int_equal(first, second);
	}
}

int seeds_main(const struct seeds *s)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(every_promise_is_kept_under_faults, (void *)(uintptr_t)s),
		cmocka_unit_test_prestate(a_seed_replays_exactly, (void *)(uintptr_t)s),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
