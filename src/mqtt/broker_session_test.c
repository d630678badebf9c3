/* Sessions, wills and limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mqtt/broker_rig.h"

static const enum mqtt_version versions[] = {MQTT_V31, MQTT_V311, MQTT_V5};
#define FOR_VERSIONS(v) for (size_t v##i = 0; v##i < 3; v##i++)

/* ---- time ---- */

static void a_connection_without_connect_is_closed_after_the_connect_timeout(void **state)
{
	struct rig r;
	struct peer *silent, *slow, *early;

	(void)state;
	rig_up(&r, 1);
	silent = peer_open(&r, MQTT_V5);
	slow = peer_open(&r, MQTT_V5);
	peer_send_bytes(slow, "\x10\x20", 2); /* half a CONNECT is none */
	early = peer_up(&r, MQTT_V5, "early");
	rig_run(&r, 9900);
	peer_quiet(silent);
	rig_run(&r, 200);
	peer_expect(silent, "closed");
	peer_expect(slow, "closed");
	peer_ping(early); /* the time-out is over for whom CONNECT came in time */
	rig_fini(&r);
}

/* covers 3.1.1 [MQTT-3.1.2-24]; 5.0 [MQTT-3.1.2-22] [MQTT-3.2.2-22] */
static void a_silent_client_is_closed_after_one_and_a_half_keep_alives(void **state)
{
	struct rig r;

	(void)state;
	FOR_VERSIONS(v)
	{
		struct peer *p;

		rig_up(&r, 1);
		p = peer_up(&r, versions[vi], "a"); /* 60 s */
		rig_run(&r, 80000);
		peer_ping(p);
		rig_run(&r, 89900);
		assert_false(p->stream->is_closed);
		rig_run(&r, 300);
		if (versions[vi] == MQTT_V5)
			peer_expect(p, "DISCONNECT 8D");
		peer_expect(p, "closed");
		rig_fini(&r);
	}
}

static void keep_alive_zero_lets_a_client_be_silent(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	rig_up(&r, 1);
	p = peer_open(&r, MQTT_V311);
	peer_send(p, 0x10, "<MQTT> 04 02 00 00 <a>");
	peer_expect(p, "CONNACK s0 00");
	rig_run(&r, 3600000);
	peer_ping(p);
	rig_fini(&r);
}

/* ---- limits ---- */

static void more_qos_2_messages_than_the_receive_maximum_close_the_connection(void **state)
{
	struct rig r;
	struct peer *p, *old;

	(void)state;
	rig_init(&r, 1);
	r.config.max_inflight = 2;
	rig_start(&r);
	p = peer_up_kept(&r, MQTT_V5, "a", false);
	peer_publish(p, 4, 1, "t", "", "one");
	peer_publish(p, 4, 2, "t", "", "two");
	peer_publish(p, 0xC, 2, "t", "", "two"); /* again is not one more */
	peer_expect(p, "PUBREC m1 00");
	peer_expect(p, "PUBREC m2 00");
	peer_expect(p, "PUBREC m2 00");
	peer_publish(p, 4, 3, "t", "", "three");
	peer_expect(p, "DISCONNECT 93");
	peer_expect(p, "closed");
	/* what was refused was not received: it is new when it comes again */
	p = peer_up_kept(&r, MQTT_V5, "a", true);
	peer_ack(p, MQTT_PUBREL, 1);
	peer_expect(p, "PUBCOMP m1 00");
	peer_subscribe(p, "t", 0, "", 0);
	peer_publish(p, 0xC, 3, "t", "", "three");
	peer_expect(p, "PUBREC m3 00");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 t=three");
	/* 3.1.1 has no such limit */
	old = peer_up(&r, MQTT_V311, "old");
	for (uint16_t id = 1; id < 5; id++) {
		char line[32];

		peer_publish(old, 4, id, "u", "", "x");
		snprintf(line, sizeof(line), "PUBREC m%d", id);
		peer_expect(old, line);
	}
	rig_fini(&r);
}

