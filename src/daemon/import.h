/*
 * `lineside store import` into a running gateway: a thread of its own reads the file, checks all of it, and passes it to the workers
 * session by session; what is under way is bounded. All functions are for the main thread.
 *
 *   begin -> (`ended` is notified) -> end            or, when the gateway stops:
 *   begin -> (workers are stopped) -> stop -> (the broker is destroyed) -> end
 */
#ifndef DAEMON_IMPORT_H
#define DAEMON_IMPORT_H

#include <stdbool.h>

#include "base/err.h"
#include "loop/loop.h"
#include "mqtt/broker.h"

struct import;

/*
 * Takes `fd`, which has to be a file, read from its beginning. `broker` has a store.
 * ERR_UNSUPPORTED: it is no file; ERR_NOMEM, ERR_IO; then it is closed, too.
 */
MUST_USE int import_begin(struct broker *broker, int fd, bool replace, struct loop_source *ended,
			  struct import **out);
/* Nothing more goes to the broker; accepts NULL. */
void import_stop(struct import *i);
/*
 * Waits for the thread, and frees it. The answer in JSON, to free(), NULL: out of memory, or `i` is NULL:
 *   {"taken": {"sessions": .., "subscriptions": .., "messages": .., "packet_ids": .., "retained": ..},
 *    "kept": {"sessions": .., "retained": ..}}
 * and when it failed "error", with "line" when it is one of the file's; what was taken before stays.
 */
char *import_end(struct import *i);

#endif
