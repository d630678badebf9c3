/*
 * Queues as chains of small blocks, so that an empty queue costs next to nothing and a long one one
 * allocation in ITEMS messages.
 */
#include <stdlib.h>

#include "store/queue.h"

#define ITEMS      32u
#define HEAD_BYTES 16u /* what the allocator adds, about */

struct queue_pool {
	const struct queue_msg_ops *ops;
	uint64_t len, payload; /* of all queues */
	uint64_t held;
};

struct item_block {
	struct item_block *next, *prev;
	struct queue_item items[ITEMS];
};

struct queue {
	struct queue_pool *pool;
	struct item_block *first, *last;
	uint32_t head; /* in first */
	uint32_t tail; /* in last */
	size_t len, bytes;
};

int queue_pool_create(const struct queue_msg_ops *ops, struct queue_pool **out)
{
	*out = malloc(sizeof(**out));
	if (!*out)
		return ERR_NOMEM;
	**out = (struct queue_pool){.ops = ops};
	return OK;
}

void queue_pool_destroy(struct queue_pool *s)
{
	free(s);
}

int queue_create(struct queue_pool *s, struct queue **out)
{
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return ERR_NOMEM;
	(*out)->pool = s;
	s->held += HEAD_BYTES + sizeof(**out);
	return OK;
}

void queue_destroy(struct queue *q)
{
	struct queue_item item;

	while (q && queue_pop(q, &item)) {
		q->pool->ops->unref(item.msg);
		free(item.sub_ids);
	}
	if (q)
		q->pool->held -= HEAD_BYTES + sizeof(*q);
	free(q);
}

/* Of the identifiers that come with an item. */
static size_t ids_bytes(const struct queue_item *item)
{
	return item->sub_ids ? HEAD_BYTES + (item->sub_ids[0] + 1) * sizeof(*item->sub_ids) : 0;
}

static size_t item_bytes(const struct queue *q, const struct queue_item *item)
{
	return q->pool->ops->cost(item->msg) + ids_bytes(item);
}

static void block_free(struct queue *q, struct item_block *b)
{
	q->pool->held -= HEAD_BYTES + sizeof(*b);
	free(b);
}

static void item_out(struct queue *q, const struct queue_item *item)
{
	q->len--;
	q->bytes -= item_bytes(q, item);
	q->pool->len--;
	q->pool->payload -= q->pool->ops->payload(item->msg);
	q->pool->held -= ids_bytes(item);
}

int queue_push(struct queue *q, const struct queue_item *item)
{
	if (!q->last || q->tail == ITEMS) {
		struct item_block *b = malloc(sizeof(*b));

		if (!b)
			return ERR_NOMEM;
		q->pool->held += HEAD_BYTES + sizeof(*b);
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
	q->pool->len++;
	q->pool->payload += q->pool->ops->payload(item->msg);
	q->pool->held += ids_bytes(item);
	return OK;
}

bool queue_pop(struct queue *q, struct queue_item *item)
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

bool queue_pop_newest(struct queue *q, struct queue_item *item)
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

uint64_t queue_pool_held(const struct queue_pool *s)
{
	return s->held;
}

const struct queue_item *queue_peek(const struct queue *q)
{
	return q->len ? &q->first->items[q->head] : NULL;
}

uint64_t queue_pool_len(const struct queue_pool *s)
{
	return s->len;
}

uint64_t queue_pool_payload(const struct queue_pool *s)
{
	return s->payload;
}

size_t queue_len(const struct queue *q)
{
	return q->len;
}

size_t queue_bytes(const struct queue *q)
{
	return q->bytes;
}
