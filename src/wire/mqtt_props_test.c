#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/mqtt_codec.h"
#include "wire/mqtt_samples.h"
#include "wire/mqtt_testing.h"

static const unsigned packets[] = {
	MQTT_IN_WILL,         MQTT_IN(CONNECT),  MQTT_IN(CONNACK),    MQTT_IN(PUBLISH),   MQTT_IN(PUBACK),
	MQTT_IN(PUBREC),      MQTT_IN(PUBREL),   MQTT_IN(PUBCOMP),    MQTT_IN(SUBSCRIBE), MQTT_IN(SUBACK),
	MQTT_IN(UNSUBSCRIBE), MQTT_IN(UNSUBACK), MQTT_IN(DISCONNECT), MQTT_IN(AUTH)};

static int decode(const char *notation, unsigned in, struct mqtt_props *p)
{
	static uint8_t room[256];
	struct wr w = wr_of(room, sizeof(room));
	struct rd r;

	mqtt_notation(&w, notation);
	r = rd_of(room, (size_t)(w.p - room));
	return mqtt_props_decode(&r, in, p);
}

static void the_table_is_the_one_of_the_standard(void **state)
{
	/* 5.0 table 2-4, read line by line: identifier, kind, packets; and 0x21 where we write it. */
	static const struct {
		uint8_t id;
		enum mqtt_prop_kind kind;
	} table[] = {{0x01, MQTT_PROP_U8},     {0x02, MQTT_PROP_U32},    {0x03, MQTT_PROP_STRING},
		     {0x08, MQTT_PROP_STRING}, {0x09, MQTT_PROP_BINARY}, {0x0B, MQTT_PROP_VARINT},
		     {0x11, MQTT_PROP_U32},    {0x12, MQTT_PROP_STRING}, {0x13, MQTT_PROP_U16},
		     {0x15, MQTT_PROP_STRING}, {0x16, MQTT_PROP_BINARY}, {0x17, MQTT_PROP_U8},
		     {0x18, MQTT_PROP_U32},    {0x19, MQTT_PROP_U8},     {0x1A, MQTT_PROP_STRING},
		     {0x1C, MQTT_PROP_STRING}, {0x1F, MQTT_PROP_STRING}, {0x22, MQTT_PROP_U16},
		     {0x23, MQTT_PROP_U16},    {0x24, MQTT_PROP_U8},     {0x25, MQTT_PROP_U8},
		     {0x26, MQTT_PROP_PAIR},   {0x27, MQTT_PROP_U32},    {0x21, MQTT_PROP_U16},
		     {0x28, MQTT_PROP_U8},     {0x29, MQTT_PROP_U8},     {0x2A, MQTT_PROP_U8}};

	(void)state;
	assert_int_equal(sizeof(table) / sizeof(table[0]), MQTT_PROPS);
	for (size_t i = 0; i < MQTT_PROPS; i++) {
		assert_int_equal(mqtt_prop_id((enum mqtt_prop)i), table[i].id);
		assert_int_equal(mqtt_prop_kind((enum mqtt_prop)i), table[i].kind);
	}
	assert_string_equal(mqtt_prop_name(MQTT_P_TOPIC_ALIAS), "TOPIC_ALIAS");
}

static void a_property_is_taken_where_it_belongs_and_nowhere_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++)
		for (unsigned id = 0; id < MQTT_PROPS; id++) {
			bool may = mqtt_sample_may(packets[i], (enum mqtt_prop)id);
			struct mqtt_props p, q;
			uint8_t room[64], list[64];
			struct wr w = wr_of(room, sizeof(room)), v = wr_of(list, sizeof(list));
			struct rd r;
			size_t len;

			mqtt_props_clear(&p);
			mqtt_sample_prop(&p, (enum mqtt_prop)id);
			if (id == MQTT_P_AUTH_DATA)
				mqtt_sample_prop(&p, MQTT_P_AUTH_METHOD);
			/* any packet that has it encodes it; here the list is made with a bit for every packet */
			assert_int_equal(mqtt_props_measure(&p, 0xFFFF, &len), OK);
			mqtt_props_write(&w, &p, len);
			assert_int_equal((size_t)(w.p - room), mqtt_varint_size(len) + len);
			r = rd_of(room, (size_t)(w.p - room));
			assert_int_equal(mqtt_props_decode(&r, packets[i], &q), may ? OK : ERR_MALFORMED);
			if (id != MQTT_P_USER_PROPERTY) {
				size_t n;

				assert_int_equal(mqtt_props_measure(&p, packets[i], &n),
						 may ? OK : ERR_RANGE);
			}
			if (!may)
				continue;
			assert_true(mqtt_props_has(&q, (enum mqtt_prop)id));
			/* twice */
			wr_u8(&v, (uint8_t)(2 * len));
			wr_bytes(&v, room + 1, len);
			wr_bytes(&v, room + 1, len);
			r = rd_of(list, (size_t)(v.p - list));
			assert_int_equal(mqtt_props_decode(&r, packets[i], &q),
					 id == MQTT_P_USER_PROPERTY || (id == MQTT_P_SUBSCRIPTION_ID &&
									packets[i] == MQTT_IN(PUBLISH))
						 ? OK
						 : ERR_PROTOCOL);
		}
}

