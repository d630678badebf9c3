/* The states of the client: see the picture in client_impl.h. One function per state and kind of event. */
#include <assert.h>
#include <stdlib.h>

#include "mqtt/client_impl.h"

/* ---- back-off ---- */

/* splitmix64: any seed will do, also 0. */
static uint64_t random_next(struct mqtt_client *c)
{
	uint64_t z = c->random += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
	return z ^ z >> 31;
}

/*
 * A connection that lived longer than the last wait was sound: begin anew. One that did not goes on doubling,
 * so that a server which accepts and throws out is not hammered.
 */
static uint32_t backoff_next(struct mqtt_client *c, bool was_up)
{
	if (was_up && loop_now_ms(c->loop) - c->up_ms > c->backoff_ms)
		c->backoff_ms = 0;
	if (c->backoff_ms == 0)
		c->backoff_ms = c->opt.reconnect_min_ms;
	else if (c->backoff_ms < c->opt.reconnect_max_ms / 2)
		c->backoff_ms *= 2;
	else
		c->backoff_ms = c->opt.reconnect_max_ms;
	uint32_t half = c->backoff_ms / 2;

	return half + (uint32_t)(random_next(c) % (c->backoff_ms - half + 1));
}

/* ---- the end of a connection ---- */

int client_violation(struct mqtt_client *c, uint8_t reason)
{
	c->cause = (struct client_cause){.has_reason = true, .reason = reason};
	return ERR_PROTOCOL;
}

static bool is_their_fault(int err)
{
	return err == ERR_MALFORMED || err == ERR_PROTOCOL || err == ERR_TOO_LARGE || err == ERR_UNSUPPORTED;
}

/* [MQTT-4.13.1-1]: tell a v5 server what was wrong; one attempt, nobody waits for it. */
static void send_last_words(struct mqtt_client *c, uint8_t reason)
{
	size_t put;

	if (client_out_disconnect(c, reason) < 0)
		return;
	struct iovec iov = {.iov_base = c->out.buf + c->out.start, .iov_len = client_out_len(c)};

	if (stream_write(c->stream, &iov, 1, &put) < 0)
		return;
}

static void drop_stream(struct mqtt_client *c)
{
	stream_close(c->stream);
	c->stream = NULL;
	loop_timer_cancel(c->loop, &c->timer);
	loop_timer_cancel(c->loop, &c->alive);
	loop_timer_cancel(c->loop, &c->again);
	client_out_reset(c);
	client_owed_clear(c);
}

/* Close and stay IDLE. The state is final before anybody is told, for they may call us. */
void client_stop(struct mqtt_client *c, bool tell)
{
	struct mqtt_client_disconnected e = {
		.retry_ms = -1, .was_connected = c->state == CLIENT_UP || c->state == CLIENT_LEAVING};

	c->has_doubt |= c->state == CLIENT_HANDSHAKE;
	c->state = CLIENT_IDLE;
	c->finish = false;
	drop_stream(c);
	client_pub_lost(c);
	if (tell && c->on.disconnected && !c->is_dead)
		c->on.disconnected(c->arg, &e);
	client_in_reset(c);
}

static bool dials_again(const struct mqtt_client *c)
{
	return c->opt.reconnect && !(c->finish && c->npending == 0);
}

static void wait_or_stay(struct mqtt_client *c, bool was_up, struct mqtt_client_disconnected *e)
{
	c->state = CLIENT_IDLE;
	if (!dials_again(c)) {
		c->finish = false;
		return;
	}
	c->state = CLIENT_WAITING;
	e->retry_ms = backoff_next(c, was_up);
	loop_timer_set(c->loop, &c->timer, (uint64_t)e->retry_ms);
}

