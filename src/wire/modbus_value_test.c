#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire/modbus_value.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define T(x)     .type = VALUE_TYPE_##x
#define O(x)     .order = BYTE_ORDER_##x

static struct modbus_value v_int(int64_t i)
{
	return (struct modbus_value){.kind = VALUE_KIND_INT, .i = i};
}

static struct modbus_value v_uint(uint64_t u)
{
	return (struct modbus_value){.kind = VALUE_KIND_UINT, .u = u};
}

static struct modbus_value v_float(double f)
{
	return (struct modbus_value){.kind = VALUE_KIND_FLOAT, .f = f};
}

static struct modbus_value v_bool(bool b)
{
	return (struct modbus_value){.kind = VALUE_KIND_BOOL, .b = b};
}

static struct modbus_value v_text(enum value_kind kind, const char *text, size_t len)
{
	struct modbus_value v = {.kind = kind, .len = len};

	memcpy(v.bytes, text, len);
	return v;
}

#define TEXT(s)  v_text(VALUE_KIND_STRING, s, sizeof(s) - 1)
#define BYTES(s) v_text(VALUE_KIND_BYTES, s, sizeof(s) - 1)

static void assert_same(const struct modbus_value *a, const struct modbus_value *b)
{
	assert_int_equal(a->kind, b->kind);
	switch (a->kind) {
	case VALUE_KIND_BOOL:
		assert_int_equal(a->b, b->b);
		break;
	case VALUE_KIND_FLOAT:
		assert_true(a->f == b->f || (isnan(a->f) && isnan(b->f)));
		break;
	case VALUE_KIND_STRING:
	case VALUE_KIND_BYTES:
		assert_int_equal(a->len, b->len);
		assert_memory_equal(a->bytes, b->bytes, a->len + 1);
		break;
	default:
		assert_true(a->u == b->u);
	}
}

/* Both ways, unless the value is one that may not be written. */
static void check(const struct modbus_format *f, const uint16_t *regs, struct modbus_value expected)
{
	struct modbus_value got;
	uint16_t back[VALUE_BYTES_MAX / 2] = {0};

	assert_int_equal(modbus_format_check(f), OK);
	assert_int_equal(modbus_value_decode(f, regs, &got), OK);
	assert_same(&got, &expected);
	memcpy(back, regs, 2 * modbus_format_registers(f));
	if (expected.kind == VALUE_KIND_FLOAT && !isfinite(expected.f))
		return;
	assert_int_equal(modbus_value_encode(f, &expected, back), OK);
	assert_memory_equal(back, regs, 2 * modbus_format_registers(f));
}

