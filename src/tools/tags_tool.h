/*
 * Between the files of `lineside tags`.
 */
#ifndef TOOLS_TAGS_TOOL_H
#define TOOLS_TAGS_TOOL_H

#include <stdbool.h>

#include "config/doc.h"

struct tags_options {
	const char *config; /* NULL: none */
	const char *device; /* NULL: the only one */
	const char *line;
	const char *output; /* NULL: standard output */
	const char *table;  /* of import */
	bool dry_run;
};

/* Each returns the exit status. */
int tags_export(const struct tags_options *o);
int tags_import(const struct tags_options *o);

/* The device of a document by name, or its only one when `name` is NULL; explained on stderr when it is NULL. */
struct doc_node *tags_find_device(const struct doc *doc, const char *file, const char *name);

/* Standard output, or a new file: one that is there is never written over. NULL: explained on stderr. */
FILE *tags_open_output(const char *path);
/* ERR_IO: explained on stderr. */
MUST_USE int tags_close_output(FILE *to, const char *path);

#endif
