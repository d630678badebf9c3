/*
 * Policies of publishing in the file: what holds for a tag, and what is wrong with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "config/gateway_config.h"

#define LINES  "lines: [{name: press, type: modbus-tcp, host: h}]\n"
#define NUMBER "address: 'holding:0', type: int16"
#define OTHER  "address: 'holding:1', type: int16"
#define DEVICE(keys, groups, tags) \
	LINES "devices: [{name: m1, line: press, " keys "groups: [" groups "], tags: [" tags "]}]\n"

static struct gateway_config *load(const char *yaml)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;

	faults_init(&faults, "f");
	if (gateway_config_parse("f", yaml, strlen(yaml), &cfg, &faults) < 0) {
		faults_print(&faults, stderr);
		fail();
	}
	faults_fini(&faults);
	return cfg;
}

static void the_nearest_wins_key_by_key(void **state)
{
	struct gateway_config *cfg =
		load("gateway: {name: g, publish: period, period: 1min, deadband: \"5%\", topic: "
		     "\"a/${device}/${tag}\"}\n" LINES
		     "devices: [{name: m1, line: press, min_interval: 2s, payload: moxa,\n"
		     "  groups: [{name: x, publish: on_change_or_period}, {name: y, publish: threshold, "
		     "above: 80, below: 10}],\n"
		     "  tags: [{name: a, group: x, " NUMBER "},\n"
		     "         {name: b, group: x, deadband: 2, topic: own/b, " NUMBER "},\n"
		     "         {name: c, group: y, above: 90, hysteresis: 3, payload: json, " NUMBER "},\n"
		     "         {name: d, group: y, min_interval: 0, " NUMBER "}]}]\n");
	const struct config_policy *a = cfg->devices[0].tags[0].policy, *b = cfg->devices[0].tags[1].policy,
				   *c = cfg->devices[0].tags[2].policy, *d = cfg->devices[0].tags[3].policy;

	(void)state;
	assert_int_equal(a->publish, CONFIG_PUBLISH_ON_CHANGE_OR_PERIOD);
	assert_int_equal(a->period_ms, 60000);
	assert_int_equal(a->min_interval_ms, 2000);
	assert_int_equal(a->payload, CONFIG_PAYLOAD_MOXA);
	assert_true(a->deadband.is_percent && a->deadband.amount == 5);
	assert_string_equal(a->topic, "a/${device}/${tag}");
	assert_true(!b->deadband.is_percent && b->deadband.amount == 2);
	assert_string_equal(b->topic, "own/b");
	assert_int_equal(b->period_ms, 60000);
	assert_true(c->above == 90 && c->below == 10 && c->hysteresis == 3);
	assert_int_equal(c->payload, CONFIG_PAYLOAD_JSON);
	assert_true(d->above == 80 && d->below == 10 && d->hysteresis == 0 && d->min_interval_ms == 0);
	gateway_config_destroy(cfg);
}

static void equal_policies_are_one(void **state)
{
	struct gateway_config *cfg =
		load(DEVICE("", "{name: x}, {name: y, publish: on_change}",
			    "{name: a, group: x, " NUMBER "}, {name: b, group: y, deadband: 0, " NUMBER "},"
			    "{name: c, group: y, deadband: 1, " NUMBER
			    "}, {name: d, group: x, deadband: 1, " NUMBER "}"));
	const struct config_tag *t = cfg->devices[0].tags;

	(void)state;
	assert_ptr_equal(t[0].policy, t[1].policy);
	assert_ptr_equal(t[0].policy, cfg->devices[0].groups[1].policy);
	assert_ptr_equal(t[2].policy, t[3].policy);
	assert_ptr_not_equal(t[0].policy, t[2].policy);
	assert_true(isinf(t[0].policy->above) && isinf(t[0].policy->below));
	assert_null(t[0].policy->topic);
	gateway_config_destroy(cfg);
}

static void a_neuron_group_is_one_message(void **state)
{
	struct gateway_config *cfg =
		load(DEVICE("payload: neuron-values, ",
			    "{name: x}, {name: y, message: tags}, {name: z, payload: json}", ""));
	const struct config_group *g = cfg->devices[0].groups;

	(void)state;
	assert_int_equal(g[0].message, CONFIG_MESSAGE_GROUP);
	assert_int_equal(g[1].message, CONFIG_MESSAGE_TAGS);
	assert_int_equal(g[2].message, CONFIG_MESSAGE_TAGS);
	gateway_config_destroy(cfg);
}

struct row {
	const char *yaml, *path, *says;
};

static void what_does_not_fit_together_is_told(void **state)
{
	static const struct row rows[] = {
		{DEVICE("publish: period, ", "{name: x}", "{name: a, " NUMBER "}"), "devices[0].period",
		 "found nothing, needed with publish: period"},
		{DEVICE("", "{name: x, publish: on_change_or_period}", ""), "devices[0].groups[0].period",
		 "found nothing, needed with publish: on_change_or_period"},
		{DEVICE("", "{name: x}", "{name: a, period: 1s, " NUMBER "}"), "devices[0].tags[0].period",
		 "applies only with publish: period"},
		{DEVICE("", "{name: x}", "{name: a, above: 1, " NUMBER "}"), "devices[0].tags[0].above",
		 "applies only with publish: threshold"},
		{DEVICE("", "{name: x, publish: threshold, hysteresis: 1}", "{name: a, " NUMBER "}"),
		 "devices[0].groups[0].above",
		 "found neither above nor below, needed with publish: threshold"},
		{DEVICE("", "{name: x, publish: threshold, above: 5}", "{name: a, below: 5, " NUMBER "}"),
		 "devices[0].tags[0].above", "found 5, allowed: more than below, 5"},
		{DEVICE("", "{name: x, publish: threshold, above: 5, below: 1, hysteresis: 4}",
			"{name: a, " NUMBER "}"),
		 "devices[0].groups[0].hysteresis",
		 "found 4, allowed: less than the 4 between below and above"},
		{DEVICE("", "{name: x, publish: period, period: 1s, min_interval: 1s}", ""),
		 "devices[0].groups[0].min_interval", "applies only with publish: every_scan"},
		{DEVICE("", "{name: x, publish: on_change_or_period, period: 1s, min_interval: 2s}", ""),
		 "devices[0].groups[0].min_interval", "found 2000 ms, allowed: no more than period, 1000 ms"},
		{DEVICE("above: 1, ", "{name: x}", "{name: a, publish: threshold, address: 'coil:0'}"),
		 "devices[0].tags[0].publish",
		 "does not apply to the type bool, which has no above and below; remove it"},
		{DEVICE("", "{name: x, publish: threshold}", "{name: a, above: 1, address: 'coil:0'}"),
		 "devices[0].tags[0].above", "does not apply to the type bool; remove it"},
		{DEVICE("", "{name: x}", "{name: a, deadband: \"101%\", " NUMBER "}"),
		 "devices[0].tags[0].deadband", "found \"101%\", allowed: a number from 0 on, or percent"},
		{DEVICE("", "{name: x}", "{name: a, deadband: \"5 %\", " NUMBER "}"),
		 "devices[0].tags[0].deadband", "allowed: a number from 0 on"},
		{DEVICE("", "{name: x, payload: template}", ""), "devices[0].groups[0].payload_template",
		 "found nothing, needed with payload: template"},
		{DEVICE("", "{name: x, payload_template: \"${value}\"}", ""),
		 "devices[0].groups[0].payload_template", "applies only with payload: template"},
		{DEVICE("", "{name: x, payload: template, payload_template: \"${valu}\"}", ""),
		 "devices[0].groups[0].payload_template", "found \"${valu}\", allowed: 1 to 2000 characters"},
		{DEVICE("", "{name: x, payload: xml}", ""), "devices[0].groups[0].payload",
		 "allowed: json, value"},
		{DEVICE("", "{name: x, retain: true}", ""), "devices[0].groups[0].retain",
		 "applies only with message: group"},
		{DEVICE("", "{name: x, message: both, group_topic: \"a/${tag}\"}", ""),
		 "devices[0].groups[0].group_topic", "allowed: 1 to 8 levels"},
		{DEVICE("topic: \"a/+/${tag}\", ", "{name: x}", ""), "devices[0].topic", "without + #"},
		{DEVICE("topic: \"/a/${tag}\", ", "{name: x}", ""), "devices[0].topic", "no level empty"},
		{DEVICE("topic: \"a/${tag}/set\", ", "{name: x}", ""), "devices[0].topic", "or \"set\""},
		{DEVICE("topic: \"_a/${tag}\", ", "{name: x}", ""), "devices[0].topic", "beginning with _"},
		{DEVICE("topic: \"$SYS/${tag}\", ", "{name: x}", ""), "devices[0].topic",
		 "beginning with _ or $"},
		{DEVICE("topic: \"a/b/c/d/e/f/g/h/${tag}\", ", "{name: x}", ""), "devices[0].topic",
		 "1 to 8 levels"},
		{DEVICE("topic: \"a/${meter}\", ", "{name: x}", ""), "devices[0].topic",
		 "with the names root"},
		{DEVICE("topic: \"a/${device}\", ", "{name: x}",
			"{name: a, " NUMBER "}, {name: b, " OTHER "}"),
		 "devices[0].tags[1].topic",
		 "makes the topic \"a/m1\", as devices[0].tags[0] at line 2 does"},
		{DEVICE("", "{name: x}", "{name: a, topic: lineside/m1/b, " NUMBER "}, {name: b, " OTHER "}"),
		 "devices[0].tags[1].topic", "makes the topic \"lineside/m1/b\""},
		{DEVICE("",
			"{name: x, message: group, group_topic: a}, {name: y, message: group, group_topic: "
			"a}",
			""),
		 "devices[0].groups[1].group_topic", "as devices[0].groups[0] at line 2 does"},
		{DEVICE("topic: \"a/b/c/d/e/f/${tag}\", ", "{name: x}", "{name: a, access: rw, " NUMBER "}"),
		 "devices[0].tags[0].topic", "with 7 levels, allowed: 6, for /set/result follows"},
		{"gateway: {name: g, root: a/b/c/d}\n" DEVICE("topic: \"${root}/e/f/g/h/${tag}\", ",
							      "{name: x}", "{name: a, " NUMBER "}"),
		 "devices[0].tags[0].topic", "with 9 levels, allowed: 8"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct gateway_config *cfg = NULL;
		struct faults faults;

		faults_init(&faults, "f");
		assert_int_equal(gateway_config_parse("f", rows[i].yaml, strlen(rows[i].yaml), &cfg, &faults),
				 ERR_CONFIG);
		if (faults.count != 1)
			faults_print(&faults, stderr);
		assert_int_equal(faults.count, 1);
		assert_string_equal(faults.list[0].path, rows[i].path);
		if (!strstr(faults.list[0].text, rows[i].says))
			fail_msg("%s: %s", rows[i].path, faults.list[0].text);
		faults_fini(&faults);
	}
}

static void one_that_asks_for_much_is_told_once(void **state)
{
	static const char yaml[] =
		DEVICE("", "{name: x, publish: period}", "{name: a, " NUMBER "}, {name: b, " OTHER "}");
	struct gateway_config *cfg = NULL;
	struct faults faults;

	(void)state;
	faults_init(&faults, "f");
	assert_int_equal(gateway_config_parse("f", yaml, strlen(yaml), &cfg, &faults), ERR_CONFIG);
	assert_int_equal(faults.count, 1);
	faults_fini(&faults);
}

static void keys_of_the_gateway_are_for_whoever_asks(void **state)
{
	(void)state;
	gateway_config_destroy(
		load("gateway: {name: g, period: 1s, above: 5, payload_template: \"${value}\"}\n"));
	gateway_config_destroy(load("gateway: {name: g, publish: period}\n" DEVICE(
		"period: 1s, ", "{name: x}", "{name: a, " NUMBER "}")));
	gateway_config_destroy(
		load(DEVICE("publish: threshold, ", "{name: x}", "{name: a, above: 1, " NUMBER "}")));
	/* percent needs something to be of, so min and max may stand at a tag that is only read */
	gateway_config_destroy(
		load(DEVICE("", "{name: x}", "{name: a, deadband: \"5%\", min: 0, max: 10, " NUMBER "}")));
	/* one channel, one topic, without another */
	gateway_config_destroy(
		load(DEVICE("topic: \"a/${device}\", ", "{name: x}", "{name: a, " NUMBER "}")));
}

