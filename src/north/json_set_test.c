#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "north/json.h"

static int decode(const char *text, struct set_command *out, char *fault)
{
	return json_set_decode(span_str(text), out, fault);
}

static void commands_are_scalars_or_objects(void **state)
{
	const struct {
		const char *payload;
		struct tag_value value;
		const char *id;
	} cases[] = {
		{"23.5", tag_double(23.5), NULL},
		{" 7 ", tag_int(7), NULL},
		{"-0.0", tag_double(-0.0), NULL},
		{"true", tag_bool(true), NULL},
		{"\"on\"", tag_string(span_str("on")), NULL},
		{"{\"value\":23.5,\"id\":\"a1\"}", tag_double(23.5), "a1"},
		{"{\"id\":\"\",\"value\":false}", tag_bool(false), ""},
		{"{\"value\":\"\"}", tag_string(span_str("")), NULL},
		{"9007199254740993", tag_int(9007199254740993), NULL},
		{"-9223372036854775808", tag_int(INT64_MIN), NULL},
		{"\"\\u00e4\\ud83d\\ude00\\n\\/\"", tag_string(span_str("ä😀\n/")), NULL},
		{"1E-400", tag_double(0), NULL},
		{"9223372036854775807", tag_int(INT64_MAX), NULL},
		{"9223372036854775808", tag_uint(9223372036854775808u), NULL},
		{"18446744073709551615", tag_uint(UINT64_MAX), NULL},
		{"{\"value\":18446744073709551615,\"id\":\"99999999999999999999\"}", tag_uint(UINT64_MAX),
		 "99999999999999999999"},
		{"{\"id\":\"x\",\"value\": 18446744073709551614 }", tag_uint(UINT64_MAX - 1), "x"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char fault[SET_FAULT_MAX];
		struct set_command c;

		assert_int_equal(decode(cases[i].payload, &c, fault), OK);
		assert_int_equal(c.value.kind, cases[i].value.kind);
		assert_true(tag_value_equal(&c.value, &cases[i].value));
		assert_int_equal(c.has_id, cases[i].id != NULL);
		if (cases[i].id)
			assert_string_equal(c.id, cases[i].id);
	}
}

static void what_is_no_command_is_refused_with_a_sentence(void **state)
{
	static const struct {
		const char *payload;
		int rc;
		const char *fault;
	} cases[] = {
		{"", ERR_MALFORMED, "value must be"},
		{"on", ERR_MALFORMED, "not JSON"},
		{"null", ERR_MALFORMED, "value must be"},
		{"-", ERR_MALFORMED, "value must be"},
		{"1.", ERR_MALFORMED, "value must be"},
		{"1e", ERR_MALFORMED, "value must be"},
		{"\"\\ud83d\"", ERR_MALFORMED, "escape"},
		{"\"\\ude00\"", ERR_MALFORMED, "escape"},
		{"\"\\x\"", ERR_MALFORMED, "escape"},
		{"\"abc", ERR_MALFORMED, "does not end"},
		{"{\"value\":1", ERR_MALFORMED, "brace"},
		{"{\"value\":1,}", ERR_MALFORMED, "key in quotes"},
		{"{\"value\" 1}", ERR_MALFORMED, "colon"},
		{"[1]", ERR_MALFORMED, "value must be"},
		{"{}", ERR_MALFORMED, "missing"},
		{"{\"value\":null}", ERR_MALFORMED, "value must be"},
		{"{\"value\":{\"value\":1}}", ERR_MALFORMED, "value must be"},
		{"{\"value\":1,\"value\":2}", ERR_MALFORMED, "duplicate"},
		{"{\"value\":1,\"Id\":\"a\"}", ERR_MALFORMED, "unknown key \"Id\""},
		{"{\"value\":1,\"id\":7}", ERR_MALFORMED, "id must be"},
		{"{\"value\":1} x", ERR_MALFORMED, "not JSON"},
		{"01", ERR_MALFORMED, "not JSON"},
		{"NaN", ERR_MALFORMED, "not JSON"},
		{"\"a\\u0000b\"", ERR_MALFORMED, "not JSON"},
		{"\"\xff\"", ERR_MALFORMED, "not JSON"},
		{"18446744073709551616", ERR_RANGE, "beyond 64 bits"},
		{"-9223372036854775809", ERR_RANGE, "beyond 64 bits"},
		{"1e999", ERR_RANGE, "beyond 64 bits"},
		{"{\"value\":2.5,\"x\":18446744073709551615}", ERR_MALFORMED, "unknown key"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char fault[SET_FAULT_MAX];
		struct set_command c;

		assert_int_equal(decode(cases[i].payload, &c, fault), cases[i].rc);
		if (!strstr(fault, cases[i].fault))
			fail_msg("%s: fault is %s", cases[i].payload, fault);
	}
}

static void the_id_is_known_even_when_the_rest_is_wrong(void **state)
{
	static const struct {
		const char *payload;
		int rc;
		const char *id; /* NULL: none can be told */
	} cases[] = {
		{"{\"id\":\"a1\",\"value\":[]}", ERR_MALFORMED, "a1"},
		{"{\"value\":null,\"id\":\"a1\"}", ERR_MALFORMED, "a1"},
		{"{\"value\":18446744073709551616,\"id\":\"a1\"}", ERR_RANGE, "a1"},
		{"{ \"value\" : {\"id\":\"no\",\"x\":[1,{}]} , \"id\" : \"a1\" }", ERR_MALFORMED, "a1"},
		{"{\"value\":\"\\x,\\\"}\",\"id\":\"a1\"}", ERR_MALFORMED, "a1"},
		{"{\"val\":5,\"id\":\"a1\"}", ERR_MALFORMED, "a1"},
		{"{\"a key of more than thirty-two characters\":5,\"id\":\"a1\"}", ERR_MALFORMED, "a1"},
		{"{\"id\":\"a1\",\"id\":\"a2\",\"value\":1}", ERR_MALFORMED, "a1"},
		{"{\"value\":[\"id\",\"a1\"]}", ERR_MALFORMED, NULL},
		{"{\"value\":{\"id\":\"a1\"}}", ERR_MALFORMED, NULL},
		{"{\"value\":null,\"id\":7}", ERR_MALFORMED, NULL},
		{"{\"value\":null,\"id\":\"a1", ERR_MALFORMED, NULL},
		{"{\"value\":\"\\", ERR_MALFORMED, NULL},
		{"{\"value\":null,", ERR_MALFORMED, NULL},
		{"{\"\\u  ", ERR_MALFORMED, NULL}, /* an escape cut short, and more to skip */
		{"{\"value\":null]],\"id\":\"a1\"}", ERR_MALFORMED, "a1"},
	};
	char fault[SET_FAULT_MAX];
	struct set_command c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(decode(cases[i].payload, &c, fault), cases[i].rc);
		if (c.has_id != (cases[i].id != NULL))
			fail_msg("%s: has_id is %d", cases[i].payload, c.has_id);
		if (cases[i].id)
			assert_string_equal(c.id, cases[i].id);
	}
}

static void lengths_are_bounded_at_the_edge(void **state)
{
	static char payload[SET_PAYLOAD_MAX + 2];
	char fault[SET_FAULT_MAX];
	struct set_command c;

	(void)state;
	memset(payload, ' ', sizeof(payload));
	payload[0] = '1';
	assert_int_equal(json_set_decode(span_of(payload, SET_PAYLOAD_MAX), &c, fault), OK);
	assert_int_equal(json_set_decode(span_of(payload, SET_PAYLOAD_MAX + 1), &c, fault), ERR_TOO_LARGE);
	memset(payload, 'x', sizeof(payload));
	payload[0] = '"';
	payload[SET_TEXT_MAX + 1] = '"';
	assert_int_equal(json_set_decode(span_of(payload, SET_TEXT_MAX + 2), &c, fault), OK);
	assert_int_equal(c.value.s.len, SET_TEXT_MAX);
	payload[SET_TEXT_MAX + 1] = 'x';
	payload[SET_TEXT_MAX + 2] = '"';
	assert_int_equal(json_set_decode(span_of(payload, SET_TEXT_MAX + 3), &c, fault), ERR_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_scalars_or_objects),
		cmocka_unit_test(what_is_no_command_is_refused_with_a_sentence),
		cmocka_unit_test(the_id_is_known_even_when_the_rest_is_wrong),
		cmocka_unit_test(lengths_are_bounded_at_the_edge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
