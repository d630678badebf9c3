/*
 * CONNECT: who is it, where is the session, and may it start.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "mqtt/answer.h"
#include "mqtt/session.h"

/* The prefix of the topics for a client's answers; ids up to this go into it. */
#define RESPONSE_PREFIX "response/"
#define RESPONSE_ID_MAX 256u
/* Every packet of this file fits: an answer with response information or with reference and reason. */
#define CONNACK_MAX 512u

/* `p`: what it waits for; NULL: nothing. */
static void send_connack(struct conn *c, const struct mqtt_connack *ack, const struct promise *p)
{
	uint8_t packet[CONNACK_MAX];
	struct wr w = wr_of(packet, sizeof(packet));

	if (mqtt_connack_encode(&w, c->version, ack) < 0)
		return;
	if (conn_fits(c, sizeof(packet) - w.left)) /* [MQTT-3.1.2-24] */
		conn_answer_packet(c, MQTT_CONNACK, packet, (uint32_t)(sizeof(packet) - w.left), p);
}

static void refuse(struct conn *c, struct span client_id, uint8_t reason)
{
	struct mqtt_connack ack = {.reason = c->version == MQTT_V5 ? reason : mqtt_connack_v3(reason)};
	const char *why = mqtt_reason_text(reason);
	size_t size = 5;

	mqtt_props_clear(&ack.props);
	conn_refer(c, &ack.props, reason, &size);
	conn_explain(c, &ack.props, why, &size);
	log_notice("mqtt", "client %s %s: refused: %s", log_quote((char[64]){0}, 64, client_id),
		   conn_peer(c, (char[STREAM_PEER_MAX]){0}), why);
	worker_count(c->worker, clients_refused, 1);
	send_connack(c, &ack, NULL); /* no session present: 3.1.1 [MQTT-3.2.2-4], 5.0 [MQTT-3.2.2-6] */
	conn_drop(c);                /* 3.1.1 [MQTT-3.2.2-5], 5.0 [MQTT-3.2.2-7] */
}

/*
 * A packet that is no CONNECT, or of a version that we do not speak. Some get an answer ([MQTT-3.1.2-1], [MQTT-3.1.2-2]; 5.0
 * [MQTT-3.1.4-1]), others none: 3.1.1 [MQTT-3.1.4-1], [MQTT-3.2.2-6].
 */
static int refuse_undecoded(struct conn *c, const struct mqtt_connect *p, int err)
{
	if (!p->answer)
		return err;
	if (err != ERR_UNSUPPORTED)
		worker_count(c->worker, protocol_errors, 1);
	c->version = p->version >= MQTT_V5 ? MQTT_V5 : MQTT_V311;
	refuse(c, span_of(NULL, 0), p->answer);
	return OK;
}

