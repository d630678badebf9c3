/*
 * A simulated network in a sim_world: addresses are names, connections have delay, limited buffers,
 * partial reads and writes, and break, all from the world's seed.
 */
#ifndef NET_STREAM_SIM_H
#define NET_STREAM_SIM_H

#include "loop/loop_sim.h"
#include "net/stream.h"

struct sim_net;

struct sim_net_faults {
	uint64_t max_delay_us;   /* one way, drawn per chunk; bytes stay in order */
	size_t buffer;           /* bytes in flight per direction before writes are short */
	uint32_t partial_one_in; /* a read or write is cut short; 0: never */
	uint32_t
		cut_one_in; /* an operation breaks the connection; what was in flight may be lost; 0: never */
};

MUST_USE int sim_net_create(struct sim_world *w, struct sim_net **out);
void sim_net_destroy(struct sim_net *n); /* after every stream, dialer and listener */
void sim_net_set_faults(struct sim_net *n, const struct sim_net_faults *f);

MUST_USE int sim_net_listen(struct sim_net *n, struct loop *loop, const char *name, struct acceptor *a,
			    struct listener **out);
void sim_net_unlisten(struct listener *l);
MUST_USE int sim_net_dialer(struct sim_net *n, const char *name, struct dialer **out);

/* Break this connection now, as a power cut of the peer would. */
void sim_stream_cut(struct stream *s);

#endif
