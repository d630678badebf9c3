#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "wire/mqtt.h"

static void names_hold_no_wildcards(void **state)
{
	static const struct {
		const char *topic;
		bool valid;
	} table[] = {{"a", true},    {"/", true},  {"a/b c/", true}, {"$SYS/x", true}, {"", false},
		     {"a/+", false}, {"#", false}, {"a#", false},    {"a+b", false}};
	char *large = malloc(65536);

	(void)state;
	assert_non_null(large);
	memset(large, 'a', 65536);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		assert_int_equal(mqtt_topic_valid(span_str(table[i].topic)), table[i].valid);
	assert_false(mqtt_topic_valid(span_of("a\0b", 3)));
	assert_true(mqtt_topic_valid(span_of(large, 65535)));
	assert_false(mqtt_topic_valid(span_of(large, 65536)));
	assert_true(mqtt_filter_valid(span_of(large, 65535)));
	assert_false(mqtt_filter_valid(span_of(large, 65536)));
	free(large);
}

/* covers 3.1.1 [MQTT-4.7.1-2] [MQTT-4.7.1-3]; 5.0 [MQTT-4.7.1-1] [MQTT-4.7.1-2] */
static void wildcards_stand_alone_in_their_level(void **state)
{
	static const struct {
		const char *filter;
		bool valid;
	} table[] = {
		{"a", true},
		{"#", true},
		{"+", true},
		{"/", true},
		{"//", true},
		{"a/#", true},
		{"+/+", true},
		{"/+", true},
		{"+/", true},
		{"+/a/#", true},
		{"a/+/b", true},
		{"$SYS/#", true},
		{"", false},
		{"a#", false},
		{"a/#/b", false},
		{"#/", false},
		{"##", false},
		{"+#", false},
		{"#+", false},
		{"a+", false},
		{"+a", false},
		{"a/b+/c", false},
		{"a/+b/c", false},
		{"++", false},
		{"$share", true}, /* an ordinary filter of one level */
		{"$sharex/g", true},
		{"$share/", false},
		{"$share//a", false},
		{"$share/g", false},
		{"$share/g/", false},
		{"$share/g/a", true},
		{"$share/g//", true},
		{"$share/g/#", true},
		{"$share/g/a/#/b", false},
		{"$share/+/a", false},
		{"$share/g#/a", false},
		{"$share/$share/g/a", true}, /* the group $share and the filter g/a */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (mqtt_filter_valid(span_str(table[i].filter)) != table[i].valid)
			fail_msg("%s", table[i].filter);
	assert_false(mqtt_filter_valid(span_of("a\0b", 3)));
	assert_false(mqtt_filter_valid(span_of("$share/g\0/a", 11)));
	assert_false(mqtt_filter_valid(span_of("$share/g/a\0", 11)));
}

/* covers 5.0 [MQTT-4.8.2-1] [MQTT-4.8.2-2] */
static void a_shared_filter_is_taken_apart(void **state)
{
	struct span group, rest;

	(void)state;
	assert_true(mqtt_filter_shared(span_str("$share/group/a/+/#"), &group, &rest));
	assert_true(span_equal(group, span_str("group")));
	assert_true(span_equal(rest, span_str("a/+/#")));
	assert_true(mqtt_filter_shared(span_str("$share/g//"), &group, &rest));
	assert_true(span_equal(rest, span_str("/")));
	assert_false(mqtt_filter_shared(span_str("a/b"), &group, &rest));
	assert_false(mqtt_filter_shared(span_str("$share"), &group, &rest));
	assert_false(mqtt_filter_shared(span_str("$Share/g/a"), &group, &rest));
}

/* covers 3.1.1 [MQTT-4.7.2-1] [MQTT-4.7.3-4]; 5.0 [MQTT-4.7.2-1] [MQTT-4.7.3-4] */
static void filters_match_level_by_level(void **state)
{
	static const struct {
		const char *filter, *topic;
		bool match;
	} table[] = {
		{"a", "a", true},           {"a", "b", false},
		{"a", "A", false},          {"a", "aa", false},
		{"aa", "a", false},         {"a", "/a", false},
		{"a/", "a", false},         {"a", "a/", false},
		{"a/b", "a/b", true},       {"a/b", "a/b/c", false},
		{"a/b/c", "a/b", false},    {"#", "a", true},
		{"#", "/", true},           {"#", "a/b/c", true},
		{"a/#", "a", true}, /* the parent level too */
		{"a/#", "a/", true},        {"a/#", "a/b/c", true},
		{"a/#", "ab", false},       {"a/#", "b/c", false},
		{"/#", "/", true},          {"/#", "a", false},
		{"+", "a", true},           {"+", "/", false},
		{"+", "/a", false},         {"+/+", "/a", true},
		{"/+", "/a", true},         {"/+", "/", true},
		{"+/", "a/", true},         {"+/", "a", false},
		{"+/", "a/b", false},       {"a/+", "a", false},
		{"a/+", "a/", true},        {"a/+", "a/b", true},
		{"a/+", "a/b/c", false},    {"a/+/c", "a//c", true},
		{"a/+/c", "a/b/c", true},   {"a/+/c", "a/b/d", false},
		{"a/+/#", "a/b", true},     {"a/+/#", "a", false},
		{"+/#", "a", true},         {"+/b/#", "a/b", true},
		{"#", "$SYS/x", false}, /* [MQTT-4.7.2-1] */
		{"+/x", "$SYS/x", false},   {"+", "$SYS", false},
		{"$SYS/#", "$SYS/x", true}, {"$SYS/#", "$SYS", true},
		{"$SYS/+", "$SYS/x", true}, {"a/#", "a/$x", true}, /* only in front is $ special */
		{"a/+", "a/$x", true},      {"a/b/", "a/b/", true},
		{"//", "//", true},         {"//", "/", false},
		{"/", "//", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (mqtt_filter_matches(span_str(table[i].filter), span_str(table[i].topic)) !=
		    table[i].match)
			fail_msg("%s and %s", table[i].filter, table[i].topic);
}

static void levels_are_slashes_and_one(void **state)
{
	(void)state;
	assert_int_equal(mqtt_topic_levels(span_str("a")), 1);
	assert_int_equal(mqtt_topic_levels(span_str("/")), 2);
	assert_int_equal(mqtt_topic_levels(span_str("a/b/c")), 3);
	assert_int_equal(mqtt_topic_levels(span_str("a/b/c/")), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_hold_no_wildcards),
		cmocka_unit_test(wildcards_stand_alone_in_their_level),
		cmocka_unit_test(a_shared_filter_is_taken_apart),
		cmocka_unit_test(filters_match_level_by_level),
		cmocka_unit_test(levels_are_slashes_and_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