void client_lost(struct mqtt_client *c, int err)
{
	bool was_up = c->state == CLIENT_UP;
	const struct client_cause cause = c->cause;
	struct mqtt_client_disconnected e = {.err = err,
					     .is_refused = cause.is_refused,
					     .reason = cause.reason,
					     .props = cause.has_props ? &cause.props : NULL,
					     .was_connected = was_up,
					     .retry_ms = -1};

	c->cause = (struct client_cause){0};
	c->has_doubt |= c->state == CLIENT_HANDSHAKE && !cause.is_refused;
	if (c->state == CLIENT_LEAVING) {
		client_stop(c, true);
		return;
	}
	if (is_their_fault(err) && !cause.has_reason)
		e.reason = mqtt_reason_of(err);
	if (is_their_fault(err) && was_up && client_is_v5(c) && c->stream)
		send_last_words(c, e.reason);
	if (was_up)
		c->counters.lost++;
	drop_stream(c);
	wait_or_stay(c, was_up, &e);
	client_pub_lost(c);
	if (c->state != CLIENT_WAITING)
		e.retry_ms = -1;
	if (c->on.disconnected && !c->is_dead)
		c->on.disconnected(c->arg, &e);
	client_in_reset(c); /* after the event: e.props point into it */
}

/* UP -> LEAVING: DISCONNECT goes out, then the server closes; so nothing of ours is cut off by a reset. */
void client_leave_server(struct mqtt_client *c)
{
	uint8_t *at;

	c->state = CLIENT_LEAVING;
	loop_timer_cancel(c->loop, &c->alive);
	loop_timer_set(c->loop, &c->timer, CLIENT_LEAVE_MS);
	if (client_out_reserve(c, c->bye_len, &at) < 0) {
		client_stop(c, true);
		return;
	}
	memcpy(at, c->bye, c->bye_len);
	client_out_commit(c, c->bye_len);
	/* From the turn-end hook the flush is over already. */
	loop_timer_set(c->loop, &c->again, 0);
}

/* ---- connecting ---- */

static bool wants_clean(const struct mqtt_client *c)
{
	if (client_is_v5(c) && c->has_session && c->session_expiry > 0)
		return false;
	return c->opt.connect.clean_start;
}

static void stream_ready(struct stream *s, unsigned events);

void client_dial(struct mqtt_client *c)
{
	int rc;

	client_in_reset(c);
	client_out_reset(c);
	c->cause = (struct client_cause){0};
	c->state = CLIENT_DIALING;
	loop_timer_set(c->loop, &c->timer, c->opt.connect_timeout_ms);
	if ((rc = c->dialer->dial(c->dialer, c->loop, &c->stream)) < 0) {
		c->stream = NULL;
		client_lost(c, rc);
		return;
	}
	c->stream->ready = stream_ready;
	c->stream->owner = c;
}

static void send_connect(struct mqtt_client *c)
{
	struct mqtt_connect p = c->opt.connect;
	int rc;

	c->sent_clean = p.clean_start = wants_clean(c);
	c->state = CLIENT_HANDSHAKE;
	if ((rc = client_out_connect(c, &p)) < 0)
		client_lost(c, rc);
}

static void server_of_connack(struct mqtt_client *c, const struct mqtt_props *p)
{
	uint32_t window = mqtt_props_num(p, MQTT_P_RECEIVE_MAXIMUM, MQTT_PACKET_IDS);

	c->server = (struct client_server){
		.packet_max = mqtt_props_num(p, MQTT_P_MAXIMUM_PACKET_SIZE, UINT32_MAX),
		.window = (uint16_t)(window < c->opt.inflight ? window : c->opt.inflight),
		.alias_max = (uint16_t)mqtt_props_num(p, MQTT_P_TOPIC_ALIAS_MAXIMUM, 0),
		.keep_alive_s =
			(uint16_t)mqtt_props_num(p, MQTT_P_SERVER_KEEP_ALIVE, c->opt.connect.keep_alive_s),
		.qos_max = (uint8_t)mqtt_props_num(p, MQTT_P_MAXIMUM_QOS, 2),
		.has_retain = mqtt_props_num(p, MQTT_P_RETAIN_AVAILABLE, 1),
		.has_wildcards = mqtt_props_num(p, MQTT_P_WILDCARD_AVAILABLE, 1),
		.has_shared = mqtt_props_num(p, MQTT_P_SHARED_AVAILABLE, 1),
		.has_sub_ids = mqtt_props_num(p, MQTT_P_SUBSCRIPTION_ID_AVAILABLE, 1),
	};
	c->session_expiry = mqtt_props_num(p, MQTT_P_SESSION_EXPIRY,
					   mqtt_props_num(&c->opt.connect.props, MQTT_P_SESSION_EXPIRY, 0));
}

