/*
 * lineside pub: publish to an MQTT broker with the flags of mosquitto_pub.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/mqtt_tool.h"
#include "tools/tool.h"

#define READ_CHUNK 65536u

struct pub {
	struct mqtt_tool t;
	uint8_t *buf; /* the payload, or with -l what was read and not published */
	size_t len, cap;
	uint32_t left; /* publishes to come, of --repeat */
	struct loop_timer repeat;

	struct loop_fd in; /* -l: standard input */
	bool is_reading;   /* connected once */
	bool is_polled;    /* events say when it can be read; a file always can */
	bool is_paused;    /* the client's queue is full */
	bool is_eof;
};

/* ---- input ---- */

static int buf_reserve(struct pub *p, size_t more)
{
	if (p->cap - p->len >= more)
		return OK;
	if (p->len > MQTT_REMAINING_MAX)
		return ERR_TOO_LARGE;
	size_t cap = p->cap * 2 > p->len + more ? p->cap * 2 : p->len + more;
	uint8_t *buf = realloc(p->buf, cap);

	if (!buf)
		return ERR_NOMEM;
	p->buf = buf;
	p->cap = cap;
	return OK;
}

/* One read behind what is there; *n 0 at the end. */
static int buf_read(struct pub *p, int fd, size_t *n)
{
	ssize_t got;
	int rc;

	if ((rc = buf_reserve(p, READ_CHUNK)) < 0)
		return rc;
	do
		got = read(fd, p->buf + p->len, p->cap - p->len);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return ERR_IO;
	*n = (size_t)got;
	p->len += *n;
	return OK;
}

/* The whole of a file or of standard input, before there is a loop that it could block. */
static int load(struct pub *p, int fd, const char *name)
{
	size_t n = 1;
	int rc = OK;

	errno = 0;
	if (fd < 0)
		rc = ERR_IO;
	while (rc == OK && n > 0)
		rc = buf_read(p, fd, &n);
	if (rc == OK && p->len > MQTT_REMAINING_MAX)
		rc = ERR_TOO_LARGE;
	if (rc < 0)
		mqtt_tool_error(&p->t, "%s: %s", name, rc == ERR_IO ? strerror(errno) : err_text(rc));
	return rc;
}

static int load_file(struct pub *p, const char *name)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	int rc = load(p, fd, name);

	if (fd >= 0)
		close(fd);
	return rc;
}

static int load_stdin(struct pub *p)
{
	int rc = load(p, STDIN_FILENO, "standard input");

	if (rc == OK && p->len == 0) {
		mqtt_tool_error(&p->t, "standard input is empty; -n publishes a message of no bytes");
		return ERR_RANGE;
	}
	return rc;
}

static int payload_load(struct pub *p)
{
	const struct mqtt_options *o = &p->t.o;

	switch (o->source) {
	case SOURCE_FILE:
		return load_file(p, o->source_arg);
	case SOURCE_STDIN:
		return load_stdin(p);
	case SOURCE_MESSAGE:
		if (!(p->buf = (uint8_t *)strdup(o->source_arg)))
			return ERR_NOMEM;
		p->len = strlen(o->source_arg);
		return OK;
	case SOURCE_NULL:
	case SOURCE_LINES:
	case SOURCE_NONE:
		break;
	}
	return OK;
}

/* ---- publishing ---- */

static int publish(struct pub *p, struct span payload)
{
	const struct mqtt_options *o = &p->t.o;
	struct mqtt_publish m = {
		.qos = o->qos,
		.retain = o->retain,
		.topic = span_str(o->topics[0]),
		.payload = payload,
		.props = o->props[PROPS_PUBLISH].props,
	};
	int rc = mqtt_client_publish(p->t.client, &m, NULL);

	if (rc == OK || rc == ERR_FULL)
		return rc;
	mqtt_tool_error(&p->t, "cannot publish %zu bytes: %s", payload.len, err_text(rc));
	mqtt_tool_leave(&p->t, 1, false);
	return rc;
}

static void publish_next(struct pub *p)
{
	p->left--;
	if (publish(p, span_of(p->buf, p->len)) == ERR_FULL)
		mqtt_tool_leave(&p->t, 1, false);
}

static void repeat_fire(struct loop_timer *t)
{
	publish_next(container_of(t, struct pub, repeat));
}

