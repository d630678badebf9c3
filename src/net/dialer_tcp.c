/*
 * Connecting: look the name up on a helper thread (numbers need none), then try its addresses one after the
 * other.  The state lives in a tcp_dialing that hangs on the stream until it is connected.
 *
 *   looking up --> trying address n --connected--> gone, the stream is an ordinary one
 *        |              |  ^ refused, or slow and there is another
 *        |              +--+
 *        +--> failed <--+  none left: HANGUP, ERR_IO
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/resolve.h"
#include "net/stream_tcp.h"
#include "net/tcp_impl.h"

#define NEXT_ADDRESS_MS 3000 /* an address that says nothing for so long, when there is another to try */

struct dialer_tcp {
	struct dialer dialer;
	char *host;
	uint16_t port;
};

struct tcp_dialing {
	struct stream_tcp *t;
	struct resolve *resolve; /* NULL: not looking up */
	struct loop_timer timer; /* start; next address; tell again that it failed */
	unsigned naddrs, next;
	bool failed;
	union tcp_addr addrs[RESOLVE_ADDRS_MAX];
};

bool tcp_dialing_failed(const struct stream_tcp *t)
{
	return t->dialing->failed;
}

static void tell_failed(struct tcp_dialing *d)
{
	struct stream *s = &d->t->stream;

	d->failed = true;
	if (s->ready)
		s->ready(s, LOOP_HANGUP); /* may close s, d with it */
}

/* ---- one address ---- */

static void drop_socket(struct stream_tcp *t)
{
	if (t->fd.fd < 0)
		return;
	loop_fd_remove(t->loop, &t->fd);
	close(t->fd.fd);
	t->fd.fd = -1;
}

/* A connect within this host to a free port of the dynamic range can meet itself: nobody serves there. */
static bool met_itself(int fd, const union tcp_addr *peer)
{
	union tcp_addr self = {0};
	socklen_t len = sizeof(self);

	if (getsockname(fd, &self.sa, &len) < 0 || self.sa.sa_family != peer->sa.sa_family)
		return false;
	if (self.sa.sa_family == AF_INET6)
		return self.in6.sin6_port == peer->in6.sin6_port &&
		       IN6_ARE_ADDR_EQUAL(&self.in6.sin6_addr, &peer->in6.sin6_addr);
	return self.in.sin_port == peer->in.sin_port && self.in.sin_addr.s_addr == peer->in.sin_addr.s_addr;
}

static bool connect_start(struct stream_tcp *t, const union tcp_addr *to)
{
	int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	tcp_nodelay(fd);
	t->peer = *to;
	t->fd.fd = fd;
	/* Interrupted, it goes on all the same. */
	if ((connect(fd, &to->sa, tcp_addr_len(to)) == 0 || errno == EINPROGRESS || errno == EINTR) &&
	    loop_fd_add(t->loop, &t->fd) == OK)
		return true;
	close(fd);
	t->fd.fd = -1;
	return false;
}

static void try_next(struct tcp_dialing *d)
{
	struct stream_tcp *t = d->t;

	drop_socket(t);
	loop_timer_cancel(t->loop, &d->timer);
	while (d->next < d->naddrs) {
		if (!connect_start(t, &d->addrs[d->next++]))
			continue;
		if (d->next < d->naddrs)
			loop_timer_set(t->loop, &d->timer, NEXT_ADDRESS_MS);
		return;
	}
	tell_failed(d);
}

static void dialing_timer(struct loop_timer *timer)
{
	struct tcp_dialing *d = container_of(timer, struct tcp_dialing, timer);

	if (d->failed)
		tell_failed(d);
	else
		try_next(d);
}

static void dialing_ready(struct loop_fd *f, unsigned events)
{
	struct stream_tcp *t = container_of(f, struct stream_tcp, fd);
	int error = 0;
	socklen_t len = sizeof(error);

	if (!(events & (LOOP_WRITABLE | LOOP_HANGUP)))
		return;
	if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error || !(events & LOOP_WRITABLE) ||
	    met_itself(f->fd, &t->peer)) {
		try_next(t->dialing);
		return;
	}
	loop_timer_cancel(t->loop, &t->dialing->timer);
	free(t->dialing);
	t->dialing = NULL;
	f->ready = tcp_stream_ready;
	f->ready(f, events);
}

/* ---- the name ---- */