/* An id that the server chose is ours from now on: it names the session that we want to resume. */
static int take_assigned_id(struct mqtt_client *c, const struct mqtt_props *p)
{
	if (!mqtt_props_has(p, MQTT_P_ASSIGNED_CLIENT_ID))
		return OK;
	struct span given = p->str[MQTT_P_ASSIGNED_CLIENT_ID];

	if (c->opt.connect.client_id.len > 0 || given.len == 0)
		return client_violation(c, MQTT_RC_PROTOCOL_ERROR);
	if (!(c->assigned_id = malloc(given.len)))
		return ERR_NOMEM;
	memcpy(c->assigned_id, given.p, given.len);
	c->opt.connect.client_id = span_of(c->assigned_id, given.len);
	return OK;
}

static void alive_start(struct mqtt_client *c)
{
	c->has_ping = false;
	c->last_in_ms = c->last_out_ms = c->up_ms = loop_now_ms(c->loop);
	if (c->server.keep_alive_s)
		loop_timer_set(c->loop, &c->alive, c->server.keep_alive_s * UINT64_C(1000));
}

static int session_start(struct mqtt_client *c, bool session_present)
{
	int rc;

	c->trusts_dup = session_present && (c->trusts_dup || c->has_doubt);
	c->must_resubscribe |= c->has_doubt;
	c->has_doubt = false;
	client_in_connected(c, session_present);
	if ((rc = client_pub_connected(c, session_present)) < 0)
		return rc;
	if (!c->stream)
		return OK; /* stopped from inside an event */
	return client_sub_connected(c, session_present);
}

int client_on_connack(struct mqtt_client *c, const struct mqtt_frame *f)
{
	struct mqtt_connack a;
	int rc;

	if ((rc = mqtt_connack_decode(f, c->opt.connect.version, &a)) < 0)
		return rc;
	if (a.reason != 0) {
		c->cause = (struct client_cause){.is_refused = true,
						 .has_reason = true,
						 .has_props = client_is_v5(c),
						 .reason = a.reason,
						 .props = a.props};
		return ERR_REMOTE;
	}
	/* 3.1 has no flag for it: what was not asked to be clean is taken as kept. */
	if (c->opt.connect.version == MQTT_V31)
		a.session_present = !c->sent_clean;
	if (a.session_present && c->sent_clean)
		return client_violation(c, MQTT_RC_PROTOCOL_ERROR); /* [MQTT-3.2.2-2] */
	if ((rc = take_assigned_id(c, &a.props)) < 0)
		return rc;
	server_of_connack(c, &a.props);
	if ((rc = session_start(c, a.session_present)) < 0)
		return rc;
	c->has_session = true;
	if (!c->stream)
		return OK;
	c->state = CLIENT_UP;
	c->counters.connects++;
	loop_timer_cancel(c->loop, &c->timer);
	alive_start(c);
	struct mqtt_client_connected e = {.session_present = a.session_present,
					  .reason = a.reason,
					  .props = &a.props,
					  .client_id = c->opt.connect.client_id,
					  .keep_alive_s = c->server.keep_alive_s};

	if (c->on.connected)
		c->on.connected(c->arg, &e);
	return OK;
}

/* Only a v5 server may send one. */
int client_on_disconnect(struct mqtt_client *c, const struct mqtt_frame *f)
{
	struct mqtt_disconnect d;
	int rc;

	if (!client_is_v5(c))
		return client_violation(c, MQTT_RC_PROTOCOL_ERROR);
	if ((rc = mqtt_disconnect_decode(f, MQTT_V5, &d)) < 0)
		return rc;
	c->cause = (struct client_cause){
		.has_reason = true, .has_props = true, .reason = d.reason, .props = d.props};
	return ERR_REMOTE;
}

/* ---- keep-alive ---- */

void client_on_pingresp(struct mqtt_client *c)
{
	c->has_ping = false;
}

/*
 * PINGREQ when either direction was silent for the keep-alive: one that only sends would else not notice that
 * nobody listens. While bytes arrive, the answer to PINGREQ may still stand behind them.
 */
