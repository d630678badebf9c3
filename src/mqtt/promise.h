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

/* Kept by now? If not, this worker is woken when it may be. */
bool promise_is_kept(struct worker *w, const struct promise *p);
/* For a publication that was routed: what its acknowledgement waits for. */
struct promise promise_of(const struct worker *w, const struct publication *p, uint64_t ticket);
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

/* ---- what is owed ---- */

/* A message of another worker's publish, or of one of this worker, is not settled here yet. */
void owed_add(struct worker *w, struct owed *o, uint16_t origin, uint64_t number);
/* It is now. Harmless when it was before. */
void owed_settle(struct worker *w, struct owed *o);
/*
 * A message for a share group, publish `number` of `origin`, went on from here as publish `own` to `lanes`: it is settled here when it
 * is there.
 */
void relay_add(struct worker *w, uint16_t origin, uint64_t number, uint64_t own, uint64_t lanes);

/* ---- QoS 2 from stored sessions: confirmed in the order of the publishes ---- */

struct confirm {
	struct list in_worker;
	struct session *session; /* NULL: it ended */
	struct promise promise;  /* settled everywhere */
	uint64_t number, ticket;
	uint16_t packet_id;
};

/*
 * Publish p of the session was routed: when it is settled, its packet id and the confirmation go to the store. Takes `c`, which
 * the caller allocated before the routing. Its PUBREC waits for promise.confirm.
 */
struct promise confirm_add(struct session *s, struct confirm *c, uint16_t packet_id,
			   const struct publication *p);
/* The session ends. */
void confirms_forget(struct session *s);

/* ---- the turn ---- */

void promises_init(struct worker *w);
/* Opens the worker's port of the store, if there is one. ERR_NOMEM. */
MUST_USE int promises_open(struct worker *w);
void promises_close(struct worker *w);
/* Look what is settled and durable by now; before answers are sent. */
void promises_look(struct worker *w);
/* At the end of the turn: changes go to the store, others are told what is settled here. */
void promises_pass(struct worker *w);

#endif
