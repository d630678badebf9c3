#include "daemon/loop_thread.h"

#include <string.h>

#include "base/log.h"

static void *run(void *arg)
{
	struct loop_thread *t = arg;

	pthread_setname_np(pthread_self(), t->name);
	if (loop_run(t->loop) < 0)
		log_error("daemon", "%s: waiting for events failed, %s", t->name, t->loss);
	return NULL;
}

int loop_thread_start(struct loop_thread *t, struct loop *loop, const char *name, const char *loss)
{
	int error;

	*t = (struct loop_thread){.loop = loop, .name = name, .loss = loss};
	if ((error = pthread_create(&t->thread, NULL, run, t)) != 0) {
		log_error("daemon", "%s: no thread: %s", name, strerror(error));
		return ERR_IO;
	}
	t->is_running = true;
	return OK;
}

bool loop_thread_stop(struct loop_thread *t)
{
	if (!t->is_running)
		return false;
	loop_stop(t->loop);
	pthread_join(t->thread, NULL);
	t->is_running = false;
	return true;
}