static void numbers_of_every_type_and_order(void **state)
{
	const struct {
		struct modbus_format f;
		uint16_t regs[4];
		struct modbus_value v;
	} cases[] = {
		{{T(INT16), O(AB)}, {0xFFFE}, v_int(-2)},
		{{T(INT16), O(BA)}, {0xFEFF}, v_int(-2)},
		{{T(INT16), O(ABCD)}, {0x8000}, v_int(-32768)},
		{{T(INT16), O(CDAB)}, {0x7FFF}, v_int(32767)},
		{{T(INT16), O(BADC)}, {0x0100}, v_int(1)},
		{{T(INT16), O(DCBA)}, {0x0100}, v_int(1)},
		{{T(UINT16), O(AB)}, {0xFFFF}, v_uint(65535)},
		{{T(UINT16), O(BA)}, {0x3412}, v_uint(0x1234)},
		{{T(INT8), O(AB)}, {0x1280}, v_int(-128)},
		{{T(INT8), O(AB), .high_byte = true}, {0x7F80}, v_int(127)},
		{{T(INT8), O(BA)}, {0x1280}, v_int(0x12)},
		{{T(UINT8), O(AB)}, {0x12FF}, v_uint(255)},
		{{T(UINT8), O(AB), .high_byte = true}, {0xFE01}, v_uint(254)},
		{{T(UINT8), O(BA), .high_byte = true}, {0xFE01}, v_uint(1)},
		{{T(BOOL), O(AB), .bit = 0}, {0x0001}, v_bool(true)},
		{{T(BOOL), O(AB), .bit = 0}, {0xFFFE}, v_bool(false)},
		{{T(BOOL), O(AB), .bit = 15}, {0x8000}, v_bool(true)},
		{{T(BOOL), O(AB), .bit = 3}, {0x0008}, v_bool(true)},
		{{T(BOOL), O(BA), .bit = 3}, {0x0800}, v_bool(true)},
		{{T(INT32), O(ABCD)}, {0x0102, 0x0304}, v_int(0x01020304)},
		{{T(INT32), O(CDAB)}, {0x0304, 0x0102}, v_int(0x01020304)},
		{{T(INT32), O(BADC)}, {0x0201, 0x0403}, v_int(0x01020304)},
		{{T(INT32), O(DCBA)}, {0x0403, 0x0201}, v_int(0x01020304)},
		{{T(INT32), O(ABCD)}, {0x8000, 0x0000}, v_int(INT32_MIN)},
		{{T(UINT32), O(CDAB)}, {0xFFFF, 0xFFFF}, v_uint(UINT32_MAX)},
		{{T(FLOAT32), O(ABCD)}, {0x4366, 0x8000}, v_float(230.5)},
		{{T(FLOAT32), O(CDAB)}, {0x8000, 0x4366}, v_float(230.5)},
		{{T(FLOAT32), O(BADC)}, {0x6643, 0x0080}, v_float(230.5)},
		{{T(FLOAT32), O(DCBA)}, {0x0080, 0x6643}, v_float(230.5)},
		{{T(FLOAT32), O(ABCD)}, {0x7F80, 0x0000}, v_float(INFINITY)},
		{{T(FLOAT32), O(ABCD)}, {0xFF80, 0x0000}, v_float(-INFINITY)},
		{{T(FLOAT32), O(ABCD)}, {0x7FC0, 0x0000}, v_float(NAN)},
		{{T(FLOAT32), O(ABCD)}, {0x7F7F, 0xFFFF}, v_float(FLT_MAX)},
		{{T(INT64), O(ABCDEFGH)}, {0x0102, 0x0304, 0x0506, 0x0708}, v_int(0x0102030405060708)},
		{{T(INT64), O(GHEFCDAB)}, {0x0708, 0x0506, 0x0304, 0x0102}, v_int(0x0102030405060708)},
		{{T(INT64), O(BADCFEHG)}, {0x0201, 0x0403, 0x0605, 0x0807}, v_int(0x0102030405060708)},
		{{T(INT64), O(HGFEDCBA)}, {0x0807, 0x0605, 0x0403, 0x0201}, v_int(0x0102030405060708)},
		{{T(INT64), O(ABCD)}, {0x0102, 0x0304, 0x0506, 0x0708}, v_int(0x0102030405060708)},
		{{T(INT64), O(CDAB)}, {0x0708, 0x0506, 0x0304, 0x0102}, v_int(0x0102030405060708)},
		{{T(INT64), O(BADC)}, {0x0201, 0x0403, 0x0605, 0x0807}, v_int(0x0102030405060708)},
		{{T(INT64), O(DCBA)}, {0x0807, 0x0605, 0x0403, 0x0201}, v_int(0x0102030405060708)},
		{{T(INT64), O(ABCD)}, {0x8000, 0, 0, 0}, v_int(INT64_MIN)},
		{{T(INT64), O(ABCD)}, {0x0020, 0, 0, 1}, v_int(9007199254740993)},
		{{T(UINT64), O(ABCD)}, {0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF}, v_uint(UINT64_MAX)},
		{{T(UINT64), O(GHEFCDAB)}, {1, 0, 0, 0x8000}, v_uint(0x8000000000000001)},
		{{T(FLOAT64), O(ABCD)}, {0x3FF8, 0, 0, 0}, v_float(1.5)},
		{{T(FLOAT64), O(HGFEDCBA)}, {0, 0, 0, 0xF83F}, v_float(1.5)},
		{{T(BCD16), O(AB)}, {0x9876}, v_uint(9876)},
		{{T(BCD16), O(BA)}, {0x7698}, v_uint(9876)},
		{{T(BCD32), O(ABCD)}, {0x1234, 0x5678}, v_uint(12345678)},
		{{T(BCD32), O(CDAB)}, {0x5678, 0x1234}, v_uint(12345678)},
		{{T(BCD32), O(ABCD)}, {0x9999, 0x9999}, v_uint(99999999)},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		check(&cases[i].f, cases[i].regs, cases[i].v);
}

static void strings_end_at_the_first_nul_and_lose_trailing_spaces(void **state)
{
	const struct {
		struct modbus_format f;
		uint16_t regs[4];
		struct modbus_value v;
	} cases[] = {
		{{T(STRING), O(AB), .length = 4}, {0x4142, 0x4344}, TEXT("ABCD")},
		{{T(STRING), O(BA), .length = 4}, {0x4241, 0x4443}, TEXT("ABCD")},
		{{T(STRING), O(AB), .length = 3}, {0x4142, 0x4344}, TEXT("ABC")},
		{{T(STRING), O(BA), .length = 3}, {0x4241, 0x4443}, TEXT("ABC")},
		{{T(STRING), O(AB), .length = 1}, {0x4142}, TEXT("A")},
		{{T(STRING), O(AB), .length = 4}, {0x4100, 0x4344}, TEXT("A")},
		{{T(STRING), O(AB), .length = 4}, {0x4120, 0x2020}, TEXT("A")},
		{{T(STRING), O(AB), .length = 4}, {0x2041, 0x2000}, TEXT(" A")},
		{{T(STRING), O(AB), .length = 4}, {0x2020, 0x2020}, TEXT("")},
		{{T(STRING), O(AB), .length = 4}, {0, 0x4141}, TEXT("")},
		{{T(BYTES), O(AB), .length = 4}, {0x0020, 0x2000}, BYTES("\x00\x20\x20\x00")},
		{{T(BYTES), O(BA), .length = 3}, {0x0201, 0x0403}, BYTES("\x01\x02\x03")},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct modbus_value got;

		assert_int_equal(modbus_value_decode(&cases[i].f, cases[i].regs, &got), OK);
		assert_same(&got, &cases[i].v);
	}
}

static void a_written_string_is_filled_up_and_keeps_its_neighbour(void **state)
{
	const struct modbus_format odd = {T(STRING), O(AB), .length = 3};
	const struct modbus_format odd_swapped = {T(STRING), O(BA), .length = 3};
	struct modbus_value v = TEXT("A");
	uint16_t regs[2] = {0x5555, 0x5577};

	(void)state;
	assert_int_equal(modbus_value_encode(&odd, &v, regs), OK);
	assert_int_equal(regs[0], 0x4100);
	assert_int_equal(regs[1], 0x0077);
	assert_true(modbus_format_is_partial(&odd));
	regs[1] = 0x7755;
	assert_int_equal(modbus_value_encode(&odd_swapped, &v, regs), OK);
	assert_int_equal(regs[0], 0x0041);
	assert_int_equal(regs[1], 0x7700);
}

static void a_digit_above_nine_is_refused(void **state)
{
	const struct modbus_format bcd16 = {T(BCD16), O(AB)}, bcd32 = {T(BCD32), O(CDAB)};
	struct modbus_value v = v_int(42);

	(void)state;
	assert_int_equal(modbus_value_decode(&bcd16, (uint16_t[]){0x123A}, &v), ERR_MALFORMED);
	assert_int_equal(modbus_value_decode(&bcd16, (uint16_t[]){0xA123}, &v), ERR_MALFORMED);
	assert_int_equal(modbus_value_decode(&bcd32, (uint16_t[]){0x0000, 0x0F00}, &v), ERR_MALFORMED);
	assert_int_equal(v.kind, VALUE_KIND_INT);
	assert_int_equal(v.i, 42);
}

static void values_that_do_not_fit_are_refused(void **state)
{
	const struct {
		enum value_type type;
		struct modbus_value v;
		int rc;
	} cases[] = {
		{VALUE_TYPE_BOOL, v_int(1), OK},
		{VALUE_TYPE_BOOL, v_int(2), ERR_RANGE},
		{VALUE_TYPE_BOOL, v_int(-1), ERR_RANGE},
		{VALUE_TYPE_INT8, v_int(127), OK},
		{VALUE_TYPE_INT8, v_int(128), ERR_RANGE},
		{VALUE_TYPE_INT8, v_int(-128), OK},
		{VALUE_TYPE_INT8, v_int(-129), ERR_RANGE},
		{VALUE_TYPE_UINT8, v_uint(255), OK},
		{VALUE_TYPE_UINT8, v_uint(256), ERR_RANGE},
		{VALUE_TYPE_UINT8, v_int(-1), ERR_RANGE},
		{VALUE_TYPE_INT16, v_float(-32768), OK},
		{VALUE_TYPE_INT16, v_float(-32769), ERR_RANGE},
		{VALUE_TYPE_INT16, v_float(1.5), ERR_RANGE},
		{VALUE_TYPE_INT16, v_float(NAN), ERR_RANGE},
		{VALUE_TYPE_INT16, v_float(INFINITY), ERR_RANGE},
		{VALUE_TYPE_INT16, v_bool(true), OK},
		{VALUE_TYPE_UINT16, v_int(65535), OK},
		{VALUE_TYPE_UINT16, v_int(65536), ERR_RANGE},
		{VALUE_TYPE_UINT16, v_float(-0.0), OK},
		{VALUE_TYPE_INT32, v_int(INT32_MAX), OK},
		{VALUE_TYPE_INT32, v_int((int64_t)INT32_MAX + 1), ERR_RANGE},
		{VALUE_TYPE_UINT32, v_int(UINT32_MAX), OK},
		{VALUE_TYPE_UINT32, v_int((int64_t)UINT32_MAX + 1), ERR_RANGE},
		{VALUE_TYPE_INT64, v_uint(INT64_MAX), OK},
		{VALUE_TYPE_INT64, v_uint((uint64_t)INT64_MAX + 1), ERR_RANGE},
		{VALUE_TYPE_INT64, v_float(-0x1p63), OK},
		{VALUE_TYPE_INT64, v_float(0x1p63), ERR_RANGE},
		{VALUE_TYPE_INT64, v_float(-0x1.0000000000001p63), ERR_RANGE},
		{VALUE_TYPE_UINT64, v_float(0x1.fffffffffffffp63), OK},
		{VALUE_TYPE_UINT64, v_float(0x1p64), ERR_RANGE},
		{VALUE_TYPE_UINT64, v_int(-1), ERR_RANGE},
		{VALUE_TYPE_FLOAT32, v_float(FLT_MAX), OK},
		{VALUE_TYPE_FLOAT32, v_float(0x1.ffffffp127), ERR_RANGE},
		{VALUE_TYPE_FLOAT32, v_float(0x1.fffffefffffffp127), OK},
		{VALUE_TYPE_FLOAT32, v_float(-1e39), ERR_RANGE},
		{VALUE_TYPE_FLOAT32, v_float(NAN), ERR_RANGE},
		{VALUE_TYPE_FLOAT64, v_float(DBL_MAX), OK},
		{VALUE_TYPE_FLOAT64, v_float(INFINITY), ERR_RANGE},
		{VALUE_TYPE_FLOAT64, v_int(-5), OK},
		{VALUE_TYPE_FLOAT64, v_uint(5), OK},
		{VALUE_TYPE_FLOAT64, v_bool(true), ERR_UNSUPPORTED},
		{VALUE_TYPE_BCD16, v_uint(9999), OK},
		{VALUE_TYPE_BCD16, v_uint(10000), ERR_RANGE},
		{VALUE_TYPE_BCD16, v_int(-1), ERR_RANGE},
		{VALUE_TYPE_BCD32, v_uint(99999999), OK},
		{VALUE_TYPE_BCD32, v_uint(100000000), ERR_RANGE},
		{VALUE_TYPE_INT16, TEXT("1"), ERR_UNSUPPORTED},
		{VALUE_TYPE_STRING, TEXT("ABCD"), OK},
		{VALUE_TYPE_STRING, TEXT("ABCDE"), ERR_RANGE},
		{VALUE_TYPE_STRING, TEXT("A\0B"), ERR_RANGE},
		{VALUE_TYPE_STRING, v_int(1), ERR_UNSUPPORTED},
		{VALUE_TYPE_STRING, BYTES("ABCD"), ERR_UNSUPPORTED},
		{VALUE_TYPE_BYTES, BYTES("ABCD"), OK},
		{VALUE_TYPE_BYTES, BYTES("ABC"), ERR_RANGE},
		{VALUE_TYPE_BYTES, BYTES("ABCDE"), ERR_RANGE},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct modbus_format f = {
			.type = cases[i].type, .order = value_type_default_order(cases[i].type), .length = 4};
		uint16_t regs[4] = {0x1111, 0x2222, 0x3333, 0x4444};
		const uint16_t before[4] = {0x1111, 0x2222, 0x3333, 0x4444};

		assert_int_equal(modbus_value_encode(&f, &cases[i].v, regs), cases[i].rc);
		if (cases[i].rc < 0)
			assert_memory_equal(regs, before, sizeof(regs));
	}
}

static void a_bit_or_byte_leaves_the_rest_of_its_register(void **state)
{
	const struct {
		struct modbus_format f;
		uint16_t before, after;
		struct modbus_value v;
	} cases[] = {
		{{T(BOOL), O(AB), .bit = 3}, 0x0000, 0x0008, v_bool(true)},
		{{T(BOOL), O(AB), .bit = 3}, 0xFFFF, 0xFFF7, v_bool(false)},
		{{T(BOOL), O(BA), .bit = 3}, 0x0000, 0x0800, v_bool(true)},
		{{T(BOOL), O(AB), .bit = 15}, 0x1234, 0x9234, v_bool(true)},
		{{T(INT8), O(AB)}, 0x1234, 0x12FF, v_int(-1)},
		{{T(INT8), O(BA)}, 0x1234, 0xFF34, v_int(-1)},
		{{T(UINT8), O(AB), .high_byte = true}, 0x1234, 0xAB34, v_uint(0xAB)},
		{{T(UINT8), O(BA), .high_byte = true}, 0x1234, 0x12AB, v_uint(0xAB)},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint16_t reg = cases[i].before;

		assert_true(modbus_format_is_partial(&cases[i].f));
		assert_int_equal(modbus_value_encode(&cases[i].f, &cases[i].v, &reg), OK);
		assert_int_equal(reg, cases[i].after);
	}
}

static void a_bit_field_is_counted_in_the_whole_value(void **state)
{
	static const struct {
		struct modbus_format f;
		uint16_t regs[4];
		int64_t value;
		int64_t other; /* written in its place */
		uint16_t after[4];
	} cases[] = {
		{{T(UINT16), O(AB), .bit = 4, .bits = 8}, {0xABCD}, 0xBC, 0x12, {0xA12D}},
		{{T(UINT16), O(BA), .bit = 4, .bits = 8}, {0xCDAB}, 0xBC, 0x12, {0x2DA1}},
		{{T(INT16), O(AB), .bit = 4, .bits = 4}, {0x00F0}, -1, 7, {0x0070}},
		{{T(INT16), O(AB), .bit = 15, .bits = 1}, {0x8000}, -1, 0, {0x0000}},
		{{T(UINT32), O(ABCD), .bit = 12, .bits = 8}, {0x000A, 0xB000}, 0xAB, 0xFF, {0x000F, 0xF000}},
		{{T(UINT32), O(CDAB), .bit = 12, .bits = 8}, {0xB000, 0x000A}, 0xAB, 0, {0, 0}},
		{{T(UINT32), O(ABCD), .bits = 32}, {0x1234, 0x5678}, 0x12345678, 1, {0, 1}},
		{{T(UINT64), O(ABCDEFGH), .bit = 60, .bits = 4}, {0xF123, 1, 2, 3}, 15, 9, {0x9123, 1, 2, 3}},
	};
	const struct modbus_format nibble = {T(UINT16), O(AB), .bit = 4, .bits = 4};
	uint16_t regs[4] = {0};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct modbus_value v, w = v_int(cases[i].other);

		assert_int_equal(modbus_format_check(&cases[i].f), OK);
		assert_int_equal(modbus_value_decode(&cases[i].f, cases[i].regs, &v), OK);
		assert_true(v.i == cases[i].value);
		memcpy(regs, cases[i].regs, sizeof(regs));
		assert_int_equal(modbus_value_encode(&cases[i].f, &w, regs), OK);
		assert_memory_equal(regs, cases[i].after, sizeof(regs));
	}
	assert_int_equal(
		modbus_value_encode(&nibble, &(struct modbus_value){.kind = VALUE_KIND_UINT, .u = 16}, regs),
		ERR_RANGE);
}

