/*
 * The broker's worker threads: each runs one loop and nothing else. Signals are blocked on them by who starts them.
 * All functions are for the main thread.
 */
#ifndef DAEMON_WORKERS_H
#define DAEMON_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"

struct workers;

/* `n` loops, no thread yet. `marked` is notified as workers_mark() says; borrowed. ERR_NOMEM, ERR_IO. */
MUST_USE int workers_create(uint32_t n, struct loop_source *marked, struct workers **out);
/* n loops, for broker_create(). */
struct loop *const *workers_loops(const struct workers *w);

/* ERR_IO when a thread cannot be made: those that were are stopped again. */
MUST_USE int workers_start(struct workers *w);
/* `marked` is notified when every worker has ended the turn it is in now. One mark at a time; the threads run. */
void workers_mark(struct workers *w);
/* Stop and join. Harmless when they are not running. */
void workers_stop(struct workers *w);
/* Stopped. Accepts NULL. */
void workers_destroy(struct workers *w);

/*
 * Where a busy worker was when it last looked, as one word that others read; and whether one is to be taken for busy on `cpu` at
 * this time. Pure; workers look at each other so, in order not to share a CPU.
 */
#define WORKERS_LOOK_MS 100
uint64_t worker_place(uint64_t now_ms, int cpu);
bool worker_is_at(uint64_t place, uint64_t now_ms, int cpu);

#endif
