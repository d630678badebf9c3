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

static void an_event_comes_for_what_is_new_only(void **state)
{
	struct world x;

	(void)state;
	world_connect(&x, 2, NULL);
	put_all(x.client.s, "one");
	settle(&x);
	assert_int_equal(x.server.calls, 1);
	settle(&x); /* unread, but not new */
	assert_int_equal(x.server.calls, 1);
	put_all(x.client.s, "two");
	settle(&x);
	assert_int_equal(x.server.calls, 2);
	x.server.reads = true;
	put_all(x.client.s, "three");
	settle(&x);
	assert_int_equal(x.server.calls, 3);
	assert_int_equal(x.server.got, 11);
	assert_memory_equal(x.server.bytes, "onetwothree", 11);
	assert_int_equal(x.client.calls, 0); /* nothing happened at its side */
	world_close(&x);
}

static void after_a_short_write_room_is_told(void **state)
{
	static const struct sim_net_faults faults = {.max_delay_us = 100, .buffer = 8};
	struct world x;
	size_t done;

	(void)state;
	world_connect(&x, 3, &faults);
	assert_int_equal(put(x.client.s, "0123456789", 10, &done), OK);
	assert_int_equal(done, 8);
	assert_int_equal(put(x.client.s, "89", 2, &done), OK);
	assert_int_equal(done, 0);
	settle(&x);
	assert_int_equal(x.client.calls, 0); /* nobody has read */
	drain(&x.server);
	assert_int_equal(x.server.got, 8);
	settle(&x);
	assert_int_equal(x.client.calls, 1);
	assert_true(x.client.events & LOOP_WRITABLE);
	assert_int_equal(put(x.client.s, "89", 2, &done), OK);
	assert_int_equal(done, 2);
	settle(&x);
	drain(&x.server);
	settle(&x);
	assert_int_equal(x.client.calls, 1); /* no write was short since */
	assert_memory_equal(x.server.bytes, "0123456789", 10);
	world_close(&x);
}

static void a_write_cut_short_although_there_is_room_is_told_as_well(void **state)
{
	static const struct sim_net_faults faults = {
		.max_delay_us = 100, .buffer = 1000, .partial_one_in = 1};

	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct world x;
		char buf[100] = {0};
		size_t done;

		world_connect(&x, seed, &faults);
		assert_int_equal(put(x.client.s, buf, sizeof(buf), &done), OK);
		assert_true(done > 0);
		settle(&x); /* nobody reads */
		assert_int_equal(!!(x.client.events & LOOP_WRITABLE), done < sizeof(buf));
		world_close(&x);
	}
}

static void what_was_written_before_the_close_arrives_before_the_end(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct world x;
		size_t done;

		world_connect(&x, seed, NULL);
		put_all(x.client.s, "last words");
		stream_close(x.client.s);
		x.client.s = NULL;
		/* Not known here yet: taken and lost. */
		assert_int_equal(put(x.server.s, "?", 1, &done), OK);
		assert_int_equal(done, 1);
		settle(&x);
		assert_true(x.server.events & LOOP_HANGUP);
		drain(&x.server);
		assert_int_equal(x.server.rc, ERR_CLOSED);
		assert_int_equal(x.server.got, 10);
		assert_memory_equal(x.server.bytes, "last words", 10);
		assert_int_equal(put(x.server.s, "?", 1, &done), ERR_CLOSED);
		world_close(&x);
	}
}

static void dialling_where_nobody_listens_fails_later(void **state)
{
	struct world x;
	uint8_t b;
	size_t n;
	bool more;

	(void)state;
	world_open(&x, 4, NULL);
	sim_net_unlisten(x.listener);
	x.listener = NULL;
	world_dial(&x);
	assert_int_equal(stream_read(x.client.s, &b, 1, &n, &more), ERR_AGAIN);
	assert_int_equal(put(x.client.s, "a", 1, &n), OK);
	assert_int_equal(n, 0);
	settle(&x);
	assert_int_equal(x.client.events, LOOP_HANGUP);
	assert_int_equal(x.client.calls, 1);
	assert_int_equal(stream_read(x.client.s, &b, 1, &n, &more), ERR_IO);
	assert_int_equal(put(x.client.s, "a", 1, &n), ERR_IO);
	world_close(&x);
}

