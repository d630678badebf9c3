/*
 * The event loop that everything above stands on: one per thread, owned and run by that
 * thread.  loop_epoll.c runs it on the kernel, loop_sim.c on virtual time from a seed;
 * code above cannot tell which.
 *
 * A turn: read the clocks once; run descriptor events, notified sources and due timers; run
 * the turn-end hooks; wait.  A handler that runs long delays everyone on its loop.
 *
 * Thread: all functions are for the loop's own thread, but loop_notify() and loop_stop(),
 * which any thread (and a signal handler) may call.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

struct loop;

/* ---- timers: a hierarchical wheel of 1 ms ticks, O(1) set and cancel; the caller embeds and owns ---- */

struct loop_timer {
	void (*fire)(struct loop_timer *t); /* may set it again or free its owner */
	uint64_t due_ms;                    /* monotonic; valid while pending */
	struct list node;
};

void loop_timer_init(struct loop_timer *t, void (*fire)(struct loop_timer *t));
/* Fire once, `after_ms` from now (0: next turn); sets a pending timer anew. Never fails. */
void loop_timer_set(struct loop *loop, struct loop_timer *t, uint64_t after_ms);
void loop_timer_cancel(struct loop *loop, struct loop_timer *t);
bool loop_timer_pending(const struct loop_timer *t);

/* ---- alarms: timers in microseconds, a few of them on a loop (they are a sorted list); the caller embeds and owns ---- */

struct loop_alarm {
	void (*fire)(struct loop_alarm *a); /* may set it again or free its owner */
	uint64_t due_us;                    /* monotonic; valid while pending */
	struct list node;
};

void loop_alarm_init(struct loop_alarm *a, void (*fire)(struct loop_alarm *a));
/*
 * Fire once, at `at_us` of the loop's clock or as soon after it as the kernel wakes us, never before; in the past: next turn. Sets a pending
 * alarm anew. Never fails.
 */
void loop_alarm_set(struct loop *loop, struct loop_alarm *a, uint64_t at_us);
void loop_alarm_cancel(struct loop_alarm *a);
bool loop_alarm_pending(const struct loop_alarm *a);

/* ---- notified sources: how other threads reach this loop ---- */

struct loop_source {
	void (*run)(
		struct loop_source *s); /* on the loop's thread, once for any number of notifies before it */
	struct loop *loop;
	_Atomic bool pending;
	struct list node;
	uint64_t seen_us; /* loop_sim's own: when a notify gets there */
};

void loop_source_add(struct loop *loop, struct loop_source *s, void (*run)(struct loop_source *s));
/* Nobody notifies it any more when this is called. */
void loop_source_remove(struct loop_source *s);
/*
 * Run s->run on its loop soon.  What was written before the call is visible to it. At most one
 * wake-up of a sleeping loop; none when it is awake.  Any thread; never fails, never waits.
 */
void loop_notify(struct loop_source *s);

/* ---- hooks, in the order they were added ---- */

enum loop_hook_when {
	LOOP_TURN_END,     /* after the work of a turn: flush output */
	LOOP_BEFORE_SLEEP, /* a wait that may block follows: epoch off-line */
	LOOP_AFTER_SLEEP,  /* it is over: epoch on-line */
	LOOP_DESTROY,      /* loop_destroy() was called: give up what is still on the loop */
	LOOP_HOOKS
};

struct loop_hook {
	void (*run)(struct loop_hook *h);
	struct list node;
};

void loop_hook_add(struct loop *loop, enum loop_hook_when when, struct loop_hook *h,
		   void (*run)(struct loop_hook *h));
void loop_hook_remove(struct loop_hook *h);

/*
 * Do not sleep at the end of this turn: there is work in hand that no event will announce (a socket
 * we stopped reading although it had more).
 */
void loop_again(struct loop *loop);

/*
 * Between two steps that other threads may see in between, where their order is what makes it right. Nothing on epoll; in a
 * simulation, where one turn is else atomic, other loops may take turns here.
 */
void loop_interleave(struct loop *loop);

/* ---- descriptors (loop_epoll only; a simulated loop answers ERR_UNSUPPORTED) ---- */

enum { LOOP_READABLE = 1, LOOP_WRITABLE = 2, LOOP_HANGUP = 4 };

struct loop_fd {
	int fd;
	uint32_t slot;                                     /* the loop's own */
	void (*ready)(struct loop_fd *f, unsigned events); /* may remove f and free its owner */
};

/*
 * Watch f->fd edge-triggered for reading, writing and hang-up until loop_fd_remove(); events of f that
 * are already in hand are not delivered after the removal. Returns ERR_NOMEM or ERR_IO.
 */
MUST_USE int loop_fd_add(struct loop *loop, struct loop_fd *f);
void loop_fd_remove(struct loop *loop, struct loop_fd *f);

/* ---- clocks, as read at the start of this turn ---- */

uint64_t loop_now_us(const struct loop *loop); /* monotonic */
static inline uint64_t loop_now_ms(const struct loop *loop)
{
	return loop_now_us(loop) / 1000;
}
int64_t loop_wall_ms(const struct loop *loop); /* Unix time in ms; may step */
/* The monotonic clock as it is now, for what cannot wait for the next turn: when a byte of a serial line was read. */
uint64_t loop_precise_us(const struct loop *loop);

/* ---- life ---- */

/* A loop on epoll. ERR_NOMEM or ERR_IO. */
MUST_USE int loop_create(struct loop **out);
/* Returns when loop_stop() was called: OK, or ERR_IO when waiting failed. */
MUST_USE int loop_run(struct loop *loop);
/* One turn: wait at most `max_wait_ms` (-1: as long as it takes), then do what is due. */
MUST_USE int loop_turn(struct loop *loop, int max_wait_ms);
void loop_stop(struct loop *loop);
/* Nothing of it is in use any more. Accepts NULL. */
void loop_destroy(struct loop *loop);

#endif
