/* Retained messages of a broker with a store: what an acknowledgement waits for, and what is there after a start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/alloc_fail.h"
#include "mqtt/broker_rig.h"

static uint64_t retained(const struct rig *r)
{
	struct broker_totals t;

	broker_totals(r->broker, &t);
	return t.retained_messages;
}

/* QoS 1, acknowledged. */
static void retain(struct peer *p, const char *topic, const char *props, const char *payload)
{
	peer_publish(p, 3, 1, topic, props, payload);
	peer_expect(p, "PUBACK m1 10");
}

static void an_acknowledgement_waits_until_the_message_is_on_disk(void **state)
{
	static const enum mqtt_version versions[] = {MQTT_V31, MQTT_V311, MQTT_V5};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct rig r;
		struct peer *p;

		rig_up_disk(&r, 1);
		p = peer_up(&r, versions[i], "p");
		rig_disk_stands(&r, true);
		peer_publish(p, 3, 1, "t", "", "one");
		peer_publish(p, 5, 2, "t", "", "two");
		peer_publish(p, 2, 3, "t", "", "not retained"); /* behind them, as it came */
		peer_publish(p, 1, 0, "t", "", "three");
		peer_ping(p);
		rig_disk_stands(&r, false);
		peer_expect(p, versions[i] == MQTT_V5 ? "PUBACK m1 10" : "PUBACK m1");
		peer_expect(p, versions[i] == MQTT_V5 ? "PUBREC m2 00" : "PUBREC m2");
		peer_expect(p, versions[i] == MQTT_V5 ? "PUBACK m3 10" : "PUBACK m3");
		rig_fini(&r);
	}
}

static void the_newest_value_is_there_after_a_crash_with_all_that_belongs_to_it(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	rig_up_disk(&r, 1);
	p = peer_up(&r, MQTT_V5, "p");
	retain(p, "a", "", "old");
	retain(p, "a", "02 00 00 00 64 03 <text>", "new");
	retain(p, "b", "", "gone");
	retain(p, "b", "", "");
	retain(p, "c", "", "back");
	retain(p, "c", "", "");
	retain(p, "c", "", "again");
	rig_restart(&r, true, 40000);
	assert_int_equal(retained(&r), 2);
	p = peer_up(&r, MQTT_V5, "p");
	peer_subscribe(p, "a", 2, "", 0x02);
	peer_expect(p, "PUBLISH d0 q1 r1 m1 a=new MESSAGE_EXPIRY=60 CONTENT_TYPE=text");
	peer_ack(p, MQTT_PUBACK, 1);
	peer_unsubscribe(p, "a", 0);
	peer_subscribe(p, "c", 0, "", 0x00);
	peer_expect(p, "PUBLISH d0 q0 r1 m0 c=again");
	peer_ping(p);
	peer_unsubscribe(p, "c", 0);
	retain(p, "c", "", "");
	rig_restart(&r, true, 0);
	assert_int_equal(retained(&r), 1);
	rig_fini(&r);
}

/* Another client's clear of the same topic may not be on disk yet. */
static void clearing_what_is_not_there_waits_for_the_disk(void **state)
{
	struct rig r;
	struct peer *p[2];

	(void)state;
	rig_up_disk(&r, 2);
	p[0] = peer_up(&r, MQTT_V5, "p");
	p[1] = peer_up(&r, MQTT_V5, "q");
	retain(p[0], "t", "", "value");
	rig_disk_stands(&r, true);
	for (unsigned i = 0; i < 2; i++) {
		peer_publish(p[i], 3, 1, "t", "", "");
		peer_ping(p[i]);
	}
	assert_int_equal(retained(&r), 0);
	rig_disk_stands(&r, false);
	for (unsigned i = 0; i < 2; i++)
		peer_expect(p[i], "PUBACK m1 10");
	rig_restart(&r, true, 0);
	assert_int_equal(retained(&r), 0);
	rig_fini(&r);
}

