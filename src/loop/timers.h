/*
 * The wheel behind the timers: it counts ticks and knows no clock.  A tick is 1 ms in a loop
 * and 1 us in a sim_world; `due_ms` of a timer counts these ticks.  Eleven levels of 64 slots cover
 * every 64-bit tick; a timer moves down at most once per level.  Timers of one tick come out in the
 * order they were put in.  Allocates nothing.  For loop/ only.
 */
#ifndef LOOP_TIMERS_H
#define LOOP_TIMERS_H

#include "loop/loop.h"

#define WHEEL_BITS   6
#define WHEEL_SLOTS  (1u << WHEEL_BITS)
#define WHEEL_LEVELS 11
#define WHEEL_NEVER  UINT64_MAX

struct wheel {
	uint64_t at;                 /* all earlier ticks and this one have been expired */
	uint64_t used[WHEEL_LEVELS]; /* a bit per slot; a set bit of an empty slot is cleared when found */
	struct list late;            /* put in when already due: out at the next wheel_expire() */
	struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, uint64_t at);

/* Put in a timer that is not pending; t->due_ms says when. */
void wheel_put(struct wheel *w, struct loop_timer *t);

/*
 * When to call wheel_expire() next: never later than the first due timer, exact when few timers share its
 * slot, else the start of the slot. WHEEL_NEVER: no timer. w->at or less: at once.
 */
uint64_t wheel_next(struct wheel *w);

/* Append all timers due at `now` or before to `due`, earliest first. They stay pending while in it. */
void wheel_expire(struct wheel *w, uint64_t now, struct list *due);

#endif
