#include "mqtt/output.h"

#include <assert.h>
#include <stdlib.h>

#define BLOCK_BYTES 4032u /* with its head 4 KiB less the allocator's */
#define POOL_MAX    1024u /* what a burst needs beyond goes back to the allocator */
#define IOV_MAX_OUT 64

struct out_block {
	struct out_block *next;
	struct blob *blob; /* what to send instead of bytes[] */
	uint32_t room, len, sent;
	uint8_t bytes[];
};

struct out_pool {
	struct out_block *free;
	uint32_t count;
	struct budget_share *budget;
};

int out_pool_create(struct out_pool **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? OK : ERR_NOMEM;
}

void out_pool_count(struct out_pool *p, struct budget_share *s)
{
	p->budget = s;
}

static int64_t block_bytes(uint32_t room)
{
	return budget_block(sizeof(struct out_block) + room);
}

static void block_free(struct out_pool *p, struct out_block *b)
{
	budget_count(p->budget, -block_bytes(b->room));
	free(b);
}

void out_pool_destroy(struct out_pool *p)
{
	while (p && p->free) {
		struct out_block *b = p->free;

		p->free = b->next;
		block_free(p, b);
	}
	free(p);
}

static struct out_block *block_get(struct out_pool *p, uint32_t room)
{
	struct out_block *b;

	if (room <= BLOCK_BYTES && p->free) {
		b = p->free;
		p->free = b->next;
		p->count--;
	} else {
		if (room < BLOCK_BYTES)
			room = BLOCK_BYTES;
		b = malloc(sizeof(*b) + room);
		if (!b)
			return NULL;
		b->room = room;
		budget_count(p->budget, block_bytes(room));
	}
	b->next = NULL;
	b->blob = NULL;
	b->len = b->sent = 0;
	return b;
}

static void block_put(struct out_pool *p, struct out_block *b)
{
	blob_unref(b->blob);
	if (b->room != BLOCK_BYTES || p->count >= POOL_MAX ||
	    (p->budget && budget_level(p->budget) > BUDGET_OK)) {
		block_free(p, b);
		return;
	}
	b->next = p->free;
	p->free = b;
	p->count++;
}

static struct out_block *output_append(struct output *o, struct out_pool *p, uint32_t room)
{
	struct out_block *b = block_get(p, room);

	if (!b)
		return NULL;
	if (o->last)
		o->last->next = b;
	else
		o->first = b;
	o->last = b;
	return b;
}

uint8_t *output_take(struct output *o, struct out_pool *p, uint32_t n)
{
	struct out_block *b = o->last;
	uint8_t *at;

	if (!b || b->blob || b->room - b->len < n) {
		b = output_append(o, p, n);
		if (!b)
			return NULL;
	}
	at = b->bytes + b->len;
	b->len += n;
	o->bytes += n;
	return at;
}

void output_give_back(struct output *o, uint32_t n)
{
	assert(o->last && !o->last->blob && o->last->len - o->last->sent >= n);
	o->last->len -= n;
	o->bytes -= n;
}

bool output_blob(struct output *o, struct out_pool *p, struct blob *blob)
{
	struct out_block *b = output_append(o, p, 1);

	if (!b)
		return false;
	b->blob = blob_ref(blob);
	b->len = blob->len;
	o->bytes += blob->len;
	return true;
}

static int output_iov(const struct output *o, struct iovec *iov, size_t *total)
{
	int n = 0;

	*total = 0;
	for (struct out_block *b = o->first; b && n < IOV_MAX_OUT; b = b->next) {
		const uint8_t *bytes = b->blob ? b->blob->data : b->bytes;

		if (b->len == b->sent)
			continue;
		iov[n].iov_base = (uint8_t *)(uintptr_t)(bytes + b->sent);
		iov[n].iov_len = b->len - b->sent;
		*total += iov[n++].iov_len;
	}
	return n;
}

static void output_consume(struct output *o, struct out_pool *p, size_t n)
{
	o->bytes -= n;
	while (o->first) {
		struct out_block *b = o->first;
		uint32_t left = b->len - b->sent;

		if (n < left) {
			b->sent += (uint32_t)n;
			return;
		}
		n -= left;
		o->first = b->next;
		if (!o->first)
			o->last = NULL;
		block_put(p, b);
	}
}

int output_flush(struct output *o, struct out_pool *p, struct stream *s, uint64_t *put)
{
	struct iovec iov[IOV_MAX_OUT];

	*put = 0;
	while (o->bytes) {
		size_t total, sent = 0;
		int n = output_iov(o, iov, &total);
		int rc = stream_write(s, iov, n, &sent);

		if (rc < 0)
			return rc;
		output_consume(o, p, sent);
		*put += sent;
		if (sent < total)
			return ERR_AGAIN;
	}
	output_consume(o, p, 0);
	return OK;
}

void output_clear(struct output *o, struct out_pool *p)
{
	while (o->first) {
		struct out_block *b = o->first;

		o->first = b->next;
		block_put(p, b);
	}
	*o = (struct output){0};
}
