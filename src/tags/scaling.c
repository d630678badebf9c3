#include "tags/scaling.h"

#include <assert.h>
#include <math.h>

#define TWO_53 9007199254740992.0
#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0

/* Are x and y integers over `den`, exactly as the person wrote them? */
static bool over(double den, double x, double *num)
{
	double n = round(x * den);

	*num = n;
	return fabs(n) < TWO_53 && n / den == x;
}

void scaling_init(struct scaling *s, double scale, double offset)
{
	assert(isfinite(scale) && isfinite(offset) && scale != 0);
	*s = (struct scaling){.scale = scale, .offset = offset};
	if (scale == 1 && offset == floor(offset) && fabs(offset) < TWO_63) {
		s->is_integral = true;
		s->shift = (int64_t)offset;
	}
	for (double den = 1; den <= 1e12; den *= 10) {
		double num, off;

		if (!over(den, scale, &num) || !over(den, offset, &off))
			continue;
		s->is_decimal = true;
		s->num = num;
		s->off = off;
		s->den = den;
		break;
	}
}

/* (raw - a) * (d - c) / (b - a) + c, everything over the one denominator that makes a, b, c and d whole. */
static bool map_exactly(struct scaling *s, double den, const double raw[2], const double value[2])
{
	double a, b, c, d, sign;

	if (!over(den, raw[0], &a) || !over(den, raw[1], &b) || !over(den, value[0], &c) ||
	    !over(den, value[1], &d))
		return false;
	sign = b < a ? -1 : 1;
	s->num = sign * den * (d - c);
	s->off = sign * (c * (b - a) - a * (d - c));
	s->den = sign * den * (b - a);
	return fabs(s->num) < TWO_53 && fabs(s->den) < TWO_53 &&
	       fabs(c * (b - a)) + fabs(a * (d - c)) < TWO_53;
}

void scaling_init_map(struct scaling *s, const double raw[2], const double value[2])
{
	double scale = (value[1] - value[0]) / (raw[1] - raw[0]);

	scaling_init(s, scale, value[0] - raw[0] * scale);
	s->is_decimal = false;
	for (double den = 1; den <= 1e12 && !s->is_decimal; den *= 10)
		s->is_decimal = map_exactly(s, den, raw, value);
}

bool scaling_is_identity(const struct scaling *s)
{
	return s->scale == 1 && s->offset == 0;
}

/* x is an integer or a device's double. */
static double scale_double(const struct scaling *s, double x)
{
	if (s->is_decimal && fabs(x * s->num) + fabs(s->off) < TWO_53)
		return (x * s->num + s->off) / s->den;
	return x * s->scale + s->offset;
}

static struct tag_value shift_integer(const struct scaling *s, const struct tag_value *raw)
{
	uint64_t u;
	int64_t i;

	if (raw->kind == TAG_INT && !__builtin_add_overflow(raw->i, s->shift, &i))
		return tag_int(i);
	if (!__builtin_add_overflow(raw->u, s->shift, &u) && (raw->kind == TAG_UINT || raw->i >= 0))
		return tag_uint(u);
	return tag_double(tag_value_to_double(raw) + s->offset);
}

struct tag_value scaling_apply(const struct scaling *s, const struct tag_value *raw)
{
	if (!tag_value_is_number(raw) || scaling_is_identity(s))
		return *raw;
	if (tag_value_is_integer(raw) && s->is_integral)
		return shift_integer(s, raw);
	if (raw->kind == TAG_FLOAT) /* the device knows no more digits than a float32 has */
		return tag_float((float)scale_double(s, tag_value_to_double(raw)));
	return tag_double(scale_double(s, tag_value_to_double(raw)));
}

static int unshift_integer(const struct scaling *s, const struct tag_value *v, struct tag_value *raw)
{
	uint64_t u;
	int64_t i;

	if (v->kind == TAG_INT && !__builtin_sub_overflow(v->i, s->shift, &i))
		*raw = tag_int(i);
	else if (!__builtin_sub_overflow(v->u, s->shift, &u) && (v->kind == TAG_UINT || v->i >= 0))
		*raw = tag_uint(u);
	else
		return ERR_RANGE;
	return OK;
}

static double unscale_double(const struct scaling *s, double x)
{
	if (s->is_decimal && fabs(x * s->den) + fabs(s->off) < TWO_53)
		return (x * s->den - s->off) / s->num;
	return (x - s->offset) / s->scale;
}

int scaling_invert(const struct scaling *s, const struct tag_value *v, bool to_integer, struct tag_value *raw)
{
	double x;

	assert(tag_value_is_number(v));
	if (tag_value_is_integer(v) && s->is_integral && to_integer)
		return unshift_integer(s, v, raw);
	x = scaling_is_identity(s) ? tag_value_to_double(v) : unscale_double(s, tag_value_to_double(v));
	if (!isfinite(x))
		return ERR_RANGE;
	if (!to_integer) {
		*raw = tag_double(x);
		return OK;
	}
	x = round(x);
	if (x < -TWO_63 || x >= TWO_64)
		return ERR_RANGE;
	*raw = x < TWO_63 ? tag_int((int64_t)x) : tag_uint((uint64_t)x);
	return OK;
}
