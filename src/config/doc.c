#include "config/doc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/doc_build.h"

/* One step of a path: ".key", "key" at the start, or "[index]". */
static size_t put_step(char *buf, size_t size, size_t at, const char *key, size_t index)
{
	char step[FAULT_PATH_BYTES];
	int n;

	if (key)
		n = snprintf(step, sizeof(step), "%s%s", at ? "." : "", key);
	else
		n = snprintf(step, sizeof(step), "[%zu]", index);
	if (n > 0 && at < size)
		snprintf(buf + at, size - at, "%s", step);
	at += strlen(buf + at);
	return at;
}

const char *doc_path(const struct doc_node *node, const char *key, char *buf, size_t size)
{
	const struct doc_node *up[DOC_MAX_DEPTH + 1];
	size_t n = 0, at = 0;

	buf[0] = '\0';
	for (; node && node->parent && n < DOC_MAX_DEPTH + 1; node = node->parent)
		up[n++] = node;
	while (n-- > 0)
		at = put_step(buf, size, at, up[n]->key, up[n]->index);
	if (key)
		put_step(buf, size, at, key, 0);
	return buf;
}

const struct doc_node *doc_get(const struct doc_node *map, const char *key)
{
	for (const struct doc_node *n = map->first; n; n = n->next)
		if (n->key && strcmp(n->key, key) == 0)
			return n;
	return NULL;
}

void doc_build_fault(struct doc_builder *b, struct doc_place at, const char *fmt, ...)
{
	char path[FAULT_PATH_BYTES], text[FAULT_TEXT_BYTES], index[32];
	va_list args;

	doc_path(b->open, b->key, path, sizeof(path));
	if (b->open && b->open->kind == DOC_LIST) {
		snprintf(index, sizeof(index), "[%zu]", b->open->count);
		if (strlen(path) + strlen(index) < sizeof(path))
			strcat(path, index);
	}
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	faults_add(b->faults, at.line, at.column, path, "%s", text);
}

bool doc_build_wants_key(const struct doc_builder *b)
{
	return b->open && b->open->kind == DOC_MAP && !b->key;
}

void doc_node_append(struct doc_node *parent, struct doc_node *n)
{
	n->parent = parent;
	n->next = NULL;
	n->index = parent->count++;
	if (parent->last)
		parent->last->next = n;
	else
		parent->first = n;
	parent->last = n;
}

struct doc_node *doc_child(struct doc_node *map, const char *key)
{
	struct doc_node *n = map->first;

	while (n && (!n->key || strcmp(n->key, key) != 0))
		n = n->next;
	return n;
}

struct doc_node *doc_children_take(struct doc_node *parent)
{
	struct doc_node *first = parent->first;

	parent->first = parent->last = NULL;
	parent->count = 0;
	return first;
}

static bool copy_text(struct doc *doc, const char **text)
{
	return !*text || (*text = arena_text(&doc->arena, *text, strlen(*text)));
}

struct doc_node *doc_node_add(struct doc *doc, struct doc_node *parent, const struct doc_node *like)
{
	struct doc_node *n = arena_alloc(&doc->arena, sizeof(*n));

	if (!n)
		return NULL;
	*n = *like;
	n->first = n->last = NULL;
	n->count = 0;
	if (!copy_text(doc, &n->text) || !copy_text(doc, &n->key))
		return NULL;
	doc->nnodes++;
	doc_node_append(parent, n);
	return n;
}

static int add_node(struct doc_builder *b, enum doc_kind kind, struct doc_place at, struct doc_node **out)
{
	struct doc_node *n;

	if (b->doc->nnodes == DOC_MAX_NODES) {
		doc_build_fault(b, at, "the document has more than %u values", DOC_MAX_NODES);
		return ERR_CONFIG;
	}
	n = arena_alloc(&b->doc->arena, sizeof(*n));
	if (!n)
		return ERR_NOMEM;
	b->doc->nnodes++;
	*n = (struct doc_node){.kind = kind, .line = at.line, .column = at.column, .parent = b->open};
	if (b->open) {
		n->key = b->key;
		n->key_line = b->key_line;
		n->key_column = b->key_column;
		doc_node_append(b->open, n);
	} else {
		b->doc->root = n;
	}
	b->key = NULL;
	*out = n;
	return OK;
}

int doc_build_start(struct doc_builder *b, enum doc_kind kind, struct doc_place at)
{
	struct doc_node *n;
	int rc;

	if (doc_build_wants_key(b)) {
		doc_build_fault(b, at, "found a %s as a key, allowed: text",
				kind == DOC_MAP ? "map" : "list");
		return ERR_CONFIG;
	}
	if (b->depth == DOC_MAX_DEPTH) {
		doc_build_fault(b, at, "nested deeper than %u levels", DOC_MAX_DEPTH);
		return ERR_CONFIG;
	}
	if ((rc = add_node(b, kind, at, &n)) < 0)
		return rc;
	b->open = n;
	b->depth++;
	return OK;
}

/* Maps are small (DOC_MAX_KEYS), so looking through the earlier keys is cheap whatever the input. */
static int take_key(struct doc_builder *b, const char *text, struct doc_place at)
{
	const struct doc_node *before = doc_get(b->open, text);

	b->key = text;
	b->key_line = at.line;
	b->key_column = at.column;
	if (b->open->count == DOC_MAX_KEYS) {
		doc_build_fault(b, at, "the map has more than %u keys", DOC_MAX_KEYS);
		return ERR_CONFIG;
	}
	if (before)
		doc_build_fault(b, at, "the key stands here again, first at line %u; remove one of them",
				before->key_line);
	return OK;
}

int doc_build_scalar(struct doc_builder *b, const char *text, size_t len, bool quoted, struct doc_place at)
{
	struct doc_node *n;
	char *copy;
	int rc;

	if (len && memchr(text, '\0', len)) {
		doc_build_fault(b, at, "text with a NUL character");
		return ERR_CONFIG;
	}
	copy = arena_text(&b->doc->arena, text, len);
	if (!copy)
		return ERR_NOMEM;
	if (doc_build_wants_key(b))
		return take_key(b, copy, at);
	if ((rc = add_node(b, DOC_SCALAR, at, &n)) < 0)
		return rc;
	n->text = copy;
	n->quoted = quoted;
	return OK;
}

void doc_build_end(struct doc_builder *b)
{
	b->open = b->open->parent;
	b->depth--;
}

int doc_parse(const void *bytes, size_t len, enum doc_format format, struct faults *faults, struct doc **out)
{
	struct doc_builder b = {.faults = faults};
	struct doc *doc;
	int rc;

	if (len > DOC_MAX_BYTES) {
		faults_add(faults, 0, 0, "", "the file has %zu bytes or more, allowed: %u", len,
			   DOC_MAX_BYTES);
		return ERR_CONFIG;
	}
	doc = calloc(1, sizeof(*doc));
	if (!doc)
		return ERR_NOMEM;
	doc->format = format;
	b.doc = doc;
	rc = format == DOC_JSON ? doc_read_json(&b, bytes, len) : doc_read_yaml(&b, bytes, len);
	if (rc == OK && faults->nomem)
		rc = ERR_NOMEM;
	if (rc < 0)
		doc_destroy(doc);
	else
		*out = doc;
	return rc;
}

void doc_destroy(struct doc *doc)
{
	if (!doc)
		return;
	arena_free(&doc->arena);
	free(doc);
}
