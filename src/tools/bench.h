/*
 * The load generator behind `lineside bench`: what its parts share. It must cost much less than the brokers it
 * measures: threads with an epoll each, packets made beforehand, one send for a batch, large reads, one pass over
 * what was read. Only CONNECT and SUBSCRIBE go through the codecs.
 *
 * Each message carries publisher, run and number in its first 16 bytes; each subscriber expects the very next number of
 * each of its publishers. A publisher has at most `window` messages on the way, counted from its send to the receive of
 * its last subscriber, and to its own acknowledgement.  With a rate it sends when it is time, whatever is on the way.
 *
 * Threads: main makes and closes connections while no worker runs, and reads their atomics; the rest of a
 * connection is its worker's alone.
 */
#ifndef TOOLS_BENCH_H
#define TOOLS_BENCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "tools/bench_hist.h"
#include "tools/bench_options.h"

#define BENCH_HEAD_MAX (BENCH_TOPIC_MAX + 24u) /* of a PUBLISH up to its payload */
#define BENCH_CACHE    64

enum bench_phase { BENCH_RUN, BENCH_DRAIN, BENCH_END };
enum bench_role { BENCH_PUBLISHER, BENCH_SUBSCRIBER, BENCH_SLOW };

struct bench_conn {
	int fd; /* -1: none, or broken */
	uint32_t id;
	enum bench_role role;
	bool is_waiting;     /* for EPOLLOUT */
	uint8_t *part, *out; /* an incomplete packet; what the socket did not take */
	size_t have, part_room, out_at, out_len, out_room;
};

/* A PUBLISH up to its payload, but for packet id and number. */
struct bench_head {
	uint16_t len, id_at, digits_at; /* 0: has none. In front, beside the bytes that most have */
	uint8_t bytes[BENCH_HEAD_MAX];
};

struct bench_publisher {
	struct bench_conn c;
	uint64_t next;  /* number to be sent */
	uint64_t acked; /* messages that the broker has acknowledged to the end */
	uint64_t rel;   /* QoS 2: answered with PUBREC */
	uint64_t due;   /* with a rate: messages whose time has come */
	uint64_t limit;
	unsigned unacked_max; /* the broker's receive maximum */
	uint32_t payload_len;
	uint32_t base;            /* retained: first topic */
	struct bench_head *heads; /* sent in turn */
	unsigned nheads, worker;
	uint64_t readers;         /* bit for each worker with a subscriber */
	_Atomic uint64_t *stamps; /* when it was sent, by number % stamps; NULL with a rate */
};

/* What a subscriber has of one publisher. `missing`: bit i for number next - 1 - i. */
struct bench_seen {
	uint64_t next, missing;
};

struct bench_subscriber {
	struct bench_conn c;
	struct bench_seen *seen;
	unsigned worker;
};

/* What one worker's subscribers have of one publisher. */
struct bench_done {
	_Atomic uint64_t done; /* messages that all of them have */
	uint64_t told;
	uint32_t nsubs;
	bool is_touched;
	uint32_t *left; /* several subscribers: how many lack a message, by number % window */
};

/* One writer each. */
struct bench_counters {
	_Atomic uint64_t sent, acked, delivered, duplicates, reordered, wrong, refused, broken, stuck;
	_Atomic uint64_t last_ns; /* when something last arrived */
};

struct bench_worker {
	struct bench_load *load;
	const struct bench_options *o;
	pthread_t thread;
	unsigned index;
	int epoll, wake;
	uint8_t *in, *replies, *batch;
	size_t nreplies;
	uint64_t now_ns;
	struct bench_done *flows; /* by publisher */
	uint32_t *touched;        /* publishers whose `done` moved */
	unsigned ntouched;
	uint32_t *own; /* publishers of this worker, ascending */
	unsigned nown, cursor;
	uint64_t round; /* with a rate: whose turn it is to send */
	struct bench_hist delivery, ack;
	_Alignas(BENCH_CACHE) struct bench_counters count;
	_Alignas(BENCH_CACHE) _Atomic bool is_kicked, is_asleep;
};

struct bench_load {
	const struct bench_options *o;
	struct sockaddr_storage to;
	socklen_t to_len;
	char prefix[64];
	uint32_t run; /* in each payload: messages of other runs are told apart */
	uint8_t *filler;
	size_t packet_max;

	struct bench_publisher *publishers;
	struct bench_subscriber *subscribers;
	struct bench_conn *slow;
	unsigned npublishers, nsubscribers, nslow, nworkers;
	bool is_fan_out; /* every subscriber has every publisher; else publisher i has i % nsubscribers */
	unsigned
		stride; /* offline: sessions of a publisher, which it serves in turn: i, i + npublishers, ...; else 1 */
	bool is_closed;        /* publishers wait for their subscribers */
	uint64_t copies, owed; /* of each message sent; and besides, of an earlier stage */
	uint64_t *topics_seen; /* retained: bit for each topic that arrived */
	uint64_t rss_max;      /* of the broker, while it drained */
	struct bench_worker *workers;

