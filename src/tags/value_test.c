#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>

#include "tags/value.h"

static void words_of_quality_and_reason_are_those_of_the_payload(void **state)
{
	(void)state;
	assert_string_equal(quality_name(QUALITY_GOOD), "good");
	assert_string_equal(quality_name(QUALITY_UNCERTAIN), "uncertain");
	assert_string_equal(quality_name(QUALITY_BAD), "bad");
	assert_string_equal(reason_name(REASON_NONE), "");
	assert_string_equal(reason_name(REASON_TIMEOUT), "timeout");
	assert_string_equal(reason_name(REASON_SAFE_MODE), "safe_mode");
	assert_string_equal(reason_name(REASON_CLOCK), "clock");
}

static void floats_are_printed_with_the_digits_they_have(void **state)
{
	static const struct {
		float x;
		const char *text;
	} cases[] = {
		{230.1f, "230.1"},
		{0, "0"},
		{1, "1"},
		{-1.5f, "-1.5"},
		{100000, "100000"},
		{16777216, "16777216"},
		{1e14f, "100000000376832"},
		{1e15f, "1e+15"},
		{0.1f, "0.1"},
		{1e-5f, "0.00001"},
		{1e-6f, "1e-06"},
		{FLT_MAX, "3.4028235e+38"},
		{FLT_MIN, "1.1754944e-38"},
		{1.0f / 3, "0.33333334"},
	};
	char buf[NUMBER_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t n = float_text(buf, cases[i].x);

		assert_string_equal(buf, cases[i].text);
		assert_int_equal(n, strlen(buf));
		assert_true(strtof(buf, NULL) == cases[i].x);
	}
}

static void doubles_are_printed_with_the_digits_they_have(void **state)
{
	static const struct {
		double x;
		const char *text;
	} cases[] = {
		{23.4, "23.4"},
		{0.1 + 0.2, "0.30000000000000004"},
		{9007199254740992.0 * 8, "7.205759403792794e+16"},
		{123456789012345.0, "123456789012345"},
		{DBL_MAX, "1.7976931348623157e+308"},
		{5e-324, "5e-324"},
		{-0.0, "-0"},
	};
	char buf[NUMBER_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		double_text(buf, cases[i].x);
		assert_string_equal(buf, cases[i].text);
		assert_true(strtod(buf, NULL) == cases[i].x);
	}
}

static void random_floats_read_back_as_themselves(void **state)
{
	uint64_t x = 88172645463325252u;
	char buf[NUMBER_TEXT_MAX];

	(void)state;
	for (int n = 0; n < 20000; n++) {
		uint32_t low;
		double d;
		float f;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		low = (uint32_t)x;
		memcpy(&d, &x, 8);
		memcpy(&f, &low, 4);
		if (isfinite(d)) {
			assert_true(double_text(buf, d) < NUMBER_TEXT_MAX);
			assert_true(strtod(buf, NULL) == d);
		}
		if (isfinite(f)) {
			assert_true(float_text(buf, f) < NUMBER_TEXT_MAX);
			assert_true(strtof(buf, NULL) == f);
		}
	}
}

static void integers_are_printed_exactly(void **state)
{
	char buf[NUMBER_TEXT_MAX];
	struct tag_value v = tag_uint(UINT64_MAX);

	(void)state;
	number_text(buf, &v);
	assert_string_equal(buf, "18446744073709551615");
	v = tag_int(INT64_MIN);
	number_text(buf, &v);
	assert_string_equal(buf, "-9223372036854775808");
	v = tag_uint(9007199254740993u);
	assert_int_equal(v.kind, TAG_INT);
	number_text(buf, &v);
	assert_string_equal(buf, "9007199254740993");
}

