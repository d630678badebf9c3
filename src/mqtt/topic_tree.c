#include "mqtt/topic_tree.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/list.h"

/*
 * A table of capacity 0 is a seal: a pruner put it there, and no child can be inserted before the
 * seal is taken off or the node is dead. Each seal is an object of its own, so taking off an old one cannot hit a
 * newer one.
 */
struct table {
	struct epoch_node retired;
	uint32_t cap; /* a power of two; 0: a seal */
	_Atomic uint32_t used;
	_Atomic uintptr_t slot[];
};

struct topic_node {
	struct epoch_node retired;
	struct topic_node *parent;
	_Atomic(void *) value;
	_Atomic(struct table *) kids;
	struct topic_node *prune_next;
	_Atomic bool prune_queued;
	uint16_t len;
	uint32_t hash;
	uint8_t level[];
};

struct topic_tree {
	struct topic_node *root;
	struct topic_level plus, hash;
	_Atomic(struct topic_node *) to_prune;
	_Atomic bool pruning;
	_Atomic uint64_t nodes;
};

/* slot values */
#define SLOT_EMPTY  ((uintptr_t)0)
#define SLOT_FROZEN ((uintptr_t)1) /* tag of a frozen slot; alone: it was empty */
#define SLOT_GONE   ((uintptr_t)2) /* a child was removed here; probing goes on */

#define FIRST_CAP 4u

/* node values that only this file sees */
static char claimed_mark, dead_mark;
#define VALUE_CLAIMED ((void *)&claimed_mark)
#define VALUE_DEAD    ((void *)&dead_mark)

static struct topic_node *slot_node(uintptr_t slot)
{
	slot &= ~SLOT_FROZEN;
	return slot == SLOT_EMPTY || slot == SLOT_GONE ? NULL : (struct topic_node *)slot;
}

/* ---- levels ---- */

struct topic_levels *topic_levels_create(uint32_t max)
{
	struct topic_levels *l = malloc(sizeof(*l) + max * sizeof(l->at[0]));

	if (l)
		*l = (struct topic_levels){.room = max};
	return l;
}

static uint32_t level_hash(uint64_t seed, const uint8_t *p, size_t len)
{
	return (uint32_t)hash_bytes(seed, p, len);
}

bool topic_levels_split(struct topic_levels *l, uint64_t seed, struct span topic)
{
	const uint8_t *p = topic.p, *end = topic.p + topic.len;

	l->count = 0;
	l->dollar = topic.len > 0 && topic.p[0] == '$';
	for (;;) {
		const uint8_t *slash = memchr(p, '/', (size_t)(end - p));
		const uint8_t *stop = slash ? slash : end;

		if (l->count == l->room)
			return false;
		l->at[l->count++] = (struct topic_level){
			.p = p, .len = (uint32_t)(stop - p), .hash = level_hash(seed, p, (size_t)(stop - p))};
		if (!slash)
			return true;
		p = slash + 1;
	}
}

/* ---- tables ---- */

static struct table *table_create(uint32_t cap)
{
	struct table *t = calloc(1, sizeof(*t) + cap * sizeof(t->slot[0]));

	if (t)
		t->cap = cap;
	return t;
}

static void table_free(struct epoch_node *n)
{
	free(container_of(n, struct table, retired));
}

static void node_free(struct epoch_node *n)
{
	free(container_of(n, struct topic_node, retired));
}

static struct topic_node *node_create(struct topic_node *parent, const struct topic_level *level)
{
	struct topic_node *n = calloc(1, sizeof(*n) + level->len);

	if (!n)
		return NULL;
	n->parent = parent;
	n->len = (uint16_t)level->len;
	n->hash = level->hash;
	memcpy(n->level, level->p, level->len);
	return n;
}

static bool node_is(const struct topic_node *n, const struct topic_level *level)
{
	return n->hash == level->hash && n->len == level->len && memcmp(n->level, level->p, level->len) == 0;
}

/* After this no slot of `t` changes any more. */
static void table_freeze(struct table *t)
{
	for (uint32_t i = 0; i < t->cap; i++)
		atomic_fetch_or(&t->slot[i], SLOT_FROZEN);
}

