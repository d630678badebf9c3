#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/gateway_rules.h"

static bool digits(const char **at, unsigned max, unsigned *out)
{
	char *end;

	if (**at < '0' || **at > '9')
		return false;
	*out = (unsigned)strtoul(*at, &end, 10);
	if (end - *at > 3 || *out > max)
		return false;
	*at = end;
	return true;
}

static bool has_host_bits(const struct config_net *n)
{
	for (unsigned i = n->bits; i < 128; i++)
		if (n->address[i / 8] >> (7 - i % 8) & 1)
			return true;
	return false;
}

static bool net_parse(const char *text, void *out)
{
	const char *slash = strchr(text, '/'), *at = slash ? slash + 1 : NULL;
	char address[INET6_ADDRSTRLEN] = "";
	struct config_net n = {0};
	unsigned bits = 0;
	bool is_v4;

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return false;
	memcpy(address, text, (size_t)(slash - text));
	is_v4 = inet_pton(AF_INET, address, n.address + 12) == 1;
	if (is_v4)
		n.address[10] = n.address[11] = 0xFF;
	else if (inet_pton(AF_INET6, address, n.address) != 1)
		return false;
	if (!digits(&at, is_v4 ? 32 : 128, &bits) || *at)
		return false;
	n.bits = (uint8_t)(is_v4 ? 96 + bits : bits);
	if (has_host_bits(&n))
		return false;
	if (out)
		*(struct config_net *)out = n;
	return true;
}

const struct schema_rule rule_net = {
	.parse = net_parse,
	.allowed = "a network such as 10.1.2.0/24 or fd00::/8, its host bits 0",
	.pattern = "^[0-9a-fA-F.:]+/[0-9]{1,3}$",
};

/* One number, or two with "-" between them. */
static bool range_parse(const char **at, struct config_units *u)
{
	unsigned first, last;

	if (!digits(at, 247, &first) || first == 0)
		return false;
	last = first;
	if (**at == '-') {
		(*at)++;
		if (!digits(at, 247, &last) || last < first)
			return false;
	}
	for (unsigned n = first; n <= last; n++)
		u->bits[n / 8] = (uint8_t)(u->bits[n / 8] | 1u << n % 8);
	return true;
}

static bool units_parse(const char *text, void *out)
{
	struct config_units u = {0};
	const char *at = text;

	do {
		if (!range_parse(&at, &u))
			return false;
	} while (*at == ',' && *++at);
	if (*at || at[-1] == ',')
		return false;
	if (out)
		*(struct config_units *)out = u;
	return true;
}

const struct schema_rule rule_units = {
	.parse = units_parse,
	.allowed = "unit numbers of 1..247 such as \"5\", \"1-32\" or \"1-8,20\"",
	.pattern = "^[0-9]{1,3}(-[0-9]{1,3})?(,[0-9]{1,3}(-[0-9]{1,3})?)*$",
};
