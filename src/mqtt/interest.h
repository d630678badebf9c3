/*
 * Who subscribed what, of all workers: one tree of filters that each message is looked up in, without a lock. At a filter stand
 *
 *   lanes   which workers and ports have a plain subscriber
 *   kept    which of them have one that gets what outlives the process: a session of the store, with QoS above 0
 *   own     for each of these lanes, where its own subscribers are (sub_set.h). Only the thread of the lane looks there;
 *           to others it is a number
 *   shares  per share group, how many members each lane has
 *
 * A lane's first and last subscriber of a filter and the coming and going of groups take a mutex, which only the subscribe and
 * connect paths see. Most filters have one plain subscriber: then all of this is one word in the tree's node.
 *
 * `generation` grows after each change of lanes, kept or shares: what was looked up before is good while it stands.
 */
#ifndef MQTT_INTEREST_H
#define MQTT_INTEREST_H

#include <stdatomic.h>

#include "mqtt/broker.h"
#include "mqtt/topic_tree.h"

struct interest;

/* Members of one group of one filter, per lane. */
struct interest_share {
	struct epoch_node retired;
	_Atomic(struct interest_share *) next;
	uint32_t holds;        /* lanes that have the group; under the mutex */
	struct span key;       /* "group/filter" */
	_Atomic uint64_t kept; /* lanes with a member that gets what outlives the process */
	/* away in the upper half, online in the lower one: who goes from one to the other is always in one of them */
	_Atomic uint64_t *members;
};

struct share_members {
	uint32_t online;
	uint32_t away; /* these have a queue */
};

static inline struct share_members interest_share_members(const struct interest_share *s, uint32_t lane)
{
	uint64_t n = atomic_load_explicit(&s->members[lane], memory_order_relaxed);

	return (struct share_members){.online = (uint32_t)n, .away = (uint32_t)(n >> 32)};
}

static inline uint64_t interest_share_kept(const struct interest_share *s)
{
	return atomic_load(&s->kept);
}

MUST_USE int interest_create(uint64_t seed, struct interest **out);
void interest_destroy(struct interest *in); /* accepts NULL */
/* There are lanes 0..n-1. Called before anybody subscribes, while no other thread uses it. */
void interest_set_lanes(struct interest *in, uint32_t n);

uint64_t interest_generation(const struct interest *in);

/* Where the filter stands, or NULL. */
struct topic_node *interest_find(struct interest *in, const struct topic_levels *filter);
/* What the lane keeps at a filter, or NULL. By the lane's thread, as are the next three. */
void *interest_own(const struct topic_node *at, uint32_t lane);

/*
 * The lane has a first plain subscriber for the filter and keeps `own` there, the address of something that malloc() made; the lowest bit
 * is the lane's to use. `kept`: this subscriber gets what outlives the process. *at stands until interest_remove(). ERR_NOMEM:
 * nothing changed.
 */
MUST_USE int interest_add(struct interest *in, struct epoch_reader *me, const struct topic_levels *filter,
			  uint32_t lane, void *own, bool kept, struct topic_node **at);
/* It keeps something else there, not NULL, or came to have its first such subscriber, or had its last one. */
void interest_set_own(struct interest *in, struct topic_node *at, uint32_t lane, void *own, bool kept);
/* It had its last subscriber. Never fails. */
void interest_remove(struct interest *in, struct epoch_reader *me, struct topic_node *at, uint32_t lane);

/*
 * Make the entry of a share group, so that interest_share_change() can't fail. `key` is "group/filter". It and *at stay until as
 * many interest_share_drop() calls, by then with all its counts back at 0. ERR_NOMEM.
 */
MUST_USE int interest_share_hold(struct interest *in, struct epoch_reader *me,
				 const struct topic_levels *filter, struct span key, struct topic_node **at,
				 struct interest_share **out);
void interest_share_drop(struct interest *in, struct epoch_reader *me, struct topic_node *at,
			 struct interest_share *share);
void interest_share_change(struct interest *in, struct interest_share *share, uint32_t lane, int online,
			   int away);
/* The lane has members in the group now that get what outlives the process, or none any more. */
void interest_share_keep(struct interest *in, struct interest_share *share, uint32_t lane, bool kept);

/* What is told of a topic; each may be NULL. */
struct interest_found {
	void (*own)(void *arg, void *own); /* what the asking lane keeps at a filter that matches */
	void (*share)(void *arg, struct interest_share *s);
	void *arg;
};

/*
 * Who wants this topic: *lanes, and *kept of them, what `lane` keeps there, and each share group that matches. Entries are good
 * until the caller is quiescent. Returns how many nodes it visited.
 */
uint32_t interest_match(struct interest *in, uint32_t lane, const struct topic_levels *topic,
			struct topic_walk_entry *stack, const struct interest_found *found, uint64_t *lanes,
			uint64_t *kept);

/* Housekeeping, once per loop turn. */
void interest_prune(struct interest *in, struct epoch_reader *me);

#endif
