/*
 * Which workers have a subscriber for what: the one thing all workers look up for each message, without a lock.
 * A filter's entry has a bit per lane (worker or port) and, per share group, how many members each lane has. It changes on
 * a lane's first and last subscriber of a filter and when members come and go; changes take a mutex, which only the
 * subscribe and connect paths see.
 *
 * `generation` grows after each change: what was looked up before is good while it stands.
 */
#ifndef MQTT_INTEREST_H
#define MQTT_INTEREST_H

#include <stdatomic.h>

#include "mqtt/broker.h"
#include "mqtt/topic_tree.h"

struct interest;

/* Members of one group of one filter, per lane: online, and those that are away but have a queue. */
struct interest_share {
	struct epoch_node retired;
	_Atomic(struct interest_share *) next;
	uint32_t holds;  /* lanes that have the group; under the mutex */
	struct span key; /* "group/filter" */
	_Atomic uint32_t *online;
	_Atomic uint32_t *away;
};

MUST_USE int interest_create(uint64_t seed, struct interest **out);
void interest_destroy(struct interest *in); /* accepts NULL */

uint64_t interest_generation(const struct interest *in);

/* The lane has a first plain subscriber for the filter. ERR_NOMEM: nothing changed. */
MUST_USE int interest_add(struct interest *in, struct epoch_reader *me, const struct topic_levels *filter,
			  uint32_t lane);
/* It had its last one. Never fails. */
void interest_remove(struct interest *in, struct epoch_reader *me, const struct topic_levels *filter,
		     uint32_t lane);

/*
 * Make the entry of a share group, so that interest_share_change() can't fail. `key` is "group/filter". It stays until as many
 * interest_share_drop() calls, by then with all its counts back at 0. ERR_NOMEM.
 */
MUST_USE int interest_share_hold(struct interest *in, struct epoch_reader *me,
				 const struct topic_levels *filter, struct span key,
				 struct interest_share **out);
void interest_share_drop(struct interest *in, struct epoch_reader *me, const struct topic_levels *filter,
			 struct interest_share *share);
void interest_share_change(struct interest *in, struct interest_share *share, uint32_t lane, int online,
			   int away);

/*
 * Who wants this topic: *lanes, and each share group that matches. Entries are good until the caller is quiescent. Returns
 * how many nodes it visited.
 */
uint32_t interest_match(struct interest *in, const struct topic_levels *topic, struct topic_walk_entry *stack,
			uint64_t *lanes, void (*share)(void *arg, struct interest_share *s), void *arg);

/* Housekeeping, once per loop turn. */
void interest_prune(struct interest *in, struct epoch_reader *me);

#endif
