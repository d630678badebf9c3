/*
 * The sessions of uplinks in our broker, by client id: their limits and figures (mqtt/policy.h), from before the broker finds them in
 * the store until it is gone. Any thread.
 */
#ifndef DAEMON_UPLINK_TERMS_H
#define DAEMON_UPLINK_TERMS_H

#include "base/bytes.h"
#include "base/err.h"
#include "mqtt/policy.h"

struct uplink_terms;

MUST_USE int uplink_terms_create(struct uplink_terms **out);
/* The broker is gone. Accepts NULL. */
void uplink_terms_destroy(struct uplink_terms *t);

/* The terms of a client id, made when there are none yet, without limits; they stay where they are. NULL: out of memory. */
struct mqtt_session_terms *uplink_terms_get(struct uplink_terms *t, struct span client_id);
/* The same, for the broker: there is such a session. */
struct mqtt_session_terms *uplink_terms_found(struct uplink_terms *t, struct span client_id);
/* It was ended. */
void uplink_terms_ended(struct uplink_terms *t, struct span client_id);

/* Client ids of sessions that are there; `next` counts from 0. NULL: no more. Good until destroy. */
const char *uplink_terms_next(struct uplink_terms *t, size_t *next);

#endif
