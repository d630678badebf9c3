#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mqtt/client_rig.h"

#define UP      "connected present0 id=c ka60"
#define RESUMED "connected present1 id=c ka60"
#define CUT     "disconnected input/output error rc0"

/* v5 with a session that is kept */
static void kept_init(struct rig *r, uint64_t seed)
{
	rig_init(r, seed, MQTT_V5);
	mqtt_props_set_num(&r->opt.connect.props, MQTT_P_SESSION_EXPIRY, 1000);
}

static void again(struct rig *r, bool session_present, const struct mqtt_props *p)
{
	rig_cut(r);
	rig_event(r, CUT);
	rig_packet(r, "CONNECT v5 clean0 id=c ka60");
	rig_connack_props(r, session_present, 0, p);
	rig_event(r, session_present ? RESUMED : UP);
}

/* ---- our publishes ---- */

static void what_is_unacknowledged_is_resent_with_dup_and_its_id(void **state)
{
	struct rig r;

	(void)state;
	kept_init(&r, 1);
	rig_up(&r);
	rig_pub(&r, 1, "a", "1", 1);
	rig_pub(&r, 2, "a", "2", 2);
	rig_pub(&r, 2, "a", "3", 3);
	rig_packet(&r, "PUBLISH d0 q1 r0 m1 a=1");
	rig_packet(&r, "PUBLISH d0 q2 r0 m2 a=2");
	rig_packet(&r, "PUBLISH d0 q2 r0 m3 a=3");
	rig_ack(&r, MQTT_PUBREC, 3, 0);
	rig_packet(&r, "PUBREL m3 rc0");
	for (int n = 0; n < 3; n++) {
		again(&r, true, NULL);
		rig_packet(&r, "PUBREL m3 rc0");
		rig_packet(&r, "PUBLISH d1 q1 r0 m1 a=1");
		rig_packet(&r, "PUBLISH d1 q2 r0 m2 a=2");
	}
	rig_ack(&r, MQTT_PUBCOMP, 3, 0);
	rig_event(&r, "published 3 ok rc0");
	rig_ack(&r, MQTT_PUBACK, 1, 0);
	rig_event(&r, "published 1 ok rc0");
	rig_ack(&r, MQTT_PUBREC, 2, 0);
	rig_packet(&r, "PUBREL m2 rc0");
	rig_ack(&r, MQTT_PUBCOMP, 2, 0);
	rig_event(&r, "published 2 ok rc0");
	rig_fini(&r);
}

static void what_the_server_forgot_is_sent_as_new_before_what_waited(void **state)
{
	struct rig r;

	(void)state;
	kept_init(&r, 2);
	r.opt.inflight = 3;
	rig_up(&r);
	rig_pub(&r, 1, "a", "1", 1);
	rig_pub(&r, 2, "a", "2", 2);
	rig_pub(&r, 2, "a", "3", 3);
	rig_pub(&r, 0, "a", "4", 4);
	rig_pub(&r, 1, "a", "5", 5);
	rig_packet(&r, "PUBLISH d0 q1 r0 m1 a=1");
	rig_packet(&r, "PUBLISH d0 q2 r0 m2 a=2");
	rig_packet(&r, "PUBLISH d0 q2 r0 m3 a=3");
	rig_packet(&r, "PUBLISH d0 q0 r0 m0 a=4");
	rig_event(&r, "published 4 ok rc0");
	rig_ack(&r, MQTT_PUBREC, 3, 0);
	rig_packet(&r, "PUBREL m3 rc0");
	rig_cut(&r);
	rig_event(&r, CUT);
	rig_packet(&r, "CONNECT v5 clean0 id=c ka60");
	rig_connack(&r, false, 0);
	rig_event(&r, "published 3 ok rc0"); /* the server took it over with PUBREC */
	rig_event(&r, UP);
	rig_packet(&r, "PUBLISH d0 q1 r0 m4 a=1");
	rig_packet(&r, "PUBLISH d0 q2 r0 m5 a=2");
	rig_packet(&r, "PUBLISH d0 q1 r0 m6 a=5");
	rig_fini(&r);
}

