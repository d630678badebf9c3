/*
 * The client against a small broker on a simulated network that delays, cuts and splits: nothing acknowledged
 * is lost, QoS 2 comes once, order holds.  LINESIDE_SEED=n replays one seed. And with each single allocation
 * failing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc_fail.h"
#include "loop/loop_sim.h"
#include "mqtt/client.h"
#include "net/stream_sim.h"

#define SEEDS    1000
#define MESSAGES 60
#define PATIENCE UINT64_C(3600000000)

struct down { /* a message of the broker to the client */
	uint8_t qos;
	bool is_sent, is_released, is_done;
	uint16_t id;
};

struct broker {
	enum mqtt_version v;
	struct acceptor acceptor;
	struct stream *s;
	uint8_t in[8192], out[65536];
	size_t in_len, out_len;
	uint32_t forgets_one_in; /* sessions */
	bool has_session, is_subscribed, is_up;
	bool received[65536]; /* QoS 2 ids */
	unsigned up[MESSAGES];
	unsigned last_up; /* highest number seen first */
	struct down down[MESSAGES];
	unsigned ndown;
	uint16_t next_id;
	bool is_wrong;
};

struct scene {
	struct sim_world *world;
	struct loop *loop, *broker_loop;
	struct broker b;
	struct mqtt_client *c;
	struct loop_timer tick, broker_tick;
	unsigned messages, published, finished[MESSAGES], got[MESSAGES], last_got;
	bool subscribe_asked, is_wrong;
	uint8_t qos[MESSAGES];
};

static struct scene scene;

static unsigned number_of(struct span payload)
{
	unsigned n = 0;

	for (size_t i = 0; i < payload.len; i++)
		n = n * 10 + (unsigned)(payload.p[i] - '0');
	assert_true(n < MESSAGES);
	return n;
}

/* ---- the broker ---- */

static void b_flush(struct broker *b)
{
	struct iovec iov = {.iov_base = b->out, .iov_len = b->out_len};
	size_t put;

	if (!b->s || b->out_len == 0 || stream_write(b->s, &iov, 1, &put) < 0)
		return;
	memmove(b->out, b->out + put, b->out_len - put);
	b->out_len -= put;
}

static struct wr b_room(struct broker *b)
{
	return wr_of(b->out + b->out_len, sizeof(b->out) - b->out_len);
}

static void b_wrote(struct broker *b, const struct wr *w, int rc)
{
	b->is_wrong |= rc < 0;
	b->out_len = sizeof(b->out) - w->left;
}

static void b_ack(struct broker *b, enum mqtt_type type, uint16_t id)
{
	struct mqtt_ack a = {.packet_id = id};
	struct wr w = b_room(b);

	b_wrote(b, &w, mqtt_ack_encode(&w, b->v, type, &a));
}

static void b_publish(struct broker *b, unsigned n, bool dup)
{
	struct down *d = &b->down[n];
	char payload[16];
	struct mqtt_publish p = {.dup = dup, .qos = d->qos, .packet_id = d->id, .topic = span_str("down")};
	struct wr w = b_room(b);

	snprintf(payload, sizeof(payload), "%u", n);
	p.payload = span_str(payload);
	b_wrote(b, &w, mqtt_publish_encode(&w, b->v, &p));
	d->is_sent = true;
}

static void b_resend(struct broker *b)
{
	for (unsigned n = 0; n < b->ndown; n++) {
		if (b->down[n].is_released && !b->down[n].is_done)
			b_ack(b, MQTT_PUBREL, b->down[n].id);
		else if (!b->down[n].is_done)
			b_publish(b, n, b->down[n].is_sent);
	}
}

