#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/alloc_fail.h"
#include "store/session_ids.h"

static uint32_t take(struct session_ids *ids)
{
	uint32_t id = 0;

	assert_int_equal(session_ids_take(ids, &id), OK);
	assert_in_range(id, 1, STORE_SESSION_MAX);
	return id;
}

static void every_id_is_given_once(void **state)
{
	static uint8_t seen[STORE_SESSION_MAX + 1];
	struct session_ids *ids = calloc(1, sizeof(*ids));
	uint32_t id;

	(void)state;
	assert_non_null(ids);
	session_ids_init(ids);
	for (uint32_t i = 0; i < STORE_SESSION_MAX; i++) {
		uint32_t got = 0;

		if (session_ids_take(ids, &got) != OK || got == 0 || got > STORE_SESSION_MAX || seen[got]++)
			fail_msg("id %u", got);
	}
	assert_int_equal(session_ids_take(ids, &id), ERR_FULL);
	session_ids_give(ids, 5);
	session_ids_give(ids, STORE_SESSION_MAX);
	assert_int_equal(take(ids), 5);
	assert_int_equal(take(ids), STORE_SESSION_MAX);
	assert_int_equal(session_ids_take(ids, &id), ERR_FULL);
	session_ids_fini(ids);
	free(ids);
}

static void ids_in_use_are_not_taken(void **state)
{
	struct session_ids *ids = calloc(1, sizeof(*ids));

	(void)state;
	assert_non_null(ids);
	session_ids_init(ids);
	assert_int_equal(session_ids_mark(ids, 1), OK);
	assert_int_equal(session_ids_mark(ids, 1), OK);
	assert_int_equal(session_ids_mark(ids, 40000), OK);
	assert_int_equal(session_ids_mark(ids, 0), ERR_RANGE);
	assert_int_equal(session_ids_mark(ids, STORE_SESSION_MAX + 1), ERR_RANGE);
	/* The search goes on above all of them: an id comes again as late as possible. */
	assert_int_equal(take(ids), 40001);
	session_ids_give(ids, 40001);
	session_ids_give(ids, 40001);
	session_ids_give(ids, 12345);
	session_ids_give(ids, UINT32_MAX);
	assert_int_equal(take(ids), 40002);
	session_ids_fini(ids);
	free(ids);
}

static void an_id_needs_memory_now_and_then(void **state)
{
	struct session_ids *ids = calloc(1, sizeof(*ids));
	uint32_t id = 99;

	(void)state;
	assert_non_null(ids);
	session_ids_init(ids);
	alloc_fail_at(1);
	assert_int_equal(session_ids_take(ids, &id), ERR_NOMEM);
	assert_true(alloc_fail_end());
	assert_int_equal(id, 99);
	alloc_fail_at(1);
	assert_int_equal(session_ids_mark(ids, 7), ERR_NOMEM);
	assert_true(alloc_fail_end());
	assert_int_equal(take(ids), 1);
	session_ids_fini(ids);
	free(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_id_is_given_once),
		cmocka_unit_test(ids_in_use_are_not_taken),
		cmocka_unit_test(an_id_needs_memory_now_and_then),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