static void v3_resends_when_its_session_is_not_clean(void **state)
{
	static const enum mqtt_version versions[] = {MQTT_V31, MQTT_V311};
	struct rig r;

	(void)state;
	for (int i = 0; i < 2; i++) {
		rig_init(&r, 3, versions[i]);
		r.opt.connect.clean_start = false;
		rig_up(&r);
		rig_pub(&r, 1, "a", "1", 1);
		rig_packet(&r, "PUBLISH d0 q1 r0 m1 a=1");
		rig_cut(&r);
		rig_event(&r, CUT);
		rig_packet(&r, i ? "CONNECT v4 clean0 id=c ka60" : "CONNECT v3 clean0 id=c ka60");
		rig_connack(&r, i == 1, 0);
		rig_event(&r, RESUMED);
		rig_packet(&r, "PUBLISH d1 q1 r0 m1 a=1");
		rig_fini(&r);
	}
}

static void the_window_of_the_server_holds_also_for_resends(void **state)
{
	struct mqtt_props p = {0};
	struct rig r;

	(void)state;
	kept_init(&r, 4);
	rig_up(&r);
	for (unsigned i = 1; i <= 4; i++)
		rig_pub(&r, 1, "a", "x", i);
	for (unsigned i = 1; i <= 4; i++) {
		char text[64];

		snprintf(text, sizeof(text), "PUBLISH d0 q1 r0 m%u a=x", i);
		rig_packet(&r, text);
	}
	mqtt_props_set_num(&p, MQTT_P_RECEIVE_MAXIMUM, 2);
	again(&r, true, &p);
	rig_packet(&r, "PUBLISH d1 q1 r0 m1 a=x");
	rig_packet(&r, "PUBLISH d1 q1 r0 m2 a=x");
	rig_quiet(&r, 1000);
	rig_ack(&r, MQTT_PUBACK, 1, 0);
	rig_event(&r, "published 1 ok rc0");
	rig_packet(&r, "PUBLISH d1 q1 r0 m3 a=x");
	rig_ack(&r, MQTT_PUBACK, 3, 0);
	rig_event(&r, "published 3 ok rc0");
	rig_packet(&r, "PUBLISH d1 q1 r0 m4 a=x");
	rig_quiet(&r, 1000);
	rig_fini(&r);
}

static void qos_2_takes_its_place_in_the_window_until_pubcomp(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 5, MQTT_V5);
	r.opt.inflight = 1;
	rig_up(&r);
	rig_pub(&r, 2, "a", "1", 1);
	rig_pub(&r, 2, "a", "2", 2);
	rig_packet(&r, "PUBLISH d0 q2 r0 m1 a=1");
	rig_ack(&r, MQTT_PUBREC, 1, 0);
	rig_packet(&r, "PUBREL m1 rc0");
	rig_quiet(&r, 1000);
	rig_ack(&r, MQTT_PUBCOMP, 1, 0);
	rig_event(&r, "published 1 ok rc0");
	rig_packet(&r, "PUBLISH d0 q2 r0 m2 a=2");
	rig_ack(&r, MQTT_PUBREC, 2, MQTT_RC_QUOTA_EXCEEDED); /* refused: that is the end of it */
	rig_event(&r, "published 2 refused by the other side rc151");
	rig_quiet(&r, 1000);
	rig_fini(&r);
}

