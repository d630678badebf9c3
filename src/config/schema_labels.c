#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "config/schema_scalar.h"

#define LABEL_BYTES_MAX 64 /* PRODUCT "Words": as long as a name */

/* Written as JSON writes it, so that no number has two spellings. */
static bool parse_number(const char *text, int64_t *out)
{
	size_t sign = text[0] == '-', digits = strspn(text + sign, "0123456789");

	if (!digits || text[sign + digits] || (text[sign] == '0' && (digits > 1 || sign)))
		return false;
	errno = 0;
	*out = strtoll(text, NULL, 10);
	return errno == 0;
}

static bool is_text(const struct schema_reader *r, const struct doc_node *n)
{
	return n->kind == DOC_SCALAR && (n->quoted || n->loose || r->format == DOC_YAML) && n->text[0] &&
	       strlen(n->text) <= LABEL_BYTES_MAX;
}

static MUST_USE int read_label(const struct schema_reader *r, const struct schema_field *f,
			       const struct doc_node *n, struct schema_label *out)
{
	char path[FAULT_PATH_BYTES], allowed[200], what[80];

	if (!parse_number(n->key, &out->number))
		faults_add_in(r->faults, n->file, n->key_line, n->key_column,
			      doc_path(n, NULL, path, sizeof(path)), "found the key %s, allowed: %s",
			      log_quote(what, sizeof(what), span_str(n->key)),
			      schema_allowed(f, allowed, sizeof(allowed)));
	if (!is_text(r, n)) {
		schema_fault(r, n, "allowed: a text of 1 to %d bytes", LABEL_BYTES_MAX);
		return OK;
	}
	out->text = arena_text(r->arena, n->text, strlen(n->text));
	return out->text ? OK : ERR_NOMEM;
}

static void check_twice(const struct schema_reader *r, const struct doc_node *map)
{
	for (const struct doc_node *n = map->first; n; n = n->next)
		for (const struct doc_node *m = map->first; m != n; m = m->next)
			if (is_text(r, n) && is_text(r, m) && strcmp(m->text, n->text) == 0) {
				schema_fault(r, n,
					     "found the text of %s twice: give each number a text of its own",
					     m->key);
				break;
			}
}

static int by_number(const void *a, const void *b)
{
	const struct schema_label *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

int schema_read_labels(const struct schema_reader *r, const struct schema_field *f,
		       const struct doc_node *map, void *item)
{
	struct schema_label *labels;
	int rc;

	if (map->kind != DOC_MAP || !map->count) {
		schema_fault_value(r, f, map);
		return OK;
	}
	labels = arena_array(r->arena, map->count, sizeof(*labels));
	if (!labels)
		return ERR_NOMEM;
	for (const struct doc_node *n = map->first; n; n = n->next)
		if ((rc = read_label(r, f, n, &labels[n->index])) < 0)
			return rc;
	check_twice(r, map);
	qsort(labels, map->count, sizeof(*labels), by_number);
	*(struct schema_label **)(void *)((char *)item + f->offset) = labels;
	*(size_t *)(void *)((char *)item + f->count_offset) = map->count;
	return OK;
}
