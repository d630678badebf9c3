/*
 * How few requests it takes to read, and what a device that refuses some does to the others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "field_world.h"

#define HEAD "gateway: {name: plant1}\n"
#define METER(more, groups, tags)                                      \
	HEAD "lines: [{name: press, type: modbus-tcp, host: press}]\n" \
	     "devices: [{name: m, line: press, " more "groups: [" groups "], tags: [" tags "]}]\n"
#define MTAG(name, address, group) \
	"{name: " name ", address: 'holding:" address "', type: int16, group: " group "}"

/* Telegraf #13630, #14671: a block that dies on one hole. The hole belongs to no tag. */
static void complaint_3_a_hole_between_tags_costs_no_value_and_is_not_read_over_again(void **state)
{
	static const char yaml[] =
		METER("max_gap: 20, ", "{name: f, scan: 1s}, {name: s, scan: 5s}",
		      MTAG("a", "0", "f") "," MTAG("b", "2", "f") "," MTAG("c", "10", "f") "," MTAG(
			      "d", "14", "f") "," MTAG("e", "3", "s") "," MTAG("g", "9", "s"));
	struct world *w = world_create(30);
	struct sim_device *d = world_device(w, "press");
	unsigned reads;

	(void)state;
	d->refused_from = 5;
	d->refused_to = 6;
	world_apply(w, yaml);
	world_run(w, 15000);
	for (const char *tag = "abcdeg"; *tag; tag++) {
		char topic[32];

		snprintf(topic, sizeof(topic), "plant1/m/%c", *tag);
		assert_true(world_has(w, topic, "\"quality\":\"good\""));
		assert_int_equal(world_seen(w, topic)->count, 1);
	}
	assert_true(world_has(w, "plant1/m/_status", "\"refused\":[\"holding:3-9\",\"holding:4-8\"]}"));
	reads = d->reads;
	world_run(w, 20000);
	assert_in_range(d->reads - reads, 2 * 20 + 2 * 4 - 4, 2 * 20 + 2 * 4 + 4);
	/* after an hour it is looked whether it is still so */
	d->refused_to = 0;
	world_run(w, 3600000);
	reads = d->reads;
	world_run(w, 20000);
	assert_in_range(d->reads - reads, 20 + 4 - 2, 20 + 4 + 2);
	world_destroy(w);
}

/* What one group found out, the others of the device need not; a reload tries again. */
static void complaint_3_a_refused_tag_is_remembered_for_all_groups_until_a_reload(void **state)
{
	static const char yaml[] =
		METER("max_gap: 20, ", "{name: f, scan: 1s}, {name: s, scan: 5s}",
		      MTAG("a", "0", "f") "," MTAG("bad", "5", "f") "," MTAG("c", "10", "f") "," MTAG(
			      "d", "3", "s") "," MTAG("bad2", "5", "s") "," MTAG("e", "7", "s"));
	struct world *w = world_create(31);
	struct sim_device *d = world_device(w, "press");
	unsigned reads;

	(void)state;
	world_apply(w, yaml);
	world_run(w, 5500);
	d->refused_from = 5;
	d->refused_to = 6;
	world_await(w, "plant1/m/bad", "\"reason\":\"exception\"", 2000);
	world_await(w, "plant1/m/bad2", "\"reason\":\"exception\"", 6000);
	assert_false(world_has(w, "plant1/m/d", "bad"));
	assert_int_equal(world_seen(w, "plant1/m/a")->count, 1);
	assert_int_equal(world_seen(w, "plant1/m/e")->count, 1);
	assert_in_range(d->exceptions, 1, 5); /* the search of one block of three */
	reads = d->reads;
	world_run(w, 10000);
	assert_in_range(d->reads - reads, 2 * 10 + 2 * 2 - 4, 2 * 10 + 2 * 2 + 4);
	d->refused_to = 0;
	world_apply(w, yaml);
	world_await(w, "plant1/m/bad", "\"quality\":\"good\"", 1500);
	world_await(w, "plant1/m/bad2", "\"quality\":\"good\"", 5500);
	world_destroy(w);
}

