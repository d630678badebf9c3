/*
 * What the Modbus drivers have in common.  For south/ only.
 */
#ifndef SOUTH_MODBUS_H
#define SOUTH_MODBUS_H

#include "field/source.h"
#include "modbus/master.h"

/* Makes the master of a line, as modbus_master_tcp_create() does. */
typedef int modbus_source_maker(struct loop *loop, struct dialer *dialer, const struct config_line *line,
				struct modbus_master **out);

/* A source over such a master; the dialer is the source's with OK, still the caller's on failure. ERR_NOMEM. */
MUST_USE int modbus_source_create(struct loop *loop, struct dialer *dialer, modbus_source_maker *make,
				  const struct config_line *line, struct source **out);

#endif
