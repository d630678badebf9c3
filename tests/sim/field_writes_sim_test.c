/*
 * Writes: their order, what becomes of those that repeat, how they reach the device, and that each has one answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "field_world.h"

#define HEAD                     "gateway: {name: plant1}\n"
#define LINE                     "lines: [{name: press, type: modbus-tcp, host: press, timeout: 500ms, retries: 1}]\n"
#define DEVICE_M                 "devices: [{name: m, line: press, max_gap: 0, "
#define TAG(name, address, more) "{name: " name ", address: '" address "', access: rw" more "}"

static unsigned results_of(struct world *w, const char *tag)
{
	char topic[64];

	snprintf(topic, sizeof(topic), "plant1/m/%s/set/result", tag);
	return world_seen(w, topic) ? world_seen(w, topic)->count : 0;
}

static void set(struct world *w, const char *tag, const char *payload)
{
	char topic[64];

	snprintf(topic, sizeof(topic), "plant1/m/%s/set", tag);
	world_set(w, topic, payload);
}

static bool was_told(struct world *w, const char *tag, const char *part)
{
	char topic[64];

	snprintf(topic, sizeof(topic), "plant1/m/%s/set/result", tag);
	return world_has(w, topic, part);
}

static void await_result(struct world *w, const char *tag, const char *part, uint64_t limit_ms)
{
	char topic[64];

	snprintf(topic, sizeof(topic), "plant1/m/%s/set/result", tag);
	world_await(w, topic, part, limit_ms);
}

/* A device with registers x0, x1, ... */
static void apply_many(struct world *w, unsigned ntags)
{
	size_t size = 300 + 80 * (size_t)ntags, at;
	char *yaml = malloc(size);

	assert_non_null(yaml);
	at = (size_t)snprintf(yaml, size, HEAD LINE DEVICE_M "tags: [\n");
	for (unsigned i = 0; i < ntags; i++)
		at += (size_t)snprintf(yaml + at, size - at,
				       "{name: x%u, address: 'holding:%u', type: int16, access: rw},\n", i,
				       i % 500);
	snprintf(yaml + at, size - at, "]}]\n");
	world_apply(w, yaml);
	free(yaml);
}

static void set_x(struct world *w, unsigned i, int value)
{
	char tag[16], payload[48];

	snprintf(tag, sizeof(tag), "x%u", i);
	snprintf(payload, sizeof(payload), "{\"value\":%d,\"id\":\"n%d\"}", value, value);
	set(w, tag, payload);
}

/* thingsboard-gateway #1841, modbus4mqtt #1: one queue, writes first, but polls go on. */
static void complaint_5_writes_go_out_in_order_and_do_not_stop_the_polls(void **state)
{
	struct world *w = world_create(19);
	struct sim_device *d = world_device(w, "press");
	unsigned polled = 0;

	(void)state;
	sim_net_set_faults(w->net, &(struct sim_net_faults){.max_delay_us = 20000, .buffer = 65536});
	apply_many(w, 200);
	world_await(w, "plant1/m/x0", "\"quality\":\"good\"", 2000);
	d->nwritten = d->writes = 0;
	for (int i = 0; i < 200; i++)
		set_x(w, (unsigned)i, i + 1);
	while (d->writes < 200) {
		unsigned reads = d->reads, writes = d->writes;

		world_run(w, 1000);
		polled += d->reads > reads;
		assert_true(d->writes - writes >= 2 * (d->reads - reads) || d->writes == 200);
		for (unsigned i = writes; i + 1 < d->writes && d->writes - i < 64; i++)
			assert_int_equal(d->written[i % 64], i);
	}
	assert_true(polled >= 3);
	world_run(w, 500);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(d->regs[i], i + 1);
	assert_true(was_told(w, "x199", "{\"id\":\"n200\",\"ok\":true,\"value\":200,"));
	world_destroy(w);
}

/* A slider that moves: the newest value goes out, and everybody is told what became of theirs. */
static void complaint_5_repeated_writes_to_a_tag_become_one(void **state)
{
	struct world *w = world_create(21);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	apply_many(w, 2);
	world_await(w, "plant1/m/x0", "\"quality\":\"good\"", 500);
	for (int i = 1; i <= 50; i++)
		set_x(w, 0, i);
	assert_int_equal(results_of(w, "x0"), 49);
	assert_true(was_told(w, "x0", "{\"id\":\"n49\",\"ok\":false,\"error\":\"superseded\","));
	await_result(w, "x0", "{\"id\":\"n50\",\"ok\":true,\"value\":50,", 500);
	assert_int_equal(results_of(w, "x0"), 50);
	assert_int_equal(d->writes, 1);
	assert_int_equal(d->regs[0], 50);
	world_destroy(w);
}

