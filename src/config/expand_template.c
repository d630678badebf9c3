#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "config/doc_build.h"
#include "config/expand.h"
#include "config/schema.h"

#define VALUE_BYTES 4096 /* of a scalar with its parameters put in */

struct template
{
	struct doc *doc;
	struct faults *faults;
	struct doc_node *device;
	const struct doc_node *use;  /* the device's key `template` */
	const struct doc_node *root; /* of the template */
	const char *file;            /* of a built-in one; NULL: the document's own */
};

static bool is_scalar(const struct doc_node *n)
{
	return n && n->kind == DOC_SCALAR;
}

PRINTF_LIKE(3, 4)
static void fault(const struct template *t, const struct doc_node *at, const char *fmt, ...)
{
	char path[FAULT_PATH_BYTES], text[FAULT_TEXT_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	faults_add_in(t->faults, at->file, at->line, at->column, doc_path(at, NULL, path, sizeof(path)), "%s",
		      text);
}

/* ---- parameters ---- */

static bool is_nothing(const struct doc_node *n)
{
	return n->kind != DOC_SCALAR ||
	       (!n->quoted && (!n->text[0] || !strcmp(n->text, "~") || !strcmp(n->text, "null")));
}

static const struct doc_node *in_map(const struct doc_node *map, const char *key, const char *name)
{
	const struct doc_node *below = doc_get(map, key);

	return below && below->kind == DOC_MAP ? doc_get(below, name) : NULL;
}

/* What the device says, else what the template does. */
static const struct doc_node *parameter(const struct template *t, const char *name)
{
	const struct doc_node *value = in_map(t->device, "parameters", name);

	return value ? value : in_map(t->root, "parameters", name);
}

static void list_parameters(const struct template *t, char *buf, size_t size)
{
	const struct doc_node *known = doc_get(t->root, "parameters");
	size_t at = 0;

	snprintf(buf, size, "none");
	for (const struct doc_node *p = known ? known->first : NULL; p && p->key && at < size; p = p->next)
		at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? ", " : "", p->key);
}

static void check_parameters(const struct template *t)
{
	const struct doc_node *given = doc_get(t->device, "parameters"),
			      *known = doc_get(t->root, "parameters");
	char names[200];

	list_parameters(t, names, sizeof(names));
	for (const struct doc_node *p = given ? given->first : NULL; p && p->key; p = p->next)
		if (!in_map(t->root, "parameters", p->key))
			fault(t, p, "is not a parameter of the template \"%s\", allowed: %s", t->use->text,
			      names);
		else if (is_nothing(p))
			fault(t, p, "allowed: a text or a number");
	for (const struct doc_node *p = known ? known->first : NULL; p && p->key; p = p->next)
		if (is_nothing(p) && !in_map(t->device, "parameters", p->key))
			fault(t, t->use,
			      "the template \"%s\" needs the parameter %s: add parameters: {%s: ...}",
			      t->use->text, p->key, p->key);
}

/* ---- putting them in ---- */

