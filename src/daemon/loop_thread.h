/* A thread that does nothing but run one loop. All functions are for the thread that starts it. */
#ifndef DAEMON_LOOP_THREAD_H
#define DAEMON_LOOP_THREAD_H

#include <pthread.h>
#include <stdbool.h>

#include "base/err.h"
#include "loop/loop.h"

struct loop_thread {
	struct loop *loop;
	const char *name, *loss;
	pthread_t thread;
	bool is_running;
};

/*
 * `name`: at most 15 bytes; `loss`: what is not done any more when waiting for events fails, for the log. Both, and the loop, are
 * borrowed until loop_thread_stop(). ERR_IO: there is no thread, which was logged.
 */
MUST_USE int loop_thread_start(struct loop_thread *t, struct loop *loop, const char *name, const char *loss);
/* Stop the loop and wait until the thread has ended. Was it running? */
bool loop_thread_stop(struct loop_thread *t);

#endif
