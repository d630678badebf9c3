/*
 * For tests and the fuzzer of the broker: one end of a stream on a simulated loop, whose other end is a pair of byte
 * buffers in the test's hands. Nothing is random here, and what the broker reads and writes allocates nothing while
 * the buffers are large enough.
 */
#ifndef MQTT_FAKE_STREAM_H
#define MQTT_FAKE_STREAM_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "loop/loop_sim.h"
#include "net/stream.h"

struct fake_stream {
	struct stream stream;
	struct loop *loop; /* attached to, or NULL */
	struct sim_event event;
	unsigned edges;
	/* to the broker */
	uint8_t *in;
	size_t in_len, in_off, in_cap;
	size_t piece; /* most bytes that one read gives; 0: all */
	int in_end;   /* what a read says when nothing is left: ERR_AGAIN, ERR_CLOSED, ERR_IO */
	/* from the broker */
	uint8_t *out;
	size_t out_len, out_off, out_cap;
	size_t room; /* bytes that may wait in out before a write is short */
	bool is_full;
	bool is_closed; /* by the broker */
};

static inline struct fake_stream *fake_of(struct stream *s)
{
	return container_of(s, struct fake_stream, stream);
}

static inline void fake_event(struct sim_event *e)
{
	struct fake_stream *f = container_of(e, struct fake_stream, event);
	unsigned edges = f->edges;

	f->edges = 0;
	f->stream.ready(&f->stream, edges);
}

static inline void fake_edge(struct fake_stream *f, unsigned edges)
{
	f->edges |= edges;
	if (f->loop)
		sim_event_post(f->loop, &f->event);
}

static inline int fake_read(struct stream *s, uint8_t *buf, size_t room, size_t *got, bool *more)
{
	struct fake_stream *f = fake_of(s);
	size_t n = f->in_len - f->in_off;

	assert(room > 0);
	if (n == 0)
		return f->in_end;
	if (n > room)
		n = room;
	if (f->piece && n > f->piece)
		n = f->piece;
	memcpy(buf, f->in + f->in_off, n);
	f->in_off += n;
	*got = n;
	*more = f->in_off < f->in_len || f->in_end != ERR_AGAIN;
	return OK;
}

static inline void fake_reserve(uint8_t **buf, size_t *cap, size_t want)
{
	if (want <= *cap)
		return;
	*cap = 2 * want;
	*buf = realloc(*buf, *cap);
	if (!*buf)
		abort();
}

static inline int fake_write(struct stream *s, const struct iovec *iov, int niov, size_t *put)
{
	struct fake_stream *f = fake_of(s);

	*put = 0;
	if (f->in_end == ERR_IO)
		return ERR_IO;
	for (int i = 0; i < niov; i++) {
		size_t waits = f->out_len - f->out_off, room = f->room > waits ? f->room - waits : 0;
		size_t n = iov[i].iov_len < room ? iov[i].iov_len : room;

		fake_reserve(&f->out, &f->out_cap, f->out_len + n);
		if (n)
			memcpy(f->out + f->out_len, iov[i].iov_base, n);
		f->out_len += n;
		*put += n;
		if (n < iov[i].iov_len) {
			f->is_full = true;
			break;
		}
	}
	return OK;
}

static inline int fake_attach(struct stream *s, struct loop *loop)
{
	fake_of(s)->loop = loop;
	fake_edge(fake_of(s), LOOP_READABLE | LOOP_WRITABLE);
	return OK;
}

static inline void fake_detach(struct stream *s)
{
	sim_event_cancel(&fake_of(s)->event);
	fake_of(s)->loop = NULL;
}

static inline void fake_close(struct stream *s)
{
	fake_detach(s);
	assert(!fake_of(s)->is_closed);
	fake_of(s)->is_closed = true;
}

static inline void fake_peer(const struct stream *s, char *buf, size_t size)
{
	(void)s;
	snprintf(buf, size, "fake");
}

/* Room for `cap` bytes each way without allocating again. NULL: out of memory. */
static inline struct fake_stream *fake_create(size_t cap)
{
	static const struct stream_ops ops = {.read = fake_read,
					      .write = fake_write,
					      .attach = fake_attach,
					      .detach = fake_detach,
					      .close = fake_close,
					      .peer = fake_peer};
	struct fake_stream *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->stream.ops = &ops;
	f->in_end = ERR_AGAIN;
	f->room = SIZE_MAX;
	sim_event_init(&f->event, fake_event);
	fake_reserve(&f->in, &f->in_cap, cap);
	fake_reserve(&f->out, &f->out_cap, cap);
	return f;
}

/* The broker has closed it. */
static inline void fake_destroy(struct fake_stream *f)
{
	assert(f->is_closed);
	free(f->in);
	free(f->out);
	free(f);
}

/* Bytes for the broker. */
static inline void fake_put(struct fake_stream *f, const void *bytes, size_t n)
{
	if (f->is_closed || n == 0)
		return;
	fake_reserve(&f->in, &f->in_cap, f->in_len + n);
	memcpy(f->in + f->in_len, bytes, n);
	f->in_len += n;
	fake_edge(f, LOOP_READABLE);
}

/* The other side ends: ERR_CLOSED or ERR_IO. */
static inline void fake_end(struct fake_stream *f, int how)
{
	f->in_end = how;
	if (!f->is_closed)
		fake_edge(f, LOOP_READABLE | LOOP_HANGUP);
}

/* `n` bytes of what the broker wrote were looked at. */
static inline void fake_taken(struct fake_stream *f, size_t n)
{
	f->out_off += n;
	if (f->out_off == f->out_len)
		f->out_off = f->out_len = 0;
	if (f->is_full && !f->is_closed) {
		f->is_full = false;
		fake_edge(f, LOOP_WRITABLE);
	}
}

#endif
