/*
 * What is published when, where and how: the policies of docs/publishing.md on virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "field_world.h"

#define HEAD "gateway: {name: plant1}\n" LINE
#define LINE                                                                                                 \
	"lines: [{name: press, type: modbus-tcp, host: press, timeout: 500ms, retries: 1, backoff: {first: " \
	"1s, max: 1s}}]\n"

/* One device with one group and two tags. */
#define ONE(keys, tag)                                                                    \
	HEAD "devices: [{name: m1, line: press, groups: [{name: g, " keys "}], tags: [\n" \
	     "  {name: x, address: 'holding:0', type: int16, access: rw" tag "},\n"       \
	     "  {name: y, address: 'holding:1', type: int16}]}]\n"

#define X "plant1/m1/x"

static struct world *begin(uint64_t seed, const char *yaml, struct sim_device **d)
{
	struct world *w = world_create(seed);

	*d = world_device(w, "press");
	world_apply(w, yaml);
	return w;
}

static unsigned count_of(const struct world *w, const char *topic)
{
	const struct seen *s = world_seen(w, topic);

	return s ? s->count : 0;
}

static int64_t number_at(const char *payload, const char *key)
{
	const char *at = strstr(payload, key);

	if (!at)
		fail_msg("%s has no %s", payload, key);
	return strtoll(at + strlen(key), NULL, 10);
}

/* ---- min_interval, period ---- */

static void a_change_within_min_interval_is_held_back_and_the_newest_is_published(void **state)
{
	struct sim_device *d;
	struct world *w = begin(1, ONE("scan: 100ms, publish: on_change, min_interval: 5s", ""), &d);
	uint64_t first_us;

	(void)state;
	world_await(w, X, "{\"value\":0,", 500);
	first_us = world_seen(w, X)->at_us;
	d->regs[0] = 1;
	world_run(w, 2000);
	d->regs[0] = 2;
	world_run(w, 1000);
	assert_int_equal(count_of(w, X), 1);
	world_await(w, X, "{\"value\":2,", 3000);
	assert_in_range(world_seen(w, X)->at_us - first_us, 4999000, 5002000);
	assert_int_equal(count_of(w, X), 2);
	assert_int_equal(count_of(w, "plant1/m1/y"), 1); /* it did not change */
	world_run(w, 20000);
	assert_int_equal(count_of(w, X), 2);
	d->regs[0] = 3; /* nothing for long: at once */
	assert_true(world_await(w, X, "{\"value\":3,", 500) <= 150);
	world_destroy(w);
}

static void what_was_held_back_is_published_without_another_scan(void **state)
{
	struct sim_device *d;
	struct world *w = begin(2, ONE("scan: 1h, publish: on_change, min_interval: 10s", ""), &d);

	(void)state;
	world_await(w, X, "{\"value\":0,", 500);
	world_set(w, X "/set", "7"); /* the only other time it is read */
	world_run(w, 1000);
	assert_int_equal(count_of(w, X), 1);
	world_await(w, X, "{\"value\":7,", 10000);
	world_destroy(w);
}

static void a_change_of_quality_does_not_wait(void **state)
{
	struct sim_device *d;
	struct world *w = begin(3, ONE("scan: 200ms, publish: on_change, min_interval: 1h", ""), &d);

	(void)state;
	world_await(w, X, "\"quality\":\"good\"", 500);
	device_die(d);
	world_await(w, X, "\"quality\":\"bad\"", 2500);
	device_return(d);
	world_await(w, X, "\"quality\":\"good\"", 2500);
	world_destroy(w);
}

