#include "mqtt/retained.h"

#include <stdlib.h>

#include "base/list.h"

/*
 * What a slot holds. A free one: the number of the next free one. Nobody takes a dead one into use before all who may have seen it
 * are quiescent.
 */
typedef _Atomic uintptr_t slot_word;
#define SLOT_EMPTY ((uintptr_t)0) /* belongs to a topic whose value is about to come */
#define SLOT_DEAD  UINTPTR_MAX    /* its topic was cleared */
#define SLOT_ODD   ((uintptr_t)1) /* else a value */

#define STAMP_MAX ((UINT64_C(1) << 56) - 1)

/* Block k has room for BLOCK_FIRST << k slots, so that the numbers of all are in a row and no block ever moves. */
#define BLOCK_FIRST 256u
#define BLOCKS      24u

struct retained_store {
	struct topic_tree *tree;
	uint64_t seed;
	struct retained_limits limits;
	struct budget *budget; /* NULL: not counted */
	_Atomic uint64_t count, bytes, payload;
	_Atomic uint64_t limited_count, limited_bytes; /* of values that may be refused */
	_Atomic uint64_t expiring;                     /* values that expire */
	bool is_stamped;
	_Atomic uint64_t stamp; /* the last that was taken */
	_Atomic(slot_word *) blocks[BLOCKS];
	_Atomic uint32_t used; /* slots below were taken at least once */
	_Atomic uint64_t
		free_head; /* number + 1 of the first free slot, 0: none; above 32 bits, a count against ABA */
	_Atomic bool sweeping;
	uint32_t swept; /* whoever sweeps: the next slot to look at */
};

/* ---- slots ---- */

static unsigned block_of(uint64_t number)
{
	return 63u - (unsigned)__builtin_clzll((number + BLOCK_FIRST) / BLOCK_FIRST);
}

/* The number of the first slot of a block. */
static uint64_t block_start(unsigned block)
{
	return ((uint64_t)BLOCK_FIRST << block) - BLOCK_FIRST;
}

static slot_word *slot_at(const struct retained_store *r, uint32_t number)
{
	unsigned block = block_of(number);

	return atomic_load_explicit(&r->blocks[block], memory_order_acquire) + (number - block_start(block));
}

static uint32_t slot_number(const struct retained_store *r, const slot_word *at)
{
	for (unsigned k = 0;; k++) {
		const slot_word *block = atomic_load_explicit(&r->blocks[k], memory_order_acquire);

		if (at >= block && at < block + ((size_t)BLOCK_FIRST << k))
			return (uint32_t)(block_start(k) + (uint64_t)(at - block));
	}
}

static bool block_ready(struct retained_store *r, unsigned block)
{
	slot_word *none = NULL, *fresh;

	if (block >= BLOCKS || atomic_load(&r->blocks[block]))
		return block < BLOCKS;
	fresh = calloc((size_t)BLOCK_FIRST << block, sizeof(*fresh));
	if (fresh && !atomic_compare_exchange_strong(&r->blocks[block], &none, fresh))
		free(fresh);
	return atomic_load(&r->blocks[block]);
}

static slot_word *slot_take_free(struct retained_store *r)
{
	uint64_t head = atomic_load(&r->free_head);

	while ((uint32_t)head) {
		slot_word *at = slot_at(r, (uint32_t)head - 1);
		uint64_t next =
			(uint32_t)(atomic_load(at) >> 1); /* of no use if another took it: then this fails */

		if (atomic_compare_exchange_weak(&r->free_head, &head, ((head >> 32) + 1) << 32 | next)) {
			atomic_store(at, SLOT_EMPTY);
			return at;
		}
	}
	return NULL;
}

/* An empty slot, or NULL: out of memory. */
static slot_word *slot_take(struct retained_store *r)
{
	slot_word *at = slot_take_free(r);
	uint32_t number = atomic_load(&r->used);

	if (at)
		return at;
	do
		if (!block_ready(r, block_of(number)))
			return NULL;
	while (!atomic_compare_exchange_weak(&r->used, &number, number + 1));
	return slot_at(r, number);
}

