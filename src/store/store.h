/*
 * What sessions keep for their clients: queues of messages that wait. One store per worker, used by its thread only;
 * a queue is in order and belongs to one session.
 *
 * The store does not look into messages: it holds a reference of each (struct msg, owned by mqtt/) and gives it back.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct msg;

struct store_item {
	struct msg *msg;
	uint32_t *sub_ids; /* subscription identifiers, [0] tells how many follow; malloc'ed; NULL: none */
	uint8_t qos;       /* of the delivery, 1 or 2 */
	bool retain;       /* flag of the delivery */
};

struct store_msg_ops {
	void (*unref)(struct msg *m);
	size_t (*cost)(const struct msg *m);    /* bytes it is counted with */
	size_t (*payload)(const struct msg *m); /* bytes of its payload, for store_payload() */
};

struct store;
struct store_queue;

/* A store in memory: what it holds ends with the process. ERR_NOMEM. */
MUST_USE int store_mem_create(const struct store_msg_ops *ops, struct store **out);
/* Its queues are destroyed before. Accepts NULL. */
void store_destroy(struct store *s);

MUST_USE int store_queue_create(struct store *s, struct store_queue **out);
/* Drops what is in it. Accepts NULL. */
void store_queue_destroy(struct store_queue *q);

/* Takes the message reference and sub_ids of `item`; ERR_NOMEM: they are still the caller's. */
MUST_USE int store_queue_push(struct store_queue *q, const struct store_item *item);
/* The oldest; its references are the caller's. false: empty. */
bool store_queue_pop(struct store_queue *q, struct store_item *item);

/* The oldest, which stays there; NULL: empty. */
const struct store_item *store_queue_peek(const struct store_queue *q);

/* What all queues hold: messages, each as often as it is in one, and the bytes of their payloads. */
uint64_t store_len(const struct store *s);
uint64_t store_payload(const struct store *s);
/* Memory of all queues: their own and the identifiers in them, not the messages. */
uint64_t store_held(const struct store *s);
/* The newest is taken out, as store_queue_pop() does with the oldest. */
bool store_queue_pop_newest(struct store_queue *q, struct store_item *item);

size_t store_queue_len(const struct store_queue *q);
size_t store_queue_bytes(const struct store_queue *q);

#endif
