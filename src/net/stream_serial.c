#include "net/stream_serial.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/serial_port.h"

struct stream_serial {
	struct stream stream;
	struct loop *loop; /* NULL: not attached */
	struct loop_fd fd;
	bool hangup;
	char *path;
};

struct dialer_serial {
	struct dialer dialer;
	struct serial_options options;
	struct serial_direction direction;
	struct serial_told told;
	char *path;
};

static struct stream_serial *serial_of(struct stream *s)
{
	return container_of(s, struct stream_serial, stream);
}

static int serial_read(struct stream *s, uint8_t *buf, size_t room, size_t *got, bool *more)
{
	struct stream_serial *t = serial_of(s);
	ssize_t n;

	assert(room > 0);
	do
		n = read(t->fd.fd, buf, room);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN && !t->hangup)
		return ERR_AGAIN;
	if (n <= 0)
		return ERR_IO; /* pulled out */
	*got = (size_t)n;
	*more = (size_t)n == room || t->hangup;
	return OK;
}

static int serial_write(struct stream *s, const struct iovec *iov, int niov, size_t *put)
{
	ssize_t n;

	*put = 0;
	do
		n = writev(serial_of(s)->fd.fd, iov, niov);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? OK : ERR_IO;
	*put = (size_t)n;
	return OK;
}

static void serial_ready(struct loop_fd *f, unsigned events)
{
	struct stream_serial *t = container_of(f, struct stream_serial, fd);

	if (events & LOOP_HANGUP)
		t->hangup = true;
	if (t->stream.ready)
		t->stream.ready(&t->stream, events);
}

static int serial_attach(struct stream *s, struct loop *loop)
{
	struct stream_serial *t = serial_of(s);
	int rc;

	assert(!t->loop);
	if ((rc = loop_fd_add(loop, &t->fd)) == OK)
		t->loop = loop;
	return rc;
}

static void serial_detach(struct stream *s)
{
	struct stream_serial *t = serial_of(s);

	if (t->loop)
		loop_fd_remove(t->loop, &t->fd);
	t->loop = NULL;
}

static void serial_close(struct stream *s)
{
	struct stream_serial *t = serial_of(s);

	serial_detach(s);
	serial_port_close(t->fd.fd);
	free(t->path);
	free(t);
}

static void serial_peer(const struct stream *s, char *buf, size_t size)
{
	/* It is the first member; container_of() would drop the const. */
	snprintf(buf, size, "%s", ((const struct stream_serial *)(const void *)s)->path);
}

static const struct stream_ops serial_ops = {
	.read = serial_read,
	.write = serial_write,
	.attach = serial_attach,
	.detach = serial_detach,
	.close = serial_close,
	.peer = serial_peer,
};

/* ---- dialing ---- */

/* The descriptor is the stream's with OK. */
static MUST_USE int stream_of_port(int fd, const char *path, struct loop *loop, struct stream **out)
{
	struct stream_serial *t = calloc(1, sizeof(*t));
	char *copy = strdup(path);
	int rc = ERR_NOMEM;

	if (t && copy) {
		*t = (struct stream_serial){
			.stream.ops = &serial_ops, .fd = {.fd = fd, .ready = serial_ready}, .path = copy};
		rc = serial_attach(&t->stream, loop);
	}
	if (rc < 0) {
		free(copy);
		free(t);
		return rc;
	}
	*out = &t->stream;
	return OK;
}

static int serial_dial(struct dialer *base, struct loop *loop, struct stream **out)
{
	struct dialer_serial *d = container_of(base, struct dialer_serial, dialer);
	int fd = serial_port_open(&d->options, &d->told);
	int rc;

	if (fd < 0)
		return ERR_IO;
	rc = stream_of_port(fd, d->path, loop, out);
	if (rc < 0)
		close(fd);
	return rc;
}

static void serial_describe(const struct dialer *base, char *buf, size_t size)
{
	snprintf(buf, size, "%s", ((const struct dialer_serial *)(const void *)base)->path);
}

static void serial_dialer_destroy(struct dialer *base)
{
	struct dialer_serial *d = container_of(base, struct dialer_serial, dialer);

	free(d->path);
	free(d);
}

int dialer_serial_create(const struct serial_options *options, struct dialer **out)
{
	struct dialer_serial *d = calloc(1, sizeof(*d));

	if (!d)
		return ERR_NOMEM;
	d->dialer = (struct dialer){
		.dial = serial_dial, .describe = serial_describe, .destroy = serial_dialer_destroy};
	d->path = strdup(options->path);
	if (!d->path) {
		free(d);
		return ERR_NOMEM;
	}
	d->options = *options;
	d->options.path = d->path;
	if (options->direction) {
		d->direction = *options->direction;
		d->options.direction = &d->direction;
	}
	*out = &d->dialer;
	return OK;
}