static void what_the_server_cannot_take_is_finished_without_sending(void **state)
{
	char large[200];
	struct mqtt_publish m = {.topic = span_str("a"), .retain = true};
	struct mqtt_props p = {0};
	struct rig r;

	(void)state;
	memset(large, 'x', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	rig_init(&r, 6, MQTT_V5);
	rig_start(&r);
	mqtt_props_set_num(&p, MQTT_P_MAXIMUM_QOS, 1);
	mqtt_props_set_num(&p, MQTT_P_RETAIN_AVAILABLE, 0);
	mqtt_props_set_num(&p, MQTT_P_MAXIMUM_PACKET_SIZE, 100);
	rig_connack_props(&r, false, 0, &p);
	rig_event(&r, UP);
	rig_pub(&r, 2, "a", "x", 1);
	assert_int_equal(mqtt_client_publish(r.client, &m, (void *)2), OK);
	rig_pub(&r, 0, "a", large, 3);
	m.retain = false;
	mqtt_props_set_num(&m.props, MQTT_P_TOPIC_ALIAS, 1);
	assert_int_equal(mqtt_client_publish(r.client, &m, (void *)4), OK);
	rig_event(&r, "published 1 not supported rc155");
	rig_event(&r, "published 2 not supported rc154");
	rig_event(&r, "published 3 larger than allowed rc149");
	rig_event(&r, "published 4 not supported rc148");
	rig_quiet(&r, 1000);
	rig_fini(&r);
}

static void the_queue_has_its_bounds(void **state)
{
	struct mqtt_publish m = {.topic = span_str("a"), .payload = span_str("0123456789")};
	struct mqtt_client_counters n;
	struct rig r;

	(void)state;
	rig_init(&r, 7, MQTT_V311);
	r.opt.queue_messages = 3;
	rig_create(&r);
	for (uintptr_t i = 0; i < 3; i++)
		assert_int_equal(mqtt_client_publish(r.client, &m, (void *)i), OK);
	assert_int_equal(mqtt_client_publish(r.client, &m, NULL), ERR_FULL);
	mqtt_client_counters(r.client, &n);
	assert_int_equal(n.dropped, 1);
	rig_fini(&r);

	rig_init(&r, 7, MQTT_V311);
	r.opt.queue_bytes = 2 * 15; /* two such packets */
	rig_create(&r);
	for (uintptr_t i = 0; i < 2; i++)
		assert_int_equal(mqtt_client_publish(r.client, &m, (void *)i), OK);
	assert_int_equal(mqtt_client_publish(r.client, &m, NULL), ERR_FULL);
	rig_fini(&r);
}

static void wrong_topics_and_filters_are_refused_at_the_call(void **state)
{
	static const char *const topics[] = {"", "a/+", "#", "\xff"};
	static const char *const filters[] = {"", "a+", "#/a", "\xc0\x80"};
	struct rig r;

	(void)state;
	rig_init(&r, 8, MQTT_V5);
	rig_create(&r);
	for (size_t i = 0; i < 4; i++) {
		struct mqtt_publish m = {.topic = span_str(topics[i])};
		struct mqtt_sub_item item = {.filter = span_str(filters[i])};

		assert_int_equal(mqtt_client_publish(r.client, &m, NULL), ERR_TOPIC);
		assert_int_equal(mqtt_client_subscribe(r.client, &item, 1, NULL, NULL), ERR_TOPIC);
		assert_int_equal(mqtt_client_unsubscribe(r.client, &item.filter, 1, NULL, NULL), ERR_TOPIC);
	}
	rig_fini(&r);
}

static void acknowledgements_of_the_wrong_kind_end_the_connection(void **state)
{
	struct rig r;

	(void)state;
	for (int which = 0; which < 3; which++) {
		rig_init(&r, 9, MQTT_V5);
		rig_up(&r);
		rig_ack(&r, MQTT_PUBACK, 77,
			MQTT_RC_PACKET_ID_NOT_FOUND - 0x92); /* of no id in use: no offence */
		rig_ack(&r, MQTT_PUBREC, 77, 0);
		rig_packet(&r, "PUBREL m77 rc146");
		rig_pub(&r, which == 0 ? 2 : 1, "a", "x", 1);
		rig_packet(&r, which == 0 ? "PUBLISH d0 q2 r0 m1 a=x" : "PUBLISH d0 q1 r0 m1 a=x");
		rig_ack(&r, which == 0 ? MQTT_PUBACK : which == 1 ? MQTT_PUBREC : MQTT_PUBCOMP, 1, 0);
		rig_event(&r, "disconnected not allowed by the protocol at this point rc130");
		rig_packet(&r, "DISCONNECT rc130");
		rig_fini(&r);
	}
}

/* ---- the server's publishes ---- */

static void inbound_messages_are_acknowledged_in_order(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 10, MQTT_V5);
	rig_up(&r);
	rig_publish(&r, 1, 7, false, "a", "1");
	rig_publish(&r, 2, 5, false, "a", "2");
	rig_publish(&r, 0, 0, false, "a", "3");
	rig_publish(&r, 1, 6, false, "a", "4");
	rig_packet(&r, "PUBACK m7 rc0");
	rig_packet(&r, "PUBREC m5 rc0");
	rig_packet(&r, "PUBACK m6 rc0");
	rig_event(&r, "message q1 a=1");
	rig_event(&r, "message q2 a=2");
	rig_event(&r, "message q0 a=3");
	rig_event(&r, "message q1 a=4");
	rig_ack(&r, MQTT_PUBREL, 5, 0);
	rig_packet(&r, "PUBCOMP m5 rc0");
	rig_ack(&r, MQTT_PUBREL, 5, 0);
	rig_packet(&r, "PUBCOMP m5 rc146");
	rig_fini(&r);
}

