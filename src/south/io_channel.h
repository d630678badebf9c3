/*
 * What a channel of a rack does beside its value, the same whatever drives it: counting, pulses, extremes, status. Pure: no
 * clock, no memory, no driver; `now_ms` is monotonic; one that lies before another counts as
 * that.
 *
 * A rack feeds what its driver reads, asks for the next time at which a channel does something by itself, and calls its tick then.
 */
#ifndef SOUTH_IO_CHANNEL_H
#define SOUTH_IO_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "config/io_config.h"
#include "field/source.h"

#define IO_NEVER UINT64_MAX

enum io_status {
	IO_STATUS_NORMAL,
	IO_STATUS_OPEN, /* burn-out: the wire or the sensor is broken */
	IO_STATUS_OVER,
	IO_STATUS_UNDER,
	IO_STATUS_LOST,    /* the driver could not read it */
	IO_STATUS_DISABLED /* by its mode */
};

/* di */
struct io_di {
	bool has_level;
	bool level, state; /* at the pin; what has lasted longer than the filter */
	uint64_t changed_ms;
	uint32_t filter_ms;
	int edge; /* enum config_edge */
	bool is_counting, overflow;
	uint32_t counter;
};

/* do */
struct io_do {
	bool on;
	bool is_pulsing;
	uint32_t on_ms, off_ms, count; /* count 0: no end */
	uint32_t left;                 /* pulses that are not over yet; 0 when count is */
	uint64_t next_ms;
};

struct io_relay {
	bool on;
	uint32_t total, current; /* times it was switched on */
};

/* ai, ao, rtd, tc */
struct io_analog {
	enum io_mode mode;
	enum io_status status;
	bool has_extremes;
	double value, min, max; /* value: NaN with status OPEN, LOST, DISABLED */
	int64_t raw;
};

struct io_channel {
	enum config_area kind;
	bool is_lost; /* of di, do, relay: the driver could not read or write it */
	union {
		struct io_di di;
		struct io_do dout;
		struct io_relay relay;
		struct io_analog analog;
	};
};

/* What a driver says of a channel. */
struct io_reading {
	int rc;       /* OK, or why it says nothing */
	bool on;      /* di, do, relay */
	bool is_open; /* analog: the driver knows that the sensor is broken */
	double value; /* analog, in the unit of the mode */
	int64_t raw;  /* of the converter */
};

/* Channel k of a module; `m` is not needed after. */
void io_channel_init(struct io_channel *c, const struct config_module *m);

void io_channel_feed(struct io_channel *c, const struct io_reading *r, uint64_t now_ms);
/* When its tick is due, or IO_NEVER. */
uint64_t io_channel_due(const struct io_channel *c);
/* Does what is due. True: the output of a do changed, and the driver has to be told. */
bool io_channel_tick(struct io_channel *c, uint64_t now_ms);

void io_do_set(struct io_do *d, bool on);
void io_do_pulse(struct io_do *d, bool start, uint64_t now_ms);
void io_relay_set(struct io_relay *r, bool on);
void io_analog_reset_min(struct io_analog *a);
void io_analog_reset_max(struct io_analog *a);

/* Of the value of a channel. */
enum quality io_channel_quality(const struct io_channel *c, enum reason *reason);

#endif
