#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/modbus_options.h"
#include "tools/modbus_text.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void words_become_values_of_the_type(void **state)
{
	static const struct {
		const char *text;
		enum value_type type;
		int rc;
		enum value_kind kind;
		uint64_t u;
	} cases[] = {
		{"1", VALUE_TYPE_BOOL, OK, VALUE_KIND_BOOL, 1},
		{"OFF", VALUE_TYPE_BOOL, OK, VALUE_KIND_BOOL, 0},
		{"true", VALUE_TYPE_BOOL, OK, VALUE_KIND_BOOL, 1},
		{"2", VALUE_TYPE_BOOL, ERR_MALFORMED, 0, 0},
		{"", VALUE_TYPE_BOOL, ERR_MALFORMED, 0, 0},
		{"010", VALUE_TYPE_INT16, OK, VALUE_KIND_UINT, 10},
		{"0x10", VALUE_TYPE_INT16, OK, VALUE_KIND_UINT, 16},
		{"-0x10", VALUE_TYPE_INT16, OK, VALUE_KIND_INT, (uint64_t)-16},
		{"18446744073709551615", VALUE_TYPE_UINT64, OK, VALUE_KIND_UINT, UINT64_MAX},
		{"18446744073709551616", VALUE_TYPE_UINT64, ERR_RANGE, 0, 0},
		{"-9223372036854775808", VALUE_TYPE_INT64, OK, VALUE_KIND_INT, (uint64_t)INT64_MIN},
		{"-9223372036854775809", VALUE_TYPE_INT64, ERR_RANGE, 0, 0},
		{"1.5", VALUE_TYPE_INT16, ERR_MALFORMED, 0, 0},
		{"", VALUE_TYPE_INT16, ERR_MALFORMED, 0, 0},
		{"-", VALUE_TYPE_INT16, ERR_MALFORMED, 0, 0},
		{" 1", VALUE_TYPE_INT16, ERR_MALFORMED, 0, 0},
		{"+1", VALUE_TYPE_INT16, ERR_MALFORMED, 0, 0},
		{"1 ", VALUE_TYPE_INT16, ERR_MALFORMED, 0, 0},
		{"0x", VALUE_TYPE_INT16, ERR_MALFORMED, 0, 0},
		{".", VALUE_TYPE_INT16, ERR_MALFORMED, 0, 0},
		{".", VALUE_TYPE_FLOAT32, ERR_MALFORMED, 0, 0},
		{"nan", VALUE_TYPE_FLOAT32, ERR_MALFORMED, 0, 0},
		{"1e999", VALUE_TYPE_FLOAT64, ERR_RANGE, 0, 0},
		{"1e3x", VALUE_TYPE_FLOAT64, ERR_MALFORMED, 0, 0},
	};
	struct modbus_value v;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct modbus_format f = {.type = cases[i].type};

		assert_int_equal(modbus_text_parse(cases[i].text, &f, &v), cases[i].rc);
		if (cases[i].rc < 0)
			continue;
		assert_int_equal(v.kind, cases[i].kind);
		if (v.kind == VALUE_KIND_BOOL)
			assert_int_equal(v.b, cases[i].u);
		else
			assert_true(v.u == cases[i].u);
	}
	assert_int_equal(modbus_text_parse("-.5e1", &(struct modbus_format){.type = VALUE_TYPE_FLOAT64}, &v),
			 OK);
	assert_true(v.f == -5);
}

static void hexadecimal_digits_become_bytes(void **state)
{
	const struct modbus_format f = {.type = VALUE_TYPE_BYTES, .length = 2};
	char longest[2 * VALUE_BYTES_MAX + 3];
	struct modbus_value v;

	(void)state;
	assert_int_equal(modbus_text_parse("00aF", &f, &v), OK);
	assert_int_equal(v.len, 2);
	assert_memory_equal(v.bytes, "\x00\xaf", 2);
	assert_int_equal(modbus_text_parse("00a", &f, &v), ERR_MALFORMED);
	assert_int_equal(modbus_text_parse("0g", &f, &v), ERR_MALFORMED);
	memset(longest, '0', sizeof(longest));
	longest[2 * VALUE_BYTES_MAX + 2] = 0;
	assert_int_equal(modbus_text_parse(longest, &f, &v), ERR_RANGE);
	assert_int_equal(modbus_text_parse(longest, &(struct modbus_format){.type = VALUE_TYPE_STRING}, &v),
			 ERR_RANGE);
	longest[2 * VALUE_BYTES_MAX] = 0;
	assert_int_equal(modbus_text_parse(longest, &f, &v), OK);
}

static void assert_prints(struct modbus_value v, bool is_single, const char *text, const char *json)
{
	char *buf = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&buf, &size);

	assert_non_null(f);
	modbus_text_print(f, &v, is_single);
	fputc('|', f);
	modbus_text_print_json(f, &v, is_single);
	fclose(f);
	assert_memory_equal(buf, text, strlen(text));
	assert_int_equal(buf[strlen(text)], '|');
	assert_string_equal(buf + strlen(text) + 1, json);
	free(buf);
}

static struct modbus_value text_of(enum value_kind kind, const char *bytes, size_t len)
{
	struct modbus_value v = {.kind = kind, .len = len};

