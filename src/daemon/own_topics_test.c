#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "daemon/command_filters.h"
#include "daemon/own_topics.h"
#include "wire/mqtt.h"

static const char text[] = "gateway: {name: g, root: site/p1}\n"
			   "lines: [{name: r, type: sim}]\n"
			   "devices: [{name: rack, line: r}, {name: \"m\xc3\xa4\", line: r}]\n";

static struct gateway_config *load(const char *yaml)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;

	faults_init(&faults, "f");
	assert_int_equal(gateway_config_parse("f", yaml, strlen(yaml), &cfg, &faults), OK);
	faults_fini(&faults);
	return cfg;
}

static struct own_topics *make(const char *yaml)
{
	struct gateway_config *cfg = load(yaml);
	struct own_topics *o = NULL;
	struct own_table *t = NULL;

	assert_int_equal(own_table_create(cfg, &t), OK);
	assert_int_equal(own_topics_create(t, NULL, &o), OK);
	gateway_config_destroy(cfg);
	return o;
}

static uint8_t ask(struct own_topics *o, const char *topic, bool retain, bool *command)
{
	struct mqtt_policy *p = own_topics_policy(o);
	struct mqtt_publish_request r = {
		.client_id = span_str("c"), .topic = span_str(topic), .retain = retain};

	*command = false;
	return p->publish(p, &r, command);
}

static void only_commands_are_taken_on_own_topics(void **state)
{
	static const struct {
		const char *topic;
		bool retain;
		uint8_t verdict;
		bool command;
	} rows[] = {
		{"a", true, MQTT_RC_SUCCESS, false},
		{"site/p1", true, MQTT_RC_SUCCESS, false},
		{"site/p10/rack/do0", true, MQTT_RC_SUCCESS, false},
		{"site/p2/rack/do0", true, MQTT_RC_SUCCESS, false},
		{"site/p1/other/do0", true, MQTT_RC_SUCCESS, false},
		{"site/p1/rac/do0", false, MQTT_RC_SUCCESS, false},
		{"site/p1/rackk/do0", false, MQTT_RC_SUCCESS, false},
		{"site/p1/", false, MQTT_RC_SUCCESS, false},
		{"site/p1/_gateway", false, MQTT_RC_NOT_AUTHORIZED, false},
		{"site/p1/_gateway/status", true, MQTT_RC_NOT_AUTHORIZED, false},
		{"site/p1/_gateway/line/r", true, MQTT_RC_NOT_AUTHORIZED, false},
		{"site/p1/_gateway/line/r/set", false, MQTT_RC_NOT_AUTHORIZED, false},
		{"site/p1/_gateway/event", false, MQTT_RC_NOT_AUTHORIZED, false},
		{"site/p1/rack", false, MQTT_RC_NOT_AUTHORIZED, false},
		{"site/p1/rack/do0", true, MQTT_RC_NOT_AUTHORIZED, false},
		{"site/p1/rack/_status", false, MQTT_RC_NOT_AUTHORIZED, false},
		{"site/p1/rack/do0/set/result", false, MQTT_RC_NOT_AUTHORIZED, false},
		{"site/p1/rack/do0/sets", false, MQTT_RC_NOT_AUTHORIZED, false},
		{"site/p1/rack//set", false, MQTT_RC_NOT_AUTHORIZED, false},
		{"site/p1/rack/set", false, MQTT_RC_NOT_AUTHORIZED, false},
		{"site/p1/rack/do0/set", false, MQTT_RC_SUCCESS, true},
		{"site/p1/rack/do0/set", true, MQTT_RC_RETAIN_NOT_SUPPORTED, false},
		{"site/p1/m\xc3\xa4/do0/set", false, MQTT_RC_SUCCESS, true},
	};
	struct own_topics *o = make(text);
	bool command;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(ask(o, rows[i].topic, rows[i].retain, &command), rows[i].verdict);
		assert_int_equal(command, rows[i].command);
	}
	own_topics_destroy(o);
}

static const char laid_out[] =
	"gateway: {name: g, root: site/p1}\n"
	"lines: [{name: r, type: io, driver: sim}, {name: press, type: modbus-tcp, host: h}]\n"
	"devices:\n"
	"  - {name: rack, line: r, topic: \"hall/${device}/${tag}\"}\n"
	"  - name: m1\n"
	"    line: press\n"
	"    groups: [{name: f, message: both, group_topic: \"all/${group}\", topic: "
	"\"${root}/${device}/${group}/${tag}\"}]\n"
	"    tags: [{name: x, type: int16, address: 'holding:0', access: rw}]\n";

