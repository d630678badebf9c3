/*
 * A seeded 64-bit hash for tables in memory (never stored or sent): two 64-bit words per step are multiplied
 * to 128 bits and folded. The seed is drawn per process, so a client cannot aim at collisions.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

__extension__ typedef unsigned __int128 hash_product;

static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
	hash_product product = (hash_product)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* 1 to 7 bytes as one word: loads that overlap, since a copy of a few bytes would be read back before it is there. */
static inline uint64_t hash_word(const uint8_t *p, size_t n)
{
	uint32_t first, last;

	if (n < 4)
		return p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16;
	memcpy(&first, p, 4);
	memcpy(&last, p + n - 4, 4);
	return first | (uint64_t)last << 32;
}

static inline uint64_t hash_bytes(uint64_t seed, const void *bytes, size_t len)
{
	const uint64_t k0 = 0x9e3779b97f4a7c15u, k1 = 0xd6e8feb86659fd93u;
	const uint8_t *p = bytes;
	uint64_t h = seed ^ hash_fold(len ^ k0, k1);

	for (; len >= 8; p += 8, len -= 8) {
		uint64_t w;

		memcpy(&w, p, 8);
		h = hash_fold(h ^ w, k0);
	}
	if (len)
		h = hash_fold(h ^ hash_word(p, len), k1);
	return hash_fold(h ^ k1, k0);
}

static inline uint64_t hash_span(uint64_t seed, struct span s)
{
	return hash_bytes(seed, s.p, s.len);
}

#endif
