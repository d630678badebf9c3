#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mqtt/client_rig.h"

#define UP "connected present0 id=c ka60"

static const enum mqtt_version versions[] = {MQTT_V31, MQTT_V311, MQTT_V5};
#define FOR_VERSIONS(v) for (size_t v##i = 0; v##i < 3; v##i++)

/* ---- connecting ---- */

static void publishes_are_acknowledged_at_every_qos_in_every_version(void **state)
{
	struct rig r;

	(void)state;
	FOR_VERSIONS(v)
	{
		rig_init(&r, 1, versions[vi]);
		rig_up(&r);
		rig_pub(&r, 0, "a", "zero", 10);
		rig_pub(&r, 1, "a", "one", 11);
		rig_pub(&r, 2, "a", "two", 12);
		rig_packet(&r, "PUBLISH d0 q0 r0 m0 a=zero");
		rig_packet(&r, "PUBLISH d0 q1 r0 m1 a=one");
		rig_packet(&r, "PUBLISH d0 q2 r0 m2 a=two");
		rig_event(&r, "published 10 ok rc0");
		rig_ack(&r, MQTT_PUBACK, 1, 0);
		rig_event(&r, "published 11 ok rc0");
		rig_ack(&r, MQTT_PUBREC, 2, 0);
		rig_packet(&r, "PUBREL m2 rc0");
		rig_ack(&r, MQTT_PUBCOMP, 2, 0);
		rig_event(&r, "published 12 ok rc0");
		assert_int_equal(mqtt_client_pending(r.client), 0);
		rig_quiet(&r, 1000);
		rig_fini(&r);
	}
}

static void what_is_published_in_one_turn_leaves_in_one_write(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 2, MQTT_V311);
	rig_up(&r);
	r.writes = 0;
	for (unsigned i = 0; i < 50; i++)
		rig_pub(&r, 0, "a", "x", i);
	for (unsigned i = 0; i < 50; i++)
		rig_packet(&r, "PUBLISH d0 q0 r0 m0 a=x");
	assert_int_equal(r.writes, 1);
	rig_fini(&r);
}

static void nothing_but_connect_is_sent_before_connack(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 3, MQTT_V5);
	rig_start(&r);
	rig_pub(&r, 1, "a", "x", 1);
	rig_sub(&r, "f", 1, 2);
	rig_quiet(&r, 1000);
	rig_connack(&r, false, 0);
	rig_event(&r, UP);
	rig_packet(&r, "SUBSCRIBE m1 f:1");
	rig_packet(&r, "PUBLISH d0 q1 r0 m2 a=x");
	rig_fini(&r);
}

static void a_refusal_is_told_with_its_reason_and_tried_again(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 4, MQTT_V311);
	rig_start(&r);
	rig_connack(&r, false, 5);
	rig_event(&r, "disconnected refused by the other side rc5 refused");
	assert_in_range(r.retry_ms, 500, 1000);
	rig_packet(&r, "end");
	rig_packet(&r, "CONNECT v4 clean1 id=c ka60");
	rig_fini(&r);
}

static void the_wait_doubles_up_to_the_maximum_with_jitter_in_its_upper_half(void **state)
{
	int64_t full = 1000, first = 0, differ = 0;
	struct rig r;

	(void)state;
	for (uint64_t seed = 1; seed < 20; seed++) {
		rig_init(&r, seed, MQTT_V311);
		sim_net_unlisten(r.listener);
		r.opt.reconnect_max_ms = 8000;
		rig_create(&r);
		assert_int_equal(mqtt_client_start(r.client), OK);
		full = 1000;
		for (int n = 0; n < 8; n++) {
			rig_event(&r, "disconnected input/output error rc0");
			assert_in_range(r.retry_ms, full / 2, full);
			if (n == 0 && first && r.retry_ms != first)
				differ++;
			if (n == 0)
				first = r.retry_ms;
			full = full * 2 < 8000 ? full * 2 : 8000;
		}
		assert_int_equal(sim_net_listen(r.net, r.server_loop, "server", &r.acceptor, &r.listener),
				 OK);
		rig_fini(&r);
	}
	assert_true(differ > 10);
}