/* Nobody else knows of it. */
static void slot_give(struct retained_store *r, uint32_t number)
{
	slot_word *at = slot_at(r, number);
	uint64_t head = atomic_load(&r->free_head);

	do
		atomic_store(at, (uintptr_t)(uint32_t)head << 1 | SLOT_ODD);
	while (!atomic_compare_exchange_weak(&r->free_head, &head,
					     ((head >> 32) + 1) << 32 | ((uint64_t)number + 1)));
}

static struct retained *word_value(uintptr_t word)
{
	return word & SLOT_ODD ? NULL : (struct retained *)word;
}

uint32_t retained_slots(const struct retained_store *r)
{
	return atomic_load(&r->used);
}

struct retained *retained_at(const struct retained_store *r, uint32_t slot)
{
	return word_value(atomic_load(slot_at(r, slot)));
}

/* ---- values ---- */

uint64_t retained_cost(const struct retained *v)
{
	return (uint64_t)v->topic_len + v->props_len + v->payload_len;
}

/* Bytes behind the struct. */
static size_t value_size(const struct retained *v)
{
	return v->topic_len + v->props_len + (v->expires ? sizeof(uint64_t) : 0) +
	       (v->has_blob ? sizeof(struct blob *) : v->payload_len);
}

static struct retained *value_make(struct retained_store *r, const struct publication *p)
{
	size_t payload = p->blob ? sizeof(p->blob) : p->payload.len;
	size_t n = p->topic.len + p->props.len + (p->expires_ms ? sizeof(p->expires_ms) : 0) + payload;
	size_t size = offsetof(struct retained, bytes) + n;
	/* Not less than the struct, whose end is padding: it is assigned as a whole. */
	struct retained *v = malloc(size > sizeof(*v) ? size : sizeof(*v));
	struct wr w;

	if (!v)
		return NULL;
	*v = (struct retained){
		.store = r,
		.refs = 1,
		.number = p->number,
		.publisher = p->publisher,
		.topic_len = (uint16_t)p->topic.len,
		.props_len = (uint32_t)p->props.len,
		.payload_len = (uint32_t)p->payload.len,
		.origin = (uint8_t)p->origin,
		.qos = p->qos & 3u,
		.expires = p->expires_ms != 0,
		.has_blob = p->blob != NULL,
	};
	w = wr_of(v->bytes, n);
	wr_span(&w, p->topic);
	wr_span(&w, p->props);
	if (v->expires)
		wr_bytes(&w, &p->expires_ms, sizeof(p->expires_ms));
	if (v->has_blob)
		wr_bytes(&w, &(struct blob *){blob_ref(p->blob)}, sizeof(p->blob));
	else
		wr_span(&w, p->payload);
	return v;
}

static const uint8_t *value_payload(const struct retained *v)
{
	return v->bytes + v->topic_len + v->props_len + (v->expires ? sizeof(uint64_t) : 0);
}

static struct blob *value_blob(const struct retained *v)
{
	struct blob *b = NULL;

	if (v->has_blob)
		memcpy(&b, value_payload(v), sizeof(b));
	return b;
}

struct retained *retained_ref(struct retained *v)
{
	atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
	return v;
}

void retained_unref(struct retained *v)
{
	if (!v || atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) != 1)
		return;
	blob_unref(value_blob(v));
	free(v);
}

struct span retained_topic(const struct retained *v)
{
	return span_of(v->bytes, v->topic_len);
}

uint64_t retained_expires_ms(const struct retained *v)
{
	uint64_t ms = 0;

	if (v->expires)
		memcpy(&ms, v->bytes + v->topic_len + v->props_len, sizeof(ms));
	return ms;
}

void retained_view(const struct retained *v, struct publication *p)
{
	struct blob *blob = value_blob(v);

	*p = (struct publication){
		.topic = retained_topic(v),
		.props = span_of(v->bytes + v->topic_len, v->props_len),
		.payload = span_of(blob ? blob->data : value_payload(v), v->payload_len),
		.qos = v->qos,
		.retain = true,
		.origin = v->origin,
		.number = v->number,
		.publisher = v->publisher,
		.expires_ms = retained_expires_ms(v),
		.blob = blob,
	};
}

