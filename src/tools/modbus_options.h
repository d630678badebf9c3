/*
 * The arguments of `lineside modbus read|write|serve`: one table that parses, and prints --help.
 */
#ifndef TOOLS_MODBUS_OPTIONS_H
#define TOOLS_MODBUS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "wire/modbus_address.h"
#include "wire/modbus_value.h"

enum modbus_command { MODBUS_READ, MODBUS_WRITE, MODBUS_SERVE, MODBUS_COMMANDS };

#define MODBUS_SERVE_PORT     1502
#define MODBUS_HOST_MAX       256u
#define MODBUS_TOOL_COUNT_MAX 65536u

struct modbus_options {
	bool help;
	/* read and write */
	char host[MODBUS_HOST_MAX];
	struct modbus_address address;
	struct modbus_format format;
	uint32_t timeout_ms;
	/* read */
	unsigned count;
	uint64_t interval_ms; /* 0: once */
	bool json;
	/* write: borrowed from argv */
	char **values;
	unsigned nvalues;
	/* serve: borrowed from argv */
	const char *listen;
	uint64_t seed;
	unsigned scratch; /* free registers of the simulated device */
	/* all */
	uint16_t port;
	uint8_t unit;
};

/*
 * Parse the arguments behind the command's name; argv ends with NULL and may be put in another order. A fault is
 * explained on stderr: ERR_RANGE.
 */
MUST_USE int modbus_options_parse(enum modbus_command command, int argc, char **argv,
				  struct modbus_options *out);

const char *modbus_command_name(enum modbus_command command);

/* One line "Usage: ...", and the lines of the command's options. */
void modbus_options_usage(enum modbus_command command, FILE *to);
void modbus_options_help(enum modbus_command command, FILE *to);

/* "500ms", "2s", "1.5" (seconds), "1min": 1..86,400,000 ms. ERR_MALFORMED or ERR_RANGE. */
MUST_USE int modbus_parse_time(const char *text, uint64_t *ms);

/* "host", "host:502", "1.2.3.4:502", "::1", "[::1]:502"; *port is untouched when none is named. ERR_MALFORMED. */
MUST_USE int modbus_parse_host(const char *text, char host[MODBUS_HOST_MAX], uint16_t *port);

#endif
