/*
 * Streams over TCP. TCP_NODELAY is on; sockets are close-on-exec and non-blocking.
 */
#ifndef NET_STREAM_TCP_H
#define NET_STREAM_TCP_H

#include "net/stream.h"

/* Take a connected descriptor as a stream, not attached; closes fd on failure. */
MUST_USE int stream_tcp_from_fd(int fd, struct stream **out);

/*
 * A dialer to host (name or address, copied) and port. A name is looked up on a helper thread
 * at each dial, and the stream fails with ERR_IO when it is not found.
 */
MUST_USE int dialer_tcp_create(const char *host, uint16_t port, struct dialer **out);

struct listener;
/*
 * Listen at address (NULL: all) and port (0: any free one) on `loop`; each connection goes to `a`. When
 * descriptors run out, connections are closed at once with the help of a spare one; without that, accepting pauses and is tried
 * again. Errors: ERR_IO (errno says why), ERR_NOMEM.
 */
MUST_USE int listener_tcp_open(struct loop *loop, const char *address, uint16_t port, struct acceptor *a,
			       struct listener **out);
uint16_t listener_port(const struct listener *l);
/* Connections that were accepted and closed at once, because the process or the system had no descriptor left. */
uint64_t listener_turned_away(const struct listener *l);
void listener_close(struct listener *l); /* accepts NULL */

#endif
