/*
 * Modbus RTU and ASCII: a source over modbus/master_rtu.c, on a serial port or behind a TCP connection.
 */
#include "net/stream_serial.h"
#include "south/modbus.h"
#include "south/table.h"

#define US_PER_MS 1000u
#define NETWORK_GAP_US \
	100000u /* a network may hold back the second half of an answer for longer than a port does */
#define QUIET_TIMEOUTS 10u /* silent units are common behind a gateway; a dead connection is rare */
#define FREE_CHAR_BITS 11u /* over TCP nobody tells us parity and stop bits; this is the longest but one */

_Static_assert((int)CONFIG_PARITY_NONE == (int)SERIAL_PARITY_NONE &&
		       (int)CONFIG_PARITY_EVEN == (int)SERIAL_PARITY_EVEN &&
		       (int)CONFIG_PARITY_ODD == (int)SERIAL_PARITY_ODD,
	       "one is handed on as the other");

static bool is_port(const struct config_line *line)
{
	return line->type == CONFIG_LINE_MODBUS_RTU;
}

/* Start, data, parity and stop bits. */
static unsigned char_bits(const struct config_line *line)
{
	if (!is_port(line))
		return FREE_CHAR_BITS;
	return 1u + line->data_bits + (line->parity != CONFIG_PARITY_NONE) + line->stop_bits;
}

static int make_master(struct loop *loop, struct dialer *dialer, const struct config_line *line,
		       struct modbus_master **out)
{
	const struct modbus_master_rtu_options options = {
		.is_ascii = line->mode == CONFIG_MODE_ASCII,
		.baud = line->baud,
		.char_bits = char_bits(line),
		.silence_us = line->silence_ms * US_PER_MS,
		.turnaround_us = line->turnaround_ms * US_PER_MS,
		.gap_us = is_port(line) ? 0 : NETWORK_GAP_US,
		.quiet_timeouts = is_port(line) ? 0 : QUIET_TIMEOUTS,
		.is_port = is_port(line),
	};

	return modbus_master_rtu_create(loop, dialer, &options, out);
}

int modbus_rtu_source_create(struct loop *loop, const struct config_line *line, struct dialer *dialer,
			     struct source **out)
{
	return modbus_source_create(loop, dialer, make_master, line, out);
}

int modbus_rtu_dialer_create(const struct config_line *line, struct dialer **out)
{
	const struct serial_direction direction = {
		.rts_on_send = line->rs485.rts_on_send,
		.rts_after_send = line->rs485.rts_after_send,
		.delay_before_ms = line->rs485.delay_before_ms,
		.delay_after_ms = line->rs485.delay_after_ms,
	};
	const struct serial_options options = {
		.path = line->path,
		.baud = line->baud,
		.parity = line->parity,
		.data_bits = line->data_bits,
		.stop_bits = line->stop_bits,
		.direction = line->has_rs485 ? &direction : NULL,
	};

	return dialer_serial_create(&options, out);
}
