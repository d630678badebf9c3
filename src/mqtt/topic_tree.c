#include "mqtt/topic_tree.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/list.h"

/*
 * Where a child is found: its address and what is told without going there. A miss costs no look at a node.
 *
 *   bits  0      SLOT_FROZEN in a table, KIDS_ONE in topic_node.kids
 *         1      SLOT_GONE
 *         4..47  the address; malloc() aligns to 16
 *        48..63  TAG: the upper half of its level's hash
 */
#define SLOT_EMPTY   UINT64_C(0)
#define SLOT_FROZEN  UINT64_C(1) /* does not change any more; alone: it was empty */
#define SLOT_GONE    UINT64_C(2) /* a child was removed here; probing goes on */
#define SLOT_ADDRESS UINT64_C(0x0000fffffffffff0)
#define TAG_SHIFT    48

/*
 * topic_node.kids: 0, no child; the slot of an only child with this bit; or a table. The wildcards of an only child are bits too.
 */
#define KIDS_ONE  UINT64_C(1)
#define KIDS_HASH UINT64_C(4)
#define KIDS_PLUS UINT64_C(8)

/* Slots of every table: a topic is asked for # and + at each level. */
enum { WILD_HASH, WILD_PLUS, NWILD };

#define FIRST_CAP 4u

_Static_assert(sizeof(void *) == 8 && _Alignof(max_align_t) >= 16, "slots keep bits beside addresses");

/*
 * A table of capacity 0 is a seal: a pruner put it there, and no child can be inserted before the
 * seal is taken off or the node is dead. Each seal is an object of its own, so taking off an old one cannot hit a
 * newer one. When the node is dead, seal and node are retired as one: slot[0] is the node then.
 */
struct table {
	struct epoch_node retired;
	uint32_t cap;            /* of the hashed slots, a power of two; 0: a seal */
	_Atomic uint32_t used;   /* hashed slots that are not empty */
	_Atomic uint64_t slot[]; /* NWILD, then `cap` hashed ones */
};

struct topic_node {
	struct topic_node *parent;
	_Atomic(void *) value;
	_Atomic uint64_t kids;
	_Atomic(struct topic_node *) prune_next; /* NULL: not queued; the root ends the queue */
	uint16_t len;
	uint8_t level[];
};

struct topic_tree {
	struct topic_node *root;
	uint64_t seed;
	_Atomic(struct topic_node *) to_prune;
	_Atomic bool pruning;
	_Atomic uint64_t nodes;
};

/* node values that only this file sees */
static char claimed_mark, dead_mark;
#define VALUE_CLAIMED ((void *)&claimed_mark)
#define VALUE_DEAD    ((void *)&dead_mark)

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

/* ---- slots and tables ---- */

static struct topic_node *slot_node(uint64_t slot)
{
	return (struct topic_node *)(uintptr_t)(slot & SLOT_ADDRESS);
}

static uint64_t slot_of(struct topic_node *n, uint32_t hash)
{
	uint64_t address = (uintptr_t)n;

	assert((address & ~SLOT_ADDRESS) == 0);
	return address | (uint64_t)(hash >> 16) << TAG_SHIFT;
}

static bool node_is(const struct topic_node *n, const struct topic_level *level)
{
	return n->len == level->len && memcmp(n->level, level->p, level->len) == 0;
}

/* A look at the node only when the tag is right. */
static bool slot_is(uint64_t slot, const struct topic_level *level)
{
	return slot >> TAG_SHIFT == level->hash >> 16 && slot_node(slot) && node_is(slot_node(slot), level);
}

/* Its place among the wildcards, or NWILD. */
static uint32_t level_wild(const struct topic_level *level)
{
	if (level->len != 1)
		return NWILD;
	return level->p[0] == '#' ? WILD_HASH : level->p[0] == '+' ? WILD_PLUS : NWILD;
}

static struct topic_level level_of(const struct topic_tree *t, const struct topic_node *n)
{
	return (struct topic_level){
		.p = n->level, .len = n->len, .hash = level_hash(t->seed, n->level, n->len)};
}

