/*
 * The load generator of the speed table: what its parts share. It speaks MQTT 3.1.1, has no code in common with
 * the product, and is built to cost little: one epoll per thread, large reads, one pass over what was read.
 *
 * exchange: `flows` publishers and as many subscribers, each publisher with topics of its own and one subscriber.
 * fan-out:  one publisher, `flows` subscribers of its one topic.
 * fan-in:   `flows` publishers, each with its topic, and one subscriber of them all.
 * idle:     `flows` connections that do nothing, each with `filters` subscriptions.
 *
 * A publisher has at most `window` messages on the way, counted end to end: from its send to the last subscriber's
 * receive (and, with QoS 1 and 2, to its own acknowledgement). It sends `batch` messages in one send().
 * `slow` more connections subscribe to the topic of a flow and never read.
 *
 * The 16 bytes of payload are publisher and sequence number; each subscriber expects the very next number.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum mode { MODE_EXCHANGE, MODE_FANOUT, MODE_FANIN, MODE_IDLE };
enum phase { PHASE_RUN, PHASE_DRAIN, PHASE_END };

#define PAYLOAD     16u
#define PACKET_MAX  128u   /* no packet of a run is longer */
#define WINDOW_MAX  16384u /* packet ids stay unique, and a full window fits into the socket buffers */
#define THREADS_MAX 16u

/* What to do. Read-only once the threads run. */
struct plan {
	const char *host;
	uint16_t port;
	pid_t pid; /* the broker's */
	enum mode mode;
	unsigned flows, filters, qos, window, batch, threads, slow;
	double warm_s, measure_s;
	char prefix[16]; /* of client ids and topics */
};

/* A message ready to be sent, but for packet id and sequence number. */
struct packet {
	uint8_t bytes[PACKET_MAX];
	uint16_t len, id_at; /* id_at: offset of the packet id, 0 with QoS 0 */
};

struct flow;

struct conn {
	int fd;
	bool is_publisher;
	struct flow *flow;
	uint64_t next;   /* sequence number: to be sent, or expected */
	uint64_t acked;  /* publisher: messages that the broker has acknowledged to the end */
	uint64_t rel;    /* publisher, QoS 2: messages answered with PUBREC */
	uint32_t have;   /* bytes of an incomplete packet in part[] */
	uint32_t nreply; /* bytes of acknowledgements in reply[] */
	uint8_t part[PACKET_MAX];
	uint8_t *reply; /* room for what one read can ask for */
};

/*
 * exchange: one publisher and its subscriber. fan-out: one subscriber, publisher.fd is -1 but for the first. fan-in: one
 * publisher, subscriber.fd is -1 but for the first.
 */
struct flow {
	uint32_t id;
	struct conn publisher, subscriber;
	struct packet *packets; /* npackets, sent in turn */
	unsigned npackets;
	_Atomic uint64_t received; /* fan-in: of this publisher's messages, by the subscriber's thread */
};

/* One thread and the flows that only it touches. The atomics are read by the main thread. */
struct worker {
	const struct plan *plan;
	struct load *load;
	unsigned index;
	int epoll, wake;
	unsigned count; /* of its flows: every `threads`th, from `index` on */
	uint8_t *buffer;
	uint16_t *remaining; /* fan-out: subscribers of this thread that lack a message, by number % window */
	uint64_t done;       /* fan-out: messages that all subscribers of this thread have */
	uint64_t told;       /* fan-out: what the others know of `done`; fan-in: of what the subscriber has */
	_Atomic uint64_t done_shared;
	_Atomic uint64_t sent, delivered, acked, faults;
};

struct load {
	const struct plan *plan;
	struct flow *flows;
	int *slow; /* connections that never read */
	struct worker workers[THREADS_MAX];
	_Atomic int phase;
};

/* All of these end the program with a message when the system or the broker fails them. */

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *need(void *memory);

/* Make every connection of the plan, CONNECT and SUBSCRIBE, and wait for the answers. load_setup.c */
void load_connect(struct load *load);
void load_subscribe(struct load *load);
void load_close(struct load *load);

/* The body of one thread: runs until load->phase is PHASE_END. load_traffic.c */
void worker_init(struct worker *w, struct load *load, unsigned index);
void *worker_run(void *worker);
void worker_fini(struct worker *w);

/* CPU time of all threads of a process in nanoseconds, and its resident bytes. mqtt_load.c */
uint64_t process_cpu_ns(pid_t pid);
uint64_t process_rss(pid_t pid);

#endif