static void resolved(void *arg, const union tcp_addr *addrs, unsigned naddrs)
{
	struct tcp_dialing *d = arg;

	memcpy(d->addrs, addrs, naddrs * sizeof(*addrs));
	d->naddrs = naddrs;
	resolve_cancel(d->resolve);
	d->resolve = NULL;
	try_next(d);
}

/* ---- the stream's side ---- */

int tcp_dialing_attach(struct stream_tcp *t)
{
	struct tcp_dialing *d = t->dialing;
	int rc;

	if (d->resolve) {
		resolve_attach(d->resolve, t->loop);
		return OK;
	}
	if (t->fd.fd < 0) {
		loop_timer_set(t->loop, &d->timer, 0);
		return OK;
	}
	rc = loop_fd_add(t->loop, &t->fd);
	if (rc == OK && d->next < d->naddrs)
		loop_timer_set(t->loop, &d->timer, NEXT_ADDRESS_MS);
	return rc;
}

void tcp_dialing_detach(struct stream_tcp *t)
{
	struct tcp_dialing *d = t->dialing;

	if (d->resolve)
		resolve_detach(d->resolve);
	if (t->fd.fd >= 0)
		loop_fd_remove(t->loop, &t->fd);
	loop_timer_cancel(t->loop, &d->timer);
}

void tcp_dialing_destroy(struct stream_tcp *t)
{
	resolve_cancel(t->dialing->resolve);
	free(t->dialing);
	t->dialing = NULL;
}

/* A stream that is connecting to nowhere yet. */
static int dialing_create(struct stream_tcp **out)
{
	const union tcp_addr nowhere = {0};
	struct tcp_dialing *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return ERR_NOMEM;
	if ((rc = tcp_stream_create(-1, &nowhere, out)) < 0) {
		free(d);
		return rc;
	}
	d->t = *out;
	loop_timer_init(&d->timer, dialing_timer);
	(*out)->dialing = d;
	(*out)->fd.ready = dialing_ready;
	return OK;
}

static int dialing_hand_over(struct stream_tcp *t, struct loop *loop, struct stream **out)
{
	int rc = stream_attach(&t->stream, loop);

	if (rc < 0)
		stream_close(&t->stream);
	else
		*out = &t->stream;
	return rc;
}

int tcp_dial_addrs(const union tcp_addr *addrs, unsigned naddrs, struct loop *loop, struct stream **out)
{
	struct stream_tcp *t;
	int rc;

	assert(naddrs <= RESOLVE_ADDRS_MAX);
	if ((rc = dialing_create(&t)) < 0)
		return rc;
	memcpy(t->dialing->addrs, addrs, naddrs * sizeof(*addrs));
	t->dialing->naddrs = naddrs;
	return dialing_hand_over(t, loop, out);
}

static int tcp_dial(struct dialer *base, struct loop *loop, struct stream **out)
{
	const struct dialer_tcp *dialer = container_of(base, struct dialer_tcp, dialer);
	union tcp_addr addr;
	struct stream_tcp *t;
	int rc;

	if (tcp_addr_parse(dialer->host, dialer->port, &addr) == OK)
		return tcp_dial_addrs(&addr, 1, loop, out);
	if ((rc = dialing_create(&t)) < 0)
		return rc;
	rc = resolve_start(dialer->host, dialer->port, resolved, t->dialing, &t->dialing->resolve);
	if (rc < 0) {
		stream_close(&t->stream);
		return rc;
	}
	return dialing_hand_over(t, loop, out);
}

static void tcp_describe(const struct dialer *base, char *buf, size_t size)
{
	/* It is the first member; container_of() would drop the const. */
	const struct dialer_tcp *dialer = (const struct dialer_tcp *)base;

	snprintf(buf, size, strchr(dialer->host, ':') ? "[%s]:%u" : "%s:%u", dialer->host,
		 (unsigned)dialer->port);
}

static void tcp_dialer_destroy(struct dialer *base)
{
	struct dialer_tcp *dialer = container_of(base, struct dialer_tcp, dialer);

	free(dialer->host);
	free(dialer);
}

int dialer_tcp_create(const char *host, uint16_t port, struct dialer **out)
{
	struct dialer_tcp *dialer = calloc(1, sizeof(*dialer));

	if (!dialer)
		return ERR_NOMEM;
	dialer->dialer =
		(struct dialer){.dial = tcp_dial, .describe = tcp_describe, .destroy = tcp_dialer_destroy};
	dialer->port = port;
	dialer->host = strdup(host);
	if (!dialer->host) {
		free(dialer);
		return ERR_NOMEM;
	}
	*out = &dialer->dialer;
	return OK;
}
