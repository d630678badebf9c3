/*
 * lineside: finds the subcommand and runs it.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/daemon.h"
#include "tools/tool.h"

/* The subcommands that know everything; the others are in tools/tool.h. */
static const struct tool own[] = {
	{"serve", "run the gateway", daemon_serve},
	{"check", "check a configuration file", daemon_check},
	{NULL, NULL, NULL},
};

static void list(FILE *to, const struct tool *table)
{
	for (const struct tool *t = table; t->name; t++)
		fprintf(to, "  %-9s %s\n", t->name, t->summary);
}

static void usage(FILE *to)
{
	fprintf(to, "Usage: lineside COMMAND [ARGUMENT...]\n"
		    "\n"
		    "Commands:\n");
	list(to, own);
	list(to, tools);
	fprintf(to, "\n"
		    "Options:\n"
		    "  --help     say this\n"
		    "  --version  say the version\n"
		    "\n"
		    "\"lineside COMMAND --help\" explains a command.\n");
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	const struct tool *tool = tool_find(own, word);

	if (!tool)
		tool = tool_find(tools, word);
	if (tool) {
		char name[32]; /* under which getopt speaks */

		snprintf(name, sizeof(name), "lineside %s", tool->name);
		argv[1] = name;
		return tool->run(argc - 1, argv + 1);
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
		usage(stdout);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	if (strcmp(word, "--version") == 0) {
		printf("lineside %s\n", LINESIDE_VERSION);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	if (*word)
		fprintf(stderr, "lineside: there is no command \"%s\"\n\n", word);
	usage(stderr);
	return TOOL_USAGE;
}
