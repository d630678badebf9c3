#include "mqtt/client_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_US UINT64_C(1000000000)

static void line_put(struct rig_lines *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void line_put(struct rig_lines *l, const char *fmt, ...)
{
	va_list args;

	assert_true(l->put - l->taken < RIG_LINES);
	va_start(args, fmt);
	vsnprintf(l->line[l->put++ % RIG_LINES], RIG_LINE, fmt, args);
	va_end(args);
}

/* ---- the server ---- */

static void describe_connect(char *buf, size_t size, const struct mqtt_frame *f)
{
	struct mqtt_connect c;

	assert_int_equal(mqtt_connect_decode(f, &c), OK);
	snprintf(buf, size, "CONNECT v%d clean%d id=%.*s ka%d%s", c.version, c.clean_start,
		 (int)c.client_id.len, (const char *)c.client_id.p, c.keep_alive_s,
		 c.has_will ? " will" : "");
}

static void describe_publish(char *buf, size_t size, enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_publish p;

	assert_int_equal(mqtt_publish_decode(f, v, &p), OK);
	snprintf(buf, size, "PUBLISH d%d q%d r%d m%d %.*s=%.*s", p.dup, p.qos, p.retain, p.packet_id,
		 (int)p.topic.len, (const char *)p.topic.p, p.payload.len < 40 ? (int)p.payload.len : 40,
		 (const char *)p.payload.p);
}

static void describe_subscribe(char *buf, size_t size, enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_subscribe s;
	struct mqtt_sub_item item;
	int n;

	assert_int_equal(mqtt_subscribe_decode(f, v, &s), OK);
	struct rd list = rd_of(s.filters.p, s.filters.len);

	n = snprintf(buf, size, "SUBSCRIBE m%d", s.packet_id);
	if (v == MQTT_V5 && mqtt_props_has(&s.props, MQTT_P_SUBSCRIPTION_ID))
		n += snprintf(buf + n, size - (size_t)n, " sid%u", s.props.num[MQTT_P_SUBSCRIPTION_ID]);
	while (mqtt_subscribe_next(&list, v, &item) && (size_t)n < size)
		n += snprintf(buf + n, size - (size_t)n, " %.*s:%d", (int)item.filter.len,
			      (const char *)item.filter.p, item.qos);
}

static void describe_unsubscribe(char *buf, size_t size, enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_unsubscribe u;
	struct span filter;
	int n;

	assert_int_equal(mqtt_unsubscribe_decode(f, v, &u), OK);
	struct rd list = rd_of(u.filters.p, u.filters.len);

	n = snprintf(buf, size, "UNSUBSCRIBE m%d", u.packet_id);
	while (mqtt_unsubscribe_next(&list, &filter) && (size_t)n < size)
		n += snprintf(buf + n, size - (size_t)n, " %.*s", (int)filter.len, (const char *)filter.p);
}

static void describe_ack(char *buf, size_t size, enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_ack a;

	assert_int_equal(mqtt_ack_decode(f, v, &a), OK);
	snprintf(buf, size, "%s m%d rc%d", mqtt_type_text(f->type), a.packet_id, a.reason);
}

void rig_describe(char *buf, size_t size, enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_disconnect d;

	switch (f->type) {
	case MQTT_CONNECT:
		describe_connect(buf, size, f);
		break;
	case MQTT_PUBLISH:
		describe_publish(buf, size, v, f);
		break;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		describe_ack(buf, size, v, f);
		break;
	case MQTT_SUBSCRIBE:
		describe_subscribe(buf, size, v, f);
		break;
	case MQTT_UNSUBSCRIBE:
		describe_unsubscribe(buf, size, v, f);
		break;
	case MQTT_PINGREQ:
		snprintf(buf, size, "PINGREQ");
		break;
	case MQTT_DISCONNECT:
		assert_int_equal(mqtt_disconnect_decode(f, v, &d), OK);
		snprintf(buf, size, "DISCONNECT rc%d", d.reason);
		break;
	default:
		fail_msg("a client sent packet type %d", f->type);
	}
}

static void server_parse(struct rig *r)
{
	size_t at = 0;
	struct mqtt_frame f;

	while (mqtt_frame_read(r->in + at, r->in_len - at, UINT32_MAX, &f) == OK) {
		char text[RIG_LINE];

		rig_describe(text, sizeof(text), r->opt.connect.version, &f);
		line_put(&r->packets, "%s", text);
		at += f.size;
	}
	memmove(r->in, r->in + at, r->in_len - at);
	r->in_len -= at;
}

static void server_drop(struct rig *r)
{
	stream_close(r->peer);
	r->peer = NULL;
	r->in_len = 0;
}

static void server_ready(struct stream *s, unsigned events)
{
	struct rig *r = s->owner;
	bool more = true;

	(void)events;
	while (more && !r->is_deaf) {
		size_t got;

		if (r->in_cap - r->in_len < 65536) {
			r->in_cap = r->in_cap * 2 + 65536;
			r->in = realloc(r->in, r->in_cap);
		}
		int rc = stream_read(s, r->in + r->in_len, r->in_cap - r->in_len, &got, &more);

		if (rc == ERR_AGAIN)
			return;
		if (rc < 0) {
			line_put(&r->packets, "end");
			server_drop(r);
			return;
		}
		r->writes++;
		r->in_len += got;
		server_parse(r);
	}
}

static void accepted(struct acceptor *a, struct stream *s)
{
	struct rig *r = container_of(a, struct rig, acceptor);

	if (r->peer)
		server_drop(r);
	r->accepted++;
	r->peer = s;
	s->ready = server_ready;
	s->owner = r;
	assert_int_equal(stream_attach(s, r->server_loop), OK);
}

void rig_send(struct rig *r, const void *bytes, size_t len)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
	size_t put;

	assert_non_null(r->peer);
	assert_int_equal(stream_write(r->peer, &iov, 1, &put), OK);
	assert_int_equal(put, len);
}

