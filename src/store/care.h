/*
 * What people do with a database in a folder, beside a gateway or without one. Each opens it for itself, from any thread; blocks.
 */
#ifndef STORE_CARE_H
#define STORE_CARE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct care_sizes {
	uint64_t bytes, log_bytes; /* of the database, and of its log */
	uint64_t free_bytes;       /* of the database: not in use, for what comes */
	int64_t format;
};

/* ERR_NOT_FOUND: there is no database; ERR_IO and others with `why`. */
MUST_USE int care_sizes(const char *folder, struct care_sizes *out, char *why, size_t size);

/*
 * Read every page. Each fault is told to `found`, at most 100.
 * ERR_MALFORMED: there were some; ERR_NOT_FOUND: there is no database; ERR_UNSUPPORTED, ERR_IO with `why`.
 */
MUST_USE int care_check(const char *folder, void (*found)(void *arg, const char *fault), void *arg, char *why,
			size_t size);

/*
 * Write it anew without what is not in use. A gateway's commits wait meanwhile. Needs as much room again. ERR_BUSY: somebody else
 * writes for too long; ERR_NOT_FOUND, ERR_FULL, ERR_IO with `why`.
 */
MUST_USE int care_compact(const char *folder, char *why, size_t size);

/*
 * A copy to change, which takes the place of the database as a whole or not at all. No gateway may use the folder meanwhile, which a
 * lock sees to.
 */
struct care_draft;
/* Makes the folder if it is not there. ERR_BUSY: a gateway uses it; else as above. */
MUST_USE int care_draft_begin(const char *folder, struct care_draft **out, char *why, size_t size);
/* Where the copy is: for store_sqlite_open(), and to be closed before care_draft_take(). */
const char *care_draft_folder(const struct care_draft *d);
/* It takes the place of the database. On failure all is as it was. */
MUST_USE int care_draft_take(struct care_draft *d, char *why, size_t size);
/* Delete what was not taken. Accepts NULL. */
void care_draft_end(struct care_draft *d);

#endif
