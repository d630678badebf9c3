#include "mqtt/topic_tree.h"

#include <stdlib.h>

#include "mqtt/topic_tree_impl.h"

char topic_claimed_mark, topic_dead_mark;

/* ---- levels ---- */

struct topic_levels *topic_levels_create(uint32_t max)
{
	struct topic_levels *l = malloc(sizeof(*l) + max * sizeof(l->at[0]));

	if (l)
		*l = (struct topic_levels){.room = max};
	return l;
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

/* ---- the tree ---- */

int topic_tree_create(uint64_t seed, struct topic_tree **out)
{
	const struct topic_level none = {.p = (const uint8_t *)""};
	struct topic_tree *t = calloc(1, sizeof(*t));

	*out = NULL;
	if (!t)
		return ERR_NOMEM;
	t->seed = seed;
	t->root = topic_node_create(NULL, &none);
	if (!t->root) {
		free(t);
		return ERR_NOMEM;
	}
	atomic_init(&t->to_prune, t->root);
	*out = t;
	return OK;
}

/* Nodes that left the tree while they were queued for pruning are only in that list. */
static void destroy_queued(struct topic_tree *t)
{
	struct topic_node *n = atomic_load(&t->to_prune), *next;

	for (; n != t->root; n = next) {
		next = atomic_load(&n->prune_next);
		if (!node_is_dead(n))
			continue;
		free(kids_table(atomic_load(&n->kids)));
		free(n);
	}
}

/*
 * The next child that is not freed yet, or NULL; it is out of the children after. `used` of a table, which nobody needs any more,
 * tells how far its slots are done.
 */
static struct topic_node *destroy_next(struct topic_node *n)
{
	uint64_t kids = atomic_load(&n->kids);
	struct topic_table *t = kids_table(kids);

