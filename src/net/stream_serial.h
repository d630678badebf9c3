/*
 * Serial ports as streams. A path is opened anew with each connection, so a name below /dev/serial/by-id/ finds its adapter wherever it is
 * plugged in. A port that is pulled out breaks its stream (ERR_IO); opening it fails until it is back.
 *
 * Why a port does not open is logged once per reason, with what to do about it.
 */
#ifndef NET_STREAM_SERIAL_H
#define NET_STREAM_SERIAL_H

#include "net/stream.h"

#define SERIAL_BAUD_MIN 50u
#define SERIAL_BAUD_MAX 4000000u

enum serial_parity { SERIAL_PARITY_NONE, SERIAL_PARITY_EVEN, SERIAL_PARITY_ODD };

/* The driver of the port switches the direction of an RS-485 transceiver by RTS. */
struct serial_direction {
	bool rts_on_send;    /* level of RTS while sending */
	bool rts_after_send; /* and else */
	uint32_t delay_before_ms, delay_after_ms;
};

struct serial_options {
	const char *path;
	uint32_t baud;      /* any in SERIAL_BAUD_MIN..SERIAL_BAUD_MAX; not only those with a name */
	int parity;         /* enum serial_parity */
	unsigned data_bits; /* 7, 8 */
	unsigned stop_bits; /* 1, 2 */
	const struct serial_direction *direction; /* NULL: the hardware does it by itself */
};

/*
 * The port is opened for us alone: other programs that ask get "busy". `options` is copied. dial() of the result gives ERR_IO for a
 * port that is not there, not ours, or taken. ERR_NOMEM.
 */
MUST_USE int dialer_serial_create(const struct serial_options *options, struct dialer **out);

#endif