static void replaced_free(struct epoch_node *n)
{
	retained_unref(container_of(n, struct retained, retired));
}

static void last_free(struct epoch_node *n)
{
	struct retained *v = container_of(n, struct retained, retired);

	slot_give(v->store, v->slot);
	retained_unref(v);
}

/* ---- totals ---- */

#define NODE_BYTES 208 /* of the topic tree and the slots for one topic, about */

/* What a value takes; not the blob, which counts by itself. */
static int64_t value_memory(const struct retained *v)
{
	return NODE_BYTES + budget_block(offsetof(struct retained, bytes) + value_size(v));
}

static void total_add(_Atomic uint64_t *total, uint64_t n)
{
	/* most replace a value by one like it: then nobody else's cache line is touched */
	if (n)
		atomic_fetch_add(total, n);
}

static uint64_t cost_of(const struct retained *v)
{
	return v ? retained_cost(v) : 0;
}

static bool is_limited(const struct retained *v)
{
	return v && v->limited;
}

static uint64_t limited_cost(const struct retained *v)
{
	return is_limited(v) ? retained_cost(v) : 0;
}

/* `fresh` takes the place of `old` (each may be NULL), whatever the limits say. */
static void totals_change(struct retained_store *r, const struct retained *old, const struct retained *fresh)
{
	total_add(&r->count, (uint64_t)(fresh != NULL) - (old != NULL));
	total_add(&r->bytes, cost_of(fresh) - cost_of(old));
	total_add(&r->limited_count, (uint64_t)is_limited(fresh) - is_limited(old));
	total_add(&r->limited_bytes, limited_cost(fresh) - limited_cost(old));
	total_add(&r->payload, (uint64_t)(fresh ? fresh->payload_len : 0) - (old ? old->payload_len : 0));
	total_add(&r->expiring, (uint64_t)(fresh && fresh->expires) - (old && old->expires));
	budget_add(r->budget, (fresh ? value_memory(fresh) : 0) - (old ? value_memory(old) : 0));
}

/* The same, if there is room for what grows. */
static bool totals_take(struct retained_store *r, const struct retained *old, const struct retained *fresh,
			bool refusable)
{
	const struct retained_limits *most = &r->limits;
	bool grows = limited_cost(fresh) > limited_cost(old);

	totals_change(r, old, fresh);
	if (!refusable)
		return true;
	if ((!most->messages || is_limited(old) || atomic_load(&r->limited_count) <= most->messages) &&
	    (!most->bytes || !grows || atomic_load(&r->limited_bytes) <= most->bytes))
		return true;
	totals_change(r, fresh, old);
	return false;
}

uint64_t retained_count(const struct retained_store *r)
{
	return atomic_load(&r->count);
}

uint64_t retained_bytes(const struct retained_store *r)
{
	return atomic_load(&r->bytes);
}

uint64_t retained_payload(const struct retained_store *r)
{
	return atomic_load(&r->payload);
}

/* ---- the store ---- */

int retained_create(uint64_t seed, const struct retained_limits *limits, struct retained_store **out)
{
	struct retained_store *r = calloc(1, sizeof(*r));
	int rc = r ? topic_tree_create(seed, &r->tree) : ERR_NOMEM;

	if (rc < 0) {
		free(r);
		*out = NULL;
		return rc;
	}
	r->seed = seed;
	r->limits = *limits;
	*out = r;
	return OK;
}

void retained_count_in(struct retained_store *r, struct budget *b)
{
	r->budget = b;
}

void retained_begin_stamps(struct retained_store *r, uint64_t last)
{
	r->is_stamped = true;
	if (last > atomic_load(&r->stamp))
		atomic_store(&r->stamp, last);
}

