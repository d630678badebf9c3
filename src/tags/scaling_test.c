#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "tags/scaling.h"

static void engineering_values_are_what_people_expect(void **state)
{
	const struct {
		double scale, offset;
		struct tag_value raw, value;
	} cases[] = {
		{0.1, 0, tag_int(2341), tag_double(234.1)},
		{0.1, 0, tag_int(3), tag_double(0.3)},
		{0.01, -40, tag_int(6543), tag_double(25.43)},
		{-0.5, 10, tag_int(3), tag_double(8.5)},
		{2, 0, tag_int(3), tag_double(6)},
		{1, 5, tag_int(3), tag_int(8)},
		{1, -5, tag_int(3), tag_int(-2)},
		{1, 0.5, tag_int(3), tag_double(3.5)},
		{1, 0, tag_int(INT64_MIN), tag_int(INT64_MIN)},
		{1, 0, tag_uint(UINT64_MAX), tag_uint(UINT64_MAX)},
		{1, 1, tag_int(INT64_MAX), tag_uint(1ull << 63)},
		{1, -1, tag_uint(1ull << 63), tag_int(INT64_MAX)},
		{1, 1, tag_uint(UINT64_MAX), tag_double(18446744073709551616.0)},
		{1, -1, tag_int(INT64_MIN), tag_double(-9223372036854775809.0)},
		{1, -10, tag_int(5), tag_int(-5)},
		{0.1, 0, tag_float(2301), tag_float(230.1f)},
		{1, 0, tag_float(230.1f), tag_float(230.1f)},
		{0.1, 0, tag_double(2301), tag_double(230.1)},
		{1.0 / 3, 0, tag_int(3), tag_double(1)},
		{10, 5, tag_bool(true), tag_bool(true)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct scaling s;
		struct tag_value v;

		scaling_init(&s, cases[i].scale, cases[i].offset);
		v = scaling_apply(&s, &cases[i].raw);
		assert_int_equal(v.kind, cases[i].value.kind);
		assert_true(tag_value_equal(&v, &cases[i].value));
	}
}

static void a_map_meets_its_points_and_what_lies_between(void **state)
{
	const struct {
		double raw[2], value[2];
		struct tag_value in, out;
	} cases[] = {
		{{0, 27648}, {0, 100}, tag_int(0), tag_double(0)},
		{{0, 27648}, {0, 100}, tag_int(27648), tag_double(100)},
		{{0, 27648}, {0, 100}, tag_int(13824), tag_double(50)},
		{{0, 27648}, {0, 100}, tag_int(-2765), tag_double(-276500.0 / 27648)},
		{{4, 20}, {0, 250}, tag_double(4), tag_double(0)},
		{{4, 20}, {0, 250}, tag_float(20), tag_float(250)},
		{{4, 20}, {0, 0.3}, tag_int(20), tag_double(0.3)},
		{{0, 10}, {100, 0}, tag_int(3), tag_double(70)},
		{{10, 0}, {0, 100}, tag_int(3), tag_double(70)},
		{{10, 0}, {0, 100}, tag_int(10), tag_double(0)},
		{{0, 65535}, {-50.5, 150.25}, tag_int(65535), tag_double(150.25)},
		{{0, 65535}, {-50.5, 150.25}, tag_int(0), tag_double(-50.5)},
		{{0, 1}, {5, 6}, tag_int(3), tag_int(8)},
		{{0, 10.0 / 3}, {0, 1.1}, tag_int(0), tag_double(0)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct tag_value v;
		struct scaling s;

		scaling_init_map(&s, cases[i].raw, cases[i].value);
		v = scaling_apply(&s, &cases[i].in);
		assert_int_equal(v.kind, cases[i].out.kind);
		assert_true(tag_value_equal(&v, &cases[i].out));
	}
}

static void every_raw_number_survives_a_map_there_and_back(void **state)
{
	static const double points[][4] = {
		{0, 27648, 0, 100},     {0, 65535, -50, 150}, {819, 4095, 0, 16},
		{-32768, 32767, 1, -1}, {4, 20, 0.1, 0.7},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
		struct scaling s;

		scaling_init_map(&s, points[i], points[i] + 2);
		for (int64_t n = -32768; n <= 65535; n++) {
			struct tag_value raw = tag_int(n), back, v = scaling_apply(&s, &raw);

			assert_int_equal(scaling_invert(&s, &v, true, &back), OK);
			assert_true(tag_value_equal(&raw, &back));
		}
	}
}

static void the_inverse_rounds_and_refuses_what_does_not_fit(void **state)
{
	const struct {
		double scale, offset;
		struct tag_value value;
		bool to_integer;
		int rc;
		struct tag_value raw;
	} cases[] = {
		{0.1, 0, tag_double(234.1), true, OK, tag_int(2341)},
		{0.1, 0, tag_double(234.14), true, OK, tag_int(2341)},
		{0.1, 0, tag_double(234.15), true, OK, tag_int(2342)},
		{0.1, 0, tag_double(-0.25), true, OK, tag_int(-3)},
		{0.01, -40, tag_double(25.43), true, OK, tag_int(6543)},
		{1, 5, tag_int(3), true, OK, tag_int(-2)},
		{1, 0, tag_uint(UINT64_MAX), true, OK, tag_uint(UINT64_MAX)},
		{1, 0, tag_int(9007199254740993), true, OK, tag_int(9007199254740993)},
		{1, -1, tag_int(INT64_MAX), true, OK, tag_uint(1ull << 63)},
		{1, -1, tag_uint(UINT64_MAX), true, ERR_RANGE, tag_none()},
		{1, 1, tag_int(INT64_MIN), true, ERR_RANGE, tag_none()},
		{1, 0, tag_double(18446744073709549568.0), true, OK, tag_uint(18446744073709549568u)},
		{1, 0, tag_double(18446744073709551616.0), true, ERR_RANGE, tag_none()},
		{1, 0, tag_double(-9223372036854775808.0), true, OK, tag_int(INT64_MIN)},
		{1, 0, tag_double(-9223372036854777856.0), true, ERR_RANGE, tag_none()},
		{1e-300, 0, tag_double(1e300), false, ERR_RANGE, tag_none()},
		{1, 0, tag_double((double)NAN), true, ERR_RANGE, tag_none()},
		{0.5, 1, tag_double(2.25), false, OK, tag_double(2.5)},
		{2, 0, tag_int(7), false, OK, tag_double(3.5)},
		{2, 0, tag_int(7), true, OK, tag_int(4)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct tag_value raw = tag_none();
		struct scaling s;

		scaling_init(&s, cases[i].scale, cases[i].offset);
		assert_int_equal(scaling_invert(&s, &cases[i].value, cases[i].to_integer, &raw), cases[i].rc);
		assert_int_equal(raw.kind, cases[i].raw.kind);
		assert_true(tag_value_equal(&raw, &cases[i].raw));
	}
}

static void every_raw_number_of_16_bits_survives_there_and_back(void **state)
{
	static const double scales[] = {0.1, 0.01, 0.001, 0.25, 3, -0.1, 1.0 / 7};

	(void)state;
	for (size_t i = 0; i < sizeof(scales) / sizeof(*scales); i++) {
		struct scaling s;

		scaling_init(&s, scales[i], -12.5);
		for (int64_t n = -32768; n <= 65535; n++) {
			struct tag_value raw = tag_int(n), back, v = scaling_apply(&s, &raw);

			assert_int_equal(scaling_invert(&s, &v, true, &back), OK);
			assert_true(tag_value_equal(&raw, &back));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(engineering_values_are_what_people_expect),
		cmocka_unit_test(a_map_meets_its_points_and_what_lies_between),
		cmocka_unit_test(every_raw_number_survives_a_map_there_and_back),
		cmocka_unit_test(the_inverse_rounds_and_refuses_what_does_not_fit),
		cmocka_unit_test(every_raw_number_of_16_bits_survives_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
