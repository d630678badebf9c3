#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "base/expr.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Tags have the values 2, 3, 5, 7 in the order in which they stand; windows 11, 13. */
static const double primes[EXPR_TAGS_MAX] = {2, 3, 5, 7};
static const double window_primes[EXPR_WINDOWS_MAX] = {11, 13};

static void expressions_have_their_values(void **state)
{
	static const struct {
		const char *text;
		double value;
	} cases[] = {
		{"1", 1},
		{" 1.5e3 ", 1500},
		{".5", 0.5},
		{"1 + 2 * 3", 7},
		{"(1 + 2) * 3", 9},
		{"10 - 4 - 3", 3},
		{"100 / 10 / 2", 5},
		{"7 % 4", 3},
		{"-2 ^ 2", -4},
		{"2 ^ 3 ^ 2", 512},
		{"2 ^ -1", 0.5},
		{"--3", 3},
		{"1 < 2", 1},
		{"2 <= 1", 0},
		{"2 >= 2", 1},
		{"3 > 4", 0},
		{"1 == 1", 1},
		{"1 != 1", 0},
		{"1 + 1 == 2 and 2 < 1 or true", 1},
		{"not true or true", 1},
		{"not (true or true)", 0},
		{"not not 5", 1},
		{"true and 0", 0},
		{"abs(-3)", 3},
		{"round(2.5)", 3},
		{"round(3.14159, 2)", 3.14},
		{"round(1234, -2)", 1200},
		{"floor(-1.5)", -2},
		{"ceil(1.2)", 2},
		{"sqrt(16)", 4},
		{"exp(0)", 1},
		{"ln(1)", 0},
		{"log10(1000)", 3},
		{"min(3, 1, 2)", 1},
		{"max(3, 1, 2)", 3},
		{"avg(3, 1, 2)", 2},
		{"min(4)", 4},
		{"if(1 < 2, 10, 20)", 10},
		{"if(1 > 2, 10, 20)", 20},
		{"if(0, 1 / 0, 5)", 5}, /* what is not chosen does not count */
		{"a/b", 2},
		{"a/b + c/d * a/b", 8},
		{"a/b/c/d", 2.0 / 3},
		{"a/b / c/d", 2.0 / 3},
		{"{a/b} + a/b", 4},
		{"{meter-1/voltage L1} - rack/ai0.min", -1},
		{"min/max + not/and", 5},
		{"avg(a/b, 5min)", 11},
		{"min(a/b, 10s) + max(a/b, 1h)", 24},
		{"rate({a/b}, 500ms)", 11},
		{"delta(a/b, 24h)", 11},
		{"min(a/b, 10)", 2},
		{"min(a/b, c/d)", 2},
		{"max(a/b * 2, 1)", 4},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char fault[EXPR_FAULT_MAX] = "";
		struct expr e;
		double value = 0;

		if (expr_parse(span_str(cases[i].text), &e, fault) < 0)
			fail_msg("%s: %s", cases[i].text, fault);
		if (expr_evaluate(&e, primes, window_primes, &value) < 0)
			fail_msg("%s: no value", cases[i].text);
		if (value != cases[i].value)
			fail_msg("%s is %g", cases[i].text, value);
	}
}

static void what_is_no_number_is_out_of_range(void **state)
{
	static const char *const cases[] = {
		"1 / 0",          "1 % 0",           "sqrt(-1)",        "ln(0)",
		"1e308 * 10",     "(1 / 0) > 5",     "not (1 / 0)",     "min(1, 1 / 0)",
		"1 / 0 == 1 / 0", "if(1 / 0, 1, 2)", "true or (1 / 0)",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char fault[EXPR_FAULT_MAX];
		struct expr e;
		double value = 0;

		assert_int_equal(expr_parse(span_str(cases[i]), &e, fault), OK);
		if (expr_evaluate(&e, primes, window_primes, &value) != ERR_RANGE)
			fail_msg("%s is %g", cases[i], value);
	}
}

