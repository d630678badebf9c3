/*
 * A world for the field side: one field thread's loop, one loop of devices, a simulated network between them, everything from one
 * seed.  The field side runs on the real configuration, drivers and JSON; what it publishes is kept here.
 */
#ifndef SIM_FIELD_WORLD_H
#define SIM_FIELD_WORLD_H

#include "config/gateway_config.h"
#include "field/field.h"
#include "loop/loop_sim.h"
#include "modbus/server.h"
#include "modbus/slave.h"
#include "net/serial_sim.h"
#include "net/stream_sim.h"

#define WORLD_TOPICS  2400
#define WORLD_DEVICES 4
#define DEVICE_REGS   512

/* What a topic had last, as a broker's retained store and a subscriber would see it. */
struct seen {
	char topic[160];
	char payload[4096];
	char correlation[64];
	bool retain;
	unsigned count; /* messages, cleared ones too */
	uint64_t at_us;
};

/* A Modbus/TCP device; its network name is its line's host. */
struct sim_device {
	struct world *world;
	const char *name;
	struct modbus_server *server;
	struct listener *listener;
	struct acceptor hole;   /* takes connections and never answers */
	struct acceptor serial; /* a serial line behind TCP, with units 1 to 4 */
	struct modbus_slave *slaves[8];
	struct stream *held[64];
	unsigned nheld;
	uint16_t regs[DEVICE_REGS];
	bool coils[DEVICE_REGS];
	unsigned refused_from, refused_to; /* reading these registers gives exception 2 */
	enum modbus_exception write_exception;
	bool is_clipping;          /* what is written above 100 becomes 100 */
	bool lacks[128];           /* functions that it does not know */
	unsigned requests[128];    /* by function */
	unsigned unit_writes[256]; /* by unit */
	unsigned written[64];      /* which registers, the newest at nwritten % 64 */
	unsigned nwritten;
	unsigned longest; /* reading more registers gives exception 3; 0: any number */
	unsigned reads, writes, exceptions, widest;
	uint8_t absent_unit; /* answered with exception 0x0B */
};

struct world {
	struct sim_world *sim;
	struct sim_net *net;
	struct loop *field_loop, *device_loop;
	struct source_factory factory;
	struct tag_sink sink;
	struct field *field;
	struct gateway_config *cfg;
	struct sim_device devices[WORLD_DEVICES];
	unsigned ndevices;
	struct sim_bus *wire;  /* the test's, of lines of type modbus-rtu */
	struct source *source; /* the test's, of the line whose host is "bus"; NULL: none */
	void *bus;             /* what it is part of */
	struct seen seen[WORLD_TOPICS];
	unsigned nseen;
	unsigned nmessages;
	void (*published)(struct world *w, const struct tag_message *m); /* the test's, or NULL */
};

struct world *world_create(uint64_t seed);
void world_destroy(struct world *w);

/* A device that listens as `name`. */
struct sim_device *world_device(struct world *w, const char *name);
/* Units 1 to 4 of a serial line (RTU) behind TCP, all with the same registers. It can not die. */
struct sim_device *world_serial_device(struct world *w, const char *name);
void device_die(struct sim_device *d);    /* its program ends: connections break, connecting is refused */
void device_hang(struct sim_device *d);   /* it takes connections and requests, and never answers */
void device_return(struct sim_device *d); /* from either */
void device_reboot(
	struct sim_device *d); /* the same, but it breaks old connections only when they are used */

/* Fails the test when it is wrong. */
struct gateway_config *world_parse(const char *yaml);
/* Parse YAML and apply it; fails the test when that fails. */
void world_apply(struct world *w, const char *yaml);
/* Apply `next` with the n-th allocation failing. True: there was no such one, and the world has it now. */
bool world_apply_failing(struct world *w, struct gateway_config *next, long n);

/* Pass virtual time. */
void world_run(struct world *w, uint64_t ms);
/* Until the last payload of `topic` contains `part`; returns the ms it took, fails the test after limit_ms. */
uint64_t world_await(struct world *w, const char *topic, const char *part, uint64_t limit_ms);

const struct seen *world_seen(const struct world *w, const char *topic); /* NULL: never */
bool world_has(const struct world *w, const char *topic, const char *part);
void world_set(struct world *w, const char *topic, const char *payload);

#endif