static void a_sound_connection_resets_the_wait(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 5, MQTT_V311);
	rig_up(&r);
	for (int n = 0; n < 4; n++) { /* thrown out at once: the wait grows */
		rig_cut(&r);
		rig_event(&r, "disconnected input/output error rc0");
		assert_in_range(r.retry_ms, 500 << n, 1000 << n);
		rig_packet(&r, "CONNECT v4 clean1 id=c ka60");
		rig_connack(&r, false, 0);
		rig_event(&r, UP);
	}
	rig_run(&r, 20000);
	rig_cut(&r);
	rig_event(&r, "disconnected input/output error rc0");
	assert_in_range(r.retry_ms, 500, 1000);
	rig_fini(&r);
}

static void without_reconnect_it_stays_down_until_started_again(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 6, MQTT_V311);
	r.opt.reconnect = false;
	rig_up(&r);
	rig_close(&r);
	rig_event(&r, "disconnected closed by the other side rc0 final");
	rig_quiet(&r, 100000);
	assert_int_equal(mqtt_client_start(r.client), OK);
	assert_int_equal(mqtt_client_start(r.client), ERR_BUSY);
	rig_packet(&r, "CONNECT v4 clean1 id=c ka60");
	rig_fini(&r);
}

static void a_server_that_does_not_answer_connect_is_given_up(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 7, MQTT_V5);
	rig_start(&r);
	rig_quiet(&r, 29000);
	rig_event(&r, "disconnected no answer in time rc0");
	rig_fini(&r);
}

static void an_assigned_client_id_and_server_keep_alive_are_used(void **state)
{
	struct mqtt_props p = {0};
	struct rig r;

	(void)state;
	rig_init(&r, 8, MQTT_V5);
	r.opt.connect.client_id = span_of(NULL, 0);
	mqtt_props_set_num(&r.opt.connect.props, MQTT_P_SESSION_EXPIRY, 100);
	rig_start(&r);
	mqtt_props_set_str(&p, MQTT_P_ASSIGNED_CLIENT_ID, span_str("given"));
	mqtt_props_set_num(&p, MQTT_P_SERVER_KEEP_ALIVE, 7);
	rig_connack_props(&r, false, 0, &p);
	rig_event(&r, "connected present0 id=given ka7");
	rig_quiet(&r, 6500);
	rig_packet(&r, "PINGREQ");
	rig_cut(&r);
	rig_event(&r, "disconnected input/output error rc0");
	rig_packet(&r, "CONNECT v5 clean0 id=given ka60");
	rig_fini(&r);
}

/* ---- keep-alive ---- */

static void a_silent_connection_is_pinged_and_lost_without_an_answer(void **state)
{
	static const uint8_t pingresp[] = {0xD0, 0};
	struct rig r;

	(void)state;
	rig_init(&r, 9, MQTT_V311);
	r.opt.connect.keep_alive_s = 10;
	rig_up(&r);
	for (int n = 0; n < 3; n++) {
		rig_packet(&r, "PINGREQ");
		rig_send(&r, pingresp, sizeof(pingresp));
	}
	rig_packet(&r, "PINGREQ");
	rig_quiet(&r, 9900);
	rig_event(&r, "disconnected no answer in time rc0");
	rig_fini(&r);
}

static void sending_alone_does_not_hide_a_server_that_is_gone(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 10, MQTT_V311);
	r.opt.connect.keep_alive_s = 10;
	rig_up(&r);
	for (int s = 0; s < 9; s++) {
		rig_pub(&r, 0, "a", "x", 1);
		rig_packet(&r, "PUBLISH d0 q0 r0 m0 a=x");
		rig_event(&r, "published 1 ok rc0");
		rig_run(&r, 1000);
	}
	rig_packet(&r, "PINGREQ");
	rig_event(&r, "disconnected no answer in time rc0");
	rig_fini(&r);
}

static void keep_alive_0_pings_never(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 11, MQTT_V311);
	r.opt.connect.keep_alive_s = 0;
	rig_start(&r);
	rig_connack(&r, false, 0);
	rig_event(&r, "connected present0 id=c ka0");
	rig_quiet(&r, 1000000);
	rig_fini(&r);
}

/* ---- ends ---- */

