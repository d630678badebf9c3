/* Who gets what, and how: subscriptions, retained messages, properties, commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mqtt/broker_rig.h"

/* ---- retained ---- */

static void retained_messages_come_as_the_handling_says(void **state)
{
	static const struct {
		const char *what;
		uint8_t options;
		bool first, again; /* sent with the first SUBSCRIBE, with the second */
	} rows[] = {
		{"send", 0x00, true, true},
		{"send if new", 0x10, true, false},
		{"do not send", 0x20, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig r;
		struct peer *p, *from;

		rig_up(&r, 2);
		from = peer_up(&r, MQTT_V311, "from");
		peer_publish(from, 1, 0, "a/b", "", "kept");
		peer_ping(from);
		rig_run(&r, 5);
		p = peer_up(&r, MQTT_V5, "p");
		peer_subscribe(p, "a/#", rows[i].options, "", 0);
		if (rows[i].first)
			peer_expect(p, "PUBLISH d0 q0 r1 m0 a/b=kept");
		peer_subscribe(p, "a/#", rows[i].options, "", 0);
		if (rows[i].again)
			peer_expect(p, "PUBLISH d0 q0 r1 m0 a/b=kept");
		peer_quiet(p);
		peer_unsubscribe(p, "a/#", 0);
		peer_subscribe(p, "a/#", rows[i].options, "", 0);
		if (rows[i].first)
			peer_expect(p, "PUBLISH d0 q0 r1 m0 a/b=kept");
		peer_quiet(p);
		rig_fini(&r);
	}
}

static void an_empty_retained_message_clears_and_is_delivered(void **state)
{
	struct rig r;
	struct peer *p, *from, *late;

	(void)state;
	rig_up(&r, 2);
	from = peer_up(&r, MQTT_V5, "from");
	p = peer_up(&r, MQTT_V5, "p");
	peer_subscribe(p, "a", 0, "", 0);
	peer_publish(from, 1, 0, "a", "", "one");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 a=one");
	peer_publish(from, 1, 0, "a", "", "");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 a=");
	late = peer_up(&r, MQTT_V5, "late");
	peer_subscribe(late, "#", 0, "", 0);
	peer_quiet(late);
	rig_fini(&r);
}

static void retain_is_kept_as_published_where_asked_for(void **state)
{
	struct rig r;
	struct peer *p, *from;

	(void)state;
	rig_up(&r, 2);
	p = peer_up(&r, MQTT_V5, "p");
	peer_subscribe(p, "a", 0x08, "", 0);
	peer_subscribe(p, "b", 0x00, "", 0);
	from = peer_up(&r, MQTT_V5, "from");
	peer_publish(from, 1, 0, "a", "", "kept");
	peer_publish(from, 0, 0, "a", "", "not");
	peer_publish(from, 1, 0, "b", "", "kept");
	peer_expect(p, "PUBLISH d0 q0 r1 m0 a=kept");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 a=not");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 b=kept");
	rig_fini(&r);
}

static void a_retained_message_has_the_lower_qos_and_the_subscriptions_id(void **state)
{
	struct rig r;
	struct peer *p, *from;

	(void)state;
	rig_up(&r, 1);
	from = peer_up(&r, MQTT_V5, "from");
	peer_publish(from, 3, 1, "a", "", "one");
	peer_expect(from, "PUBACK m1 10");
	p = peer_up(&r, MQTT_V5, "p");
	peer_subscribe(p, "a", 2, "0B 07", 2);
	peer_expect(p, "PUBLISH d0 q1 r1 m1 a=one ids=7");
	peer_subscribe(p, "+", 0, "", 0);
	peer_expect(p, "PUBLISH d0 q0 r1 m0 a=one");
	/* a shared subscription gets none */
	peer_subscribe(p, "$share/g/a", 0, "", 0);
	peer_quiet(p);
	rig_fini(&r);
}

