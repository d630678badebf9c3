/*
 * Sessions made of what the store keeps: at a start (restore.c), and of what is imported while the broker runs (import.c). On the
 * session's worker, or before any loop runs.
 */
#ifndef MQTT_RESTORE_H
#define MQTT_RESTORE_H

#include "mqtt/session.h"

/* A session as it is stored, away, in the map of its worker; its subscriptions, ids and sent rows are added to it. NULL: out of memory. */
struct session *session_restore(struct worker *w, const struct store_session *in);
/* One that is not valid (any more) is logged and left out. ERR_NOMEM. */
MUST_USE int session_restore_sub(struct session *s, const struct store_sub *in);
/*
 * Its client is away since then, and it is now: it may be over, or end with this. A will waits for the client at least
 * will_grace_ms.
 */
void session_age(struct session *s, int64_t since_ms, int64_t now_ms);

#endif
