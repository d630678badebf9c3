#include "wire/modbus_bits.h"

#define EXCEPTION_BIT       0x80u /* AP 7: the function code of an exception has its highest bit set */
#define EVENT_COUNTER_WORDS 2u

/* A write is answered with its address and its value, quantity or masks. */
static void encode_echo(struct wr *w, const struct modbus_req *req, enum modbus_shape shape)
{
	wr_u16be(w, req->address);
	if (shape == MODBUS_SHAPE_MASK) {
		wr_u16be(w, req->and_mask);
		wr_u16be(w, req->or_mask);
	} else if (shape == MODBUS_SHAPE_WRITE_BIT) {
		wr_u16be(w, modbus_bit_get(req->data.bits, 0) ? MODBUS_COIL_ON : MODBUS_COIL_OFF);
	} else if (shape == MODBUS_SHAPE_WRITE_REG) {
		wr_u16be(w, req->data.regs[0]);
	} else {
		wr_u16be(w, req->count);
	}
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
	case MODBUS_SHAPE_READ_WRITE:
		wr_u8(w, (uint8_t)(2u * req->count));
		modbus_wr_regs(w, data->regs, req->count);
		return;
	case MODBUS_SHAPE_DIAGNOSTICS:
		wr_u16be(w, req->sub_function);
		modbus_wr_regs(w, data->regs, req->count);
		return;
	case MODBUS_SHAPE_EVENT_COUNTER:
		modbus_wr_regs(w, data->regs, EVENT_COUNTER_WORDS);
		return;
	case MODBUS_SHAPE_IDENTIFICATION:
		modbus_objects_encode(w, req, &data->objects);
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
	if (modbus_req_check(f, req) < 0)
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

/* Known before: address and value, or address and masks. */
static MUST_USE int decode_echo(struct rd *r, const struct modbus_req *asked, enum modbus_shape shape)
{
	uint8_t expected[6];
	struct wr w = wr_of(expected, sizeof(expected));
	struct span got;

	encode_echo(&w, asked, shape);
	got = rd_span(r, sizeof(expected) - w.left);
	if (r->bad || r->left)
		return ERR_MALFORMED;
	return span_equal(got, span_of(expected, got.len)) ? OK : ERR_UNEXPECTED;
}

/* The sub-function and as many words as were sent; an echo brings back the same ones. */
static MUST_USE int decode_diagnostics(struct rd *r, const struct modbus_req *asked, union modbus_data *data)
{
	uint16_t sub_function = rd_u16be(r);
	uint16_t words[MODBUS_DIAG_WORDS_MAX];

	if (r->bad || r->left < 2 || r->left % 2)
		return ERR_MALFORMED;
	if (sub_function != asked->sub_function || r->left != 2u * asked->count)
		return ERR_UNEXPECTED;
	modbus_rd_regs(r, words, asked->count);
	if (sub_function == MODBUS_DIAG_ECHO && memcmp(words, asked->data.regs, 2u * asked->count) != 0)
		return ERR_UNEXPECTED;
	memcpy(data->regs, words, 2u * asked->count);
	return OK;
}

static MUST_USE int decode_event_counter(struct rd *r, union modbus_data *data)
{
	if (r->left != 2 * EVENT_COUNTER_WORDS)
		return ERR_MALFORMED;
	modbus_rd_regs(r, data->regs, EVENT_COUNTER_WORDS);
	return OK;
}

static MUST_USE int decode_answer(struct rd *r, const struct modbus_req *asked, enum modbus_shape shape,
				  union modbus_data *data)
{
	switch (shape) {
	case MODBUS_SHAPE_READ_BITS:
	case MODBUS_SHAPE_READ_REGS:
	case MODBUS_SHAPE_READ_WRITE:
		return decode_read(r, asked, shape, data);
	case MODBUS_SHAPE_DIAGNOSTICS:
		return decode_diagnostics(r, asked, data);
	case MODBUS_SHAPE_EVENT_COUNTER:
		return decode_event_counter(r, data);
	case MODBUS_SHAPE_IDENTIFICATION:
		return modbus_objects_decode(r, asked, &data->objects);
	default:
		return decode_echo(r, asked, shape);
	}
}

int modbus_rsp_decode(const uint8_t *pdu, size_t len, const struct modbus_req *asked, union modbus_data *data,
		      uint8_t *exception)
{
	const struct modbus_fc_info *f = modbus_fc_info(asked->fc);
	struct rd r = rd_of(pdu, len);
	uint8_t fc = rd_u8(&r);

	if (!f || modbus_req_check(f, asked) < 0)
		return ERR_UNEXPECTED; /* nobody can have asked this */
	if (r.bad)
		return ERR_MALFORMED;
	if ((fc & ~EXCEPTION_BIT) != asked->fc)
		return ERR_UNEXPECTED;
	if (fc & EXCEPTION_BIT)
		return decode_exception(&r, exception);
	return decode_answer(&r, asked, f->shape, data);
}
