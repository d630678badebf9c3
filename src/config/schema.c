#include "config/schema.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/schema_scalar.h"

#define ALLOWED_BYTES 400
#define FOUND_BYTES   80

/* ---- words for people ---- */

PRINTF_LIKE(4, 0)
static void fault_list(struct faults *faults, const struct doc_node *at, const char *path, const char *fmt,
		       va_list args)
{
	char text[2 * FAULT_TEXT_BYTES];

	vsnprintf(text, sizeof(text), fmt, args);
	faults_add_in(faults, at->file, at->line, at->column, path, "%s", text);
}

void schema_fault(const struct schema_reader *r, const struct doc_node *node, const char *fmt, ...)
{
	char path[FAULT_PATH_BYTES];
	va_list args;

	va_start(args, fmt);
	fault_list(r->faults, node, doc_path(node, NULL, path, sizeof(path)), fmt, args);
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
	fault_list(r->faults, at, doc_path(map, key, path, sizeof(path)), fmt, args);
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
	case SCHEMA_OPTION:
		append(buf, size, "a map");
		break;
	case SCHEMA_MAPS:
		append(buf, size, f->sub->text_key ? "a list of texts or maps" : "a list of maps");
		break;
	case SCHEMA_NUMBERS:
		snprintf(buf, size, "a list of %zu numbers", f->width / sizeof(double));
		break;
	case SCHEMA_LABELS:
		append(buf, size, "a map of whole numbers to texts, such as {0: stopped, 1: running}");
		break;
	case SCHEMA_ANY_MAP:
	case SCHEMA_ANY_LIST:
		append(buf, size, f->kind == SCHEMA_ANY_MAP ? "a map" : "a list of maps");
		break;
	case SCHEMA_KEYS:
	case SCHEMA_LATER:
		append(buf, size, "nothing");
		break;
	}
	return buf;
}

static bool is_nothing(const struct doc_node *n)
{
	return n->kind == DOC_SCALAR && !n->quoted && !n->loose &&
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

const struct schema_field *schema_field_at(const struct schema *s, size_t i)
{
	for (const struct schema_field *f = s->fields; f < s->fields + s->nfields; f++) {
		size_t n = f->kind == SCHEMA_KEYS ? f->sub->nfields : 1;

		if (i < n)
			return f->kind == SCHEMA_KEYS ? &f->sub->fields[i] : f;
		i -= n;
	}
	return NULL;
}

static const char *next_key(const void *arg, size_t i)
{
	const struct schema_field *f = schema_field_at(arg, i);

	return f ? f->key : NULL;
}

static const char *next_word(const void *arg, size_t i)
{
	return ((const struct schema_word *)arg)[i].word;
}

void schema_fault_value(const struct schema_reader *r, const struct schema_field *f, const struct doc_node *n)
{
	char allowed[ALLOWED_BYTES], what[FOUND_BYTES];
	const char *near = NULL;

	if (f->kind == SCHEMA_ENUM && n->kind == DOC_SCALAR)
		near = schema_nearest(n->text, next_word, f->words);
	if ((f->kind == SCHEMA_MAP || f->kind == SCHEMA_OPTION) && n->kind == DOC_SCALAR && !n->quoted &&
	    strchr(n->text, ':')) {
		schema_fault(r, n, "found %s, allowed: a map; give it a blank behind the colon",
			     found(n, what, sizeof(what)));
		return;
	}
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
	    (n->loose    ? true
	     : n->quoted ? schema_takes_quoted(r, f)
			 : schema_takes_plain(r, f)))
		rc = schema_scalar(r, f, n->text, at);
	if (rc == ERR_NOMEM)
		return rc;
	if (rc == ERR_UNSUPPORTED)
		schema_fault(r, n, "%s is not in this version", found(n, what, sizeof(what)));
	else if (rc < 0)
		schema_fault_value(r, f, n);
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
		schema_fault_value(r, f, list);
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

static int read_numbers(const struct schema_reader *r, const struct schema_field *f,
			const struct doc_node *list, double *items)
{
	int rc = OK;

	if (list->kind != DOC_LIST || list->count != f->width / sizeof(double)) {
		schema_fault_value(r, f, list);
		return OK;
	}
	for (const struct doc_node *n = list->first; n && rc == OK; n = n->next)
		rc = read_scalar(r, f, n, &items[n->index]);
	return rc;
}

static int read_option(const struct schema_reader *r, const struct schema_field *f, const struct doc_node *n,
		       void **at)
{
	if (n->kind != DOC_MAP) {
		schema_fault_value(r, f, n);
		return OK;
	}
	*at = arena_alloc(r->arena, f->sub->size);
	return *at ? read_map(r, f->sub, n, *at) : ERR_NOMEM;
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
			schema_fault_value(r, f, n);
			return OK;
		}
		return read_map(r, f->sub, n, member(item, f));
	case SCHEMA_ANY_MAP:
	case SCHEMA_ANY_LIST:
		return OK;
	case SCHEMA_OPTION:
		return read_option(r, f, n, member(item, f));
	case SCHEMA_NUMBERS:
		return read_numbers(r, f, n, member(item, f));
	case SCHEMA_LABELS:
		return schema_read_labels(r, f, n, item);
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
		if (s->fields[i].kind != SCHEMA_KEYS && strcmp(s->fields[i].key, key) == 0)
			return &s->fields[i];
	return NULL;
}

