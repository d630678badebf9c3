/*
 * Inside the formats: texts and numbers into a payload.
 */
#ifndef NORTH_PUT_H
#define NORTH_PUT_H

#include "base/bytes.h"

static inline void put_text(struct wr *w, const char *text)
{
	wr_bytes(w, text, strlen(text));
}

void put_i64(struct wr *w, int64_t n);
void put_u64(struct wr *w, uint64_t n);

/* Length of the well-formed UTF-8 character at p (RFC 3629, 4; left > 0), 0 when there is none. */
size_t json_utf8_length(const uint8_t *p, size_t left);

/* Text as it stands between the quotes of a JSON string; U+FFFD for what is not UTF-8. */
void put_escaped(struct wr *w, struct span s);
/* The same with its quotes. */
void put_string(struct wr *w, struct span s);
/* Text as it is, with U+FFFD for what is not UTF-8. */
void put_plain(struct wr *w, struct span s);
/* Lower-case hexadecimal digits. */
void put_hex(struct wr *w, struct span s);

#endif
