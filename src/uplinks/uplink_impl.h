/*
 * Inside an uplink: for the files of this folder only. See uplink.h for what it does.
 *
 *   uplink.c   life, state, errors in words            buffer.c   the local clients and which of them has the filters
 *   record.c   what was taken from the buffer and is    remote.c   the remote client; what comes from there
 *              not acknowledged by the remote broker    ending.c   ending a session
 */
#ifndef UPLINKS_UPLINK_IMPL_H
#define UPLINKS_UPLINK_IMPL_H

#include "base/list.h"
#include "config/arena.h"
#include "mqtt/client.h"
#include "uplinks/echo.h"
#include "uplinks/remap.h"
#include "uplinks/uplink.h"

#define UPLINK_WINDOW    256u   /* records taken from one session, and on the way to the remote broker */
#define UPLINK_IN_WINDOW 64u    /* from the remote broker and not acknowledged here */
#define UPLINK_BACKLOG   10000u /* more than this waits: live values get a session of their own */
#define UPLINK_OVERLAP_MS \
	500u /* both sessions have the filters: what a worker has routed by then has arrived */
#define UPLINK_TICK_MS  500u
#define UPLINK_DRAIN_MS 20u   /* with drain_rate: how often there is more to give out */
#define UPLINK_RETRY_MS 1000u /* after a refusal that may pass, or without memory */
/* So often in a row the remote broker ended the connection on one record that was sent alone: then it is the record. */
#define UPLINK_STRIKES 8u
/* On messages that came from the remote broker, so that they do not go back. */
#define UPLINK_MARK "lineside-uplink"

struct record {
	struct list node;      /* in buffer.records, in the order of arrival */
	struct buffer *buffer; /* NULL: it comes again, for the local connection is another one */
	uint64_t token;
	uint64_t number;
	uint64_t expires_ms; /* monotonic; 0: never */
	bool is_sent, retain;
	struct span topic, payload, props; /* of the other side; props encoded */
	uint8_t bytes[];
};

struct buffer { /* a session of our broker and the client that reads it */
	struct uplink *uplink;
	unsigned index;
	struct mqtt_session_terms *terms;
	struct mqtt_client *client;
	struct list records;
	struct list *next; /* first that is not sent; &records: there is none */
	char *told;        /* filters that the session had when the client connected (policy.h), or NULL */
	bool is_up;
};

enum uplink_phase {
	PHASE_STARTING,  /* not both sessions are there yet */
	PHASE_BEGINNING, /* they are, and the live one has been asked to take the filters */
	PHASE_ALONE,     /* the live session has the filters, the other one is empty */
	PHASE_JOINING,   /* the other one has been asked to take the filters */
	PHASE_BOTH,      /* it has them, for UPLINK_OVERLAP_MS */
	PHASE_LEAVING,   /* now the live one; the other has been asked to give them up */
	PHASE_DRAINING   /* it has given them up, and drains */
};

struct uplink {
	struct loop *loop;
	struct arena arena;
	struct config_uplink cfg; /* what it points to is in the arena */
	struct dialer *local, *remote_dialer;
	struct uplink_events on;
	void *arg;
	bool is_stopping, is_dead;
	bool is_asking; /* the remote connection ends, to have messages sent again */

	struct buffer buffers[2];
	unsigned live; /* of these */
	enum uplink_phase phase;
	uint64_t last_number;

	struct mqtt_client *remote;
	bool is_up;
	bool has_acked;     /* on this connection */
	uint32_t sent_here; /* on this connection */
	uint32_t strikes;   /* connections in a row that ended without an acknowledgement */
	uint64_t head;      /* number of the first record sent on this connection */
	uint64_t struck;    /* the head of the connection to which `strikes` go back */
	uint64_t paused_until_ms;
	struct loop_timer tick, overlap, drain, retry, telling, ending;
	double allowance; /* records that may drain now, with drain_rate */
	uint64_t allowed_at_ms;

	struct echo *echo; /* MQTT 3.1.1 with subscriptions, else NULL */
	uint8_t *topic;    /* REMAP_TOPIC_MAX bytes of scratch */
	uint8_t *payload;  /* scratch for what is late */
	size_t payload_room;

	enum uplink_state state;
	int64_t since_ms;
	uint64_t sent, acknowledged, received, returned, connects;
	uint64_t refused, unmapped, not_taken, expired;
	char error[UPLINK_ERROR_BYTES];
	int64_t error_ms;
};

/* uplink.c */
void uplink_failed(struct uplink *u, const char *fmt, ...) PRINTF_LIKE(2, 3);
void uplink_settle(struct uplink *u);       /* the state may be another one */
void uplink_client_ended(struct uplink *u); /* one of the three went down while it stops */
/* Why a connection ended, in words. Returns buf. */
const char *uplink_why(const struct mqtt_client_disconnected *e, enum mqtt_version v, char *buf, size_t size);
static inline bool uplink_is_v5(const struct uplink *u)
{
	return u->cfg.version == MQTT_V5;
}

/* buffer.c */
MUST_USE int buffer_open(struct uplink *u, unsigned index, struct mqtt_session_terms *terms);
void buffer_close(struct buffer *b);
void buffer_restart(struct buffer *b); /* what is not acknowledged comes again */
/* What is buffered and not acknowledged by the remote broker. */
uint64_t buffer_queued(const struct buffer *b);
/* Is a large backlog there, or is one over? Moves the phase on. */
void buffers_look(struct uplink *u);
void buffers_overlap_over(struct loop_timer *t);

/* record.c */
/* A message of our broker. */
void record_take(struct buffer *b, const struct mqtt_publish *m);
void records_pump(struct uplink *u);
void records_published(struct uplink *u, struct record *r, int err, uint8_t reason);
/* The connection to the remote broker is gone, what was on the way has been taken back. */
void records_connection_lost(struct uplink *u, int err);
void records_forget(struct buffer *b);
void records_drain_more(struct loop_timer *t);

/* remote.c */
MUST_USE int remote_open(struct uplink *u, const struct uplink_setup *setup);
/* A pause is over: dials again if that was it, and sends. */
void remote_retry(struct loop_timer *t);
/* A message that came from the remote broker was published here, or not. */
void remote_delivered(struct uplink *u, void *token, int err, uint8_t reason);
/* Has this message of our broker come from the remote one? */
bool remote_is_marked(const struct uplink *u, const struct mqtt_publish *m);
/*
 * The properties of m that are passed on, without such marks, but with the mark `mark` unless it is NULL; encoded, user properties
 * last. ERR_FULL: they need more than `room`, which is never more than those of m and UPLINK_MARK_ROOM.
 */
#define UPLINK_MARK_ROOM (sizeof(UPLINK_MARK) + 4 * CONFIG_NAME_MAX + 5)
MUST_USE int remote_props(const struct mqtt_publish *m, const char *mark, uint8_t *buf, size_t room,
			  struct span *out);
/* Such bytes as a list to encode; it borrows them. */
void remote_props_read(struct span encoded, struct mqtt_props *out);

#endif
