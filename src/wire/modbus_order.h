/*
 * Inside the value codec: registers of a value as its bytes, most significant first, and back. Orders are two
 * switches (base/value_types.h), each its own inverse.
 */
#ifndef WIRE_MODBUS_ORDER_H
#define WIRE_MODBUS_ORDER_H

#include "base/bytes.h"
#include "base/value_types.h"

/* Where byte `i` of a value of `nregs` registers lies: register, and is it the high byte of it? */
struct modbus_place {
	unsigned reg;
	bool high;
};

static inline struct modbus_place modbus_place_of(enum byte_order order, unsigned nregs, unsigned i)
{
	const struct byte_order_info *o = byte_order_info(order);

	return (struct modbus_place){
		.reg = o->reverse_words ? nregs - 1 - i / 2 : i / 2,
		.high = (i % 2 == 0) != o->swap_bytes,
	};
}

static inline uint8_t modbus_byte_get(const uint16_t *regs, struct modbus_place at)
{
	return (uint8_t)(at.high ? regs[at.reg] >> 8 : regs[at.reg] & 0xff);
}

static inline void modbus_byte_set(uint16_t *regs, struct modbus_place at, uint8_t byte)
{
	unsigned rest = regs[at.reg];

	regs[at.reg] = (uint16_t)(at.high ? (rest & 0x00ff) | (unsigned)byte << 8 : (rest & 0xff00) | byte);
}

/* The bits of at most four registers as one number, and back. */
static inline uint64_t modbus_bits_gather(enum byte_order order, unsigned nregs, const uint16_t *regs)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < 2 * nregs; i++)
		bits = bits << 8 | modbus_byte_get(regs, modbus_place_of(order, nregs, i));
	return bits;
}

static inline void modbus_bits_scatter(enum byte_order order, unsigned nregs, uint64_t bits, uint16_t *regs)
{
	for (unsigned i = 2 * nregs; i > 0; i--, bits >>= 8)
		modbus_byte_set(regs, modbus_place_of(order, nregs, i - 1), (uint8_t)bits);
}

#endif
