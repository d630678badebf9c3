/* Messages that a stored session is owed: when their publisher is answered, and what comes after a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "mqtt/broker_rig.h"

#define EXPIRY_100 "11 00 00 00 64"
#define QOS1       0x02
#define QOS2       0x04

/* It subscribed `t` and went. */
static void be_away(struct rig *r, const char *id, uint8_t qos)
{
	struct peer *p = peer_up_kept(r, MQTT_V5, id, false);

	peer_subscribe(p, "t", qos, "", qos);
	peer_cut(p);
	rig_run(r, 10);
}

static void rows_are(struct rig *r, uint64_t rows)
{
	struct store_figures f;

	store_figures(r->disk.store, &f);
	assert_int_equal(f.rows, rows);
}

/* ---- acknowledgements ---- */

static void puback_waits_for_the_disk_when_a_subscriber_is_away(void **state)
{
	struct rig r;
	struct peer *pub;

	(void)state;
	for (uint32_t workers = 1; workers <= 3; workers += 2) {
		rig_up_disk(&r, workers);
		be_away(&r, "s", 1);
		pub = peer_up(&r, MQTT_V5, "pub");
		rig_disk_stands(&r, true);
		peer_publish(pub, QOS1, 1, "t", "", "x");
		peer_quiet(pub);
		rig_disk_stands(&r, false);
		peer_expect(pub, "PUBACK m1 00");
		rows_are(&r, 1);
		rig_fini(&r);
	}
}

static void a_subscriber_that_acknowledges_at_once_costs_no_row(void **state)
{
	struct rig r;
	struct peer *pub, *sub;

	(void)state;
	for (uint32_t workers = 1; workers <= 3; workers += 2) {
		rig_up_disk(&r, workers);
		sub = peer_up_kept(&r, MQTT_V5, "s", false);
		peer_subscribe(sub, "t", 1, "", 1);
		pub = peer_up(&r, MQTT_V5, "pub");
		rig_disk_stands(&r, true);
		r.config.linger_ms = 5;
		peer_publish(pub, QOS1, 1, "t", "", "x");
		peer_expect(sub, "PUBLISH d0 q1 r0 m1 t=x");
		peer_ack(sub, MQTT_PUBACK, 1);
		peer_expect(pub, "PUBACK m1 00");
		rig_run(&r, 50);
		rows_are(&r, 0);
		rig_fini(&r);
	}
}

static void a_subscriber_that_is_slow_costs_a_row_after_the_linger(void **state)
{
	struct rig r;
	struct peer *pub, *sub;

	(void)state;
	rig_up_disk(&r, 1);
	sub = peer_up_kept(&r, MQTT_V5, "s", false);
	peer_subscribe(sub, "t", 1, "", 1);
	pub = peer_up(&r, MQTT_V5, "pub");
	peer_publish(pub, QOS1, 1, "t", "", "x");
	peer_expect(sub, "PUBLISH d0 q1 r0 m1 t=x");
	peer_expect(pub, "PUBACK m1 00");
	rows_are(&r, 1);
	/* it is sent again after a crash, and no more when it was acknowledged */
	rig_restart(&r, true, 0);
	sub = peer_up_kept(&r, MQTT_V5, "s", true);
	peer_expect(sub, "PUBLISH d0 q1 r0 m1 t=x");
	peer_ack(sub, MQTT_PUBACK, 1);
	peer_ping(sub);
	rig_run(&r, 10);
	rig_restart(&r, true, 0);
	sub = peer_up_kept(&r, MQTT_V5, "s", true);
	peer_ping(sub);
	rig_fini(&r);
}

static void who_has_no_stored_subscriber_waits_for_nobody(void **state)
{
	struct rig r;
	struct peer *pub, *sub;

	(void)state;
	rig_up_disk(&r, 2);
	sub = peer_up(&r, MQTT_V5, "s");
	peer_subscribe(sub, "t", 1, "", 1);
	pub = peer_up(&r, MQTT_V5, "pub");
	rig_disk_stands(&r, true);
	peer_publish(pub, QOS1, 1, "t", "", "x");
	peer_publish(pub, QOS2, 2, "t", "", "y");
	peer_expect(pub, "PUBACK m1 00");
	peer_expect(pub, "PUBREC m2 00");
	rig_fini(&r);
}

