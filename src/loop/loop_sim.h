/*
 * Many loops in one thread on virtual time.  A `sim_world` owns the clock, the seed and every loop
 * made in it; loop.h works on these loops unchanged, but for descriptors.  The order in
 * which loops take their turns, the delay of every notify, and each random number come
 * from the seed: a run is replayed exactly by it.
 */
#ifndef LOOP_LOOP_SIM_H
#define LOOP_LOOP_SIM_H

#include "loop/loop.h"

struct sim_world;

MUST_USE int sim_world_create(uint64_t seed, struct sim_world **out);
void sim_world_destroy(struct sim_world *w);

MUST_USE int sim_loop_create(struct sim_world *w, struct loop **out);

/* From the seed: uniform in 0..bound-1 (bound > 0); true once in `n` times. */
uint64_t sim_random(struct sim_world *w, uint64_t bound);
bool sim_one_in(struct sim_world *w, uint64_t n);

uint64_t sim_now_us(const struct sim_world *w);

/* A notify is seen after a random 0..max_us of virtual time (default 500). */
void sim_set_notify_delay(struct sim_world *w, uint64_t max_us);
/* Step the wall clock (not the monotonic one) of all loops. */
void sim_step_wall(struct sim_world *w, int64_t by_ms);

/* Call fn(arg) at a time of virtual time, outside of any loop. */
MUST_USE int sim_at(struct sim_world *w, uint64_t after_us, void (*fn)(void *arg), void *arg);

/*
 * Run turns until `until(arg)` holds (OK), `for_us` of virtual time has passed (ERR_TIMEOUT), or nothing
 * can ever happen any more (ERR_NOT_FOUND). until may be NULL.
 */
MUST_USE int sim_run(struct sim_world *w, uint64_t for_us, bool (*until)(void *arg), void *arg);

#endif
