#include "net/listener.h"

uint16_t listener_port(const struct listener *l)
{
	return l->port;
}

uint64_t listener_turned_away(const struct listener *l)
{
	return l->turned_away;
}

void listener_close(struct listener *l)
{
	if (l)
		l->close(l);
}
