/*
 * Inside the MQTT client: for client*.c only.  See client.h for what it does.
 *
 *               start                   WRITABLE                CONNACK 0
 *     IDLE ---------------> DIALING ---------------> HANDSHAKE ---------------> UP
 *      ^  ^                  |   ^                       |                      |  |
 *      |  |   fails, or      |   | back-off              | fails, refused       |  | disconnect, and
 *      |  +--- no reconnect -+   | is over               | or late              |  | nothing to finish
 *      |                     v   |                       v                      |  v
 *      |                    WAITING <---------------------------- lost ---------+ LEAVING
 *      |                     |                                                     |
 *      +---- disconnect -----+                                                     |
 *      +------------- server closed, or LEAVE_TIMEOUT_MS ---------------------------+
 *
 * client.c       the calls of client.h            client_conn.c  the states
 * client_in.c    bytes in, packets to handlers    client_out.c   bytes out, batched at the end of the turn
 * client_pub.c   publishes of ours                client_sub.c   subscribe, unsubscribe, subscribe anew
 * client_owed.c  acknowledgements that the user gives
 */
#ifndef MQTT_CLIENT_IMPL_H
#define MQTT_CLIENT_IMPL_H

#include "base/list.h"
#include "mqtt/client.h"

#define CLIENT_OUT_BATCH     65536u /* publishes are taken from the queue up to this much unwritten output */
#define CLIENT_ACKS_MAX      1048576u /* unwritten acknowledgements, then reading pauses */
#define CLIENT_IN_FIRST      8192u
#define CLIENT_READ_BUDGET   1048576u /* bytes per turn; others on the loop have their turn too */
#define CLIENT_KEEP_BUFFER   262144u  /* larger buffers are given back when empty */
#define CLIENT_LEAVE_MS      1000u    /* after DISCONNECT the server has this long to close */
#define CLIENT_SUBSCRIBE_MAX 8u /* filters per packet when subscribing anew; some servers take no more */
#define CLIENT_ID_WORDS      (65536u / 64u)

enum client_state {
	CLIENT_IDLE,
	CLIENT_DIALING,
	CLIENT_HANDSHAKE,
	CLIENT_UP,
	CLIENT_LEAVING,
	CLIENT_WAITING,
	CLIENT_STATES
};

struct outgoing { /* one publish of ours, encoded; packet id and DUP are set when it is sent */
	struct list node;
	void *token;
	uint64_t end;       /* QoS 0: it is written when out.written reaches this */
	uint32_t size;      /* of packet[] */
	uint32_t id_at;     /* where the packet id stands; 0 for QoS 0 */
	uint16_t packet_id; /* 0: has none yet */
	uint16_t alias;
	uint8_t qos;
	bool retain;
	bool is_released;  /* PUBREC came: it is in `releasing` */
	bool is_in_window; /* counted in nwindow */
	uint8_t packet[];
};

struct request { /* SUBSCRIBE or UNSUBSCRIBE, encoded */
	struct list node;
	void *token;
	uint32_t size;
	uint32_t id_at;
	uint32_t count;
	uint16_t packet_id;
	uint8_t type;
	bool is_again;
	uint8_t packet[];
};

struct subscription { /* granted; made again when the session is lost */
	struct list node;
	uint32_t sub_id; /* 0: none */
	struct mqtt_sub_item item;
	uint8_t filter[];
};

struct id_set {
	uint64_t word[CLIENT_ID_WORDS];
};

static inline bool id_set_has(const struct id_set *s, uint16_t id)
{
	return s->word[id >> 6] >> (id & 63) & 1;
}

static inline void id_set_add(struct id_set *s, uint16_t id)
{
	s->word[id >> 6] |= UINT64_C(1) << (id & 63);
}

static inline void id_set_remove(struct id_set *s, uint16_t id)
{
	s->word[id >> 6] &= ~(UINT64_C(1) << (id & 63));
}

struct client_out {
	uint8_t *buf;
	size_t cap, start, end;
	uint64_t added, written; /* bytes of this connection */
	size_t acks;             /* bytes of acknowledgements since it was empty */
	bool is_blocked;         /* WRITABLE will come */
};