static void send_wr(struct rig *r, const uint8_t *buf, const struct wr *w, int rc)
{
	assert_int_equal(rc, OK);
	rig_send(r, buf, (size_t)(w->p - buf));
}

void rig_connack_props(struct rig *r, bool session_present, uint8_t reason, const struct mqtt_props *p)
{
	struct mqtt_connack a = {.session_present = session_present, .reason = reason};
	uint8_t buf[512];
	struct wr w = wr_of(buf, sizeof(buf));

	if (p)
		a.props = *p;
	send_wr(r, buf, &w, mqtt_connack_encode(&w, r->opt.connect.version, &a));
}

void rig_connack(struct rig *r, bool session_present, uint8_t reason)
{
	rig_connack_props(r, session_present, reason, NULL);
}

void rig_ack(struct rig *r, enum mqtt_type type, uint16_t id, uint8_t reason)
{
	struct mqtt_ack a = {.packet_id = id, .reason = reason};
	uint8_t buf[64];
	struct wr w = wr_of(buf, sizeof(buf));

	send_wr(r, buf, &w, mqtt_ack_encode(&w, r->opt.connect.version, type, &a));
}

void rig_publish_props(struct rig *r, uint8_t qos, uint16_t id, bool dup, const char *topic,
		       const char *payload, const struct mqtt_props *p)
{
	struct mqtt_publish m = {.dup = dup,
				 .qos = qos,
				 .packet_id = id,
				 .topic = span_str(topic),
				 .payload = span_str(payload)};
	uint8_t buf[1024];
	struct wr w = wr_of(buf, sizeof(buf));

	if (p)
		m.props = *p;
	send_wr(r, buf, &w, mqtt_publish_encode(&w, r->opt.connect.version, &m));
}

void rig_publish(struct rig *r, uint8_t qos, uint16_t id, bool dup, const char *topic, const char *payload)
{
	rig_publish_props(r, qos, id, dup, topic, payload, NULL);
}

void rig_suback(struct rig *r, enum mqtt_type type, uint16_t id, const char *codes, size_t n)
{
	struct mqtt_suback a = {.packet_id = id, .codes = span_of(codes, n)};
	uint8_t buf[64];
	struct wr w = wr_of(buf, sizeof(buf));

	send_wr(r, buf, &w, mqtt_suback_encode(&w, r->opt.connect.version, type, &a));
}

