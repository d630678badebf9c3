/* Retained messages: limits, expiry, and feeds that are longer than a list. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "mqtt/broker_rig.h"
#include "mqtt/session.h"
#include "mqtt/worker.h"

static uint64_t dropped(struct rig *r)
{
	struct broker_counters count;

	broker_counters(r->broker, &count);
	return count.dropped_retained;
}

/* ---- limits ---- */

static void a_message_that_can_not_be_retained_is_refused_before_any_effect(void **state)
{
	struct rig r;
	struct peer *p, *sub, *late;

	(void)state;
	rig_init(&r, 2);
	r.config.max_retained_messages = 1;
	rig_start(&r);
	p = peer_up(&r, MQTT_V5, "p");
	sub = peer_up(&r, MQTT_V5, "sub");
	peer_subscribe(sub, "#", 2, "", 2);
	peer_publish(p, 3, 1, "a", "", "1");
	peer_expect(p, "PUBACK m1 00");
	peer_expect(sub, "PUBLISH d0 q1 r0 m1 a=1");
	peer_publish(p, 3, 2, "b", "", "1");
	peer_expect(p, "PUBACK m2 97");
	peer_publish(p, 5, 3, "b", "", "1");
	peer_expect(p, "PUBREC m3 97");
	peer_quiet(sub);
	assert_int_equal(dropped(&r), 2);
	/* one that is there may be replaced, one that is cleared makes room */
	peer_publish(p, 3, 4, "a", "", "2");
	peer_expect(p, "PUBACK m4 00");
	peer_expect(sub, "PUBLISH d0 q1 r0 m2 a=2");
	peer_publish(p, 3, 5, "a", "", "");
	peer_expect(p, "PUBACK m5 00");
	peer_expect(sub, "PUBLISH d0 q1 r0 m3 a=");
	peer_publish(p, 3, 3, "b", "", "3");
	peer_expect(p, "PUBACK m3 00");
	late = peer_up(&r, MQTT_V5, "late");
	peer_subscribe(late, "#", 0, "", 0);
	peer_expect(late, "PUBLISH d0 q0 r1 m0 b=3");
	peer_quiet(late);
	rig_fini(&r);
}

static void version_3_is_closed_when_its_message_can_not_be_retained(void **state)
{
	struct rig r;
	struct peer *p, *late;

	(void)state;
	rig_init(&r, 1);
	r.config.max_retained_bytes = 3;
	rig_start(&r);
	p = peer_up(&r, MQTT_V311, "p");
	peer_publish(p, 3, 1, "a", "", "1");
	peer_expect(p, "PUBACK m1");
	peer_publish(p, 3, 2, "b", "", "1");
	peer_expect(p, "closed");
	late = peer_up(&r, MQTT_V5, "late");
	peer_subscribe(late, "#", 0, "", 0);
	peer_expect(late, "PUBLISH d0 q0 r1 m0 a=1");
	peer_quiet(late);
	rig_fini(&r);
}

static void with_qos_0_it_is_delivered_and_what_it_replaces_forgotten(void **state)
{
	static const enum mqtt_version versions[] = {MQTT_V311, MQTT_V5};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct rig r;
		struct peer *p, *sub, *late;

		rig_init(&r, 1);
		r.config.max_retained_bytes = 4;
		rig_start(&r);
		p = peer_up(&r, versions[i], "p");
		sub = peer_up(&r, MQTT_V5, "sub");
		peer_subscribe(sub, "#", 0, "", 0);
		peer_publish(p, 1, 0, "a", "", "1");
		peer_expect(sub, "PUBLISH d0 q0 r0 m0 a=1");
		peer_publish(p, 1, 0, "b", "", "too long");
		peer_expect(sub, "PUBLISH d0 q0 r0 m0 b=too long");
		peer_publish(p, 1, 0, "a", "", "too long");
		peer_expect(sub, "PUBLISH d0 q0 r0 m0 a=too long");
		assert_int_equal(dropped(&r), 2);
		late = peer_up(&r, MQTT_V5, "late");
		peer_subscribe(late, "#", 0, "", 0);
		peer_quiet(late);
		rig_fini(&r);
	}
}

