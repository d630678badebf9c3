#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/mqtt_verdict.h"

static void acknowledgements_are_judged_by_their_version(void **state)
{
	static const struct verdict table[] = {
		{"PUBACK", 0, 0x40, "0001", OK},
		{"PUBREC", 0, 0x50, "FFFF", OK},
		{"PUBREL", 0, 0x62, "0001", OK},
		{"PUBCOMP", 0, 0x70, "0001", OK},
		{"packet id 0", 0, 0x40, "0000", ERR_PROTOCOL},
		{"empty", 0, 0x40, "", ERR_MALFORMED},
		{"half a packet id", 0, 0x40, "01", ERR_MALFORMED},
		{"3.1 unused flags", MQTT_V31, 0x4F, "0001", OK},
		{"3.1 PUBREL repeated", MQTT_V31, 0x6A, "0001", OK},
		{"3.1 PUBREL without QoS 1", MQTT_V31, 0x60, "0001", ERR_MALFORMED},
		{"3.1.1 flags", MQTT_V311, 0x41, "0001", ERR_MALFORMED},
		{"5 flags", MQTT_V5, 0x48, "0001", ERR_MALFORMED},
		{"3.1.1 PUBREL flags", MQTT_V311, 0x60, "0001", ERR_MALFORMED},
		{"5 PUBREL flags", MQTT_V5, 0x6A, "0001", ERR_MALFORMED},
		{"3.1 with a reason", MQTT_V31, 0x40, "0001 00", ERR_MALFORMED},
		{"3.1.1 with a reason", MQTT_V311, 0x40, "0001 00", ERR_MALFORMED},
		{"5 with a reason", MQTT_V5, 0x40, "0001 10", OK},
		{"5 reason of others", MQTT_V5, 0x40, "0001 92", ERR_PROTOCOL},
		{"5 reason of nobody", MQTT_V5, 0x50, "0001 01", ERR_PROTOCOL},
		{"5 PUBREL reason", MQTT_V5, 0x62, "0001 92", OK},
		{"5 PUBCOMP reason of others", MQTT_V5, 0x70, "0001 10", ERR_PROTOCOL},
		{"5 no properties, told", MQTT_V5, 0x40, "0001 00 []", OK},
		{"5 properties", MQTT_V5, 0x40, "0001 00 [1F <why> 26 <a> <b>]", OK},
		{"5 property of others", MQTT_V5, 0x40, "0001 00 [01 00]", ERR_MALFORMED},
		{"5 too long", MQTT_V5, 0x40, "0001 00 [] 00", ERR_MALFORMED},
		{"5 properties cut", MQTT_V5, 0x40, "0001 00 05 1F", ERR_MALFORMED},
	};

	(void)state;
	VERDICTS(table);
}

static void disconnect_and_auth_are_judged_by_their_version(void **state)
{
	static const struct verdict table[] = {
		{"DISCONNECT", 0, 0xE0, "", OK},
		{"flags", MQTT_V311, 0xE1, "", ERR_MALFORMED},
		{"flags", MQTT_V5, 0xE8, "", ERR_MALFORMED},
		{"3.1 with a reason", MQTT_V31, 0xE0, "00", ERR_MALFORMED},
		{"3.1.1 with a reason", MQTT_V311, 0xE0, "00", ERR_MALFORMED},
		{"5 with a reason", MQTT_V5, 0xE0, "04", OK},
		{"5 reason of others", MQTT_V5, 0xE0, "85", ERR_PROTOCOL},
		{"5 no properties, told", MQTT_V5, 0xE0, "00 []", OK},
		{"5 properties", MQTT_V5, 0xE0, "8E [11 00000000 1C <other>]", OK},
		{"5 too long", MQTT_V5, 0xE0, "00 [] 00", ERR_MALFORMED},
		{"3.1 AUTH", MQTT_V31, 0xF0, "", ERR_MALFORMED},
		{"3.1.1 AUTH", MQTT_V311, 0xF0, "", ERR_MALFORMED},
		{"5 AUTH", MQTT_V5, 0xF0, "", OK},
		{"5 AUTH flags", MQTT_V5, 0xF2, "", ERR_MALFORMED},
		{"5 AUTH without properties", MQTT_V5, 0xF0, "00", ERR_MALFORMED},
		{"5 AUTH success", MQTT_V5, 0xF0, "00 []", OK},
		{"5 AUTH without method", MQTT_V5, 0xF0, "18 []", ERR_PROTOCOL},
		{"5 AUTH with method", MQTT_V5, 0xF0, "18 [15 <SCRAM>]", OK},
		{"5 AUTH with data", MQTT_V5, 0xF0, "19 [15 <SCRAM> 16 0002 00FF]", OK},
		{"5 AUTH data without method", MQTT_V5, 0xF0, "18 [16 0002 00FF]", ERR_PROTOCOL},
		{"5 AUTH text without method", MQTT_V5, 0xF0, "00 [1F <why>]", ERR_PROTOCOL},
		{"5 AUTH reason of others", MQTT_V5, 0xF0, "80 [15 <SCRAM>]", ERR_PROTOCOL},
		{"5 AUTH too long", MQTT_V5, 0xF0, "18 [15 <SCRAM>] 00", ERR_MALFORMED},
	};

	(void)state;
	VERDICTS(table);
}

