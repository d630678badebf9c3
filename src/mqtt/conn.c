#include "mqtt/conn.h"

#include <stdlib.h>

#include "base/log.h"
#include "mqtt/answer.h"
#include "mqtt/refusal.h"
#include "mqtt/route.h"
#include "mqtt/session.h"

/* A packet before CONNECT: all its strings at their longest and a will of 64 KiB would be more, but nobody sends that. */
#define CONNECT_MAX (256u * 1024)
/* Answers that a client does not fetch may pile up to this beyond the messages for it and the last of these. */
#define UNREAD_ANSWERS_MAX (4u * 1024 * 1024)
/* What is left of a packet is copied in front of the worker's buffer up to this size; a larger one is read where it is. */
#define REST_COPIED_MAX (INPUT_BYTES / 2)
#define STREAM_BYTES    256 /* of a stream and its timer, about */

static void conn_ready(struct stream *s, unsigned events);

/* ---- life ---- */

const char *conn_peer(const struct conn *c, char buf[STREAM_PEER_MAX])
{
	stream_peer(c->stream, buf, STREAM_PEER_MAX);
	return buf;
}

static void log_closed(struct conn *c, const char *why)
{
	char id[64];

	log_notice("mqtt", "client %s %s: closed: %s",
		   log_quote(id, sizeof(id), c->session ? session_id(c->session) : span_of(NULL, 0)),
		   conn_peer(c, (char[STREAM_PEER_MAX]){0}), why);
}

static void timer_fired(struct loop_timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);
	uint64_t now = loop_now_ms(c->worker->loop), limit = (uint64_t)c->keep_alive_s * 1500;

	if (c->state != CONN_OPEN) {
		conn_close(c, MQTT_RC_SUCCESS,
			   c->state == CONN_NEW ? "no CONNECT in time"
						: "its session was not stored in time");
		return;
	}
	if (c->waits_for_store) {
		refusal_give_up(c);
		return;
	}
	/* it does not run while we are the ones who do not read, or have not come to it yet */
	if ((worker_is_backlogged(c->worker) && c->publishes) || !list_empty(&c->unread))
		c->last_read_ms = now;
	if (now < c->last_read_ms + limit) {
		loop_timer_set(c->worker->loop, &c->timer, c->last_read_ms + limit - now);
		return;
	}
	/* 3.1.1 [MQTT-3.1.2-24], 5.0 [MQTT-3.1.2-22] */
	conn_close(c, MQTT_RC_KEEP_ALIVE_TIMEOUT, "keep-alive ran out");
}

void conn_keep_alive(struct conn *c)
{
	struct loop *loop = c->worker->loop;

	c->last_read_ms = loop_now_ms(loop);
	loop_timer_cancel(loop, &c->timer);
	if (c->keep_alive_s) /* the client's own value [MQTT-3.2.2-22] */
		loop_timer_set(loop, &c->timer, (uint64_t)c->keep_alive_s * 1500);
}

/* The connection, its stream and what the loop has of it. */
static int64_t conn_bytes(const struct conn *c)
{
	return budget_block(sizeof(*c)) + STREAM_BYTES;
}

/* c->input is this from now on; what it was is freed, or this by realloc(). */
static void input_set(struct conn *c, uint8_t *input, uint32_t room)
{
	budget_count(&c->worker->budget, (int64_t)room - c->input_room);
	c->input = input;
	c->input_room = room;
}

static void conn_enlist(struct conn *c, struct worker *w)
{
	c->worker = w;
	budget_count(&w->budget, conn_bytes(c));
	list_append(&w->conns, &c->in_worker);
	c->last_read_ms = loop_now_ms(w->loop);
	loop_timer_set(w->loop, &c->timer, w->broker->config.connect_timeout_ms);
}

void conn_open(struct worker *w, struct stream *stream, bool own)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c) {
		stream_close(stream);
		connection_gone(w);
		return;
	}
	c->stream = stream;
	c->own = own;
	stream->owner = c;
	stream->ready = conn_ready;
	list_init(&c->in_worker);
	list_init(&c->dirty);
	list_init(&c->unread);
	loop_timer_init(&c->timer, timer_fired);
	worker_count(w, sockets_opened, 1);
	conn_enlist(c, w);
	if (stream_attach(stream, w->loop) < 0) {
		log_warning("mqtt", "%s: closed: the loop has no room for it",
			    conn_peer(c, (char[STREAM_PEER_MAX]){0}));
		conn_free(c);
	}
}

