/*
 * What the command line asks of a database in a folder, stopped or beside a running gateway. Each opens a connection of its own
 * and closes it; each waits some seconds for the other side and says ERR_BUSY then. `why` gets a reason in words when they fail.
 */
#ifndef STORE_STORE_SQLITE_H
#define STORE_STORE_SQLITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define STORE_TABLES_MAX 16

struct store_sqlite_info {
	int64_t format; /* of the tables */
	int64_t boots;  /* starts of the gateway on this store */
	bool clean;     /* the last stop was clean, and it does not run */
	uint64_t bytes; /* of the database */
	uint64_t free;  /* of these, not in use: what compacting gives back */
	uint64_t log;   /* bytes of its log */
	unsigned ntables;
	struct {
		const char *name;
		uint64_t rows;
	} table[STORE_TABLES_MAX];
};
/* ERR_NOT_FOUND: there is no database. ERR_UNSUPPORTED: of a newer version. Also ERR_IO, ERR_BUSY, ERR_NOMEM. */
MUST_USE int store_sqlite_info(const char *folder, struct store_sqlite_info *out, char *why, size_t size);

/*
 * Look at every page; `thorough`: and whether what is kept twice agrees. Each fault is told to `fault` in a line of words. OK: there
 * is none. ERR_MALFORMED: there is. Others as above.
 */
MUST_USE int store_sqlite_check(const char *folder, bool thorough, void (*fault)(void *arg, const char *line),
				void *arg, char *why, size_t size);

/*
 * Write the database anew without what is not in use. Needs as much room on the disk as is in use, in this folder. Sizes in bytes,
 * before and after. A running gateway cannot write meanwhile.
 */
MUST_USE int store_sqlite_compact(const char *folder, uint64_t *before, uint64_t *after, char *why,
				  size_t size);

#endif