static void formats_are_checked(void **state)
{
	const struct {
		struct modbus_format f;
		int rc;
		unsigned nregs;
	} cases[] = {
		{{T(BOOL), O(AB), .bit = 15}, OK, 1},
		{{T(BOOL), O(AB), .bit = 16}, ERR_RANGE, 0},
		{{T(STRING), O(AB), .length = 0}, ERR_RANGE, 0},
		{{T(STRING), O(AB), .length = 1}, OK, 1},
		{{T(STRING), O(AB), .length = 2}, OK, 1},
		{{T(STRING), O(AB), .length = 3}, OK, 2},
		{{T(STRING), O(BA), .length = 250}, OK, 125},
		{{T(STRING), O(AB), .length = 251}, ERR_RANGE, 0},
		{{T(STRING), O(ABCD), .length = 2}, ERR_UNSUPPORTED, 0},
		{{T(FLOAT32), O(AB)}, ERR_UNSUPPORTED, 0},
		{{T(UINT16), O(AB), .bit = 12, .bits = 4}, OK, 1},
		{{T(UINT16), O(AB), .bit = 13, .bits = 4}, ERR_RANGE, 0},
		{{T(UINT64), O(DCBA), .bit = 63, .bits = 1}, OK, 4},
		{{T(UINT8), O(AB), .bits = 4}, ERR_RANGE, 0},
		{{T(BCD16), O(AB), .bits = 4}, ERR_RANGE, 0},
		{{T(FLOAT32), O(ABCD), .bits = 4}, ERR_RANGE, 0},
		{{T(DATETIME7), O(DCBA)}, OK, 7},
		{{T(DATETIME7), O(AB)}, ERR_UNSUPPORTED, 0},
		{{T(DATETIME4), O(HGFEDCBA)}, OK, 4},
		{{T(FLOAT32), O(DCBA)}, OK, 2},
		{{T(FLOAT64), O(DCBA)}, OK, 4},
		{{T(FLOAT32), O(HGFEDCBA)}, ERR_UNSUPPORTED, 0},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(modbus_format_check(&cases[i].f), cases[i].rc);
		if (cases[i].rc == OK)
			assert_int_equal(modbus_format_registers(&cases[i].f), cases[i].nregs);
	}
}

