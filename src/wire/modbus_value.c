#include <assert.h>

#include "wire/modbus_order.h"
#include "wire/modbus_time.h"
#include "wire/modbus_value.h"

_Static_assert(sizeof(float) == 4 && sizeof(double) == 8, "IEEE 754 single and double");

static bool has_length(enum value_type t)
{
	return value_type_info(t)->registers == 0;
}

static bool is_one_byte(enum value_type t)
{
	return value_type_info(t)->bits == 8;
}

static bool is_field_within(const struct modbus_format *f)
{
	return value_type_takes_bits(f->type) && f->bit + f->bits <= value_type_info(f->type)->bits;
}

int modbus_format_check(const struct modbus_format *f)
{
	if (f->bits ? !is_field_within(f) : f->bit > 15)
		return ERR_RANGE;
	if (has_length(f->type) && (f->length < 1 || f->length > VALUE_BYTES_MAX))
		return ERR_RANGE;
	return value_type_takes_order(f->type, f->order) ? OK : ERR_UNSUPPORTED;
}

unsigned modbus_format_registers(const struct modbus_format *f)
{
	return has_length(f->type) ? (f->length + 1u) / 2u : value_type_info(f->type)->registers;
}

bool modbus_format_is_partial(const struct modbus_format *f)
{
	const struct value_type_info *t = value_type_info(f->type);

	return f->type == VALUE_TYPE_BOOL || is_one_byte(f->type) || (has_length(f->type) && f->length % 2) ||
	       (f->bits && f->bits < t->bits);
}

static int64_t sign_extend(uint64_t bits, unsigned width)
{
	uint64_t sign = (uint64_t)1 << (width - 1);

	/* Two's complement: the sign bit weighs minus what it shows. Modular in unsigned, then reinterpreted. */
	return (int64_t)((bits ^ sign) - sign);
}

static MUST_USE int decode_bcd(uint64_t bits, unsigned width, uint64_t *out)
{
	uint64_t n = 0;

	for (unsigned at = width; at > 0; at -= 4) {
		unsigned digit = bits >> (at - 4) & 0xf;

		if (digit > 9)
			return ERR_MALFORMED;
		n = n * 10 + digit;
	}
	*out = n;
	return OK;
}

static MUST_USE int decode_uint(const struct modbus_format *f, uint64_t bits, struct modbus_value *out)
{
	uint64_t u = bits;

	if (f->type == VALUE_TYPE_BCD16 || f->type == VALUE_TYPE_BCD32) {
		int rc = decode_bcd(bits, value_type_info(f->type)->bits, &u);

		if (rc < 0)
			return rc;
	}
	out->kind = VALUE_KIND_UINT;
	out->u = u;
	return OK;
}

static double decode_float(unsigned width, uint64_t bits)
{
	uint32_t narrow = (uint32_t)bits;
	float single;
	double wide;

	if (width == 32) {
		memcpy(&single, &narrow, sizeof(single));
		return (double)single;
	}
	memcpy(&wide, &bits, sizeof(wide));
	return wide;
}

static void decode_bytes(const struct modbus_format *f, const uint16_t *regs, struct modbus_value *out)
{
	unsigned nregs = modbus_format_registers(f);
	bool is_string = f->type == VALUE_TYPE_STRING;
	size_t len = 0;

	while (len < f->length) {
		uint8_t byte = modbus_byte_get(regs, modbus_place_of(f->order, nregs, (unsigned)len));

		if (is_string && byte == 0)
			break;
		out->bytes[len++] = byte;
	}
	while (is_string && len > 0 && out->bytes[len - 1] == ' ')
		len--;
	out->bytes[len] = 0;
	out->len = len;
	out->kind = is_string ? VALUE_KIND_STRING : VALUE_KIND_BYTES;
}

int modbus_value_decode(const struct modbus_format *f, const uint16_t *regs, struct modbus_value *out)
{
	const struct value_type_info *t = value_type_info(f->type);
	uint64_t bits;

	assert(modbus_format_check(f) == OK);
	if (has_length(f->type)) {
		decode_bytes(f, regs, out);
		return OK;
	}
	if (t->kind == VALUE_KIND_TIME)
		return modbus_time_decode(f, regs, out);
	bits = modbus_bits_gather(f->order, modbus_format_registers(f), regs);
	if (is_one_byte(f->type))
		bits = f->high_byte ? bits >> 8 : bits & 0xff;
	if (f->bits)
		bits = bits >> f->bit & UINT64_MAX >> (64 - f->bits);
	switch (t->kind) {
	case VALUE_KIND_BOOL:
		out->b = bits >> f->bit & 1;
		break;
	case VALUE_KIND_INT:
		out->i = sign_extend(bits, f->bits ? f->bits : t->bits);
		break;
	case VALUE_KIND_FLOAT:
		out->f = decode_float(t->bits, bits);
		break;
	default:
		return decode_uint(f, bits, out);
	}
	out->kind = t->kind;
	return OK;
}
