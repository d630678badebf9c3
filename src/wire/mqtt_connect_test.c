#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/mqtt_verdict.h"

static void a_connect_is_judged_by_its_version(void **state)
{
	static const struct verdict table[] = {
		{"3.1 plain", 0, 0x10, "<MQIsdp> 03 02 003C <abc>", OK},
		{"3.1 unused bit", 0, 0x10, "<MQIsdp> 03 03 003C <abc>", OK},
		{"3.1 flags of the first byte are not used", 0, 0x1F, "<MQIsdp> 03 02 003C <abc>", OK},
		{"3.1 bridge", 0, 0x10, "<MQIsdp> 83 02 003C <abc>", OK},
		{"3.1 client id of 30", 0, 0x10, "<MQIsdp> 03 02 003C <abcdefghijabcdefghijabcdefghij>", OK},
		{"3.1 no client id", 0, 0x10, "<MQIsdp> 03 02 003C <>", OK},
		{"3.1 will bits without will", 0, 0x10, "<MQIsdp> 03 3A 003C <abc>", OK},
		{"3.1 user name missing", 0, 0x10, "<MQIsdp> 03 C2 003C <abc>", OK},
		{"3.1 password missing", 0, 0x10, "<MQIsdp> 03 C2 003C <abc> <u>", OK},
		{"3.1 user name cut", 0, 0x10, "<MQIsdp> 03 C2 003C <abc> 0002 'u'", ERR_MALFORMED},
		{"3.1 password without user name", 0, 0x10, "<MQIsdp> 03 42 003C <abc> <p>", ERR_PROTOCOL},
		{"3.1 will QoS 3", 0, 0x10, "<MQIsdp> 03 1E 003C <abc> <t> <m>", ERR_MALFORMED},
		{"3.1.1 plain", 0, 0x10, "<MQTT> 04 02 003C <abc>", OK},
		{"3.1.1 bridge", 0, 0x10, "<MQTT> 84 02 003C <abc>", OK},
		{"3.1.1 flags of the first byte", 0, 0x11, "<MQTT> 04 02 003C <abc>", ERR_MALFORMED},
		{"3.1.1 reserved bit", 0, 0x10, "<MQTT> 04 03 003C <abc>", ERR_MALFORMED},
		{"3.1.1 will QoS without will", 0, 0x10, "<MQTT> 04 0A 003C <abc>", ERR_MALFORMED},
		{"3.1.1 will retain without will", 0, 0x10, "<MQTT> 04 22 003C <abc>", ERR_MALFORMED},
		{"3.1.1 will", 0, 0x10, "<MQTT> 04 36 003C <abc> <t> <m>", OK},
		{"3.1.1 empty will", 0, 0x10, "<MQTT> 04 06 003C <abc> <t> <>", OK},
		{"3.1.1 will QoS 3", 0, 0x10, "<MQTT> 04 1E 003C <abc> <t> <m>", ERR_MALFORMED},
		{"3.1.1 will without message", 0, 0x10, "<MQTT> 04 06 003C <abc> <t>", ERR_MALFORMED},
		{"3.1.1 will topic with +", 0, 0x10, "<MQTT> 04 06 003C <abc> <a/+> <m>", ERR_MALFORMED},
		{"3.1.1 will topic with #", 0, 0x10, "<MQTT> 04 06 003C <abc> <#> <m>", ERR_MALFORMED},
		{"3.1.1 will topic empty", 0, 0x10, "<MQTT> 04 06 003C <abc> <> <m>", ERR_MALFORMED},
		{"3.1.1 will topic no UTF-8", 0, 0x10, "<MQTT> 04 06 003C <abc> 0001 FF <m>", ERR_MALFORMED},
		{"3.1.1 login", 0, 0x10, "<MQTT> 04 C2 003C <abc> <u> <p>", OK},
		{"3.1.1 any bytes as password", 0, 0x10, "<MQTT> 04 C2 003C <abc> <u> 0002 FF00", OK},
		{"3.1.1 user name no UTF-8", 0, 0x10, "<MQTT> 04 82 003C <abc> 0001 C0", ERR_MALFORMED},
		{"3.1.1 user name missing", 0, 0x10, "<MQTT> 04 82 003C <abc>", ERR_MALFORMED},
		{"3.1.1 password without user name", 0, 0x10, "<MQTT> 04 42 003C <abc> <p>", ERR_PROTOCOL},
		{"3.1.1 client id no UTF-8", 0, 0x10, "<MQTT> 04 02 003C 0003 EDA080", ERR_MALFORMED},
		{"3.1.1 client id with NUL", 0, 0x10, "<MQTT> 04 02 003C 0001 00", ERR_MALFORMED},
		{"3.1.1 a byte too many", 0, 0x10, "<MQTT> 04 02 003C <abc> 00", ERR_MALFORMED},
		{"3.1.1 cut", 0, 0x10, "<MQTT> 04 02 003C 0003 'ab'", ERR_MALFORMED},
		{"5 plain", 0, 0x10, "<MQTT> 05 02 003C [] <abc>", OK},
		{"5 has no bridge bit", 0, 0x10, "<MQTT> 85 02 003C [] <abc>", ERR_UNSUPPORTED},
		{"5 reserved bit", 0, 0x10, "<MQTT> 05 03 003C [] <abc>", ERR_MALFORMED},
		{"5 flags of the first byte", 0, 0x12, "<MQTT> 05 02 003C [] <abc>", ERR_MALFORMED},
		{"5 without properties", 0, 0x10, "<MQTT> 05 02 003C", ERR_MALFORMED},
		{"5 password without user name", 0, 0x10, "<MQTT> 05 42 003C [] <abc> <p>", OK},
		{"5 will", 0, 0x10, "<MQTT> 05 06 003C [] <abc> [18 00000005] <t> <m>", OK},
		{"5 will without properties", 0, 0x10, "<MQTT> 05 06 003C [] <abc> <t> <m>", ERR_MALFORMED},
		{"5 will retain without will", 0, 0x10, "<MQTT> 05 22 003C [] <abc>", ERR_MALFORMED},
		{"5 will delay among the others", 0, 0x10, "<MQTT> 05 02 003C [18 00000005] <abc>",
		 ERR_MALFORMED},
		{"5 auth data without method", 0, 0x10, "<MQTT> 05 02 003C [16 0001 FF] <abc>", ERR_PROTOCOL},
		{"5 auth data and method", 0, 0x10, "<MQTT> 05 02 003C [16 0001 FF 15 <m>] <abc>", OK},
		{"level 2", 0, 0x10, "<MQTT> 02 02 003C <abc>", ERR_UNSUPPORTED},
		{"level 3 with the new name", 0, 0x10, "<MQTT> 03 02 003C <abc>", ERR_UNSUPPORTED},
		{"level 4 with the old name", 0, 0x10, "<MQIsdp> 04 02 003C <abc>", ERR_UNSUPPORTED},
		{"level 6", 0, 0x10, "<MQTT> 06 02 003C [] <abc>", ERR_UNSUPPORTED},
		{"another name", 0, 0x10, "<MQTX> 04 02 003C <abc>", ERR_MALFORMED},
		{"nothing", 0, 0x10, "", ERR_MALFORMED},
		{"name without level", 0, 0x10, "<MQTT>", ERR_MALFORMED},
	};

	(void)state;
	VERDICTS(table);
}

