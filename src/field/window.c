#include "field/window.h"

void window_init(struct window *w, enum expr_window_kind kind, uint32_t ms)
{
	*w = (struct window){.kind = kind, .ms = ms};
}

/* A window of less than 32 ms has buckets of one. */
static uint64_t number_at(const struct window *w, uint64_t now_ms)
{
	uint64_t width = w->ms / WINDOW_BUCKETS;

	return now_ms / (width ? width : 1) + 1;
}

void window_add(struct window *w, double value, uint64_t now_ms)
{
	uint64_t number = number_at(w, now_ms);
	struct window_bucket *b = &w->buckets[number % WINDOW_BUCKETS];

	if (b->number != number)
		*b = (struct window_bucket){
			.number = number, .first_ms = now_ms, .min = value, .max = value, .first = value};
	b->n++;
	b->sum += value;
	b->min = value < b->min ? value : b->min;
	b->max = value > b->max ? value : b->max;
	b->last = value;
	b->last_ms = now_ms;
}

/* All buckets that are young enough, as one. */
static struct window_bucket all_of(const struct window *w, uint64_t now_ms)
{
	uint64_t newest = number_at(w, now_ms);
	struct window_bucket all = {0};

	for (uint64_t age = WINDOW_BUCKETS; age-- > 0;) {
		const struct window_bucket *b;

		if (age >= newest)
			continue;
		b = &w->buckets[(newest - age) % WINDOW_BUCKETS];
		if (b->number != newest - age)
			continue;
		if (!all.n) {
			all = *b;
			continue;
		}
		all.n += b->n;
		all.sum += b->sum;
		all.min = b->min < all.min ? b->min : all.min;
		all.max = b->max > all.max ? b->max : all.max;
		all.last = b->last;
		all.last_ms = b->last_ms;
	}
	return all;
}

int window_value(const struct window *w, uint64_t now_ms, double *out)
{
	struct window_bucket all = all_of(w, now_ms);
	bool is_change = w->kind == EXPR_WINDOW_RATE || w->kind == EXPR_WINDOW_DELTA;

	if (all.n == 0 || (is_change && all.last_ms == all.first_ms))
		return ERR_NOT_FOUND;
	switch (w->kind) {
	case EXPR_WINDOW_AVG:
		*out = all.sum / all.n;
		break;
	case EXPR_WINDOW_MIN:
		*out = all.min;
		break;
	case EXPR_WINDOW_MAX:
		*out = all.max;
		break;
	case EXPR_WINDOW_RATE:
		*out = (all.last - all.first) * 1000 / (double)(all.last_ms - all.first_ms);
		break;
	case EXPR_WINDOW_DELTA:
		*out = all.last - all.first;
		break;
	}
	return OK;
}
