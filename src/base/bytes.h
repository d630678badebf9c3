/*
 * Bytes from outside are claims.  `struct rd` reads and `struct wr` writes
 * without ever leaving the buffer; the first failure sticks in `bad`, so a
 * decoder reads a whole structure and asks once.
 *
 * After a failed read the value is 0 (or an empty span) and nothing was
 * consumed; after a failed write nothing was written.  Neither allocates.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes: never NUL terminated, never owned. */
struct span {
	const uint8_t *p;
	size_t len;
};

static inline struct span span_of(const void *p, size_t len)
{
	return (struct span){.p = p, .len = len};
}

static inline struct span span_str(const char *text)
{
	return span_of(text, strlen(text));
}

static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

struct rd {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static inline struct rd rd_of(const void *p, size_t len)
{
	return (struct rd){.p = p, .left = len};
}

static inline const uint8_t *rd_take(struct rd *r, size_t n)
{
	const uint8_t *at = r->p;

	if (r->bad || n > r->left) {
		r->bad = true;
		return NULL;
	}
	r->p += n;
	r->left -= n;
	return at;
}

static inline uint8_t rd_u8(struct rd *r)
{
	const uint8_t *p = rd_take(r, 1);

	return p ? p[0] : 0;
}

static inline uint16_t get_u16be(const uint8_t *p)
{
	return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

static inline uint32_t get_u32be(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint16_t rd_u16be(struct rd *r)
{
	const uint8_t *p = rd_take(r, 2);

	return p ? get_u16be(p) : 0;
}

static inline uint32_t rd_u32be(struct rd *r)
{
	const uint8_t *p = rd_take(r, 4);

	return p ? get_u32be(p) : 0;
}

static inline struct span rd_span(struct rd *r, size_t n)
{
	const uint8_t *p = rd_take(r, n);

	return p ? span_of(p, n) : span_of(NULL, 0);
}

struct wr {
	uint8_t *p;  /* next byte to write */
	size_t left; /* room after it */
	bool bad;
};

static inline struct wr wr_of(void *p, size_t room)
{
	return (struct wr){.p = p, .left = room};
}

static inline uint8_t *wr_take(struct wr *w, size_t n)
{
	uint8_t *at = w->p;

	if (w->bad || n > w->left) {
		w->bad = true;
		return NULL;
	}
	w->p += n;
	w->left -= n;
	return at;
}

static inline void put_u16be(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put_u32be(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static inline void wr_u8(struct wr *w, uint8_t v)
{
	uint8_t *p = wr_take(w, 1);

	if (p)
		*p = v;
}

static inline void wr_u16be(struct wr *w, uint16_t v)
{
	uint8_t *p = wr_take(w, 2);

	if (p)
		put_u16be(p, v);
}

static inline void wr_u32be(struct wr *w, uint32_t v)
{
	uint8_t *p = wr_take(w, 4);

	if (p)
		put_u32be(p, v);
}

static inline void wr_bytes(struct wr *w, const void *src, size_t n)
{
	uint8_t *p = wr_take(w, n);

	if (p && n)
		memcpy(p, src, n);
}

static inline void wr_span(struct wr *w, struct span s)
{
	wr_bytes(w, s.p, s.len);
}

#endif
