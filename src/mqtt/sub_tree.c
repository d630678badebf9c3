#include "mqtt/sub_tree.h"

#include <stdlib.h>

#include "base/hash.h"

struct sub_tree {
	struct interest *interest;
	struct epoch_reader *reader;
	struct hmap members; /* of groups, by (group, session) */
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
	if (!t->levels) {
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
	hmap_fini(&t->members);
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

/* The group of the filter in hand. */
static int group_get(struct sub_tree *t, struct span key, struct sub_group **out)
{
	struct sub_group *g = sub_tree_group(t, key);

	*out = g;
	if (g)
		return OK;
	g = malloc(sizeof(*g) + key.len);
	if (!g)
		return ERR_NOMEM;
	*g = (struct sub_group){.key_len = (uint32_t)key.len};
	memcpy(g->key, key.p, key.len);
	if (interest_share_hold(t->interest, t->reader, t->levels, key, &g->node, &g->share) < 0) {
		free(g);
		return ERR_NOMEM;
	}
	list_init(&g->members);
	hmap_insert(&t->groups, &g->by_key, hash_span(t->seed, key));
	*out = g;
	return OK;
}

static void group_drop_unused(struct sub_tree *t, struct sub_group *g)
{
	if (!list_empty(&g->members))
		return;
	interest_share_drop(t->interest, t->reader, g->node, g->share);
	hmap_remove(&t->groups, &g->by_key);
	free(g);
}

static struct sub_member *member_of(struct sub *sub)
{
	return container_of(sub, struct sub_member, sub);
}

static uint64_t member_hash(const struct sub_tree *t, const struct sub_group *g, const struct session *s)
{
	return hash_fold((uintptr_t)g ^ t->seed, (uintptr_t)s ^ 0x9e3779b97f4a7c15u);
}

static struct sub *member_find(struct sub_tree *t, struct span key, const struct session *s)
{
	struct sub_group *g = sub_tree_group(t, key);
	struct hmap_node *n = g ? hmap_find(&t->members, member_hash(t, g, s)) : NULL;

	for (; n; n = hmap_next(n)) {
		struct sub *sub = &container_of(n, struct sub_member, by_session)->sub;

		if (sub->session == s && sub->of.group == g)
			return sub;
	}
	return NULL;
}

static void presence_change(struct sub_tree *t, struct sub *sub, bool online, int by)
{
	interest_share_change(t->interest, sub->of.group->share, t->lane, online ? by : 0, online ? 0 : by);
}

/* A member that is kept came or went. */
static void group_keep(struct sub_tree *t, struct sub_group *g, int by)
{
	uint32_t was = g->kept;

	g->kept += (uint32_t)by;
	if (!was != !g->kept)
		interest_share_keep(t->interest, g->share, t->lane, g->kept > 0);
}

static int member_create(struct sub_tree *t, struct session *s, struct span key, bool online,
			 const struct sub_options *o, struct sub **out)
{
	struct sub_member *m = malloc(sizeof(*m));
	struct sub_group *g;

	if (!m || group_get(t, key, &g) < 0) {
		free(m);
		return ERR_NOMEM;
	}
	m->sub = (struct sub){.session = s, .of.group = g, .options = *o};
	list_append(&g->members, &m->in_group);
	hmap_insert(&t->members, &m->by_session, member_hash(t, g, s));
	presence_change(t, &m->sub, online, 1);
	group_keep(t, g, sub_is_kept(&m->sub));
	*out = &m->sub;
	return OK;
}

static void member_change(struct sub_tree *t, struct sub *sub, const struct sub_options *o)
{
	int was = sub_is_kept(sub);

	sub->options = *o;
	group_keep(t, sub->of.group, sub_is_kept(sub) - was);
}

static void member_remove(struct sub_tree *t, struct sub *sub, bool online)
{
	struct sub_member *m = member_of(sub);

	presence_change(t, sub, online, -1);
	group_keep(t, sub->of.group, -(int)sub_is_kept(sub));
	list_remove(&m->in_group);
	hmap_remove(&t->members, &m->by_session);
	group_drop_unused(t, sub->of.group);
	free(m);
}

/* ---- plain subscriptions ---- */

/* The worker's subscribers of the filter in hand, and where it stands (NULL: nowhere). */
static void *set_find(struct sub_tree *t, struct topic_node **at)
{
	*at = interest_find(t->interest, t->levels);
	return *at ? interest_own(*at, t->lane) : NULL;
}

static struct sub *plain_find(struct sub_tree *t, const struct session *s)
{
	struct topic_node *at;

	return sub_set_find(set_find(t, &at), s);
}

/* What the lane keeps at a filter where it has subscribers: as all workers see it. */
struct seen {
	void *set;
	bool kept;
};

static struct seen seen_of(void *set)
{
	return (struct seen){.set = set, .kept = sub_set_keeps(set)};
}

/* The set has changed; it is not empty. */
static void set_changed(struct sub_tree *t, struct topic_node *at, void *set, struct seen was)
{
	struct seen now = seen_of(set);

	if (now.set != was.set || now.kept != was.kept)
		interest_set_own(t->interest, at, t->lane, now.set, now.kept);
}

static int plain_create(struct sub_tree *t, struct session *s, const struct sub_options *o, struct sub **out)
{
	struct sub *sub = malloc(sizeof(*sub));
	struct topic_node *at;
	void *set = set_find(t, &at);
	struct seen was = seen_of(set);

	if (!sub)
		return ERR_NOMEM;
	*sub = (struct sub){.session = s, .of.node = at, .options = *o};
	if (sub_set_add(&set, sub) < 0 ||
	    (!was.set && interest_add(t->interest, t->reader, t->levels, t->lane, set, sub_is_kept(sub),
				      &sub->of.node) < 0)) {
		free(sub);
		return ERR_NOMEM;
	}
	if (was.set)
		set_changed(t, at, set, was);
	*out = sub;
	return OK;
}

static void plain_change(struct sub_tree *t, struct sub *sub, const struct sub_options *o)
{
	struct topic_node *at = sub->of.node;
	void *set = interest_own(at, t->lane);
	struct seen was = seen_of(set);

	sub_set_change(set, sub, o);
	set_changed(t, at, set, was);
}

static void plain_remove(struct sub_tree *t, struct sub *sub)
{
	struct topic_node *at = sub->of.node;
	void *set = interest_own(at, t->lane);
	struct seen was = seen_of(set);

	sub_set_remove(&set, sub);
	if (set)
		set_changed(t, at, set, was);
	else
		interest_remove(t->interest, t->reader, at, t->lane);
	free(sub);
}

/* ---- both ---- */

/* Take the filter in hand: "$share/group/filter" -> the filter and "group/filter"; a plain one is itself, key empty. */
static bool filter_take(struct sub_tree *t, struct span whole, struct span *key)
{
	struct span group, rest = whole;

	*key = span_of(NULL, 0);
	if (mqtt_filter_shared(whole, &group, &rest))
		*key = span_of(group.p, group.len + 1 + rest.len);
	else
		rest = whole;
	return topic_levels_split(t->levels, t->seed, rest);
}

int sub_tree_add(struct sub_tree *t, struct session *s, struct list *session_subs, bool online,
		 struct span filter, const struct sub_options *o, struct sub **out, bool *existed)
{
	struct sub_options options = *o;
	struct span key;
	int rc = OK;

	if (!filter_take(t, filter, &key))
		return ERR_RANGE;
	options.is_shared = key.len > 0;
	*out = key.len ? member_find(t, key, s) : plain_find(t, s);
	*existed = *out != NULL;
	if (*existed && key.len)
		member_change(t, *out, &options);
	else if (*existed)
		plain_change(t, *out, &options);
	else
		rc = key.len ? member_create(t, s, key, online, &options, out)
			     : plain_create(t, s, &options, out);
	if (rc < 0)
		return rc;
	if (!*existed) {
		list_append(session_subs, &(*out)->in_session);
		t->count++;
		t->shared += key.len > 0;
	}
	t->generation++;
	return OK;
}

struct sub *sub_tree_find(struct sub_tree *t, struct session *s, struct span filter)
{
	struct span key;

	if (!filter_take(t, filter, &key))
		return NULL;
	return key.len ? member_find(t, key, s) : plain_find(t, s);
}

void sub_tree_remove(struct sub_tree *t, struct sub *sub, bool online)
{
	list_remove(&sub->in_session);
	t->count--;
	t->shared -= sub->options.is_shared;
	t->generation++;
	if (sub->options.is_shared)
		member_remove(t, sub, online);
	else
		plain_remove(t, sub);
}

void sub_tree_presence(struct sub_tree *t, struct list *session_subs, bool online)
{
	list_for_each (n, session_subs) {
		struct sub *sub = container_of(n, struct sub, in_session);

		if (sub->options.is_shared)
			interest_share_change(t->interest, sub->of.group->share, t->lane, online ? 1 : -1,
					      online ? -1 : 1);
	}
}

/* ---- matching ---- */

struct match {
	const struct sub_found *found;
};

static void match_set(void *arg, void *set)
{
	const struct sub_found *found = ((struct match *)arg)->found;
	struct sub *const *all;
	uint32_t n;

	all = sub_set_all(&set, &n);
	for (uint32_t i = 0; i < n; i++)
		found->sub(found->arg, all[i]);
}

static void match_share(void *arg, struct interest_share *s)
{
	const struct sub_found *found = ((struct match *)arg)->found;

	found->share(found->arg, s);
}

uint32_t sub_tree_match(struct sub_tree *t, const struct topic_levels *topic, struct topic_walk_entry *stack,
			const struct sub_found *found, uint64_t *lanes, uint64_t *kept)
{
	struct match m = {.found = found};
	struct interest_found told = {
		.own = found->sub ? match_set : NULL,
		.share = found->share ? match_share : NULL,
		.arg = &m,
	};

	return interest_match(t->interest, t->lane, topic, stack, &told, lanes, kept);
}
