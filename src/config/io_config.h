/*
 * The modules of a rack: a line of type io, or of type sim, which stands for one with the channels that a demo needs.
 */
#ifndef CONFIG_IO_CONFIG_H
#define CONFIG_IO_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/gateway_config.h"
#include "config/io_modes.h"

enum config_driver { CONFIG_DRIVER_SIM, CONFIG_DRIVER_GPIOD, CONFIG_DRIVER_IIO, CONFIG_DRIVER_HWMON };

/* What a di counts. */
enum config_edge { CONFIG_EDGE_RISING, CONFIG_EDGE_FALLING, CONFIG_EDGE_BOTH };
enum config_bias { CONFIG_BIAS_AS_IS, CONFIG_BIAS_DISABLED, CONFIG_BIAS_PULL_UP, CONFIG_BIAS_PULL_DOWN };
enum config_drive { CONFIG_DRIVE_PUSH_PULL, CONFIG_DRIVE_OPEN_DRAIN, CONFIG_DRIVE_OPEN_SOURCE };
/* What a simulated input does. LOOPBACK: di k follows do k, ai k follows ao k. */
enum config_signal {
	CONFIG_SIGNAL_SINE,
	CONFIG_SIGNAL_SAW,
	CONFIG_SIGNAL_TRIANGLE,
	CONFIG_SIGNAL_SQUARE,
	CONFIG_SIGNAL_CONSTANT,
	CONFIG_SIGNAL_LOOPBACK,
	CONFIG_SIGNAL_BROKEN
};

/* Some channels of one kind that are set up alike. */
struct config_module {
	enum config_area kind; /* CONFIG_AREA_DI .. CONFIG_AREA_TC */
	uint16_t first;        /* number of its first channel among those of its kind */
	uint16_t channels;     /* at least 1 */
	const char **names;    /* of its channels, or NULL: di0, di1, ... */
	size_t nnames;
	const char *device;  /* name of the chip; NULL: simulated */
	const char **points; /* what each channel is connected to there; NULL: simulated */
	size_t npoints;
	int mode;      /* enum io_mode; of ai, ao, rtd, tc */
	double factor; /* what the driver measures times this is the value; not 0 */
	/* di */
	uint32_t filter_ms;
	int edge; /* enum config_edge */
	/* do: what pulses are like until somebody writes other widths */
	uint32_t pulse_on_ms, pulse_off_ms, pulse_count;
	/* gpiod */
	bool active_low;
	int bias, drive; /* enum config_bias, config_drive */
	/* sim */
	int signal; /* enum config_signal */
	uint32_t
		period_ms; /* 0: of di, 2 s for the first and twice as long for each further one up to 16 s; of others 60 s */
	double low, high; /* a constant signal is low */
};

/* Is it a rack? */
bool config_line_is_rack(const struct config_line *line);
/* Does it carry frames of Modbus? Requests of racks and internal lines are calls. */
bool config_line_has_frames(const struct config_line *line);
bool config_area_is_rack(enum config_area area);

/* How many channels of a kind its modules have together. */
unsigned config_line_channels(const struct config_line *line, enum config_area kind);

/* The module with channel `number` of `kind`, or NULL. */
const struct config_module *config_line_module(const struct config_line *line, enum config_area kind,
					       unsigned number);

/* The modules of a rack that names none, static: `*n` gets their count. */
const struct config_module *config_default_modules(size_t *n);

/* Equal in all that a running rack sees. */
bool config_modules_equal(const struct config_line *a, const struct config_line *b);

#endif
