/*
 * An MQTT client, versions 3.1, 3.1.1 and 5.0: a state machine on the caller's loop over a `struct dialer`.
 * It knows no socket, no clock but the loop's and no global; it never blocks. Used by `lineside pub` and
 * `sub` and by everything that talks to another broker.
 *
 * What it promises
 *   - Every publish that was accepted ends in exactly one published() call, at the latest from
 *     mqtt_client_destroy().  No event is raised from inside publish, subscribe, unsubscribe or start.
 *   - QoS 1 and 2 survive reconnects: with their packet id and DUP when the server kept the session, as new ones
 *     when it lost it.  A QoS 2 message that the server took over (PUBREC) before it lost the session is
 *     finished: sending it anew could only make a second copy (5.0, 4.3.3).
 *   - Publishes leave in the order of the calls; one that must wait for the server's receive maximum holds back those
 *     behind it.  Acknowledgements leave in the order of what they acknowledge.
 *   - A QoS 2 message is delivered once within the session (with manual_ack: once it was acknowledged).
 *   - Granted subscriptions are made again when the server lost the session, and also when it may have: a CONNACK that
 *     never arrived may have told of a new one, which the next CONNACK then calls present.
 *   - Memory: the queue has the bounds of the options, input at most `max_packet_size`; buffers grow with bytes that
 *     arrived, never by a length that the peer claims.
 *
 * Thread: the loop's.  Sources: MQTT 3.1, 3.1.1, 5.0; clause ids beside the code are those of 5.0.
 */
#ifndef MQTT_CLIENT_H
#define MQTT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"
#include "net/stream.h"
#include "wire/mqtt.h"

struct mqtt_client;

/* ---- options: everything is copied by mqtt_client_create() ---- */

struct mqtt_client_options {
	/*
	 * The CONNECT packet: version, client id, clean start, keep alive (s), user, password, will, and the
	 * v5 properties. Of these the client itself heeds SESSION_EXPIRY, RECEIVE_MAXIMUM,
	 * TOPIC_ALIAS_MAXIMUM and MAXIMUM_PACKET_SIZE.
	 *
	 * clean_start is for the first connection; a v5 client with a session expiry above 0 resumes its own
	 * session afterwards. In v3 it is the clean session flag of every connection.
	 */
	struct mqtt_connect connect;

	bool reconnect;            /* dial again after a failure, for ever */
	uint32_t reconnect_min_ms; /* first wait; doubles after each failure ... */
	uint32_t reconnect_max_ms; /* ... up to this. Each wait is drawn from its upper half. */
	uint64_t seed;             /* for that draw */

	uint32_t queue_messages; /* publishes and requests accepted and not finished, 1.. */
	size_t queue_bytes;      /* their encoded size */
	uint16_t
		inflight; /* QoS 1 and 2 unacknowledged at a time, 1..; the server's receive maximum also holds */
	uint32_t max_packet_size;    /* of input, announced in v5; 0: no limit but MQTT's own */
	bool manual_ack;             /* what is received is acknowledged by mqtt_client_ack() only */
	uint32_t connect_timeout_ms; /* from dialling to CONNACK */
	uint32_t ping_timeout_ms;    /* from PINGREQ, without any byte from the server */
};

/*
 * Defaults: 3.1.1, clean start, empty client id, keep alive 60 s, reconnect 1 s to 60 s, 1000 messages, 16
 * MiB, 100 in flight, no limit on input, connect time-out 30 s, ping time-out 10 s.
 */
void mqtt_client_options_init(struct mqtt_client_options *o);

/* ---- events; any of them may be NULL. Spans live for the call. ---- */

struct mqtt_client_connected {
	bool session_present;
	uint8_t reason;                 /* always success; refusals come as `disconnected` */
	const struct mqtt_props *props; /* of CONNACK; empty below v5 */
	struct span client_id;          /* in force: ours or the assigned one */
	uint16_t keep_alive_s;          /* in force: ours or the server's */
};

struct mqtt_client_disconnected {
	/*
	 * OK: we asked for it. ERR_REMOTE: refused in CONNACK or ended by a DISCONNECT of the server.
	 * ERR_CLOSED, ERR_IO: the stream. ERR_TIMEOUT: connecting or the ping. ERR_PROTOCOL, ERR_MALFORMED,
	 * ERR_TOO_LARGE: the server broke the protocol. ERR_NOMEM.
	 */
	int err;
	bool is_refused; /* `reason` is that of CONNACK; in v3 the return code */
	uint8_t reason;  /* what the server said, or what we closed with; 0 when nobody said anything */
	const struct mqtt_props *props; /* of the server's packet, or NULL */
	bool was_connected;
	int64_t retry_ms; /* dials again after this; -1: does not */
};

struct mqtt_client_answer {  /* to subscribe or unsubscribe */
	enum mqtt_type type; /* MQTT_SUBSCRIBE or MQTT_UNSUBSCRIBE */
	void *token;         /* NULL for what was subscribed anew after a lost session */
	bool is_again;       /* the latter */
	/*
	 * OK: codes are there. ERR_TOO_LARGE, ERR_UNSUPPORTED: not sent, the server cannot take it (`reason`
	 * says what). ERR_CLOSED: destroyed.
	 */
	int err;
	uint8_t reason;
	uint32_t count;                 /* filters asked */
	struct span codes;              /* one per filter; v3 UNSUBACK has none */
	const struct mqtt_props *props; /* NULL without an answer */
};