static void b_connect(struct broker *b, const struct mqtt_frame *f)
{
	struct mqtt_connack a = {0};
	struct mqtt_connect c;
	struct wr w = b_room(b);

	b->is_wrong |= mqtt_connect_decode(f, &c) < 0;
	if (c.clean_start || (b->forgets_one_in && sim_one_in(scene.world, b->forgets_one_in))) {
		b->has_session = b->is_subscribed = false;
		memset(b->received, 0, sizeof(b->received));
		for (unsigned n = 0; n < b->ndown; n++)
			b->down[n].is_done = true; /* gone with the session */
	}
	a.session_present = b->has_session;
	b->has_session = b->is_up = true;
	b_wrote(b, &w, mqtt_connack_encode(&w, b->v, &a));
	b_resend(b);
}

static void b_on_publish(struct broker *b, const struct mqtt_frame *f)
{
	struct mqtt_publish p;
	unsigned n;

	b->is_wrong |= mqtt_publish_decode(f, b->v, &p) < 0;
	n = number_of(p.payload);
	if (p.qos == 2 && b->received[p.packet_id]) {
		b_ack(b, MQTT_PUBREC, p.packet_id);
		return;
	}
	if (b->up[n]++ == 0) {
		b->is_wrong |= n + 1 < b->last_up;
		b->last_up = n + 1;
	}
	if (p.qos == 1)
		b_ack(b, MQTT_PUBACK, p.packet_id);
	if (p.qos == 2) {
		b->received[p.packet_id] = true;
		b_ack(b, MQTT_PUBREC, p.packet_id);
	}
}

static void b_on_ack(struct broker *b, const struct mqtt_frame *f)
{
	struct mqtt_ack a;

	b->is_wrong |= mqtt_ack_decode(f, b->v, &a) < 0;
	if (f->type == MQTT_PUBREL) {
		b->received[a.packet_id] = false;
		b_ack(b, MQTT_PUBCOMP, a.packet_id);
		return;
	}
	for (unsigned n = 0; n < b->ndown; n++) {
		struct down *d = &b->down[n];

		if (d->id != a.packet_id)
			continue;
		if (f->type == MQTT_PUBREC) {
			d->is_released = true;
			b_ack(b, MQTT_PUBREL, d->id);
		} else {
			d->is_done = true;
		}
	}
}

static void b_on_subscribe(struct broker *b, const struct mqtt_frame *f)
{
	struct mqtt_suback a = {.codes = span_str("\2")};
	struct mqtt_subscribe s;
	struct wr w = b_room(b);

	b->is_wrong |= mqtt_subscribe_decode(f, b->v, &s) < 0;
	b->is_subscribed = true;
	a.packet_id = s.packet_id;
	b_wrote(b, &w, mqtt_suback_encode(&w, b->v, MQTT_SUBACK, &a));
}

static void b_packet(struct broker *b, const struct mqtt_frame *f)
{
	struct wr w = b_room(b);

	switch (f->type) {
	case MQTT_CONNECT:
		b_connect(b, f);
		break;
	case MQTT_PUBLISH:
		b_on_publish(b, f);
		break;
	case MQTT_SUBSCRIBE:
		b_on_subscribe(b, f);
		break;
	case MQTT_PINGREQ:
		b_wrote(b, &w, mqtt_empty_encode(&w, MQTT_PINGRESP));
		break;
	case MQTT_DISCONNECT:
		stream_close(b->s);
		b->s = NULL;
		break;
	default:
		b_on_ack(b, f);
	}
}

static void b_drop(struct broker *b)
{
	stream_close(b->s);
	b->s = NULL;
	b->is_up = false;
	b->in_len = b->out_len = 0;
}

static void b_ready(struct stream *s, unsigned events)
{
	struct broker *b = s->owner;
	bool more = true;

	(void)events;
	while (b->s && more) {
		struct mqtt_frame f;
		size_t got, at = 0;
		int rc = stream_read(s, b->in + b->in_len, sizeof(b->in) - b->in_len, &got, &more);

		if (rc == ERR_AGAIN)
			break;
		if (rc < 0) {
			b_drop(b);
			return;
		}
		b->in_len += got;
		for (; b->s && mqtt_frame_read(b->in + at, b->in_len - at, 8192, &f) == OK; at += f.size)
			b_packet(b, &f);
		memmove(b->in, b->in + at, b->in_len - at);
		b->in_len -= at;
	}
	if (!b->s)
		b_drop(b);
	b_flush(b);
}