static void values_have_their_ranges(void **state)
{
	static const struct {
		const char *what, *bytes;
		unsigned in;
		int rc;
	} table[] = {
		{"payload format 0", "[01 00]", MQTT_IN(PUBLISH), OK},
		{"payload format 1", "[01 01]", MQTT_IN_WILL, OK},
		{"payload format 2", "[01 02]", MQTT_IN(PUBLISH), ERR_PROTOCOL},
		{"payload format 2", "[01 02]", MQTT_IN_WILL, ERR_PROTOCOL},
		{"problem info 2", "[17 02]", MQTT_IN(CONNECT), ERR_PROTOCOL},
		{"response info 1", "[19 01]", MQTT_IN(CONNECT), OK},
		{"response info 2", "[19 02]", MQTT_IN(CONNECT), ERR_PROTOCOL},
		{"maximum QoS 0", "[24 00]", MQTT_IN(CONNACK), OK},
		{"maximum QoS 2", "[24 02]", MQTT_IN(CONNACK), ERR_PROTOCOL},
		{"retain available 2", "[25 02]", MQTT_IN(CONNACK), ERR_PROTOCOL},
		{"wildcards available 2", "[28 02]", MQTT_IN(CONNACK), ERR_PROTOCOL},
		{"subscription ids available 255", "[29 FF]", MQTT_IN(CONNACK), ERR_PROTOCOL},
		{"shared available 2", "[2A 02]", MQTT_IN(CONNACK), ERR_PROTOCOL},
		{"receive maximum 0", "[21 0000]", MQTT_IN(CONNECT), ERR_PROTOCOL},
		{"receive maximum 0", "[21 0000]", MQTT_IN(CONNACK), ERR_PROTOCOL},
		{"receive maximum 1", "[21 0001]", MQTT_IN(CONNECT), OK},
		{"packet size 0", "[27 00000000]", MQTT_IN(CONNECT), ERR_PROTOCOL},
		{"packet size 1", "[27 00000001]", MQTT_IN(CONNACK), OK},
		{"alias maximum 0", "[22 0000]", MQTT_IN(CONNECT), OK},
		{"alias 0", "[23 0000]", MQTT_IN(PUBLISH), ERR_PROTOCOL},
		{"alias 65535", "[23 FFFF]", MQTT_IN(PUBLISH), OK},
		{"subscription id 0", "[0B 00]", MQTT_IN(PUBLISH), ERR_PROTOCOL},
		{"subscription id largest", "[0B FFFFFF7F]", MQTT_IN(SUBSCRIBE), OK},
		{"subscription id of five bytes", "[0B FFFFFFFF01]", MQTT_IN(SUBSCRIBE), ERR_MALFORMED},
		{"subscription id not shortest", "[0B 8100]", MQTT_IN(SUBSCRIBE), ERR_MALFORMED},
		{"session expiry 0", "[11 00000000]", MQTT_IN(DISCONNECT), OK},
		{"content type no UTF-8", "[03 0001 FF]", MQTT_IN(PUBLISH), ERR_MALFORMED},
		{"content type empty", "[03 <>]", MQTT_IN(PUBLISH), OK},
		{"correlation data of any bytes", "[09 0002 00FF]", MQTT_IN(PUBLISH), OK},
		{"user property", "[26 <k> <v>]", MQTT_IN(PUBLISH), OK},
		{"user property empty", "[26 <> <>]", MQTT_IN(PUBLISH), OK},
		{"user property, name no UTF-8", "[26 0001 FF <v>]", MQTT_IN(PUBLISH), ERR_MALFORMED},
		{"user property, value no UTF-8", "[26 <k> 0001 C0]", MQTT_IN(PUBLISH), ERR_MALFORMED},
		{"user property, the second no UTF-8", "[26 <k> <v> 26 <k> 0001 C0]", MQTT_IN(PUBLISH),
		 ERR_MALFORMED},
		{"user property without value", "[26 <k>]", MQTT_IN(PUBLISH), ERR_MALFORMED},
		{"response topic in a will", "[08 <a/+>]", MQTT_IN_WILL, ERR_PROTOCOL},
		{"authentication data alone", "[16 0001 FF]", MQTT_IN(CONNACK), ERR_PROTOCOL},
		{"authentication data before method", "[16 0001 FF 15 <m>]", MQTT_IN(AUTH), OK},
		{"identifier 0", "[00 00]", MQTT_IN(PUBLISH), ERR_MALFORMED},
		{"identifier unknown", "[2B 00]", MQTT_IN(CONNACK), ERR_MALFORMED},
		{"identifier unknown", "[7F 00]", MQTT_IN(CONNACK), ERR_MALFORMED},
		{"identifier not shortest", "[8100 01]", MQTT_IN(PUBLISH), ERR_MALFORMED},
		{"nothing", "", MQTT_IN(PUBLISH), ERR_MALFORMED},
		{"list longer than packet", "03 01 00", MQTT_IN(PUBLISH), ERR_MALFORMED},
		{"length of two bytes for a short list", "8200 01 00", MQTT_IN(PUBLISH), ERR_MALFORMED},
		{"u16 cut", "[21 00]", MQTT_IN(CONNECT), ERR_MALFORMED},
		{"u32 cut", "[11 000000]", MQTT_IN(CONNECT), ERR_MALFORMED},
		{"u8 cut", "[01]", MQTT_IN(PUBLISH), ERR_MALFORMED},
	};
	struct mqtt_props p;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int rc = decode(table[i].bytes, table[i].in, &p);

		if (rc != table[i].rc)
			fail_msg("%s: %s", table[i].what, err_text(rc));
	}
}

