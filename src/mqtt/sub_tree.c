#include "mqtt/sub_tree.h"

#include <stdlib.h>

#include "base/hash.h"

struct sub_tree {
	struct topic_tree *tree; /* values: struct sub_filter */
	struct interest *interest;
	struct epoch_reader *reader;
	struct hmap by_session;
	struct hmap groups;
	struct topic_levels *levels; /* of the filter in hand */
	uint64_t seed;
	uint64_t generation;
	uint32_t count, shared;
	uint16_t lane;
};

int sub_tree_create(struct interest *in, struct epoch_reader *reader, uint64_t seed, uint16_t lane,
		    uint32_t max_levels, struct sub_tree **out)
{
	struct sub_tree *t = calloc(1, sizeof(*t));

	*out = NULL;
	if (!t)
		return ERR_NOMEM;
	t->interest = in;
	t->reader = reader;
	t->seed = seed;
	t->lane = lane;
	t->levels = topic_levels_create(max_levels);
	if (!t->levels || topic_tree_create(seed, &t->tree) < 0) {
		sub_tree_destroy(t);
		return ERR_NOMEM;
	}
	*out = t;
	return OK;
}

void sub_tree_destroy(struct sub_tree *t)
{
	if (!t)
		return;
	topic_tree_destroy(t->tree, NULL);
	hmap_fini(&t->by_session);
	hmap_fini(&t->groups);
	free(t->levels);
	free(t);
}

uint64_t sub_tree_generation(const struct sub_tree *t)
{
	return t->generation;
}

uint32_t sub_tree_count(const struct sub_tree *t)
{
	return t->count;
}

uint32_t sub_tree_shared(const struct sub_tree *t)
{
	return t->shared;
}

void sub_tree_prune(struct sub_tree *t)
{
	topic_tree_prune(t->tree, t->reader);
}

/* ---- filters ---- */

/* The filter's entry, with the levels of it in t->levels. */
static int filter_get(struct sub_tree *t, struct span filter, struct sub_filter **out)
{
	struct topic_node *node;

	if (!topic_levels_split(t->levels, t->seed, filter))
		return ERR_RANGE;
	if (topic_tree_get(t->tree, t->reader, t->levels, &node) < 0)
		return ERR_NOMEM;
	*out = topic_node_value(node);
	if (*out)
		return OK;
	*out = malloc(sizeof(**out));
	if (!*out) {
		topic_tree_prune_later(t->tree, node);
		return ERR_NOMEM;
	}
	(*out)->node = node;
	list_init(&(*out)->subs);
	list_init(&(*out)->groups);
	(void)topic_node_cas(node, NULL, *out); /* this thread alone changes the tree */
	return OK;
}

static void filter_drop_unused(struct sub_tree *t, struct sub_filter *f)
{
	if (!list_empty(&f->subs) || !list_empty(&f->groups))
		return;
	(void)topic_node_cas(f->node, f, NULL);
	topic_tree_prune_later(t->tree, f->node);
	free(f);
}

/* The levels of a filter, read back from its place in the tree. */
static const struct topic_levels *filter_levels(struct sub_tree *t, const struct sub_filter *f)
{
	uint32_t depth = 0;

	for (const struct topic_node *n = f->node; topic_node_parent(n); n = topic_node_parent(n))
		depth++;
	t->levels->count = depth;
	for (const struct topic_node *n = f->node; topic_node_parent(n); n = topic_node_parent(n))
		t->levels->at[--depth] = topic_node_as_level(n);
	return t->levels;
}

/* ---- groups ---- */

struct sub_group *sub_tree_group(struct sub_tree *t, struct span key)
{
	struct hmap_node *n = hmap_find(&t->groups, hash_span(t->seed, key));

	for (; n; n = hmap_next(n)) {
		struct sub_group *g = container_of(n, struct sub_group, by_key);

		if (span_equal(span_of(g->key, g->key_len), key))
			return g;
	}
	return NULL;
}

static int group_get(struct sub_tree *t, struct sub_filter *f, struct span key, struct sub_group **out)
{
	struct sub_group *g = sub_tree_group(t, key);

	*out = g;
	if (g)
		return OK;
	g = malloc(sizeof(*g) + key.len);
	if (!g)
		return ERR_NOMEM;
	*g = (struct sub_group){.filter = f, .key_len = (uint32_t)key.len};
	memcpy(g->key, key.p, key.len);
	if (interest_share_hold(t->interest, t->reader, t->levels, key, &g->share) < 0) {
		free(g);
		return ERR_NOMEM;
	}
	list_init(&g->members);
	list_append(&f->groups, &g->in_filter);
	hmap_insert(&t->groups, &g->by_key, hash_span(t->seed, key));
	*out = g;
	return OK;
}

static void group_drop_unused(struct sub_tree *t, struct sub_group *g)
{
	if (!list_empty(&g->members))
		return;
	interest_share_drop(t->interest, t->reader, filter_levels(t, g->filter), g->share);
	list_remove(&g->in_filter);
	hmap_remove(&t->groups, &g->by_key);
	free(g);
}

/* ---- subscriptions ---- */

static uint64_t sub_hash(const struct sub_tree *t, const void *place, const struct session *s)
{
	return hash_fold((uintptr_t)place ^ t->seed, (uintptr_t)s ^ 0x9e3779b97f4a7c15u);
}

