#include "config/tags_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/utf8.h"
#include "config/csv.h"
#include "config/doc_build.h"
#include "config/gateway_schema.h"

#define COLUMNS_MAX 128

struct table {
	struct doc *doc;
	struct doc_node *list;
	const char *file;
	struct faults *faults;
	const struct schema_field *columns[COLUMNS_MAX]; /* NULL: its key has a fault */
	unsigned ncolumns;
};

static const char *next_key(const void *arg, size_t i)
{
	const struct schema_field *f = schema_field_at(&gateway_tag_schema, i);

	(void)arg;
	return f ? f->key : NULL;
}

static const struct schema_field *field_of(const char *key)
{
	const struct schema_field *f;

	for (size_t i = 0; (f = schema_field_at(&gateway_tag_schema, i)); i++)
		if (strcmp(f->key, key) == 0 && f->kind != SCHEMA_LATER)
			return f;
	return NULL;
}

static bool is_structured(const struct schema_field *f)
{
	switch (f->kind) {
	case SCHEMA_MAP:
	case SCHEMA_MAPS:
	case SCHEMA_OPTION:
	case SCHEMA_LABELS:
	case SCHEMA_NUMBERS:
	case SCHEMA_TEXTS:
		return true;
	default:
		return false;
	}
}

/* ---- in ---- */

