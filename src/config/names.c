#include "config/names.h"

#include <stdint.h>
#include <string.h>

int name_set_init(struct name_set *s, struct arena *arena, size_t n)
{
	s->nslots = 8;
	while (s->nslots < 2 * n)
		s->nslots *= 2;
	s->slots = arena_array(arena, s->nslots, sizeof(*s->slots));
	s->values = arena_array(arena, s->nslots, sizeof(*s->values));
	return s->slots && s->values ? OK : ERR_NOMEM;
}

/* The slot that holds `name`, or the empty one where it belongs. FNV-1a, linear probing; the table is at most half full. */
static size_t slot_of(const struct name_set *s, const char *name)
{
	uint64_t hash = 14695981039346656037u;
	size_t at;

	for (const char *p = name; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 1099511628211u;
	at = (size_t)(hash ^ hash >> 32) & (s->nslots - 1);
	while (s->slots[at] && strcmp(s->slots[at], name) != 0)
		at = (at + 1) & (s->nslots - 1);
	return at;
}

int name_set_add(struct name_set *s, const char *name, size_t value, size_t *there)
{
	size_t at = slot_of(s, name);

	if (s->slots[at]) {
		if (there)
			*there = s->values[at];
		return ERR_EXISTS;
	}
	s->slots[at] = name;
	s->values[at] = value;
	return OK;
}

int name_set_find(const struct name_set *s, const char *name, size_t *value)
{
	size_t at = slot_of(s, name);

	if (!s->slots[at])
		return ERR_NOT_FOUND;
	*value = s->values[at];
	return OK;
}
