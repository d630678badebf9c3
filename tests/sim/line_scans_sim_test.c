/*
 * When the groups of a line are scanned while more is asked than fits its wire, or was for a while; on virtual time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "bus_world.h"

#define BAUD      9600
#define RUN_MS    60000u
#define BLOCK_REG "119" /* the last of a block, which takes about 300 ms */

static struct world *world_with(const char *devices)
{
	struct world *w = bus_world(1, BAUD);
	char yaml[4096];

	snprintf(yaml, sizeof(yaml), HEAD LINE("") "%s", devices);
	world_apply(w, yaml);
	return w;
}

/* Percent of the time from now on for which the wire had nothing to carry. */
static double idle_percent(struct world *w)
{
	uint64_t busy = bus_of(w)->all_busy_us;

	world_run(w, RUN_MS);
	return 100.0 - (double)(bus_of(w)->all_busy_us - busy) / (RUN_MS * 10.0);
}

static void a_group_that_asks_more_than_fits_leaves_the_wire_no_rest(void **state)
{
	static const char *const intervals[] = {"10ms", "70ms", "110ms", "200ms", "250ms"};

	(void)state;
	for (size_t i = 0; i < sizeof(intervals) / sizeof(*intervals); i++) {
		struct world *w;
		char device[512];
		double idle;

		snprintf(device, sizeof(device),
			 "  - {name: u1, line: bus, unit: 1, max_gap: 124, groups: [{name: g, scan: %s}], "
			 "tags: [{name: a, address: 'holding:0', type: int16}, {name: z, address: "
			 "'holding:" BLOCK_REG "', type: int16}]}\n",
			 intervals[i]);
		w = world_with(device);
		world_run(w, 1000);
		idle = idle_percent(w);
		print_message("# one block of 300 ms every %s: idle %.2f %%\n", intervals[i], idle);
		assert_true(idle <= 5.0);
		bus_world_destroy(w);
	}
}

static unsigned scans_of(const struct bus *b, uint8_t unit, uint16_t start, unsigned from,
			 uint64_t *closest_us)
{
	unsigned n = 0;
	uint64_t last = 0;

	for (unsigned i = from; i < b->nlog; i++) {
		const struct bus_event *e = &b->log[i % BUS_LOG];

		if (e->unit != unit || e->start != start)
			continue;
		if (n++ && e->at_us - last < *closest_us)
			*closest_us = e->at_us - last;
		last = e->at_us;
	}
	return n;
}

/* One that asks without end takes nothing from a slow group beside it, nor from another device. */
static void a_group_without_rest_takes_nothing_from_the_others(void **state)
{
	struct world *w;
	uint64_t closest = UINT64_MAX;
	unsigned from;

	(void)state;
	w = world_with(
		"  - {name: u1, line: bus, unit: 1, max_gap: 124, groups: [{name: g, scan: 100ms}, {name: "
		"slow, scan: 2s}], tags: [{name: a, address: 'holding:0', type: int16, group: g}, "
		"{name: z, address: 'holding:" BLOCK_REG "', type: int16, group: g}, {name: s, address: "
		"'holding:200', type: int16, group: slow}]}\n"
		"  - {name: u2, line: bus, unit: 2, groups: [{name: g, scan: 2s}], tags: [{name: a, "
		"address: 'holding:0', type: int16}]}\n");
	world_run(w, 4000);
	from = bus_of(w)->nlog;
	assert_true(idle_percent(w) <= 5.0);
	assert_in_range(scans_of(bus_of(w), 1, 200, from, &closest), 29, 31);
	assert_in_range(scans_of(bus_of(w), 2, 0, from, &closest), 29, 31);
	print_message("# every 2 s, the closest two: %lu ms\n", (unsigned long)closest / 1000);
	assert_true(closest >= 1400000); /* each may wait for one block */
	bus_world_destroy(w);
}

/* A group that was late for a while does not make up for all that it missed, and is back on its grid. */
static void a_group_that_was_late_makes_up_for_one_scan(void **state)
{
	struct world *w;
	uint64_t closest = UINT64_MAX, first, grid_us;
	unsigned from, n;

	(void)state;
	w = world_with(
		"  - {name: u1, line: bus, unit: 1, timeout: 10s, groups: [{name: g, scan: 500ms}], tags: "
		"[{name: a, address: 'holding:0', type: int16}]}\n");
	world_run(w, 5200);
	first = bus_of(w)->log[bus_of(w)->nlog - 1].at_us;
	bus_of(w)->units[1].response_us = 3400000; /* one answer, which takes seven intervals */
	world_run(w, 500);
	bus_of(w)->units[1].response_us = 0;
	from = bus_of(w)->nlog;
	world_run(w, 10000);
	n = scans_of(bus_of(w), 1, 0, from, &closest);
	print_message("# %u scans in 10 s, of which 3 were taken\n", n);
	assert_in_range(n, 13, 16);
	grid_us = (bus_of(w)->log[bus_of(w)->nlog - 1].at_us - first) % 500000;
	assert_true(grid_us <= 2000 || grid_us >= 498000);
	bus_world_destroy(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_group_that_asks_more_than_fits_leaves_the_wire_no_rest),
		cmocka_unit_test(a_group_without_rest_takes_nothing_from_the_others),
		cmocka_unit_test(a_group_that_was_late_makes_up_for_one_scan),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
