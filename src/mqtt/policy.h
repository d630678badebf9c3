/*
 * What the broker asks before it lets a client act. The broker owns this interface; who decides (ownership of topics,
 * later accounts) implements it. Called on worker threads at once: implementations are thread-safe, do not block and do
 * not allocate.
 */
#ifndef MQTT_POLICY_H
#define MQTT_POLICY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct mqtt_publish_request {
	struct span client_id;
	struct span topic;
	uint8_t qos;
	bool retain;
	bool is_will; /* asked at CONNECT for the will */
};

/*
 * What a session of the program's own (broker_accept_own()) may keep, in place of the broker's limits for all, and how it does.
 * The session's worker reads the limits at each message and tells the rest, at the end of its turns; any thread may look.
 */
struct mqtt_session_terms {
	_Atomic uint64_t max_messages, max_bytes; /* waiting */
	_Atomic uint64_t max_age_ms; /* what is older is dropped, as what expired; 0: it may be of any age */
	_Atomic bool drop_oldest;    /* when it is full; else what comes is dropped */

	_Atomic uint64_t queued_messages; /* waiting or sent and not acknowledged */
	_Atomic uint64_t queued_bytes;    /* of those that wait */
	_Atomic uint64_t subscriptions;
	/*
	 * Its plain filters when its client connected last, each with a NUL behind it, at the end one more; malloc'ed. Who takes
	 * it (by an exchange) frees it.
	 */
	_Atomic(char *) filters;

	/* messages that did not get to it, by cause: as the broker's counters of these names */
	_Atomic uint64_t dropped_queue_full, dropped_queue_oldest, dropped_expired, dropped_memory,
		dropped_commands;
};

struct mqtt_policy {
	/*
	 * May this be published? MQTT_RC_SUCCESS or the reason code to refuse it with. *command set to true: the
	 * message is a command, never queued for who is not there, never retained, never sent again. Of a will it is
	 * asked once, at CONNECT.
	 */
	uint8_t (*publish)(struct mqtt_policy *p, const struct mqtt_publish_request *r, bool *command);

	/*
	 * A session of the program's own begins, or was found in the store; its client id begins with `$`. Its terms, which
	 * outlive the broker, or NULL: the limits for all hold. This callback itself may be NULL.
	 */
	struct mqtt_session_terms *(*session)(struct mqtt_policy *p, struct span client_id);
};

#endif
