/*
 * The MQTT broker: 3.1, 3.1.1 and 5.0, N workers that share nothing (ARCHITECTURE.md, "The life of a PUBLISH").
 *
 * It knows no socket, thread, file or clock: it is given one loop per worker, streams that were accepted
 * somewhere, and time by the loops. Who runs a loop runs its worker.
 *
 * Threads: broker_create and broker_destroy run while no loop runs; broker_accept and broker_stop may be called
 * by any thread; a port's functions by the thread that runs the port's loop.
 */
#ifndef MQTT_BROKER_H
#define MQTT_BROKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "loop/loop.h"
#include "mqtt/policy.h"
#include "net/stream.h"
#include "store/store.h"
#include "wire/mqtt.h"

#define BROKER_LANES_MAX 64 /* workers and ports together: they are bits of one word */

struct broker_memory {
	uint64_t current, maximum; /* bytes: now, and the most so far */
};

/* A message of QoS 1 or 2 comes for a session whose queue is full. */
enum broker_queue_policy {
	BROKER_DROP_NEWEST, /* it is dropped */
	BROKER_DROP_OLDEST, /* what has waited longest is dropped; never what was sent already */
	BROKER_DISCONNECT, /* it is dropped and the client disconnected (5.0: 0x97); the session keeps what it has */
};

struct broker_config {
	uint32_t max_packet_size;     /* bytes of one packet, header included */
	uint32_t max_inflight;        /* 1..65535: unacknowledged QoS 1 and 2 messages, each direction */
	uint32_t max_queued_messages; /* waiting per session */
	uint64_t max_queued_bytes;    /* waiting per session, and unsent output per connection */
	enum broker_queue_policy queue_policy;
	uint32_t max_connections;   /* all workers together */
	uint32_t spread_after;      /* connections that share the first worker before the others get any */
	uint32_t max_subscriptions; /* per session */
	uint32_t max_topic_levels;
	uint64_t max_retained_messages; /* of clients; 0: no limit */
	uint64_t max_retained_bytes;    /* of their topics, properties and payloads; 0: no limit */
	uint32_t connect_timeout_ms;
	uint16_t max_keep_alive_s; /* v5 clients that ask for more, or none, are given this; 0: as they ask */
	uint32_t max_sessions;     /* connected or away, all workers together */
	uint64_t memory_limit;     /* bytes for what clients make us hold (mqtt/budget.h); 0: none */
	uint32_t feed_list_max;    /* retained messages for a subscription; more are not listed (feed.c) */
	uint64_t backlog_bytes;    /* hand-over to one worker above which publishers are not read */
	uint32_t hand_over_first;  /* receivers on a worker from which on it hands over before it delivers */
	uint64_t seed;             /* of hashes and random choices */
	uint32_t sys_interval_ms;  /* how often $SYS is brought up to date; 0: there is none */
	/* What the program has in use, for $SYS; NULL: not told. Called on the first worker's loop; must not block. */
	void (*memory)(struct broker_memory *out);
	struct mqtt_policy *policy; /* who may do what; NULL: all may all. Outlives the broker */
	/* What outlives the process is kept there; NULL: nothing does. Outlives the broker. */
	struct store *store;
	uint16_t
		last_packet_id; /* ids of messages to a session begin behind it: tests make them come round */
	uint32_t
		linger_ms; /* an online subscriber has so long to acknowledge before its message goes to the store */
	uint32_t refuse_close_ms; /* below 5.0, a publisher waits so long for a store that takes nothing */
	uint32_t
		will_grace_ms; /* after a start, a will that was stored waits so long for its client, at least */
};

/* The defaults of PRODUCT.md, a seed of 1 and no policy. */
void broker_config_default(struct broker_config *c);

struct broker;

/* One worker on each of `nloops` loops (1..64), which outlive the broker. ERR_NOMEM, ERR_RANGE. */
MUST_USE int broker_create(const struct broker_config *c, struct loop *const *loops, uint32_t nloops,
			   struct broker **out);
