/*
 * Registers <-> values: every type and byte order of base/value_types.h. Pure functions: no allocation, no
 * state. 64-bit integers stay exact; no scaling happens here.
 *
 * Source: PRODUCT "Types" and "Orders"; MODBUS Application Protocol V1.1b3, 4.2 (a register is sent high byte first).
 */
#ifndef WIRE_MODBUS_VALUE_H
#define WIRE_MODBUS_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/value_types.h"

/* How a value lies in its registers. */
struct modbus_format {
	enum value_type type;
	enum byte_order order; /* one that value_type_takes_order() allows */
	bool high_byte;        /* int8, uint8: the high byte of the register, not the low one */
	uint8_t bit;           /* bool: 0 (lowest) to 15; a coil or input counts as a register with bit 0 */
	uint8_t bits; /* integers of 16 bits and more: how many of them from `bit` on are the value; 0: all */
	uint16_t length; /* string, bytes: 1..VALUE_BYTES_MAX bytes */
};

struct modbus_value {
	enum value_kind kind; /* never VALUE_KIND_NONE after a decode */
	union {
		bool b;
		int64_t i;
		uint64_t u;
		double f;     /* may be NaN or infinite when decoded */
		int64_t time; /* milliseconds since 1970, UTC: what the device's clock shows */
	};
	size_t len; /* string and bytes: 0..VALUE_BYTES_MAX */
	uint8_t bytes[VALUE_BYTES_MAX +
		      1]; /* a NUL follows; a string holds no other, but may be no valid UTF-8 */
};

/* OK, or ERR_RANGE (bit, length) or ERR_UNSUPPORTED (order) when the other functions would not take `f`. */
MUST_USE int modbus_format_check(const struct modbus_format *f);

/* Registers that a value of this format takes: 1..VALUE_BYTES_MAX / 2. */
unsigned modbus_format_registers(const struct modbus_format *f);

/*
 * Does the value leave part of its registers to others (one bit, one byte, an odd length)? Then a write must start from
 * the registers as they are.
 */
bool modbus_format_is_partial(const struct modbus_format *f);

/*
 * Decode a value.
 *   f     one that modbus_format_check() accepts
 *   regs  modbus_format_registers(f) registers in host order
 *   out   kind is that of the type's table line; untouched on failure
 * A string ends at its first NUL and loses trailing spaces; bytes are all `length` of them. The bits of a field are
 * counted in the whole value, so a field of a uint32 may lie in two registers, and the order says which.
 * Returns OK or ERR_MALFORMED (a BCD digit above 9; a date-time that the calendar does not have, or that its device
 * marks as invalid).
 */
MUST_USE int modbus_value_decode(const struct modbus_format *f, const uint16_t *regs,
				 struct modbus_value *out);

/*
 * Encode a value for writing.
 *   f     as above
 *   v     bool takes BOOL, or INT and UINT 0 or 1; integers and BCD take INT, UINT, BOOL (0, 1), and FLOAT without a
 *         fraction; floats take INT, UINT and FLOAT and round to the nearest; string takes STRING; bytes take BYTES;
 *         date-times take TIME, without what is finer than the device stores
 *   regs  in and out: modbus_format_registers(f) registers. What the value does not cover stays; untouched on
 *         failure
 * A string shorter than its length is filled up with NUL.
 * Returns OK; ERR_RANGE (does not fit, has a fraction, NaN or infinite; a string too long or with a NUL; bytes not exactly
 * of the length) or ERR_UNSUPPORTED (that kind cannot become this type).
 */
MUST_USE int modbus_value_encode(const struct modbus_format *f, const struct modbus_value *v, uint16_t *regs);

#endif