	memcpy(v.bytes, bytes, len);
	return v;
}

#define FLOAT(x)      ((struct modbus_value){.kind = VALUE_KIND_FLOAT, .f = (x)})
#define STRING(bytes) text_of(VALUE_KIND_STRING, bytes, sizeof(bytes) - 1)

static void values_are_printed_for_people_and_programs(void **state)
{
	(void)state;
	assert_prints((struct modbus_value){.kind = VALUE_KIND_BOOL, .b = true}, false, "1", "true");
	assert_prints((struct modbus_value){.kind = VALUE_KIND_INT, .i = INT64_MIN}, false,
		      "-9223372036854775808", "-9223372036854775808");
	assert_prints((struct modbus_value){.kind = VALUE_KIND_UINT, .u = UINT64_MAX}, false,
		      "18446744073709551615", "18446744073709551615");
	assert_prints(FLOAT(0.1), false, "0.1", "0.1");
	assert_prints(FLOAT((double)0.1f), true, "0.1", "0.1");
	assert_prints(FLOAT((double)16777217.0f), true, "16777216", "16777216");
	assert_prints(FLOAT(DBL_MAX), false, "1.7976931348623157e+308", "1.7976931348623157e+308");
	assert_prints(FLOAT(NAN), false, "nan", "null");
	assert_prints(FLOAT(-INFINITY), true, "-inf", "null");
	assert_prints(text_of(VALUE_KIND_BYTES, "\x00\xff", 2), false, "00ff", "\"00ff\"");
	assert_prints((struct modbus_value){.kind = VALUE_KIND_TIME, .time = 1795341600250}, false,
		      "2026-11-22T10:00:00.250Z", "\"2026-11-22T10:00:00.250Z\"");
	assert_prints(STRING("a\"\\b"), false, "a\"\\b", "\"a\\\"\\\\b\"");
	assert_prints(STRING("\x1b[2J\x7f"), false, "\\x1b[2J\\x7f", "\"\\u001b[2J\x7f\"");
	assert_prints(STRING("\xc2\xb0"
			     "C\xff"),
		      false,
		      "\xc2\xb0"
		      "C\\xff",
		      "\"\xc2\xb0"
		      "C\\ufffd\"");
}

static void times_have_units(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t ms;
	} cases[] = {
		{"500ms", OK, 500},        {"2s", OK, 2000},          {"1.5", OK, 1500},
		{"1min", OK, 60000},       {"24h", OK, 86400000},     {"24.1h", ERR_RANGE, 0},
		{"0", ERR_RANGE, 0},       {"0.4ms", ERR_RANGE, 0},   {"", ERR_MALFORMED, 0},
		{"-1s", ERR_MALFORMED, 0}, {"1 s", ERR_MALFORMED, 0}, {"1d", ERR_MALFORMED, 0},
		{"inf", ERR_MALFORMED, 0}, {"1e99s", ERR_RANGE, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t ms = 0;

		assert_int_equal(modbus_parse_time(cases[i].text, &ms), cases[i].rc);
		assert_int_equal(ms, cases[i].ms);
	}
}

static void hosts_come_with_and_without_a_port(void **state)
{
	static const struct {
		const char *text;
		int rc;
		const char *host;
		uint16_t port;
	} cases[] = {
		{"plc", OK, "plc", 502},
		{"plc:1502", OK, "plc", 1502},
		{"10.0.0.1:65535", OK, "10.0.0.1", 65535},
		{"::1", OK, "::1", 502},
		{"[::1]", OK, "::1", 502},
		{"[::1]:1502", OK, "::1", 1502},
		{"plc:", ERR_MALFORMED, "", 0},
		{"plc:65536", ERR_MALFORMED, "", 0},
		{"plc:0", ERR_MALFORMED, "", 0},
		{"plc:x", ERR_MALFORMED, "", 0},
		{":502", ERR_MALFORMED, "", 0},
		{"", ERR_MALFORMED, "", 0},
		{"[::1", ERR_MALFORMED, "", 0},
		{"[::1]x", ERR_MALFORMED, "", 0},
		{"[]:502", ERR_MALFORMED, "", 0},
	};
	char host[MODBUS_HOST_MAX], longest[MODBUS_HOST_MAX + 1];
	uint16_t port;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		port = 502;
		assert_int_equal(modbus_parse_host(cases[i].text, host, &port), cases[i].rc);
		if (cases[i].rc < 0)
			continue;
		assert_string_equal(host, cases[i].host);
		assert_int_equal(port, cases[i].port);
	}
	memset(longest, 'a', sizeof(longest));
	longest[MODBUS_HOST_MAX] = 0;
	assert_int_equal(modbus_parse_host(longest, host, &port), ERR_MALFORMED);
	longest[MODBUS_HOST_MAX - 1] = 0;
	assert_int_equal(modbus_parse_host(longest, host, &port), OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_become_values_of_the_type),
		cmocka_unit_test(hexadecimal_digits_become_bytes),
		cmocka_unit_test(values_are_printed_for_people_and_programs),
		cmocka_unit_test(times_have_units),
		cmocka_unit_test(hosts_come_with_and_without_a_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
