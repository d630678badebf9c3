#include "wire/modbus_bits.h"

static void encode_many(struct wr *w, uint16_t count, const uint16_t *regs)
{
	wr_u16be(w, count);
	wr_u8(w, (uint8_t)(2u * count));
	modbus_wr_regs(w, regs, count);
}

static void encode_items(struct wr *w, const struct modbus_req *req, enum modbus_shape shape)
{
	wr_u16be(w, req->address);
	switch (shape) {
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
		encode_many(w, req->count, req->data.regs);
		return;
	case MODBUS_SHAPE_MASK:
		wr_u16be(w, req->and_mask);
		wr_u16be(w, req->or_mask);
		return;
	case MODBUS_SHAPE_READ_WRITE:
		wr_u16be(w, req->count);
		wr_u16be(w, req->write_address);
		encode_many(w, req->write_count, req->data.regs);
		return;
	default:
		wr_u16be(w, req->count);
		return;
	}
}

/* Behind the function code. */
static void encode_body(struct wr *w, const struct modbus_req *req, enum modbus_shape shape)
{
	switch (shape) {
	case MODBUS_SHAPE_EVENT_COUNTER:
		return;
	case MODBUS_SHAPE_IDENTIFICATION:
		wr_u8(w, MODBUS_MEI_IDENTIFICATION);
		wr_u8(w, req->read_code);
		wr_u8(w, req->object_id);
		return;
	case MODBUS_SHAPE_DIAGNOSTICS:
		wr_u16be(w, req->sub_function);
		modbus_wr_regs(w, req->data.regs, req->count);
		return;
	default:
		encode_items(w, req, shape);
		return;
	}
}

int modbus_req_encode(const struct modbus_req *req, uint8_t *pdu, size_t room, size_t *len)
{
	const struct modbus_fc_info *f = modbus_fc_info(req->fc);
	struct wr w = wr_of(pdu, room);

	if (!f)
		return ERR_UNSUPPORTED;
	if (modbus_req_check(f, req) < 0)
		return ERR_RANGE;
	wr_u8(&w, req->fc);
	encode_body(&w, req, f->shape);
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

static MUST_USE int decode_mask(struct rd *r, struct modbus_req *req)
{
	req->count = 1;
	req->and_mask = rd_u16be(r);
	req->or_mask = rd_u16be(r);
	return r->bad || r->left ? ERR_MALFORMED : OK;
}

static MUST_USE int decode_read_write(struct rd *r, struct modbus_req *req)
{
	uint8_t nbytes;

	req->count = rd_u16be(r);
	req->write_address = rd_u16be(r);
	req->write_count = rd_u16be(r);
	nbytes = rd_u8(r);
	if (r->bad || r->left != nbytes)
		return ERR_MALFORMED;
	if (req->write_count < 1 || req->write_count > MODBUS_RW_WRITE_MAX || nbytes != 2u * req->write_count)
		return ERR_RANGE;
	modbus_rd_regs(r, req->data.regs, req->write_count);
	return OK;
}

static MUST_USE int decode_items(struct rd *r, struct modbus_req *req, const struct modbus_fc_info *f)
{
	req->address = rd_u16be(r);
	switch (f->shape) {
	case MODBUS_SHAPE_WRITE_BIT:
		return decode_coil(r, req);
	case MODBUS_SHAPE_WRITE_REG:
		return decode_register(r, req);
	case MODBUS_SHAPE_WRITE_BITS:
	case MODBUS_SHAPE_WRITE_REGS:
		return decode_many(r, req, f);
	case MODBUS_SHAPE_MASK:
		return decode_mask(r, req);
	case MODBUS_SHAPE_READ_WRITE:
		return decode_read_write(r, req);
	default:
		req->count = rd_u16be(r);
		return r->bad || r->left ? ERR_MALFORMED : OK;
	}
}

/* Other kinds of encapsulated transport are functions that we do not have. */
static MUST_USE int decode_identification(struct rd *r, struct modbus_req *req)
{
	uint8_t mei = rd_u8(r);

	if (!r->bad && mei != MODBUS_MEI_IDENTIFICATION)
		return ERR_UNSUPPORTED;
	req->read_code = rd_u8(r);
	req->object_id = rd_u8(r);
	return r->bad || r->left ? ERR_MALFORMED : OK;
}

static MUST_USE int decode_diagnostics(struct rd *r, struct modbus_req *req)
{
	req->sub_function = rd_u16be(r);
	if (r->bad || r->left % 2)
		return ERR_MALFORMED;
	if (r->left < 2 || r->left > 2 * MODBUS_DIAG_WORDS_MAX)
		return ERR_RANGE;
	req->count = (uint16_t)(r->left / 2);
	modbus_rd_regs(r, req->data.regs, req->count);
	return OK;
}

static MUST_USE int decode_body(struct rd *r, struct modbus_req *req, const struct modbus_fc_info *f)
{
	switch (f->shape) {
	case MODBUS_SHAPE_EVENT_COUNTER:
		return r->left ? ERR_MALFORMED : OK;
	case MODBUS_SHAPE_IDENTIFICATION:
		return decode_identification(r, req);
	case MODBUS_SHAPE_DIAGNOSTICS:
		return decode_diagnostics(r, req);
	default:
		return decode_items(r, req, f);
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
	req->address = req->count = 0; /* not every function has them */
	if ((rc = decode_body(&r, req, f)) < 0)
		return rc;
	return modbus_req_check(f, req);
}
