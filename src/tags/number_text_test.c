#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tags/value.h"

static uint64_t state_ = 88172645463325252u;

static uint64_t draw(void)
{
	state_ ^= state_ << 13;
	state_ ^= state_ >> 7;
	return state_ ^= state_ << 17;
}

/* By trying, with what the C library says of itself. */
static void by_trying(char *buf, double x, bool is_float)
{
	int digits = 1, exponent = 0;

	for (; digits < (is_float ? 9 : 17); digits++) {
		snprintf(buf, NUMBER_TEXT_MAX, "%.*e", digits - 1, x);
		if (is_float ? strtof(buf, NULL) == (float)x : strtod(buf, NULL) == x)
			break;
	}
	if (x != 0) {
		snprintf(buf, NUMBER_TEXT_MAX, "%.*e", digits - 1, x);
		exponent = atoi(strchr(buf, 'e') + 1);
	}
	if (exponent < -5 || exponent > 14)
		snprintf(buf, NUMBER_TEXT_MAX, "%.*g", digits, x);
	else
		snprintf(buf, NUMBER_TEXT_MAX, "%.*f", digits - 1 - exponent > 0 ? digits - 1 - exponent : 0,
			 x);
}

static void check(double x, bool is_float)
{
	char buf[NUMBER_TEXT_MAX], right[NUMBER_TEXT_MAX];
	size_t len = is_float ? float_text(buf, (float)x) : double_text(buf, x);

	by_trying(right, x, is_float);
	assert_string_equal(buf, right);
	assert_int_equal(len, strlen(right));
}

static void numbers_at_the_edges(void **state)
{
	static const double numbers[] = {0,
					 -0.0,
					 1,
					 0.5,
					 0.1,
					 1e-5,
					 9.999999e-6,
					 1e14,
					 1e15,
					 999999999999999,
					 123456789012345.6,
					 16777216,
					 33554434,
					 123456792,
					 8388609.5,
					 2097152.25,
					 0.3,
					 230.1,
					 1.0 / 3,
					 5e-324,
					 1.7976931348623157e308,
					 4503599627370497.5,
					 2251799813685248,
					 1e22,
					 65536.125};

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		check(numbers[i], false);
		check(-numbers[i], false);
		if (fabs(numbers[i]) < 3e38) {
			check((double)(float)numbers[i], true);
			check((double)-(float)numbers[i], true);
		}
	}
	for (int e = -40; e < 60; e++)
		for (int off = -2; off <= 2; off++) {
			float f = ldexpf(1, e);

			for (int k = 0; k < abs(off); k++)
				f = nextafterf(f, off < 0 ? 0 : INFINITY);
			check((double)f, true);
			check((double)f, false);
		}
}

/* Short decimals, raw readings with a scale, and any bits. */
static void numbers_by_chance(void **state)
{
	(void)state;
	for (int i = 0; i < 30000; i++) {
		double scale = pow(10, (double)(draw() % 8)), raw = (double)(int32_t)draw();
		uint32_t bits32 = (uint32_t)draw();
		uint64_t bits = draw();
		float f;
		double d;

		check((double)(int16_t)draw() / scale, false);
		check((double)(float)((double)(int16_t)draw() / scale), true);
		check(raw / scale, false);
		check((double)(float)(raw / scale), true);
		check((double)(float)(raw / 977), true);
		memcpy(&f, &bits32, sizeof(f));
		memcpy(&d, &bits, sizeof(d));
		if (isfinite(f))
			check((double)f, true);
		if (isfinite(d))
			check(d, false);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_at_the_edges),
		cmocka_unit_test(numbers_by_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
