/*
 * lineside modbus trace: the frames of a line of a running gateway. The gateway gets one end of a socket with the request, and its field
 * thread writes a record to it for each frame (daemon/line_trace.h).
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tools/control_ask.h"
#include "tools/control_find.h"
#include "tools/modbus_frame.h"
#include "tools/modbus_tool.h"
#include "tools/tool.h"
#include "wire/modbus_rtu.h"

#define WAIT_S         10
#define RECORD_MAX     2048u
#define COUNT_MAX      1000000000ul
#define SECONDS_MAX    86400.0
#define LINE_MAX_BYTES 256u /* of a name, which is shorter */

static const char help[] =
	"Usage: lineside modbus trace LINE [-c FILE | --socket PATH] [OPTION...]\n"
	"\n"
	"Print each frame of a Modbus line of a running gateway: time (UTC), sent, received, foreign, "
	"broken,\n"
	"noise or echo, unit, what it says, and its bytes. The line does not wait: what is not taken in "
	"time\n"
	"is lost, and counted. Ends at Ctrl-C.\n"
	"\n"
	"Options:\n"
	"  -c, --config FILE      the configuration that the gateway runs; without it, the default of\n"
	"                         \"lineside serve\"\n"
	"  --socket PATH          its control socket\n"
	"  -n, --count N          end after so many frames\n"
	"  --seconds SECONDS      end after this time\n"
	"  --json                 each frame as a line of JSON\n"
	"  -h, --help             say this\n"
	"\n"
	"Exit status: 0 done; 1 there is no such line, no gateway, or it stopped; 2 wrong arguments.\n";

enum { OPTION_SOCKET = 256, OPTION_SECONDS, OPTION_JSON };

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"count", required_argument, NULL, 'n'},
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"seconds", required_argument, NULL, OPTION_SECONDS},
	{"json", no_argument, NULL, OPTION_JSON},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

struct trace_tool {
	struct control_place at;
	const char *line;
	unsigned long count; /* 0: no end */
	double seconds;      /* 0: no end */
	bool json;
	enum modbus_framing framing;
	unsigned long shown;
	uint64_t end_ms;
};

static volatile sig_atomic_t is_over;

static void on_signal(int signal)
{
	(void)signal;
	is_over = 1;
}

static void complain(const struct trace_tool *t, const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", t->at.tool, what, why);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- a frame ---- */

static size_t bytes_of(const char *hex, uint8_t *out, size_t room)
{
	size_t n = 0;
	unsigned byte;

	while (n < room && sscanf(hex + 2 * n, "%2x", &byte) == 1)
		out[n++] = (uint8_t)byte;
	return n;
}

/* "broken" is what people call a wrong checksum. */
static const char *kind_of(const json_t *record)
{
	const char *note = json_string_value(json_object_get(record, "note"));

	if (json_is_true(json_object_get(record, "sent")))
		return "sent";
	if (!note)
		return "received";
	return strcmp(note, "crc") == 0 ? "broken" : note;
}

static void format_time(uint64_t at_us, char out[40])
{
	time_t s = (time_t)(at_us / 1000000);
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, 40 - n, ".%06uZ", (unsigned)(at_us % 1000000));
}

static void print_bytes(const struct trace_tool *t, struct span bytes)
{
	if (t->framing == MODBUS_FRAMING_ASCII) {
		for (size_t i = 0; i < bytes.len; i++)
			if (bytes.p[i] > ' ' && bytes.p[i] < 0x7f)
				putchar(bytes.p[i]);
			else if (bytes.p[i] != '\r' && bytes.p[i] != '\n')
				printf("\\x%02x", bytes.p[i]);
	} else {
		for (size_t i = 0; i < bytes.len; i++)
			printf("%s%02x", i ? " " : "", bytes.p[i]);
	}
}

static void print_frame(const struct trace_tool *t, const char *kind, uint64_t at_us, struct span bytes,
			const struct modbus_frame_text *f)
{
	char time[40], unit[16] = "-";

	format_time(at_us, time);
	if (f->unit >= 0)
		snprintf(unit, sizeof(unit), "%d", f->unit);
	printf("%s  %-8s  unit %-3s  %s%s[", time, kind, unit, f->text, *f->text ? "  " : "");
	print_bytes(t, bytes);
	printf("]\n");
}