struct mqtt_client_events {
	void (*connected)(void *arg, const struct mqtt_client_connected *e);
	/* May destroy the client, or call mqtt_client_disconnect() to stop it from dialling again. */
	void (*disconnected)(void *arg, const struct mqtt_client_disconnected *e);
	void (*message)(void *arg, const struct mqtt_publish *m);
	/*
	 * A publish is finished. err OK: QoS 0 was written, QoS 1 and 2 acknowledged with `reason` (below
	 * 0x80).  ERR_REMOTE: the server refused it with `reason`.  ERR_TOO_LARGE, ERR_UNSUPPORTED: the
	 * server cannot take it (reason says what: QoS, retain, size, alias).  ERR_CLOSED: a QoS 0 message
	 * was cut off by the end of the connection, or the client was destroyed. props: of the
	 * acknowledgement, or NULL.
	 */
	void (*published)(void *arg, void *token, int err, uint8_t reason, const struct mqtt_props *props);
	void (*answered)(void *arg, const struct mqtt_client_answer *e);
	/* Each packet as it is queued for output or was read, for debug output; must not call the client. */
	void (*packet)(void *arg, bool is_sent, const struct mqtt_frame *f);
};

struct mqtt_client_counters {
	uint64_t published, acknowledged; /* PUBLISH sent, resends not counted; finished well */
	uint64_t resent, received;        /* PUBLISH resent; PUBLISH delivered to message() */
	uint64_t duplicates;              /* QoS 2 repeats that were held back */
	uint64_t dropped;        /* publishes refused by the queue's bounds, cut off, or not possible */
	uint64_t connects, lost; /* CONNACKs of success; connections lost after one */
	uint64_t sent_bytes, received_bytes;
};

/* ---- life ---- */

/*
 *   loop, dialer  borrowed until mqtt_client_destroy()
 *   events, arg   events is copied
 * ERR_NOMEM; ERR_RANGE, ERR_MALFORMED, ERR_PROTOCOL or ERR_UNSUPPORTED when CONNECT cannot be
 * expressed. *out is NULL after a failure.
 */
MUST_USE int mqtt_client_create(struct loop *loop, struct dialer *dialer, const struct mqtt_client_options *o,
				const struct mqtt_client_events *events, void *arg, struct mqtt_client **out);

/* Dial on the next turn. ERR_BUSY when it is started already. */
MUST_USE int mqtt_client_start(struct mqtt_client *c);

/*
 * End the connection with DISCONNECT (v5: reason and props, which may be NULL; borrowed for the call) and
 * stay down; disconnected() with OK follows (at once when only an attempt has to be given up; none during a
 * back-off).  With `finish_first` what was accepted is sent and acknowledged before (over reconnects, if
 * those are on) and new publishes are refused; without, it stays queued for another start. ERR_NOMEM,
 * ERR_RANGE.
 */
MUST_USE int mqtt_client_disconnect(struct mqtt_client *c, bool finish_first, uint8_t reason,
				    const struct mqtt_props *props);

/*
 * Close without DISCONNECT (the will fires), finish what is pending with ERR_CLOSED, free. From inside an
 * event too. Accepts NULL.
 */
void mqtt_client_destroy(struct mqtt_client *c);

/* ---- work, in any state ---- */

/*
 * topic, payload, qos, retain and props (v5) of m are copied; dup and packet_id are not looked at. `token`
 * comes back in published().  ERR_FULL: the queue's bounds. ERR_TOPIC: no topic to publish to. ERR_RANGE: not
 * expressible. ERR_CLOSED: a disconnect with finish_first is under way. ERR_NOMEM.
 */
MUST_USE int mqtt_client_publish(struct mqtt_client *c, const struct mqtt_publish *m, void *token);

/*
 * items/filters: count 1..; props may be NULL. All is copied. User properties go with the first SUBSCRIBE
 * only, a subscription id with each. Errors as for publish; ERR_TOPIC: a filter is wrong.
 */
MUST_USE int mqtt_client_subscribe(struct mqtt_client *c, const struct mqtt_sub_item *items, size_t count,
				   const struct mqtt_props *props, void *token);
MUST_USE int mqtt_client_unsubscribe(struct mqtt_client *c, const struct span *filters, size_t count,
				     const struct mqtt_props *props, void *token);

/*
 * With manual_ack: inside message(), what mqtt_client_ack() wants for this message; 0 with QoS 0. How many may be owed is
 * RECEIVE_MAXIMUM of the options: a v5 server sends no more. One that is still owed when the connection ends is
 * delivered again on the next one, with QoS 2, too.
 */
uint64_t mqtt_client_message_token(const struct mqtt_client *c);
/*
 * The message is done with. In any order and at any time; the acknowledgements leave in the order of the messages. A token of
 * an earlier connection, or 0, does nothing.
 */
void mqtt_client_ack(struct mqtt_client *c, uint64_t token);

/*
 * While there is no connection: end all publishes of QoS 0 and 1 with ERR_CLOSED, in the order in which they were accepted. The
 * server may have got some of them. From inside disconnected(), too.
 */
void mqtt_client_take_back(struct mqtt_client *c);

bool mqtt_client_is_connected(const struct mqtt_client *c);
/* Publishes accepted and not finished. */
uint32_t mqtt_client_pending(const struct mqtt_client *c);
void mqtt_client_counters(const struct mqtt_client *c, struct mqtt_client_counters *out);

#endif
