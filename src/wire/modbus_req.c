#include "wire/modbus_bits.h"

static void encode_items(struct wr *w, const struct modbus_req *req, enum modbus_shape shape)
{
	switch (shape) {
	case MODBUS_SHAPE_READ_BITS:
	case MODBUS_SHAPE_READ_REGS:
		wr_u16be(w, req->count);
		return;
	case MODBUS_SHAPE_WRITE_BIT:
		wr_u16be(w, modbus_bit_get(req->data.bits, 0) ? MODBUS_COIL_ON : MODBUS_COIL_OFF);
		return;
	case MODBUS_SHAPE_WRITE_REG:
		wr_u16be(w, req->data.regs[0]);
		return;
	case MODBUS_SHAPE_WRITE_BITS:
		wr_u16be(w, req->count);
		wr_u8(w, (uint8_t)modbus_bits_bytes(req->count));
		modbus_wr_bits(w, req->data.bits, req->count);
		return;
	case MODBUS_SHAPE_WRITE_REGS:
		wr_u16be(w, req->count);
		wr_u8(w, (uint8_t)(2u * req->count));
		modbus_wr_regs(w, req->data.regs, req->count);
		return;
	}
}

int modbus_req_encode(const struct modbus_req *req, uint8_t *pdu, size_t room, size_t *len)
{
	const struct modbus_fc_info *f = modbus_fc_info(req->fc);
	struct wr w = wr_of(pdu, room);

	if (!f)
		return ERR_UNSUPPORTED;
	if (modbus_range_check(f, req->address, req->count) < 0)
		return ERR_RANGE;
	wr_u8(&w, req->fc);
	wr_u16be(&w, req->address);
	encode_items(&w, req, f->shape);
	if (w.bad)
		return ERR_TOO_LARGE;
	*len = room - w.left;
	return OK;
}

static MUST_USE int decode_coil(struct rd *r, struct modbus_req *req)
{
	uint16_t value = rd_u16be(r);

	if (r->bad || r->left)
		return ERR_MALFORMED;
	if (value != MODBUS_COIL_ON && value != MODBUS_COIL_OFF)
		return ERR_RANGE;
	req->count = 1;
	req->data.bits[0] = value == MODBUS_COIL_ON;
	return OK;
}

static MUST_USE int decode_register(struct rd *r, struct modbus_req *req)
{
	uint16_t value = rd_u16be(r);

	if (r->bad || r->left)
		return ERR_MALFORMED;
	req->count = 1;
	req->data.regs[0] = value;
	return OK;
}

/* Quantity, byte count and items: the two counts must agree with each other and with the length of the PDU. */
static MUST_USE int decode_many(struct rd *r, struct modbus_req *req, const struct modbus_fc_info *f)
{
	uint16_t count = rd_u16be(r);
	uint8_t nbytes = rd_u8(r);
	bool is_bits = f->shape == MODBUS_SHAPE_WRITE_BITS;

	if (r->bad || r->left != nbytes)
		return ERR_MALFORMED;
	if (count < 1 || count > f->max || nbytes != (is_bits ? modbus_bits_bytes(count) : 2u * count))
		return ERR_RANGE;
	req->count = count;
	if (is_bits)
		modbus_rd_bits(r, req->data.bits, count);
	else
		modbus_rd_regs(r, req->data.regs, count);
	return OK;
}

static MUST_USE int decode_items(struct rd *r, struct modbus_req *req, const struct modbus_fc_info *f)
{
	switch (f->shape) {
	case MODBUS_SHAPE_WRITE_BIT:
		return decode_coil(r, req);
	case MODBUS_SHAPE_WRITE_REG:
		return decode_register(r, req);
	case MODBUS_SHAPE_WRITE_BITS:
	case MODBUS_SHAPE_WRITE_REGS:
		return decode_many(r, req, f);
	default:
		req->count = rd_u16be(r);
		return r->bad || r->left ? ERR_MALFORMED : OK;
	}
}

int modbus_req_decode(const uint8_t *pdu, size_t len, struct modbus_req *req)
{
	struct rd r = rd_of(pdu, len);
	const struct modbus_fc_info *f;
	int rc;

	if (len < 1)
		return ERR_MALFORMED;
	req->fc = rd_u8(&r);
	f = modbus_fc_info(req->fc);
	if (!f)
		return ERR_UNSUPPORTED;
	req->address = rd_u16be(&r);
	if ((rc = decode_items(&r, req, f)) < 0)
		return rc;
	return modbus_range_check(f, req->address, req->count);
}