/*
 * The other way to the same number: the bytes as the device sends them, put where the letters of the order say (A the most
 * significant), and read by the compiler. Nothing of the codec's switches is in it.
 */
static uint64_t number_by_letters(const uint16_t *regs, unsigned nregs, const char *letters)
{
	uint64_t n = 0;
	uint8_t sent[8], value[8] = {0};

	for (unsigned i = 0; i < nregs; i++) {
		sent[2 * i] = (uint8_t)(regs[i] >> 8);
		sent[2 * i + 1] = (uint8_t)regs[i];
	}
	for (unsigned i = 0; i < 2 * nregs; i++)
		value[letters[i] - 'A'] = sent[i];
	for (unsigned i = 0; i < 2 * nregs; i++)
		n = n << 8 | value[i];
	return n;
}

static struct modbus_value value_by_letters(enum value_type type, uint64_t n)
{
	uint32_t low = (uint32_t)n;
	float single;
	double wide;

	memcpy(&single, &low, sizeof(single));
	memcpy(&wide, &n, sizeof(wide));
	switch (type) {
	case VALUE_TYPE_INT16:
		return v_int((int16_t)n);
	case VALUE_TYPE_INT32:
		return v_int((int32_t)n);
	case VALUE_TYPE_INT64:
		return v_int((int64_t)n);
	case VALUE_TYPE_FLOAT32:
		return v_float((double)single);
	case VALUE_TYPE_FLOAT64:
		return v_float(wide);
	default:
		return v_uint(n);
	}
}