static void live_messages_wait_behind_retained_ones_that_wait_for_the_window(void **state)
{
	struct rig r;
	struct peer *p, *from;

	(void)state;
	rig_up(&r, 2);
	from = peer_up(&r, MQTT_V5, "from");
	peer_publish(from, 3, 1, "a", "", "1");
	peer_expect(from, "PUBACK m1 10");
	peer_publish(from, 3, 1, "b", "", "1");
	peer_expect(from, "PUBACK m1 10");
	rig_run(&r, 5);
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, 2, "21 00 01", "<p>");
	peer_expect(p, "CONNACK s0 00");
	peer_subscribe(p, "a", 1, "", 1);
	peer_expect(p, "PUBLISH d0 q1 r1 m1 a=1");
	peer_subscribe(p, "b", 1, "", 1); /* waits for the window */
	peer_publish(from, 0, 0, "b", "", "2");
	peer_publish(from, 3, 2, "b", "", "3");
	peer_expect(from, "PUBACK m2 00");
	rig_run(&r, 5);
	peer_quiet(p);
	peer_ack(p, MQTT_PUBACK, 1);
	peer_expect(p, "PUBLISH d0 q1 r1 m2 b=1");
	peer_ack(p, MQTT_PUBACK, 2);
	peer_expect(p, "PUBLISH d0 q0 r0 m0 b=2");
	peer_expect(p, "PUBLISH d0 q1 r0 m3 b=3");
	rig_fini(&r);
}

/* ---- subscriptions ---- */

static void no_local_keeps_ones_own_messages_away(void **state)
{
	struct rig r;
	struct peer *a, *b;

	(void)state;
	rig_up(&r, 2);
	a = peer_up(&r, MQTT_V5, "a");
	b = peer_up(&r, MQTT_V5, "b");
	peer_subscribe(a, "t", 0x04, "", 0);
	peer_subscribe(b, "t", 0x04, "", 0);
	for (unsigned i = 0; i < 3; i++) { /* also when its route is known */
		peer_publish(a, 0, 0, "t", "", "a");
		peer_publish(b, 0, 0, "t", "", "b");
		peer_expect(a, "PUBLISH d0 q0 r0 m0 t=b");
		peer_expect(b, "PUBLISH d0 q0 r0 m0 t=a");
	}
	peer_quiet(a);
	peer_quiet(b);
	/* nor does one get them back when they were retained */
	peer_publish(a, 1, 0, "kept", "", "a");
	peer_ping(a);
	peer_subscribe(a, "kept", 0x04, "", 0);
	peer_quiet(a);
	peer_subscribe(b, "kept", 0x04, "", 0);
	peer_expect(b, "PUBLISH d0 q0 r1 m0 kept=a");
	/* another subscription of one's own without it */
	peer_subscribe(a, "+", 0, "0B 05", 0);
	peer_expect(a, "PUBLISH d0 q0 r1 m0 kept=a ids=5");
	peer_publish(a, 0, 0, "t", "", "a");
	peer_expect(a, "PUBLISH d0 q0 r0 m0 t=a ids=5");
	rig_fini(&r);
}

static void overlapping_subscriptions_bring_one_message_with_all_identifiers(void **state)
{
	struct rig r;
	struct peer *p, *old, *from;
	char line[128];

	(void)state;
	rig_up(&r, 2);
	p = peer_up(&r, MQTT_V5, "p");
	peer_subscribe(p, "a/b", 0, "0B 01", 0);
	peer_subscribe(p, "a/+", 2, "0B 02", 2);
	peer_subscribe(p, "#", 1, "0B 80 01", 1);
	peer_subscribe(p, "+/b", 0, "", 0);
	old = peer_up(&r, MQTT_V311, "old");
	peer_subscribe(old, "a/b", 0, "", 0);
	peer_subscribe(old, "#", 1, "", 1);
	from = peer_up(&r, MQTT_V5, "from");
	peer_publish(from, 4, 1, "a/b", "", "x");
	peer_expect(from, "PUBREC m1 00");
	snprintf(line, sizeof(line), "%s", peer_line(p));
	assert_memory_equal(line, "PUBLISH d0 q2 r0 m1 a/b=x ids=", 30);
	/* in any order */
	assert_non_null(strstr(line, "128"));
	assert_int_equal(strlen(line), strlen("PUBLISH d0 q2 r0 m1 a/b=x ids=1,2,128"));
	peer_expect(old, "PUBLISH d0 q1 r0 m1 a/b=x");
	peer_ping(p);
	peer_ping(old);
	/* a subscription made anew replaces the id */
	peer_subscribe(p, "+/b", 0, "0B 09", 0);
	peer_publish(from, 0, 0, "z/b", "", "x");
	snprintf(line, sizeof(line), "%s", peer_line(p));
	assert_non_null(strstr(line, "9"));
	assert_non_null(strstr(line, "128"));
	peer_unsubscribe(p, "+/b", 0);
	peer_unsubscribe(p, "#", 0);
	peer_publish(from, 0, 0, "z/b", "", "x");
	peer_quiet(p);
	rig_fini(&r);
}

