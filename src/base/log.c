#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

/* Below PIPE_BUF, so that a line that goes into a pipe is never torn. */
#define LINE_MAX_BYTES 2048
#define STAMP_BYTES    sizeof "2026-11-22T12:00:00.123Z"
#define LEFT_OUT_BYTES sizeof " (4294967295 more left out)"

/* A process has one stderr: the threshold and the descriptor are the only settings it shares. */
static _Atomic int threshold = LOG_NOTICE;
static _Atomic int log_fd = STDERR_FILENO;

static const char *const level_names[] = {
	[LOG_ERROR] = "error", [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
	[LOG_INFO] = "info",   [LOG_DEBUG] = "debug",
};
#define LEVELS (sizeof level_names / sizeof level_names[0])

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

enum log_level log_level(void)
{
	return (enum log_level)atomic_load_explicit(&threshold, memory_order_relaxed);
}

const char *log_level_name(enum log_level level)
{
	return (size_t)level < LEVELS ? level_names[level] : "unknown";
}

int log_level_parse(const char *word, enum log_level *level)
{
	for (size_t i = 0; i < LEVELS; i++) {
		if (strcmp(word, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return OK;
		}
	}
	return ERR_NOT_FOUND;
}

void log_set_fd(int fd)
{
	atomic_store_explicit(&log_fd, fd, memory_order_relaxed);
}

/*
 * May this cause write a line now?  *left_out is then how many it kept back since its last one.  Threads that race at
 * the edge of a window may let a line more or less through; none is lost from the count.
 */
static bool cause_may_log(struct log_cause *cause, uint32_t *left_out)
{
	struct timespec ts;
	uint64_t now, start;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	/* Never 0, which marks a cause that has not logged yet. */
	now = (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000 + 1;
	start = atomic_load(&cause->window_start_ms);
	if ((start == 0 || now - start >= LOG_WINDOW_MS) &&
	    atomic_compare_exchange_strong(&cause->window_start_ms, &start, now))
		atomic_store(&cause->lines, 0);
	/* A cause that never rests must not wrap its count around to "few". */
	if (atomic_load(&cause->lines) >= LOG_BURST || atomic_fetch_add(&cause->lines, 1) >= LOG_BURST) {
		atomic_fetch_add(&cause->left_out, 1);
		return false;
	}
	*left_out = atomic_exchange(&cause->left_out, 0);
	return true;
}

static void stamp(char buf[STAMP_BYTES])
{
	struct timespec ts;
	struct tm tm = {0};
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(buf, STAMP_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
	if (n)
		snprintf(buf + n, STAMP_BYTES - n, ".%03uZ", (unsigned)(ts.tv_nsec / 1000000) % 1000);
}

/* Whatever slipped into the text, a line stays one line and cannot drive a terminal. */
static void blank_controls(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = ' ';
}

void log_write(struct log_cause *cause, enum log_level level, const char *area, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	/* Kept free behind the text: "...", the count and the line feed. */
	const size_t room = sizeof line - LEFT_OUT_BYTES - sizeof "...\n";
	int saved_errno = errno;
	char when[STAMP_BYTES] = "";
	uint32_t left_out = 0;
	size_t n;
	int want;
	va_list args;

	if (!cause_may_log(cause, &left_out))
		return;
	stamp(when);
	want = snprintf(line, room, "%s %s %s: ", when, log_level_name(level), area);
	n = want > 0 ? (size_t)want : 0;
	if (n < room) {
		va_start(args, fmt);
		want = vsnprintf(line + n, room - n, fmt, args);
		va_end(args);
		n += want > 0 ? (size_t)want : 0;
	}
	if (n >= room)
		n = room - 1 + (size_t)sprintf(line + room - 1, "...");
	if (left_out)
		n += (size_t)sprintf(line + n, " (%u more left out)", left_out);
	blank_controls(line);
	line[n++] = '\n';
	while (write(atomic_load_explicit(&log_fd, memory_order_relaxed), line, n) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}

/* How the character at p is shown: text and its length in out[], the bytes it covers as the answer. */
static size_t quote_one(const uint8_t *p, size_t left, char out[5], size_t *outlen)
{
	uint32_t point = 0;
	size_t len = utf8_char(p, left, &point);

	if (len == 1 && (point == '"' || point == '\\')) {
		out[0] = '\\';
		out[1] = (char)point;
		*outlen = 2;
		return 1;
	}
	/* C1 controls are valid UTF-8, and some terminals obey them. */
	if (len == 0 || point < 0x20 || (point >= 0x7f && point < 0xa0)) {
		*outlen = (size_t)snprintf(out, 5, "\\x%02x", p[0]);
		return 1;
	}
	memcpy(out, p, len);
	*outlen = len;
	return len;
}

const char *log_quote(char *buf, size_t size, struct span s)
{
	const size_t tail = sizeof "\"..."; /* what must fit behind the text, with its NUL */
	size_t n = 0, i = 0, fits = 0;

	buf[n++] = '"';
	fits = n;
	while (i < s.len) {
		char one[5];
		size_t onelen;
		size_t step = quote_one(s.p + i, s.len - i, one, &onelen);

		if (n + onelen + sizeof "\"" > size)
			break;
		memcpy(buf + n, one, onelen);
		n += onelen;
		i += step;
		if (n + tail <= size)
			fits = n;
	}
	strcpy(buf + (i < s.len ? fits : n), i < s.len ? "\"..." : "\"");
	return buf;
}
