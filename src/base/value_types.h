/*
 * The types and byte orders in which values lie in registers, said once: configuration, codec, tools and
 * documentation read these tables. Pure: no state, no allocation. Source: PRODUCT "Types" and "Orders".
 */
#ifndef BASE_VALUE_TYPES_H
#define BASE_VALUE_TYPES_H

#include <stdbool.h>

#include "base/err.h"

/* What a decoded value is; enum value_kind VALUE_KIND_BOOL, ... */
#define VALUE_KIND_TABLE(VALUE_KIND)                                    \
	VALUE_KIND(NONE, "none")                                        \
	VALUE_KIND(BOOL, "bool")                                        \
	VALUE_KIND(INT, "int")     /* signed, up to 64 bits, exact */   \
	VALUE_KIND(UINT, "uint")   /* unsigned, up to 64 bits, exact */ \
	VALUE_KIND(FLOAT, "float") /* double; a float32 fits exactly */ \
	VALUE_KIND(STRING, "string")                                    \
	VALUE_KIND(BYTES, "bytes")                                      \
	VALUE_KIND(TIME, "time") /* milliseconds since 1970, UTC */

/*
 * VALUE_TYPE(NAME, text, registers, bits, kind, text for people)
 *   registers  16-bit registers one value takes; 0: its own length in bytes, rounded up to registers
 *   bits       width of the number; 0: not a number
 * The date-times are those of common meters: seconds or milliseconds since 1970 as one number; Year-2000, month, day, hour, minute,
 * second as six bytes, in binary or in BCD; the four registers of IEC 870-5-4 (Schneider Electric "DATETIME", Siemens SICAM
 * with the registers reversed); one register for each of year, month, day, hour, minute, second (and millisecond).
 *   kind       one of VALUE_KIND_TABLE
 */
#define VALUE_TYPE_TABLE(VALUE_TYPE)                                                                       \
	VALUE_TYPE(BOOL, "bool", 1, 1, BOOL, "a coil, an input, or one bit of a register")                 \
	VALUE_TYPE(INT8, "int8", 1, 8, INT, "signed, one byte of a register (the low one)")                \
	VALUE_TYPE(UINT8, "uint8", 1, 8, UINT, "unsigned, one byte of a register (the low one)")           \
	VALUE_TYPE(INT16, "int16", 1, 16, INT, "signed, one register")                                     \
	VALUE_TYPE(UINT16, "uint16", 1, 16, UINT, "unsigned, one register")                                \
	VALUE_TYPE(INT32, "int32", 2, 32, INT, "signed, two registers")                                    \
	VALUE_TYPE(UINT32, "uint32", 2, 32, UINT, "unsigned, two registers")                               \
	VALUE_TYPE(INT64, "int64", 4, 64, INT, "signed, four registers")                                   \
	VALUE_TYPE(UINT64, "uint64", 4, 64, UINT, "unsigned, four registers")                              \
	VALUE_TYPE(FLOAT32, "float32", 2, 32, FLOAT, "IEEE 754 single, two registers")                     \
	VALUE_TYPE(FLOAT64, "float64", 4, 64, FLOAT, "IEEE 754 double, four registers")                    \
	VALUE_TYPE(STRING, "string", 0, 0, STRING, "text, two bytes a register; needs a length")           \
	VALUE_TYPE(BYTES, "bytes", 0, 0, BYTES, "bytes, two a register; needs a length")                   \
	VALUE_TYPE(BCD16, "bcd16", 1, 16, UINT, "four decimal digits in one register, 0..9999")            \
	VALUE_TYPE(BCD32, "bcd32", 2, 32, UINT, "eight decimal digits in two registers, 0..99999999")      \
	VALUE_TYPE(UNIX32, "unix32", 2, 0, TIME, "date-time: seconds since 1970, two registers")           \
	VALUE_TYPE(UNIX64, "unix64", 4, 0, TIME, "date-time: seconds since 1970, four registers")          \
	VALUE_TYPE(UNIX64MS, "unix64ms", 4, 0, TIME, "date-time: milliseconds since 1970, four registers") \
	VALUE_TYPE(DATETIME3, "datetime3", 3, 0, TIME,                                                     \
		   "date-time: year-2000, month, day, hour, minute, second, a byte each")                  \
	VALUE_TYPE(DATETIME3BCD, "datetime3bcd", 3, 0, TIME, "date-time: the same six bytes in BCD")       \
	VALUE_TYPE(DATETIME4, "datetime4", 4, 0, TIME,                                                     \
		   "date-time of IEC 870-5-4: year, month and day, hour and minute, milliseconds")         \
	VALUE_TYPE(DATETIME6, "datetime6", 6, 0, TIME,                                                     \
		   "date-time: year, month, day, hour, minute, second, a register each")                   \
	VALUE_TYPE(DATETIME7, "datetime7", 7, 0, TIME,                                                     \
		   "date-time: the same and milliseconds, seven registers")