static void on_change_or_period_publishes_at_change_and_at_least_each_period(void **state)
{
	struct sim_device *d;
	struct world *w = begin(4, ONE("scan: 500ms, publish: on_change_or_period, period: 10s", ""), &d);
	unsigned before;
	uint64_t at;

	(void)state;
	world_await(w, X, "{\"value\":0,", 500);
	world_run(w, 100000);
	assert_in_range(count_of(w, X), 10, 11);
	world_run(w, 5000);
	d->regs[0] = 9;
	before = count_of(w, X);
	world_await(w, X, "{\"value\":9,", 600);
	assert_int_equal(count_of(w, X), before + 1);
	at = world_seen(w, X)->at_us;
	world_run(w, 9900); /* the period counts from the change */
	assert_int_equal(count_of(w, X), before + 1);
	world_run(w, 200);
	assert_int_equal(count_of(w, X), before + 2);
	assert_in_range(world_seen(w, X)->at_us - at, 9999000, 10002000);
	world_destroy(w);
}

/* FACTS: a broker behind us cannot know when a value was made, so the payload says it. */
static void complaint_9_a_value_keeps_the_time_of_its_answer(void **state)
{
	struct sim_device *d;
	struct world *w = begin(5, ONE("scan: 1h, publish: on_change_or_period, period: 10s", ""), &d);
	int64_t ts, again;
	uint64_t us;

	(void)state;
	world_await(w, X, "{\"value\":0,", 500);
	ts = number_at(world_seen(w, X)->payload, "\"ts\":");
	us = world_seen(w, X)->at_us;
	world_run(w, 35000); /* no scan since: what is published again is as old as it is */
	assert_int_equal(count_of(w, X), 4);
	assert_int_equal(number_at(world_seen(w, X)->payload, "\"ts\":"), ts);
	assert_in_range(world_seen(w, X)->at_us - us, 29999000, 30002000);
	world_apply(w, ONE("scan: 1s, publish: on_change, min_interval: 20s", ""));
	world_run(w, 1500);
	d->regs[0] = 5;
	world_await(w, X, "{\"value\":5,", 20500); /* held back: the time is that of the newest answer */
	again = number_at(world_seen(w, X)->payload, "\"ts\":");
	assert_in_range((int64_t)loop_wall_ms(w->field_loop) - again, 0, 1001);
	world_destroy(w);
}

/* ---- thresholds, dead-bands ---- */

static void a_threshold_tells_what_is_outside_and_the_way_back(void **state)
{
	static const struct {
		int16_t value;
		bool is_told;
	} steps[] = {
		{50, false}, {80, false}, {79, false}, {81, true}, {81, false}, {90, true}, {79, true},
		{78, true}, /* inside again: 80 - 2 */
		{77, false}, {81, true},  {79, true},  {70, true}, {10, false}, {9, true},  {-5, true},
		{11, true},  {12, true},  {13, false}, {9, true},  {90, true},  {50, true}, {51, false},
	};
	struct sim_device *d;
	struct world *w =
		begin(6, ONE("scan: 100ms, publish: threshold, above: 80, below: 10, hysteresis: 2", ""), &d);

	(void)state;
	d->regs[0] = d->regs[1] = 40;
	world_await(w, X, "{\"value\":40,", 500); /* the first value is always published */
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		unsigned before = count_of(w, X);

		d->regs[0] = (uint16_t)steps[i].value;
		world_run(w, 300);
		if (count_of(w, X) - before != steps[i].is_told)
			fail_msg("step %zu: %d was published %u times", i, steps[i].value,
				 count_of(w, X) - before);
	}
	assert_int_equal(count_of(w, "plant1/m1/y"), 1);
	world_destroy(w);
}

