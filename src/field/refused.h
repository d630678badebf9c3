/*
 * What a device refused to read (exceptions 2 and 3), as ranges of addresses: no block may contain one of them whole. A range is the
 * smallest that is known to fail: a tag, the registers between two tags that can both be read, or two neighbours that cannot be
 * read together (a device that limits the length, or that keeps its records apart).
 *
 * Allocates; reads no clock: times are the caller's milliseconds.
 */
#ifndef FIELD_REFUSED_H
#define FIELD_REFUSED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define REFUSED_NO_LIMIT 65536u /* one past the last address */

#define REFUSED_WAIT_FIRST_MS 10000u /* a refused tag is tried again so long after, then twice as long, ... */
#define REFUSED_WAIT_MAX_MS   3600000u

enum refused_kind {
	REFUSED_TAG,  /* what one tag covers */
	REFUSED_GAP,  /* what lies between two tags */
	REFUSED_PAIR, /* two addresses that can be read, but not together */
};

struct refused_range {
	uint64_t at_ms;      /* when it was refused last */
	uint32_t start, end; /* end: one past the last */
	uint32_t reach;      /* the least end of this range and all after it in its area */
	uint32_t wait_ms;    /* until a tag is tried again: longer each time */
	uint8_t area;
	uint8_t kind; /* enum refused_kind */
};

/* All zero is an empty one. */
struct refused {
	struct refused_range *ranges; /* in order of area, start, end */
	size_t n, room;
	unsigned version; /* changes with the set of ranges */
};

void refused_fini(struct refused *r);

/* A range that is known and due is made younger, and waits twice as long. ERR_NOMEM: nothing changed. `start` < `end` <= REFUSED_NO_LIMIT. */
MUST_USE int refused_add(struct refused *r, unsigned area, uint32_t start, uint32_t end,
			 enum refused_kind kind, uint64_t now_ms);

/* It can be read after all; nothing happens when it is not known. */
void refused_remove(struct refused *r, unsigned area, uint32_t start, uint32_t end);

/*
 * Forget gaps and pairs that are older than REFUSED_WAIT_MAX_MS: the next block that contains one tries it. Tags stay: each is
 * tried by itself.
 */
void refused_expire(struct refused *r, uint64_t now_ms);

void refused_clear(struct refused *r);

/* It is time to try this tag. */
bool refused_is_due(const struct refused_range *tag, uint64_t now_ms);

/* Exactly this range, and it is a tag's; NULL: not known. Good until the next change. */
const struct refused_range *refused_tag(const struct refused *r, unsigned area, uint32_t start, uint32_t end);

/* A block that starts at `start` may end here at most (one past its last address). REFUSED_NO_LIMIT: as it likes. */
uint32_t refused_reach(const struct refused *r, unsigned area, uint32_t start);

#endif
