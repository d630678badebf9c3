/*
 * What the TCP stream, its dialer and its listener share.  For net/ only.
 */
#ifndef NET_TCP_IMPL_H
#define NET_TCP_IMPL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "net/stream.h"

/* An address in 28 bytes: every idle connection keeps one, for the log after the peer is gone. */
union tcp_addr {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static inline socklen_t tcp_addr_len(const union tcp_addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in);
}

/* "10.0.0.1:5000", "[fe80::1]:5000", "local" for a socket pair, "unknown". */
void tcp_addr_text(const union tcp_addr *a, char *buf, size_t size);

/*
 * "10.0.0.1", "::1", "fe80::1%eth0": numbers only, asks nobody. ERR_MALFORMED (perhaps it is a name),
 * ERR_NOT_FOUND (no such interface); then *out is undefined.
 */
MUST_USE int tcp_addr_parse(const char *text, uint16_t port, union tcp_addr *out);

struct tcp_dialing; /* an attempt to connect, see dialer_tcp.c */

struct stream_tcp {
	struct stream stream;
	struct loop_fd fd;           /* fd.fd is -1 while there is no socket yet */
	struct loop *loop;           /* NULL: not attached */
	struct tcp_dialing *dialing; /* NULL: connected */
	union tcp_addr peer;
	bool hangup; /* seen: read on to the end without waiting for an event */
};

/* A connected, non-blocking, close-on-exec descriptor as a stream. ERR_NOMEM; closes fd on failure. */
MUST_USE int tcp_stream_create(int fd, const union tcp_addr *peer, struct stream_tcp **out);

/* Becomes a connected socket: what an fd event means from now on. */
void tcp_stream_ready(struct loop_fd *f, unsigned events);
void tcp_nodelay(int fd);

/*
 * Dial these addresses (copied, at most RESOLVE_ADDRS_MAX) one after the other, as `struct dialer` does. ERR_NOMEM.
 */
MUST_USE int tcp_dial_addrs(const union tcp_addr *addrs, unsigned naddrs, struct loop *loop,
			    struct stream **out);

/*
 * Close a connected socket so that the peer can read what was sent: half now, the rest when it has ended, has sent too much,
 * or 2 s have passed. fd is taken in any case.
 */
void tcp_linger(struct loop *loop, int fd);

/* The parts of attach, detach and close of a stream that is still connecting. */
MUST_USE int tcp_dialing_attach(struct stream_tcp *t);
void tcp_dialing_detach(struct stream_tcp *t);
void tcp_dialing_destroy(struct stream_tcp *t); /* detached */
bool tcp_dialing_failed(const struct stream_tcp *t);

#endif