void retained_destroy(struct retained_store *r)
{
	if (!r)
		return;
	topic_tree_destroy(r->tree, NULL);
	for (uint32_t i = 0, end = retained_slots(r); i < end; i++)
		retained_unref(word_value(atomic_load(slot_at(r, i))));
	for (unsigned k = 0; k < BLOCKS; k++)
		free(atomic_load(&r->blocks[k]));
	free(r);
}

/*
 * For a change of what was read before this is called: any stamp that went into the slot until then was taken earlier, so
 * this one is above it.
 */
static uint64_t stamp_take(struct retained_store *r, const struct retained *old)
{
	if (!r->is_stamped)
		return old ? old->stamp + 1 : 1;
	return atomic_fetch_add(&r->stamp, 1) + 1;
}

static slot_word *node_slot(const struct topic_node *node)
{
	return node ? topic_node_value(node) : NULL;
}

/* A slot for a topic that has none. ERR_AGAIN: look again. */
static int slot_attach(struct retained_store *r, struct topic_node *node, slot_word **out)
{
	slot_word *at = slot_take(r);

	if (!at) {
		topic_tree_prune_later(r->tree, node);
		return ERR_NOMEM;
	}
	*out = at;
	if (topic_node_cas(node, NULL, at) == TOPIC_CAS_DONE)
		return OK;
	slot_give(r, slot_number(r, at));
	return ERR_AGAIN;
}

/* A slot that was marked dead leaves its topic; `carrier` goes with it. */
static void slot_detach(struct retained_store *r, struct epoch_reader *me, struct topic_node *node,
			slot_word *at, struct retained *carrier)
{
	(void)topic_node_cas(node, at, NULL); /* or somebody who wanted to set it did so */
	epoch_retire(me, &carrier->retired, last_free);
	topic_tree_prune_later(r->tree, node);
}

/* There is no room for `fresh`. Was the slot made for it, it goes. ERR_AGAIN: it came into use meanwhile. */
static int slot_refuse(struct retained_store *r, struct epoch_reader *me, struct topic_node *node,
		       slot_word *at, struct retained *fresh)
{
	uintptr_t empty = SLOT_EMPTY;

	if (atomic_load(at) != SLOT_EMPTY) {
		retained_unref(fresh);
		return ERR_FULL;
	}
	if (!atomic_compare_exchange_strong(at, &empty, SLOT_DEAD))
		return ERR_AGAIN;
	slot_detach(r, me, node, at, fresh);
	return ERR_FULL;
}

/* Takes `fresh`, but for ERR_AGAIN: the slot is not the topic's any more, or came into use. */
static int slot_fill(struct retained_store *r, struct epoch_reader *me, struct topic_node *node,
		     slot_word *at, struct retained *fresh, enum retained_from from,
		     struct retained_change *change)
{
	uintptr_t was = atomic_load(at);

	fresh->slot = slot_number(r, at);
	while (was != SLOT_DEAD) {
		struct retained *old = word_value(was);

		if (old && from == RETAINED_ABSENT) {
			retained_unref(fresh);
			return ERR_EXISTS;
		}
		*change = (struct retained_change){.stamp = stamp_take(r, old), .of_client = is_limited(old)};
		fresh->stamp = change->stamp & STAMP_MAX;
		if (!totals_take(r, old, fresh, from == RETAINED_CLIENT))
			return slot_refuse(r, me, node, at, fresh);
		if (atomic_compare_exchange_strong(at, &was, (uintptr_t)fresh)) {
			if (old)
				epoch_retire(me, &old->retired, replaced_free);
			return OK;
		}
		totals_change(r, fresh, old);
	}
	(void)topic_node_cas(node, at, NULL);
	return ERR_AGAIN;
}

int retained_set(struct retained_store *r, struct epoch_reader *me, const struct topic_levels *topic,
		 const struct publication *p, enum retained_from from, struct retained_change *change)
{
	struct retained *fresh = value_make(r, p);
	struct topic_node *node;
	slot_word *at;
	int rc;

	if (!fresh)
		return ERR_NOMEM;
	fresh->limited = from != RETAINED_OWN;
	do {
		rc = topic_tree_get(r->tree, me, topic, &node);
		if (rc == OK && !(at = node_slot(node)))
			rc = slot_attach(r, node, &at);
		if (rc == OK)
			rc = slot_fill(r, me, node, at, fresh, from, change);
		else if (rc != ERR_AGAIN)
			retained_unref(fresh);
	} while (rc == ERR_AGAIN);
	return rc;
}

