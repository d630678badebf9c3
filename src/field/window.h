/*
 * The last seconds, minutes or hours of a tag, for computed tags: in a ring of buckets, so that it has one size however many samples
 * come. What is told covers between 31/32 of the time and all of it. Pure: time comes with each call; nothing allocates.
 */
#ifndef FIELD_WINDOW_H
#define FIELD_WINDOW_H

#include "base/expr.h"

#define WINDOW_BUCKETS 32u

struct window_bucket {
	uint64_t number; /* of the bucket in time, and 1 more: 0 is none */
	uint64_t first_ms, last_ms;
	uint32_t n;
	double sum, min, max, first, last;
};

struct window {
	enum expr_window_kind kind;
	uint32_t ms; /* >0 */
	struct window_bucket buckets[WINDOW_BUCKETS];
};

void window_init(struct window *w, enum expr_window_kind kind, uint32_t ms);

/* A sample; now_ms never goes back. */
void window_add(struct window *w, double value, uint64_t now_ms);

/* ERR_NOT_FOUND: too few samples yet, one for avg, min and max, two for rate and delta. */
MUST_USE int window_value(const struct window *w, uint64_t now_ms, double *out);

#endif