void conn_free(struct conn *c)
{
	struct worker *w = c->worker;

	if (c->session)
		c->session->conn = NULL;
	loop_timer_cancel(w->loop, &c->timer);
	list_remove(&c->in_worker);
	list_remove(&c->dirty);
	list_remove(&c->unread);
	output_clear(&c->output, w->out_pool);
	aliases_free(c, c->aliases_in);
	aliases_free(c, c->aliases_out);
	free(c->input);
	input_set(c, NULL, 0);
	answers_free(c->answers);
	budget_count(&w->budget, -conn_bytes(c));
	free(c->subscribing);
	stream_close(c->stream);
	free(c);
	connection_gone(w);
}

void conn_detach(struct conn *c)
{
	struct worker *w = c->worker;

	loop_timer_cancel(w->loop, &c->timer);
	list_remove(&c->in_worker);
	list_remove(&c->dirty);
	list_remove(&c->unread);
	free(c->input);
	input_set(c, NULL, 0);
	c->input_len = 0;
	budget_count(&w->budget, -conn_bytes(c));
	stream_detach(c->stream);
}

int conn_attach(struct conn *c, struct worker *w)
{
	conn_enlist(c, w);
	return stream_attach(c->stream, w->loop);
}

void conn_dirty(struct conn *c)
{
	if (list_empty(&c->dirty))
		list_append(&c->worker->dirty, &c->dirty);
}

void conn_drop(struct conn *c)
{
	if (c->state == CONN_CLOSING)
		return;
	c->state = CONN_CLOSING;
	conn_dirty(c);
}

static void send_disconnect(struct conn *c, uint8_t reason, const char *why)
{
	struct mqtt_disconnect d = {.reason = reason};
	uint8_t packet[REDIRECT_BYTES_MAX + 128], *at;
	struct wr w = wr_of(packet, sizeof(packet));
	size_t size = 3;

	mqtt_props_clear(&d.props);
	conn_refer(c, &d.props, reason, &size);
	conn_explain(c, &d.props, why, &size);
	if (mqtt_disconnect_encode(&w, c->version, MQTT_DISCONNECT, &d) < 0)
		return;
	at = output_take(&c->output, c->worker->out_pool, (uint32_t)(sizeof(packet) - w.left));
	if (!at)
		return;
	memcpy(at, packet, sizeof(packet) - w.left);
	worker_count(c->worker, control_sent, 1);
}

void conn_close(struct conn *c, uint8_t reason, const char *why)
{
	if (c->state == CONN_CLOSING)
		return;
	log_closed(c, why);
	/* [MQTT-3.14.0-1]: not before CONNACK */
	if (c->state == CONN_OPEN && c->version == MQTT_V5 && reason >= 0x80)
		send_disconnect(c, reason, why);
	conn_drop(c);
}

uint8_t *conn_take(struct conn *c, uint32_t n)
{
	uint8_t *at;

	if (c->state == CONN_CLOSING) /* nothing behind DISCONNECT [MQTT-3.14.4-1] */
		return NULL;
	at = output_take(&c->output, c->worker->out_pool, n);
	if (!at) {
		log_closed(c, "out of memory");
		conn_drop(c);
		return NULL;
	}
	conn_dirty(c);
	return at;
}

uint8_t *conn_take_control(struct conn *c, uint32_t n)
{
	uint8_t *at = conn_take(c, n);

	if (at)
		worker_count(c->worker, control_sent, 1);
	return at;
}

/* ---- bytes in ---- */

static const char *error_words(int err, uint8_t *reason)
{
	if (err == CONN_ERR_QUIET) {
		*reason = MQTT_RC_SUCCESS;
		return err_text(ERR_MALFORMED);
	}
	if (err <= CONN_ERR_REASON(0)) {
		*reason = (uint8_t)(CONN_ERR_REASON(0) - err);
		return mqtt_reason_text(*reason);
	}
	*reason = err == ERR_NOMEM ? MQTT_RC_SERVER_BUSY : mqtt_reason_of(err);
	return err_text(err);
}

static void conn_fault(struct conn *c, int err)
{
	uint8_t reason;
	const char *why = error_words(err, &reason);

	worker_count(c->worker, protocol_errors, 1);
	conn_close(c, reason, why);
}

static uint32_t packet_limit(const struct conn *c)
{
	uint32_t limit = c->worker->broker->config.max_packet_size;

	return c->state == CONN_NEW && limit > CONNECT_MAX ? CONNECT_MAX : limit;
}

