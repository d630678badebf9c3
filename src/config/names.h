/*
 * A set of texts, to find the second of two that are equal.
 */
#ifndef CONFIG_NAMES_H
#define CONFIG_NAMES_H

#include <stddef.h>

#include "base/err.h"
#include "config/arena.h"

struct name_set { /* made by name_set_init() */
	const char **slots;
	size_t *values;
	size_t nslots;
};

/* Room for `n` names, in the arena. ERR_NOMEM. */
MUST_USE int name_set_init(struct name_set *s, struct arena *arena, size_t n);
/*
 * Add `name`, borrowed as long as the set is used. OK, or ERR_EXISTS when an equal one is there; *there (may be NULL) gets what came
 * with that one. At most `n` names are added.
 */
MUST_USE int name_set_add(struct name_set *s, const char *name, size_t value, size_t *there);
/* ERR_NOT_FOUND leaves *value alone. */
MUST_USE int name_set_find(const struct name_set *s, const char *name, size_t *value);

#endif