/* ---- QoS 2 ---- */

static void qos2_leaves_when_its_packet_id_is_on_disk(void **state)
{
	struct rig r;
	struct peer *pub, *sub;

	(void)state;
	rig_up_disk(&r, 1);
	sub = peer_up_kept(&r, MQTT_V5, "s", false);
	peer_subscribe(sub, "t", 2, "", 2);
	pub = peer_up(&r, MQTT_V5, "pub");
	rig_disk_stands(&r, true);
	peer_publish(pub, QOS2, 1, "t", "", "x");
	peer_quiet(sub);
	peer_quiet(pub);
	rig_disk_stands(&r, false);
	peer_expect(sub, "PUBLISH d0 q2 r0 m1 t=x");
	peer_expect(pub, "PUBREC m1 00");
	rig_disk_stands(&r, true);
	peer_ack(sub, MQTT_PUBREC, 1);
	peer_quiet(sub); /* PUBREL waits as well */
	rig_disk_stands(&r, false);
	peer_expect(sub, "PUBREL m1 00");
	rig_restart(&r, true, 0);
	sub = peer_up_kept(&r, MQTT_V5, "s", true);
	peer_expect(sub, "PUBREL m1 00");
	peer_ack(sub, MQTT_PUBCOMP, 1);
	peer_ping(sub);
	rig_fini(&r);
}

static void qos2_of_a_stored_publisher_is_sent_when_it_is_confirmed(void **state)
{
	struct rig r;
	struct peer *pub, *sub;

	(void)state;
	for (uint32_t workers = 1; workers <= 3; workers += 2) {
		rig_up_disk(&r, workers);
		sub = peer_up_kept(&r, MQTT_V5, "s", false);
		peer_subscribe(sub, "t", 2, "", 2);
		pub = peer_up_kept(&r, MQTT_V5, "pub", false);
		peer_publish(pub, QOS2, 1, "t", "", "x");
		peer_expect(pub, "PUBREC m1 00");
		peer_expect(sub, "PUBLISH d0 q2 r0 m1 t=x");
		/* after a crash the publisher's repeat is known, and the subscriber gets it as a repeat */
		rig_restart(&r, true, 0);
		pub = peer_up_kept(&r, MQTT_V5, "pub", true);
		peer_publish(pub, 0x08 | QOS2, 1, "t", "", "x");
		peer_expect(pub, "PUBREC m1 00");
		sub = peer_up_kept(&r, MQTT_V5, "s", true);
		peer_expect(sub, "PUBLISH d1 q2 r0 m1 t=x");
		peer_ack(pub, MQTT_PUBREL, 1);
		peer_expect(pub, "PUBCOMP m1 00");
		peer_ping(sub);
		rig_fini(&r);
	}
}

static void qos2_that_was_not_confirmed_is_forgotten_and_sent_again(void **state)
{
	struct rig r;
	struct peer *pub, *sub;

	(void)state;
	rig_up_disk(&r, 1);
	be_away(&r, "s", 2);
	pub = peer_up_kept(&r, MQTT_V5, "pub", false);
	rig_disk_stands(&r, true);
	peer_publish(pub, QOS2, 1, "t", "", "x");
	peer_quiet(pub);
	rig_restart(&r, true, 0);
	pub = peer_up_kept(&r, MQTT_V5, "pub", true);
	peer_publish(pub, 0x08 | QOS2, 1, "t", "", "x");
	peer_expect(pub, "PUBREC m1 00");
	sub = peer_up_kept(&r, MQTT_V5, "s", true);
	peer_expect(sub, "PUBLISH d0 q2 r0 m1 t=x");
	peer_ping(sub);
	rig_fini(&r);
}

/* ---- queues ---- */

#define MANY 2000u

static void publish_many(struct rig *r, unsigned from, unsigned to)
{
	struct peer *pub = peer_up(r, MQTT_V5, "pub");
	char text[32];

	for (unsigned i = from; i < to; i++) {
		snprintf(text, sizeof(text), "%u", i);
		peer_publish(pub, QOS1, (uint16_t)(i + 1), "t", "", text);
		if (i % 100 == 99)
			rig_run(r, 5);
	}
	for (unsigned i = from; i < to; i++) {
		snprintf(text, sizeof(text), "PUBACK m%u 00", i + 1);
		peer_expect(pub, text);
	}
	peer_cut(pub);
}

