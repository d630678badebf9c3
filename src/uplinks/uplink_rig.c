#include "uplinks/uplink_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_US UINT64_C(3600000000)

/* ---- one side ---- */

static void see(void *arg, const struct mqtt_publish *m)
{
	struct rig_side *s = arg;
	size_t room = m->topic.len + m->payload.len + 8;
	char *line = malloc(room);

	if (s->nseen == s->room) {
		s->room = 2 * s->room + 64;
		s->seen = realloc(s->seen, s->room * sizeof(*s->seen));
	}
	snprintf(line, room, "%.*s=%.*s%s", (int)m->topic.len, (const char *)m->topic.p, (int)m->payload.len,
		 (const char *)m->payload.p, m->retain ? " r" : "");
	s->seen[s->nseen++] = line;
}

static uint8_t may_publish(struct mqtt_policy *p, const struct mqtt_publish_request *r, bool *command)
{
	const struct rig_side *s = container_of(p, struct rig_side, policy);
	size_t n = s->refused ? strlen(s->refused) : 0;

	(void)command;
	return n && r->topic.len >= n && memcmp(r->topic.p, s->refused, n) == 0 ? MQTT_RC_NOT_AUTHORIZED
										: MQTT_RC_SUCCESS;
}

static struct mqtt_session_terms *terms_of(struct mqtt_policy *p, struct span id)
{
	struct rig *r = container_of(p, struct rig, here.policy);
	char own[UPLINK_ID_MAX];

	for (unsigned i = 0; i < 2; i++)
		if (span_equal(id, span_str(uplink_session_id("up", i, own))))
			return &r->terms[i];
	return NULL;
}

static void accepted(struct acceptor *a, struct stream *stream)
{
	struct rig_side *s = container_of(a, struct rig_side, acceptor);

	if (s->is_own)
		broker_accept_own(s->broker, stream);
	else
		broker_accept(s->broker, stream);
}

static void side_init(struct rig *r, struct rig_side *s, uint32_t nworkers)
{
	assert_int_equal(sim_net_create(r->world, &s->net), OK);
	for (uint32_t i = 0; i < nworkers; i++)
		assert_int_equal(sim_loop_create(r->world, &s->loops[i]), OK);
	s->nloops = nworkers;
	assert_int_equal(sim_loop_create(r->world, &s->port_loop), OK);
	broker_config_default(&s->config);
	s->config.sys_interval_ms = 0;
	s->config.spread_after = 0;
	s->policy.publish = may_publish;
	s->config.policy = &s->policy;
	s->acceptor.accepted = accepted;
}

static void side_start(struct rig_side *s, const char *filter)
{
	static const struct mqtt_port_ops ops = {.message = see};

	assert_int_equal(broker_create(&s->config, s->loops, s->nloops, &s->broker), OK);
	assert_int_equal(mqtt_port_open(s->broker, s->port_loop, &ops, s, &s->port), OK);
	assert_int_equal(mqtt_port_subscribe(s->port, span_str(filter)), OK);
	assert_int_equal(sim_net_listen(s->net, s->loops[0], "broker", &s->acceptor, &s->listener), OK);
}

static void side_fini(struct rig_side *s)
{
	sim_net_unlisten(s->listener);
	broker_destroy(s->broker);
	sim_net_destroy(s->net);
	for (size_t i = 0; i < s->nseen; i++)
		free(s->seen[i]);
	free(s->seen);
}

void rig_publish(struct rig_side *side, const char *topic, const char *payload, uint8_t qos, bool retain)
{
	struct mqtt_publish m = {
		.topic = span_str(topic), .payload = span_str(payload), .qos = qos, .retain = retain};

	mqtt_props_clear(&m.props);
	assert_int_equal(mqtt_port_publish(side->port, &m), OK);
	loop_again(side->port_loop); /* it is outside of its turn */
}

/* ---- all of it ---- */

