/*
 * CONNECT: who is it, where is the session, and may it start.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "mqtt/conn.h"
#include "mqtt/session.h"

static void send_connack(struct conn *c, const struct mqtt_connack *ack)
{
	uint8_t packet[256], *at;
	struct wr w = wr_of(packet, sizeof(packet));

	if (mqtt_connack_encode(&w, c->version, ack) < 0)
		return;
	at = conn_take(c, (uint32_t)(sizeof(packet) - w.left));
	if (at)
		memcpy(at, packet, sizeof(packet) - w.left);
}

static void refuse(struct conn *c, struct span client_id, uint8_t reason)
{
	struct mqtt_connack ack = {.reason = c->version == MQTT_V5 ? reason : mqtt_connack_v3(reason)};

	mqtt_props_clear(&ack.props);
	log_notice("mqtt", "client %s %s: refused: %s", log_quote((char[64]){0}, 64, client_id),
		   conn_peer(c, (char[STREAM_PEER_MAX]){0}), mqtt_reason_text(reason));
	worker_count(c->worker, clients_refused, 1);
	send_connack(c, &ack);
	conn_drop(c);
}

/* A packet that is no CONNECT of a version we speak. It gets an answer where the standard has one (3.1.4, 3.1.2.2). */
static int refuse_undecoded(struct conn *c, const struct mqtt_connect *p, int err)
{
	if (err != ERR_UNSUPPORTED)
		return err;
	c->version = p->version >= MQTT_V5 ? MQTT_V5 : MQTT_V311;
	refuse(c, span_of(NULL, 0), MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION);
	return OK;
}

/* May a client have this id? (3.1.3.1; in 3.1 it is never empty) */
static bool client_id_ok(const struct mqtt_connect *p)
{
	if (p->client_id.len > 0 || p->version == MQTT_V5)
		return true;
	return p->version == MQTT_V311 && p->clean_start; /* [MQTT-3.1.3-7], [MQTT-3.1.3-8] */
}

static uint8_t will_permitted(struct conn *c, const struct mqtt_connect *p, bool *command)
{
	const struct mqtt_publish_request r = {
		.client_id = p->client_id,
		.topic = p->will.topic,
		.qos = p->will.qos,
		.retain = p->will.retain,
		.is_will = true,
	};

	*command = false;
	if (!p->has_will)
		return MQTT_RC_SUCCESS;
	if (mqtt_topic_levels(p->will.topic) > c->worker->broker->config.max_topic_levels)
		return MQTT_RC_TOPIC_NAME_INVALID;
	return publish_permitted(c->worker->broker, &r, command);
}

/* An id for a client that left it to us ([MQTT-3.1.3-6]); nobody can guess it from another. */
static struct span assign_id(struct worker *w, char *buf, size_t size)
{
	int n = snprintf(buf, size, "auto-%04x-%016llx", w->index, (unsigned long long)worker_random(w));

	return span_of(buf, (size_t)n);
}

/* ---- moving to the worker that has the session ---- */

struct move_call {
	struct worker_call call;
	struct conn *conn;
	size_t len;
	uint8_t bytes[]; /* CONNECT and what came behind it */
};

static void move_run(struct worker *w, struct worker_call *call)
{
	struct move_call *m = container_of(call, struct move_call, call);

	conn_arrive(w, m->conn, span_of(m->bytes, m->len));
	free(m);
}

static void move_cancel(struct worker_call *call)
{
	struct move_call *m = container_of(call, struct move_call, call);

	stream_close(m->conn->stream);
	free(m->conn);
	free(m);
}

static int move_to(struct conn *c, uint16_t worker, struct span bytes)
{
	struct worker *w = c->worker;
	struct move_call *m = malloc(sizeof(*m) + bytes.len);

	if (!m)
		return ERR_NOMEM;
	m->call = (struct worker_call){.run = move_run, .cancel = move_cancel};
	m->conn = c;
	m->len = bytes.len;
	memcpy(m->bytes, bytes.p, bytes.len);
	conn_detach(c);
	atomic_fetch_sub(&w->connections, 1);
	atomic_fetch_add(&w->broker->workers[worker]->connections, 1);
	worker_count(w, connections_moved, 1);
	worker_call(w->broker->workers[worker], &m->call);
	return OK;
}