struct client_in {
	uint8_t *buf;
	size_t cap, len;
	bool has_more;   /* the stream may have more without telling */
	bool is_paused;  /* too many acknowledgements wait to be written */
	bool is_reading; /* somebody up the stack looks at buf */
	bool is_stale;   /* free it when it is not looked at any more */
};

struct client_owed { /* a message that the user has not acknowledged */
	uint16_t packet_id;
	uint8_t qos;
	bool is_done; /* acknowledged, but one before it is not */
};

struct client_owing { /* with manual_ack: a ring in the order of delivery */
	struct client_owed *ring;
	uint32_t cap, first, count;
	uint64_t base;  /* token of the first */
	uint64_t token; /* of the message that is being delivered; 0: none */
};

struct client_server { /* what CONNACK allowed */
	uint32_t packet_max;
	uint16_t window;
	uint16_t alias_max;
	uint16_t keep_alive_s;
	uint8_t qos_max;
	bool has_retain, has_wildcards, has_shared, has_sub_ids;
};

struct client_alias {
	uint8_t *topic;
	size_t len;
};

struct client_cause { /* why the connection ends, when a packet says so */
	bool is_refused, has_reason, has_props;
	uint8_t reason;
	struct mqtt_props props; /* of that packet, which is still in the input buffer */
};

struct mqtt_client {
	struct loop *loop;
	struct dialer *dialer;
	struct mqtt_client_events on;
	void *arg;

	struct mqtt_client_options opt; /* spans of opt.connect point into connect_buf or assigned_id */
	uint8_t *connect_buf;
	uint8_t *assigned_id;
	uint16_t receive_max, alias_max;
	uint32_t in_max;

	enum client_state state;
	struct stream *stream;
	struct loop_timer timer; /* of the state: connect time-out, back-off, leaving */
	struct loop_timer alive; /* keep-alive and ping, while UP */
	struct loop_timer again; /* next turn: there is more to read or write */
	struct loop_hook turn_end;
	unsigned busy;    /* inside this many of our handlers */
	bool is_dead;     /* destroyed from inside one */
	bool has_session; /* there was a CONNACK: what we know belongs to a session */
	bool sent_clean;  /* clean start of the CONNECT on its way */
	uint32_t session_expiry;
	bool finish;  /* disconnect when everything is done */
	uint8_t *bye; /* the DISCONNECT packet to end with */
	size_t bye_len;

	uint64_t random;
	uint32_t backoff_ms; /* 0: the next failure waits the minimum */
	uint64_t last_in_ms, last_out_ms, ping_ms, up_ms;
	bool has_ping; /* no PINGRESP yet */

	struct client_server server;
	struct client_in in;
	struct client_out out;
	struct client_cause cause;

	struct list queued;    /* not sent */
	struct list resend;    /* QoS 1 and 2 with packet ids of the session, to be sent again */
	struct list inflight;  /* sent, not acknowledged, in order */
	struct list releasing; /* QoS 2 after PUBREC, in its order */
	struct list unwritten; /* QoS 0 in the output buffer */
	struct list requests;  /* not sent */
	struct list asked;     /* sent, not answered */
	struct list subscriptions;
	bool must_resubscribe; /* the server lost the session and not all requests for that are made yet */
	/*
	 * A connection ended between CONNECT and CONNACK: the server may have lost the old session and made a
	 * new one without our hearing of it, so that its next "session present" means the new one.
	 */
	bool has_doubt;
	bool trusts_dup;  /* after such a doubt: a QoS 2 PUBLISH without DUP is new, whatever its packet id */
	uint32_t pending; /* publishes */
	uint32_t npending;    /* publishes and requests */
	size_t pending_bytes; /* of both */
	uint32_t nwindow;     /* inflight and releasing */
	struct id_set ids;    /* of ours, in use */
	uint16_t last_id;

	struct id_set received; /* QoS 2 ids of the server between PUBLISH and PUBREL */
	uint32_t open2;         /* of those, from this connection */
	uint32_t unacked;       /* final acknowledgements of which the server cannot have seen one */
	struct client_alias *aliases;
	struct client_owing owing;

