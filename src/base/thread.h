/* Helper threads: for calls that may block, and for nothing else. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include "base/err.h"

/*
 * Run `run(arg)` on a thread that nobody waits for and that takes no signals; what it returns is passed over. ERR_NOMEM: the system has
 * no thread, and `run` is not called.
 */
MUST_USE int thread_start_helper(void *(*run)(void *arg), void *arg);

#endif
