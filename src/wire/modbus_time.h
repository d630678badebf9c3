/*
 * For the value codec: date-times in registers. Formats and their sources stand in base/value_types.h. A year of two digits
 * is one of this century. What a device says beside the date (day of the week, summer time) is passed over, and written as 0.
 */
#ifndef WIRE_MODBUS_TIME_H
#define WIRE_MODBUS_TIME_H

#include "wire/modbus_value.h"

/* `f` has a type of kind TIME; the rest as with modbus_value_decode() and modbus_value_encode(). */
MUST_USE int modbus_time_decode(const struct modbus_format *f, const uint16_t *regs,
				struct modbus_value *out);
MUST_USE int modbus_time_encode(const struct modbus_format *f, const struct modbus_value *v, uint16_t *regs);

#endif
