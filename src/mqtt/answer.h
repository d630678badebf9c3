/*
 * What a connection is told when the state that it speaks of is on disk (promise.h): acknowledgements, CONNACK, and the end
 * after a DISCONNECT. The answers of a connection leave in the order of what they answer. One that has nothing to wait for,
 * with none waiting before it, is written at once; the others stand in a queue, which is there only as long as it is not empty.
 *
 * While more wait than ANSWERS_BYTES hold, and while CONNACK or the end waits, the connection is not read.
 */
#ifndef MQTT_ANSWER_H
#define MQTT_ANSWER_H

#include "mqtt/conn.h"
#include "mqtt/promise.h"

#define ANSWERS_BYTES (384u * 1024)

struct answer {
	struct promise promise;
	uint8_t *packet; /* encoded, its own memory; NULL: an acknowledgement, or the end */
	uint32_t len;
	uint16_t packet_id;
	uint8_t type; /* enum mqtt_type; DISCONNECT: the end; 0: it was given elsewhere */
	uint8_t reason;
};

/* Those of a connection; or those of a session whose connection went, for the next one that asks the same. */
struct answers {
	struct list in_worker; /* worker->waiting */
	struct worker *worker;
	struct conn *conn;       /* NULL: they are the session's */
	struct session *session; /* NULL: they are the connection's */
	struct answer *ring;
	uint32_t head, count, room; /* room: a power of two */
	uint64_t bytes;             /* counted in the budget */
};

/* An acknowledgement. The promise may be NULL: it waits only for those before it. Out of memory closes the connection. */
void conn_answer_promised(struct conn *c, enum mqtt_type type, uint16_t packet_id, uint8_t reason,
			  const struct promise *p);
static inline void conn_answer(struct conn *c, enum mqtt_type type, uint16_t packet_id, uint8_t reason,
			       const struct promise *p)
{
	if (worker_has_store(c->worker))
		conn_answer_promised(c, type, packet_id, reason, p);
	else /* nothing ever waits */
		conn_send_ack(c, type, packet_id, reason);
}
/* An encoded packet, which is copied. With CONNACK the connection opens (conn_opened). */
void conn_answer_packet(struct conn *c, enum mqtt_type type, uint8_t *packet, uint32_t len,
			const struct promise *p);
/* The client has said that it goes: nothing of it is handled any more, and the connection ends when this promise is kept. */
void conn_answer_end(struct conn *c, const struct promise *p);

/* Nothing more is to be handled for now. */
bool answers_hold(const struct answers *a);
static inline bool conn_is_held(const struct conn *c)
{
	return c->answers && answers_hold(c->answers);
}

/*
 * A PUBLISH of QoS 1: was it routed before, and its acknowledgement waits? Then this connection gets it. Else what is
 * remembered of its packet id is forgotten.
 */
bool answers_repeat(struct conn *c, uint16_t packet_id, bool dup);

/* Write what can be, on all connections of the worker, if anything moved since the last time. */
void answers_send(struct worker *w);
/* The connection ends; its session, which goes on, keeps those of PUBACK. */
void answers_leave(struct conn *c, struct session *s);
void answers_free(struct answers *a); /* accepts NULL */

#endif
