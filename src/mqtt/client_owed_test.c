/* Acknowledgements that the user gives, and publishes that it takes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "mqtt/client_rig.h"

#define CUT "disconnected input/output error rc0"

static uint64_t tokens[8];
static unsigned ntokens;

static void note_token(struct rig *r, const char *line)
{
	if (strncmp(line, "message", 7) == 0)
		tokens[ntokens++] = mqtt_client_message_token(r->client);
}

static void manual_up(struct rig *r, uint64_t seed)
{
	ntokens = 0;
	rig_init(r, seed, MQTT_V5);
	mqtt_props_set_num(&r->opt.connect.props, MQTT_P_SESSION_EXPIRY, 1000);
	mqtt_props_set_num(&r->opt.connect.props, MQTT_P_RECEIVE_MAXIMUM, 3);
	r->opt.manual_ack = true;
	r->on_event = note_token;
	rig_up(r);
}

static void acknowledgements_are_given_by_the_user_and_leave_in_order(void **state)
{
	struct rig r;

	(void)state;
	manual_up(&r, 1);
	rig_publish(&r, 1, 7, false, "a", "1");
	rig_publish(&r, 2, 8, false, "a", "2");
	rig_publish(&r, 0, 0, false, "a", "none");
	rig_publish(&r, 1, 9, false, "a", "3");
	rig_event(&r, "message q1 a=1");
	rig_event(&r, "message q2 a=2");
	rig_event(&r, "message q0 a=none");
	rig_event(&r, "message q1 a=3");
	rig_quiet(&r, 1000);
	assert_int_equal(tokens[2], 0);
	mqtt_client_ack(r.client, tokens[3]);
	mqtt_client_ack(r.client, tokens[1]);
	mqtt_client_ack(r.client, 0);
	rig_quiet(&r, 1000);
	mqtt_client_ack(r.client, tokens[0]);
	rig_packet(&r, "PUBACK m7 rc0");
	rig_packet(&r, "PUBREC m8 rc0");
	rig_packet(&r, "PUBACK m9 rc0");
	rig_ack(&r, MQTT_PUBREL, 8, 0);
	rig_packet(&r, "PUBCOMP m8 rc0");
	rig_fini(&r);
}

static void what_is_owed_when_the_connection_ends_comes_again(void **state)
{
	struct rig r;

	(void)state;
	manual_up(&r, 2);
	rig_publish(&r, 1, 7, false, "a", "1");
	rig_publish(&r, 2, 8, false, "a", "2");
	rig_event(&r, "message q1 a=1");
	rig_event(&r, "message q2 a=2");
	rig_cut(&r);
	rig_event(&r, CUT);
	rig_packet(&r, "CONNECT v5 clean0 id=c ka60");
	rig_connack(&r, true, 0);
	rig_event(&r, "connected present1 id=c ka60");
	mqtt_client_ack(r.client, tokens[0]); /* too late: of the connection before */
	rig_publish(&r, 1, 7, true, "a", "1");
	rig_publish(&r, 2, 8, true, "a", "2");
	rig_event(&r, "message q1 a=1");
	rig_event(&r, "message q2 a=2");
	rig_quiet(&r, 1000);
	mqtt_client_ack(r.client, tokens[2]);
	mqtt_client_ack(r.client, tokens[3]);
	rig_packet(&r, "PUBACK m7 rc0");
	rig_packet(&r, "PUBREC m8 rc0");
	rig_publish(&r, 2, 8, true, "a", "2"); /* PUBREC was lost, for all the server knows */
	rig_packet(&r, "PUBREC m8 rc0");
	rig_fini(&r);
}

static void more_than_may_be_owed_is_a_violation(void **state)
{
	struct rig r;

	(void)state;
	manual_up(&r, 3);
	for (uint16_t id = 1; id <= 4; id++)
		rig_publish(&r, 1, id, false, "a", "x");
	for (int i = 0; i < 3; i++)
		rig_event(&r, "message q1 a=x");
	rig_event(&r, "disconnected not allowed by the protocol at this point rc147");
	rig_fini(&r);
}

static struct rig *taking;

static void take_back(struct rig *r, const char *line)
{
	if (r == taking && strncmp(line, "disconnected", 12) == 0)
		mqtt_client_take_back(r->client);
}

static void publishes_that_are_taken_back_end_in_their_order_but_those_of_qos_2_stay(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 4, MQTT_V5);
	mqtt_props_set_num(&r.opt.connect.props, MQTT_P_SESSION_EXPIRY, 1000);
	r.opt.inflight = 3;
	taking = &r;
	r.on_event = take_back;
	rig_up(&r);
	rig_pub(&r, 1, "a", "1", 1);
	rig_pub(&r, 2, "a", "2", 2);
	rig_pub(&r, 1, "a", "3", 3);
	rig_pub(&r, 1, "a", "4", 4);
	rig_packet(&r, "PUBLISH d0 q1 r0 m1 a=1");
	rig_packet(&r, "PUBLISH d0 q2 r0 m2 a=2");
	rig_packet(&r, "PUBLISH d0 q1 r0 m3 a=3");
	mqtt_client_take_back(r.client); /* connected: nothing happens */
	rig_quiet(&r, 100);
	rig_cut(&r);
	rig_event(&r, CUT);
	rig_event(&r, "published 1 closed by the other side rc0");
	rig_event(&r, "published 3 closed by the other side rc0");
	rig_event(&r, "published 4 closed by the other side rc0");
	assert_int_equal(mqtt_client_pending(r.client), 1);
	rig_pub(&r, 1, "a", "5", 5);
	rig_packet(&r, "CONNECT v5 clean0 id=c ka60");
	rig_connack(&r, true, 0);
	rig_event(&r, "connected present1 id=c ka60");
	rig_packet(&r, "PUBLISH d1 q2 r0 m2 a=2");
	rig_packet(&r, "PUBLISH d0 q1 r0 m4 a=5");
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acknowledgements_are_given_by_the_user_and_leave_in_order),
		cmocka_unit_test(what_is_owed_when_the_connection_ends_comes_again),
		cmocka_unit_test(more_than_may_be_owed_is_a_violation),
		cmocka_unit_test(publishes_that_are_taken_back_end_in_their_order_but_those_of_qos_2_stay),
	};

	return cmocka_run_group_tests_name("mqtt_client_owed", tests, NULL, NULL);
}
