/*
 * Hand-over backlog: what counts in it, and that publishers are read on after it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "loop/loop_sim.h"
#include "mqtt/broker.h"
#include "mqtt/handover.h"
#include "net/stream_sim.h"

#define WORKERS      4u
#define MESSAGES     6000u
#define PAYLOAD      200u
#define PUBLISH_SIZE (2u + 1 + 2 + 1 + PAYLOAD) /* its length takes two bytes */

static void nothing(struct loop_source *s)
{
	(void)s;
}

static void take_none(void *arg, struct lane *l, struct publication *p, struct share_route *share)
{
	(void)arg, (void)l, (void)p, (void)share;
}

static void a_large_payload_counts_in_the_backlog(void **state)
{
	static uint8_t payload[1 << 20];
	struct publication p = {.topic = span_str("t"), .payload = span_of(payload, sizeof(payload))};
	struct blob *blob = blob_create(p.payload);
	struct sim_world *world;
	struct loop *loop;
	struct lane lane;

	(void)state;
	assert_non_null(blob);
	assert_int_equal(sim_world_create(1, &world), OK);
	assert_int_equal(sim_loop_create(world, &loop), OK);
	lane_init(&lane, 0, 1);
	loop_source_add(loop, &lane.arrived, nothing);
	p.blob = blob;
	for (uint64_t n = 1; n <= 3; n++) {
		p.number = n;
		assert_int_equal(lane_reserve(&lane, lane_record_size(&p, NULL)), OK);
		lane_put(&lane, &p, NULL);
		lane_flush(&lane, n);
		assert_true(atomic_load(&lane.backlog) >= n * sizeof(payload));
		assert_true(atomic_load(&lane.backlog) == n * lane_record_weight(&p, NULL));
	}
	lane_take(&lane, take_none, NULL);
	assert_true(atomic_load(&lane.backlog) == 0);
	assert_int_equal(atomic_load(&blob->refs), 1);
	loop_source_remove(&lane.arrived);
	lane_fini(&lane);
	blob_unref(blob);
	sim_world_destroy(world);
}

/* ---- taking some ---- */

struct taking {
	uint64_t next; /* number of the record that is due */
	unsigned left; /* to be taken before it is enough */
};

static void take_next(void *arg, struct lane *l, struct publication *p, struct share_route *share)
{
	struct taking *t = arg;

	(void)l, (void)share;
	assert_true(p->number == t->next++);
	assert_int_equal(p->payload.len, 1000);
	t->left--;
}

static bool took_enough(void *arg)
{
	return ((struct taking *)arg)->left == 0;
}

static void records_are_taken_in_order_however_few_at_a_time(void **state)
{
	static uint8_t payload[1000];
	struct publication p = {.topic = span_str("t"), .payload = span_of(payload, sizeof(payload))};
	struct taking t = {.next = 1};
	struct sim_world *world;
	struct loop *loop;
	struct lane lane;
	uint64_t put = 0;

	(void)state;
	assert_int_equal(sim_world_create(1, &world), OK);
	assert_int_equal(sim_loop_create(world, &loop), OK);
	lane_init(&lane, 0, 1);
	loop_source_add(loop, &lane.arrived, nothing);
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned n = 0; n < 20; n++) {
			p.number = ++put;
			assert_int_equal(lane_reserve(&lane, lane_record_size(&p, NULL)), OK);
			lane_put(&lane, &p, NULL);
		}
		/* a publish that was given up for want of memory leaves a chunk without records */
		if (round % 3 == 0)
			assert_int_equal(lane_reserve(&lane, 32000), OK);
		lane_flush(&lane, put);
		t.left = 1 + round % 19;
		assert_int_equal(lane_take_some(&lane, take_next, took_enough, &t), t.next > put);
		assert_false(lane_is_past(&lane, put));
	}
	t.left = UINT32_MAX;
	assert_true(lane_take_some(&lane, take_next, took_enough, &t));
	assert_true(t.next == put + 1);
	assert_true(lane_is_past(&lane, put));
	assert_true(atomic_load(&lane.backlog) == 0);
	loop_source_remove(&lane.arrived);
	lane_fini(&lane);
	sim_world_destroy(world);
}

/* ---- a publisher on one worker, a subscriber on each of the others ---- */

struct peer {
	struct stream *stream;
	const uint8_t *out;
	size_t left;
	size_t got;
};

struct world {
	struct sim_world *sim;
	struct sim_net *net;
	struct loop *loops[WORKERS], *client_loop, *accept_loop;
	struct acceptor acceptor;
	struct listener *listener;
	struct dialer *dialer;
	struct broker *broker;
	struct peer peers[WORKERS]; /* the last is the publisher */
};

static void accepted(struct acceptor *a, struct stream *s)
{
	broker_accept(container_of(a, struct world, acceptor)->broker, s);
}

