/* A store that takes nothing: who is refused, how, who goes on, and how it ends. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "mqtt/broker_rig.h"

#define EXPIRY_100 "11 00 00 00 64"

static const enum mqtt_version all[] = {MQTT_V31, MQTT_V311, MQTT_V5};

static uint64_t refused(const struct rig *r)
{
	struct broker_counters c;

	broker_counters(r->broker, &c);
	return c.refused_store;
}

/* From now on commits fail so, and the broker knows it; with ERR_FULL, the disk is full. */
static void break_disk(struct rig *r, int rc)
{
	struct peer *p = peer_open(r, MQTT_V5);

	store_mem_fail(r->disk.disk, UINT_MAX, rc);
	peer_connect(p, 0, EXPIRY_100, "<who finds out>");
	peer_quiet(p);
}

static void mend_disk(struct rig *r)
{
	store_mem_fail(r->disk.disk, 0, OK);
	rig_run(r, 3000); /* it tries again each second */
}

static void what_a_stored_session_must_get_is_refused_with_the_reason(void **state)
{
	static const struct {
		int rc;
		const char *puback, *pubrec;
	} table[] = {{ERR_FULL, "PUBACK m1 97", "PUBREC m2 97"}, {ERR_IO, "PUBACK m1 83", "PUBREC m2 83"}};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct peer *from, *sub;
		struct rig r;

		rig_up_disk(&r, 2);
		sub = peer_up_kept(&r, MQTT_V5, "sub", false);
		peer_subscribe(sub, i < 2 ? "t" : "$share/g/t", 1, "", 1);
		from = peer_up(&r, MQTT_V5, "from"); /* on the other worker */
		break_disk(&r, table[i % 2].rc);
		peer_publish(from, 2, 1, "t", "", "one");
		peer_expect(from, table[i % 2].puback);
		peer_publish(from, 4, 2, "t", "", "two");
		peer_expect(from, table[i % 2].pubrec);
		peer_quiet(sub);
		assert_int_equal(refused(&r), 2);
		mend_disk(&r);
		peer_publish(from, 2, 1, "t", "", "three");
		peer_expect(sub, "PUBLISH d0 q1 r0 m1 t=three");
		peer_ack(sub, MQTT_PUBACK, 1);
		peer_expect(from, "PUBACK m1 00");
		peer_publish(from, 4, 2, "t", "", "four"); /* no repeat: it was not taken */
		peer_expect(sub, "PUBLISH d0 q1 r0 m2 t=four");
		peer_ack(sub, MQTT_PUBACK, 2);
		peer_expect(from, "PUBREC m2 00");
		assert_int_equal(refused(&r), 2);
		rig_fini(&r);
	}
}

static void what_is_retained_with_an_acknowledgement_is_refused_and_has_no_effect(void **state)
{
	struct peer *from, *sub;
	struct broker_totals t;
	struct rig r;

	(void)state;
	rig_up_disk(&r, 1);
	from = peer_up(&r, MQTT_V5, "from");
	sub = peer_up(&r, MQTT_V5, "sub");
	peer_publish(from, 3, 1, "t", "", "before");
	peer_expect(from, "PUBACK m1 10");
	break_disk(&r, ERR_IO);
	peer_publish(from, 3, 1, "t", "", "one");
	peer_expect(from, "PUBACK m1 83");
	peer_publish(from, 3, 1, "t", "", "");
	peer_expect(from, "PUBACK m1 83");
	peer_subscribe(sub, "t", 0, "", 0);
	peer_expect(sub, "PUBLISH d0 q0 r1 m0 t=before");
	peer_publish(from, 1, 0, "t", "", "nobody was promised anything");
	peer_expect(sub, "PUBLISH d0 q0 r0 m0 t=nobody was promised anything");
	mend_disk(&r);
	rig_restart(&r, true, 0);
	broker_totals(r.broker, &t);
	assert_int_equal(t.retained_messages, 1);
	sub = peer_up(&r, MQTT_V5, "sub");
	peer_subscribe(sub, "t", 0, "", 0);
	peer_expect(sub, "PUBLISH d0 q0 r1 m0 t=nobody was promised anything");
	rig_fini(&r);
}

static void qos_2_of_a_stored_publisher_is_refused_whoever_gets_it(void **state)
{
	struct peer *from;
	struct rig r;

	(void)state;
	rig_up_disk(&r, 1);
	from = peer_up_kept(&r, MQTT_V5, "from", false);
	break_disk(&r, ERR_IO);
	peer_publish(from, 4, 1, "t", "", "nobody gets it");
	peer_expect(from, "PUBREC m1 83");
	peer_publish(from, 2, 2, "t", "", "nobody gets it");
	peer_expect(from, "PUBACK m2 10");
	rig_fini(&r);
}

