/* The pure parts of uplinks: names of topics, late records, echoes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "uplinks/echo.h"
#include "uplinks/historical.h"
#include "uplinks/remap.h"

/* ---- remap ---- */

static void topics_are_renamed(void **state)
{
	static const struct {
		const char *strip, *prefix, *template, *topic, *becomes;
	} cases[] = {
		{NULL, NULL, NULL, "plant1/meter/voltage", "plant1/meter/voltage"},
		{"plant1/", NULL, NULL, "plant1/meter/voltage", "meter/voltage"},
		{"plant1/", "site/a/", NULL, "plant1/meter/voltage", "site/a/meter/voltage"},
		{"plant1/", NULL, NULL, "plant10/meter", "plant10/meter"}, /* does not begin with it */
		{"plant1/", NULL, NULL, "plant1/", NULL},                  /* nothing is left */
		{"longer/than/it", NULL, NULL, "longer", "longer"},
		{NULL, "x/", NULL, "a", "x/a"},
		{NULL, NULL, "factory/{2}/{3+}", "a/b/c/d", "factory/b/c/d"},
		{NULL, NULL, "factory/{2}/{3+}", "a/b/c", "factory/b/c"},
		{NULL, NULL, "factory/{2}/{3+}", "a/b", NULL},
		{NULL, NULL, "{3}/{2}/{1}", "a/b/c", "c/b/a"},
		{NULL, NULL, "all/{topic}", "a/b", "all/a/b"},
		{NULL, NULL, "{8}", "1/2/3/4/5/6/7/8", "8"},
		{NULL, NULL, "{8}", "1/2/3/4/5/6/7", NULL},
		{NULL, NULL, "{1}/x", "/b", "/x"}, /* an empty level is one */
		{NULL, NULL, "{2}", "a/", NULL},
		{NULL, NULL, "fixed", "a/b", "fixed"},
	};
	static uint8_t buf[REMAP_TOPIC_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct config_uplink_map map = {
			.strip = cases[i].strip, .prefix = cases[i].prefix, .template = cases[i].template};
		struct span out;
		int rc = remap_topic(&map, span_str(cases[i].topic), buf, &out);

		print_message("# %s\n", cases[i].topic);
		assert_int_equal(rc == OK, cases[i].becomes != NULL);
		if (cases[i].becomes)
			assert_true(span_equal(out, span_str(cases[i].becomes)));
	}
}

static void a_topic_that_grows_beyond_all_bounds_is_none(void **state)
{
	static uint8_t buf[REMAP_TOPIC_MAX], topic[REMAP_TOPIC_MAX];
	const struct config_uplink_map twice = {.template = "{topic}{topic}"}, longer = {.prefix = "x"},
				       same = {0};
	struct span out;

	(void)state;
	memset(topic, 't', sizeof(topic));
	assert_int_equal(remap_topic(&twice, span_of(topic, 40000), buf, &out), ERR_TOPIC);
	assert_int_equal(remap_topic(&longer, span_of(topic, sizeof(topic)), buf, &out), ERR_TOPIC);
	assert_int_equal(remap_topic(&same, span_of(topic, sizeof(topic)), buf, &out), OK);
}

static void the_first_filter_that_matches_counts(void **state)
{
	const struct config_uplink_map maps[] = {{.filter = "a/+"}, {.filter = "a/#"}, {.filter = "$SYS/#"}};

	(void)state;
	assert_ptr_equal(remap_find(maps, 3, span_str("a/b")), &maps[0]);
	assert_ptr_equal(remap_find(maps, 3, span_str("a/b/c")), &maps[1]);
	assert_ptr_equal(remap_find(maps, 3, span_str("$SYS/x")), &maps[2]);
	assert_null(remap_find(maps, 3, span_str("b")));
	assert_null(remap_find(NULL, 0, span_str("b")));
}

/* ---- historical ---- */

#define NOW INT64_C(1800000000000)

