/*
 * Many loops in one thread on virtual time.  A `sim_world` owns the clock, the seed and every loop
 * made in it; loop.h works on these loops unchanged, but for descriptors.  The order in
 * which loops take their turns, the delay of every notify, and each random number come
 * from the seed: a run is replayed exactly by it.  A turn takes no time while it runs; its loop is then busy
 * for some microseconds, so time passes even when a loop never sleeps.
 *
 * loop_run() and loop_turn() of a simulated loop run the whole world until that loop stopped or had its turn;
 * ERR_IO when that can never happen. Nothing here blocks or reads a real clock; all of it belongs to one thread.
 */
#ifndef LOOP_LOOP_SIM_H
#define LOOP_LOOP_SIM_H

#include "loop/loop.h"

struct sim_world;

MUST_USE int sim_world_create(uint64_t seed, struct sim_world **out);
/* With all loops in it that were not destroyed before. Accepts NULL. */
void sim_world_destroy(struct sim_world *w);

/* loop_destroy() also while the world runs, but not within a turn of this loop. */
MUST_USE int sim_loop_create(struct sim_world *w, struct loop **out);

/* From the seed: uniform in 0..bound-1 (bound > 0); true once in `n` times (n = 0: never). */
uint64_t sim_random(struct sim_world *w, uint64_t bound);
bool sim_one_in(struct sim_world *w, uint64_t n);

/* Starts at an hour, not at 0. */
uint64_t sim_now_us(const struct sim_world *w);

/* A notify is seen after a random 0..max_us of virtual time (default 500). */
void sim_set_notify_delay(struct sim_world *w, uint64_t max_us);
/* A loop is busy for a random 1..max_us after a turn (default 20): the longer, the more comes together in the next one. */
void sim_set_turn(struct sim_world *w, uint64_t max_us);
/* loop_interleave() lets another loop in once in `n` times (default 2; 0: never). */
void sim_set_interleave(struct sim_world *w, uint64_t n);
/* Step the wall clock (not the monotonic one) of all loops. */
void sim_step_wall(struct sim_world *w, int64_t by_ms);

/* Call fn(arg) `after_us` (0 counts as 1) from now in virtual time, outside of any loop. ERR_NOMEM. */
MUST_USE int sim_at(struct sim_world *w, uint64_t after_us, void (*fn)(void *arg), void *arg);

/*
 * Run turns until `until(arg)` holds (OK), `for_us` of virtual time has passed (ERR_TIMEOUT), or nothing
 * can ever happen any more (ERR_NOT_FOUND). until may be NULL.
 */
MUST_USE int sim_run(struct sim_world *w, uint64_t for_us, bool (*until)(void *arg), void *arg);

/*
 * A hash of all that happened: turns, sources, timers, random draws, what sim_trace() added. Two runs from one
 * seed that do the same have the same hash, and a difference at any point stays visible.
 */
uint64_t sim_trace_hash(const struct sim_world *w);
void sim_trace(struct sim_world *w, uint64_t what);

/* ---- for simulated devices: networks, disks ---- */

/* A timer outside of any loop (loop_timer_init() as usual): never fails, and due_ms counts microseconds. */
void sim_timer_set(struct sim_world *w, struct loop_timer *t, uint64_t after_us); /* 0 counts as 1 */
void sim_timer_cancel(struct loop_timer *t);

/*
 * What a descriptor event is to a real loop: run is called early in a turn of the loop, once for any number
 * of posts before it. The caller embeds and owns it.
 */
struct sim_event {
	void (*run)(struct sim_event *e); /* may post it again or free its owner */
	struct list node;
};

void sim_event_init(struct sim_event *e, void (*run)(struct sim_event *e));
/* `loop` is a simulated one. Events of a loop arrive in random order. */
void sim_event_post(struct loop *loop, struct sim_event *e);
void sim_event_cancel(struct sim_event *e);

#endif
