/*
 * What a stored session is owed: one keep for each message of QoS 1 or 2 on its way to it, until it is acknowledged.
 *
 *   lingering --linger passed, or nobody can take it--> writing --commit--> durable
 *       \--acknowledged: no row was needed                \------acknowledged------\--> gone; its row is dropped
 *
 * A message is settled here, towards the worker that published it, when it is acknowledged or durable.
 *
 * Rows are written in the order of delivery: before one gets its row, all those before it in its session do. So the rows of what
 * waits are in a row, and what was acknowledged is dropped up to a watermark.
 *
 * A keep belongs to a session and its worker. Whoever holds the message (a slot of inflight, an item of the queue) holds the keep.
 */
#ifndef MQTT_KEEP_H
#define MQTT_KEEP_H

#include "mqtt/promise.h"
#include "mqtt/session.h"

struct keep {
	struct owed owed;       /* while it is not settled */
	struct list in_session; /* shelf.keeps, in order of delivery */
	struct list in_time;    /* lingering, then writing: of the worker */
	struct list held;       /* shelf.held: its PUBLISH waits for the disk */
	struct session *session;
	struct msg *msg; /* these two are borrowed from the slot or item */
	const uint32_t *sub_ids;
	uint64_t seq;       /* of its row; 0: there is none yet */
	uint64_t ticket;    /* of the row as it is now */
	uint64_t due_ms;    /* lingering until then */
	uint16_t packet_id; /* of its slot; 0: it waits */
	uint8_t qos;
	bool retain;
	uint16_t first_origin; /* whose confirmation it waits for, if it is conditional */
	uint64_t first_number;
	bool conditional; /* not to be sent before its publisher's worker has confirmed it */
	bool durable;
};

/*
 * For a message that goes to a stored session; `item` has it. `p` tells whose publish it is; NULL: nobody waits for it. NULL: out of
 * memory.
 */
struct keep *keep_create(struct session *s, const struct publication *p, const struct queue_item *item);
/* For a row that was read: durable, at its place by the order of rows. NULL: out of memory. */
struct keep *keep_of_row(struct session *s, const struct store_row *row);
/* Give it a row now, after those before it. Out of memory: it stays as it is, and is tried again. */
void keep_write(struct keep *k);
/* It has a slot with this packet id now; of QoS 2, that is written. */
void keep_sent(struct keep *k, uint16_t packet_id);
/* PUBREC came. */
void keep_released(struct keep *k);
/* Acknowledged, or dropped. Frees it. */
void keep_done(struct keep *k);
/* Its row is enough from now on: it is found there again. Frees it. */
void keep_forget(struct keep *k);
/* Would it count after a restart? */
bool keep_is_confirmed(const struct keep *k);
/* May its PUBLISH leave? */
bool keep_may_leave(const struct keep *k);

/* Rows that lingered long enough are written. */
void keeps_linger(struct worker *w);
/* What the store has written by now is settled. */
void keeps_durable(struct worker *w);

#endif