static void topics_with_a_dollar_are_hidden_from_leading_wildcards(void **state)
{
	struct rig r;
	struct peer *all, *one, *own, *from;

	(void)state;
	rig_up(&r, 2);
	all = peer_up(&r, MQTT_V311, "all");
	one = peer_up(&r, MQTT_V311, "one");
	own = peer_up(&r, MQTT_V311, "own");
	peer_subscribe(all, "#", 0, "", 0);
	peer_subscribe(one, "+/x", 0, "", 0);
	peer_subscribe(own, "$own/#", 0, "", 0);
	from = peer_up(&r, MQTT_V311, "from");
	peer_publish(from, 1, 0, "$own/x", "", "1");
	peer_expect(own, "PUBLISH d0 q0 r0 m0 $own/x=1");
	peer_publish(from, 0, 0, "a/$own/x", "", "2");
	peer_expect(all, "PUBLISH d0 q0 r0 m0 a/$own/x=2");
	peer_quiet(one);
	peer_subscribe(all, "#", 0, "", 0);
	peer_subscribe(one, "+/+", 0, "", 0);
	peer_quiet(all);
	peer_quiet(one);
	peer_subscribe(own, "$own/+", 0, "", 0);
	peer_expect(own, "PUBLISH d0 q0 r1 m0 $own/x=1");
	rig_fini(&r);
}

static void a_topic_is_matched_anew_after_every_change(void **state)
{
	struct rig r;
	struct peer *p, *from;

	(void)state;
	for (uint32_t workers = 1; workers <= 2; workers++) {
		rig_up(&r, workers);
		from = peer_up(&r, MQTT_V311, "from");
		p = peer_up(&r, MQTT_V311, "p");
		for (unsigned i = 0; i < 20; i++) {
			peer_publish(from, 0, 0, "t/u", "", "lost");
			peer_ping(from);
			rig_run(&r, 5);
			peer_subscribe(p, i % 2 ? "t/+" : "t/u", 0, "", 0);
			peer_publish(from, 0, 0, "t/u", "", "x");
			peer_expect(p, "PUBLISH d0 q0 r0 m0 t/u=x");
			peer_unsubscribe(p, i % 2 ? "t/+" : "t/u", 0);
			peer_quiet(p);
		}
		rig_fini(&r);
	}
}

/* ---- properties ---- */

