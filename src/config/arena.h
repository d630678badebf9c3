/*
 * Memory that is freed all at once: a document, a configuration. Owned and used by one thread.
 */
#ifndef CONFIG_ARENA_H
#define CONFIG_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena { /* all zero: empty */
	struct arena_block *blocks;
	size_t room; /* bytes left in the first block */
};

/* `size` zeroed bytes, aligned for any type, until arena_free(); NULL when memory ran out. A size of 0 gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t size);
/* As arena_alloc(n * size), NULL also when the product overflows. */
void *arena_array(struct arena *a, size_t n, size_t size);
/* A NUL terminated copy of `len` bytes, or NULL. */
char *arena_text(struct arena *a, const char *p, size_t len);
/* Free everything; the arena is empty and usable after. */
void arena_free(struct arena *a);

#endif
