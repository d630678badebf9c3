/*
 * Addresses of values as people write them: "holding:7", "coil:3", "holding:7.3" (bit 3 of a register, 0 the lowest), whose
 * number counts from 0, as on the wire; "40008" or "400008", which count from 1, as in manuals. Pure: no allocation, no state. Source: PRODUCT, configuration.
 */
#ifndef WIRE_MODBUS_ADDRESS_H
#define WIRE_MODBUS_ADDRESS_H

#include "wire/modbus.h"

#define MODBUS_NO_BIT (-1)

struct modbus_address {
	enum modbus_area area;
	uint16_t number;
	int bit; /* 0..15, or MODBUS_NO_BIT */
};

/*
 * Parse the whole of `text`. Returns OK; ERR_NOT_FOUND (no such area), ERR_MALFORMED (not of one of these forms,
 * area:number.bit, or a bit in an area of bits), ERR_RANGE (number above 65535 or bit above 15). *out is untouched unless
 * OK.
 */
MUST_USE int modbus_address_parse(const char *text, struct modbus_address *out);

/* The address as text; at least MODBUS_ADDRESS_TEXT_MAX bytes. Returns buf. */
#define MODBUS_ADDRESS_TEXT_MAX 24
const char *modbus_address_format(const struct modbus_address *a, char *buf, size_t size);

#endif
