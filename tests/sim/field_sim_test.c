/*
 * The field side as its users see it, on virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/alloc_fail.h"
#include "base/log.h"
#include "field_world.h"

#define HEAD "gateway: {name: plant1}\n"
#define PRESS(more)                                                                                          \
	"lines:\n"                                                                                           \
	"  - {name: press, type: modbus-tcp, host: press, port: 502, timeout: 500ms, retries: 1" more "}\n"  \
	"devices:\n"                                                                                         \
	"  - name: m1\n"                                                                                     \
	"    line: press\n"                                                                                  \
	"    groups: [{name: fast, scan: 1s}]\n"                                                             \
	"    tags:\n"                                                                                        \
	"      - {name: level, address: 'holding:0', type: int16, scale: 0.1, unit: m, access: rw, min: 0, " \
	"max: 500}\n"                                                                                        \
	"      - {name: count, address: 'holding:1', type: uint64}\n"                                        \
	"      - {name: alarm, address: 'holding:7.3', type: bool, access: rw}\n"                            \
	"      - {name: pump, address: 'coil:5', type: bool, access: rw}\n"                                  \
	"      - {name: text, address: 'holding:20', type: string, length: 6, access: rw}\n"                 \
	"      - {name: far, address: 'holding:100', type: uint16}\n"                                        \
	"      - {name: raw, address: 'holding:30', type: bytes, length: 3, access: rw}\n"                   \
	"      - {name: low, address: 'holding:8', type: uint8, access: rw}\n"                               \
	"      - {name: temp, address: 'input:40', type: float32}\n"

static const char config[] = HEAD PRESS("");
#define QUICK_BACKOFF ", backoff: {first: 200ms, max: 1s}"
static const char config_quick[] = HEAD PRESS(QUICK_BACKOFF);
static const char config_pipelined[] = HEAD PRESS(QUICK_BACKOFF ", max_in_flight: 4");

static void first_values_are_there_at_once_and_right(void **state)
{
	struct world *w = world_create(1);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	d->regs[0] = 2341;
	d->regs[1] = d->regs[2] = d->regs[3] = d->regs[4] = 0xffff;
	d->regs[7] = 8;
	d->coils[5] = true;
	memcpy(&d->regs[20], (uint16_t[]){0x6162, 0x6300, 0}, 6);
	d->regs[30] = 0x00ab;
	d->regs[31] = 0xff12;
	d->regs[8] = 0x1234;
	d->regs[40] = 0x4366, d->regs[41] = 0x199a;
	world_apply(w, config);
	assert_true(world_has(w, "plant1/m1/_status", "\"state\":\"connecting\""));
	world_await(w, "plant1/m1/level", "{\"value\":234.1,\"ts\":", 200);
	world_run(w, 200);
	assert_true(world_has(w, "plant1/m1/level", "\"quality\":\"good\",\"unit\":\"m\"}"));
	assert_true(world_has(w, "plant1/m1/count", "{\"value\":18446744073709551615,"));
	assert_true(world_has(w, "plant1/m1/alarm", "{\"value\":true,"));
	assert_true(world_has(w, "plant1/m1/pump", "{\"value\":true,"));
	assert_true(world_has(w, "plant1/m1/text", "{\"value\":\"abc\","));
	assert_true(world_has(w, "plant1/m1/raw", "{\"value\":\"00abff\","));
	assert_true(world_has(w, "plant1/m1/low", "{\"value\":52,"));
	assert_true(world_has(w, "plant1/m1/temp", "{\"value\":230.1,"));
	assert_true(world_has(w, "plant1/m1/_status", "\"state\":\"online\""));
	assert_true(world_seen(w, "plant1/m1/level")->retain);
	assert_int_equal(d->reads, 4 + 1); /* coil, input, holding 0..8, 20..31, 100 */
	world_destroy(w);
}

static void only_changes_are_published_on_change(void **state)
{
	struct world *w = world_create(2);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	world_apply(w, config);
	world_await(w, "plant1/m1/level", "{\"value\":0,", 500);
	world_run(w, 5000);
	assert_int_equal(world_seen(w, "plant1/m1/level")->count, 1);
	d->regs[0] = 5;
	world_await(w, "plant1/m1/level", "{\"value\":0.5,", 1100);
	assert_int_equal(world_seen(w, "plant1/m1/far")->count, 1);
	world_destroy(w);
}