static void a_graceful_end_finishes_the_queue_first(void **state)
{
	struct mqtt_publish m = {.topic = span_str("a")};
	struct rig r;

	(void)state;
	rig_init(&r, 12, MQTT_V5);
	rig_up(&r);
	rig_pub(&r, 1, "a", "x", 1);
	assert_int_equal(mqtt_client_disconnect(r.client, true, 0, NULL), OK);
	assert_int_equal(mqtt_client_publish(r.client, &m, NULL), ERR_CLOSED);
	rig_packet(&r, "PUBLISH d0 q1 r0 m1 a=x");
	rig_quiet(&r, 5000);
	rig_cut(&r); /* it finishes over a reconnect */
	rig_event(&r, "disconnected input/output error rc0");
	rig_packet(&r, "CONNECT v5 clean1 id=c ka60");
	rig_connack(&r, false, 0);
	rig_event(&r, UP);
	rig_packet(&r, "PUBLISH d0 q1 r0 m2 a=x");
	rig_ack(&r, MQTT_PUBACK, 2, 0);
	rig_event(&r, "published 1 ok rc0");
	rig_packet(&r, "DISCONNECT rc0");
	rig_close(&r);
	rig_event(&r, "disconnected ok rc0 final");
	rig_quiet(&r, 100000);
	rig_fini(&r);
}

static void an_end_at_once_leaves_the_queue_for_the_next_start(void **state)
{
	struct mqtt_props p = {0};
	struct rig r;

	(void)state;
	rig_init(&r, 13, MQTT_V5);
	rig_up(&r);
	rig_pub(&r, 1, "a", "x", 1);
	rig_packet(&r, "PUBLISH d0 q1 r0 m1 a=x");
	mqtt_props_set_num(&p, MQTT_P_SESSION_EXPIRY, 0);
	assert_int_equal(mqtt_client_disconnect(r.client, false, MQTT_RC_DISCONNECT_WITH_WILL, &p), OK);
	rig_packet(&r, "DISCONNECT rc4");
	rig_event(&r, "disconnected ok rc0 final"); /* the server does not close: it is not waited for */
	rig_packet(&r, "end");
	assert_int_equal(mqtt_client_start(r.client), OK);
	rig_packet(&r, "CONNECT v5 clean1 id=c ka60");
	rig_connack(&r, false, 0);
	rig_event(&r, UP);
	rig_packet(&r, "PUBLISH d0 q1 r0 m2 a=x");
	rig_fini(&r);
}

static void a_disconnect_while_connecting_or_waiting_stops_it(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 14, MQTT_V311);
	rig_start(&r);
	assert_int_equal(mqtt_client_disconnect(r.client, false, 0, NULL), OK);
	rig_event(&r, "disconnected ok rc0 final");
	rig_packet(&r, "end");
	assert_int_equal(mqtt_client_start(r.client), OK);
	rig_packet(&r, "CONNECT v4 clean1 id=c ka60");
	rig_cut(&r);
	rig_event(&r, "disconnected input/output error rc0");
	assert_int_equal(mqtt_client_disconnect(r.client, true, 0, NULL), OK);
	rig_quiet(&r, 100000);
	rig_fini(&r);
}

static void a_disconnect_of_the_server_is_told_with_its_reason(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 15, MQTT_V5);
	rig_up(&r);
	rig_disconnect(&r, MQTT_RC_SESSION_TAKEN_OVER);
	rig_event(&r, "disconnected refused by the other side rc142");
	rig_packet(&r, "end");
	rig_packet(&r, "CONNECT v5 clean1 id=c ka60");
	rig_fini(&r);
}

static void destroy_finishes_what_is_pending(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 16, MQTT_V311);
	rig_up(&r);
	rig_pub(&r, 1, "a", "x", 1);
	rig_packet(&r, "PUBLISH d0 q1 r0 m1 a=x");
	rig_pub(&r, 0, "a", "y", 2);
	rig_sub(&r, "f", 0, 3);
	mqtt_client_destroy(r.client);
	r.client = NULL;
	rig_event(&r, "published 1 closed by the other side rc0");
	rig_event(&r, "published 2 closed by the other side rc0");
	rig_event(&r, "subscribed 3 closed by the other side rc0:");
	rig_fini(&r);
}

static void destroy_on(struct rig *r, const char *line)
{
	(void)line;
	mqtt_client_destroy(r->client);
	r->client = NULL;
	r->on_event = NULL;
}

