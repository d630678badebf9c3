#include "wire/modbus_time.h"

#include "base/calendar.h"
#include "wire/modbus_order.h"

#define REGISTERS_MAX 7
#define IEC_INVALID   0x80u /* in the register of hour and minute */

/* ---- words: the registers as they would stand in order ABCD ---- */

static MUST_USE int from_bcd(unsigned byte, unsigned *n)
{
	if (byte >> 4 > 9 || (byte & 0xf) > 9)
		return ERR_MALFORMED;
	*n = (byte >> 4) * 10 + (byte & 0xf);
	return OK;
}

static unsigned to_bcd(unsigned n)
{
	return n / 10 << 4 | n % 10;
}

static MUST_USE int six_bytes_decode(const uint16_t *words, bool is_bcd, struct calendar *c)
{
	unsigned n[6];
	int rc;

	for (unsigned i = 0; i < 6; i++) {
		n[i] = i % 2 ? words[i / 2] & 0xffu : words[i / 2] >> 8;
		if (is_bcd && (rc = from_bcd(n[i], &n[i])) < 0)
			return rc;
	}
	*c = (struct calendar){2000 + (int)n[0], n[1], n[2], n[3], n[4], n[5], 0};
	return OK;
}

static MUST_USE int six_bytes_encode(const struct calendar *c, bool is_bcd, uint16_t *words)
{
	unsigned n[6] = {(unsigned)c->year - 2000, c->month, c->day, c->hour, c->minute, c->second};

	if (c->year < 2000 || n[0] > (is_bcd ? 99u : 255u) || c->ms)
		return ERR_RANGE;
	for (unsigned i = 0; is_bcd && i < 6; i++)
		n[i] = to_bcd(n[i]);
	for (unsigned i = 0; i < 3; i++)
		words[i] = (uint16_t)(n[2 * i] << 8 | n[2 * i + 1]);
	return OK;
}

static MUST_USE int iec_decode(const uint16_t *words, struct calendar *c)
{
	if (words[2] & IEC_INVALID || words[3] > 59999)
		return ERR_MALFORMED;
	*c = (struct calendar){
		.year = 2000 + (words[0] & 0x7f),
		.month = words[1] >> 8 & 0xf,
		.day = words[1] & 0x1f,
		.hour = words[2] >> 8 & 0x1f,
		.minute = words[2] & 0x3f,
		.second = words[3] / 1000u,
		.ms = words[3] % 1000u,
	};
	return OK;
}

static MUST_USE int iec_encode(const struct calendar *c, uint16_t *words)
{
	if (c->year < 2000 || c->year > 2127)
		return ERR_RANGE;
	words[0] = (uint16_t)(c->year - 2000);
	words[1] = (uint16_t)(c->month << 8 | c->day);
	words[2] = (uint16_t)(c->hour << 8 | c->minute);
	words[3] = (uint16_t)(c->second * 1000 + c->ms);
	return OK;
}

static void registers_decode(const uint16_t *words, bool has_ms, struct calendar *c)
{
	*c = (struct calendar){words[0] < 100 ? 2000 + words[0] : words[0],
			       words[1],
			       words[2],
			       words[3],
			       words[4],
			       words[5],
			       has_ms ? words[6] : 0u};
}

static MUST_USE int registers_encode(const struct calendar *c, bool has_ms, uint16_t *words)
{
	const unsigned n[REGISTERS_MAX] = {(unsigned)c->year, c->month,  c->day, c->hour,
					   c->minute,         c->second, c->ms};

	if (!has_ms && c->ms)
		return ERR_RANGE;
	for (unsigned i = 0; i < 6u + has_ms; i++)
		words[i] = (uint16_t)n[i];
	return OK;
}

/* ---- seconds and milliseconds since 1970 ---- */

static unsigned unix_step(enum value_type type)
{
	return type == VALUE_TYPE_UNIX64MS                              ? 1
	       : type == VALUE_TYPE_UNIX32 || type == VALUE_TYPE_UNIX64 ? 1000
									: 0;
}

