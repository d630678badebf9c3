/*
 * lineside modbus map: where each tag lies in the Modbus view of a configuration, as CSV.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "config/gateway_config.h"
#include "tools/modbus_tool.h"
#include "tools/tool.h"

static const char help[] =
	"Usage: lineside modbus map -c FILE\n"
	"\n"
	"Print where each tag of a configuration lies for masters (views.modbus), as CSV. Saved, edited\n"
	"and named by the key views.modbus.map, it holds instead of the automatic map.\n"
	"\n"
	"Options:\n"
	"  -c, --config FILE  the configuration\n"
	"  -h, --help         say this\n"
	"\n"
	"Exit status: 0 done; 1 it has faults, or no views.modbus; 2 wrong arguments.\n";

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static int print_map(const struct gateway_config *cfg, const char *path)
{
	if (cfg->views.has_modbus)
		return gateway_config_map_print(cfg, stdout);
	fprintf(stderr,
		"lineside modbus map: %s has no views.modbus: add \"views: {modbus: {}}\" for the default\n",
		path);
	return ERR_NOT_FOUND;
}

static int map_of(const char *path)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;
	int rc;

	faults_init(&faults, path);
	rc = gateway_config_load(path, &cfg, &faults);
	if (rc == OK)
		rc = print_map(cfg, path);
	else if (rc == ERR_CONFIG)
		faults_print(&faults, stderr);
	else
		fprintf(stderr, "lineside modbus map: %s: %s\n", path,
			rc == ERR_IO ? strerror(errno) : err_text(rc));
	gateway_config_destroy(cfg);
	faults_fini(&faults);
	return rc == OK ? 0 : 1;
}

int modbus_tool_map(int argc, char **argv)
{
	const char *path = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		if (c == 'h') {
			fputs(help, stdout);
			return fflush(stdout) == 0 ? 0 : 1;
		}
		if (c != 'c')
			return TOOL_USAGE;
		path = optarg;
	}
	if (path && optind == argc)
		return map_of(path);
	fputs("lineside modbus map: needs -c FILE and nothing else (--help)\n", stderr);
	return TOOL_USAGE;
}
