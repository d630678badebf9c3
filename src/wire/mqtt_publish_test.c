#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/mqtt_verdict.h"

static void a_publish_is_judged_by_its_version(void **state)
{
	static const struct verdict table[] = {
		{"QoS 0", MQTT_V31, 0x30, "<a/b> 'x'", OK},
		{"QoS 0", MQTT_V311, 0x30, "<a/b> 'x'", OK},
		{"QoS 0", MQTT_V5, 0x30, "<a/b> [] 'x'", OK},
		{"no payload", MQTT_V311, 0x31, "<a/b>", OK},
		{"no payload", MQTT_V5, 0x31, "<a/b> []", OK},
		{"QoS 1", MQTT_V311, 0x32, "<a/b> 0001 'x'", OK},
		{"QoS 2 repeated", MQTT_V311, 0x3D, "<a/b> FFFF 'x'", OK},
		{"QoS 2", MQTT_V5, 0x34, "<a/b> FFFF [] 'x'", OK},
		{"QoS 3", 0, 0x36, "<a/b> 0001 00", ERR_MALFORMED},
		{"DUP with QoS 0", 0, 0x38, "<a/b> 00", ERR_MALFORMED},
		{"packet id 0", 0, 0x32, "<a/b> 0000 00", ERR_PROTOCOL},
		{"packet id missing", 0, 0x32, "<a/b>", ERR_MALFORMED},
		{"packet id cut", 0, 0x32, "<a/b> 00", ERR_MALFORMED},
		{"topic cut", 0, 0x30, "0004 'a/b'", ERR_MALFORMED},
		{"length of topic cut", 0, 0x30, "00", ERR_MALFORMED},
		{"nothing", 0, 0x30, "", ERR_MALFORMED},
		{"topic with +", 0, 0x30, "<a/+> 00", ERR_MALFORMED},
		{"topic with # in a long one", 0, 0x30, "<plant1/rack1/dev#ice/value> 00", ERR_MALFORMED},
		{"topic with NUL", 0, 0x30, "0003 'a' 00 'b' 00", ERR_MALFORMED},
		{"topic with NUL in a long one", 0, 0x30, "000A 'abcdefgh' 00 'b' 00", ERR_MALFORMED},
		{"topic no UTF-8", 0, 0x30, "0003 'a' FF 'b' 00", ERR_MALFORMED},
		{"topic with + and no UTF-8", 0, 0x30, "0003 '+' FF 'b' 00", ERR_MALFORMED},
		{"topic that is UTF-8", 0, 0x30, "0003 E282AC 00", OK},
		{"topic empty", MQTT_V31, 0x30, "<> 'x'", ERR_PROTOCOL},
		{"topic empty", MQTT_V311, 0x30, "<> 'x'", ERR_PROTOCOL},
		{"topic empty, no alias", MQTT_V5, 0x30, "<> [] 'x'", ERR_PROTOCOL},
		{"topic empty, other property", MQTT_V5, 0x30, "<> [01 00] 'x'", ERR_PROTOCOL},
		{"topic empty, alias", MQTT_V5, 0x30, "<> [23 0001] 'x'", OK},
		{"topic and alias", MQTT_V5, 0x30, "<a> [23 FFFF] 'x'", OK},
		{"alias 0", MQTT_V5, 0x30, "<a> [23 0000] 'x'", ERR_PROTOCOL},
		{"properties missing", MQTT_V5, 0x30, "<a>", ERR_MALFORMED},
		{"properties longer than packet", MQTT_V5, 0x30, "<a> 03 23 00", ERR_MALFORMED},
		{"property cut by its list", MQTT_V5, 0x30, "<a> 02 23 0001", ERR_MALFORMED},
		{"length of properties not shortest", MQTT_V5, 0x30, "<a> 8000", ERR_MALFORMED},
		{"response topic", MQTT_V5, 0x30, "<a> [08 <b/c>]", OK},
		{"response topic with #", MQTT_V5, 0x30, "<a> [08 <b/#>]", ERR_PROTOCOL},
		{"response topic with +", MQTT_V5, 0x30, "<a> [08 <+>]", ERR_PROTOCOL},
		{"response topic empty", MQTT_V5, 0x30, "<a> [08 <>]", ERR_PROTOCOL},
		{"several subscription ids", MQTT_V5, 0x30, "<a> [0B 01 0B 02 0B FFFFFF7F]", OK},
		{"several, one 0", MQTT_V5, 0x30, "<a> [0B 01 0B 00]", ERR_PROTOCOL},
	};

	(void)state;
	VERDICTS(table);
}

static void a_publish_gives_all_its_fields(void **state)
{
	static const struct verdict t = {"", 0, 0x3D,
					 "<a/b> 1234 [02 00000005 0B 07 0B 08 26 <k> <v>] 'body'", OK};
	struct mqtt_prop_item item;
	union mqtt_any any;
	const struct mqtt_publish *p = &any.publish;
	uint8_t *bytes;
	struct rd raw;

	(void)state;
	assert_int_equal(verdict_decode(&t, MQTT_V5, &any, &bytes), OK);
	assert_true(p->dup && p->retain);
	assert_int_equal(p->qos, 2);
	assert_int_equal(p->packet_id, 0x1234);
	assert_true(span_equal(p->topic, span_str("a/b")));
	assert_true(span_equal(p->payload, span_str("body")));
	assert_int_equal(p->props.num[MQTT_P_MESSAGE_EXPIRY], 5);
	assert_int_equal(p->props.num[MQTT_P_SUBSCRIPTION_ID], 7); /* the first */
	raw = rd_of(p->props.raw.p, p->props.raw.len);
	assert_true(mqtt_props_next(&raw, &item) && item.id == MQTT_P_MESSAGE_EXPIRY && item.num == 5);
	assert_true(mqtt_props_next(&raw, &item) && item.id == MQTT_P_SUBSCRIPTION_ID && item.num == 7);
	assert_true(mqtt_props_next(&raw, &item) && item.id == MQTT_P_SUBSCRIPTION_ID && item.num == 8);
	assert_true(mqtt_props_next(&raw, &item) && item.id == MQTT_P_USER_PROPERTY);
	assert_true(span_equal(item.str, span_str("k")) && span_equal(item.value, span_str("v")));
	assert_int_equal(item.whole.len, 7);
	assert_false(mqtt_props_next(&raw, &item));
	free(bytes);
}