static void a_deadband_in_percent_is_of_the_range_or_of_the_last_value(void **state)
{
	static const char of_range[] = ONE("scan: 100ms, deadband: \"5%\"", ", min: 0, max: 200");
	static const char of_last[] = ONE("scan: 100ms, deadband: \"5%\"", "");
	static const char of_map[] =
		ONE("scan: 100ms, deadband: \"10%\"", ", map: {raw: [0, 1000], value: [0, 100]}");
	struct sim_device *d;
	struct world *w = begin(7, of_range, &d);

	(void)state;
	d->regs[0] = 100;
	world_await(w, X, "{\"value\":100,", 500);
	d->regs[0] = 110; /* no more than 5 % of 200 */
	world_run(w, 500);
	assert_int_equal(count_of(w, X), 1);
	d->regs[0] = 111;
	world_await(w, X, "{\"value\":111,", 500);
	world_apply(w, of_last);
	d->regs[0] = 100;
	world_await(w, X, "{\"value\":100,", 500);
	d->regs[0] = 105;
	world_run(w, 500);
	assert_true(world_has(w, X, "{\"value\":100,"));
	d->regs[0] = 106;
	world_await(w, X, "{\"value\":106,", 500);
	d->regs[0] = 0;
	world_await(w, X, "{\"value\":0,", 500);
	d->regs[0] = 1; /* of 0, nothing is too little */
	world_await(w, X, "{\"value\":1,", 500);
	world_apply(w, of_map);
	d->regs[0] = 500;
	world_await(w, X, "{\"value\":50,", 500);
	d->regs[0] = 600; /* 10 of 100 */
	world_run(w, 500);
	assert_true(world_has(w, X, "{\"value\":50,"));
	d->regs[0] = 601;
	world_await(w, X, "{\"value\":60.1,", 500);
	world_destroy(w);
}

/* ---- any course of values ---- */

#define MIN_INTERVAL_US 3000000u
#define PERIOD_US       7000000u

struct course {
	uint64_t at_us;
	bool is_early, is_late;
};

static struct course course;

static void watch_course(struct world *w, const struct tag_message *m)
{
	uint64_t now = sim_now_us(w->sim);

	if (strcmp(m->topic, X) != 0)
		return;
	if (course.at_us &&
	    now - course.at_us + 1000 < MIN_INTERVAL_US) /* the clock of policies counts milliseconds */
		course.is_early = true;
	if (course.at_us && now - course.at_us > PERIOD_US + 2000)
		course.is_late = true;
	course.at_us = now;
}

static void no_course_of_values_loses_the_last_one(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct sim_device *d;
		struct world *w = world_create(seed);
		char newest[32];

		course = (struct course){0};
		w->published = watch_course;
		d = world_device(w, "press");
		world_apply(w, ONE("scan: 250ms, publish: on_change_or_period, min_interval: 3s, period: 7s",
				   ""));
		world_run(w, 500);
		for (int i = 0; i < 60; i++) {
			if (sim_random(w->sim, 2))
				d->regs[0] = (uint16_t)sim_random(w->sim, 20);
			world_run(w, sim_random(w->sim, 2500));
		}
		snprintf(newest, sizeof(newest), "{\"value\":%u,", d->regs[0]);
		world_await(w, X, newest, 3500);
		assert_false(course.is_early);
		assert_false(course.is_late);
		world_destroy(w);
	}
}

/* ---- messages of groups ---- */

#define G "plant1/m1/_group/g"

static void every_scan_brings_all_values_of_the_group_in_one_message(void **state)
{
	struct sim_device *d;
	struct world *w = begin(10, ONE("scan: 500ms, publish: every_scan, message: group", ""), &d);
	unsigned before;

	(void)state;
	d->regs[0] = 3;
	world_await(w, G, "\"values\":{\"x\":3,\"y\":0},\"bad\":{}}", 500);
	assert_int_equal(number_at(world_seen(w, G)->payload, "{\"ts\":") / 10000,
			 (int64_t)loop_wall_ms(w->field_loop) / 10000);
	assert_false(world_seen(w, G)->retain);
	assert_null(world_seen(w, X));
	before = count_of(w, G);
	world_run(w, 10000);
	assert_in_range(count_of(w, G) - before, 19, 21);
	device_die(d);
	world_await(w, G, "\"values\":{},\"bad\":{\"x\":\"offline\",\"y\":\"offline\"}}", 2500);
	before = count_of(w, G);
	world_run(w, 5000);
	assert_int_equal(count_of(w, G), before);
	device_return(d);
	world_await(w, G, "\"values\":{\"x\":3,\"y\":0}", 2500);
	world_destroy(w);
}