static void qos_2_is_delivered_once_within_the_session(void **state)
{
	struct mqtt_client_counters n;
	struct rig r;

	(void)state;
	kept_init(&r, 11);
	rig_up(&r);
	rig_publish(&r, 2, 5, false, "a", "x");
	rig_packet(&r, "PUBREC m5 rc0");
	rig_event(&r, "message q2 a=x");
	rig_publish(&r, 2, 5, true, "a", "x");
	rig_packet(&r, "PUBREC m5 rc0");
	again(&r, true, NULL);
	rig_publish(&r, 2, 5, true, "a", "x");
	rig_packet(&r, "PUBREC m5 rc0");
	rig_ack(&r, MQTT_PUBREL, 5, 0);
	rig_packet(&r, "PUBCOMP m5 rc0");
	rig_publish(&r, 2, 5, false, "a", "y"); /* the id is free: another message */
	rig_packet(&r, "PUBREC m5 rc0");
	rig_event(&r, "message q2 a=y");
	again(&r, false, NULL); /* and in another session too */
	rig_publish(&r, 2, 5, false, "a", "z");
	rig_packet(&r, "PUBREC m5 rc0");
	rig_event(&r, "message q2 a=z");
	mqtt_client_counters(r.client, &n);
	assert_int_equal(n.duplicates, 2);
	assert_int_equal(n.received, 3);
	rig_fini(&r);
}

static void more_than_our_receive_maximum_is_a_violation(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 12, MQTT_V5);
	mqtt_props_set_num(&r.opt.connect.props, MQTT_P_RECEIVE_MAXIMUM, 2);
	rig_up(&r);
	for (uint16_t id = 1; id <= 2; id++) {
		rig_publish(&r, 2, id, false, "a", "x");
		rig_event(&r, "message q2 a=x");
	}
	rig_packet(&r, "PUBREC m1 rc0");
	rig_packet(&r, "PUBREC m2 rc0");
	rig_ack(&r, MQTT_PUBREL, 1, 0);
	rig_packet(&r, "PUBCOMP m1 rc0");
	rig_publish(&r, 1, 3, false, "a", "y");
	rig_event(&r, "message q1 a=y");
	rig_packet(&r, "PUBACK m3 rc0");
	rig_publish(&r, 2, 4, false, "a", "x");
	rig_event(&r, "message q2 a=x");
	rig_packet(&r, "PUBREC m4 rc0");
	rig_publish(&r, 1, 5, false, "a", "z");
	rig_event(&r, "disconnected not allowed by the protocol at this point rc147");
	rig_packet(&r, "DISCONNECT rc147");
	rig_fini(&r);
}