/* QoS 0, sessions that end with their connections, and what no session of the store gets. */
static void all_else_goes_on(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		bool is_v5 = all[i] == MQTT_V5;
		struct peer *from, *kept, *sub;
		struct rig r;

		rig_up_disk(&r, 2);
		kept = peer_up_kept(&r, MQTT_V5, "kept", false);
		peer_subscribe(kept, "both", 1, "", 1);
		peer_subscribe(kept, "low", 0, "", 0);
		from = peer_up(&r, all[i], "from");
		break_disk(&r, i % 2 ? ERR_IO : ERR_FULL);
		sub = peer_up(&r, all[i], "sub");
		peer_subscribe(sub, "both", 2, "", 2);
		peer_subscribe(sub, "mine", 2, "", 2);
		peer_publish(from, 0, 0, "both", "", "0");
		peer_expect(kept, "PUBLISH d0 q0 r0 m0 both=0");
		peer_expect(sub, "PUBLISH d0 q0 r0 m0 both=0");
		peer_publish(from, 2, 1, "low", "", "1");
		peer_expect(from, is_v5 ? "PUBACK m1 00" : "PUBACK m1");
		peer_expect(kept, "PUBLISH d0 q0 r0 m0 low=1");
		peer_publish(from, 4, 2, "mine", "", "2");
		peer_expect(from, is_v5 ? "PUBREC m2 00" : "PUBREC m2");
		peer_expect(sub, "PUBLISH d0 q2 r0 m1 mine=2");
		peer_ack(from, MQTT_PUBREL, 2);
		peer_expect(from, is_v5 ? "PUBCOMP m2 00" : "PUBCOMP m2");
		peer_unsubscribe(sub, "both", 0);
		assert_int_equal(refused(&r), 0);
		rig_fini(&r);
	}
}

static void below_version_5_the_packet_waits_and_is_taken_when_the_disk_is_well(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		enum mqtt_version v = all[i % 2];
		bool is_qos2 = i >= 2;
		struct peer *from, *sub;
		struct broker_counters count;
		struct rig r;

		rig_up_disk(&r, 1);
		sub = peer_up_kept(&r, MQTT_V5, "sub", false);
		peer_subscribe(sub, "t", 1, "", 1);
		from = peer_up(&r, v, "from");
		break_disk(&r, ERR_FULL);
		peer_publish(from, is_qos2 ? 4 : 2, 1, "t", "", "waits");
		peer_publish(from, 0, 0, "t", "", "behind it");
		peer_quiet(sub);
		rig_run(&r, 20000);
		peer_quiet(from);
		mend_disk(&r);
		peer_expect(sub, "PUBLISH d0 q1 r0 m1 t=waits");
		peer_ack(sub, MQTT_PUBACK, 1);
		peer_expect(sub, "PUBLISH d0 q0 r0 m0 t=behind it");
		peer_expect(from, is_qos2 ? "PUBREC m1" : "PUBACK m1");
		broker_counters(r.broker, &count);
		assert_int_equal(count.messages_received, 2);
		assert_int_equal(count.refused_store, 0);
		rig_run(&r, 60000); /* its keep-alive runs again: not before 90 s */
		peer_ping(from);
		rig_run(&r, 91000);
		peer_expect(from, "closed");
		rig_fini(&r);
	}
}

static void below_version_5_who_waits_too_long_is_closed(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct peer *from, *sub;
		struct rig r;

		rig_init(&r, 1);
		rig_disk(&r);
		r.config.refuse_close_ms = 5000;
		rig_start(&r);
		sub = peer_up_kept(&r, MQTT_V5, "sub", false);
		peer_subscribe(sub, "t", 1, "", 1);
		from = peer_up(&r, all[i], "from");
		break_disk(&r, ERR_IO);
		peer_publish(from, 2, 1, "t", "", "waits");
		rig_run(&r, 4900);
		assert_false(from->stream->is_closed);
		rig_run(&r, 200);
		peer_expect(from, "closed");
		assert_int_equal(refused(&r), 1);
		peer_quiet(sub);
		mend_disk(&r);
		peer_quiet(sub);
		rig_fini(&r);
	}
}