/* Else a message that is retained would say nothing of it. */
static void every_scan_brings_what_is_bad_as_long_as_it_is(void **state)
{
	static const char some[] = "\"values\":{\"y\":0},\"bad\":{\"x\":\"exception\"}}";
	struct sim_device *d;
	struct world *w;
	unsigned before;

	(void)state;
	for (unsigned seed = 13; seed < 15; seed++) {
		bool is_period = seed == 14;

		w = begin(seed,
			  is_period ? ONE("scan: 500ms, publish: period, period: 1s, message: group", "")
				    : ONE("scan: 500ms, publish: every_scan, message: group", ""),
			  &d);
		d->refused_from = d->refused_to = 0;
		world_await(w, G, "\"values\":{\"x\":0,\"y\":0},\"bad\":{}}", 2500);
		d->refused_from = 0;
		d->refused_to = 1;
		world_await(w, G, some, 2500);
		for (unsigned i = 0; i < 5; i++) {
			before = count_of(w, G);
			world_run(w, 2000);
			assert_in_range(count_of(w, G) - before, is_period ? 1 : 3, 5);
			assert_true(world_has(w, G, some));
		}
		d->refused_to = 0;
		world_destroy(w);
	}
}

static void on_change_brings_what_changed_beside_messages_of_tags(void **state)
{
	struct sim_device *d;
	struct world *w =
		begin(11, ONE("scan: 200ms, publish: on_change, message: both, retain: true", ""), &d);

	(void)state;
	world_await(w, G, "\"values\":{\"x\":0,\"y\":0},\"bad\":{}}", 500);
	assert_true(world_seen(w, G)->retain);
	d->regs[1] = 4;
	world_await(w, G, "\"values\":{\"y\":4},\"bad\":{}}", 500);
	assert_true(world_has(w, "plant1/m1/y", "{\"value\":4,"));
	world_run(w, 3000);
	assert_int_equal(count_of(w, G), 2);
	assert_int_equal(count_of(w, X), 1);
	world_set(w, X "/set", "8");
	world_await(w, G, "\"values\":{\"x\":8},\"bad\":{}}", 500);
	world_destroy(w);
}

static void a_group_with_min_interval_stays_together(void **state)
{
	struct sim_device *d;
	struct world *w =
		begin(12, ONE("scan: 100ms, publish: on_change, message: group, min_interval: 2s", ""), &d);
	unsigned before;

	(void)state;
	world_await(w, G, "\"values\":{\"x\":0,\"y\":0}", 500);
	before = count_of(w, G);
	d->regs[0] = d->regs[1] = 1;
	world_run(w, 500);
	d->regs[0] = d->regs[1] = 2;
	world_run(w, 1000);
	assert_int_equal(count_of(w, G), before);
	world_await(w, G, "\"values\":{\"x\":2,\"y\":2}", 1000);
	world_run(w, 5000);
	assert_int_equal(count_of(w, G), before + 1);
	world_destroy(w);
}

/* ---- large groups ---- */

#define MANY 240

struct large {
	unsigned messages, values;
	size_t longest;
	bool got[MANY];
};

static struct large large;

static void watch_large(struct world *w, const struct tag_message *m)
{
	char text[16384];

	(void)w;
	if (strcmp(m->topic, G) != 0)
		return;
	assert_true(m->payload.len < sizeof(text));
	memcpy(text, m->payload.p, m->payload.len);
	text[m->payload.len] = '\0';
	assert_int_equal(text[m->payload.len - 1], '}');
	large.messages++;
	large.longest = m->payload.len > large.longest ? m->payload.len : large.longest;
	for (unsigned i = 0; i < MANY; i++) {
		char key[16];

		snprintf(key, sizeof(key), "\"t%u\":", i);
		if (!strstr(text, key))
			continue;
		assert_false(large.got[i]);
		large.got[i] = true;
		large.values++;
	}
}

