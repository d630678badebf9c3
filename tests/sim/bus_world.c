#include "bus_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static struct bus *bus_create(uint32_t baud)
{
	struct bus *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->baud = baud;
	b->response_us = 5000;
	return b;
}

struct bus *bus_of(const struct world *w)
{
	return w->bus;
}

struct world *bus_world(uint64_t seed, uint32_t baud)
{
	struct world *w = world_create(seed);

	w->bus = bus_create(baud);
	bus_init(w->bus, w->sim, w->field_loop);
	w->source = &bus_of(w)->source;
	return w;
}

void bus_world_destroy(struct world *w)
{
	struct bus *b = bus_of(w);

	world_destroy(w);
	assert_int_equal(b->collisions, 0);
	free(b);
}

void apply_units(struct world *w, unsigned n, unsigned regs, const char *scan, const char *line_more)
{
	static char yaml[65536];
	size_t at = (size_t)snprintf(yaml, sizeof(yaml),
				     HEAD "lines: [{name: bus, type: modbus-tcp, host: bus%s%s}]\ndevices:\n",
				     strstr(line_more, "timeout") ? "" : ", timeout: 300ms", line_more);

	for (unsigned u = 1; u <= n; u++)
		at += (size_t)snprintf(yaml + at, sizeof(yaml) - at,
				       "  - {name: u%u, line: bus, unit: %u, groups: [{name: g, scan: %s}], "
				       "tags: [{name: a, "
				       "address: 'holding:0', type: int16, access: rw}, {name: z, address: "
				       "'holding:%u', type: int16}], max_gap: 124}\n",
				       u, u, scan, regs - 1);
	world_apply(w, yaml);
}

unsigned reads_of(const struct bus *b, unsigned from, unsigned to)
{
	unsigned n = 0;

	for (unsigned u = from; u <= to; u++)
		n += b->units[u].reads;
	return n;
}

const struct bus_event *event(const struct bus *b, unsigned i)
{
	return &b->log[i % BUS_LOG];
}
