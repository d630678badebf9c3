/*
 * What an acknowledgement waits for. With a store, PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK, CONNACK and the end after DISCONNECT are
 * sent when the state that they speak of is on disk, as far as a persistent session or a retained message is concerned.
 *
 * Each worker numbers its publishes. A publish is *settled* on a worker when every persistent session there that must get the
 * message has acknowledged it, or has it on disk. Both directions are cumulative: a worker tells each other one up to which
 * number its publishes are settled (lane->settled), so that nothing is counted per message.
 */
#ifndef MQTT_PROMISE_H
#define MQTT_PROMISE_H

#include "mqtt/worker.h"

struct promise {
	uint64_t ticket;  /* of this worker's store port; 0: nothing */
	uint64_t number;  /* publish of this worker that must be settled; 0: none */
	uint64_t lanes;   /* by these workers, besides this one */
	uint64_t confirm; /* publish of this worker whose confirmation must be on disk; 0: none */
};

/* Kept by now? */
bool promise_is_kept(const struct worker *w, const struct promise *p);
/* What was put so far: for what is promised of this worker's own state. */
struct promise promise_now(const struct worker *w);
/* All that was published here so far is settled everywhere, and all that was put: for who repeats what was taken before. */
struct promise promise_of_all(const struct worker *w);
/* Unix time of a moment of the loop's clock, and the other way round; 0 stays 0. What lies in the past is the present. */
int64_t worker_wall_ms(const struct worker *w, uint64_t monotonic_ms);
uint64_t worker_monotonic_ms(const struct worker *w, int64_t wall_ms);
/* Does the broker keep anything on disk? */
static inline bool worker_has_store(const struct worker *w)
{
	return w->disk != NULL;
}

#endif