static void head_cell(struct table *t, const struct csv_cell *cell)
{
	const struct schema_field *f = field_of(cell->text);
	char what[80];
	const char *near;

	if (cell->column > COLUMNS_MAX) {
		faults_add_in(t->faults, t->file, cell->line, cell->column, "",
			      "a table has at most %d columns", COLUMNS_MAX);
		return;
	}
	t->ncolumns = cell->column;
	t->columns[cell->column - 1] = f;
	if (!f) {
		near = schema_nearest(cell->text, next_key, NULL);
		faults_add_in(t->faults, t->file, cell->line, cell->column, "",
			      "found the column %s, allowed: the keys of a tag%s%s%s",
			      log_quote(what, sizeof(what), span_str(cell->text)),
			      near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
		return;
	}
	for (unsigned i = 0; i + 1 < cell->column; i++)
		if (t->columns[i] == f)
			faults_add_in(t->faults, t->file, cell->line, cell->column, "",
				      "found the column \"%s\" twice, first in column %u", f->key, i + 1);
}

static struct doc_node place_of(const struct table *t, const struct csv_cell *cell,
				const struct schema_field *f)
{
	return (struct doc_node){
		.kind = f ? DOC_SCALAR : DOC_MAP,
		.line = cell->line,
		.column = cell->column,
		.key_line = cell->line,
		.key_column = cell->column,
		.key = f ? f->key : NULL,
		.text = f ? cell->text : NULL,
		.file = t->file,
		.loose = true,
	};
}

static MUST_USE int copy_tree(struct table *t, struct doc_node *parent, const struct doc_node *from,
			      const struct doc_node *place)
{
	struct doc_node like = *from;
	struct doc_node *n;
	int rc = OK;

	like.line = like.key_line = place->line;
	like.column = like.key_column = place->column;
	like.file = place->file;
	like.loose = from->kind == DOC_SCALAR && !from->quoted;
	like.key = from->parent ? from->key : place->key;
	if (!(n = doc_node_add(t->doc, parent, &like)))
		return ERR_NOMEM;
	for (const struct doc_node *child = from->first; child && rc == OK; child = child->next)
		rc = copy_tree(t, n, child, place);
	return rc;
}

/* A cell of YAML: what is wrong with it is said of the cell. */
static MUST_USE int structured_cell(struct table *t, struct doc_node *tag, const struct doc_node *place)
{
	struct doc *cell = NULL;
	struct faults faults;
	int rc;

	faults_init(&faults, t->file);
	rc = doc_parse(place->text, strlen(place->text), DOC_YAML, &faults, &cell);
	if (rc == ERR_NOMEM)
		goto done;
	rc = OK;
	if (faults.count)
		faults_add_in(t->faults, t->file, place->line, place->column, place->key, "%s",
			      faults.list[0].text);
	else if (cell && cell->root)
		rc = copy_tree(t, tag, cell->root, place);
done:
	doc_destroy(cell);
	faults_fini(&faults);
	return rc;
}

/* "0,1": digits around one comma. */
static bool is_decimal_comma(const char *text)
{
	size_t sign = text[0] == '-', whole = strspn(text + sign, "0123456789");
	const char *comma = text + sign + whole;

	return whole && *comma == ',' && comma[1] && strspn(comma + 1, "0123456789") == strlen(comma + 1);
}

static MUST_USE int body_cell(struct table *t, struct doc_node *tag, const struct csv_cell *cell)
{
	const struct schema_field *f;
	struct doc_node like;

	if (!cell->text[0])
		return OK;
	if (cell->column > t->ncolumns) {
		faults_add_in(t->faults, t->file, cell->line, cell->column, "",
			      "found a cell behind the last of the %u columns that the first row names",
			      t->ncolumns);
		return OK;
	}
	if (!(f = t->columns[cell->column - 1]))
		return OK;
	like = place_of(t, cell, f);
	if (f->kind == SCHEMA_NUMBER && is_decimal_comma(cell->text)) {
		faults_add_in(t->faults, t->file, cell->line, cell->column, f->key,
			      "found \"%s\", allowed: a number with a decimal point, such as 0.5",
			      cell->text);
		return OK;
	}
	if (is_structured(f))
		return structured_cell(t, tag, &like);
	return doc_node_add(t->doc, tag, &like) ? OK : ERR_NOMEM;
}

/* The first byte that is no UTF-8: spreadsheets write other encodings unless they are told. */
static bool check_utf8(const struct table *t, const char *bytes, size_t len)
{
	unsigned line = 1;
	uint32_t point;
	size_t n;

	for (; len; bytes += n, len -= n) {
		n = utf8_char((const uint8_t *)bytes, len, &point);
		if (!n) {
			faults_add_in(t->faults, t->file, line, 1, "",
				      "is not UTF-8: save the table as \"CSV UTF-8\" and give that");
			return false;
		}
		line += *bytes == '\n';
	}
	return true;
}

int tags_table_read(struct doc *doc, struct doc_node *list, const char *file, char *bytes, size_t len,
		    struct faults *faults)
{
	struct table t = {.doc = doc, .list = list, .file = file, .faults = faults};
	struct doc_node *tag = NULL;
	bool is_head = true, is_first = true;
	struct csv_cell cell;
	const char *why;
	struct csv csv;
	int rc;

	if (!check_utf8(&t, bytes, len))
		return OK;
	csv_init(&csv, bytes, len);
	while ((rc = csv_next(&csv, &cell, &why)) == OK) {
		if (is_head) {
			head_cell(&t, &cell);
		} else {
			struct doc_node like = place_of(&t, &cell, NULL);

			if (is_first && !(tag = doc_node_add(doc, list, &like)))
				return ERR_NOMEM;
			if ((rc = body_cell(&t, tag, &cell)) < 0)
				return rc;
		}
		is_head = is_head && !cell.is_last;
		is_first = cell.is_last;
	}
	if (rc == ERR_MALFORMED)
		faults_add_in(faults, file, cell.line, cell.column, "", "found %s", why);
	else if (is_head)
		faults_add_in(faults, file, 1, 1, "",
			      "found no row that names the columns, such as name,address,type");
	return OK;
}

/* ---- out ---- */

static void put_structured(FILE *to, const struct doc_node *n)
{
	char *text = NULL;
	size_t len = 0;
	FILE *cell = open_memstream(&text, &len);

	if (cell) {
		doc_print_flow(cell, n);
		if (fclose(cell) == 0)
			csv_put(to, text);
	}
	free(text);
}

void tags_table_print_head(FILE *to)
{
	const struct schema_field *f;
	bool any = false;

	for (size_t i = 0; (f = schema_field_at(&gateway_tag_schema, i)); i++) {
		if (f->kind == SCHEMA_LATER)
			continue;
		fprintf(to, "%s%s", any ? "," : "", f->key);
		any = true;
	}
	fputs("\r\n", to);
}

void tags_table_print_row(FILE *to, const struct doc_node *tag)
{
	const struct schema_field *f;
	bool any = false;

	for (size_t i = 0; (f = schema_field_at(&gateway_tag_schema, i)); i++) {
		const struct doc_node *n = doc_get(tag, f->key);

		if (f->kind == SCHEMA_LATER)
			continue;
		if (any)
			fputc(',', to);
		any = true;
		if (n && n->kind == DOC_SCALAR && !is_structured(f))
			csv_put(to, n->text);
		else if (n)
			put_structured(to, n);
	}
	fputs("\r\n", to);
}
