#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/mqtt_verdict.h"

static void subscriptions_are_judged_by_their_version(void **state)
{
	static const struct verdict table[] = {
		{"one filter", MQTT_V31, 0x82, "0001 <a/b> 02", OK},
		{"one filter", MQTT_V311, 0x82, "0001 <a/b> 02", OK},
		{"one filter", MQTT_V5, 0x82, "0001 [] <a/b> 02", OK},
		{"two filters", MQTT_V311, 0x82, "0001 <a/b> 00 <#> 01", OK},
		{"wildcard placed wrong", MQTT_V311, 0x82, "0001 <a#/b> 00", ERR_MALFORMED},
		{"second filter wrong", MQTT_V5, 0x82, "0001 [] <a> 00 <b+> 00", ERR_MALFORMED},
		{"share with a wildcard", MQTT_V5, 0x82, "0001 [] <$share/+/a> 00", ERR_PROTOCOL},
		{"share without a filter", MQTT_V5, 0x82, "0001 [] <$share/g/> 00", ERR_PROTOCOL},
		{"share with a wrong filter", MQTT_V5, 0x82, "0001 [] <$share/g/#/a> 00", ERR_MALFORMED},
		{"no filter", MQTT_V31, 0x82, "0001", ERR_PROTOCOL},
		{"no filter", MQTT_V311, 0x82, "0001", ERR_PROTOCOL},
		{"no filter", MQTT_V5, 0x82, "0001 []", ERR_PROTOCOL},
		{"no properties", MQTT_V5, 0x82, "0001", ERR_MALFORMED},
		{"packet id 0", 0, 0x82, "0000 00", ERR_MALFORMED},
		{"empty", 0, 0x82, "", ERR_MALFORMED},
		{"filter empty", MQTT_V311, 0x82, "0001 <> 00", ERR_MALFORMED},
		{"filter empty", MQTT_V5, 0x82, "0001 [] <> 00", ERR_MALFORMED},
		{"filter no UTF-8", MQTT_V311, 0x82, "0001 0001 FF 00", ERR_MALFORMED},
		{"filter with NUL", MQTT_V311, 0x82, "0001 0001 00 00", ERR_MALFORMED},
		{"filter cut", MQTT_V311, 0x82, "0001 0005 'a/b' 00", ERR_MALFORMED},
		{"options missing", MQTT_V311, 0x82, "0001 <a/b>", ERR_MALFORMED},
		{"3.1 repeated", MQTT_V31, 0x8A, "0001 <a/b> 02", OK},
		{"3.1 without QoS 1", MQTT_V31, 0x80, "0001 <a/b> 02", ERR_MALFORMED},
		{"3.1 unused bits", MQTT_V31, 0x82, "0001 <a/b> FE", OK},
		{"3.1 QoS 3", MQTT_V31, 0x82, "0001 <a/b> 03", ERR_MALFORMED},
		{"3.1.1 flags", MQTT_V311, 0x80, "0001 <a/b> 00", ERR_MALFORMED},
		{"3.1.1 flags", MQTT_V311, 0x8A, "0001 <a/b> 00", ERR_MALFORMED},
		{"5 flags", MQTT_V5, 0x83, "0001 [] <a/b> 00", ERR_MALFORMED},
		{"3.1.1 QoS 3", MQTT_V311, 0x82, "0001 <a/b> 03", ERR_MALFORMED},
		{"3.1.1 reserved bit", MQTT_V311, 0x82, "0001 <a/b> 04", ERR_MALFORMED},
		{"3.1.1 reserved bit", MQTT_V311, 0x82, "0001 <a/b> 80", ERR_MALFORMED},
		{"5 all options", MQTT_V5, 0x82, "0001 [] <a/b> 2E", OK},
		{"5 QoS 3", MQTT_V5, 0x82, "0001 [] <a/b> 03", ERR_PROTOCOL},
		{"5 retain handling 3", MQTT_V5, 0x82, "0001 [] <a/b> 30", ERR_PROTOCOL},
		{"5 reserved bit", MQTT_V5, 0x82, "0001 [] <a/b> 40", ERR_MALFORMED},
		{"5 reserved bit", MQTT_V5, 0x82, "0001 [] <a/b> 80", ERR_MALFORMED},
		{"5 shared", MQTT_V5, 0x82, "0001 [] <$share/g/a> 02", OK},
		{"5 shared and no local", MQTT_V5, 0x82, "0001 [] <$share/g/a> 04", ERR_PROTOCOL},
		{"5 nearly shared and no local", MQTT_V5, 0x82, "0001 [] <$share> 04", OK},
		{"5 subscription id", MQTT_V5, 0x82, "0001 [0B 01] <a> 00", OK},
		{"5 subscription id 0", MQTT_V5, 0x82, "0001 [0B 00] <a> 00", ERR_PROTOCOL},
		{"5 two subscription ids", MQTT_V5, 0x82, "0001 [0B 01 0B 01] <a> 00", ERR_PROTOCOL},
		{"5 property of others", MQTT_V5, 0x82, "0001 [23 0001] <a> 00", ERR_MALFORMED},
	};

	(void)state;
	VERDICTS(table);
}