/* Values of many workers come to the store in any order. */
static void of_two_workers_the_one_that_came_last_stands(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct rig r;
		struct peer *p[4];

		rig_up_disk(&r, 4);
		for (unsigned k = 0; k < 4; k++)
			p[k] = peer_up(&r, MQTT_V311, (const char *[]){"a", "b", "c", "d"}[k]);
		rig_disk_stands(&r, true);
		for (unsigned k = 0; k < 4; k++) {
			peer_publish(p[(k * 3 + i) % 4], 3, 1, "t", "",
				     (const char *[]){"1", "2", "", "4"}[(k + i) % 4]);
			peer_ping(p[(k * 3 + i) % 4]);
		}
		rig_disk_stands(&r, false);
		for (unsigned k = 0; k < 4; k++)
			peer_expect(p[k], "PUBACK m1");
		rig_restart(&r, true, 0);
		p[0] = peer_up(&r, MQTT_V311, "a");
		peer_subscribe(p[0], "t", 0, "", 0);
		if (i % 4 != 3)
			peer_expect(p[0],
				    (const char *[]){"PUBLISH d0 q0 r1 m0 t=4", "PUBLISH d0 q0 r1 m0 t=1",
						     "PUBLISH d0 q0 r1 m0 t=2"}[i % 4]);
		peer_ping(p[0]);
		rig_fini(&r);
	}
}

static void what_expired_is_cleared_on_disk_running_or_not(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	rig_up_disk(&r, 1);
	p = peer_up(&r, MQTT_V5, "p");
	retain(p, "first", "02 00 00 00 02", "x");
	retain(p, "second", "02 00 00 00 64", "x");
	rig_run(&r, 4000);
	assert_int_equal(retained(&r), 1);
	rig_restart(&r, true, 200 * 1000);
	p = peer_up(&r, MQTT_V5, "p");
	peer_subscribe(p, "#", 0, "", 0);
	peer_ping(p); /* nothing */
	rig_run(&r, 2000);
	assert_int_equal(retained(&r), 0);
	rig_restart(&r, true, -200 * 1000); /* were it on disk, it would be loaded */
	assert_int_equal(retained(&r), 0);
	rig_fini(&r);
}

/* One of 40,000 bytes, which travels as a blob. */
static void retain_large(struct peer *p)
{
	static const uint8_t head[] = {0x33, 0xc5, 0xb8, 0x02, 0, 1, 't', 0, 1};
	static uint8_t payload[40000];

	memset(payload, 'z', sizeof(payload));
	peer_send_bytes(p, head, sizeof(head));
	peer_send_bytes(p, payload, sizeof(payload));
	peer_expect(p, "PUBACK m1");
}

static void a_large_message_comes_back_whole(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	rig_up_disk(&r, 1);
	retain_large(peer_up(&r, MQTT_V311, "p"));
	rig_restart(&r, true, 0);
	assert_true(broker_memory_used(r.broker) >= 40000);
	p = peer_up(&r, MQTT_V311, "p");
	peer_subscribe(p, "t", 0, "", 0);
	peer_expect(p, "PUBLISH d0 q0 r1 m0 t=(40000 bytes of z)");
	rig_fini(&r);
}

/* ---- the gateway's own ---- */

static void say(struct mqtt_port *port, const char *topic, const char *payload)
{
	const struct mqtt_publish m = {
		.topic = span_str(topic), .payload = span_str(payload), .retain = true, .qos = 1};

	assert_int_equal(mqtt_port_publish(port, &m), OK);
}

