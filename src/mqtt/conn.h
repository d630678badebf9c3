/*
 * A client's connection: bytes in, packets handled, bytes out. Belongs to one worker's loop; before CONNECT is through it may
 * move to the worker that has its session.
 *
 *   NEW --CONNECT accepted--> OPEN --fault, DISCONNECT, takeover--> CLOSING --turn's end, flushed--> gone
 *    +--connect time-out, anything but CONNECT, refused---------------^
 *
 * Where the disk has to be waited for (answer.h) there is a state more: OPENING before OPEN, with a session that counts as away,
 * until CONNACK leaves; and ENDING before CLOSING, after a DISCONNECT that changed the session. In both it is not read.
 */
#ifndef MQTT_CONN_H
#define MQTT_CONN_H

#include "mqtt/output.h"
#include "mqtt/worker.h"

enum conn_state { CONN_NEW, CONN_OPENING, CONN_OPEN, CONN_ENDING, CONN_CLOSING };

/* Topic aliases in one direction (5.0, 3.3.2.3.4). */
#define ALIASES_IN_MAX 10u /* what clients may set: as many as elsewhere */
#define ALIASES_MAX    32u
struct aliases {
	uint16_t count; /* used, 1..count */
	struct alias {
		uint32_t len;
		uint8_t *topic;
	} at[ALIASES_MAX];
};

/* A SUBSCRIBE that takes more than one turn; it is the first packet in the connection's input. */
struct subscribing {
	size_t offset;  /* where the next filter is in the list */
	uint32_t count; /* of its filters that are done */
	uint8_t codes[];
};

/* There are many that do nothing: what is rarely there is behind a pointer. */
struct conn {
	struct stream *stream;
	struct worker *worker;
	struct session *session; /* OPENING, OPEN, ENDING */
	struct list in_worker, dirty, unread;
	uint64_t last_read_ms;
	struct loop_timer timer; /* connect time-out, later keep-alive */
	struct output output;
	struct aliases *aliases_in, *aliases_out; /* NULL: none were used yet */
	struct subscribing *subscribing;          /* NULL: there is none */
	struct answers *answers;                  /* that wait (answer.h); NULL: none */
	uint8_t *input; /* the start of a packet whose rest has not come; NULL: none */
	uint32_t input_len, input_room;
	uint32_t max_packet; /* the client's limit; 0: none */
	uint16_t keep_alive_s;
	uint16_t receive_maximum; /* the client's window */
	uint16_t aliases_out_max;
	uint16_t received_before; /* QoS 2 ids of earlier connections: PUBREL of them needs no window */
	uint8_t state;            /* enum conn_state */
	uint8_t version;
	bool write_blocked;   /* WRITABLE will come */
	bool publishes;       /* sent a PUBLISH: not read while hand-over is behind */
	bool orderly;         /* DISCONNECT came: no will */
	bool is_resumed;      /* its session was there before: what it repeats may be done already */
	bool wants_reasons;   /* it asked for Request Problem Information: failures are told in words, too */
	bool waits_for_store; /* its first packet in `input` does, a PUBLISH (refusal.h) */
	bool own;             /* the program's, not a client's from outside */
	bool unhandled;       /* `input` has packets that wait for a turn with more time */
};

/* Who it is, for the log: writes into `buf` and returns it. Not while it is being buried. */
const char *conn_peer(const struct conn *c, char buf[STREAM_PEER_MAX]);
/* Takes the stream; attaches it to the worker's loop. Closes it when that fails. */
void conn_open(struct worker *w, struct stream *stream, bool own);
/* End it at the end of this turn, after what is in its output; v5 clients are told `reason` if it is an error. */
void conn_close(struct conn *c, uint8_t reason, const char *why);
/* The same without a word to the client and without a log line (it went by itself, or that was logged). */
void conn_drop(struct conn *c);
/* At once, whatever it has; the session is left as it is (the broker ends). */
void conn_free(struct conn *c);

/*
 * For the move to another worker: off this one's lists and loop; and onto the other's. conn_attach: ERR_NOMEM, ERR_IO.
 */
void conn_detach(struct conn *c);
MUST_USE int conn_attach(struct conn *c, struct worker *w);

/* The turn's end: flush, and bury what is closing. */
void conns_flush(struct worker *w);
/* Read again those that had more. */
void conns_read_on(struct worker *w);

/* Its keep-alive runs from now on, if it has one. */
void conn_keep_alive(struct conn *c);
/* Will be flushed at the end of this turn. */
void conn_dirty(struct conn *c);
/* Room for a small packet; NULL after closing the connection for want of memory. */
uint8_t *conn_take(struct conn *c, uint32_t n);
/* The same for a packet that is no PUBLISH, and counts it. */
uint8_t *conn_take_control(struct conn *c, uint32_t n);
/* May a packet of n bytes go to this client [MQTT-3.1.2-24]? */
static inline bool conn_fits(const struct conn *c, size_t n)
{
	return !c->max_packet || n <= c->max_packet;
}

/*
 * ---- packets.c: what came; a negative value closes the connection: ERR_* or a reason code as CONN_ERR_REASON. But ERR_AGAIN:
 * it is not done, and wants to be called with the same packet in the next turn ----
 */
#define CONN_ERR_REASON(reason) (-1000 + -(int)(reason))
#define CONN_ERR_QUIET          CONN_ERR_REASON(MQTT_RC_SUCCESS) /* malformed, and nobody to tell */
#define CONN_ERR_ALIAS          CONN_ERR_REASON(MQTT_RC_TOPIC_ALIAS_INVALID)
MUST_USE int conn_packet(struct conn *c, const struct mqtt_frame *f);

/* ---- connect.c ---- */
enum connect_outcome { CONNECT_DONE, CONNECT_MOVED };
/* `rest` are the bytes from CONNECT on, for the move. CONNECT_MOVED: c is another worker's now. */
MUST_USE int conn_connect(struct conn *c, const struct mqtt_frame *f, struct span rest,
			  enum connect_outcome *outcome);
/* CONNACK is written: the session's messages follow. */
void conn_opened(struct conn *c);
/* On the new worker: go on with the bytes that came along. */
void conn_arrive(struct worker *w, struct conn *c, struct span bytes);

/* ---- send.c ---- */
/*
 * A failure in words, which live until the packet is encoded, for a client that asked for them [MQTT-3.1.2-29]. *size is that
 * of the packet so far, and grows; where it would become more than the client takes, nothing is added.
 */
void conn_explain(const struct conn *c, struct mqtt_props *props, const char *why, size_t *size);
/* Where clients are sent, beside a reason that says so (5.0, 4.11). *size as above. */
void conn_refer(const struct conn *c, struct mqtt_props *props, uint8_t reason, size_t *size);
void conn_send_ack(struct conn *c, enum mqtt_type type, uint16_t packet_id, uint8_t reason);
struct delivery;
/* Send a PUBLISH. false: larger than the client takes, or no memory (then the connection is closed). */
bool conn_send_publish(struct conn *c, struct publication *p, const struct delivery *d, uint16_t packet_id,
		       bool dup);
void aliases_free(struct conn *c, struct aliases *a); /* accepts NULL */
/* Of a topic that an alias of c stands for; it becomes `copy` (malloc'ed). */
void alias_set(struct conn *c, struct alias *a, uint8_t *copy, uint32_t len);

#endif
