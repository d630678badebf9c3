/*
 * The JSON of PRODUCT.md, "Topics and payloads".  Written by hand rather than through a tree: a value is published for
 * every change of every tag, and this costs neither an allocation nor a rounding.
 */
#include "north/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "north/table.h"

static void put_text(struct wr *w, const char *text)
{
	wr_bytes(w, text, strlen(text));
}

static void put_i64(struct wr *w, int64_t n)
{
	char buf[24];

	wr_bytes(w, buf, (size_t)snprintf(buf, sizeof(buf), "%" PRId64, n));
}

static void put_u64(struct wr *w, uint64_t n)
{
	char buf[24];

	wr_bytes(w, buf, (size_t)snprintf(buf, sizeof(buf), "%" PRIu64, n));
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

/* A device may hold any bytes where text is expected; U+FFFD stands for what is not UTF-8. */
static void put_string(struct wr *w, struct span s)
{
	char buf[8];

	wr_u8(w, '"');
	for (size_t i = 0; i < s.len;) {
		size_t n = json_utf8_length(s.p + i, s.len - i);
		uint8_t c = s.p[i];

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
		i += n;
	}
	wr_u8(w, '"');
}

static void put_hex(struct wr *w, struct span s)
{
	wr_u8(w, '"');
	for (size_t i = 0; i < s.len; i++) {
		char buf[3];

		snprintf(buf, sizeof(buf), "%02x", s.p[i]);
		wr_bytes(w, buf, 2);
	}
	wr_u8(w, '"');
}

static void put_number(struct wr *w, const struct tag_value *v)
{
	char buf[NUMBER_TEXT_MAX];

	if (!tag_value_is_integer(v) && !isfinite(tag_value_to_double(v)))
		put_text(w, "null"); /* JSON has no other word for them */
	else
		wr_bytes(w, buf, number_text(buf, v));
}

void json_value_encode(struct wr *w, const struct tag_value *v)
{
	switch (v->kind) {
	case TAG_NONE:
		put_text(w, "null");
		break;
	case TAG_BOOL:
		put_text(w, v->b ? "true" : "false");
		break;
	case TAG_STRING:
		put_string(w, v->s);
		break;
	case TAG_BYTES:
		put_hex(w, v->s);
		break;
	default:
		put_number(w, v);
	}
}

static bool is_number_without_text(const struct tag_value *v)
{
	return (v->kind == TAG_FLOAT || v->kind == TAG_DOUBLE) && !isfinite(tag_value_to_double(v));
}

static void encode_tag(struct wr *w, const struct tag_sample *sample, const char *unit)
{
	enum quality quality = sample->quality;
	enum reason reason = sample->reason;

	if (is_number_without_text(&sample->value)) {
		quality = QUALITY_BAD;
		reason = reason == REASON_NONE ? REASON_RANGE : reason;
	}
	put_text(w, "{\"value\":");
	json_value_encode(w, &sample->value);
	put_text(w, ",\"ts\":");
	put_i64(w, sample->ts_ms);
	put_text(w, ",\"quality\":\"");
	put_text(w, quality_name(quality));
	wr_u8(w, '"');
	if (reason != REASON_NONE) {
		put_text(w, ",\"reason\":\"");
		put_text(w, reason_name(reason));
		wr_u8(w, '"');
	}
	if (unit) {
		put_text(w, ",\"unit\":");
		put_string(w, span_str(unit));
	}
	wr_u8(w, '}');
}

static void encode_result(struct wr *w, const struct set_outcome *o)
{
	wr_u8(w, '{');
	if (o->id.p) {
		put_text(w, "\"id\":");
		put_string(w, o->id);
		wr_u8(w, ',');
	}
	if (o->ok) {
		put_text(w, "\"ok\":true,\"value\":");
		json_value_encode(w, &o->value);
	} else {
		put_text(w, "\"ok\":false,\"error\":");
		put_string(w, span_str(o->error));
		if (o->exception) {
			put_text(w, ",\"exception\":");
			put_u64(w, o->exception);
		}
		if (o->text) {
			put_text(w, ",\"text\":");
			put_string(w, span_str(o->text));
		}
	}
	put_text(w, ",\"ts\":");
	put_i64(w, o->ts_ms);
	wr_u8(w, '}');
}

static void put_refused(struct wr *w, const struct device_status *s)
{
	for (size_t i = 0; i < s->nrefused && i < DEVICE_REFUSED_MAX; i++) {
		put_text(w, i ? "," : ",\"refused\":[");
		put_string(w, span_str(s->refused[i].text));
	}
	if (s->nrefused)
		put_text(w, "]");
	if (s->nrefused > DEVICE_REFUSED_MAX) {
		put_text(w, ",\"refused_total\":");
		put_u64(w, s->nrefused);
	}
}

struct number {
	const char *name;
	uint64_t n;
};

static void put_key(struct wr *w, const char *name)
{
	put_text(w, ",\"");
	put_text(w, name);
	put_text(w, "\":");
}

static void put_numbers(struct wr *w, const struct number *numbers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		put_key(w, numbers[i].name);
		put_u64(w, numbers[i].n);
	}
}

static void put_decimal(struct wr *w, double x)
{
	char text[32];

	snprintf(text, sizeof(text), "%.1f", x);
	put_text(w, text);
}