static void b_accepted(struct acceptor *a, struct stream *s)
{
	struct broker *b = container_of(a, struct broker, acceptor);

	if (b->s)
		b_drop(b);
	s->ready = b_ready;
	s->owner = b;
	if (stream_attach(s, scene.broker_loop) < 0) {
		stream_close(s);
		return;
	}
	b->s = s;
}

static void b_tick(struct loop_timer *t)
{
	struct broker *b = &scene.b;

	if (b->is_subscribed && b->ndown < scene.messages) {
		struct down *d = &b->down[b->ndown];

		d->qos = (uint8_t)(1 + sim_random(scene.world, 2));
		d->id = ++b->next_id;
		b->ndown++;
		if (b->s && b->is_up)
			b_publish(b, b->ndown - 1, false);
		b_flush(b);
	}
	loop_timer_set(scene.broker_loop, t, 1 + sim_random(scene.world, 200));
}

/* ---- the client's side ---- */

static void on_message(void *arg, const struct mqtt_publish *m)
{
	struct scene *s = arg;
	unsigned n = number_of(m->payload);

	if (s->got[n]++ == 0) {
		s->is_wrong |= n + 1 < s->last_got;
		s->last_got = n + 1;
	}
}

static void on_published(void *arg, void *token, int err, uint8_t reason, const struct mqtt_props *props)
{
	struct scene *s = arg;
	uintptr_t n = (uintptr_t)token;

	(void)reason;
	(void)props;
	s->finished[n]++;
	s->is_wrong |= err < 0 && s->qos[n] > 0;
}

static void c_tick(struct loop_timer *t)
{
	struct scene *s = &scene;
	struct mqtt_sub_item item = {.filter = span_str("down"), .qos = 2};
	char payload[16];
	struct mqtt_publish m = {.topic = span_str("up"), .qos = (uint8_t)sim_random(s->world, 3)};

	if (!s->subscribe_asked)
		s->subscribe_asked = mqtt_client_subscribe(s->c, &item, 1, NULL, NULL) == OK;
	snprintf(payload, sizeof(payload), "%u", s->published);
	m.payload = span_str(payload);
	if (s->published < s->messages) {
		s->qos[s->published] = m.qos;
		if (mqtt_client_publish(s->c, &m, (void *)(uintptr_t)s->published) == OK)
			s->published++;
	}
	loop_timer_set(s->loop, t, 1 + sim_random(s->world, 200));
}

static bool all_done(void *arg)
{
	const struct scene *s = arg;

	if (s->published < s->messages || s->b.ndown < s->messages)
		return false;
	for (unsigned n = 0; n < s->messages; n++)
		if (!s->finished[n] || !s->b.down[n].is_done)
			return false;
	return true;
}

static void check(const struct scene *s, uint64_t seed)
{
	bool forgets = s->b.forgets_one_in != 0;

	if (s->is_wrong || s->b.is_wrong)
		fail_msg("seed %llu: an error or a wrong order", (unsigned long long)seed);
	for (unsigned n = 0; n < s->messages; n++) {
		if (s->finished[n] != 1)
			fail_msg("seed %llu: publish %u finished %u times", (unsigned long long)seed, n,
				 s->finished[n]);
		if (s->qos[n] > 0 && s->b.up[n] == 0)
			fail_msg("seed %llu: publish %u is lost", (unsigned long long)seed, n);
		if (s->qos[n] == 2 && s->b.up[n] > 1 && !forgets)
			fail_msg("seed %llu: publish %u came %u times", (unsigned long long)seed, n,
				 s->b.up[n]);
		if (!forgets && s->got[n] == 0)
			fail_msg("seed %llu: message %u was not delivered", (unsigned long long)seed, n);
		if (s->b.down[n].qos == 2 && s->got[n] > 1)
			fail_msg("seed %llu: message %u was delivered %u times", (unsigned long long)seed, n,
				 s->got[n]);
	}
}

