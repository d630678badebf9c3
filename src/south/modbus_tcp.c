/*
 * Modbus/TCP: a source over modbus/master_tcp.c.
 */
#include "south/modbus.h"
#include "south/table.h"

static int make_master(struct loop *loop, struct dialer *dialer, const struct config_line *line,
		       struct modbus_master **out)
{
	const struct modbus_master_tcp_options options = {
		.max_in_flight = line->max_in_flight,
		/* A unit that used up its attempts while nobody else spoke: the connection may be the dead part. */
		.quiet_timeouts = line->retries + 1,
	};

	return modbus_master_tcp_create(loop, dialer, &options, out);
}

int modbus_tcp_source_create(struct loop *loop, const struct config_line *line, struct dialer *dialer,
			     struct source **out)
{
	return modbus_source_create(loop, dialer, make_master, line, out);
}