static void a_cut_is_seen_at_both_ends(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 100; seed++) {
		struct world x;
		size_t n;

		world_connect(&x, seed, NULL);
		put_all(x.client.s, "may be lost");
		put_all(x.server.s, "may be lost");
		if (seed % 2)
			settle(&x);
		sim_stream_cut(x.client.s);
		sim_stream_cut(x.client.s); /* once is enough */
		assert_int_equal(put(x.client.s, "a", 1, &n), ERR_IO);
		settle(&x);
		assert_true(x.client.events & LOOP_HANGUP);
		assert_true(x.server.events & LOOP_HANGUP);
		drain(&x.client);
		drain(&x.server);
		assert_int_equal(x.client.rc, ERR_IO);
		assert_int_equal(x.server.rc, ERR_IO);
		assert_true(x.server.got == 0 || x.server.got == 11);
		assert_int_equal(put(x.server.s, "a", 1, &n), ERR_IO);
		world_close(&x);
	}
}

static void a_moved_stream_keeps_its_bytes_and_tells_them_anew(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 50; seed++) {
		struct world x;

		world_connect(&x, seed, NULL);
		put_all(x.client.s, "moving");
		if (seed % 2)
			settle(&x); /* told here already */
		stream_detach(x.server.s);
		put_all(x.client.s, " house");
		if (seed % 3)
			settle(&x);
		x.server.events = x.server.calls = 0;
		x.server.reads = true;
		assert_int_equal(stream_attach(x.server.s, x.loop[1]), OK);
		assert_int_equal(x.server.calls, 0); /* from the loop, not from attach */
		settle(&x);
		assert_true(x.server.events & LOOP_WRITABLE);
		assert_int_equal(x.server.got, 12);
		assert_memory_equal(x.server.bytes, "moving house", 12);
		/* The end, too, is told again. */
		stream_close(x.client.s);
		x.client.s = NULL;
		settle(&x);
		assert_int_equal(x.server.rc, ERR_CLOSED);
		stream_detach(x.server.s);
		x.server.events = 0;
		assert_int_equal(stream_attach(x.server.s, x.loop[0]), OK);
		settle(&x);
		assert_true(x.server.events & LOOP_HANGUP);
		world_close(&x);
	}
}

static bool has_some_time_passed(void *arg)
{
	unsigned *left = arg;

	return (*left)-- == 0;
}

/* Whatever an end or the listener does while connecting: no event after close, nothing left behind. */
static void either_side_may_give_up_at_any_step(void **state)
{
	(void)state;
	for (unsigned what = 0; what < 5; what++) {
		for (unsigned steps = 0; steps < 20; steps++) {
			struct world x;
			unsigned left = steps;
			int rc;

			world_open(&x, steps, NULL);
			x.unlisten_in_accept = what == 4;
			world_dial(&x);
			rc = sim_run(x.w, RUN_US, has_some_time_passed, &left);
			assert_true(rc == OK || rc == ERR_NOT_FOUND);
			if (what == 0) {
				stream_close(x.client.s);
				x.client.s = NULL;
			} else if (what == 1) {
				sim_net_unlisten(x.listener);
				x.listener = NULL;
			} else if (what == 2 && x.server.s) {
				stream_close(x.server.s);
				x.server = (struct end){0};
			} else if (what == 3) {
				sim_stream_cut(x.client.s);
			}
			settle(&x);
			if (x.client.s && what != 4)
				assert_true(x.client.events & (LOOP_WRITABLE | LOOP_HANGUP));
			if (what == 3)
				assert_true(x.client.events & LOOP_HANGUP);
			world_close(&x);
		}
	}
}

