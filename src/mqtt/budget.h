/*
 * What clients make the broker hold, in bytes of memory: messages that wait or are on the way, hand-over, output, input that is
 * not complete, sessions, subscriptions, retained messages, route caches. What does not grow with clients is not in it.
 *
 * One count for the whole broker. A worker counts in a share of its own and passes the difference on when it is large, and at
 * the end of each turn, so that no message costs an access that other threads see.
 *
 *   BUDGET_OK     all is taken
 *   BUDGET_TIGHT  what is new is refused before it has an effect: sessions, subscriptions, retained topics. What is slow gets no
 *                 more: sessions that have their fair part in queues, connections that do not read
 *   BUDGET_FULL   nothing is queued any more, and the largest backlogs are cut
 */
#ifndef MQTT_BUDGET_H
#define MQTT_BUDGET_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define BUDGET_BATCH (64 * 1024) /* a share keeps differences below this to itself */

enum budget_level { BUDGET_OK, BUDGET_TIGHT, BUDGET_FULL };

struct budget {
	_Atomic int64_t used;
	int64_t tight, full; /* levels begin here */
};

/* A worker's; its thread only, but for `held`. */
struct budget_share {
	struct budget *all;
	int64_t open;         /* not passed on yet */
	_Atomic int64_t held; /* passed on; may be below 0, as what one worker took another may give back */
};

/* `limit` bytes; 0: none. */
void budget_init(struct budget *b, uint64_t limit);

/* Any thread, for what is large or rare. Below 0: given back. `b` may be NULL. */
static inline void budget_add(struct budget *b, int64_t bytes)
{
	if (b && bytes)
		atomic_fetch_add_explicit(&b->used, bytes, memory_order_relaxed);
}

/* Pass on what is open. */
void budget_settle(struct budget_share *s);

/* Bytes that came (or went, below 0) on the share's worker. `s` may be NULL: not counted. */
static inline void budget_count(struct budget_share *s, int64_t bytes)
{
	if (!s)
		return;
	s->open += bytes;
	if (s->open > BUDGET_BATCH || s->open < -BUDGET_BATCH)
		budget_settle(s);
}

/* What the allocator needs for a block of `n` bytes. */
static inline int64_t budget_block(size_t n)
{
	return (int64_t)((n + 8 + 15) & ~(size_t)15);
}

static inline enum budget_level budget_level_of(const struct budget *b, int64_t open)
{
	int64_t used = atomic_load_explicit(&b->used, memory_order_relaxed) + open;

	return used < b->tight ? BUDGET_OK : used < b->full ? BUDGET_TIGHT : BUDGET_FULL;
}

static inline enum budget_level budget_level(const struct budget_share *s)
{
	return budget_level_of(s->all, s->open);
}

#endif
