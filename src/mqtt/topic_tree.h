/*
 * A tree of topic levels that many threads read and change without a lock. Two are made of it: the subscriptions of all
 * workers (interest.h) and retained messages (retained.h).
 *
 * A node stands for one topic or filter, "a/+/c" being the levels a, +, c. It carries one value, a pointer of the user's,
 * changed by compare-and-set; NULL means none. Nodes without value and children go away through
 * topic_tree_prune().
 *
 * Readers and writers are epoch readers (base/epoch.h): a node pointer is good until the caller's next
 * quiescent state. All operations on values and children are sequentially consistent: "store here, then read
 * there" on one thread and "store there, then read here" on another never both miss.
 *
 * How it works: an only child stands in its parent. Several stand in an open-addressed table of atomic slots, # and + in two
 * of their own. A slot has the address and a part of the hash, so that a miss looks at no node. An insertion fills an empty slot.
 * To grow, every slot is frozen by a tag; then the contents cannot change, anyone can copy them, and the
 * first copy is installed. A pruner claims a node's value, seals its child table, and only then declares it dead; whoever comes
 * in between takes the claim away.
 */
#ifndef MQTT_TOPIC_TREE_H
#define MQTT_TOPIC_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/epoch.h"
#include "base/err.h"

/* A topic split into levels, with the hash of each; made once per message and used for every tree. */
struct topic_level {
	const uint8_t *p;
	uint32_t len;
	uint32_t hash;
};

struct topic_levels {
	uint32_t count;
	uint32_t room;
	bool dollar; /* the topic starts with $: not for leading wildcards (4.7.2) */
	struct topic_level at[];
};

/* Room for `max` levels; NULL when out of memory. free() releases it. */
struct topic_levels *topic_levels_create(uint32_t max);
/* Split; the levels point into `topic`. false: more levels than there is room for. */
bool topic_levels_split(struct topic_levels *l, uint64_t seed, struct span topic);

struct topic_tree;
struct topic_node;

/* `seed` is the hash seed that topic_levels_split() was given too. */
MUST_USE int topic_tree_create(uint64_t seed, struct topic_tree **out);
/*
 * No other thread uses it. free_value (may be NULL) is called for each value that is left. Accepts NULL.
 */
void topic_tree_destroy(struct topic_tree *t, void (*free_value)(void *value));

struct topic_node *topic_tree_root(struct topic_tree *t);

/* The node, or NULL when there is none. */
struct topic_node *topic_tree_find(struct topic_tree *t, const struct topic_levels *l);
/* The node, made when missing. ERR_NOMEM. */
MUST_USE int topic_tree_get(struct topic_tree *t, struct epoch_reader *me, const struct topic_levels *l,
			    struct topic_node **out);

/* The child for one level, or NULL. */
struct topic_node *topic_node_child(struct topic_node *n, const struct topic_level *level);
/* All children, as they were at the start or later: none that was there all the time is missed or told twice. */
struct topic_children {
	uint64_t kids;
	uint32_t next;
};
struct topic_children topic_node_children(const struct topic_node *n);
struct topic_node *topic_children_next(struct topic_children *c); /* NULL at the end */
struct span topic_node_level(const struct topic_node *n);
struct topic_node *topic_node_parent(const struct topic_node *n);

void *topic_node_value(const struct topic_node *n);

enum topic_cas { TOPIC_CAS_DONE, TOPIC_CAS_CHANGED, TOPIC_CAS_DEAD };
/*
 * Replace `was` by `now`. CHANGED: the value is another by now, read it again. DEAD: the node left the tree, get it again.
 */
enum topic_cas topic_node_cas(struct topic_node *n, void *was, void *now);

/* The node may be without use: it and ancestors that are too are queued for removal. Never fails. */
void topic_tree_prune_later(struct topic_tree *t, struct topic_node *n);
/* Remove what is queued, unless another thread is at it. Once per loop turn; cheap when nothing is queued. */
void topic_tree_prune(struct topic_tree *t, struct epoch_reader *me);

/* Nodes in the tree, the root not counted; a snapshot. */
uint64_t topic_tree_nodes(const struct topic_tree *t);

/*
 * Walk all nodes whose filter matches a topic (interest, subscriptions). Order: depth first, # before + before exact.
 * `stack` is the caller's, with room for levels + 2 entries. Returns how many nodes it visited.
 */
struct topic_walk_entry {
	struct topic_node *node;
	uint32_t depth;
};
uint32_t topic_tree_match(struct topic_tree *t, const struct topic_levels *l, struct topic_walk_entry *stack,
			  void (*found)(void *arg, void *value), void *arg);

#endif
