/*
 * The two JSON forms of EMQX Neuron, values-format and tags-format. A device is a node there; what failed has a number.
 * Source: docs.emqx.com, EMQX Neuron, "Upstream/Downstream Data Format"; numbers: emqx/neuron, include/neuron/errcodes.h.
 */
#include "north/json.h"
#include "north/table.h"

static int error_of(enum reason reason)
{
	switch (reason) {
	case REASON_TIMEOUT:
		return 3015; /* the device does not respond */
	case REASON_OFFLINE:
		return 3002; /* disconnected */
	case REASON_CRC:
		return 3009; /* what came is none of the protocol */
	case REASON_STALE:
	case REASON_CLOCK:
		return 3008; /* the value has expired */
	case REASON_CONFIG:
		return 3003; /* may not be read */
	default:
		return 3000; /* reading failed */
	}
}

static void put_head(struct wr *w, const struct payload_group *g)
{
	put_text(w, "{\"timestamp\":");
	put_i64(w, g->ts_ms);
	put_text(w, ",\"node\":");
	put_string(w, span_str(g->device));
	put_text(w, ",\"group\":");
	put_string(w, span_str(g->group));
}

static void put_values(struct wr *w, const struct payload_group *g, bool want_bad)
{
	struct payload_member m;
	enum reason reason;
	const char *comma = "";

	for (size_t at = 0; g->next(g, &at, &m);) {
		bool is_bad = json_is_bad(m.sample, &reason);

		if (is_bad != want_bad)
			continue;
		put_text(w, comma);
		put_string(w, span_str(m.tag));
		wr_u8(w, ':');
		if (is_bad)
			put_i64(w, error_of(reason));
		else
			json_value_encode(w, &m.sample->value);
		comma = ",";
	}
}

static void encode_values(struct wr *w, const struct payload_group *g)
{
	put_head(w, g);
	put_text(w, ",\"values\":{");
	put_values(w, g, false);
	put_text(w, "},\"errors\":{");
	put_values(w, g, true);
	put_text(w, "},\"metas\":{}}");
}

static void encode_tags(struct wr *w, const struct payload_group *g)
{
	struct payload_member m;
	enum reason reason;
	const char *comma = "";

	put_head(w, g);
	put_text(w, ",\"tags\":[");
	for (size_t at = 0; g->next(g, &at, &m); comma = ",") {
		put_text(w, comma);
		put_text(w, "{\"name\":");
		put_string(w, span_str(m.tag));
		if (json_is_bad(m.sample, &reason)) {
			put_text(w, ",\"error\":");
			put_i64(w, error_of(reason));
		} else {
			put_text(w, ",\"value\":");
			json_value_encode(w, &m.sample->value);
		}
		wr_u8(w, '}');
	}
	put_text(w, "]}");
}

/* ---- one tag: a group with one member ---- */

struct single {
	struct payload_group group;
	struct payload_member member;
};

static bool next_single(const struct payload_group *g, size_t *at, struct payload_member *m)
{
	if ((*at)++ > 0)
		return false;
	*m = ((const struct single *)(const void *)g)->member;
	return true;
}

static struct single single_of(const struct tag_sample *sample, const struct payload_names *n)
{
	return (struct single){.group = {.gateway = n->gateway,
					 .device = n->device,
					 .group = n->group,
					 .ts_ms = sample->ts_ms,
					 .next = next_single},
			       .member = {n->tag, sample}};
}

static void encode_tag_as_values(struct wr *w, const struct tag_sample *sample, const struct payload_names *n)
{
	struct single s = single_of(sample, n);

	encode_values(w, &s.group);
}

static void encode_tag_as_tags(struct wr *w, const struct tag_sample *sample, const struct payload_names *n)
{
	struct single s = single_of(sample, n);

	encode_tags(w, &s.group);
}

const struct payload_format north_neuron_values = {
	.name = "neuron-values",
	.content_type = "application/json",
	.encode_tag = encode_tag_as_values,
	.encode_group = encode_values,
	.decode_set = json_set_decode,
};

const struct payload_format north_neuron_tags = {
	.name = "neuron-tags",
	.content_type = "application/json",
	.encode_tag = encode_tag_as_tags,
	.encode_group = encode_tags,
	.decode_set = json_set_decode,
};
