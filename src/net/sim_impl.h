/*
 * The inside of the simulated network: sim_net.c connects, stream_sim.c moves bytes.  For net/ only.
 */
#ifndef NET_SIM_IMPL_H
#define NET_SIM_IMPL_H

#include "net/listener.h"
#include "net/stream_sim.h"

struct sim_net {
	struct sim_world *world;
	struct sim_net_faults faults;
	struct list listeners;
	uint32_t next_conn_id;
	unsigned nusers; /* connections, listeners, dialers */
};

/* Written at once, arrives at once. */
struct sim_chunk {
	struct list node;
	uint64_t arrives_us;
	size_t off, len; /* bytes[off..len) are not read yet */
	uint8_t bytes[];
};

/* One direction, kept by the end that reads it. */
struct sim_pipe {
	struct list chunks; /* oldest first; arrival times never fall */
	size_t bytes;       /* not read yet, in flight or arrived */
	uint64_t last_us;   /* nothing sent later arrives before this */
	uint64_t fin_us;    /* with has_fin: when the orderly end arrives */
	bool has_fin;
	bool short_write;          /* the writer waits for room */
	struct loop_timer arrival; /* the next chunk, or the end */
	struct loop_timer room;    /* the writer learns of room */
};

struct sim_end {
	struct stream stream;
	struct sim_conn *conn;
	struct loop *loop; /* NULL: not attached */
	struct sim_event event;
	unsigned edges; /* what is new since the last event */
	struct sim_pipe in;
	struct loop_timer hangup; /* the connection broke; this end learns of it */
	bool is_open;             /* somebody has this end, or it waits to be accepted */
	bool is_up;               /* connected */
	bool is_broken;           /* known here; without is_up: connecting failed */
};

/* A connection: freed when no end is open. */
struct sim_conn {
	struct sim_net *net;
	struct sim_end client, server;
	struct loop_timer progress; /* of connecting */
	bool has_arrived;           /* at the listener */
	bool is_cut;
	struct list queued; /* at the listener, until accepted */
	uint32_t id;
	char *name;
};

MUST_USE int sim_conn_create(struct sim_net *n, const char *name, struct sim_conn **out);
/* One way, 1 us or more. */
uint64_t sim_delay_us(struct sim_net *n);
/* Something new at this end. */
void sim_end_edge(struct sim_end *e, unsigned edges);
/* Break it; this end knows at once. */
void sim_end_cut(struct sim_end *e);

#endif
