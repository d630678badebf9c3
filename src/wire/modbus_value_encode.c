#include <assert.h>
#include <math.h>

#include "wire/modbus_order.h"
#include "wire/modbus_time.h"
#include "wire/modbus_value.h"

/* An integer of either sign: sign and magnitude, so that all of int64 and uint64 fit. */
struct whole {
	bool negative;
	uint64_t magnitude;
};

#define TWO_TO_64 18446744073709551616.0

static MUST_USE int whole_of_double(double d, struct whole *out)
{
	if (!isfinite(d) || d != trunc(d) || fabs(d) >= TWO_TO_64)
		return ERR_RANGE;
	*out = (struct whole){.negative = d < 0, .magnitude = (uint64_t)fabs(d)};
	return OK;
}

static MUST_USE int whole_of(const struct modbus_value *v, struct whole *out)
{
	switch (v->kind) {
	case VALUE_KIND_BOOL:
		*out = (struct whole){.magnitude = v->b};
		return OK;
	case VALUE_KIND_INT:
		*out = (struct whole){.negative = v->i < 0, .magnitude = (uint64_t)v->i};
		if (v->i < 0)
			out->magnitude = 0 - out->magnitude;
		return OK;
	case VALUE_KIND_UINT:
		*out = (struct whole){.magnitude = v->u};
		return OK;
	case VALUE_KIND_FLOAT:
		return whole_of_double(v->f, out);
	default:
		return ERR_UNSUPPORTED;
	}
}

static MUST_USE int encode_int(const struct modbus_value *v, unsigned width, uint64_t *bits)
{
	uint64_t most = ((uint64_t)1 << (width - 1)) - 1;
	struct whole n;
	int rc;

	if ((rc = whole_of(v, &n)) < 0)
		return rc;
	if (n.magnitude > most + n.negative)
		return ERR_RANGE;
	*bits = n.negative ? 0 - n.magnitude : n.magnitude;
	return OK;
}

static MUST_USE int encode_uint(const struct modbus_value *v, uint64_t most, uint64_t *bits)
{
	struct whole n;
	int rc;

	if ((rc = whole_of(v, &n)) < 0)
		return rc;
	if (n.magnitude > most || (n.negative && n.magnitude))
		return ERR_RANGE;
	*bits = n.magnitude;
	return OK;
}

static MUST_USE int encode_bcd(const struct modbus_value *v, unsigned width, uint64_t *bits)
{
	uint64_t n;
	uint64_t digits = 0;
	int rc;

	if ((rc = encode_uint(v, width == 16 ? 9999 : 99999999, &n)) < 0)
		return rc;
	for (unsigned at = 0; at < width; at += 4, n /= 10)
		digits |= n % 10 << at;
	*bits = digits;
	return OK;
}

static MUST_USE int encode_float(const struct modbus_value *v, unsigned width, uint64_t *bits)
{
	double wide;
	float single;
	uint32_t narrow;

	switch (v->kind) {
	case VALUE_KIND_INT:
		wide = (double)v->i;
		break;
	case VALUE_KIND_UINT:
		wide = (double)v->u;
		break;
	case VALUE_KIND_FLOAT:
		wide = v->f;
		break;
	default:
		return ERR_UNSUPPORTED;
	}
	if (!isfinite(wide))
		return ERR_RANGE;
	if (width == 64) {
		memcpy(bits, &wide, sizeof(wide));
		return OK;
	}
	/* Above the largest single, but nearer to it than to the next power, still rounds down to it. */
	if (fabs(wide) >= 0x1.ffffffp127)
		return ERR_RANGE;
	single = (float)wide;
	memcpy(&narrow, &single, sizeof(narrow));
	*bits = narrow;
	return OK;
}

static MUST_USE int encode_number(const struct modbus_format *f, const struct modbus_value *v, uint64_t *bits)
{
	const struct value_type_info *t = value_type_info(f->type);
	unsigned width = f->bits ? f->bits : t->bits;

	if (f->type == VALUE_TYPE_BCD16 || f->type == VALUE_TYPE_BCD32)
		return encode_bcd(v, t->bits, bits);
	if (t->kind == VALUE_KIND_INT)
		return encode_int(v, width, bits);
	if (t->kind == VALUE_KIND_FLOAT)
		return encode_float(v, t->bits, bits);
	return encode_uint(v, UINT64_MAX >> (64 - width), bits);
}

static MUST_USE int encode_bytes(const struct modbus_format *f, const struct modbus_value *v, uint16_t *regs)
{
	unsigned nregs = modbus_format_registers(f);

	if (v->kind != value_type_info(f->type)->kind)
		return ERR_UNSUPPORTED;
	if (v->len > f->length || (f->type == VALUE_TYPE_BYTES && v->len != f->length))
		return ERR_RANGE;
	if (f->type == VALUE_TYPE_STRING && v->len && memchr(v->bytes, 0, v->len))
		return ERR_RANGE;
	for (unsigned i = 0; i < f->length; i++)
		modbus_byte_set(regs, modbus_place_of(f->order, nregs, i), i < v->len ? v->bytes[i] : 0);
	return OK;
}

/* One bit or one byte: change it in the register as it is, seen through the order. */
static void encode_part(const struct modbus_format *f, uint64_t bits, uint16_t *reg)
{
	unsigned shift = f->type == VALUE_TYPE_BOOL ? f->bit : f->high_byte ? 8 : 0;
	unsigned mask = f->type == VALUE_TYPE_BOOL ? 1 : 0xff;
	bool swap = byte_order_info(f->order)->swap_bytes;

	if (swap)
		shift ^= 8;
	*reg = (uint16_t)((*reg & ~(mask << shift)) | ((unsigned)bits & mask) << shift);
}

/* A bit field: the other bits of its registers as they are. */
static void encode_field(const struct modbus_format *f, uint64_t bits, uint16_t *regs)
{
	unsigned nregs = modbus_format_registers(f);
	uint64_t mask = UINT64_MAX >> (64 - f->bits) << f->bit;
	uint64_t rest = modbus_bits_gather(f->order, nregs, regs) & ~mask;

	modbus_bits_scatter(f->order, nregs, rest | (bits << f->bit & mask), regs);
}

int modbus_value_encode(const struct modbus_format *f, const struct modbus_value *v, uint16_t *regs)
{
	unsigned nregs = modbus_format_registers(f);
	uint64_t bits = 0;
	int rc;

	assert(modbus_format_check(f) == OK);
	if (value_type_info(f->type)->registers == 0)
		return encode_bytes(f, v, regs);
	if (value_type_info(f->type)->kind == VALUE_KIND_TIME)
		return modbus_time_encode(f, v, regs);
	if ((rc = encode_number(f, v, &bits)) < 0)
		return rc;
	if (f->bits)
		encode_field(f, bits, regs);
	else if (modbus_format_is_partial(f))
		encode_part(f, bits, regs);
	else
		modbus_bits_scatter(f->order, nregs, bits, regs);
	return OK;
}