static void topic_aliases_of_the_server_are_resolved(void **state)
{
	struct mqtt_props p = {0};
	struct rig r;

	(void)state;
	rig_init(&r, 13, MQTT_V5);
	mqtt_props_set_num(&r.opt.connect.props, MQTT_P_TOPIC_ALIAS_MAXIMUM, 2);
	rig_up(&r);
	mqtt_props_set_num(&p, MQTT_P_TOPIC_ALIAS, 2);
	rig_publish_props(&r, 0, 0, false, "long/topic", "1", &p);
	rig_event(&r, "message q0 long/topic=1");
	rig_publish_props(&r, 0, 0, false, "", "2", &p);
	rig_event(&r, "message q0 long/topic=2");
	rig_publish_props(&r, 0, 0, false, "other", "3", &p);
	rig_event(&r, "message q0 other=3");
	rig_cut(&r); /* an alias lives as long as the connection */
	rig_event(&r, CUT);
	rig_packet(&r, "CONNECT v5 clean1 id=c ka60");
	rig_connack(&r, false, 0);
	rig_event(&r, UP);
	rig_publish_props(&r, 0, 0, false, "", "4", &p);
	rig_event(&r, "disconnected not allowed by the protocol at this point rc130");
	rig_fini(&r);
}

/* ---- subscriptions ---- */

static void subscriptions_are_made_again_when_the_session_is_lost(void **state)
{
	struct mqtt_sub_item item = {.filter = span_str("sid"), .qos = 2};
	struct mqtt_props p = {0};
	struct rig r;

	(void)state;
	kept_init(&r, 14);
	rig_up(&r);
	rig_sub(&r, "a", 1, 1);
	rig_sub(&r, "b/#", 0, 2);
	rig_sub(&r, "denied", 0, 3);
	mqtt_props_set_num(&p, MQTT_P_SUBSCRIPTION_ID, 9);
	assert_int_equal(mqtt_client_subscribe(r.client, &item, 1, &p, (void *)4), OK);
	rig_packet(&r, "SUBSCRIBE m1 a:1");
	rig_packet(&r, "SUBSCRIBE m2 b/#:0");
	rig_packet(&r, "SUBSCRIBE m3 denied:0");
	rig_packet(&r, "SUBSCRIBE m4 sid9 sid:2");
	rig_suback(&r, MQTT_SUBACK, 1, "\1", 1);
	rig_suback(&r, MQTT_SUBACK, 2, "\0", 1);
	rig_suback(&r, MQTT_SUBACK, 3, "\x87", 1);
	rig_suback(&r, MQTT_SUBACK, 4, "\2", 1);
	rig_event(&r, "subscribed 1 ok rc0: 1");
	rig_event(&r, "subscribed 2 ok rc0: 0");
	rig_event(&r, "subscribed 3 ok rc0: 135");
	rig_event(&r, "subscribed 4 ok rc0: 2");
	again(&r, true, NULL);
	rig_quiet(&r, 1000);
	rig_unsub(&r, "a", 5);
	rig_packet(&r, "UNSUBSCRIBE m5 a");
	rig_suback(&r, MQTT_UNSUBACK, 5, "\0", 1);
	rig_event(&r, "unsubscribed 5 ok rc0: 0");
	again(&r, false, NULL);
	rig_packet(&r, "SUBSCRIBE m6 b/#:0");
	rig_packet(&r, "SUBSCRIBE m7 sid9 sid:2");
	rig_suback(&r, MQTT_SUBACK, 6, "\x87", 1); /* not granted any more: it is forgotten */
	rig_event(&r, "subscribed 0 ok rc0 again: 135");
	again(&r, true, NULL); /* before the answer: asked once more */
	rig_packet(&r, "SUBSCRIBE m8 sid9 sid:2");
	rig_suback(&r, MQTT_SUBACK, 8, "\2", 1);
	rig_event(&r, "subscribed 0 ok rc0 again: 2");
	again(&r, false, NULL);
	rig_packet(&r, "SUBSCRIBE m9 sid9 sid:2");
	rig_fini(&r);
}