static void every_scan_and_period_publish_as_often_as_they_say(void **state)
{
	static const char yaml[] = HEAD "lines: [{name: press, type: modbus-tcp, host: press}]\n"
					"devices:\n"
					"  - name: m1\n"
					"    line: press\n"
					"    groups: [{name: a, scan: 500ms, publish: every_scan}, {name: b, "
					"scan: 500ms, publish: period, "
					"period: 2s}]\n"
					"    tags:\n"
					"      - {name: x, address: 'holding:0', type: int16, group: a}\n"
					"      - {name: y, address: 'holding:1', type: int16, group: b}\n";
	struct world *w = world_create(3);
	unsigned x, y;

	(void)state;
	world_device(w, "press");
	world_apply(w, yaml);
	world_run(w, 3000);
	x = world_seen(w, "plant1/m1/x")->count;
	y = world_seen(w, "plant1/m1/y")->count;
	world_run(w, 20000);
	assert_in_range(world_seen(w, "plant1/m1/x")->count - x, 39, 41);
	assert_in_range(world_seen(w, "plant1/m1/y")->count - y, 9, 11);
	world_destroy(w);
}

static void commands_reach_the_device_and_are_answered(void **state)
{
	static const struct {
		const char *tag, *payload, *result;
	} cases[] = {
		{"level", "{\"value\":23.5,\"id\":\"a1\"}",
		 "{\"id\":\"a1\",\"ok\":true,\"value\":23.5,\"ts\":"},
		{"level", "23.54", "{\"ok\":true,\"value\":23.5,"},
		{"level", "-0.1", "{\"ok\":false,\"error\":\"range\",\"text\":\"below the minimum 0\""},
		{"level", "500.1", "\"text\":\"above the maximum 500\""},
		{"level", "true", "\"error\":\"type\""},
		{"level", "{\"val\":1}", "\"error\":\"malformed\""},
		{"count", "1", "\"error\":\"read_only\""},
		{"nothing", "{\"value\":1,\"id\":\"z\"}",
		 "{\"id\":\"z\",\"ok\":false,\"error\":\"unknown_tag\""},
		{"alarm", "true", "{\"ok\":true,\"value\":true,"},
		{"pump", "1", "{\"ok\":true,\"value\":true,"},
		{"pump", "2", "\"error\":\"type\""},
		{"text", "\"hello\"", "{\"ok\":true,\"value\":\"hello\","},
		{"text", "\"toolong\"", "\"error\":\"range\""},
		{"raw", "\"0102fe\"", "{\"ok\":true,\"value\":\"0102fe\","},
		{"raw", "\"0102\"", "\"error\":\"range\""},
		{"raw", "\"0102xx\"", "\"error\":\"type\""},
		{"low", "255", "{\"ok\":true,\"value\":255,"},
		{"low", "256", "\"error\":\"range\""},
	};
	struct world *w = world_create(4);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	d->regs[7] = 0x8001;
	d->regs[8] = 0x1200;
	d->regs[31] = 0x0077;
	world_apply(w, config);
	world_await(w, "plant1/m1/_status", "online", 500);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char topic[80], result[96];
		unsigned before;

		snprintf(topic, sizeof(topic), "plant1/m1/%s/set", cases[i].tag);
		snprintf(result, sizeof(result), "%s/result", topic);
		before = world_seen(w, result) ? world_seen(w, result)->count : 0;
		world_set(w, topic, cases[i].payload);
		world_run(w, 300);
		if (!world_has(w, result, cases[i].result))
			fail_msg("%s %s: %s", topic, cases[i].payload, world_seen(w, result)->payload);
		assert_int_equal(world_seen(w, result)->count, before + 1);
		assert_false(world_seen(w, result)->retain);
	}
	assert_int_equal(d->regs[0], 235);
	assert_int_equal(d->regs[7], 0x8009);
	assert_int_equal(d->regs[8], 0x12ff);
	assert_int_equal(d->regs[31], 0xfe77);
	assert_true(d->coils[5]);
	world_destroy(w);
}

