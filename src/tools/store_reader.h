/*
 * Lines of an export, one after the other, with their places for who has to be told what is wrong.
 */
#ifndef TOOLS_STORE_READER_H
#define TOOLS_STORE_READER_H

#include <stdio.h>

#include "tools/store_copy.h"
#include "tools/store_line.h"

struct store_reader {
	FILE *from;
	struct store_problem *p;
	uint64_t line; /* the last that was read, from 1 */
	/* its own */
	char *text;
	size_t room;
};

/* Frees what reading needed. */
void store_reader_fini(struct store_reader *r);
/*
 * The next line; *bytes: without its line feed. ERR_MALFORMED with r->p, at the end of the file, too; ERR_IO, ERR_NOMEM.
 */
MUST_USE int store_reader_next(struct store_reader *r, struct store_line *out, size_t *bytes);
/* Say what is wrong with this line. ERR_MALFORMED. */
MUST_USE int PRINTF_LIKE(2, 3) store_reader_problem(struct store_reader *r, const char *fmt, ...);

#endif