/* false: `v` is not there any more. */
static bool value_remove(struct retained_store *r, struct epoch_reader *me, struct topic_node *node,
			 slot_word *at, struct retained *v, struct retained_change *change)
{
	uintptr_t was = (uintptr_t)v;

	*change = (struct retained_change){.stamp = stamp_take(r, v), .of_client = v->limited};
	if (!atomic_compare_exchange_strong(at, &was, SLOT_DEAD))
		return false;
	totals_change(r, v, NULL);
	slot_detach(r, me, node, at, v);
	return true;
}

/*
 * Another thread is about to set a value here, perhaps with a stamp from before ours: it has to begin anew. false: it was
 * faster.
 */
static bool empty_remove(struct retained_store *r, struct epoch_reader *me, struct topic_node *node,
			 slot_word *at, struct retained *carrier)
{
	uintptr_t empty = SLOT_EMPTY;

	if (!atomic_compare_exchange_strong(at, &empty, SLOT_DEAD))
		return false;
	slot_detach(r, me, node, at, carrier);
	return true;
}

/* ERR_AGAIN: it changed meanwhile. */
static int slot_clear(struct retained_store *r, struct epoch_reader *me, struct topic_node *node,
		      slot_word *at, struct retained_change *change)
{
	uintptr_t was = atomic_load(at);
	struct retained *v = word_value(was);

	if (v)
		return value_remove(r, me, node, at, v, change) ? OK : ERR_AGAIN;
	if (was == SLOT_DEAD || !r->is_stamped)
		return OK;
	v = value_make(r, &(struct publication){0});
	if (!v)
		return ERR_NOMEM;
	v->slot = slot_number(r, at);
	if (empty_remove(r, me, node, at, v))
		return OK;
	retained_unref(v);
	return ERR_AGAIN;
}

int retained_clear(struct retained_store *r, struct epoch_reader *me, const struct topic_levels *topic,
		   struct retained_change *change)
{
	slot_word *at;
	int rc;

	do {
		struct topic_node *node;

		/* before the look: who sets a value after it takes a higher stamp */
		*change = (struct retained_change){.stamp = stamp_take(r, NULL)};
		node = topic_tree_find(r->tree, topic);
		at = node_slot(node);
		rc = at ? slot_clear(r, me, node, at, change) : OK;
	} while (rc == ERR_AGAIN);
	return rc;
}

struct retained *retained_get(const struct retained_store *r, const struct topic_levels *topic)
{
	slot_word *at = node_slot(topic_tree_find(r->tree, topic));

	return at ? word_value(atomic_load(at)) : NULL;
}

/* ---- expiry ---- */

/* 0: it was replaced, and did not expire. Else the stamp. */
static uint64_t value_expire(struct retained_store *r, struct epoch_reader *me, struct retained *v,
			     struct topic_levels *scratch)
{
	struct retained_change change;
	struct topic_node *node = NULL;
	slot_word *at;

	if (topic_levels_split(scratch, r->seed, retained_topic(v)))
		node = topic_tree_find(r->tree, scratch);
	at = node_slot(node);
	if (at != slot_at(r, v->slot) || !value_remove(r, me, node, at, v, &change))
		return 0;
	return change.stamp;
}

