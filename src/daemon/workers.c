#include "daemon/workers.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct worker {
	struct workers *all;
	pthread_t thread;
	struct loop_hook turn_end;
	uint64_t looked_ms;
	_Atomic uint64_t place; /* looked_ms and CPU of the last look, for the others */
	struct loop_source
		mark; /* runs between two turns' work: whatever the worker had in hand before is done */
};

struct workers {
	struct loop **loops;
	struct worker *list;
	uint32_t n, nstarted;
	cpu_set_t cpus; /* that the process may use */
	bool has_room;  /* for each worker on a CPU of its own */
	struct loop_source *marked;
	_Atomic uint32_t unmarked;
};

static void reach_mark(struct loop_source *s)
{
	struct workers *w = container_of(s, struct worker, mark)->all;

	if (atomic_fetch_sub(&w->unmarked, 1) == 1)
		loop_notify(w->marked);
}

/* ---- a CPU for each ---- */

/* The CPU for worker `i` where each has one of its own. */
static int home_of(const struct workers *w, uint32_t i)
{
	int cpu = 0;

	for (;; cpu++)
		if (CPU_ISSET(cpu, &w->cpus) && i-- == 0)
			return cpu;
}

/*
 * To its home, and free to be moved again: where other programs are busy, the kernel knows better. Not if it was taken off its
 * home since (taskset).
 */
static void go_home(int home)
{
	cpu_set_t may, only;

	if (sched_getaffinity(0, sizeof(may), &may) < 0 || !CPU_ISSET(home, &may))
		return;
	CPU_ZERO(&only);
	CPU_SET(home, &only);
	if (sched_setaffinity(0, sizeof(only), &only) == 0)
		(void)sched_setaffinity(0, sizeof(may), &may);
}

uint64_t worker_place(uint64_t now_ms, int cpu)
{
	return now_ms << 16 | (unsigned)cpu;
}

/* Who did not look for two rounds sleeps. */
bool worker_is_at(uint64_t place, uint64_t now_ms, int cpu)
{
	return (place & 0xffff) == (unsigned)cpu && (place >> 16) + 2 * WORKERS_LOOK_MS > now_ms;
}

/* Is another worker busy on this CPU? */
static bool is_shared(const struct worker *me, uint64_t now_ms, int cpu)
{
	const struct workers *w = me->all;

	for (uint32_t i = 0; i < w->n; i++)
		if (&w->list[i] != me && worker_is_at(atomic_load(&w->list[i].place), now_ms, cpu))
			return true;
	return false;
}

/*
 * Kernels put a thread that wakes up next to who woke it. Workers wake each other, so two that are busy in turns may end on
 * one CPU and stay there while others are idle; then neither does more than half of what it could.
 */
static void place_look(struct loop_hook *h)
{
	struct worker *me = container_of(h, struct worker, turn_end);
	uint32_t index = (uint32_t)(me - me->all->list);
	uint64_t now_ms = loop_now_ms(me->all->loops[index]);
	int cpu, home;

	if (now_ms < me->looked_ms + WORKERS_LOOK_MS)
		return;
	me->looked_ms = now_ms;
	cpu = sched_getcpu();
	home = home_of(me->all, index);
	if (cpu != home && is_shared(me, now_ms, cpu)) {
		go_home(home);
		cpu = sched_getcpu();
	}
	atomic_store_explicit(&me->place, worker_place(now_ms, cpu), memory_order_relaxed);
}

static void place_begin(struct workers *w)
{
	w->has_room = sched_getaffinity(0, sizeof(w->cpus), &w->cpus) == 0 && w->n > 1 &&
		      (uint32_t)CPU_COUNT(&w->cpus) >= w->n;
	for (uint32_t i = 0; w->has_room && i < w->n; i++)
		loop_hook_add(w->loops[i], LOOP_TURN_END, &w->list[i].turn_end, place_look);
}

/* ---- life ---- */

int workers_create(uint32_t n, struct loop_source *marked, struct workers **out)
{
	struct workers *w = calloc(1, sizeof(*w));
	int rc = ERR_NOMEM;

	if (!w)
		return ERR_NOMEM;
	w->marked = marked;
	w->loops = calloc(n, sizeof(struct loop *));
	w->list = calloc(n, sizeof(*w->list));
	if (!w->loops || !w->list)
		goto failed;
	for (; w->n < n; w->n++) {
		if ((rc = loop_create(&w->loops[w->n])) < 0)
			goto failed;
		w->list[w->n].all = w;
		loop_source_add(w->loops[w->n], &w->list[w->n].mark, reach_mark);
	}
	place_begin(w);
	*out = w;
	return OK;
failed:
	workers_destroy(w);
	return rc;
}

struct loop *const *workers_loops(const struct workers *w)
{
	return w->loops;
}

static void *run_worker(void *arg)
{
	struct worker *worker = arg;
	struct loop *loop = worker->all->loops[worker - worker->all->list];
	char name[16];

	snprintf(name, sizeof(name), "worker-%u", (unsigned)(worker - worker->all->list) % 1000);
	pthread_setname_np(pthread_self(), name);
	if (worker->all->has_room)
		go_home(home_of(worker->all, (uint32_t)(worker - worker->all->list)));
	if (loop_run(loop) < 0)
		log_error("daemon", "%s: waiting for events failed, its clients are no longer served", name);
	return NULL;
}

int workers_start(struct workers *w)
{
	int error;

	for (; w->nstarted < w->n; w->nstarted++) {
		error = pthread_create(&w->list[w->nstarted].thread, NULL, run_worker, &w->list[w->nstarted]);
		if (error) {
			log_error("daemon", "worker %u: no thread: %s", w->nstarted, strerror(error));
			workers_stop(w);
			return ERR_IO;
		}
	}
	return OK;
}

void workers_mark(struct workers *w)
{
	atomic_store(&w->unmarked, w->n);
	for (uint32_t i = 0; i < w->n; i++)
		loop_notify(&w->list[i].mark);
}

void workers_stop(struct workers *w)
{
	for (uint32_t i = 0; i < w->nstarted; i++)
		loop_stop(w->loops[i]);
	for (uint32_t i = 0; i < w->nstarted; i++)
		pthread_join(w->list[i].thread, NULL);
	w->nstarted = 0;
}

void workers_destroy(struct workers *w)
{
	if (!w)
		return;
	for (uint32_t i = 0; i < w->n; i++) {
		loop_source_remove(&w->list[i].mark);
		if (w->has_room)
			loop_hook_remove(&w->list[i].turn_end);
		loop_destroy(w->loops[i]);
	}
	free(w->loops);
	free(w->list);
	free(w);
}
