#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/mqtt_codec.h"

static void a_packet_is_split_off_or_waited_for(void **state)
{
	static const struct {
		const char *what, *bytes;
		size_t len;
		uint32_t max;
		int rc;
		uint32_t size, body_len;
	} table[] = {
		{"nothing", "", 0, 100, ERR_AGAIN, 0, 0},
		{"first byte", "\x30", 1, 100, ERR_AGAIN, 0, 0},
		{"type 0", "\x0F", 1, 100, ERR_PROTOCOL, 0, 0},
		{"type 0, all there", "\x00\x00", 2, 100, ERR_PROTOCOL, 0, 0},
		{"empty body", "\xC0\x00", 2, 2, OK, 2, 0},
		{"empty body, limit 1", "\xC0\x00", 2, 1, ERR_TOO_LARGE, 2, 0},
		{"more behind", "\xC0\x00\xC0", 3, 100, OK, 2, 0},
		{"body missing", "\x30\x02", 2, 100, ERR_AGAIN, 4, 0},
		{"body cut", "\x30\x02\x01", 3, 100, ERR_AGAIN, 4, 0},
		{"body there", "\x30\x02\x01\x02", 4, 4, OK, 4, 2},
		{"127", "\x30\x7F", 2, 1000, ERR_AGAIN, 129, 0},
		{"128", "\x30\x80\x01", 3, 1000, ERR_AGAIN, 131, 0},
		{"length cut", "\x30\x80", 2, 1000, ERR_AGAIN, 0, 0},
		{"length cut", "\x30\x80\x80", 3, 1000, ERR_AGAIN, 0, 0},
		{"length cut", "\x30\xFF\xFF\xFF", 4, 1000, ERR_AGAIN, 0, 0},
		{"16383", "\x30\xFF\x7F", 3, UINT32_MAX, ERR_AGAIN, 16386, 0},
		{"16384", "\x30\x80\x80\x01", 4, UINT32_MAX, ERR_AGAIN, 16388, 0},
		{"2097151", "\x30\xFF\xFF\x7F", 4, UINT32_MAX, ERR_AGAIN, 2097155, 0},
		{"2097152", "\x30\x80\x80\x80\x01", 5, UINT32_MAX, ERR_AGAIN, 2097157, 0},
		{"largest", "\x30\xFF\xFF\xFF\x7F", 5, UINT32_MAX, ERR_AGAIN, MQTT_REMAINING_MAX + 5, 0},
		{"largest, limit", "\x30\xFF\xFF\xFF\x7F", 5, MQTT_REMAINING_MAX + 5, ERR_AGAIN,
		 MQTT_REMAINING_MAX + 5, 0},
		{"largest, limit one less", "\x30\xFF\xFF\xFF\x7F", 5, MQTT_REMAINING_MAX + 4, ERR_TOO_LARGE,
		 MQTT_REMAINING_MAX + 5, 0},
		{"five bytes", "\x30\xFF\xFF\xFF\xFF", 5, UINT32_MAX, ERR_MALFORMED, 0, 0},
		{"five bytes", "\x30\x80\x80\x80\x80\x01", 6, UINT32_MAX, ERR_MALFORMED, 0, 0},
		{"not shortest", "\xC0\x80\x00", 3, 100, ERR_MALFORMED, 0, 0},
		{"not shortest", "\x30\x81\x80\x00", 4, 100, ERR_MALFORMED, 0, 0},
		{"not shortest", "\x30\x80\x80\x80\x00", 5, 100, ERR_MALFORMED, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct mqtt_frame f;
		int rc = mqtt_frame_read((const uint8_t *)table[i].bytes, table[i].len, table[i].max, &f);

		if (rc != table[i].rc || f.size != table[i].size)
			fail_msg("%s: %s, size %u", table[i].what, err_text(rc), (unsigned)f.size);
		if (rc == OK) {
			assert_int_equal(f.body_len, table[i].body_len);
			assert_ptr_equal(f.body, table[i].bytes + f.size - f.body_len);
		}
	}
}

static void type_and_flags_are_told_with_the_first_byte(void **state)
{
	static const uint8_t bytes[] = {0x3D};
	struct mqtt_frame f;

	(void)state;
	assert_int_equal(mqtt_frame_read(bytes, 1, 100, &f), ERR_AGAIN);
	assert_int_equal(f.type, MQTT_PUBLISH);
	assert_int_equal(f.flags, 0x0D);
}

static void every_type_has_its_name_and_what_is_none_is_wrong(void **state)
{
	(void)state;
	for (unsigned type = MQTT_CONNECT; type <= MQTT_AUTH; type++)
		assert_non_null(mqtt_type_text((enum mqtt_type)type));
	assert_string_equal(mqtt_type_text(MQTT_CONNECT), "CONNECT");
	assert_string_equal(mqtt_type_text(MQTT_AUTH), "AUTH");
	assert_string_equal(mqtt_type_text((enum mqtt_type)0), "a wrong packet");
	assert_string_equal(mqtt_type_text((enum mqtt_type)16), "a wrong packet");
}

static void a_varint_is_the_same_there_and_back(void **state)
{
	static const uint32_t values[] = {0,     1,       127,     128,       16383,
					  16384, 2097151, 2097152, 268435454, MQTT_REMAINING_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		uint8_t room[4];
		struct wr w = wr_of(room, sizeof(room));
		struct rd r, cut;
		uint32_t v;

		mqtt_varint_write(&w, values[i]);
		assert_false(w.bad);
		assert_int_equal((size_t)(w.p - room), mqtt_varint_size(values[i]));
		r = rd_of(room, (size_t)(w.p - room));
		cut = rd_of(room, r.left - 1);
		assert_true(mqtt_varint_take(&r, &v));
		assert_int_equal(v, values[i]);
		assert_int_equal(r.left, 0);
		assert_false(mqtt_varint_take(&cut, &v));
	}
}

/* covers 5.0 [MQTT-1.5.5-1] */
static void a_wrong_varint_is_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} table[] = {{"\x80\x00", 2},         {"\xFF\x80\x00", 3},         {"\x80\x80\x80\x00", 4},
		     {"\xFF\xFF\xFF\xFF", 4}, {"\x80\x80\x80\x80\x01", 5}, {"", 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct rd r = rd_of(table[i].bytes, table[i].len);
		uint32_t v;

		assert_false(mqtt_varint_take(&r, &v));
	}
}

