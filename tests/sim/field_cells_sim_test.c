/*
 * Tags that the gateway keeps and computes, and alarms, with their operands on a simulated device.
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

#define HEAD                                                                                                 \
	"gateway: {name: plant1}\n"                                                                          \
	"lines:\n"                                                                                           \
	"  - {name: press, type: modbus-tcp, host: press, timeout: 100ms, retries: 0, backoff: {first: 1s, " \
	"max: 1s}}\n"                                                                                        \
	"  - {name: own, type: internal}\n"                                                                  \
	"devices:\n"                                                                                         \
	"  - name: m\n"                                                                                      \
	"    line: press\n"                                                                                  \
	"    groups: [{name: f, scan: 1s}]\n"                                                                \
	"    tags:\n"                                                                                        \
	"      - {name: a, address: 'holding:0', type: int16}\n"                                             \
	"      - {name: b, address: 'holding:1', type: int16}\n"                                             \
	"      - {name: on, address: 'coil:0'}\n"
#define OWN(tags) "  - {name: own, line: own, groups: [{name: g, scan: 1s}], tags: [" tags "]}\n"

static void constants_and_set_points_are_there_at_once(void **state)
{
	struct world *w = world_create(1);

	(void)state;
	world_device(w, "press");
	world_apply(w, HEAD OWN("{name: pi, value: 3.25, unit: rad},"
				"{name: enabled, value: 1, type: bool},"
				"{name: limit, value: 70, type: int16, access: rw, min: 0, max: 100}"));
	world_run(w, 10);
	assert_true(world_has(w, "plant1/own/pi", "\"value\":3.25"));
	assert_true(world_has(w, "plant1/own/pi", "\"unit\":\"rad\""));
	assert_true(world_has(w, "plant1/own/enabled", "\"value\":true"));
	assert_true(world_has(w, "plant1/own/limit", "\"value\":70"));
	assert_true(world_has(w, "plant1/own/_status", "\"online\""));
	world_set(w, "plant1/own/limit/set", "{\"id\":\"1\",\"value\":55}");
	world_await(w, "plant1/own/limit/set/result", "\"ok\":true", 100);
	world_await(w, "plant1/own/limit", "\"value\":55", 100);
	world_set(w, "plant1/own/limit/set", "{\"id\":\"2\",\"value\":101}");
	world_await(w, "plant1/own/limit/set/result", "\"error\":\"range\"", 100);
	world_set(w, "plant1/own/pi/set", "3");
	world_await(w, "plant1/own/pi/set/result", "\"error\":\"read_only\"", 100);
	world_run(w, 5000);
	assert_int_equal(world_seen(w, "plant1/own/limit")->count, 2); /* on change */
	world_destroy(w);
}

static void a_computed_tag_follows_its_operands_once_for_each_scan(void **state)
{
	struct world *w = world_create(2);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	d->regs[0] = 30;
	d->regs[1] = 4;
	world_apply(w, HEAD OWN("{name: top, expression: own/sum * 2},"
				"{name: sum, expression: m/a + m/b, type: int32},"
				"{name: high, expression: 'own/top > 100 and not m/on', type: bool}"));
	world_await(w, "plant1/own/top", "\"value\":68", 1500);
	assert_true(world_has(w, "plant1/own/high", "\"value\":false"));
	world_run(w, 100);
	/* Both operands change with one scan: the sum changes once. */
	d->regs[0] = 60;
	d->regs[1] = 5;
	world_await(w, "plant1/own/top", "\"value\":130", 1500);
	world_run(w, 2000);
	assert_true(world_has(w, "plant1/own/high", "\"value\":true"));
	assert_true(world_has(w, "plant1/own/sum", "\"value\":65"));
	assert_int_equal(world_seen(w, "plant1/own/sum")->count,
			 3); /* bad first, for there was no operand yet */
	d->coils[0] = true;
	world_await(w, "plant1/own/high", "\"value\":false", 1500);
	world_destroy(w);
}

static void what_has_no_result_is_bad_and_says_why(void **state)
{
	struct world *w = world_create(3);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	d->regs[0] = 30;
	world_apply(w, HEAD OWN("{name: ratio, expression: m/a / m/b}, {name: small, expression: m/a * 2000, "
				"type: int16},"
				"{name: other, expression: own/ratio + 1}"));
	world_await(w, "plant1/own/ratio", "\"reason\":\"range\"", 1500); /* by zero */
	world_await(w, "plant1/own/other", "\"reason\":\"range\"", 100);
	world_await(w, "plant1/own/small", "\"reason\":\"range\"", 100);
	d->regs[1] = 4;
	world_await(w, "plant1/own/ratio", "\"value\":7.5", 1500);
	world_await(w, "plant1/own/other", "\"value\":8.5", 100);
	device_die(d);
	world_await(w, "plant1/own/ratio", "\"reason\":\"offline\"", 5000);
	world_await(w, "plant1/own/other", "\"reason\":\"offline\"", 100);
	device_return(d);
	world_await(w, "plant1/own/other", "\"value\":8.5", 5000);
	world_destroy(w);
}

