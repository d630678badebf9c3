/*
 * A timer sits on the level of the highest bit in which its tick differs from `at`: so on each level only slots
 * after the current one are used, the lowest used level holds the earliest timers, and nothing wraps.
 */
#include "loop/timers.h"

#include <assert.h>

#define EXACT_WALK_MAX 16 /* timers looked at to find the first one of a slot */

void wheel_init(struct wheel *w, uint64_t at)
{
	w->at = at;
	list_init(&w->late);
	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		w->used[level] = 0;
		for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
			list_init(&w->slots[level][slot]);
	}
}

void wheel_put(struct wheel *w, struct loop_timer *t)
{
	unsigned level, slot;

	assert(list_empty(&t->node));
	if (t->due_ms <= w->at) {
		list_append(&w->late, &t->node);
		return;
	}
	level = (63u - (unsigned)__builtin_clzll(w->at ^ t->due_ms)) / WHEEL_BITS;
	slot = (unsigned)(t->due_ms >> (level * WHEEL_BITS)) % WHEEL_SLOTS;
	list_append(&w->slots[level][slot], &t->node);
	w->used[level] |= UINT64_C(1) << slot;
}

/* The first slot with timers in it, NULL if there is none; *start is its first tick. */
static struct list *first_slot(struct wheel *w, unsigned *level_out, uint64_t *start)
{
	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		while (w->used[level]) {
			unsigned shift = level * WHEEL_BITS;
			uint64_t slot = (uint64_t)__builtin_ctzll(w->used[level]);
			uint64_t above = shift + WHEEL_BITS < 64 ? w->at >> (shift + WHEEL_BITS) : 0;

			if (!list_empty(&w->slots[level][slot])) {
				*level_out = level;
				*start = (above << WHEEL_BITS | slot) << shift;
				return &w->slots[level][slot];
			}
			w->used[level] &= w->used[level] - 1; /* all of its timers were cancelled */
		}
	}
	return NULL;
}

uint64_t wheel_next(struct wheel *w)
{
	uint64_t start, first = WHEEL_NEVER;
	unsigned level, walked = 0;
	struct list *slot;

	if (!list_empty(&w->late))
		return w->at;
	slot = first_slot(w, &level, &start);
	if (!slot)
		return WHEEL_NEVER;
	if (level == 0)
		return start;
	list_for_each (node, slot) {
		const struct loop_timer *t = container_of(node, struct loop_timer, node);

		if (++walked > EXACT_WALK_MAX)
			return start;
		if (t->due_ms < first)
			first = t->due_ms;
	}
	return first;
}

void wheel_expire(struct wheel *w, uint64_t now, struct list *due)
{
	uint64_t start;
	unsigned level;
	struct list *slot, *node, taken;

	list_splice(due, &w->late);
	while ((slot = first_slot(w, &level, &start)) && start <= now) {
		list_init(&taken);
		list_splice(&taken, slot);
		w->used[level] &= w->used[level] - 1;
		w->at = start;
		while ((node = list_take_first(&taken))) {
			struct loop_timer *t = container_of(node, struct loop_timer, node);

			if (t->due_ms <= start)
				list_append(due, node);
			else
				wheel_put(w, t);
		}
	}
	if (w->at < now)
		w->at = now;
}
