#include "tools/bench_hist.h"

void bench_hist_merge(struct bench_hist *to, const struct bench_hist *from)
{
	to->count += from->count;
	if (from->max_ns > to->max_ns)
		to->max_ns = from->max_ns;
	for (unsigned i = 0; i < BENCH_HIST_CELLS; i++)
		to->cells[i] += from->cells[i];
}

/* The largest time that falls into a cell. */
static uint64_t cell_top(unsigned cell)
{
	unsigned power = cell >> BENCH_HIST_BITS;
	uint64_t step = cell & ((1u << BENCH_HIST_BITS) - 1);

	if (power == 0)
		return step;
	return ((step + (1u << BENCH_HIST_BITS) + 1) << (power - 1)) - 1;
}

uint64_t bench_hist_at(const struct bench_hist *h, double share)
{
	uint64_t wanted = (uint64_t)((double)h->count * share), seen = 0;

	if (h->count == 0)
		return 0;
	if ((double)wanted < (double)h->count * share)
		wanted++;
	for (unsigned i = 0; i < BENCH_HIST_CELLS; i++) {
		seen += h->cells[i];
		if (seen >= wanted && seen > 0)
			return cell_top(i) < h->max_ns ? cell_top(i) : h->max_ns;
	}
	return h->max_ns;
}
