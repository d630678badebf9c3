#include "daemon/line_trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

#define BYTES_MAX  520u /* of a frame in ASCII, and more than one of any other */
#define RECORD_MAX (BYTES_MAX * 2 + 160)

struct line_trace {
	struct source_trace trace;
	struct loop *loop;
	struct field *field;
	struct loop_fd fd; /* to see that nobody looks any more */
	unsigned lost;     /* records, since the last that was taken */
};

/* ---- records ---- */

static bool say(int fd, const char *text, size_t len)
{
	return send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static void say_end(int fd, const char *why)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "{\"ended\":\"%s\"}", why);

	if (!say(fd, text, (size_t)n))
		log_debug("daemon", "trace: its last record was not taken");
}

static uint64_t utc_us(const struct line_trace *t, uint64_t at_us)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 - (loop_now_us(t->loop) - at_us);
}

static size_t put_hex(char *to, struct span bytes)
{
	static const char digits[] = "0123456789abcdef";
	size_t n = bytes.len < BYTES_MAX ? bytes.len : BYTES_MAX;

	for (size_t i = 0; i < n; i++) {
		to[2 * i] = digits[bytes.p[i] >> 4];
		to[2 * i + 1] = digits[bytes.p[i] & 15];
	}
	return 2 * n;
}

static size_t put_record(const struct line_trace *t, char *to, bool is_sent, uint64_t at_us,
			 struct span bytes, const char *note)
{
	const char *quote = note ? "\"" : "";
	size_t n = (size_t)snprintf(
		to, RECORD_MAX, "{\"at_us\":%" PRIu64 ",\"sent\":%s,\"note\":%s%s%s,\"lost\":%u,\"hex\":\"",
		utc_us(t, at_us), is_sent ? "true" : "false", quote, note ? note : "null", quote, t->lost);

	n += put_hex(to + n, bytes);
	to[n++] = '"';
	to[n++] = '}';
	return n;
}

/* ---- one trace ---- */

static void trace_free(struct line_trace *t)
{
	loop_fd_remove(t->loop, &t->fd);
	close(t->fd.fd);
	free(t);
}

static void end(struct line_trace *t)
{
	field_untrace(t->field, &t->trace);
	trace_free(t);
}

static void on_frame(struct source_trace *trace, bool is_sent, uint64_t at_us, struct span bytes,
		     const char *note)
{
	struct line_trace *t = container_of(trace, struct line_trace, trace);
	char record[RECORD_MAX];
	size_t n = put_record(t, record, is_sent, at_us, bytes, note);

	if (say(t->fd.fd, record, n))
		t->lost = 0;
	else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
		t->lost++;
	else
		end(t);
}

static void on_line_ended(struct source_trace *trace)
{
	struct line_trace *t = container_of(trace, struct line_trace, trace);

	say_end(t->fd.fd, "the line is no more: the gateway stops, or its configuration changed");
	trace_free(t);
}

static void on_ready(struct loop_fd *f, unsigned events)
{
	if (events & LOOP_HANGUP)
		end(container_of(f, struct line_trace, fd));
}

static const char *reason(int err)
{
	switch (err) {
	case ERR_NOT_FOUND:
		return "there is no such line any more";
	case ERR_UNSUPPORTED:
		return "it is no Modbus line any more";
	case ERR_EXISTS:
		return "somebody else looks at this line already; end the other trace first";
	default:
		return err_text(err);
	}
}

void line_trace_begin(struct loop *loop, struct field *f, const char *line, int fd)
{
	struct line_trace *t = calloc(1, sizeof(*t));
	int rc = ERR_NOMEM;

	if (!t)
		goto failed;
	t->loop = loop;
	t->field = f;
	t->trace = (struct source_trace){.frame = on_frame, .ended = on_line_ended};
	t->fd = (struct loop_fd){.fd = fd, .ready = on_ready};
	if ((rc = loop_fd_add(loop, &t->fd)) < 0)
		goto failed;
	if ((rc = field_trace(f, line, &t->trace)) == OK)
		return;
	loop_fd_remove(loop, &t->fd);
failed:
	say_end(fd, reason(rc));
	close(fd);
	free(t);
}