static void after_a_lost_connack_the_session_is_not_believed_to_be_ours(void **state)
{
	struct rig r;

	(void)state;
	kept_init(&r, 20);
	rig_up(&r);
	rig_sub(&r, "a", 1, 1);
	rig_packet(&r, "SUBSCRIBE m1 a:1");
	rig_suback(&r, MQTT_SUBACK, 1, "\1", 1);
	rig_event(&r, "subscribed 1 ok rc0: 1");
	rig_publish(&r, 2, 5, false, "a", "old");
	rig_publish(&r, 2, 6, false, "a", "older");
	rig_packet(&r, "PUBREC m5 rc0");
	rig_packet(&r, "PUBREC m6 rc0");
	rig_event(&r, "message q2 a=old");
	rig_event(&r, "message q2 a=older");
	rig_cut(&r);
	rig_event(&r, CUT);
	rig_packet(&r, "CONNECT v5 clean0 id=c ka60"); /* the server may have made a new session here */
	rig_cut(&r);
	rig_event(&r, CUT);
	rig_packet(&r, "CONNECT v5 clean0 id=c ka60");
	rig_connack(&r, true, 0);
	rig_event(&r, RESUMED);
	rig_packet(&r, "SUBSCRIBE m2 a:1");
	rig_publish(&r, 2, 5, false, "a", "new"); /* not a repeat: it has no DUP */
	rig_packet(&r, "PUBREC m5 rc0");
	rig_event(&r, "message q2 a=new");
	rig_publish(&r, 2, 6, true, "a", "older");
	rig_packet(&r, "PUBREC m6 rc0");
	rig_quiet(&r, 1000);
	rig_fini(&r);
}

static void a_request_without_an_answer_is_asked_again(void **state)
{
	struct rig r;

	(void)state;
	kept_init(&r, 15);
	rig_up(&r);
	rig_sub(&r, "a", 1, 1);
	rig_unsub(&r, "b", 2);
	rig_packet(&r, "SUBSCRIBE m1 a:1");
	rig_packet(&r, "UNSUBSCRIBE m2 b");
	again(&r, true, NULL);
	rig_packet(&r, "SUBSCRIBE m3 a:1");
	rig_packet(&r, "UNSUBSCRIBE m4 b");
	rig_suback(&r, MQTT_SUBACK, 3, "\1", 1);
	rig_event(&r, "subscribed 1 ok rc0: 1");
	rig_fini(&r);
}

static void what_the_server_does_not_offer_is_not_asked(void **state)
{
	struct mqtt_sub_item item = {.filter = span_str("x")};
	struct mqtt_props p = {0}, id = {0};
	struct rig r;

	(void)state;
	rig_init(&r, 16, MQTT_V5);
	rig_start(&r);
	mqtt_props_set_num(&p, MQTT_P_WILDCARD_AVAILABLE, 0);
	mqtt_props_set_num(&p, MQTT_P_SHARED_AVAILABLE, 0);
	mqtt_props_set_num(&p, MQTT_P_SUBSCRIPTION_ID_AVAILABLE, 0);
	rig_connack_props(&r, false, 0, &p);
	rig_event(&r, UP);
	rig_sub(&r, "a/+", 0, 1);
	rig_sub(&r, "$share/g/a", 0, 2);
	mqtt_props_set_num(&id, MQTT_P_SUBSCRIPTION_ID, 9);
	assert_int_equal(mqtt_client_subscribe(r.client, &item, 1, &id, (void *)3), OK);
	rig_sub(&r, "plain", 0, 4);
	rig_event(&r, "subscribed 1 not supported rc162:");
	rig_event(&r, "subscribed 2 not supported rc158:");
	rig_event(&r, "subscribed 3 not supported rc161:");
	rig_packet(&r, "SUBSCRIBE m1 plain:0");
	rig_fini(&r);
}