static void a_packet_above_the_limit_closes_the_connection_at_its_header(void **state)
{
	static const uint8_t fits[] = {0x30, 0x7E, 0, 1, 't', 0}, over[] = {0x30, 0x7F};
	uint8_t rest[122] = {0};
	struct rig r;
	struct peer *p;

	(void)state;
	rig_init(&r, 1);
	r.config.max_packet_size = 128;
	rig_start(&r);
	p = peer_up(&r, MQTT_V5, "a");
	peer_send_bytes(p, fits, sizeof(fits));
	peer_send_bytes(p, rest, sizeof(rest));
	peer_ping(p);
	peer_send_bytes(p, over, sizeof(over));
	peer_expect(p, "DISCONNECT 95");
	peer_expect(p, "closed");
	p = peer_up(&r, MQTT_V311, "a");
	peer_send_bytes(p, over, sizeof(over));
	peer_expect(p, "closed");
	rig_fini(&r);
}

static void connections_above_the_limit_are_closed_unheard(void **state)
{
	struct rig r;
	struct peer *a, *b, *c;

	(void)state;
	rig_init(&r, 2);
	r.config.max_connections = 2;
	rig_start(&r);
	a = peer_up(&r, MQTT_V5, "a");
	b = peer_up(&r, MQTT_V5, "b");
	c = peer_open(&r, MQTT_V5);
	peer_expect(c, "closed");
	assert_int_equal(broker_connections(r.broker), 2);
	peer_disconnect(a, 0);
	c = peer_up(&r, MQTT_V5, "c");
	peer_ping(c);
	peer_ping(b);
	rig_fini(&r);
}

static void subscriptions_above_the_limit_are_refused(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	rig_init(&r, 1);
	r.config.max_subscriptions = 2;
	r.config.max_topic_levels = 3;
	rig_start(&r);
	p = peer_up(&r, MQTT_V5, "a");
	peer_subscribe(p, "a", 0, "", 0);
	peer_subscribe(p, "b/b/b", 0, "", 0);
	peer_subscribe(p, "c", 0, "", 0x97);
	peer_subscribe(p, "a", 1, "", 1); /* there already */
	peer_unsubscribe(p, "a", 0);
	peer_subscribe(p, "c/c/c/c", 0, "", 0x8F);
	peer_publish(p, 2, 1, "c/c/c/c", "", "x");
	peer_expect(p, "PUBACK m1 90");
	peer_subscribe(p, "c", 0, "", 0);
	rig_fini(&r);
}

static void the_window_holds_back_what_the_client_has_not_acknowledged(void **state)
{
	struct rig r;
	struct peer *p, *from;

	(void)state;
	rig_up(&r, 1);
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, 2, "21 00 02", "<a>");
	peer_expect(p, "CONNACK s0 00");
	peer_subscribe(p, "t", 2, "", 2);
	from = peer_up(&r, MQTT_V311, "b");
	peer_publish(from, 2, 1, "t", "", "1");
	peer_publish(from, 4, 2, "t", "", "2");
	peer_publish(from, 2, 3, "t", "", "3");
	peer_publish(from, 0, 0, "t", "", "now");
	peer_expect(p, "PUBLISH d0 q1 r0 m1 t=1");
	peer_expect(p, "PUBLISH d0 q2 r0 m2 t=2");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 t=now");
	peer_quiet(p);
	peer_ack(p, MQTT_PUBREC, 2); /* still in the window */
	peer_expect(p, "PUBREL m2 00");
	peer_quiet(p);
	peer_ack(p, MQTT_PUBCOMP, 2);
	peer_expect(p, "PUBLISH d0 q1 r0 m3 t=3");
	peer_ack(p, MQTT_PUBACK, 3);
	peer_ack(p, MQTT_PUBACK, 1);
	peer_ping(p);
	rig_fini(&r);
}

