/*
 * A histogram of times: logarithmic, 64 steps to each power of two, so that every percentile is right to 1.6 %
 * from one nanosecond to an hour, in a fixed 20 KiB. Never allocates. One writer; merged when its thread has ended.
 */
#ifndef TOOLS_BENCH_HIST_H
#define TOOLS_BENCH_HIST_H

#include <stdint.h>

#define BENCH_HIST_BITS    6u  /* 64 steps to a power of two */
#define BENCH_HIST_MAX_BIT 42u /* 2^42 ns are 73 minutes; what is above counts as that */
#define BENCH_HIST_CELLS   ((BENCH_HIST_MAX_BIT - BENCH_HIST_BITS + 1) << BENCH_HIST_BITS)

struct bench_hist {
	uint64_t count, max_ns;
	uint64_t cells[BENCH_HIST_CELLS];
};

static inline unsigned bench_hist_cell(uint64_t ns)
{
	unsigned top;

	if (ns < 1u << BENCH_HIST_BITS)
		return (unsigned)ns;
	top = 63u - (unsigned)__builtin_clzll(ns);
	if (top >= BENCH_HIST_MAX_BIT)
		return BENCH_HIST_CELLS - 1;
	return ((top - BENCH_HIST_BITS) << BENCH_HIST_BITS) + (unsigned)(ns >> (top - BENCH_HIST_BITS));
}

static inline void bench_hist_add(struct bench_hist *h, uint64_t ns)
{
	h->count++;
	h->cells[bench_hist_cell(ns)]++;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

/* Add all of `from` to `to`. */
void bench_hist_merge(struct bench_hist *to, const struct bench_hist *from);

/* The time that the part `share` (0..1) of all did not exceed, in ns; 0 when there are none. */
uint64_t bench_hist_at(const struct bench_hist *h, double share);

#endif
