#include "field/diag.h"

const uint32_t response_bounds_ms[RESPONSE_BUCKETS - 1] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000};

void response_add(struct response_times *t, uint32_t us)
{
	unsigned b = 0;

	while (b < RESPONSE_BUCKETS - 1 && us > response_bounds_ms[b] * 1000)
		b++;
	t->buckets[b]++;
	t->count++;
	t->sum_us += us;
	t->max_us = us > t->max_us ? us : t->max_us;
}

uint32_t response_mean_us(const struct response_times *t)
{
	return t->count ? (uint32_t)(t->sum_us / t->count) : 0;
}

void scan_ended(struct scan_times *t, uint64_t now_ms)
{
	if (t->last_at) {
		uint64_t took = now_ms - t->last_at;

		t->count++;
		t->sum_ms += took;
		t->worst_ms = took > t->worst_ms ? took : t->worst_ms;
	}
	t->last_at = now_ms;
}

void scan_interrupted(struct scan_times *t)
{
	t->last_at = 0;
}

double scan_mean_ms(const struct scan_times *t)
{
	return t->count ? (double)t->sum_ms / (double)t->count : 0;
}