static void an_acknowledgement_of_the_wrong_kind_closes_the_connection(void **state)
{
	static const struct {
		uint8_t options;
		enum mqtt_type answer;
	} wrong[] = {{1, MQTT_PUBREC}, {1, MQTT_PUBCOMP}, {2, MQTT_PUBACK}, {2, MQTT_PUBCOMP}};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct peer *p;

		rig_up(&r, 1);
		p = peer_up(&r, MQTT_V5, "a");
		peer_subscribe(p, "t", wrong[i].options, "", wrong[i].options);
		peer_publish(p, 4, 1, "t", "", "x");
		peer_expect(p, "PUBREC m1 00"); /* before what the client itself gets */
		peer_expect(p, wrong[i].options == 1 ? "PUBLISH d0 q1 r0 m1 t=x" : "PUBLISH d0 q2 r0 m1 t=x");
		peer_ack(p, wrong[i].answer, 1);
		peer_expect(p, "DISCONNECT 82");
		peer_expect(p, "closed");
		rig_fini(&r);
	}
}

/* ---- takeover and expiry ---- */

static void a_second_connection_of_a_client_id_takes_the_session_on_every_worker(void **state)
{
	struct rig r;

	(void)state;
	for (uint32_t n = 1; n <= RIG_LOOPS; n++) {
		struct peer *last = NULL;

		rig_up(&r, n);
		/* clean, so that each begins anew: all the same there is only ever one */
		for (unsigned i = 0; i < 9; i++) {
			struct peer *p = peer_up(&r, MQTT_V5, "same");

			if (last) {
				peer_expect(last, "DISCONNECT 8E");
				peer_expect(last, "closed");
			}
			assert_int_equal(broker_connections(r.broker), 1);
			peer_ping(p);
			last = p;
		}
		/* and the same of a session that lasts */
		for (unsigned i = 0; i < 9; i++) {
			struct peer *p = peer_up_kept(&r, MQTT_V5, "same", i > 0);

			peer_expect(last, "DISCONNECT 8E");
			peer_expect(last, "closed");
			last = p;
		}
		assert_int_equal(broker_connections(r.broker), 1);
		rig_fini(&r);
	}
}

static void a_client_that_went_and_came_back_is_found_by_all_workers(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	rig_up(&r, 3);
	for (unsigned i = 0; i < 5; i++) {
		p = peer_up(&r, MQTT_V311, "a");
		peer_disconnect(p, 0);
	}
	p = peer_up_kept(&r, MQTT_V311, "a", false);
	peer_subscribe(p, "t", 1, "", 1);
	for (unsigned i = 0; i < 5; i++) {
		peer_cut(p);
		p = peer_up_kept(&r, MQTT_V311, "a", true);
	}
	peer_publish(p, 2, 1, "t", "", "x");
	peer_expect(p, "PUBLISH d0 q1 r0 m1 t=x");
	rig_fini(&r);
}

/* covers 5.0 [MQTT-4.1.0-2] */
static void a_session_ends_when_its_expiry_has_passed(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	rig_up(&r, 2);
	p = peer_up_kept(&r, MQTT_V5, "a", false); /* an hour */
	peer_disconnect(p, 0);
	rig_run(&r, 3599000);
	p = peer_up_kept(&r, MQTT_V5, "a", true);
	peer_cut(p);
	rig_run(&r, 3601000);
	p = peer_up_kept(&r, MQTT_V5, "a", false);
	/* DISCONNECT may shorten it */
	peer_send(p, 0xE0, "00 [11 00 00 00 01]");
	peer_expect(p, "closed");
	rig_run(&r, 1100);
	p = peer_up_kept(&r, MQTT_V5, "a", false);
	peer_send(p, 0xE0, "00 [11 00 00 00 00]");
	peer_expect(p, "closed");
	p = peer_up_kept(&r, MQTT_V5, "a", false);
	/* clean start forgets */
	peer_disconnect(p, 0);
	p = peer_up(&r, MQTT_V5, "a");
	peer_disconnect(p, 0);
	p = peer_up_kept(&r, MQTT_V5, "a", false);
	rig_fini(&r);
}

