#include <stdio.h>

#include "wire/modbus_address.h"

/* Digits only, no sign and no space, at most `max`. Leaves *text behind the digits. */
static MUST_USE int parse_number(const char **text, unsigned max, unsigned *out)
{
	const char *p = *text;
	unsigned n = 0;

	if (*p < '0' || *p > '9')
		return ERR_MALFORMED;
	for (; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (unsigned)(*p - '0');
		if (n > max)
			return ERR_RANGE;
	}
	*text = p;
	*out = n;
	return OK;
}

static MUST_USE int parse_area(const char **text, enum modbus_area *out)
{
	const char *colon = strchr(*text, ':');
	struct span word;

	if (!colon)
		return ERR_MALFORMED;
	word = span_of(*text, (size_t)(colon - *text));
	for (unsigned i = 0; i < MODBUS_AREA_COUNT; i++) {
		if (span_equal(word, span_str(modbus_area_info((enum modbus_area)i)->name))) {
			*out = (enum modbus_area)i;
			*text = colon + 1;
			return OK;
		}
	}
	return ERR_NOT_FOUND;
}

/* Five digits or six: the first says the area, the rest counts from 1. */
static bool is_classic(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return (digits == 5 || digits == 6) && (!text[digits] || text[digits] == '.');
}

static MUST_USE int parse_classic(const char **text, struct modbus_address *a)
{
	static const enum modbus_area areas[] = {MODBUS_AREA_COIL, MODBUS_AREA_DISCRETE, 0, MODBUS_AREA_INPUT,
						 MODBUS_AREA_HOLDING};
	unsigned area = (unsigned)((*text)[0] - '0'), n;
	int rc;

	if (area > 4 || area == 2)
		return ERR_NOT_FOUND;
	++*text;
	if ((rc = parse_number(text, 65536, &n)) < 0)
		return rc;
	if (n == 0)
		return ERR_RANGE;
	a->area = areas[area];
	a->number = (uint16_t)(n - 1);
	return OK;
}

static MUST_USE int parse_place(const char **text, struct modbus_address *a)
{
	unsigned n;
	int rc;

	if (is_classic(*text))
		return parse_classic(text, a);
	if ((rc = parse_area(text, &a->area)) < 0 || (rc = parse_number(text, 65535, &n)) < 0)
		return rc;
	a->number = (uint16_t)n;
	return OK;
}

int modbus_address_parse(const char *text, struct modbus_address *out)
{
	struct modbus_address a = {.bit = MODBUS_NO_BIT};
	unsigned n;
	int rc;

	if ((rc = parse_place(&text, &a)) < 0)
		return rc;
	if (*text == '.' && !modbus_area_info(a.area)->is_bits) {
		text++;
		if ((rc = parse_number(&text, 15, &n)) < 0)
			return rc;
		a.bit = (int)n;
	}
	if (*text)
		return ERR_MALFORMED;
	*out = a;
	return OK;
}

const char *modbus_address_format(const struct modbus_address *a, char *buf, size_t size)
{
	const char *area = modbus_area_info(a->area)->name;

	if (a->bit == MODBUS_NO_BIT)
		snprintf(buf, size, "%s:%u", area, (unsigned)a->number);
	else
		snprintf(buf, size, "%s:%u.%d", area, (unsigned)a->number, a->bit);
	return buf;
}
