/*
 * Whose topics are whose (PRODUCT "Topics and payloads"): {root}/_gateway/... and {root}/{device}/... of known devices are the
 * gateway's own, and so are the topics that users lay out for tags and groups. Clients may publish there only commands,
 * {root}/{device}/{tag}/set or {topic}/set, without RETAIN.
 *
 * Worker threads ask through the policy, without a lock, while the main thread replaces the table at a reload.
 * Whoever replaces it keeps the old table until every worker has ended the turn it was in.
 */
#ifndef DAEMON_OWN_TOPICS_H
#define DAEMON_OWN_TOPICS_H

#include "config/gateway_config.h"
#include "daemon/uplink_terms.h"
#include "mqtt/policy.h"

struct own_topics;
struct own_table;

/* Nothing of `cfg` is kept. ERR_NOMEM. */
MUST_USE int own_table_create(const struct gateway_config *cfg, struct own_table **out);
/* No thread reads it any more. Accepts NULL. */
void own_table_destroy(struct own_table *t);

/* Takes `first`; `terms` outlive it. ERR_NOMEM: `first` is still the caller's. */
MUST_USE int own_topics_create(struct own_table *first, struct uplink_terms *terms, struct own_topics **out);
/* With its table. Nobody asks any more. Accepts NULL. */
void own_topics_destroy(struct own_topics *o);

/* Lives as long as `o`. */
struct mqtt_policy *own_topics_policy(struct own_topics *o);
/* Workers see `next`, now taken, from their next question on; gives back the table before it. */
MUST_USE struct own_table *own_topics_replace(struct own_topics *o, struct own_table *next);

#endif