static const struct verdict full_connect = {
	"full", 0, 0x10,
	"<MQTT> 05 F6 1234 [11 00000009 21 0005 26 <k> <v>] <id> [18 00000007 01 01] <w/t> <gone> <me> <pw>",
	OK};

static void a_connect_gives_all_its_fields(void **state)
{
	union mqtt_any any;
	const struct mqtt_connect *c = &any.connect;
	uint8_t *bytes;

	(void)state;
	assert_int_equal(verdict_decode(&full_connect, MQTT_V5, &any, &bytes), OK);
	assert_int_equal(c->version, MQTT_V5);
	assert_true(c->clean_start && !c->bridge && c->has_will && c->has_username && c->has_password);
	assert_int_equal(c->keep_alive_s, 0x1234);
	assert_int_equal(c->will.qos, 2);
	assert_true(c->will.retain);
	assert_true(span_equal(c->client_id, span_str("id")));
	assert_true(span_equal(c->will.topic, span_str("w/t")));
	assert_true(span_equal(c->will.payload, span_str("gone")));
	assert_true(span_equal(c->username, span_str("me")));
	assert_true(span_equal(c->password, span_str("pw")));
	assert_int_equal(mqtt_props_num(&c->props, MQTT_P_SESSION_EXPIRY, 0), 9);
	assert_int_equal(mqtt_props_num(&c->props, MQTT_P_RECEIVE_MAXIMUM, 65535), 5);
	assert_int_equal(mqtt_props_num(&c->will.props, MQTT_P_WILL_DELAY, 0), 7);
	assert_int_equal(mqtt_props_num(&c->will.props, MQTT_P_PAYLOAD_FORMAT, 0), 1);
	free(bytes);
}