static void print_json(const char *kind, uint64_t at_us, const char *hex, const struct modbus_frame_text *f)
{
	json_t *line = json_pack("{s:I, s:s, s:s}", "at_us", (json_int_t)at_us, "kind", kind, "hex", hex);
	char *text;

	if (f->unit >= 0)
		json_object_update_new(line, json_pack("{s:i, s:s}", "unit", f->unit, "text", f->text));
	text = json_dumps(line, JSON_COMPACT);
	puts(text ? text : "{}");
	free(text);
	json_decref(line);
}

static void show_lost(const struct trace_tool *t, unsigned lost)
{
	if (lost && t->json)
		printf("{\"lost\":%u}\n", lost);
	else if (lost)
		printf("%u frames were not taken in time, and are not shown\n", lost);
}

static void show(struct trace_tool *t, const json_t *record)
{
	const char *hex = json_string_value(json_object_get(record, "hex")), *kind = kind_of(record);
	uint64_t at_us = (uint64_t)json_integer_value(json_object_get(record, "at_us"));
	uint8_t bytes[MODBUS_ASCII_MAX + 8];
	struct modbus_frame_text f;
	struct span frame;

	if (!hex)
		return;
	show_lost(t, (unsigned)json_integer_value(json_object_get(record, "lost")));
	frame = span_of(bytes, bytes_of(hex, bytes, sizeof(bytes)));
	modbus_frame_read(t->framing,
			  strcmp(kind, "sent") == 0 || strcmp(kind, "echo") == 0 ? MODBUS_FRAME_REQUEST
			  : strcmp(kind, "received") == 0                        ? MODBUS_FRAME_ANSWER
										 : MODBUS_FRAME_ANY,
			  frame, &f);
	if (t->json)
		print_json(kind, at_us, hex, &f);
	else
		print_frame(t, kind, at_us, frame, &f);
	t->shown++;
}

/* ---- all of them ---- */

static bool is_done(const struct trace_tool *t)
{
	return is_over || (t->count && t->shown >= t->count) || (t->seconds > 0 && now_ms() >= t->end_ms);
}

static int next_wait_ms(const struct trace_tool *t)
{
	uint64_t now = now_ms();

	if (t->seconds <= 0)
		return -1;
	return now < t->end_ms ? (int)(t->end_ms - now) : 0;
}

/* What came; -1: go on, else the exit status. */
static int take(struct trace_tool *t, const char *text, size_t len)
{
	json_t *record = json_loadb(text, len, 0, NULL);
	const char *ended = json_string_value(json_object_get(record, "ended"));

	if (ended)
		complain(t, t->line, ended);
	else
		show(t, record);
	json_decref(record);
	if (fflush(stdout) != 0)
		return 1;
	return ended ? 1 : -1;
}

static int follow(struct trace_tool *t, int fd)
{
	char text[RECORD_MAX];
	int status = -1;

	while (status < 0 && !is_done(t)) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;

		if (poll(&p, 1, next_wait_ms(t)) <= 0)
			continue;
		n = recv(fd, text, sizeof(text), 0);
		if (n > 0) {
			status = take(t, text, (size_t)n);
		} else if (n == 0 || errno != EINTR) {
			complain(t, t->line, "the gateway stopped");
			status = 1;
		}
	}
	return status < 0 ? 0 : status;
}

/* ---- asking ---- */

static void say_lines(const struct trace_tool *t, const json_t *answer)
{
	const json_t *lines = json_object_get(answer, "lines");

	fprintf(stderr, "%s: %s: %s", t->at.tool, t->line,
		json_string_value(json_object_get(answer, "error")));
	fputs(json_array_size(lines) ? "; allowed:" : "; the gateway has no Modbus line", stderr);
	for (size_t i = 0; i < json_array_size(lines); i++)
		fprintf(stderr, "%s %s", i ? "," : "", json_string_value(json_array_get(lines, i)));
	fputc('\n', stderr);
}

