#include "south/io_worker.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/thread.h"

struct io_worker {
	/* Held for a few instructions: the thread must not notify a source that is being removed. */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool has_work, is_leaving; /* under the lock */
	unsigned refs;             /* the owner and the thread. Under the lock */
	struct loop_source source;
	const struct io_worker_ops *ops;
	void *task, *owner;
};

static void unref_unlock(struct io_worker *w)
{
	bool last = --w->refs == 0;

	pthread_mutex_unlock(&w->lock);
	if (!last)
		return;
	w->ops->free_task(w->task);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static void *run(void *arg)
{
	struct io_worker *w = arg;

	pthread_setname_np(pthread_self(), "rack");
	pthread_mutex_lock(&w->lock);
	for (;;) {
		while (!w->has_work && !w->is_leaving)
			pthread_cond_wait(&w->wake, &w->lock);
		if (w->is_leaving)
			break;
		w->has_work = false;
		pthread_mutex_unlock(&w->lock);
		w->ops->work(w->task);
		pthread_mutex_lock(&w->lock);
		if (!w->is_leaving)
			loop_notify(&w->source);
	}
	unref_unlock(w);
	return NULL;
}

static void report(struct loop_source *s)
{
	struct io_worker *w = container_of(s, struct io_worker, source);

	w->ops->done(w->owner); /* may start it again, or destroy it */
}

int io_worker_create(struct loop *loop, const struct io_worker_ops *ops, void *task, void *owner,
		     struct io_worker **out)
{
	struct io_worker *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return ERR_NOMEM;
	*w = (struct io_worker){.ops = ops, .task = task, .owner = owner, .refs = 2};
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	loop_source_add(loop, &w->source, report);
	if ((rc = thread_start_helper(run, w)) < 0) {
		loop_source_remove(&w->source);
		pthread_cond_destroy(&w->wake);
		pthread_mutex_destroy(&w->lock);
		free(w);
		return rc;
	}
	*out = w;
	return OK;
}

void io_worker_start(struct io_worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->has_work = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

void io_worker_destroy(struct io_worker *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&w->lock);
	w->is_leaving = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	loop_source_remove(&w->source);
	pthread_mutex_lock(&w->lock);
	unref_unlock(w);
}
