#include "mqtt/interest.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

/*
 * The value of a node is one of two:
 *
 *   sole    a single lane has plain subscribers, and there is no group: what the lane keeps, SOLE, its number from bit 48 on, and
 *           in the highest bit whether it is among those in `kept`
 *   entry   all else. It stays until nobody wants the filter; its parts are changed in place
 *
 * Values change under the mutex only.
 */
#define SOLE         UINT64_C(2)
#define SOLE_ADDRESS UINT64_C(0x0000fffffffffff1) /* with the bit that is the lane's */
#define SOLE_LANE    48
#define SOLE_KEPT    63

struct entry {
	struct epoch_node retired;
	_Atomic uint64_t lanes, kept;
	_Atomic(struct interest_share *) shares;
	uint32_t holds; /* lanes and share holders; under the mutex */
	void *own[];    /* of each lane; only its thread reads and writes it */
};

struct interest {
	pthread_mutex_t change;
	struct topic_tree *tree;
	uint32_t nlanes;
	_Atomic uint64_t generation;
};

static void *sole_of(void *own, uint32_t lane, bool kept)
{
	uint64_t word = (uintptr_t)own;

	assert((word & ~SOLE_ADDRESS) == 0);
	return (void *)(uintptr_t)(word | SOLE | (uint64_t)lane << SOLE_LANE | (uint64_t)kept << SOLE_KEPT);
}

static bool is_sole(const void *value)
{
	return (uintptr_t)value & SOLE;
}

static uint32_t sole_lane(const void *value)
{
	return (uint32_t)((uintptr_t)value >> SOLE_LANE) % BROKER_LANES_MAX;
}

static uint64_t sole_kept(const void *value)
{
	return (uint64_t)((uintptr_t)value >> SOLE_KEPT) << sole_lane(value);
}

static void *sole_own(const void *value)
{
	return (void *)((uintptr_t)value & SOLE_ADDRESS);
}

static uint64_t bit_of(uint32_t lane)
{
	return UINT64_C(1) << lane;
}

static void set_bit(_Atomic uint64_t *mask, uint32_t lane, bool to)
{
	if (to)
		atomic_fetch_or(mask, bit_of(lane));
	else
		atomic_fetch_and(mask, ~bit_of(lane));
}

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

	if (!is_sole(value))
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

void interest_set_lanes(struct interest *in, uint32_t n)
{
	assert(n <= BROKER_LANES_MAX && topic_tree_nodes(in->tree) == 0);
	in->nlanes = n;
}

uint64_t interest_generation(const struct interest *in)
{
	return atomic_load(&in->generation);
}

static void changed(struct interest *in)
{
	atomic_fetch_add(&in->generation, 1);
}

struct topic_node *interest_find(struct interest *in, const struct topic_levels *filter)
{
	return topic_tree_find(in->tree, filter);
}

/* ---- plain subscribers ---- */

static struct entry *entry_create(const struct interest *in)
{
	return calloc(1, sizeof(struct entry) + in->nlanes * sizeof(void *));
}

/* What a new entry takes over from a filter with one lane, or from none. Nobody sees it yet. */
static void entry_start(struct entry *e, const void *value)
{
	if (!value)
		return;
	e->own[sole_lane(value)] = sole_own(value);
	atomic_init(&e->lanes, bit_of(sole_lane(value)));
	atomic_init(&e->kept, sole_kept(value));
	e->holds = 1;
}

/* The entry of a filter with one more hold. Under the mutex. */
static int entry_hold(struct interest *in, struct epoch_reader *me, const struct topic_levels *filter,
		      struct topic_node **at, struct entry **out)
{
	struct entry *fresh = entry_create(in);
	enum topic_cas done = TOPIC_CAS_DEAD;

	*out = NULL;
	while (fresh && done != TOPIC_CAS_DONE) {
		void *value;

		if (topic_tree_get(in->tree, me, filter, at) < 0)
			break;
		value = topic_node_value(*at);
		if (value && !is_sole(value)) {
			*out = value;
			break;
		}
		entry_start(fresh, value); /* a node that is dead has no value: this is done once */
		done = topic_node_cas(*at, value, fresh);
	}
	if (done == TOPIC_CAS_DONE)
		*out = fresh;
	else
		free(fresh);
	if (!*out)
		return ERR_NOMEM;
	(*out)->holds++;
	return OK;
}

/* Nobody wants the filter any more. Under the mutex. */
static void value_drop(struct interest *in, struct topic_node *at, void *value)
{
	(void)topic_node_cas(at, value, NULL); /* only the holder of the mutex changes values */
	topic_tree_prune_later(in->tree, at);
}

/* One hold less; the last takes the entry out of the tree. Under the mutex. */
static void entry_drop(struct interest *in, struct epoch_reader *me, struct topic_node *at, struct entry *e)
{
	if (--e->holds)
		return;
	value_drop(in, at, e);
	epoch_retire(me, &e->retired, entry_free);
}

static int entry_join(struct interest *in, struct epoch_reader *me, const struct topic_levels *filter,
		      uint32_t lane, void *own, bool kept, struct topic_node **at)
{
	struct entry *e;
	int rc = entry_hold(in, me, filter, at, &e);

	if (rc < 0)
		return rc;
	e->own[lane] = own;
	set_bit(&e->lanes, lane, true);
	set_bit(&e->kept, lane, kept);
	return OK;
}