static void the_shortest_acknowledgement_is_encoded(void **state)
{
	static const struct {
		enum mqtt_version v;
		enum mqtt_type type;
		uint8_t reason;
		int rc;
		const char *bytes;
		size_t len;
	} table[] = {
		{MQTT_V5, MQTT_PUBACK, 0, OK, "\x40\x02\x12\x34", 4},
		{MQTT_V5, MQTT_PUBACK, 0x10, OK, "\x40\x03\x12\x34\x10", 5},
		{MQTT_V5, MQTT_PUBREL, 0x92, OK, "\x62\x03\x12\x34\x92", 5},
		{MQTT_V5, MQTT_PUBACK, 0x92, ERR_RANGE, "", 0},
		{MQTT_V311, MQTT_PUBACK, 0x10, OK, "\x40\x02\x12\x34", 4},
		{MQTT_V311, MQTT_PUBACK, 0x87, ERR_RANGE, "", 0},
		{MQTT_V31, MQTT_PUBREC, 0x80, ERR_RANGE, "", 0},
		{MQTT_V31, MQTT_PUBCOMP, 0x92, OK, "\x70\x02\x12\x34", 4},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct mqtt_ack a = {.packet_id = 0x1234, .reason = table[i].reason};
		uint8_t room[8];
		struct wr w = wr_of(room, sizeof(room));

		assert_int_equal(mqtt_ack_encode(&w, table[i].v, table[i].type, &a), table[i].rc);
		assert_int_equal((size_t)(w.p - room), table[i].len);
		assert_memory_equal(room, table[i].bytes, table[i].len);
		a.packet_id = 0;
		assert_int_equal(mqtt_ack_encode(&w, table[i].v, table[i].type, &a), ERR_RANGE);
	}
}

static void the_shortest_disconnect_is_encoded(void **state)
{
	uint8_t room[8];
	struct wr w = wr_of(room, sizeof(room));
	struct mqtt_disconnect d = {.reason = 0};

	(void)state;
	assert_int_equal(mqtt_disconnect_encode(&w, MQTT_V5, MQTT_DISCONNECT, &d), OK);
	assert_int_equal(mqtt_disconnect_encode(&w, MQTT_V5, MQTT_AUTH, &d), OK);
	d.reason = 0x8E;
	assert_int_equal(mqtt_disconnect_encode(&w, MQTT_V311, MQTT_DISCONNECT, &d), OK);
	assert_int_equal(mqtt_disconnect_encode(&w, MQTT_V5, MQTT_AUTH, &d), ERR_RANGE);
	assert_int_equal(mqtt_disconnect_encode(&w, MQTT_V311, MQTT_AUTH, &d), ERR_RANGE);
	assert_int_equal(w.left, 2);
	assert_int_equal(mqtt_disconnect_encode(&w, MQTT_V5, MQTT_DISCONNECT, &d), ERR_FULL);
	assert_int_equal(w.left, 2);
	assert_memory_equal(room, "\xE0\x00\xF0\x00\xE0\x00", 6);
	w = wr_of(room, 3);
	assert_int_equal(mqtt_disconnect_encode(&w, MQTT_V5, MQTT_DISCONNECT, &d), OK);
	assert_memory_equal(room, "\xE0\x01\x8E", 3);
	d.reason = 0x18;
	w = wr_of(room, 8);
	assert_int_equal(mqtt_disconnect_encode(&w, MQTT_V5, MQTT_AUTH, &d), ERR_RANGE); /* no method */
	d.reason = 0x85;
	assert_int_equal(mqtt_disconnect_encode(&w, MQTT_V5, MQTT_DISCONNECT, &d), ERR_RANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acknowledgements_are_judged_by_their_version),
		cmocka_unit_test(disconnect_and_auth_are_judged_by_their_version),
		cmocka_unit_test(the_shortest_acknowledgement_is_encoded),
		cmocka_unit_test(the_shortest_disconnect_is_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
