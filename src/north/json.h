/*
 * What formats share with JSON, and its decoder of commands.
 */
#ifndef NORTH_JSON_H
#define NORTH_JSON_H

#include "field/format.h"
#include "north/put.h"

/* Is there no value to tell? NaN and infinity are none either, for the reason range. *reason is set in any case. */
bool json_is_bad(const struct tag_sample *sample, enum reason *reason);

/* The JSON of one value; NaN, infinity and NONE are null, bytes are hexadecimal text. */
void json_value_encode(struct wr *w, const struct tag_value *v);

/*
 * Decode a command: a bare scalar (23.5, true, "text") or {"value": scalar, "id": "a1"}.  As decode_set in
 * field/format.h, but never allocates; integers are exact from INT64_MIN to UINT64_MAX.
 */
MUST_USE int json_set_decode(struct span payload, struct set_command *out, char *fault);

#endif