static void unsubscriptions_are_judged_by_their_version(void **state)
{
	static const struct verdict table[] = {
		{"one", MQTT_V31, 0xA2, "0001 <a/b>", OK},
		{"two", MQTT_V311, 0xA2, "0001 <a/b> <c>", OK},
		{"one", MQTT_V5, 0xA2, "0001 [26 <a> <b>] <a/b>", OK},
		{"none", MQTT_V31, 0xA2, "0001", ERR_PROTOCOL},
		{"none", MQTT_V311, 0xA2, "0001", ERR_PROTOCOL},
		{"none", MQTT_V5, 0xA2, "0001 []", ERR_PROTOCOL},
		{"packet id 0", 0, 0xA2, "0000 00", ERR_MALFORMED},
		{"empty filter", MQTT_V311, 0xA2, "0001 <>", ERR_MALFORMED},
		{"wildcard placed wrong", MQTT_V5, 0xA2, "0001 [] <a+>", ERR_MALFORMED},
		{"share without a filter", MQTT_V5, 0xA2, "0001 [] <$share/g>", ERR_PROTOCOL},
		{"no UTF-8", MQTT_V311, 0xA2, "0001 0001 80", ERR_MALFORMED},
		{"cut", MQTT_V311, 0xA2, "0001 0002 'a'", ERR_MALFORMED},
		{"3.1 repeated", MQTT_V31, 0xAA, "0001 <a/b>", OK},
		{"flags", MQTT_V311, 0xA0, "0001 <a/b>", ERR_MALFORMED},
		{"flags", MQTT_V5, 0xA3, "0001 [] <a/b>", ERR_MALFORMED},
		{"property of others", MQTT_V5, 0xA2, "0001 [0B 01] <a/b>", ERR_MALFORMED},
	};

	(void)state;
	VERDICTS(table);
}

static void answers_are_judged_by_their_version(void **state)
{
	static const struct verdict table[] = {
		{"3.1", MQTT_V31, 0x90, "0001 00 01 02", OK},
		{"3.1.1", MQTT_V311, 0x90, "0001 00 01 02 80", OK},
		{"3.1.1 reserved code", MQTT_V311, 0x90, "0001 03", ERR_PROTOCOL},
		{"3.1.1 code of 5", MQTT_V311, 0x90, "0001 87", ERR_PROTOCOL},
		{"3.1.1 no code", MQTT_V311, 0x90, "0001", ERR_PROTOCOL},
		{"3.1.1 flags", MQTT_V311, 0x92, "0001 00", ERR_MALFORMED},
		{"packet id 0", 0, 0x90, "0000 00", ERR_MALFORMED},
		{"5", MQTT_V5, 0x90, "0001 [1F <x>] 00 01 02 80 87 A2", OK},
		{"5 code of others", MQTT_V5, 0x90, "0001 [] 11", ERR_PROTOCOL},
		{"5 no code", MQTT_V5, 0x90, "0001 []", ERR_PROTOCOL},
		{"5 no properties", MQTT_V5, 0x90, "0001", ERR_MALFORMED},
		{"3.1 UNSUBACK", MQTT_V31, 0xB0, "0001", OK},
		{"3.1.1 UNSUBACK", MQTT_V311, 0xB0, "0001", OK},
		{"3.1.1 UNSUBACK with a code", MQTT_V311, 0xB0, "0001 00", ERR_MALFORMED},
		{"3.1.1 UNSUBACK flags", MQTT_V311, 0xB2, "0001", ERR_MALFORMED},
		{"5 UNSUBACK", MQTT_V5, 0xB0, "0001 [] 00 11 8F", OK},
		{"5 UNSUBACK code of others", MQTT_V5, 0xB0, "0001 [] 01", ERR_PROTOCOL},
		{"5 UNSUBACK no code", MQTT_V5, 0xB0, "0001 []", ERR_PROTOCOL},
	};

	(void)state;
	VERDICTS(table);
}

