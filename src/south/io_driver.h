/*
 * What drives the channels of a rack: reads one, writes one. All else, which is the same for every driver, is the rack's
 * (io_rack.h): requests, registers, counters, pulses, extremes, status.
 *
 * A driver whose calls may take longer than some microseconds says is_slow: then read(), write() and fault() run in a thread of the
 * rack's own, one at a time, and touch nothing that other functions touch; a driver that is not runs on the loop.
 */
#ifndef SOUTH_IO_DRIVER_H
#define SOUTH_IO_DRIVER_H

#include "south/io_channel.h"

#define IO_FAULT_MAX 96u

struct io_driver;

/* The rack, as a driver sees it; for drivers that run on the loop. */
struct io_host {
	/* A di has another level since `at_ms` of the loop's clock: so counters miss nothing between two reads. */
	void (*level)(struct io_host *h, unsigned di, bool on, uint64_t at_ms);
};

struct io_driver_ops {
	bool is_slow;
	/* Fill *r. Channel `number` of `kind` is one that the line's modules have. */
	void (*read)(struct io_driver *d, enum config_area kind, unsigned number, struct io_reading *r);
	/* `on` of do and relay, `value` of ao. OK, ERR_RANGE (the converter cannot), or ERR_IO. NULL: it has no outputs. */
	int (*write)(struct io_driver *d, enum config_area kind, unsigned number, bool on, double value);
	/* After a failure: is none of its chips there? Then says in `text` what is missing. */
	bool (*fault)(struct io_driver *d, char text[IO_FAULT_MAX]);
	/* Unit of a channel whose mode has none; static, or NULL. The function may be NULL. */
	const char *(*unit)(const struct io_driver *d, enum config_area kind, unsigned number);
	/* Nothing is running. Of a slow driver on its thread or on the loop's, when the thread is gone. */
	void (*destroy)(struct io_driver *d);
};

struct io_driver {
	const struct io_driver_ops *ops;
};

/* `line` is borrowed for the call, `host` lives as long as the driver. ERR_NOMEM; ERR_UNSUPPORTED: not in this build. */
typedef int io_driver_create(struct loop *loop, const struct config_line *line, struct io_host *host,
			     struct io_driver **out);

io_driver_create io_sim_create, io_gpiod_create, io_iio_create, io_hwmon_create;

#endif
