#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/csv.h"

/* Every cell as "[text@line.column]", "|" behind the last of a row, "!why" where it ends badly. */
static void take_apart(const char *table, char *out, size_t size)
{
	char bytes[256];
	struct csv_cell cell;
	const char *why = NULL;
	struct csv csv;
	size_t at = 0;
	int rc;

	memcpy(bytes, table, strlen(table));
	csv_init(&csv, bytes, strlen(table));
	out[0] = '\0';
	while ((rc = csv_next(&csv, &cell, &why)) == OK)
		at += (size_t)snprintf(out + at, size - at, "[%s@%u.%u]%s", cell.text, cell.line, cell.column,
				       cell.is_last ? "|" : "");
	if (rc == ERR_MALFORMED)
		snprintf(out + at, size - at, "!%s@%u.%u", why, cell.line, cell.column);
}

static void tables_are_taken_apart(void **state)
{
	static const struct {
		const char *table, *cells;
	} cases[] = {
		{"", ""},
		{"\n\r\n\n", ""},
		{"a", "[a@1.1]|"},
		{"a\n", "[a@1.1]|"},
		{"a,b\nc,d\n", "[a@1.1][b@1.2]|[c@2.1][d@2.2]|"},
		{"a,b\r\nc,\r\n", "[a@1.1][b@1.2]|[c@2.1][@2.2]|"},
		{"a\rb\r", "[a@1.1]|[b@2.1]|"},
		{"a,\n\n,b", "[a@1.1][@1.2]|[@3.1][b@3.2]|"},
		{"a,", "[a@1.1][@1.2]|"},
		{"a;b\nc;d,e\n", "[a@1.1][b@1.2]|[c@2.1][d,e@2.2]|"},
		{"a\tb;c\tx\n1\t2", "[a@1.1][b;c@1.2][x@1.3]|[1@2.1][2@2.2]|"},
		{"\xef\xbb\xbf\"a\",b", "[a@1.1][b@1.2]|"},
		{"\"a,\"\"b\"\"\",c", "[a,\"b\"@1.1][c@1.2]|"},
		{"\"a\nb\",c\nd", "[a\nb@1.1][c@2.2]|[d@3.1]|"},
		{"\"\",\"\"", "[@1.1][@1.2]|"},
		{"\"a", "!a quote that is never closed@1.1"},
		{"x,\"a\"b", "[x@1.1]!text behind the closing quote@1.2"},
		{"x,a\"b",
		 "[x@1.1]!a quote inside a cell: put the whole cell in quotes, and each quote twice@1.2"},
	};
	char got[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		take_apart(cases[i].table, got, sizeof(got));
		assert_string_equal(got, cases[i].cells);
	}
}

static void a_nul_is_no_text(void **state)
{
	char plain[] = "a,b\0c", quoted[] = "a,\"b\0c\"";
	struct csv_cell cell;
	const char *why;
	struct csv csv;

	(void)state;
	csv_init(&csv, plain, 5);
	assert_int_equal(csv_next(&csv, &cell, &why), OK);
	assert_int_equal(csv_next(&csv, &cell, &why), ERR_MALFORMED);
	csv_init(&csv, quoted, 7);
	assert_int_equal(csv_next(&csv, &cell, &why), OK);
	assert_int_equal(csv_next(&csv, &cell, &why), ERR_MALFORMED);
	assert_string_equal(why, "a NUL character");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_taken_apart),
		cmocka_unit_test(a_nul_is_no_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
