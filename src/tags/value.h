/*
 * A tag's value: exact 64-bit integers, float32 kept apart from double (so that it is printed with its own
 * precision), bool, text and bytes.  Nothing here allocates, blocks or reads a clock.
 *
 * A value that holds text or bytes borrows them; who hands the value on says for how long.
 */
#ifndef TAGS_VALUE_H
#define TAGS_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "tags/quality.h"

enum tag_kind {
	TAG_NONE, /* null: there is no value */
	TAG_BOOL,
	TAG_INT,  /* every integer that fits int64 */
	TAG_UINT, /* only those above INT64_MAX: tag_uint() decides */
	TAG_FLOAT,
	TAG_DOUBLE,
	TAG_STRING, /* as the device holds it: not always UTF-8 */
	TAG_BYTES
};

struct tag_value {
	enum tag_kind kind;
	union {
		bool b;
		int64_t i;
		uint64_t u;
		float f;
		double d;
		struct span s; /* STRING, BYTES */
	};
};

/* A value with its quality and time. */
struct tag_sample {
	struct tag_value value;
	enum quality quality;
	enum reason reason; /* REASON_NONE exactly when quality is good */
	int64_t ts_ms; /* Unix time: when the device's answer arrived, or when we knew that there is none */
};

static inline struct tag_value tag_none(void)
{
	return (struct tag_value){.kind = TAG_NONE};
}

static inline struct tag_value tag_bool(bool b)
{
	return (struct tag_value){.kind = TAG_BOOL, .b = b};
}

static inline struct tag_value tag_int(int64_t i)
{
	return (struct tag_value){.kind = TAG_INT, .i = i};
}

static inline struct tag_value tag_uint(uint64_t u)
{
	if (u <= INT64_MAX)
		return tag_int((int64_t)u);
	return (struct tag_value){.kind = TAG_UINT, .u = u};
}

static inline struct tag_value tag_float(float f)
{
	return (struct tag_value){.kind = TAG_FLOAT, .f = f};
}

static inline struct tag_value tag_double(double d)
{
	return (struct tag_value){.kind = TAG_DOUBLE, .d = d};
}

static inline struct tag_value tag_string(struct span s)
{
	return (struct tag_value){.kind = TAG_STRING, .s = s};
}

static inline struct tag_value tag_bytes(struct span s)
{
	return (struct tag_value){.kind = TAG_BYTES, .s = s};
}

bool tag_value_is_integer(const struct tag_value *v); /* INT or UINT */
bool tag_value_is_number(const struct tag_value *v);  /* INT, UINT, FLOAT or DOUBLE */

/* Same kind and same content; numbers of different kinds are equal when they are mathematically. NaN equals NaN. */
bool tag_value_equal(const struct tag_value *a, const struct tag_value *b);

/* As double: rounded for integers beyond 2^53; 0 or 1 for bool; NaN for what is no number. */
double tag_value_to_double(const struct tag_value *v);

/* -1, 0, 1: the number `v` against `limit`, exact for integers. `v` is a number and not NaN, nor is `limit`. */
int tag_value_compare_limit(const struct tag_value *v, double limit);

/*
 * Is `now` a change worth reporting after `last` was reported?  Any change of quality or reason is. Numbers
 * must differ by more than `deadband` (>= 0, engineering units; as OPC UA part 8, 7.2, absolute dead-band); anything else must differ.
 */
bool tag_sample_changed(const struct tag_sample *last, const struct tag_sample *now, double deadband);

/*
 * The shortest decimal text that reads back as the same float or double, e.g. "230.1", "1e+30", "-0". `x` is finite.
 * Returns its length; buf holds at least NUMBER_TEXT_MAX bytes and is NUL terminated.
 */
#define NUMBER_TEXT_MAX 40
size_t float_text(char *buf, float x);
size_t double_text(char *buf, double x);

/* The text of a number (any kind, finite), exact for integers. Same buffer rule. */
size_t number_text(char *buf, const struct tag_value *v);

#endif
