#include "tags/value.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0

bool tag_value_is_integer(const struct tag_value *v)
{
	return v->kind == TAG_INT || v->kind == TAG_UINT;
}

bool tag_value_is_number(const struct tag_value *v)
{
	return tag_value_is_integer(v) || v->kind == TAG_FLOAT || v->kind == TAG_DOUBLE;
}

double tag_value_to_double(const struct tag_value *v)
{
	switch (v->kind) {
	case TAG_BOOL:
		return v->b ? 1 : 0;
	case TAG_INT:
		return (double)v->i;
	case TAG_UINT:
		return (double)v->u;
	case TAG_FLOAT:
		return (double)v->f;
	case TAG_DOUBLE:
		return v->d;
	default:
		return (double)NAN;
	}
}

static int compare_doubles(double a, double b)
{
	return (a > b) - (a < b);
}

/* An integer against a double without rounding the integer: compare with the double's floor, then its fraction. */
static int compare_int(int64_t i, double limit)
{
	double floor_limit = floor(limit);

	if (limit >= TWO_63)
		return -1;
	if (limit < -TWO_63)
		return 1;
	if (i != (int64_t)floor_limit)
		return i > (int64_t)floor_limit ? 1 : -1;
	return limit > floor_limit ? -1 : 0;
}

static int compare_uint(uint64_t u, double limit)
{
	double floor_limit = floor(limit);

	if (limit >= TWO_64)
		return -1;
	if (limit < 0)
		return 1;
	if (u != (uint64_t)floor_limit)
		return u > (uint64_t)floor_limit ? 1 : -1;
	return limit > floor_limit ? -1 : 0;
}

int tag_value_compare_limit(const struct tag_value *v, double limit)
{
	assert(tag_value_is_number(v));
	if (v->kind == TAG_INT)
		return compare_int(v->i, limit);
	if (v->kind == TAG_UINT)
		return compare_uint(v->u, limit);
	return compare_doubles(tag_value_to_double(v), limit);
}

static bool numbers_equal(const struct tag_value *a, const struct tag_value *b)
{
	double x;

	if (tag_value_is_integer(a) && tag_value_is_integer(b))
		return a->kind == b->kind && a->u == b->u; /* kinds are canonical; i and u share their bits */
	if (tag_value_is_integer(b)) {
		const struct tag_value *swap = a;

		a = b;
		b = swap;
	}
	x = tag_value_to_double(b);
	if (isnan(x) || isnan(tag_value_to_double(a)))
		return isnan(x) && isnan(tag_value_to_double(a));
	return tag_value_compare_limit(a, x) == 0;
}

bool tag_value_equal(const struct tag_value *a, const struct tag_value *b)
{
	if (tag_value_is_number(a) && tag_value_is_number(b))
		return numbers_equal(a, b);
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case TAG_BOOL:
		return a->b == b->b;
	case TAG_STRING:
	case TAG_BYTES:
		return span_equal(a->s, b->s);
	default:
		return true;
	}
}

/* |a - b| as a double; exact before the last rounding where both are integers. */
static double distance(const struct tag_value *a, const struct tag_value *b)
{
	if (tag_value_is_integer(a) && tag_value_is_integer(b)) {
		bool a_is_more = a->kind != b->kind   ? a->kind == TAG_UINT
				 : a->kind == TAG_INT ? a->i > b->i
						      : a->u > b->u;

		return (double)(a_is_more ? a->u - b->u : b->u - a->u); /* modulo 2^64, and it fits */
	}
	return fabs(tag_value_to_double(a) - tag_value_to_double(b));
}

bool tag_sample_changed(const struct tag_sample *last, const struct tag_sample *now, double deadband)
{
	if (last->quality != now->quality || last->reason != now->reason)
		return true;
	if (tag_value_equal(&last->value, &now->value))
		return false;
	if (!(deadband > 0) || !tag_value_is_number(&last->value) || !tag_value_is_number(&now->value))
		return true;
	return !(distance(&last->value, &now->value) <= deadband); /* NaN is a change */
}