static void a_will_that_can_not_be_retained_is_delivered(void **state)
{
	struct rig r;
	struct peer *p, *sub;

	(void)state;
	rig_init(&r, 1);
	r.config.max_retained_bytes = 1;
	rig_start(&r);
	sub = peer_up(&r, MQTT_V5, "sub");
	peer_subscribe(sub, "w", 1, "", 1);
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, 0x2E, "", "<p> [] <w> <bye>"); /* QoS 1, RETAIN */
	peer_expect(p, "CONNACK s0 00");
	peer_cut(p);
	peer_expect(sub, "PUBLISH d0 q1 r0 m1 w=bye");
	assert_int_equal(dropped(&r), 1);
	rig_fini(&r);
}

/* ---- expiry ---- */

static void what_expires_goes_by_itself(void **state)
{
	struct rig r;
	struct peer *p;
	char topic[16];

	(void)state;
	rig_init(&r, 2);
	r.config.sys_interval_ms = 0;
	rig_start(&r);
	p = peer_up(&r, MQTT_V5, "p");
	for (unsigned i = 0; i < 500; i++) {
		snprintf(topic, sizeof(topic), "r/%u", i);
		peer_publish(p, 1, 0, topic, "02 00 00 00 0A", "x");
	}
	peer_publish(p, 1, 0, "ever", "", "x");
	peer_ping(p);
	assert_int_equal(retained_count(r.broker->retained), 501);
	rig_run(&r, 9000);
	peer_ping(p);
	assert_int_equal(retained_count(r.broker->retained), 501);
	rig_run(&r, 2000);
	assert_int_equal(retained_count(r.broker->retained), 1);
	assert_int_equal(retained_bytes(r.broker->retained), 5);
	rig_fini(&r);
}

/* ---- feeds of more than a list ---- */

static void rig_with_many(struct rig *r, unsigned n, struct peer **from)
{
	char topic[16];

	rig_init(r, 2);
	r->config.sys_interval_ms = 0;
	r->config.feed_list_max = 8;
	rig_start(r);
	*from = peer_up(r, MQTT_V5, "from");
	for (unsigned i = 0; i < n; i++) {
		snprintf(topic, sizeof(topic), "r/%u", i);
		peer_publish(*from, 1, 0, topic, "", "v");
	}
	peer_ping(*from);
	rig_run(r, 5);
}

static struct peer *peer_with_window(struct rig *r, const char *window)
{
	struct peer *p = peer_open(r, MQTT_V5);
	char props[16];

	snprintf(props, sizeof(props), "21 00 %s", window);
	peer_connect(p, 2, props, "<p>");
	peer_expect(p, "CONNACK s0 00");
	return p;
}

static void a_feed_longer_than_a_list_brings_each_value_once(void **state)
{
	struct rig r;
	struct peer *p, *from;
	char line[64];

	(void)state;
	rig_with_many(&r, 100, &from);
	p = peer_with_window(&r, "64");
	peer_subscribe(p, "r/#", 0, "", 0);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(line, sizeof(line), "PUBLISH d0 q0 r1 m0 r/%u=v", i);
		peer_expect(p, line);
	}
	/* few of many */
	peer_subscribe(p, "+/7", 0, "", 0);
	peer_expect(p, "PUBLISH d0 q0 r1 m0 r/7=v");
	peer_quiet(p);
	rig_fini(&r);
}

static void what_is_replaced_while_its_feed_waits_comes_live_and_in_order(void **state)
{
	struct rig r;
	struct peer *p, *from;
	char line[64];

	(void)state;
	rig_with_many(&r, 20, &from);
	peer_publish(from, 3, 1, "r/1", "", "one");
	peer_expect(from, "PUBACK m1 10");
	peer_publish(from, 3, 1, "r/2", "", "one");
	peer_expect(from, "PUBACK m1 10");
	rig_run(&r, 5);
	p = peer_with_window(&r, "01");
	peer_subscribe(p, "r/+", 1, "", 1);
	peer_expect(p, "PUBLISH d0 q0 r1 m0 r/0=v");
	peer_expect(p, "PUBLISH d0 q1 r1 m1 r/1=one"); /* the window is full */
	peer_publish(from, 3, 2, "r/2", "", "two");
	peer_expect(from, "PUBACK m2 00");
	peer_publish(from, 1, 0, "r/3", "", "");
	peer_ping(from);
	rig_run(&r, 5);
	peer_quiet(p);
	peer_ack(p, MQTT_PUBACK, 1);
	for (unsigned i = 4; i < 20; i++) {
		snprintf(line, sizeof(line), "PUBLISH d0 q0 r1 m0 r/%u=v", i);
		peer_expect(p, line);
	}
	peer_expect(p, "PUBLISH d0 q1 r0 m2 r/2=two");
	peer_ack(p, MQTT_PUBACK, 2);
	peer_expect(p, "PUBLISH d0 q0 r0 m0 r/3=");
	peer_quiet(p);
	rig_fini(&r);
}

