#include <assert.h>
#include <stdlib.h>

#include "base/list.h"
#include "mqtt/topic_tree_impl.h"

#define FIRST_CAP 4u /* slots of the table that two children make */

/* ---- nodes ---- */

static uint64_t slot_of(struct topic_node *n, uint32_t hash)
{
	uint64_t address = (uintptr_t)n;

	assert((address & ~SLOT_ADDRESS) == 0);
	return address | (uint64_t)(hash >> 16) << TAG_SHIFT;
}

struct topic_node *topic_node_create(struct topic_node *parent, const struct topic_level *level)
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

static void dead_free(struct epoch_node *n)
{
	struct topic_table *seal = container_of(n, struct topic_table, retired);

	free(slot_node(atomic_load_explicit(&seal->slot[0], memory_order_relaxed)));
	free(seal);
}

void topic_node_retire(struct topic_node *n, struct epoch_reader *me)
{
	struct topic_table *seal = kids_table(atomic_load(&n->kids));

	atomic_store_explicit(&seal->slot[0], slot_of(n, 0), memory_order_relaxed);
	epoch_retire(me, &seal->retired, dead_free);
}

/* ---- slots and tables ---- */

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

static uint64_t table_word(const struct topic_table *t)
{
	return (uintptr_t)t;
}

static struct topic_table *table_create(uint32_t cap)
{
	struct topic_table *t = calloc(1, sizeof(*t) + (NWILD + (size_t)cap) * sizeof(t->slot[0]));

	if (t)
		t->cap = cap;
	return t;
}

static void table_free(struct epoch_node *n)
{
	free(container_of(n, struct topic_table, retired));
}

/* After this no slot of `t` changes any more. */
static void table_freeze(struct topic_table *t)
{
	for (uint32_t i = 0; i < table_slots(t); i++)
		atomic_fetch_or(&t->slot[i], SLOT_FROZEN);
}

/* Ends at the first: a wide level is asked after the removal of each of its children. */
static bool table_has_any(const struct topic_table *t)
{
	for (uint32_t i = 0; i < table_slots(t); i++)
		if (slot_node(atomic_load(&t->slot[i])))
			return true;
	return false;
}

/* Nobody else sees `t` yet. */
static void table_put(struct topic_table *t, struct topic_node *n, const struct topic_level *level)
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
static uint32_t roomier_cap(const struct topic_table *old)
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
static void table_replace(const struct topic_tree *t, struct topic_node *n, struct topic_table *old,
			  struct topic_table *fresh, struct epoch_reader *me)
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

static int table_renew(const struct topic_tree *t, struct topic_node *n, struct topic_table *old,
		       struct epoch_reader *me)
{
	struct topic_table *fresh = table_create(roomier_cap(old));

	if (!fresh)
		return atomic_load(&n->kids) == table_word(old) ? ERR_NOMEM : OK;
	table_replace(t, n, old, fresh, me);
	return OK;
}

/* ---- unlinking ---- */

/* Where the child stands, or NULL. */
static _Atomic uint64_t *table_place(struct topic_table *t, const struct topic_node *kid,
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
static bool table_take_out(const struct topic_tree *t, struct topic_node *kid, struct topic_table *table,
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

void topic_kids_unlink(const struct topic_tree *t, struct topic_node *n, struct epoch_reader *me)
{
	struct topic_level level = level_of(t, n);

	for (;;) {
		uint64_t kids = atomic_load(&n->parent->kids);
		struct topic_table *table = kids_table(kids);

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
static struct topic_node *hashed_find_or_fill(struct topic_table *t, const struct topic_level *level,
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

static struct topic_node *table_find_or_fill(struct topic_table *t, const struct topic_level *level,
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
	struct topic_table *table = NULL;
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

static enum child_step break_seal(struct topic_node *n, struct topic_table *seal, struct epoch_reader *me)
{
	void *claim = VALUE_CLAIMED;

	if (atomic_load(&n->value) == VALUE_DEAD)
		return CHILD_PARENT_DEAD;
	atomic_compare_exchange_strong(&n->value, &claim, NULL);
	if (atomic_load(&n->value) == VALUE_DEAD)
		return CHILD_PARENT_DEAD;
	topic_kids_unseal(n, seal, me);
	return CHILD_AGAIN;
}

static enum child_step child_step(const struct topic_tree *t, struct topic_node *n,
				  const struct topic_level *level, struct topic_node **fresh,
				  struct epoch_reader *me, struct topic_node **out)
{
	uint64_t kids = atomic_load(&n->kids);
	struct topic_table *table = kids_table(kids);
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

int topic_kids_get(struct topic_tree *t, struct topic_node *n, const struct topic_level *level,
		   struct epoch_reader *me, struct topic_node **out)
{
	struct topic_node *fresh;
	enum child_step step;

	*out = topic_node_child(n, level);
	if (*out && !node_is_dead(*out))
		return OK;
	fresh = topic_node_create(n, level);
	if (!fresh)
		return ERR_NOMEM;
	do {
		step = child_step(t, n, level, &fresh, me, out);
		if (step == CHILD_HERE && fresh && node_is_dead(*out)) {
			topic_kids_unlink(t, *out, me);
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

/* ---- sealing ---- */

/* Should a child come while the table is frozen, a table of the same size is at hand. */
int topic_kids_seal(const struct topic_tree *t, struct topic_node *n, struct epoch_reader *me,
		    struct topic_table **out)
{
	uint64_t kids = atomic_load(&n->kids);
	struct topic_table *old = kids_table(kids), *seal, *fresh = NULL;

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

void topic_kids_unseal(struct topic_node *n, struct topic_table *seal, struct epoch_reader *me)
{
	uint64_t was = table_word(seal);

	if (atomic_compare_exchange_strong(&n->kids, &was, 0))
		epoch_retire(me, &seal->retired, table_free);
}
