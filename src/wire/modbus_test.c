#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/modbus.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A PDU as it would lie at the very end of memory: reading past it is caught by the sanitizer. */
static uint8_t *exact(const uint8_t *bytes, size_t len)
{
	uint8_t *p = malloc(len ? len : 1);

	assert_non_null(p);
	memcpy(p, bytes, len);
	return p;
}

static void requests_are_the_bytes_of_the_specification(void **state)
{
	/* Examples of MODBUS Application Protocol V1.1b3, 6.1 to 6.6, 6.11 and 6.12. */
	static const struct {
		struct modbus_req req;
		uint8_t pdu[16];
		size_t len;
	} cases[] = {
		{{.fc = 1, .address = 0x13, .count = 0x13}, {1, 0, 0x13, 0, 0x13}, 5},
		{{.fc = 2, .address = 0xC4, .count = 0x16}, {2, 0, 0xC4, 0, 0x16}, 5},
		{{.fc = 3, .address = 0x6B, .count = 3}, {3, 0, 0x6B, 0, 3}, 5},
		{{.fc = 4, .address = 8, .count = 1}, {4, 0, 8, 0, 1}, 5},
		{{.fc = 5, .address = 0xAC, .count = 1, .data.bits = {1}}, {5, 0, 0xAC, 0xFF, 0}, 5},
		{{.fc = 5, .address = 0xAC, .count = 1, .data.bits = {0}}, {5, 0, 0xAC, 0, 0}, 5},
		{{.fc = 6, .address = 1, .count = 1, .data.regs = {3}}, {6, 0, 1, 0, 3}, 5},
		{{.fc = 15, .address = 0x13, .count = 10, .data.bits = {0xCD, 0x01}},
		 {15, 0, 0x13, 0, 0x0A, 2, 0xCD, 0x01},
		 8},
		{{.fc = 16, .address = 1, .count = 2, .data.regs = {0x0A, 0x0102}},
		 {16, 0, 1, 0, 2, 4, 0, 0x0A, 1, 2},
		 10},
		/* 6.8, 6.9, 6.16, 6.17 and 6.21 */
		{{.fc = 8, .count = 1, .data.regs = {0xA537}}, {8, 0, 0, 0xA5, 0x37}, 5},
		{{.fc = 11}, {11}, 1},
		{{.fc = 22, .address = 4, .count = 1, .and_mask = 0xF2, .or_mask = 0x25},
		 {22, 0, 4, 0, 0xF2, 0, 0x25},
		 7},
		{{.fc = 23,
		  .address = 3,
		  .count = 6,
		  .write_address = 14,
		  .write_count = 3,
		  .data.regs = {0xFF, 0xFF, 0xFF}},
		 {23, 0, 3, 0, 6, 0, 0x0E, 0, 3, 6, 0, 0xFF, 0, 0xFF, 0, 0xFF},
		 16},
		{{.fc = 43, .read_code = 1, .object_id = 0}, {43, 14, 1, 0}, 4},
	};
	uint8_t pdu[MODBUS_PDU_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct modbus_req back = {0};
		size_t len = 0;

		assert_int_equal(modbus_req_encode(&cases[i].req, pdu, sizeof(pdu), &len), OK);
		assert_int_equal(len, cases[i].len);
		assert_memory_equal(pdu, cases[i].pdu, len);
		assert_int_equal(modbus_req_decode(pdu, len, &back), OK);
		assert_int_equal(back.fc, cases[i].req.fc);
		assert_int_equal(back.address, cases[i].req.address);
		assert_int_equal(back.count, cases[i].req.count);
		assert_int_equal(back.write_address, cases[i].req.write_address);
		assert_int_equal(back.write_count, cases[i].req.write_count);
		assert_memory_equal(&back.data, &cases[i].req.data, sizeof(back.data));
		for (size_t room = 0; room < len; room++)
			assert_int_equal(modbus_req_encode(&cases[i].req, pdu, room, &len), ERR_TOO_LARGE);
	}
}