static void every_type_in_every_order_is_what_the_letters_say(void **state)
{
	static const enum value_type types[] = {
		VALUE_TYPE_INT16, VALUE_TYPE_UINT16, VALUE_TYPE_INT32,   VALUE_TYPE_UINT32,
		VALUE_TYPE_INT64, VALUE_TYPE_UINT64, VALUE_TYPE_FLOAT32, VALUE_TYPE_FLOAT64,
	};
	uint64_t draw = 42;
	unsigned checked = 0;

	(void)state;
	for (unsigned i = 0; i < COUNT(types) * BYTE_ORDER_COUNT * 500; i++) {
		struct modbus_format f = {.type = types[i % COUNT(types)],
					  .order = (enum byte_order)(i / COUNT(types) % BYTE_ORDER_COUNT)};
		const char *letters = byte_order_info(f.order)->name;
		uint16_t regs[4];

		for (unsigned k = 0; k < 4; k++) {
			draw = draw * 6364136223846793005u + 1442695040888963407u;
			regs[k] = (uint16_t)(draw >> 40);
		}
		if (strlen(letters) != 2 * value_type_info(f.type)->registers)
			continue; /* an order of another width stands for one of this width */
		checked++;
		check(&f, regs,
		      value_by_letters(f.type,
				       number_by_letters(regs, modbus_format_registers(&f), letters)));
	}
	assert_true(checked > 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_of_every_type_and_order),
		cmocka_unit_test(strings_end_at_the_first_nul_and_lose_trailing_spaces),
		cmocka_unit_test(a_written_string_is_filled_up_and_keeps_its_neighbour),
		cmocka_unit_test(a_digit_above_nine_is_refused),
		cmocka_unit_test(values_that_do_not_fit_are_refused),
		cmocka_unit_test(a_bit_or_byte_leaves_the_rest_of_its_register),
		cmocka_unit_test(a_bit_field_is_counted_in_the_whole_value),
		cmocka_unit_test(formats_are_checked),
		cmocka_unit_test(every_type_in_every_order_is_what_the_letters_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
