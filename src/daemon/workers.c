#include "daemon/workers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct worker {
	struct workers *all;
	pthread_t thread;
	struct loop_source
		mark; /* runs between two turns' work: whatever the worker had in hand before is done */
};

struct workers {
	struct loop **loops;
	struct worker *list;
	uint32_t n, nstarted;
	struct loop_source *marked;
	_Atomic uint32_t unmarked;
};

static void reach_mark(struct loop_source *s)
{
	struct workers *w = container_of(s, struct worker, mark)->all;

	if (atomic_fetch_sub(&w->unmarked, 1) == 1)
		loop_notify(w->marked);
}

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
		loop_destroy(w->loops[i]);
	}
	free(w->loops);
	free(w->list);
	free(w);
}
