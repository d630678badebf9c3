#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/sub_output.h"

static struct mqtt_publish sample(void)
{
	return (struct mqtt_publish){
		.qos = 1, .packet_id = 7, .topic = span_str("a/topic"), .payload = span_str("hello")};
}

static int printed(const char *format, const struct mqtt_publish *m, char **text)
{
	struct sub_message s = {.m = m, .at = {.tv_sec = 1732272000, .tv_nsec = 1234567}};
	size_t size;
	FILE *f = open_memstream(text, &size);
	int rc = sub_format_print(f, format, &s);

	fclose(f);
	return rc;
}

static void fields_take_flags_widths_and_maximum_widths(void **state)
{
	static const struct {
		const char *format, *text;
	} cases[] = {
		{"", ""},
		{"plain", "plain"},
		{"%t %p", "a/topic hello"},
		{"%10t|%-10t|%.3t|%5.3t|%-5.3t|", "   a/topic|a/topic   |a/t|  a/t|a/t  |"},
		{"%07l|%-7l|%-07l|%0-7l|%7l", "0000005|5      |5      |5      |      5"},
		{"%m%q%r%%", "710%"},
		{"%x|%12X|%-12x|%012x", "68656c6c6f|  68656C6C6F|68656c6c6f  |0068656c6c6f"},
		{"%A%C%D%E%F%P%R%S", ""},
		{"%3A|%03E|%3C|", "   |000|   |"},
		{"\\n\\\\@@", "\n\\@"},
		{"%U @N", "1732272000.001234567 001234567"},
	};

	(void)state;
	setenv("TZ", "UTC", 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mqtt_publish m = sample();
		char *text = NULL;

		assert_int_equal(printed(cases[i].format, &m, &text), OK);
		assert_string_equal(text, cases[i].text);
		free(text);
	}
}

static void wrong_formats_are_told_with_their_place(void **state)
{
	static const struct {
		const char *format;
		long at; /* -1: it is right */
	} cases[] = {
		{"%", 1},       {"@", 1},
		{"\\", 1},      {"a%", 2},
		{"%Z", 1},      {"%5", 2},
		{"%5.", 3},     {"%-", 2},
		{"\\q", 1},     {"%10000t", -1},
		{"%10001t", 6}, {"%.10001t", 7},
		{"%t", -1},     {"%-05.3t@H\\0", -1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *bad = NULL;
		int rc = sub_format_check(cases[i].format, &bad);

		assert_int_equal(rc, cases[i].at < 0 ? OK : ERR_MALFORMED);
		if (rc < 0)
			assert_int_equal(bad - cases[i].format, cases[i].at);
	}
}

static void a_payload_of_the_wrong_kind_is_malformed(void **state)
{
	struct mqtt_publish m = sample();
	static const char *const formats[] = {"%J", "%d", "%f"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		char *text = NULL;

		assert_int_equal(printed(formats[i], &m, &text), ERR_MALFORMED);
		assert_string_equal(text, "");
		free(text);
	}
}

static void json_lines_say_text_or_base64(void **state)
{
	static const struct {
		const char *payload;
		size_t len;
		const char *json;
	} cases[] = {
		{"", 0, "\"payload\":\""},
		{"a\"b", 3, "\"payload\":\"a\\\"b\""},
		{"\xff", 1, "\"payload\":\"/w==\",\"encoding\":\"base64\""},
		{"\xff\xfe", 2, "\"payload\":\"//4=\",\"encoding\":\"base64\""},
		{"\xff\xfe\xfd", 3, "\"payload\":\"//79\",\"encoding\":\"base64\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mqtt_publish m = sample();
		struct sub_message s = {.m = &m, .at = {.tv_sec = 5, .tv_nsec = 7000000}};
		char *text = NULL;
		size_t size;
		FILE *f = open_memstream(&text, &size);

		m.payload = span_of(cases[i].payload, cases[i].len);
		assert_int_equal(sub_json_line(f, &s), OK);
		fclose(f);
		assert_memory_equal(text, "{\"ts\":5007,\"topic\":\"a/topic\",", 29);
		assert_non_null(strstr(text, cases[i].json));
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_take_flags_widths_and_maximum_widths),
		cmocka_unit_test(wrong_formats_are_told_with_their_place),
		cmocka_unit_test(a_payload_of_the_wrong_kind_is_malformed),
		cmocka_unit_test(json_lines_say_text_or_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
