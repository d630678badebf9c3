/*
 * lineside tags import: a table is checked as the tags of a device, by the tables that check a configuration, and printed as YAML.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/doc_build.h"
#include "config/expand.h"
#include "config/gateway_config.h"
#include "tools/tags_tool.h"

/* Text as one scalar of YAML. */
static void put_scalar(FILE *to, const char *text)
{
	struct doc_node n = {.kind = DOC_SCALAR, .text = text, .quoted = true};

	doc_print_flow(to, &n);
}

/* ---- a configuration with this device alone ---- */

static bool is_known(const struct doc_node *tags, const struct doc_node *tag, const char *group)
{
	for (const struct doc_node *t = tags->first; t != tag; t = t->next) {
		const struct doc_node *g = doc_get(t, "group");

		if (g && strcmp(g->text, group) == 0)
			return true;
	}
	return false;
}

/* The groups that the rows name, each once. */
static void put_groups(FILE *to, const struct doc_node *tags)
{
	bool any = false;

	for (const struct doc_node *t = tags ? tags->first : NULL; t; t = t->next) {
		const struct doc_node *g = doc_get(t, "group");

		if (!g || is_known(tags, t, g->text))
			continue;
		fputs(any ? ", {name: " : ", groups: [{name: ", to);
		put_scalar(to, g->text);
		fputc('}', to);
		any = true;
	}
	if (any)
		fputc(']', to);
}

static MUST_USE int make_document(const struct tags_options *o, const struct doc_node *tags,
				  struct faults *faults, struct doc **out)
{
	char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	int rc = ERR_NOMEM;

	if (!to)
		return ERR_NOMEM;
	fputs("lines: [{name: ", to);
	put_scalar(to, o->line ? o->line : "line");
	fputs(", type: modbus-tcp, host: localhost}]\ndevices: [{name: ", to);
	put_scalar(to, o->device ? o->device : "device");
	fputs(", line: ", to);
	put_scalar(to, o->line ? o->line : "line");
	fputs(", tags_file: ", to);
	put_scalar(to, o->table);
	put_groups(to, tags);
	fputs("}]\n", to);
	if (fclose(to) == 0)
		rc = doc_parse(text, len, DOC_YAML, faults, out);
	free(text);
	return rc;
}

/* Twice: the first look finds the groups. */
static MUST_USE int document_alone(const struct tags_options *o, struct faults *faults, struct doc **out)
{
	struct faults unused;
	struct doc *first = NULL;
	struct doc_node *device;
	int rc;

	faults_init(&unused, o->table);
	if ((rc = make_document(o, NULL, &unused, &first)) == OK &&
	    (rc = doc_expand(first, "", &unused)) == OK) {
		device = tags_find_device(first, o->table, NULL);
		rc = make_document(o, doc_get(device, "tags"), faults, out);
	}
	doc_destroy(first);
	faults_fini(&unused);
	return rc;
}

/* ---- the device of a configuration, with these tags ---- */

static void drop(struct doc_node *map, const char *key)
{
	struct doc_node *n = doc_children_take(map), *next;

	for (; n; n = next) {
		next = n->next;
		if (strcmp(n->key, key) != 0)
			doc_node_append(map, n);
	}
}

static MUST_USE int put_table(struct doc *doc, struct doc_node *device, const char *table)
{
	struct doc_node like = {.kind = DOC_SCALAR, .key = "tags_file", .quoted = true};
	char *path = realpath(table, NULL);
	int rc = ERR_NOMEM;

	like.line = device->line;
	like.column = device->column;
	like.text = path ? path : table; /* one that is not there has its fault later */
	drop(device, "tags");
	drop(device, "template");
	drop(device, "parameters");
	drop(device, "tags_file");
	if (doc_node_add(doc, device, &like))
		rc = OK;
	free(path);
	return rc;
}

static MUST_USE int document_of_config(const struct tags_options *o, struct faults *faults, struct doc **out)
{
	struct doc_node *device;
	int rc;

	if ((rc = gateway_document_load(o->config, out, faults)) < 0)
		return rc;
	if (!(device = tags_find_device(*out, o->config, o->device)))
		return ERR_NOT_FOUND;
	return put_table(*out, device, o->table);
}

/* ---- out ---- */

static void print_list(FILE *to, const char *key, const struct doc_node *list)
{
	fprintf(to, "  %s:\n", key);
	for (const struct doc_node *n = list->first; n; n = n->next) {
		fputs("    - ", to);
		doc_print_flow(to, n);
		fputc('\n', to);
	}
}

static int print_device(const struct tags_options *o, const struct doc_node *device)
{
	FILE *to = tags_open_output(o->output);
	const char *begin = "- ";

	if (!to)
		return 1;
	for (const struct doc_node *n = device->first; n; n = n->next) {
		if (strcmp(n->key, "tags") == 0 || strcmp(n->key, "tags_file") == 0)
			continue;
		if (strcmp(n->key, "groups") == 0 && n->kind == DOC_LIST) {
			print_list(to, "groups", n);
			continue;
		}
		fprintf(to, "%s%s: ", begin, n->key);
		doc_print_flow(to, n);
		fputc('\n', to);
		begin = "  ";
	}
	print_list(to, "tags", doc_get(device, "tags"));
	return tags_close_output(to, o->output) == OK ? 0 : 1;
}

static int finish(const struct tags_options *o, const struct doc *doc, const struct faults *faults)
{
	const struct doc_node *device = tags_find_device(doc, o->config ? o->config : o->table, o->device);
	const struct doc_node *tags = device ? doc_get(device, "tags") : NULL;
	size_t nfaults = faults->count + faults->left_out;

	faults_print(faults, o->dry_run ? stdout : stderr);
	if (nfaults || o->dry_run)
		fprintf(o->dry_run ? stdout : stderr, "%s: rows: %zu, faults: %zu\n", o->table,
			tags ? tags->count : 0, nfaults);
	if (nfaults || !device || !tags)
		return 1;
	return o->dry_run ? 0 : print_device(o, device);
}

int tags_import(const struct tags_options *o)
{
	const char *file = o->config ? o->config : o->table;
	struct doc *doc = NULL;
	struct faults faults;
	int rc, status = 1;

	faults_init(&faults, file);
	rc = o->config ? document_of_config(o, &faults, &doc) : document_alone(o, &faults, &doc);
	if (rc == OK)
		rc = gateway_document_check(o->config ? o->config : "", doc, &faults);
	if (rc == OK)
		status = finish(o, doc, &faults);
	else if (rc == ERR_CONFIG)
		faults_print(&faults, stderr);
	else if (rc != ERR_NOT_FOUND)
		fprintf(stderr, "lineside tags: %s: %s\n", file,
			rc == ERR_IO ? strerror(errno) : err_text(rc));
	doc_destroy(doc);
	faults_fini(&faults);
	return status;
}
