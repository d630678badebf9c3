/*
 * Inside the Modbus codec: items on the wire. A register is two bytes, high one first (AP 4.2); bits are packed
 * eight to a byte from the lowest, the last byte filled up with zeros (AP 6.1).
 */
#ifndef WIRE_MODBUS_BITS_H
#define WIRE_MODBUS_BITS_H

#include "wire/modbus.h"

#define MODBUS_COIL_ON  0xFF00u /* AP 6.5 */
#define MODBUS_COIL_OFF 0x0000u

static inline size_t modbus_bits_bytes(unsigned count)
{
	return (count + 7u) / 8u;
}

static inline void modbus_wr_bits(struct wr *w, const uint8_t *bits, unsigned count)
{
	size_t nbytes = modbus_bits_bytes(count);
	uint8_t *p = wr_take(w, nbytes);

	if (!p)
		return;
	memcpy(p, bits, nbytes);
	if (count % 8)
		p[nbytes - 1] &= (uint8_t)((1u << count % 8) - 1);
}

static inline void modbus_rd_bits(struct rd *r, uint8_t *bits, unsigned count)
{
	size_t nbytes = modbus_bits_bytes(count);
	const uint8_t *p = rd_take(r, nbytes);

	if (!p)
		return;
	memcpy(bits, p, nbytes);
	if (count % 8)
		bits[nbytes - 1] &= (uint8_t)((1u << count % 8) - 1);
}

static inline void modbus_wr_regs(struct wr *w, const uint16_t *regs, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		wr_u16be(w, regs[i]);
}

static inline void modbus_rd_regs(struct rd *r, uint16_t *regs, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		regs[i] = rd_u16be(r);
}

static inline MUST_USE int modbus_range_check(uint16_t address, uint16_t count, unsigned max)
{
	if (count < 1 || count > max)
		return ERR_RANGE;
	return address + (uint32_t)count > 65536u ? ERR_NOT_FOUND : OK;
}

/* Quantities, addresses and codes of a request against its function. */
static inline MUST_USE int modbus_req_check(const struct modbus_fc_info *f, const struct modbus_req *req)
{
	int rc;

	switch (f->shape) {
	case MODBUS_SHAPE_EVENT_COUNTER:
		return OK;
	case MODBUS_SHAPE_IDENTIFICATION:
		return req->read_code < MODBUS_READ_BASIC || req->read_code > MODBUS_READ_INDIVIDUAL
			       ? ERR_RANGE
			       : OK;
	case MODBUS_SHAPE_DIAGNOSTICS:
		return modbus_range_check(0, req->count, f->max);
	case MODBUS_SHAPE_READ_WRITE:
		if ((rc = modbus_range_check(req->write_address, req->write_count, MODBUS_RW_WRITE_MAX)) < 0)
			return rc;
		return modbus_range_check(req->address, req->count, f->max);
	default:
		return modbus_range_check(req->address, req->count, f->max);
	}
}

/* Of an answer with device identification, everything behind the function code. */
void modbus_objects_encode(struct wr *w, const struct modbus_req *req, const struct modbus_objects *o);
MUST_USE int modbus_objects_decode(struct rd *r, const struct modbus_req *asked, struct modbus_objects *o);

#endif