static uint32_t table_count(const struct table *t)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < t->cap; i++)
		count += slot_node(atomic_load(&t->slot[i])) != NULL;
	return count;
}

/* Ends at the first: a wide level is asked after the removal of each of its children. */
static bool table_has_any(const struct table *t)
{
	for (uint32_t i = 0; i < t->cap; i++)
		if (slot_node(atomic_load(&t->slot[i])))
			return true;
	return false;
}

/* Nobody else sees `t` yet. */
static void table_put(struct table *t, struct topic_node *n)
{
	uint32_t i = n->hash & (t->cap - 1);

	while (atomic_load_explicit(&t->slot[i], memory_order_relaxed) != SLOT_EMPTY)
		i = (i + 1) & (t->cap - 1);
	atomic_store_explicit(&t->slot[i], (uintptr_t)n, memory_order_relaxed);
	atomic_fetch_add_explicit(&t->used, 1, memory_order_relaxed);
}

/*
 * Put a roomier copy (without removed children) in the place of `old`, or find that somebody else did. Without memory nothing
 * was frozen by this.
 */
static int table_renew(struct topic_node *n, struct table *old, struct epoch_reader *me)
{
	struct table *fresh;
	uint32_t cap = FIRST_CAP;

	while (cap < 2 * (table_count(old) + 1))
		cap *= 2;
	fresh = table_create(cap);
	if (!fresh)
		return atomic_load(&n->kids) == old ? ERR_NOMEM : OK;
	table_freeze(old);
	if (table_count(old) >= cap) { /* more came before it froze: now their number stands */
		free(fresh);
		return OK;
	}
	for (uint32_t i = 0; i < old->cap; i++) {
		struct topic_node *kid = slot_node(atomic_load(&old->slot[i]));

		if (kid)
			table_put(fresh, kid);
	}
	if (atomic_compare_exchange_strong(&n->kids, &(struct table *){old}, fresh))
		epoch_retire(me, &old->retired, table_free);
	else
		free(fresh);
	return OK;
}

/* A node was given back by a pruner's claim: `kids` holds `seal`, and nobody is going to declare it dead. */
static void seal_take_off(struct topic_node *n, struct table *seal, struct epoch_reader *me)
{
	if (atomic_compare_exchange_strong(&n->kids, &(struct table *){seal}, NULL))
		epoch_retire(me, &seal->retired, table_free);
}

/* ---- children ---- */

struct topic_node *topic_node_child(struct topic_node *n, const struct topic_level *level)
{
	struct table *t = atomic_load(&n->kids);

	if (!t || t->cap == 0)
		return NULL;
	for (uint32_t i = level->hash & (t->cap - 1), probes = 0; probes < t->cap;
	     probes++, i = (i + 1) & (t->cap - 1)) {
		uintptr_t slot = atomic_load(&t->slot[i]);
		struct topic_node *kid = slot_node(slot);

		if ((slot & ~SLOT_FROZEN) == SLOT_EMPTY)
			return NULL;
		if (kid && node_is(kid, level))
			return kid;
	}
	return NULL;
}

struct topic_children topic_node_children(const struct topic_node *n)
{
	return (struct topic_children){.table = atomic_load(&n->kids)};
}

struct topic_node *topic_children_next(struct topic_children *c)
{
	const struct table *t = c->table;

	while (t && c->next < t->cap) {
		struct topic_node *kid = slot_node(atomic_load(&t->slot[c->next++]));

		if (kid)
			return kid;
	}
	return NULL;
}

enum child_step { CHILD_HERE, CHILD_AGAIN, CHILD_PARENT_DEAD, CHILD_NOMEM };

/* One try in one table: find the child, fill an empty slot with *fresh, or say that the table must be renewed. */
static struct topic_node *table_find_or_fill(struct table *t, const struct topic_level *level,
					     struct topic_node **fresh, bool *renew)
{
	uint32_t i = level->hash & (t->cap - 1);

