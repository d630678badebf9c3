/*
 * Inside the topic tree: for topic_tree.c and topic_kids.c only.  See topic_tree.h for what it does and how.
 *
 * topic_tree.c   the calls of topic_tree.h: life, finding, matching, pruning
 * topic_kids.c   the children of one node: put in, taken out, sealed, while others do the same
 */
#ifndef MQTT_TOPIC_TREE_IMPL_H
#define MQTT_TOPIC_TREE_IMPL_H

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "base/epoch.h"
#include "base/hash.h"
#include "mqtt/topic_tree.h"

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

_Static_assert(sizeof(void *) == 8 && _Alignof(max_align_t) >= 16, "slots keep bits beside addresses");

/*
 * A table of capacity 0 is a seal: a pruner put it there, and no child can be inserted before the
 * seal is taken off or the node is dead. Each seal is an object of its own, so taking off an old one cannot hit a
 * newer one. When the node is dead, seal and node are retired as one: slot[0] is the node then.
 */
struct topic_table {
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

/* Node values that only these files see. */
extern char topic_claimed_mark, topic_dead_mark;
#define VALUE_CLAIMED ((void *)&topic_claimed_mark)
#define VALUE_DEAD    ((void *)&topic_dead_mark)

/* ---- small things of slots, tables and nodes: inline, a message waits for them ---- */

static inline uint32_t level_hash(uint64_t seed, const uint8_t *p, size_t len)
{
	return (uint32_t)hash_bytes(seed, p, len);
}

static inline struct topic_node *slot_node(uint64_t slot)
{
	return (struct topic_node *)(uintptr_t)(slot & SLOT_ADDRESS);
}

static inline bool node_is(const struct topic_node *n, const struct topic_level *level)
{
	return n->len == level->len && memcmp(n->level, level->p, level->len) == 0;
}

/* A look at the node only when the tag is right. */
static inline bool slot_is(uint64_t slot, const struct topic_level *level)
{
	return slot >> TAG_SHIFT == level->hash >> 16 && slot_node(slot) && node_is(slot_node(slot), level);
}

/* Its place among the wildcards, or NWILD. */
static inline uint32_t level_wild(const struct topic_level *level)
{
	if (level->len != 1)
		return NWILD;
	return level->p[0] == '#' ? WILD_HASH : level->p[0] == '+' ? WILD_PLUS : NWILD;
}

/* NULL when there is none, or one child without a table. */
static inline struct topic_table *kids_table(uint64_t kids)
{
	return kids & KIDS_ONE ? NULL : (struct topic_table *)(uintptr_t)kids;
}

static inline uint32_t table_slots(const struct topic_table *t)
{
	return t->cap ? NWILD + t->cap : 0;
}

static inline uint32_t probe_start(const struct topic_table *t, uint32_t hash)
{
	return hash & (t->cap - 1);
}

static inline bool node_is_dead(const struct topic_node *n)
{
	return atomic_load(&n->value) == VALUE_DEAD;
}

/* ---- topic_kids.c ---- */

/* No child and no value, and in no table yet; NULL when out of memory. */
struct topic_node *topic_node_create(struct topic_node *parent, const struct topic_level *level);
/* A dead node out of every table, that nobody queues again: freed with its seal once nobody reads it. */
void topic_node_retire(struct topic_node *n, struct epoch_reader *me);

/* The child of `n`, made when missing. ERR_NOMEM; ERR_NOT_FOUND: n is dead, start again from the root. */
MUST_USE int topic_kids_get(struct topic_tree *t, struct topic_node *n, const struct topic_level *level,
			    struct epoch_reader *me, struct topic_node **out);
/* A dead node, out of its parent's children. The pruner does it, and whoever needs the place before. */
void topic_kids_unlink(const struct topic_tree *t, struct topic_node *n, struct epoch_reader *me);
/* Seal the children of a claimed node that has none. ERR_AGAIN: it has; ERR_NOMEM. */
MUST_USE int topic_kids_seal(const struct topic_tree *t, struct topic_node *n, struct epoch_reader *me,
			     struct topic_table **out);
/* A node was given back by a pruner's claim: `kids` holds `seal`, and nobody is going to declare it dead. */
void topic_kids_unseal(struct topic_node *n, struct topic_table *seal, struct epoch_reader *me);

#endif
