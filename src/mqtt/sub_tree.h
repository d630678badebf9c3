/*
 * One worker's subscriptions: who of its own sessions gets what. Its thread only. Changes are passed on to the
 * interest of all workers when they are the first or last here.
 */
#ifndef MQTT_SUB_TREE_H
#define MQTT_SUB_TREE_H

#include "base/hmap.h"
#include "base/list.h"
#include "mqtt/interest.h"
#include "wire/mqtt.h"

struct session;
struct sub_tree;

struct sub_options {
	uint8_t qos;
	bool no_local, retain_as_published;
	uint32_t id; /* subscription identifier; 0: none */
};

/* All plain subscribers of one filter. */
struct sub_filter {
	struct list subs; /* struct sub.in_filter */
	struct list groups;
	struct topic_node *node;
};

/* A share group of one filter, its members here. */
struct sub_group {
	struct hmap_node by_key;
	struct list in_filter;
	struct sub_filter *filter;
	struct list members; /* struct sub.in_filter; the first is served next */
	struct interest_share *share;
	uint32_t key_len;
	uint8_t key[]; /* "group/filter" */
};

struct sub {
	struct list in_filter, in_session;
	struct hmap_node by_session; /* (filter or group, session) */
	struct session *session;
	struct sub_filter *filter;
	struct sub_group *group; /* NULL: plain */
	struct sub_options options;
};

MUST_USE int sub_tree_create(struct interest *in, struct epoch_reader *reader, uint64_t seed, uint16_t lane,
			     uint32_t max_levels, struct sub_tree **out);
/* Every session has removed its subscriptions. Accepts NULL. */
void sub_tree_destroy(struct sub_tree *t);

/*
 * Subscribe a session: `filter` is valid and may be a $share one. *existed: it was there and has new options now.
 * `session_subs` is the session's list; `online` its state, which counts for groups. ERR_NOMEM; ERR_RANGE: too many levels.
 */
MUST_USE int sub_tree_add(struct sub_tree *t, struct session *s, struct list *session_subs, bool online,
			  struct span filter, const struct sub_options *o, struct sub **out, bool *existed);
/* The session's subscription to the filter, or NULL. */
struct sub *sub_tree_find(struct sub_tree *t, struct session *s, struct span filter);
void sub_tree_remove(struct sub_tree *t, struct sub *sub, bool online);
/* The session's members count as online from now on, or as away. */
void sub_tree_presence(struct sub_tree *t, struct list *session_subs, bool online);

/* Grows with every change: results of sub_tree_match() are good while it stands. */
uint64_t sub_tree_generation(const struct sub_tree *t);
uint32_t sub_tree_count(const struct sub_tree *t);
/* Those of them that are in share groups. */
uint32_t sub_tree_shared(const struct sub_tree *t);

/* Every plain subscription that matches. `stack` and result as for topic_tree_match(). */
uint32_t sub_tree_match(struct sub_tree *t, const struct topic_levels *topic, struct topic_walk_entry *stack,
			void (*found)(void *arg, struct sub *s), void *arg);
/* A group's members here, or NULL. */
struct sub_group *sub_tree_group(struct sub_tree *t, struct span key);

/* Housekeeping, once per loop turn. */
void sub_tree_prune(struct sub_tree *t);

#endif
