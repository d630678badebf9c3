/*
 * A line whose wire takes time: a source for the field side that keeps exact times of a serial line, and the units at its other
 * end. One request is on the wire at a time; what was on it, and when, is kept.
 */
#ifndef SIM_BUS_H
#define SIM_BUS_H

#include "field/source.h"
#include "loop/loop_sim.h"

#define BUS_UNITS 33u
#define BUS_LOG   8192u

struct bus_unit {
	bool is_silent;
	uint32_t response_us;            /* before its answer; 0: of the bus */
	uint16_t silent_from, silent_to; /* reads of these registers are not answered */
	unsigned corrupt_one_in;         /* answers that are broken; 0: none */
	unsigned lose_one_in;            /* answers that never come */
	uint8_t exception;               /* its answer to everything */
	uint32_t connecting_ms; /* what is asked waits so long, for a connection that is not made in time */
	unsigned reads, writes, raws; /* that reached it */
	uint64_t busy_us;             /* for which it held the wire */
	uint32_t worst_timeout_ms;    /* of the requests to it */
	uint16_t regs[256];
};

struct bus_event {
	enum source_op op;
	uint8_t unit;
	uint16_t start, count;
	uint32_t silence_us, timeout_ms;
	uint64_t at_us;
	int rc;
};

struct bus {
	struct source source;
	struct sim_world *sim;
	struct loop *loop;
	uint32_t baud, response_us;
	bool is_unplugged; /* nobody takes the connection */
	struct bus_unit units[BUS_UNITS];
	struct source_request *waiting[SOURCE_IN_FLIGHT_MAX];
	unsigned nwaiting;
	struct loop_alarm alarm;
	uint32_t busy_us; /* of waiting[0] */
	int rc;           /* its outcome */
	uint64_t all_busy_us;
	struct bus_event log[BUS_LOG]; /* the last ones, in a ring */
	unsigned nlog;
	unsigned collisions; /* a request while another was on the wire */
};

/* The caller's, zeroed but for baud and response_us; its destroy() does not free it. */
void bus_init(struct bus *b, struct sim_world *sim, struct loop *loop);

#endif