/* The request, with this name; NULL: out of memory. To free(). */
static char *request_of(const char *line)
{
	json_t *request = json_pack("{s:s, s:s}", "command", "trace", "line", line);
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL, *with_end = NULL;
	size_t len = text ? strlen(text) : 0;

	if (text && (with_end = malloc(len + 2)))
		snprintf(with_end, len + 2, "%s\n", text);
	free(text);
	json_decref(request);
	return with_end;
}

static int ask(struct trace_tool *t, int fd)
{
	char *request = request_of(t->line);
	char *text = request ? control_ask(t->at.path, request, fd, WAIT_S) : NULL;
	json_t *answer = text ? json_loads(text, 0, NULL) : NULL;
	const char *framing = json_string_value(json_object_get(answer, "framing"));

	if (json_object_get(answer, "lines")) {
		say_lines(t, answer);
	} else if (!framing) {
		json_decref(answer);
		answer = control_answer_of(&t->at, text);
	} else if (strcmp(framing, "tcp") == 0) {
		t->framing = MODBUS_FRAMING_TCP;
	} else {
		t->framing = strcmp(framing, "ascii") == 0 ? MODBUS_FRAMING_ASCII : MODBUS_FRAMING_RTU;
	}
	free(request);
	free(text);
	json_decref(answer);
	return framing ? OK : ERR_REMOTE;
}

static int run(struct trace_tool *t)
{
	const struct sigaction end = {.sa_handler = on_signal};
	int ends[2], rc, status;

	if (control_find(&t->at) < 0)
		return 1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
		complain(t, "socketpair", strerror(errno));
		return 1;
	}
	sigaction(SIGINT, &end, NULL);
	sigaction(SIGTERM, &end, NULL);
	t->end_ms = now_ms() + (uint64_t)(t->seconds * 1000);
	rc = ask(t, ends[1]);
	close(ends[1]);
	status = rc < 0 ? 1 : follow(t, ends[0]);
	close(ends[0]);
	return status;
}

/* ---- arguments ---- */

static int wrong(const char *what, const char *why)
{
	fprintf(stderr, "lineside modbus trace: %s%s (--help)\n", what, why);
	return TOOL_USAGE;
}

static bool read_count(const char *text, unsigned long *out)
{
	char *end;

	errno = 0;
	*out = strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *out >= 1 && *out <= COUNT_MAX;
}

static bool read_seconds(const char *text, double *out)
{
	char *end;

	*out = strtod(text, &end);
	return *text && !*end && *out >= 0.1 && *out <= SECONDS_MAX; /* not with NaN */
}

/* -1: go on; else the exit status. */
static int read_option(struct trace_tool *t, int c)
{
	switch (c) {
	case 'c':
		t->at.config = optarg;
		return -1;
	case OPTION_SOCKET:
		t->at.socket = optarg;
		return -1;
	case OPTION_JSON:
		t->json = true;
		return -1;
	case 'n':
		return read_count(optarg, &t->count)
			       ? -1
			       : wrong(optarg, " is no --count, allowed: 1 to 1000000000");
	case OPTION_SECONDS:
		return read_seconds(optarg, &t->seconds)
			       ? -1
			       : wrong(optarg, " is no time for --seconds, allowed: 0.1 to 86400");
	case 'h':
		fputs(help, stdout);
		return fflush(stdout) == 0 ? 0 : 1;
	default:
		return TOOL_USAGE;
	}
}

int modbus_tool_trace(int argc, char **argv)
{
	struct trace_tool t = {.at.tool = "lineside modbus trace"};
	int c, status;

	while ((c = getopt_long(argc, argv, "c:n:h", options, NULL)) != -1)
		if ((status = read_option(&t, c)) >= 0)
			return status;
	if (optind + 1 != argc)
		return wrong("", "needs the name of one line, and nothing else");
	t.line = argv[optind];
	if (strlen(t.line) >= LINE_MAX_BYTES)
		return wrong(t.line, " is no name of a line");
	if (t.at.config && t.at.socket)
		return wrong("-c", " and --socket both say where the gateway is");
	return run(&t);
}
