#include "admin/control_request.h"

#include <stdio.h>
#include <string.h>

#include "config/doc.h"

static int read_replace(const struct doc_node *n, struct control_request *out)
{
	bool is_true = n->kind == DOC_SCALAR && !n->quoted && strcmp(n->text, "true") == 0;
	bool is_false = n->kind == DOC_SCALAR && !n->quoted && strcmp(n->text, "false") == 0;

	out->flags |= is_true ? CONTROL_REPLACE : 0;
	return is_true || is_false ? OK : ERR_MALFORMED;
}

static int read_line(const struct doc_node *n, struct control_request *out)
{
	if (n->kind != DOC_SCALAR || !n->quoted)
		return ERR_MALFORMED;
	if (strlen(n->text) >= sizeof(out->line))
		return ERR_TOO_LARGE;
	snprintf(out->line, sizeof(out->line), "%s", n->text);
	out->flags |= CONTROL_LINE;
	return OK;
}

static const struct {
	const char *name;
	int (*read)(const struct doc_node *n, struct control_request *out);
} members[] = {{"replace", read_replace}, {"line", read_line}};

static int read_member(const struct doc_node *n, struct control_request *out)
{
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		if (strcmp(members[i].name, n->key) == 0)
			return members[i].read(n, out);
	return ERR_UNSUPPORTED;
}

static int read_request(const struct doc_node *root, struct control_request *out)
{
	const struct doc_node *n = root && root->kind == DOC_MAP ? doc_get(root, "command") : NULL;
	int rc = OK;

	if (!n || n->kind != DOC_SCALAR || !n->quoted)
		return ERR_MALFORMED;
	for (const struct doc_node *m = root->first; m && rc == OK; m = m->next)
		rc = m == n ? OK : read_member(m, out);
	if (rc == OK && strlen(n->text) >= sizeof(out->command))
		rc = ERR_TOO_LARGE;
	if (rc == OK)
		snprintf(out->command, sizeof(out->command), "%s", n->text);
	return rc;
}

int control_request_read(struct span line, struct control_request *out)
{
	struct doc *doc = NULL;
	struct faults faults;
	int rc;

	*out = (struct control_request){0};
	faults_init(&faults, "request");
	rc = doc_parse(line.p, line.len, DOC_JSON, &faults, &doc);
	if (rc == OK && faults_any(&faults))
		rc = ERR_CONFIG;
	if (rc == OK)
		rc = read_request(doc->root, out);
	else if (rc == ERR_CONFIG)
		rc = faults.nomem ? ERR_NOMEM : ERR_MALFORMED;
	doc_destroy(doc);
	faults_fini(&faults);
	return rc;
}