/* "${name}", "${name+4}", "${name-1}": what is behind it, or NULL. */
static const char *take_reference(const char *p, char *name, size_t size, long *offset)
{
	size_t len = strspn(p + 2, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"), digits;

	*offset = 0;
	if (!len || len >= size)
		return NULL;
	memcpy(name, p + 2, len);
	name[len] = '\0';
	p += 2 + len;
	if (*p == '+' || *p == '-') {
		digits = strspn(p + 1, "0123456789");
		if (!digits || digits > 6)
			return NULL;
		*offset = strtol(p, NULL, 10);
		p += 1 + digits;
	}
	return *p == '}' ? p + 1 : NULL;
}

/* Topics and payloads have names of their own in the same form (config/text_template.h): those are left to them. */
static bool is_published_text(const struct doc_node *n)
{
	return n->key && (strcmp(n->key, "topic") == 0 || strcmp(n->key, "group_topic") == 0 ||
			  strcmp(n->key, "payload_template") == 0);
}

/* The value of a reference; false with a fault at `n`. */
static bool put_reference(const struct template *t, const struct doc_node *n, const char *name, long offset,
			  char *buf, size_t size)
{
	const struct doc_node *value = parameter(t, name);
	char names[200], *end;
	long number;

	if (!value && is_published_text(n)) {
		snprintf(buf, size, "${%s}", name);
		return true;
	}
	if (!value) {
		list_parameters(t, names, sizeof(names));
		fault(t, n, "found ${%s} in the template \"%s\", allowed: its parameters: %s", name,
		      t->use->text, names);
		return false;
	}
	if (is_nothing(value))
		return false; /* has its fault */
	if (!offset) {
		snprintf(buf, size, "%s", value->text);
		return true;
	}
	number = strtol(value->text, &end, 10);
	if (end == value->text || *end || labs(number) > 100000000) {
		fault(t, n,
		      "the parameter %s of the template \"%s\" is no whole number, needed because something "
		      "is added to it",
		      name, t->use->text);
		return false;
	}
	snprintf(buf, size, "%ld", number + offset);
	return true;
}

/* The text of `n` with its parameters; false when there is a fault. */
static bool substitute(const struct template *t, const struct doc_node *n, char out[VALUE_BYTES])
{
	const char *p = n->text;
	size_t at = 0;

	while (*p && at + 1 < VALUE_BYTES) {
		char name[65];
		const char *behind;
		long offset;

		if (p[0] != '$' || p[1] != '{') {
			out[at++] = *p++;
			continue;
		}
		behind = take_reference(p, name, sizeof(name), &offset);
		if (!behind) {
			fault(t, n, "found \"%s\", allowed: ${NAME}, ${NAME+4} or ${NAME-4}", n->text);
			return false;
		}
		if (!put_reference(t, n, name, offset, out + at, VALUE_BYTES - at))
			return false;
		at += strlen(out + at);
		p = behind;
	}
	out[at] = '\0';
	if (at + 1 >= VALUE_BYTES)
		fault(t, n, "is longer than %d bytes with its parameters: use shorter ones", VALUE_BYTES - 2);
	return at + 1 < VALUE_BYTES;
}

/* ---- copying ---- */

static MUST_USE int copy(const struct template *t, struct doc_node *parent, const struct doc_node *from)
{
	char text[VALUE_BYTES];
	struct doc_node like = *from, *n;
	int rc = OK;

	if (t->doc->nnodes >= DOC_MAX_NODES) {
		fault(t, t->use, "the document has more than %u values with its templates", DOC_MAX_NODES);
		return OK;
	}
	like.file = t->file;
	like.loose = from->kind == DOC_SCALAR && !from->quoted && t->file;
	if (!(n = doc_node_add(t->doc, parent, &like)))
		return ERR_NOMEM;
	if (from->kind == DOC_SCALAR && strstr(from->text, "${")) {
		if (!substitute(t, n, text))
			snprintf(text, sizeof(text), "0");
		n->loose = true;
		n->text = arena_text(&t->doc->arena, text, strlen(text));
		if (!n->text)
			return ERR_NOMEM;
	}
	for (const struct doc_node *child = from->first; child && rc == OK; child = child->next)
		rc = copy(t, n, child);
	return rc;
}

/* The device has such a list of its own: the template's first. */
static MUST_USE int merge(const struct template *t, struct doc_node *own, const struct doc_node *from)
{
	struct doc_node *items = doc_children_take(own);
	int rc = OK;

	for (const struct doc_node *n = from->first; n && rc == OK; n = n->next)
		rc = copy(t, own, n);
	expand_merge(own, items);
	return rc;
}

static bool is_about_template(const char *key)
{
	static const char *const keys[] = {"name", "source", "description", "parameters",
					   "line", "unit",   "template",    "tags_file"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

static MUST_USE int apply(const struct template *t)
{
	size_t faults = t->faults->count + t->faults->left_out;
	int rc = OK;

	check_parameters(t);
	if (t->faults->count + t->faults->left_out != faults)
		return OK; /* what would be made of it has other faults only */
	for (const struct doc_node *n = t->root->first; n && rc == OK; n = n->next) {
		struct doc_node *own = doc_child(t->device, n->key);

		if (is_about_template(n->key))
			continue;
		if (!own)
			rc = copy(t, t->device, n);
		else if (own->kind == DOC_LIST && n->kind == DOC_LIST)
			rc = merge(t, own, n);
	}
	return rc;
}

/* ---- finding ---- */

static const struct doc_node *find_in_file(const struct doc *doc, const char *name)
{
	const struct doc_node *list = doc_get(doc->root, "templates");

	for (const struct doc_node *t = list ? list->first : NULL; t; t = t->next) {
		const struct doc_node *n = t->kind == DOC_MAP ? doc_get(t, "name") : NULL;

		if (is_scalar(n) && strcmp(n->text, name) == 0)
			return t;
	}
	return NULL;
}

static const struct template_builtin *find_builtin(const char *name)
{
	const struct template_builtin *b = template_builtins;

	while (b->name && strcmp(b->name, name) != 0)
		b++;
	return b->name ? b : NULL;
}

static const char *next_builtin(const void *arg, size_t i)
{
	(void)arg;
	return template_builtins[i].name;
}

static void fault_unknown(const struct template *t)
{
	const char *near = schema_nearest(t->use->text, next_builtin, NULL);
	char what[80];

	fault(t, t->use,
	      "found %s, allowed: the name of a template of this file, or of one that `lineside templates` "
	      "lists%s%s%s",
	      log_quote(what, sizeof(what), span_str(t->use->text)), near ? "; did you mean \"" : "",
	      near ? near : "", near ? "\"?" : "");
}

static MUST_USE int apply_builtin(struct template *t, const struct template_builtin *b)
{
	struct doc *doc = NULL;
	struct faults faults;
	char file[100];
	int rc;

	snprintf(file, sizeof(file), "%s.yaml (built in)", b->name);
	if (!(t->file = arena_text(&t->doc->arena, file, strlen(file))))
		return ERR_NOMEM;
	faults_init(&faults, t->file);
	rc = doc_parse(b->text, strlen(b->text), DOC_YAML, &faults, &doc);
	if (rc == OK) {
		t->root = doc->root;
		rc = apply(t);
	}
	faults_fini(&faults);
	doc_destroy(doc);
	return rc;
}

int expand_template(struct doc *doc, struct doc_node *device, struct faults *faults)
{
	struct template t = {
		.doc = doc, .faults = faults, .device = device, .use = doc_get(device, "template")};
	const struct template_builtin *builtin;

	if (!is_scalar(t.use)) {
		if (!t.use && doc_get(device, "parameters"))
			fault(&t, doc_get(device, "parameters"), "applies only beside template");
		return OK;
	}
	if ((t.root = find_in_file(doc, t.use->text)))
		return apply(&t);
	if ((builtin = find_builtin(t.use->text)))
		return apply_builtin(&t, builtin);
	fault_unknown(&t);
	return OK;
}
