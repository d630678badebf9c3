/*
 * An export session by session: each with all that belongs to it, wherever in the file that is; then retained messages, some at a
 * time. Of the lines themselves 16 bytes each are held, and what was asked for.
 */
#ifndef TOOLS_STORE_GROUPS_H
#define TOOLS_STORE_GROUPS_H

#include "tools/store_copy.h"
#include "tools/store_line.h"

struct store_group {
	struct store_line *lines;
	size_t n;       /* 0: there are no more */
	uint64_t bytes; /* of text */
};

struct store_groups;

/* Of what store_import_check() has found right; `from` is at its beginning, stays open, and is the caller's. As store_import() fails. */
MUST_USE int store_groups_open(FILE *from, struct store_problem *p, struct store_groups **out);
void store_groups_close(struct store_groups *g); /* accepts NULL */
/* The next, to store_group_fini(). As store_import() fails; there is nothing in *out then. */
MUST_USE int store_groups_next(struct store_groups *g, struct store_group *out);
void store_group_fini(struct store_group *g);

#endif
