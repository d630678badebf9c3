/*
 * One uplink: what is published here goes to a remote MQTT broker, what is published there comes here.
 *
 *     our broker --- session "$uplink/NAME" ----- local client --+                      +-- remote broker
 *               \--- session "$uplink/NAME/2" --- local client --+-- records --- remote client
 *
 * The buffer is a session of our own broker, so that durability, order and bounds are the broker's: a record is acknowledged there
 * only when the remote broker has acknowledged it. Two sessions, so that live values do not wait behind a large backlog:
 *
 *     one session has the filters and everything, in order   --backlog above BACKLOG_MAX while the remote broker is there-->
 *     the other one gets the filters, too; a moment later the first one loses them  -->
 *     live values come by the other one and go first; the first one drains   --empty-->  the other one has everything
 *
 * In the moment between, messages come by both and arrive twice; none is lost. See docs/decisions/ for why it is built so.
 *
 * It touches no socket, clock or file: the loop has the time, dialers make the streams. Thread: the loop's.
 */
#ifndef UPLINKS_UPLINK_H
#define UPLINKS_UPLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "config/gateway_config.h"
#include "loop/loop.h"
#include "mqtt/policy.h"
#include "net/stream.h"

#define UPLINK_ID_PREFIX "$uplink/"
#define UPLINK_ID_MAX    (sizeof(UPLINK_ID_PREFIX "/2") + 4 * CONFIG_NAME_MAX)

struct uplink;

/* The client id of session `index`, 0 or 1, of an uplink; `buf` has UPLINK_ID_MAX bytes. Returns buf. */
const char *uplink_session_id(const char *name, unsigned index, char *buf);

/* The limits of its buffer for either session; may be called while the session is in use. */
void uplink_terms_set(struct mqtt_session_terms *terms, const struct config_uplink *cfg);

struct uplink_events {
	void (*changed)(void *arg); /* its state or its last error; not from inside uplink_create() */
	void (*stopped)(void *arg); /* after uplink_stop(); may destroy it */
};

struct uplink_places {
	struct loop *loop;
	struct dialer *local;                /* to our broker, by broker_accept_own(); borrowed */
	struct dialer *remote;               /* taken, also on failure */
	struct mqtt_session_terms *terms[2]; /* of the sessions, by uplink_terms_set(); they outlive it */
};

/*
 *   cfg       copied
 *   client_id, password   in force: `cfg` may leave the first one out, and names a file for the other; copied
 *   max_packet_size       of our broker: larger messages are not taken from the remote one
 * Dials with the next turn. ERR_NOMEM; ERR_RANGE, ERR_MALFORMED: something in the configuration cannot be said in MQTT.
 */
struct uplink_setup {
	const struct config_uplink *cfg;
	const char *client_id;
	struct span password;
	uint32_t max_packet_size;
	uint64_t seed;
};

MUST_USE int uplink_create(const struct uplink_places *places, const struct uplink_setup *setup,
			   const struct uplink_events *events, void *arg, struct uplink **out);
/* End its connections with a word; `stopped` follows, after a second or two at the latest. What is buffered stays. */
void uplink_stop(struct uplink *u);
/* At once. Accepts NULL. */
void uplink_destroy(struct uplink *u);

enum uplink_state {
	UPLINK_OFFLINE,
	UPLINK_ONLINE,
	UPLINK_DRAINING /* connected, and a large backlog goes out beside live values */
};
const char *uplink_state_text(enum uplink_state s);

#define UPLINK_ERROR_BYTES 256u

/*
 * Causes for which a message did not get to the other side. Those of BUFFER are counted by the sessions (policy.h), those of SELF by the
 * uplink. UPLINK_DROP(name, text)
 */
#define UPLINK_DROPS_OF_BUFFER(UPLINK_DROP)                                   \
	UPLINK_DROP(queue_full, "came to a full buffer")                      \
	UPLINK_DROP(queue_oldest, "left a full buffer for newer ones")        \
	UPLINK_DROP(expired, "were older than max_age, or than their expiry") \
	UPLINK_DROP(memory, "could not be kept for want of memory")           \
	UPLINK_DROP(commands, "were commands while the remote broker was not there")
#define UPLINK_DROPS_OF_SELF(UPLINK_DROP)                                         \
	UPLINK_DROP(refused, "were refused by the remote broker for good")        \
	UPLINK_DROP(unmapped, "have a topic that the template makes no topic of") \
	UPLINK_DROP(not_taken, "came from the remote broker, and our own broker refused them")
#define UPLINK_DROPS(UPLINK_DROP)           \
	UPLINK_DROPS_OF_BUFFER(UPLINK_DROP) \
	UPLINK_DROPS_OF_SELF(UPLINK_DROP)

struct uplink_drops {
#define UPLINK_DROP_FIELD(name, text) uint64_t name;
	UPLINK_DROPS(UPLINK_DROP_FIELD)
#undef UPLINK_DROP_FIELD
};

struct uplink_status {
	enum uplink_state state;
	int64_t since_ms; /* wall clock */
	uint64_t sent;    /* PUBLISH to the remote broker, with those that went again */
	uint64_t acknowledged;
	uint64_t received; /* from the remote broker, and published here */
	uint64_t returned; /* came back to where they had come from, and were held back */
	uint64_t connects;
	struct uplink_drops dropped;
	uint64_t queued_messages, queued_bytes; /* in the buffer; the bytes of those that wait there */
	int64_t last_error_ms;                  /* wall clock; 0: there was none */
	const char *last_error;                 /* in words, until the next call; "" */
};

void uplink_status(const struct uplink *u, struct uplink_status *out);

/* ---- ending the sessions of an uplink that is no more ---- */

struct uplink_ending;
/*
 * End the session of this client id with all that waits in it. `done` is called once, with ended false when our broker could not be
 * asked; the ending is gone then. ERR_NOMEM.
 */
MUST_USE int uplink_end_session(struct loop *loop, struct dialer *local, const char *client_id,
				void (*done)(void *arg, struct uplink_ending *e, bool ended), void *arg,
				struct uplink_ending **out);
/* Give it up. Accepts NULL. */
void uplink_ending_destroy(struct uplink_ending *e);

#endif