static void only_objects_with_an_integer_ts_are_edited(void **state)
{
	static const struct {
		const char *json;
		int64_t ts; /* -1: not found */
		const char *becomes;
	} cases[] = {
		{"{\"ts\":5}", 5, "{\"ts\":5,\"historical\":true}"},
		{" { \"value\" : 1.50 , \"ts\" : 1700000000000 } \n", 1700000000000,
		 " { \"value\" : 1.50 , \"ts\" : 1700000000000 ,\"historical\":true} \n"},
		{"{\"ts\":1,\"ts\":2}", 2, "{\"ts\":1,\"ts\":2,\"historical\":true}"},
		{"{\"ts\":-12}", -12, "{\"ts\":-12,\"historical\":true}"},
		{"{\"a\":{\"ts\":1},\"ts\":2,\"b\":[{},[],{\"historical\":1}]}", 2,
		 "{\"a\":{\"ts\":1},\"ts\":2,\"b\":[{},[],{\"historical\":1}],\"historical\":true}"},
		{"{\"ts\":999999999999999999}", 999999999999999999,
		 "{\"ts\":999999999999999999,\"historical\":true}"},
		{"{\"s\":\"\\u00e9\\\"\\\\}\",\"ts\":1}", 1,
		 "{\"s\":\"\\u00e9\\\"\\\\}\",\"ts\":1,\"historical\":true}"},
		{"{\"ts\":1,\"historical\":false}", -1, NULL},
		{"{\"ts\":1,\"ts\":\"x\"}", -1, NULL}, /* the last one counts */
		{"{\"ts\":1.0}", -1, NULL},
		{"{\"ts\":1e3}", -1, NULL},
		{"{\"ts\":\"1\"}", -1, NULL},
		{"{\"ts\":null}", -1, NULL},
		{"{\"ts\":01}", -1, NULL},
		{"{\"ts\":1000000000000000000}", -1, NULL}, /* one digit too many */
		{"{\"ts\":1,}", -1, NULL},
		{"{,\"ts\":1}", -1, NULL},
		{"{\"ts\":1", -1, NULL},
		{"{\"ts\":1}}", -1, NULL},
		{"{\"ts\":1} x", -1, NULL},
		{"{\"ts\":1,\"a\":[1,]}", -1, NULL},
		{"{\"ts\":1,\"a\":[}", -1, NULL},
		{"{\"ts\":1,\"a\":[1}", -1, NULL},
		{"{\"ts\":1,\"a\":tru}", -1, NULL},
		{"{\"ts\":1,\"a\":\"\x01\"}", -1, NULL},
		{"{\"ts\":1,\"a\":\"\\x\"}", -1, NULL},
		{"{\"ts\":1,\"a\":\"\\u12g4\"}", -1, NULL},
		{"{\"ts\":1,\"a\":-}", -1, NULL},
		{"{\"ts\":1,\"a\":1.}", -1, NULL},
		{"{\"ts\" 1}", -1, NULL},
		{"{ts:1}", -1, NULL},
		{"[{\"ts\":1}]", -1, NULL},
		{"{}", -1, NULL},
		{"23.5", -1, NULL},
		{"", -1, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span json = span_str(cases[i].json);
		char text[256];
		int64_t ts;
		size_t at;
		bool found = historical_look(json, &ts, &at);

		print_message("# %s\n", cases[i].json);
		assert_int_equal(found, cases[i].becomes != NULL);
		if (!found)
			continue;
		assert_int_equal(ts, cases[i].ts);
		snprintf(text, sizeof(text), "%.*s%s%s", (int)at, cases[i].json, HISTORICAL_TEXT,
			 cases[i].json + at);
		assert_string_equal(text, cases[i].becomes);
	}
}

static void brackets_are_followed_to_a_depth(void **state)
{
	char json[2 * HISTORICAL_DEPTH + 32];
	int64_t ts;
	size_t at;

	(void)state;
	for (size_t depth = HISTORICAL_DEPTH - 1; depth <= HISTORICAL_DEPTH; depth++) {
		size_t n = (size_t)snprintf(json, sizeof(json), "{\"ts\":1,\"a\":");

		memset(json + n, '[', depth);
		memset(json + n + depth, ']', depth);
		json[n + 2 * depth] = '}';
		assert_int_equal(historical_look(span_of(json, n + 2 * depth + 1), &ts, &at),
				 depth < HISTORICAL_DEPTH);
	}
}

static void late_is_more_than_ten_seconds(void **state)
{
	(void)state;
	assert_false(historical_is_late(NOW, NOW));
	assert_false(historical_is_late(NOW - 10000, NOW));
	assert_true(historical_is_late(NOW - 10001, NOW));
	assert_false(historical_is_late(NOW + 60000, NOW)); /* a clock that is ahead */
	assert_false(historical_is_late(NOW / 1000, NOW));  /* seconds */
	assert_false(historical_is_late(0, NOW));
}

/* ---- echo ---- */

static void what_was_sent_comes_back_once(void **state)
{
	static struct echo e;

	(void)state;
	echo_init(&e, 1);
	echo_add(&e, span_str("a"), span_str("1"), 0);
	echo_add(&e, span_str("a"), span_str("2"), 0);
	echo_add(&e, span_str("a"), span_str("1"), 0);
	assert_false(echo_take(&e, span_str("a"), span_str("3"), 0));
	assert_false(echo_take(&e, span_str("b"), span_str("1"), 0));
	assert_true(echo_take(&e, span_str("a"), span_str("2"), 0)); /* in any order */
	assert_true(echo_take(&e, span_str("a"), span_str("1"), 0));
	assert_true(echo_take(&e, span_str("a"), span_str("1"), 0));
	assert_false(echo_take(&e, span_str("a"), span_str("1"), 0));
}

static void the_memory_for_echoes_is_bounded_in_number_and_time(void **state)
{
	static struct echo e;
	char text[16];

	(void)state;
	echo_init(&e, 1);
	for (unsigned i = 0; i <= ECHO_ENTRIES; i++) {
		snprintf(text, sizeof(text), "%u", i);
		echo_add(&e, span_str("a"), span_str(text), i);
	}
	assert_false(echo_take(&e, span_str("a"), span_str("0"), ECHO_ENTRIES));
	assert_true(echo_take(&e, span_str("a"), span_str("1"), ECHO_ENTRIES));
	assert_true(echo_take(&e, span_str("a"), span_str("2"), ECHO_MS + 2));
	assert_false(echo_take(&e, span_str("a"), span_str("3"), ECHO_MS + 4));
	assert_true(echo_take(&e, span_str("a"), span_str("4096"), ECHO_MS + 4096));
	e.put = UINT32_MAX; /* and goes on when its count begins anew */
	e.first = e.put;
	for (int i = 0; i < 3; i++)
		echo_add(&e, span_str("b"), span_str("x"), 0);
	for (int i = 0; i < 3; i++)
		assert_true(echo_take(&e, span_str("b"), span_str("x"), 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(topics_are_renamed),
		cmocka_unit_test(a_topic_that_grows_beyond_all_bounds_is_none),
		cmocka_unit_test(the_first_filter_that_matches_counts),
		cmocka_unit_test(only_objects_with_an_integer_ts_are_edited),
		cmocka_unit_test(brackets_are_followed_to_a_depth),
		cmocka_unit_test(late_is_more_than_ten_seconds),
		cmocka_unit_test(what_was_sent_comes_back_once),
		cmocka_unit_test(the_memory_for_echoes_is_bounded_in_number_and_time),
	};

	return cmocka_run_group_tests_name("uplinks_parts", tests, NULL, NULL);
}
