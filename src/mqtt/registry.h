/*
 * Which worker has the session of a client id. Striped mutexes, on the connect path only.
 */
#ifndef MQTT_REGISTRY_H
#define MQTT_REGISTRY_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

struct registry;

MUST_USE int registry_create(uint64_t seed, struct registry **out);
void registry_destroy(struct registry *r); /* accepts NULL */

/* The worker that has the client id: the one registered, or `mine`, which is registered by this. ERR_NOMEM. */
MUST_USE int registry_claim(struct registry *r, struct span client_id, uint16_t mine, uint16_t *worker);
/* The session on worker `mine` ended. Nothing happens when another worker is registered. */
void registry_release(struct registry *r, struct span client_id, uint16_t mine);

#endif
