/*
 * For the tests of TCP streams, dialers and listeners only: both ends of connections on one real loop. Every wait is for
 * an event and bounded.
 */
#ifndef NET_TCP_TESTING_H
#define NET_TCP_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "net/stream_tcp.h"

#define TURN_MS   100
#define MAX_TURNS 300

/* One end of a connection as a test sees it. */
struct end {
	struct stream *s;
	unsigned events; /* all since last cleared */
	unsigned calls;
	size_t got;
	int rc;     /* of the last read */
	bool reads; /* drain in the handler */
	bool close_in_handler;
	uint8_t last;
};

struct side {
	struct acceptor acceptor;
	struct loop *loop;
	struct listener *listener;
	struct end server[80];
	unsigned nserver;
	unsigned close_after; /* close the listener inside the n-th accept */
};

static inline void drain(struct end *e)
{
	uint8_t buf[4096];
	size_t got;
	bool more = true;

	while (more) {
		e->rc = stream_read(e->s, buf, sizeof(buf), &got, &more);
		if (e->rc < 0)
			return;
		e->got += got;
		e->last = buf[got - 1];
	}
}

static inline void end_ready(struct stream *s, unsigned events)
{
	struct end *e = s->owner;

	e->events |= events;
	e->calls++;
	if (e->close_in_handler) {
		stream_close(s);
		e->s = NULL;
		return;
	}
	if (e->reads && events & (LOOP_READABLE | LOOP_HANGUP))
		drain(e);
}

static inline void own(struct end *e, struct stream *s)
{
	e->s = s;
	e->rc = ERR_AGAIN;
	s->owner = e;
	s->ready = end_ready;
}

static inline void accepted(struct acceptor *a, struct stream *s)
{
	struct side *side = container_of(a, struct side, acceptor);

	assert_true(side->nserver < 80);
	own(&side->server[side->nserver++], s);
	assert_int_equal(stream_attach(s, side->loop), OK);
	if (side->nserver == side->close_after) {
		listener_close(side->listener);
		side->listener = NULL;
	}
}

static inline void turns_until(struct loop *loop, const volatile unsigned *what, unsigned bits)
{
	for (int i = 0; i < MAX_TURNS && (*what & bits) != bits; i++)
		assert_int_equal(loop_turn(loop, TURN_MS), OK);
	assert_int_equal(*what & bits, bits);
}

static inline void turns_until_count(struct loop *loop, const volatile unsigned *what, unsigned count)
{
	for (int i = 0; i < MAX_TURNS && *what < count; i++)
		assert_int_equal(loop_turn(loop, TURN_MS), OK);
	assert_int_equal(*what, count);
}

static inline void side_open(struct side *side, const char *address)
{
	*side = (struct side){.acceptor = {.accepted = accepted}};
	assert_int_equal(loop_create(&side->loop), OK);
	assert_int_equal(listener_tcp_open(side->loop, address, 0, &side->acceptor, &side->listener), OK);
	assert_true(listener_port(side->listener) > 0);
}

static inline void side_close(struct side *side)
{
	for (unsigned i = 0; i < side->nserver; i++)
		stream_close(side->server[i].s);
	listener_close(side->listener);
	loop_destroy(side->loop);
}

static inline void dial(struct side *side, const char *host, uint16_t port, struct end *client)
{
	struct dialer *d;
	struct stream *s;

	assert_int_equal(dialer_tcp_create(host, port, &d), OK);
	assert_int_equal(d->dial(d, side->loop, &s), OK);
	d->destroy(d); /* a dial in progress needs it no more */
	*client = (struct end){0};
	own(client, s);
}

static inline void connect_pair(struct side *side, struct end *client)
{
	side_open(side, "127.0.0.1");
	dial(side, "127.0.0.1", listener_port(side->listener), client);
	turns_until(side->loop, &client->events, LOOP_WRITABLE);
	turns_until_count(side->loop, &side->nserver, 1);
}

static inline void put(struct stream *s, const char *text)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	size_t n;

	assert_int_equal(stream_write(s, &iov, 1, &n), OK);
	assert_int_equal(n, iov.iov_len);
}

#endif
