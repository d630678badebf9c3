/*
 * A session: what the broker remembers of a client, connected or not. It belongs to one worker for its whole life; a
 * connection that comes for it moves there.
 *
 *   connected --connection ends--> away --expiry runs out--> ended
 *       ^                           |
 *       +------ CONNECT resumes ----+      expiry 0: ended at once
 */
#ifndef MQTT_SESSION_H
#define MQTT_SESSION_H

#include "mqtt/inflight.h"
#include "mqtt/worker.h"

#define EXPIRY_NEVER UINT32_MAX

struct will {
	struct msg *msg;
	bool expires;
	uint32_t delay_s, expiry_s; /* the expiry counts from its publishing (3.1.3.2.4) */
};

/*
 * The retained messages that a subscription found, in the session's order of things: after `ahead` messages that were queued
 * before them (behind an earlier feed), before all that came later.
 */
struct retained_feed {
	struct retained_feed *next;
	struct retained **values;
	uint32_t count, at, room;
	size_t ahead;
	struct sub_options options;
};

/*
 * A retained message for a subscription that was there before, and so is owed everything that is on its way from another
 * worker. What is not newer has to come first.
 */
struct deferred {
	struct list in_session, in_worker;
	struct session *session;
	struct retained *value;
	struct sub_options options;
};

/* What may come late from another worker and is older than a retained message that was sent. */
struct guard {
	struct list in_session, in_worker;
	uint64_t topic; /* hash */
	uint64_t number;
	struct budget_share *budget;
	uint16_t origin;
};

struct session {
	struct worker *worker;
	struct hmap_node by_id;
	struct conn *conn;      /* NULL: away */
	struct mqtt_port *port; /* a port's own session: messages go to its callback */
	uint64_t uid;
	uint32_t expiry_s;
	bool has_heir;     /* should it end now, the registry's entry is for the CONNECT in hand */
	struct will *will; /* connected, or away with its delay running */
	struct loop_timer expiry, will_timer;

	/* from the client: QoS 2 ids that wait for PUBREL, one bit each; NULL: none was used yet */
	uint64_t *received;
	uint32_t nreceived;

	/* to the client */
	struct inflight inflight;
	uint32_t unacked; /* sent on this connection and not acknowledged; the window counts it */
	uint16_t *resend; /* ids of the last connection not sent again yet, in order */
	uint32_t nresend, resent;
	struct store_queue *queue;  /* NULL: nothing waited yet */
	bool is_full;               /* the queue was found full, and was not empty since */
	bool is_spared;             /* the client came back to a full queue: it gets time to make room */
	size_t queued_first;        /* of these, what a new message of QoS 0 waits behind */
	struct retained_feed *feed; /* oldest first */
	uint64_t feed_bytes;        /* of the retained messages that wait in feeds and in `deferred` */

	struct list subs;
	uint32_t nsubs;
	uint64_t subs_bytes; /* what they count in the budget */
	struct list guards;
	struct list deferred;

	/* scratch of the routing: where this session stands in the list of targets */
	uint64_t match_stamp;
	uint32_t match_index;

	uint16_t id_len;
	uint8_t id[]; /* client id */
};

static inline struct span session_id(const struct session *s)
{
	return span_of(s->id, s->id_len);
}

/* The session of a client id on this worker, or NULL. */
struct session *session_find(struct worker *w, struct span client_id);
/* A new one, away, in the worker's map (not for ports). NULL: out of memory. */
struct session *session_create(struct worker *w, struct span client_id);
/*
 * It is over: subscriptions, queues and timers go, the will is published if it still stands, the registry forgets it. No
 * connection has it any more.
 */
void session_end(struct session *s);
/* Free it without any effect on others (the broker ends). */
void session_free(struct session *s);

/* The connection `c` takes over; the client's window and version are in it. */
void session_attach(struct session *s, struct conn *c);
/* Its connection is gone; `publish_will`: not by an orderly DISCONNECT. Ends it when its expiry is 0. */
void session_detach(struct session *s, bool publish_will);
/* After CONNACK: send again what was not acknowledged, then what waited. */
MUST_USE int session_resume(struct session *s);

/* How one message goes to one session. */
struct delivery {
	uint8_t qos;   /* the lower of message and subscription */
	bool retain;   /* flag to set */
	uint32_t nids; /* subscription identifiers */
	const uint32_t *ids;
};

/* Is the limit of what waits for it reached? */
bool session_queue_is_full(const struct session *s);
/*
 * Memory is short and this session has the largest backlog of its worker: disconnect the client if that is the policy, else drop
 * half of what waits, counted.
 */
void session_cut(struct session *s);
/* Is more in it than FAIR_QUEUE_BYTES? */
bool session_queue_is_large(const struct session *s);
/* Could it take one more message right now (share groups ask)? */
bool session_can_take(const struct session *s, uint8_t qos);
/* Deliver or keep a message. What can't be is counted. */
void session_deliver(struct session *s, struct publication *p, const struct delivery *d);
/* Room came up: send what waits. */
void session_pump(struct session *s);

/* The client answers; reasons as in the packet. ERR_PROTOCOL: an answer to what was not sent so. */
MUST_USE int session_puback(struct session *s, uint16_t packet_id);
MUST_USE int session_pubrec(struct session *s, uint16_t packet_id, uint8_t reason);
MUST_USE int session_pubcomp(struct session *s, uint16_t packet_id);

/* Incoming QoS 2 ids. received_add: false when it is there already; ERR_NOMEM. */
MUST_USE int session_received_add(struct session *s, uint16_t packet_id, bool *fresh);
bool session_received_remove(struct session *s, uint16_t packet_id);

/* A retained message newer than what may be on its way from `origin` was sent: skip that. */
void session_guard(struct session *s, struct span topic, uint16_t origin, uint64_t number);
bool session_is_guarded(struct session *s, const struct publication *p);
void guard_free(struct guard *g);
/* Drop the guards whose time is over. */
void guards_expire(struct worker *w);
/*
 * Deliver the deferred retained messages whose time has come: those that wait for messages of lane l below `number`, which is
 * about to be handled; l NULL: those whose lane is empty.
 */
void deferred_release(struct worker *w, const struct lane *l, uint64_t number);
void deferred_free(struct deferred *d);
/* Free a feed that is in no list any more, with what is left of it. */
void feed_free(struct session *s, struct retained_feed *f);
/* Does anything wait to be sent? */
bool session_waits(const struct session *s);
/* May it get the retained messages of one more subscription? Not while too many wait (what max_queued_bytes is for). */
bool session_feed_has_room(const struct session *s);
/*
 * The retained messages of a subscription that was just made (or renewed: `existed`), to be sent in their turn. ERR_NOMEM:
 * some are missing.
 */
MUST_USE int session_feed_retained(struct session *s, struct span filter, const struct sub *sub,
				   bool existed);

#endif
