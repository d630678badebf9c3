/*
 * The field side's world with one line, whose wire is a bus.h: what tests of lines have in common.
 */
#ifndef SIM_BUS_WORLD_H
#define SIM_BUS_WORLD_H

#include "bus.h"
#include "field_world.h"

#define HEAD       "gateway: {name: p}\n"
#define LINE(more) "lines: [{name: bus, type: modbus-tcp, host: bus, timeout: 300ms" more "}]\ndevices:\n"

struct world *bus_world(uint64_t seed, uint32_t baud);
void bus_world_destroy(struct world *w); /* fails the test after a collision */
struct bus *bus_of(const struct world *w);

/* `n` units u1, u2, ... with `regs` registers each, read every `scan`. */
void apply_units(struct world *w, unsigned n, unsigned regs, const char *scan, const char *line_more);
unsigned reads_of(const struct bus *b, unsigned from, unsigned to); /* of the units from..to */
const struct bus_event *event(const struct bus *b, unsigned i);     /* the i-th of all */

#endif
