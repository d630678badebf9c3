/*
 * The planner: which blocks to read so that every tag of a group is covered with the fewest requests, and among those plans
 * with the fewest registers on the wire.
 *
 * A block is at most max_block long, bridges at most max_gap addresses between two of its tags, and contains no range that the
 * device is known to refuse (field/refused.h). A tag is never split over two blocks: one that is longer than max_block, or that
 * has a refused range inside, is a block as long as itself. A tag that was refused itself is a block of its own (is_refused), for the
 * caller to try when it likes. max_gap and max_block count registers.  In areas of bits they count sixteen bits each, so the
 * default of 125 registers is a block of the 2000 bits that one request may ask for.
 *
 * Why a plan is the least: if a window may be read, so may every part of it; so taking tags in order of their start, longest first, a
 * best plan cuts that order into runs (what starts inside a run and does not fit is left for the next run, and all
 * that lies further right inside both is inside that one). The best cuts are found by dynamic programming in the number of tags.
 *
 * A refused block is searched (plan_refused(), plan_read_of()): its beginnings are read until the shortest that fails is known, which
 * takes as many requests as the number of its tags has binary digits, and one more. Everything that can be read is read on the way.
 *
 * Memory is taken by plan_create() and, for a moment, by plan_renew().
 */
#ifndef FIELD_PLAN_H
#define FIELD_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "field/refused.h"

struct plan_item {
	uint32_t tag; /* the caller's */
	uint16_t start;
	uint16_t count; /* > 0; registers or bits */
	uint8_t area;   /* the caller's number; equal numbers may share a block */
	bool is_bits;
	bool is_refused; /* the planner's */
};

struct plan_block {
	uint32_t first, nitems; /* plan->items[first .. first + nitems) */
	uint32_t good,
		bad; /* while it is searched: beginnings of so many items can be read, or cannot; bad 0: no search */
	uint16_t start, count;
	uint8_t area;
	bool is_bits : 1;
	bool is_refused : 1; /* one tag (or several in the same place), which the device refused */
	bool is_rest : 1;    /* what came after a refused tag: likely to be refused at its beginning again */
	bool is_pending : 1; /* the caller's: waits to be read in this scan */
	bool is_in_flight : 1; /* the caller's: its request is with the source */
	uint8_t attempts;      /* the caller's: without an answer since the last one */
	uint8_t silences;      /* the caller's: how often in a row its attempts were used up */
	uint32_t silent_until; /* the caller's: not read before, monotonic, in tenths of a second */
};

struct plan_rules {
	uint16_t max_gap, max_block; /* 1 <= max_block <= 125 */
	bool one_by_one;             /* only tags in the same place share a request */
};

struct plan {
	struct plan_item
		*items; /* refused ones last, else in order of area, start, count (longest first), tag */
	size_t nitems;
	struct plan_block *blocks;
	size_t nblocks;
	struct plan_rules rules;
	bool is_cut; /* some block was cut by a search since the last renewal */
};

/* What the next request of a block asks for: all of it, or a part while it is searched. */
struct plan_read {
	size_t first, nitems; /* of plan->items: what the answer holds */
	uint16_t start, count;
};

/* What a search found. */
struct plan_finding {
	bool is_found;
	enum refused_kind kind;
	uint8_t area;
	uint32_t start, end;  /* for refused_add() */
	size_t first, nitems; /* REFUSED_TAG: the items there */
};

/* Copies `items`; `refused` is borrowed for the call. ERR_NOMEM; *out is then empty, as plan_destroy() leaves it. */
MUST_USE int plan_create(struct plan *out, const struct plan_item *items, size_t nitems,
			 const struct plan_rules *rules, const struct refused *refused);
void plan_destroy(struct plan *p); /* its memory, not `p` */

/* Plan anew with what is refused now; all flags are false then. ERR_NOMEM: the plan is as before. */
MUST_USE int plan_renew(struct plan *p, const struct refused *refused);

/* The block that items[item] is in. */
size_t plan_block_at(const struct plan *p, size_t item);

struct plan_read plan_read_of(const struct plan *p, size_t block);

/*
 * The read that plan_read_of() says was answered, or refused as something in it is not there. True: the block is
 * to be read again, for what plan_read_of() says then. False: done with it; with a finding there may be a block more after it
 * (is_pending), of the items behind what was found.
 */
bool plan_answered(struct plan *p, size_t block, struct plan_finding *found);
bool plan_refused(struct plan *p, size_t block, struct plan_finding *found);

/* The search of a block is given up; the next read is of the whole. */
void plan_search_end(struct plan_block *b);

#endif