static void a_new_value_shows_soon_after_its_command(void **state)
{
	static const char yaml[] =
		HEAD "lines: [{name: press, type: modbus-tcp, host: press}]\n"
		     "devices: [{name: m1, line: press, groups: [{name: slow, scan: 1h}], tags: [\n"
		     "  {name: x, address: 'holding:0', type: int16, access: rw}]}]\n";
	struct world *w = world_create(5);

	(void)state;
	world_device(w, "press");
	world_apply(w, yaml);
	world_await(w, "plant1/m1/x", "{\"value\":0,", 500);
	world_set(w, "plant1/m1/x/set", "7");
	assert_true(world_await(w, "plant1/m1/x", "{\"value\":7,", 200) < 100);
	world_destroy(w);
}

static void a_request_with_response_topic_is_answered_there_only(void **state)
{
	struct world *w = world_create(6);
	struct field_set set = {.topic = "plant1/m1/level/set",
				.payload = span_str("1"),
				.response_topic = "me/answers",
				.correlation = span_str("c-7")};

	(void)state;
	world_device(w, "press");
	world_apply(w, config);
	world_await(w, "plant1/m1/_status", "online", 500);
	assert_int_equal(field_set(w->field, &set), OK);
	world_await(w, "me/answers", "\"ok\":true", 500);
	assert_string_equal(world_seen(w, "me/answers")->correlation, "c-7");
	assert_null(world_seen(w, "plant1/m1/level/set/result"));
	set.response_topic = "plant1/m1/far"; /* the gateway's own: not for clients to write */
	assert_int_equal(field_set(w->field, &set), OK);
	world_await(w, "plant1/m1/level/set/result", "\"ok\":true", 500);
	world_run(w, 200);
	assert_true(world_has(w, "plant1/m1/far", "{\"value\":0,"));
	world_destroy(w);
}

static void an_exception_and_an_expiry_are_told(void **state)
{
	struct world *w = world_create(7);
	struct sim_device *d = world_device(w, "press");
	struct field_set set = {.topic = "plant1/m1/level/set", .payload = span_str("1"), .has_expiry = true};

	(void)state;
	world_apply(w, config);
	world_await(w, "plant1/m1/_status", "online", 500);
	d->write_exception = MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
	world_set(w, "plant1/m1/level/set", "{\"value\":1,\"id\":\"a1\"}");
	world_await(w, "plant1/m1/level/set/result",
		    "{\"id\":\"a1\",\"ok\":false,\"error\":\"exception\",\"exception\":3,", 500);
	assert_int_equal(field_set(w->field, &set), OK);
	world_await(w, "plant1/m1/level/set/result", "\"error\":\"expired\"", 500);
	assert_int_equal(d->writes, 1);
	set.topic = "plant1/m1/level";
	assert_int_equal(field_set(w->field, &set), ERR_TOPIC);
	set.topic = "other/m1/level/set";
	assert_int_equal(field_set(w->field, &set), ERR_TOPIC);
	world_destroy(w);
}

static void one_bad_tag_does_not_blank_its_neighbours(void **state)
{
	struct world *w = world_create(8);
	struct sim_device *d = world_device(w, "press");
	unsigned reads;

	(void)state;
	d->refused_from = 7;
	d->refused_to = 8;
	world_apply(w, config);
	world_await(w, "plant1/m1/alarm", "{\"value\":null", 500);
	world_run(w, 200);
	assert_true(world_has(w, "plant1/m1/alarm", "\"quality\":\"bad\",\"reason\":\"exception\"}"));
	assert_true(world_has(w, "plant1/m1/level", "\"quality\":\"good\""));
	assert_true(world_has(w, "plant1/m1/count", "\"quality\":\"good\""));
	assert_true(world_has(w, "plant1/m1/low", "\"quality\":\"good\""));
	world_run(w, 10000);
	assert_true(world_has(w, "plant1/m1/_status", "\"refused\":[\"holding:7\"]}"));
	reads = d->reads;
	world_run(w, 10000);
	assert_in_range(d->reads - reads, 6 * 10 - 6, 6 * 10 + 6); /* 0..4, 8, 20..31, 100, coil, input */
	assert_int_equal(world_seen(w, "plant1/m1/level")->count, 1);
	d->refused_to = 0;
	world_await(w, "plant1/m1/alarm", "\"quality\":\"good\"", 61100);
	world_run(w, 11000);
	assert_false(world_has(w, "plant1/m1/_status", "refused"));
	reads = d->reads;
	world_run(w, 10000);
	assert_in_range(d->reads - reads, 5 * 10 - 5, 5 * 10 + 5);
	world_destroy(w);
}