static struct sub *sub_find(struct sub_tree *t, const struct sub_filter *f, const struct sub_group *g,
			    const struct session *s)
{
	const void *place = g ? (const void *)g : f;
	struct hmap_node *n = hmap_find(&t->by_session, sub_hash(t, place, s));

	for (; n; n = hmap_next(n)) {
		struct sub *sub = container_of(n, struct sub, by_session);

		if (sub->session == s && sub->filter == f && sub->group == g)
			return sub;
	}
	return NULL;
}

/* "$share/group/filter" -> the filter and "group/filter"; a plain one is itself, key empty. */
static struct span filter_of(struct span whole, struct span *key)
{
	struct span group, rest;

	*key = span_of(NULL, 0);
	if (!mqtt_filter_shared(whole, &group, &rest))
		return whole;
	*key = span_of(group.p, group.len + 1 + rest.len);
	return rest;
}

static void presence_change(struct sub_tree *t, struct sub *sub, bool online, int by)
{
	interest_share_change(t->interest, sub->group->share, t->lane, online ? by : 0, online ? 0 : by);
}

/* First plain subscriber of a filter: all workers have to know, before it counts here. */
static int sub_announce(struct sub_tree *t, struct sub_filter *f, struct sub_group *g)
{
	if (g || !list_empty(&f->subs))
		return OK;
	return interest_add(t->interest, t->reader, t->levels, t->lane);
}

static int sub_create(struct sub_tree *t, struct session *s, struct sub_filter *f, struct sub_group *g,
		      struct sub **out)
{
	struct sub *sub = malloc(sizeof(*sub));

	if (!sub || sub_announce(t, f, g) < 0) {
		free(sub);
		return ERR_NOMEM;
	}
	*sub = (struct sub){.session = s, .filter = f, .group = g};
	list_append(g ? &g->members : &f->subs, &sub->in_filter);
	hmap_insert(&t->by_session, &sub->by_session, sub_hash(t, g ? (const void *)g : f, s));
	t->count++;
	t->shared += g != NULL;
	*out = sub;
	return OK;
}

int sub_tree_add(struct sub_tree *t, struct session *s, struct list *session_subs, bool online,
		 struct span filter, const struct sub_options *o, struct sub **out, bool *existed)
{
	struct sub_filter *f;
	struct sub_group *g = NULL;
	struct span key;
	int rc = filter_get(t, filter_of(filter, &key), &f);

	if (rc < 0)
		return rc;
	if (key.len)
		rc = group_get(t, f, key, &g);
	if (rc < 0)
		goto fail;
	*out = sub_find(t, f, g, s);
	*existed = *out != NULL;
	if (!*out) {
		rc = sub_create(t, s, f, g, out);
		if (rc < 0)
			goto fail;
		list_append(session_subs, &(*out)->in_session);
		if (g)
			presence_change(t, *out, online, 1);
	}
	(*out)->options = *o;
	t->generation++;
	return OK;
fail:
	if (g)
		group_drop_unused(t, g);
	filter_drop_unused(t, f);
	return rc;
}

struct sub *sub_tree_find(struct sub_tree *t, struct session *s, struct span filter)
{
	struct span key;
	struct span plain = filter_of(filter, &key);
	struct topic_node *node;
	struct sub_group *g = key.len ? sub_tree_group(t, key) : NULL;
	struct sub_filter *f;

	if (!topic_levels_split(t->levels, t->seed, plain) || (key.len && !g))
		return NULL;
	node = topic_tree_find(t->tree, t->levels);
	f = node ? topic_node_value(node) : NULL;
	return f ? sub_find(t, f, g, s) : NULL;
}

void sub_tree_remove(struct sub_tree *t, struct sub *sub, bool online)
{
	struct sub_filter *f = sub->filter;
	struct sub_group *g = sub->group;

	list_remove(&sub->in_filter);
	list_remove(&sub->in_session);
	hmap_remove(&t->by_session, &sub->by_session);
	t->count--;
	t->shared -= g != NULL;
	t->generation++;
	if (g) {
		presence_change(t, sub, online, -1);
		group_drop_unused(t, g);
	} else if (list_empty(&f->subs)) {
		interest_remove(t->interest, t->reader, filter_levels(t, f), t->lane);
	}
	filter_drop_unused(t, f);
	free(sub);
}

void sub_tree_presence(struct sub_tree *t, struct list *session_subs, bool online)
{
	list_for_each (n, session_subs) {
		struct sub *sub = container_of(n, struct sub, in_session);

		if (!sub->group)
			continue;
		presence_change(t, sub, !online, -1);
		presence_change(t, sub, online, 1);
	}
}

/* ---- matching ---- */

struct match {
	void (*found)(void *arg, struct sub *s);
	void *arg;
};

static void match_filter(void *arg, void *value)
{
	struct match *m = arg;
	struct sub_filter *f = value;

	for (struct list *n = f->subs.next; n != &f->subs; n = n->next)
		m->found(m->arg, container_of(n, struct sub, in_filter));
}

uint32_t sub_tree_match(struct sub_tree *t, const struct topic_levels *topic, struct topic_walk_entry *stack,
			void (*found)(void *arg, struct sub *s), void *arg)
{
	struct match m = {.found = found, .arg = arg};

	return topic_tree_match(t->tree, topic, stack, match_filter, &m);
}