	_Atomic int phase;
	_Atomic uint64_t begin_ns, end_ns; /* messages sent between these count for latency */
	uint64_t start_ns;                 /* with a rate: of the first message */
	double gap_ns;                     /* between two sends of all together */
	_Atomic bool has_fault;
	char fault[200]; /* why the first connection broke */
	int signals;     /* signalfd of SIGINT and SIGTERM while workers run */
};

/* One line on stderr, with the name of the command; returns ERR_IO. */
int bench_fault(const char *fmt, ...) PRINTF_LIKE(1, 2);
uint64_t bench_now_ns(void);

/* ---- connections: bench_setup.c. All block; a fault is said, and the value negative. ---- */

/* Look up the host, raise the descriptor limit, lay out who talks to whom. bench_load_close() in every case. */
MUST_USE int bench_load_open(struct bench_load *l, const struct bench_options *o);
void bench_load_close(struct bench_load *l);

/* Is there a broker at all? */
MUST_USE int bench_reach(const struct bench_load *l);

enum bench_session { BENCH_CLEAN, BENCH_KEPT };
MUST_USE int bench_connect(struct bench_load *l, struct bench_conn *c, enum bench_session session);
MUST_USE int bench_connect_publishers(struct bench_load *l);
MUST_USE int bench_connect_subscribers(struct bench_load *l, enum bench_session session);
MUST_USE int bench_subscribe_all(struct bench_load *l);
MUST_USE int bench_connect_slow(struct bench_load *l); /* and subscribe */
/* One SUBSCRIBE, whose answer the worker will see. */
MUST_USE int bench_subscribe_send(struct bench_load *l, struct bench_conn *c, const char *filter);
/* PINGREQ and its answer: the broker has read all that was sent before. */
MUST_USE int bench_ping(struct bench_conn *c);
/* DISCONNECT and close. Accepts one that has no connection. */
void bench_disconnect(const struct bench_load *l, struct bench_conn *c);
/* Make the packets of a publisher anew; they carry `payload_len` bytes. */
MUST_USE int bench_publisher_prepare(struct bench_load *l, struct bench_publisher *p, uint32_t payload_len,
				     bool retain);

/* CONNECT for a client id, into room of BENCH_CONNECT_MAX: its length, or 0 when it does not fit. */
#define BENCH_CONNECT_MAX 1024u
size_t bench_connect_packet(const struct bench_load *l, uint8_t *to, const char *client_id,
			    enum bench_session session);
/* DISCONNECT into room of BENCH_DISCONNECT_MAX: its length. */
#define BENCH_DISCONNECT_MAX 16u
size_t bench_disconnect_packet(const struct bench_load *l, uint8_t *to);
/* Why a broker refused a connection. */
const char *bench_refusal(const struct bench_load *l, uint8_t reason);

/* ---- what a worker does with its connections: bench_traffic.c ---- */

#define BENCH_READ_MAX (256u * 1024) /* of one read */

/* epoll told these events of a connection; it may have broken since. */
void bench_conn_ready(struct bench_worker *w, struct bench_conn *c, uint32_t events);
/* Let all publishers of the worker send what they may; those whose time has come, with a rate. */
void bench_refill_own(struct bench_worker *w);
void bench_send_due(struct bench_worker *w);
/* Tell publishers, of this worker and others, that their windows have moved. */
void bench_tell_publishers(struct bench_worker *w);

/* ---- threads: bench_threads.c ---- */

/* Run all connections that are open in threads until bench_stop(). ERR_* after the fault was said: nothing runs. */
MUST_USE int bench_start(struct bench_load *l);
/* Let nobody send any more, wait until all has arrived or nothing moves, and end the threads. */
void bench_drain(struct bench_load *l);
void bench_stop(struct bench_load *l);

struct bench_totals {
	uint64_t sent, acked, delivered, duplicates, reordered, wrong, refused, broken, stuck, last_ns;
	uint64_t expected; /* to be delivered */
};
struct bench_totals bench_totals(const struct bench_load *l);
/* Has everything that was sent arrived, and been acknowledged? */
bool bench_is_drained(const struct bench_load *l, const struct bench_totals *t);

/* ---- what the kernel says of a process: bench_process.c ---- */

/* CPU time of all its threads in ns, and its resident bytes. ERR_NOT_FOUND: there is none, or it isn't ours to ask. */
MUST_USE int bench_process_cpu(unsigned pid, uint64_t *ns);
MUST_USE int bench_process_rss(unsigned pid, uint64_t *bytes);

#endif
