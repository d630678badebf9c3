/*
 * lineside store: finds the store and runs a command on it.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "config/gateway_config.h"
#include "tools/store_tool.h"
#include "tools/tool.h"

static const char help[] =
	"Usage: lineside store info    [-c FILE | FOLDER] [--json]\n"
	"       lineside store check   [-c FILE | FOLDER]\n"
	"       lineside store compact [-c FILE | FOLDER]\n"
	"       lineside store export  [-c FILE | FOLDER] [-o FILE]\n"
	"       lineside store import  [-c FILE | FOLDER] [-i FILE] [--replace]\n"
	"\n"
	"Look after what a gateway keeps on disk, while it runs or when it is stopped:\n"
	"  info     what is in it: sessions, messages that wait, sizes\n"
	"  check    is it in order?\n"
	"  compact  give what is not used any more back to the file system\n"
	"  export   all of it as JSON lines\n"
	"  import   such lines: of a gateway that is stopped, all or nothing; of one that runs, each "
	"session\n"
	"\n"
	"Options:\n"
	"  -c, --config FILE  the configuration whose storage.path it is; FOLDER names the store itself\n"
	"  -j, --json         (info) everything, as one line of JSON\n"
	"  -o, --output FILE  (export) there instead of standard output; written anew as a whole\n"
	"  -i, --input FILE   (import) from there instead of standard input\n"
	"  -r, --replace      (import) sessions and retained messages that are there already are replaced; "
	"else they stay\n"
	"  -h, --help         say this\n"
	"\n"
	"Exit status: 0 done and in order; 1 not in order, or it failed; 2 wrong arguments.\n";

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"json", no_argument, NULL, 'j'},
	{"output", required_argument, NULL, 'o'},
	{"input", required_argument, NULL, 'i'},
	{"replace", no_argument, NULL, 'r'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static const struct {
	const char *name;
	const char *takes; /* its own options, as letters */
	int (*run)(const struct store_tool *t);
} commands[] = {
	{"info", "j", store_tool_info},      {"check", "", store_tool_check},
	{"compact", "", store_tool_compact}, {"export", "o", store_tool_export},
	{"import", "ir", store_tool_import},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

void store_tool_complain(const struct store_tool *t, const char *what, const char *why)
{
	fprintf(stderr, "lineside store %s: %s: %s\n", t->command, what, why);
}

int store_tool_open(const struct store_tool *t, struct store_backend **out)
{
	struct store_sqlite_options o = {.folder = t->folder, .read_only = true};
	char why[512] = "";
	int rc = store_sqlite_open(&o, out, why, sizeof(why));

	if (rc < 0)
		store_tool_complain(t, t->folder, *why ? why : err_text(rc));
	return rc;
}

static int folder_of_config(struct store_tool *t)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;
	int rc;

	faults_init(&faults, t->config);
	rc = gateway_config_load(t->config, &cfg, &faults);
	if (rc == ERR_CONFIG) {
		faults_print(&faults, stderr);
	} else if (rc < 0) {
		store_tool_complain(t, t->config, rc == ERR_IO ? strerror(errno) : err_text(rc));
	} else if (!cfg->storage.path) {
		store_tool_complain(t, t->config, "it has no storage.path, so nothing is stored");
		rc = ERR_NOT_FOUND;
	} else {
		snprintf(t->folder, sizeof(t->folder), "%s", cfg->storage.path);
		if (control_path(cfg, t->control, sizeof(t->control)) < 0)
			t->control[0] = '\0'; /* it has none then */
	}
	gateway_config_destroy(cfg);
	faults_fini(&faults);
	return rc;
}

/* What getopt has said is not said again: `why` empty. */
static int wrong(const char *what, const char *why)
{
	if (*why)
		fprintf(stderr, "lineside store: %s%s\n", what, why);
	fputs("Try \"lineside store --help\".\n", stderr);
	return TOOL_USAGE;
}

static int show_help(void)
{
	fputs(help, stdout);
	return fflush(stdout) == 0 ? 0 : 1;
}

/* -1: go on; else the exit status. */
static int read_options(int argc, char **argv, const char *takes, struct store_tool *t)
{
	char name[3] = "-x";
	int c;

	while ((c = getopt_long(argc, argv, "c:jo:i:rh", options, NULL)) != -1) {
		name[1] = (char)c;
		if (c == 'h')
			return show_help();
		if (c == '?')
			return wrong("", "");
		if (c != 'c' && !strchr(takes, c))
			return wrong(name, " is not an option of this command");
		if (c == 'c')
			t->config = optarg;
		else if (c == 'j')
			t->json = true;
		else if (c == 'r')
			t->replace = true;
		else
			t->file = optarg;
	}
	if (optind + 1 < argc)
		return wrong(argv[optind + 1], " is one argument too many");
	if ((t->config != NULL) == (optind < argc))
		return wrong("",
			     t->config ? "-c and FOLDER both say where it is"
				       : "where is it? -c names the configuration, FOLDER the store itself");
	if (optind < argc)
		snprintf(t->folder, sizeof(t->folder), "%s", argv[optind]);
	return -1;
}

int tool_store(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	struct store_tool t = {.command = word};
	char name[48]; /* under which getopt speaks */
	int status;

	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		return show_help();
	for (size_t i = 0; i < COUNT(commands); i++) {
		if (strcmp(commands[i].name, word) != 0)
			continue;
		snprintf(name, sizeof(name), "lineside store %s", word);
		argv[1] = name;
		t.command = commands[i].name;
		status = read_options(argc - 1, argv + 1, commands[i].takes, &t);
		if (status >= 0)
			return status;
		return t.config && folder_of_config(&t) < 0 ? 1 : commands[i].run(&t);
	}
	fprintf(stderr, *word ? "lineside store: there is no command \"%s\"; " : "lineside store:%s ", word);
	fprintf(stderr, "commands are info, check, compact, export and import (--help)\n");
	return TOOL_USAGE;
}