	*renew = false;
	for (uint32_t probes = 0; probes < t->cap;) {
		uintptr_t slot = atomic_load(&t->slot[i]);
		struct topic_node *kid = slot_node(slot);

		if (slot & SLOT_FROZEN)
			break;
		if (kid && node_is(kid, level))
			return kid;
		if (slot == SLOT_EMPTY) {
			if (atomic_load(&t->used) >= t->cap - t->cap / 4)
				break;
			if (atomic_compare_exchange_strong(&t->slot[i], &slot, (uintptr_t)*fresh)) {
				atomic_fetch_add(&t->used, 1);
				kid = *fresh;
				*fresh = NULL;
				return kid;
			}
			continue; /* somebody filled or froze it: look again */
		}
		probes++;
		i = (i + 1) & (t->cap - 1);
	}
	*renew = true;
	return NULL;
}

static enum child_step first_table(struct topic_node *n)
{
	struct table *t = table_create(FIRST_CAP);

	if (!t)
		return CHILD_NOMEM;
	if (!atomic_compare_exchange_strong(&n->kids, &(struct table *){NULL}, t))
		free(t);
	return CHILD_AGAIN;
}

static enum child_step break_seal(struct topic_node *n, struct table *seal, struct epoch_reader *me)
{
	void *claim = VALUE_CLAIMED;

	if (atomic_load(&n->value) == VALUE_DEAD)
		return CHILD_PARENT_DEAD;
	atomic_compare_exchange_strong(&n->value, &claim, NULL);
	if (atomic_load(&n->value) == VALUE_DEAD)
		return CHILD_PARENT_DEAD;
	seal_take_off(n, seal, me);
	return CHILD_AGAIN;
}

static enum child_step child_step(struct topic_node *n, const struct topic_level *level,
				  struct topic_node **fresh, struct epoch_reader *me, struct topic_node **out)
{
	struct table *t = atomic_load(&n->kids);
	bool renew;

	if (!t)
		return first_table(n);
	if (t->cap == 0)
		return break_seal(n, t, me);
	*out = table_find_or_fill(t, level, fresh, &renew);
	if (*out)
		return CHILD_HERE;
	return renew && table_renew(n, t, me) < 0 ? CHILD_NOMEM : CHILD_AGAIN;
}

/* ERR_NOT_FOUND: n is dead, start again from the root. */
static int child_get(struct topic_tree *t, struct topic_node *n, const struct topic_level *level,
		     struct epoch_reader *me, struct topic_node **out)
{
	struct topic_node *fresh = NULL;
	enum child_step step;

	*out = topic_node_child(n, level);
	if (*out)
		return OK;
	fresh = node_create(n, level);
	if (!fresh)
		return ERR_NOMEM;
	do
		step = child_step(n, level, &fresh, me, out);
	while (step == CHILD_AGAIN);
	if (!fresh)
		atomic_fetch_add_explicit(&t->nodes, 1, memory_order_relaxed);
	free(fresh);
	if (step == CHILD_HERE)
		return OK;
	return step == CHILD_NOMEM ? ERR_NOMEM : ERR_NOT_FOUND;
}

/* ---- the tree ---- */

int topic_tree_create(uint64_t seed, struct topic_tree **out)
{
	static const uint8_t plus[] = "+", hash[] = "#";
	struct topic_tree *t = calloc(1, sizeof(*t));
	struct topic_level none = {0};

	*out = NULL;
	if (!t)
		return ERR_NOMEM;
	none.p = plus;
	t->root = node_create(NULL, &none);
	if (!t->root) {
		free(t);
		return ERR_NOMEM;
	}
	t->plus = (struct topic_level){.p = plus, .len = 1, .hash = level_hash(seed, plus, 1)};
	t->hash = (struct topic_level){.p = hash, .len = 1, .hash = level_hash(seed, hash, 1)};
	*out = t;
	return OK;
}

/* Nodes that left the tree while they were queued for pruning are only in that list. */
static void destroy_queued(struct topic_tree *t)
{
	struct topic_node *n = atomic_load(&t->to_prune), *next;

	for (; n; n = next) {
		next = n->prune_next;
		if (atomic_load(&n->value) == VALUE_DEAD)
			free(n);
	}
}

