/*
 * A stream of bytes: TCP, later TLS, WebSocket and serial lines, and the simulator. Protocols
 * talk to this and know no socket.  A stream belongs to the loop it is attached to and
 * to one owner on that loop.
 *
 * Events are edge-triggered. After READABLE the owner reads until stream_read() says that there is
 * nothing more; if it stops earlier it must read again by itself (loop_again()).  After a short write it
 * waits for WRITABLE.  HANGUP means: read to the end, then close.  An event is caused by something new, but its mask
 * shows all that is true at that time: WRITABLE may come unasked, and READABLE find nothing (ERR_AGAIN).
 */
#ifndef NET_STREAM_H
#define NET_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "loop/loop.h"

#define STREAM_PEER_MAX 64

struct stream;

struct stream_ops {
	int (*read)(struct stream *s, uint8_t *buf, size_t room, size_t *got, bool *more);
	int (*write)(struct stream *s, const struct iovec *iov, int niov, size_t *put);
	int (*attach)(struct stream *s, struct loop *loop);
	void (*detach)(struct stream *s);
	void (*close)(struct stream *s);
	void (*finish)(struct stream *s); /* NULL: as close */
	void (*peer)(const struct stream *s, char *buf, size_t size);
};

struct stream {
	const struct stream_ops *ops;
	/* The owner's: called on the loop it is attached to; may close the stream. */
	void (*ready)(struct stream *s, unsigned events); /* LOOP_READABLE | LOOP_WRITABLE | LOOP_HANGUP */
	void *owner;
};

/*
 * Read at most `room` bytes. OK: *got (>0) bytes, *more when another read may give more without
 * a new event. ERR_AGAIN: nothing now. ERR_CLOSED: the peer ended orderly. ERR_IO: reset, or connecting failed.
 */
static inline MUST_USE int stream_read(struct stream *s, uint8_t *buf, size_t room, size_t *got, bool *more)
{
	return s->ops->read(s, buf, room, got, more);
}

/*
 * Write what the stream takes now: *put bytes, fewer than given when it is full (WRITABLE follows).
 * OK (also with *put 0), ERR_CLOSED or ERR_IO. The bytes are the caller's again at once.
 */
static inline MUST_USE int stream_write(struct stream *s, const struct iovec *iov, int niov, size_t *put)
{
	return s->ops->write(s, iov, niov, put);
}

/* Give it to a loop: events arrive at s->ready. A detached stream keeps its bytes; pending ones are reported anew. */
static inline MUST_USE int stream_attach(struct stream *s, struct loop *loop)
{
	return s->ops->attach(s, loop);
}

static inline void stream_detach(struct stream *s)
{
	s->ops->detach(s);
}

/* Close and free; attached or not. No event follows. Accepts NULL. */
static inline void stream_close(struct stream *s)
{
	if (s)
		s->ops->close(s);
}

/*
 * The same for a stream whose last bytes shall be read: its end is told to the peer, and what that still sends is
 * thrown away for a short while. (A socket closed with unread bytes resets, and the peer loses what it has not read.)
 */
static inline void stream_finish(struct stream *s)
{
	if (s->ops->finish)
		s->ops->finish(s);
	else
		s->ops->close(s);
}

/* The peer's address as text, "10.0.0.1:5000"; at least STREAM_PEER_MAX bytes. */
static inline void stream_peer(const struct stream *s, char *buf, size_t size)
{
	s->ops->peer(s, buf, size);
}

/*
 * Opens streams to one place. The stream is attached to `loop` and still connecting: WRITABLE says that it
 * is up, HANGUP (then ERR_IO from read or write) that it failed. The caller sets ready and owner before the
 * next turn. Never blocks: a name is resolved aside.
 */
struct dialer {
	int (*dial)(struct dialer *d, struct loop *loop, struct stream **out);
	void (*describe)(const struct dialer *d, char *buf, size_t size); /* "host:port" */
	void (*destroy)(struct dialer *d);
};

/* Hands accepted streams over; `s` is the acceptor's, not attached yet. */
struct acceptor {
	void (*accepted)(struct acceptor *a, struct stream *s);
};

#endif
