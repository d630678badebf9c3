/*
 * A channel as registers, and writes to them: the attributes of all kinds of channels, said once. Pure.
 * The page docs/racks.md is made from this table by tests/rack_docs.py.
 */
#ifndef SOUTH_IO_REGISTERS_H
#define SOUTH_IO_REGISTERS_H

#include "south/io_channel.h"

#define IO_DI       (1u << CONFIG_AREA_DI)
#define IO_DO       (1u << CONFIG_AREA_DO)
#define IO_RELAY    (1u << CONFIG_AREA_RELAY)
#define IO_MEASURES (1u << CONFIG_AREA_AI | 1u << CONFIG_AREA_RTD | 1u << CONFIG_AREA_TC)
#define IO_ANALOG   (IO_MEASURES | 1u << CONFIG_AREA_AO)

/*
 * IO_ATTRIBUTE(kinds, name, "name", register, type, bytes of a string, unit, access, min, max, text for people)
 *   unit    UNIT: in the unit of the channel and scaled as its value; PLAIN: not
 *   access  RW, or R: may be read only; min, max: of what may be written, 0 and 0: what the type holds
 * Register 0 is the value.
 */
#define IO_ATTRIBUTE_TABLE(A)                                                                                \
	A(IO_DI, COUNTER, "counter", 1, UINT32, 0, PLAIN, RW, 0, 0,                                          \
	  "edges since the start; writing sets it")                                                          \
	A(IO_DI, COUNTING, "counting", 3, BOOL, 0, PLAIN, RW, 0, 0, "false: edges are not counted")          \
	A(IO_DI, OVERFLOW, "overflow", 4, BOOL, 0, PLAIN, R, 0, 0, "the counter has passed 4294967295")      \
	A(IO_DI, OVERFLOW_CLEAR, "overflow_clear", 5, BOOL, 0, PLAIN, RW, 0, 0, "true takes overflow back")  \
	A(IO_DI, EDGE, "edge", 6, STRING, 8, PLAIN, R, 0, 0, "what is counted: rising, falling, both")       \
	A(IO_DI, FILTER, "filter", 10, UINT32, 0, PLAIN, R, 0, 0, "ms that a new state must last")           \
	A(IO_DO, PULSE, "pulse", 1, BOOL, 0, PLAIN, RW, 0, 0,                                                \
	  "true starts pulses, false stops them; true as long as they last")                                 \
	A(IO_DO, PULSE_ON, "pulse_on", 2, UINT32, 0, PLAIN, RW, 1, 86400000, "ms that a pulse lasts")        \
	A(IO_DO, PULSE_OFF, "pulse_off", 4, UINT32, 0, PLAIN, RW, 1, 86400000, "ms between two pulses")      \
	A(IO_DO, PULSE_COUNT, "pulse_count", 6, UINT32, 0, PLAIN, RW, 0, 0,                                  \
	  "pulses of one start; 0: until they are stopped")                                                  \
	A(IO_DO, PULSES_LEFT, "pulses_left", 8, UINT32, 0, PLAIN, R, 0, 0, "pulses that are still to come")  \
	A(IO_RELAY, TOTAL_COUNT, "total_count", 1, UINT32, 0, PLAIN, R, 0, 0,                                \
	  "times it was switched on since the start")                                                        \
	A(IO_RELAY, CURRENT_COUNT, "current_count", 3, UINT32, 0, PLAIN, R, 0, 0,                            \
	  "the same since the last reset")                                                                   \
	A(IO_RELAY, RESET_COUNT, "reset_count", 5, BOOL, 0, PLAIN, RW, 0, 0, "true sets current_count to 0") \
	A(IO_ANALOG, RAW, "raw", 4, INT64, 0, PLAIN, R, 0, 0, "what the converter says")                     \
	A(IO_MEASURES, MIN, "min", 8, FLOAT64, 0, UNIT, R, 0, 0,                                             \
	  "least value since the start or the last reset")                                                   \
	A(IO_MEASURES, MAX, "max", 12, FLOAT64, 0, UNIT, R, 0, 0, "largest value since then")                \
	A(IO_ANALOG, STATUS, "status", 16, UINT16, 0, PLAIN, R, 0, 0,                                        \
	  "0 normal, 1 burn-out, 2 over range, 3 under range, 4 not readable, 5 disabled")                   \
	A(IO_MEASURES, RESET_MIN, "reset_min", 17, BOOL, 0, PLAIN, RW, 0, 0, "true: min begins anew")        \
	A(IO_MEASURES, RESET_MAX, "reset_max", 18, BOOL, 0, PLAIN, RW, 0, 0, "true: max begins anew")        \
	A(IO_MEASURES, RESET, "reset", 19, BOOL, 0, PLAIN, RW, 0, 0, "true: both begin anew")                \
	A(IO_ANALOG, MODE, "mode", 20, STRING, 16, PLAIN, R, 0, 0, "what it measures or drives")

enum io_attribute {
	IO_ATTR_VALUE,
#define IO_ATTRIBUTE_AS_ENUM(kinds, name, text, reg, type, length, unit, access, min, max, help) \
	IO_ATTR_##name,
	IO_ATTRIBUTE_TABLE(IO_ATTRIBUTE_AS_ENUM)
#undef IO_ATTRIBUTE_AS_ENUM
		IO_ATTR_COUNT
};

/* Static, in the order of the table without IO_ATTR_VALUE. */
extern const struct source_attribute io_attributes[IO_ATTR_COUNT - 1];

/* All registers of a channel. */
void io_channel_registers(const struct io_channel *c, uint16_t regs[SOURCE_CHANNEL_REGS]);

/*
 * A write of `count` registers from `offset` of a channel on, which become a value or an attribute as a whole. OK; *is_output then
 * says whether the driver has to be told the new output. ERR_RANGE (no such place), ERR_DENIED (may only be read) or ERR_MALFORMED (a
 * value that it cannot take); the channel is as it was then.
 */
MUST_USE int io_channel_write(struct io_channel *c, unsigned offset, const uint16_t *regs, unsigned count,
			      uint64_t now_ms, bool *is_output);

#endif