static void a_stored_session_keeps_the_subscriptions_it_has(void **state)
{
	struct peer *p, *old;
	struct rig r;

	(void)state;
	rig_up_disk(&r, 1);
	p = peer_up_kept(&r, MQTT_V5, "p", false);
	peer_subscribe(p, "t", 1, "", 1);
	old = peer_up_kept(&r, MQTT_V311, "old", false);
	break_disk(&r, ERR_FULL);
	peer_unsubscribe(p, "t", 0x83);
	peer_subscribe(p, "other", 1, "", 0x97);
	peer_subscribe(old, "t", 1, "", 0x80);
	mend_disk(&r);
	peer_unsubscribe(p, "t", 0);
	peer_subscribe(old, "t", 1, "", 1);
	rig_fini(&r);
}

/* ---- a store that is behind ---- */

#define MESSAGES 400u
#define PAYLOAD  60000u

/* One after the other, and no answer is read: 24 MB. */
static void flood(struct peer *p)
{
	static uint8_t packet[16 + PAYLOAD];
	size_t rest = 5 + (p->v == MQTT_V5) + PAYLOAD;
	const uint8_t head[] = {
		0x32, (uint8_t)(rest | 0x80), (uint8_t)(rest >> 7 | 0x80), (uint8_t)(rest >> 14), 0, 1, 't'};

	memcpy(packet, head, sizeof(head));
	for (uint32_t i = 1; i <= MESSAGES; i++) {
		packet[sizeof(head)] = (uint8_t)(i >> 8);
		packet[sizeof(head) + 1] = (uint8_t)i;
		peer_send_bytes(p, packet, 4 + rest);
	}
}

/* A broker with a session of the store that is away. */
static void up_for_floods(struct rig *r)
{
	struct peer *sub;

	rig_init(r, 1);
	rig_disk(r);
	r->config.max_queued_bytes = 100000000;
	rig_start(r);
	sub = peer_up_kept(r, MQTT_V5, "sub", false);
	peer_subscribe(sub, "t", 1, "", 1);
	peer_cut(sub);
}

static uint64_t received(const struct rig *r)
{
	struct broker_counters c;

	broker_counters(r->broker, &c);
	return c.messages_received;
}

static void publishers_wait_while_the_store_is_behind(void **state)
{
	struct peer *from, *calm;
	struct rig r;
	char line[32];

	(void)state;
	up_for_floods(&r);
	calm = peer_up(&r, MQTT_V5, "calm");
	from = peer_up(&r, MQTT_V311, "from");
	rig_disk_stands(&r, true);
	flood(from);
	rig_run(&r, 1000);
	assert_in_range(received(&r), 8000000 / PAYLOAD, 10000000 / PAYLOAD);
	peer_ping(calm); /* who publishes nothing is read */
	rig_disk_stands(&r, false);
	for (unsigned i = 1; i <= MESSAGES; i++) {
		snprintf(line, sizeof(line), "PUBACK m%u", i);
		peer_expect(from, line);
	}
	rig_fini(&r);
}

/* It will not catch up soon: they are answered instead. */
static void publishers_do_not_wait_for_a_store_that_takes_nothing(void **state)
{
	struct peer *from;
	struct rig r;

	(void)state;
	up_for_floods(&r);
	from = peer_up(&r, MQTT_V5, "from");
	rig_disk_stands(&r, true);
	flood(from);
	rig_run(&r, 1000);
	assert_in_range(received(&r), 8000000 / PAYLOAD, 10000000 / PAYLOAD);
	store_mem_fail(r.disk.disk, UINT_MAX, ERR_FULL);
	rig_disk_stands(&r, false);
	rig_run(&r, 1000);
	assert_int_equal(received(&r), MESSAGES);
	assert_in_range(refused(&r), MESSAGES - 10000000 / PAYLOAD, MESSAGES - 8000000 / PAYLOAD);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_stored_session_must_get_is_refused_with_the_reason),
		cmocka_unit_test(what_is_retained_with_an_acknowledgement_is_refused_and_has_no_effect),
		cmocka_unit_test(qos_2_of_a_stored_publisher_is_refused_whoever_gets_it),
		cmocka_unit_test(all_else_goes_on),
		cmocka_unit_test(below_version_5_the_packet_waits_and_is_taken_when_the_disk_is_well),
		cmocka_unit_test(below_version_5_who_waits_too_long_is_closed),
		cmocka_unit_test(a_stored_session_keeps_the_subscriptions_it_has),
		cmocka_unit_test(publishers_wait_while_the_store_is_behind),
		cmocka_unit_test(publishers_do_not_wait_for_a_store_that_takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
