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
#include "mqtt/promise.h"
#include "mqtt/worker.h"

#define EXPIRY_NEVER UINT32_MAX

struct will {
	struct session *session;
	struct msg *msg;
	struct loop_timer timer; /* its delay, while the client is away */
	bool expires;
	uint32_t delay_s, expiry_s; /* the expiry counts from its publishing (3.1.3.2.4) */
};

/* What a session of the program's own has beside: mqtt/policy.h. */
struct own_session {
	struct list in_worker;
	struct session *session;
	struct mqtt_session_terms *terms;
};

/* There are many, and most wait: what is rarely there is behind a pointer. */
struct session {
	struct worker *worker;
	struct hmap_node by_id;
	struct conn *conn;      /* NULL: away */
	struct mqtt_port *port; /* a port's own session: messages go to its callback */
	uint64_t uid;
	struct own_session *own;  /* NULL: a client's */
	uint32_t stored;          /* its id in the store; 0: it ends with the process */
	uint32_t stored_expiry_s; /* as the store knows it */
	struct will *will;        /* connected, or away with its delay running */
	struct loop_timer expiry;

	/* from the client: QoS 2 ids that wait for PUBREL, one bit each; NULL: none was used yet */
	uint64_t *received;

	/* to the client */
	struct inflight inflight;
	uint16_t *resend;     /* ids of the last connection not sent again yet, in order */
	struct queue *queue;  /* what waits, or its head (shelf.h); NULL: nothing waited yet */
	struct shelf *shelf;  /* of a stored session; NULL: nothing was there yet */
	size_t queued_qos0;   /* of these, sent with QoS 0: only behind a feed */
	struct feeds *feeds;  /* retained messages that are to be sent (feed.c); NULL: none */
	struct answers *left; /* PUBACKs that its last connection waited for (answer.h); NULL: none */

	struct list subs;
	uint64_t subs_bytes;  /* what they count in the budget */
	uint64_t match_stamp; /* scratch of the routing: where this session stands in the list of targets */
	uint32_t match_index;

	uint32_t nsubs;
	uint32_t nreceived;
	uint32_t unacked; /* sent on this connection and not acknowledged; the window counts it */
	uint32_t nresend, resent;
	uint32_t expiry_s;
	bool has_stored_will; /* the store has one */
	bool is_over;  /* it expired while the broker was down: there is only its will any more (restore.c) */
	bool has_heir; /* should it end now, the registry's entry is for the CONNECT in hand */
	bool is_full;  /* the queue was found full, and was not empty since */
	bool is_spared; /* the client came back to a full queue: it gets time to make room */
	uint16_t id_len;
	uint8_t id[]; /* client id */
};

static inline struct span session_id(const struct session *s)
{
	return span_of(s->id, s->id_len);
}

/* One more message did not get to s for the cause `name`, of BROKER_COUNTERS. */
#define session_count_drop(s, name)                                  \
	do {                                                         \
		worker_count((s)->worker, name, 1);                  \
		if ((s)->own)                                        \
			atomic_fetch_add(&(s)->own->terms->name, 1); \
	} while (0)

/* ---- own_session.c ---- */
/* The terms of a session whose id begins with `$`, if the policy has any. ERR_NOMEM. */
MUST_USE int own_session_init(struct session *s);
void own_session_fini(struct session *s);
/* Its client came: tells its filters. */
void own_session_attached(struct session *s);
/* At the end of a turn: how the own sessions of this worker do. */
void own_sessions_tell(struct worker *w);

/* The session of a client id on this worker, or NULL. */
struct session *session_find(struct worker *w, struct span client_id);
/* A new one, away, in the worker's map (not for ports). NULL: out of memory. */
struct session *session_create(struct worker *w, struct span client_id);
/*
 * It is over: subscriptions, queues and timers go, the will is published if it still stands, the registry forgets it. No
 * connection has it any more.
 */
void session_end(struct session *s);
/* Another one takes its place: it ends, its connection with it, but the registry's entry stays. In connect.c. */
void session_discard(struct session *s);
/* Forget the will, if there is one. */
void session_forget_will(struct session *s);
/* Free it without any effect on others (the broker ends). */
void session_free(struct session *s);

