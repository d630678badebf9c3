#include "uplinks/table.h"

#include <string.h>

#include "net/stream_tcp.h"

static const struct uplink_transport transports[] = {
	{"mqtt", dialer_tcp_create},
};

const struct uplink_transport *uplink_transport_find(const char *scheme)
{
	for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++)
		if (strcmp(transports[i].scheme, scheme) == 0)
			return &transports[i];
	return NULL;
}
