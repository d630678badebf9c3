/*
 * Values as people type and read them. Pure: no state, no allocation.
 */
#ifndef TOOLS_MODBUS_TEXT_H
#define TOOLS_MODBUS_TEXT_H

#include <stdio.h>

#include "wire/modbus_value.h"

/*
 * Parse a value for this format: bool 0 1 true false on off; integers decimal or 0x; floats; text as it is; bytes as
 * hexadecimal digits; date-times as base/calendar.h. OK, ERR_MALFORMED (not of the type) or ERR_RANGE; whether it fits the registers is said by
 * modbus_value_encode().
 */
MUST_USE int modbus_text_parse(const char *text, const struct modbus_format *f, struct modbus_value *out);

/*
 * Print a value: floats with the fewest digits that read back the same (`is_single`: as a float32), bytes as lower-case
 * hexadecimal, control characters of text as \xNN.
 */
void modbus_text_print(FILE *to, const struct modbus_value *v, bool is_single);

/*
 * `n` registers, 1 to 4, as every type of numbers that fits in them, a row for each, in every order, a column for each; and as
 * text.
 */
void modbus_text_print_orders(FILE *to, const uint16_t *regs, unsigned n);

/* The value as JSON: NaN and infinity are null, bytes a string of hexadecimal digits, what is no UTF-8 is U+FFFD. */
void modbus_text_print_json(FILE *to, const struct modbus_value *v, bool is_single);

#endif
