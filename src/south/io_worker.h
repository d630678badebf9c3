/*
 * A thread that does one thing at a time for a loop that must not wait for it. Its owner lives on the loop; what the thread works on
 * is its task, which is the thread's from io_worker_start() until done() was called.
 */
#ifndef SOUTH_IO_WORKER_H
#define SOUTH_IO_WORKER_H

#include "loop/loop.h"

struct io_worker;

struct io_worker_ops {
	void (*work)(void *task);  /* in the thread; may block */
	void (*done)(void *owner); /* on the loop, once for each start */
	void (*free_task)(void *task);
};

/* `task` is the worker's with OK, still the caller's on failure. ERR_NOMEM: no memory, or no more threads. */
MUST_USE int io_worker_create(struct loop *loop, const struct io_worker_ops *ops, void *task, void *owner,
			      struct io_worker **out);
/* It is not at work: the one before is done. */
void io_worker_start(struct io_worker *w);
/* Never waits: what is being worked on is finished and freed by the thread. done() is not called any more. Accepts NULL. */
void io_worker_destroy(struct io_worker *w);

#endif