static void json_takes_a_deadband_as_number_and_as_text(void **state)
{
	static const char json[] = "{\"lines\":[{\"name\":\"l\",\"type\":\"modbus-tcp\",\"host\":\"h\"}],"
				   "\"devices\":[{\"name\":\"d\",\"line\":\"l\","
				   "\"deadband\":\"1%\",\"tags\":[{\"name\":\"t\",\"address\":\"holding:0\","
				   "\"type\":\"int16\",\"deadband\":0.5}]}]}";
	struct gateway_config *cfg = NULL;
	struct faults faults;

	(void)state;
	faults_init(&faults, "f");
	assert_int_equal(gateway_config_parse("f.json", json, strlen(json), &cfg, &faults), OK);
	assert_true(cfg->devices[0].tags[0].policy->deadband.amount == 0.5);
	assert_true(cfg->devices[0].groups[0].policy->deadband.is_percent);
	gateway_config_destroy(cfg);
	faults_fini(&faults);
}

static void another_policy_is_another_device(void **state)
{
	static const char *const changes[] = {"publish: every_scan, ", "deadband: 1, ", "deadband: \"1%\", ",
					      "min_interval: 1s, ",    "topic: a, ",    "payload: value, "};
	static const char base[] = DEVICE("", "{name: x}", "{name: a, " NUMBER "}");
	struct gateway_config *a = load(base), *b;

	(void)state;
	b = load(base);
	assert_true(config_device_equal(&a->devices[0], &b->devices[0]));
	gateway_config_destroy(b);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		char yaml[512];

		snprintf(yaml, sizeof(yaml),
			 LINES "devices: [{name: m1, line: press, %sgroups: [{name: x}], "
			       "tags: [{name: a, " NUMBER "}]}]\n",
			 changes[i]);
		b = load(yaml);
		assert_false(config_device_equal(&a->devices[0], &b->devices[0]));
		gateway_config_destroy(b);
	}
	b = load(DEVICE("", "{name: x, message: both}", "{name: a, " NUMBER "}"));
	assert_false(config_device_equal(&a->devices[0], &b->devices[0]));
	gateway_config_destroy(b);
	gateway_config_destroy(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nearest_wins_key_by_key),
		cmocka_unit_test(equal_policies_are_one),
		cmocka_unit_test(a_neuron_group_is_one_message),
		cmocka_unit_test(what_does_not_fit_together_is_told),
		cmocka_unit_test(one_that_asks_for_much_is_told_once),
		cmocka_unit_test(keys_of_the_gateway_are_for_whoever_asks),
		cmocka_unit_test(json_takes_a_deadband_as_number_and_as_text),
		cmocka_unit_test(another_policy_is_another_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