/* The requirement, once for each way to die. */
static void dies_and_returns(uint64_t seed, void (*die)(struct sim_device *d),
			     void (*come_back)(struct sim_device *d), const char *reason)
{
	const uint64_t scan = 1000, timeout = 500, attempts = 2;
	struct world *w = world_create(seed);
	struct sim_device *d = world_device(w, "press");
	char bad[64];
	uint64_t dead_for;

	snprintf(bad, sizeof(bad), "\"quality\":\"bad\",\"reason\":\"%s\"", reason);
	world_apply(w, config);
	world_await(w, "plant1/m1/level", "\"quality\":\"good\"", 500);
	world_run(w, sim_random(w->sim, 5000));
	die(d);
	world_await(w, "plant1/m1/level", bad, 2 * scan + timeout * attempts);
	assert_true(world_has(w, "plant1/m1/far", bad));
	assert_true(world_has(w, "plant1/m1/_status", "\"state\":\"offline\""));
	world_set(w, "plant1/m1/level/set", "1");
	assert_true(world_has(w, "plant1/m1/level/set/result", "\"error\":\"offline\""));
	dead_for = sim_random(w->sim, 9000);
	world_run(w, dead_for);
	come_back(d);
	/* the first back-off of 5 s is in force until its probe went out at seven eighths of it, then 10 s */
	world_await(w, "plant1/m1/far", "\"quality\":\"good\"", dead_for < 4300 ? 5000 : 10000);
	world_await(w, "plant1/m1/_status", "\"state\":\"online\"", 10);
	world_destroy(w);
}

static void a_device_that_dies_is_bad_in_time_and_good_again_in_time(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		dies_and_returns(seed, device_die, device_return, "offline");
		dies_and_returns(seed, device_hang, device_return, "timeout");
		dies_and_returns(seed, device_hang, device_reboot, "timeout");
	}
}

static void the_back_off_doubles_up_to_its_maximum(void **state)
{
	struct world *w = world_create(9);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	world_apply(w, config);
	world_await(w, "plant1/m1/_status", "online", 500);
	device_die(d);
	world_run(w, 3600 * 1000);
	device_return(d);
	world_await(w, "plant1/m1/level", "\"quality\":\"good\"", 300 * 1000);
	device_die(d); /* and the next time it starts small again */
	world_await(w, "plant1/m1/level", "\"quality\":\"bad\"", 3000);
	device_return(d);
	world_await(w, "plant1/m1/level", "\"quality\":\"good\"", 5000);
	world_destroy(w);
}

static void a_lost_connection_alone_is_mended_without_a_bad_value(void **state)
{
	struct world *w = world_create(10);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	world_apply(w, config);
	world_await(w, "plant1/m1/level", "\"quality\":\"good\"", 500);
	for (int i = 0; i < 20; i++) {
		device_return(d); /* ends and starts again at once */
		world_run(w, 777);
	}
	assert_int_equal(world_seen(w, "plant1/m1/level")->count, 1);
	world_destroy(w);
}

static const char two_units[] =
	HEAD "lines: [{name: press, type: modbus-tcp, host: press, timeout: 500ms, retries: 1}]\n"
	     "devices:\n"
	     "  - {name: m1, line: press, unit: 1, tags: [{name: x, address: 'holding:0', type: int16, "
	     "access: rw}]}\n"
	     "  - {name: m2, line: press, unit: 2, tags: [{name: x, address: 'holding:0', type: int16, "
	     "access: rw}]}\n";

