/*
 * What happens at the limits of a session's queue and of the broker's memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/log.h"
#include "mqtt/broker_rig.h"
#include "mqtt/worker.h"

static struct broker_counters counters(struct rig *r)
{
	struct broker_counters n;

	broker_counters(r->broker, &n);
	return n;
}

/* ---- a full queue: one message may be on the way, two may wait ---- */

static struct peer *queue_up(struct rig *r, enum broker_queue_policy policy, enum mqtt_version v)
{
	struct peer *p;

	rig_init(r, 1);
	r->config.max_inflight = 1;
	r->config.max_queued_messages = 2;
	r->config.queue_policy = policy;
	rig_start(r);
	p = peer_up_kept(r, v, "slow", false);
	peer_subscribe(p, "t", 1, "", 1);
	return p;
}

static void publish_five(struct rig *r)
{
	struct peer *from = peer_up(r, MQTT_V5, "from");

	for (uint16_t n = 1; n <= 5; n++) {
		char line[32], payload[2] = {(char)('0' + n), '\0'};

		peer_publish(from, 0x02, n, "t", "", payload);
		snprintf(line, sizeof(line), "PUBACK m%u 00", n);
		peer_expect(from, line);
	}
}

static void expect_message(struct peer *p, unsigned id, unsigned payload)
{
	char line[64];

	snprintf(line, sizeof(line), "PUBLISH d0 q1 r0 m%u t=%u", id, payload);
	peer_expect(p, line);
	peer_ack(p, MQTT_PUBACK, (uint16_t)id);
}

static void drop_newest_keeps_what_waits(void **state)
{
	struct rig r;
	struct peer *p = queue_up(&r, BROKER_DROP_NEWEST, MQTT_V311);

	(void)state;
	publish_five(&r);
	for (unsigned n = 1; n <= 3; n++)
		expect_message(p, n, n);
	peer_quiet(p);
	assert_int_equal(counters(&r).dropped_queue_full, 2);
	assert_int_equal(counters(&r).dropped_queue_oldest, 0);
	rig_fini(&r);
}

static void drop_oldest_keeps_the_newest_and_what_is_on_its_way(void **state)
{
	struct rig r;
	struct peer *p = queue_up(&r, BROKER_DROP_OLDEST, MQTT_V5);

	(void)state;
	publish_five(&r);
	expect_message(p, 1, 1);
	expect_message(p, 2, 4);
	expect_message(p, 3, 5);
	peer_quiet(p);
	assert_int_equal(counters(&r).dropped_queue_full, 0);
	assert_int_equal(counters(&r).dropped_queue_oldest, 2);
	rig_fini(&r);
}

static void disconnect_ends_the_slow_connection_and_keeps_the_session(void **state)
{
	static const enum mqtt_version versions[] = {MQTT_V311, MQTT_V5};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct rig r;
		struct peer *p = queue_up(&r, BROKER_DISCONNECT, versions[i]);

		publish_five(&r);
		peer_expect(p, "PUBLISH d0 q1 r0 m1 t=1");
		if (versions[i] == MQTT_V5)
			peer_expect(p, "DISCONNECT 97");
		peer_expect(p, "closed");
		assert_int_equal(counters(&r).disconnected_slow, 1);
		/* 4 did not fit, and neither did 5 while the client was away */
		assert_int_equal(counters(&r).dropped_queue_full, 2);
		p = peer_up_kept(&r, versions[i], "slow", true);
		peer_expect(p, "PUBLISH d1 q1 r0 m1 t=1");
		peer_ack(p, MQTT_PUBACK, 1);
		expect_message(p, 2, 2);
		expect_message(p, 3, 3);
		peer_quiet(p);
		rig_fini(&r);
	}
}

