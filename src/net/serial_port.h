/*
 * Opening and setting up a serial port, and saying what is wrong with it.  For net/ only.
 */
#ifndef NET_SERIAL_PORT_H
#define NET_SERIAL_PORT_H

#include "net/stream_serial.h"

#define SERIAL_TEXT_MAX 512u

/* What was logged of a port, so that it is not again with each attempt. */
struct serial_told {
	int error; /* errno of the last failure; 0: none since it was open */
	bool settings, direction, name;
};

/* A descriptor that is non-blocking, raw and locked; -1 with errno, which was logged unless told->error says that it was already. */
int serial_port_open(const struct serial_options *o, struct serial_told *told);
void serial_port_close(int fd);

#endif
