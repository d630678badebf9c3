/*
 * A subscription, and the plain subscriptions of one filter on one worker. Its thread only.
 *
 * A set is a pointer: NULL, none; the subscription itself, one; or, with the lowest bit set, an array of several, with an index
 * by session when there are many. Finding, adding and removing take the same time however many there are.
 */
#ifndef MQTT_SUB_SET_H
#define MQTT_SUB_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"

struct session;
struct sub_group;
struct topic_node;

struct sub_options {
	uint8_t qos;
	bool no_local, retain_as_published;
	bool is_shared : 1; /* in a share group; sub_tree_add() sets it */
	bool is_stored : 1; /* of a session in the store; stays as it is while the subscription stands */
	uint32_t id;        /* subscription identifier; 0: none */
};

/* There are very many of these. */
struct sub {
	struct list in_session;
	struct session *session;
	union {
		struct topic_node *node; /* plain: where its filter stands */
		struct sub_group *group; /* options.is_shared */
	} of;
	struct sub_options options;
};

/* Does it get messages that outlive the process? */
static inline bool sub_is_kept(const struct sub *sub)
{
	return sub->options.is_stored && sub->options.qos > 0;
}

/* The session's subscription, or NULL. */
struct sub *sub_set_find(void *set, const struct session *s);
/* Add one whose session has none yet; *set may change. ERR_NOMEM: as it was. */
MUST_USE int sub_set_add(void **set, struct sub *sub);
/* Take out one that is there; *set may change. */
void sub_set_remove(void **set, struct sub *sub);
/* Other options for one that is there. */
void sub_set_change(void *set, struct sub *sub, const struct sub_options *o);
/* Is any of them kept? */
bool sub_set_keeps(void *set);
/* All of them, *n; borrowed until the set changes or `set` goes. */
struct sub *const *sub_set_all(void *const *set, uint32_t *n);

#endif