static void it_can_be_destroyed_inside_any_event(void **state)
{
	struct rig r;

	(void)state;
	for (int which = 0; which < 5; which++) {
		rig_init(&r, 17, MQTT_V5);
		if (which > 0)
			rig_up(&r);
		else
			rig_start(&r);
		r.on_event = destroy_on;
		switch (which) {
		case 0:
			rig_connack(&r, false, 0);
			break;
		case 1:
			rig_publish(&r, 1, 1, false, "a", "x");
			rig_publish(&r, 1, 2, false, "a", "y");
			break;
		case 2:
			rig_pub(&r, 0, "a", "x", 1);
			rig_pub(&r, 0, "a", "x", 2);
			break;
		case 3:
			rig_cut(&r);
			break;
		default:
			rig_sub(&r, "a", 1, 1);
			rig_packet(&r, "SUBSCRIBE m1 a:1");
			rig_suback(&r, MQTT_SUBACK, 1, "\1", 1);
		}
		rig_run(&r, 100000);
		assert_null(r.client);
		rig_fini(&r);
	}
}

/* ---- what the server must not do ---- */

static void violations_end_the_connection_with_the_right_reason(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *packet, *event;
	} cases[] = {
		{"\x20\x03\0\0\0", 5, "DISCONNECT rc130",
		 "disconnected not allowed by the protocol at this point rc130"},
		{"\x82\x06\0\1\0\0\1a", 8, "DISCONNECT rc130",
		 "disconnected not allowed by the protocol at this point rc130"},
		{"\x36\x05\0\1a\0\1", 7, "DISCONNECT rc129", "disconnected malformed bytes rc129"},
		{"\xF0\x02\x18\0", 4, "DISCONNECT rc130",
		 "disconnected not allowed by the protocol at this point rc130"},
		{"\x90\x04\0\7\0\1", 6, "DISCONNECT rc130",
		 "disconnected not allowed by the protocol at this point rc130"},
		{"\x30\x07\0\1a\3\x23\0\1", 9, "DISCONNECT rc148",
		 "disconnected not allowed by the protocol at this point rc148"},
		{"\x30\xFF\xFF\xFF\x7F", 5, "DISCONNECT rc149", "disconnected larger than allowed rc149"},
		{"\xD1\0", 2, "DISCONNECT rc129", "disconnected malformed bytes rc129"},
	};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		rig_init(&r, 18, MQTT_V5);
		r.opt.max_packet_size = 1000;
		rig_up(&r);
		rig_send(&r, cases[i].bytes, cases[i].len);
		rig_event(&r, cases[i].event);
		rig_packet(&r, cases[i].packet);
		rig_fini(&r);
	}
}

static void a_packet_other_than_connack_first_is_refused(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 19, MQTT_V5);
	rig_start(&r);
	rig_publish(&r, 0, 0, false, "a", "x");
	rig_event(&r, "disconnected not allowed by the protocol at this point rc130");
	rig_fini(&r);
}

static void a_session_that_was_not_asked_for_is_refused(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 20, MQTT_V311);
	rig_start(&r);
	rig_connack(&r, true, 0);
	rig_event(&r, "disconnected not allowed by the protocol at this point rc130");
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(publishes_are_acknowledged_at_every_qos_in_every_version),
		cmocka_unit_test(what_is_published_in_one_turn_leaves_in_one_write),
		cmocka_unit_test(nothing_but_connect_is_sent_before_connack),
		cmocka_unit_test(a_refusal_is_told_with_its_reason_and_tried_again),
		cmocka_unit_test(the_wait_doubles_up_to_the_maximum_with_jitter_in_its_upper_half),
		cmocka_unit_test(a_sound_connection_resets_the_wait),
		cmocka_unit_test(without_reconnect_it_stays_down_until_started_again),
		cmocka_unit_test(a_server_that_does_not_answer_connect_is_given_up),
		cmocka_unit_test(an_assigned_client_id_and_server_keep_alive_are_used),
		cmocka_unit_test(a_silent_connection_is_pinged_and_lost_without_an_answer),
		cmocka_unit_test(sending_alone_does_not_hide_a_server_that_is_gone),
		cmocka_unit_test(keep_alive_0_pings_never),
		cmocka_unit_test(a_graceful_end_finishes_the_queue_first),
		cmocka_unit_test(an_end_at_once_leaves_the_queue_for_the_next_start),
		cmocka_unit_test(a_disconnect_while_connecting_or_waiting_stops_it),
		cmocka_unit_test(a_disconnect_of_the_server_is_told_with_its_reason),
		cmocka_unit_test(destroy_finishes_what_is_pending),
		cmocka_unit_test(it_can_be_destroyed_inside_any_event),
		cmocka_unit_test(violations_end_the_connection_with_the_right_reason),
		cmocka_unit_test(a_packet_other_than_connack_first_is_refused),
		cmocka_unit_test(a_session_that_was_not_asked_for_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