/*
 * One run. With fail_at, that allocation fails once everything around the client is there; returns whether
 * there was one.
 */
static bool play(uint64_t seed, const struct sim_net_faults *faults, unsigned messages, long fail_at)
{
	static const struct mqtt_client_events events = {.message = on_message, .published = on_published};
	struct mqtt_client_options o;
	struct scene *s = &scene;
	struct listener *listener;
	struct sim_net *net;
	struct dialer *dialer;
	bool hit = false;
	int rc;

	memset(s, 0, sizeof(*s));
	s->messages = messages;
	assert_int_equal(sim_world_create(seed, &s->world), OK);
	assert_int_equal(sim_net_create(s->world, &net), OK);
	sim_net_set_faults(net, faults);
	assert_int_equal(sim_loop_create(s->world, &s->loop), OK);
	assert_int_equal(sim_loop_create(s->world, &s->broker_loop), OK);
	s->b.acceptor.accepted = b_accepted;
	s->b.v = seed % 2 ? MQTT_V5 : MQTT_V311;
	s->b.forgets_one_in = seed % 4 < 2 ? 0 : 3;
	assert_int_equal(sim_net_listen(net, s->broker_loop, "b", &s->b.acceptor, &listener), OK);
	assert_int_equal(sim_net_dialer(net, "b", &dialer), OK);
	mqtt_client_options_init(&o);
	o.connect.version = s->b.v;
	o.connect.client_id = span_str("sim");
	o.connect.clean_start = false;
	if (s->b.v == MQTT_V5)
		mqtt_props_set_num(&o.connect.props, MQTT_P_SESSION_EXPIRY, 1000);
	o.seed = seed;
	o.reconnect_max_ms = 2000;
	o.inflight = (uint16_t)(1 + sim_random(s->world, 10));
	if (fail_at)
		alloc_fail_at(fail_at);
	while ((rc = mqtt_client_create(s->loop, dialer, &o, &events, s, &s->c)) < 0)
		assert_int_equal(rc, ERR_NOMEM);
	assert_int_equal(mqtt_client_start(s->c), OK);
	loop_timer_init(&s->tick, c_tick);
	loop_timer_set(s->loop, &s->tick, 1);
	loop_timer_init(&s->broker_tick, b_tick);
	loop_timer_set(s->broker_loop, &s->broker_tick, 1);
	rc = sim_run(s->world, PATIENCE, all_done, s);
	if (fail_at)
		hit = alloc_fail_end();
	if (rc != OK)
		fail_msg("seed %llu, allocation %ld: not finished: %s", (unsigned long long)seed, fail_at,
			 err_text(rc));
	check(s, seed);
	mqtt_client_destroy(s->c);
	b_drop(&s->b);
	loop_timer_cancel(s->loop, &s->tick);
	loop_timer_cancel(s->broker_loop, &s->broker_tick);
	sim_net_unlisten(listener);
	dialer->destroy(dialer);
	loop_destroy(s->loop);
	loop_destroy(s->broker_loop);
	sim_net_destroy(net);
	sim_world_destroy(s->world);
	return hit;
}

static void nothing_is_lost_doubled_or_reordered_over_a_bad_network(void **state)
{
	const struct sim_net_faults bad = {
		.max_delay_us = 20000, .buffer = 300, .partial_one_in = 3, .cut_one_in = 60};
	const char *one = getenv("LINESIDE_SEED");

	(void)state;
	if (one) {
		play(strtoull(one, NULL, 10), &bad, MESSAGES, 0);
		return;
	}
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		play(seed, &bad, MESSAGES, 0);
}

static void a_failed_allocation_costs_a_connection_at_most(void **state)
{
	const struct sim_net_faults calm = {.max_delay_us = 1000, .buffer = 65536};

	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++)
		for (long n = 1; play(seed, &calm, 8, n); n++)
			;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_doubled_or_reordered_over_a_bad_network),
		cmocka_unit_test(a_failed_allocation_costs_a_connection_at_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