static void expect_many(struct peer *sub, unsigned from, unsigned to, unsigned *id)
{
	char line[64];

	for (unsigned i = from; i < to; i++, ++*id) {
		snprintf(line, sizeof(line), "PUBLISH d0 q1 r0 m%u t=%u", *id, i);
		peer_expect(sub, line);
		peer_ack(sub, MQTT_PUBACK, (uint16_t)*id);
	}
}

static void a_long_queue_is_read_back_in_order(void **state)
{
	struct rig r;
	struct peer *sub;
	unsigned id = 1;

	(void)state;
	rig_up_disk(&r, 2);
	be_away(&r, "s", 1);
	publish_many(&r, 0, MANY);
	rows_are(&r, MANY);
	sub = peer_up_kept(&r, MQTT_V5, "s", true);
	expect_many(sub, 0, MANY / 2, &id);
	peer_cut(sub); /* in the middle */
	rig_run(&r, 10);
	publish_many(&r, MANY, MANY + 50);
	rig_restart(&r, true, 0);
	sub = peer_up_kept(&r, MQTT_V5, "s", true);
	id = 1;
	expect_many(sub, MANY / 2, MANY + 50, &id);
	peer_ping(sub);
	rig_fini(&r);
}

static void live_messages_come_behind_what_waits_on_disk(void **state)
{
	struct rig r;
	struct peer *sub;
	unsigned id = 1;

	(void)state;
	rig_up_disk(&r, 1);
	be_away(&r, "s", 1);
	publish_many(&r, 0, 1500);
	sub = peer_up_kept(&r, MQTT_V5, "s", true);
	expect_many(sub, 0, 10, &id);
	publish_many(&r, 1500, 1600);
	expect_many(sub, 10, 1600, &id);
	peer_ping(sub);
	rig_fini(&r);
}

static void one_message_to_many_sessions_is_stored_for_each(void **state)
{
	struct rig r;
	struct peer *sub;
	char id[8];

	(void)state;
	rig_up_disk(&r, 2);
	for (unsigned i = 0; i < 5; i++) {
		snprintf(id, sizeof(id), "s%u", i);
		be_away(&r, id, 1);
	}
	publish_many(&r, 0, 3);
	rows_are(&r, 15);
	rig_restart(&r, true, 0);
	for (unsigned i = 0; i < 5; i++) {
		unsigned packet = 1;

		snprintf(id, sizeof(id), "s%u", i);
		sub = peer_up_kept(&r, MQTT_V5, id, true);
		expect_many(sub, 0, 3, &packet);
	}
	rig_fini(&r);
}

static void a_full_queue_on_disk_drops_the_oldest_and_counts(void **state)
{
	struct rig r;
	struct broker_counters c;
	struct peer *sub;
	unsigned id = 1;

	(void)state;
	rig_init(&r, 1);
	rig_disk(&r);
	r.config.max_queued_messages = 100;
	r.config.queue_policy = BROKER_DROP_OLDEST;
	rig_start(&r);
	be_away(&r, "s", 1);
	publish_many(&r, 0, 150);
	broker_counters(r.broker, &c);
	assert_int_equal(c.dropped_queue_oldest, 50);
	sub = peer_up_kept(&r, MQTT_V5, "s", true);
	expect_many(sub, 50, 150, &id);
	peer_ping(sub);
	rig_fini(&r);
}