static void put_exception_codes(struct wr *w, const struct device_counters *c)
{
	const char *before = "";

	put_text(w, ",\"exception_codes\":{");
	for (unsigned code = 0; code < DIAG_EXCEPTIONS; code++) {
		if (!c->by_exception[code])
			continue;
		put_text(w, before);
		wr_u8(w, '"');
		if (code)
			put_u64(w, code);
		else
			put_text(w, "other");
		put_text(w, "\":");
		put_u64(w, c->by_exception[code]);
		before = ",";
	}
	wr_u8(w, '}');
}

/* Buckets that hold something, each by its upper end in ms. */
static void put_response(struct wr *w, const struct response_times *r)
{
	const char *before = "";

	put_text(w, ",\"response_ms\":{\"count\":");
	put_u64(w, r->count);
	put_key(w, "mean");
	put_decimal(w, response_mean_us(r) / 1000.0);
	put_key(w, "max");
	put_decimal(w, r->max_us / 1000.0);
	put_text(w, ",\"up_to\":{");
	for (unsigned i = 0; i < RESPONSE_BUCKETS; i++) {
		if (!r->buckets[i])
			continue;
		put_text(w, before);
		wr_u8(w, '"');
		if (i < RESPONSE_BUCKETS - 1)
			put_u64(w, response_bounds_ms[i]);
		else
			put_text(w, "more");
		put_text(w, "\":");
		put_u64(w, r->buckets[i]);
		before = ",";
	}
	put_text(w, "}}");
}

static void put_group(struct wr *w, const struct group_status *g)
{
	put_string(w, span_str(g->name));
	put_text(w, ":{\"scan_ms\":");
	put_u64(w, g->scan_ms);
	put_key(w, "average_ms");
	put_decimal(w, scan_mean_ms(g->times));
	put_numbers(w, (const struct number[]){{"worst_ms", g->times->worst_ms}, {"late", g->times->late}},
		    2);
	wr_u8(w, '}');
}

static void put_groups(struct wr *w, const struct device_status *s)
{
	put_text(w, ",\"groups\":{");
	for (size_t i = 0; i < s->ngroups; i++) {
		if (i)
			wr_u8(w, ',');
		put_group(w, &s->groups[i]);
	}
	wr_u8(w, '}');
	if (s->more_groups)
		put_numbers(w, &(struct number){"more_groups", s->more_groups}, 1);
}

static void encode_status(struct wr *w, const struct device_status *s)
{
	const struct device_counters *c = s->counters;
	const struct number numbers[] = {
		{"ok", c->ok},           {"timeouts", c->timeouts}, {"exceptions", c->exceptions},
		{"errors", c->errors},   {"writes", c->writes},     {"late", c->late},
		{"late_ms", c->late_ms}, {"sent", c->sent},         {"retries", c->retries},
		{"crc", c->crc}};

	put_text(w, "{\"state\":");
	put_string(w, span_str(s->state));
	put_text(w, ",\"since\":");
	put_i64(w, s->since_ms);
	put_text(w, ",\"last_ok\":");
	if (s->last_ok_ms)
		put_i64(w, s->last_ok_ms);
	else
		put_text(w, "null");
	put_text(w, ",\"last_error\":");
	if (s->last_error)
		put_string(w, span_str(s->last_error));
	else
		put_text(w, "null");
	put_numbers(w, numbers, sizeof(numbers) / sizeof(*numbers));
	put_exception_codes(w, c);
	put_response(w, s->response);
	put_groups(w, s);
	put_refused(w, s);
	if (s->is_safe)
		put_text(w, ",\"safe_mode\":true");
	wr_u8(w, '}');
}

static void encode_line(struct wr *w, const struct line_status *s)
{
	const struct line_counters *c = s->counters;
	const struct number numbers[] = {
		{"devices", s->devices},       {"online", s->online}, {"commands_waiting", s->waiting},
		{"passes_waiting", s->passes}, {"sent", c->sent},     {"answered", c->answered},
		{"timeouts", c->timeouts},     {"crc", c->crc},       {"errors", c->errors},
		{"passed", c->passed}};

	put_text(w, "{\"state\":");
	put_string(w, span_str(s->state));
	put_key(w, "utilisation_percent");
	put_decimal(w, s->utilisation / 10.0);
	put_numbers(w, numbers, sizeof(numbers) / sizeof(*numbers));
	if (s->is_safe)
		put_text(w, ",\"safe_mode\":true");
	wr_u8(w, '}');
}

static void encode_safe_event(struct wr *w, const struct safe_event *e)
{
	put_text(w, "{\"event\":\"safe_mode\",\"line\":");
	put_string(w, span_str(e->line));
	put_text(w,
		 e->is_entered ? ",\"state\":\"entered\",\"cause\":" : ",\"state\":\"cleared\",\"cause\":");
	put_string(w, span_str(e->cause));
	put_text(w, ",\"ts\":");
	put_i64(w, e->ts_ms);
	wr_u8(w, '}');
}

const struct payload_format north_json = {
	.name = "json",
	.content_type = "application/json",
	.encode_tag = encode_tag,
	.encode_result = encode_result,
	.encode_status = encode_status,
	.encode_line = encode_line,
	.encode_safe_event = encode_safe_event,
	.decode_set = json_set_decode,
};