static void windows_move_with_time(void **state)
{
	struct world *w = world_create(4);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	world_apply(w, HEAD OWN("{name: most, expression: 'max(m/a, 10s)'}, {name: rate, expression: "
				"'rate(m/a, 10s)'}"));
	for (unsigned s = 0; s < 20; s++) {
		d->regs[0] = (uint16_t)(5 * s);
		world_run(w, 1000);
	}
	assert_true(world_has(w, "plant1/own/rate", "\"value\":5,"));
	d->regs[0] = 3;
	world_run(w, 5000);
	assert_true(world_has(w, "plant1/own/most", "\"value\":95"));
	world_await(w, "plant1/own/most", "\"value\":3,", 6500);
	world_destroy(w);
}

static void a_counter_counts_edges_and_is_set_by_writing(void **state)
{
	struct world *w = world_create(5);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	d->coils[0] = true; /* no edge: what was before is not known */
	world_apply(w, HEAD OWN("{name: n, counter: {of: m/on}, access: rw},"
				"{name: both, counter: {of: m/on, edge: both}, type: uint16}"));
	world_run(w, 1500);
	assert_true(world_has(w, "plant1/own/n", "\"value\":0"));
	for (unsigned i = 0; i < 6; i++) {
		d->coils[0] = !d->coils[0];
		world_run(w, 1000);
	}
	assert_true(world_has(w, "plant1/own/n", "\"value\":3"));
	assert_true(world_has(w, "plant1/own/both", "\"value\":6"));
	world_set(w, "plant1/own/n/set", "100");
	world_await(w, "plant1/own/n/set/result", "\"ok\":true", 100);
	world_await(w, "plant1/own/n", "\"value\":100", 100);
	d->coils[0] = false;
	world_run(w, 1000);
	d->coils[0] = true;
	world_await(w, "plant1/own/n", "\"value\":101", 1500);
	world_destroy(w);
}

static void a_reload_keeps_what_is_the_same_and_hangs_it_on_anew(void **state)
{
	static const char base[] =
		HEAD OWN("{name: sum, expression: m/a + own/limit}, {name: limit, value: 1, access: rw}");
	struct world *w = world_create(6);
	struct sim_device *d = world_device(w, "press");
	char other[2048];
	char *scan;

	(void)state;
	d->regs[0] = 10;
	world_apply(w, base);
	world_await(w, "plant1/own/sum", "\"value\":11", 1500);
	world_set(w, "plant1/own/limit/set", "5");
	world_await(w, "plant1/own/sum", "\"value\":15", 100);
	/* The device below is another one now; the set point stays. */
	snprintf(other, sizeof(other), "%s", base);
	scan = strstr(other, "scan: 1s");
	assert_non_null(scan);
	scan[6] = '2';
	world_apply(w, other);
	d->regs[0] = 20;
	world_await(w, "plant1/own/sum", "\"value\":25", 3000);
	world_apply(w, base);
	d->regs[0] = 30;
	world_await(w, "plant1/own/sum", "\"value\":35", 3000);
	/* And what hangs on tags may go while they stay. */
	world_apply(w, HEAD);
	world_run(w, 3000);
	assert_string_equal(world_seen(w, "plant1/own/sum")->payload, "");
	world_destroy(w);
}

static void a_reload_that_runs_out_of_memory_changes_nothing(void **state)
{
	static const char more[] =
		HEAD OWN("{name: sum, expression: 'm/a + m/b + rate(m/a, 10s)'}, {name: n, counter: {of: "
			 "m/on}}") "alarms: [{name: hot, tag: m/a, above: 5}]\n";
	struct world *w = world_create(7);
	struct gateway_config *next = world_parse(more);
	struct sim_device *d = world_device(w, "press");
	long n = 1;

	(void)state;
	world_apply(w, HEAD OWN("{name: sum, expression: m/a + 1}"));
	for (; !world_apply_failing(w, next, n); n++) {
		char expected[32];

		d->regs[0]++;
		snprintf(expected, sizeof(expected), "\"value\":%u,", d->regs[0] + 1u);
		world_await(w, "plant1/own/sum", expected, 2500);
	}
	assert_true(n > 10);
	world_await(w, "plant1/own/n", "\"value\":0", 2500);
	world_destroy(w);
}

/* ---- alarms ---- */