/* Under the mutex. */
static int lane_join(struct interest *in, struct epoch_reader *me, const struct topic_levels *filter,
		     uint32_t lane, void *own, bool kept, struct topic_node **at)
{
	do {
		if (topic_tree_get(in->tree, me, filter, at) < 0)
			return ERR_NOMEM;
		if (topic_node_value(*at))
			return entry_join(in, me, filter, lane, own, kept, at);
	} while (topic_node_cas(*at, NULL, sole_of(own, lane, kept)) != TOPIC_CAS_DONE);
	return OK;
}

int interest_add(struct interest *in, struct epoch_reader *me, const struct topic_levels *filter,
		 uint32_t lane, void *own, bool kept, struct topic_node **at)
{
	int rc;

	assert(lane < in->nlanes);
	pthread_mutex_lock(&in->change);
	rc = lane_join(in, me, filter, lane, own, kept, at);
	if (rc == OK)
		changed(in);
	pthread_mutex_unlock(&in->change);
	return rc;
}

void *interest_own(const struct topic_node *at, uint32_t lane)
{
	void *value = topic_node_value(at);
	const struct entry *e = value;

	if (!value)
		return NULL;
	if (is_sole(value))
		return sole_lane(value) == lane ? sole_own(value) : NULL;
	return e->own[lane];
}

void interest_set_own(struct interest *in, struct topic_node *at, uint32_t lane, void *own, bool kept)
{
	void *value;
	struct entry *e;
	bool was;

	/* another lane may be about to make an entry of it */
	pthread_mutex_lock(&in->change);
	value = e = topic_node_value(at);
	if (is_sole(value)) {
		was = sole_kept(value);
		(void)topic_node_cas(at, value, sole_of(own, lane, kept));
	} else {
		was = atomic_load(&e->kept) & bit_of(lane);
		e->own[lane] = own;
		set_bit(&e->kept, lane, kept);
	}
	if (was != kept)
		changed(in);
	pthread_mutex_unlock(&in->change);
}

void interest_remove(struct interest *in, struct epoch_reader *me, struct topic_node *at, uint32_t lane)
{
	void *value;
	struct entry *e;

	pthread_mutex_lock(&in->change);
	value = e = topic_node_value(at);
	if (is_sole(value)) {
		value_drop(in, at, value);
	} else {
		e->own[lane] = NULL;
		set_bit(&e->lanes, lane, false);
		set_bit(&e->kept, lane, false);
		entry_drop(in, me, at, e);
	}
	changed(in);
	pthread_mutex_unlock(&in->change);
}

/* ---- share groups ---- */

static struct interest_share *share_create(const struct interest *in, struct span key)
{
	size_t counts = in->nlanes * sizeof(uint64_t);
	struct interest_share *s = calloc(1, sizeof(*s) + counts + key.len);
	uint8_t *text;

	if (!s)
		return NULL;
	text = (uint8_t *)(s + 1) + counts;
	memcpy(text, key.p, key.len);
	s->key = span_of(text, key.len);
	s->members = (_Atomic uint64_t *)(void *)(s + 1);
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
			struct span key, struct topic_node **at, struct interest_share **out)
{
	struct interest_share *s;
	struct entry *e;
	int rc;

	pthread_mutex_lock(&in->change);
	rc = entry_hold(in, me, filter, at, &e);
	if (rc < 0)
		goto done;
	s = share_find(e, key);
	if (!s) {
		s = share_create(in, key);
		if (!s) {
			entry_drop(in, me, *at, e);
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

void interest_share_drop(struct interest *in, struct epoch_reader *me, struct topic_node *at,
			 struct interest_share *share)
{
	struct entry *e;

	pthread_mutex_lock(&in->change);
	e = topic_node_value(at);
	share_release(e, me, share);
	entry_drop(in, me, at, e);
	changed(in);
	pthread_mutex_unlock(&in->change);
}

void interest_share_change(struct interest *in, struct interest_share *share, uint32_t lane, int online,
			   int away)
{
	/* neither count is ever below 0, so what the lower half borrows the upper one has back */
	atomic_fetch_add(&share->members[lane], (uint64_t)(int64_t)online + ((uint64_t)(int64_t)away << 32));
	changed(in);
}

void interest_share_keep(struct interest *in, struct interest_share *share, uint32_t lane, bool kept)
{
	set_bit(&share->kept, lane, kept);
	changed(in);
}

/* ---- looking up ---- */

struct match {
	const struct interest_found *found;
	uint64_t lanes, kept;
	uint32_t lane;
};

static void match_own(const struct match *m, void *own)
{
	if (own && m->found->own)
		m->found->own(m->found->arg, own);
}

static void match_value(void *arg, void *value)
{
	struct match *m = arg;
	struct entry *e = value;

	if (is_sole(value)) {
		m->lanes |= bit_of(sole_lane(value));
		m->kept |= sole_kept(value);
		if (sole_lane(value) == m->lane)
			match_own(m, sole_own(value));
		return;
	}
	m->lanes |= atomic_load(&e->lanes);
	m->kept |= atomic_load(&e->kept);
	match_own(m, e->own[m->lane]);
	for (struct interest_share *s = atomic_load(&e->shares); s && m->found->share;
	     s = atomic_load(&s->next))
		m->found->share(m->found->arg, s);
}

uint32_t interest_match(struct interest *in, uint32_t lane, const struct topic_levels *topic,
			struct topic_walk_entry *stack, const struct interest_found *found, uint64_t *lanes,
			uint64_t *kept)
{
	struct match m = {.found = found, .lane = lane};
	uint32_t visited = topic_tree_match(in->tree, topic, stack, match_value, &m);

	*lanes = m.lanes;
	*kept = m.kept;
	return visited;
}

void interest_prune(struct interest *in, struct epoch_reader *me)
{
	topic_tree_prune(in->tree, me);
}