/*
 * BYTE_ORDER(NAME, registers, swap bytes, reverse words). The letters name the value's bytes, A the most significant, in
 * the order in which the device sends them; every order is these two switches:
 *   swap bytes     the two bytes of each register change places
 *   reverse words  the registers of the value stand in reverse
 * The name is the text. The orders of two registers stand for the form with the same switches at 64 bits, and
 * at 16 bits, where only the first switch matters.
 */
#define BYTE_ORDER_TABLE(BYTE_ORDER)          \
	BYTE_ORDER(AB, 1, false, false)       \
	BYTE_ORDER(BA, 1, true, false)        \
	BYTE_ORDER(ABCD, 2, false, false)     \
	BYTE_ORDER(CDAB, 2, false, true)      \
	BYTE_ORDER(BADC, 2, true, false)      \
	BYTE_ORDER(DCBA, 2, true, true)       \
	BYTE_ORDER(ABCDEFGH, 4, false, false) \
	BYTE_ORDER(GHEFCDAB, 4, false, true)  \
	BYTE_ORDER(BADCFEHG, 4, true, false)  \
	BYTE_ORDER(HGFEDCBA, 4, true, true)

/* Longest string or bytes value: what one read of registers can bring. */
#define VALUE_BYTES_MAX 250u

enum value_kind {
#define VALUE_KIND_AS_ENUM(name, text) VALUE_KIND_##name,
	VALUE_KIND_TABLE(VALUE_KIND_AS_ENUM)
#undef VALUE_KIND_AS_ENUM
};

enum value_type {
#define VALUE_TYPE_AS_ENUM(name, text, registers, bits, kind, help) VALUE_TYPE_##name,
	VALUE_TYPE_TABLE(VALUE_TYPE_AS_ENUM)
#undef VALUE_TYPE_AS_ENUM
		VALUE_TYPE_COUNT
};

enum byte_order {
#define BYTE_ORDER_AS_ENUM(name, registers, swap, reverse) BYTE_ORDER_##name,
	BYTE_ORDER_TABLE(BYTE_ORDER_AS_ENUM)
#undef BYTE_ORDER_AS_ENUM
		BYTE_ORDER_COUNT
};

struct value_type_info {
	const char *name; /* "float32" */
	unsigned registers;
	unsigned bits;
	enum value_kind kind;
	const char *help;
};

struct byte_order_info {
	const char *name; /* "CDAB" */
	unsigned registers;
	bool swap_bytes;
	bool reverse_words;
};

/* Static; `t` and `o` are enumerators of the tables. */
const struct value_type_info *value_type_info(enum value_type t);
const struct byte_order_info *byte_order_info(enum byte_order o);

/* By exact name. ERR_NOT_FOUND leaves *out alone. */
MUST_USE int value_type_find(const char *name, enum value_type *out);
MUST_USE int byte_order_find(const char *name, enum byte_order *out);

/*
 * May a value of type `t` be given order `o`? Orders of one register fit types of one register, string and bytes;
 * of two registers all numbers and date-times (see above); of four registers 64-bit numbers.
 */
bool value_type_takes_order(enum value_type t, enum byte_order o);

/* May only some of its bits be the value? Integers of 16 bits and more; BCD is none. */
bool value_type_takes_bits(enum value_type t);

/* The order a type has when none is named: AB, ABCD or ABCDEFGH, by its registers (ABCD for those of 3, 6 and 7). */
enum byte_order value_type_default_order(enum value_type t);

#endif
