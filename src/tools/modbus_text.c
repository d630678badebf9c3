#include "tools/modbus_text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/calendar.h"
#include "base/utf8.h"

#define NUMBER_CELL 26 /* the longest number, and blanks before it */

/* Those of two registers stand for the others. */
static const enum byte_order all_orders[] = {BYTE_ORDER_ABCD, BYTE_ORDER_CDAB, BYTE_ORDER_BADC,
					     BYTE_ORDER_DCBA};

/* ---- in ---- */

static MUST_USE int parse_bool(const char *text, struct modbus_value *out)
{
	static const char *const words[] = {"0", "false", "off", "1", "true", "on"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcasecmp(text, words[i]) == 0) {
			out->b = i >= 3;
			return OK;
		}
	}
	return ERR_MALFORMED;
}

/* A leading zero means nothing, 0x is hexadecimal. */
static int base_of(const char *text)
{
	text += *text == '-';
	return text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10;
}

static bool begins_number(const char *text)
{
	text += *text == '-';
	return (*text >= '0' && *text <= '9') || *text == '.';
}

static MUST_USE int parse_number(const char *text, struct modbus_value *out)
{
	char *end;

	if (!begins_number(text))
		return ERR_MALFORMED;
	errno = 0;
	if (out->kind == VALUE_KIND_FLOAT) {
		out->f = strtod(text, &end);
		if (*end)
			return ERR_MALFORMED;
		return isfinite(out->f) ? OK : ERR_RANGE; /* a denormal is no error */
	}
	if (*text == '-')
		out->i = strtoll(text, &end, base_of(text));
	else
		out->u = strtoull(text, &end, base_of(text));
	if (end == text || *end)
		return ERR_MALFORMED;
	/* The larger of the two ranges; the encoder looks at the type. */
	out->kind = *text == '-' ? VALUE_KIND_INT : VALUE_KIND_UINT;
	return errno ? ERR_RANGE : OK;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static MUST_USE int parse_hex(const char *text, struct modbus_value *out)
{
	size_t len = strlen(text);

	if (len % 2)
		return ERR_MALFORMED;
	if (len / 2 > VALUE_BYTES_MAX)
		return ERR_RANGE;
	for (size_t i = 0; i < len / 2; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return ERR_MALFORMED;
		out->bytes[i] = (uint8_t)(high * 16 + low);
	}
	out->len = len / 2;
	return OK;
}

int modbus_text_parse(const char *text, const struct modbus_format *f, struct modbus_value *out)
{
	*out = (struct modbus_value){.kind = value_type_info(f->type)->kind};
	switch (out->kind) {
	case VALUE_KIND_BOOL:
		return parse_bool(text, out);
	case VALUE_KIND_STRING:
		out->len = strlen(text);
		if (out->len > VALUE_BYTES_MAX)
			return ERR_RANGE;
		memcpy(out->bytes, text, out->len);
		return OK;
	case VALUE_KIND_BYTES:
		return parse_hex(text, out);
	case VALUE_KIND_TIME:
		return calendar_parse(span_str(text), &out->time);
	default:
		return parse_number(text, out);
	}
}

/* ---- out ---- */

static void print_float(FILE *to, double f, bool is_single)
{
	char text[40];

	if (!isfinite(f)) {
		fputs(isnan(f) ? "nan" : f < 0 ? "-inf" : "inf", to);
		return;
	}
	for (int digits = is_single ? 6 : 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, f);
		if (is_single ? strtof(text, NULL) == (float)f : strtod(text, NULL) == f)
			break;
	}
	fputs(text, to);
}

static void print_hex(FILE *to, const struct modbus_value *v)
{
	for (size_t i = 0; i < v->len; i++)
		fprintf(to, "%02x", v->bytes[i]);
}

/* Text that cannot move a terminal's cursor. */
static void print_text(FILE *to, const struct modbus_value *v)
{
	for (size_t i = 0; i < v->len;) {
		uint32_t point = 0;
		size_t n = utf8_char(v->bytes + i, v->len - i, &point);

		if (n == 0 || point < 0x20 || (point >= 0x7f && point < 0xa0)) {
			fprintf(to, "\\x%02x", v->bytes[i]);
			n = 1;
		} else {
			fwrite(v->bytes + i, 1, n, to);
		}
		i += n;
	}
}

static void print_json_text(FILE *to, const struct modbus_value *v)
{
	fputc('"', to);
	for (size_t i = 0; i < v->len;) {
		uint32_t point = 0;
		size_t n = utf8_char(v->bytes + i, v->len - i, &point);

		if (n == 0) {
			fputs("\\ufffd", to);
			n = 1;
		} else if (point == '"' || point == '\\') {
			fprintf(to, "\\%c", (int)point);
		} else if (point < 0x20) {
			fprintf(to, "\\u%04x", (unsigned)point);
		} else {
			fwrite(v->bytes + i, 1, n, to);
		}
		i += n;
	}
	fputc('"', to);
}

