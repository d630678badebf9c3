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
#include "wire/mqtt.h"

#define BROKER_LANES_MAX 64 /* workers and ports together: they are bits of one word */

struct broker_config {
	uint32_t max_packet_size;     /* bytes of one packet, header included */
	uint32_t max_inflight;        /* 1..65535: unacknowledged QoS 1 and 2 messages, each direction */
	uint32_t max_queued_messages; /* waiting per session */
	uint64_t max_queued_bytes;    /* waiting per session, and unsent output per connection */
	uint32_t max_connections;     /* all workers together */
	uint32_t spread_after;        /* connections that share the first worker before the others get any */
	uint32_t max_subscriptions;   /* per session */
	uint32_t max_topic_levels;
	uint64_t max_retained_messages; /* 0: no limit */
	uint64_t max_retained_bytes;    /* of their topics, properties and payloads; 0: no limit */
	uint32_t connect_timeout_ms;
	uint32_t
		feed_list_max; /* retained messages for one subscription above which they are not listed (feed.c) */
	uint64_t backlog_bytes;     /* hand-over to one worker above which publishers are not read */
	uint64_t seed;              /* of hashes and random choices */
	struct mqtt_policy *policy; /* who may do what; NULL: all may all. Outlives the broker */
};

/* The defaults of PRODUCT.md, a seed of 1 and no policy. */
void broker_config_default(struct broker_config *c);

struct broker;

/* One worker on each of `nloops` loops (1..64), which outlive the broker. ERR_NOMEM, ERR_RANGE. */
MUST_USE int broker_create(const struct broker_config *c, struct loop *const *loops, uint32_t nloops,
			   struct broker **out);
/* Frees everything, connections included (they are just closed). No loop runs any more. Accepts NULL. */
void broker_destroy(struct broker *b);

/*
 * Take over an accepted stream, not attached to a loop; it goes to the first worker while few are connected, then to the one with
 * the fewest. Closed when the broker is
 * full or out of memory.
 */
void broker_accept(struct broker *b, struct stream *s);

/* Close all connections, v5 clients with 0x8B; broker_connections() tells when it is over. */
void broker_stop(struct broker *b);
uint32_t broker_connections(const struct broker *b);

/* ---- counters; each is a sum over the workers, read while they run ---- */
#define BROKER_COUNTERS(COUNTER)                                                                \
	COUNTER(messages_received, "PUBLISH packets taken from clients and ports")              \
	COUNTER(messages_sent, "PUBLISH packets given to clients and ports")                    \
	COUNTER(bytes_received, "bytes read from clients")                                      \
	COUNTER(bytes_sent, "bytes written to clients")                                         \
	COUNTER(handed_over, "messages passed from one worker to another")                      \
	COUNTER(dropped_qos0, "QoS 0 messages not sent because the receiver was slow")          \
	COUNTER(dropped_queue_full, "messages not queued because the session's queue was full") \
	COUNTER(dropped_commands, "commands for a receiver that could not take them at once")   \
	COUNTER(dropped_expired, "messages whose expiry passed while they waited")              \
	COUNTER(dropped_too_large, "messages larger than the receiver takes")                   \
	COUNTER(dropped_retained, "retained messages not kept because there are too many")      \
	COUNTER(dropped_memory, "messages that could not be kept for want of memory")           \
	COUNTER(dropped_no_member, "messages for a share group without a member to take them")  \
	COUNTER(clients_connected, "CONNECTs accepted")                                         \
	COUNTER(clients_refused, "CONNECTs refused")                                            \
	COUNTER(connections_moved, "connections that went to the worker of their session")      \
	COUNTER(sessions_taken_over, "connections ended by a new one of the same client id")    \
	COUNTER(protocol_errors, "connections closed for a fault of the client")

struct broker_counters {
#define BROKER_COUNTER_FIELD(name, text) uint64_t name;
	BROKER_COUNTERS(BROKER_COUNTER_FIELD)
#undef BROKER_COUNTER_FIELD
};

void broker_counters(const struct broker *b, struct broker_counters *out);

/* What is retained now: messages, and bytes as for max_retained_bytes. Any thread. */
uint64_t broker_retained_count(const struct broker *b);
uint64_t broker_retained_bytes(const struct broker *b);

/* ---- ports: the broker's own part of a program, on a loop of its own ---- */

struct mqtt_port;

struct mqtt_port_ops {
	/* A message for one of the port's subscriptions, on the port's loop; all is borrowed for the call. */
	void (*message)(void *arg, const struct mqtt_publish *m);
};

/*
 * Open a port on `loop`, before any loop runs; it lives as long as the broker. ERR_NOMEM, ERR_FULL.
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
