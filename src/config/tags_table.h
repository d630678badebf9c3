/*
 * Tags as a table: a row for each, a column for each key. The first row names the keys; a cell that is empty is a key that is
 * not given; a key that holds a map or a list stands in its cell as YAML, {raw: [0, 1], value: [0, 5]}.
 */
#ifndef CONFIG_TAGS_TABLE_H
#define CONFIG_TAGS_TABLE_H

#include <stdio.h>

#include "config/doc.h"

/*
 * Add a map for each row to `list`, a list of tags in `doc`.
 *   file    as faults name it; lives as long as the document
 *   bytes   with room for one more behind `len`; used up
 * Faults name the line and the cell. Returns OK also then; ERR_NOMEM.
 */
MUST_USE int tags_table_read(struct doc *doc, struct doc_node *list, const char *file, char *bytes,
			     size_t len, struct faults *faults);

/* The columns of a table: every key of a tag in this version. */
void tags_table_print_head(FILE *to);
/* A tag as a row. */
void tags_table_print_row(FILE *to, const struct doc_node *tag);

#endif
