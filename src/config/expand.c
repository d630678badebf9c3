#include "config/expand.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/doc_build.h"
#include "config/schema.h"
#include "config/tags_table.h"

/* ---- lists of named items ---- */

static const char *name_of(const struct doc_node *item)
{
	const struct doc_node *name = item->kind == DOC_MAP ? doc_get(item, "name") : NULL;

	return name && name->kind == DOC_SCALAR ? name->text : NULL;
}

static void put_in_place(struct doc_node *list, struct doc_node **at, struct doc_node *item)
{
	struct doc_node *gone = *at;

	item->parent = list;
	item->index = gone->index;
	item->next = gone->next;
	item->is_override = true;
	if (list->last == gone)
		list->last = item;
	*at = item;
}

void expand_merge(struct doc_node *list, struct doc_node *items)
{
	const size_t nbefore = list->count;
	struct doc_node *next;

	for (struct doc_node *item = items; item; item = next) {
		const char *name = name_of(item), *other = NULL;
		struct doc_node **at = &list->first;

		next = item->next;
		for (; name && *at && (*at)->index < nbefore; at = &(*at)->next) {
			other = (*at)->is_override ? NULL : name_of(*at);
			if (other && strcmp(other, name) == 0)
				break;
			other = NULL;
		}
		if (other)
			put_in_place(list, at, item);
		else
			doc_node_append(list, item);
	}
}

/* ---- tables ---- */

static bool is_scalar(const struct doc_node *n)
{
	return n && n->kind == DOC_SCALAR && n->text[0];
}

static void fault_at(struct faults *faults, const struct doc_node *n, const char *text, const char *detail)
{
	char path[FAULT_PATH_BYTES];

	faults_add_in(faults, n->file, n->line, n->column, doc_path(n, NULL, path, sizeof(path)), "%s%s",
		      text, detail);
}

/* A regular file only: nothing that blocks. The bytes have room for one more. */
static MUST_USE int read_table(const char *path, char **bytes, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc = ERR_IO;
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return ERR_IO;
	errno = EINVAL;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		goto done;
	errno = EFBIG;
	if ((uint64_t)st.st_size > DOC_MAX_BYTES)
		goto done;
	rc = ERR_NOMEM;
	if (!(*bytes = malloc((size_t)st.st_size + 1)))
		goto done;
	rc = ERR_IO;
	for (*len = 0; *len < (size_t)st.st_size; *len += (size_t)n)
		if ((n = read(fd, *bytes + *len, (size_t)st.st_size - *len)) <= 0)
			goto done;
	rc = OK;
done:
	if (rc < 0) {
		free(*bytes);
		*bytes = NULL;
	}
	close(fd);
	return rc;
}

static struct doc_node *add_tags(struct doc *doc, struct doc_node *device, const struct doc_node *like)
{
	struct doc_node empty = *like;

	empty.kind = DOC_LIST;
	empty.text = NULL;
	empty.key = "tags";
	return doc_node_add(doc, device, &empty);
}

static MUST_USE int read_tags(struct doc *doc, struct doc_node *tags, const struct doc_node *file,
			      const char *base_dir, struct faults *faults)
{
	const char *dir = file->text[0] == '/' ? "" : base_dir;
	size_t size = strlen(dir) + strlen(file->text) + 1, len = 0;
	char *path = arena_alloc(&doc->arena, size), *bytes = NULL;
	int rc;

	if (!path)
		return ERR_NOMEM;
	memcpy(path, dir, strlen(dir));
	memcpy(path + strlen(dir), file->text, strlen(file->text));
	rc = read_table(path, &bytes, &len);
	if (rc == ERR_IO) {
		fault_at(faults, file, "cannot be read, allowed: a table of tags: ", strerror(errno));
		return OK;
	}
	if (rc == OK)
		rc = tags_table_read(doc, tags, path, bytes, len, faults);
	free(bytes);
	return rc;
}

/* The tags of the table, and in their places or behind them the device's own. */
static MUST_USE int expand_table(struct doc *doc, struct doc_node *device, const char *base_dir,
				 struct faults *faults)
{
	const struct doc_node *file = doc_get(device, "tags_file");
	struct doc_node *tags = doc_child(device, "tags"), *own = NULL;
	int rc;

	if (!is_scalar(file) || (tags && tags->kind != DOC_LIST))
		return OK;
	if (tags)
		own = doc_children_take(tags);
	else if (!(tags = add_tags(doc, device, file)))
		return ERR_NOMEM;
	if ((rc = read_tags(doc, tags, file, base_dir, faults)) < 0)
		return rc;
	expand_merge(tags, own);
	return OK;
}

/* ---- templates of the file ---- */

static void check_template(const struct doc_node *t, struct faults *faults)
{
	static const char *const of_devices[] = {"line", "unit", "template", "tags_file"};
	const struct doc_node *parameters = t->kind == DOC_MAP ? doc_get(t, "parameters") : NULL;

	if (t->kind != DOC_MAP || !is_scalar(doc_get(t, "name"))) {
		fault_at(faults, t, "found no map with a name, needed: a template such as ",
			 "{name: pump, parameters: {base: null}, tags: [...]}");
		return;
	}
	for (size_t i = 0; i < sizeof(of_devices) / sizeof(of_devices[0]); i++)
		if (doc_get(t, of_devices[i]))
			fault_at(faults, doc_get(t, of_devices[i]),
				 "does not belong in a template: give it to the device", "");
	if (parameters && parameters->kind != DOC_MAP)
		fault_at(faults, parameters,
			 "allowed: a map of parameters and what they are where a device says "
			 "nothing, such as {base: null, ct: 1}",
			 "");
	for (const struct doc_node *o = t->parent->first; o != t; o = o->next)
		if (name_of(o) && strcmp(name_of(o), name_of(t)) == 0)
			fault_at(faults, t, "found the name of another template: give it one of its own", "");
}

int doc_expand(struct doc *doc, const char *base_dir, struct faults *faults)
{
	const struct doc_node *templates, *devices;
	int rc = OK;

	if (!doc->root || doc->root->kind != DOC_MAP)
		return OK;
	templates = doc_get(doc->root, "templates");
	if (templates && templates->kind != DOC_LIST)
		fault_at(faults, templates, "allowed: a list of maps", "");
	for (const struct doc_node *t = templates ? templates->first : NULL; t; t = t->next)
		check_template(t, faults);
	devices = doc_get(doc->root, "devices");
	for (struct doc_node *d = devices ? devices->first : NULL; d && rc == OK; d = d->next) {
		if (d->kind != DOC_MAP)
			continue;
		if ((rc = expand_table(doc, d, base_dir, faults)) == OK)
			rc = expand_template(doc, d, faults);
	}
	return rc;
}