static void peer_ready(struct stream *s, unsigned events)
{
	struct peer *p = s->owner;
	uint8_t buf[4096];
	size_t got, put;
	bool more = true;

	(void)events;
	while (more && stream_read(s, buf, sizeof(buf), &got, &more) == OK)
		p->got += got;
	while (p->left) {
		struct iovec iov = {.iov_base = (void *)(uintptr_t)p->out, .iov_len = p->left};

		assert_int_equal(stream_write(s, &iov, 1, &put), OK);
		if (put == 0)
			return;
		p->out += put;
		p->left -= put;
	}
}

static void peer_send(struct peer *p, const uint8_t *bytes, size_t len)
{
	p->out = bytes;
	p->left = len;
	peer_ready(p->stream, 0);
}

static void world_init(struct world *w, uint64_t backlog_bytes)
{
	struct sim_net_faults faults = {.max_delay_us = 100, .buffer = 8u << 20};
	struct broker_config config;

	assert_int_equal(sim_world_create(3, &w->sim), OK);
	assert_int_equal(sim_net_create(w->sim, &w->net), OK);
	sim_net_set_faults(w->net, &faults);
	for (unsigned i = 0; i < WORKERS; i++)
		assert_int_equal(sim_loop_create(w->sim, &w->loops[i]), OK);
	assert_int_equal(sim_loop_create(w->sim, &w->client_loop), OK);
	assert_int_equal(sim_loop_create(w->sim, &w->accept_loop), OK);
	broker_config_default(&config);
	config.backlog_bytes = backlog_bytes;
	assert_int_equal(broker_create(&config, w->loops, WORKERS, &w->broker), OK);
	w->acceptor.accepted = accepted;
	assert_int_equal(sim_net_listen(w->net, w->accept_loop, "b", &w->acceptor, &w->listener), OK);
	assert_int_equal(sim_net_dialer(w->net, "b", &w->dialer), OK);
}

static void world_fini(struct world *w)
{
	for (unsigned i = 0; i < WORKERS; i++)
		stream_close(w->peers[i].stream);
	sim_net_unlisten(w->listener);
	(void)!sim_run(w->sim, 1000000, NULL, NULL);
	broker_destroy(w->broker);
	w->dialer->destroy(w->dialer);
	sim_net_destroy(w->net);
	sim_world_destroy(w->sim);
}

/* Connections go to the workers in turn. */
static void peer_open(struct world *w, unsigned i, const uint8_t *bytes, size_t len)
{
	struct peer *p = &w->peers[i];

	*p = (struct peer){0};
	assert_int_equal(w->dialer->dial(w->dialer, w->client_loop, &p->stream), OK);
	p->stream->owner = p;
	p->stream->ready = peer_ready;
	(void)!sim_run(w->sim, 100000, NULL, NULL);
	peer_send(p, bytes, len);
	(void)!sim_run(w->sim, 100000, NULL, NULL);
	p->got = 0;
}

static bool all_arrived(void *arg)
{
	struct world *w = arg;

	for (unsigned i = 0; i + 1 < WORKERS; i++)
		if (w->peers[i].got < (size_t)MESSAGES * PUBLISH_SIZE)
			return false;
	return true;
}

static void publishers_are_read_on_when_a_turn_filled_many_lanes_and_none_too_much(void **state)
{
	uint8_t connect[] = "\x10\x0d\0\4MQTT\4\2\0\0\0\1a\x82\6\0\1\0\1t\0";
	uint8_t *bytes = malloc((size_t)MESSAGES * PUBLISH_SIZE), *at = bytes;
	struct world w = {0};

	(void)state;
	assert_non_null(bytes);
	/* one read of the publisher puts about 380 KB into each of three lanes */
	world_init(&w, 600000);
	for (unsigned i = 0; i < WORKERS; i++) {
		connect[14] = (uint8_t)('a' + i);
		peer_open(&w, i, connect, i + 1 < WORKERS ? sizeof(connect) - 1 : 15);
	}
	for (unsigned n = 0; n < MESSAGES; n++, at += PUBLISH_SIZE)
		memcpy(at, "\x30\xcb\x01\0\1t", 6), memset(at + 6, 'x', PAYLOAD);
	peer_send(&w.peers[WORKERS - 1], bytes, (size_t)MESSAGES * PUBLISH_SIZE);
	assert_int_equal(sim_run(w.sim, 10u * 1000000, all_arrived, &w), OK);
	world_fini(&w);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_large_payload_counts_in_the_backlog),
		cmocka_unit_test(records_are_taken_in_order_however_few_at_a_time),
		cmocka_unit_test(publishers_are_read_on_when_a_turn_filled_many_lanes_and_none_too_much),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
