#include "north/put.h"

#include <stdio.h>

#include "tags/value.h"

void put_i64(struct wr *w, int64_t n)
{
	char buf[NUMBER_TEXT_MAX];
	struct tag_value v = {.kind = TAG_INT, .i = n};

	wr_bytes(w, buf, number_text(buf, &v));
}

void put_u64(struct wr *w, uint64_t n)
{
	char buf[NUMBER_TEXT_MAX];
	struct tag_value v = {.kind = TAG_UINT, .u = n};

	wr_bytes(w, buf, number_text(buf, &v));
}

size_t json_utf8_length(const uint8_t *p, size_t left)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : 4;

	if (n == 1)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

static bool is_ordinary(uint8_t c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* A device may hold any bytes where text is expected. */
void put_escaped(struct wr *w, struct span s)
{
	char buf[8];

	for (size_t i = 0, n; i < s.len; i += n) {
		uint8_t c = s.p[i];

		for (n = 0; i + n < s.len && is_ordinary(s.p[i + n]);)
			n++;
		if (n > 0) {
			wr_bytes(w, s.p + i, n);
			continue;
		}
		n = json_utf8_length(s.p + i, s.len - i);
		if (n == 0) {
			put_text(w, "\xef\xbf\xbd");
			n = 1;
		} else if (c == '"' || c == '\\') {
			wr_u8(w, '\\');
			wr_u8(w, c);
		} else if (c < 0x20 || c == 0x7f) {
			wr_bytes(w, buf, (size_t)snprintf(buf, sizeof(buf), "\\u%04x", c));
		} else {
			wr_bytes(w, s.p + i, n);
		}
	}
}

void put_string(struct wr *w, struct span s)
{
	wr_u8(w, '"');
	put_escaped(w, s);
	wr_u8(w, '"');
}

void put_plain(struct wr *w, struct span s)
{
	for (size_t i = 0, n; i < s.len; i += n ? n : 1) {
		n = json_utf8_length(s.p + i, s.len - i);
		if (n)
			wr_bytes(w, s.p + i, n);
		else
			put_text(w, "\xef\xbf\xbd");
	}
}

void put_hex(struct wr *w, struct span s)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < s.len; i++) {
		wr_u8(w, (uint8_t)digits[s.p[i] >> 4]);
		wr_u8(w, (uint8_t)digits[s.p[i] & 15]);
	}
}