static uint64_t kids_one(struct topic_node *n, const struct topic_level *level)
{
	static const uint64_t bits[NWILD + 1] = {[WILD_HASH] = KIDS_HASH, [WILD_PLUS] = KIDS_PLUS};

	return slot_of(n, level->hash) | KIDS_ONE | bits[level_wild(level)];
}

/* NULL when there is none, or one child without a table. */
static struct table *kids_table(uint64_t kids)
{
	return kids & KIDS_ONE ? NULL : (struct table *)(uintptr_t)kids;
}

static uint64_t table_word(const struct table *t)
{
	return (uintptr_t)t;
}

static uint32_t table_slots(const struct table *t)
{
	return t->cap ? NWILD + t->cap : 0;
}

static struct table *table_create(uint32_t cap)
{
	struct table *t = calloc(1, sizeof(*t) + (NWILD + (size_t)cap) * sizeof(t->slot[0]));

	if (t)
		t->cap = cap;
	return t;
}

static void table_free(struct epoch_node *n)
{
	free(container_of(n, struct table, retired));
}

static void dead_free(struct epoch_node *n)
{
	struct table *seal = container_of(n, struct table, retired);

	free(slot_node(atomic_load_explicit(&seal->slot[0], memory_order_relaxed)));
	free(seal);
}

/* Out of every table, and nobody queues it again. */
static void node_retire(struct topic_node *n, struct epoch_reader *me)
{
	struct table *seal = kids_table(atomic_load(&n->kids));

	atomic_store_explicit(&seal->slot[0], slot_of(n, 0), memory_order_relaxed);
	epoch_retire(me, &seal->retired, dead_free);
}

static struct topic_node *node_create(struct topic_node *parent, const struct topic_level *level)
{
	size_t size = offsetof(struct topic_node, level) + level->len;
	struct topic_node *n = calloc(1, size < sizeof(*n) ? sizeof(*n) : size);

	if (!n)
		return NULL;
	n->parent = parent;
	n->len = (uint16_t)level->len;
	memcpy(n->level, level->p, level->len);
	return n;
}

/* After this no slot of `t` changes any more. */
static void table_freeze(struct table *t)
{
	for (uint32_t i = 0; i < table_slots(t); i++)
		atomic_fetch_or(&t->slot[i], SLOT_FROZEN);
}

/* Ends at the first: a wide level is asked after the removal of each of its children. */
static bool table_has_any(const struct table *t)
{
	for (uint32_t i = 0; i < table_slots(t); i++)
		if (slot_node(atomic_load(&t->slot[i])))
			return true;
	return false;
}

static uint32_t probe_start(const struct table *t, uint32_t hash)
{
	return hash & (t->cap - 1);
}

/* Nobody else sees `t` yet. */
static void table_put(struct table *t, struct topic_node *n, const struct topic_level *level)
{
	uint32_t wild = level_wild(level), i = probe_start(t, level->hash);
	_Atomic uint64_t *at = &t->slot[wild];

	if (wild == NWILD) {
		while (atomic_load_explicit(&t->slot[NWILD + i], memory_order_relaxed) != SLOT_EMPTY)
			i = (i + 1) & (t->cap - 1);
		at = &t->slot[NWILD + i];
		atomic_fetch_add_explicit(&t->used, 1, memory_order_relaxed);
	}
	atomic_store_explicit(at, slot_of(n, level->hash), memory_order_relaxed);
}

/*
 * The capacity of a copy of `old` that has room for one more, and for whatever fills the slots that are empty now before they
 * are frozen.
 */
static uint32_t roomier_cap(const struct table *old)
{
	uint32_t kids = 0, empty = 0, cap = FIRST_CAP;

	for (uint32_t i = NWILD; i < table_slots(old); i++) {
		uint64_t slot = atomic_load(&old->slot[i]);

		kids += slot_node(slot) != NULL;
		empty += (slot & ~SLOT_FROZEN) == SLOT_EMPTY;
	}
	while (cap < 2 * (kids + 1) || cap < kids + empty)
		cap *= 2;
	return cap;
}

