#include <math.h>
#include <stdio.h>

#include "base/calendar.h"
#include "config/schema.h"
#include "field/internal.h"

bool area_is_bits(enum config_area area)
{
	return area == CONFIG_AREA_COIL || area == CONFIG_AREA_DISCRETE;
}

/* Where the channels and attributes of a rack lie, rack.c says afterwards. */
static uint8_t text_max(const struct tag *t)
{
	size_t most = t->format.length;

	if (value_type_info(t->format.type)->kind == VALUE_KIND_TIME)
		return CALENDAR_TEXT_MAX - 1;
	for (size_t i = 0; i < t->cfg->nlabels; i++)
		if (strlen(t->cfg->labels[i].text) > most)
			most = strlen(t->cfg->labels[i].text);
	return (uint8_t)most; /* VALUE_BYTES_MAX and the longest label fit */
}

void tag_init(struct tag *t, const struct config_tag *cfg)
{
	const struct config_address *a = &cfg->address;

	*t = (struct tag){.cfg = cfg,
			  .is_bits = area_is_bits(a->area),
			  .is_scale = t->is_scale, /* of a tag before it */
			  .start = a->number,
			  .unit = cfg->unit};
	t->format = (struct modbus_format){
		.type = cfg->type,
		.order = cfg->order,
		.high_byte = cfg->high_byte,
		.bit = a->bit > 0 ? (uint8_t)a->bit : 0,
		.bits = cfg->bits,
		.length = cfg->length,
	};
	t->text_max = text_max(t);
	t->count = t->is_bits ? 1 : (uint16_t)modbus_format_registers(&t->format);
	if (cfg->map)
		scaling_init_map(&t->scaling, cfg->map->raw, cfg->map->value);
	else
		scaling_init(&t->scaling, cfg->scale, cfg->offset);
}

/* ---- values ---- */

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

static struct tag_value time_text(struct modbus_value *scratch)
{
	char text[CALENDAR_TEXT_MAX];
	size_t len = calendar_text(text, scratch->time);

	memcpy(scratch->bytes, text, len);
	return tag_string(span_of(scratch->bytes, len));
}