void rig_disconnect(struct rig *r, uint8_t reason)
{
	struct mqtt_disconnect d = {.reason = reason};
	uint8_t buf[64];
	struct wr w = wr_of(buf, sizeof(buf));

	send_wr(r, buf, &w, mqtt_disconnect_encode(&w, r->opt.connect.version, MQTT_DISCONNECT, &d));
}

void rig_cut(struct rig *r)
{
	assert_non_null(r->peer);
	sim_stream_cut(r->peer);
	server_drop(r);
}

void rig_close(struct rig *r)
{
	assert_non_null(r->peer);
	server_drop(r);
}

/* ---- events of the client ---- */

static void event_put(struct rig *r, const char *text)
{
	line_put(&r->events, "%s", text);
	if (r->on_event)
		r->on_event(r, text);
}

static void on_connected(void *arg, const struct mqtt_client_connected *e)
{
	char text[RIG_LINE];

	snprintf(text, sizeof(text), "connected present%d id=%.*s ka%d", e->session_present,
		 (int)e->client_id.len, (const char *)e->client_id.p, e->keep_alive_s);
	event_put(arg, text);
}

static void on_disconnected(void *arg, const struct mqtt_client_disconnected *e)
{
	struct rig *r = arg;
	char text[RIG_LINE];

	r->retry_ms = e->retry_ms;
	snprintf(text, sizeof(text), "disconnected %s rc%d%s%s", err_text(e->err), e->reason,
		 e->is_refused ? " refused" : "", e->retry_ms < 0 ? " final" : "");
	event_put(r, text);
}

static void on_message(void *arg, const struct mqtt_publish *m)
{
	char text[RIG_LINE];

	snprintf(text, sizeof(text), "message q%d %.*s=%.*s", m->qos, (int)m->topic.len,
		 (const char *)m->topic.p, (int)m->payload.len, (const char *)m->payload.p);
	event_put(arg, text);
}

static void on_published(void *arg, void *token, int err, uint8_t reason, const struct mqtt_props *props)
{
	char text[RIG_LINE];

	(void)props;
	snprintf(text, sizeof(text), "published %d %s rc%d", (int)(uintptr_t)token, err_text(err), reason);
	event_put(arg, text);
}

static void on_answered(void *arg, const struct mqtt_client_answer *e)
{
	char text[RIG_LINE];
	int n = snprintf(text, sizeof(text),
			 "%s %d %s rc%d%s:", e->type == MQTT_SUBSCRIBE ? "subscribed" : "unsubscribed",
			 (int)(uintptr_t)e->token, err_text(e->err), e->reason, e->is_again ? " again" : "");

	for (size_t i = 0; i < e->codes.len && (size_t)n < sizeof(text); i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " %d", e->codes.p[i]);
	event_put(arg, text);
}

/* ---- expectations ---- */

static bool has_line(void *arg)
{
	const struct rig_lines *l = arg;

	return l->taken < l->put;
}

static void expect(struct rig *r, struct rig_lines *l, const char *what, const char *expected)
{
	if (sim_run(r->world, PATIENCE_US, has_line, l) != OK)
		fail_msg("no %s, but expected: %s", what, expected);
	assert_string_equal(l->line[l->taken++ % RIG_LINES], expected);
}

void rig_packet(struct rig *r, const char *expected)
{
	expect(r, &r->packets, "packet", expected);
}

void rig_event(struct rig *r, const char *expected)
{
	expect(r, &r->events, "event", expected);
}

void rig_run(struct rig *r, uint64_t ms)
{
	int rc = sim_run(r->world, ms * 1000, NULL, NULL);

	assert_true(rc == ERR_TIMEOUT || rc == ERR_NOT_FOUND);
}

void rig_quiet(struct rig *r, uint64_t ms)
{
	rig_run(r, ms);
	if (has_line(&r->packets))
		fail_msg("unexpected packet: %s", r->packets.line[r->packets.taken % RIG_LINES]);
	if (has_line(&r->events))
		fail_msg("unexpected event: %s", r->events.line[r->events.taken % RIG_LINES]);
}

