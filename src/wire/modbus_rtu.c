#include "wire/modbus_rtu.h"

#define FRAME_MIN     4u /* unit, function, CRC */
#define EXCEPTION_BIT 0x80u

/* ---- CRC ---- */

uint16_t modbus_crc(const uint8_t *p, size_t len)
{
	/* What four bits at a time do to the remainder of the polynomial 0xA001. */
	static const uint16_t table[16] = {0x0000, 0xCC01, 0xD801, 0x1400, 0xF001, 0x3C00, 0x2800, 0xE401,
					   0xA001, 0x6C00, 0x7800, 0xB401, 0x5000, 0x9C01, 0x8801, 0x4400};
	unsigned crc = 0xFFFF;

	for (size_t i = 0; i < len; i++) {
		crc ^= p[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return (uint16_t)crc;
}

int modbus_rtu_encode(uint8_t unit, struct span pdu, uint8_t *out, size_t room, size_t *len)
{
	uint16_t crc;

	if (pdu.len < 1 || pdu.len > MODBUS_PDU_MAX)
		return ERR_RANGE;
	if (room < pdu.len + 3)
		return ERR_TOO_LARGE;
	memmove(out + 1, pdu.p, pdu.len);
	out[0] = unit;
	crc = modbus_crc(out, pdu.len + 1);
	out[pdu.len + 1] = (uint8_t)crc;
	out[pdu.len + 2] = (uint8_t)(crc >> 8);
	*len = pdu.len + 3;
	return OK;
}

int modbus_rtu_decode(const uint8_t *buf, size_t len, struct modbus_frame *frame)
{
	if (len < FRAME_MIN || len > MODBUS_RTU_MAX)
		return ERR_MALFORMED;
	/* The CRC of a frame with its CRC is 0. */
	if (modbus_crc(buf, len) != 0)
		return ERR_MALFORMED;
	*frame = (struct modbus_frame){.unit = buf[0], .pdu = span_of(buf + 1, len - 3)};
	return OK;
}

/* ---- length ---- */

static int sized(size_t pdu_len, size_t *size)
{
	if (pdu_len > MODBUS_PDU_MAX)
		return ERR_MALFORMED;
	*size = 1 + pdu_len + 2;
	return OK;
}

/* `base` bytes of PDU and as many more as the byte at buf[at] says. */
static int counted(const uint8_t *buf, size_t len, size_t at, size_t base, size_t *size)
{
	return len <= at ? ERR_AGAIN : sized(base + buf[at], size);
}

/* AP 6.21: six bytes, the number of objects, then id, length and bytes of each. */
static int identification_size(const uint8_t *buf, size_t len, size_t *size)
{
	size_t at = 8;

	if (len < 3)
		return ERR_AGAIN;
	if (buf[2] != 0x0E)
		return ERR_UNSUPPORTED; /* another encapsulated interface */
	if (len < at)
		return ERR_AGAIN;
	for (unsigned left = buf[7]; left > 0; left--) {
		if (at > MODBUS_RTU_MAX)
			return ERR_MALFORMED;
		if (len < at + 2)
			return ERR_AGAIN;
		at += 2u + buf[at + 1];
	}
	return sized(at - 1, size);
}

int modbus_rtu_answer_size(const uint8_t *buf, size_t len, struct span asked, size_t *size)
{
	if (len < 2)
		return ERR_AGAIN;
	if (buf[1] & EXCEPTION_BIT)
		return sized(2, size);
	switch (buf[1]) {
	case 0x01:
	case 0x02:
	case 0x03:
	case 0x04:
	case 0x0C: /* event log */
	case 0x11: /* server id */
	case 0x14: /* file record */
	case 0x15:
	case 0x17:
		return counted(buf, len, 2, 2, size);
	case 0x05:
	case 0x06:
	case 0x0B: /* event counter */
	case 0x0F:
	case 0x10:
		return sized(5, size);
	case 0x07: /* exception status */
		return sized(2, size);
	case 0x08: /* diagnostics: as long as it was asked */
		return asked.len >= 5 ? sized(asked.len, size) : sized(5, size);
	case 0x16:
		return sized(7, size);
	case 0x18: /* FIFO: the count has two bytes */
		return len < 4 ? ERR_AGAIN : sized(3u + get_u16be(buf + 2), size);
	case 0x2B:
		return identification_size(buf, len, size);
	default:
		return ERR_UNSUPPORTED;
	}
}

int modbus_rtu_request_size(const uint8_t *buf, size_t len, size_t *size)
{
	if (len < 2)
		return ERR_AGAIN;
	switch (buf[1]) {
	case 0x01:
	case 0x02:
	case 0x03:
	case 0x04:
	case 0x05:
	case 0x06:
		return sized(5, size);
	case 0x07:
	case 0x0B:
	case 0x0C:
	case 0x11:
		return sized(1, size);
	case 0x0F:
	case 0x10:
		return counted(buf, len, 6, 6, size);
	case 0x14:
	case 0x15:
		return counted(buf, len, 2, 2, size);
	case 0x16:
		return sized(7, size);
	case 0x17:
		return counted(buf, len, 10, 10, size);
	case 0x18:
		return sized(3, size);
	case 0x2B:
		if (len < 3)
			return ERR_AGAIN;
		return buf[2] == 0x0E ? sized(4, size) : ERR_UNSUPPORTED;
	default: /* 0x08 among them: its data is of any length */
		return ERR_UNSUPPORTED;
	}
}

/* ---- ASCII ---- */

static const uint8_t hex_digits[16] = "0123456789ABCDEF";

static uint8_t lrc(const uint8_t *p, size_t len)
{
	unsigned sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += p[i];
	return (uint8_t)-sum;
}

static void put_hex(struct wr *w, uint8_t byte)
{
	wr_u8(w, hex_digits[byte >> 4]);
	wr_u8(w, hex_digits[byte & 15]);
}

int modbus_ascii_encode(uint8_t unit, struct span pdu, uint8_t *out, size_t room, size_t *len)
{
	struct wr w = wr_of(out, room);

	if (pdu.len < 1 || pdu.len > MODBUS_PDU_MAX)
		return ERR_RANGE;
	wr_u8(&w, ':');
	put_hex(&w, unit);
	for (size_t i = 0; i < pdu.len; i++)
		put_hex(&w, pdu.p[i]);
	put_hex(&w, (uint8_t)(lrc(pdu.p, pdu.len) - unit));
	wr_u8(&w, '\r');
	wr_u8(&w, '\n');
	if (w.bad)
		return ERR_TOO_LARGE;
	*len = 2 * pdu.len + 7;
	return OK;
}

static int nibble(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What is between ':' and CR LF. */
static int ascii_decode(const uint8_t *p, size_t len, uint8_t bytes[MODBUS_RTU_MAX],
			struct modbus_frame *frame)
{
	size_t n = 0;
	bool is_hex = len % 2 == 0;

	for (; is_hex && 2 * n + 1 < len && n < MODBUS_PDU_MAX + 2; n++) {
		int high = nibble(p[2 * n]), low = nibble(p[2 * n + 1]);

		if (high < 0 || low < 0) {
			is_hex = false;
			break;
		}
		bytes[n] = (uint8_t)(high << 4 | low);
	}
	*frame =
		(struct modbus_frame){.unit = n ? bytes[0] : 0, .pdu = span_of(bytes + 1, n > 2 ? n - 2 : 0)};
	if (!is_hex || n < 3 || n * 2 != len || lrc(bytes, n) != 0)
		return ERR_MALFORMED;
	return OK;
}

int modbus_ascii_split(const uint8_t *buf, size_t len, uint8_t bytes[MODBUS_RTU_MAX],
		       struct modbus_frame *frame, size_t *used)
{
	size_t start = len;

	for (size_t i = 0; i < len; i++) {
		if (buf[i] == ':') {
			start = i;
		} else if (start < i && buf[i] == '\n') {
			size_t end = buf[i - 1] == '\r' ? i - 1 : i;

			*used = i + 1;
			return ascii_decode(buf + start + 1, end - start - 1, bytes, frame);
		} else if (start < i && i - start + 1 >= MODBUS_ASCII_MAX) {
			start = len; /* longer than any: wait for the next ':' */
		}
	}
	*used = start;
	return ERR_AGAIN;
}
