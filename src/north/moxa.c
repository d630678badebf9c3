/*
 * What subscribers of a Moxa ioThinx 4510 expect: JSON with the keyword value and nothing beside it. Switches are 0 and 1 there.
 */
#include "north/json.h"
#include "north/table.h"

static void encode_tag(struct wr *w, const struct tag_sample *sample, const struct payload_names *n)
{
	(void)n;
	put_text(w, "{\"value\":");
	if (sample->value.kind == TAG_BOOL)
		wr_u8(w, sample->value.b ? '1' : '0');
	else
		json_value_encode(w, &sample->value);
	wr_u8(w, '}');
}

const struct payload_format north_moxa = {
	.name = "moxa",
	.content_type = "application/json",
	.encode_tag = encode_tag,
	.decode_set = json_set_decode,
};
