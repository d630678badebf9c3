/*
 * Any registers under any format: what decodes must encode to the same registers again (text apart, which loses what
 * stands behind its end), and any value encodes or is refused without a trace.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "wire/modbus_address.h"
#include "wire/modbus_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void there_and_back(const struct modbus_format *f, const uint16_t *regs, unsigned nregs)
{
	uint16_t back[VALUE_BYTES_MAX / 2];
	struct modbus_value v, again;

	if (modbus_value_decode(f, regs, &v) < 0)
		return;
	if (v.kind != value_type_info(f->type)->kind)
		abort();
	if (v.kind == VALUE_KIND_FLOAT && !isfinite(v.f))
		return;
	memcpy(back, regs, 2 * nregs);
	if (modbus_value_encode(f, &v, back) < 0)
		abort();
	/* What a device puts beside a date is lost, too. */
	if (v.kind != VALUE_KIND_STRING && v.kind != VALUE_KIND_TIME && memcmp(back, regs, 2 * nregs) != 0)
		abort();
	if (modbus_value_decode(f, back, &again) < 0 || again.kind != v.kind)
		abort();
	if (v.kind == VALUE_KIND_TIME && again.time != v.time)
		abort();
	if (v.kind == VALUE_KIND_STRING && (again.len != v.len || memcmp(again.bytes, v.bytes, v.len) != 0))
		abort();
}

/* A value of a kind of its own against the format. */
static void any_value(const struct modbus_format *f, const uint16_t *regs, unsigned nregs, struct rd r)
{
	struct modbus_value v = {.kind = (enum value_kind)(rd_u8(&r) % (VALUE_KIND_TIME + 1))};
	uint16_t out[VALUE_BYTES_MAX / 2];
	uint64_t bits = (uint64_t)rd_u32be(&r) << 32;

	bits |= rd_u32be(&r);
	v.len = r.left < VALUE_BYTES_MAX ? r.left : VALUE_BYTES_MAX;
	if (v.len)
		memcpy(v.bytes, r.p, v.len);
	if (v.kind == VALUE_KIND_BOOL)
		v.b = bits & 1;
	else
		v.u = bits;
	memcpy(out, regs, 2 * nregs);
	if (modbus_value_encode(f, &v, out) < 0 && memcmp(out, regs, 2 * nregs) != 0)
		abort();
}

static void address(const uint8_t *data, size_t size)
{
	char text[64], back[MODBUS_ADDRESS_TEXT_MAX];
	struct modbus_address a, again;

	if (size >= sizeof(text))
		return;
	memcpy(text, data, size);
	text[size] = 0;
	if (modbus_address_parse(text, &a) < 0)
		return;
	modbus_address_format(&a, back, sizeof(back));
	if (modbus_address_parse(back, &again) < 0 || again.number != a.number || again.bit != a.bit)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rd r = rd_of(data, size);
	struct modbus_format f = {
		.type = (enum value_type)(rd_u8(&r) % VALUE_TYPE_COUNT),
		.order = (enum byte_order)(rd_u8(&r) % BYTE_ORDER_COUNT),
		.high_byte = rd_u8(&r) & 1,
		.bit = rd_u8(&r) & 63,
		.bits = rd_u8(&r) & 127,
		.length = rd_u8(&r),
	};
	uint16_t regs[VALUE_BYTES_MAX / 2] = {0};
	unsigned nregs;

	if (size)
		address(data, size);
	if (modbus_format_check(&f) < 0)
		return 0;
	nregs = modbus_format_registers(&f);
	for (unsigned i = 0; i < nregs; i++)
		regs[i] = rd_u16be(&r);
	there_and_back(&f, regs, nregs);
	any_value(&f, regs, nregs, rd_of(data, size));
	return 0;
}
