/*
 * Devices of moving registers for `lineside modbus serve`: small power meters with a relay. Pure but for its
 * state: time comes with each step, chance from a seed, so a course can be repeated. No allocation after create.
 */
#ifndef TOOLS_MODBUS_SIM_H
#define TOOLS_MODBUS_SIM_H

#include <stdio.h>

#include "modbus/slave.h"

#define MODBUS_SIM_SCRATCH 100u /* first free register */

/*
 * SIM_ENTRY(address, type, unit and range, what it is), in register order
 */
#define MODBUS_SIM_REGISTERS(SIM_ENTRY)                                                                   \
	SIM_ENTRY(0, FLOAT32, "V", "voltage, moves around 230")                                           \
	SIM_ENTRY(2, FLOAT32, "A", "current, moves between 2 and 8; 0 while the relay is off")            \
	SIM_ENTRY(4, INT32, "Wh", "energy, rises")                                                        \
	SIM_ENTRY(6, UINT16, "0.01 Hz", "frequency, moves around 5000")                                   \
	SIM_ENTRY(7, UINT16, "bits", "bit 0: the relay is on; bit 3: alarm, power is above 10 W x limit") \
	SIM_ENTRY(8, FLOAT32, "W", "power = voltage x current")                                           \
	SIM_ENTRY(10, UINT16, "", "counts seconds")                                                       \
	SIM_ENTRY(11, INT16, "", "ramp from -1000 to 1000, one up every 100 ms")                          \
	SIM_ENTRY(12, INT16, "", "sine, +-1000, once a minute")                                           \
	SIM_ENTRY(13, INT16, "0.1 degrees C", "temperature, moves around 215")                            \
	SIM_ENTRY(14, BCD32, "s", "seconds since the start")                                              \
	SIM_ENTRY(16, UINT64, "ms", "milliseconds since the start")                                       \
	SIM_ENTRY(20, STRING, "16 bytes", "serial number, LINESIDE-SIM-01")                               \
	SIM_ENTRY(30, INT16, "0..500", "limit, may be written; 300 at the start")

struct modbus_sim;

/*
 * A device at each of `units` (one at least), each with a course of its own; 0 and 255 mean the first of them, others are
 * answered with "gateway target failed". `scratch` free registers from MODBUS_SIM_SCRATCH on. ERR_NOMEM.
 */
MUST_USE int modbus_sim_create(uint64_t seed, const struct modbus_units *units, unsigned scratch,
			       struct modbus_sim **out);
void modbus_sim_destroy(struct modbus_sim *sim); /* accepts NULL */

/* Who counts what the devices tell as theirs (diagnostics); without, they have counted nothing. */
void modbus_sim_count_with(struct modbus_sim *sim, void (*counters)(void *arg, struct modbus_counters *out),
			   void *arg);

/* Move everything to `ms` since the start; never back. */
void modbus_sim_step(struct modbus_sim *sim, uint64_t ms);

/* The model is the struct modbus_sim. */
extern const struct modbus_model_ops modbus_sim_model;

/* What is where, for people. */
void modbus_sim_print_map(FILE *to, unsigned scratch);

#endif
