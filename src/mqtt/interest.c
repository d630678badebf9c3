#include "mqtt/interest.h"

#include <pthread.h>
#include <stdlib.h>

/* The value of a node. It stays until nobody wants the filter; its parts are changed in place. */
struct entry {
	struct epoch_node retired;
	_Atomic uint64_t lanes;
	_Atomic(struct interest_share *) shares;
	uint32_t holds; /* lanes and share holders; under the mutex */
};

struct interest {
	pthread_mutex_t change;
	struct topic_tree *tree;
	_Atomic uint64_t generation;
};

static void share_free(struct epoch_node *n)
{
	free(container_of(n, struct interest_share, retired));
}

static void entry_free(struct epoch_node *n)
{
	struct entry *e = container_of(n, struct entry, retired);
	struct interest_share *s = atomic_load_explicit(&e->shares, memory_order_relaxed), *next;

	for (; s; s = next) {
		next = atomic_load_explicit(&s->next, memory_order_relaxed);
		free(s);
	}
	free(e);
}

static void entry_free_value(void *value)
{
	struct entry *e = value;

	entry_free(&e->retired);
}

int interest_create(uint64_t seed, struct interest **out)
{
	struct interest *in = calloc(1, sizeof(*in));

	*out = NULL;
	if (!in)
		return ERR_NOMEM;
	if (topic_tree_create(seed, &in->tree) < 0) {
		free(in);
		return ERR_NOMEM;
	}
	pthread_mutex_init(&in->change, NULL);
	*out = in;
	return OK;
}

void interest_destroy(struct interest *in)
{
	if (!in)
		return;
	topic_tree_destroy(in->tree, entry_free_value);
	pthread_mutex_destroy(&in->change);
	free(in);
}

uint64_t interest_generation(const struct interest *in)
{
	return atomic_load(&in->generation);
}

static void changed(struct interest *in)
{
	atomic_fetch_add(&in->generation, 1);
}

/* The entry of a filter with one more hold. Under the mutex. */
static int entry_hold(struct interest *in, struct epoch_reader *me, const struct topic_levels *filter,
		      struct entry **out)
{
	struct entry *fresh = calloc(1, sizeof(*fresh));
	struct topic_node *node;

	if (!fresh)
		return ERR_NOMEM;
	do {
		if (topic_tree_get(in->tree, me, filter, &node) < 0) {
			free(fresh);
			return ERR_NOMEM;
		}
		*out = topic_node_value(node);
		if (*out) {
			free(fresh);
			break;
		}
		*out = fresh;
	} while (topic_node_cas(node, NULL, fresh) != TOPIC_CAS_DONE);
	(*out)->holds++;
	return OK;
}

/* One hold less; the last takes the entry out of the tree. Under the mutex. */
static void entry_drop(struct interest *in, struct epoch_reader *me, const struct topic_levels *filter,
		       struct entry *e)
{
	struct topic_node *node;

	if (--e->holds)
		return;
	node = topic_tree_find(in->tree, filter);
	(void)topic_node_cas(node, e, NULL); /* only the holder of the mutex changes values */
	epoch_retire(me, &e->retired, entry_free);
	topic_tree_prune_later(in->tree, node);
}

int interest_add(struct interest *in, struct epoch_reader *me, const struct topic_levels *filter,
		 uint32_t lane)
{
	struct entry *e;
	int rc;

	pthread_mutex_lock(&in->change);
	rc = entry_hold(in, me, filter, &e);
	if (rc == OK) {
		atomic_fetch_or(&e->lanes, UINT64_C(1) << lane);
		changed(in);
	}
	pthread_mutex_unlock(&in->change);
	return rc;
}

void interest_remove(struct interest *in, struct epoch_reader *me, const struct topic_levels *filter,
		     uint32_t lane)
{
	struct entry *e;

	pthread_mutex_lock(&in->change);
	e = topic_node_value(topic_tree_find(in->tree, filter));
	atomic_fetch_and(&e->lanes, ~(UINT64_C(1) << lane));
	entry_drop(in, me, filter, e);
	changed(in);
	pthread_mutex_unlock(&in->change);
}