/* covers 5.0 [MQTT-3.3.2-5] [MQTT-3.3.2-6] */
static void properties_travel_and_expiry_counts_down(void **state)
{
	struct rig r;
	struct peer *p, *old, *from;

	(void)state;
	rig_up(&r, 2);
	p = peer_up_kept(&r, MQTT_V5, "p", false);
	peer_subscribe(p, "t", 1, "", 1);
	old = peer_up_kept(&r, MQTT_V311, "old", false);
	peer_subscribe(old, "t", 1, "", 1);
	from = peer_up(&r, MQTT_V5, "from");
	peer_publish(from, 2, 1, "t", "01 01 02 00 00 00 0A 03 <text> 08 <r> 09 <c> 26 <k> <v> 26 <k> <w>",
		     "x");
	peer_expect(from, "PUBACK m1 00");
	peer_expect(p, "PUBLISH d0 q1 r0 m1 t=x MESSAGE_EXPIRY=10 PAYLOAD_FORMAT=1 CONTENT_TYPE=text "
		       "RESPONSE_TOPIC=r CORRELATION_DATA=c user=k:v user=k:w");
	peer_expect(old, "PUBLISH d0 q1 r0 m1 t=x");
	peer_ack(p, MQTT_PUBACK, 1);
	peer_ack(old, MQTT_PUBACK, 1);
	peer_ping(p);
	peer_ping(old);
	peer_cut(p);
	peer_cut(old);
	peer_publish(from, 2, 2, "t", "02 00 00 00 0A", "short");
	peer_publish(from, 2, 3, "t", "02 00 00 00 64", "long");
	peer_publish(from, 2, 4, "t", "", "ever");
	peer_expect(from, "PUBACK m2 00");
	peer_expect(from, "PUBACK m3 00");
	peer_expect(from, "PUBACK m4 00");
	rig_run(&r, 30000);
	p = peer_up_kept(&r, MQTT_V5, "p", true);
	peer_expect(p, "PUBLISH d0 q1 r0 m3 t=long MESSAGE_EXPIRY=70");
	peer_expect(p, "PUBLISH d0 q1 r0 m4 t=ever");
	old = peer_up_kept(&r, MQTT_V311, "old", true);
	peer_expect(old, "PUBLISH d0 q1 r0 m3 t=long");
	peer_expect(old, "PUBLISH d0 q1 r0 m4 t=ever");
	rig_fini(&r);
}

/* covers 5.0 [MQTT-3.3.2-5] [MQTT-3.3.2-6] */
static void a_retained_message_expires_too(void **state)
{
	struct rig r;
	struct peer *p, *from;

	(void)state;
	rig_up(&r, 2);
	from = peer_up(&r, MQTT_V5, "from");
	peer_publish(from, 1, 0, "t", "02 00 00 00 0A", "x");
	peer_ping(from);
	rig_run(&r, 4000);
	p = peer_up(&r, MQTT_V5, "p");
	peer_subscribe(p, "t", 0, "", 0);
	peer_expect(p, "PUBLISH d0 q0 r1 m0 t=x MESSAGE_EXPIRY=6");
	rig_run(&r, 6001);
	peer_subscribe(p, "t", 0, "", 0);
	peer_quiet(p);
	rig_fini(&r);
}

static void an_alias_stands_for_its_topic_in_both_directions(void **state)
{
	struct rig r;
	struct peer *p, *from;

	(void)state;
	rig_up(&r, 2);
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, 2, "22 00 01", "<p>");
	peer_expect(p, "CONNACK s0 00");
	peer_subscribe(p, "#", 0, "", 0);
	from = peer_up(&r, MQTT_V5, "from");
	peer_publish(from, 0, 0, "long/one", "23 00 01", "1");
	peer_publish(from, 0, 0, "", "23 00 01", "2");
	peer_publish(from, 0, 0, "long/two", "23 00 01", "3");
	peer_publish(from, 0, 0, "", "23 00 01", "4");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 long/one=1 TOPIC_ALIAS=1");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 =2 TOPIC_ALIAS=1");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 long/two=3");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 long/two=4");
	rig_fini(&r);
}

static void a_message_too_large_for_the_client_is_left_out(void **state)
{
	struct rig r;
	struct peer *p, *from;
	struct broker_counters count;

	(void)state;
	rig_up(&r, 2);
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, 2, "27 00 00 00 14", "<p>"); /* 20 bytes */
	peer_expect(p, "CONNACK s0 00");
	peer_subscribe(p, "t", 1, "", 1);
	from = peer_up(&r, MQTT_V5, "from");
	peer_publish(from, 2, 1, "t", "", "a message of more");
	peer_publish(from, 2, 2, "t", "", "twelve bytes");
	peer_publish(from, 2, 3, "t", "", "thirteen byte");
	peer_publish(from, 0, 0, "t", "", "fourteen bytes");
	peer_publish(from, 0, 0, "t", "", "fifteen bytes..");
	peer_publish(from, 2, 4, "t", "", "end");
	peer_expect(p, "PUBLISH d0 q1 r0 m2 t=twelve bytes");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 t=fourteen bytes");
	peer_expect(p, "PUBLISH d0 q1 r0 m4 t=end");
	broker_counters(r.broker, &count);
	assert_int_equal(count.dropped_too_large, 3);
	rig_fini(&r);
}

