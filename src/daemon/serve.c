#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "daemon/daemon.h"
#include "daemon/server.h"
#include "tools/tool.h"

static const char help[] =
	"Usage: lineside serve [-c FILE] [--log-level LEVEL]\n"
	"\n"
	"Run the gateway in the foreground, until SIGTERM or SIGINT. SIGHUP reads the file again.\n"
	"Without a file it serves MQTT on 127.0.0.1:1883, in memory, with a simulated rack.\n"
	"\n"
	"Options:\n"
	"  -c, --config FILE      the configuration, YAML or (.json) JSON\n"
	"  -l, --log-level LEVEL  error, warning, notice, info or debug, whatever the file says\n"
	"  -h, --help             say this\n"
	"\n"
	"Exit status: 0 stopped as asked, 1 not started or failed, 2 wrong arguments.\n";

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"log-level", required_argument, NULL, 'l'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static int load(const char *path, struct gateway_config **cfg)
{
	struct faults faults;
	int rc;

	faults_init(&faults, path ? path : "default");
	rc = path ? gateway_config_load(path, cfg, &faults) : gateway_config_default(cfg);
	if (rc == ERR_CONFIG)
		faults_print(&faults, stderr);
	else if (rc < 0)
		fprintf(stderr, "lineside serve: %s: %s\n", faults.file,
			rc == ERR_IO ? strerror(errno) : err_text(rc));
	faults_fini(&faults);
	return rc;
}

/* -1: run; else the exit status. */
static int read_arguments(int argc, char **argv, struct server_options *o)
{
	int c;

	while ((c = getopt_long(argc, argv, "c:l:h", options, NULL)) != -1) {
		if (c == 'c') {
			o->path = optarg;
		} else if (c == 'l') {
			if (log_level_parse(optarg, &o->level) < 0) {
				fprintf(stderr, "lineside serve: there is no log level \"%s\"\n", optarg);
				return TOOL_USAGE;
			}
			o->has_level = true;
		} else if (c == 'h') {
			fputs(help, stdout);
			return fflush(stdout) == 0 ? 0 : 1;
		} else {
			fputs("Try \"lineside serve --help\".\n", stderr);
			return TOOL_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "lineside serve: \"%s\" is one argument too many; a file is given with -c\n",
			argv[optind]);
		return TOOL_USAGE;
	}
	return -1;
}

int daemon_serve(int argc, char **argv)
{
	struct server_options o = {0};
	struct gateway_config *cfg = NULL;
	int status = read_arguments(argc, argv, &o);

	if (status >= 0)
		return status;
	if (load(o.path, &cfg) < 0)
		return 1;
	return server_run(&o, cfg) == OK ? 0 : 1;
}
