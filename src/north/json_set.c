/*
 * A reader of its own for the few lines of JSON that a command may be (RFC 8259, without nesting), because a command acts on
 * a machine: jansson ends at INT64_MAX, and when an allocation fails in the middle of a token of more than 15
 * characters it goes on with some of them missing (2.14, lex_save), which would write another number than was asked for. This
 * one does not allocate. The fuzzer compares it with jansson.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "north/json.h"

#define TOKEN_MAX \
	400 /* characters of a number: a double in full without exponent has 325 at most that matter */

struct reader {
	struct rd rd;
	char *fault;
};

static int refuse(struct reader *r, int err, const char *text)
{
	snprintf(r->fault, SET_FAULT_MAX, "%s", text);
	return err;
}

static int peek(const struct reader *r)
{
	return r->rd.left ? r->rd.p[0] : -1;
}

static void skip_space(struct reader *r)
{
	while (peek(r) == ' ' || peek(r) == '\t' || peek(r) == '\n' || peek(r) == '\r')
		rd_u8(&r->rd);
}

static bool take_if(struct reader *r, const char *text)
{
	size_t n = strlen(text);

	if (r->rd.left < n || memcmp(r->rd.p, text, n) != 0)
		return false;
	rd_take(&r->rd, n);
	return true;
}

/* ---- numbers ---- */

static size_t take_digits(struct reader *r)
{
	size_t n = 0;

	for (; peek(r) >= '0' && peek(r) <= '9'; n++)
		rd_u8(&r->rd);
	return n;
}

/* RFC 8259, 6: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)? */
static bool scan_number(struct reader *r, bool *is_integer)
{
	take_if(r, "-");
	*is_integer = true;
	if (!take_if(r, "0") && !take_digits(r))
		return false;
	if (take_if(r, ".")) {
		*is_integer = false;
		if (!take_digits(r))
			return false;
	}
	if (take_if(r, "e") || take_if(r, "E")) {
		*is_integer = false;
		if (!take_if(r, "+"))
			take_if(r, "-");
		if (!take_digits(r))
			return false;
	}
	return true;
}

static int take_number(struct reader *r, struct tag_value *v)
{
	const uint8_t *start = r->rd.p;
	char text[TOKEN_MAX + 1];
	bool is_integer;
	size_t len;

	if (!scan_number(r, &is_integer))
		return refuse(r, ERR_MALFORMED, "not JSON: value must be a number, a text, true or false");
	len = (size_t)(r->rd.p - start);
	if (len > TOKEN_MAX)
		return refuse(r, ERR_TOO_LARGE, "a number of too many digits");
	memcpy(text, start, len);
	text[len] = '\0';
	errno = 0;
	if (!is_integer)
		*v = tag_double(strtod(text, NULL));
	else if (text[0] == '-')
		*v = tag_int(strtoll(text, NULL, 10));
	else
		*v = tag_uint(strtoull(text, NULL, 10));
	if (is_integer ? errno == ERANGE : !isfinite(v->d)) /* too small a double is 0, as everywhere */
		return refuse(r, ERR_RANGE, "a number beyond 64 bits");
	return OK;
}

/* ---- strings ---- */

static int take_hex4(struct reader *r, uint32_t *unit)
{
	const uint8_t *p = rd_take(&r->rd, 4);

	*unit = 0;
	for (int i = 0; p && i < 4; i++) {
		int c = p[i], digit = c >= '0' && c <= '9'                 ? c - '0'
				      : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
									   : -1;

		if (digit < 0)
			return ERR_MALFORMED;
		*unit = *unit << 4 | (unsigned)digit;
	}
	return p ? OK : ERR_MALFORMED;
}