/* ---- -l ---- */

/*
 * Whole lines from the front of the buffer, until the queue is full; at the end of input also the last piece.
 */
static int lines_publish(struct pub *p)
{
	size_t at = 0;
	int rc = OK;

	while (rc == OK && at < p->len) {
		const uint8_t *end = memchr(p->buf + at, '\n', p->len - at);

		if (!end && !p->is_eof)
			break;
		size_t len = (end ? (size_t)(end - p->buf) : p->len) - at;

		if ((rc = publish(p, span_of(p->buf + at, len))) == OK)
			at += len + (end ? 1 : 0);
	}
	if (at > 0)
		memmove(p->buf, p->buf + at, p->len - at);
	p->len -= at;
	return rc;
}

static bool can_read(const struct pub *p)
{
	struct pollfd f = {.fd = p->in.fd, .events = POLLIN};

	return !p->is_polled || poll(&f, 1, 0) > 0;
}

static void lines_pump(struct pub *p)
{
	size_t n;
	int rc;

	while (p->is_reading && !p->t.is_leaving) {
		rc = lines_publish(p);
		p->is_paused = rc == ERR_FULL;
		if (rc < 0)
			return;
		if (p->is_eof) {
			mqtt_tool_leave(&p->t, p->t.status, true);
			return;
		}
		if (!can_read(p))
			return;
		if ((rc = buf_read(p, p->in.fd, &n)) < 0) {
			mqtt_tool_error(&p->t, "standard input: %s",
					rc == ERR_IO ? strerror(errno) : err_text(rc));
			mqtt_tool_leave(&p->t, 1, true);
			return;
		}
		p->is_eof = n == 0;
	}
}

static void in_ready(struct loop_fd *f, unsigned events)
{
	(void)events;
	lines_pump(container_of(f, struct pub, in));
}

static void lines_start(struct pub *p)
{
	p->is_reading = true;
	p->in = (struct loop_fd){.fd = STDIN_FILENO, .ready = in_ready};
	/* A file cannot be watched, and need not be. */
	p->is_polled = loop_fd_add(p->t.loop, &p->in) == OK;
	lines_pump(p);
}

/* ---- events ---- */

static void connected(struct mqtt_tool *t)
{
	struct pub *p = container_of(t, struct pub, t);

	if (t->o.source == SOURCE_LINES && !p->is_reading)
		lines_start(p);
	else if (t->o.source != SOURCE_LINES && p->left == t->o.repeat)
		publish_next(p);
}

static void published(struct mqtt_tool *t, int err, uint8_t reason)
{
	struct pub *p = container_of(t, struct pub, t);

	if (err < 0) {
		mqtt_tool_error(t, "the message was not published: %s",
				reason ? mqtt_reason_text(reason) : err_text(err));
		t->status = 1;
	}
	if (t->o.source == SOURCE_LINES) {
		/* Many lines at a time: what is left in the buffer moves at each. */
		if (p->is_paused && mqtt_client_pending(t->client) <= t->o.client.queue_messages / 2)
			lines_pump(p);
	} else if (p->left == 0) {
		mqtt_tool_leave(t, t->status, true);
	} else if (t->o.repeat_delay_ms) {
		loop_timer_set(t->loop, &p->repeat, t->o.repeat_delay_ms);
	} else {
		publish_next(p);
	}
}

static int run(struct pub *p)
{
	int status = 1;

	p->left = p->t.o.repeat;
	p->t.connected = connected;
	p->t.published = published;
	loop_timer_init(&p->repeat, repeat_fire);
	if (payload_load(p) == OK && mqtt_tool_open(&p->t, false) == OK)
		status = mqtt_tool_run(&p->t);
	if (p->is_polled)
		loop_fd_remove(p->t.loop, &p->in);
	if (p->t.loop)
		loop_timer_cancel(p->t.loop, &p->repeat);
	return status;
}

int tool_pub(int argc, char **argv)
{
	struct pub p = {.t = {.signals = {.fd = -1}}};
	int status = 1;

	if (mqtt_options_parse(&p.t.o, MQTT_TOOL_PUB, argc, argv) == OK &&
	    !mqtt_tool_information(&p.t.o, &status))
		status = run(&p);
	mqtt_tool_close(&p.t);
	free(p.buf);
	return status;
}