/*
 * Handle the packets in `in`; *used bytes are done with. false: the connection went to another worker.
 */
static bool packets_handle(struct conn *c, struct span in, size_t *used)
{
	size_t at = 0;

	c->unhandled = false;
	/* what is behind a refused CONNECT is not looked at: 3.1.1 [MQTT-3.1.4-5], 5.0 [MQTT-3.1.4-6] */
	while (at < in.len && c->state != CONN_CLOSING) {
		struct mqtt_frame f;
		enum connect_outcome outcome = CONNECT_DONE;
		int rc = mqtt_frame_read(in.p + at, in.len - at, packet_limit(c), &f);

		if (rc == ERR_AGAIN && (c->state == CONN_OPEN || f.type == MQTT_CONNECT))
			break;
		if (rc == ERR_MALFORMED) /* its length: this is not MQTT */
			rc = CONN_ERR_QUIET;
		if (c->state == CONN_NEW && f.type != MQTT_CONNECT)
			rc = ERR_PROTOCOL; /* [MQTT-3.1.0-1] */
		if (f.type == MQTT_PUBLISH)
			c->worker->may_delay = true;
		else
			route_settle(c->worker);
		if (rc == OK && c->state == CONN_NEW)
			rc = conn_connect(c, &f, span_of(in.p + at, in.len - at), &outcome);
		else if (rc == OK)
			rc = conn_packet(c, &f);
		if (outcome == CONNECT_MOVED)
			return false;
		if (rc == ERR_AGAIN || worker_is_busy(c->worker) || conn_is_held(c))
			c->unhandled = true;
		if (rc == ERR_AGAIN)
			break;
		if (rc < 0)
			conn_fault(c, rc);  /* 3.1.1 [MQTT-4.8.0-1], [MQTT-4.8.0-2]; 5.0 [MQTT-4.13.1-1] */
		if (f.type != MQTT_PUBLISH) /* those are counted where they are taken */
			worker_count(c->worker, control_received, 1);
		at += f.size;
		if (c->unhandled)
			break;
	}
	route_settle(c->worker);
	c->unhandled = c->unhandled && at < in.len;
	*used = at < in.len ? at : in.len;
	return true;
}

/* Keep what is left of `in`, which may be in c->input itself or in the worker's buffer. */
static int rest_keep(struct conn *c, const uint8_t *rest, size_t len)
{
	if (len == 0) {
		free(c->input);
		input_set(c, NULL, 0);
		c->input_len = 0;
		return OK;
	}
	if (c->input && rest >= c->input && rest < c->input + c->input_room) {
		if (rest != c->input)
			memmove(c->input, rest, len);
	} else {
		uint8_t *copy = malloc(len);

		if (!copy)
			return ERR_NOMEM;
		memcpy(copy, rest, len);
		free(c->input);
		input_set(c, copy, (uint32_t)len);
	}
	c->input_len = (uint32_t)len;
	return OK;
}

/* Where to read to: the worker's buffer behind a small rest, or the connection's own, which grows with what has come. */
static uint8_t *input_room(struct conn *c, size_t *have, size_t *room)
{
	struct worker *w = c->worker;

	*have = c->input_len;
	if (c->input_len <= REST_COPIED_MAX) {
		if (c->input_len)
			memcpy(w->input, c->input, c->input_len);
		*room = INPUT_BYTES;
		return w->input;
	}
	if (c->input_room - c->input_len < REST_COPIED_MAX / 2) {
		uint8_t *more = realloc(c->input, 2 * (size_t)c->input_room);

		if (!more)
			return NULL;
		input_set(c, more, 2 * c->input_room);
	}
	*room = c->input_room;
	return c->input;
}

/* The peer is gone, or its stream broke. */
static void conn_ended(struct conn *c, int err)
{
	if (c->state == CONN_CLOSING)
		return;
	log_info("mqtt", "client %s %s: gone: %s",
		 log_quote((char[64]){0}, 64, c->session ? session_id(c->session) : span_of(NULL, 0)),
		 conn_peer(c, (char[STREAM_PEER_MAX]){0}), err_text(err));
	conn_drop(c);
}

/* Handle the bytes in `in`, keep what is left. false: the connection is another worker's. */
static bool conn_handle(struct conn *c, struct span in)
{
	size_t used;

	if (!packets_handle(c, in, &used))
		return false;
	if (c->state != CONN_CLOSING && rest_keep(c, in.p + used, in.len - used) < 0)
		conn_fault(c, ERR_NOMEM);
	return true;
}

