/*
 * The drivers there are.
 */
#ifndef SOUTH_TABLE_H
#define SOUTH_TABLE_H

#include "field/source.h"
#include "net/stream.h"

/* Makes the source of a line of any type; the sockets are real. Static, has no state. */
extern struct source_factory south_factory;

/*
 * Modbus/TCP over connections that `dialer` makes; the dialer is the source's with OK, still the caller's on failure.
 * `line` is borrowed for the call. ERR_NOMEM.
 */
MUST_USE int modbus_tcp_source_create(struct loop *loop, const struct config_line *line,
				      struct dialer *dialer, struct source **out);

/* The same of Modbus RTU and ASCII: lines of type modbus-rtu and rtu-over-tcp. */
MUST_USE int modbus_rtu_source_create(struct loop *loop, const struct config_line *line,
				      struct dialer *dialer, struct source **out);

/* Opens the serial port of a line of type modbus-rtu. ERR_NOMEM. */
MUST_USE int modbus_rtu_dialer_create(const struct config_line *line, struct dialer **out);

#endif
