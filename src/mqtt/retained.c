#include "mqtt/retained.h"

#include <stdlib.h>

#include "base/list.h"

struct retained_store {
	struct topic_tree *tree;
	_Atomic uint64_t count, payload;
	struct budget *budget;
};

int retained_create(uint64_t seed, struct retained_store **out)
{
	struct retained_store *r = calloc(1, sizeof(*r));
	int rc = r ? topic_tree_create(seed, &r->tree) : ERR_NOMEM;

	if (rc < 0) {
		free(r);
		r = NULL;
	}
	*out = r;
	return rc;
}

#define NODE_BYTES 200 /* of the topic tree for one topic, about */

void retained_count_in(struct retained_store *r, struct budget *b)
{
	r->budget = b;
}

/* What a value costs; not the blob, which counts by itself. Equal sizes make no difference, and touch nothing shared. */
static int64_t value_bytes(const struct retained *r)
{
	if (!r)
		return 0;
	return NODE_BYTES +
	       budget_block(sizeof(*r) + msg_cost(r->msg) - (r->msg->blob ? r->msg->payload_len : 0));
}

static void value_free(void *value)
{
	retained_unref(value);
}

void retained_destroy(struct retained_store *r)
{
	if (!r)
		return;
	topic_tree_destroy(r->tree, value_free);
	free(r);
}

struct retained *retained_make(const struct publication *p)
{
	struct retained *r = malloc(sizeof(*r) + msg_size(p));

	if (!r)
		return NULL;
	*r = (struct retained){.msg = (struct msg *)(void *)(r + 1)};
	atomic_init(&r->refs, 1);
	msg_fill(r->msg, p);
	return r;
}

struct retained *retained_ref(struct retained *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void retained_unref(struct retained *r)
{
	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	blob_unref(r->msg->blob);
	free(r);
}

static void retained_free(struct epoch_node *n)
{
	retained_unref(container_of(n, struct retained, retired));
}

static void replaced(struct retained_store *r, struct retained *old, struct epoch_reader *me)
{
	if (!old)
		return;
	atomic_fetch_sub_explicit(&r->payload, old->msg->payload_len, memory_order_relaxed);
	epoch_retire(me, &old->retired, retained_free);
}

int retained_set(struct retained_store *r, struct epoch_reader *me, const struct topic_levels *topic,
		 struct retained *fresh)
{
	struct topic_node *node;
	struct retained *old;
	enum topic_cas done;

	/* counted first, so that the sum never falls below what is there: it is taken off by whoever replaces it */
	atomic_fetch_add_explicit(&r->payload, fresh->msg->payload_len, memory_order_relaxed);
	do {
		if (topic_tree_get(r->tree, me, topic, &node) < 0) {
			atomic_fetch_sub_explicit(&r->payload, fresh->msg->payload_len, memory_order_relaxed);
			retained_unref(fresh);
			return ERR_NOMEM;
		}
		old = topic_node_value(node);
		fresh->version = old ? old->version + 1 : 1;
		done = topic_node_cas(node, old, fresh);
	} while (done != TOPIC_CAS_DONE);
	budget_add(r->budget, value_bytes(fresh) - value_bytes(old));
	if (!old)
		atomic_fetch_add_explicit(&r->count, 1, memory_order_relaxed);
	replaced(r, old, me);
	return OK;
}

void retained_clear(struct retained_store *r, struct epoch_reader *me, const struct topic_levels *topic)
{
	struct topic_node *node = topic_tree_find(r->tree, topic);
	struct retained *old;
	enum topic_cas done;

	if (!node)
		return;
	do {
		old = topic_node_value(node);
		if (!old)
			return;
		/* DEAD: another thread cleared it, and the node is pruned already */
		done = topic_node_cas(node, old, NULL);
	} while (done == TOPIC_CAS_CHANGED);
	if (done == TOPIC_CAS_DEAD)
		return;
	atomic_fetch_sub_explicit(&r->count, 1, memory_order_relaxed);
	budget_add(r->budget, -value_bytes(old));
	replaced(r, old, me);
	topic_tree_prune_later(r->tree, node);
}

struct retained *retained_get(struct retained_store *r, const struct topic_levels *topic)
{
	struct topic_node *node = topic_tree_find(r->tree, topic);

	return node ? topic_node_value(node) : NULL;
}

uint64_t retained_count(const struct retained_store *r)
{
	return atomic_load_explicit(&r->count, memory_order_relaxed);
}

uint64_t retained_payload(const struct retained_store *r)
{
	return atomic_load_explicit(&r->payload, memory_order_relaxed);
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

	/* "a/#" matches "a" too (4.7.1.2) */
	if (s->depth == w->filter->count || level_is(w->filter, s->depth, '#'))
		value = topic_node_value(s->node);
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

int retained_match(struct retained_store *r, const struct topic_levels *filter,
		   int (*found)(void *arg, struct retained *value), void *arg, uint64_t *visited)
{
	struct walk w = {.filter = filter, .found = found, .arg = arg};
	int rc = walk_push(&w, topic_tree_root(r->tree), 0);

	while (rc == OK && w.len > 0) {
		uint32_t depth;
		struct topic_node *kid = walk_child(&w, &w.path[w.len - 1], &depth);

		++*visited;
		if (!kid) {
			w.len--;
			continue;
		}
		rc = walk_push(&w, kid, depth);
		if (rc == OK)
			rc = walk_report(&w, &w.path[w.len - 1]);
	}
	free(w.path);
	return rc;
}
