/*
 * What formats share with plain.
 */
#ifndef NORTH_PLAIN_H
#define NORTH_PLAIN_H

#include "field/format.h"

/* The value as text without quotes or escapes; nothing when it is bad. */
void plain_value_encode(struct wr *w, const struct tag_sample *sample);

/* As decode_set in field/format.h: a command in JSON, or any text of at most SET_TEXT_MAX bytes. */
MUST_USE int plain_set_decode(struct span payload, struct set_command *out, char *fault);

#endif
