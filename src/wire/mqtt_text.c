/*
 * Strings of MQTT: UTF-8 as 1.5.3 (3.1.1) and 1.5.4 (5.0) want it. Control characters and what Unicode calls non-characters should
 * not be sent, and a receiver may take them for malformed: we do, as other brokers do.
 */
#include "wire/mqtt_codec.h"

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/*
 * Nonzero when one of 8 bytes needs a look: not ASCII, a control character, '+' or '#'. Only for ASCII bytes do sums and
 * differences stay within their byte, and others raise the alarm by themselves. '#' is '+' without bit 3.
 */
static inline uint64_t suspects(uint64_t x)
{
	uint64_t wild = ((x | EACH(0x08)) ^ EACH(0x2B)) - EACH(1);

	return (x | (x - EACH(0x20)) | (x + EACH(1)) | wild) & EACH(0x80);
}

/* Unaligned loads without a local to copy into, which would bring a stack guard with it. */
struct eight {
	uint64_t x;
} __attribute__((packed, may_alias));
struct four {
	uint32_t x;
} __attribute__((packed, may_alias));

static inline uint64_t load8(const uint8_t *p)
{
	return ((const struct eight *)p)->x;
}

/* 4 to 7 bytes as 8, some of them twice. */
static inline uint64_t load4(const uint8_t *p, size_t len)
{
	return (uint64_t)((const struct four *)p)->x << 32 | ((const struct four *)(p + len - 4))->x;
}

static bool tail_ok(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((p[i] & 0xC0) != 0x80)
			return false;
	return true;
}

/* U+FDD0 to U+FDEF, and the last two of each plane. The bytes are those of a character. */
static bool is_non_character(const uint8_t *p, size_t n)
{
	if (n == 3 && p[0] == 0xEF && p[1] == 0xB7)
		return p[2] >= 0x90 && p[2] <= 0xAF;
	if (n == 3)
		return p[0] == 0xEF && p[1] == 0xBF && p[2] >= 0xBE;
	return n == 4 && (p[1] & 0x0F) == 0x0F && p[2] == 0xBF && p[3] >= 0xBE;
}

/*
 * Bytes of the character at p, 0 when it is none: cut short, not the shortest form, a surrogate
 * (3.1.1 [MQTT-1.5.3-1], 5.0 [MQTT-1.5.4-1]), above U+10FFFF, or U+0000 (3.1.1 [MQTT-1.5.3-2], 5.0 [MQTT-1.5.4-2]); or when it
 * should not be there (1.5.4). U+FEFF is a character like others: 3.1.1 [MQTT-1.5.3-3], 5.0 [MQTT-1.5.4-3].
 */
static size_t char_size(const uint8_t *p, size_t left)
{
	uint8_t c = p[0], low = 0x80, high = 0xBF;
	size_t n;

	if (c < 0x80)
		return c >= 0x20 && c != 0x7F;
	if (c < 0xC2 || c > 0xF4)
		return 0;
	n = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
	if (c == 0xC2 || c == 0xE0) /* U+0080 to U+009F; longer than needed */
		low = 0xA0;
	else if (c == 0xED)
		high = 0x9F;
	else if (c == 0xF0)
		low = 0x90;
	else if (c == 0xF4)
		high = 0x8F;
	if (n > left || p[1] < low || p[1] > high || !tail_ok(p + 2, n - 2) || is_non_character(p, n))
		return 0;
	return n;
}

/* The rest of a string, character by character, from the first byte that needs a look. */
static __attribute__((noinline)) enum mqtt_text scan_chars(const uint8_t *p, const uint8_t *end)
{
	enum mqtt_text verdict = MQTT_TEXT_PLAIN;

	while (p < end) {
		size_t n;

		if (end - p >= 8 && suspects(load8(p)) == 0) {
			p += 8;
			continue;
		}
		if ((n = char_size(p, (size_t)(end - p))) == 0)
			return MQTT_TEXT_BAD;
		if (*p == '+' || *p == '#')
			verdict = MQTT_TEXT_WILD;
		p += n;
	}
	return verdict;
}

enum mqtt_text mqtt_text_scan(const uint8_t *p, size_t len)
{
	const uint8_t *end;

	if (len < 4)
		return len == 0 ? MQTT_TEXT_PLAIN : scan_chars(p, p + len);
	if (len < 8)
		return suspects(load4(p, len)) == 0 ? MQTT_TEXT_PLAIN : scan_chars(p, p + len);
	for (end = p + len; end - p >= 8; p += 8)
		if (suspects(load8(p)) != 0)
			return scan_chars(p, end);
	/* What is left is read together with plain bytes before it. */
	return suspects(load8(end - 8)) == 0 ? MQTT_TEXT_PLAIN : scan_chars(p, end);
}

bool mqtt_utf8_valid(struct span s)
{
	return mqtt_text_scan(s.p, s.len) != MQTT_TEXT_BAD;
}

struct span mqtt_binary_take(struct rd *r)
{
	uint16_t len = rd_u16be(r);

	return rd_span(r, len);
}

int mqtt_string_take(struct rd *r, struct span *out)
{
	*out = mqtt_binary_take(r);
	if (r->bad || mqtt_text_scan(out->p, out->len) == MQTT_TEXT_BAD)
		return ERR_MALFORMED;
	return OK;
}

void mqtt_string_write(struct wr *w, struct span s)
{
	wr_u16be(w, (uint16_t)s.len);
	wr_span(w, s);
}