static void quantities_and_addresses_have_their_limits_in_both_directions(void **state)
{
	static const struct {
		uint8_t fc;
		uint16_t address, count;
		int encoded, decoded;
	} cases[] = {
		{1, 0, 2000, OK, OK},
		{1, 0, 2001, ERR_RANGE, ERR_RANGE},
		{1, 0, 0, ERR_RANGE, ERR_RANGE},
		{2, 0, 2000, OK, OK},
		{2, 0, 2001, ERR_RANGE, ERR_RANGE},
		{3, 0, 125, OK, OK},
		{3, 0, 126, ERR_RANGE, ERR_RANGE},
		{4, 0, 125, OK, OK},
		{4, 0, 126, ERR_RANGE, ERR_RANGE},
		{4, 0, 0, ERR_RANGE, ERR_RANGE},
		{15, 0, 1968, OK, OK},
		{16, 0, 123, OK, OK},
		{3, 65535, 1, OK, OK},
		{3, 65535, 2, ERR_RANGE, ERR_NOT_FOUND},
		{3, 65411, 125, OK, OK},
		{3, 65412, 125, ERR_RANGE, ERR_NOT_FOUND},
		{16, 65535, 2, ERR_RANGE, ERR_NOT_FOUND},
		{7, 0, 1, ERR_UNSUPPORTED, ERR_UNSUPPORTED},
		{0x83, 0, 1, ERR_UNSUPPORTED, ERR_UNSUPPORTED},
	};
	uint8_t pdu[MODBUS_PDU_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct modbus_req req = {
			.fc = cases[i].fc, .address = cases[i].address, .count = cases[i].count};
		struct wr w = wr_of(pdu, sizeof(pdu));
		size_t len = 0;

		assert_int_equal(modbus_req_encode(&req, pdu, sizeof(pdu), &len), cases[i].encoded);
		wr_u8(&w, cases[i].fc);
		wr_u16be(&w, cases[i].address);
		wr_u16be(&w, cases[i].count);
		if (cases[i].fc >= 15) {
			uint8_t nbytes =
				(uint8_t)(cases[i].fc == 15 ? (cases[i].count + 7) / 8 : 2 * cases[i].count);

			wr_u8(&w, nbytes);
			memset(w.p, 0, nbytes);
			w.left -= nbytes;
		}
		assert_int_equal(modbus_req_decode(pdu, sizeof(pdu) - w.left, &req), cases[i].decoded);
	}
}

static void a_read_write_has_two_quantities_and_two_ranges(void **state)
{
	static const struct {
		uint16_t address, count, write_address, write_count;
		int encoded, decoded;
	} cases[] = {
		{0, 125, 0, 121, OK, OK},
		{0, 126, 0, 1, ERR_RANGE, ERR_RANGE},
		{0, 1, 0, 122, ERR_RANGE, ERR_RANGE},
		{0, 0, 0, 1, ERR_RANGE, ERR_RANGE},
		{0, 1, 0, 0, ERR_RANGE, ERR_RANGE},
		{65535, 2, 0, 1, ERR_RANGE, ERR_NOT_FOUND},
		{0, 1, 65535, 2, ERR_RANGE, ERR_NOT_FOUND},
		{65535, 1, 65535, 1, OK, OK},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct modbus_req req = {.fc = 23,
					 .address = cases[i].address,
					 .count = cases[i].count,
					 .write_address = cases[i].write_address,
					 .write_count = cases[i].write_count};
		uint8_t pdu[MODBUS_PDU_MAX + 1] = {23};
		struct wr w = wr_of(pdu + 1, 9);
		size_t len = 0;

		assert_int_equal(modbus_req_encode(&req, pdu, sizeof(pdu), &len), cases[i].encoded);
		wr_u16be(&w, cases[i].address);
		wr_u16be(&w, cases[i].count);
		wr_u16be(&w, cases[i].write_address);
		wr_u16be(&w, cases[i].write_count);
		wr_u8(&w, (uint8_t)(2 * cases[i].write_count));
		assert_int_equal(modbus_req_decode(pdu, 10u + 2u * cases[i].write_count, &req),
				 cases[i].decoded);
	}
}

