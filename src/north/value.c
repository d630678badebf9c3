/*
 * The value and nothing else, as JSON: 23.4, true, "text", null when there is none. Time, quality and unit do not travel.
 */
#include "north/json.h"
#include "north/table.h"

static void encode_tag(struct wr *w, const struct tag_sample *sample, const struct payload_names *n)
{
	(void)n;
	json_value_encode(w, &sample->value);
}

const struct payload_format north_value = {
	.name = "value",
	.content_type = "application/json",
	.encode_tag = encode_tag,
	.decode_set = json_set_decode,
};
