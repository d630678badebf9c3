#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tools/tool.h"

static int nothing(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static const struct tool table[] = {
	{"one", "the first", nothing},
	{"two", "the second", nothing},
	{NULL, NULL, NULL},
};

static void a_tool_is_found_by_its_whole_name(void **state)
{
	(void)state;
	assert_ptr_equal(tool_find(table, "one"), &table[0]);
	assert_ptr_equal(tool_find(table, "two"), &table[1]);
	assert_null(tool_find(table, "tw"));
	assert_null(tool_find(table, "twoo"));
	assert_null(tool_find(table, ""));
	assert_null(tool_find(&table[2], "one"));
}

static void every_tool_has_its_own_name_and_a_summary(void **state)
{
	(void)state;
	for (const struct tool *t = tools; t->name; t++) {
		assert_ptr_equal(tool_find(tools, t->name), t);
		assert_int_not_equal(strlen(t->summary), 0);
		assert_non_null(t->run);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tool_is_found_by_its_whole_name),
		cmocka_unit_test(every_tool_has_its_own_name_and_a_summary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
