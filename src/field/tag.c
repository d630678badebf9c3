#include <math.h>
#include <stdio.h>

#include "field/internal.h"

bool area_is_bits(enum config_area area)
{
	return area == CONFIG_AREA_COIL || area == CONFIG_AREA_DISCRETE;
}

/* Where the channels and attributes of a rack lie, rack.c says afterwards. */
void tag_init(struct tag *t, const struct config_tag *cfg)
{
	const struct config_address *a = &cfg->address;

	*t = (struct tag){
		.cfg = cfg, .is_bits = area_is_bits(a->area), .start = a->number, .unit = cfg->unit};
	t->format = (struct modbus_format){
		.type = cfg->type,
		.order = cfg->order,
		.high_byte = cfg->high_byte,
		.bit = a->bit > 0 ? (uint8_t)a->bit : 0,
		.length = cfg->length,
	};
	t->count = t->is_bits ? 1 : (uint16_t)modbus_format_registers(&t->format);
	scaling_init(&t->scaling, cfg->scale, cfg->offset);
}

static struct tag_value value_of(const struct tag *t, const struct modbus_value *raw)
{
	switch (raw->kind) {
	case VALUE_KIND_BOOL:
		return tag_bool(raw->b);
	case VALUE_KIND_INT:
		return tag_int(raw->i);
	case VALUE_KIND_UINT:
		return tag_uint(raw->u);
	case VALUE_KIND_FLOAT:
		return t->format.type == VALUE_TYPE_FLOAT32 ? tag_float((float)raw->f) : tag_double(raw->f);
	case VALUE_KIND_STRING:
		return tag_string(span_of(raw->bytes, raw->len));
	case VALUE_KIND_BYTES:
		return tag_bytes(span_of(raw->bytes, raw->len));
	default:
		return tag_none();
	}
}

struct tag_sample tag_decode(const struct tag *t, const union source_data *data, unsigned offset,
			     int64_t ts_ms, struct modbus_value *scratch)
{
	struct tag_sample s = {.ts_ms = ts_ms};
	uint16_t bit;
	const uint16_t *regs = &bit;
	int rc;

	if (t->is_bits)
		bit = data->bits[offset / 8] >> (offset % 8) & 1;
	else
		regs = &data->regs[offset];
	rc = modbus_value_decode(&t->format, regs, scratch);
	if (rc == OK) {
		struct tag_value raw = value_of(t, scratch);

		s.value = scaling_apply(&t->scaling, &raw);
	}
	if (rc < 0 || ((s.value.kind == TAG_FLOAT || s.value.kind == TAG_DOUBLE) &&
		       !isfinite(tag_value_to_double(&s.value)))) {
		s.value = tag_none(); /* NaN, infinity, a digit of BCD above 9 */
		s.quality = QUALITY_BAD;
		s.reason = REASON_RANGE;
	}
	return s;
}

/* ---- commands ---- */

static const char *say(const char *word, char *text, const char *sentence)
{
	snprintf(text, SET_FAULT_MAX, "%s", sentence);
	return word;
}

static const char *check_bool(const struct tag_value *v, struct modbus_value *raw, char *text)
{
	if (v->kind != TAG_BOOL && !(v->kind == TAG_INT && (v->i == 0 || v->i == 1)))
		return say("type", text, "must be true, false, 0 or 1");
	raw->kind = VALUE_KIND_BOOL;
	raw->b = v->kind == TAG_BOOL ? v->b : v->i == 1;
	return NULL;
}

static const char *check_number(const struct tag *t, const struct tag_value *v, bool is_float,
				struct modbus_value *raw, char *text)
{
	struct tag_value number;

	if (!tag_value_is_number(v))
		return say("type", text, "must be a number");
	if (tag_value_compare_limit(v, t->cfg->min) < 0) {
		snprintf(text, SET_FAULT_MAX, "below the minimum %g", t->cfg->min);
		return "range";
	}
	if (tag_value_compare_limit(v, t->cfg->max) > 0) {
		snprintf(text, SET_FAULT_MAX, "above the maximum %g", t->cfg->max);
		return "range";
	}
	if (scaling_invert(&t->scaling, v, !is_float, &number) < 0)
		return say("range", text, "does not fit the type");
	raw->kind = number.kind == TAG_INT    ? VALUE_KIND_INT
		    : number.kind == TAG_UINT ? VALUE_KIND_UINT
					      : VALUE_KIND_FLOAT;
	if (raw->kind == VALUE_KIND_FLOAT)
		raw->f = number.d;
	else
		raw->u = number.u;
	return NULL;
}

static const char *check_string(const struct tag *t, const struct tag_value *v, struct modbus_value *raw,
				char *text)
{
	if (v->kind != TAG_STRING)
		return say("type", text, "must be a text");
	if (v->s.len > t->format.length) {
		snprintf(text, SET_FAULT_MAX, "%zu bytes, at most %u fit", v->s.len, t->format.length);
		return "range";
	}
	raw->kind = VALUE_KIND_STRING;
	raw->len = v->s.len;
	memcpy(raw->bytes, v->s.p, v->s.len);
	return NULL;
}

static int hex_digit(uint8_t c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

static const char *check_bytes(const struct tag *t, const struct tag_value *v, struct modbus_value *raw,
			       char *text)
{
	if (v->kind != TAG_STRING)
		return say("type", text, "must be hexadecimal text");
	if (v->s.len != 2u * t->format.length) {
		snprintf(text, SET_FAULT_MAX, "must be %u hexadecimal digits", 2u * t->format.length);
		return "range";
	}
	raw->kind = VALUE_KIND_BYTES;
	raw->len = t->format.length;
	for (size_t i = 0; i < raw->len; i++) {
		int high = hex_digit(v->s.p[2 * i]), low = hex_digit(v->s.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return say("type", text, "must be hexadecimal text");
		raw->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return NULL;
}

const char *tag_command_check(const struct tag *t, const struct tag_value *v, struct modbus_value *raw,
			      char *text)
{
	enum value_kind kind = value_type_info(t->format.type)->kind;
	uint16_t regs[VALUE_BYTES_MAX / 2] = {0};
	const char *error;

	*raw = (struct modbus_value){0};
	switch (kind) {
	case VALUE_KIND_BOOL:
		error = check_bool(v, raw, text);
		break;
	case VALUE_KIND_STRING:
		error = check_string(t, v, raw, text);
		break;
	case VALUE_KIND_BYTES:
		error = check_bytes(t, v, raw, text);
		break;
	default:
		error = check_number(t, v, kind == VALUE_KIND_FLOAT, raw, text);
	}
	if (error)
		return error;
	switch (modbus_value_encode(&t->format, raw, regs)) {
	case OK:
		return NULL;
	case ERR_UNSUPPORTED:
		return say("type", text, "cannot become the type of this tag");
	default:
		return say("range", text, "does not fit the type");
	}
}
