#include "admin/control_request.h"

#include <stdio.h>
#include <string.h>

#include "config/doc.h"

static const struct {
	const char *name;
	unsigned flag;
} flags[] = {{"replace", CONTROL_REPLACE}};

static int read_flag(const struct doc_node *n, struct control_request *out)
{
	bool is_true = n->kind == DOC_SCALAR && !n->quoted && strcmp(n->text, "true") == 0;
	bool is_false = n->kind == DOC_SCALAR && !n->quoted && strcmp(n->text, "false") == 0;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (strcmp(flags[i].name, n->key) != 0)
			continue;
		out->flags |= is_true ? flags[i].flag : 0;
		return is_true || is_false ? OK : ERR_MALFORMED;
	}
	return ERR_UNSUPPORTED;
}

static int read_request(const struct doc_node *root, struct control_request *out)
{
	const struct doc_node *n = root && root->kind == DOC_MAP ? doc_get(root, "command") : NULL;
	int rc = OK;

	if (!n || n->kind != DOC_SCALAR || !n->quoted)
		return ERR_MALFORMED;
	for (const struct doc_node *m = root->first; m && rc == OK; m = m->next)
		rc = m == n ? OK : read_flag(m, out);
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
