#include "net/stream_tcp.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/tcp_impl.h"

static struct stream_tcp *tcp_of(struct stream *s)
{
	return container_of(s, struct stream_tcp, stream);
}

void tcp_nodelay(int fd)
{
	int one = 1;

	/* Not a TCP socket (a socket pair): nothing is delayed there. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* ---- bytes ---- */

static int tcp_read(struct stream *s, uint8_t *buf, size_t room, size_t *got, bool *more)
{
	struct stream_tcp *t = tcp_of(s);
	ssize_t n;

	assert(room > 0);
	if (t->dialing)
		return tcp_dialing_failed(t) ? ERR_IO : ERR_AGAIN;
	do
		n = recv(t->fd.fd, buf, room, 0);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return ERR_CLOSED;
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_AGAIN : ERR_IO;
	*got = (size_t)n;
	/* Less than asked for: all there was, and what comes later has its own event. The end had its event. */
	*more = (size_t)n == room || t->hangup;
	return OK;
}

static size_t iov_bytes(const struct iovec *iov, int niov)
{
	size_t sum = 0;

	for (int i = 0; i < niov; i++)
		sum += iov[i].iov_len;
	return sum;
}

static int tcp_write(struct stream *s, const struct iovec *iov, int niov, size_t *put)
{
	struct stream_tcp *t = tcp_of(s);

	*put = 0;
	if (t->dialing)
		return tcp_dialing_failed(t) ? ERR_IO : OK;
	/* A full batch that the kernel took is no short write: no event would follow, so go on. */
	while (niov > 0) {
		int batch = niov < IOV_MAX ? niov : IOV_MAX;
		size_t asked = iov_bytes(iov, batch);
		struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)batch};
		ssize_t n;

		do
			n = sendmsg(t->fd.fd, &msg, MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || *put > 0))
			return OK; /* an error after some bytes comes back at the next call */
		if (n < 0)
			return errno == EPIPE ? ERR_CLOSED : ERR_IO;
		*put += (size_t)n;
		if ((size_t)n < asked)
			return OK;
		iov += batch;
		niov -= batch;
	}
	return OK;
}

/* ---- life ---- */

void tcp_stream_ready(struct loop_fd *f, unsigned events)
{
	struct stream_tcp *t = container_of(f, struct stream_tcp, fd);

	if (events & LOOP_HANGUP)
		t->hangup = true;
	if (t->stream.ready)
		t->stream.ready(&t->stream, events);
}

static int tcp_attach(struct stream *s, struct loop *loop)
{
	struct stream_tcp *t = tcp_of(s);
	int rc;

	assert(!t->loop);
	t->loop = loop;
	rc = t->dialing ? tcp_dialing_attach(t) : loop_fd_add(loop, &t->fd);
	if (rc < 0)
		t->loop = NULL;
	return rc;
}

static void tcp_detach(struct stream *s)
{
	struct stream_tcp *t = tcp_of(s);

	if (!t->loop)
		return;
	if (t->dialing)
		tcp_dialing_detach(t);
	else
		loop_fd_remove(t->loop, &t->fd);
	t->loop = NULL;
}

static void tcp_close(struct stream *s)
{
	struct stream_tcp *t = tcp_of(s);

	tcp_detach(s);
	if (t->dialing)
		tcp_dialing_destroy(t);
	if (t->fd.fd >= 0)
		close(t->fd.fd);
	free(t);
}

static void tcp_finish(struct stream *s)
{
	struct stream_tcp *t = tcp_of(s);
	struct loop *loop = t->loop;
	int fd = t->fd.fd;

	if (loop && !t->dialing && !t->hangup) {
		tcp_detach(s);
		t->fd.fd = -1;
		tcp_linger(loop, fd);
	}
	tcp_close(s);
}

static void tcp_peer(const struct stream *s, char *buf, size_t size)
{
	/* It is the first member; container_of() would drop the const. */
	tcp_addr_text(&((const struct stream_tcp *)s)->peer, buf, size);
}

static const struct stream_ops tcp_ops = {
	.read = tcp_read,
	.write = tcp_write,
	.attach = tcp_attach,
	.detach = tcp_detach,
	.close = tcp_close,
	.finish = tcp_finish,
	.peer = tcp_peer,
};

int tcp_stream_create(int fd, const union tcp_addr *peer, struct stream_tcp **out)
{
	struct stream_tcp *t = calloc(1, sizeof(*t));

	if (!t) {
		if (fd >= 0)
			close(fd);
		return ERR_NOMEM;
	}
	t->stream.ops = &tcp_ops;
	t->fd = (struct loop_fd){.fd = fd, .ready = tcp_stream_ready};
	t->peer = *peer;
	if (fd >= 0)
		tcp_nodelay(fd);
	*out = t;
	return OK;
}

int stream_tcp_from_fd(int fd, struct stream **out)
{
	struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(from);
	union tcp_addr peer = {0};
	struct stream_tcp *t;
	int flags = fcntl(fd, F_GETFL);
	int rc;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		close(fd);
		return ERR_IO;
	}
	if (getpeername(fd, (struct sockaddr *)&from, &len) == 0)
		memcpy(&peer, &from, sizeof(peer));
	rc = tcp_stream_create(fd, &peer, &t);
	if (rc == OK)
		*out = &t->stream;
	return rc;
}
