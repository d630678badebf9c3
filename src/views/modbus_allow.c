/*
 * Who may do what: of the networks that hold a master, the one with the longest prefix.
 */
#include <arpa/inet.h>
#include <string.h>

#include "views/modbus_impl.h"

/* "10.0.0.1:5000", "[::1]:5000"; without a port, too. False: neither. */
static bool address_of(const char *peer, uint8_t out[16])
{
	char text[INET6_ADDRSTRLEN];
	bool is_v6 = peer[0] == '[';
	const char *from = is_v6 ? peer + 1 : peer, *end = strchr(from, is_v6 ? ']' : ':');
	size_t len = end ? (size_t)(end - from) : strlen(from);

	if (len >= sizeof(text))
		return false;
	memcpy(text, from, len);
	text[len] = '\0';
	if (is_v6) {
		text[strcspn(text, "%")] = '\0'; /* the zone of a link-local address */
		return inet_pton(AF_INET6, text, out) == 1;
	}
	memset(out, 0, 16);
	out[10] = out[11] = 0xFF;
	return inet_pton(AF_INET, text, out + 12) == 1;
}

static bool holds(const struct config_net *net, const uint8_t address[16])
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;

	if (memcmp(net->address, address, whole) != 0)
		return false;
	return rest == 0 || (net->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}

enum config_access modbus_allow_access(const struct config_modbus_view *view, const char *peer)
{
	const struct config_allow *best = NULL;
	uint8_t address[16];

	if (!address_of(peer, address))
		return view->nallow ? CONFIG_ACCESS_NONE : (enum config_access)view->default_access;
	for (size_t i = 0; i < view->nallow; i++)
		if (holds(&view->allow[i].net, address) &&
		    (!best || view->allow[i].net.bits > best->net.bits))
			best = &view->allow[i];
	return (enum config_access)(best ? best->access : view->default_access);
}
