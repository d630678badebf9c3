/*
 * Queues of messages in memory. One pool per worker, used by its thread only;
 * a queue is in order and belongs to one session.
 *
 * A queue does not look into messages: it holds a reference of each (struct msg, owned by mqtt/) and gives it back.
 */
#ifndef STORE_QUEUE_H
#define STORE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct keep;
struct msg;

struct queue_item {
	struct msg *msg;
	uint32_t *sub_ids;  /* subscription identifiers, [0] tells how many follow; malloc'ed; NULL: none */
	uint8_t qos;        /* of the delivery, 1 or 2 */
	bool retain;        /* flag of the delivery */
	uint16_t packet_id; /* it has one already, and is to be sent again; 0: none */
	uint64_t seq;       /* of its row, with a packet id */
	struct keep *keep; /* what its session owes of it (mqtt/keep.h); the owner's to free; NULL: nothing */
};

struct queue_msg_ops {
	void (*unref)(struct msg *m);
	size_t (*cost)(const struct msg *m);    /* bytes it is counted with */
	size_t (*payload)(const struct msg *m); /* bytes of its payload, for queue_pool_payload() */
};

struct queue_pool;
struct queue;

/* ERR_NOMEM. */
MUST_USE int queue_pool_create(const struct queue_msg_ops *ops, struct queue_pool **out);
/* Its queues are destroyed before. Accepts NULL. */
void queue_pool_destroy(struct queue_pool *s);

MUST_USE int queue_create(struct queue_pool *s, struct queue **out);
/* Drops what is in it. Accepts NULL. */
void queue_destroy(struct queue *q);

/* Takes the message reference and sub_ids of `item`; ERR_NOMEM: they are still the caller's. */
MUST_USE int queue_push(struct queue *q, const struct queue_item *item);
/* The oldest; its references are the caller's. false: empty. */
bool queue_pop(struct queue *q, struct queue_item *item);

/* The oldest, which stays there; NULL: empty. */
const struct queue_item *queue_peek(const struct queue *q);

/* What all queues hold: messages, each as often as it is in one, and the bytes of their payloads. */
uint64_t queue_pool_len(const struct queue_pool *s);
uint64_t queue_pool_payload(const struct queue_pool *s);
/* Memory of all queues: their own and the identifiers in them, not the messages. */
uint64_t queue_pool_held(const struct queue_pool *s);
/* The newest is taken out, as queue_pop() does with the oldest. */
bool queue_pop_newest(struct queue *q, struct queue_item *item);

size_t queue_len(const struct queue *q);
size_t queue_bytes(const struct queue *q);

#endif
