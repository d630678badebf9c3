/*
 * Tables of comma-separated values, RFC 4180, as spreadsheets write them: cells in quotes may hold anything, two quotes in them are
 * one. The delimiter is a comma, a semicolon or a tab: the one that the first line has most of. A byte order mark is passed
 * over. Nothing is interpreted, nothing allocated: cells are cut out of the bytes in place.
 */
#ifndef CONFIG_CSV_H
#define CONFIG_CSV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

struct csv {
	char *at, *end;
	char delimiter;
	unsigned line;   /* of what comes next, from 1 */
	unsigned column; /* cells of this row that were taken */
	bool is_row_open;
};

struct csv_cell {
	const char *text; /* NUL terminated; lives as long as the bytes */
	unsigned line;    /* where it begins */
	unsigned column;  /* in its row, from 1 */
	bool is_last;     /* of its row */
};

/* `bytes[len]` belongs to the reader as well: a NUL is put there. */
void csv_init(struct csv *c, char *bytes, size_t len);

/*
 * The next cell. OK; ERR_NOT_FOUND at the end; ERR_MALFORMED with *why and the place in `out`, and no use to go on. A line
 * without any cell is passed over.
 */
MUST_USE int csv_next(struct csv *c, struct csv_cell *out, const char **why);

/* Write `text` as a cell, in quotes where a reader of any delimiter needs them. */
void csv_put(FILE *to, const char *text);

#endif
