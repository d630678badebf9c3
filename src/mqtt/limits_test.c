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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drop_newest_keeps_what_waits),
		cmocka_unit_test(drop_oldest_keeps_the_newest_and_what_is_on_its_way),
		cmocka_unit_test(disconnect_ends_the_slow_connection_and_keeps_the_session),
		cmocka_unit_test(a_client_that_comes_back_to_a_full_queue_gets_time_to_empty_it),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
