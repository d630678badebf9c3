#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools/modbus_frame.h"
#include "wire/modbus_rtu.h"

#define P(...)                                                                         \
	{                                                                              \
		(const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}) \
	}

static const struct {
	enum modbus_frame_kind kind;
	struct span pdu;
	const char *text;
} frames[] = {
	{MODBUS_FRAME_REQUEST, P(3, 0, 7, 0, 10), "read holding registers: 10 from 7"},
	{MODBUS_FRAME_ANSWER, P(3, 4, 0, 1, 0, 2), "read holding registers: 2 registers"},
	{MODBUS_FRAME_ANSWER, P(3, 5, 0, 1, 0, 2), "read holding registers: answer of a wrong length"},
	{MODBUS_FRAME_ANSWER, P(1, 1, 3), "read coils: 8 bits at the most"},
	{MODBUS_FRAME_ANSWER, P(0x83, 2), "read holding registers: exception 2, illegal data address"},
	{MODBUS_FRAME_ANY, P(0x83, 2), "read holding registers: exception 2, illegal data address"},
	{MODBUS_FRAME_ANSWER, P(0xC8, 1), "unknown function: exception 1, illegal function"},
	{MODBUS_FRAME_REQUEST, P(5, 0, 9, 0xFF, 0), "write single coil: on to 9"},
	{MODBUS_FRAME_ANSWER, P(5, 0, 9, 0, 0), "write single coil: off to 9"},
	{MODBUS_FRAME_ANSWER, P(6, 0, 9, 0x12, 0x67), "write single register: 4711 to 9"},
	{MODBUS_FRAME_REQUEST, P(16, 0, 9, 0, 1, 2, 0, 5), "write multiple registers: 1 from 9"},
	{MODBUS_FRAME_ANSWER, P(16, 0, 9, 0, 1), "write multiple registers: 1 from 9"},
	{MODBUS_FRAME_REQUEST, P(22, 0, 4, 0, 0xF2, 0, 0x25), "mask write register: and 00f2 or 0025 at 4"},
	{MODBUS_FRAME_REQUEST, P(23, 0, 3, 0, 6, 0, 14, 0, 1, 2, 0, 255),
	 "read/write multiple registers: 6 from 3, and write 1 from 14"},
	{MODBUS_FRAME_ANSWER, P(23, 2, 0, 1), "read/write multiple registers: 1 register"},
	{MODBUS_FRAME_ANY, P(3, 0, 7, 0, 10), "read holding registers"},
	{MODBUS_FRAME_REQUEST, P(3, 0), "read holding registers"},
	{MODBUS_FRAME_ANSWER, P(16, 0), "write multiple registers"},
	{MODBUS_FRAME_REQUEST, P(0x2B, 14, 1, 0), "read device identification"},
	{MODBUS_FRAME_REQUEST, P(99), "function 99"},
};

static void every_function_is_told_in_every_framing(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		struct modbus_frame_text t;
		uint8_t frame[MODBUS_ASCII_MAX];
		size_t len = 0;

		assert_int_equal(modbus_rtu_encode(17, frames[i].pdu, frame, sizeof(frame), &len), OK);
		modbus_frame_read(MODBUS_FRAMING_RTU, frames[i].kind, span_of(frame, len), &t);
		assert_string_equal(t.text, frames[i].text);
		assert_int_equal(t.unit, 17);
		assert_int_equal(modbus_ascii_encode(17, frames[i].pdu, frame, sizeof(frame), &len), OK);
		modbus_frame_read(MODBUS_FRAMING_ASCII, frames[i].kind, span_of(frame, len), &t);
		assert_string_equal(t.text, frames[i].text);
		assert_int_equal(t.unit, 17);
		assert_int_equal(modbus_adu_encode(5, 17, frames[i].pdu, frame, sizeof(frame), &len), OK);
		modbus_frame_read(MODBUS_FRAMING_TCP, frames[i].kind, span_of(frame, len), &t);
		assert_string_equal(t.text, frames[i].text);
		assert_int_equal(t.unit, 17);
	}
}

static void what_is_no_whole_frame_says_nothing(void **state)
{
	static const uint8_t broken[] = {1, 3, 0, 0, 0, 10, 0xC5, 0xCE};

	(void)state;
	for (size_t n = 0; n <= sizeof(broken); n++) {
		for (int f = MODBUS_FRAMING_TCP; f <= MODBUS_FRAMING_ASCII; f++) {
			struct modbus_frame_text t;

			modbus_frame_read((enum modbus_framing)f, MODBUS_FRAME_ANSWER, span_of(broken, n),
					  &t);
			assert_int_equal(t.unit, -1);
			assert_string_equal(t.text, "");
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_function_is_told_in_every_framing),
		cmocka_unit_test(what_is_no_whole_frame_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
