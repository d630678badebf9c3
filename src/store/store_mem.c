/*
 * Queues as chains of small blocks, so that an empty queue costs next to nothing and a long one one
 * allocation in ITEMS messages.
 */
#include <stdlib.h>

#include "store/store.h"

#define ITEMS 32u

struct store {
	const struct store_msg_ops *ops;
	uint64_t len, payload; /* of all queues */
};

struct item_block {
	struct item_block *next;
	struct store_item items[ITEMS];
};

struct store_queue {
	struct store *store;
	struct item_block *first, *last;
	uint32_t head; /* in first */
	uint32_t tail; /* in last */
	size_t len, bytes;
};

int store_mem_create(const struct store_msg_ops *ops, struct store **out)
{
	*out = malloc(sizeof(**out));
	if (!*out)
		return ERR_NOMEM;
	**out = (struct store){.ops = ops};
	return OK;
}

void store_destroy(struct store *s)
{
	free(s);
}

int store_queue_create(struct store *s, struct store_queue **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return ERR_NOMEM;
	(*out)->store = s;
	return OK;
}

void store_queue_destroy(struct store_queue *q)
{
	struct store_item item;

	while (q && store_queue_pop(q, &item)) {
		q->store->ops->unref(item.msg);
		free(item.sub_ids);
	}
	free(q);
}

int store_queue_push(struct store_queue *q, const struct store_item *item)
{
	if (!q->last || q->tail == ITEMS) {
		struct item_block *b = malloc(sizeof(*b));

		if (!b)
			return ERR_NOMEM;
		b->next = NULL;
		if (q->last)
			q->last->next = b;
		else
			q->first = b;
		q->last = b;
		q->tail = 0;
	}
	q->last->items[q->tail++] = *item;
	q->len++;
	q->store->len++;
	q->store->payload += q->store->ops->payload(item->msg);
	q->bytes += q->store->ops->cost(item->msg);
	return OK;
}

bool store_queue_pop(struct store_queue *q, struct store_item *item)
{
	struct item_block *b = q->first;

	if (q->len == 0)
		return false;
	*item = b->items[q->head++];
	q->len--;
	q->store->len--;
	q->store->payload -= q->store->ops->payload(item->msg);
	q->bytes -= q->store->ops->cost(item->msg);
	if (q->head == ITEMS || q->len == 0) {
		q->first = b->next;
		q->head = 0;
		if (!q->first)
			q->last = NULL;
		free(b);
	}
	return true;
}

const struct store_item *store_queue_peek(const struct store_queue *q)
{
	return q->len ? &q->first->items[q->head] : NULL;
}

uint64_t store_len(const struct store *s)
{
	return s->len;
}

uint64_t store_payload(const struct store *s)
{
	return s->payload;
}

size_t store_queue_len(const struct store_queue *q)
{
	return q->len;
}

size_t store_queue_bytes(const struct store_queue *q)
{
	return q->bytes;
}