static void put_utf8(struct wr *w, uint32_t c)
{
	if (c < 0x80) {
		wr_u8(w, (uint8_t)c);
	} else if (c < 0x800) {
		wr_u8(w, (uint8_t)(0xc0 | c >> 6));
		wr_u8(w, (uint8_t)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		wr_u8(w, (uint8_t)(0xe0 | c >> 12));
		wr_u8(w, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		wr_u8(w, (uint8_t)(0x80 | (c & 0x3f)));
	} else {
		wr_u8(w, (uint8_t)(0xf0 | c >> 18));
		wr_u8(w, (uint8_t)(0x80 | (c >> 12 & 0x3f)));
		wr_u8(w, (uint8_t)(0x80 | (c >> 6 & 0x3f)));
		wr_u8(w, (uint8_t)(0x80 | (c & 0x3f)));
	}
}

static int take_escape(struct reader *r, struct wr *w)
{
	static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	uint8_t c = rd_u8(&r->rd);
	const char *at = c ? strchr(letters, c) : NULL;
	uint32_t unit, low;

	if (at) {
		wr_u8(w, (uint8_t)meanings[at - letters]);
		return OK;
	}
	if (c != 'u' || take_hex4(r, &unit) < 0 || unit == 0 || (unit >= 0xdc00 && unit < 0xe000))
		return ERR_MALFORMED;
	if (unit >= 0xd800 && unit < 0xdc00) {
		if (!take_if(r, "\\u") || take_hex4(r, &low) < 0 || low < 0xdc00 || low >= 0xe000)
			return ERR_MALFORMED;
		unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
	}
	put_utf8(w, unit);
	return OK;
}

/* What follows the opening quote, into at most `max` bytes and a NUL. */
static int take_string(struct reader *r, char *buf, size_t max, size_t *len)
{
	struct wr w = wr_of(buf, max);

	for (;;) {
		size_t n = r->rd.left ? json_utf8_length(r->rd.p, r->rd.left) : 0;

		if (n == 0 || r->rd.p[0] < 0x20)
			return refuse(r, ERR_MALFORMED, "not JSON: a text that does not end or is no UTF-8");
		if (take_if(r, "\""))
			break;
		if (!take_if(r, "\\"))
			wr_span(&w, rd_span(&r->rd, n));
		else if (take_escape(r, &w) < 0)
			return refuse(r, ERR_MALFORMED, "not JSON: an escape that there is not");
	}
	if (w.bad) {
		snprintf(r->fault, SET_FAULT_MAX, "a text of more than %zu bytes", max);
		return ERR_TOO_LARGE;
	}
	*len = max - w.left;
	buf[*len] = '\0';
	return OK;
}

/* ---- commands ---- */

static int take_value(struct reader *r, struct set_command *out)
{
	size_t len;
	int rc;

	if (take_if(r, "true")) {
		out->value = tag_bool(true);
	} else if (take_if(r, "false")) {
		out->value = tag_bool(false);
	} else if (take_if(r, "\"")) {
		if ((rc = take_string(r, out->text, SET_TEXT_MAX, &len)) < 0)
			return rc;
		out->value = tag_string(span_of(out->text, len));
	} else {
		return take_number(r, &out->value);
	}
	return OK;
}

static int take_id(struct reader *r, struct set_command *out)
{
	int rc;

	if (!take_if(r, "\"")) {
		snprintf(r->fault, SET_FAULT_MAX, "id must be a text of at most %u bytes", SET_ID_MAX);
		return ERR_MALFORMED;
	}
	if ((rc = take_string(r, out->id, SET_ID_MAX, &out->id_len)) < 0)
		return rc;
	out->has_id = true;
	return OK;
}

static int take_member(struct reader *r, struct set_command *out)
{
	char key[32], quoted[48];
	size_t len;
	int rc;

	if (!take_if(r, "\""))
		return refuse(r, ERR_MALFORMED, "not JSON: a key in quotes is missing");
	if ((rc = take_string(r, key, sizeof(key) - 1, &len)) == ERR_TOO_LARGE)
		return refuse(r, ERR_MALFORMED, "unknown key, only value and id are allowed");
	if (rc < 0)
		return rc;
	skip_space(r);
	if (!take_if(r, ":"))
		return refuse(r, ERR_MALFORMED, "not JSON: a colon is missing");
	skip_space(r);
	if (strcmp(key, "value") == 0 && len == 5)
		return out->value.kind == TAG_NONE ? take_value(r, out)
						   : refuse(r, ERR_MALFORMED, "duplicate key \"value\"");
	if (strcmp(key, "id") == 0 && len == 2)
		return out->has_id ? refuse(r, ERR_MALFORMED, "duplicate key \"id\"") : take_id(r, out);
	snprintf(r->fault, SET_FAULT_MAX, "unknown key %s, only value and id are allowed",
		 log_quote(quoted, sizeof(quoted), span_of(key, len)));
	return ERR_MALFORMED;
}

static int take_object(struct reader *r, struct set_command *out)
{
	int rc;

	skip_space(r);
	if (take_if(r, "}"))
		return refuse(r, ERR_MALFORMED, "the key \"value\" is missing");
	for (;;) {
		skip_space(r);
		if ((rc = take_member(r, out)) < 0)
			return rc;
		skip_space(r);
		if (take_if(r, "}"))
			break;
		if (!take_if(r, ","))
			return refuse(r, ERR_MALFORMED, "not JSON: a comma or brace is missing");
	}
	if (out->value.kind == TAG_NONE)
		return refuse(r, ERR_MALFORMED, "the key \"value\" is missing");
	return OK;
}

/* ---- the id of a command that is refused ---- */

/* Behind the quote that ends the text, or at the end. */
static void skip_text(struct reader *r)
{
	for (uint8_t c = 0; r->rd.left && c != '"';) {
		c = rd_u8(&r->rd);
		if (c == '\\' && r->rd.left)
			rd_u8(&r->rd);
	}
}

/* Past one value, whatever it is, up to the comma or brace behind it. */
static void skip_value(struct reader *r)
{
	unsigned depth = 0;

	for (int c = peek(r); c >= 0 && (depth || (c != ',' && c != '}')); c = peek(r)) {
		rd_u8(&r->rd);
		if (c == '"')
			skip_text(r);
		else if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
			depth -= depth > 0;
	}
}

/* Reading ended at the first fault, and the id may stand behind it: who asked must know that it is his answer. */
static void find_id(struct span payload, struct set_command *out)
{
	char fault[SET_FAULT_MAX], key[32];
	struct reader r = {.rd = rd_of(payload.p, payload.len), .fault = fault};
	size_t len = 0;
	int rc;

	skip_space(&r);
	if (!take_if(&r, "{"))
		return;
	do {
		skip_space(&r);
		if (!take_if(&r, "\""))
			return;
		if ((rc = take_string(&r, key, sizeof(key) - 1, &len)) == ERR_MALFORMED)
			return; /* the reader stays where it failed */
		skip_space(&r);
		if (!take_if(&r, ":"))
			return;
		skip_space(&r);
		if (rc == OK && strcmp(key, "id") == 0 && take_id(&r, out) < 0)
			return;
		skip_value(&r);
	} while (!out->has_id && take_if(&r, ","));
}

int json_set_decode(struct span payload, struct set_command *out, char *fault)
{
	struct reader r = {.rd = rd_of(payload.p, payload.len), .fault = fault};
	int rc;

	*out = (struct set_command){.value = tag_none()};
	fault[0] = '\0';
	if (payload.len > SET_PAYLOAD_MAX) {
		snprintf(fault, SET_FAULT_MAX, "%zu bytes, at most %u are allowed", payload.len,
			 SET_PAYLOAD_MAX);
		return ERR_TOO_LARGE;
	}
	skip_space(&r);
	rc = take_if(&r, "{") ? take_object(&r, out) : take_value(&r, out);
	if (rc < 0 && !out->has_id)
		find_id(payload, out);
	if (rc < 0)
		return rc;
	skip_space(&r);
	return r.rd.left ? refuse(&r, ERR_MALFORMED, "not JSON: something follows the end") : OK;
}