static void a_v3_payload_is_never_taken_for_properties(void **state)
{
	static const struct verdict t = {"", 0, 0x30, "<a> 05 23 0001 FF 00", OK};
	union mqtt_any any;
	uint8_t *bytes;

	(void)state;
	assert_int_equal(verdict_decode(&t, MQTT_V311, &any, &bytes), OK);
	assert_int_equal(any.publish.payload.len, 6);
	assert_int_equal(any.publish.props.has, 0);
	assert_int_equal(any.publish.props.raw.len, 0);
	free(bytes);
}

static void the_size_is_told_before_encoding(void **state)
{
	/* payload lengths around each step of the length field: topic "a/b" takes 5 bytes */
	static const size_t lengths[] = {0, 122, 123, 16378, 16379, 2097146, 2097147};
	static const size_t field[] = {1, 1, 2, 2, 3, 3, 4};
	uint8_t *payload = calloc(1, 2097147), *room = malloc(2097147 + 16), head[16];

	(void)state;
	assert_non_null(payload);
	assert_non_null(room);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct mqtt_publish p = {.topic = span_of("a/b", 3), .payload = span_of(payload, lengths[i])};
		size_t size = mqtt_publish_size(MQTT_V311, &p);
		struct wr w = wr_of(room, size), h = wr_of(head, sizeof(head)), less = wr_of(room, size - 1);
		struct mqtt_frame f;

		assert_int_equal(size, 1 + field[i] + 5 + lengths[i]);
		assert_int_equal(mqtt_publish_encode(&w, MQTT_V311, &p), OK);
		assert_int_equal(w.left, 0);
		assert_int_equal(mqtt_frame_read(room, size, UINT32_MAX, &f), OK);
		assert_int_equal(f.size, size);
		assert_int_equal(mqtt_publish_encode(&less, MQTT_V311, &p), ERR_FULL);
		assert_true(less.p == room && less.left == size - 1 && !less.bad);
		assert_int_equal(mqtt_publish_head_encode(&h, MQTT_V311, &p), OK);
		assert_int_equal((size_t)(h.p - head), size - lengths[i]);
		assert_memory_equal(head, room, size - lengths[i]);
	}
	free(payload);
	free(room);
}

static void what_a_publish_cannot_say_is_not_encoded(void **state)
{
	static uint8_t text[65536];
	uint8_t room[64];
	struct wr w = wr_of(room, sizeof(room));
	const struct mqtt_publish bad[] = {
		{.topic = span_of("a", 1), .qos = 3, .packet_id = 1},
		{.topic = span_of("a", 1), .qos = 1},
		{.topic = span_of("a", 1), .dup = true},
		{.topic = span_of(text, 65536)},
		{.topic = span_of("a", 1),
		 .payload = span_of(text, MQTT_REMAINING_MAX - 2)}, /* one too many */
		{.topic = span_of("a", 1), .payload = span_of(text, SIZE_MAX)},
		{.topic = span_of("", 0)},
	};
	struct mqtt_publish most = {.topic = span_of("a", 1),
				    .payload = span_of(text, MQTT_REMAINING_MAX - 3)};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(mqtt_publish_encode(&w, MQTT_V311, &bad[i]), ERR_RANGE);
		assert_int_equal(mqtt_publish_encode(&w, MQTT_V5, &bad[i]), ERR_RANGE);
		assert_int_equal(mqtt_publish_size(MQTT_V311, &bad[i]), 0);
	}
	assert_int_equal(mqtt_publish_size(MQTT_V311, &most), MQTT_REMAINING_MAX + 5);
	assert_int_equal(mqtt_publish_size(MQTT_V5, &most), 0); /* the length of properties is one more */
	assert_int_equal(mqtt_publish_head_encode(&w, MQTT_V311, &most), OK);
}

static void the_payload_may_travel_by_itself(void **state)
{
	uint8_t room[64];
	struct wr w = wr_of(room, 10);
	struct mqtt_publish p = {.topic = span_of("a", 1), .qos = 1, .packet_id = 2};

	(void)state;
	p.payload = span_of("0123456789012345678901234567890123456789", 40);
	mqtt_props_clear(&p.props);
	mqtt_props_set_num(&p.props, MQTT_P_PAYLOAD_FORMAT, 1);
	assert_int_equal(mqtt_publish_head_encode(&w, MQTT_V5, &p), OK);
	assert_memory_equal(room, "\x32\x30\x00\x01\x61\x00\x02\x02\x01\x01", 10);
	assert_int_equal(w.left, 0);
	assert_int_equal(mqtt_publish_size(MQTT_V5, &p), 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_publish_is_judged_by_its_version),
		cmocka_unit_test(a_publish_gives_all_its_fields),
		cmocka_unit_test(a_v3_payload_is_never_taken_for_properties),
		cmocka_unit_test(the_size_is_told_before_encoding),
		cmocka_unit_test(what_a_publish_cannot_say_is_not_encoded),
		cmocka_unit_test(the_payload_may_travel_by_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
