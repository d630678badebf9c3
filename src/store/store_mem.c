/*
 * Queues as chains of small blocks, so that an empty queue costs next to nothing and a long one one
 * allocation in ITEMS messages.
 */
#include <stdlib.h>

#include "store/store.h"

#define ITEMS      32u
#define HEAD_BYTES 16u /* what the allocator adds, about */

struct store {
	const struct store_msg_ops *ops;
	uint64_t len, payload; /* of all queues */
	uint64_t held;
};

struct item_block {
	struct item_block *next, *prev;
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
	s->held += HEAD_BYTES + sizeof(**out);
	return OK;
}

void store_queue_destroy(struct store_queue *q)
{
	struct store_item item;

	while (q && store_queue_pop(q, &item)) {
		q->store->ops->unref(item.msg);
		free(item.sub_ids);
	}
	if (q)
		q->store->held -= HEAD_BYTES + sizeof(*q);
	free(q);
}

/* Of the identifiers that come with an item. */
static size_t ids_bytes(const struct store_item *item)
{
	return item->sub_ids ? HEAD_BYTES + (item->sub_ids[0] + 1) * sizeof(*item->sub_ids) : 0;
}

static size_t item_bytes(const struct store_queue *q, const struct store_item *item)
{
	return q->store->ops->cost(item->msg) + ids_bytes(item);
}

static void block_free(struct store_queue *q, struct item_block *b)
{
	q->store->held -= HEAD_BYTES + sizeof(*b);
	free(b);
}

static void item_out(struct store_queue *q, const struct store_item *item)
{
	q->len--;
	q->bytes -= item_bytes(q, item);
	q->store->len--;
	q->store->payload -= q->store->ops->payload(item->msg);
	q->store->held -= ids_bytes(item);
}

int store_queue_push(struct store_queue *q, const struct store_item *item)
{
	if (!q->last || q->tail == ITEMS) {
		struct item_block *b = malloc(sizeof(*b));

		if (!b)
			return ERR_NOMEM;
		q->store->held += HEAD_BYTES + sizeof(*b);
		b->next = NULL;
		b->prev = q->last;
		if (q->last)
			q->last->next = b;
		else
			q->first = b;
		q->last = b;
		q->tail = 0;
	}
	q->last->items[q->tail++] = *item;
	q->len++;
	q->bytes += item_bytes(q, item);
	q->store->len++;
	q->store->payload += q->store->ops->payload(item->msg);
	q->store->held += ids_bytes(item);
	return OK;
}

bool store_queue_pop(struct store_queue *q, struct store_item *item)
{
	struct item_block *b = q->first;

	if (q->len == 0)
		return false;
	*item = b->items[q->head++];
	item_out(q, item);
	if (q->head == ITEMS || q->len == 0) {
		q->first = b->next;
		q->head = 0;
		if (q->first)
			q->first->prev = NULL;
		else
			q->last = NULL;
		block_free(q, b);
	}
	return true;
}

bool store_queue_pop_newest(struct store_queue *q, struct store_item *item)
{
	struct item_block *b = q->last;

	if (q->len == 0)
		return false;
	*item = b->items[--q->tail];
	item_out(q, item);
	if (q->tail > 0 && q->len > 0)
		return true;
	q->last = b->prev;
	q->tail = ITEMS; /* the block before is full */
	if (q->last) {
		q->last->next = NULL;
	} else {
		q->first = NULL;
		q->head = 0;
	}
	block_free(q, b);
	return true;
}

uint64_t store_held(const struct store *s)
{
	return s->held;
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