/* enable=0, setpoint=5, enable=1: the machine never runs with the old set point. */
static void what_is_left_of_repeated_writes_keeps_its_order(void **state)
{
	struct world *w = world_create(22);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	apply_many(w, 3);
	world_await(w, "plant1/m/x0", "\"quality\":\"good\"", 500);
	set_x(w, 2, 7); /* on its way at once */
	world_run(w, 1);
	d->nwritten = 0;
	set_x(w, 0, 0);
	set_x(w, 1, 5);
	set_x(w, 0, 1);
	await_result(w, "x0", "\"ok\":true", 500);
	assert_int_equal(d->written[(d->nwritten - 2) % 64], 1);
	assert_int_equal(d->written[(d->nwritten - 1) % 64], 0);
	assert_true(was_told(w, "x1", "\"ok\":true"));
	world_destroy(w);
}

static void more_commands_than_fit_are_refused_as_busy(void **state)
{
	struct world *w = world_create(20);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	apply_many(w, 1001);
	world_await(w, "plant1/m/x0", "\"quality\":\"good\"", 500);
	for (int i = 0; i < 1000; i++)
		set_x(w, (unsigned)i, i);
	assert_null(world_seen(w, "plant1/m/x0/set/result"));
	set_x(w, 1000, 7);
	assert_true(was_told(w, "x1000", "\"error\":\"busy\""));
	set_x(w, 999, 8); /* in the place of another */
	assert_true(was_told(w, "x999", "\"error\":\"superseded\""));
	world_run(w, 20000);
	assert_int_equal(d->writes, 1000);
	assert_true(was_told(w, "x999", "\"ok\":true,\"value\":8,"));
	world_destroy(w);
}

/* mqmgateway #1, ebusd #242: what the device says it holds, not what we told it. */
static void complaint_7_a_verified_write_is_read_back(void **state)
{
	static const char yaml[] = HEAD LINE DEVICE_M
		"tags: [" TAG("v", "holding:0", ", type: int16, scale: 0.1, verify: true") ", " TAG(
			"b", "holding:7.3", ", type: bool, verify: true") "," TAG("c", "coil:4",
										  ", verify: true") "]}]\n";
	struct world *w = world_create(23);
	struct sim_device *d = world_device(w, "press");

	(void)state;
	world_apply(w, yaml);
	world_await(w, "plant1/m/v", "\"quality\":\"good\"", 500);
	set(w, "v", "9.5");
	await_result(w, "v", "\"ok\":true,\"value\":9.5", 500);
	set(w, "b", "true");
	await_result(w, "b", "\"ok\":true,\"value\":true", 500);
	set(w, "c", "true");
	await_result(w, "c", "\"ok\":true,\"value\":true", 500);
	d->is_clipping = true;
	set(w, "v", "{\"value\":70,\"id\":\"a\"}");
	await_result(w, "v",
		     "{\"id\":\"a\",\"ok\":false,\"error\":\"verify\",\"text\":\"wrote 70, read back 10\"",
		     500);
	assert_true(world_has(w, "plant1/m/v", "{\"value\":10,"));
	d->refused_from = 0, d->refused_to = 1;
	set(w, "v", "1");
	await_result(w, "v", "\"error\":\"exception\",\"exception\":2", 500);
	assert_int_equal(results_of(w, "v"), 3);
	world_destroy(w);
}

static void a_device_is_written_with_the_functions_that_it_has(void **state)
{
	static const struct {
		const char *keys, *tag, *value;
		unsigned fcs[4], counts[4]; /* which functions, and how often each */
		unsigned reg, expected;
	} cases[] = {
		{"", "w", "5", {6}, {1}, 0, 5},
		{"", "f", "1.0", {16}, {1}, 2, 0x3f80},
		{"", "b", "true", {3, 6}, {1, 1}, 7, 0x8009},
		{"write: multiple, ", "w", "5", {16}, {1}, 0, 5},
		{"write: multiple, ", "c", "true", {15}, {1}, 0, 0},
		{"write: multiple, ", "b", "true", {3, 16}, {1, 1}, 7, 0x8009},
		{"write: single, ", "f", "1.0", {6}, {2}, 2, 0x3f80},
		{"write: single, ", "s", "\"abcde\"", {3, 6}, {1, 3}, 22, 0x6577},
		{"mask_write: true, ", "b", "true", {22}, {1}, 7, 0x8009},
		{"mask_write: true, ", "l", "255", {22}, {1}, 8, 0x12ff},
		{"mask_write: true, ", "s", "\"abcde\"", {3, 16}, {1, 1}, 22, 0x6577},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct world *w = world_create(24);
		struct sim_device *d = world_device(w, "press");
		char yaml[1024];

		d->regs[7] = 0x8001;
		d->regs[8] = 0x1234;
		d->regs[22] = 0x0077;
		snprintf(
			yaml, sizeof(yaml),
			HEAD LINE DEVICE_M "%s groups: [{name: g, scan: 1h}], tags: [%s]}]\n", cases[i].keys,
			TAG("w", "holding:0", ", type: int16") "," TAG("f", "holding:2", ", type: float32") "," TAG(
				"b", "holding:7.3",
				", type: bool") "," TAG("l", "holding:8",
							", type: uint8") "," TAG("s",
										 "holding:"
										 "20",
										 ", type: "
										 "string, "
										 "length: "
										 "5") "," TAG("c", "coil:0",
											      ""));
		world_apply(w, yaml);
		world_run(w, 500);
		memset(d->requests, 0, sizeof(d->requests));
		d->requests[1] = d->requests[3] = 0;
		for (unsigned fc = 0; fc < 128; fc++)
			d->lacks[fc] = fc == 5 || fc == 6 || fc == 15 || fc == 16 || fc == 22;
		for (unsigned k = 0; k < 4; k++)
			d->lacks[cases[i].fcs[k]] = false;
		set(w, cases[i].tag, cases[i].value);
		await_result(w, cases[i].tag, "\"ok\":true", 500);
		for (unsigned k = 0; k < 4 && cases[i].fcs[k]; k++)
			if (cases[i].fcs[k] != 3)
				assert_int_equal(d->requests[cases[i].fcs[k]], cases[i].counts[k]);
		assert_int_equal(d->regs[cases[i].reg], cases[i].expected);
		world_run(w, 100);
		assert_int_equal(results_of(w, cases[i].tag), 1);
		world_destroy(w);
	}
}

