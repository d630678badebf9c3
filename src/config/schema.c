#include "config/schema.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/schema_scalar.h"

#define ALLOWED_BYTES 400
#define FOUND_BYTES   80

/* ---- words for people ---- */

PRINTF_LIKE(5, 0)
static void fault_list(struct faults *faults, unsigned line, unsigned column, const char *path,
		       const char *fmt, va_list args)
{
	char text[2 * FAULT_TEXT_BYTES];

	vsnprintf(text, sizeof(text), fmt, args);
	faults_add(faults, line, column, path, "%s", text);
}

void schema_fault(const struct schema_reader *r, const struct doc_node *node, const char *fmt, ...)
{
	char path[FAULT_PATH_BYTES];
	va_list args;

	va_start(args, fmt);
	fault_list(r->faults, node->line, node->column, doc_path(node, NULL, path, sizeof(path)), fmt, args);
	va_end(args);
}

void schema_fault_key(const struct schema_reader *r, const struct doc_node *map, const char *key,
		      const char *fmt, ...)
{
	const struct doc_node *at = doc_get(map, key);
	char path[FAULT_PATH_BYTES];
	va_list args;

	if (!at)
		at = map;
	va_start(args, fmt);
	fault_list(r->faults, at->line, at->column, doc_path(map, key, path, sizeof(path)), fmt, args);
	va_end(args);
}

static void append(char *buf, size_t size, const char *text)
{
	size_t at = strlen(buf);

	snprintf(buf + at, size - at, "%s", text);
}

static const char *allowed_range(const struct schema_field *f, const char *what, char *buf, size_t size)
{
	char min[32], max[32];

	if (f->kind == SCHEMA_SIZE) {
		schema_size_text(f->min, min, sizeof(min));
		schema_size_text(f->max, max, sizeof(max));
	} else if (f->kind == SCHEMA_TIME) {
		schema_time_text(f->min, min, sizeof(min));
		schema_time_text(f->max, max, sizeof(max));
	} else {
		snprintf(min, sizeof(min), "%.15g", f->min);
		snprintf(max, sizeof(max), "%.15g", f->max);
	}
	if (f->min == f->max && f->kind != SCHEMA_NUMBER)
		snprintf(buf, size, "%s", min);
	else if (f->min == 0 && f->max == 0)
		snprintf(buf, size, "%s", what);
	else
		snprintf(buf, size, "%s, %s..%s", what, min, max);
	return buf;
}

const char *schema_allowed(const struct schema_field *f, char *buf, size_t size)
{
	buf[0] = '\0';
	switch (f->kind) {
	case SCHEMA_BOOL:
		append(buf, size, "true, false");
		break;
	case SCHEMA_INT:
		return allowed_range(f, "a whole number", buf, size);
	case SCHEMA_NUMBER:
		return allowed_range(f, "a number", buf, size);
	case SCHEMA_SIZE:
		return allowed_range(f, "a size in bytes, KiB, MiB or GiB", buf, size);
	case SCHEMA_TIME:
		return allowed_range(f, "a time in ms, s, min, h or d", buf, size);
	case SCHEMA_ENUM:
		for (const struct schema_word *w = f->words; w->word; w++) {
			if (w->later)
				continue;
			append(buf, size, buf[0] ? ", " : "");
			append(buf, size, w->word);
		}
		break;
	case SCHEMA_TEXT:
	case SCHEMA_RULE:
		append(buf, size, f->rule ? f->rule->allowed : "text");
		break;
	case SCHEMA_PATH:
		append(buf, size, "a file name");
		break;
	case SCHEMA_TEXTS:
		append(buf, size, "a list of texts");
		break;
	case SCHEMA_MAP:
		append(buf, size, "a map");
		break;
	case SCHEMA_MAPS:
		append(buf, size, f->sub->text_key ? "a list of texts or maps" : "a list of maps");
		break;
	case SCHEMA_LATER:
		append(buf, size, "nothing");
		break;
	}
	return buf;
}

static bool is_nothing(const struct doc_node *n)
{
	return n->kind == DOC_SCALAR && !n->quoted &&
	       (!n->text[0] || !strcmp(n->text, "~") || !strcmp(n->text, "null") ||
		!strcmp(n->text, "Null") || !strcmp(n->text, "NULL"));
}