/*
 * Take up what config.store keeps: sessions, retained messages. After ports were opened, before any loop runs. Nothing without a
 * store. ERR_NOMEM, or what store_load() says; then the broker can only be destroyed.
 */
MUST_USE int broker_restore(struct broker *b);
/* Frees everything, connections included (they are just closed). No loop runs any more. Accepts NULL. */
void broker_destroy(struct broker *b);

/*
 * Take over an accepted stream, not attached to a loop; it goes to the first worker while few are connected, then to the one with
 * the fewest. Closed when the broker is
 * full or out of memory.
 */
void broker_accept(struct broker *b, struct stream *s);

/*
 * The same for a connection of the program itself, which may have a client id that begins with `$` (others are refused those);
 * limits of connections and sessions do not hold for it, and it is not sent to another server. Messages of QoS 0 are kept for
 * such a session as those of QoS 1.
 */
void broker_accept_own(struct broker *b, struct stream *s);

/*
 * Send the clients to another server: whoever is connected is closed, whoever comes is refused, v5 clients with `to` as Server
 * Reference and 0x9D if it is for good, else 0x9C (5.0, 4.11). `to` is copied, has 1..REDIRECT_BYTES_MAX bytes of UTF-8; NULL:
 * clients are served here again. By one thread at a time; the workers obey in their next turn. ERR_NOMEM: nothing changes.
 */
#define REDIRECT_BYTES_MAX 256u
MUST_USE int broker_redirect(struct broker *b, const char *to, bool for_good);

/* Close all connections, v5 clients with 0x8B; broker_connections() tells when it is over. */
void broker_stop(struct broker *b);
uint32_t broker_connections(const struct broker *b);

/* $SYS at this interval from now on; 0 takes it away. Any thread. ERR_NOMEM: it stays as it was. */
MUST_USE int broker_set_sys_interval(struct broker *b, uint32_t interval_ms);

/*
 * ---- counters; each is a sum over the workers, read while they run ----
 *
 * A name that begins with "dropped_" is a cause for which a message did not get to a receiver: $SYS and "lineside status" list it.
 */
#define BROKER_COUNTERS(COUNTER)                                                                \
	COUNTER(messages_received, "PUBLISH packets taken from clients and ports")              \
	COUNTER(messages_sent, "PUBLISH packets given to clients and ports")                    \
	COUNTER(payload_received, "bytes of their payloads")                                    \
	COUNTER(payload_sent, "bytes of their payloads")                                        \
	COUNTER(control_received, "packets of other types taken from clients")                  \
	COUNTER(control_sent, "packets of other types given to clients")                        \
	COUNTER(bytes_received, "bytes read from clients")                                      \
	COUNTER(bytes_sent, "bytes written to clients")                                         \
	COUNTER(handed_over, "messages passed from one worker to another")                      \
	COUNTER(dropped_qos0, "QoS 0 messages not sent because the receiver was slow")          \
	COUNTER(dropped_queue_full, "messages not queued because the session's queue was full") \
	COUNTER(dropped_queue_oldest, "messages that left a full queue for newer ones")         \
	COUNTER(dropped_commands, "commands for a receiver that could not take them at once")   \
	COUNTER(dropped_expired, "messages whose expiry passed while they waited")              \
	COUNTER(dropped_too_large, "messages larger than the receiver takes")                   \
	COUNTER(dropped_retained, "retained messages not kept because there are too many")      \
	COUNTER(dropped_memory, "messages that could not be kept for want of memory")           \
	COUNTER(dropped_no_member, "messages for a share group without a member to take them")  \
	COUNTER(refused_store, "PUBLISH packets refused because the store took nothing")        \
	COUNTER(sockets_opened, "connections taken over from listeners")                        \
	COUNTER(clients_connected, "CONNECTs accepted")                                         \
	COUNTER(clients_refused, "CONNECTs refused")                                            \
	COUNTER(connections_moved, "connections that went to the worker of their session")      \
	COUNTER(sessions_taken_over, "connections ended by a new one of the same client id")    \
	COUNTER(sessions_expired, "sessions that ended because their client stayed away")       \
	COUNTER(disconnected_slow, "connections closed because their queue was full")           \
	COUNTER(protocol_errors, "connections closed for a fault of the client")                \
	COUNTER(turns, "turns of the loops")

