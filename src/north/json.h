/*
 * Inside the JSON format: its two halves.
 */
#ifndef NORTH_JSON_H
#define NORTH_JSON_H

#include "field/format.h"

/* Length of the well-formed UTF-8 character at p (RFC 3629, 4; left > 0), 0 when there is none. */
size_t json_utf8_length(const uint8_t *p, size_t left);

/* The JSON of one value; NaN, infinity and NONE are null, bytes are hexadecimal text. */
void json_value_encode(struct wr *w, const struct tag_value *v);

/*
 * Decode a command: a bare scalar (23.5, true, "text") or {"value": scalar, "id": "a1"}.  As decode_set in
 * field/format.h, but never allocates; integers are exact from INT64_MIN to UINT64_MAX.
 */
MUST_USE int json_set_decode(struct span payload, struct set_command *out, char *fault);

#endif