static void topics_that_users_lay_out_are_own_ones_too(void **state)
{
	static const struct {
		const char *topic;
		bool retain;
		uint8_t verdict;
		bool command;
	} rows[] = {
		{"hall/rack/do0", true, MQTT_RC_NOT_AUTHORIZED, false},
		{"hall/rack/do0/set", false, MQTT_RC_SUCCESS, true},
		{"hall/rack/do0/set", true, MQTT_RC_RETAIN_NOT_SUPPORTED, false},
		{"hall/rack/do0/set/result", false, MQTT_RC_NOT_AUTHORIZED, false},
		{"hall/rack/do0/sets", false, MQTT_RC_SUCCESS, false},
		{"hall/rack/ai0.mode", false, MQTT_RC_NOT_AUTHORIZED, false}, /* an attribute of a channel */
		{"hall/rack/ai0.mode/set", false, MQTT_RC_SUCCESS, true},
		{"hall/rack/ai9.mode", false, MQTT_RC_SUCCESS, false},
		{"hall/rack/do9", true, MQTT_RC_SUCCESS, false},
		{"hall/rack/do9/set", true, MQTT_RC_SUCCESS, false},
		{"hall/rack", true, MQTT_RC_SUCCESS, false},
		{"all/f", false, MQTT_RC_NOT_AUTHORIZED, false},
		{"all/g", false, MQTT_RC_SUCCESS, false},
		{"site/p1/m1/f/x", false, MQTT_RC_NOT_AUTHORIZED, false},
		{"site/p1/m1/f/x/set", false, MQTT_RC_SUCCESS, true}, /* deeper than the usual layout */
		{"site/p1/m1/f/y/set", false, MQTT_RC_NOT_AUTHORIZED, false},
		{"site/p1/_gateway/status", true, MQTT_RC_NOT_AUTHORIZED, false},
	};
	struct own_topics *o = make(laid_out);
	char topic[3000];
	bool command;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (ask(o, rows[i].topic, rows[i].retain, &command) != rows[i].verdict)
			fail_msg("%s", rows[i].topic);
		assert_int_equal(command, rows[i].command);
	}
	memset(topic, '.', sizeof(topic) - 1);
	topic[sizeof(topic) - 1] = '\0';
	assert_int_equal(ask(o, topic, false, &command), MQTT_RC_SUCCESS);
	own_topics_destroy(o);
}

static void each_layout_has_one_filter_for_its_commands(void **state)
{
	static const char *const filters[] = {"site/p1/+/+/set", "hall/+/+/set", "site/p1/+/+/+/set",
					      "site/p1/_gateway/uplink/+"};
	struct gateway_config *cfg = load(laid_out);
	struct command_filters f;

	(void)state;
	assert_int_equal(command_filters_make(&f, cfg), OK);
	assert_int_equal(f.n, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(f.list[i], filters[i]);
	assert_true(command_filters_have(&f, "hall/+/+/set"));
	assert_false(command_filters_have(&f, "hall/+/set"));
	command_filters_free(&f);
	assert_false(command_filters_have(&f, "hall/+/+/set"));
	gateway_config_destroy(cfg);
}

static void a_replaced_table_is_asked_from_then_on(void **state)
{
	struct gateway_config *cfg = load("gateway: {name: h}\n");
	struct own_topics *o = make(text);
	struct own_table *next = NULL;
	bool command;

	(void)state;
	assert_int_equal(own_table_create(cfg, &next), OK);
	own_table_destroy(own_topics_replace(o, next));
	assert_int_equal(ask(o, "site/p1/rack/do0", false, &command), MQTT_RC_SUCCESS);
	assert_int_equal(ask(o, "h/_gateway/status", false, &command), MQTT_RC_NOT_AUTHORIZED);
	gateway_config_destroy(cfg);
	own_topics_destroy(o);
}

static void every_failing_allocation_is_reported(void **state)
{
	struct gateway_config *cfg = load(laid_out);
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct command_filters f = {0};
		struct own_table *t = NULL;
		struct own_topics *o = NULL;
		int rc;

		alloc_fail_at(n);
		rc = own_table_create(cfg, &t);
		if (rc == OK)
			rc = own_topics_create(t, NULL, &o);
		if (rc == OK)
			rc = command_filters_make(&f, cfg);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		if (!o)
			own_table_destroy(t);
		own_topics_destroy(o);
		command_filters_free(&f);
	}
	gateway_config_destroy(cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_commands_are_taken_on_own_topics),
		cmocka_unit_test(topics_that_users_lay_out_are_own_ones_too),
		cmocka_unit_test(each_layout_has_one_filter_for_its_commands),
		cmocka_unit_test(a_replaced_table_is_asked_from_then_on),
		cmocka_unit_test(every_failing_allocation_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