/*
 * Depth first without recursion: a node is freed after its children, found again through `parent`. Where the search for children
 * goes on in its table stands in `hash`, which nobody needs any more.
 */
void topic_tree_destroy(struct topic_tree *t, void (*free_value)(void *value))
{
	struct topic_node *n = t ? t->root : NULL;

	if (t) {
		destroy_queued(t);
		n->hash = 0;
	}
	while (n) {
		struct table *kids = atomic_load(&n->kids);
		struct topic_node *parent = n->parent, *next = NULL;

		while (kids && n->hash < kids->cap && !next)
			next = slot_node(atomic_load(&kids->slot[n->hash++]));
		if (next) {
			next->hash = 0;
			n = next;
			continue;
		}
		if (free_value && topic_node_value(n))
			free_value(topic_node_value(n));
		free(kids);
		free(n);
		n = parent;
	}
	free(t);
}

struct topic_node *topic_tree_root(struct topic_tree *t)
{
	return t->root;
}

struct topic_node *topic_tree_find(struct topic_tree *t, const struct topic_levels *l)
{
	struct topic_node *n = t->root;

	for (uint32_t i = 0; n && i < l->count; i++)
		n = topic_node_child(n, &l->at[i]);
	return n;
}

int topic_tree_get(struct topic_tree *t, struct epoch_reader *me, const struct topic_levels *l,
		   struct topic_node **out)
{
	struct topic_node *n = t->root;

	*out = NULL;
	for (uint32_t i = 0; i < l->count;) {
		struct topic_node *kid;
		int rc = child_get(t, n, &l->at[i], me, &kid);

		if (rc == ERR_NOMEM) {
			topic_tree_prune_later(t, n); /* may have been made for this */
			return rc;
		}
		i = rc == OK ? i + 1 : 0;
		n = rc == OK ? kid : t->root;
	}
	*out = n;
	return OK;
}

struct span topic_node_level(const struct topic_node *n)
{
	return span_of(n->level, n->len);
}

struct topic_level topic_node_as_level(const struct topic_node *n)
{
	return (struct topic_level){.p = n->level, .len = n->len, .hash = n->hash};
}

struct topic_node *topic_node_parent(const struct topic_node *n)
{
	return n->parent;
}

uint64_t topic_tree_nodes(const struct topic_tree *t)
{
	return atomic_load_explicit(&t->nodes, memory_order_relaxed);
}

void *topic_node_value(const struct topic_node *n)
{
	void *v = atomic_load(&n->value);

	return v == VALUE_CLAIMED || v == VALUE_DEAD ? NULL : v;
}

enum topic_cas topic_node_cas(struct topic_node *n, void *was, void *now)
{
	void *expected = was;

	for (;;) {
		if (atomic_compare_exchange_strong(&n->value, &expected, now))
			return TOPIC_CAS_DONE;
		if (expected == VALUE_DEAD)
			return TOPIC_CAS_DEAD;
		if (expected != VALUE_CLAIMED || was)
			return TOPIC_CAS_CHANGED;
		/* a pruner's claim counts as no value: take it away */
	}
}

/* ---- pruning ---- */

void topic_tree_prune_later(struct topic_tree *t, struct topic_node *n)
{
	if (!n->parent || atomic_exchange(&n->prune_queued, true))
		return;
	n->prune_next = atomic_load(&t->to_prune);
	while (!atomic_compare_exchange_weak(&t->to_prune, &n->prune_next, n))
		;
}

/* Seal an empty child table. false: there are children, or there was no memory for the seal. */
static bool kids_seal(struct topic_node *n, struct epoch_reader *me, struct table **out)
{
	struct table *t = atomic_load(&n->kids), *seal;

	if (t && table_has_any(t))
		return false;
	seal = table_create(0);
	if (!seal)
		return false;
	if (t)
		table_freeze(t);
	if ((t && table_has_any(t)) ||
	    !atomic_compare_exchange_strong(&n->kids, &(struct table *){t}, seal)) {
		free(seal);
		return false; /* a frozen table is renewed by the next insertion */
	}
	if (t)
		epoch_retire(me, &t->retired, table_free);
	*out = seal;
	return true;
}

