/*
 * lineside tags: the tags of a device as a table, and back.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/gateway_config.h"
#include "config/tags_table.h"
#include "tools/tags_tool.h"
#include "tools/tool.h"

static const char help[] =
	"Usage: lineside tags export -c FILE [-d DEVICE] [-o TABLE]\n"
	"       lineside tags import TABLE [--dry-run] [-c FILE] [-d DEVICE] [-l LINE] [-o FILE]\n"
	"\n"
	"export prints the tags of a device as a table, CSV: a row for each, a column for each key; those "
	"that it has from\n"
	"a template or a table among them. import checks such a table row by row and prints a device as "
	"YAML.\n"
	"A device of a configuration may also name the table itself: tags_file: TABLE.\n"
	"\n"
	"Options:\n"
	"  -c, --config FILE    the configuration; for import, what the rows are checked against\n"
	"  -d, --device DEVICE  which device; not needed where there is only one\n"
	"  -l, --line LINE      import without -c: the line that the YAML names (default \"line\")\n"
	"  -n, --dry-run        import: check only\n"
	"  -o, --output FILE    write there, not to standard output; a file that is there is never written "
	"over\n"
	"  -h, --help           say this\n"
	"\n"
	"Exit status: 0 done, 1 faults, 2 wrong arguments.\n";

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"device", required_argument, NULL, 'd'},
	{"line", required_argument, NULL, 'l'},
	{"dry-run", no_argument, NULL, 'n'},
	{"output", required_argument, NULL, 'o'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

struct doc_node *tags_find_device(const struct doc *doc, const char *file, const char *name)
{
	const struct doc_node *devices =
		doc->root && doc->root->kind == DOC_MAP ? doc_get(doc->root, "devices") : NULL;

	for (struct doc_node *d = devices ? devices->first : NULL; d; d = d->next) {
		const struct doc_node *n = d->kind == DOC_MAP ? doc_get(d, "name") : NULL;

		if (name && n && n->kind == DOC_SCALAR && strcmp(n->text, name) == 0)
			return d;
		if (!name && devices->count == 1)
			return d;
	}
	if (name)
		fprintf(stderr, "lineside tags: %s: there is no device \"%s\"\n", file, name);
	else
		fprintf(stderr, "lineside tags: %s has %zu devices: name one with --device\n", file,
			devices ? devices->count : 0);
	return NULL;
}

FILE *tags_open_output(const char *path)
{
	int fd;
	FILE *to;

	if (!path)
		return stdout;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	to = fd < 0 ? NULL : fdopen(fd, "w");
	if (!to)
		fprintf(stderr, "lineside tags: %s: %s\n", path,
			errno == EEXIST ? "is there already, and is not written over" : strerror(errno));
	return to;
}

int tags_close_output(FILE *to, const char *path)
{
	int bad = ferror(to);

	bad |= to == stdout ? fflush(to) : fclose(to);
	if (bad)
		fprintf(stderr, "lineside tags: %s: cannot be written\n", path ? path : "the output");
	return bad ? ERR_IO : OK;
}

static int print_table(const struct tags_options *o, const struct doc *doc)
{
	const struct doc_node *device = tags_find_device(doc, o->config, o->device), *tags;
	FILE *to;

	if (!device || !(to = tags_open_output(o->output)))
		return 1;
	tags_table_print_head(to);
	tags = doc_get(device, "tags");
	for (const struct doc_node *t = tags ? tags->first : NULL; t; t = t->next)
		tags_table_print_row(to, t);
	return tags_close_output(to, o->output) == OK ? 0 : 1;
}

int tags_export(const struct tags_options *o)
{
	struct doc *doc = NULL;
	struct faults faults;
	int rc, status = 1;

	faults_init(&faults, o->config);
	rc = gateway_document_load(o->config, &doc, &faults);
	if (rc == OK)
		rc = gateway_document_check(o->config, doc, &faults);
	if (rc == OK && !faults_any(&faults))
		status = print_table(o, doc);
	else if (rc == OK || rc == ERR_CONFIG)
		faults_print(&faults, stderr);
	else
		fprintf(stderr, "lineside tags: %s: %s\n", o->config,
			rc == ERR_IO ? strerror(errno) : err_text(rc));
	doc_destroy(doc);
	faults_fini(&faults);
	return status;
}

static int take_options(int argc, char **argv, struct tags_options *o)
{
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, "c:d:l:no:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case 'd':
			o->device = optarg;
			break;
		case 'l':
			o->line = optarg;
			break;
		case 'n':
			o->dry_run = true;
			break;
		case 'o':
			o->output = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			exit(fflush(stdout) == 0 ? 0 : 1);
		default:
			return ERR_RANGE;
		}
	}
	return OK;
}

static int usage(const char *what)
{
	fprintf(stderr, "lineside tags: %s\n\n%s", what, help);
	return TOOL_USAGE;
}

int tool_tags(int argc, char **argv)
{
	struct tags_options o = {0};
	const char *command;

	if (take_options(argc, argv, &o) < 0)
		return TOOL_USAGE;
	command = optind < argc ? argv[optind] : "";
	if (strcmp(command, "export") == 0) {
		if (!o.config || optind + 1 != argc || o.dry_run || o.line)
			return usage("export takes --config, --device and --output");
		return tags_export(&o);
	}
	if (strcmp(command, "import") != 0)
		return usage("export or import is wanted");
	if (optind + 2 != argc)
		return usage("import takes one table");
	if (o.config && o.line)
		return usage("the line is that of the device: --line goes without --config");
	o.table = argv[optind + 1];
	return tags_import(&o);
}