static void a_name_is_listened_at_once_only(void **state)
{
	struct world x;
	struct listener *second;
	char buf[STREAM_PEER_MAX];

	(void)state;
	world_connect(&x, 5, NULL);
	assert_int_equal(sim_net_listen(x.net, x.loop[1], "broker", &x.acceptor, &second), ERR_EXISTS);
	stream_peer(x.client.s, buf, sizeof(buf));
	assert_string_equal(buf, "broker");
	stream_peer(x.server.s, buf, sizeof(buf));
	assert_string_equal(buf, "sim-0");
	x.dialer->describe(x.dialer, buf, sizeof(buf));
	assert_string_equal(buf, "broker");
	world_close(&x);
}

/* ---- echo under faults ---- */

#define ECHO_BYTES 3000

struct echo {
	struct world x;
	uint8_t back[512]; /* what the server read and could not write yet */
	size_t nback;
	size_t sent, received;
	bool done, broken;
};

static uint8_t echo_byte(size_t i)
{
	return (uint8_t)(i * 7 + i / 256);
}

static void echo_fail(struct echo *e, int rc)
{
	if (rc == ERR_IO || rc == ERR_CLOSED)
		e->broken = true;
}

static void echo_server_ready(struct stream *s, unsigned events)
{
	struct echo *e = s->owner;
	bool more = true;
	size_t n;
	int rc = OK;

	(void)events;
	while (rc == OK && more) {
		if (e->nback < sizeof(e->back)) {
			rc = stream_read(s, e->back + e->nback, sizeof(e->back) - e->nback, &n, &more);
			if (rc == OK)
				e->nback += n;
		}
		if (e->nback > 0) {
			int wrc = put(s, e->back, e->nback, &n);

			if (wrc < 0) {
				echo_fail(e, wrc);
				return;
			}
			if (n == 0)
				return; /* WRITABLE brings us back here, to read on as well */
			e->nback -= n;
			memmove(e->back, e->back + n, e->nback);
			if (e->nback > 0 && rc == ERR_AGAIN)
				rc = OK;
		}
	}
	echo_fail(e, rc);
}

static void echo_client_ready(struct stream *s, unsigned events)
{
	struct echo *e = s->owner;
	uint8_t buf[200];
	bool more = true;
	size_t n = 0;
	int rc = OK;

	(void)events;
	while (more && (rc = stream_read(s, buf, sizeof(buf), &n, &more)) == OK) {
		for (size_t i = 0; i < n; i++)
			assert_int_equal(buf[i], echo_byte(e->received + i));
		e->received += n;
	}
	echo_fail(e, rc);
	while (e->sent < ECHO_BYTES) {
		for (n = 0; n < sizeof(buf) && e->sent + n < ECHO_BYTES; n++)
			buf[n] = echo_byte(e->sent + n);
		rc = put(s, buf, n, &n);
		if (rc < 0 || n == 0)
			break;
		e->sent += n;
	}
	echo_fail(e, rc);
	e->done = e->received == ECHO_BYTES;
}

static void echo_accepted(struct acceptor *a, struct stream *s)
{
	struct echo *e = container_of(container_of(a, struct world, acceptor), struct echo, x);

	s->owner = e;
	s->ready = echo_server_ready;
	e->x.server.s = s;
	assert_int_equal(stream_attach(s, e->x.loop[0]), OK);
}

static bool echo_over(void *arg)
{
	struct echo *e = arg;

	return e->done || e->broken;
}

static uint64_t echo_run(uint64_t seed, uint32_t cut_one_in, bool *broken)
{
	struct sim_net_faults faults = {.max_delay_us = 2000,
					.buffer = 1 + seed % 300,
					.partial_one_in = 3,
					.cut_one_in = cut_one_in};
	struct echo e = {0};
	uint64_t hash;

	world_open(&e.x, seed, &faults);
	e.x.acceptor.accepted = echo_accepted;
	world_dial(&e.x);
	e.x.client.s->owner = &e;
	e.x.client.s->ready = echo_client_ready;
	/* Neither lost wake-up nor endless turning: it ends one way or the other. */
	assert_int_equal(sim_run(e.x.w, UINT64_C(3600000000), echo_over, &e), OK);
	assert_true(e.received <= e.sent);
	*broken = e.broken;
	hash = sim_trace_hash(e.x.w);
	world_close(&e.x);
	return hash;
}

