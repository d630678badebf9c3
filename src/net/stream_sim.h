/*
 * A simulated network in a sim_world: addresses are names, connections have delay, limited buffers,
 * partial reads and writes, and break, all from the world's seed.
 *
 * Events come as from epoll: caused by something new (bytes or the end arrived, room after a short write, connected,
 * broken), and the mask may show what else is true at that time, so WRITABLE may come unasked. A stream that is
 * attached anew tells all that is true. Bytes written after the peer closed or the connection broke, but before
 * that is known here, are taken and lost.
 */
#ifndef NET_STREAM_SIM_H
#define NET_STREAM_SIM_H

#include "loop/loop_sim.h"
#include "net/stream.h"

struct sim_net;
struct listener;

struct sim_net_faults {
	uint64_t max_delay_us;   /* one way, drawn per chunk; bytes stay in order */
	size_t buffer;           /* bytes not read yet per direction before writes are short; > 0 */
	uint32_t partial_one_in; /* a read or write is cut short; 0: never */
	uint32_t
		cut_one_in; /* an operation breaks the connection; what was in flight may be lost; 0: never */
};

/* Begins with 1 ms, 64 KiB, and no faults. */
MUST_USE int sim_net_create(struct sim_world *w, struct sim_net **out);
void sim_net_destroy(struct sim_net *n); /* after every stream, dialer and listener */
void sim_net_set_faults(struct sim_net *n, const struct sim_net_faults *f);

/* `name` is copied. ERR_EXISTS: somebody listens there; ERR_NOMEM. */
MUST_USE int sim_net_listen(struct sim_net *n, struct loop *loop, const char *name, struct acceptor *a,
			    struct listener **out);
/* Connections not handed over yet break. Accepts NULL; listener_close() does the same. */
void sim_net_unlisten(struct listener *l);
/* Dialling a name where nobody listens when the connection gets there fails. ERR_NOMEM. */
MUST_USE int sim_net_dialer(struct sim_net *n, const char *name, struct dialer **out);

/*
 * Break this connection now: `s` sees HANGUP at once, the other end after a delay. What was in flight or not
 * read yet may be lost. To let a program crash: cut its streams, then close them.
 */
void sim_stream_cut(struct stream *s);

#endif