/* Read once and handle what came. *more: there may be more now. false: the connection is another worker's. */
static bool conn_read(struct conn *c, bool *more)
{
	size_t have, room, got;
	uint8_t *buf;
	int rc;

	if (c->unhandled) /* first what is in hand */
		return conn_handle(c, span_of(c->input, c->input_len));
	buf = input_room(c, &have, &room);
	rc = buf ? stream_read(c->stream, buf + have, room - have, &got, more) : ERR_NOMEM;

	if (rc < 0) {
		*more = false;
		if (rc != ERR_AGAIN)
			conn_ended(c, rc);
		return true;
	}
	worker_count(c->worker, bytes_received, got);
	c->last_read_ms = loop_now_ms(c->worker->loop);
	if (!conn_handle(c, span_of(buf, have + got)))
		return false;
	*more |= c->unhandled;
	return true;
}

static bool may_read(const struct conn *c)
{
	return c->state != CONN_CLOSING && !conn_is_held(c) && !refusal_holds(c) &&
	       !(c->publishes && worker_is_backlogged(c->worker));
}

static void conn_read_turn(struct conn *c)
{
	bool more = true;

	if (may_read(c) && !worker_is_busy(c->worker) && !conn_read(c, &more))
		return;
	if (more && c->state != CONN_CLOSING && list_empty(&c->unread))
		list_append(&c->worker->unread, &c->unread);
}

static void conn_ready(struct stream *s, unsigned events)
{
	struct conn *c = s->owner;

	if (events & LOOP_WRITABLE) {
		c->write_blocked = false;
		if (c->output.bytes || (c->session && session_waits(c->session)))
			conn_dirty(c);
	}
	if ((events & (LOOP_READABLE | LOOP_HANGUP)) && list_empty(&c->unread))
		conn_read_turn(c);
}

void conns_read_on(struct worker *w)
{
	struct list now;
	struct list *n;

	list_init(&now);
	list_splice(&now, &w->unread);
	while (!worker_is_busy(w) && (n = list_take_first(&now)))
		conn_read_turn(container_of(n, struct conn, unread));
	/* those whose turn did not come are first in the next */
	list_splice(&now, &w->unread);
	list_splice(&w->unread, &now);
	for (n = w->unread.next; n != &w->unread; n = n->next)
		if (may_read(container_of(n, struct conn, unread))) {
			loop_again(w->loop);
			return;
		}
}

void conn_arrive(struct worker *w, struct conn *c, struct span bytes)
{
	if (conn_attach(c, w) < 0 || atomic_load(&w->broker->stopping)) {
		conn_drop(c);
		return;
	}
	if (!conn_handle(c, bytes))
		return;
	conn_read_turn(c); /* what came while it moved is not announced again */
}

/* ---- bytes out ---- */

static void conn_bury(struct conn *c)
{
	struct session *s = c->session;

	c->session = NULL;
	if (s)
		session_detach(s, !c->orderly);
	stream_finish(c->stream);
	c->stream = NULL;
	conn_free(c);
}

/* Messages are added while there are less than max_queued_bytes; one may be as large as a packet gets. */
static uint64_t output_limit(const struct worker *w)
{
	const struct broker_config *config = &w->broker->config;

	return config->max_queued_bytes + config->max_packet_size + UNREAD_ANSWERS_MAX;
}

static void conn_flush(struct conn *c)
{
	struct worker *w = c->worker;
	uint64_t put = 0;
	int rc = c->write_blocked ? ERR_AGAIN : output_flush(&c->output, w->out_pool, c->stream, &put);

	worker_count(w, bytes_sent, put);
	c->write_blocked = rc == ERR_AGAIN;
	if (c->state == CONN_CLOSING) {
		conn_bury(c);
	} else if (rc < 0 && rc != ERR_AGAIN) {
		conn_ended(c, rc);
	} else if (c->output.bytes > output_limit(w)) {
		conn_close(c, MQTT_RC_QUOTA_EXCEEDED, "it does not read our answers");
	} else if (rc == OK && c->session && session_waits(c->session)) {
		session_pump(c->session);
		if (c->output.bytes)
			loop_again(w->loop);
	}
}

void conns_flush(struct worker *w)
{
	struct list now;
	struct list *n;

	list_init(&now);
	list_splice(&now, &w->dirty);
	while ((n = list_take_first(&now)))
		conn_flush(container_of(n, struct conn, dirty));
	if (!list_empty(&w->dirty))
		loop_again(w->loop);
}
