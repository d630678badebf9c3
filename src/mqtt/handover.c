#include "mqtt/handover.h"

#include <stdalign.h>
#include <stdlib.h>

#define CHUNK_BYTES  32768u
#define RETURNED_MAX 64u /* chunks that a lane keeps for its next records; a burst may need more */

struct chunk {
	struct chunk *next;
	uint32_t used, room;
	uint64_t weight; /* bytes of its records and of the payloads that they refer to */
	alignas(8) uint8_t bytes[];
};

/* One cache line, as it is written by one CPU and read by another for each message that is handed over. */
#define MARK_COMMAND     1u
#define MARK_CONDITIONAL 2u

struct record {
	uint32_t size; /* this header and what follows, a multiple of 8 */
	uint8_t kind;
	uint8_t qos;
	bool retain;
	uint8_t marks; /* MARK_* */
	uint32_t topic_len, props_len, payload_len, key_len;
	uint64_t number, publisher, expires_ms, topic_hash;
	struct blob *blob; /* a reference; NULL: the payload follows */
	uint8_t bytes[];   /* of a RECORD_SHARE first a struct share_part; then topic, props, key, payload */
};
_Static_assert(sizeof(struct record) == 64, "one cache line");

struct share_part {
	uint64_t tried;
	uint64_t first_number; /* as in struct publication */
	uint16_t first_origin;
	uint8_t stage;
};

void lane_init(struct lane *l, uint16_t from, uint16_t to)
{
	*l = (struct lane){.from = from, .to = to};
}

static struct record *record_at(struct chunk *c, uint32_t offset)
{
	return (struct record *)(void *)(c->bytes + offset);
}

static int64_t chunk_bytes(uint32_t room)
{
	return budget_block(sizeof(struct chunk) + room);
}

/* A new one; NULL: out of memory. */
static struct chunk *chunk_create(struct lane *l, size_t room)
{
	struct chunk *c = malloc(sizeof(*c) + room);

	if (c)
		budget_add(l->budget, chunk_bytes((uint32_t)room));
	return c;
}

static void chunk_free(struct lane *l, struct chunk *c)
{
	budget_add(l->budget, -chunk_bytes(c->room));
	free(c);
}

static void chunks_free(struct lane *l, struct chunk *c)
{
	struct chunk *next;

	for (; c; c = next) {
		next = c->next;
		for (uint32_t at = 0; at < c->used; at += record_at(c, at)->size)
			blob_unref(record_at(c, at)->blob);
		chunk_free(l, c);
	}
}

void lane_fini(struct lane *l)
{
	chunks_free(l, l->open);
	chunks_free(l, l->spare);
	chunks_free(l, l->taken);
	chunks_free(l, atomic_load(&l->passed));
	chunks_free(l, atomic_load(&l->returned));
}

size_t lane_record_size(const struct publication *p, const struct share_route *share)
{
	size_t n = sizeof(struct record) + p->topic.len + p->props.len + (p->blob ? 0 : p->payload.len) +
		   (share ? sizeof(struct share_part) + share->key.len : 0);

	return (n + 7) & ~(size_t)7;
}

size_t lane_record_weight(const struct publication *p, const struct share_route *share)
{
	return lane_record_size(p, share) + (p->blob ? p->blob->len : 0);
}

/* A chunk of the usual size from those that came back, else a new one. */
static struct chunk *chunk_get(struct lane *l, size_t room)
{
	struct chunk *c;

	if (room > CHUNK_BYTES) {
		c = chunk_create(l, room);
	} else {
		room = CHUNK_BYTES;
		if (!l->spare) {
			atomic_store_explicit(&l->nreturned, 0, memory_order_relaxed);
			l->spare = atomic_exchange(&l->returned, NULL);
		}
		c = l->spare;
		if (c)
			l->spare = c->next;
		else
			c = chunk_create(l, room);
	}
	if (c) {
		c->next = NULL;
		c->used = 0;
		c->weight = 0;
		c->room = (uint32_t)room;
	}
	return c;
}