static void unit_0_of_a_serial_line_is_all_units(void **state)
{
	static const char yaml[] =
		HEAD "lines: [{name: press, type: rtu-over-tcp, host: press, turnaround: 200ms, timeout: "
		     "500ms, backoff: {first: 1s}}]\n"
		     "devices:\n"
		     "  - {name: m, line: press, unit: 0, tags: [" TAG(
			     "all", "holding:3",
			     ", type: int16, max: 9") "]}\n"
						      "  - {name: one, line: press, unit: 1, tags: [" TAG(
							      "x", "holding:3", ", type: int16") "]}\n";
	struct world *w = world_create(25);
	struct sim_device *d = world_serial_device(w, "press");

	(void)state;
	world_apply(w, yaml);
	world_await(w, "plant1/one/x", "\"quality\":\"good\"", 1000);
	set(w, "all", "{\"value\":7,\"id\":\"a\"}");
	world_run(w, 150);
	assert_int_equal(results_of(w, "all"), 0); /* the turnaround is not over */
	await_result(w, "all", "{\"id\":\"a\",\"ok\":true,\"value\":7,", 500);
	for (unsigned unit = 1; unit <= 4; unit++)
		assert_int_equal(d->unit_writes[unit], 1);
	assert_int_equal(d->regs[3], 7);
	set(w, "all", "10");
	await_result(w, "all", "\"error\":\"range\"", 1);
	world_run(w, 20000);
	assert_null(world_seen(w, "plant1/m/all")); /* nobody says what it is */
	assert_true(world_has(w, "plant1/m/_status", "\"state\":\"online\""));
	assert_true(world_has(w, "plant1/m/_status", "\"timeouts\":0"));
	/* with nobody there each write is tried, and answered */
	device_die(d);
	world_await(w, "plant1/one/x", "\"quality\":\"bad\"", 3000);
	for (unsigned i = 0; i < 3; i++) {
		unsigned before = results_of(w, "all");

		set(w, "all", "1");
		for (unsigned ms = 0; ms < 2000 && results_of(w, "all") == before; ms += 10)
			world_run(w, 10);
		assert_true(was_told(w, "all", "\"error\":\"offline\""));
		world_run(w, 3000);
		assert_int_equal(results_of(w, "all"), before + 1);
	}
	world_destroy(w);
}

/* The block that is to be read again after a write may be on the wire already, from before it. */
static void a_write_that_is_done_while_its_block_is_read_does_not_stop_the_scans(void **state)
{
	struct world *w = world_create(25);
	struct sim_device *d = world_device(w, "press");
	unsigned reads;

	(void)state;
	sim_net_set_faults(w->net, &(struct sim_net_faults){.max_delay_us = 20000, .buffer = 65536});
	world_apply(w,
		    HEAD "lines: [{name: press, type: modbus-tcp, host: press, max_in_flight: 4}]\n" DEVICE_M
			 "groups: [{name: g, scan: 100ms}], tags: [" TAG("x", "holding:0",
									 ", type: int16") "]}]\n");
	world_await(w, "plant1/m/x", "\"quality\":\"good\"", 2000);
	for (int i = 1; i <= 40; i++) {
		char payload[32];

		snprintf(payload, sizeof(payload), "%d", i);
		set(w, "x", payload);
		world_run(w, 150 + 7 * (unsigned)i % 100); /* at each place of a scan */
		reads = d->reads;
		world_run(w, 500);
		assert_in_range(d->reads - reads, 4, 6);
	}
	assert_true(world_has(w, "plant1/m/x", "\"value\":40,"));
	world_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(complaint_5_writes_go_out_in_order_and_do_not_stop_the_polls),
		cmocka_unit_test(complaint_5_repeated_writes_to_a_tag_become_one),
		cmocka_unit_test(what_is_left_of_repeated_writes_keeps_its_order),
		cmocka_unit_test(more_commands_than_fit_are_refused_as_busy),
		cmocka_unit_test(complaint_7_a_verified_write_is_read_back),
		cmocka_unit_test(a_device_is_written_with_the_functions_that_it_has),
		cmocka_unit_test(a_write_that_is_done_while_its_block_is_read_does_not_stop_the_scans),
		cmocka_unit_test(unit_0_of_a_serial_line_is_all_units),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
