/*
 * Sizes, times and tables as people read them.
 */
#ifndef TOOLS_TEXT_H
#define TOOLS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Each returns buf. */
const char *text_bytes(long long n, char *buf, size_t size);    /* "1.5 MiB" */
const char *text_duration(long long s, char *buf, size_t size); /* "3 d 04:10:22" */
const char *text_time(long long ms, char *buf,
		      size_t size); /* of Unix time, "2026-11-22T19:00:00Z"; "never" of 0 */

#define TABLE_CELL_BYTES  104u
#define TABLE_COLUMNS_MAX 10u
#define TABLE_ROWS_MAX    164u

struct table {
	const char *const *titles; /* "<" in front: to the left */
	size_t ncolumns, nrows;
	char cells[TABLE_ROWS_MAX][TABLE_COLUMNS_MAX][TABLE_CELL_BYTES];
};

/* Into the row at nrows, which the caller counts up. What a device or client said is shown, not obeyed by the terminal. */
void table_set_text(struct table *t, size_t column, const char *text);
void table_set_num(struct table *t, size_t column, long long n);
/* After an empty line; nothing without rows. */
void table_print(const struct table *t, FILE *to);

#endif