static void scan_large(const char *broker)
{
	static char yaml[64 * MANY];
	struct world *w = world_create(13);
	size_t len;

	large = (struct large){0};
	len = (size_t)snprintf(yaml, sizeof(yaml),
			       "broker: {%s}\n" HEAD
			       "devices: [{name: m1, line: press, max_block: 40, groups: "
			       "[{name: g, scan: 1h, message: group}], tags: [\n",
			       broker);
	for (unsigned i = 0; i < MANY; i++)
		len += (size_t)snprintf(yaml + len, sizeof(yaml) - len,
					"{name: t%u, address: 'holding:%u', type: float32},\n", i, 2 * i);
	snprintf(yaml + len, sizeof(yaml) - len, "]}]\n");
	(void)world_device(w, "press");
	w->published = watch_large;
	world_apply(w, yaml);
	world_run(w, 2000);
	world_destroy(w);
	assert_int_equal(large.values, MANY);
}

static void a_large_group_is_one_message_and_a_larger_one_is_split(void **state)
{
	(void)state;
	scan_large("max_packet_size: 1MiB");
	assert_int_equal(large.messages, 1);
	scan_large("max_packet_size: 5KiB");
	assert_in_range(large.messages, 1, 2);
	scan_large("max_packet_size: 1KiB");
	assert_in_range(large.messages, 3, 16);
	assert_true(large.longest <= 512);
}

/* ---- topics ---- */

#define LAID_OUT(more) ONE("scan: 200ms" more ", topic: \"site/${gateway}/${line}/${group}/${tag}\"", "")
#define SITE_X         "site/plant1/press/g/x"

static void a_tag_is_published_and_set_at_its_own_topic(void **state)
{
	struct sim_device *d;
	struct world *w = begin(20, LAID_OUT(""), &d);
	struct field_set set = {.topic = SITE_X "/set", .payload = span_str("3")};

	(void)state;
	world_await(w, SITE_X, "{\"value\":0,", 500);
	assert_null(world_seen(w, X));
	world_set(w, SITE_X "/set", "{\"value\":12,\"id\":\"a\"}");
	world_await(w, SITE_X "/set/result", "{\"id\":\"a\",\"ok\":true,\"value\":12", 500);
	assert_int_equal(d->regs[0], 12);
	world_set(w, X "/set", "1");
	world_await(w, X "/set/result", "\"error\":\"unknown_tag\"", 500);
	set.response_topic = "site/plant1/press/g/y/set"; /* the gateway's own, though not below its root */
	assert_int_equal(field_set(w->field, &set), OK);
	world_await(w, SITE_X "/set/result", "\"ok\":true,\"value\":3", 500);
	set.response_topic = SITE_X "/set/result";
	assert_int_equal(field_set(w->field, &set), OK);
	set.topic = "site/plant1/press/g/z/set";
	assert_int_equal(field_set(w->field, &set), ERR_TOPIC);
	set.topic = SITE_X;
	assert_int_equal(field_set(w->field, &set), ERR_TOPIC);
	world_run(w, 500);
	world_destroy(w);
}

static void a_reload_clears_what_is_published_elsewhere_now(void **state)
{
	struct sim_device *d;
	struct world *w = begin(21, LAID_OUT(", message: both, retain: true"), &d);

	(void)state;
	world_await(w, G, "\"values\"", 500);
	world_apply(w, ONE("scan: 200ms, message: both, retain: true, group_topic: \"site/${group}\"", ""));
	assert_string_equal(world_seen(w, SITE_X)->payload, "");
	assert_true(world_seen(w, SITE_X)->retain);
	assert_string_equal(world_seen(w, G)->payload, "");
	world_await(w, "site/g", "\"values\"", 500);
	assert_true(world_has(w, X, "{\"value\":0,"));
	world_apply(w, ONE("scan: 200ms, message: group, retain: true, group_topic: \"site/${group}\"", ""));
	assert_string_equal(world_seen(w, X)->payload, "");
	assert_string_not_equal(world_seen(w, "site/g")->payload, "");
	assert_true(world_has(w, "plant1/m1/_status", "state"));
	world_apply(w, HEAD);
	assert_string_equal(world_seen(w, "site/g")->payload, "");
	assert_string_equal(world_seen(w, "plant1/m1/_status")->payload, "");
	world_destroy(w);
}