/* ---- the will ---- */

static int will_take(struct session *s, const struct mqtt_connect *p, bool command)
{
	const struct mqtt_props *props = &p->will.props;
	struct publication pub = {
		.topic = p->will.topic,
		.payload = p->will.payload,
		.qos = p->will.qos,
		.retain = p->will.retain,
		.command = command,
		.publisher = s->uid,
	};
	struct will *will;

	if (!p->has_will)
		return OK;
	if (p->version == MQTT_V5 && worker_passed_on(s->worker, props, &pub.props) < 0)
		return ERR_NOMEM;
	will = malloc(sizeof(*will));
	if (!will)
		return ERR_NOMEM;
	*will = (struct will){0};
	if (p->version == MQTT_V5) {
		will->delay_s = mqtt_props_num(props, MQTT_P_WILL_DELAY, 0);
		will->expires = mqtt_props_has(props, MQTT_P_MESSAGE_EXPIRY);
		will->expiry_s = mqtt_props_num(props, MQTT_P_MESSAGE_EXPIRY, 0);
	}
	will->msg = msg_create(&pub);
	if (!will->msg) {
		free(will);
		return ERR_NOMEM;
	}
	session_take_will(s, will);
	return OK;
}

/* ---- the session ---- */

/* The connection that has the session goes (3.1.4): told why in v5, its will published as when it had broken. */
static void take_over(struct session *s)
{
	struct conn *old = s->conn;

	worker_count(s->worker, sessions_taken_over, 1);
	conn_close(old, MQTT_RC_SESSION_TAKEN_OVER, "its client id connected anew");
	old->session = NULL;
	session_detach(s, !old->orderly);
}

static uint32_t expiry_of(const struct mqtt_connect *p)
{
	if (p->version == MQTT_V5)
		return mqtt_props_num(&p->props, MQTT_P_SESSION_EXPIRY, 0);
	return p->clean_start ? 0 : EXPIRY_NEVER;
}

/* The session to go on with; *present: it was there. NULL: out of memory. */
static struct session *session_for(struct worker *w, struct span client_id, bool clean, bool *present)
{
	struct session *s = session_find(w, client_id);

	*present = false;
	if (s)
		s->has_heir = true;
	if (s && clean)
		s->expiry_s = 0; /* ends with its connection, or here */
	if (s && s->conn) {
		take_over(s);
		s = session_find(w, client_id); /* it may have ended */
	}
	if (s && clean) {
		session_end(s);
		s = NULL;
	}
	*present = s != NULL;
	if (s)
		s->has_heir = false;
	return s ? s : session_create(w, client_id);
}

static void take_limits(struct conn *c, const struct mqtt_connect *p)
{
	uint32_t aliases = mqtt_props_num(&p->props, MQTT_P_TOPIC_ALIAS_MAXIMUM, 0);
	struct loop *loop = c->worker->loop;

	c->receive_maximum = UINT16_MAX;
	c->keep_alive_s = p->keep_alive_s;
	if (p->version == MQTT_V5) {
		c->receive_maximum = (uint16_t)mqtt_props_num(&p->props, MQTT_P_RECEIVE_MAXIMUM, UINT16_MAX);
		c->max_packet = mqtt_props_num(&p->props, MQTT_P_MAXIMUM_PACKET_SIZE, 0);
		c->aliases_out_max = (uint16_t)(aliases < ALIASES_MAX ? aliases : ALIASES_MAX);
	}
	loop_timer_cancel(loop, &c->timer);
	if (c->keep_alive_s)
		loop_timer_set(loop, &c->timer, (uint64_t)c->keep_alive_s * 1500);
}

