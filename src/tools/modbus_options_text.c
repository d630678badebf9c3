#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "net/stream_serial.h"
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

/* ---- lists ---- */

/* A number at *text, which is moved behind it. */
static MUST_USE int parse_number(const char **text, unsigned long max, unsigned long *n)
{
	char *end;

	if (**text < '0' || **text > '9')
		return ERR_MALFORMED;
	errno = 0;
	*n = strtoul(*text, &end, 10);
	if (errno || *n > max)
		return ERR_RANGE;
	*text = end;
	return OK;
}

/* The comma before another element, or the end: then *more is false. */
static MUST_USE int parse_comma(const char **text, bool *more)
{
	*more = **text == ',';
	if (*more)
		(*text)++;
	return *more || **text == 0 ? OK : ERR_MALFORMED;
}

int modbus_parse_units(const char *text, struct modbus_units *units)
{
	struct modbus_units got = {0};
	bool more = true;
	int rc;

	while (more) {
		unsigned long first, last;

		if ((rc = parse_number(&text, 255, &first)) < 0)
			return rc;
		last = first;
		if (*text == '-') {
			text++;
			if ((rc = parse_number(&text, 255, &last)) < 0)
				return rc;
		}
		if (last < first)
			return ERR_RANGE;
		for (; first <= last; first++)
			modbus_units_add(&got, (unsigned)first);
		if ((rc = parse_comma(&text, &more)) < 0)
			return rc;
	}
	*units = got;
	return OK;
}

int modbus_parse_bauds(const char *text, uint32_t bauds[MODBUS_BAUDS_MAX], unsigned *n)
{
	bool more = true;
	int rc;

	for (*n = 0; more; (*n)++) {
		unsigned long baud;

		if (*n == MODBUS_BAUDS_MAX)
			return ERR_FULL;
		if ((rc = parse_number(&text, SERIAL_BAUD_MAX, &baud)) < 0)
			return rc;
		if (baud < SERIAL_BAUD_MIN)
			return ERR_RANGE;
		bauds[*n] = (uint32_t)baud;
		if ((rc = parse_comma(&text, &more)) < 0)
			return rc;
	}
	return OK;
}

static const char *const parity_names[] = {
	[SERIAL_PARITY_NONE] = "none", [SERIAL_PARITY_EVEN] = "even", [SERIAL_PARITY_ODD] = "odd"};

int modbus_parse_parities(const char *text, int parities[3], unsigned *n)
{
	bool more = true;
	int rc;

	for (*n = 0; more; (*n)++) {
		size_t len = strcspn(text, ",");
		int parity = 0;

		while (parity < 3 &&
		       (strlen(parity_names[parity]) != len || memcmp(text, parity_names[parity], len) != 0))
			parity++;
		if (parity == 3 || *n == 3)
			return ERR_MALFORMED;
		parities[*n] = parity;
		text += len;
		if ((rc = parse_comma(&text, &more)) < 0)
			return rc;
	}
	return OK;
}

const char *modbus_parity_name(int parity)
{
	return parity_names[parity];
}

unsigned modbus_char_bits(const struct modbus_options *o)
{
	return 1 + o->data_bits + (o->parities[0] != SERIAL_PARITY_NONE) + o->stop_bits;
}

const char *modbus_format_line(const struct modbus_options *o, char *buf, size_t size)
{
	static const char letters[] = {
		[SERIAL_PARITY_NONE] = 'N', [SERIAL_PARITY_EVEN] = 'E', [SERIAL_PARITY_ODD] = 'O'};

	snprintf(buf, size, "%u %u%c%u", (unsigned)o->bauds[0], o->data_bits, letters[o->parities[0]],
		 o->stop_bits);
	return buf;
}