#define ALARM(keys) "alarms: [{name: hot, tag: m/a, " keys "}]\n"
#define EVENT       "plant1/_gateway/event"

static void an_alarm_is_raised_and_cleared_once_with_hysteresis(void **state)
{
	struct world *w = world_create(10);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	d->regs[0] = 80;
	world_apply(w, HEAD ALARM("above: 80, hysteresis: 5, text: too hot, severity: critical"));
	world_run(w, 3000);
	assert_null(world_seen(w, EVENT));
	d->regs[0] = 81;
	world_await(w, EVENT,
		    "{\"event\":\"alarm\",\"name\":\"hot\",\"state\":\"raised\",\"severity\":\"critical\","
		    "\"tag\":\"m/a\",\"value\":81,",
		    1500);
	assert_true(world_has(w, EVENT, "\"text\":\"too hot\"}"));
	assert_false(world_seen(w, EVENT)->retain);
	d->regs[0] = 90;
	world_run(w, 3000);
	d->regs[0] = 76;
	world_run(w, 3000);
	assert_int_equal(world_seen(w, EVENT)->count, 1);
	d->regs[0] = 75;
	world_await(w, EVENT, "\"state\":\"cleared\"", 1500);
	world_run(w, 3000);
	assert_int_equal(world_seen(w, EVENT)->count, 2);
	world_destroy(w);
}

static void an_alarm_waits_out_its_delay(void **state)
{
	struct world *w = world_create(11);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	d->regs[0] = 5;
	world_apply(w, HEAD ALARM("below: 3, delay: 5s"));
	world_run(w, 2000);
	d->regs[0] = 1;
	world_run(w, 3000);
	d->regs[0] = 4; /* back before */
	world_run(w, 10000);
	assert_null(world_seen(w, EVENT));
	d->regs[0] = 2;
	assert_in_range(world_await(w, EVENT, "\"state\":\"raised\"", 8000), 5000, 6100);
	world_destroy(w);
}

static void bad_quality_raises_it_where_that_is_asked(void **state)
{
	struct world *w = world_create(12);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	world_apply(w, HEAD
		    "alarms: [{name: limit, tag: m/a, above: 5}, {name: lost, tag: m/a, quality: true}]\n");
	d->regs[0] = 9;
	world_await(w, EVENT, "\"name\":\"limit\",\"state\":\"raised\"", 1500);
	device_die(d);
	world_await(w, EVENT, "\"name\":\"lost\",\"state\":\"raised\"", 5000);
	assert_true(world_has(w, EVENT, "\"value\":null,\"quality\":\"bad\",\"reason\":\"offline\""));
	device_return(d);
	world_await(w, EVENT, "\"name\":\"lost\",\"state\":\"cleared\"", 5000);
	world_run(w, 1500);
	assert_int_equal(world_seen(w, EVENT)->count, 3); /* the limit was not cleared while nobody knew */
	d->regs[0] = 1;
	world_await(w, EVENT, "\"name\":\"limit\",\"state\":\"cleared\"", 1500);
	world_destroy(w);
}

static void an_alarm_of_a_computed_tag_survives_a_reload(void **state)
{
	static const char with[] = HEAD OWN(
		"{name: sum, expression: m/a + m/b}") "alarms: [{name: x, tag: own/sum, above: 5}]\n";
	struct world *w = world_create(13);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	d->regs[0] = 9;
	world_apply(w, with);
	world_await(w, EVENT, "\"state\":\"raised\"", 1500);
	world_apply(w, with);
	world_run(w, 3000);
	assert_int_equal(world_seen(w, EVENT)->count, 1);
	world_apply(w, HEAD OWN("{name: sum, expression: m/a + m/b}"));
	assert_true(world_has(w, EVENT, "\"state\":\"cleared\""));
	assert_int_equal(world_seen(w, EVENT)->count, 2);
	world_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(constants_and_set_points_are_there_at_once),
		cmocka_unit_test(a_computed_tag_follows_its_operands_once_for_each_scan),
		cmocka_unit_test(what_has_no_result_is_bad_and_says_why),
		cmocka_unit_test(windows_move_with_time),
		cmocka_unit_test(a_counter_counts_edges_and_is_set_by_writing),
		cmocka_unit_test(a_reload_keeps_what_is_the_same_and_hangs_it_on_anew),
		cmocka_unit_test(a_reload_that_runs_out_of_memory_changes_nothing),
		cmocka_unit_test(an_alarm_is_raised_and_cleared_once_with_hysteresis),
		cmocka_unit_test(an_alarm_waits_out_its_delay),
		cmocka_unit_test(bad_quality_raises_it_where_that_is_asked),
		cmocka_unit_test(an_alarm_of_a_computed_tag_survives_a_reload),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