struct broker_counters {
#define BROKER_COUNTER_FIELD(name, text) uint64_t name;
	BROKER_COUNTERS(BROKER_COUNTER_FIELD)
#undef BROKER_COUNTER_FIELD
};

/* What clients make us hold now, in bytes. */
uint64_t broker_memory_used(const struct broker *b);

void broker_counters(const struct broker *b, struct broker_counters *out);

/* The table as data: what each is called, and where it is in a struct broker_counters. Ends with name NULL. */
struct broker_counter {
	const char *name, *text;
	size_t offset;
};
extern const struct broker_counter broker_counter_table[];

static inline uint64_t broker_counter_of(const struct broker_counters *c, const struct broker_counter *which)
{
	return *(const uint64_t *)(const void *)((const char *)c + which->offset);
}

/* "queue_full" of "dropped_queue_full", NULL for what is no cause of a drop. */
const char *broker_counter_drop(const struct broker_counter *which);

/* ---- figures: how things stand; read while the workers run, as each was at the end of its last turn ---- */
#define BROKER_GAUGES(GAUGE)                                                                 \
	GAUGE(sessions, "sessions of clients, connected or away")                            \
	GAUGE(subscriptions, "their plain subscriptions")                                    \
	GAUGE(shared_subscriptions, "their subscriptions in share groups")                   \
	GAUGE(queued_messages, "messages that wait for a session, counted for each session") \
	GAUGE(queued_payload, "bytes of their payloads")

struct broker_figures {
#define BROKER_GAUGE_FIELD(name, text) uint64_t name;
	BROKER_GAUGES(BROKER_GAUGE_FIELD)
#undef BROKER_GAUGE_FIELD
	uint64_t connections;   /* streams, before CONNECT too */
	uint64_t backlog_bytes; /* handed over by other workers and not taken yet */
	struct broker_counters count;
};

uint32_t broker_workers(const struct broker *b); /* without ports */
/* Of one worker, 0..broker_workers() - 1. */
void broker_worker_figures(const struct broker *b, uint32_t worker, struct broker_figures *out);

/* All of it. Sessions, subscriptions and connections are those of clients; the counters are those of ports, too. */
struct broker_totals {
	struct broker_figures sum;
	uint64_t clients, clients_maximum; /* connected now, and the most at once so far */
	uint64_t retained_messages, retained_payload;
	uint64_t dropped; /* for all causes */
};

void broker_totals(const struct broker *b, struct broker_totals *out);

/* ---- ports: the broker's own part of a program, on a loop of its own ---- */

struct mqtt_port;

struct mqtt_port_ops {
	/* A message for one of the port's subscriptions, on the port's loop; all is borrowed for the call. */
	void (*message)(void *arg, const struct mqtt_publish *m);
};

/*
 * Open a port on `loop`, before any loop runs and any port subscribes; it lives as long as the broker. ERR_NOMEM, ERR_FULL.
 */
MUST_USE int mqtt_port_open(struct broker *b, struct loop *loop, const struct mqtt_port_ops *ops, void *arg,
			    struct mqtt_port **out);
/*
 * Publish; the policy is not asked. `p` is borrowed; its packet_id and dup mean nothing, its props (of any version) count.
 * OK when it is on its way to every subscriber; ERR_NOMEM: to nobody; ERR_TOPIC.
 */
MUST_USE int mqtt_port_publish(struct mqtt_port *port, const struct mqtt_publish *p);
/* Receive what is published to `filter` (retained messages are not sent). ERR_NOMEM, ERR_TOPIC. */
MUST_USE int mqtt_port_subscribe(struct mqtt_port *port, struct span filter);
void mqtt_port_unsubscribe(struct mqtt_port *port, struct span filter);

#endif