/* Telegraf #12071: devices that answer one tag at a time. */
static void complaint_3_a_difficult_device_is_asked_one_by_one(void **state)
{
	static const char yaml[] = METER("one_by_one: true, ", "{name: f, scan: 1s}",
					 MTAG("a", "0", "f") "," MTAG("b", "1", "f") "," MTAG("c", "2", "f"));
	struct world *w = world_create(32);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	d->longest = 1;
	world_apply(w, yaml);
	world_await(w, "plant1/m/c", "\"quality\":\"good\"", 500);
	world_run(w, 5000);
	assert_int_equal(d->exceptions, 0);
	assert_int_equal(d->widest, 1);
	world_destroy(w);
}

/* thingsboard-gateway #406, device-modbus-go #629: a hundred registers are one request. */
static void complaint_3_tags_that_lie_together_are_read_together(void **state)
{
	struct world *w = world_create(33);
	struct sim_device *d = world_device(w, "press");
	char yaml[8192] =
		HEAD "lines: [{name: press, type: modbus-tcp, host: press}]\n"
		     "devices: [{name: m, line: press, max_gap: 0, groups: [{name: f, scan: 1s}], tags: [\n";
	size_t at = strlen(yaml);

	(void)state;
	for (unsigned i = 0; i < 100; i++)
		at += (size_t)snprintf(yaml + at, sizeof(yaml) - at,
				       "{name: t%u, address: 'holding:%u', type: int16},\n", i, i);
	snprintf(yaml + at, sizeof(yaml) - at, "]}]\n");
	world_apply(w, yaml);
	world_run(w, 10100);
	assert_in_range(d->reads, 10, 12);
	assert_int_equal(d->widest, 100);
	world_destroy(w);
}

#define LINES 10

struct starts {
	uint64_t at_us[1024];
	unsigned n;
};

static struct starts starts;

static void note_start(struct world *w, const struct tag_message *m)
{
	(void)m;
	if (starts.n < sizeof(starts.at_us) / sizeof(*starts.at_us))
		starts.at_us[starts.n++] = loop_now_us(w->field_loop);
}

/* Lines have a wire each, but one thread: what ten lines read ten times a second is not all to be done in the same moment. */
static void complaint_4_lines_of_one_interval_are_spread_over_it(void **state)
{
	struct world *w = world_create(34);
	char yaml[4096] = HEAD "lines: [\n";
	size_t at = strlen(yaml);
	unsigned at_once = 0;

	(void)state;
	world_device(w, "press");
	for (unsigned i = 0; i < LINES; i++)
		at += (size_t)snprintf(yaml + at, sizeof(yaml) - at,
				       "{name: l%u, type: modbus-tcp, host: press},\n", i);
	at += (size_t)snprintf(yaml + at, sizeof(yaml) - at, "]\ndevices: [\n");
	for (unsigned i = 0; i < LINES; i++)
		at += (size_t)snprintf(
			yaml + at, sizeof(yaml) - at,
			"{name: d%u, line: l%u, groups: [{name: f, scan: 100ms}], tags: "
			"[{name: a, address: 'holding:0', type: int16, publish: every_scan}]},\n",
			i, i);
	snprintf(yaml + at, sizeof(yaml) - at, "]\n");
	world_apply(w, yaml);
	world_run(w, 3000);
	starts.n = 0;
	w->published = note_start;
	world_run(w, 5000);
	assert_in_range(starts.n, LINES * 49, LINES * 51);
	for (unsigned i = 1; i < starts.n; i++)
		at_once += starts.at_us[i] - starts.at_us[i - 1] < 4000;
	print_message("# %u of %u right behind another\n", at_once, starts.n);
	assert_true(at_once * 5 <= starts.n);
	world_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(complaint_3_a_hole_between_tags_costs_no_value_and_is_not_read_over_again),
		cmocka_unit_test(complaint_3_a_refused_tag_is_remembered_for_all_groups_until_a_reload),
		cmocka_unit_test(complaint_3_a_difficult_device_is_asked_one_by_one),
		cmocka_unit_test(complaint_3_tags_that_lie_together_are_read_together),
		cmocka_unit_test(complaint_4_lines_of_one_interval_are_spread_over_it),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
