/*
 * lineside templates: the device templates that are built in.
 */
#include <stdio.h>
#include <string.h>

#include "config/doc.h"
#include "config/expand.h"
#include "tools/tool.h"

static const char help[] = "Usage: lineside templates [show NAME]\n"
			   "\n"
			   "List the device templates that are built in, each with what it is and where its "
			   "registers are from; or\n"
			   "print one as YAML. A device takes one with \"template: NAME\"; one of the same "
			   "name in the file goes before.\n"
			   "\n"
			   "Options:\n"
			   "  -h, --help  say this\n"
			   "\n"
			   "Exit status: 0 done, 1 there is no such template, 2 wrong arguments.\n";

static const char *text_of(const struct doc *doc, const char *key)
{
	const struct doc_node *n = doc_get(doc->root, key);

	return n && n->kind == DOC_SCALAR ? n->text : "";
}

static int list_one(const struct template_builtin *t)
{
	const struct doc_node *parameters;
	struct doc *doc = NULL;
	struct faults faults;
	int rc;

	faults_init(&faults, t->name);
	rc = doc_parse(t->text, strlen(t->text), DOC_YAML, &faults, &doc);
	if (rc == OK) {
		printf("%s\n  %s\n  source: %s\n", t->name, text_of(doc, "description"),
		       text_of(doc, "source"));
		parameters = doc_get(doc->root, "parameters");
		if (parameters) {
			printf("  parameters: ");
			doc_print_flow(stdout, parameters);
			printf("\n");
		}
	}
	doc_destroy(doc);
	faults_fini(&faults);
	return rc;
}

static int list_all(void)
{
	for (const struct template_builtin *t = template_builtins; t->name; t++) {
		if (list_one(t) < 0) {
			fprintf(stderr, "lineside templates: %s: %s\n", t->name, err_text(ERR_NOMEM));
			return 1;
		}
	}
	return fflush(stdout) == 0 ? 0 : 1;
}

static int show(const char *name)
{
	for (const struct template_builtin *t = template_builtins; t->name; t++) {
		if (strcmp(t->name, name) == 0) {
			fputs(t->text, stdout);
			return fflush(stdout) == 0 ? 0 : 1;
		}
	}
	fprintf(stderr,
		"lineside templates: there is no template \"%s\"; \"lineside templates\" lists them\n", name);
	return 1;
}

int tool_templates(int argc, char **argv)
{
	if (argc == 1)
		return list_all();
	if (argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
		fputs(help, stdout);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	if (argc == 3 && strcmp(argv[1], "show") == 0)
		return show(argv[2]);
	fprintf(stderr, "lineside templates: %s: not an argument that it takes\n\n%s", argv[1], help);
	return TOOL_USAGE;
}
