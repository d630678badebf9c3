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

static void encode_status(struct wr *w, const struct device_status *s)
{
	const struct {
		const char *name;
		uint64_t n;
	} counters[] = {{"ok", s->ok},          {"timeouts", s->timeouts}, {"exceptions", s->exceptions},
			{"errors", s->errors},  {"writes", s->writes},     {"late", s->late},
			{"late_ms", s->late_ms}};

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
	for (size_t i = 0; i < sizeof(counters) / sizeof(*counters); i++) {
		put_text(w, ",\"");
		put_text(w, counters[i].name);
		put_text(w, "\":");
		put_u64(w, counters[i].n);
	}
	wr_u8(w, '}');
}

const struct payload_format north_json = {
	.name = "json",
	.content_type = "application/json",
	.encode_tag = encode_tag,
	.encode_group = encode_group,
	.encode_result = encode_result,
	.encode_status = encode_status,
	.decode_set = json_set_decode,
};