static void faults_say_where_and_what_is_allowed(void **state)
{
	static const struct {
		const char *text, *fault;
	} cases[] = {
		{"", "column 1: it ends here; allowed: a number, a tag"},
		{"1 +", "column 4: it ends here"},
		{"1 2", "column 3: found \"2\", allowed: an operator, or nothing"},
		{"(1", "column 3: it ends here; allowed: \")\""},
		{"1)", "column 2: found \")\""},
		{"voltage", "column 1: found \"voltage\", allowed: a tag as device/tag"},
		{"foo(1)", "column 1: found \"foo(1)\""},
		{"a_name_without_device * 2 + 1", "avg, rate, delta, if"}, /* to its last word */
		{"{a/b", "column 1: a { without its }"},
		{"{ab}", "column 1: a tag is {device/tag}"},
		{"{/b}", "column 1: a tag is {device/tag}"},
		{"{a/}", "column 1: a tag is {device/tag}"},
		{"0x10", "column 1: numbers are decimal"},
		{"10s", "a time is allowed only as the second argument"},
		{"1 < 2 < 3", "column 7: found \"< 3\""},
		{"abs(1, 2)", "abs has 2 arguments, allowed: 1"},
		{"if(1, 2)", "if has 2 arguments, allowed: 3"},
		{"abs()", "column 5: found \")\""},
		{"rate(a/b)", "column 9: found \")\", allowed: , and a time"},
		{"rate(1, 5s)", "allowed: a tag, and a time"},
		{"avg(a/b, 5x)", "the unit of a time"},
		{"avg(a/b, 25h)", "a window is allowed from 1ms to 24h"},
		{"avg(a/b, 5s, 6)", "column 12: found \", 6)\""},
		{"1 & 2", "column 3: found \"& 2\""},
		{"a/b = 1", "column 5: found \"= 1\""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char fault[EXPR_FAULT_MAX] = "";
		struct expr e;

		assert_int_equal(expr_parse(span_str(cases[i].text), &e, fault), ERR_MALFORMED);
		if (!strstr(fault, cases[i].fault))
			fail_msg("%s: %s", cases[i].text, fault);
	}
}

/* `n` times `before`, "1", `n` times `after`. */
static int parse_nested(const char *before, const char *after, unsigned n)
{
	char text[EXPR_TEXT_MAX * 2] = "", fault[EXPR_FAULT_MAX];
	struct expr e;

	for (unsigned i = 0; i < n; i++)
		strcat(text, before);
	strcat(text, "1");
	for (unsigned i = 0; i < n; i++)
		strcat(text, after);
	return expr_parse(span_str(text), &e, fault);
}

static void everything_has_its_bound(void **state)
{
	(void)state;
	assert_int_equal(parse_nested("(", ")", EXPR_DEPTH_MAX - 1), OK);
	assert_int_equal(parse_nested("(", ")", EXPR_DEPTH_MAX), ERR_MALFORMED);
	assert_int_equal(parse_nested("-", "", 30), OK);
	assert_int_equal(parse_nested("-", "", 500), ERR_MALFORMED);
	assert_int_equal(parse_nested("not ", "", 200), ERR_MALFORMED);
	assert_int_equal(parse_nested("1^", "", 200), ERR_MALFORMED);
	assert_int_equal(parse_nested("1+(", ")", 31), OK);
	assert_int_equal(parse_nested("1+", "", 63), OK);
	assert_int_equal(parse_nested("1+", "", 64), ERR_MALFORMED);   /* numbers */
	assert_int_equal(parse_nested("a/b+", "", 80), ERR_MALFORMED); /* steps */
	assert_int_equal(parse_nested(" ", "", EXPR_TEXT_MAX - 1), OK);
	assert_int_equal(parse_nested(" ", "", EXPR_TEXT_MAX), ERR_MALFORMED);
}

static void tags_and_windows_are_told_each_once(void **state)
{
	char fault[EXPR_FAULT_MAX];
	struct expr e;

	(void)state;
	assert_int_equal(expr_parse(span_str("a/b + {a/b} + avg(c/d, 2min) + rate(a/b, 1s)"), &e, fault), OK);
	assert_int_equal(e.ntags, 2);
	assert_true(span_equal(e.tags[1].device, span_str("c")) && span_equal(e.tags[1].name, span_str("d")));
	assert_int_equal(e.nwindows, 2);
	assert_int_equal(e.windows[0].kind, EXPR_WINDOW_AVG);
	assert_int_equal(e.windows[0].tag, 1);
	assert_int_equal(e.windows[0].ms, 120000);
	assert_int_equal(e.windows[1].kind, EXPR_WINDOW_RATE);
	assert_int_equal(e.windows[1].tag, 0);
	/* What looked like a window and is none leaves no tag behind. */
	assert_int_equal(expr_parse(span_str("min(a/b, c/d)"), &e, fault), OK);
	assert_int_equal(e.ntags, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(expressions_have_their_values),
		cmocka_unit_test(what_is_no_number_is_out_of_range),
		cmocka_unit_test(faults_say_where_and_what_is_allowed),
		cmocka_unit_test(everything_has_its_bound),
		cmocka_unit_test(tags_and_windows_are_told_each_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
