/*
 * A store into JSON lines and back, over any backend: what `lineside store export` and `import` do.
 */
#ifndef TOOLS_STORE_COPY_H
#define TOOLS_STORE_COPY_H

#include <stdio.h>

#include "store/backend.h"

/* Lines by what they tell of. */
struct store_counts {
	uint64_t sessions, subs, received, messages, retained;
};

/*
 * Print all that is kept, sessions first, then what belongs to them in the order in which it was read or is owed.
 *   b   just opened, not loaded
 * ERR_IO (of `to`: ferror() says so), ERR_NOMEM, ERR_MALFORMED: there are bytes in it that are no text where there should be.
 */
MUST_USE int store_export(struct store_backend *b, FILE *to, struct store_counts *n);

struct store_problem {
	uint64_t line; /* of the file, from 1; 0: not in the file */
	char why[256];
};

/* Is `from` a whole and right export? From where it stands to its end. ERR_MALFORMED with `p`, ERR_IO with errno, ERR_NOMEM. */
MUST_USE int store_import_check(FILE *from, struct store_counts *n, struct store_problem *p);

struct store_import_result {
	struct store_counts taken;
	uint64_t kept;          /* sessions of the file that were there already and were left as they are */
	uint64_t kept_retained; /* the same of retained messages */
};

/*
 * Put what `from` holds, which store_import_check() has found right, into a store, in transactions of some thousand lines.
 *   b        just opened, not loaded
 *   replace  a session or topic that is there already is replaced; else it stays as it is
 * On failure some of it may be there. ERR_IO, ERR_FULL: of the store; ERR_MALFORMED: the file is not what it was; ERR_NOMEM.
 */
MUST_USE int store_import(struct store_backend *b, FILE *from, bool replace, int64_t wall_ms,
			  struct store_import_result *out, struct store_problem *p);

#endif