static void an_absent_unit_does_not_disturb_its_neighbour(void **state)
{
	struct world *w = world_create(11);
	struct sim_device *d = world_device(w, "press");
	unsigned reads;

	(void)state;
	d->absent_unit = 2;
	world_apply(w, two_units);
	world_await(w, "plant1/m1/x", "\"quality\":\"good\"", 500);
	world_await(w, "plant1/m2/x", "\"reason\":\"timeout\"", 2000);
	reads = d->reads;
	world_run(w, 20000);
	assert_in_range(d->reads - reads, 20, 26); /* one a second of unit 1, a probe at 5, 15 s of unit 2 */
	assert_true(world_has(w, "plant1/m2/_status", "offline"));
	d->absent_unit = 255;
	world_await(w, "plant1/m2/x", "\"quality\":\"good\"", 20000);
	assert_true(world_has(w, "plant1/m1/_status", "\"timeouts\":0"));
	world_destroy(w);
}

#define UNIT(name, unit, group)                                  \
	"  - {name: " name ", line: press, unit: " unit group    \
	", tags: [{name: x, address: 'holding:0', type: int16, " \
	"access: rw}]}\n"
#define SLOWER ", groups: [{name: a, scan: 2s}]"
#define PRESS_UNITS \
	HEAD "lines: [{name: press, type: modbus-tcp, host: press, timeout: 500ms, retries: 1}]\ndevices:\n"

/* The other device finds that the line works, before the new one is given up or after it. */
static void new_on_a_line_that_was_down(uint64_t seed, bool is_before)
{
	struct world *w = world_create(seed);
	struct sim_device *d = world_device(w, "press");

	world_apply(w, two_units);
	world_await(w, "plant1/m2/x", "\"quality\":\"good\"", 500);
	device_die(d);
	world_await(w, "plant1/m1/x", "\"reason\":\"offline\"", 2500);
	device_return(d);
	d->absent_unit = 2;
	if (!is_before) {
		world_apply(w, PRESS_UNITS UNIT("m1", "1", "") UNIT("m2", "2", SLOWER));
		world_await(w, "plant1/m2/x", "\"reason\":\"timeout\"", 500);
	}
	world_apply(w, PRESS_UNITS UNIT("m1", "1", SLOWER) UNIT("m2", "2", SLOWER));
	world_await(w, "plant1/m1/x", "\"quality\":\"good\"", 500);
	world_await(w, "plant1/m2/x", "\"reason\":\"timeout\"", 500);
	world_run(w, 100);
	d->absent_unit = 255;
	world_await(w, "plant1/m2/x", "\"quality\":\"good\"", 5000);
	world_destroy(w);
}

static void a_device_that_is_new_on_a_line_that_was_down_begins_with_the_first_back_off(void **state)
{
	(void)state;
	new_on_a_line_that_was_down(20, true);
	new_on_a_line_that_was_down(21, false);
}

/* A reload takes one of the two devices away while the only probe of the line waits for its answer. */
static void one_goes_while_its_line_is_probed(uint64_t seed, const char *rest, const char *topic)
{
	struct world *w = world_create(seed);
	struct sim_device *d = world_device(w, "press");

	world_apply(w, two_units);
	world_await(w, "plant1/m2/x", "\"quality\":\"good\"", 500);
	device_die(d);
	world_await(w, topic, "\"reason\":\"offline\"", 2500);
	device_hang(d);
	world_run(w, 4500); /* the probe went out at seven eighths of 5 s */
	world_apply(w, rest);
	device_return(d);
	world_await(w, topic, "\"quality\":\"good\"", 10000);
	world_destroy(w);
}

static void a_line_is_probed_on_when_the_device_that_was_asked_goes(void **state)
{
	(void)state;
	one_goes_while_its_line_is_probed(22, PRESS_UNITS UNIT("m1", "1", ""), "plant1/m1/x");
	one_goes_while_its_line_is_probed(23, PRESS_UNITS UNIT("m2", "2", ""), "plant1/m2/x");
}

static void a_device_without_tags_is_not_what_a_line_is_probed_by(void **state)
{
	struct world *w = world_create(24);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	world_apply(w, PRESS_UNITS "  - {name: m0, line: press, unit: 3, tags: []}\n" UNIT("m1", "1", ""));
	world_await(w, "plant1/m1/x", "\"quality\":\"good\"", 500);
	device_die(d);
	world_await(w, "plant1/m1/x", "\"reason\":\"offline\"", 2500);
	device_return(d);
	world_await(w, "plant1/m1/x", "\"quality\":\"good\"", 5000);
	world_destroy(w);
}

