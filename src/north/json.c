/*
 * The JSON of PRODUCT.md, "Topics and payloads".  Written by hand rather than through a tree: a value is published for
 * every change of every tag, and this costs neither an allocation nor a rounding.
 */
#include "north/json.h"

#include <math.h>

#include "north/table.h"

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
		wr_u8(w, '"');
		put_hex(w, v->s);
		wr_u8(w, '"');
		break;
	default:
		put_number(w, v);
	}
}

bool json_is_bad(const struct tag_sample *sample, enum reason *reason)
{
	const struct tag_value *v = &sample->value;

	*reason = sample->reason;
	if ((v->kind == TAG_FLOAT || v->kind == TAG_DOUBLE) && !isfinite(tag_value_to_double(v))) {
		*reason = *reason == REASON_NONE ? REASON_RANGE : *reason;
		return true;
	}
	return sample->quality == QUALITY_BAD;
}

static void encode_tag(struct wr *w, const struct tag_sample *sample, const struct payload_names *n)
{
	enum reason reason;
	enum quality quality = json_is_bad(sample, &reason) ? QUALITY_BAD : sample->quality;

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
	if (n->unit) {
		put_text(w, ",\"unit\":");
		put_string(w, span_str(n->unit));
	}
	wr_u8(w, '}');
}

static void put_member(struct wr *w, const char *key, const char *text)
{
	put_text(w, key);
	put_string(w, span_str(text));
}

static void encode_event(struct wr *w, const struct alarm_event *e)
{
	put_member(w, "{\"event\":\"alarm\",\"name\":", e->name);
	put_member(w, ",\"state\":", e->is_raised ? "raised" : "cleared");
	put_member(w, ",\"severity\":", e->severity);
	put_member(w, ",\"tag\":", e->tag);
	put_text(w, ",\"value\":");
	json_value_encode(w, &e->value);
	put_member(w, ",\"quality\":", quality_name(e->quality));
	if (e->reason != REASON_NONE)
		put_member(w, ",\"reason\":", reason_name(e->reason));
	put_text(w, ",\"ts\":");
	put_i64(w, e->ts_ms);
	if (e->text)
		put_member(w, ",\"text\":", e->text);
	wr_u8(w, '}');
}

/* {"ts":...,"values":{"tag":v},"bad":{"tag":"timeout"}} */
static void encode_group(struct wr *w, const struct payload_group *g)
{
	struct payload_member m;
	enum reason reason;
	const char *comma = "";

	put_text(w, "{\"ts\":");
	put_i64(w, g->ts_ms);
	put_text(w, ",\"values\":{");
	for (size_t at = 0; g->next(g, &at, &m);) {
		if (json_is_bad(m.sample, &reason))
			continue;
		put_text(w, comma);
		put_string(w, span_str(m.tag));
		wr_u8(w, ':');
		json_value_encode(w, &m.sample->value);
		comma = ",";
	}
	put_text(w, "},\"bad\":{");
	comma = "";
	for (size_t at = 0; g->next(g, &at, &m);) {
		if (!json_is_bad(m.sample, &reason))
			continue;
		put_text(w, comma);
		put_string(w, span_str(m.tag));
		wr_u8(w, ':');
		put_string(w, span_str(reason_name(reason)));
		comma = ",";
	}
	put_text(w, "}}");
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
	.encode_event = encode_event,
	.encode_group = encode_group,
	.encode_result = encode_result,
	.encode_status = encode_status,
	.encode_line = encode_line,
	.encode_safe_event = encode_safe_event,
	.decode_set = json_set_decode,
};
