#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/value_types.h"

static void every_type_is_found_by_its_name(void **state)
{
	enum value_type t;

	(void)state;
	for (unsigned i = 0; i < VALUE_TYPE_COUNT; i++) {
		assert_int_equal(value_type_find(value_type_info((enum value_type)i)->name, &t), OK);
		assert_int_equal(t, i);
	}
	t = VALUE_TYPE_BCD32;
	assert_int_equal(value_type_find("float", &t), ERR_NOT_FOUND);
	assert_int_equal(value_type_find("", &t), ERR_NOT_FOUND);
	assert_int_equal(t, VALUE_TYPE_BCD32);
}

static void every_order_is_found_by_its_name(void **state)
{
	enum byte_order o;

	(void)state;
	for (unsigned i = 0; i < BYTE_ORDER_COUNT; i++) {
		assert_int_equal(byte_order_find(byte_order_info((enum byte_order)i)->name, &o), OK);
		assert_int_equal(o, i);
	}
	assert_int_equal(byte_order_find("abcd", &o), ERR_NOT_FOUND);
	assert_int_equal(byte_order_find("ABC", &o), ERR_NOT_FOUND);
}

static void orders_fit_the_types_of_their_width(void **state)
{
	static const struct {
		enum value_type type;
		enum byte_order order;
		bool fits;
	} cases[] = {
		{VALUE_TYPE_INT16, BYTE_ORDER_BA, true},
		{VALUE_TYPE_STRING, BYTE_ORDER_BA, true},
		{VALUE_TYPE_BYTES, BYTE_ORDER_BA, true},
		{VALUE_TYPE_INT32, BYTE_ORDER_BA, false},
		{VALUE_TYPE_INT16, BYTE_ORDER_CDAB, true},
		{VALUE_TYPE_STRING, BYTE_ORDER_ABCD, false},
		{VALUE_TYPE_FLOAT32, BYTE_ORDER_DCBA, true},
		{VALUE_TYPE_FLOAT64, BYTE_ORDER_DCBA, true},
		{VALUE_TYPE_FLOAT64, BYTE_ORDER_HGFEDCBA, true},
		{VALUE_TYPE_FLOAT32, BYTE_ORDER_HGFEDCBA, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(value_type_takes_order(cases[i].type, cases[i].order), cases[i].fits);
}

static void the_default_order_fits_and_changes_nothing(void **state)
{
	(void)state;
	for (unsigned i = 0; i < VALUE_TYPE_COUNT; i++) {
		enum byte_order o = value_type_default_order((enum value_type)i);

		assert_true(value_type_takes_order((enum value_type)i, o));
		assert_false(byte_order_info(o)->swap_bytes);
		assert_false(byte_order_info(o)->reverse_words);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_found_by_its_name),
		cmocka_unit_test(every_order_is_found_by_its_name),
		cmocka_unit_test(orders_fit_the_types_of_their_width),
		cmocka_unit_test(the_default_order_fits_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