static void a_client_that_comes_back_to_a_full_queue_gets_time_to_empty_it(void **state)
{
	struct rig r;
	struct peer *p = queue_up(&r, BROKER_DISCONNECT, MQTT_V5), *from;

	(void)state;
	publish_five(&r);
	peer_expect(p, "PUBLISH d0 q1 r0 m1 t=1");
	peer_expect(p, "DISCONNECT 97");
	peer_expect(p, "closed");
	p = peer_up_kept(&r, MQTT_V5, "slow", true);
	peer_expect(p, "PUBLISH d1 q1 r0 m1 t=1");
	from = peer_up(&r, MQTT_V5, "more");
	peer_publish(from, 0x02, 1, "t", "", "6"); /* the queue is still full: dropped, and no more */
	peer_expect(from, "PUBACK m1 00");
	peer_ping(p);
	peer_ack(p, MQTT_PUBACK, 1);
	peer_expect(p, "PUBLISH d0 q1 r0 m2 t=2");
	peer_publish(from, 0x02, 2, "t", "", "7"); /* has room */
	peer_expect(from, "PUBACK m2 00");
	peer_ping(p);
	peer_publish(from, 0x02, 3, "t", "", "8"); /* has none, and it had its time */
	peer_expect(from, "PUBACK m3 00");
	peer_expect(p, "DISCONNECT 97");
	peer_expect(p, "closed");
	assert_int_equal(counters(&r).disconnected_slow, 2);
	assert_int_equal(counters(&r).dropped_queue_full, 4);
	rig_fini(&r);
}

/* ---- memory ---- */

#define MEMORY (INT64_C(100) << 20)

static void memory_up(struct rig *r, enum broker_queue_policy policy)
{
	rig_init(r, 1);
	r->config.memory_limit = (uint64_t)MEMORY;
	r->config.queue_policy = policy;
	r->config.max_inflight = 1;
	rig_start(r);
}

/* So many percent of the memory are used by somebody else, or no longer. */
static void others_use(struct rig *r, int percent)
{
	budget_add(&r->broker->budget, MEMORY / 100 * percent);
}

static void levels_begin_where_they_should(void **state)
{
	struct budget b;
	struct budget_share share = {.all = &b};

	(void)state;
	budget_init(&b, 1000000);
	budget_count(NULL, 5);
	budget_count(&share, 10000);
	assert_int_equal(atomic_load(&b.used), 0); /* kept for the end of the turn */
	budget_count(&share, 739999);
	assert_int_equal(atomic_load(&b.used), 749999);
	assert_int_equal(budget_level(&share), BUDGET_OK);
	budget_count(&share, 1);
	assert_int_equal(budget_level(&share), BUDGET_TIGHT);
	assert_int_equal(budget_level_of(&b, 0), BUDGET_OK); /* as others see it until then */
	budget_settle(&share);
	assert_int_equal(budget_level_of(&b, 0), BUDGET_TIGHT);
	budget_add(&b, 150000);
	assert_int_equal(budget_level(&share), BUDGET_FULL);
	budget_count(&share, -750000);
	assert_int_equal(budget_level(&share), BUDGET_OK);
	assert_int_equal(atomic_load(&share.held), 0);
	budget_init(&b, 0);
	budget_add(&b, INT64_C(1) << 50);
	assert_int_equal(budget_level(&share), BUDGET_OK);
}

static void near_the_limit_new_sessions_are_refused_and_old_ones_served(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	memory_up(&r, BROKER_DROP_NEWEST);
	peer_disconnect(peer_up_kept(&r, MQTT_V311, "old", false), 0);
	others_use(&r, 80);
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, 0x02, "", "<new>");
	peer_expect(p, "CONNACK s0 97");
	peer_expect(p, "closed");
	p = peer_open(&r, MQTT_V311);
	peer_connect(p, 0x02, "", "<new>");
	peer_expect(p, "CONNACK s0 03");
	peer_expect(p, "closed");
	peer_ping(peer_up_kept(&r, MQTT_V311, "old", true));
	others_use(&r, -80);
	peer_ping(peer_up(&r, MQTT_V5, "new")); /* nothing is left of the refusals */
	assert_int_equal(counters(&r).clients_refused, 2);
	rig_fini(&r);
}

static void near_the_limit_new_subscriptions_are_refused_and_old_ones_renewed(void **state)
{
	struct rig r;
	struct peer *p, *old;

	(void)state;
	memory_up(&r, BROKER_DROP_NEWEST);
	p = peer_up(&r, MQTT_V5, "v5");
	old = peer_up(&r, MQTT_V311, "v3");
	peer_subscribe(p, "a", 0, "", 0);
	others_use(&r, 80);
	peer_subscribe(p, "b", 1, "", 0x97);
	peer_subscribe(old, "b", 1, "", 0x80);
	peer_subscribe(p, "a", 1, "", 1);
	peer_unsubscribe(p, "a", 0);
	peer_subscribe(p, "a", 1, "", 0x97);
	others_use(&r, -80);
	peer_subscribe(p, "a", 1, "", 1);
	rig_fini(&r);
}