bool retained_sweep(struct retained_store *r, struct epoch_reader *me, uint64_t now_ms, uint32_t most,
		    struct topic_levels *scratch,
		    void (*gone)(void *arg, const struct retained *v, uint64_t stamp), void *arg)
{
	uint32_t end = retained_slots(r);

	if (!atomic_load(&r->expiring))
		return false;
	if (atomic_exchange(&r->sweeping, true))
		return true;
	for (uint32_t i = 0; i < most && i < end; i++) {
		struct retained *v;
		uint64_t stamp = 0;

		if (r->swept >= end)
			r->swept = 0;
		v = word_value(atomic_load(slot_at(r, r->swept++)));
		if (v && v->expires && retained_expires_ms(v) <= now_ms)
			stamp = value_expire(r, me, v, scratch);
		if (stamp)
			gone(arg, v, stamp);
	}
	atomic_store(&r->sweeping, false);
	return true;
}

void retained_prune(struct retained_store *r, struct epoch_reader *me)
{
	topic_tree_prune(r->tree, me);
}

/* ---- matching: depth first over a path of (node, next child) ---- */

struct step {
	struct topic_node *node;
	uint32_t depth;                 /* levels of the filter used so far; stays under # */
	bool done;                      /* the one child of a plain level was taken */
	struct topic_children children; /* those left, in a level of + or # */
};

struct walk {
	const struct topic_levels *filter;
	struct step *path;
	uint32_t len, room;
	int (*found)(void *arg, struct retained *value);
	void *arg;
};

static bool level_is(const struct topic_levels *f, uint32_t depth, char c)
{
	return depth < f->count && f->at[depth].len == 1 && f->at[depth].p[0] == (uint8_t)c;
}

static int walk_push(struct walk *w, struct topic_node *node, uint32_t depth)
{
	if (w->len == w->room) {
		uint32_t room = w->room ? 2 * w->room : 32;
		struct step *path = realloc(w->path, room * sizeof(*path));

		if (!path)
			return ERR_NOMEM;
		w->path = path;
		w->room = room;
	}
	w->path[w->len++] =
		(struct step){.node = node, .depth = depth, .children = topic_node_children(node)};
	return OK;
}

static int walk_report(struct walk *w, const struct step *s)
{
	struct retained *value = NULL;
	slot_word *at = NULL;

	/* "a/#" matches "a" too (4.7.1.2) */
	if (s->depth == w->filter->count || level_is(w->filter, s->depth, '#'))
		at = node_slot(s->node);
	if (at)
		value = word_value(atomic_load(at));
	return value ? w->found(w->arg, value) : OK;
}

/* A leading wildcard does not match a topic that starts with $ ([MQTT-4.7.2-1]). */
static bool hidden(const struct step *s, const struct topic_node *kid)
{
	struct span level = topic_node_level(kid);

	return !topic_node_parent(s->node) && level.len > 0 && level.p[0] == '$';
}

/* The next child of the top step that the filter lets in; NULL: no more. */
static struct topic_node *walk_child(const struct walk *w, struct step *s, uint32_t *depth)
{
	bool any = level_is(w->filter, s->depth, '#'), one = level_is(w->filter, s->depth, '+');
	struct topic_node *kid;

	*depth = any ? s->depth : s->depth + 1;
	if (s->depth == w->filter->count || s->done)
		return NULL;
	if (!any && !one) {
		s->done = true;
		return topic_node_child(s->node, &w->filter->at[s->depth]);
	}
	do
		kid = topic_children_next(&s->children);
	while (kid && hidden(s, kid));
	return kid;
}

int retained_match(struct retained_store *r, const struct topic_levels *filter, uint64_t most,
		   int (*found)(void *arg, struct retained *value), void *arg, uint64_t *visited)
{
	struct walk w = {.filter = filter, .found = found, .arg = arg};
	int rc;

	most = most < UINT64_MAX - *visited ? *visited + most : UINT64_MAX;
	rc = walk_push(&w, topic_tree_root(r->tree), 0);
	while (rc == OK && w.len > 0) {
		uint32_t depth;
		struct topic_node *kid = walk_child(&w, &w.path[w.len - 1], &depth);

		++*visited;
		if (!kid) {
			w.len--;
			continue;
		}
		rc = *visited <= most ? walk_push(&w, kid, depth) : ERR_FULL;
		if (rc == OK)
			rc = walk_report(&w, &w.path[w.len - 1]);
	}
	free(w.path);
	return rc;
}