static void what_a_list_cannot_say_is_not_encoded(void **state)
{
	static uint8_t text[65536];
	static const struct {
		enum mqtt_prop id;
		uint32_t v;
		unsigned in;
	} table[] = {
		{MQTT_P_PAYLOAD_FORMAT, 2, MQTT_IN(PUBLISH)},
		{MQTT_P_TOPIC_ALIAS, 0, MQTT_IN(PUBLISH)},
		{MQTT_P_TOPIC_ALIAS, 65536, MQTT_IN(PUBLISH)},
		{MQTT_P_SUBSCRIPTION_ID, 0, MQTT_IN(SUBSCRIBE)},
		{MQTT_P_SUBSCRIPTION_ID, MQTT_REMAINING_MAX + 1, MQTT_IN(SUBSCRIBE)},
		{MQTT_P_MAXIMUM_PACKET_SIZE, 0, MQTT_IN(CONNECT)},
		{MQTT_P_WILL_DELAY, 1, MQTT_IN(CONNECT)},
	};
	struct mqtt_props p;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		mqtt_props_clear(&p);
		mqtt_props_set_num(&p, table[i].id, table[i].v);
		assert_int_equal(mqtt_props_measure(&p, table[i].in, &len), ERR_RANGE);
	}
	mqtt_props_clear(&p);
	mqtt_props_set_str(&p, MQTT_P_CONTENT_TYPE, span_of(text, 65535));
	assert_int_equal(mqtt_props_measure(&p, MQTT_IN(PUBLISH), &len), OK);
	assert_int_equal(len, 65538);
	p.str[MQTT_P_CONTENT_TYPE].len++;
	assert_int_equal(mqtt_props_measure(&p, MQTT_IN(PUBLISH), &len), ERR_RANGE);
	mqtt_props_clear(&p);
	mqtt_props_set_str(&p, MQTT_P_AUTH_DATA, span_of(text, 1));
	assert_int_equal(mqtt_props_measure(&p, MQTT_IN(AUTH), &len), ERR_RANGE);
	mqtt_props_clear(&p);
	p.user = span_of(text, (size_t)MQTT_REMAINING_MAX + 1);
	assert_int_equal(mqtt_props_measure(&p, MQTT_IN(AUTH), &len), ERR_RANGE);
	assert_int_equal(mqtt_props_measure(NULL, MQTT_IN(AUTH), &len), OK);
	assert_int_equal(len, 0);
}

static void properties_that_are_missing_have_the_default_of_the_caller(void **state)
{
	struct mqtt_props p;

	(void)state;
	assert_int_equal(decode("[11 00000007]", MQTT_IN(CONNECT), &p), OK);
	assert_int_equal(mqtt_props_num(&p, MQTT_P_SESSION_EXPIRY, 1), 7);
	assert_int_equal(mqtt_props_num(&p, MQTT_P_RECEIVE_MAXIMUM, 65535), 65535);
	assert_int_equal(p.raw.len, 5);
	assert_int_equal(p.user.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_the_one_of_the_standard),
		cmocka_unit_test(a_property_is_taken_where_it_belongs_and_nowhere_else),
		cmocka_unit_test(values_have_their_ranges),
		cmocka_unit_test(what_a_list_cannot_say_is_not_encoded),
		cmocka_unit_test(properties_that_are_missing_have_the_default_of_the_caller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