static void near_the_limit_new_retained_topics_are_refused_and_old_ones_replaced(void **state)
{
	struct rig r;
	struct peer *p, *sub, *listener;

	(void)state;
	memory_up(&r, BROKER_DROP_NEWEST);
	p = peer_up(&r, MQTT_V5, "p");
	listener = peer_up(&r, MQTT_V5, "listener");
	peer_subscribe(listener, "new", 0, "", 0);
	peer_publish(p, 0x03, 1, "old", "", "1");
	peer_expect(p, "PUBACK m1 10");
	others_use(&r, 80);
	peer_publish(p, 0x03, 2, "old", "", "2");
	peer_expect(p, "PUBACK m2 10");
	peer_publish(p, 0x03, 3, "new", "", "3");
	peer_expect(p, "PUBACK m3 97");
	/* with QoS 0 there is no answer: who listens gets it, and it is not kept */
	peer_publish(p, 0x01, 0, "new", "", "4");
	peer_expect(listener, "PUBLISH d0 q0 r0 m0 new=4");
	peer_ping(p);
	assert_int_equal(counters(&r).dropped_retained, 2); /* the refused one, too */
	others_use(&r, -80);
	sub = peer_up(&r, MQTT_V5, "s");
	peer_subscribe(sub, "+", 0, "", 0);
	peer_expect(sub, "PUBLISH d0 q0 r1 m0 old=2");
	peer_quiet(sub);
	rig_fini(&r);
}

static void with_no_memory_what_would_wait_is_dropped_and_counted(void **state)
{
	struct rig r;
	struct peer *p, *slow;

	(void)state;
	memory_up(&r, BROKER_DROP_NEWEST);
	p = peer_up(&r, MQTT_V5, "p");
	slow = peer_up(&r, MQTT_V5, "slow");
	peer_subscribe(slow, "t", 1, "", 1);
	others_use(&r, 95);
	for (uint16_t n = 1; n <= 3; n++) {
		char line[32], payload[2] = {(char)('0' + n), '\0'};

		peer_publish(p, 0x02, n, "t", "", payload);
		snprintf(line, sizeof(line), "PUBACK m%u 00", n);
		peer_expect(p, line);
	}
	expect_message(slow, 1, 1); /* the window has room: it need not wait */
	peer_quiet(slow);
	assert_int_equal(counters(&r).dropped_memory, 2);
	others_use(&r, -95);
	rig_fini(&r);
}

/* What message n, from 1, begins with. */
static char letter(unsigned n)
{
	return (char)('A' + n - 1);
}

/* A session whose queue is larger than a fair part gets no more first, and is cut in the end. */
static void fill_queue(struct peer *from, unsigned n)
{
	char payload[901], line[32];

	memset(payload, 'x', 900);
	payload[900] = '\0';
	for (unsigned i = 1; i <= n; i++) {
		payload[0] = letter(i);
		peer_publish(from, 0x02, (uint16_t)i, "t", "", payload);
		snprintf(line, sizeof(line), "PUBACK m%u 00", i);
		peer_expect(from, line);
	}
}

static void at_the_limit_the_largest_queue_is_cut_as_the_policy_says(void **state)
{
	static const enum broker_queue_policy policies[] = {BROKER_DROP_NEWEST, BROKER_DROP_OLDEST};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct rig r;
		struct peer *p, *slow;
		uint64_t dropped;

		memory_up(&r, policies[i]);
		p = peer_up(&r, MQTT_V5, "p");
		slow = peer_up_kept(&r, MQTT_V5, "slow", false);
		peer_subscribe(slow, "t", 1, "", 1);
		fill_queue(p, 41); /* one is on the way, 40 wait */
		others_use(&r, 95);
		peer_ping(p);
		dropped = counters(&r).dropped_memory;
		assert_in_range(dropped, 20, 39); /* half, and half again until it is small */
		others_use(&r, -95);
		peer_expect(slow, "PUBLISH d0 q1 r0 m1 t=(900 bytes of A)");
		for (uint16_t id = 1; id <= 40 - dropped; id++) {
			unsigned n = id + 1u; /* the message that is due */
			char line[64];

			if (policies[i] == BROKER_DROP_OLDEST)
				n += (unsigned)dropped;
			snprintf(line, sizeof(line), "PUBLISH d0 q1 r0 m%u t=(900 bytes of %c)", id + 1u,
				 letter(n));
			peer_ack(slow, MQTT_PUBACK, id);
			peer_expect(slow, line);
		}
		peer_ack(slow, MQTT_PUBACK, (uint16_t)(41 - dropped));
		peer_quiet(slow);
		rig_fini(&r);
	}
}