/* Take over what is to be published if the client goes without a word; there is none yet. */
void session_take_will(struct session *s, struct will *will);
/* The connection `c` takes over; the client's window and version are in it. */
void session_attach(struct session *s, struct conn *c);
/* Its connection is gone; `publish_will`: not by an orderly DISCONNECT. Ends it when its expiry is 0. */
void session_detach(struct session *s, bool publish_will);
/* After CONNACK: send again what was not acknowledged, then what waited. */
MUST_USE int session_resume(struct session *s);

/* One subscription more, or one less (n: 1, -1). */
void session_count_sub(struct session *s, struct span filter, int n);

/* ---- in the store (session_disk.c): a session that outlives its connection, in a broker that has a store ---- */

/*
 * A client has come and these are its wishes: written if it is not what the store knows already. ERR_NOMEM, ERR_FULL: nothing
 * changed.
 */
MUST_USE int session_put_connected(struct session *s, uint32_t expiry_s, const struct will *will);
/* How it stands now: `s->conn`, or away from now on. What can't be written for want of memory is logged. */
void session_put(struct session *s);
/* It ends. */
void session_drop(struct session *s);

/* ---- shelf.c: rows of the store that wait for a session ---- */

/* At a start: so many rows from first_seq up to next_seq (exclusive) wait for it on disk. ERR_NOMEM. */
MUST_USE int session_restore_rows(struct session *s, uint64_t first_seq, uint64_t next_seq, uint64_t rows,
				  uint64_t bytes);
/* One of them was sent with QoS 2: in state SENT or RELEASED, in order, and borrowed. ERR_NOMEM. */
MUST_USE int session_restore_inflight(struct session *s, const struct store_row *r);

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
/* The disk has what was waited for: send what may leave by now. */
void session_let_go(struct session *s);
/* Room came up: send what waits. */
void session_pump(struct session *s);

/* The client answers; reasons as in the packet. ERR_PROTOCOL: an answer to what was not sent so. */
MUST_USE int session_puback(struct session *s, uint16_t packet_id);
MUST_USE int session_pubrec(struct session *s, uint16_t packet_id, uint8_t reason);
MUST_USE int session_pubcomp(struct session *s, uint16_t packet_id);

/* Incoming QoS 2 ids. received_add: false when it is there already; ERR_NOMEM. */
MUST_USE int session_received_add(struct session *s, uint16_t packet_id, bool *fresh);
bool session_received_has(const struct session *s, uint16_t packet_id);
bool session_received_remove(struct session *s, uint16_t packet_id);

/* Does anything wait to be sent? */
bool session_waits(const struct session *s);

/* ---- feed.c: the retained messages of a fresh subscription, in the session's order of things ---- */

/* May it get the retained messages of one more subscription? Not while too many feeds wait (what max_queued_bytes is for). */
bool session_feed_has_room(const struct session *s);
/*
 * The retained messages of a subscription that was just made or renewed with these options, to be sent in their turn: behind
 * what waited before, before what comes later. ERR_NOMEM.
 */
MUST_USE int session_feed_retained(struct session *s, struct span filter, const struct sub_options *o);
/* A retained message is delivered: a feed that is not sent yet must not bring it again. */
void session_feeds_note(struct session *s, const struct publication *p);
/* Does a feed wait to be sent? */
bool session_is_fed(const struct session *s);
/* Is a feed's next value what is to be sent next, but for what is sent again? */
bool session_feed_is_first(const struct session *s);
/* The oldest message of the queue is gone. */
void session_feed_passed(struct session *s);
/* The newest one is about to go. */
void session_feed_cut(struct session *s);
/*
 * The next value of the first feed, with a reference for the caller, and how it is to be delivered; `d` is good until the feed is
 * asked again. NULL: none was found in *looks looks, which are counted down, or that was all and the feed is gone.
 */
struct retained *session_feed_next(struct session *s, uint32_t *looks, struct delivery *d);
/* How many looks a session has in this turn. */
uint32_t feed_looks(const struct worker *w);
void session_feeds_clear(struct session *s);
/* Feeds that can be sent by now go to their sessions. */
void feeds_ripen(struct worker *w);

#endif
