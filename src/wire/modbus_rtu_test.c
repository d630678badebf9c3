#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/modbus_rtu.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void the_crc_is_that_of_known_frames(void **state)
{
	/* Bytes as they are seen on wires. */
	static const uint8_t frames[][8] = {
		{0x01, 0x03, 0x00, 0x00, 0x00, 0x0A, 0xC5, 0xCD},
		{0x11, 0x03, 0x00, 0x6B, 0x00, 0x03, 0x76, 0x87},
		{0x01, 0x06, 0x00, 0x01, 0x00, 0x03, 0x98, 0x0B},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(frames); i++) {
		struct modbus_frame f;
		uint8_t out[MODBUS_RTU_MAX];
		size_t len = 0;

		assert_int_equal(modbus_rtu_decode(frames[i], 8, &f), OK);
		assert_int_equal(f.unit, frames[i][0]);
		assert_int_equal(f.pdu.len, 5);
		assert_int_equal(modbus_rtu_encode(f.unit, f.pdu, out, sizeof(out), &len), OK);
		assert_int_equal(len, 8);
		assert_memory_equal(out, frames[i], 8);
	}
	/* The check value of this CRC over "123456789". */
	assert_int_equal(modbus_crc((const uint8_t *)"123456789", 9), 0x4B37);
}

