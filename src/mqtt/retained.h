/*
 * Retained messages of the whole broker: one topic tree, read without locks. A slot is replaced by compare-and-set,
 * and its version grows by one each time, so that everyone agrees which is the newest.
 */
#ifndef MQTT_RETAINED_H
#define MQTT_RETAINED_H

#include "mqtt/msg.h"
#include "mqtt/topic_tree.h"

/* Immutable. Counted, because a subscriber's list outlives the epoch in which it was made. */
struct retained {
	struct epoch_node retired;
	_Atomic uint32_t refs;
	uint64_t version;
	struct msg *msg; /* in the same block; its count is not used */
};

struct retained_store;

MUST_USE int retained_create(uint64_t seed, struct retained_store **out);
/* Its values count in `b` from now on, while there are none. */
void retained_count_in(struct retained_store *r, struct budget *b);
void retained_destroy(struct retained_store *r); /* accepts NULL */

/* A copy to store; NULL: out of memory. */
struct retained *retained_make(const struct publication *p);
struct retained *retained_ref(struct retained *r);
void retained_unref(struct retained *r); /* accepts NULL */

/* Make `fresh` (its reference passes) the value of the topic. ERR_NOMEM: nothing changed, fresh is released. */
MUST_USE int retained_set(struct retained_store *r, struct epoch_reader *me, const struct topic_levels *topic,
			  struct retained *fresh);
/* Forget the topic's value. */
void retained_clear(struct retained_store *r, struct epoch_reader *me, const struct topic_levels *topic);
/* The value now, or NULL; good until the caller is quiescent. */
struct retained *retained_get(struct retained_store *r, const struct topic_levels *topic);

/*
 * All values that a filter matches, each passed to `found`, which takes a reference if it keeps it. Without recursion; needs
 * memory for the path. The nodes that were visited are added to *visited. ERR_NOMEM, or what `found` returned below 0: the
 * walk ends there.
 */
MUST_USE int retained_match(struct retained_store *r, const struct topic_levels *filter,
			    int (*found)(void *arg, struct retained *value), void *arg, uint64_t *visited);

uint64_t retained_count(const struct retained_store *r);
/* Bytes of their payloads. */
uint64_t retained_payload(const struct retained_store *r);
/* Housekeeping, once per loop turn. */
void retained_prune(struct retained_store *r, struct epoch_reader *me);

#endif