/* ---- commands and what is refused ---- */

static bool ends_with(struct span s, const char *end)
{
	size_t n = strlen(end);

	return s.len >= n && memcmp(s.p + s.len - n, end, n) == 0;
}

static uint8_t policy_publish(struct mqtt_policy *p, const struct mqtt_publish_request *q, bool *command)
{
	(void)p;
	if (ends_with(q->topic, "/own"))
		return MQTT_RC_NOT_AUTHORIZED;
	if (!ends_with(q->topic, "/set"))
		return MQTT_RC_SUCCESS;
	*command = true;
	return q->retain ? MQTT_RC_RETAIN_NOT_SUPPORTED : MQTT_RC_SUCCESS;
}

static struct mqtt_policy policy = {.publish = policy_publish};

static void rig_up_with_policy(struct rig *r)
{
	rig_init(r, 2);
	r->config.policy = &policy;
	rig_start(r);
}

static void what_the_policy_refuses_gets_its_reason(void **state)
{
	static const struct {
		enum mqtt_version v;
		uint8_t flags;
		const char *topic;
		const char *lines[2];
	} rows[] = {
		{MQTT_V5, 3, "a/set", {"DISCONNECT 9A", "closed"}},
		{MQTT_V5, 5, "a/set", {"DISCONNECT 9A", "closed"}},
		{MQTT_V5, 1, "a/set", {"DISCONNECT 9A", "closed"}},
		{MQTT_V311, 3, "a/set", {"closed"}},
		{MQTT_V311, 1, "a/set", {NULL}},
		{MQTT_V5, 2, "a/own", {"PUBACK m1 87"}},
		{MQTT_V5, 4, "a/own", {"PUBREC m1 87"}},
		{MQTT_V5, 0, "a/own", {NULL}},
		{MQTT_V311, 4, "a/own", {"closed"}},
		{MQTT_V31, 0, "a/own", {NULL}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig r;
		struct peer *p, *to;

		rig_up_with_policy(&r);
		to = peer_up(&r, MQTT_V5, "to");
		peer_subscribe(to, "#", 0, "", 0);
		p = peer_up(&r, rows[i].v, "p");
		peer_publish(p, rows[i].flags, 1, rows[i].topic, "", "x");
		for (unsigned n = 0; n < 2 && rows[i].lines[n]; n++)
			peer_expect(p, rows[i].lines[n]);
		if (!p->stream->is_closed)
			peer_ping(p);
		peer_quiet(to);
		/* nothing was stored either */
		peer_subscribe(to, "#", 0, "", 0);
		peer_quiet(to);
		rig_fini(&r);
	}
}

static void a_will_that_the_policy_refuses_refuses_the_client(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	rig_up_with_policy(&r);
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, 0x06, "", "<a> [] <a/own> <w>");
	peer_expect(p, "CONNACK s0 87");
	peer_expect(p, "closed");
	p = peer_open(&r, MQTT_V311);
	peer_connect(p, 0x06, "", "<a> <a/own> <w>");
	peer_expect(p, "CONNACK s0 05");
	peer_expect(p, "closed");
	rig_fini(&r);
}

