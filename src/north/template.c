/*
 * A user's own text with ${names} in it (config/text_template.h). What is escaped how is in docs/publishing.md.
 */
#include <stdio.h>
#include <time.h>

#include "config/text_template.h"
#include "north/json.h"
#include "north/plain.h"
#include "north/table.h"

/* ISO 8601 in UTC, with milliseconds. */
static void put_iso(struct wr *w, int64_t ts_ms)
{
	int64_t ms = ts_ms % 1000;
	time_t seconds;
	struct tm tm;
	char buf[48];
	size_t len;

	ms = ms < 0 ? ms + 1000 : ms;
	seconds = (time_t)((ts_ms - ms) / 1000);
	if (!gmtime_r(&seconds, &tm)) {
		put_i64(w, ts_ms); /* a year of more digits than there are */
		return;
	}
	len = strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%S", &tm);
	wr_bytes(w, buf, len);
	wr_bytes(w, buf, (size_t)snprintf(buf, sizeof(buf), ".%03dZ", (int)ms));
}

static void put_escaped_text(struct wr *w, const char *text)
{
	put_escaped(w, span_str(text ? text : ""));
}

static void put_name(struct wr *w, enum payload_name name, const struct tag_sample *s,
		     const struct payload_names *n)
{
	enum reason reason;
	bool is_bad = json_is_bad(s, &reason);

	switch (name) {
	case PAYLOAD_VALUE:
		json_value_encode(w, &s->value);
		break;
	case PAYLOAD_TEXT:
		plain_value_encode(w, s);
		break;
	case PAYLOAD_TS:
		put_i64(w, s->ts_ms);
		break;
	case PAYLOAD_ISO:
		put_iso(w, s->ts_ms);
		break;
	case PAYLOAD_QUALITY:
		put_text(w, quality_name(is_bad ? QUALITY_BAD : s->quality));
		break;
	case PAYLOAD_REASON:
		put_text(w, reason_name(reason));
		break;
	case PAYLOAD_UNIT:
		put_escaped_text(w, n->unit);
		break;
	case PAYLOAD_GATEWAY:
		put_escaped_text(w, n->gateway);
		break;
	case PAYLOAD_DEVICE:
		put_escaped_text(w, n->device);
		break;
	case PAYLOAD_GROUP:
		put_escaped_text(w, n->group);
		break;
	case PAYLOAD_TAG:
		put_escaped_text(w, n->tag);
		break;
	case PAYLOAD_NAMES:
		break;
	}
}

static void encode_tag(struct wr *w, const struct tag_sample *sample, const struct payload_names *n)
{
	const char *at = n->template;
	struct template_part part;

	while (template_next(&at, payload_template_names, &part))
		if (part.name < 0)
			wr_span(w, part.text);
		else
			put_name(w, (enum payload_name)part.name, sample, n);
}

const struct payload_format north_template = {
	.name = "template",
	.encode_tag = encode_tag,
	.decode_set = plain_set_decode,
};
