/*
 * lineside status: asks a running gateway over its control socket.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config/control_path.h"
#include "tools/control_ask.h"
#include "tools/status_text.h"
#include "tools/tool.h"

#define WAIT_S    10
#define WATCH_MAX 86400.0

static const char help[] =
	"Usage: lineside status [-c FILE | --socket PATH] [--json] [--watch SECONDS]\n"
	"\n"
	"Tell how a running gateway does: clients, messages and what was dropped, memory, workers, lines and "
	"devices.\n"
	"\n"
	"Options:\n"
	"  -c, --config FILE    the configuration that the gateway runs; without it, the default of "
	"\"lineside serve\"\n"
	"  -s, --socket PATH    its control socket\n"
	"  -j, --json           everything, as one line of JSON\n"
	"  -w, --watch SECONDS  again and again, so often\n"
	"  -h, --help           say this\n"
	"\n"
	"Exit status: 0 it answered, 1 none runs or it cannot be asked, 2 wrong arguments.\n";

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'}, {"socket", required_argument, NULL, 's'},
	{"json", no_argument, NULL, 'j'},         {"watch", required_argument, NULL, 'w'},
	{"help", no_argument, NULL, 'h'},         {NULL, 0, NULL, 0},
};

struct status_tool {
	const char *config, *socket;
	bool json;
	double watch_s; /* 0: once */
	char path[1024];
};

static void complain(const char *what, const char *why)
{
	fprintf(stderr, "lineside status: %s: %s\n", what, why);
}

/* ---- where ---- */

static int path_of_config(struct status_tool *t)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;
	int rc;

	faults_init(&faults, t->config ? t->config : "default");
	rc = t->config ? gateway_config_load(t->config, &cfg, &faults) : gateway_config_default(&cfg);
	if (rc == ERR_CONFIG) {
		faults_print(&faults, stderr);
		complain(t->config,
			 "has faults, so where its gateway answers is not known; --socket names it");
	} else if (rc < 0) {
		complain(faults.file, rc == ERR_IO ? strerror(errno) : err_text(rc));
	} else if ((rc = control_path(cfg, t->path, sizeof(t->path))) < 0) {
		complain(t->path, "is longer than the path of a Unix socket can be");
	}
	gateway_config_destroy(cfg);
	faults_fini(&faults);
	return rc;
}

static int find_path(struct status_tool *t)
{
	if (!t->socket)
		return path_of_config(t);
	snprintf(t->path, sizeof(t->path), "%s", t->socket);
	if (strlen(t->socket) < CONTROL_PATH_BYTES)
		return OK;
	complain(t->socket, "is longer than the path of a Unix socket can be");
	return ERR_TOO_LARGE;
}

/* ---- asking ---- */

static void say_why_not(const struct status_tool *t, int error)
{
	if (error == ENOENT || error == ECONNREFUSED)
		fprintf(stderr,
			"lineside status: no gateway answers at %s; start one with \"lineside "
			"serve%s%s\"%s\n",
			t->path, t->config ? " -c " : "", t->config ? t->config : "",
			t->config || t->socket ? "" : ", or name the file of the one that runs with -c");
	else if (error == EACCES || error == EPERM)
		complain(t->path, "only the user who started the gateway, and root, may ask it");
	else
		complain(t->path, error == EAGAIN ? "the gateway there does not answer" : strerror(error));
}

static char *ask(const struct status_tool *t)
{
	char *text = control_ask(t->path, "{\"command\":\"status\"}\n", -1, WAIT_S);

	if (!text)
		say_why_not(t, errno);
	return text;
}

static json_t *answer_of(const struct status_tool *t, const char *text)
{
	json_t *answer = json_loads(text, 0, NULL);
	const char *error = json_string_value(json_object_get(answer, "error"));

	if (json_is_object(answer) && !error)
		return answer;
	complain(t->path, error ? error : "what answers there is no gateway, or it stopped meanwhile");
	json_decref(answer);
	return NULL;
}

static int show_once(const struct status_tool *t)
{
	char *text = ask(t);
	json_t *answer = text ? answer_of(t, text) : NULL;
	int status = 1;

	if (answer) {
		if (t->watch_s > 0 && !t->json && isatty(STDOUT_FILENO))
			fputs("\033[H\033[2J", stdout);
		if (t->json)
			fputs(text, stdout);
		else
			status_print(answer, stdout);
		status = fflush(stdout) == 0 ? 0 : 1;
	}
	json_decref(answer);
	free(text);
	return status;
}

static int show(const struct status_tool *t)
{
	struct timespec pause = {.tv_sec = (time_t)t->watch_s,
				 .tv_nsec = (long)((t->watch_s - (double)(time_t)t->watch_s) * 1e9)};
	int status;

	while ((status = show_once(t)) == 0 && t->watch_s > 0) {
		nanosleep(&pause, NULL);
		if (!t->json && !isatty(STDOUT_FILENO))
			putchar('\n');
	}
	return status;
}

/* ---- arguments ---- */

static bool read_seconds(const char *text, double *out)
{
	char *end;

	*out = strtod(text, &end);
	return *text && !*end && *out >= 0.1 && *out <= WATCH_MAX; /* not with NaN */
}

/* What getopt has said is not said again: `what` empty. */
static int wrong(const char *what, const char *why)
{
	if (*why)
		fprintf(stderr, "lineside status: %s%s\n", what, why);
	fputs("Try \"lineside status --help\".\n", stderr);
	return TOOL_USAGE;
}

/* -1: go on; else the exit status. */
static int read_arguments(int argc, char **argv, struct status_tool *t)
{
	int c;

	while ((c = getopt_long(argc, argv, "c:s:jw:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			t->config = optarg;
			break;
		case 's':
			t->socket = optarg;
			break;
		case 'j':
			t->json = true;
			break;
		case 'w':
			if (!read_seconds(optarg, &t->watch_s))
				return wrong(optarg,
					     " is no time for --watch, allowed: 0.1 to 86400 seconds");
			break;
		case 'h':
			fputs(help, stdout);
			return fflush(stdout) == 0 ? 0 : 1;
		default:
			return wrong("", "");
		}
	}
	if (optind < argc)
		return wrong(argv[optind], " is no argument of this command");
	if (t->config && t->socket)
		return wrong("-c", " and --socket both say where it is");
	return -1;
}

int tool_status(int argc, char **argv)
{
	struct status_tool t = {0};
	int status = read_arguments(argc, argv, &t);

	if (status >= 0)
		return status;
	return find_path(&t) < 0 ? 1 : show(&t);
}