static void any_broken_bit_is_seen(void **state)
{
	const uint8_t good[8] = {0x01, 0x03, 0x00, 0x00, 0x00, 0x0A, 0xC5, 0xCD};

	(void)state;
	for (unsigned bit = 0; bit < 64; bit++) {
		struct modbus_frame f;
		uint8_t bad[8];

		memcpy(bad, good, 8);
		bad[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(modbus_rtu_decode(bad, 8, &f), ERR_MALFORMED);
	}
}

static void limits_of_frames(void **state)
{
	uint8_t pdu[MODBUS_PDU_MAX + 1] = {3}, out[MODBUS_ASCII_MAX];
	struct modbus_frame f;
	size_t len = 7;

	(void)state;
	assert_int_equal(modbus_rtu_encode(1, span_of(pdu, 0), out, sizeof(out), &len), ERR_RANGE);
	assert_int_equal(modbus_rtu_encode(1, span_of(pdu, sizeof(pdu)), out, sizeof(out), &len), ERR_RANGE);
	assert_int_equal(modbus_rtu_encode(1, span_of(pdu, 5), out, 7, &len), ERR_TOO_LARGE);
	assert_int_equal(modbus_ascii_encode(1, span_of(pdu, 0), out, sizeof(out), &len), ERR_RANGE);
	assert_int_equal(modbus_ascii_encode(1, span_of(pdu, 5), out, 16, &len), ERR_TOO_LARGE);
	assert_int_equal(len, 7);
	assert_int_equal(modbus_rtu_encode(1, span_of(pdu, MODBUS_PDU_MAX), out, sizeof(out), &len), OK);
	assert_int_equal(len, MODBUS_RTU_MAX);
	assert_int_equal(modbus_ascii_encode(1, span_of(pdu, MODBUS_PDU_MAX), out, sizeof(out), &len), OK);
	assert_int_equal(len, MODBUS_ASCII_MAX);
	assert_int_equal(modbus_rtu_decode(pdu, 3, &f), ERR_MALFORMED);
	assert_int_equal(modbus_rtu_decode(pdu, 0, &f), ERR_MALFORMED);
}

struct size_case {
	uint8_t bytes[24];
	size_t len; /* known when so many have come; one less is ERR_AGAIN */
	int rc;
	size_t size;
};

static void check_sizes(const struct size_case *cases, size_t n, bool is_answer)
{
	static const uint8_t asked[] = {8, 0, 0, 1, 2, 3, 4};

	for (size_t i = 0; i < n; i++)
		for (size_t len = 0; len <= cases[i].len; len++) {
			/* exactly so many bytes, for the sanitizer */
			uint8_t *at_end = malloc(len ? len : 1);
			size_t size = 0;
			int rc;

			assert_non_null(at_end);
			memcpy(at_end, cases[i].bytes, len);
			rc = is_answer ? modbus_rtu_answer_size(at_end, len, span_of(asked, sizeof(asked)),
								&size)
				       : modbus_rtu_request_size(at_end, len, &size);
			free(at_end);
			assert_int_equal(rc, len < cases[i].len ? ERR_AGAIN : cases[i].rc);
			assert_int_equal(size, len < cases[i].len ? 0 : cases[i].size);
		}
}

static void answers_say_early_how_long_they_are(void **state)
{
	static const struct size_case cases[] = {
		{{1, 0x83}, 2, OK, 5},
		{{1, 1, 3}, 3, OK, 8},
		{{1, 3, 250}, 3, OK, 255},
		{{1, 3, 252}, 3, ERR_MALFORMED, 0},
		{{1, 5}, 2, OK, 8},
		{{1, 6}, 2, OK, 8},
		{{1, 7}, 2, OK, 5},
		{{1, 8}, 2, OK, 10},
		{{1, 11}, 2, OK, 8},
		{{1, 12, 8}, 3, OK, 13},
		{{1, 15}, 2, OK, 8},
		{{1, 16}, 2, OK, 8},
		{{1, 17, 9}, 3, OK, 14},
		{{1, 20, 6}, 3, OK, 11},
		{{1, 21, 6}, 3, OK, 11},
		{{1, 22}, 2, OK, 10},
		{{1, 23, 4}, 3, OK, 9},
		{{1, 24, 0, 6}, 4, OK, 12},
		{{1, 24, 9, 6}, 4, ERR_MALFORMED, 0},
		{{1, 43, 14, 1, 1, 0, 0, 2, 0, 3, 'a', 'b', 'c', 1, 2}, 15, OK, 19},
		{{1, 43, 14, 1, 1, 0, 0, 0}, 8, OK, 10},
		{{1, 43, 13}, 3, ERR_UNSUPPORTED, 0},
		{{1, 99}, 2, ERR_UNSUPPORTED, 0},
	};

	(void)state;
	check_sizes(cases, COUNT(cases), true);
}

static void requests_say_early_how_long_they_are(void **state)
{
	static const struct size_case cases[] = {
		{{1, 1}, 2, OK, 8},
		{{1, 6}, 2, OK, 8},
		{{1, 7}, 2, OK, 4},
		{{1, 16, 0, 0, 0, 2, 4}, 7, OK, 13},
		{{1, 16, 0, 0, 0, 2, 250}, 7, ERR_MALFORMED, 0},
		{{1, 20, 7}, 3, OK, 12},
		{{1, 22}, 2, OK, 10},
		{{1, 23, 0, 0, 0, 1, 0, 0, 0, 1, 2}, 11, OK, 15},
		{{1, 24}, 2, OK, 6},
		{{1, 43, 14}, 3, OK, 7},
		{{1, 43, 13}, 3, ERR_UNSUPPORTED, 0},
		{{1, 8}, 2, ERR_UNSUPPORTED, 0},
	};

	(void)state;
	check_sizes(cases, COUNT(cases), false);
}

static void an_endless_list_of_objects_is_no_frame(void **state)
{
	uint8_t buf[600] = {1, 43, 14, 1, 1, 0, 0, 255};
	size_t size = 0;

	(void)state;
	for (size_t i = 8; i < sizeof(buf); i += 2)
		buf[i + 1] = 0;
	assert_int_equal(modbus_rtu_answer_size(buf, sizeof(buf), span_of(buf, 0), &size), ERR_MALFORMED);
}

static void ascii_is_the_example_of_the_specification(void **state)
{
	static const uint8_t pdu[] = {3, 0, 0x6B, 0, 3};
	uint8_t out[32], bytes[MODBUS_RTU_MAX];
	struct modbus_frame f;
	size_t len = 0, used = 0;

	(void)state;
	assert_int_equal(modbus_ascii_encode(0x11, span_of(pdu, 5), out, sizeof(out), &len), OK);
	assert_int_equal(len, 17);
	assert_memory_equal(out, ":1103006B00037E\r\n", 17);
	for (size_t n = 0; n < len; n++) {
		assert_int_equal(modbus_ascii_split(out, n, bytes, &f, &used), ERR_AGAIN);
		assert_int_equal(used, 0);
	}
	assert_int_equal(modbus_ascii_split(out, len, bytes, &f, &used), OK);
	assert_int_equal(used, len);
	assert_int_equal(f.unit, 0x11);
	assert_true(span_equal(f.pdu, span_of(pdu, 5)));
}

static void ascii_finds_its_frames_between_other_bytes(void **state)
{
	static const struct {
		const char *text;
		int rc;
		size_t used;
	} cases[] = {
		{"noise:1103006B00037E\r\n", OK, 22},
		{":1103:1103006B00037E\r\n", OK, 22}, /* a frame that was left off */
		{":1103006b00037e\r\n", OK, 17},
		{":1103006B00037E\n", OK, 16},
		{":1103006B00037F\r\n", ERR_MALFORMED, 17},
		{":1103006B00037\r\n", ERR_MALFORMED, 16},
		{":110300GB00037E\r\n", ERR_MALFORMED, 17},
		{":\r\n", ERR_MALFORMED, 3},
		{":11EF\r\n", ERR_MALFORMED, 7},
		{"\r\n\r\n", ERR_AGAIN, 4},
		{"x:11", ERR_AGAIN, 1},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t bytes[MODBUS_RTU_MAX];
		struct modbus_frame f = {0};
		size_t used = 999;

		assert_int_equal(modbus_ascii_split((const uint8_t *)cases[i].text, strlen(cases[i].text),
						    bytes, &f, &used),
				 cases[i].rc);
		assert_int_equal(used, cases[i].used);
		if (cases[i].rc == OK)
			assert_int_equal(f.pdu.len, 5);
	}
}

static void ascii_without_end_is_given_up(void **state)
{
	uint8_t buf[MODBUS_ASCII_MAX + 1], bytes[MODBUS_RTU_MAX];
	struct modbus_frame f;
	size_t used = 0;

	(void)state;
	memset(buf, 'A', sizeof(buf));
	buf[0] = ':';
	assert_int_equal(modbus_ascii_split(buf, MODBUS_ASCII_MAX - 1, bytes, &f, &used), ERR_AGAIN);
	assert_int_equal(used, 0);
	assert_int_equal(modbus_ascii_split(buf, MODBUS_ASCII_MAX, bytes, &f, &used), ERR_AGAIN);
	assert_int_equal(used, MODBUS_ASCII_MAX);
	/* The longest one ends in time. */
	buf[MODBUS_ASCII_MAX - 2] = '\r';
	buf[MODBUS_ASCII_MAX - 1] = '\n';
	assert_int_equal(modbus_ascii_split(buf, MODBUS_ASCII_MAX, bytes, &f, &used), ERR_MALFORMED);
	assert_int_equal(used, MODBUS_ASCII_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_crc_is_that_of_known_frames),
		cmocka_unit_test(any_broken_bit_is_seen),
		cmocka_unit_test(limits_of_frames),
		cmocka_unit_test(answers_say_early_how_long_they_are),
		cmocka_unit_test(requests_say_early_how_long_they_are),
		cmocka_unit_test(an_endless_list_of_objects_is_no_frame),
		cmocka_unit_test(ascii_is_the_example_of_the_specification),
		cmocka_unit_test(ascii_finds_its_frames_between_other_bytes),
		cmocka_unit_test(ascii_without_end_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