/* covers 5.0 [MQTT-4.1.0-1]; 3.1.1 [MQTT-4.1.0-2] */
static void a_session_lasts_as_long_as_its_connection(void **state)
{
	static const struct {
		enum mqtt_version v;
		const char *props;
	} sessions[] = {{MQTT_V5, "11 00 00 00 01"}, {MQTT_V5, ""}, {MQTT_V311, ""}};

	(void)state;
	for (size_t i = 0; i < sizeof(sessions) / sizeof(sessions[0]); i++) {
		struct rig r;
		struct peer *p;

		rig_up(&r, 2);
		p = peer_open(&r, sessions[i].v);
		peer_connect(p, 0x02, sessions[i].props, "<a>");
		peer_expect(p, "CONNACK s0 00");
		peer_subscribe(p, "t", 2, "", 2);
		for (int minute = 0; minute < 5; minute++) {
			rig_run(&r, 59000);
			peer_ping(p);
		}
		peer_publish(p, 0, 0, "t", "", "still here");
		peer_expect(p, "PUBLISH d0 q0 r0 m0 t=still here");
		rig_fini(&r);
	}
}

/* covers 5.0 [MQTT-4.4.0-1] [MQTT-4.3.3-7]; 3.1.1 [MQTT-4.4.0-1] */
static void what_was_sent_is_sent_again_after_a_reconnect_alone_expired_or_not(void **state)
{
	(void)state;
	for (uint8_t qos = 1; qos <= 2; qos++) {
		struct rig r;
		struct peer *p, *from;
		char line[64];

		rig_up(&r, 2);
		p = peer_up_kept(&r, MQTT_V5, "a", false);
		peer_subscribe(p, "t", qos, "", qos);
		from = peer_up(&r, MQTT_V5, "b");
		peer_publish(from, (uint8_t)(qos << 1), 1, "t", "02 00 00 00 05", "x");
		snprintf(line, sizeof(line), "PUBLISH d0 q%d r0 m1 t=x MESSAGE_EXPIRY=5", qos);
		peer_expect(p, line);
		for (int minute = 0; minute < 5; minute++) {
			rig_run(&r, 59000);
			peer_ping(p);
		}
		peer_cut(p);
		p = peer_up_kept(&r, MQTT_V5, "a", true);
		snprintf(line, sizeof(line), "PUBLISH d1 q%d r0 m1 t=x MESSAGE_EXPIRY=0", qos);
		peer_expect(p, line);
		rig_fini(&r);
	}
}

static void what_was_not_acknowledged_is_sent_again_in_order(void **state)
{
	struct rig r;
	struct peer *p, *from;

	(void)state;
	FOR_VERSIONS(v)
	{
		bool v31 = versions[vi] == MQTT_V31;

		rig_up(&r, 2);
		p = peer_up_kept(&r, versions[vi], "a", false);
		peer_subscribe(p, "t", 2, "", 2);
		from = peer_up(&r, MQTT_V5, "b");
		peer_publish(from, 4, 1, "t", "", "1");
		peer_publish(from, 2, 2, "t", "", "2");
		peer_publish(from, 4, 3, "t", "", "3");
		peer_expect(p, "PUBLISH d0 q2 r0 m1 t=1");
		peer_expect(p, "PUBLISH d0 q1 r0 m2 t=2");
		peer_expect(p, "PUBLISH d0 q2 r0 m3 t=3");
		peer_ack(p, MQTT_PUBREC, 3);
		peer_expect(p, versions[vi] == MQTT_V5 ? "PUBREL m3 00" : "PUBREL m3");
		peer_cut(p);
		peer_publish(from, 2, 4, "t", "", "4");
		peer_publish(from, 0, 0, "t", "", "lost");
		rig_run(&r, 10);
		p = peer_up_kept(&r, versions[vi], "a", !v31);
		peer_expect(p, "PUBLISH d1 q2 r0 m1 t=1");
		peer_expect(p, "PUBLISH d1 q1 r0 m2 t=2");
		peer_expect(p, versions[vi] == MQTT_V5 ? "PUBREL m3 00" : "PUBREL m3");
		peer_expect(p, "PUBLISH d0 q1 r0 m4 t=4");
		peer_ping(p);
		rig_fini(&r);
	}
}

