/*
 * From what a device holds to engineering units and back: value = raw * scale + offset (PRODUCT.md, "Configuration").
 *
 * People write scales such as 0.1.  raw * 0.1 in binary gives 234.10000000000002; so a scale and offset
 * that are short decimal fractions are kept as integers over a power of ten, and 2341 becomes 2341 / 10 = 234.1.
 *
 * Pure; nothing allocates.
 */
#ifndef TAGS_SCALING_H
#define TAGS_SCALING_H

#include "tags/value.h"

struct scaling {
	double scale, offset;
	bool is_integral; /* scale 1 and an integral offset: integers stay integers */
	bool is_decimal;  /* value = (raw * num + off) / den, all integers below 2^53 */
	int64_t shift;    /* the offset, when is_integral */
	double num, off, den;
};

/* scale and offset are finite, scale is not 0. */
void scaling_init(struct scaling *s, double scale, double offset);
/*
 * The straight line through two points: raw[0] is value[0], raw[1] is value[1]. All are finite; neither pair is of equal
 * numbers. Points of few digits are met exactly, as above.
 */
void scaling_init_map(struct scaling *s, const double raw[2], const double value[2]);
bool scaling_is_identity(const struct scaling *s);

/*
 * The engineering value of `raw`.  Integers stay integers when s->is_integral (a sum that leaves 64 bits becomes a
 * double), else they become doubles. float32 stays float32.  What is no number is returned as it is.
 */
struct tag_value scaling_apply(const struct scaling *s, const struct tag_value *raw);

/*
 * The raw number to write for the engineering number `v`: an integer, rounded to the nearest (halves away from
 * zero), when `to_integer`, else a double.  *raw is untouched on failure.  ERR_RANGE: the integer does not fit 64 bits, or
 * `v` is not finite.
 */
MUST_USE int scaling_invert(const struct scaling *s, const struct tag_value *v, bool to_integer,
			    struct tag_value *raw);

#endif