static void an_unsupported_level_is_told(void **state)
{
	static const struct verdict table[] = {
		{"level 6", 0, 0x10, "<MQTT> 06 02 003C <abc>", ERR_UNSUPPORTED},
		{"bridge of level 5", 0, 0x10, "<MQTT> 85 02 003C <abc>", ERR_UNSUPPORTED},
	};
	static const int levels[] = {6, 0x85};
	union mqtt_any any;
	uint8_t *bytes;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(verdict_decode(&table[i], MQTT_V5, &any, &bytes), ERR_UNSUPPORTED);
		assert_int_equal(any.connect.version, levels[i]);
		free(bytes);
	}
}

static void the_bridge_bit_is_told_and_kept(void **state)
{
	static const struct verdict t = {"bridge", 0, 0x10, "<MQTT> 84 02 003C <abc>", OK};
	uint8_t *bytes, room[64];
	struct wr w = wr_of(room, sizeof(room));
	union mqtt_any any;

	(void)state;
	assert_int_equal(verdict_decode(&t, MQTT_V311, &any, &bytes), OK);
	assert_true(any.connect.bridge);
	assert_int_equal(any.connect.version, MQTT_V311);
	assert_int_equal(mqtt_connect_encode(&w, &any.connect), OK);
	assert_memory_equal(room, bytes, (size_t)(w.p - room));
	free(bytes);
}

/* 3.1, CONNECT payload: "the Remaining Length field takes precedence over the User Name flag". */
static void a_missing_3_1_user_name_is_not_there(void **state)
{
	static const struct verdict t = {"", 0, 0x10, "<MQIsdp> 03 C2 003C <abc>", OK};
	union mqtt_any any;
	uint8_t *bytes;

	(void)state;
	assert_int_equal(verdict_decode(&t, MQTT_V31, &any, &bytes), OK);
	assert_false(any.connect.has_username || any.connect.has_password);
	free(bytes);
}

static void a_connack_is_judged_by_its_version(void **state)
{
	static const struct verdict table[] = {
		{"3.1", MQTT_V31, 0x20, "00 05", OK},
		{"3.1 has no session present", MQTT_V31, 0x20, "FF 00", OK},
		{"3.1 reserved code", MQTT_V31, 0x20, "00 06", ERR_PROTOCOL},
		{"3.1.1", MQTT_V311, 0x20, "01 00", OK},
		{"3.1.1 last code", MQTT_V311, 0x20, "00 05", OK},
		{"3.1.1 reserved code", MQTT_V311, 0x20, "00 06", ERR_PROTOCOL},
		{"3.1.1 reserved bits", MQTT_V311, 0x20, "02 00", ERR_MALFORMED},
		{"3.1.1 session of a refusal", MQTT_V311, 0x20, "01 05", ERR_PROTOCOL},
		{"3.1.1 flags", MQTT_V311, 0x21, "00 00", ERR_MALFORMED},
		{"3.1.1 too long", MQTT_V311, 0x20, "00 00 00", ERR_MALFORMED},
		{"too short", 0, 0x20, "00", ERR_MALFORMED},
		{"empty", 0, 0x20, "", ERR_MALFORMED},
		{"5", MQTT_V5, 0x20, "01 00 []", OK},
		{"5 without properties", MQTT_V5, 0x20, "00 00", ERR_MALFORMED},
		{"5 reserved bits", MQTT_V5, 0x20, "80 00 []", ERR_MALFORMED},
		{"5 session of a refusal", MQTT_V5, 0x20, "01 87 []", ERR_PROTOCOL},
		{"5 code of others", MQTT_V5, 0x20, "00 8E []", ERR_PROTOCOL},
		{"5 code of nobody", MQTT_V5, 0x20, "00 05 []", ERR_PROTOCOL},
		{"5 too long", MQTT_V5, 0x20, "00 00 [] 00", ERR_MALFORMED},
	};

	(void)state;
	VERDICTS(table);
}