/* The text of a number, NULL when it has none. */
static const char *label_of(const struct config_tag *cfg, const struct tag_value *raw)
{
	int64_t number = raw->kind == TAG_BOOL ? raw->b : raw->i;
	size_t low = 0, high = cfg->nlabels;

	if (raw->kind == TAG_UINT)
		return NULL;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (cfg->labels[middle].number == number)
			return cfg->labels[middle].text;
		if (cfg->labels[middle].number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

#define EXPONENT_MAX 10 /* SunSpec Information Model, sunssf: -10..10 */

/* OK, or ERR_RANGE when the power of ten is not known. */
static MUST_USE int scaling_now(const struct tag *t, struct scaling *out)
{
	static const double powers[2 * EXPONENT_MAX + 1] = {
		1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1e0,
		1e1,   1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10,
	};

	*out = t->scaling;
	if (!t->scale_by)
		return OK;
	if (!t->scale_by->has_exponent)
		return ERR_RANGE;
	scaling_init(out, t->cfg->scale * powers[t->scale_by->exponent + EXPONENT_MAX], t->cfg->offset);
	return OK;
}

static bool is_invalid(const struct tag *t, const struct tag_value *raw)
{
	return t->cfg->has_invalid && tag_value_is_number(raw) && !isnan(tag_value_to_double(raw)) &&
	       tag_value_compare_limit(raw, t->cfg->invalid) == 0;
}

static double map_least(const struct config_map *m)
{
	return fmin(m->value[0], m->value[1]);
}

static double map_most(const struct config_map *m)
{
	return fmax(m->value[0], m->value[1]);
}

static struct tag_value clamp(const struct config_map *m, struct tag_value v)
{
	double limit;

	if (!tag_value_is_number(&v) || isnan(tag_value_to_double(&v)))
		return v;
	if (tag_value_compare_limit(&v, map_least(m)) < 0)
		limit = map_least(m);
	else if (tag_value_compare_limit(&v, map_most(m)) > 0)
		limit = map_most(m);
	else
		return v;
	return v.kind == TAG_FLOAT ? tag_float((float)limit) : tag_double(limit);
}

static MUST_USE int engineering(const struct tag *t, const struct tag_value *raw, struct tag_sample *s)
{
	struct scaling scaling;
	const char *label;
	int rc;

	if (is_invalid(t, raw))
		return ERR_RANGE;
	if (t->cfg->nlabels) {
		label = label_of(t->cfg, raw);
		s->value = label ? tag_string(span_str(label)) : *raw;
		s->quality = label ? QUALITY_GOOD : QUALITY_UNCERTAIN;
		s->reason = label ? REASON_NONE : REASON_RANGE;
		return OK;
	}
	if ((rc = scaling_now(t, &scaling)) < 0)
		return rc;
	s->value = scaling_apply(&scaling, raw);
	if (t->cfg->map && t->cfg->map->clamp)
		s->value = clamp(t->cfg->map, s->value);
	return OK;
}

static MUST_USE int decode_raw(const struct tag *t, const union source_data *data, unsigned offset,
			       struct modbus_value *out)
{
	uint16_t bit;

	if (!t->is_bits)
		return modbus_value_decode(&t->format, &data->regs[offset], out);
	bit = data->bits[offset / 8] >> (offset % 8) & 1;
	return modbus_value_decode(&t->format, &bit, out);
}

void tag_note_exponent(struct tag *t, const union source_data *data, unsigned offset)
{
	struct modbus_value raw;

	if (!t->is_scale)
		return;
	t->has_exponent = decode_raw(t, data, offset, &raw) == OK &&
			  (raw.kind == VALUE_KIND_UINT ? raw.u <= EXPONENT_MAX
						       : raw.i >= -EXPONENT_MAX && raw.i <= EXPONENT_MAX);
	if (t->has_exponent)
		t->exponent = (int8_t)raw.i;
}

struct tag_sample tag_decode(const struct tag *t, const union source_data *data, unsigned offset,
			     int64_t ts_ms, struct modbus_value *scratch)
{
	struct tag_sample s = {.ts_ms = ts_ms};
	struct tag_value raw;
	int rc = decode_raw(t, data, offset, scratch);

	if (rc == OK && scratch->kind == VALUE_KIND_TIME) {
		s.value = time_text(scratch);
	} else if (rc == OK) {
		raw = value_of(t, scratch);
		rc = engineering(t, &raw, &s);
	}
	if (rc < 0 || ((s.value.kind == TAG_FLOAT || s.value.kind == TAG_DOUBLE) &&
		       !isfinite(tag_value_to_double(&s.value)))) {
		s.value = tag_none(); /* NaN, infinity, a digit of BCD above 9, no date, no scale */
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

static void put_number(const struct tag_value *number, struct modbus_value *raw)
{
	raw->kind = number->kind == TAG_INT    ? VALUE_KIND_INT
		    : number->kind == TAG_UINT ? VALUE_KIND_UINT
					       : VALUE_KIND_FLOAT;
	if (raw->kind == VALUE_KIND_FLOAT)
		raw->f = number->d;
	else
		raw->u = number->u;
}

/* A text of an enumeration, or one of its numbers. */
static const char *check_label(const struct tag *t, const struct tag_value *v, struct modbus_value *raw,
			       char *text)
{
	const struct config_tag *cfg = t->cfg;
	struct tag_value number = v->kind == TAG_BOOL ? tag_int(v->b) : *v;

	for (size_t i = 0; v->kind == TAG_STRING && i < cfg->nlabels; i++)
		if (span_equal(v->s, span_str(cfg->labels[i].text)))
			number = tag_int(cfg->labels[i].number);
	if (number.kind == TAG_STRING)
		return say("range", text, "not one of the texts of its enum");
	if (!tag_value_is_integer(&number))
		return say("type", text, "must be a text of its enum or its number");
	if (!label_of(cfg, &number))
		return say("range", text, "not one of the numbers of its enum");
	put_number(&number, raw);
	return NULL;
}

static const char *check_time(const struct tag_value *v, struct modbus_value *raw, char *text)
{
	if (v->kind != TAG_STRING)
		return say("type", text, "must be a date-time such as 2026-11-22T10:00:00Z");
	raw->kind = VALUE_KIND_TIME;
	switch (calendar_parse(v->s, &raw->time)) {
	case OK:
		return NULL;
	case ERR_RANGE:
		return say("range", text, "there is no such date or time");
	default:
		return say("type", text, "must be a date-time such as 2026-11-22T10:00:00Z");
	}
}

static const char *check_number(const struct tag *t, const struct tag_value *v, bool is_float,
				struct modbus_value *raw, char *text)
{
	const struct config_map *map = t->cfg->map;
	struct tag_value number;
	struct scaling scaling;

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
	if (map && map->clamp &&
	    (tag_value_compare_limit(v, map_least(map)) < 0 ||
	     tag_value_compare_limit(v, map_most(map)) > 0)) {
		snprintf(text, SET_FAULT_MAX, "outside the map, %g to %g", map_least(map), map_most(map));
		return "range";
	}
	if (scaling_now(t, &scaling) < 0)
		return say("range", text, "its scale was not read yet");
	if (scaling_invert(&scaling, v, !is_float, &number) < 0)
		return say("range", text, "does not fit the type");
	put_number(&number, raw);
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
	switch (t->cfg->nlabels ? VALUE_KIND_NONE : kind) {
	case VALUE_KIND_NONE:
		error = check_label(t, v, raw, text);
		break;
	case VALUE_KIND_BOOL:
		error = check_bool(v, raw, text);
		break;
	case VALUE_KIND_TIME:
		error = check_time(v, raw, text);
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