static void a_payload_is_in_the_format_of_its_tag(void **state)
{
	struct sim_device *d;
	struct world *w =
		begin(22,
		      ONE("scan: 200ms, payload: moxa",
			  ", payload: template, payload_template: '${device}.${tag}=${text} @${ts}'"),
		      &d);

	(void)state;
	world_await(w, X, "m1.x=0 @", 500);
	world_await(w, "plant1/m1/y", "{\"value\":0}", 500);
	world_apply(w, ONE("scan: 200ms, payload: plain", ""));
	world_await(w, X, "0", 500);
	device_die(d);
	world_run(w, 2500);
	assert_string_equal(world_seen(w, X)->payload, ""); /* nothing is known: nothing is retained */
	assert_true(world_seen(w, X)->retain);
	world_apply(w, ONE("scan: 200ms, payload: neuron-values", ""));
	device_return(d);
	world_await(w, G, "\"node\":\"m1\",\"group\":\"g\",\"values\":{\"x\":0,\"y\":0},\"errors\":{}", 2500);
	world_destroy(w);
}

static void policies_that_run_out_of_memory_change_nothing(void **state)
{
	static const char next_yaml[] =
		LAID_OUT(", publish: on_change_or_period, period: 1s, min_interval: 500ms, message: both");
	struct sim_device *d;
	struct world *w = begin(23, ONE("scan: 200ms, min_interval: 100ms", ""), &d);
	struct gateway_config *next = world_parse(next_yaml);
	long n = 1;

	(void)state;
	world_await(w, X, "{\"value\":0,", 500);
	for (; !world_apply_failing(w, next, n); n++) {
		d->regs[0]++;
		world_run(w, 500);
		assert_null(world_seen(w, SITE_X));
	}
	assert_true(n > 8);
	world_await(w, SITE_X, "\"quality\":\"good\"", 500);
	world_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_within_min_interval_is_held_back_and_the_newest_is_published),
		cmocka_unit_test(what_was_held_back_is_published_without_another_scan),
		cmocka_unit_test(a_change_of_quality_does_not_wait),
		cmocka_unit_test(on_change_or_period_publishes_at_change_and_at_least_each_period),
		cmocka_unit_test(complaint_9_a_value_keeps_the_time_of_its_answer),
		cmocka_unit_test(a_threshold_tells_what_is_outside_and_the_way_back),
		cmocka_unit_test(a_deadband_in_percent_is_of_the_range_or_of_the_last_value),
		cmocka_unit_test(no_course_of_values_loses_the_last_one),
		cmocka_unit_test(every_scan_brings_all_values_of_the_group_in_one_message),
		cmocka_unit_test(every_scan_brings_what_is_bad_as_long_as_it_is),
		cmocka_unit_test(on_change_brings_what_changed_beside_messages_of_tags),
		cmocka_unit_test(a_group_with_min_interval_stays_together),
		cmocka_unit_test(a_large_group_is_one_message_and_a_larger_one_is_split),
		cmocka_unit_test(a_tag_is_published_and_set_at_its_own_topic),
		cmocka_unit_test(a_reload_clears_what_is_published_elsewhere_now),
		cmocka_unit_test(a_payload_is_in_the_format_of_its_tag),
		cmocka_unit_test(policies_that_run_out_of_memory_change_nothing),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