/*
 * Freeze `old` and put `fresh` into its place, with what is in it by then and without removed children; or find that somebody
 * else did. `fresh` is there before the first slot is frozen: who froze needs nothing more to go on.
 */
static void table_replace(const struct topic_tree *t, struct topic_node *n, struct table *old,
			  struct table *fresh, struct epoch_reader *me)
{
	uint64_t was = table_word(old);

	table_freeze(old);
	for (uint32_t i = 0; i < table_slots(old); i++) {
		struct topic_node *kid = slot_node(atomic_load(&old->slot[i]));
		struct topic_level level;

		if (!kid)
			continue;
		level = level_of(t, kid);
		table_put(fresh, kid, &level);
	}
	if (atomic_compare_exchange_strong(&n->kids, &was, table_word(fresh)))
		epoch_retire(me, &old->retired, table_free);
	else
		free(fresh);
}

static int table_renew(const struct topic_tree *t, struct topic_node *n, struct table *old,
		       struct epoch_reader *me)
{
	struct table *fresh = table_create(roomier_cap(old));

	if (!fresh)
		return atomic_load(&n->kids) == table_word(old) ? ERR_NOMEM : OK;
	table_replace(t, n, old, fresh, me);
	return OK;
}

/* A node was given back by a pruner's claim: `kids` holds `seal`, and nobody is going to declare it dead. */
static void seal_take_off(struct topic_node *n, struct table *seal, struct epoch_reader *me)
{
	uint64_t was = table_word(seal);

	if (atomic_compare_exchange_strong(&n->kids, &was, 0))
		epoch_retire(me, &seal->retired, table_free);
}

/* ---- looking for children ---- */

static struct topic_node *hashed_find(const struct table *t, const struct topic_level *level)
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
	const struct table *t = kids_table(kids);
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
	const struct table *t = kids_table(c->kids);

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

/* ---- unlinking ---- */

/* Where the child stands, or NULL. */
static _Atomic uint64_t *table_place(struct table *t, const struct topic_node *kid,
				     const struct topic_level *level)
{
	uint32_t wild = level_wild(level), i = t->cap ? probe_start(t, level->hash) : 0;

	if (t->cap && wild != NWILD)
		return slot_node(atomic_load(&t->slot[wild])) == kid ? &t->slot[wild] : NULL;
	for (uint32_t probes = 0; probes < t->cap; probes++, i = (i + 1) & (t->cap - 1)) {
		uint64_t slot = atomic_load(&t->slot[NWILD + i]);

		if (slot_node(slot) == kid)
			return &t->slot[NWILD + i];
		if ((slot & ~SLOT_FROZEN) == SLOT_EMPTY)
			return NULL;
	}
	return NULL;
}

/* One try; false: look again. */
static bool table_take_out(const struct topic_tree *t, struct topic_node *kid, struct table *table,
			   const struct topic_level *level, struct epoch_reader *me)
{
	_Atomic uint64_t *at = table_place(table, kid, level);
	uint64_t slot = at ? atomic_load(at) : SLOT_EMPTY;

	if (slot_node(slot) != kid)
		return !at;
	if (slot & SLOT_FROZEN) {
		/* without memory, whoever froze it has some and is about to go on */
		(void)!table_renew(t, kid->parent, table, me);
		return false;
	}
	return atomic_compare_exchange_strong(at, &slot, level_wild(level) == NWILD ? SLOT_GONE : SLOT_EMPTY);
}

/* A dead node, out of its parent's children. The pruner does it, and whoever needs the place before. */
static void node_unlink(const struct topic_tree *t, struct topic_node *n, struct epoch_reader *me)
{
	struct topic_level level = level_of(t, n);

	for (;;) {
		uint64_t kids = atomic_load(&n->parent->kids);
		struct table *table = kids_table(kids);

		if (table) {
			if (table_take_out(t, n, table, &level, me))
				return;
		} else if (slot_node(kids) != n ||
			   atomic_compare_exchange_strong(&n->parent->kids, &kids, 0)) {
			return;
		}
	}
}