static void a_command_reaches_who_is_there_and_nobody_later(void **state)
{
	struct rig r;
	struct peer *p, *slow, *from;

	(void)state;
	rig_up_with_policy(&r);
	p = peer_up_kept(&r, MQTT_V311, "p", false);
	peer_subscribe(p, "+/set", 2, "", 2);
	slow = peer_open(&r, MQTT_V5); /* a window of one */
	peer_connect(slow, 2, "21 00 01", "<slow>");
	peer_expect(slow, "CONNACK s0 00");
	peer_subscribe(slow, "+/set", 1, "", 1);
	from = peer_up(&r, MQTT_V5, "from");
	peer_publish(from, 2, 1, "a/set", "", "1");
	peer_publish(from, 4, 2, "a/set", "", "2");
	peer_expect(p, "PUBLISH d0 q1 r0 m1 a/set=1");
	peer_expect(p, "PUBLISH d0 q2 r0 m2 a/set=2");
	peer_expect(slow, "PUBLISH d0 q1 r0 m1 a/set=1");
	peer_ack(slow, MQTT_PUBACK, 1);
	peer_quiet(slow); /* the second found no room and is not kept */
	peer_publish(from, 2, 3, "a/set", "", "3");
	peer_expect(slow, "PUBLISH d0 q1 r0 m2 a/set=3");
	peer_cut(p); /* what was not acknowledged is not sent again */
	peer_publish(from, 2, 4, "a/set", "", "4");
	rig_run(&r, 5);
	p = peer_up_kept(&r, MQTT_V311, "p", true);
	peer_quiet(p);
	peer_publish(from, 2, 5, "a/set", "", "5");
	peer_expect(p, "PUBLISH d0 q1 r0 m4 a/set=5");
	rig_fini(&r);
}

static void a_command_of_qos_0_does_not_wait_behind_retained_messages(void **state)
{
	struct rig r;
	struct peer *p, *from;

	(void)state;
	rig_up_with_policy(&r);
	from = peer_up(&r, MQTT_V5, "from");
	peer_publish(from, 3, 1, "a", "", "1");
	peer_expect(from, "PUBACK m1 10");
	peer_publish(from, 3, 1, "b", "", "1");
	peer_expect(from, "PUBACK m1 10");
	rig_run(&r, 5);
	p = peer_open(&r, MQTT_V5); /* a window of one */
	peer_connect(p, 0, "21 00 01 11 00 00 0E 10", "<p>");
	peer_expect(p, "CONNACK s0 00");
	peer_subscribe(p, "x/set", 0, "", 0);
	peer_subscribe(p, "a", 1, "", 1);
	peer_expect(p, "PUBLISH d0 q1 r1 m1 a=1");
	peer_subscribe(p, "b", 1, "", 1); /* waits for the window */
	peer_publish(from, 0, 0, "x/set", "", "now");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 x/set=now");
	rig_fini(&r);
}

static void a_will_that_is_a_command_is_not_kept_either(void **state)
{
	struct rig r;
	struct peer *here, *away, *p;

	(void)state;
	rig_up_with_policy(&r);
	here = peer_up(&r, MQTT_V5, "here");
	peer_subscribe(here, "+/set", 1, "", 1);
	away = peer_up_kept(&r, MQTT_V5, "away", false);
	peer_subscribe(away, "+/set", 1, "", 1);
	peer_cut(away);
	p = peer_open(&r, MQTT_V311);
	peer_connect(p, 0x0E, "", "<p> <a/set> <0>");
	peer_expect(p, "CONNACK s0 00");
	peer_cut(p);
	peer_expect(here, "PUBLISH d0 q1 r0 m1 a/set=0");
	away = peer_up_kept(&r, MQTT_V5, "away", true);
	peer_quiet(away);
	rig_fini(&r);
}