static MUST_USE int unix_decode(const struct modbus_format *f, const uint16_t *regs, int64_t *ms)
{
	uint64_t n = modbus_bits_gather(f->order, modbus_format_registers(f), regs);

	if (n > (uint64_t)CALENDAR_MS_MAX / unix_step(f->type))
		return ERR_MALFORMED;
	*ms = (int64_t)(n * unix_step(f->type));
	return OK;
}

static MUST_USE int unix_encode(const struct modbus_format *f, int64_t ms, uint16_t *regs)
{
	uint64_t n = (uint64_t)ms / unix_step(f->type);

	if (ms % unix_step(f->type) || (f->type == VALUE_TYPE_UNIX32 && n > UINT32_MAX))
		return ERR_RANGE;
	modbus_bits_scatter(f->order, modbus_format_registers(f), n, regs);
	return OK;
}

/* ---- both ---- */

static MUST_USE int words_decode(enum value_type type, const uint16_t *words, int64_t *ms)
{
	struct calendar c;
	int rc = OK;

	if (type == VALUE_TYPE_DATETIME4)
		rc = iec_decode(words, &c);
	else if (type == VALUE_TYPE_DATETIME6 || type == VALUE_TYPE_DATETIME7)
		registers_decode(words, type == VALUE_TYPE_DATETIME7, &c);
	else
		rc = six_bytes_decode(words, type == VALUE_TYPE_DATETIME3BCD, &c);
	return rc == OK && calendar_to_ms(&c, ms) == OK ? OK : ERR_MALFORMED;
}

static MUST_USE int words_encode(enum value_type type, int64_t ms, uint16_t *words)
{
	struct calendar c;

	calendar_of_ms(ms, &c);
	if (type == VALUE_TYPE_DATETIME4)
		return iec_encode(&c, words);
	if (type == VALUE_TYPE_DATETIME6 || type == VALUE_TYPE_DATETIME7)
		return registers_encode(&c, type == VALUE_TYPE_DATETIME7, words);
	return six_bytes_encode(&c, type == VALUE_TYPE_DATETIME3BCD, words);
}

int modbus_time_decode(const struct modbus_format *f, const uint16_t *regs, struct modbus_value *out)
{
	unsigned nregs = modbus_format_registers(f);
	uint16_t words[REGISTERS_MAX];
	int64_t ms;
	int rc;

	for (unsigned i = 0; i < nregs; i++)
		words[i] = (uint16_t)(modbus_byte_get(regs, modbus_place_of(f->order, nregs, 2 * i)) << 8 |
				      modbus_byte_get(regs, modbus_place_of(f->order, nregs, 2 * i + 1)));
	rc = unix_step(f->type) ? unix_decode(f, regs, &ms) : words_decode(f->type, words, &ms);
	if (rc < 0)
		return rc;
	out->kind = VALUE_KIND_TIME;
	out->time = ms;
	return OK;
}

int modbus_time_encode(const struct modbus_format *f, const struct modbus_value *v, uint16_t *regs)
{
	unsigned nregs = modbus_format_registers(f);
	uint16_t words[REGISTERS_MAX];
	int rc;

	if (v->kind != VALUE_KIND_TIME)
		return ERR_UNSUPPORTED;
	if (v->time < CALENDAR_MS_MIN || v->time > CALENDAR_MS_MAX)
		return ERR_RANGE;
	if (unix_step(f->type))
		return unix_encode(f, v->time, regs);
	if ((rc = words_encode(f->type, v->time, words)) < 0)
		return rc;
	for (unsigned i = 0; i < nregs; i++) {
		modbus_byte_set(regs, modbus_place_of(f->order, nregs, 2 * i), (uint8_t)(words[i] >> 8));
		modbus_byte_set(regs, modbus_place_of(f->order, nregs, 2 * i + 1), (uint8_t)words[i]);
	}
	return OK;
}
