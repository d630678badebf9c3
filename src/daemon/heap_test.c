#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "daemon/heap.h"

#define MIB (UINT64_C(1) << 20)

static void what_a_burst_left_is_given_back_once(void **state)
{
	struct heap h = {0};

	(void)state;
	assert_false(heap_is_loose(&h, 10 * MIB, 70 * MIB));
	assert_true(heap_is_loose(&h, 10 * MIB, 200 * MIB));
	h.resident = 150 * MIB; /* the rest was in use by others, or in pieces */
	assert_false(heap_is_loose(&h, 10 * MIB, 200 * MIB));
	assert_true(heap_is_loose(&h, 10 * MIB, 220 * MIB));
}

static void what_is_used_is_left_alone(void **state)
{
	struct heap h = {0};

	(void)state;
	assert_false(heap_is_loose(&h, 1000 * MIB, 1500 * MIB));
	assert_true(heap_is_loose(&h, 1000 * MIB, 1600 * MIB));
}

static void less_resident_memory_is_the_new_measure(void **state)
{
	struct heap h = {.resident = 500 * MIB};

	(void)state;
	assert_false(heap_is_loose(&h, 0, 100 * MIB));
	assert_true(heap_is_loose(&h, 0, 170 * MIB));
}

static void less_used_memory_is_worth_another_try(void **state)
{
	struct heap h = {.resident = 700 * MIB, .used = 400 * MIB};

	(void)state;
	assert_false(heap_is_loose(&h, 350 * MIB, 700 * MIB));
	assert_true(heap_is_loose(&h, 20 * MIB, 700 * MIB));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_burst_left_is_given_back_once),
		cmocka_unit_test(what_is_used_is_left_alone),
		cmocka_unit_test(less_resident_memory_is_the_new_measure),
		cmocka_unit_test(less_used_memory_is_worth_another_try),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