static void a_qos_2_message_that_comes_again_on_a_new_connection_is_not_delivered_twice(void **state)
{
	struct rig r;
	struct peer *p, *to;

	(void)state;
	rig_up(&r, 2);
	to = peer_up(&r, MQTT_V5, "to");
	peer_subscribe(to, "t", 0, "", 0);
	p = peer_up_kept(&r, MQTT_V311, "a", false);
	peer_publish(p, 4, 7, "t", "", "x");
	peer_expect(p, "PUBREC m7");
	peer_expect(to, "PUBLISH d0 q0 r0 m0 t=x");
	peer_cut(p);
	p = peer_up_kept(&r, MQTT_V311, "a", true);
	peer_publish(p, 0xC, 7, "t", "", "x");
	peer_expect(p, "PUBREC m7");
	peer_quiet(to);
	peer_ack(p, MQTT_PUBREL, 7);
	peer_expect(p, "PUBCOMP m7");
	peer_publish(p, 4, 7, "t", "", "y");
	peer_expect(to, "PUBLISH d0 q0 r0 m0 t=y");
	rig_fini(&r);
}

/* ---- wills ---- */

#define WILL      0x0E /* clean, will, QoS 1 */
#define WILL_TEXT "<a> [] <w> <bye>"

/* covers 5.0 [MQTT-3.1.2-8] [MQTT-3.14.4-3] */
static void a_will_is_published_when_the_connection_breaks_and_not_after_disconnect(void **state)
{
	static const struct {
		const char *what;
		uint8_t first;
		const char *body; /* NULL: it just breaks */
		bool published;
	} ends[] = {
		{"break", 0, NULL, true},
		{"DISCONNECT", 0xE0, "", false},
		{"DISCONNECT 00", 0xE0, "00", false},
		{"DISCONNECT with will", 0xE0, "04", true},
		{"DISCONNECT with an error", 0xE0, "80", true},
		{"a fault", 0xF1, "", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct rig r;
		struct peer *p, *to;

		rig_up(&r, 2);
		to = peer_up(&r, MQTT_V5, "to");
		peer_subscribe(to, "w", 2, "", 2);
		p = peer_open(&r, MQTT_V5);
		peer_connect(p, WILL, "", WILL_TEXT);
		peer_expect(p, "CONNACK s0 00");
		if (ends[i].body)
			peer_send(p, ends[i].first, ends[i].body);
		else
			peer_cut(p);
		if (ends[i].published)
			peer_expect(to, "PUBLISH d0 q1 r0 m1 w=bye");
		peer_quiet(to);
		rig_fini(&r);
	}
}

/* covers 5.0 [MQTT-3.1.2-8] [MQTT-3.1.3-9] */
static void a_will_waits_for_its_delay_and_is_forgotten_when_the_client_returns(void **state)
{
	struct rig r;
	struct peer *p, *to;

	(void)state;
	rig_up(&r, 2);
	to = peer_up(&r, MQTT_V5, "to");
	peer_subscribe(to, "w", 0, "", 0);
	p = peer_open(&r, MQTT_V5);
	/* session 60 s, will after 10 s with an expiry of 30 s */
	peer_connect(p, WILL, "11 00 00 00 3C", "<a> [18 00 00 00 0A 02 00 00 00 1E] <w> <bye>");
	peer_expect(p, "CONNACK s0 00");
	peer_cut(p);
	rig_run(&r, 9000);
	peer_quiet(to);
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, WILL & ~2, "11 00 00 00 3C", "<a> [18 00 00 00 0A 02 00 00 00 1E] <w> <bye>");
	peer_expect(p, "CONNACK s1 00");
	rig_run(&r, 20000);
	peer_quiet(to);
	peer_cut(p);
	rig_run(&r, 9500);
	peer_quiet(to);
	rig_run(&r, 500);
	peer_expect(to, "PUBLISH d0 q0 r0 m0 w=bye MESSAGE_EXPIRY=30");
	rig_fini(&r);
}

