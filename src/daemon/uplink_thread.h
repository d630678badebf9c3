/*
 * The uplink thread: one loop with all uplinks on it, and a port of the broker by which their state is told, retained, at
 * {root}/_gateway/uplink/{name}.
 *
 * All functions are for the main thread. They never wait: uplink_thread_ask() is answered by a notify.
 */
#ifndef DAEMON_UPLINK_THREAD_H
#define DAEMON_UPLINK_THREAD_H

#include <jansson.h>

#include "config/gateway_config.h"
#include "daemon/uplink_terms.h"
#include "loop/loop.h"
#include "mqtt/broker.h"

struct uplink_thread;

enum uplink_ask {
	UPLINKS_APPLY, /* run those of the prepared configuration; sessions of others are ended */
	UPLINKS_END /* say good-bye to the remote brokers; answered when that is done, after two seconds at the latest */
};

struct uplink_thread_setup {
	struct broker *broker;
	struct uplink_terms *terms;
	const char *root;         /* first levels of its topics, outlives it */
	uint32_t max_packet_size; /* of our broker */
	uint64_t seed;
	struct loop_source *answered; /* notified when a question is answered; borrowed */
	struct loop_source *reported; /* notified when a report is there; borrowed */
};

/* Its loop and its port of the broker, no thread yet. ERR_NOMEM, ERR_IO, ERR_FULL. */
MUST_USE int uplink_thread_create(const struct uplink_thread_setup *setup, struct uplink_thread **out);
/* ERR_IO when no thread can be made. */
MUST_USE int uplink_thread_start(struct uplink_thread *t);

/*
 * Read what the uplinks of `cfg` need beside: their password files; the limits of their buffers hold from now on for those that are new. What
 * was prepared before is forgotten. `cfg` is borrowed until the next configuration was applied. ERR_NOMEM; ERR_IO: a file cannot be
 * read, which was logged.
 */
MUST_USE int uplink_thread_prepare(struct uplink_thread *t, const struct gateway_config *cfg);
/* One question at a time. An uplink that does not run has said why in the log. */
void uplink_thread_ask(struct uplink_thread *t, enum uplink_ask what);

/*
 * How the uplinks do: {"uplinks": [...]}, docs/man/lineside-status.1. Asked for at any time while the thread runs; `reported` is notified
 * when it can be taken. NULL: out of memory, or it was taken already. The caller's to json_decref().
 */
void uplink_thread_ask_report(struct uplink_thread *t);
json_t *uplink_thread_take_report(struct uplink_thread *t);

/* Stop and join. Harmless when it does not run. */
void uplink_thread_stop(struct uplink_thread *t);
/* Stopped; what of it is on the broker goes before the broker does, the rest with uplink_thread_destroy(). */
void uplink_thread_leave(struct uplink_thread *t);
/* The broker is gone. Accepts NULL. */
void uplink_thread_destroy(struct uplink_thread *t);

#endif
