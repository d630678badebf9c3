/*
 * The field thread: one loop with the field side and the broker's port on it. What the field side says is published
 * through the port; commands that clients publish come back through it. It also tells the gateway's own state,
 * {root}/_gateway/status.
 *
 * All functions are for the main thread. They never wait: field_thread_ask() is answered by a notify.
 */
#ifndef DAEMON_FIELD_THREAD_H
#define DAEMON_FIELD_THREAD_H

#include <jansson.h>

#include "config/gateway_config.h"
#include "loop/loop.h"
#include "mqtt/broker.h"

struct field_thread;

enum field_ask {
	FIELD_APPLY, /* run this configuration; the first one also says "online" */
	FIELD_END,   /* stop lines and devices, say "offline" */
	FIELD_PASS   /* nothing: when it is answered, all that was published before is with the workers */
};

/*
 * Its loop and its port of `broker`, no thread yet.
 *   root      first levels of its topics, outlives it
 *   answered  notified when a question is answered; borrowed
 *   reported  notified when a report is there; borrowed
 * ERR_NOMEM, ERR_IO, ERR_FULL, ERR_TOPIC.
 */
MUST_USE int field_thread_create(struct broker *broker, const char *root, struct loop_source *answered,
				 struct loop_source *reported, struct field_thread **out);
/* ERR_IO when no thread can be made. */
MUST_USE int field_thread_start(struct field_thread *t);

/*
 * One question at a time. `cfg`, with FIELD_APPLY, is borrowed until the next configuration was applied with OK or the
 * thread is destroyed; after another answer it is the caller's again and the one before runs on.
 */
void field_thread_ask(struct field_thread *t, enum field_ask what, const struct gateway_config *cfg);
/* After the notify: the answer to the last question. OK, ERR_NOMEM, ERR_UNSUPPORTED or ERR_IO (a view cannot listen; logged). */
int field_thread_answer(const struct field_thread *t);

/*
 * How lines and devices do: {"lines": [...], "devices": [...], "views": [...]}, docs/man/lineside-status.1. Asked for at any time while the thread runs;
 * `reported` is notified when it can be taken. NULL: out of memory, or it was taken already. The caller's to json_decref().
 */
void field_thread_ask_report(struct field_thread *t);
json_t *field_thread_take_report(struct field_thread *t);

/*
 * Tell the frames of a line to `fd` (daemon/line_trace.h). OK, and it is the thread's own; ERR_FULL: the one before has not begun; ERR_NOMEM.
 */
MUST_USE int field_thread_trace(struct field_thread *t, const char *line, int fd);

/* Stop and join. Harmless when it does not run. */
void field_thread_stop(struct field_thread *t);
/* Stopped, and the broker is gone. Accepts NULL. */
void field_thread_destroy(struct field_thread *t);

#endif
