#include "wire/modbus_bits.h"

#define EXCEPTION_BIT 0x80u /* AP 7: the function code of an exception has its highest bit set */

/* A write is answered with its address and its value or quantity. */
static void encode_echo(struct wr *w, const struct modbus_req *req, enum modbus_shape shape)
{
	wr_u16be(w, req->address);
	if (shape == MODBUS_SHAPE_WRITE_BIT)
		wr_u16be(w, modbus_bit_get(req->data.bits, 0) ? MODBUS_COIL_ON : MODBUS_COIL_OFF);
	else if (shape == MODBUS_SHAPE_WRITE_REG)
		wr_u16be(w, req->data.regs[0]);
	else
		wr_u16be(w, req->count);
}

static void encode_answer(struct wr *w, const struct modbus_req *req, const union modbus_data *data,
			  enum modbus_shape shape)
{
	switch (shape) {
	case MODBUS_SHAPE_READ_BITS:
		wr_u8(w, (uint8_t)modbus_bits_bytes(req->count));
		modbus_wr_bits(w, data->bits, req->count);
		return;
	case MODBUS_SHAPE_READ_REGS:
		wr_u8(w, (uint8_t)(2u * req->count));
		modbus_wr_regs(w, data->regs, req->count);
		return;
	default:
		encode_echo(w, req, shape);
		return;
	}
}

int modbus_rsp_encode(const struct modbus_req *req, const union modbus_data *data, uint8_t *pdu, size_t room,
		      size_t *len)
{
	const struct modbus_fc_info *f = modbus_fc_info(req->fc);
	struct wr w = wr_of(pdu, room);

	if (!f)
		return ERR_UNSUPPORTED;
	if (modbus_range_check(f, req->address, req->count) < 0)
		return ERR_RANGE;
	wr_u8(&w, req->fc);
	encode_answer(&w, req, data, f->shape);
	if (w.bad)
		return ERR_TOO_LARGE;
	*len = room - w.left;
	return OK;
}

int modbus_exception_encode(uint8_t fc, uint8_t exception, uint8_t *pdu, size_t room, size_t *len)
{
	struct wr w = wr_of(pdu, room);

	wr_u8(&w, (uint8_t)(fc | EXCEPTION_BIT));
	wr_u8(&w, exception);
	if (w.bad)
		return ERR_TOO_LARGE;
	*len = 2;
	return OK;
}

static MUST_USE int decode_exception(struct rd *r, uint8_t *exception)
{
	uint8_t code = rd_u8(r);

	if (r->bad || r->left || code == MODBUS_EXCEPTION_NONE)
		return ERR_MALFORMED;
	*exception = code;
	return ERR_REMOTE;
}

static MUST_USE int decode_read(struct rd *r, const struct modbus_req *asked, enum modbus_shape shape,
				union modbus_data *data)
{
	bool is_bits = shape == MODBUS_SHAPE_READ_BITS;
	uint8_t nbytes = rd_u8(r);

	if (r->bad || r->left != nbytes)
		return ERR_MALFORMED;
	if (nbytes != (is_bits ? modbus_bits_bytes(asked->count) : 2u * asked->count))
		return ERR_UNEXPECTED; /* past here data is large enough */
	if (is_bits)
		modbus_rd_bits(r, data->bits, asked->count);
	else
		modbus_rd_regs(r, data->regs, asked->count);
	return OK;
}

/* Four bytes, known before. */
static MUST_USE int decode_echo(struct rd *r, const struct modbus_req *asked, enum modbus_shape shape)
{
	uint8_t expected[4];
	struct wr w = wr_of(expected, sizeof(expected));
	struct span got = rd_span(r, sizeof(expected));

	if (r->bad || r->left)
		return ERR_MALFORMED;
	encode_echo(&w, asked, shape);
	return span_equal(got, span_of(expected, sizeof(expected))) ? OK : ERR_UNEXPECTED;
}

int modbus_rsp_decode(const uint8_t *pdu, size_t len, const struct modbus_req *asked, union modbus_data *data,
		      uint8_t *exception)
{
	const struct modbus_fc_info *f = modbus_fc_info(asked->fc);
	struct rd r = rd_of(pdu, len);
	uint8_t fc = rd_u8(&r);

	if (!f || modbus_range_check(f, asked->address, asked->count) < 0)
		return ERR_UNEXPECTED; /* nobody can have asked this */
	if (r.bad)
		return ERR_MALFORMED;
	if ((fc & ~EXCEPTION_BIT) != asked->fc)
		return ERR_UNEXPECTED;
	if (fc & EXCEPTION_BIT)
		return decode_exception(&r, exception);
	if (f->shape == MODBUS_SHAPE_READ_BITS || f->shape == MODBUS_SHAPE_READ_REGS)
		return decode_read(&r, asked, f->shape, data);
	return decode_echo(&r, asked, f->shape);
}
