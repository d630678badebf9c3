#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "net/listener.h"
#include "net/stream_tcp.h"
#include "net/tcp_impl.h"

#define ACCEPTS_PER_TURN 64 /* then the connections that are there have their turn */
#define PAUSE_MS         100
#define BACKLOG          1024

struct listener_tcp {
	struct listener listener;
	struct loop *loop;
	struct loop_fd fd;
	struct loop_timer retry; /* accept again without an event: more is waiting, or descriptors ran out */
	struct acceptor *acceptor;
	/*
	 * Given up when descriptors run out, so that those who wait can be told: a connection that nobody accepts looks to
	 * its client like one that is served slowly. -1: could not be opened.
	 */
	int spare;
	uint64_t told; /* of turned_away, in the log */
	bool short_of; /* descriptors; that was logged */
	bool *gone;    /* set when the acceptor closes us from within */
};

static int spare_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/*
 * Take the connection in front with the spare's number and close it. OK; ERR_AGAIN: there was none, accept4() says EMFILE before it
 * looks; ERR_FULL: the number went elsewhere.
 */
static int turn_away(struct listener_tcp *l, int error)
{
	int fd, none;

	if (l->spare < 0)
		return ERR_FULL;
	close(l->spare);
	fd = accept4(l->fd.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	none = fd < 0 && errno == EAGAIN;
	if (fd >= 0)
		close(fd);
	l->spare = spare_open();
	if (fd < 0)
		return none ? ERR_AGAIN : ERR_FULL;
	if (!l->short_of)
		log_warning("net", "port %u: %s: connections are closed as they come",
			    (unsigned)l->listener.port, strerror(error));
	l->short_of = true;
	l->listener.turned_away++;
	return OK;
}

static void short_no_more(struct listener_tcp *l)
{
	if (l->spare < 0)
		l->spare = spare_open();
	if (!l->short_of)
		return;
	log_notice("net", "port %u: connections are accepted again, %" PRIu64 " were closed meanwhile",
		   (unsigned)l->listener.port, l->listener.turned_away - l->told);
	l->told = l->listener.turned_away;
	l->short_of = false;
}

static void pause_accepting(struct listener_tcp *l, int error)
{
	log_warning("net", "port %u: cannot accept: %s; tried again every %d ms", (unsigned)l->listener.port,
		    strerror(error), PAUSE_MS);
	loop_timer_set(l->loop, &l->retry, PAUSE_MS);
}

/* Take one connection. False when there is none or accepting pauses. */
static bool accept_one(struct listener_tcp *l)
{
	union tcp_addr peer = {0};
	socklen_t len = sizeof(peer);
	struct stream_tcp *t;
	int fd = accept4(l->fd.fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC), error, rc;

	if (fd >= 0) {
		short_no_more(l);
		if (tcp_stream_create(fd, &peer, &t) == OK)
			l->acceptor->accepted(l->acceptor, &t->stream);
		return true;
	}
	switch (errno) {
	case EAGAIN:
		return false;
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM:
	case ETIMEDOUT:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
		/* The one in front broke before we took it, see accept(2); the next may be fine. */
		return true;
	case EMFILE:
	case ENFILE:
		error = errno;
		rc = turn_away(l, error);
		if (rc == ERR_FULL)
			pause_accepting(l, error);
		return rc == OK;
	default:
		pause_accepting(l, errno); /* ENOBUFS, ENOMEM */
		return false;
	}
}

static void accept_some(struct listener_tcp *l)
{
	bool gone = false;

	l->gone = &gone;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		bool took = accept_one(l);

		if (gone)
			return;
		if (!took) {
			l->gone = NULL;
			return;
		}
	}
	l->gone = NULL;
	loop_timer_set(l->loop, &l->retry, 0);
}

static void listener_ready(struct loop_fd *f, unsigned events)
{
	struct listener_tcp *l = container_of(f, struct listener_tcp, fd);

	(void)events;
	if (!loop_timer_pending(&l->retry))
		accept_some(l);
}

static void listener_retry(struct loop_timer *t)
{
	accept_some(container_of(t, struct listener_tcp, retry));
}

static void listener_tcp_close(struct listener *base)
{
	struct listener_tcp *l = container_of(base, struct listener_tcp, listener);

	if (l->gone)
		*l->gone = true;
	loop_timer_cancel(l->loop, &l->retry);
	loop_fd_remove(l->loop, &l->fd);
	close(l->fd.fd);
	if (l->spare >= 0)
		close(l->spare);
	free(l);
}

/* ---- opening ---- */

static int listen_at(const union tcp_addr *at, bool dual_stack)
{
	int one = 1, v6only = !dual_stack;
	int fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0 &&
	    (at->sa.sa_family != AF_INET6 ||
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) == 0) &&
	    bind(fd, &at->sa, tcp_addr_len(at)) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	error = errno;
	close(fd);
	errno = error;
	return -1;
}

static int listen_everywhere(uint16_t port)
{
	union tcp_addr any6 = {.in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)}};
	union tcp_addr any4 = {.in = {.sin_family = AF_INET, .sin_port = htons(port)}};
	int fd = listen_at(&any6, true);

	/* A kernel without IPv6 has no such family or no such address; a port in use stays an error. */
	if (fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
		fd = listen_at(&any4, false);
	return fd;
}

static int listen_socket(const char *address, uint16_t port)
{
	union tcp_addr at;

	if (!address)
		return listen_everywhere(port);
	if (tcp_addr_parse(address, port, &at) < 0) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	return listen_at(&at, false);
}

static uint16_t bound_port(int fd)
{
	union tcp_addr at = {0};
	socklen_t len = sizeof(at);

	if (getsockname(fd, &at.sa, &len) < 0)
		return 0;
	return ntohs(at.sa.sa_family == AF_INET6 ? at.in6.sin6_port : at.in.sin_port);
}

int listener_tcp_open(struct loop *loop, const char *address, uint16_t port, struct acceptor *a,
		      struct listener **out)
{
	struct listener_tcp *l = calloc(1, sizeof(*l));
	int rc, error;

	if (!l)
		return ERR_NOMEM;
	l->loop = loop;
	l->acceptor = a;
	loop_timer_init(&l->retry, listener_retry);
	l->fd = (struct loop_fd){.fd = listen_socket(address, port), .ready = listener_ready};
	rc = l->fd.fd < 0 ? ERR_IO : loop_fd_add(loop, &l->fd);
	if (rc < 0) {
		error = errno;
		if (l->fd.fd >= 0)
			close(l->fd.fd);
		free(l);
		errno = error;
		return rc;
	}
	l->spare = spare_open();
	l->listener = (struct listener){.close = listener_tcp_close, .port = bound_port(l->fd.fd)};
	*out = &l->listener;
	return OK;
}