static void a_line_that_is_refused_takes_all_its_devices_and_brings_all_back(void **state)
{
	struct world *w = world_create(12);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	world_apply(w, two_units);
	world_await(w, "plant1/m2/x", "\"quality\":\"good\"", 500);
	device_die(d);
	world_await(w, "plant1/m1/x", "\"reason\":\"offline\"", 2500);
	world_await(w, "plant1/m2/x", "\"reason\":\"offline\"", 1);
	device_return(d);
	world_await(w, "plant1/m1/x", "\"quality\":\"good\"", 5000);
	world_await(w, "plant1/m2/x", "\"quality\":\"good\"", 500);
	world_destroy(w);
}

static void a_reload_changes_only_what_is_different(void **state)
{
	static const char one_unit[] =
		HEAD "lines: [{name: press, type: modbus-tcp, host: press, timeout: 500ms, retries: 1}]\n"
		     "devices:\n"
		     "  - {name: m1, line: press, unit: 1, tags: [{name: x, address: 'holding:0', type: "
		     "int16, access: rw}]}\n";
	struct world *w = world_create(13);
	struct sim_device *d = world_device(w, "press");
	unsigned status;

	(void)state;
	world_apply(w, two_units);
	world_run(w, 15000);
	status = world_seen(w, "plant1/m1/_status")->count;
	world_set(w, "plant1/m2/x/set", "{\"value\":1,\"id\":\"gone\"}");
	world_apply(w, one_unit);
	assert_true(world_has(w, "plant1/m2/x/set/result",
			      "{\"id\":\"gone\",\"ok\":false,\"error\":\"cancelled\""));
	assert_string_equal(world_seen(w, "plant1/m2/x")->payload, "");
	assert_string_equal(world_seen(w, "plant1/m2/_status")->payload, "");
	assert_true(world_seen(w, "plant1/m2/x")->retain);
	assert_int_equal(world_seen(w, "plant1/m1/_status")->count, status); /* it never noticed */
	assert_int_equal(world_seen(w, "plant1/m1/x")->count, 1);
	d->regs[0] = 3;
	world_await(w, "plant1/m1/x", "{\"value\":3,", 1100);
	world_apply(w, two_units);
	world_await(w, "plant1/m2/x", "{\"value\":3,", 500);
	world_apply(w, HEAD "lines: []\n");
	assert_string_equal(world_seen(w, "plant1/m1/x")->payload, "");
	world_run(w, 1000);
	world_destroy(w);
}

static void a_reload_that_runs_out_of_memory_changes_nothing(void **state)
{
	struct world *w = world_create(17);
	struct gateway_config *next = world_parse(config);
	struct sim_device *d = world_device(w, "press");
	unsigned messages;
	long n = 1;

	(void)state;
	world_apply(w, two_units);
	world_await(w, "plant1/m2/x", "\"quality\":\"good\"", 500);
	for (; messages = w->nmessages, !world_apply_failing(w, next, n); n++) {
		assert_int_equal(w->nmessages, messages);
		d->regs[0]++;
		world_run(w, 1100);
		assert_true(w->nmessages >= messages + 2); /* the new value of both */
	}
	assert_true(n > 10);
	assert_string_equal(world_seen(w, "plant1/m2/x")->payload, "");
	world_await(w, "plant1/m1/level", "\"quality\":\"good\"", 500);
	world_destroy(w);
}

static void a_command_that_runs_out_of_memory_is_answered(void **state)
{
	struct world *w = world_create(18);

	(void)state;
	world_device(w, "press");
	world_apply(w, two_units);
	world_await(w, "plant1/m1/x", "\"quality\":\"good\"", 500);
	alloc_fail_at(1);
	world_set(w, "plant1/m1/x/set", "1");
	assert_true(alloc_fail_end());
	assert_true(world_has(w, "plant1/m1/x/set/result", "\"error\":\"busy\",\"text\":\"out of memory\""));
	world_destroy(w);
}