static void an_unsubscribe_ends_what_was_not_sent(void **state)
{
	struct rig r;
	struct peer *p, *from;

	(void)state;
	rig_with_many(&r, 20, &from);
	peer_publish(from, 3, 1, "r/0", "", "one");
	peer_expect(from, "PUBACK m1 10");
	rig_run(&r, 5);
	p = peer_with_window(&r, "01");
	peer_subscribe(p, "r/+", 1, "", 1);
	peer_expect(p, "PUBLISH d0 q1 r1 m1 r/0=one");
	peer_subscribe(p, "r/5", 1, "", 1);
	peer_publish(from, 2, 2, "r/5", "", "live");
	peer_expect(from, "PUBACK m2 00");
	rig_run(&r, 5);
	peer_unsubscribe(p, "r/+", 0);
	peer_ack(p, MQTT_PUBACK, 1);
	peer_expect(p, "PUBLISH d0 q0 r1 m0 r/5=v");
	peer_expect(p, "PUBLISH d0 q1 r0 m2 r/5=live");
	peer_quiet(p);
	rig_fini(&r);
}

static void no_local_holds_for_a_long_feed(void **state)
{
	struct rig r;
	struct peer *from, *other;

	(void)state;
	rig_with_many(&r, 20, &from);
	other = peer_up(&r, MQTT_V5, "other");
	peer_publish(other, 1, 0, "r/other", "", "v");
	peer_ping(other);
	rig_run(&r, 5);
	peer_subscribe(from, "r/+", 0x04, "", 0);
	peer_expect(from, "PUBLISH d0 q0 r1 m0 r/other=v");
	peer_quiet(from);
	rig_fini(&r);
}

static unsigned unripe(const struct worker *w)
{
	unsigned n = 0;

	list_for_each (f, &w->unripe)
		n++;
	return n;
}

/* A worker that has published, but not handed over, holds up the feeds at another. */
static void feeds_that_ripen_together_do_not_make_a_long_turn(void **state)
{
	const unsigned topics = 2000, feeds = 100;
	struct rig r;
	struct peer *from, *p;
	struct worker *w;
	uint64_t number;
	char topic[16];

	(void)state;
	rig_init(&r, 2);
	r.config.sys_interval_ms = 0;
	rig_start(&r);
	w = r.broker->workers[1];
	from = peer_up(&r, MQTT_V5, "from");
	for (unsigned i = 0; i < topics; i++) {
		snprintf(topic, sizeof(topic), "r/%u", i);
		peer_publish(from, 1, 0, topic, "", "v");
		if (i % 100 == 0)
			peer_ping(from);
	}
	peer_ping(from);
	rig_run(&r, 5);
	p = peer_up(&r, MQTT_V5, "p");
	number = atomic_fetch_add(&r.broker->workers[0]->published, 1) + 1;
	for (unsigned i = 0; i < feeds; i++)
		peer_subscribe(p, "#", 0, "", 0);
	assert_int_equal(unripe(w), feeds);
	r.broker->workers[0]->handed = number;
	lane_flush(broker_lane(r.broker, 0, 1), number);
	w->steps = 0;
	feeds_ripen(w);
	assert_in_range(unripe(w), 1, feeds - 1);
	assert_in_range(w->steps, WORKER_STEPS_MAX, WORKER_STEPS_MAX + 10 * topics);
	rig_run(&r, 10);
	assert_int_equal(unripe(w), 0);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_that_can_not_be_retained_is_refused_before_any_effect),
		cmocka_unit_test(version_3_is_closed_when_its_message_can_not_be_retained),
		cmocka_unit_test(with_qos_0_it_is_delivered_and_what_it_replaces_forgotten),
		cmocka_unit_test(a_will_that_can_not_be_retained_is_delivered),
		cmocka_unit_test(what_expires_goes_by_itself),
		cmocka_unit_test(a_feed_longer_than_a_list_brings_each_value_once),
		cmocka_unit_test(what_is_replaced_while_its_feed_waits_comes_live_and_in_order),
		cmocka_unit_test(an_unsubscribe_ends_what_was_not_sent),
		cmocka_unit_test(no_local_holds_for_a_long_feed),
		cmocka_unit_test(feeds_that_ripen_together_do_not_make_a_long_turn),
	};

	return cmocka_run_group_tests_name("mqtt_broker_retained", tests, NULL, NULL);
}