static const char *found(const struct doc_node *n, char *buf, size_t size)
{
	if (n->kind == DOC_MAP)
		return "a map";
	if (n->kind == DOC_LIST)
		return "a list";
	if (is_nothing(n))
		return "nothing";
	return log_quote(buf, size, span_str(n->text));
}

static const char *next_key(const void *arg, size_t i)
{
	const struct schema *s = arg;

	return i < s->nfields ? s->fields[i].key : NULL;
}

static const char *next_word(const void *arg, size_t i)
{
	return ((const struct schema_word *)arg)[i].word;
}

static void fault_value(const struct schema_reader *r, const struct schema_field *f, const struct doc_node *n)
{
	char allowed[ALLOWED_BYTES], what[FOUND_BYTES];
	const char *near = NULL;

	if (f->kind == SCHEMA_ENUM && n->kind == DOC_SCALAR)
		near = schema_nearest(n->text, next_word, f->words);
	schema_fault(r, n, "found %s%s, allowed: %s%s%s%s",
		     n->kind == DOC_SCALAR && n->quoted && !schema_takes_quoted(r, f) ? "the text " : "",
		     found(n, what, sizeof(what)), schema_allowed(f, allowed, sizeof(allowed)),
		     near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* ---- reading ---- */

static void *member(void *item, const struct schema_field *f)
{
	return (char *)item + f->offset;
}

static int read_map(const struct schema_reader *r, const struct schema *s, const struct doc_node *map,
		    void *item);

static int read_scalar(const struct schema_reader *r, const struct schema_field *f, const struct doc_node *n,
		       void *at)
{
	char what[FOUND_BYTES];
	int rc = ERR_RANGE;

	if (n->kind == DOC_SCALAR && !is_nothing(n) &&
	    (n->quoted ? schema_takes_quoted(r, f) : schema_takes_plain(r, f)))
		rc = schema_scalar(r, f, n->text, at);
	if (rc == ERR_NOMEM)
		return rc;
	if (rc == ERR_UNSUPPORTED)
		schema_fault(r, n, "%s is not in this version", found(n, what, sizeof(what)));
	else if (rc < 0)
		fault_value(r, f, n);
	return OK;
}

static int read_list(const struct schema_reader *r, const struct schema_field *f, const struct doc_node *list,
		     void *item)
{
	size_t size = f->kind == SCHEMA_MAPS ? f->sub->size : sizeof(char *);
	struct schema_field text = *f; /* each of TEXTS */
	char *items;
	int rc;

	if (list->kind != DOC_LIST) {
		fault_value(r, f, list);
		return OK;
	}
	items = arena_array(r->arena, list->count, size);
	if (!items)
		return ERR_NOMEM;
	text.kind = SCHEMA_TEXT;
	for (const struct doc_node *n = list->first; n; n = n->next) {
		void *at = items + n->index * size;

		rc = f->kind == SCHEMA_MAPS ? read_map(r, f->sub, n, at) : read_scalar(r, &text, n, at);
		if (rc < 0)
			return rc;
	}
	*(void **)member(item, f) = items;
	*(size_t *)(void *)((char *)item + f->count_offset) = list->count;
	return OK;
}

static int read_field(const struct schema_reader *r, const struct schema_field *f, const struct doc_node *n,
		      void *item)
{
	switch (f->kind) {
	case SCHEMA_LATER:
		schema_fault(r, n, "is not in this version (%s)", f->doc);
		return OK;
	case SCHEMA_MAP:
		if (n->kind != DOC_MAP) {
			fault_value(r, f, n);
			return OK;
		}
		return read_map(r, f->sub, n, member(item, f));
	case SCHEMA_MAPS:
	case SCHEMA_TEXTS:
		return read_list(r, f, n, item);
	default:
		return read_scalar(r, f, n, member(item, f));
	}
}

/* The preset is text of our own table: one that its own field does not take is a broken promise. */
static int fill_presets(const struct schema_reader *r, const struct schema *s, void *item)
{
	int rc;

	if (s->init)
		s->init(item);
	for (const struct schema_field *f = s->fields; f < s->fields + s->nfields; f++) {
		rc = OK;
		if (f->kind == SCHEMA_MAP)
			rc = fill_presets(r, f->sub, member(item, f));
		else if (f->preset)
			rc = schema_scalar(r, f, f->preset, member(item, f));
		if (rc == ERR_NOMEM)
			return rc;
		if (rc < 0)
			abort();
	}
	return OK;
}

int schema_defaults(const struct schema_reader *r, const struct schema *s, void *out)
{
	memset(out, 0, s->size);
	return fill_presets(r, s, out);
}

static const struct schema_field *find_field(const struct schema *s, const char *key)
{
	for (size_t i = 0; i < s->nfields; i++)
		if (strcmp(s->fields[i].key, key) == 0)
			return &s->fields[i];
	return NULL;
}

static void fault_unknown_key(const struct schema_reader *r, const struct schema *s, const struct doc_node *n)
{
	const char *near = schema_nearest(n->key, next_key, s);
	char path[FAULT_PATH_BYTES], keys[ALLOWED_BYTES] = "";

	for (size_t i = 0; i < s->nfields && !near; i++) {
		if (s->fields[i].kind == SCHEMA_LATER)
			continue;
		append(keys, sizeof(keys), keys[0] ? ", " : "");
		append(keys, sizeof(keys), s->fields[i].key);
	}
	faults_add(r->faults, n->key_line, n->key_column, doc_path(n, NULL, path, sizeof(path)),
		   "is not a key of a %s, %s%s%s", s->name,
		   near ? "did you mean \"" : "allowed: ", near ? near : keys, near ? "\"?" : "");
}

/* The word of the selector, with its value; NULL when it is missing or wrong, which has a fault of its own. */
static const struct schema_word *selected(const struct schema *s, const struct doc_node *map)
{
	const struct schema_field *f = s->selector ? find_field(s, s->selector) : NULL;
	const struct doc_node *n = f ? doc_get(map, f->key) : NULL;

	if (!n || n->kind != DOC_SCALAR)
		return NULL;
	for (const struct schema_word *w = f->words; w->word; w++)
		if (!w->later && strcmp(w->word, n->text) == 0)
			return w;
	return NULL;
}

static void check_keys(const struct schema_reader *r, const struct schema *s, const struct doc_node *map)
{
	const struct schema_word *kind = selected(s, map);
	char allowed[ALLOWED_BYTES];

	for (const struct schema_field *f = s->fields; f < s->fields + s->nfields; f++) {
		const struct doc_node *n = doc_get(map, f->key);
		bool fits = !f->only || (kind && f->only & 1u << kind->value);

		if (n && f->only && kind && !fits)
			faults_add(r->faults, n->key_line, n->key_column,
				   doc_path(n, NULL, allowed, FAULT_PATH_BYTES),
				   "is not a key of a %s of %s %s", s->name, s->selector, kind->word);
		if (!n && f->required && fits)
			schema_fault_key(r, map, f->key, "found nothing, allowed: %s",
					 schema_allowed(f, allowed, sizeof(allowed)));
	}
}

static int read_map(const struct schema_reader *r, const struct schema *s, const struct doc_node *map,
		    void *item)
{
	const struct schema_field *f;
	char what[FOUND_BYTES];
	int rc;

	if ((rc = schema_defaults(r, s, item)) < 0)
		return rc;
	if (map->kind == DOC_SCALAR && s->text_key) {
		f = schema_field_of(s, s->text_key);
		return read_scalar(r, f, map, member(item, f));
	}
	if (map->kind != DOC_MAP) {
		schema_fault(r, map, "found %s, allowed: a map, a %s", found(map, what, sizeof(what)),
			     s->name);
		return OK;
	}
	for (const struct doc_node *n = map->first; n; n = n->next) {
		/* A repeated key has its fault; only the first is read, for checks look it up by key. */
		if (doc_get(map, n->key) != n)
			continue;
		f = find_field(s, n->key);
		if (!f)
			fault_unknown_key(r, s, n);
		else if ((rc = read_field(r, f, n, item)) < 0)
			return rc;
	}
	check_keys(r, s, map);
	return r->faults->nomem ? ERR_NOMEM : OK;
}

int schema_read(const struct schema_reader *r, const struct schema *s, const struct doc_node *node, void *out)
{
	return read_map(r, s, node, out);
}