static void commands_are_answered_when_everything_stops(void **state)
{
	struct world *w = world_create(14);

	(void)state;
	world_device(w, "press");
	world_apply(w, two_units);
	world_await(w, "plant1/m1/x", "\"quality\":\"good\"", 500);
	world_set(w, "plant1/m1/x/set", "1");
	world_set(w, "plant1/m1/x/set", "2");
	field_destroy(w->field);
	w->field = NULL;
	assert_int_equal(world_seen(w, "plant1/m1/x/set/result")->count, 2);
	world_destroy(w);
}

static void a_line_slower_than_asked_skips_scans_and_says_so(void **state)
{
	static const char yaml[] = HEAD
		"lines: [{name: press, type: modbus-tcp, host: press, timeout: 5s}]\n"
		"devices: [{name: m1, line: press, groups: [{name: fast, scan: 10ms}], max_gap: 0, tags: [\n"
		"  {name: a, address: 'holding:0', type: int16, access: rw}, {name: b, address: 'holding:9', "
		"type: int16}]}]\n";
	struct world *w = world_create(15);

	(void)state;
	world_device(w, "press");
	sim_net_set_faults(w->net, &(struct sim_net_faults){.max_delay_us = 50000, .buffer = 65536});
	world_apply(w, yaml);
	world_run(w, 11000);
	assert_false(world_has(w, "plant1/m1/_status", "\"late\":0,"));
	assert_false(world_has(w, "plant1/m1/_status", "\"late_ms\":0,"));
	world_set(w, "plant1/m1/a/set", "5"); /* a command waits for one request at most, not for the scan */
	assert_true(world_await(w, "plant1/m1/a/set/result", "\"ok\":true", 1000) <= 200);
	world_destroy(w);
}

static void a_step_of_the_wall_clock_changes_times_only(void **state)
{
	struct world *w = world_create(21);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	world_apply(w, config);
	world_await(w, "plant1/m1/level", "\"quality\":\"good\"", 500);
	sim_step_wall(w->sim, -86400000);
	d->regs[0] = 1;
	world_await(w, "plant1/m1/level", "{\"value\":0.1,", 1100);
	sim_step_wall(w->sim, 2 * 86400000LL);
	d->regs[0] = 2;
	world_await(w, "plant1/m1/level", "{\"value\":0.2,", 1100);
	assert_true(world_has(w, "plant1/m1/_status", "online"));
	world_destroy(w);
}

static void a_rack_has_moving_channels_with_attributes(void **state)
{
	static const char yaml[] = HEAD "lines: [{name: rack, type: sim}]\n"
					"devices: [{name: rack, line: rack}]\n";
	struct world *w = world_create(16);

	(void)state;
	world_apply(w, yaml);
	world_await(w, "plant1/rack/ai3.status", "\"value\":0", 200);
	assert_true(world_has(w, "plant1/rack/ai0.mode", "{\"value\":\"0-10V\","));
	assert_true(world_has(w, "plant1/rack/ai2", "\"unit\":\"°C\"}"));
	assert_true(world_has(w, "plant1/rack/ai1.min", "\"unit\":\"mA\"}"));
	assert_true(world_has(w, "plant1/rack/do0", "\"value\":false"));
	world_run(w, 60000);
	assert_true(world_has(w, "plant1/rack/ai0.max", "{\"value\":10,"));
	assert_true(world_seen(w, "plant1/rack/di0")->count > 20);
	assert_true(world_seen(w, "plant1/rack/ai0")->count > 50);
	world_set(w, "plant1/rack/do2/set", "true");
	world_await(w, "plant1/rack/do2", "\"value\":true", 100);
	world_set(w, "plant1/rack/di2/set", "true");
	assert_true(world_has(w, "plant1/rack/di2/set/result", "read_only"));
	world_destroy(w);
}

static uint64_t running_seed; /* 0: none */

static int tell_seed(void **state)
{
	(void)state;
	if (running_seed)
		print_message("replay with LINESIDE_SEED=%lu\n", (unsigned long)running_seed);
	return 0;
}

