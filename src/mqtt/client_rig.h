/*
 * For tests of the MQTT client: a client and a scripted server on simulated time. What the server reads and
 * what the client tells are lines of text, taken one by one in order:
 *
 *   rig_packet(r, "CONNECT v4 clean1 id= ka60");  rig_connack(r, false, 0);  rig_event(r, "connected present0");
 */
#ifndef MQTT_CLIENT_RIG_H
#define MQTT_CLIENT_RIG_H

#include "loop/loop_sim.h"
#include "mqtt/client.h"
#include "net/stream_sim.h"

#define RIG_LINES 256
#define RIG_LINE  160

struct rig_lines {
	char line[RIG_LINES][RIG_LINE];
	unsigned put, taken;
};

struct rig {
	struct sim_world *world;
	struct sim_net *net;
	struct loop *loop, *server_loop;
	struct dialer *dialer;
	struct listener *listener;
	struct acceptor acceptor;
	struct stream *peer; /* the server's end, or NULL */
	unsigned accepted, writes;
	uint8_t *in;
	size_t in_len, in_cap;
	bool is_deaf; /* the server does not read */

	struct mqtt_client_options opt;
	struct mqtt_client *client;
	struct rig_lines packets, events;
	void (*on_event)(struct rig *r, const char *line); /* from inside the event */
	int64_t retry_ms;                                  /* of the last "disconnected" */
};

/* World, network and options (seed, client id "c", no faults); no client yet. */
void rig_init(struct rig *r, uint64_t seed, enum mqtt_version v);
/* Create the client of r->opt. */
void rig_create(struct rig *r);
/* Create and start it, and read CONNECT. */
void rig_start(struct rig *r);
/* rig_start, accept with a new session. */
void rig_up(struct rig *r);
/* Destroys the client if it is still there. */
void rig_fini(struct rig *r);

/* The next packet or event is this; runs the world until there is one. */
void rig_packet(struct rig *r, const char *expected);
void rig_event(struct rig *r, const char *expected);
/* Nothing happens for this long. */
void rig_quiet(struct rig *r, uint64_t ms);
void rig_run(struct rig *r, uint64_t ms);
/* Until a new connection was accepted. */
void rig_reconnected(struct rig *r);

/* What the server sends. */
void rig_send(struct rig *r, const void *bytes, size_t len);
void rig_connack(struct rig *r, bool session_present, uint8_t reason);
void rig_connack_props(struct rig *r, bool session_present, uint8_t reason, const struct mqtt_props *p);
void rig_ack(struct rig *r, enum mqtt_type type, uint16_t id, uint8_t reason);
void rig_publish(struct rig *r, uint8_t qos, uint16_t id, bool dup, const char *topic, const char *payload);
void rig_publish_props(struct rig *r, uint8_t qos, uint16_t id, bool dup, const char *topic,
		       const char *payload, const struct mqtt_props *p);
void rig_suback(struct rig *r, enum mqtt_type type, uint16_t id, const char *codes, size_t n);
void rig_disconnect(struct rig *r, uint8_t reason);
void rig_cut(struct rig *r);
void rig_close(struct rig *r); /* orderly */

/* What the client is asked; must succeed. The token is the number. */
void rig_pub(struct rig *r, uint8_t qos, const char *topic, const char *payload, uintptr_t token);
void rig_sub(struct rig *r, const char *filter, uint8_t qos, uintptr_t token);
void rig_unsub(struct rig *r, const char *filter, uintptr_t token);

/* A packet as text, as rig_packet() expects it. */
void rig_describe(char *buf, size_t size, enum mqtt_version v, const struct mqtt_frame *f);

#endif
