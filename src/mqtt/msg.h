/*
 * Messages on their way through the broker.
 *
 *   publication   a view: spans into an input buffer, a hand-over record, a retained message or a msg; lives for
 *                 one act of routing
 *   msg           an immutable counted copy that a session keeps (queue, inflight). It belongs to one worker: the
 *                 count is no atomic
 *   blob          a large payload, shared between workers and output queues by an atomic count, so that it is
 *                 copied once
 */
#ifndef MQTT_MSG_H
#define MQTT_MSG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "mqtt/budget.h"

/* A payload above this travels as a blob. */
#define BLOB_MIN 8192u

struct blob {
	_Atomic uint32_t refs;
	uint32_t len;
	struct budget *budget; /* it is counted there; NULL: nowhere */
	uint8_t data[];
};

struct blob *blob_create(struct span payload); /* one reference; NULL: out of memory */
struct blob *blob_ref(struct blob *b);
/* From now on it counts in `b`, which outlives it. */
void blob_count(struct blob *blob, struct budget *b);
void blob_unref(struct blob *b); /* accepts NULL */

struct encoded { /* the packet as it was written for the first receiver */
	const uint8_t *p;
	uint32_t len;
};

struct publication {
	struct span topic, payload;
	struct span
		props; /* encoded v5 properties that are passed on: all but expiry, alias, subscription ids */
	uint8_t qos;
	bool retain;    /* as published */
	bool refusable; /* its publisher is told when it can't be retained: then it goes to nobody */
	bool own;       /* the gateway's own: limits of what clients retain don't refuse it */
	bool command;   /* never stored or replayed */
	bool many;      /* it goes to more than one session here */
	uint16_t
		first_origin; /* whose publish it was at first, and its number there: a share group may have passed it on */
	uint64_t first_number;
	bool conditional;    /* of QoS 2, its publisher would send it again: see struct store_row */
	uint16_t origin;     /* worker that received it */
	uint64_t number;     /* of that worker's publishes, from 1 */
	uint64_t publisher;  /* session uid, 0: none */
	uint64_t ticket;     /* of what was put on this worker's port for it; 0: nothing */
	uint64_t asked;      /* workers that got it and may have to keep it, as bits; set by the routing */
	uint64_t expires_ms; /* monotonic; 0: never */
	uint64_t topic_hash; /* with the broker's seed; made when it is routed, and handed over with it */
	struct blob *blob;   /* holds the payload; borrowed; NULL when it is elsewhere */
	struct budget_share
		*budget; /* of the worker that has it in hand: a copy is counted there; NULL: nowhere */
	struct msg *msg; /* made when the first session has to keep it; one reference is the publication's */
	struct encoded once[2]
			   [2]; /* QoS 0 without extras, by [is v5][retain flag]; valid within one fan-out */
};

struct msg {
	uint32_t refs;
	uint32_t topic_len, props_len, payload_len;
	uint8_t qos;
	bool retain, command;
	bool many; /* it went to more than one session */
	uint16_t origin;
	uint64_t number, publisher, expires_ms;
	uint64_t stored_id, stored_in; /* in the store, for rows of the same batch, and the ticket of that */
	struct blob *blob;
	struct budget_share *budget; /* of its worker */
	uint8_t bytes[];             /* topic, props, and the payload unless it is in the blob */
};

/* A copy with one reference; NULL: out of memory. */
struct msg *msg_create(const struct publication *p);
/* The same in memory of the caller's: its size, and filling it. */
size_t msg_size(const struct publication *p);
void msg_fill(struct msg *m, const struct publication *p);
static inline struct msg *msg_ref(struct msg *m)
{
	m->refs++;
	return m;
}
void msg_unref(struct msg *m); /* accepts NULL */
/* A view of m; it borrows m. */
void msg_view(struct msg *m, struct publication *p);
/* What it costs in memory, for queue budgets. */
static inline size_t msg_cost(const struct msg *m)
{
	return sizeof(*m) + m->topic_len + m->props_len + m->payload_len;
}

/* The message of p, made at the first call, with a reference for the caller; NULL: out of memory. */
struct msg *publication_msg(struct publication *p);
/* Drop what the publication holds itself. */
void publication_fini(struct publication *p);

static inline bool publication_expired(const struct publication *p, uint64_t now_ms)
{
	return p->expires_ms && now_ms >= p->expires_ms;
}

#endif