static void filters_are_read_one_by_one(void **state)
{
	static const struct verdict t = {"", 0, 0x82, "0001 [] <a/b> 2E <c> 01", OK};
	struct mqtt_sub_item item;
	union mqtt_any any;
	struct rd list;
	uint8_t *bytes;

	(void)state;
	assert_int_equal(verdict_decode(&t, MQTT_V5, &any, &bytes), OK);
	assert_int_equal(any.subscribe.packet_id, 1);
	assert_int_equal(any.subscribe.count, 2);
	list = rd_of(any.subscribe.filters.p, any.subscribe.filters.len);
	assert_true(mqtt_subscribe_next(&list, MQTT_V5, &item));
	assert_true(span_equal(item.filter, span_str("a/b")));
	assert_true(item.qos == 2 && item.no_local && item.retain_as_published && item.retain_handling == 2);
	assert_true(mqtt_subscribe_next(&list, MQTT_V5, &item));
	assert_true(span_equal(item.filter, span_str("c")));
	assert_true(item.qos == 1 && !item.no_local && !item.retain_as_published &&
		    item.retain_handling == 0);
	assert_false(mqtt_subscribe_next(&list, MQTT_V5, &item));
	free(bytes);
}

static void what_a_subscribe_cannot_say_is_not_encoded(void **state)
{
	static uint8_t text[65536];
	const struct mqtt_sub_item bad[] = {
		{.filter = span_of("", 0)},
		{.filter = span_of(text, 65536)},
		{.filter = span_of("a", 1), .qos = 3},
		{.filter = span_of("a", 1), .retain_handling = 3},
		{.filter = span_of("$share/g/a", 10), .no_local = true},
	};
	const struct mqtt_sub_item good = {.filter = span_of("a", 1)};
	const struct span filter = span_of("a", 1);
	uint8_t room[32];
	struct wr w = wr_of(room, sizeof(room));

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(mqtt_subscribe_encode(&w, MQTT_V5, 1, NULL, &bad[i], 1), ERR_RANGE);
	assert_int_equal(mqtt_subscribe_encode(&w, MQTT_V5, 0, NULL, &good, 1), ERR_RANGE);
	assert_int_equal(mqtt_subscribe_encode(&w, MQTT_V5, 1, NULL, &good, 0), ERR_RANGE);
	assert_int_equal(mqtt_unsubscribe_encode(&w, MQTT_V5, 1, NULL, &filter, 0), ERR_RANGE);
	assert_int_equal(mqtt_unsubscribe_encode(&w, MQTT_V5, 0, NULL, &filter, 1), ERR_RANGE);
	assert_int_equal(mqtt_unsubscribe_encode(&w, MQTT_V5, 1, NULL, &bad[0].filter, 1), ERR_RANGE);
	assert_ptr_equal(w.p, room);
	assert_int_equal(mqtt_subscribe_encode(&w, MQTT_V5, 1, NULL, &good, 1), OK);
	assert_memory_equal(room, "\x82\x07\x00\x01\x00\x00\x01\x61\x00", 9);
	w = wr_of(room, 8);
	assert_int_equal(mqtt_subscribe_encode(&w, MQTT_V5, 1, NULL, &good, 1), ERR_FULL);
	assert_true(w.p == room && w.left == 8 && !w.bad);
}

static void below_5_every_failure_is_0x80(void **state)
{
	static const uint8_t codes[] = {0x02, 0x87, 0x80}, low[] = {0x03};
	struct mqtt_suback p = {.packet_id = 1, .codes = {codes, sizeof(codes)}};
	uint8_t room[16];
	struct wr w = wr_of(room, sizeof(room));

	(void)state;
	assert_int_equal(mqtt_suback_encode(&w, MQTT_V311, MQTT_SUBACK, &p), OK);
	assert_memory_equal(room, "\x90\x05\x00\x01\x02\x80\x80", 7);
	w = wr_of(room, sizeof(room));
	assert_int_equal(mqtt_suback_encode(&w, MQTT_V311, MQTT_UNSUBACK, &p), OK);
	assert_memory_equal(room, "\xB0\x02\x00\x01", 4);
	p.codes = span_of(low, 1);
	assert_int_equal(mqtt_suback_encode(&w, MQTT_V311, MQTT_SUBACK, &p), ERR_RANGE);
	assert_int_equal(mqtt_suback_encode(&w, MQTT_V5, MQTT_SUBACK, &p), ERR_RANGE);
	p.codes.len = 0;
	assert_int_equal(mqtt_suback_encode(&w, MQTT_V5, MQTT_SUBACK, &p), ERR_RANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(subscriptions_are_judged_by_their_version),
		cmocka_unit_test(unsubscriptions_are_judged_by_their_version),
		cmocka_unit_test(answers_are_judged_by_their_version),
		cmocka_unit_test(filters_are_read_one_by_one),
		cmocka_unit_test(what_a_subscribe_cannot_say_is_not_encoded),
		cmocka_unit_test(below_5_every_failure_is_0x80),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