void rig_init(struct rig *r, uint64_t seed, uint32_t nworkers)
{
	static struct config_uplink_map publish[] = {{.filter = "a/#", .retain = true},
						     {.filter = "x/#", .template = "{topic}/{3}"}};

	memset(r, 0, sizeof(*r));
	assert_int_equal(sim_world_create(seed, &r->world), OK);
	side_init(r, &r->here, nworkers);
	side_init(r, &r->there, 1);
	r->here.is_own = true;
	r->here.policy.session = terms_of;
	assert_int_equal(sim_loop_create(r->world, &r->loop), OK);
	assert_int_equal(sim_net_dialer(r->here.net, "broker", &r->local), OK);
	r->cfg = (struct config_uplink){.name = "up",
					.version = MQTT_V5,
					.keep_alive_ms = 10000,
					.qos = 1,
					.publish = publish,
					.npublish = 2,
					.buffer = {.max_bytes = 1u << 30},
					.reconnect = {100, 2000}};
}

void rig_start(struct rig *r, const char *seen_here, const char *seen_there)
{
	side_start(&r->here, seen_here);
	side_start(&r->there, seen_there);
}

static void changed(void *arg)
{
	((struct rig *)arg)->changes++;
}

static void stopped(void *arg)
{
	((struct rig *)arg)->stops++;
}

void rig_uplink(struct rig *r)
{
	static const struct uplink_events events = {.changed = changed, .stopped = stopped};
	struct uplink_places places = {
		.loop = r->loop, .local = r->local, .terms = {&r->terms[0], &r->terms[1]}};
	const struct uplink_setup setup = {
		.cfg = &r->cfg, .client_id = "gw-up", .max_packet_size = 1 << 20, .seed = 1};

	for (unsigned i = 0; i < 2; i++)
		uplink_terms_set(&r->terms[i], &r->cfg);
	assert_int_equal(sim_net_dialer(r->there.net, "broker", &places.remote), OK);
	assert_int_equal(uplink_create(&places, &setup, &events, r, &r->uplink), OK);
}

void rig_up(struct rig *r, const char *seen_here, const char *seen_there)
{
	rig_start(r, seen_here, seen_there);
	rig_uplink(r);
	rig_wait_state(r, UPLINK_ONLINE);
}

void rig_fini(struct rig *r)
{
	uplink_destroy(r->uplink);
	r->local->destroy(r->local);
	side_fini(&r->here);
	side_fini(&r->there);
	sim_world_destroy(r->world);
	for (unsigned i = 0; i < 2; i++)
		free(r->terms[i].filters);
}

void rig_run(struct rig *r, uint64_t ms)
{
	int rc = sim_run(r->world, ms * 1000, NULL, NULL);

	assert_true(rc == ERR_TIMEOUT || rc == ERR_NOT_FOUND);
}

struct wanted {
	struct rig *r;
	const struct rig_side *side;
	size_t n;
	enum uplink_state state;
};

static bool are_seen(void *arg)
{
	const struct wanted *w = arg;

	return w->side->nseen >= w->n;
}

void rig_wait_seen(struct rig *r, struct rig_side *side, size_t n)
{
	struct wanted w = {.side = side, .n = n};

	if (sim_run(r->world, PATIENCE_US, are_seen, &w) < 0)
		fail_msg("seen %zu of %zu, the last: %s", side->nseen, n,
			 side->nseen ? side->seen[side->nseen - 1] : "none");
}

struct uplink_status rig_status(const struct rig *r)
{
	struct uplink_status s;

	uplink_status(r->uplink, &s);
	return s;
}

static bool is_state(void *arg)
{
	const struct wanted *w = arg;

	return rig_status(w->r).state == w->state;
}

void rig_wait_state(struct rig *r, enum uplink_state state)
{
	struct wanted w = {.r = r, .state = state};

	assert_int_equal(sim_run(r->world, PATIENCE_US, is_state, &w), OK);
}

void rig_cut(struct rig *r)
{
	static const struct sim_net_faults all = {.max_delay_us = 100, .buffer = 65536, .cut_one_in = 1};

	sim_net_unlisten(r->there.listener);
	r->there.listener = NULL;
	sim_net_set_faults(r->there.net, &all);
}

void rig_heal(struct rig *r)
{
	static const struct sim_net_faults none = {.max_delay_us = 1000, .buffer = 65536};

	sim_net_set_faults(r->there.net, &none);
	assert_int_equal(sim_net_listen(r->there.net, r->there.loops[0], "broker", &r->there.acceptor,
					&r->there.listener),
			 OK);
}
