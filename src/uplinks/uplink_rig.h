/*
 * For tests of uplinks: our broker, a remote broker and uplinks between them on simulated time. Messages are published and seen through
 * ports of both brokers; what was seen on each side is kept as lines "topic=payload", with " r" behind it when retained.
 */
#ifndef UPLINKS_UPLINK_RIG_H
#define UPLINKS_UPLINK_RIG_H

#include "loop/loop_sim.h"
#include "mqtt/broker.h"
#include "net/stream_sim.h"
#include "uplinks/uplink.h"

#define RIG_STREAMS 64

struct rig_side {
	struct sim_net *net;
	struct listener *listener; /* NULL: nobody listens */
	struct acceptor acceptor;
	struct loop *loops[4], *port_loop;
	uint32_t nloops;
	struct broker *broker;
	struct broker_config config;
	struct mqtt_policy policy;
	struct mqtt_port *port;
	bool is_own;         /* its connections are the program's own */
	const char *refused; /* topics that begin so are refused; NULL: none */
	char **seen;
	size_t nseen, room;
};

struct rig {
	struct sim_world *world;
	struct loop *loop; /* of the uplink */
	struct rig_side here, there;
	struct dialer *local;
	struct mqtt_session_terms terms[2];
	struct config_uplink cfg;
	struct uplink *uplink;
	unsigned changes, stops;
};

/* Two brokers, ours with so many workers, and the configuration of an uplink "up" that takes a/# and x/# to the other one; no uplink yet. */
void rig_init(struct rig *r, uint64_t seed, uint32_t nworkers);
/* The brokers, after changes to their configuration. Begins with seeing `filter` of each side. */
void rig_start(struct rig *r, const char *seen_here, const char *seen_there);
void rig_uplink(struct rig *r);
/* rig_start() and rig_uplink(), and the uplink is connected. */
void rig_up(struct rig *r, const char *seen_here, const char *seen_there);
void rig_fini(struct rig *r);

void rig_run(struct rig *r, uint64_t ms);
/* Until so many lines were seen; fails after an hour. */
void rig_wait_seen(struct rig *r, struct rig_side *side, size_t n);
void rig_wait_state(struct rig *r, enum uplink_state state);
void rig_publish(struct rig_side *side, const char *topic, const char *payload, uint8_t qos, bool retain);
/* Nobody answers at the remote broker's address, and connections break; and again. */
void rig_cut(struct rig *r);
void rig_heal(struct rig *r);
struct uplink_status rig_status(const struct rig *r);

#endif