static void limits_are_compared_without_rounding(void **state)
{
	const struct {
		struct tag_value v;
		double limit;
		int verdict;
	} cases[] = {
		{tag_int(500), 500, 0},
		{tag_int(501), 500, 1},
		{tag_int(500), 500.5, -1},
		{tag_int(-1), -0.5, -1},
		{tag_int(9007199254740993), 9007199254740992.0, 1},
		{tag_int(INT64_MAX), 9223372036854775808.0, -1},
		{tag_int(INT64_MIN), -9223372036854775808.0, 0},
		{tag_int(INT64_MIN), -1e30, 1},
		{tag_uint(UINT64_MAX), 18446744073709551616.0, -1},
		{tag_uint(UINT64_MAX), -1, 1},
		{tag_uint(1ull << 63), 9223372036854775808.0, 0},
		{tag_double(0.5), 0.5, 0},
		{tag_float(0.25f), 0.5, -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(tag_value_compare_limit(&cases[i].v, cases[i].limit), cases[i].verdict);
}

static struct tag_sample good(struct tag_value v)
{
	return (struct tag_sample){.value = v};
}

static void a_number_must_move_by_more_than_the_dead_band(void **state)
{
	const struct {
		struct tag_value last, now;
		double deadband;
		bool changed;
	} cases[] = {
		{tag_int(10), tag_int(10), 0, false},
		{tag_int(10), tag_int(11), 0, true},
		{tag_int(10), tag_int(11), 1, false},
		{tag_int(10), tag_int(12), 1, true},
		{tag_int(-10), tag_int(10), 19, true},
		{tag_int(-10), tag_int(10), 20, false},
		{tag_int(INT64_MIN), tag_uint(UINT64_MAX), 1e18, true},
		{tag_int(INT64_MAX), tag_uint(1ull << 63), 0.5, true},
		{tag_int(INT64_MAX), tag_uint(1ull << 63), 1, false},
		{tag_double(230.0), tag_double(230.5), 0.5, false},
		{tag_double(230.0), tag_double(230.51), 0.5, true},
		{tag_double(1), tag_int(1), 0, false},
		{tag_double(9007199254740992.0), tag_int(9007199254740993), 0, true},
		{tag_bool(false), tag_bool(true), 100, true},
		{tag_bool(true), tag_bool(true), 0, false},
		{tag_string(span_str("a")), tag_string(span_str("a")), 0, false},
		{tag_string(span_str("a")), tag_string(span_str("b")), 100, true},
		{tag_string(span_str("a")), tag_bytes(span_str("a")), 0, true},
		{tag_double((double)NAN), tag_double((double)NAN), 0, false},
		{tag_double((double)NAN), tag_double(1), 10, true},
		{tag_none(), tag_none(), 0, false},
		{tag_none(), tag_int(0), 10, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct tag_sample last = good(cases[i].last), now = good(cases[i].now);

		assert_int_equal(tag_sample_changed(&last, &now, cases[i].deadband), cases[i].changed);
		assert_int_equal(tag_sample_changed(&now, &last, cases[i].deadband), cases[i].changed);
	}
}

static void any_change_of_quality_or_reason_is_a_change(void **state)
{
	struct tag_sample a = good(tag_int(1)), b = a;

	(void)state;
	b.quality = QUALITY_BAD;
	b.reason = REASON_TIMEOUT;
	assert_true(tag_sample_changed(&a, &b, 1000));
	a = b;
	a.reason = REASON_OFFLINE;
	assert_true(tag_sample_changed(&a, &b, 1000));
	a.reason = REASON_TIMEOUT;
	a.ts_ms = 77; /* time alone is none */
	assert_false(tag_sample_changed(&a, &b, 1000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_of_quality_and_reason_are_those_of_the_payload),
		cmocka_unit_test(floats_are_printed_with_the_digits_they_have),
		cmocka_unit_test(doubles_are_printed_with_the_digits_they_have),
		cmocka_unit_test(random_floats_read_back_as_themselves),
		cmocka_unit_test(integers_are_printed_exactly),
		cmocka_unit_test(limits_are_compared_without_rounding),
		cmocka_unit_test(a_number_must_move_by_more_than_the_dead_band),
		cmocka_unit_test(any_change_of_quality_or_reason_is_a_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