static void what_the_gateway_says_itself_is_not_kept(void **state)
{
	static const struct mqtt_port_ops ops = {0};
	struct mqtt_port *port;
	struct rig r;
	struct peer *p;

	(void)state;
	rig_up_disk(&r, 1);
	assert_int_equal(mqtt_port_open(r.broker, r.loops[0], &ops, NULL, &port), OK);
	p = peer_up(&r, MQTT_V5, "p");
	retain(p, "mine", "", "client");
	retain(p, "ours", "", "client");
	retain(p, "cleared", "", "client");
	say(port, "own", "gateway");
	say(port, "ours", "gateway"); /* a start must not show what it replaced */
	say(port, "cleared", "");
	say(port, "then-mine", "gateway");
	retain(p, "then-mine", "", "client");
	assert_int_equal(retained(&r), 4);
	rig_run(&r, 5);
	rig_restart(&r, true, 0);
	p = peer_up(&r, MQTT_V5, "p");
	assert_int_equal(retained(&r), 2);
	peer_subscribe(p, "mine", 0, "", 0);
	peer_expect(p, "PUBLISH d0 q0 r1 m0 mine=client");
	peer_subscribe(p, "then-mine", 0, "", 0);
	peer_expect(p, "PUBLISH d0 q0 r1 m0 then-mine=client");
	rig_fini(&r);
}

/* ---- at a start ---- */

static void limits_that_are_lower_now_lose_nothing_that_was_kept(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	rig_up_disk(&r, 1);
	p = peer_up(&r, MQTT_V5, "p");
	retain(p, "1", "", "x");
	retain(p, "2", "", "x");
	retain(p, "2/3/4", "", "x");
	r.config.max_retained_messages = 1;
	r.config.max_topic_levels = 2;
	rig_restart(&r, true, 0);
	assert_int_equal(retained(&r), 2); /* one with too many levels could be sent to nobody */
	p = peer_up(&r, MQTT_V5, "p");
	peer_publish(p, 3, 1, "5", "", "x");
	peer_expect(p, "PUBACK m1 97");
	retain(p, "1", "", "y");
	r.config.max_topic_levels = 3;
	rig_restart(&r, true, 0);
	assert_int_equal(retained(&r), 3);
	rig_fini(&r);
}

/* What is not taken is not acknowledged; what is acknowledged is there. */
static void without_memory_what_was_acknowledged_is_there_after_a_crash(void **state)
{
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct rig r;
		struct peer *p;
		bool taken;

		rig_up_disk(&r, 1);
		p = peer_up(&r, MQTT_V5, "p");
		retain(p, "cleared", "", "x");
		alloc_fail_at(n);
		peer_publish(p, 3, 1, "cleared", "", "");
		peer_publish(p, 3, 2, "set", "", "x");
		rig_run(&r, 5);
		hit = alloc_fail_end();
		if (p->stream->is_closed) {
			rig_fini(&r);
			continue;
		}
		taken = strcmp(peer_line(p), "PUBACK m1 10") == 0;
		rig_restart(&r, true, 0);
		p = peer_up(&r, MQTT_V5, "p");
		peer_subscribe(p, "cleared", 0, "", 0);
		if (taken)
			peer_ping(p);
		rig_fini(&r);
	}
}

static void a_start_without_memory_says_so(void **state)
{
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct rig r;
		int rc;

		rig_up_disk(&r, 1);
		retain_large(peer_up(&r, MQTT_V311, "p"));
		broker_destroy(r.broker);
		store_destroy(r.disk.store);
		rig_store_open(&r);
		assert_int_equal(broker_create(&r.config, r.loops, r.nloops, &r.broker), OK);
		alloc_fail_at(n);
		rc = broker_restore(r.broker);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		rig_fini(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_acknowledgement_waits_until_the_message_is_on_disk),
		cmocka_unit_test(the_newest_value_is_there_after_a_crash_with_all_that_belongs_to_it),
		cmocka_unit_test(clearing_what_is_not_there_waits_for_the_disk),
		cmocka_unit_test(of_two_workers_the_one_that_came_last_stands),
		cmocka_unit_test(what_expired_is_cleared_on_disk_running_or_not),
		cmocka_unit_test(a_large_message_comes_back_whole),
		cmocka_unit_test(what_the_gateway_says_itself_is_not_kept),
		cmocka_unit_test(limits_that_are_lower_now_lose_nothing_that_was_kept),
		cmocka_unit_test(without_memory_what_was_acknowledged_is_there_after_a_crash),
		cmocka_unit_test(a_start_without_memory_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