static void what_a_connect_cannot_say_is_not_encoded(void **state)
{
	static uint8_t text[65536];
	uint8_t room[256];
	struct wr w = wr_of(room, sizeof(room));
	struct mqtt_connect good = {.version = MQTT_V5, .client_id = span_of("a", 1)}, c;

	(void)state;
	c = good;
	c.client_id = span_of(text, 65536);
	assert_int_equal(mqtt_connect_encode(&w, &c), ERR_RANGE);
	c = good;
	c.bridge = true;
	assert_int_equal(mqtt_connect_encode(&w, &c), ERR_RANGE);
	c = good;
	c.has_will = true;
	assert_int_equal(mqtt_connect_encode(&w, &c), ERR_RANGE); /* no topic */
	c.will.topic = span_of("t", 1);
	c.will.qos = 3;
	assert_int_equal(mqtt_connect_encode(&w, &c), ERR_RANGE);
	c.will.qos = 2;
	c.will.payload = span_of(text, 65536);
	assert_int_equal(mqtt_connect_encode(&w, &c), ERR_RANGE);
	c = good;
	c.has_username = true;
	c.username = span_of(text, 65536);
	assert_int_equal(mqtt_connect_encode(&w, &c), ERR_RANGE);
	c = good;
	c.has_password = true;
	c.version = MQTT_V311;
	assert_int_equal(mqtt_connect_encode(&w, &c), ERR_RANGE); /* no user name */
	c.version = MQTT_V5;
	c.password = span_of(text, 65536);
	assert_int_equal(mqtt_connect_encode(&w, &c), ERR_RANGE);
	assert_ptr_equal(w.p, room);
	assert_false(w.bad);
	assert_int_equal(mqtt_connect_encode(&w, &good), OK);
}

static void what_a_connack_cannot_say_is_not_encoded(void **state)
{
	uint8_t room[16];
	struct wr w = wr_of(room, sizeof(room));
	struct mqtt_connack a = {.session_present = true, .reason = 5};

	(void)state;
	assert_int_equal(mqtt_connack_encode(&w, MQTT_V311, &a), ERR_RANGE);
	a = (struct mqtt_connack){.reason = 6};
	assert_int_equal(mqtt_connack_encode(&w, MQTT_V311, &a), ERR_RANGE);
	assert_int_equal(mqtt_connack_encode(&w, MQTT_V5, &a), ERR_RANGE);
	a = (struct mqtt_connack){.session_present = true};
	assert_int_equal(mqtt_connack_encode(&w, MQTT_V31, &a), OK);
	assert_memory_equal(room, "\x20\x02\x00\x00", 4);
	assert_int_equal(mqtt_connack_encode(&w, MQTT_V5, &a), OK);
	assert_memory_equal(room + 4, "\x20\x03\x01\x00\x00", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_connect_is_judged_by_its_version),
		cmocka_unit_test(a_connect_gives_all_its_fields),
		cmocka_unit_test(an_unsupported_level_is_told),
		cmocka_unit_test(the_bridge_bit_is_told_and_kept),
		cmocka_unit_test(a_missing_3_1_user_name_is_not_there),
		cmocka_unit_test(a_connack_is_judged_by_its_version),
		cmocka_unit_test(what_a_connect_cannot_say_is_not_encoded),
		cmocka_unit_test(what_a_connack_cannot_say_is_not_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
