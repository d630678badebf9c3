#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/modbus_options.h"

#define TIME_MAX_MS 86400000.0

int modbus_parse_time(const char *text, uint64_t *ms)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}};
	char *end;
	double n;

	if (*text < '0' || *text > '9')
		return ERR_MALFORMED;
	n = strtod(text, &end);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		n = round(n * units[i].ms);
		if (!(n >= 1 && n <= TIME_MAX_MS))
			return ERR_RANGE;
		*ms = (uint64_t)n;
		return OK;
	}
	return ERR_MALFORMED;
}

static MUST_USE int parse_port(const char *text, uint16_t *port)
{
	char *end;
	long n;

	if (*text < '0' || *text > '9')
		return ERR_MALFORMED;
	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || *end || n < 1 || n > 65535)
		return ERR_MALFORMED;
	*port = (uint16_t)n;
	return OK;
}

int modbus_parse_host(const char *text, char host[MODBUS_HOST_MAX], uint16_t *port)
{
	const char *colon = strchr(text, ':');
	const char *end = colon; /* of the host */

	if (*text == '[') {
		end = strchr(++text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return ERR_MALFORMED;
		colon = end[1] ? end + 1 : NULL;
	} else if (colon && strchr(colon + 1, ':')) {
		end = colon = NULL; /* a bare IPv6 address */
	}
	if (!end)
		end = text + strlen(text);
	if (end == text || (size_t)(end - text) >= MODBUS_HOST_MAX)
		return ERR_MALFORMED;
	memcpy(host, text, (size_t)(end - text));
	host[end - text] = 0;
	return colon ? parse_port(colon + 1, port) : OK;
}
