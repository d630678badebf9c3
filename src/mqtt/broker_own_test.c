/* Sessions of the program's own: who may have one, and limits of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mqtt/broker_rig.h"

struct own {
	struct rig r;
	struct mqtt_policy policy;
	struct mqtt_session_terms terms;
};

static struct own *own_of(struct mqtt_policy *p)
{
	return container_of(p, struct own, policy);
}

static uint8_t all_may(struct mqtt_policy *p, const struct mqtt_publish_request *r, bool *command)
{
	(void)p, (void)r, (void)command;
	return MQTT_RC_SUCCESS;
}

static struct mqtt_session_terms *terms_of(struct mqtt_policy *p, struct span id)
{
	return span_equal(id, span_str("$up")) ? &own_of(p)->terms : NULL;
}

static void own_init(struct own *o, uint32_t nworkers, uint32_t max_sessions)
{
	memset(o, 0, sizeof(*o));
	o->policy = (struct mqtt_policy){.publish = all_may, .session = terms_of};
	o->terms.max_messages = 1000000;
	o->terms.max_bytes = 1u << 30;
	rig_init(&o->r, nworkers);
	o->r.config.policy = &o->policy;
	o->r.config.max_queued_messages = 2;
	o->r.config.max_sessions = max_sessions;
	rig_start(&o->r);
}

static void own_fini(struct own *o)
{
	rig_fini(&o->r);
	free(o->terms.filters);
}

/* The own client with a receive maximum of 1, subscribed to t/#. */
static struct peer *own_up(struct own *o, bool present)
{
	struct peer *p = peer_open_own(&o->r);

	peer_connect(p, 0, "11 FF FF FF FF 21 00 01", "<$up>");
	peer_expect(p, present ? "CONNACK s1 00" : "CONNACK s0 00");
	return p;
}

static void only_own_connections_may_have_an_id_that_begins_with_a_dollar_sign(void **state)
{
	struct own o;
	struct peer *p;

	(void)state;
	own_init(&o, 1, 1);
	p = peer_open(&o.r, MQTT_V5);
	peer_connect(p, 2, "", "<$up>");
	peer_expect(p, "CONNACK s0 85");
	peer_expect(p, "closed");
	p = peer_open(&o.r, MQTT_V311);
	peer_connect(p, 2, "", "<$other>");
	peer_expect(p, "CONNACK s0 02");
	peer_expect(p, "closed");
	peer_up(&o.r, MQTT_V5, "up$"); /* there may be one session */
	own_up(&o, false);
	own_fini(&o);
}

static void publish_numbers(struct peer *p, int from, int to, uint8_t flags)
{
	char text[16];

	for (int i = from; i <= to; i++) {
		snprintf(text, sizeof(text), "%d", i);
		peer_publish(p, flags, 0, "t/x", "", text);
	}
	peer_ping(p);
}

static void expect_numbers(struct peer *p, int from, int to, int id)
{
	char line[64];

	for (int i = from; i <= to; i++, id++) {
		snprintf(line, sizeof(line), "PUBLISH d0 q1 r0 m%d t/x=%d", id, i);
		peer_expect(p, line);
		peer_ack(p, MQTT_PUBACK, (uint16_t)id);
	}
}

static void its_queue_has_limits_of_its_own_and_counts_exactly_what_is_missing(void **state)
{
	(void)state;
	for (int oldest = 0; oldest < 2; oldest++) {
		struct own o;
		struct peer *p, *source;

		own_init(&o, 1, 10);
		o.terms.max_messages = 5;
		o.terms.drop_oldest = oldest;
		p = own_up(&o, false);
		peer_subscribe(p, "t/#", 1, "", 1);
		source = peer_up(&o.r, MQTT_V5, "s");
		publish_numbers(source, 1, 12,
				0); /* QoS 0 is kept as well: one is on its way, five wait, six are missing */
		assert_int_equal(o.terms.queued_messages, 6);
		assert_int_equal(o.terms.dropped_queue_oldest, oldest ? 6 : 0);
		assert_int_equal(o.terms.dropped_queue_full, oldest ? 0 : 6);
		expect_numbers(p, 1, 1, 1);
		expect_numbers(p, oldest ? 8 : 2, oldest ? 12 : 6, 2);
		peer_quiet(p);
		assert_int_equal(o.terms.queued_messages, 0);
		assert_int_equal(o.terms.queued_bytes, 0);
		own_fini(&o);
	}
}

static void what_is_older_than_its_age_is_dropped_and_counted(void **state)
{
	struct own o;
	struct peer *p, *source;

	(void)state;
	own_init(&o, 1, 10);
	o.terms.max_age_ms = 5000;
	p = own_up(&o, false);
	peer_subscribe(p, "t/#", 1, "", 1);
	source = peer_up(&o.r, MQTT_V5, "s");
	publish_numbers(source, 1, 3, 0);
	rig_run(&o.r, 4000);
	publish_numbers(source, 4, 4, 0);
	rig_run(&o.r, 2000);
	/* the first one was sent before; the others have the rest of their time */
	peer_expect(p, "PUBLISH d0 q1 r0 m1 t/x=1 MESSAGE_EXPIRY=5");
	peer_ack(p, MQTT_PUBACK, 1);
	peer_expect(p, "PUBLISH d0 q1 r0 m4 t/x=4 MESSAGE_EXPIRY=3");
	assert_int_equal(o.terms.dropped_expired, 2);

	own_fini(&o);
}

static void its_filters_are_told_when_its_client_connects(void **state)
{
	static const char *const filters[] = {"t/#", "/", "a//b", "+/x"};
	struct own o;
	struct peer *p;
	char *text;
	size_t n = 0;

	(void)state;
	own_init(&o, 1, 10);
	p = own_up(&o, false);
	assert_string_equal(o.terms.filters, "");
	for (int i = 0; i < 4; i++)
		peer_subscribe(p, filters[i], 1, "", 1);
	assert_int_equal(o.terms.subscriptions, 4);
	peer_cut(p);
	rig_run(&o.r, 10);
	p = own_up(&o, true);
	text = o.terms.filters;
	for (char *f = text; *f; f += strlen(f) + 1, n++) {
		int i = 0;

		while (i < 4 && strcmp(filters[i], f) != 0)
			i++;
		assert_true(i < 4);
	}
	assert_int_equal(n, 4);
	own_fini(&o);
}

static void it_stays_when_clients_are_sent_elsewhere(void **state)
{
	struct own o;
	struct peer *p;

	(void)state;
	own_init(&o, 2, 10);
	p = own_up(&o, false);
	assert_int_equal(broker_redirect(o.r.broker, "there", false), OK);
	rig_run(&o.r, 100);
	peer_ping(p);
	peer_cut(p);
	own_up(&o, true);
	own_fini(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_own_connections_may_have_an_id_that_begins_with_a_dollar_sign),
		cmocka_unit_test(its_queue_has_limits_of_its_own_and_counts_exactly_what_is_missing),
		cmocka_unit_test(what_is_older_than_its_age_is_dropped_and_counted),
		cmocka_unit_test(its_filters_are_told_when_its_client_connects),
		cmocka_unit_test(it_stays_when_clients_are_sent_elsewhere),
	};

	return cmocka_run_group_tests_name("mqtt_broker_own", tests, NULL, NULL);
}