/* The field of `key` in the map that is read into *item, which then is the struct that holds it. *f is NULL: unknown. */
static int find_key(const struct schema_reader *r, const struct schema *s, const char *key, void **item,
		    const struct schema_field **f)
{
	void **keys;

	if ((*f = find_field(s, key)))
		return OK;
	for (const struct schema_field *k = s->fields; k < s->fields + s->nfields; k++) {
		if (k->kind != SCHEMA_KEYS || !(*f = find_field(k->sub, key)))
			continue;
		keys = member(*item, k);
		if (!*keys) {
			*keys = arena_alloc(r->arena, k->sub->size);
			if (!*keys)
				return ERR_NOMEM;
			*item = *keys;
			return schema_defaults(r, k->sub, *keys);
		}
		*item = *keys;
		return OK;
	}
	return OK;
}

/* {name:press}: without a blank behind it the colon is part of the key, which then has no value. */
static bool is_glued(const struct schema *s, const struct doc_node *n)
{
	const char *colon = strchr(n->key, ':'), *key;

	for (size_t i = 0; colon && is_nothing(n) && (key = next_key(s, i)); i++)
		if (strlen(key) == (size_t)(colon - n->key) && memcmp(key, n->key, strlen(key)) == 0)
			return true;
	return false;
}

static void fault_unknown_key(const struct schema_reader *r, const struct schema *s, const struct doc_node *n)
{
	bool glued = is_glued(s, n);
	const char *near = glued ? NULL : schema_nearest(n->key, next_key, s);
	char path[FAULT_PATH_BYTES], keys[ALLOWED_BYTES] = "";
	const struct schema_field *f;

	if (glued) {
		faults_add_in(r->faults, n->file, n->key_line, n->key_column,
			      doc_path(n, NULL, path, sizeof(path)),
			      "is not a key of a %s: give it a blank behind the colon", s->name);
		return;
	}
	for (size_t i = 0; !near && (f = schema_field_at(s, i)); i++) {
		if (f->kind == SCHEMA_LATER)
			continue;
		append(keys, sizeof(keys), keys[0] ? ", " : "");
		append(keys, sizeof(keys), f->key);
	}
	faults_add_in(r->faults, n->file, n->key_line, n->key_column, doc_path(n, NULL, path, sizeof(path)),
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
		const struct doc_node *n = f->kind == SCHEMA_KEYS ? NULL : doc_get(map, f->key);
		bool fits = !f->only || (kind && f->only & 1u << kind->value);

		if (n && f->only && kind && !fits)
			faults_add_in(r->faults, n->file, n->key_line, n->key_column,
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
	void *at;
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
		at = item;
		if ((rc = find_key(r, s, n->key, &at, &f)) < 0)
			return rc;
		if (!f)
			fault_unknown_key(r, s, n);
		else if ((rc = read_field(r, f, n, at)) < 0)
			return rc;
	}
	check_keys(r, s, map);
	return r->faults->nomem ? ERR_NOMEM : OK;
}

int schema_read(const struct schema_reader *r, const struct schema *s, const struct doc_node *node, void *out)
{
	return read_map(r, s, node, out);
}