/* ---- inserting ---- */

enum child_step { CHILD_HERE, CHILD_AGAIN, CHILD_PARENT_DEAD, CHILD_NOMEM };

/* Put *fresh into a slot that was empty. NULL: it is not any more. */
static struct topic_node *slot_fill(_Atomic uint64_t *at, struct topic_node **fresh,
				    const struct topic_level *level)
{
	uint64_t empty = SLOT_EMPTY;
	struct topic_node *kid = *fresh;

	if (!atomic_compare_exchange_strong(at, &empty, slot_of(kid, level->hash)))
		return NULL;
	*fresh = NULL;
	return kid;
}

/* One try in one table: find the child, fill an empty slot with *fresh, or say that the table must be renewed. */
static struct topic_node *hashed_find_or_fill(struct table *t, const struct topic_level *level,
					      struct topic_node **fresh, bool *renew)
{
	uint32_t i = probe_start(t, level->hash);

	for (uint32_t probes = 0; probes < t->cap; probes++, i = (i + 1) & (t->cap - 1)) {
		uint64_t slot = atomic_load(&t->slot[NWILD + i]);
		struct topic_node *kid;

		if (slot & SLOT_FROZEN)
			break;
		if (slot_is(slot, level))
			return slot_node(slot);
		if (slot != SLOT_EMPTY)
			continue;
		if (atomic_load(&t->used) >= t->cap - t->cap / 4)
			break;
		kid = slot_fill(&t->slot[NWILD + i], fresh, level);
		if (kid)
			atomic_fetch_add(&t->used, 1);
		*renew = false;
		return kid;
	}
	*renew = true;
	return NULL;
}

static struct topic_node *table_find_or_fill(struct table *t, const struct topic_level *level,
					     struct topic_node **fresh, bool *renew)
{
	uint32_t wild = level_wild(level);
	uint64_t slot;

	if (wild == NWILD)
		return hashed_find_or_fill(t, level, fresh, renew);
	slot = atomic_load(&t->slot[wild]);
	*renew = slot & SLOT_FROZEN;
	if (*renew)
		return NULL;
	return slot_node(slot) ? slot_node(slot) : slot_fill(&t->slot[wild], fresh, level);
}

/* The node has no child (`kids` is 0), or one and no table. */
static enum child_step only_child_step(const struct topic_tree *t, struct topic_node *n, uint64_t kids,
				       const struct topic_level *level, struct topic_node **fresh,
				       struct topic_node **out)
{
	struct table *table = NULL;
	uint64_t now = kids_one(*fresh, level);

	*out = slot_node(kids);
	if (slot_is(kids, level))
		return CHILD_HERE;
	if (*out) {
		struct topic_level other = level_of(t, *out);

		table = table_create(FIRST_CAP);
		if (!table)
			return CHILD_NOMEM;
		table_put(table, *out, &other);
		table_put(table, *fresh, level);
		now = table_word(table);
	}
	if (!atomic_compare_exchange_strong(&n->kids, &kids, now)) {
		free(table);
		return CHILD_AGAIN;
	}
	*out = *fresh;
	*fresh = NULL;
	return CHILD_HERE;
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

static enum child_step child_step(const struct topic_tree *t, struct topic_node *n,
				  const struct topic_level *level, struct topic_node **fresh,
				  struct epoch_reader *me, struct topic_node **out)
{
	uint64_t kids = atomic_load(&n->kids);
	struct table *table = kids_table(kids);
	bool renew;

	if (!table)
		return only_child_step(t, n, kids, level, fresh, out);
	if (table->cap == 0)
		return break_seal(n, table, me);
	*out = table_find_or_fill(table, level, fresh, &renew);
	if (*out)
		return CHILD_HERE;
	return renew && table_renew(t, n, table, me) < 0 ? CHILD_NOMEM : CHILD_AGAIN;
}

static bool node_is_dead(const struct topic_node *n)
{
	return atomic_load(&n->value) == VALUE_DEAD;
}

/* ERR_NOT_FOUND: n is dead, start again from the root. */
static int child_get(struct topic_tree *t, struct topic_node *n, const struct topic_level *level,
		     struct epoch_reader *me, struct topic_node **out)
{
	struct topic_node *fresh;
	enum child_step step;

