/*
 * One MQTT client's connection to a broker that comes and goes: dialling, CONNECT, bytes in and out, packets. What
 * a packet means is for its owner. Nothing blocks but connect() to a port of this machine.
 */
#ifndef KILL_LINK_H
#define KILL_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "wire/mqtt.h"

enum link_state { LINK_DOWN, LINK_GREETING, LINK_OPEN };

struct link_ops {
	/* Fill in what is particular of this client's CONNECT; version and client id are there. */
	void (*greet)(void *owner, struct mqtt_connect *p);
	void (*opened)(void *owner, bool session_present);
	void (*packet)(void *owner, const struct mqtt_frame *f);
	void (*closed)(void *owner); /* it was open */
};

struct link {
	const struct link_ops *ops;
	void *owner;
	char client_id[32];
	enum mqtt_version version;
	enum link_state state;
	int fd;
	uint16_t port;
	uint64_t since_ns; /* in this state */
	uint8_t *in, *out;
	size_t have, in_room, out_len, out_room;
};

uint64_t link_now_ns(void);

void link_init(struct link *l, uint16_t port, enum mqtt_version version, const struct link_ops *ops,
	       void *owner);
void link_fini(struct link *l);

/* Connect and send CONNECT; stays down when nobody listens. */
void link_dial(struct link *l);
/* Close without DISCONNECT. No closed() when it was down. */
void link_cut(struct link *l);
/* DISCONNECT, then close. */
void link_leave(struct link *l);

/* Room for a packet of at most `size` bytes; link_wrote() then queues what was written into it. */
struct wr link_room(struct link *l, size_t size);
void link_wrote(struct link *l, const struct wr *w);
/* PUBACK, PUBREC, PUBREL or PUBCOMP; PINGREQ. */
void link_ack(struct link *l, enum mqtt_type type, uint16_t packet_id);
void link_ping(struct link *l);

/* Write what is queued; whether some is left. */
bool link_flush(struct link *l);
/* There is something to read. */
void link_readable(struct link *l);

#endif