static void large_messages_cross_workers_whole(void **state)
{
	static const size_t sizes[] = {8191, 8192, 8193, 32768, 200000, 1000000};
	struct rig r;
	struct peer *a, *b, *from;

	(void)state;
	rig_up(&r, 2);
	a = peer_up(&r, MQTT_V5, "a");
	b = peer_up(&r, MQTT_V5, "b");
	peer_subscribe(a, "t", 1, "", 1);
	peer_subscribe(b, "t", 0, "", 0);
	from = peer_up(&r, MQTT_V311, "from");
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = sizes[i] + 5;
		uint8_t *packet = malloc(n + 5), *at = packet;
		char line[80];

		*at++ = 0x32;
		for (; n > 127; n >>= 7)
			*at++ = (uint8_t)(n | 0x80);
		*at++ = (uint8_t)n;
		memcpy(at, "\0\1t\0\1", 5);
		memset(at + 5, 'z', sizes[i]);
		peer_send_bytes(from, packet, (size_t)(at - packet) + 5 + sizes[i]);
		free(packet);
		peer_expect(from, "PUBACK m1");
		snprintf(line, sizeof(line), "PUBLISH d0 q1 r0 m%u t=(%zu bytes of z)", i + 1, sizes[i]);
		peer_expect(a, line);
		peer_ack(a, MQTT_PUBACK, (uint16_t)(i + 1));
		snprintf(line, sizeof(line), "PUBLISH d0 q0 r0 m0 t=(%zu bytes of z)", sizes[i]);
		peer_expect(b, line);
	}
	rig_fini(&r);
}

/* The packets behind a row of messages find them delivered, though other workers got them first. */
static void what_is_handed_over_first_is_delivered_before_the_next_packet(void **state)
{
	static const uint8_t packets[] = "\x30\x04\0\1t1"
					 "\x30\x04\0\1t2"
					 "\xa2\x05\0\7\0\1t"
					 "\x30\x04\0\1t3";
	struct peer *a, *b;
	struct rig r;

	(void)state;
	rig_init(&r, 2);
	r.config.hand_over_first = 1;
	rig_start(&r);
	a = peer_up(&r, MQTT_V311, "a");
	b = peer_up(&r, MQTT_V311, "b");
	peer_subscribe(a, "t", 0, "", 0);
	peer_subscribe(b, "t", 0, "", 0);
	peer_send_bytes(a, packets, sizeof(packets) - 1);
	peer_expect(a, "PUBLISH d0 q0 r0 m0 t=1");
	peer_expect(a, "PUBLISH d0 q0 r0 m0 t=2");
	peer_expect(a, "UNSUBACK m7");
	for (unsigned i = 1; i <= 3; i++) {
		char line[40];

		snprintf(line, sizeof(line), "PUBLISH d0 q0 r0 m0 t=%u", i);
		peer_expect(b, line);
	}
	peer_quiet(a);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_handed_over_first_is_delivered_before_the_next_packet),
		cmocka_unit_test(retained_messages_come_as_the_handling_says),
		cmocka_unit_test(an_empty_retained_message_clears_and_is_delivered),
		cmocka_unit_test(retain_is_kept_as_published_where_asked_for),
		cmocka_unit_test(a_retained_message_has_the_lower_qos_and_the_subscriptions_id),
		cmocka_unit_test(live_messages_wait_behind_retained_ones_that_wait_for_the_window),
		cmocka_unit_test(no_local_keeps_ones_own_messages_away),
		cmocka_unit_test(overlapping_subscriptions_bring_one_message_with_all_identifiers),
		cmocka_unit_test(topics_with_a_dollar_are_hidden_from_leading_wildcards),
		cmocka_unit_test(a_topic_is_matched_anew_after_every_change),
		cmocka_unit_test(properties_travel_and_expiry_counts_down),
		cmocka_unit_test(a_retained_message_expires_too),
		cmocka_unit_test(an_alias_stands_for_its_topic_in_both_directions),
		cmocka_unit_test(a_message_too_large_for_the_client_is_left_out),
		cmocka_unit_test(what_the_policy_refuses_gets_its_reason),
		cmocka_unit_test(a_will_that_the_policy_refuses_refuses_the_client),
		cmocka_unit_test(a_command_reaches_who_is_there_and_nobody_later),
		cmocka_unit_test(a_command_of_qos_0_does_not_wait_behind_retained_messages),
		cmocka_unit_test(a_will_that_is_a_command_is_not_kept_either),
		cmocka_unit_test(large_messages_cross_workers_whole),
	};

	return cmocka_run_group_tests_name("mqtt_broker_route", tests, NULL, NULL);
}
