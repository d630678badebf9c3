/*
 * The planner: which blocks to read so that every tag of a group is covered with few requests.  Tags of one area whose
 * distance is at most max_gap share a block of at most max_block; a tag is never split over two blocks.  The result
 * depends on nothing but the input: blocks are in order of area and address.
 *
 * max_gap and max_block count registers.  In areas of bits they count sixteen bits each, so the default of 125
 * registers is a block of the 2000 bits that one request may ask for.
 *
 * A device may refuse a block because of one address in it (exception 2 or 3). plan_split() cuts such a block in two, and the
 * plan remembers it; plan_reset() forgets all cuts.
 *
 * Memory is taken by plan_create() only, so nothing later can fail.
 */
#ifndef FIELD_PLAN_H
#define FIELD_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct plan_item {
	unsigned area; /* the caller's number; equal numbers may share a block */
	bool is_bits;
	uint16_t start;
	uint16_t count; /* > 0; registers or bits */
	size_t tag;     /* the caller's */
};

struct plan_block {
	unsigned area;
	bool is_bits;
	uint16_t start, count;
	size_t first, nitems;  /* plan->items[first .. first + nitems) */
	bool is_pending;       /* the caller's: waits to be read in this scan */
	bool is_in_flight;     /* the caller's: its request is with the source */
	uint8_t attempts;      /* the caller's: without an answer since the last one */
	uint8_t silences;      /* the caller's: how often in a row its attempts were used up */
	uint64_t silent_until; /* the caller's: not read before, monotonic ms */
};

struct plan {
	struct plan_item *items; /* in order of area, start, count, tag */
	size_t nitems;
	struct plan_block *blocks;
	size_t nblocks;
	uint16_t max_gap, max_block;
	bool is_split; /* some block was cut since the last reset */
};

/* Copies `items`. 1 <= max_block <= 125. ERR_NOMEM; *out is then empty, as plan_destroy() leaves it. */
MUST_USE int plan_create(struct plan *out, const struct plan_item *items, size_t nitems, uint16_t max_gap,
			 uint16_t max_block);
void plan_destroy(struct plan *p); /* its memory, not `p` */

/*
 * Cut block `b` in two, at its widest gap or else in the middle of its tags; the second half becomes block b + 1. Both halves
 * have the flags of the whole.  False when it has one tag only, and nothing changed.
 */
bool plan_split(struct plan *p, size_t b);

/* As it was created; all flags are false. */
void plan_reset(struct plan *p);

#endif
