/*
 * The arguments of `lineside modbus read|write|serve|scan`: one table that parses, and prints --help.
 */
#ifndef TOOLS_MODBUS_OPTIONS_H
#define TOOLS_MODBUS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "modbus/slave.h"
#include "wire/modbus_address.h"
#include "wire/modbus_value.h"

enum modbus_command { MODBUS_READ, MODBUS_WRITE, MODBUS_SERVE, MODBUS_SCAN, MODBUS_COMMANDS };

/* MODE(NAME, text, on a serial port?, RTU or ASCII?, ASCII?, help) */
#define MODBUS_MODE_TABLE(MODE)                                                          \
	MODE(TCP, "tcp", false, false, false, "Modbus/TCP")                              \
	MODE(RTU, "rtu", true, true, false, "RTU on a serial port")                      \
	MODE(ASCII, "ascii", true, true, true, "ASCII on a serial port")                 \
	MODE(RTU_OVER_TCP, "rtu-over-tcp", false, true, false, "RTU frames through TCP") \
	MODE(ASCII_OVER_TCP, "ascii-over-tcp", false, true, true, "ASCII frames through TCP")

enum modbus_mode {
#define MODBUS_MODE_AS_ENUM(name, text, serial, framed, ascii, help) MODBUS_MODE_##name,
	MODBUS_MODE_TABLE(MODBUS_MODE_AS_ENUM)
#undef MODBUS_MODE_AS_ENUM
		MODBUS_MODES
};

struct modbus_mode_info {
	const char *name;
	bool is_serial; /* a port of this machine */
	bool is_framed; /* frames of a serial line, not Modbus/TCP */
	bool is_ascii;
	const char *help;
};

const struct modbus_mode_info *modbus_mode_info(enum modbus_mode mode);

#define MODBUS_SERVE_PORT     1502
#define MODBUS_HOST_MAX       256u
#define MODBUS_TOOL_COUNT_MAX 65536u
#define MODBUS_BAUDS_MAX      16u
#define MODBUS_BAUD           19200u /* if none is given, with even parity: SL 2.5.1 */

struct modbus_options {
	bool help;
	/* where: read, write and scan; serve too on a serial port */
	enum modbus_mode mode;
	char host[MODBUS_HOST_MAX]; /* or the path of a port */
	uint32_t bauds[MODBUS_BAUDS_MAX];
	unsigned nbauds;    /* 1, but for scan; bauds[0] is 0 when it is not known */
	int parities[3];    /* enum serial_parity */
	unsigned nparities; /* as nbauds */
	unsigned data_bits, stop_bits;
	bool is_rs485;
	/* read and write */
	struct modbus_address address;
	struct modbus_format format;
	uint32_t timeout_ms; /* 0, for scan: what the line needs */
	/* read */
	unsigned count;
	uint64_t interval_ms; /* 0: once */
	bool json;
	bool all_orders; /* registers in every type and order; type, order, count and json are not used */
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
	struct modbus_units units; /* of serve and scan */
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

/* "1", "1,3,5-9": numbers from 0 to 255. ERR_MALFORMED or ERR_RANGE. */
MUST_USE int modbus_parse_units(const char *text, struct modbus_units *units);

/* "9600", or several with commas between. ERR_MALFORMED, ERR_RANGE (a speed that no port has) or ERR_FULL. */
MUST_USE int modbus_parse_bauds(const char *text, uint32_t bauds[MODBUS_BAUDS_MAX], unsigned *n);

/* "even", or several of even, odd and none with commas between. ERR_MALFORMED. */
MUST_USE int modbus_parse_parities(const char *text, int parities[3], unsigned *n);

/* "even" */
const char *modbus_parity_name(int parity);

/* Bits of a character on the wire: start, data, parity, stop. */
unsigned modbus_char_bits(const struct modbus_options *o);

/* "9600 8E1" */
const char *modbus_format_line(const struct modbus_options *o, char *buf, size_t size);

#endif
