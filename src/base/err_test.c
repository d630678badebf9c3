#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"

static void every_error_has_its_own_text(void **state)
{
	(void)state;
	for (int a = OK; a > -(int)ERR_INDEX_COUNT; a--)
		for (int b = OK; b > a; b--)
			assert_string_not_equal(err_text(a), err_text(b));
}

static void other_numbers_are_unknown(void **state)
{
	(void)state;
	assert_string_equal(err_text(1), "unknown error");
	assert_string_equal(err_text(-(int)ERR_INDEX_COUNT), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_has_its_own_text),
		cmocka_unit_test(other_numbers_are_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
