/*
 * Routing: from a publication to everybody who wants it, here and on other workers.
 */
#ifndef MQTT_ROUTE_H
#define MQTT_ROUTE_H

#include "mqtt/session.h"
#include "mqtt/worker.h"

/*
 * A message that starts at this worker: store it when retained, then match, hand over, deliver. Sets origin and number.
 * OK: everybody was served, *matched tells whether there was anybody; ERR_NOMEM: nobody was (it may be retained); ERR_IO: nobody,
 * since the store takes nothing and it would have to be kept;
 * ERR_RANGE: the topic has too many levels.
 */
MUST_USE int route_publish(struct worker *w, struct publication *p, bool *matched);
/* A record from another worker. */
void route_record(void *worker, struct lane *l, struct publication *p, struct share_route *share);

/*
 * A message that goes to many sessions here and to other workers is handed over first: a row of them waits until this is
 * called, so that the others deliver at the same time. Before any packet but PUBLISH, and at the end of a row.
 */
void route_settle(struct worker *w);

/* Pass on what was put into lanes since the last time. */
void route_flush(struct worker *w);

/* Scratch of the routing, with room for this many sessions and subscriptions on the worker. ERR_NOMEM: as it was. */
MUST_USE int route_reserve(struct worker *w, uint32_t nsessions, uint32_t nsubs);
MUST_USE int routes_create(struct routes **out);
void routes_destroy(struct routes *r, struct budget_share *budget); /* accepts NULL */

#endif