/* The one that is there has its hands full, so its worker looks once more, and one that is away gets it. */
static void puback_waits_for_a_member_of_a_share_group_that_is_found_late(void **state)
{
	struct rig r;
	struct peer *pub, *full, *away;

	(void)state;
	rig_init(&r, 2);
	rig_disk(&r);
	r.config.max_queued_messages = 1;
	rig_start(&r);
	pub = peer_up(&r, MQTT_V5, "pub");
	full = peer_open(&r, MQTT_V5);
	peer_connect(full, 0x02, "21 0001", "<full>");
	peer_expect(full, "CONNACK s0 00");
	(void)peer_up(&r, MQTT_V5, "other");
	away = peer_up_kept(&r, MQTT_V5, "away", false);
	peer_subscribe(full, "fill", 1, "", 1);
	peer_subscribe(full, "$share/g/t", 1, "", 1);
	peer_subscribe(away, "$share/g/t", 1, "", 1);
	peer_cut(away);
	for (uint16_t i = 1; i <= 2; i++) {
		peer_publish(pub, QOS1, i, "fill", "", "x");
		peer_expect(pub, i == 1 ? "PUBACK m1 00" : "PUBACK m2 00");
	}
	for (unsigned i = 0; i < 1000; i++) /* the numbers of its worker's publishes are far ahead */
		peer_publish(full, 0, 0, "nobody", "", "x");
	rig_run(&r, 10);
	rig_disk_stands(&r, true);
	peer_publish(pub, QOS1, 3, "t", "", "x");
	peer_quiet(pub);
	rig_disk_stands(&r, false);
	peer_expect(pub, "PUBACK m3 00");
	rig_restart(&r, true, 0);
	away = peer_up_kept(&r, MQTT_V5, "away", true);
	peer_expect(away, "PUBLISH d0 q1 r0 m1 t=x");
	rig_fini(&r);
}

/* What goes to many is delivered here after it was handed over to others. */
static void who_has_many_subscribers_is_answered_in_the_same_turn(void **state)
{
	struct rig r;
	struct peer *pub, *sub;

	(void)state;
	rig_init(&r, 2);
	rig_disk(&r);
	r.config.hand_over_first = 1;
	rig_start(&r);
	for (unsigned i = 0; i < 4; i++) {
		sub = peer_up(&r, MQTT_V5, (const char *[]){"a", "b", "c", "d"}[i]);
		peer_subscribe(sub, "t", 0, "", 0);
	}
	pub = peer_up(&r, MQTT_V5, "pub");
	rig_disk_stands(&r, true);
	peer_publish(pub, QOS1, 1, "t", "", "x");
	peer_publish(pub, QOS2, 2, "t", "", "y");
	peer_expect(pub, "PUBACK m1 00");
	peer_expect(pub, "PUBREC m2 00");
	rig_fini(&r);
}

/* Without waiting for the disk nothing tells that it has got further. */
static void qos2_leaves_when_nobody_waits_for_the_disk(void **state)
{
	struct rig r;
	struct peer *pub, *sub;

	(void)state;
	rig_init(&r, 1);
	r.disk.durability = STORE_NONE;
	rig_disk(&r);
	rig_start(&r);
	be_away(&r, "s", 2);
	pub = peer_up(&r, MQTT_V5, "pub");
	peer_publish(pub, QOS2, 1, "t", "", "x");
	peer_expect(pub, "PUBREC m1 00");
	peer_cut(pub);
	rig_run(&r, 500);
	sub = peer_up_kept(&r, MQTT_V5, "s", true);
	peer_expect(sub, "PUBLISH d0 q2 r0 m1 t=x");
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(puback_waits_for_the_disk_when_a_subscriber_is_away),
		cmocka_unit_test(a_subscriber_that_acknowledges_at_once_costs_no_row),
		cmocka_unit_test(a_subscriber_that_is_slow_costs_a_row_after_the_linger),
		cmocka_unit_test(who_has_no_stored_subscriber_waits_for_nobody),
		cmocka_unit_test(qos2_leaves_when_its_packet_id_is_on_disk),
		cmocka_unit_test(qos2_of_a_stored_publisher_is_sent_when_it_is_confirmed),
		cmocka_unit_test(qos2_that_was_not_confirmed_is_forgotten_and_sent_again),
		cmocka_unit_test(a_long_queue_is_read_back_in_order),
		cmocka_unit_test(live_messages_come_behind_what_waits_on_disk),
		cmocka_unit_test(one_message_to_many_sessions_is_stored_for_each),
		cmocka_unit_test(a_full_queue_on_disk_drops_the_oldest_and_counts),
		cmocka_unit_test(puback_waits_for_a_member_of_a_share_group_that_is_found_late),
		cmocka_unit_test(who_has_many_subscribers_is_answered_in_the_same_turn),
		cmocka_unit_test(qos2_leaves_when_nobody_waits_for_the_disk),
	};

	return cmocka_run_group_tests_name("broker_keep", tests, NULL, NULL);
}
