#include "config/gateway_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/expand.h"
#include "config/gateway_check.h"
#include "config/gateway_schema.h"

/* What the pointer of gateway_config_load() is the first member of. */
struct owned_config {
	struct gateway_config cfg;
	struct arena arena;
};

static bool is_json(const char *name)
{
	size_t len = strlen(name);

	return len >= 5 && strcmp(name + len - 5, ".json") == 0;
}

/* "dir/" of "dir/file", "" of "file"; in the arena. */
static char *dir_of(struct arena *arena, const char *name)
{
	const char *slash = strrchr(name, '/');

	return arena_text(arena, name, slash ? (size_t)(slash - name) + 1 : 0);
}

static int read_tree(struct owned_config *own, const char *name, struct doc *doc, struct faults *faults)
{
	struct schema_reader r = {.arena = &own->arena, .faults = faults, .format = doc->format};
	struct checker c = {.r = &r, .cfg = &own->cfg};
	int rc;

	r.base_dir = dir_of(&own->arena, name);
	if (!r.base_dir)
		return ERR_NOMEM;
	if (!doc->root) {
		faults_add(faults, 0, 0, "", "found an empty document, allowed: a map");
		return OK;
	}
	if ((rc = doc_expand(doc, r.base_dir, faults)) < 0)
		return rc;
	if ((rc = schema_read(&r, &gateway_schema, doc->root, &own->cfg)) < 0)
		return rc;
	return doc->root->kind == DOC_MAP ? gateway_check(&c, doc->root) : OK;
}

int gateway_config_parse(const char *name, const void *bytes, size_t len, struct gateway_config **out,
			 struct faults *faults)
{
	struct owned_config *own = calloc(1, sizeof(*own));
	struct doc *doc = NULL;
	int rc = ERR_NOMEM;

	if (!own)
		goto done;
	if ((rc = doc_parse(bytes, len, is_json(name) ? DOC_JSON : DOC_YAML, faults, &doc)) < 0)
		goto done;
	if ((rc = read_tree(own, name, doc, faults)) < 0)
		goto done;
	if (faults_any(faults)) {
		rc = faults->nomem ? ERR_NOMEM : ERR_CONFIG;
		goto done;
	}
	*out = &own->cfg;
	own = NULL;
done:
	faults_sort(faults);
	gateway_config_destroy(own ? &own->cfg : NULL);
	doc_destroy(doc);
	return rc;
}

/* The whole file, or one byte more than a document may have. */
static int read_file(const char *path, char **bytes, size_t *len)
{
	FILE *file = fopen(path, "re");
	char *buf = NULL;
	int rc = ERR_IO, saved;

	if (!file)
		return ERR_IO;
	buf = malloc(DOC_MAX_BYTES + 1);
	if (!buf) {
		rc = ERR_NOMEM;
		goto done;
	}
	*len = fread(buf, 1, DOC_MAX_BYTES + 1, file);
	if (ferror(file))
		goto done;
	*bytes = buf;
	buf = NULL;
	rc = OK;
done:
	saved = errno;
	free(buf);
	fclose(file);
	errno = saved;
	return rc;
}

int gateway_document_load(const char *path, struct doc **out, struct faults *faults)
{
	char *bytes = NULL;
	size_t len = 0;
	int rc;

	if ((rc = read_file(path, &bytes, &len)) < 0)
		return rc;
	rc = doc_parse(bytes, len, is_json(path) ? DOC_JSON : DOC_YAML, faults, out);
	free(bytes);
	return rc;
}

int gateway_document_check(const char *name, struct doc *doc, struct faults *faults)
{
	struct owned_config *own = calloc(1, sizeof(*own));
	int rc;

	if (!own)
		return ERR_NOMEM;
	rc = read_tree(own, name, doc, faults);
	gateway_config_destroy(&own->cfg);
	if (rc == OK && faults->nomem)
		rc = ERR_NOMEM;
	faults_sort(faults);
	return rc;
}

int gateway_config_load(const char *path, struct gateway_config **out, struct faults *faults)
{
	char *bytes = NULL;
	size_t len = 0;
	int rc;

	if ((rc = read_file(path, &bytes, &len)) < 0)
		return rc;
	rc = gateway_config_parse(path, bytes, len, out, faults);
	free(bytes);
	return rc;
}

/* The safe default is a file like any other, so it is checked and completed like one. */
int gateway_config_default(struct gateway_config **out)
{
	static const char text[] = "listeners:\n"
				   "  - {name: local, protocol: mqtt, address: 127.0.0.1, port: 1883, "
				   "allow_anonymous: true}\n"
				   "lines:\n"
				   "  - {name: rack, type: sim}\n"
				   "devices:\n"
				   "  - {name: rack, line: rack}\n";
	struct faults faults;
	int rc;

	faults_init(&faults, "default");
	rc = gateway_config_parse("default", text, sizeof(text) - 1, out, &faults);
	if (rc == ERR_CONFIG)
		abort(); /* our own text */
	faults_fini(&faults);
	return rc;
}

void gateway_config_destroy(struct gateway_config *cfg)
{
	struct owned_config *own = (struct owned_config *)(void *)cfg;
	struct arena arena;

	if (!cfg)
		return;
	arena = own->arena;
	free(own);
	arena_free(&arena);
}

int gateway_config_schema_print(FILE *out)
{
	return schema_print_json(&gateway_schema, "Configuration of Lineside", out);
}
