#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/text_template.h"

static const char *const names[TOPIC_NAMES] = {"site/p1", "gw", "line", "dev", "fast", "t.x"};

static void a_topic_is_expanded(void **state)
{
	static const struct {
		const char *template, *topic, *filter;
	} rows[] = {
		{"${root}/${device}/${tag}", "site/p1/dev/t.x", "site/p1/+/+"},
		{"a/${gateway}/${line}-${device}/x${group}y/${tag}", "a/gw/line-dev/xfasty/t.x",
		 "a/gw/+/+/+"},
		{"plain", "plain", "plain"},
		{"p-${tag}/q", "p-t.x/q", "+/q"},
		{"${tag}${device}/r${root}", "t.xdev/rsite/p1", "+/rsite/p1"},
		{"a$$b/${group}", "a$b/fast", "a$b/+"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char buf[64];

		assert_int_equal(topic_template_expand(rows[i].template, names, buf, sizeof(buf)),
				 strlen(rows[i].topic));
		assert_string_equal(buf, rows[i].topic);
		assert_int_equal(topic_template_filter(rows[i].template, names, buf, sizeof(buf)),
				 strlen(rows[i].filter));
		assert_string_equal(buf, rows[i].filter);
	}
}

static void what_does_not_fit_is_none(void **state)
{
	char buf[8];

	(void)state;
	assert_int_equal(topic_template_expand("1234567", names, buf, sizeof(buf)), 7);
	assert_int_equal(topic_template_expand("12345678", names, buf, sizeof(buf)), 0);
	assert_int_equal(topic_template_expand("${root}/", names, buf, sizeof(buf)), 0);
	assert_int_equal(topic_template_filter("12345678", names, buf, sizeof(buf)), 0);
}

static void what_is_no_name_stops_a_template(void **state)
{
	static const struct {
		const char *template, *rest;
	} rows[] = {
		{"a/${tag}", ""}, {"a/${tags}", "${tags}"}, {"a/${tag", "${tag"},
		{"$", "$"},       {"${}", "${}"},           {"$x", "$x"},
		{"$$", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *at = rows[i].template;
		struct template_part part;

		while (template_next(&at, topic_template_names, &part))
			;
		assert_string_equal(at, rows[i].rest);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_topic_is_expanded),
		cmocka_unit_test(what_does_not_fit_is_none),
		cmocka_unit_test(what_is_no_name_stops_a_template),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