	struct mqtt_client_counters counters;
};

/* client.c: handlers run between these; a client destroyed meanwhile is freed by the outermost leave. */
void client_enter(struct mqtt_client *c);
void client_leave(struct mqtt_client *c);

/* client_conn.c */
void client_dial(struct mqtt_client *c);
void client_leave_server(struct mqtt_client *c);    /* send `bye`, then close */
void client_stop(struct mqtt_client *c, bool tell); /* close and stay IDLE */
/* The connection ends because of `err` (and c->cause): tell, and wait or stay IDLE. */
void client_lost(struct mqtt_client *c, int err);
int client_violation(struct mqtt_client *c, uint8_t reason); /* close with this: returns ERR_PROTOCOL */
void client_conn_init(struct mqtt_client *c);
void client_conn_fini(struct mqtt_client *c);
void client_on_pingresp(struct mqtt_client *c);
MUST_USE int client_on_connack(struct mqtt_client *c, const struct mqtt_frame *f);
MUST_USE int client_on_disconnect(struct mqtt_client *c, const struct mqtt_frame *f);

/* client_in.c */
void client_read(struct mqtt_client *c);
void client_in_reset(struct mqtt_client *c);
void client_in_connected(struct mqtt_client *c, bool session_present);

/* client_owed.c */
MUST_USE int client_owed_add(struct mqtt_client *c, const struct mqtt_publish *p);
void client_owed_clear(struct mqtt_client *c);
void client_owed_fini(struct mqtt_client *c);

/* client_out.c */
void client_kick(struct mqtt_client *c); /* something was queued from outside of a handler */
void client_flush(struct mqtt_client *c);
void client_out_reset(struct mqtt_client *c);
MUST_USE int client_out_reserve(struct mqtt_client *c, size_t n, uint8_t **at);
void client_out_commit(struct mqtt_client *c, size_t n);
MUST_USE int client_out_connect(struct mqtt_client *c, const struct mqtt_connect *p);
MUST_USE int client_out_ack(struct mqtt_client *c, enum mqtt_type type, uint16_t id, uint8_t reason);
MUST_USE int client_out_ping(struct mqtt_client *c);
MUST_USE int client_out_disconnect(struct mqtt_client *c, uint8_t reason);

/* client_pub.c */
MUST_USE int client_id_take(struct mqtt_client *c, uint16_t *id); /* ERR_FULL: all in use */
MUST_USE int client_pub_fill(struct mqtt_client *c);              /* queue -> output */
MUST_USE int client_pub_connected(struct mqtt_client *c, bool session_present);
void client_pub_written(struct mqtt_client *c);
void client_pub_lost(struct mqtt_client *c);
void client_pub_fini(struct mqtt_client *c);
MUST_USE int client_on_ack(struct mqtt_client *c, const struct mqtt_frame *f);

/* client_sub.c */
MUST_USE int client_sub_fill(struct mqtt_client *c);
MUST_USE int client_sub_connected(struct mqtt_client *c, bool session_present);
void client_sub_fini(struct mqtt_client *c); /* answers all with ERR_CLOSED */
MUST_USE int client_on_suback(struct mqtt_client *c, const struct mqtt_frame *f);

/* Room enough for an encoded property list with its length. */
static inline size_t client_props_room(const struct mqtt_props *p)
{
	size_t room = 4 + p->user.len;

	for (unsigned id = 0; id < MQTT_PROPS; id++) {
		if (!mqtt_props_has(p, id))
			continue;
		enum mqtt_prop_kind kind = mqtt_prop_kind(id);

		room += 7 + (kind == MQTT_PROP_STRING || kind == MQTT_PROP_BINARY ? p->str[id].len : 0);
	}
	return room;
}

static inline size_t client_out_len(const struct mqtt_client *c)
{
	return c->out.end - c->out.start;
}

static inline bool client_is_v5(const struct mqtt_client *c)
{
	return c->opt.connect.version == MQTT_V5;
}

#endif
