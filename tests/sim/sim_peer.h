/*
 * A plain MQTT client of the simulation: it starts a new session with each connection, subscribes to its filters, hands on what
 * comes, acknowledges, and publishes what it is told to. Connections that end are made anew after a while.
 *
 * It speaks with the codec over a simulated stream; it is not the client engine of the product.
 */
#ifndef SIM_PEER_H
#define SIM_PEER_H

#include "loop/loop_sim.h"
#include "net/stream_sim.h"
#include "wire/mqtt.h"

#define PEER_FILTERS 2u
#define PEER_BYTES   65536u

struct sim_peer {
	/* set by the owner before sim_peer_start(), which takes no copies */
	struct sim_world *world;
	struct loop *loop;
	struct dialer *dialer;
	char id[16];
	enum mqtt_version version;
	const char *filters[PEER_FILTERS];
	void *owner;
	void (*message)(struct sim_peer *p, const struct mqtt_publish *m);
	void (*told)(struct sim_peer *p, const char *what); /* the broker did what it must not */

	/* to look at */
	unsigned life;   /* counts connections; the present one's number */
	bool is_ready;   /* CONNACK and all SUBACKs came */
	uint8_t goodbye; /* the reason of the last DISCONNECT */

	/* its own */
	bool is_stopped;
	struct stream *stream;
	bool is_greeted; /* CONNECT is sent */
	bool is_connected;
	unsigned nacked;
	uint16_t last_id;
	uint8_t input[PEER_BYTES], output[PEER_BYTES];
	size_t input_len, output_len;
};

void sim_peer_start(struct sim_peer *p);
/* Closes its connection and makes no other. */
void sim_peer_stop(struct sim_peer *p);
/* Connect anew; the old connection stays open at the broker (a takeover) or is cut (a crash). */
void sim_peer_reconnect(struct sim_peer *p, bool crash);
/* `m` without packet id. False: not now. */
bool sim_peer_publish(struct sim_peer *p, const struct mqtt_publish *m);

#endif