	if (!t) {
		atomic_store(&n->kids, 0);
		return slot_node(kids);
	}
	while (atomic_load(&t->used) < table_slots(t)) {
		struct topic_node *kid = slot_node(atomic_load(&t->slot[atomic_fetch_add(&t->used, 1)]));

		if (kid)
			return kid;
	}
	return NULL;
}

static void destroy_start(struct topic_node *n)
{
	struct topic_table *t = kids_table(atomic_load(&n->kids));

	if (t)
		atomic_store(&t->used, 0);
}

/* Depth first without recursion: a node is freed after its children, found again through `parent`. */
void topic_tree_destroy(struct topic_tree *t, void (*free_value)(void *value))
{
	struct topic_node *n = t ? t->root : NULL;

	if (t) {
		destroy_queued(t);
		destroy_start(n);
	}
	while (n) {
		struct topic_node *parent = n->parent, *next = destroy_next(n);

		if (next) {
			destroy_start(next);
			n = next;
			continue;
		}
		if (free_value && topic_node_value(n))
			free_value(topic_node_value(n));
		free(kids_table(atomic_load(&n->kids)));
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
		int rc = topic_kids_get(t, n, &l->at[i], me, &kid);

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

/* ---- looking for children ---- */

static struct topic_node *hashed_find(const struct topic_table *t, const struct topic_level *level)
{
	uint32_t i = probe_start(t, level->hash);

	for (uint32_t probes = 0; probes < t->cap; probes++, i = (i + 1) & (t->cap - 1)) {
		uint64_t slot = atomic_load(&t->slot[NWILD + i]);

		if (slot_is(slot, level))
			return slot_node(slot);
		if ((slot & ~SLOT_FROZEN) == SLOT_EMPTY)
			return NULL;
	}
	return NULL;
}

struct topic_node *topic_node_child(struct topic_node *n, const struct topic_level *level)
{
	uint64_t kids = atomic_load(&n->kids);
	const struct topic_table *t = kids_table(kids);
	uint32_t wild = level_wild(level);

	if (kids & KIDS_ONE)
		return slot_is(kids, level) ? slot_node(kids) : NULL;
	if (!t || t->cap == 0)
		return NULL;
	return wild == NWILD ? hashed_find(t, level) : slot_node(atomic_load(&t->slot[wild]));
}

struct topic_children topic_node_children(const struct topic_node *n)
{
	return (struct topic_children){.kids = atomic_load(&n->kids)};
}

struct topic_node *topic_children_next(struct topic_children *c)
{
	const struct topic_table *t = kids_table(c->kids);

	if (!t) {
		struct topic_node *only = slot_node(c->kids);

		c->kids = 0;
		return only;
	}
	while (c->next < table_slots(t)) {
		struct topic_node *kid = slot_node(atomic_load(&t->slot[c->next++]));

		if (kid)
			return kid;
	}
	return NULL;
}

/* ---- matching ---- */

/* The children of a node that a topic goes on with. */
struct kin {
	struct topic_node *hash, *plus, *exact;
};

/* `level` NULL: the topic ends here. */
static struct kin kin_of(const struct topic_node *n, const struct topic_level *level)
{
	uint64_t kids = atomic_load(&n->kids);
	const struct topic_table *t = kids_table(kids);

	if (kids & KIDS_HASH)
		return (struct kin){.hash = slot_node(kids)};
	if (kids & KIDS_PLUS)
		return (struct kin){.plus = slot_node(kids)};
	if (kids & KIDS_ONE)
		return (struct kin){.exact = level && slot_is(kids, level) ? slot_node(kids) : NULL};
	if (!t || t->cap == 0)
		return (struct kin){0};
	return (struct kin){
		.hash = slot_node(atomic_load(&t->slot[WILD_HASH])),
		.plus = slot_node(atomic_load(&t->slot[WILD_PLUS])),
		.exact = level ? hashed_find(t, level) : NULL,
	};
}

static void match_value(const struct topic_node *n, void (*found)(void *arg, void *value), void *arg)
{
	void *value = topic_node_value(n);

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
		bool wild = at.depth > 0 || !l->dollar, ends = at.depth == l->count;
		struct kin kin = kin_of(at.node, ends ? NULL : &l->at[at.depth]);

		visited++;
		if (kin.hash && wild)
			match_value(kin.hash, found, arg);
		if (ends) {
			match_value(at.node, found, arg);
			continue;
		}
		if (kin.exact)
			stack[top++] = (struct topic_walk_entry){.node = kin.exact, .depth = at.depth + 1};
		if (kin.plus && wild)
			stack[top++] = (struct topic_walk_entry){.node = kin.plus, .depth = at.depth + 1};
	}
	return visited;
}

/* ---- pruning ---- */

/* From now on nobody else queues it. */
static bool queue_mark(struct topic_tree *t, struct topic_node *n)
{
	struct topic_node *none = NULL;

	return atomic_compare_exchange_strong(&n->prune_next, &none, t->root);
}

void topic_tree_prune_later(struct topic_tree *t, struct topic_node *n)
{
	struct topic_node *first;

	if (!n->parent || !queue_mark(t, n))
		return;
	first = atomic_load(&t->to_prune);
	do
		atomic_store(&n->prune_next, first);
	while (!atomic_compare_exchange_weak(&t->to_prune, &first, n));
}

/* ERR_AGAIN: it is in use. */
static int node_declare_dead(const struct topic_tree *t, struct topic_node *n, struct epoch_reader *me)
{
	void *nothing = NULL, *claim = VALUE_CLAIMED;
	struct topic_table *seal;
	int rc;

	if (!atomic_compare_exchange_strong(&n->value, &nothing, VALUE_CLAIMED))
		return ERR_AGAIN;
	rc = topic_kids_seal(t, n, me, &seal);
	if (rc < 0) {
		atomic_compare_exchange_strong(&n->value, &claim, NULL);
		return rc;
	}
	if (atomic_compare_exchange_strong(&n->value, &claim, VALUE_DEAD))
		return OK;
	topic_kids_unseal(n, seal, me);
	return ERR_AGAIN;
}

static void node_prune_up(struct topic_tree *t, struct topic_node *n, struct epoch_reader *me)
{
	int rc = OK;

	while (n->parent && (rc = node_declare_dead(t, n, me)) == OK) {
		struct topic_node *parent = n->parent;

		topic_kids_unlink(t, n, me);
		atomic_fetch_sub_explicit(&t->nodes, 1, memory_order_relaxed);
		/*
		 * Queued again meanwhile? Then it is in the list, and whoever takes it from there frees it.
		 */
		if (queue_mark(t, n))
			topic_node_retire(n, me);
		n = parent;
	}
	if (rc == ERR_NOMEM)
		topic_tree_prune_later(t, n);
}

void topic_tree_prune(struct topic_tree *t, struct epoch_reader *me)
{
	struct topic_node *n;

	if (atomic_load_explicit(&t->to_prune, memory_order_relaxed) == t->root ||
	    atomic_exchange(&t->pruning, true))
		return;
	n = atomic_exchange(&t->to_prune, t->root);
	while (n != t->root) {
		struct topic_node *next = atomic_load(&n->prune_next);

		if (node_is_dead(n)) {
			topic_node_retire(n, me); /* pruned from below while it was queued */
		} else {
			atomic_store(&n->prune_next, NULL);
			node_prune_up(t, n, me);
		}
		n = next;
	}
	atomic_store(&t->pruning, false);
}
