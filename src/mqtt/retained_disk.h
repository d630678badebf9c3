/*
 * Retained messages and the store: what clients retain is put there by the worker that published it, and is back after a start. What
 * the gateway says itself is not: it says it anew.
 */
#ifndef MQTT_RETAINED_DISK_H
#define MQTT_RETAINED_DISK_H

#include "mqtt/worker.h"

/*
 * A retained message was set, or cleared when its payload is empty: put that on disk, if anything is to be. p->ticket is what an
 * acknowledgement waits for. Without a store it does nothing. ERR_NOMEM: it is in memory only.
 */
MUST_USE int retained_put(struct worker *w, struct publication *p, const struct retained_change *change);
/* One expired; for retained_sweep(), whose `arg` is the worker. */
void retained_put_expired(void *worker, const struct retained *v, uint64_t stamp);
/*
 * At a start, before loops run: a retained message as the store kept it, borrowed. One that expired is forgotten soon after, as any
 * that does. ERR_NOMEM.
 */
MUST_USE int retained_restore(struct worker *w, const struct store_retained *r);
/*
 * While the broker runs, a retained message from elsewhere: set and put, and not sent to who subscribes already. Without `replace` only
 * where there is none. ERR_EXISTS: what is there stays, as what the gateway says itself always does; ERR_NOMEM.
 */
MUST_USE int retained_import(struct worker *w, const struct store_retained *r, bool replace);

#endif
