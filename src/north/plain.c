/*
 * The value as plain text, without quotes: 23.4, true, text. Bad: nothing at all, which also takes the retained message away.
 */
#include <stdio.h>

#include "north/json.h"
#include "north/plain.h"
#include "north/table.h"

void plain_value_encode(struct wr *w, const struct tag_sample *sample)
{
	enum reason reason;

	if (json_is_bad(sample, &reason))
		return;
	if (sample->value.kind == TAG_STRING)
		put_plain(w, sample->value.s);
	else if (sample->value.kind == TAG_BYTES)
		put_hex(w, sample->value.s);
	else if (sample->value.kind != TAG_NONE)
		json_value_encode(w, &sample->value);
}

static void encode_tag(struct wr *w, const struct tag_sample *sample, const struct payload_names *n)
{
	(void)n;
	plain_value_encode(w, sample);
}

static bool is_text(struct span payload)
{
	for (size_t i = 0, n; i < payload.len; i += n) {
		n = json_utf8_length(payload.p + i, payload.len - i);
		if (n == 0 || payload.p[i] == 0)
			return false;
	}
	return true;
}

/* What is a command in JSON is that, and anything else a text. */
int plain_set_decode(struct span payload, struct set_command *out, char *fault)
{
	int rc = json_set_decode(payload, out, fault);

	if (rc != ERR_MALFORMED || (payload.len && payload.p[0] == '{'))
		return rc;
	if (payload.len > SET_TEXT_MAX || !is_text(payload)) {
		snprintf(fault, SET_FAULT_MAX, "no text of at most %u bytes", SET_TEXT_MAX);
		return payload.len > SET_TEXT_MAX ? ERR_TOO_LARGE : ERR_MALFORMED;
	}
	*out = (struct set_command){.value = tag_none()};
	fault[0] = '\0';
	if (payload.len)
		memcpy(out->text, payload.p, payload.len);
	out->value = tag_string(span_of(out->text, payload.len));
	return OK;
}

const struct payload_format north_plain = {
	.name = "plain",
	.content_type = "text/plain; charset=utf-8",
	.encode_tag = encode_tag,
	.decode_set = plain_set_decode,
};