static void accept_with(struct conn *c, bool present, struct span assigned)
{
	const struct broker_config *config = &c->worker->broker->config;
	struct mqtt_connack ack = {.session_present = present && c->version != MQTT_V31};
	struct mqtt_props *props = &ack.props;

	mqtt_props_clear(props);
	if (c->version == MQTT_V5) {
		mqtt_props_set_num(props, MQTT_P_RECEIVE_MAXIMUM, config->max_inflight);
		mqtt_props_set_num(props, MQTT_P_MAXIMUM_PACKET_SIZE, config->max_packet_size);
		mqtt_props_set_num(props, MQTT_P_TOPIC_ALIAS_MAXIMUM, ALIASES_MAX);
		if (assigned.len)
			mqtt_props_set_str(props, MQTT_P_ASSIGNED_CLIENT_ID, assigned);
	}
	send_connack(c, &ack);
}

/* The session is ours and so is the client. */
static void start(struct conn *c, const struct mqtt_connect *p, struct span client_id, bool will_is_command)
{
	struct worker *w = c->worker;
	bool present, assigned = p->client_id.len == 0;
	struct session *s = session_for(w, client_id, p->clean_start, &present);

	if (!s) {
		registry_release(w->broker->registry, client_id, w->index);
		refuse(c, client_id, MQTT_RC_SERVER_BUSY);
		return;
	}
	s->expiry_s = expiry_of(p);
	session_attach(s, c);
	c->state = CONN_OPEN;
	take_limits(c, p);
	log_info("mqtt", "client %s %s: connected, MQTT %s%s", log_quote((char[64]){0}, 64, client_id),
		 conn_peer(c, (char[STREAM_PEER_MAX]){0}),
		 p->version == MQTT_V5     ? "5.0"
		 : p->version == MQTT_V311 ? "3.1.1"
					   : "3.1",
		 present ? ", session resumed" : "");
	worker_count(w, clients_connected, 1);
	accept_with(c, present, assigned ? client_id : span_of(NULL, 0));
	if (will_take(s, p, will_is_command) < 0 || session_resume(s) < 0)
		conn_close(c, MQTT_RC_SERVER_BUSY, "out of memory");
}

int conn_connect(struct conn *c, const struct mqtt_frame *f, struct span rest, enum connect_outcome *outcome)
{
	struct worker *w = c->worker;
	struct mqtt_connect p;
	struct span client_id;
	char assigned[32];
	uint16_t home = w->index;
	uint8_t reason;
	bool will_is_command;
	int rc = mqtt_connect_decode(f, &p);

	*outcome = CONNECT_DONE;
	if (rc < 0)
		return refuse_undecoded(c, &p, rc);
	c->version = (uint8_t)p.version;
	if (!client_id_ok(&p)) {
		refuse(c, p.client_id, MQTT_RC_CLIENT_ID_NOT_VALID);
		return OK;
	}
	/* no enhanced authentication here [MQTT-4.12.0-1] */
	if (p.version == MQTT_V5 && mqtt_props_has(&p.props, MQTT_P_AUTH_METHOD)) {
		refuse(c, p.client_id, MQTT_RC_BAD_AUTHENTICATION_METHOD);
		return OK;
	}
	reason = will_permitted(c, &p, &will_is_command);
	if (reason >= 0x80) {
		refuse(c, p.client_id, reason);
		return OK;
	}
	client_id = p.client_id.len ? p.client_id : assign_id(w, assigned, sizeof(assigned));
	if (registry_claim(w->broker->registry, client_id, w->index, &home) < 0 ||
	    (home != w->index && move_to(c, home, rest) < 0)) {
		refuse(c, client_id, MQTT_RC_SERVER_BUSY);
		return OK;
	}
	loop_interleave(w->loop);
	if (home != w->index)
		*outcome = CONNECT_MOVED;
	else
		start(c, &p, client_id, will_is_command);
	return OK;
}
