/*
 * What every listener begins with, so that listener_close() and listener_port() serve TCP and
 * the simulator alike.  For net/ only.
 */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdint.h>

#include "net/stream_tcp.h"

struct listener {
	void (*close)(struct listener *l); /* frees it */
	uint16_t port;                     /* 0: has none */
	uint64_t turned_away;              /* closed at once because descriptors ran out */
};

#endif
