/*
 * The ways people write where a value lies, all into one struct config_address:
 *
 *     holding:7  coil:0  holding:7.3     area and number from 0, and a bit (or the length of a text)
 *     40001  400001  00001               the classic ones, counted from 1: five digits reach 9999, six 65536
 *     1!400001.20#BL                     those of EMQX Neuron (its documentation, "Modbus TCP", "Address format"):
 *                                        unit!address[.bit | .length[H|L]][#byte order]
 */
#include <string.h>

#include "config/gateway_rules.h"

static const char *const area_texts[] = {
	[CONFIG_AREA_COIL] = "coil",   [CONFIG_AREA_DISCRETE] = "discrete",
	[CONFIG_AREA_INPUT] = "input", [CONFIG_AREA_HOLDING] = "holding",
	[CONFIG_AREA_DI] = "di",       [CONFIG_AREA_DO] = "do",
	[CONFIG_AREA_RELAY] = "relay", [CONFIG_AREA_AI] = "ai",
	[CONFIG_AREA_AO] = "ao",       [CONFIG_AREA_RTD] = "rtd",
	[CONFIG_AREA_TC] = "tc",
};

#define AREAS (sizeof(area_texts) / sizeof(area_texts[0]))

const char *config_area_text(enum config_area area)
{
	return area_texts[area];
}

/* Digits up to `max`; false, and *p where it was, when there are none or too many. */
static bool take_number(const char **p, unsigned max, unsigned *value)
{
	size_t digits = strspn(*p, "0123456789");

	*value = 0;
	if (!digits || digits > 5)
		return false;
	for (size_t i = 0; i < digits; i++)
		*value = *value * 10 + (unsigned)((*p)[i] - '0');
	*p += *value <= max ? digits : 0;
	return *value <= max;
}

static bool take_area(const char **p, struct config_address *a)
{
	const char *colon = strchr(*p, ':');
	unsigned number;
	size_t i = 0;

	if (!colon)
		return false;
	while (i < AREAS && (strlen(area_texts[i]) != (size_t)(colon - *p) ||
			     strncmp(area_texts[i], *p, (size_t)(colon - *p)) != 0))
		i++;
	*p = colon + 1;
	if (i == AREAS || !take_number(p, 65535, &number))
		return false;
	a->area = (enum config_area)i;
	a->number = (uint16_t)number;
	return true;
}

/* Five digits or six: the first says the area, the rest counts from 1. */
static bool take_classic(const char **p, struct config_address *a)
{
	static const enum config_area areas[] = {CONFIG_AREA_COIL, CONFIG_AREA_DISCRETE, 0, CONFIG_AREA_INPUT,
						 CONFIG_AREA_HOLDING};
	size_t digits = strspn(*p, "0123456789");
	unsigned area = (unsigned)((*p)[0] - '0'), number;

	if ((digits != 5 && digits != 6) || area > 4 || area == 2)
		return false;
	++*p;
	if (!take_number(p, 65536, &number) || number == 0)
		return false;
	a->area = areas[area];
	a->number = (uint16_t)(number - 1);
	return true;
}

static bool take_unit(const char **p, struct config_address *a)
{
	unsigned unit;

	if (!take_number(p, 255, &unit) || **p != '!')
		return false;
	++*p;
	a->unit = (int16_t)unit;
	return true;
}

static bool take_detail(const char **p, struct config_address *a)
{
	unsigned detail;

	if (!take_number(p, VALUE_BYTES_MAX, &detail))
		return false;
	a->detail = (int16_t)detail;
	if (a->unit >= 0 && (**p == 'H' || **p == 'L'))
		a->order = *(*p)++ == 'H' ? BYTE_ORDER_AB : BYTE_ORDER_BA;
	return true;
}

static bool take_order(const char **p, struct config_address *a)
{
	static const struct {
		const char *letters;
		enum byte_order order;
	} orders[] = {
		{"L", BYTE_ORDER_AB},    {"B", BYTE_ORDER_BA},    {"LL", BYTE_ORDER_ABCD},
		{"LB", BYTE_ORDER_BADC}, {"BL", BYTE_ORDER_CDAB}, {"BB", BYTE_ORDER_DCBA},
	};

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (strcmp(orders[i].letters, *p) != 0)
			continue;
		a->order = orders[i].order;
		*p += strlen(*p);
		return true;
	}
	return false;
}

static bool address_parse(const char *text, void *out)
{
	struct config_address a = CONFIG_ADDRESS_NONE;
	const char *p = text;

	if (strchr(p, '!') && !take_unit(&p, &a))
		return false;
	if (!(strchr(p, ':') && a.unit < 0 ? take_area(&p, &a) : take_classic(&p, &a)))
		return false;
	if (*p == '.' && (p++, !take_detail(&p, &a)))
		return false;
	if (*p == '#' && a.unit >= 0 && a.order == CONFIG_ORDER_UNSET && (p++, !take_order(&p, &a)))
		return false;
	if (*p)
		return false;
	if (out)
		*(struct config_address *)out = a;
	return true;
}

const struct schema_rule rule_address = {
	.parse = address_parse,
	.allowed = "area:number or area:number.bit, area coil, discrete, input or holding (di, do, relay, "
		   "ai, ao, rtd or tc of a rack), number 0..65535; or 40001, 400001, 1!400001.3#BL, counted "
		   "from 1",
	.pattern = "^((coil|discrete|input|holding|di|do|relay|ai|ao|rtd|tc):[0-9]{1,5}(\\.[0-9]{1,3})?|"
		   "([0-9]{1,3}!)?[0134][0-9]{4,5}(\\.[0-9]{1,3}[HL]?)?(#[LB]{1,2})?)$",
};
