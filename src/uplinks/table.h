/*
 * How remote brokers are reached: the scheme of an uplink's URL says which transport.
 */
#ifndef UPLINKS_TABLE_H
#define UPLINKS_TABLE_H

#include "base/err.h"
#include "net/stream.h"

struct uplink_transport {
	const char *scheme;
	/* A dialer to host (copied) and port. ERR_NOMEM. */
	int (*dialer_create)(const char *host, uint16_t port, struct dialer **out);
};

/* NULL: there is none of this name. */
const struct uplink_transport *uplink_transport_find(const char *scheme);

#endif
