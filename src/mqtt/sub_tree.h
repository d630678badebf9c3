/*
 * One worker's subscriptions: who of its own sessions gets what. Its thread only. They stand in the tree of all workers
 * (interest.h), which tells at the same time who else wants a topic.
 */
#ifndef MQTT_SUB_TREE_H
#define MQTT_SUB_TREE_H

#include "base/hmap.h"
#include "base/list.h"
#include "mqtt/interest.h"
#include "mqtt/sub_set.h"
#include "wire/mqtt.h"

struct session;
struct sub_tree;

/* A share group of one filter, its members here. */
struct sub_group {
	struct hmap_node by_key;
	struct topic_node *node;
	struct list members; /* struct sub_member.in_group; the first is served next */
	struct interest_share *share;
	uint32_t kept; /* members that get what outlives the process */
	uint32_t key_len;
	uint8_t key[]; /* "group/filter" */
};

struct sub_member {
	struct sub sub;
	struct list in_group;
	struct hmap_node by_session; /* (group, session) */
};

MUST_USE int sub_tree_create(struct interest *in, struct epoch_reader *reader, uint64_t seed, uint16_t lane,
			     uint32_t max_levels, struct sub_tree **out);
/* Every session has removed its subscriptions. Accepts NULL. */
void sub_tree_destroy(struct sub_tree *t);

/*
 * Subscribe a session: `filter` is valid and may be a $share one. *existed: it was there and has new options now.
 * `session_subs` is the session's list; `online` its state, which counts for groups; o->is_stored is the same for all of its
 * subscriptions. ERR_NOMEM; ERR_RANGE: too many levels.
 */
MUST_USE int sub_tree_add(struct sub_tree *t, struct session *s, struct list *session_subs, bool online,
			  struct span filter, const struct sub_options *o, struct sub **out, bool *existed);
/* The session's subscription to the filter, or NULL. */
struct sub *sub_tree_find(struct sub_tree *t, struct session *s, struct span filter);
void sub_tree_remove(struct sub_tree *t, struct sub *sub, bool online);
/* The session's members count as online from now on, or as away. */
void sub_tree_presence(struct sub_tree *t, struct list *session_subs, bool online);

/* Grows with every change: what sub_tree_match() told of subscriptions here is good while it stands. */
uint64_t sub_tree_generation(const struct sub_tree *t);
uint32_t sub_tree_count(const struct sub_tree *t);
/* Those of them that are in share groups. */
uint32_t sub_tree_shared(const struct sub_tree *t);

/* What is told of a topic; each may be NULL. */
struct sub_found {
	void (*sub)(void *arg, struct sub *s); /* a plain subscription here */
	void (*share)(void *arg, struct interest_share *s);
	void *arg;
};

/* Who wants this topic. `stack`, *lanes, *kept and result as for interest_match(). */
uint32_t sub_tree_match(struct sub_tree *t, const struct topic_levels *topic, struct topic_walk_entry *stack,
			const struct sub_found *found, uint64_t *lanes, uint64_t *kept);
/* A group's members here, or NULL. */
struct sub_group *sub_tree_group(struct sub_tree *t, struct span key);

#endif
