/*
 * Numbers as the shortest text that reads back as the same number.
 *
 * Most numbers that devices hold are short decimals. For these a division tells exactly: m / 10^k with m below 2^53 and 10^k
 * exact is rounded once (IEEE 754), so it is the double that the text m * 10^-k reads as. What is not found so is
 * searched for with printf and strtod.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tags/value.h"

#define DECIMALS_MAX   15
#define PLAIN_LEAST    1e-5 /* numbers of the size that people write plainly; others have an exponent */
#define PLAIN_BOUND    1e15
#define FLOAT_BOUND    9e14               /* above, a few digits may be rounded up to 1e+15 */
#define MANTISSA_BOUND 2251799813685248.0 /* 2^51: a product below it is off by less than half a unit */

static const double powers[DECIMALS_MAX + 1] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
						1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};

/* The digits of `n`, at least `least` of them; returns where they begin, before `end`. */
static char *digits_before(char *end, uint64_t n, int least)
{
	for (; n > 0 || least > 0; n /= 10, least--)
		*--end = (char)('0' + n % 10);
	return end;
}

static size_t unsigned_text(char *buf, bool is_negative, uint64_t n)
{
	char digits[24], *end = digits + sizeof(digits), *at = digits_before(end, n, 1);

	if (is_negative)
		*--at = '-';
	memcpy(buf, at, (size_t)(end - at));
	buf[end - at] = '\0';
	return (size_t)(end - at);
}

/* m * 10^-decimals. */
static size_t decimal_text(char *buf, bool is_negative, uint64_t m, int decimals)
{
	size_t len = unsigned_text(buf, is_negative, m / (uint64_t)powers[decimals]);

	if (decimals == 0)
		return len;
	buf[len] = '.';
	digits_before(buf + len + 1 + decimals, m % (uint64_t)powers[decimals], decimals);
	len += 1 + (size_t)decimals;
	buf[len] = '\0';
	return len;
}

/*
 * `digits` significant digits are enough; write them plainly where the number is of a size that people write
 * plainly, else with an exponent. (%g alone turns 100000 into 1e+05.)
 */
static size_t shortest_text(char *buf, double x, int digits)
{
	int exponent = 0, decimals;

	if (x != 0) {
		snprintf(buf, NUMBER_TEXT_MAX, "%.*e", digits - 1, x);
		exponent = atoi(strchr(buf, 'e') + 1);
	}
	if (exponent < -5 || exponent > 14)
		return (size_t)snprintf(buf, NUMBER_TEXT_MAX, "%.*g", digits, x);
	decimals = digits - 1 - exponent;
	return (size_t)snprintf(buf, NUMBER_TEXT_MAX, "%.*f", decimals > 0 ? decimals : 0, x);
}

static size_t float_search(char *buf, float x)
{
	int digits = 1;

	for (; digits < 9; digits++) { /* nine always do: FLT_DECIMAL_DIG */
		snprintf(buf, NUMBER_TEXT_MAX, "%.*e", digits - 1, (double)x);
		if (strtof(buf, NULL) == x)
			break;
	}
	return shortest_text(buf, (double)x, digits);
}

static size_t double_search(char *buf, double x)
{
	int digits = 1;

	for (; digits < 17; digits++) {
		snprintf(buf, NUMBER_TEXT_MAX, "%.*e", digits - 1, x);
		if (strtod(buf, NULL) == x)
			break;
	}
	return shortest_text(buf, x, digits);
}

static bool is_plain(double size)
{
	return size >= PLAIN_LEAST && size < PLAIN_BOUND;
}

size_t double_text(char *buf, double x)
{
	double size = fabs(x), m;

	assert(isfinite(x));
	if (x == 0)
		return unsigned_text(buf, signbit(x), 0);
	for (int k = 0;
	     is_plain(size) && k <= DECIMALS_MAX && (m = nearbyint(size * powers[k])) < MANTISSA_BOUND; k++)
		if (m / powers[k] == size)
			return decimal_text(buf, x < 0, (uint64_t)m, k);
	return double_search(buf, x);
}

/*
 * A float's neighbours are so far away that doubles tell on which side of the middle to them a decimal lies, unless it is very
 * near to the middle; then, and where two decimals are as near to x, printf and strtof decide. At a power of two the neighbour
 * below is nearer than the one above.
 */
size_t float_text(char *buf, float x)
{
	float size = fabsf(x);
	double up = (double)(nextafterf(size, INFINITY) - size) / 2,
	       down = (double)(size - nextafterf(size, 0)) / 2;
	double exact = (double)size, scaled, m, away;

	assert(isfinite(x));
	if (size == 0)
		return unsigned_text(buf, signbit(x), 0);
	for (int k = 0; is_plain(exact) && exact < FLOAT_BOUND && k <= DECIMALS_MAX; k++) {
		scaled = exact * powers[k];
		m = nearbyint(scaled);
		away = fabs(m / powers[k] - exact);
		if (m >= MANTISSA_BOUND || fabs(fabs(scaled - m) - 0.5) < 1e-4)
			break;
		if (away < down * (1 - 1e-6))
			return decimal_text(buf, x < 0, (uint64_t)m, k);
		if (away < up * (1 + 1e-6))
			break;
	}
	return float_search(buf, x);
}

size_t number_text(char *buf, const struct tag_value *v)
{
	switch (v->kind) {
	case TAG_INT:
		return unsigned_text(buf, v->i < 0, v->i < 0 ? 0 - (uint64_t)v->i : (uint64_t)v->i);
	case TAG_UINT:
		return unsigned_text(buf, false, v->u);
	case TAG_FLOAT:
		return float_text(buf, v->f);
	default:
		assert(v->kind == TAG_DOUBLE);
		return double_text(buf, v->d);
	}
}
