#include "admin/control_request.h"

#include <stdio.h>
#include <string.h>

#include "config/doc.h"

static int read_command(const struct doc_node *root, char *command)
{
	const struct doc_node *n = root && root->kind == DOC_MAP ? doc_get(root, "command") : NULL;

	if (!n || n->kind != DOC_SCALAR || !n->quoted)
		return ERR_MALFORMED;
	if (root->count != 1)
		return ERR_UNSUPPORTED;
	if (strlen(n->text) >= CONTROL_COMMAND_MAX)
		return ERR_TOO_LARGE;
	snprintf(command, CONTROL_COMMAND_MAX, "%s", n->text);
	return OK;
}

int control_request_read(struct span line, char command[CONTROL_COMMAND_MAX])
{
	struct doc *doc = NULL;
	struct faults faults;
	int rc;

	command[0] = '\0';
	faults_init(&faults, "request");
	rc = doc_parse(line.p, line.len, DOC_JSON, &faults, &doc);
	if (rc == OK && faults_any(&faults))
		rc = ERR_CONFIG;
	if (rc == OK)
		rc = read_command(doc->root, command);
	else if (rc == ERR_CONFIG)
		rc = faults.nomem ? ERR_NOMEM : ERR_MALFORMED;
	doc_destroy(doc);
	faults_fini(&faults);
	return rc;
}
