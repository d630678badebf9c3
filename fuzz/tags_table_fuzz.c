/* Any bytes as a table of tags: rows or faults, never a step outside; and what was read can be written and read again, the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/doc_build.h"
#include "config/tags_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Read a table into a list of a new document; NULL when there are faults. */
static struct doc *read_table(const void *data, size_t size)
{
	struct doc *doc = NULL;
	char *bytes = malloc(size + 1);
	struct faults faults;
	int rc;

	faults_init(&faults, "fuzz");
	if (!bytes || doc_parse("[]", 2, DOC_YAML, &faults, &doc) < 0)
		abort();
	if (size)
		memcpy(bytes, data, size);
	rc = tags_table_read(doc, doc->root, "fuzz.csv", bytes, size, &faults);
	if (rc < 0 || faults_any(&faults)) {
		doc_destroy(doc);
		doc = NULL;
	}
	free(bytes);
	faults_fini(&faults);
	return doc;
}

static char *print_table(const struct doc *doc, size_t *size)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, size);

	if (!to)
		abort();
	tags_table_print_head(to);
	for (const struct doc_node *tag = doc->root->first; tag; tag = tag->next)
		tags_table_print_row(to, tag);
	fclose(to);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct doc *doc = read_table(data, size), *again;
	char *text, *text_again;
	size_t len, len_again;

	if (!doc)
		return 0;
	text = print_table(doc, &len);
	again = read_table(text, len);
	if (!again)
		abort();
	text_again = print_table(again, &len_again);
	if (len != len_again || memcmp(text, text_again, len) != 0)
		abort();
	free(text);
	free(text_again);
	doc_destroy(doc);
	doc_destroy(again);
	return 0;
}