static struct interest_share *share_create(struct span key)
{
	size_t counts = 2 * BROKER_LANES_MAX * sizeof(uint32_t);
	struct interest_share *s = calloc(1, sizeof(*s) + counts + key.len);
	uint8_t *text;

	if (!s)
		return NULL;
	text = (uint8_t *)(s + 1) + counts;
	memcpy(text, key.p, key.len);
	s->key = span_of(text, key.len);
	s->online = (_Atomic uint32_t *)(void *)(s + 1);
	s->away = s->online + BROKER_LANES_MAX;
	return s;
}

static struct interest_share *share_find(struct entry *e, struct span key)
{
	struct interest_share *s = atomic_load(&e->shares);

	while (s && !span_equal(s->key, key))
		s = atomic_load(&s->next);
	return s;
}

int interest_share_hold(struct interest *in, struct epoch_reader *me, const struct topic_levels *filter,
			struct span key, struct interest_share **out)
{
	struct interest_share *s;
	struct entry *e;
	int rc;

	pthread_mutex_lock(&in->change);
	rc = entry_hold(in, me, filter, &e);
	if (rc < 0)
		goto done;
	s = share_find(e, key);
	if (!s) {
		s = share_create(key);
		if (!s) {
			entry_drop(in, me, filter, e);
			rc = ERR_NOMEM;
			goto done;
		}
		atomic_store(&s->next, atomic_load(&e->shares));
		atomic_store(&e->shares, s);
	}
	s->holds++;
	*out = s;
	changed(in);
done:
	pthread_mutex_unlock(&in->change);
	return rc;
}

/* One hold less; the last takes the group out, or the next messages would look at it in vain. Under the mutex. */
static void share_release(struct entry *e, struct epoch_reader *me, struct interest_share *share)
{
	_Atomic(struct interest_share *) *at = &e->shares;

	if (--share->holds)
		return;
	while (atomic_load(at) != share)
		at = &atomic_load(at)->next;
	atomic_store(at, atomic_load(&share->next)); /* who stands on it still finds the rest */
	epoch_retire(me, &share->retired, share_free);
}

void interest_share_drop(struct interest *in, struct epoch_reader *me, const struct topic_levels *filter,
			 struct interest_share *share)
{
	struct entry *e;

	pthread_mutex_lock(&in->change);
	e = topic_node_value(topic_tree_find(in->tree, filter));
	share_release(e, me, share);
	entry_drop(in, me, filter, e);
	changed(in);
	pthread_mutex_unlock(&in->change);
}

void interest_share_change(struct interest *in, struct interest_share *share, uint32_t lane, int online,
			   int away)
{
	atomic_fetch_add(&share->online[lane], (uint32_t)online);
	atomic_fetch_add(&share->away[lane], (uint32_t)away);
	changed(in);
}

/* ---- looking up ---- */

struct match {
	uint64_t lanes;
	void (*share)(void *arg, struct interest_share *s);
	void *arg;
};

static void match_entry(void *arg, void *value)
{
	struct match *m = arg;
	struct entry *e = value;

	m->lanes |= atomic_load(&e->lanes);
	for (struct interest_share *s = atomic_load(&e->shares); s; s = atomic_load(&s->next))
		m->share(m->arg, s);
}

uint32_t interest_match(struct interest *in, const struct topic_levels *topic, struct topic_walk_entry *stack,
			uint64_t *lanes, void (*share)(void *arg, struct interest_share *s), void *arg)
{
	struct match m = {.share = share, .arg = arg};
	uint32_t visited = topic_tree_match(in->tree, topic, stack, match_entry, &m);

	*lanes = m.lanes;
	return visited;
}

void interest_prune(struct interest *in, struct epoch_reader *me)
{
	topic_tree_prune(in->tree, me);
}