static void codes_that_do_not_match_the_filters_are_a_violation(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 17, MQTT_V311);
	rig_up(&r);
	rig_sub(&r, "a", 1, 1);
	rig_packet(&r, "SUBSCRIBE m1 a:1");
	rig_suback(&r, MQTT_SUBACK, 1, "\1\1", 2);
	rig_event(&r, "disconnected not allowed by the protocol at this point rc130");
	rig_fini(&r);
}

/* ---- large things ---- */

static void large_messages_pass_in_both_directions(void **state)
{
	const size_t size = 3000000;
	const struct sim_net_faults narrow = {.buffer = 5000, .partial_one_in = 3};
	struct rig r;
	char *large = malloc(size + 1);

	(void)state;
	memset(large, 'x', size);
	large[size] = '\0';
	rig_init(&r, 18, MQTT_V5);
	sim_net_set_faults(r.net, &narrow);
	rig_up(&r);
	rig_pub(&r, 1, "a", large, 1);
	rig_pub(&r, 0, "a", "next", 2);
	rig_packet(&r, "PUBLISH d0 q1 r0 m1 a=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
	rig_packet(&r, "PUBLISH d0 q0 r0 m0 a=next");
	rig_event(&r, "published 2 ok rc0");
	rig_ack(&r, MQTT_PUBACK, 1, 0);
	rig_event(&r, "published 1 ok rc0");
	free(large);
	rig_fini(&r);
}

static void a_qos_0_message_that_was_cut_off_is_told(void **state)
{
	const struct sim_net_faults narrow = {.buffer = 1000};
	static char large[5000];
	struct rig r;

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	rig_init(&r, 19, MQTT_V5);
	sim_net_set_faults(r.net, &narrow);
	rig_up(&r);
	r.is_deaf = true;
	rig_pub(&r, 0, "a", large, 1);
	rig_pub(&r, 1, "a", "x", 2);
	rig_quiet(&r, 1000);
	r.is_deaf = false;
	rig_cut(&r);
	rig_event(&r, "published 1 closed by the other side rc0");
	rig_event(&r, CUT);
	rig_packet(&r, "CONNECT v5 clean1 id=c ka60");
	rig_connack(&r, false, 0);
	rig_event(&r, UP);
	rig_packet(&r, "PUBLISH d0 q1 r0 m2 a=x");
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_unacknowledged_is_resent_with_dup_and_its_id),
		cmocka_unit_test(what_the_server_forgot_is_sent_as_new_before_what_waited),
		cmocka_unit_test(v3_resends_when_its_session_is_not_clean),
		cmocka_unit_test(the_window_of_the_server_holds_also_for_resends),
		cmocka_unit_test(qos_2_takes_its_place_in_the_window_until_pubcomp),
		cmocka_unit_test(what_the_server_cannot_take_is_finished_without_sending),
		cmocka_unit_test(the_queue_has_its_bounds),
		cmocka_unit_test(wrong_topics_and_filters_are_refused_at_the_call),
		cmocka_unit_test(acknowledgements_of_the_wrong_kind_end_the_connection),
		cmocka_unit_test(inbound_messages_are_acknowledged_in_order),
		cmocka_unit_test(qos_2_is_delivered_once_within_the_session),
		cmocka_unit_test(more_than_our_receive_maximum_is_a_violation),
		cmocka_unit_test(topic_aliases_of_the_server_are_resolved),
		cmocka_unit_test(subscriptions_are_made_again_when_the_session_is_lost),
		cmocka_unit_test(after_a_lost_connack_the_session_is_not_believed_to_be_ours),
		cmocka_unit_test(a_request_without_an_answer_is_asked_again),
		cmocka_unit_test(what_the_server_does_not_offer_is_not_asked),
		cmocka_unit_test(codes_that_do_not_match_the_filters_are_a_violation),
		cmocka_unit_test(large_messages_pass_in_both_directions),
		cmocka_unit_test(a_qos_0_message_that_was_cut_off_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
