/*
 * lineside status: asks a running gateway over its control socket.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/control_ask.h"
#include "tools/control_find.h"
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
	struct control_place at;
	bool json;
	double watch_s; /* 0: once */
};

static int show_once(const struct status_tool *t)
{
	char *text = control_ask(t->at.path, "{\"command\":\"status\"}\n", -1, WAIT_S);
	json_t *answer = control_answer_of(&t->at, text);
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
			t->at.config = optarg;
			break;
		case 's':
			t->at.socket = optarg;
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
	if (t->at.config && t->at.socket)
		return wrong("-c", " and --socket both say where it is");
	return -1;
}

int tool_status(int argc, char **argv)
{
	struct status_tool t = {.at.tool = "lineside status"};
	int status = read_arguments(argc, argv, &t);

	if (status >= 0)
		return status;
	return control_find(&t.at) < 0 ? 1 : show(&t);
}