static void requests_that_are_not_whole_are_refused(void **state)
{
	static const struct {
		uint8_t pdu[12];
		size_t len;
		int rc;
		enum modbus_exception answer;
	} cases[] = {
		{{0}, 0, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{3}, 1, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{3, 0, 0, 0}, 4, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{3, 0, 0, 0, 1, 0}, 6, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{5, 0, 0, 0xFF, 1}, 5, ERR_RANGE, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{5, 0, 0, 1, 0}, 5, ERR_RANGE, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{5, 0, 0, 0xFF, 0, 0}, 6, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{6, 0, 0, 1}, 4, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{15, 0, 0, 0, 9, 1, 0xFF}, 7, ERR_RANGE, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{15, 0, 0, 0, 0, 0}, 6, ERR_RANGE, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{16, 0, 0, 0, 2, 4, 0, 0, 0}, 9, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{16, 0, 0, 0, 1, 4, 0, 0, 0, 0}, 10, ERR_RANGE, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{16, 0, 0, 0, 2, 4, 0, 0, 0, 0, 0}, 11, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{7}, 1, ERR_UNSUPPORTED, MODBUS_EXCEPTION_ILLEGAL_FUNCTION},
		{{8, 0, 0}, 3, ERR_RANGE, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{8, 0, 0, 1}, 4, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{11, 0}, 2, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{22, 0, 0, 0, 0, 0}, 6, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{22, 0, 0, 0, 0, 0, 0, 0}, 8, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{23, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0}, 11, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{23, 0, 0, 0, 1, 0, 0, 0, 0, 0}, 10, ERR_RANGE, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{23, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0}, 12, ERR_RANGE, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{23, 0, 0, 0, 1, 0, 0, 0, 2, 2, 0, 0}, 12, ERR_RANGE, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{43, 14, 1}, 3, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{43, 14, 1, 0, 0}, 5, ERR_MALFORMED, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{43, 14, 0, 0}, 4, ERR_RANGE, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{43, 14, 5, 0}, 4, ERR_RANGE, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{{43, 13, 1, 0}, 4, ERR_UNSUPPORTED, MODBUS_EXCEPTION_ILLEGAL_FUNCTION},
		{{3, 0xFF, 0xFF, 0, 2}, 5, ERR_NOT_FOUND, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t *pdu = exact(cases[i].pdu, cases[i].len);
		struct modbus_req req;

		assert_int_equal(modbus_req_decode(pdu, cases[i].len, &req), cases[i].rc);
		assert_int_equal(modbus_exception_of(cases[i].rc), cases[i].answer);
		free(pdu);
	}
}

static void bits_past_the_quantity_are_cleared(void **state)
{
	const struct modbus_req asked = {.fc = 1, .count = 3};
	const uint8_t answer[] = {1, 1, 0xFF};
	const uint8_t write[] = {15, 0, 0, 0, 3, 1, 0xFF};
	union modbus_data data = {0};
	struct modbus_req req;
	uint8_t exception = 0;

	(void)state;
	assert_int_equal(modbus_rsp_decode(answer, sizeof(answer), &asked, &data, &exception), OK);
	assert_int_equal(data.bits[0], 0x07);
	assert_int_equal(modbus_req_decode(write, sizeof(write), &req), OK);
	assert_int_equal(req.data.bits[0], 0x07);
}

static void answers_come_back_as_they_were_given(void **state)
{
	static const struct modbus_req asked[] = {
		{.fc = 1, .address = 3, .count = 2000},
		{.fc = 2, .address = 3, .count = 1},
		{.fc = 3, .address = 3, .count = 125},
		{.fc = 4, .address = 3, .count = 1},
		{.fc = 5, .address = 3, .count = 1, .data.bits = {1}},
		{.fc = 5, .address = 3, .count = 1},
		{.fc = 6, .address = 3, .count = 1, .data.regs = {0xABCD}},
		{.fc = 15, .address = 3, .count = 1968},
		{.fc = 16, .address = 3, .count = 123},
		{.fc = 8, .count = 1, .sub_function = 11},
		{.fc = 11, .count = 2},
		{.fc = 22, .address = 3, .count = 1, .and_mask = 0x1234, .or_mask = 0xABCD},
		{.fc = 23, .address = 3, .count = 125, .write_count = 121},
	};
	uint8_t pdu[MODBUS_PDU_MAX];
	uint8_t exception = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(asked); i++) {
		union modbus_data given = {0}, got = {0};
		bool reads =
			asked[i].fc <= 4 || asked[i].fc == 23 || asked[i].fc == 11 || asked[i].sub_function;
		size_t len = 0;

		for (unsigned r = 0; r < asked[i].count && asked[i].fc > 2; r++)
			if (r < MODBUS_READ_REGS_MAX)
				given.regs[r] = (uint16_t)(r * 257);
		if (asked[i].fc <= 2)
			for (unsigned b = 0; b < asked[i].count; b++)
				modbus_bit_set(given.bits, b, b % 3 == 0);
		assert_int_equal(modbus_rsp_encode(&asked[i], &given, pdu, sizeof(pdu), &len), OK);
		assert_int_equal(modbus_rsp_decode(pdu, len, &asked[i], &got, &exception), OK);
		if (reads)
			assert_memory_equal(&got, &given, sizeof(got));
		for (size_t cut = 0; cut < len; cut++) {
			uint8_t *part = exact(pdu, cut);

			assert_int_equal(modbus_rsp_decode(part, cut, &asked[i], &got, &exception),
					 ERR_MALFORMED);
			assert_int_equal(modbus_rsp_encode(&asked[i], &given, pdu, cut, &len), ERR_TOO_LARGE);
			free(part);
		}
	}
}

static void answers_to_something_else_are_refused(void **state)
{
	static const struct {
		struct modbus_req asked;
		uint8_t pdu[12];
		size_t len;
		int rc;
	} cases[] = {
		/* longer and shorter than asked, consistent in themselves */
		{{.fc = 3, .count = 1}, {3, 4, 0, 1, 0, 2}, 6, ERR_UNEXPECTED},
		{{.fc = 3, .count = 2}, {3, 2, 0, 1}, 4, ERR_UNEXPECTED},
		{{.fc = 1, .count = 8}, {1, 2, 0, 0}, 4, ERR_UNEXPECTED},
		{{.fc = 1, .count = 9}, {1, 2, 0, 0}, 4, OK},
		/* the byte count does not fit the bytes */
		{{.fc = 3, .count = 1}, {3, 2, 0, 1, 0}, 5, ERR_MALFORMED},
		{{.fc = 3, .count = 1}, {3, 2, 0}, 3, ERR_MALFORMED},
		/* another function */
		{{.fc = 3, .count = 1}, {4, 2, 0, 1}, 4, ERR_UNEXPECTED},
		{{.fc = 3, .count = 1}, {0x84, 2}, 2, ERR_UNEXPECTED},
		/* another address, value, quantity */
		{{.fc = 6, .address = 1, .count = 1, .data.regs = {5}}, {6, 0, 1, 0, 5}, 5, OK},
		{{.fc = 6, .address = 1, .count = 1, .data.regs = {5}}, {6, 0, 2, 0, 5}, 5, ERR_UNEXPECTED},
		{{.fc = 6, .address = 1, .count = 1, .data.regs = {5}}, {6, 0, 1, 0, 6}, 5, ERR_UNEXPECTED},
		{{.fc = 5, .address = 1, .count = 1, .data.bits = {1}}, {5, 0, 1, 0, 0}, 5, ERR_UNEXPECTED},
		{{.fc = 16, .address = 1, .count = 2}, {16, 0, 1, 0, 1}, 5, ERR_UNEXPECTED},
		{{.fc = 16, .address = 1, .count = 2}, {16, 0, 1, 0, 2, 0}, 6, ERR_MALFORMED},
		{{.fc = 22, .address = 4, .count = 1, .and_mask = 1}, {22, 0, 4, 0, 1, 0, 0}, 7, OK},
		{{.fc = 22, .address = 4, .count = 1, .and_mask = 1},
		 {22, 0, 4, 0, 1, 0, 1},
		 7,
		 ERR_UNEXPECTED},
		{{.fc = 22, .address = 4, .count = 1, .and_mask = 1}, {22, 0, 4, 0, 1}, 5, ERR_MALFORMED},
		{{.fc = 23, .count = 1, .write_count = 1}, {23, 2, 0, 1}, 4, OK},
		{{.fc = 23, .count = 1, .write_count = 1}, {23, 4, 0, 1, 0, 1}, 6, ERR_UNEXPECTED},
		{{.fc = 8, .count = 2, .data.regs = {5, 6}}, {8, 0, 0, 0, 5, 0, 6}, 7, OK},
		{{.fc = 8, .count = 2, .data.regs = {5, 6}}, {8, 0, 0, 0, 5, 0, 7}, 7, ERR_UNEXPECTED},
		{{.fc = 8, .count = 2, .data.regs = {5, 6}}, {8, 0, 0, 0, 5, 0}, 6, ERR_MALFORMED},
		{{.fc = 8, .count = 1, .data.regs = {5}}, {8, 0, 0, 0, 6}, 5, ERR_UNEXPECTED},
		{{.fc = 8, .count = 1, .sub_function = 11}, {8, 0, 11, 0, 6}, 5, OK},
		{{.fc = 8, .count = 1, .sub_function = 11}, {8, 0, 12, 0, 6}, 5, ERR_UNEXPECTED},
		{{.fc = 8, .count = 1, .sub_function = 11}, {8, 0, 11, 0, 6, 0, 7}, 7, ERR_UNEXPECTED},
		{{.fc = 11}, {11, 0, 0, 0, 6}, 5, OK},
		{{.fc = 11}, {11, 0, 0, 0}, 4, ERR_MALFORMED},
		/* identification: no object, one, one too few, bytes behind them, cut off */
		{{.fc = 43, .read_code = 1}, {43, 14, 1, 1, 0, 0, 0}, 7, OK},
		{{.fc = 43, .read_code = 1}, {43, 14, 1, 1, 0, 0, 1, 0, 1, 'a'}, 10, OK},
		{{.fc = 43, .read_code = 1}, {43, 14, 1, 1, 0, 0, 2, 0, 1, 'a'}, 10, ERR_MALFORMED},
		{{.fc = 43, .read_code = 1}, {43, 14, 1, 1, 0, 0, 0, 0, 1, 'a'}, 10, ERR_MALFORMED},
		{{.fc = 43, .read_code = 1}, {43, 14, 1, 1, 0, 0, 1, 0, 2, 'a'}, 10, ERR_MALFORMED},
		{{.fc = 43, .read_code = 1}, {43, 14, 1, 1, 7, 0, 0}, 7, ERR_MALFORMED},
		{{.fc = 43, .read_code = 1}, {43, 14, 1, 1, 0, 0}, 6, ERR_MALFORMED},
		{{.fc = 43, .read_code = 1}, {43, 13, 1, 1, 0, 0, 0}, 7, ERR_UNEXPECTED},
		{{.fc = 43, .read_code = 1}, {43, 14, 2, 1, 0, 0, 0}, 7, ERR_UNEXPECTED},
		{{.fc = 43, .read_code = 4, .object_id = 9},
		 {43, 14, 4, 0x81, 0, 0, 1, 8, 0},
		 9,
		 ERR_UNEXPECTED},
		{{.fc = 43, .read_code = 4, .object_id = 8}, {43, 14, 4, 0x81, 0, 0, 1, 8, 0}, 9, OK},
		{{.fc = 43, .read_code = 5}, {43, 14, 5, 1, 0, 0, 0}, 7, ERR_UNEXPECTED},
		/* exceptions */
		{{.fc = 3, .count = 1}, {0x83, 2}, 2, ERR_REMOTE},
		{{.fc = 3, .count = 1}, {0x83, 0x7F}, 2, ERR_REMOTE},
		{{.fc = 3, .count = 1}, {0x83, 0}, 2, ERR_MALFORMED},
		{{.fc = 3, .count = 1}, {0x83}, 1, ERR_MALFORMED},
		{{.fc = 3, .count = 1}, {0x83, 2, 0}, 3, ERR_MALFORMED},
		/* what nobody can have asked */
		{{.fc = 3, .count = 126}, {3, 252}, 2, ERR_UNEXPECTED},
		{{.fc = 9, .count = 1}, {9, 0}, 2, ERR_UNEXPECTED},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t *pdu = exact(cases[i].pdu, cases[i].len);
		union modbus_data data, before;
		uint8_t exception = 0;

		memset(&before, 0xA5, sizeof(before));
		data = before;
		assert_int_equal(modbus_rsp_decode(pdu, cases[i].len, &cases[i].asked, &data, &exception),
				 cases[i].rc);
		if (cases[i].rc != OK)
			assert_memory_equal(&data, &before, sizeof(data));
		assert_int_equal(exception, cases[i].rc == ERR_REMOTE ? cases[i].pdu[1] : 0);
		free(pdu);
	}
}

static void objects_come_back_as_they_were_appended(void **state)
{
	const struct modbus_req asked = {.fc = 43, .read_code = MODBUS_READ_REGULAR};
	union modbus_data given = {.objects = {.conformity = 0x82, .more = true, .next = 4}}, got = {0};
	uint8_t pdu[MODBUS_PDU_MAX], long_text[MODBUS_OBJECT_MAX + 1] = {0};
	uint8_t exception = 0, id = 0;
	struct span value;
	struct rd list;
	size_t len = 0;

	(void)state;
	assert_int_equal(modbus_object_append(&given.objects, 0, span_str("Maker")), OK);
	assert_int_equal(modbus_object_append(&given.objects, 3, span_of(NULL, 0)), OK);
	assert_int_equal(modbus_object_append(&given.objects, 4, span_of(long_text, MODBUS_OBJECT_MAX)),
			 ERR_FULL);
	assert_int_equal(modbus_object_append(&given.objects, 4, span_of(long_text, sizeof(long_text))),
			 ERR_RANGE);
	assert_int_equal(modbus_rsp_encode(&asked, &given, pdu, sizeof(pdu), &len), OK);
	assert_int_equal(len, 7 + 7 + 2);
	assert_int_equal(modbus_rsp_decode(pdu, len, &asked, &got, &exception), OK);
	assert_int_equal(got.objects.conformity, 0x82);
	assert_true(got.objects.more);
	assert_int_equal(got.objects.next, 4);
	assert_int_equal(got.objects.count, 2);
	list = rd_of(got.objects.list, got.objects.len);
	assert_true(modbus_object_next(&list, &id, &value));
	assert_true(id == 0 && span_equal(value, span_str("Maker")));
	assert_true(modbus_object_next(&list, &id, &value));
	assert_true(id == 3 && value.len == 0);
	assert_false(modbus_object_next(&list, &id, &value));
	assert_string_equal(modbus_object_text(0), "vendor name");
	assert_null(modbus_object_text(7));
	/* The longest that fits. */
	given.objects = (struct modbus_objects){0};
	assert_int_equal(modbus_object_append(&given.objects, 4, span_of(long_text, MODBUS_OBJECT_MAX)), OK);
	assert_int_equal(modbus_rsp_encode(&asked, &given, pdu, sizeof(pdu), &len), OK);
	assert_int_equal(len, MODBUS_PDU_MAX);
	assert_int_equal(modbus_rsp_decode(pdu, len, &asked, &got, &exception), OK);
}

static void exceptions_are_two_bytes_with_a_text(void **state)
{
	uint8_t pdu[2];
	size_t len = 0;

	(void)state;
	assert_int_equal(modbus_exception_encode(0x10, 2, pdu, sizeof(pdu), &len), OK);
	assert_int_equal(len, 2);
	assert_int_equal(pdu[0], 0x90);
	assert_int_equal(pdu[1], 2);
	assert_int_equal(modbus_exception_encode(0x10, 2, pdu, 1, &len), ERR_TOO_LARGE);
	assert_string_equal(modbus_exception_text(2), "illegal data address");
	assert_string_equal(modbus_exception_text(7), "unknown exception");
	assert_int_equal(modbus_exception_of(ERR_IO), MODBUS_EXCEPTION_SERVER_DEVICE_FAILURE);
}

static void the_first_frame_is_split_off(void **state)
{
	static const struct {
		uint8_t bytes[16];
		size_t len;
		int rc;
		size_t size;
	} cases[] = {
		{{0}, 0, ERR_AGAIN, 0},
		{{0x12, 0x34, 0}, 3, ERR_AGAIN, 0},
		{{0x12, 0x34, 0, 1}, 4, ERR_MALFORMED, 0},
		{{0x12, 0x34, 1, 0}, 4, ERR_MALFORMED, 0},
		{{0x12, 0x34, 0, 0, 0}, 5, ERR_AGAIN, 0},
		{{0x12, 0x34, 0, 0, 0, 0}, 6, ERR_MALFORMED, 0},
		{{0x12, 0x34, 0, 0, 0, 1}, 6, ERR_MALFORMED, 0},
		{{0x12, 0x34, 0, 0, 0, 255}, 6, ERR_MALFORMED, 0},
		{{0x12, 0x34, 0, 0, 1, 0}, 6, ERR_MALFORMED, 0},
		{{0x12, 0x34, 0, 0, 0, 254}, 6, ERR_AGAIN, 0},
		{{0x12, 0x34, 0, 0, 0, 2, 7}, 7, ERR_AGAIN, 0},
		{{0x12, 0x34, 0, 0, 0, 2, 7, 3}, 8, OK, 8},
		{{0x12, 0x34, 0, 0, 0, 3, 7, 3, 9, 0x12}, 10, OK, 9},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t *buf = exact(cases[i].bytes, cases[i].len);
		struct modbus_adu adu = {0};

		assert_int_equal(modbus_adu_split(buf, cases[i].len, &adu), cases[i].rc);
		assert_int_equal(adu.size, cases[i].size);
		if (cases[i].rc == OK) {
			assert_int_equal(adu.transaction, 0x1234);
			assert_int_equal(adu.unit, 7);
			assert_ptr_equal(adu.pdu.p, buf + MODBUS_MBAP_SIZE);
			assert_int_equal(adu.pdu.len, adu.size - MODBUS_MBAP_SIZE);
		}
		free(buf);
	}
}

static void the_largest_frame_goes_both_ways(void **state)
{
	uint8_t pdu[MODBUS_PDU_MAX + 1] = {3};
	uint8_t out[MODBUS_ADU_MAX];
	struct modbus_adu adu;
	size_t len = 0;

	(void)state;
	assert_int_equal(modbus_adu_encode(9, 1, span_of(pdu, MODBUS_PDU_MAX), out, sizeof(out), &len), OK);
	assert_int_equal(len, MODBUS_ADU_MAX);
	assert_int_equal(modbus_adu_split(out, len - 1, &adu), ERR_AGAIN);
	assert_int_equal(modbus_adu_split(out, len, &adu), OK);
	assert_int_equal(adu.size, len);
	assert_int_equal(modbus_adu_encode(9, 1, span_of(pdu, 0), out, sizeof(out), &len), ERR_RANGE);
	assert_int_equal(modbus_adu_encode(9, 1, span_of(pdu, sizeof(pdu)), out, sizeof(out), &len),
			 ERR_RANGE);
	assert_int_equal(modbus_adu_encode(9, 1, span_of(pdu, 2), out, 8, &len), ERR_TOO_LARGE);
	/* A PDU made in place behind the room for the header. */
	out[MODBUS_MBAP_SIZE] = 0x42;
	assert_int_equal(modbus_adu_encode(9, 1, span_of(out + MODBUS_MBAP_SIZE, 1), out, sizeof(out), &len),
			 OK);
	assert_int_equal(out[MODBUS_MBAP_SIZE], 0x42);
}

static void each_area_knows_its_functions(void **state)
{
	(void)state;
	for (unsigned a = 0; a < MODBUS_AREA_COUNT; a++) {
		enum modbus_area area = (enum modbus_area)a;
		const struct modbus_fc_info *f = modbus_fc_info((uint8_t)modbus_fc_reading(area));

		assert_non_null(f);
		assert_int_equal(f->area, area);
		if (!modbus_area_info(area)->is_writable)
			continue;
		assert_int_equal(modbus_fc_info((uint8_t)modbus_fc_writing(area, 1))->area, area);
		assert_int_equal(modbus_fc_info((uint8_t)modbus_fc_writing(area, 1))->max, 1);
		assert_int_equal(modbus_fc_info((uint8_t)modbus_fc_writing(area, 2))->area, area);
	}
	assert_int_equal(modbus_fc_writing(MODBUS_AREA_HOLDING, 2), 16);
	assert_int_equal(modbus_fc_writing(MODBUS_AREA_COIL, 2), 15);
	assert_null(modbus_fc_info(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_are_the_bytes_of_the_specification),
		cmocka_unit_test(quantities_and_addresses_have_their_limits_in_both_directions),
		cmocka_unit_test(a_read_write_has_two_quantities_and_two_ranges),
		cmocka_unit_test(requests_that_are_not_whole_are_refused),
		cmocka_unit_test(bits_past_the_quantity_are_cleared),
		cmocka_unit_test(answers_come_back_as_they_were_given),
		cmocka_unit_test(answers_to_something_else_are_refused),
		cmocka_unit_test(objects_come_back_as_they_were_appended),
		cmocka_unit_test(exceptions_are_two_bytes_with_a_text),
		cmocka_unit_test(the_first_frame_is_split_off),
		cmocka_unit_test(the_largest_frame_goes_both_ways),
		cmocka_unit_test(each_area_knows_its_functions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
