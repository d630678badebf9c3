/*
 * A whole gateway in one thread: a broker of 1 to 4 workers, the field side on its port, one to three Modbus/TCP lines and
 * a rack, devices, and clients; and what they promise, checked while they run.
 *
 *   gateway_world.c     makes and ends it, configurations, reloads
 *   gateway_watch.c     what the field side publishes: true? in time? and what clients get of it: all, in order?
 *   gateway_passes.c    requests of foreign masters: exactly one outcome each, and the right answer
 *   gateway_commands.c  commands: exactly one result each, and nothing in a device that no command put there
 *
 * Every line has a network of its own, so that one may be rough while the others are calm.
 */
#ifndef SIM_GATEWAY_WORLD_H
#define SIM_GATEWAY_WORLD_H

#include "daemon/field_port.h"
#include "daemon/own_topics.h"
#include "field/pass.h"
#include "plc.h"
#include "sim_peer.h"

#define GW_WORKERS  4u
#define GW_LINES    3u
#define GW_DEVICES  (GW_LINES * PLC_UNITS)
#define GW_PEERS    3u
#define GW_TOPICS   1024u
#define GW_LOG      65536u
#define GW_COMMANDS 1024u
#define GW_WRITES   2048u
#define GW_PASSES   256u

#define MS(n) ((uint64_t)(n)*1000)

/* ---- what was published ---- */

struct gw_topic {
	char name[64];
	unsigned nmessages, last; /* of the log; last: the newest, with nmessages > 0 */
	bool is_cleared;          /* the newest is empty */
	bool is_retained;         /* the newest had RETAIN */
};

struct gw_published {
	uint64_t hash; /* of the payload */
	unsigned topic, number;
	unsigned before; /* of the same topic, in the log; only with number > 0 */
};

/* ---- devices as configured ---- */

enum condition { CONDITION_ROUGH, CONDITION_WELL, CONDITION_DEAD };

struct gw_tag {
	bool is_published, is_good;
	int64_t ts;
	unsigned wall_steps; /* when ts was set */
	uint64_t at_us;
};

struct gw_device {
	char name[8];
	struct plc_unit *unit;
	struct gw_line *line;
	bool is_configured, is_slower, has_far;
	bool is_verified, is_masked; /* how its writes are carried out */
	unsigned starts;             /* how often it said "connecting" */
	uint64_t last_ok_us;         /* or when it was configured */
	uint64_t far_since_us;
	enum condition condition;
	uint64_t deadline_us; /* from then on the condition must show in its tags */
	struct gw_tag tags[CELLS];
};

struct gw_line {
	char name[8];
	struct plc plc;
	struct gw_device *devices[PLC_UNITS];
	unsigned scan_ms, timeout_ms, retries, first_ms, max_ms, in_flight;
	bool is_rough;
	uint64_t calm_us; /* when it was rough last; 0: never */
	uint64_t last_ok_us;
	uint64_t busy_until_us; /* with commands, at the latest */
	struct {                /* the answer that is being handed to the field side */
		bool is_on;
		unsigned unit;
		enum config_area area;
		uint16_t start, count;
		uint64_t from_us, to_us;
	} answer;
};

/* ---- commands ---- */

enum command_kind {
	COMMAND_RIGHT,
	COMMAND_RANGE,
	COMMAND_READ_ONLY,
	COMMAND_UNKNOWN,
	COMMAND_MALFORMED,
	COMMAND_RETAIN,
	COMMAND_KINDS
};

struct gw_command {
	enum command_kind kind;
	struct gw_device *device;
	enum cell cell;
	uint64_t raw;
	struct sim_peer *peer;
	unsigned life; /* of the peer's connection */
	bool has_response;
	unsigned expiry_s; /* 0: none */
	uint64_t sent_us, result_us;
	unsigned results, came; /* published; arrived at who asked */
	bool is_ok;
	char error[16];
	unsigned writes; /* in the device */
};

struct gw_write {
	struct gw_device *device;
	enum cell cell;
	uint64_t raw, us;
};

/* A request of a foreign master. */
struct gw_pass {
	struct gw *gw;
	struct gw_line *line;
	struct field_pass pass;
	uint64_t asked_us;
	unsigned outcomes;
	bool is_cancelled;
};

struct gw_peer {
	struct sim_peer peer;
	char filter[24];
	unsigned life;
	int seen[GW_TOPICS]; /* number of the last message of a topic in this life; -1: none */
};

struct gw {
	uint64_t seed;
	struct sim_world *world;
	struct sim_net *net; /* of MQTT */
	struct loop *workers[GW_WORKERS], *accept_loop, *field_loop, *device_loop, *client_loop;
	unsigned nworkers, nlines, ndevices, npeers;
	struct broker *broker;
	struct acceptor acceptor;
	struct listener *listener;
	struct dialer *dialer;
	struct own_topics *topics;
	struct field_port port;
	struct tag_sink sink;
	struct source_factory factory;
	struct field *field;
	struct gateway_config *cfg;
	struct loop_source reload, asking;
	bool is_ending;
	bool is_busy;
	unsigned wall_steps, reloads;
	struct list spies;

	struct gw_line lines[GW_LINES];
	struct gw_device devices[GW_DEVICES];
	struct gw_peer peers[GW_PEERS + 1]; /* the last comes late */
	struct gw_topic topic[GW_TOPICS];
	struct gw_published log[GW_LOG];
	unsigned nlog;
	struct gw_command commands[GW_COMMANDS];
	unsigned ncommands;
	struct gw_write writes[GW_WRITES];
	unsigned nwrites;
	struct gw_pass passes[GW_PASSES];
	unsigned npasses;
	char broken[512]; /* the first broken promise; empty: none */
};

void gw_init(struct gw *g, uint64_t seed);
void gw_fini(struct gw *g);
/* Draw another configuration and let the field side take it. */
void gw_reload(struct gw *g);
/* The field side ends. */
void gw_end(struct gw *g);
void gw_broken(struct gw *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static inline uint64_t gw_any(struct gw *g, uint64_t bound)
{
	return sim_random(g->world, bound);
}

/* gateway_watch.c */
void gw_publish(struct tag_sink *sink, const struct tag_message *m);
/* The device, its line or its configuration is another now: what must show, and by when. */
void gw_reconsider(struct gw *g, struct gw_device *d);
/* Look whether what must show does. */
void gw_watch(struct gw *g);
void gw_peer_message(struct sim_peer *p, const struct mqtt_publish *m);
/* All is quiet: does this client have the newest of everything that is retained? */
void gw_check_newest(struct gw *g, struct gw_peer *p);
bool gw_all_well(struct gw *g);
void gw_set_wall_steps(struct gw *g, int64_t by_ms);

/* gateway_passes.c */
void gw_ask_pass(struct gw *g); /* on the field side's loop, soon */
void gw_asking(struct loop_source *s);
void gw_watch_passes(struct gw *g);
void gw_settle_passes(struct gw *g);

/* gateway_commands.c */
void gw_command(struct gw *g, struct gw_peer *p);
void gw_result(struct gw *g, const struct tag_message *m);
void gw_result_came(struct gw *g, struct sim_peer *p, const struct mqtt_publish *m);
void gw_written(struct plc_unit *u, enum cell cell, uint64_t raw);
void gw_settle_commands(struct gw *g);

/* The text of a span that a message has, cut to size. */
const char *gw_text(struct span s, char *buf, size_t size);

#endif