static void pings_are_two_bytes(void **state)
{
	uint8_t room[4];
	struct wr w = wr_of(room, 4);
	struct mqtt_frame f;

	(void)state;
	assert_int_equal(mqtt_empty_encode(&w, MQTT_PINGREQ), OK);
	assert_int_equal(mqtt_empty_encode(&w, MQTT_PINGRESP), OK);
	assert_memory_equal(room, "\xC0\x00\xD0\x00", 4);
	assert_int_equal(mqtt_empty_encode(&w, MQTT_PINGREQ), ERR_FULL);
	assert_false(w.bad);
	assert_int_equal(mqtt_frame_read(room, 2, 2, &f), OK);
	assert_int_equal(mqtt_empty_decode(&f), OK);
	f.flags = 1;
	assert_int_equal(mqtt_empty_decode(&f), ERR_MALFORMED);
	f.flags = 0;
	f.body_len = 1;
	assert_int_equal(mqtt_empty_decode(&f), ERR_MALFORMED);
}

static void a_writer_that_failed_before_stays_as_it_is(void **state)
{
	uint8_t room[8];
	struct wr w = wr_of(room, sizeof(room));

	(void)state;
	w.bad = true;
	assert_int_equal(mqtt_empty_encode(&w, MQTT_PINGREQ), ERR_FULL);
	assert_ptr_equal(w.p, room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_packet_is_split_off_or_waited_for),
		cmocka_unit_test(type_and_flags_are_told_with_the_first_byte),
		cmocka_unit_test(every_type_has_its_name_and_what_is_none_is_wrong),
		cmocka_unit_test(a_varint_is_the_same_there_and_back),
		cmocka_unit_test(a_wrong_varint_is_refused),
		cmocka_unit_test(pings_are_two_bytes),
		cmocka_unit_test(a_writer_that_failed_before_stays_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
