#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/store_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* To free(). */
static char *print(const struct store_line *l)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int rc;

	if (!f)
		abort();
	if (l->kind == STORE_LINE_BEGIN)
		rc = store_line_print_begin(f);
	else if (l->kind == STORE_LINE_END)
		rc = store_line_print_end(f, l->lines);
	else
		rc = store_line_print(f, l->client, &l->op);
	if (fclose(f) != 0 || rc < 0)
		abort();
	text[strcspn(text, "\n")] = '\0';
	return text;
}

/* What is read is printed as a line that reads and prints the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store_line l;
	char why[256], *first, *second;

	if (store_line_read(span_of(data, size), &l, why, sizeof(why)) < 0)
		return 0;
	first = print(&l);
	store_line_fini(&l);
	if (store_line_read(span_str(first), &l, why, sizeof(why)) < 0)
		abort();
	second = print(&l);
	store_line_fini(&l);
	if (strcmp(first, second) != 0)
		abort();
	free(first);
	free(second);
	return 0;
}