static bool node_declare_dead(struct topic_node *n, struct epoch_reader *me)
{
	void *nothing = NULL, *claim = VALUE_CLAIMED;
	struct table *seal;

	if (!atomic_compare_exchange_strong(&n->value, &nothing, VALUE_CLAIMED))
		return false;
	if (!kids_seal(n, me, &seal)) {
		atomic_compare_exchange_strong(&n->value, &claim, NULL);
		return false;
	}
	if (atomic_compare_exchange_strong(&n->value, &claim, VALUE_DEAD)) {
		epoch_retire(me, &seal->retired, table_free);
		return true;
	}
	seal_take_off(n, seal, me);
	return false;
}

/* Out of the parent's table; only the pruner removes, so it is still there. */
static void node_unlink(struct topic_node *n, struct epoch_reader *me)
{
	for (;;) {
		struct table *t = atomic_load(&n->parent->kids);
		uintptr_t self = (uintptr_t)n;
		uint32_t i = n->hash & (t->cap - 1);

		while (slot_node(atomic_load(&t->slot[i])) != n)
			i = (i + 1) & (t->cap - 1);
		if (atomic_compare_exchange_strong(&t->slot[i], &self, SLOT_GONE))
			return;
		/* frozen: help to renew; without memory, spin until whoever froze it has some */
		(void)!table_renew(n->parent, t, me);
	}
}

static void node_prune_up(struct topic_tree *t, struct topic_node *n, struct epoch_reader *me)
{
	while (n->parent && node_declare_dead(n, me)) {
		struct topic_node *parent = n->parent;

		node_unlink(n, me);
		atomic_fetch_sub_explicit(&t->nodes, 1, memory_order_relaxed);
		/*
		 * Queued again meanwhile? Then it is in the list, and whoever takes it from there frees it.
		 */
		if (!atomic_exchange(&n->prune_queued, true))
			epoch_retire(me, &n->retired, node_free);
		n = parent;
	}
}

void topic_tree_prune(struct topic_tree *t, struct epoch_reader *me)
{
	struct topic_node *n;

	if (!atomic_load_explicit(&t->to_prune, memory_order_relaxed) || atomic_exchange(&t->pruning, true))
		return;
	n = atomic_exchange(&t->to_prune, NULL);
	while (n) {
		struct topic_node *next = n->prune_next;

		if (atomic_load(&n->value) == VALUE_DEAD) {
			epoch_retire(me, &n->retired, node_free); /* pruned from below while it was queued */
		} else {
			atomic_store(&n->prune_queued, false);
			node_prune_up(t, n, me);
		}
		n = next;
	}
	atomic_store(&t->pruning, false);
}

/* ---- matching ---- */

static void match_value(struct topic_node *n, void (*found)(void *arg, void *value), void *arg)
{
	void *value = n ? topic_node_value(n) : NULL;

	if (value)
		found(arg, value);
}

uint32_t topic_tree_match(struct topic_tree *t, const struct topic_levels *l, struct topic_walk_entry *stack,
			  void (*found)(void *arg, void *value), void *arg)
{
	uint32_t top = 0, visited = 0;

	stack[top++] = (struct topic_walk_entry){.node = t->root, .depth = 0};
	while (top > 0) {
		struct topic_walk_entry at = stack[--top];
		bool wild = at.depth > 0 || !l->dollar;
		struct topic_node *kid;

		visited++;
		if (wild)
			match_value(topic_node_child(at.node, &t->hash), found, arg);
		if (at.depth == l->count) {
			match_value(at.node, found, arg);
			continue;
		}
		kid = topic_node_child(at.node, &l->at[at.depth]);
		if (kid)
			stack[top++] = (struct topic_walk_entry){.node = kid, .depth = at.depth + 1};
		kid = wild ? topic_node_child(at.node, &t->plus) : NULL;
		if (kid)
			stack[top++] = (struct topic_walk_entry){.node = kid, .depth = at.depth + 1};
	}
	return visited;
}
