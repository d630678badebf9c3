#include "tools/modbus_frame.h"

#include <stdio.h>

#include "wire/modbus_rtu.h"

#define EXCEPTION_BIT 0x80u

struct text {
	char *to;
	size_t room;
};

/* ---- requests ---- */

static void request_text(const struct modbus_fc_info *fc, const struct modbus_req *r, struct text t)
{
	switch (fc->shape) {
	case MODBUS_SHAPE_READ_BITS:
	case MODBUS_SHAPE_READ_REGS:
	case MODBUS_SHAPE_WRITE_BITS:
	case MODBUS_SHAPE_WRITE_REGS:
		snprintf(t.to, t.room, "%s: %u from %u", fc->text, r->count, r->address);
		break;
	case MODBUS_SHAPE_WRITE_BIT:
		snprintf(t.to, t.room, "%s: %s to %u", fc->text,
			 modbus_bit_get(r->data.bits, 0) ? "on" : "off", r->address);
		break;
	case MODBUS_SHAPE_WRITE_REG:
		snprintf(t.to, t.room, "%s: %u to %u", fc->text, r->data.regs[0], r->address);
		break;
	case MODBUS_SHAPE_MASK:
		snprintf(t.to, t.room, "%s: and %04x or %04x at %u", fc->text, r->and_mask, r->or_mask,
			 r->address);
		break;
	case MODBUS_SHAPE_READ_WRITE:
		snprintf(t.to, t.room, "%s: %u from %u, and write %u from %u", fc->text, r->count, r->address,
			 r->write_count, r->write_address);
		break;
	default:
		snprintf(t.to, t.room, "%s", fc->text);
	}
}

/* ---- answers ---- */

static void items_text(const struct modbus_fc_info *fc, struct span pdu, struct text t)
{
	bool is_bits = fc->shape == MODBUS_SHAPE_READ_BITS;
	unsigned bytes = pdu.p[1];

	if (pdu.len != 2u + bytes)
		snprintf(t.to, t.room, "%s: answer of a wrong length", fc->text);
	else
		snprintf(t.to, t.room, "%s: %u %s%s", fc->text, is_bits ? bytes * 8 : bytes / 2,
			 is_bits ? "bits at the most" : "register", is_bits || bytes == 2 ? "" : "s");
}

/* Of single writes and mask write, the answer is the request again. */
static void answer_text(const struct modbus_fc_info *fc, struct span pdu, struct text t)
{
	bool reads = fc->shape == MODBUS_SHAPE_READ_BITS || fc->shape == MODBUS_SHAPE_READ_REGS ||
		     fc->shape == MODBUS_SHAPE_READ_WRITE;
	bool counts = fc->shape == MODBUS_SHAPE_WRITE_BITS || fc->shape == MODBUS_SHAPE_WRITE_REGS;
	struct modbus_req r;

	if (reads && pdu.len >= 2)
		items_text(fc, pdu, t);
	else if (counts && pdu.len == 5)
		snprintf(t.to, t.room, "%s: %u from %u", fc->text, get_u16be(pdu.p + 3),
			 get_u16be(pdu.p + 1));
	else if (!reads && !counts && modbus_shape_writes(fc->shape) &&
		 modbus_req_decode(pdu.p, pdu.len, &r) == OK)
		request_text(fc, &r, t);
	else
		snprintf(t.to, t.room, "%s", fc->text);
}

/* ---- frames ---- */

static void pdu_text(enum modbus_frame_kind kind, struct span pdu, struct text t)
{
	bool is_exception = pdu.p[0] & EXCEPTION_BIT && pdu.len == 2;
	const struct modbus_fc_info *fc = modbus_fc_info(pdu.p[0] & (uint8_t)~EXCEPTION_BIT);
	struct modbus_req r;

	if (is_exception)
		snprintf(t.to, t.room, "%s: exception %u, %s", fc ? fc->text : "unknown function", pdu.p[1],
			 modbus_exception_text(pdu.p[1]));
	else if (!fc || pdu.p[0] & EXCEPTION_BIT)
		snprintf(t.to, t.room, "function %u", pdu.p[0]);
	else if (kind == MODBUS_FRAME_REQUEST && modbus_req_decode(pdu.p, pdu.len, &r) == OK)
		request_text(fc, &r, t);
	else if (kind == MODBUS_FRAME_ANSWER)
		answer_text(fc, pdu, t);
	else
		snprintf(t.to, t.room, "%s", fc->text);
}

static int split(enum modbus_framing framing, struct span bytes, uint8_t room[MODBUS_RTU_MAX],
		 struct modbus_frame *out)
{
	struct modbus_adu adu;
	size_t used;
	int rc;

	if (framing == MODBUS_FRAMING_RTU)
		return modbus_rtu_decode(bytes.p, bytes.len, out);
	if (framing == MODBUS_FRAMING_ASCII)
		return modbus_ascii_split(bytes.p, bytes.len, room, out, &used);
	if ((rc = modbus_adu_split(bytes.p, bytes.len, &adu)) == OK)
		*out = (struct modbus_frame){.unit = adu.unit, .pdu = adu.pdu};
	return rc;
}

void modbus_frame_read(enum modbus_framing framing, enum modbus_frame_kind kind, struct span bytes,
		       struct modbus_frame_text *out)
{
	uint8_t room[MODBUS_RTU_MAX];
	struct modbus_frame f;

	*out = (struct modbus_frame_text){.unit = -1};
	if (split(framing, bytes, room, &f) < 0)
		return;
	out->unit = f.unit;
	pdu_text(kind, f.pdu, (struct text){out->text, sizeof(out->text)});
}
