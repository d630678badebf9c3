/*
 * Runs of a simulation, one per seed, as two cmocka tests. LINESIDE_SEED=n replays one; LINESIDE_SEEDS=n runs as many,
 * from LINESIDE_FIRST=n on.
 */
#ifndef SIM_SEEDS_H
#define SIM_SEEDS_H

#include <stdbool.h>
#include <stdint.h>

struct seeds {
	unsigned count; /* when LINESIDE_SEEDS does not say */
	/* One run: true when every promise was kept; else it says so, with its seed, on stderr. *trace is sim_trace_hash(). */
	bool (*run)(uint64_t seed, uint64_t *trace);
	void (*summary)(void); /* after all seeds; may be NULL */
};

/* The whole main() of such a test. */
int seeds_main(const struct seeds *s);

#endif
