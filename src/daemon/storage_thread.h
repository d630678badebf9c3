/*
 * The storage thread: it runs the loop of the store, which writes to the disk so that nobody else has to wait. All functions are
 * for the main thread.
 *
 *   open -> (ports of the broker are opened) -> start -> stop -> (ports are closed) -> close
 */
#ifndef DAEMON_STORAGE_THREAD_H
#define DAEMON_STORAGE_THREAD_H

#include "base/err.h"
#include "config/gateway_config.h"
#include "store/store.h"

struct storage_thread;

/*
 * Open the store of a configuration that has storage.path. What stands in the way is logged, with what to do about it: ERR_IO,
 * ERR_BUSY, ERR_UNSUPPORTED, ERR_NOMEM.
 */
MUST_USE int storage_thread_open(const struct config_storage *cfg, struct storage_thread **out);
/* For struct broker_config; it lives until storage_thread_close(). */
struct store *storage_thread_store(const struct storage_thread *t);
/* ERR_IO: there is no thread. */
MUST_USE int storage_thread_start(struct storage_thread *t);
/* What ports submit from now on is written by storage_thread_close(). Harmless when it does not run. */
void storage_thread_stop(struct storage_thread *t);
/* Write the rest. Accepts NULL. */
void storage_thread_close(struct storage_thread *t);

#endif