int lane_reserve(struct lane *l, size_t record_size)
{
	struct chunk *c;

	if (l->open_last && l->open_last->room - l->open_last->used >= record_size)
		return OK;
	c = chunk_get(l, record_size);
	if (!c)
		return ERR_NOMEM;
	if (l->open_last)
		l->open_last->next = c;
	else
		l->open = c;
	l->open_last = c;
	return OK;
}

void lane_put(struct lane *l, const struct publication *p, const struct share_route *share)
{
	size_t size = lane_record_size(p, share);
	struct chunk *c = l->open_last;
	struct record *r = record_at(c, c->used);
	struct wr w = wr_of(r->bytes, size - sizeof(*r));

	*r = (struct record){
		.size = (uint32_t)size,
		.kind = share ? RECORD_SHARE : RECORD_PUBLISH,
		.qos = p->qos,
		.retain = p->retain,
		.marks = (uint8_t)((p->command ? MARK_COMMAND : 0) | (p->conditional ? MARK_CONDITIONAL : 0)),
		.topic_len = (uint32_t)p->topic.len,
		.props_len = (uint32_t)p->props.len,
		.payload_len = (uint32_t)p->payload.len,
		.key_len = share ? (uint32_t)share->key.len : 0,
		.number = p->number,
		.publisher = p->publisher,
		.expires_ms = p->expires_ms,
		.topic_hash = p->topic_hash,
		.blob = p->blob ? blob_ref(p->blob) : NULL,
	};
	if (share)
		wr_bytes(&w,
			 &(struct share_part){.tried = share->tried,
					      .first_number = p->first_number,
					      .first_origin = p->first_origin,
					      .stage = (uint8_t)share->stage},
			 sizeof(struct share_part));
	wr_span(&w, p->topic);
	wr_span(&w, p->props);
	if (share)
		wr_span(&w, share->key);
	if (!p->blob)
		wr_span(&w, p->payload);
	c->used += (uint32_t)size;
	c->weight += lane_record_weight(p, share);
	if (p->number > l->put_number)
		l->put_number = p->number;
}

void lane_flush(struct lane *l, uint64_t last_number)
{
	struct chunk *c = l->open, *next, *newest = NULL;
	uint64_t bytes = 0;

	if (!c ||
	    (c->used == 0 && !c->next)) { /* a chunk that was only reserved may stand before a larger one */
		/* nothing was put; what an earlier flush passed is visible before this number */
		if (atomic_load_explicit(&l->passed_number, memory_order_relaxed) != last_number)
			atomic_store(&l->passed_number, last_number);
		return;
	}
	for (; c; c = next) { /* newest first, as the stack of passed chunks is */
		next = c->next;
		bytes += c->weight;
		c->next = newest;
		newest = c;
	}
	atomic_fetch_add(&l->backlog, bytes);
	l->open->next = atomic_load(&l->passed);
	while (!atomic_compare_exchange_weak(&l->passed, &l->open->next, newest))
		;
	l->open = l->open_last = NULL;
	atomic_store(&l->passed_number, last_number);
	loop_notify(&l->arrived);
}

static struct share_route share_take(struct rd *bytes, struct publication *p)
{
	struct span raw = rd_span(bytes, sizeof(struct share_part));
	struct share_part part = {0};

	if (raw.p)
		memcpy(&part, raw.p, sizeof(part));
	p->first_origin = part.first_origin;
	p->first_number = part.first_number;
	return (struct share_route){.tried = part.tried, .stage = (enum share_stage)part.stage};
}

