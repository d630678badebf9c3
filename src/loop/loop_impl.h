/*
 * What both kinds of loop have in common: hooks, timers, the flags of a turn.  For loop/ only.
 */
#ifndef LOOP_LOOP_IMPL_H
#define LOOP_LOOP_IMPL_H

#include "loop/loop.h"
#include "loop/timers.h"

struct loop_clock {
	uint64_t now_us;
	int64_t wall_ms;
};

struct loop_ops {
	int (*run)(struct loop *loop);
	int (*turn)(struct loop *loop, int max_wait_ms);
	/* any thread: s->pending just became true by the caller; see that it runs */
	void (*notify)(struct loop *loop, struct loop_source *s);
	/* any thread: loop->stopped was set */
	void (*wake)(struct loop *loop);
	/* s->pending: take it out of wherever it waits */
	void (*forget)(struct loop *loop, struct loop_source *s);
	/* NULL: nothing happens in between */
	void (*interleave)(struct loop *loop);
	/* NULL: time stands still within a turn */
	uint64_t (*precise_us)(void);
	int (*fd_add)(struct loop *loop, struct loop_fd *f);
	void (*fd_remove)(struct loop *loop, struct loop_fd *f);
	void (*destroy)(struct loop *loop);
};

struct loop {
	const struct loop_ops *ops;
	const struct loop_clock *clock; /* its own, or the one of the simulated world */
	struct list hooks[LOOP_HOOKS];
	struct list due;     /* timers of this turn that have not fired yet */
	struct list running; /* sources of this turn that have not run yet */
	struct list alarms;  /* earliest first */
	struct list ringing; /* alarms of this turn that have not fired yet */
	bool again;
	_Atomic bool stopped;
	struct wheel wheel; /* ticks of 1 ms */
};

void loop_init(struct loop *loop, const struct loop_ops *ops, const struct loop_clock *clock);

void loop_run_hooks(struct loop *loop, enum loop_hook_when when);

/* The parts of a turn that need no kernel, in this order around the descriptor events. */
void loop_turn_begin(struct loop *loop);
void loop_turn_finish(struct loop *loop);

/* When the next timer or alarm needs a turn, in us of the loop's clock; WHEEL_NEVER, or a time in the past. */
uint64_t loop_timers_next_us(struct loop *loop);

#endif