static bool is_reconnected(void *arg)
{
	return ((const struct rig *)arg)->peer != NULL;
}

void rig_reconnected(struct rig *r)
{
	assert_int_equal(sim_run(r->world, PATIENCE_US, is_reconnected, r), OK);
}

/* ---- life ---- */

void rig_init(struct rig *r, uint64_t seed, enum mqtt_version v)
{
	const struct sim_net_faults none = {.buffer = 1u << 20};

	*r = (struct rig){.acceptor = {.accepted = accepted}};
	assert_int_equal(sim_world_create(seed, &r->world), OK);
	assert_int_equal(sim_net_create(r->world, &r->net), OK);
	sim_net_set_faults(r->net, &none);
	assert_int_equal(sim_loop_create(r->world, &r->loop), OK);
	assert_int_equal(sim_loop_create(r->world, &r->server_loop), OK);
	assert_int_equal(sim_net_listen(r->net, r->server_loop, "server", &r->acceptor, &r->listener), OK);
	assert_int_equal(sim_net_dialer(r->net, "server", &r->dialer), OK);
	mqtt_client_options_init(&r->opt);
	r->opt.connect.version = v;
	r->opt.connect.client_id = span_str("c");
	r->opt.seed = seed;
}

void rig_create(struct rig *r)
{
	static const struct mqtt_client_events events = {
		.connected = on_connected,
		.disconnected = on_disconnected,
		.message = on_message,
		.published = on_published,
		.answered = on_answered,
	};

	assert_int_equal(mqtt_client_create(r->loop, r->dialer, &r->opt, &events, r, &r->client), OK);
}

void rig_start(struct rig *r)
{
	char expected[RIG_LINE];
	const struct mqtt_connect *c = &r->opt.connect;

	rig_create(r);
	assert_int_equal(mqtt_client_start(r->client), OK);
	snprintf(expected, sizeof(expected), "CONNECT v%d clean%d id=%.*s ka%d", c->version, c->clean_start,
		 (int)c->client_id.len, (const char *)c->client_id.p, c->keep_alive_s);
	rig_packet(r, expected);
}

void rig_up(struct rig *r)
{
	char expected[RIG_LINE];
	const struct mqtt_connect *c = &r->opt.connect;

	rig_start(r);
	rig_connack(r, false, 0);
	/* 3.1 cannot say whether there was a session. */
	snprintf(expected, sizeof(expected), "connected present%d id=%.*s ka%d",
		 c->version == MQTT_V31 && !c->clean_start, (int)c->client_id.len,
		 (const char *)c->client_id.p, c->keep_alive_s);
	rig_event(r, expected);
}

void rig_fini(struct rig *r)
{
	r->on_event = NULL;
	mqtt_client_destroy(r->client);
	if (r->peer)
		server_drop(r);
	sim_net_unlisten(r->listener);
	r->dialer->destroy(r->dialer);
	loop_destroy(r->loop);
	loop_destroy(r->server_loop);
	sim_net_destroy(r->net);
	sim_world_destroy(r->world);
	free(r->in);
}

/* ---- what the client is asked ---- */

void rig_pub(struct rig *r, uint8_t qos, const char *topic, const char *payload, uintptr_t token)
{
	struct mqtt_publish m = {.qos = qos, .topic = span_str(topic), .payload = span_str(payload)};

	assert_int_equal(mqtt_client_publish(r->client, &m, (void *)token), OK);
}

void rig_sub(struct rig *r, const char *filter, uint8_t qos, uintptr_t token)
{
	struct mqtt_sub_item item = {.filter = span_str(filter), .qos = qos};

	assert_int_equal(mqtt_client_subscribe(r->client, &item, 1, NULL, (void *)token), OK);
}

void rig_unsub(struct rig *r, const char *filter, uintptr_t token)
{
	struct span f = span_str(filter);

	assert_int_equal(mqtt_client_unsubscribe(r->client, &f, 1, NULL, (void *)token), OK);
}