static int alive_check(struct mqtt_client *c)
{
	uint64_t now = loop_now_ms(c->loop), due;
	int rc;

	if (c->has_ping) {
		uint64_t sign = c->last_in_ms > c->ping_ms ? c->last_in_ms : c->ping_ms;

		due = sign + c->opt.ping_timeout_ms;
		if (now >= due)
			return ERR_TIMEOUT;
	} else {
		due = (c->last_in_ms < c->last_out_ms ? c->last_in_ms : c->last_out_ms) +
		      c->server.keep_alive_s * UINT64_C(1000);
		if (now >= due) {
			if ((rc = client_out_ping(c)) < 0)
				return rc;
			c->has_ping = true;
			c->ping_ms = now;
			due = now + c->opt.ping_timeout_ms;
		}
	}
	loop_timer_set(c->loop, &c->alive, due - now);
	return OK;
}

static void alive_fire(struct loop_timer *t)
{
	struct mqtt_client *c = container_of(t, struct mqtt_client, alive);
	int rc;

	client_enter(c);
	if (c->state == CLIENT_UP && (rc = alive_check(c)) < 0)
		client_lost(c, rc);
	client_leave(c);
}

/* ---- events of the stream, by state ---- */

static void dialing_ready(struct mqtt_client *c, unsigned events)
{
	if (events & LOOP_WRITABLE)
		send_connect(c);
	if (c->stream && (events & LOOP_HANGUP)) {
		client_read(c); /* says why */
		if (c->stream && c->state == CLIENT_DIALING)
			client_lost(c, ERR_IO);
	}
}

static void open_ready(struct mqtt_client *c, unsigned events)
{
	if (events & LOOP_WRITABLE)
		c->out.is_blocked = false;
	if (events & (LOOP_READABLE | LOOP_HANGUP))
		client_read(c);
}

static void stream_ready(struct stream *s, unsigned events)
{
	struct mqtt_client *c = s->owner;

	client_enter(c);
	switch (c->state) {
	case CLIENT_DIALING:
		dialing_ready(c, events);
		break;
	case CLIENT_HANDSHAKE:
	case CLIENT_UP:
	case CLIENT_LEAVING:
		open_ready(c, events);
		break;
	case CLIENT_IDLE:
	case CLIENT_WAITING:
	case CLIENT_STATES:
		assert(c->state == CLIENT_UP); /* the others have no stream */
	}
	client_leave(c);
}

/* ---- timers and the hook ---- */

static void state_timeout(struct loop_timer *t)
{
	struct mqtt_client *c = container_of(t, struct mqtt_client, timer);

	client_enter(c);
	switch (c->state) {
	case CLIENT_WAITING:
		client_dial(c);
		break;
	case CLIENT_DIALING:
	case CLIENT_HANDSHAKE:
		client_lost(c, ERR_TIMEOUT);
		break;
	case CLIENT_LEAVING:
		client_stop(c, true);
		break;
	case CLIENT_IDLE:
	case CLIENT_UP:
	case CLIENT_STATES:
		break;
	}
	client_leave(c);
}

static void again_fire(struct loop_timer *t)
{
	struct mqtt_client *c = container_of(t, struct mqtt_client, again);

	client_enter(c);
	if (c->stream && c->in.has_more)
		client_read(c);
	client_leave(c); /* the hook at the end of this turn writes */
}

static void turn_end_run(struct loop_hook *h)
{
	struct mqtt_client *c = container_of(h, struct mqtt_client, turn_end);

	if (!c->stream || c->state == CLIENT_DIALING)
		return;
	client_enter(c);
	client_flush(c);
	client_leave(c);
}

void client_conn_init(struct mqtt_client *c)
{
	loop_timer_init(&c->timer, state_timeout);
	loop_timer_init(&c->alive, alive_fire);
	loop_timer_init(&c->again, again_fire);
	loop_hook_add(c->loop, LOOP_TURN_END, &c->turn_end, turn_end_run);
}

void client_conn_fini(struct mqtt_client *c)
{
	loop_timer_cancel(c->loop, &c->timer);
	loop_timer_cancel(c->loop, &c->alive);
	loop_timer_cancel(c->loop, &c->again);
	loop_hook_remove(&c->turn_end);
	client_out_reset(c);
	client_in_reset(c);
}