/* May a client have this id? Any that is not empty [MQTT-3.1.3-5] and not ours; in 3.1 it is never empty. */
static bool client_id_ok(const struct conn *c, const struct mqtt_connect *p)
{
	if (!c->own && p->client_id.len > 0 && p->client_id.p[0] == '$')
		return false;
	if (p->client_id.len > 0 || p->version == MQTT_V5)
		return true;
	return p->version == MQTT_V311 && p->clean_start; /* 3.1.1 [MQTT-3.1.3-7], [MQTT-3.1.3-8] */
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
	uint64_t a = worker_random(w), b = worker_random(w);
	int n = snprintf(buf, size, "auto-%08x-%04x-%04x-%04x-%012llx", (unsigned)(a >> 32),
			 (unsigned)(a >> 16 & 0xFFFF), (unsigned)(a & 0xFFFF), (unsigned)(b >> 48),
			 (unsigned long long)(b & 0xFFFFFFFFFFFF));

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

/* *out: the will of this CONNECT, NULL: it has none. ERR_NOMEM. */
static int will_make(struct session *s, const struct mqtt_connect *p, bool command, struct will **out)
{
	const struct mqtt_props *props = &p->will.props;
	struct publication pub = {
		.topic = p->will.topic,
		.payload = p->will.payload,
		.qos = p->will.qos,
		.retain = p->will.retain,
		.command = command,
		.publisher = s->uid,
		.budget = &s->worker->budget,
	};
	struct will *will;

	*out = NULL;
	if (!p->has_will) /* 3.1.1 [MQTT-3.1.2-12] */
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
	*out = will;
	return OK;
}

/* ---- the session ---- */

/*
 * The connection that has the session goes (3.1.1 [MQTT-3.1.4-2], 5.0 [MQTT-3.1.4-3]): told why in v5, its will published as when
 * it had broken.
 */
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

void session_discard(struct session *s)
{
	s->has_heir = true;
	s->expiry_s = 0; /* ends with its connection, or here */
	if (s->conn)
		take_over(s);
	else
		session_end(s);
}

/*
 * The session to go on with; *present: it was there. NULL: out of memory. A clean start ends the old one: 3.1.1 [MQTT-3.1.2-6],
 * 5.0 [MQTT-3.1.2-4]; else it is resumed, or made: 3.1.1 [MQTT-3.1.2-4], 5.0 [MQTT-3.1.2-5], [MQTT-3.1.2-6].
 */
static struct session *session_for(struct worker *w, struct span client_id, bool clean, bool *present)
{
	struct session *s = session_find(w, client_id);

	*present = false;
	if (s && s->is_over) { /* its client is back in time for its will, but not for the session */
		session_forget_will(s);
		clean = true;
	}
	if (s && clean) {
		session_discard(s);
		s = NULL;
	}
	if (s)
		s->has_heir = true;
	if (s && s->conn) {
		take_over(s);
		s = session_find(w, client_id); /* it may have ended */
	}
	*present = s != NULL;
	if (s)
		s->has_heir = false;
	return s ? s : session_create(w, client_id);
}

/* ---- what each side wants of the other ---- */

/* What counts for every answer, a refusal, too. */
static void take_wishes(struct conn *c, const struct mqtt_connect *p)
{
	c->version = (uint8_t)p->version;
	if (p->version != MQTT_V5)
		return;
	c->max_packet = mqtt_props_num(&p->props, MQTT_P_MAXIMUM_PACKET_SIZE, 0);
	/* only for who says so: without the property the standard means 1, but clients are built that compare bytes */
	c->wants_reasons = mqtt_props_num(&p->props, MQTT_P_REQUEST_PROBLEM_INFO, 0);
}

/* The keep-alive that holds: the client's, or ours, which only v5 can be told [MQTT-3.1.2-21]. */
static uint16_t keep_alive_of(const struct conn *c, const struct mqtt_connect *p)
{
	uint16_t most = c->worker->broker->config.max_keep_alive_s;

	if (p->version != MQTT_V5 || !most || (p->keep_alive_s && p->keep_alive_s <= most))
		return p->keep_alive_s;
	return most;
}

static void take_limits(struct conn *c, const struct mqtt_connect *p)
{
	uint32_t aliases = mqtt_props_num(&p->props, MQTT_P_TOPIC_ALIAS_MAXIMUM, 0);

	c->receive_maximum = UINT16_MAX;
	c->keep_alive_s = keep_alive_of(c, p);
	if (p->version == MQTT_V5) {
		c->receive_maximum = (uint16_t)mqtt_props_num(&p->props, MQTT_P_RECEIVE_MAXIMUM, UINT16_MAX);
		c->aliases_out_max = (uint16_t)(aliases < ALIASES_MAX ? aliases : ALIASES_MAX);
	}
}

/* What a v5 client has to know; `client_id` is told if it was assigned. */
static void tell_limits(const struct conn *c, const struct mqtt_connect *p, struct span client_id,
			struct mqtt_connack *ack)
{
	const struct broker_config *config = &c->worker->broker->config;
	struct mqtt_props *props = &ack->props;

	mqtt_props_clear(props);
	mqtt_props_set_num(props, MQTT_P_RECEIVE_MAXIMUM, config->max_inflight);
	mqtt_props_set_num(props, MQTT_P_MAXIMUM_PACKET_SIZE, config->max_packet_size);
	mqtt_props_set_num(props, MQTT_P_TOPIC_ALIAS_MAXIMUM, ALIASES_IN_MAX);
	if (keep_alive_of(c, p) != p->keep_alive_s)
		mqtt_props_set_num(props, MQTT_P_SERVER_KEEP_ALIVE,
				   keep_alive_of(c, p)); /* [MQTT-3.2.2-21] */
	if (p->client_id.len == 0)                       /* 5.0 [MQTT-3.1.3-7], [MQTT-3.2.2-16] */
		mqtt_props_set_str(props, MQTT_P_ASSIGNED_CLIENT_ID, client_id);
}

/* Bytes of a CONNACK so far; one that is accepted has a length of one byte without response information. */
static size_t connack_size(const struct conn *c, const struct mqtt_connack *ack)
{
	uint8_t packet[CONNACK_MAX];
	struct wr w = wr_of(packet, sizeof(packet));
	int rc = mqtt_connack_encode(&w, c->version, ack);

	assert(rc == OK);
	return sizeof(packet) - w.left;
}

/* Does the client take the answer that accepts it? Then it takes all acknowledgements, too. */
static bool connack_fits(const struct conn *c, const struct mqtt_connect *p, struct span client_id)
{
	struct mqtt_connack ack = {.reason = MQTT_RC_SUCCESS};

	if (!c->max_packet)
		return true;
	tell_limits(c, p, client_id, &ack);
	return conn_fits(c, connack_size(c, &ack));
}

/*
 * Response Information for who asked [MQTT-3.1.2-28]: a prefix of topics that no other client is given. An id that is no level of
 * a topic has none.
 */
static struct span response_info(const struct mqtt_connect *p, struct span client_id, char *buf, size_t size)
{
	int n;

	if (!mqtt_props_num(&p->props, MQTT_P_REQUEST_RESPONSE_INFO, 0) || client_id.len > RESPONSE_ID_MAX ||
	    memchr(client_id.p, '/', client_id.len) || memchr(client_id.p, '+', client_id.len) ||
	    memchr(client_id.p, '#', client_id.len))
		return span_of(NULL, 0);
	n = snprintf(buf, size, RESPONSE_PREFIX "%.*s/", (int)client_id.len, (const char *)client_id.p);
	return span_of(buf, (size_t)n);
}

static void accept_with(struct conn *c, const struct mqtt_connect *p, bool present, struct span client_id,
			const struct promise *promise)
{
	/* 3.1.1 [MQTT-3.2.2-1] to [MQTT-3.2.2-3], 5.0 [MQTT-3.2.2-2], [MQTT-3.2.2-3] */
	struct mqtt_connack ack = {.session_present = present && c->version != MQTT_V31};
	char response[sizeof(RESPONSE_PREFIX) + RESPONSE_ID_MAX + 1];
	struct span info;

	mqtt_props_clear(&ack.props);
	if (c->version == MQTT_V5) {
		tell_limits(c, p, client_id, &ack);
		info = response_info(p, client_id, response, sizeof(response));
		if (info.len && conn_fits(c, connack_size(c, &ack) + 5 + info.len))
			mqtt_props_set_str(&ack.props, MQTT_P_RESPONSE_INFO, info);
	}
	send_connack(c, &ack, promise);
}

/* May its session begin, or go on? Success, or a reason to refuse it. */
static uint8_t session_refusal(const struct conn *c, const struct mqtt_connect *p, struct span client_id)
{
	struct worker *w = c->worker;
	const struct broker *b = w->broker;
	const struct session *s = session_find(w, client_id);

	if (!s && !c->own &&
	    (worker_memory(w) != BUDGET_OK || atomic_load(&b->sessions) >= b->config.max_sessions))
		return MQTT_RC_QUOTA_EXCEEDED;
	if (!worker_has_store(w) || (expiry_of(p) == 0 && !(s && s->stored)))
		return MQTT_RC_SUCCESS;
	switch (store_health(w->disk)) {
	case STORE_FULL: /* who takes what waits makes room; there is a reserve for the little that is written for it */
		return s && s->stored ? MQTT_RC_SUCCESS : MQTT_RC_QUOTA_EXCEEDED;
	case STORE_FAILING:
		return MQTT_RC_SERVER_UNAVAILABLE;
	default:
		return MQTT_RC_SUCCESS;
	}
}

/*
 * The session for this CONNECT, away still, with its wishes written and its will in *will. NULL: *reason says why not; what was
 * there before is as it was, but for an end that a clean start asked for.
 */
static struct session *session_prepare(struct conn *c, const struct mqtt_connect *p, struct span client_id,
				       bool will_is_command, bool *present, struct will **will,
				       uint8_t *reason)
{
	struct worker *w = c->worker;
	struct session *s;

	*reason = session_refusal(c, p, client_id);
	if (*reason >= 0x80)
		return NULL;
	*reason = MQTT_RC_SERVER_BUSY;
	s = session_for(w, client_id, p->clean_start, present);
	if (!s)
		return NULL;
	if (will_make(s, p, will_is_command, will) == OK) {
		if (session_put_connected(s, expiry_of(p), *will) == OK)
			return s;
		if (*will)
			msg_unref((*will)->msg);
		free(*will);
	}
	if (!*present)
		session_end(s);
	return NULL;
}

/* The session is ours and so is the client. */
static void start(struct conn *c, const struct mqtt_connect *p, struct span client_id, bool will_is_command)
{
	struct worker *w = c->worker;
	const struct session *before = session_find(w, client_id);
	bool present, was_stored = before && before->stored;
	struct will *will = NULL;
	struct promise promise = {0};
	uint8_t reason;
	struct session *s = session_prepare(c, p, client_id, will_is_command, &present, &will, &reason);

	if (!s) {
		if (!session_find(w, client_id))
			registry_release(w->broker->registry, client_id, w->index);
		refuse(c, client_id, reason);
		return;
	}
	if (was_stored || s->stored) /* resumed, new, or discarded */
		promise = promise_now(w);
	s->expiry_s = expiry_of(p);
	session_attach(s, c);
	if (will)
		session_take_will(s, will);
	c->state = CONN_OPENING;
	c->is_resumed = present;
	take_limits(c, p);
	/* before anything else that goes to the client: [MQTT-3.2.0-1] */
	accept_with(c, p, present, client_id, &promise);
}

void conn_opened(struct conn *c)
{
	struct worker *w = c->worker;

	c->state = CONN_OPEN;
	conn_keep_alive(c);
	log_info("mqtt", "client %s %s: connected, MQTT %s%s",
		 log_quote((char[64]){0}, 64, session_id(c->session)),
		 conn_peer(c, (char[STREAM_PEER_MAX]){0}),
		 c->version == MQTT_V5     ? "5.0"
		 : c->version == MQTT_V311 ? "3.1.1"
					   : "3.1",
		 c->is_resumed ? ", session resumed" : "");
	worker_count(w, clients_connected, 1);
	if (session_resume(c->session) < 0)
		conn_close(c, MQTT_RC_SERVER_BUSY, "out of memory");
}

/* May it come in? A reason to refuse it, else success and whether its will is a command. */
static uint8_t judge(struct conn *c, const struct mqtt_connect *p, bool *will_is_command)
{
	const struct redirect *elsewhere = c->worker->redirect;

	if (elsewhere && !c->own)
		return elsewhere->reason;
	if (!client_id_ok(c, p))
		return MQTT_RC_CLIENT_ID_NOT_VALID;
	/* no enhanced authentication here [MQTT-4.12.0-1] */
	if (p->version == MQTT_V5 && mqtt_props_has(&p->props, MQTT_P_AUTH_METHOD))
		return MQTT_RC_BAD_AUTHENTICATION_METHOD;
	return will_permitted(c, p, will_is_command);
}

int conn_connect(struct conn *c, const struct mqtt_frame *f, struct span rest, enum connect_outcome *outcome)
{
	struct worker *w = c->worker;
	struct mqtt_connect p;
	struct span client_id;
	char assigned[48];
	uint16_t home = w->index;
	uint8_t reason;
	bool will_is_command;
	int rc = mqtt_connect_decode(f, &p);

	*outcome = CONNECT_DONE;
	if (rc < 0)
		return refuse_undecoded(c, &p, rc);
	take_wishes(c, &p);
	reason = judge(c, &p, &will_is_command);
	client_id = p.client_id.len ? p.client_id : assign_id(w, assigned, sizeof(assigned));
	if (reason < 0x80 && c->version == MQTT_V5 && !connack_fits(c, &p, client_id))
		reason = MQTT_RC_PACKET_TOO_LARGE;
	if (reason >= 0x80) {
		refuse(c, p.client_id, reason);
		return OK;
	}
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