	*out = topic_node_child(n, level);
	if (*out && !node_is_dead(*out))
		return OK;
	fresh = node_create(n, level);
	if (!fresh)
		return ERR_NOMEM;
	do {
		step = child_step(t, n, level, &fresh, me, out);
		if (step == CHILD_HERE && fresh && node_is_dead(*out)) {
			node_unlink(t, *out, me);
			step = CHILD_AGAIN;
		}
	} while (step == CHILD_AGAIN);
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
	const struct topic_level none = {.p = (const uint8_t *)""};
	struct topic_tree *t = calloc(1, sizeof(*t));

	*out = NULL;
	if (!t)
		return ERR_NOMEM;
	t->seed = seed;
	t->root = node_create(NULL, &none);
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
	struct table *t = kids_table(kids);

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
	struct table *t = kids_table(atomic_load(&n->kids));

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

/*
 * Seal an empty child table. ERR_AGAIN: there are children. Should one come while the table is frozen, a table of the same
 * size is at hand.
 */
static int kids_seal(const struct topic_tree *t, struct topic_node *n, struct epoch_reader *me,
		     struct table **out)
{
	uint64_t kids = atomic_load(&n->kids);
	struct table *old = kids_table(kids), *seal, *fresh = NULL;

	if (slot_node(kids) && !old)
		return ERR_AGAIN;
	if (old && table_has_any(old))
		return ERR_AGAIN;
	seal = table_create(0);
	if (old)
		fresh = table_create(old->cap);
	if (!seal || (old && !fresh)) {
		free(seal);
		free(fresh);
		return ERR_NOMEM;
	}
	if (old)
		table_freeze(old);
	if (old && table_has_any(old)) {
		table_replace(t, n, old, fresh, me);
		free(seal);
		return ERR_AGAIN;
	}
	free(fresh);
	if (!atomic_compare_exchange_strong(&n->kids, &kids, table_word(seal))) {
		free(seal);
		return ERR_AGAIN;
	}
	if (old)
		epoch_retire(me, &old->retired, table_free);
	*out = seal;
	return OK;
}

/* ERR_AGAIN: it is in use. */
static int node_declare_dead(const struct topic_tree *t, struct topic_node *n, struct epoch_reader *me)
{
	void *nothing = NULL, *claim = VALUE_CLAIMED;
	struct table *seal;
	int rc;

	if (!atomic_compare_exchange_strong(&n->value, &nothing, VALUE_CLAIMED))
		return ERR_AGAIN;
	rc = kids_seal(t, n, me, &seal);
	if (rc < 0) {
		atomic_compare_exchange_strong(&n->value, &claim, NULL);
		return rc;
	}
	if (atomic_compare_exchange_strong(&n->value, &claim, VALUE_DEAD))
		return OK;
	seal_take_off(n, seal, me);
	return ERR_AGAIN;
}

static void node_prune_up(struct topic_tree *t, struct topic_node *n, struct epoch_reader *me)
{
	int rc = OK;

	while (n->parent && (rc = node_declare_dead(t, n, me)) == OK) {
		struct topic_node *parent = n->parent;

		node_unlink(t, n, me);
		atomic_fetch_sub_explicit(&t->nodes, 1, memory_order_relaxed);
		/*
		 * Queued again meanwhile? Then it is in the list, and whoever takes it from there frees it.
		 */
		if (queue_mark(t, n))
			node_retire(n, me);
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
			node_retire(n, me); /* pruned from below while it was queued */
		} else {
			atomic_store(&n->prune_next, NULL);
			node_prune_up(t, n, me);
		}
		n = next;
	}
	atomic_store(&t->pruning, false);
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
	const struct table *t = kids_table(kids);

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
