#include "config/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES 16384u

struct arena_block {
	struct arena_block *next;
	size_t size;
	_Alignas(max_align_t) unsigned char bytes[];
};

void *arena_alloc(struct arena *a, size_t size)
{
	const size_t align = _Alignof(max_align_t);
	struct arena_block *b;
	size_t block;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + align - 1) / align * align;
	if (size > a->room || !a->blocks) {
		block = size > BLOCK_BYTES ? size : BLOCK_BYTES;
		b = calloc(1, sizeof(*b) + block);
		if (!b)
			return NULL;
		b->next = a->blocks;
		b->size = block;
		a->blocks = b;
		a->room = block;
	}
	a->room -= size;
	return a->blocks->bytes + (a->blocks->size - a->room - size);
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	if (size && n > SIZE_MAX / size)
		return NULL;
	return arena_alloc(a, n * size);
}

char *arena_text(struct arena *a, const char *p, size_t len)
{
	char *text = len < SIZE_MAX ? arena_alloc(a, len + 1) : NULL;

	if (text && len)
		memcpy(text, p, len);
	return text;
}

void arena_free(struct arena *a)
{
	struct arena_block *b = a->blocks, *next;

	for (; b; b = next) {
		next = b->next;
		free(b);
	}
	*a = (struct arena){0};
}
