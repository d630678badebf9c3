#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "wire/mqtt_codec.h"

/* In memory of its size, at every place relative to the blocks that are read at once. */
static enum mqtt_text scan_at(const char *text, size_t len, size_t before, size_t behind)
{
	uint8_t *copy = malloc(before + len + behind + 1);
	enum mqtt_text rc;

	assert_non_null(copy);
	memset(copy, 'a', before + len + behind);
	memcpy(copy + before, text, len);
	rc = mqtt_text_scan(copy, before + len + behind);
	free(copy);
	return rc;
}

/* covers 3.1.1 [MQTT-1.5.3-1] [MQTT-1.5.3-2] [MQTT-1.5.3-3]; 5.0 [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.4-3] */
static void text_is_judged_at_every_offset(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		enum mqtt_text verdict;
	} table[] = {
		{"", 0, MQTT_TEXT_PLAIN},
		{"a", 1, MQTT_TEXT_PLAIN},
		{"\x01", 1, MQTT_TEXT_BAD}, /* control characters */
		{"\x1F", 1, MQTT_TEXT_BAD},
		{" ", 1, MQTT_TEXT_PLAIN},
		{"~", 1, MQTT_TEXT_PLAIN},
		{"\x7F", 1, MQTT_TEXT_BAD},
		{"\x00", 1, MQTT_TEXT_BAD},
		{"+", 1, MQTT_TEXT_WILD},
		{"#", 1, MQTT_TEXT_WILD},
		{"\"", 1, MQTT_TEXT_PLAIN}, /* the neighbours of the wildcards */
		{"$", 1, MQTT_TEXT_PLAIN},
		{"*", 1, MQTT_TEXT_PLAIN},
		{",", 1, MQTT_TEXT_PLAIN},
		{"\x80", 1, MQTT_TEXT_BAD},
		{"\xBF", 1, MQTT_TEXT_BAD},
		{"\xC2\x80", 2, MQTT_TEXT_BAD},       /* U+0080 */
		{"\xC2\x9F", 2, MQTT_TEXT_BAD},       /* U+009F */
		{"\xC2\xA0", 2, MQTT_TEXT_PLAIN},     /* U+00A0 */
		{"\xEF\xB7\x8F", 3, MQTT_TEXT_PLAIN}, /* U+FDCF */
		{"\xEF\xB7\x90", 3, MQTT_TEXT_BAD},   /* U+FDD0, a non-character */
		{"\xEF\xB7\xAF", 3, MQTT_TEXT_BAD},
		{"\xEF\xB7\xB0", 3, MQTT_TEXT_PLAIN},     /* U+FDF0 */
		{"\xEF\xBF\xBD", 3, MQTT_TEXT_PLAIN},     /* U+FFFD */
		{"\xEF\xBF\xBE", 3, MQTT_TEXT_BAD},       /* U+FFFE */
		{"\xF0\x9F\xBF\xBD", 4, MQTT_TEXT_PLAIN}, /* U+1FFFD */
		{"\xF0\x9F\xBF\xBE", 4, MQTT_TEXT_BAD},   /* U+1FFFE */
		{"\xF0\x9E\xBF\xBF", 4, MQTT_TEXT_PLAIN}, /* U+1EFFF */
		{"\xC1\xBF", 2, MQTT_TEXT_BAD},           /* U+007F, too long */
		{"\xC0\x80", 2, MQTT_TEXT_BAD},           /* U+0000, too long */
		{"\xC2", 1, MQTT_TEXT_BAD},
		{"\xC2\x7F", 2, MQTT_TEXT_BAD},
		{"\xC2\xC0", 2, MQTT_TEXT_BAD},
		{"\xDF\xBF", 2, MQTT_TEXT_PLAIN},     /* U+07FF */
		{"\xE0\xA0\x80", 3, MQTT_TEXT_PLAIN}, /* U+0800 */
		{"\xE0\x9F\xBF", 3, MQTT_TEXT_BAD},   /* U+07FF, too long */
		{"\xE2\x82", 2, MQTT_TEXT_BAD},
		{"\xE2\x82\x2B", 3, MQTT_TEXT_BAD},
		{"\xED\x9F\xBF", 3, MQTT_TEXT_PLAIN},     /* U+D7FF */
		{"\xED\xA0\x80", 3, MQTT_TEXT_BAD},       /* U+D800 [MQTT-1.5.4-1] */
		{"\xED\xBF\xBF", 3, MQTT_TEXT_BAD},       /* U+DFFF */
		{"\xEE\x80\x80", 3, MQTT_TEXT_PLAIN},     /* U+E000 */
		{"\xEF\xBB\xBF", 3, MQTT_TEXT_PLAIN},     /* U+FEFF stays what it is [MQTT-1.5.4-3] */
		{"\xEF\xBF\xBF", 3, MQTT_TEXT_BAD},       /* U+FFFF */
		{"\xF0\x90\x80\x80", 4, MQTT_TEXT_PLAIN}, /* U+10000 */
		{"\xF0\x8F\xBF\xBF", 4, MQTT_TEXT_BAD},   /* U+FFFF, too long */
		{"\xF0\x9F\x98", 3, MQTT_TEXT_BAD},
		{"\xF4\x8F\xBF\xBD", 4, MQTT_TEXT_PLAIN}, /* U+10FFFD */
		{"\xF4\x8F\xBF\xBF", 4, MQTT_TEXT_BAD},   /* U+10FFFF */
		{"\xF4\x90\x80\x80", 4, MQTT_TEXT_BAD},   /* U+110000 */
		{"\xF5\x80\x80\x80", 4, MQTT_TEXT_BAD},
		{"\xFE", 1, MQTT_TEXT_BAD},
		{"\xFF", 1, MQTT_TEXT_BAD},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (size_t before = 0; before < 20; before++)
			for (size_t behind = 0; behind < 20; behind++)
				if (scan_at(table[i].text, table[i].len, before, behind) != table[i].verdict)
					fail_msg("line %zu with %zu before and %zu behind", i, before,
						 behind);
}

static void a_wildcard_does_not_hide_what_comes_behind(void **state)
{
	(void)state;
	assert_int_equal(mqtt_text_scan((const uint8_t *)"+aaaaaaaaaaaaaa\xFF", 16), MQTT_TEXT_BAD);
	assert_int_equal(mqtt_text_scan((const uint8_t *)"\xC3\xA4+aaaaaaaaaaaa\0", 16), MQTT_TEXT_BAD);
}

static void strings_end_with_their_packet(void **state)
{
	static const uint8_t bytes[] = {0, 3, 'a', 'b', 'c', 0, 4, 'd', 'e', 'f'};
	struct rd r = rd_of(bytes, sizeof(bytes));
	struct span s;

	(void)state;
	assert_int_equal(mqtt_string_take(&r, &s), OK);
	assert_true(span_equal(s, span_str("abc")));
	assert_int_equal(mqtt_string_take(&r, &s), ERR_MALFORMED);
}

static void valid_text_is_what_the_scan_says(void **state)
{
	(void)state;
	assert_true(mqtt_utf8_valid(span_of(NULL, 0)));
	assert_true(mqtt_utf8_valid(span_str("a/+/#")));
	assert_false(mqtt_utf8_valid(span_of("a\0b", 3)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_is_judged_at_every_offset),
		cmocka_unit_test(a_wildcard_does_not_hide_what_comes_behind),
		cmocka_unit_test(strings_end_with_their_packet),
		cmocka_unit_test(valid_text_is_what_the_scan_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