/* covers 5.0 [MQTT-3.1.2-8] */
static void a_will_does_not_outlive_its_session(void **state)
{
	struct rig r;
	struct peer *p, *to;

	(void)state;
	rig_up(&r, 1);
	to = peer_up(&r, MQTT_V5, "to");
	peer_subscribe(to, "w", 0, "", 0);
	/* the delay is longer than the session: published at its end */
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, WILL, "11 00 00 00 05", "<a> [18 00 00 00 64] <w> <bye>");
	peer_expect(p, "CONNACK s0 00");
	peer_cut(p);
	rig_run(&r, 4000);
	peer_quiet(to);
	rig_run(&r, 1100);
	peer_expect(to, "PUBLISH d0 q0 r0 m0 w=bye");
	/* clean start ends the session, so the will does not wait any more */
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, WILL, "11 00 00 00 64", "<a> [18 00 00 00 64] <w> <bye>");
	peer_expect(p, "CONNACK s0 00");
	peer_cut(p);
	peer_quiet(to);
	(void)peer_up(&r, MQTT_V5, "a");
	peer_expect(to, "PUBLISH d0 q0 r0 m0 w=bye");
	rig_fini(&r);
}

static void a_takeover_publishes_the_will_unless_it_waits(void **state)
{
	struct rig r;
	struct peer *p, *to;

	(void)state;
	rig_up(&r, 2);
	to = peer_up(&r, MQTT_V5, "to");
	peer_subscribe(to, "w", 0, "", 0);
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, WILL, "11 00 00 00 64", WILL_TEXT);
	peer_expect(p, "CONNACK s0 00");
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, WILL & ~2, "11 00 00 00 64", "<a> [18 00 00 00 0A] <w> <later>");
	peer_expect(p, "CONNACK s1 00");
	peer_expect(to, "PUBLISH d0 q0 r0 m0 w=bye");
	(void)peer_up_kept(&r, MQTT_V5, "a", true);
	rig_run(&r, 20000);
	peer_quiet(to);
	rig_fini(&r);
}

static void a_retained_will_stays(void **state)
{
	struct rig r;
	struct peer *p, *to;

	(void)state;
	rig_up(&r, 2);
	p = peer_open(&r, MQTT_V311);
	peer_connect(p, 0x2E, "", "<a> <w> <bye>");
	peer_expect(p, "CONNACK s0 00");
	peer_cut(p);
	to = peer_up(&r, MQTT_V5, "to");
	peer_subscribe(to, "#", 2, "", 2);
	peer_expect(to, "PUBLISH d0 q1 r1 m1 w=bye");
	rig_fini(&r);
}

static void stopping_tells_5_clients_and_closes_all(void **state)
{
	struct rig r;
	struct peer *a, *b, *c;

	(void)state;
	rig_up(&r, 3);
	a = peer_up(&r, MQTT_V5, "a");
	b = peer_up(&r, MQTT_V311, "b");
	c = peer_open(&r, MQTT_V5);
	rig_run(&r, 5);
	broker_stop(r.broker);
	peer_expect(a, "DISCONNECT 8B");
	peer_expect(a, "closed");
	peer_expect(b, "closed");
	peer_expect(c, "closed");
	assert_int_equal(broker_connections(r.broker), 0);
	c = peer_open(&r, MQTT_V5);
	peer_expect(c, "closed");
	rig_fini(&r);
}

