/*
 * For tests of the broker: a broker on simulated loops, and peers that speak bytes. A test sends packets in the notation
 * of wire/mqtt_testing.h and expects lines of text:
 *
 *   peer_send(p, 0x10, "<MQTT> 05 02 003C [] <a>");   peer_expect(p, "CONNACK s0 00");
 *
 * A line tells what the packet says: "PUBLISH d0 q1 r0 m1 a/b=text expiry=10 ids=1,2", "SUBACK m1 00 01",
 * "PUBREC m1 10", "DISCONNECT 8D", "PINGRESP"; "closed" when the broker closed the connection and nothing is left to read.
 */
#ifndef MQTT_BROKER_RIG_H
#define MQTT_BROKER_RIG_H

#include "mqtt/broker.h"
#include "mqtt/fake_stream.h"
#include "store/store_mem.h"

#define RIG_PEERS 64
#define RIG_LOOPS 4

struct peer {
	struct rig *rig;
	struct fake_stream *stream;
	enum mqtt_version v;
};

/* A disk in memory and the store on it, in a world of its own, which the rig turns along with the broker's. */
struct rig_disk {
	struct sim_world *world; /* NULL: there is none */
	struct loop *loop;
	struct store_mem_disk *disk;
	struct store *store;
	bool stands;                      /* it is not turned: nothing becomes durable */
	enum store_durability durability; /* set between rig_init() and rig_disk() */
};

struct rig {
	struct sim_world *world;
	struct rig_disk disk;
	struct loop *loops[RIG_LOOPS];
	uint32_t nloops;
	struct broker_config config;
	struct broker *broker;
	struct peer peers[RIG_PEERS];
	unsigned npeers;
};

/* World, loops and default configuration; no broker yet. */
void rig_init(struct rig *r, uint32_t nworkers);
/* The broker of r->config. */
void rig_start(struct rig *r);
/* After rig_init(): the broker will have a store, on a disk that is new. */
void rig_disk(struct rig *r);
/* A store on the disk, which none has open: for the next broker. */
void rig_store_open(struct rig *r);
/* Nothing becomes durable from now on, or all that was put does. */
void rig_disk_stands(struct rig *r, bool stands);
/*
 * Another broker on the same disk, after `down_ms` of the wall clock. `crash`: what is not on disk is lost; else the store writes
 * what was submitted.
 */
void rig_restart(struct rig *r, bool crash, int64_t down_ms);
/* rig_init() and rig_start(). */
void rig_up(struct rig *r, uint32_t nworkers);
/* The same with a store; $SYS says nothing, so that only clients retain messages. */
void rig_up_disk(struct rig *r, uint32_t nworkers);
void rig_fini(struct rig *r);
void rig_run(struct rig *r, uint64_t ms);

/* A new connection, which speaks version v once it does; workers take them in turn. */
struct peer *peer_open(struct rig *r, enum mqtt_version v);
/* One of the program's own. */
struct peer *peer_open_own(struct rig *r);
/* The same, CONNECT with this id and 60 s keep-alive, and CONNACK is taken: a clean session that ends with the connection. */
struct peer *peer_up(struct rig *r, enum mqtt_version v, const char *id);
/* One that lasts an hour; CONNACK must say whether it was there before. */
struct peer *peer_up_kept(struct rig *r, enum mqtt_version v, const char *id, bool present);
/* Version 5, a session that lasts 100 s, anew if `clean`; CONNACK is not taken. */
struct peer *peer_come(struct rig *r, const char *id, bool clean);

void peer_send(struct peer *p, uint8_t first, const char *body);
void peer_send_bytes(struct peer *p, const void *bytes, size_t n);
/* CONNECT of the peer's version with these flags; `props` and `payload` in the notation (props left out below v5). */
void peer_connect(struct peer *p, uint8_t flags, const char *props, const char *payload);
/* QoS 0 has no id. `props` as above. */
void peer_publish(struct peer *p, uint8_t flags, uint16_t id, const char *topic, const char *props,
		  const char *payload);
/* One filter with its options byte; SUBACK is taken and must say `code`. */
void peer_subscribe(struct peer *p, const char *filter, uint8_t options, const char *props, uint8_t code);
void peer_unsubscribe(struct peer *p, const char *filter, uint8_t code);
/* An acknowledgement without reason. */
void peer_ack(struct peer *p, enum mqtt_type type, uint16_t id);
void peer_disconnect(struct peer *p, uint8_t reason);
/* It goes without a word. */
void peer_cut(struct peer *p);

/* The next line is this; runs the world until there is one. */
void peer_expect(struct peer *p, const char *line);
/* The next line, whatever it is; in a buffer that the next call overwrites. */
const char *peer_line(struct peer *p);
/* Nothing comes for a while (100 ms). */
void peer_quiet(struct peer *p);
/* PINGREQ is answered: all that was sent before has been handled, and nothing else came. */
void peer_ping(struct peer *p);

#endif
