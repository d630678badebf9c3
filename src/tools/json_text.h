/*
 * Bytes of messages in JSON: as text when they are that, else in base64 (RFC 4648, 4). Pure but for memory.
 */
#ifndef TOOLS_JSON_TEXT_H
#define TOOLS_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"

/* Well-formed UTF-8 without U+0000. */
bool json_text_is(struct span s);
/* Bytes of the character at the start, 0 when it is none or U+0000. */
size_t json_text_char(const uint8_t *p, size_t left);
/* A string; NULL: out of memory. */
json_t *json_base64(struct span s);
/* The bytes that a text stands for, in *out, which is to be freed; NULL for none. ERR_MALFORMED, ERR_NOMEM. */
MUST_USE int json_base64_decode(const char *text, size_t len, uint8_t **out, size_t *size);

#endif