static void print_time(FILE *to, const struct modbus_value *v)
{
	char text[CALENDAR_TEXT_MAX];

	calendar_text(text, v->time);
	fputs(text, to);
}

void modbus_text_print(FILE *to, const struct modbus_value *v, bool is_single)
{
	switch (v->kind) {
	case VALUE_KIND_BOOL:
		fputs(v->b ? "1" : "0", to);
		return;
	case VALUE_KIND_INT:
		fprintf(to, "%" PRId64, v->i);
		return;
	case VALUE_KIND_UINT:
		fprintf(to, "%" PRIu64, v->u);
		return;
	case VALUE_KIND_FLOAT:
		print_float(to, v->f, is_single);
		return;
	case VALUE_KIND_STRING:
		print_text(to, v);
		return;
	case VALUE_KIND_TIME:
		print_time(to, v);
		return;
	default:
		print_hex(to, v);
		return;
	}
}

void modbus_text_print_json(FILE *to, const struct modbus_value *v, bool is_single)
{
	switch (v->kind) {
	case VALUE_KIND_BOOL:
		fputs(v->b ? "true" : "false", to);
		return;
	case VALUE_KIND_FLOAT:
		if (isfinite(v->f))
			print_float(to, v->f, is_single);
		else
			fputs("null", to);
		return;
	case VALUE_KIND_STRING:
		print_json_text(to, v);
		return;
	case VALUE_KIND_BYTES:
	case VALUE_KIND_TIME:
		fputc('"', to);
		modbus_text_print(to, v, is_single);
		fputc('"', to);
		return;
	default:
		modbus_text_print(to, v, is_single);
		return;
	}
}

/* ---- every order ---- */

static void print_cell(FILE *to, const struct modbus_format *f, const uint16_t *regs, int width)
{
	char text[NUMBER_CELL] = "";
	struct modbus_value v;
	FILE *cell = fmemopen(text, sizeof(text), "w");

	if (cell && modbus_value_decode(f, regs, &v) == OK)
		modbus_text_print(cell, &v, f->type == VALUE_TYPE_FLOAT32);
	if (cell)
		fclose(cell);
	fprintf(to, "%*s", width, text[0] ? text : "-");
}

static void print_type(FILE *to, enum value_type type, const uint16_t *regs, int width)
{
	fprintf(to, "%-8s", value_type_info(type)->name);
	for (size_t i = 0; i < sizeof(all_orders) / sizeof(all_orders[0]); i++)
		print_cell(to, &(struct modbus_format){.type = type, .order = all_orders[i]}, regs, width);
	fputc('\n', to);
}

static void print_strings(FILE *to, const uint16_t *regs, unsigned n)
{
	static const enum byte_order orders[] = {BYTE_ORDER_AB, BYTE_ORDER_BA};

	for (size_t i = 0; i < 2; i++) {
		struct modbus_format f = {
			.type = VALUE_TYPE_STRING, .order = orders[i], .length = (uint16_t)(2 * n)};
		struct modbus_value v;

		fprintf(to, "string  %s  ", byte_order_info(orders[i])->name);
		if (modbus_value_decode(&f, regs, &v) == OK)
			modbus_text_print(to, &v, false);
		fputc('\n', to);
	}
}

void modbus_text_print_orders(FILE *to, const uint16_t *regs, unsigned n)
{
	static const enum value_type types[] = {
		VALUE_TYPE_INT16,  VALUE_TYPE_UINT16,  VALUE_TYPE_BCD16,   VALUE_TYPE_INT32,
		VALUE_TYPE_UINT32, VALUE_TYPE_FLOAT32, VALUE_TYPE_BCD32,   VALUE_TYPE_UNIX32,
		VALUE_TYPE_INT64,  VALUE_TYPE_UINT64,  VALUE_TYPE_FLOAT64,
	};

	fputs("hex     ", to);
	for (unsigned i = 0; i < n; i++)
		fprintf(to, " %04x", regs[i]);
	fprintf(to, "\n%-8s", "");
	for (size_t i = 0; i < sizeof(all_orders) / sizeof(all_orders[0]); i++)
		fprintf(to, "%*s", NUMBER_CELL, byte_order_info(all_orders[i])->name);
	fputc('\n', to);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (value_type_info(types[i])->registers <= n)
			print_type(to, types[i], regs, NUMBER_CELL);
	print_strings(to, regs, n);
}
