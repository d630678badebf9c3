#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "config/gateway_config.h"
#include "daemon/daemon.h"
#include "field/capacity.h"
#include "tools/tool.h"

static const char help[] =
	"Usage: lineside check [-c FILE] [--schema]\n"
	"\n"
	"Check a configuration and print every fault with its place.\n"
	"\n"
	"Options:\n"
	"  -c, --config FILE  the file; without it, the default of \"lineside serve\"\n"
	"  -s, --schema       print the JSON Schema of all keys instead\n"
	"  -h, --help         say this\n"
	"\n"
	"A warning says which serial line cannot do all its scans at the rate that is asked.\n"
	"\n"
	"Exit status: 0 no faults, 1 faults or the file cannot be read, 2 wrong arguments.\n";

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"schema", no_argument, NULL, 's'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static void summarise(const char *name, const struct gateway_config *cfg)
{
	size_t tags = 0;

	for (size_t i = 0; i < cfg->ndevices; i++)
		tags += cfg->devices[i].ntags;
	printf("%s: no faults; gateway %s, listeners: %zu, lines: %zu, devices: %zu, tags: %zu\n", name,
	       cfg->gateway.name, cfg->nlisteners, cfg->nlines, cfg->ndevices, tags);
}

static void warn(void *name, const char *text)
{
	fprintf(stderr, "%s: warning: %s\n", (const char *)name, text);
}

static int check_file(const char *path)
{
	const char *name = path ? path : "default";
	struct gateway_config *cfg = NULL;
	struct faults faults;
	int rc;

	faults_init(&faults, name);
	rc = path ? gateway_config_load(path, &cfg, &faults) : gateway_config_default(&cfg);
	if (rc == OK)
		rc = capacity_check(cfg, warn, (void *)(uintptr_t)name);
	if (rc == OK)
		summarise(name, cfg);
	else if (rc == ERR_IO)
		fprintf(stderr, "lineside check: %s: %s\n", name, strerror(errno));
	else if (rc == ERR_CONFIG)
		faults_print(&faults, stdout);
	else
		fprintf(stderr, "lineside check: %s: %s\n", name, err_text(rc));
	gateway_config_destroy(cfg);
	faults_fini(&faults);
	return rc == OK && fflush(stdout) == 0 ? 0 : 1;
}

int daemon_check(int argc, char **argv)
{
	const char *path = NULL;
	bool schema = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:sh", options, NULL)) != -1) {
		if (c == 'c') {
			path = optarg;
		} else if (c == 's') {
			schema = true;
		} else if (c == 'h') {
			fputs(help, stdout);
			return fflush(stdout) == 0 ? 0 : 1;
		} else {
			fputs("Try \"lineside check --help\".\n", stderr);
			return TOOL_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "lineside check: \"%s\" is one argument too many; a file is given with -c\n",
			argv[optind]);
		return TOOL_USAGE;
	}
	if (schema)
		return gateway_config_schema_print(stdout) == OK ? 0 : 1;
	return check_file(path);
}
