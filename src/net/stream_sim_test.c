#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/alloc_fail.h"
#include "net/stream_sim.h"

#define RUN_US UINT64_C(10000000)

/* One end of a connection as a test sees it. */
struct end {
	struct stream *s;
	unsigned events;
	unsigned calls;
	size_t got;
	int rc; /* of the last read */
	bool reads;
	uint8_t bytes[256];
};

struct world {
	struct sim_world *w;
	struct sim_net *net;
	struct loop *loop[2]; /* of the server, of the client */
	struct acceptor acceptor;
	struct listener *listener;
	struct dialer *dialer;
	struct end client, server;
	unsigned naccepted;
	bool unlisten_in_accept;
};

static void drain(struct end *e)
{
	uint8_t buf[64];
	size_t got;
	bool more = true;

	while (more) {
		e->rc = stream_read(e->s, buf, sizeof(buf), &got, &more);
		if (e->rc < 0)
			return;
		for (size_t i = 0; i < got; i++)
			e->bytes[(e->got + i) % sizeof(e->bytes)] = buf[i];
		e->got += got;
	}
}

static void end_ready(struct stream *s, unsigned events)
{
	struct end *e = s->owner;

	assert_true(events != 0);
	e->events |= events;
	e->calls++;
	if (e->reads && events & (LOOP_READABLE | LOOP_HANGUP))
		drain(e);
}

static void own(struct end *e, struct stream *s)
{
	*e = (struct end){.s = s, .rc = ERR_AGAIN};
	s->owner = e;
	s->ready = end_ready;
}

static void accepted(struct acceptor *a, struct stream *s)
{
	struct world *x = container_of(a, struct world, acceptor);

	assert_null(x->server.s);
	own(&x->server, s);
	x->naccepted++;
	assert_int_equal(stream_attach(s, x->loop[0]), OK);
	if (x->unlisten_in_accept) {
		sim_net_unlisten(x->listener);
		x->listener = NULL;
	}
}

static void world_open(struct world *x, uint64_t seed, const struct sim_net_faults *faults)
{
	*x = (struct world){.acceptor = {.accepted = accepted}};
	assert_int_equal(sim_world_create(seed, &x->w), OK);
	assert_int_equal(sim_net_create(x->w, &x->net), OK);
	if (faults)
		sim_net_set_faults(x->net, faults);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(sim_loop_create(x->w, &x->loop[i]), OK);
	assert_int_equal(sim_net_listen(x->net, x->loop[0], "broker", &x->acceptor, &x->listener), OK);
	assert_int_equal(sim_net_dialer(x->net, "broker", &x->dialer), OK);
}

static void world_dial(struct world *x)
{
	struct stream *s;

	assert_int_equal(x->dialer->dial(x->dialer, x->loop[1], &s), OK);
	own(&x->client, s);
}

static void settle(struct world *x)
{
	assert_int_equal(sim_run(x->w, RUN_US, NULL, NULL), ERR_NOT_FOUND);
}

static void world_connect(struct world *x, uint64_t seed, const struct sim_net_faults *faults)
{
	world_open(x, seed, faults);
	world_dial(x);
	settle(x);
	assert_int_equal(x->client.events, LOOP_WRITABLE);
	assert_int_equal(x->server.events, LOOP_WRITABLE);
	x->client.events = x->client.calls = 0;
	x->server.events = x->server.calls = 0;
}

static void world_close(struct world *x)
{
	stream_close(x->client.s);
	stream_close(x->server.s);
	sim_net_unlisten(x->listener);
	x->dialer->destroy(x->dialer);
	sim_net_destroy(x->net);
	sim_world_destroy(x->w);
}

static int put(struct stream *s, const void *bytes, size_t n, size_t *done)
{
	struct iovec iov[2] = {{.iov_base = (void *)(uintptr_t)bytes, .iov_len = n / 2},
			       {.iov_base = (uint8_t *)(uintptr_t)bytes + n / 2, .iov_len = n - n / 2}};

	return stream_write(s, iov, 2, done);
}

static void put_all(struct stream *s, const char *text)
{
	size_t done;

	assert_int_equal(put(s, text, strlen(text), &done), OK);
	assert_int_equal(done, strlen(text));
}

static void what_one_writes_the_other_reads_after_an_event(void **state)
{
	struct world x;
	uint8_t buf[16];
	size_t got;
	bool more;

	(void)state;
	world_connect(&x, 1, NULL);
	put_all(x.client.s, "hello");
	assert_int_equal(stream_read(x.server.s, buf, sizeof(buf), &got, &more), ERR_AGAIN); /* on its way */
	settle(&x);
	assert_true(x.server.events & LOOP_READABLE);
	assert_false(x.server.events & LOOP_HANGUP);
	assert_int_equal(stream_read(x.server.s, buf, 2, &got, &more), OK);
	assert_int_equal(got, 2);
	assert_true(more);
	assert_int_equal(stream_read(x.server.s, buf + 2, 14, &got, &more), OK);
	assert_int_equal(got, 3);
	assert_false(more);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(stream_read(x.server.s, buf, sizeof(buf), &got, &more), ERR_AGAIN);
	world_close(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_one_writes_the_other_reads_after_an_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