static void at_the_limit_the_largest_queue_costs_its_client_the_connection(void **state)
{
	struct rig r;
	struct peer *p, *slow;

	(void)state;
	memory_up(&r, BROKER_DISCONNECT);
	p = peer_up(&r, MQTT_V5, "p");
	slow = peer_up(&r, MQTT_V5, "slow");
	peer_subscribe(slow, "t", 1, "", 1);
	fill_queue(p, 41);
	others_use(&r, 95);
	peer_ping(p);
	peer_expect(slow, "PUBLISH d0 q1 r0 m1 t=(900 bytes of A)");
	peer_expect(slow, "DISCONNECT 97");
	peer_expect(slow, "closed");
	assert_int_equal(counters(&r).disconnected_slow, 1);
	others_use(&r, -95);
	rig_fini(&r);
}

static void at_the_limit_what_a_client_left_incomplete_costs_it_the_connection(void **state)
{
	static const uint8_t head[] = {0x30, 0x80, 0x80, 0x08}; /* PUBLISH of 128 KiB */
	static uint8_t rest[100000];
	struct rig r;
	struct peer *p, *half;

	(void)state;
	memory_up(&r, BROKER_DROP_NEWEST);
	p = peer_up(&r, MQTT_V5, "p");
	half = peer_up(&r, MQTT_V5, "half");
	peer_send_bytes(half, head, sizeof(head));
	for (size_t at = 0; at < sizeof(rest); at += 10000) {
		peer_send_bytes(half, rest + at, 10000);
		peer_ping(p);
	}
	others_use(&r, 95);
	peer_ping(p);
	peer_expect(half, "DISCONNECT 97");
	peer_expect(half, "closed");
	others_use(&r, -95);
	rig_fini(&r);
}

static void sessions_have_a_limit_of_their_own(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	rig_init(&r, 2);
	r.config.max_sessions = 2;
	rig_start(&r);
	peer_disconnect(peer_up_kept(&r, MQTT_V311, "a", false), 0);
	p = peer_up(&r, MQTT_V5, "b");
	peer_connect(peer_open(&r, MQTT_V5), 0x02, "", "<c>");
	peer_expect(&r.peers[2], "CONNACK s0 97");
	peer_disconnect(peer_up_kept(&r, MQTT_V311, "a", true), 0); /* it is there already */
	peer_disconnect(p, 0);
	peer_ping(peer_up(&r, MQTT_V5, "c"));
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drop_newest_keeps_what_waits),
		cmocka_unit_test(drop_oldest_keeps_the_newest_and_what_is_on_its_way),
		cmocka_unit_test(disconnect_ends_the_slow_connection_and_keeps_the_session),
		cmocka_unit_test(a_client_that_comes_back_to_a_full_queue_gets_time_to_empty_it),
		cmocka_unit_test(levels_begin_where_they_should),
		cmocka_unit_test(near_the_limit_new_sessions_are_refused_and_old_ones_served),
		cmocka_unit_test(near_the_limit_new_subscriptions_are_refused_and_old_ones_renewed),
		cmocka_unit_test(near_the_limit_new_retained_topics_are_refused_and_old_ones_replaced),
		cmocka_unit_test(with_no_memory_what_would_wait_is_dropped_and_counted),
		cmocka_unit_test(at_the_limit_the_largest_queue_is_cut_as_the_policy_says),
		cmocka_unit_test(at_the_limit_the_largest_queue_costs_its_client_the_connection),
		cmocka_unit_test(at_the_limit_what_a_client_left_incomplete_costs_it_the_connection),
		cmocka_unit_test(sessions_have_a_limit_of_their_own),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
