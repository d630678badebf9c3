#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "field/refused.h"

enum { COIL, HOLDING = 3 };

static void a_block_ends_before_the_first_range_that_it_would_contain(void **state)
{
	struct refused r = {0};

	(void)state;
	assert_int_equal(refused_reach(&r, HOLDING, 0), REFUSED_NO_LIMIT);
	assert_int_equal(refused_add(&r, HOLDING, 30, 32, REFUSED_TAG, 1), OK);
	assert_int_equal(refused_add(&r, HOLDING, 10, 40, REFUSED_GAP, 1), OK);
	assert_int_equal(refused_add(&r, HOLDING, 35, 37, REFUSED_PAIR, 1), OK);
	assert_int_equal(refused_reach(&r, HOLDING, 0), 31);
	assert_int_equal(refused_reach(&r, HOLDING, 30), 31);
	assert_int_equal(refused_reach(&r, HOLDING, 31), 36);
	assert_int_equal(refused_reach(&r, HOLDING, 36), REFUSED_NO_LIMIT);
	assert_int_equal(refused_reach(&r, COIL, 0), REFUSED_NO_LIMIT);
	assert_int_equal(refused_reach(&r, HOLDING + 1, 0), REFUSED_NO_LIMIT);
	refused_remove(&r, HOLDING, 30, 32);
	refused_remove(&r, HOLDING, 30, 33); /* not known */
	assert_int_equal(refused_reach(&r, HOLDING, 0), 36);
	refused_fini(&r);
}

static void a_refused_tag_is_tried_again_after_longer_and_longer(void **state)
{
	struct refused r = {0};
	uint64_t now = 5000;
	unsigned version, tries = 0;

	(void)state;
	assert_int_equal(refused_add(&r, HOLDING, 30, 32, REFUSED_TAG, now), OK);
	version = r.version;
	for (uint64_t end = now + 24 * 3600000; now < end; now += 1000) {
		if (!refused_is_due(refused_tag(&r, HOLDING, 30, 32), now))
			continue;
		tries++;
		assert_int_equal(refused_add(&r, HOLDING, 30, 32, REFUSED_TAG, now), OK);
	}
	assert_in_range(tries, 24, 34); /* once an hour, but for the first */
	assert_int_equal(r.version, version);
	assert_null(refused_tag(&r, HOLDING, 30, 31));
	refused_fini(&r);
}

static void gaps_are_forgotten_after_an_hour_and_tags_are_not(void **state)
{
	struct refused r = {0};

	(void)state;
	assert_int_equal(refused_add(&r, HOLDING, 30, 32, REFUSED_TAG, 0), OK);
	assert_int_equal(refused_add(&r, HOLDING, 40, 41, REFUSED_GAP, 0), OK);
	assert_int_equal(refused_add(&r, HOLDING, 50, 52, REFUSED_PAIR, 1), OK);
	refused_expire(&r, REFUSED_WAIT_MAX_MS - 1);
	assert_int_equal(r.n, 3);
	refused_expire(&r, REFUSED_WAIT_MAX_MS);
	assert_int_equal(r.n, 2);
	refused_expire(&r, 2 * REFUSED_WAIT_MAX_MS);
	assert_int_equal(r.n, 1);
	assert_non_null(refused_tag(&r, HOLDING, 30, 32));
	refused_clear(&r);
	assert_int_equal(r.n, 0);
	refused_fini(&r);
}

static void a_failing_allocation_changes_nothing(void **state)
{
	struct refused r = {0};
	uint32_t n = 0;

	(void)state;
	for (; n < 8; n++)
		assert_int_equal(refused_add(&r, HOLDING, 3 * n, 3 * n + 1, REFUSED_GAP, 0), OK);
	alloc_fail_at(1);
	assert_int_equal(refused_add(&r, HOLDING, 3 * n, 3 * n + 1, REFUSED_GAP, 0), ERR_NOMEM);
	assert_true(alloc_fail_end());
	assert_int_equal(r.n, 8);
	assert_int_equal(refused_reach(&r, HOLDING, 22), REFUSED_NO_LIMIT);
	refused_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_block_ends_before_the_first_range_that_it_would_contain),
		cmocka_unit_test(a_refused_tag_is_tried_again_after_longer_and_longer),
		cmocka_unit_test(gaps_are_forgotten_after_an_hour_and_tags_are_not),
		cmocka_unit_test(a_failing_allocation_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
