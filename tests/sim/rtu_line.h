/*
 * A serial line for the field side's world: units that speak RTU on a simulated wire, and somebody who watches every byte.
 *
 * Register i of unit u holds 1000 * u + i until it is written; LINE_COUNT counts what the unit was asked, and the next register is its complement. The
 * gateway has the registers below LINE_COUNT, foreign masters the others: that tells their frames apart.
 */
#ifndef SIM_RTU_LINE_H
#define SIM_RTU_LINE_H

#include "modbus/server.h"
#include "net/serial_sim.h"
#include "wire/modbus_rtu.h"

#define LINE_UNITS 8u
#define LINE_REGS  200u
#define LINE_COUNT 60u

struct rtu_unit {
	struct sim_bus_device d;
	uint8_t id;
	uint64_t delay_us; /* until it answers, and as much again at random */
	bool is_silent;
	struct sim_world *sim;
	unsigned asked;
	uint16_t regs[LINE_REGS];
};

/* Who wanted a frame of ours. */
enum frame_kind { FRAME_POLL, FRAME_COMMAND, FRAME_PASS, FRAME_KINDS };

struct rtu_line {
	struct sim_bus *bus;
	struct rtu_unit units[LINE_UNITS];
	unsigned nunits;
	uint64_t silence_ns; /* that must be before each frame of the host */
	/* what the watcher saw */
	uint8_t frame[MODBUS_RTU_MAX]; /* of the host, so far */
	size_t len;
	bool last_was_host;
	uint64_t last_end_ns, start_ns;
	enum frame_kind kind;
	uint64_t least_gap_ns;
	uint64_t frames[FRAME_KINDS], busy_ns[FRAME_KINDS]; /* from one frame's start to the next one's */
};

/* Unit ids 1 to n. The caller's struct; `sim` outlives it. */
void rtu_line_open(struct rtu_line *l, struct sim_world *sim, uint32_t baud, unsigned n);
/* No stream and no dialer is left. */
void rtu_line_close(struct rtu_line *l);
unsigned rtu_line_collisions(const struct rtu_line *l);

#endif