static void a_redirect_ends_and_refuses_on_every_worker_until_it_is_taken_back(void **state)
{
	struct rig r;
	struct peer *p[4], *late;

	(void)state;
	rig_up(&r, 2);
	for (int i = 0; i < 4; i++)
		p[i] = peer_up(&r, i & 2 ? MQTT_V5 : MQTT_V311, (const char *[]){"a", "b", "c", "d"}[i]);
	assert_int_equal(broker_redirect(r.broker, "first", false), OK);
	assert_int_equal(broker_redirect(r.broker, "second", true), OK); /* before the first was seen */
	for (int i = 0; i < 4; i++) {
		if (i & 2)
			peer_expect(p[i], "DISCONNECT 9C");
		peer_expect(p[i], "closed");
	}
	for (int i = 0; i < 4; i++) {
		late = peer_open(&r, i & 2 ? MQTT_V5 : MQTT_V311);
		peer_connect(late, 0x02, "", "<late>");
		peer_expect(late, i & 2 ? "CONNACK s0 9D" : "CONNACK s0 03");
		peer_expect(late, "closed");
	}
	assert_int_equal(broker_redirect(r.broker, NULL, false), OK);
	rig_run(&r, 3);
	for (int i = 0; i < 4; i++)
		peer_ping(peer_up(&r, MQTT_V5, (const char *[]){"a", "b", "c", "d"}[i]));
	/* and one that no worker came to see */
	assert_int_equal(broker_redirect(r.broker, "never", false), OK);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connection_without_connect_is_closed_after_the_connect_timeout),
		cmocka_unit_test(a_silent_client_is_closed_after_one_and_a_half_keep_alives),
		cmocka_unit_test(keep_alive_zero_lets_a_client_be_silent),
		cmocka_unit_test(more_qos_2_messages_than_the_receive_maximum_close_the_connection),
		cmocka_unit_test(a_packet_above_the_limit_closes_the_connection_at_its_header),
		cmocka_unit_test(connections_above_the_limit_are_closed_unheard),
		cmocka_unit_test(subscriptions_above_the_limit_are_refused),
		cmocka_unit_test(the_window_holds_back_what_the_client_has_not_acknowledged),
		cmocka_unit_test(an_acknowledgement_of_the_wrong_kind_closes_the_connection),
		cmocka_unit_test(a_second_connection_of_a_client_id_takes_the_session_on_every_worker),
		cmocka_unit_test(a_client_that_went_and_came_back_is_found_by_all_workers),
		cmocka_unit_test(a_session_ends_when_its_expiry_has_passed),
		cmocka_unit_test(a_session_lasts_as_long_as_its_connection),
		cmocka_unit_test(what_was_sent_is_sent_again_after_a_reconnect_alone_expired_or_not),
		cmocka_unit_test(what_was_not_acknowledged_is_sent_again_in_order),
		cmocka_unit_test(a_qos_2_message_that_comes_again_on_a_new_connection_is_not_delivered_twice),
		cmocka_unit_test(a_will_is_published_when_the_connection_breaks_and_not_after_disconnect),
		cmocka_unit_test(a_will_waits_for_its_delay_and_is_forgotten_when_the_client_returns),
		cmocka_unit_test(a_will_does_not_outlive_its_session),
		cmocka_unit_test(a_takeover_publishes_the_will_unless_it_waits),
		cmocka_unit_test(a_retained_will_stays),
		cmocka_unit_test(stopping_tells_5_clients_and_closes_all),
		cmocka_unit_test(a_redirect_ends_and_refuses_on_every_worker_until_it_is_taken_back),
	};

	return cmocka_run_group_tests_name("mqtt_broker_session", tests, NULL, NULL);
}