/* Whatever the network does, every command has one result, and in the end all is good. */
static void faults_run(uint64_t seed)
{
	struct world *w = world_create(seed);
	struct sim_device *d = world_device(w, "press");
	const char *usual = seed % 2 ? config_quick : config_pipelined;
	unsigned sent = 0;

	sim_net_set_faults(w->net, &(struct sim_net_faults){.max_delay_us = seed % 3 ? 30000 : 700000,
							    .buffer = 64,
							    .partial_one_in = 3,
							    .cut_one_in = 60});
	world_apply(w, usual);
	for (int i = 0; i < 200; i++) {
		uint64_t what = sim_random(w->sim, 14);
		char payload[16];

		snprintf(payload, sizeof(payload), "%d", i);
		if (what < 8) {
			world_set(w, what & 1 ? "plant1/m1/level/set" : "plant1/m1/low/set", payload);
			sent++;
		} else if (what == 8) {
			device_die(d);
		} else if (what == 9) {
			device_hang(d);
		} else if (what == 10) {
			device_return(d);
		} else if (what >= 11) {
			device_reboot(d);
		}
		if (sim_one_in(w->sim, 20))
			world_apply(w, sim_one_in(w->sim, 2) ? usual : two_units);
		world_run(w, sim_random(w->sim, 3000));
	}
	sim_net_set_faults(w->net, &(struct sim_net_faults){.max_delay_us = 1000, .buffer = 65536});
	device_return(d);
	world_apply(w, usual);
	world_run(w, 5000);
	assert_true(world_has(w, "plant1/m1/level", "\"quality\":\"good\""));
	assert_true(world_has(w, "plant1/m1/temp", "\"quality\":\"good\""));
	assert_int_equal((world_seen(w, "plant1/m1/level/set/result")
				  ? world_seen(w, "plant1/m1/level/set/result")->count
				  : 0) +
				 (world_seen(w, "plant1/m1/low/set/result")
					  ? world_seen(w, "plant1/m1/low/set/result")->count
					  : 0),
			 sent);
	world_destroy(w);
}

static void every_command_has_one_result_whatever_the_network_does(void **state)
{
	const char *only = getenv("LINESIDE_SEED");
	uint64_t first = only ? strtoull(only, NULL, 10) : 1, last = only ? first : 200;

	(void)state;
	for (uint64_t seed = first; seed <= last; seed++) {
		running_seed = seed;
		faults_run(seed);
		running_seed = 0;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_values_are_there_at_once_and_right),
		cmocka_unit_test(only_changes_are_published_on_change),
		cmocka_unit_test(every_scan_and_period_publish_as_often_as_they_say),
		cmocka_unit_test(commands_reach_the_device_and_are_answered),
		cmocka_unit_test(a_new_value_shows_soon_after_its_command),
		cmocka_unit_test(a_request_with_response_topic_is_answered_there_only),
		cmocka_unit_test(an_exception_and_an_expiry_are_told),
		cmocka_unit_test(one_bad_tag_does_not_blank_its_neighbours),
		cmocka_unit_test(a_device_that_dies_is_bad_in_time_and_good_again_in_time),
		cmocka_unit_test(the_back_off_doubles_up_to_its_maximum),
		cmocka_unit_test(a_lost_connection_alone_is_mended_without_a_bad_value),
		cmocka_unit_test(an_absent_unit_does_not_disturb_its_neighbour),
		cmocka_unit_test(a_device_that_is_new_on_a_line_that_was_down_begins_with_the_first_back_off),
		cmocka_unit_test(a_line_is_probed_on_when_the_device_that_was_asked_goes),
		cmocka_unit_test(a_device_without_tags_is_not_what_a_line_is_probed_by),
		cmocka_unit_test(a_line_that_is_refused_takes_all_its_devices_and_brings_all_back),
		cmocka_unit_test(a_reload_changes_only_what_is_different),
		cmocka_unit_test(a_reload_that_runs_out_of_memory_changes_nothing),
		cmocka_unit_test(a_command_that_runs_out_of_memory_is_answered),
		cmocka_unit_test(commands_are_answered_when_everything_stops),
		cmocka_unit_test(a_line_slower_than_asked_skips_scans_and_says_so),
		cmocka_unit_test(a_step_of_the_wall_clock_changes_times_only),
		cmocka_unit_test(a_rack_has_moving_channels_with_attributes),
		cmocka_unit_test_teardown(every_command_has_one_result_whatever_the_network_does, tell_seed),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
