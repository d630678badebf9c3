#include "tools/json_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

size_t json_text_char(const uint8_t *p, size_t left)
{
	uint32_t point = 0;
	size_t n = utf8_char(p, left, &point);

	return point ? n : 0;
}

bool json_text_is(struct span s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i += n)
		if ((n = json_text_char(s.p + i, s.len - i)) == 0)
			return false;
	return true;
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

json_t *json_base64(struct span s)
{
	char *out = malloc((s.len + 2) / 3 * 4 + 1);
	size_t n = 0;
	json_t *value;

	if (!out)
		return NULL;
	for (size_t i = 0; i < s.len; i += 3) {
		size_t left = s.len - i;
		uint32_t v = (uint32_t)s.p[i] << 16 | (left > 1 ? (uint32_t)s.p[i + 1] << 8 : 0) |
			     (left > 2 ? s.p[i + 2] : 0u);

		out[n++] = digits[v >> 18];
		out[n++] = digits[v >> 12 & 63];
		out[n++] = left > 1 ? digits[v >> 6 & 63] : '=';
		out[n++] = left > 2 ? digits[v & 63] : '=';
	}
	value = json_stringn_nocheck(out, n);
	free(out);
	return value;
}

/* Four digits as 24 bits; the last `pad` of them are '='. */
static bool read_four(const char *text, size_t pad, uint32_t *out)
{
	*out = 0;
	for (size_t i = 0; i < 4; i++) {
		const char *at = i < 4 - pad && text[i] ? strchr(digits, text[i]) : NULL;

		if (!at && (i < 4 - pad || text[i] != '='))
			return false;
		*out = *out << 6 | (at ? (uint32_t)(at - digits) : 0);
	}
	return (*out & ((1u << 8 * pad) - 1)) == 0; /* one text for each value */
}

int json_base64_decode(const char *text, size_t len, uint8_t **out, size_t *size)
{
	size_t pad = len && text[len - 1] == '=' ? (len > 1 && text[len - 2] == '=' ? 2 : 1) : 0, n = 0;
	uint32_t v;

	*out = NULL;
	*size = 0;
	if (len % 4)
		return ERR_MALFORMED;
	if (!len)
		return OK;
	*out = malloc(len / 4 * 3);
	if (!*out)
		return ERR_NOMEM;
	for (size_t i = 0; i < len; i += 4) {
		size_t p = i + 4 == len ? pad : 0;

		if (!read_four(text + i, p, &v)) {
			free(*out);
			*out = NULL;
			return ERR_MALFORMED;
		}
		for (size_t k = 0; k < 3 - p; k++)
			(*out)[n++] = (uint8_t)(v >> (16 - 8 * k));
	}
	*size = n;
	return OK;
}