static void record_handle(struct lane *l, struct record *r,
			  void (*handle)(void *arg, struct lane *l, struct publication *p,
					 struct share_route *share),
			  void *arg)
{
	struct rd bytes = rd_of(r->bytes, r->size - sizeof(*r));
	bool is_share = r->kind == RECORD_SHARE;
	struct share_route share = {0};
	struct publication p = {
		.qos = r->qos,
		.retain = r->retain,
		.command = r->marks & MARK_COMMAND,
		.conditional = r->marks & MARK_CONDITIONAL,
		.origin = l->from,
		.number = r->number,
		.first_origin = l->from,
		.first_number = r->number,
		.publisher = r->publisher,
		.expires_ms = r->expires_ms,
		.topic_hash = r->topic_hash,
		.blob = r->blob,
	};

	if (is_share)
		share = share_take(&bytes, &p);
	p.topic = rd_span(&bytes, r->topic_len);
	p.props = rd_span(&bytes, r->props_len);
	share.key = rd_span(&bytes, r->key_len);
	p.payload = r->blob ? span_of(r->blob->data, r->blob->len) : rd_span(&bytes, r->payload_len);
	handle(arg, l, &p, is_share ? &share : NULL);
	publication_fini(&p);
	if (r->blob) {
		blob_unref(r->blob);
		r->blob = NULL;
	}
	if (r->number > l->seen_number)
		l->seen_number = r->number;
}

static void chunk_return(struct lane *l, struct chunk *c)
{
	/* what a burst needed is not kept */
	if (c->room > CHUNK_BYTES ||
	    atomic_load_explicit(&l->nreturned, memory_order_relaxed) >= RETURNED_MAX ||
	    (l->budget && budget_level_of(l->budget, 0) > BUDGET_OK)) {
		chunk_free(l, c);
		return;
	}
	c->used = 0;
	atomic_fetch_add_explicit(&l->nreturned, 1, memory_order_relaxed);
	c->next = atomic_load(&l->returned);
	while (!atomic_compare_exchange_weak(&l->returned, &c->next, c))
		;
}

/* What was passed goes behind what is taken already. */
static void passed_take(struct lane *l)
{
	struct chunk *c = atomic_exchange(&l->passed, NULL), *oldest = NULL, *next, **end = &l->taken;

	for (; c; c = next) {
		next = c->next;
		c->next = oldest;
		oldest = c;
	}
	while (*end)
		end = &(*end)->next;
	*end = oldest;
}

/* The first taken chunk is handled. */
static void taken_done(struct lane *l)
{
	struct chunk *c = l->taken;
	uint64_t weight = c->weight;

	l->taken = c->next;
	l->taken_at = 0;
	chunk_return(l, c);
	atomic_fetch_sub(&l->backlog, weight);
}

bool lane_take_some(struct lane *l,
		    void (*handle)(void *arg, struct lane *l, struct publication *p,
				   struct share_route *share),
		    bool (*enough)(void *arg), void *arg)
{
	bool stop = false;

	passed_take(l);
	while (l->taken && !stop) {
		struct record *r;

		if (l->taken_at == l->taken->used) { /* of a put that was given up */
			taken_done(l);
			continue;
		}
		r = record_at(l->taken, l->taken_at);
		l->taken_at += r->size;
		record_handle(l, r, handle, arg);
		if (l->taken_at == l->taken->used)
			taken_done(l);
		stop = enough && enough(arg);
	}
	if (atomic_load(&l->backlog) == 0 && atomic_exchange(&l->sender_waits, false))
		loop_notify(l->drained);
	return !l->taken;
}

void lane_take(struct lane *l,
	       void (*handle)(void *arg, struct lane *l, struct publication *p, struct share_route *share),
	       void *arg)
{
	(void)lane_take_some(l, handle, NULL, arg);
}

void lane_take_open(struct lane *l,
		    void (*handle)(void *arg, struct lane *l, struct publication *p,
				   struct share_route *share),
		    void *arg)
{
	struct chunk *next;

	for (struct chunk *c = l->open; c; c = next) {
		next = c->next;
		for (uint32_t at = 0; at < c->used; at += record_at(c, at)->size)
			record_handle(l, record_at(c, at), handle, arg);
		chunk_return(l, c);
	}
	l->open = l->open_last = NULL;
}

bool lane_is_past(const struct lane *l, uint64_t number)
{
	return number <= l->seen_number ||
	       (number <= atomic_load(&l->passed_number) && atomic_load(&l->backlog) == 0);
}
