#include "net/listener.h"

uint16_t listener_port(const struct listener *l)
{
	return l->port;
}

void listener_close(struct listener *l)
{
	if (l)
		l->close(l);
}