static void all_bytes_come_back_in_order_under_delays_and_partial_operations(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		bool broken;

		echo_run(seed, 0, &broken);
		assert_false(broken);
	}
}

static void under_cuts_bytes_are_in_order_until_the_end(void **state)
{
	unsigned nbroken = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 300; seed++) {
		bool broken;

		echo_run(seed, 100, &broken);
		nbroken += broken;
	}
	assert_in_range(nbroken, 100, 300);
}

static void one_seed_is_one_run(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < 20; seed++) {
		bool a, b;
		uint64_t first = echo_run(seed, 500, &a);

		assert_true(first == echo_run(seed, 500, &b));
		assert_int_equal(a, b);
		assert_true(first != echo_run(seed + 1, 500, &b));
	}
}

/* ---- memory ---- */

static int create_all(struct sim_world *w, struct loop *loop, struct sim_net **net, struct listener **l,
		      struct dialer **d, struct stream **s)
{
	static struct acceptor nobody;
	int rc;

	if ((rc = sim_net_create(w, net)) < 0 || (rc = sim_net_listen(*net, loop, "a", &nobody, l)) < 0 ||
	    (rc = sim_net_dialer(*net, "a", d)) < 0)
		return rc;
	return (*d)->dial(*d, loop, s);
}

static void every_failing_allocation_is_survived(void **state)
{
	struct sim_world *w;
	struct loop *loop;

	(void)state;
	assert_int_equal(sim_world_create(1, &w), OK);
	assert_int_equal(sim_loop_create(w, &loop), OK);
	for (long n = 1;; n++) {
		struct sim_net *net = NULL;
		struct listener *l = NULL;
		struct dialer *d = NULL;
		struct stream *s = NULL;
		bool hit;
		int rc;

		alloc_fail_at(n);
		rc = create_all(w, loop, &net, &l, &d, &s);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		stream_close(s);
		if (d)
			d->destroy(d);
		sim_net_unlisten(l);
		sim_net_destroy(net);
		if (!hit)
			break;
	}
	sim_world_destroy(w);
}

static void a_write_without_memory_breaks_the_connection(void **state)
{
	struct world x;
	size_t n;

	(void)state;
	world_connect(&x, 6, NULL);
	alloc_fail_at(1);
	assert_int_equal(put(x.client.s, "abc", 3, &n), ERR_IO);
	assert_true(alloc_fail_end());
	settle(&x);
	assert_true(x.client.events & LOOP_HANGUP);
	assert_true(x.server.events & LOOP_HANGUP);
	world_close(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_one_writes_the_other_reads_after_an_event),
		cmocka_unit_test(an_event_comes_for_what_is_new_only),
		cmocka_unit_test(after_a_short_write_room_is_told),
		cmocka_unit_test(a_write_cut_short_although_there_is_room_is_told_as_well),
		cmocka_unit_test(what_was_written_before_the_close_arrives_before_the_end),
		cmocka_unit_test(dialling_where_nobody_listens_fails_later),
		cmocka_unit_test(a_cut_is_seen_at_both_ends),
		cmocka_unit_test(a_moved_stream_keeps_its_bytes_and_tells_them_anew),
		cmocka_unit_test(either_side_may_give_up_at_any_step),
		cmocka_unit_test(a_name_is_listened_at_once_only),
		cmocka_unit_test(all_bytes_come_back_in_order_under_delays_and_partial_operations),
		cmocka_unit_test(under_cuts_bytes_are_in_order_until_the_end),
		cmocka_unit_test(one_seed_is_one_run),
		cmocka_unit_test(every_failing_allocation_is_survived),
		cmocka_unit_test(a_write_without_memory_breaks_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
