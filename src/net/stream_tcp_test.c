#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc_fail.h"
#include "base/log.h"
#include "net/resolve.h"
#include "net/stream_tcp.h"
#include "net/tcp_impl.h"

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

static void drain(struct end *e)
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

static void end_ready(struct stream *s, unsigned events)
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

static void own(struct end *e, struct stream *s)
{
	e->s = s;
	e->rc = ERR_AGAIN;
	s->owner = e;
	s->ready = end_ready;
}

static void accepted(struct acceptor *a, struct stream *s)
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

static void turns_until(struct loop *loop, const volatile unsigned *what, unsigned bits)
{
	for (int i = 0; i < MAX_TURNS && (*what & bits) != bits; i++)
		assert_int_equal(loop_turn(loop, TURN_MS), OK);
	assert_int_equal(*what & bits, bits);
}

static void turns_until_count(struct loop *loop, const volatile unsigned *what, unsigned count)
{
	for (int i = 0; i < MAX_TURNS && *what < count; i++)
		assert_int_equal(loop_turn(loop, TURN_MS), OK);
	assert_int_equal(*what, count);
}

static void side_open(struct side *side, const char *address)
{
	*side = (struct side){.acceptor = {.accepted = accepted}};
	assert_int_equal(loop_create(&side->loop), OK);
	assert_int_equal(listener_tcp_open(side->loop, address, 0, &side->acceptor, &side->listener), OK);
	assert_true(listener_port(side->listener) > 0);
}

static void side_close(struct side *side)
{
	for (unsigned i = 0; i < side->nserver; i++)
		stream_close(side->server[i].s);
	listener_close(side->listener);
	loop_destroy(side->loop);
}

static void dial(struct side *side, const char *host, uint16_t port, struct end *client)
{
	struct dialer *d;
	struct stream *s;

	assert_int_equal(dialer_tcp_create(host, port, &d), OK);
	assert_int_equal(d->dial(d, side->loop, &s), OK);
	d->destroy(d); /* a dial in progress needs it no more */
	*client = (struct end){0};
	own(client, s);
}

static void connect_pair(struct side *side, struct end *client)
{
	side_open(side, "127.0.0.1");
	dial(side, "127.0.0.1", listener_port(side->listener), client);
	turns_until(side->loop, &client->events, LOOP_WRITABLE);
	turns_until_count(side->loop, &side->nserver, 1);
}

static void put(struct stream *s, const char *text)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	size_t n;

	assert_int_equal(stream_write(s, &iov, 1, &n), OK);
	assert_int_equal(n, iov.iov_len);
}

static void bytes_pass_in_both_directions(void **state)
{
	struct side side;
	struct end client;
	uint8_t buf[16];
	size_t got;
	bool more;

	(void)state;
	connect_pair(&side, &client);
	put(client.s, "hello");
	turns_until(side.loop, &side.server[0].events, LOOP_READABLE);
	assert_int_equal(stream_read(side.server[0].s, buf, sizeof(buf), &got, &more), OK);
	assert_int_equal(got, 5);
	assert_memory_equal(buf, "hello", 5);
	assert_false(more);
	assert_int_equal(stream_read(side.server[0].s, buf, sizeof(buf), &got, &more), ERR_AGAIN);
	put(side.server[0].s, "answer");
	turns_until(side.loop, &client.events, LOOP_READABLE);
	assert_int_equal(stream_read(client.s, buf, 3, &got, &more), OK);
	assert_int_equal(got, 3);
	assert_true(more);
	stream_close(client.s);
	side_close(&side);
}

static void a_short_read_says_nothing_more_but_after_hang_up(void **state)
{
	struct side side;
	struct end client;
	uint8_t buf[16];
	size_t got;
	bool more;

	(void)state;
	connect_pair(&side, &client);
	put(client.s, "bye");
	stream_close(client.s);
	turns_until(side.loop, &side.server[0].events, LOOP_READABLE | LOOP_HANGUP);
	assert_int_equal(stream_read(side.server[0].s, buf, sizeof(buf), &got, &more), OK);
	assert_int_equal(got, 3);
	assert_true(more); /* the end is known to be there, and has no event any more */
	assert_int_equal(stream_read(side.server[0].s, buf, sizeof(buf), &got, &more), ERR_CLOSED);
	side_close(&side);
}

static void after_a_short_write_room_is_told_and_all_arrives(void **state)
{
	enum { IOVS = 3000, PART = 4096 };
	static uint8_t part[PART];
	static struct iovec iov[IOVS];
	struct side side;
	struct end client;
	size_t sent = 0, n;

	(void)state;
	connect_pair(&side, &client);
	for (unsigned i = 0; i < IOVS; i++)
		iov[i] = (struct iovec){.iov_base = part, .iov_len = PART};
	/* Nobody reads: sooner or later a write is short. */
	do {
		assert_int_equal(stream_write(client.s, iov, IOVS, &n), OK);
		sent += n;
	} while (n == (size_t)IOVS * PART);
	assert_int_equal(stream_write(client.s, iov, 1, &n), OK);
	assert_int_equal(n, 0);
	client.events = 0;
	side.server[0].reads = true;
	drain(&side.server[0]);
	turns_until(side.loop, &client.events, LOOP_WRITABLE);
	for (int i = 0; i < MAX_TURNS && side.server[0].got < sent; i++)
		assert_int_equal(loop_turn(side.loop, TURN_MS), OK);
	assert_int_equal(side.server[0].got, sent);
	stream_close(client.s);
	side_close(&side);
}

static void more_iovecs_than_the_kernel_takes_at_once_are_all_written(void **state)
{
	enum { IOVS = 2500 };
	static struct iovec iov[IOVS];
	static char byte = 'x';
	struct side side;
	struct end client;
	size_t n;

	(void)state;
	connect_pair(&side, &client);
	for (unsigned i = 0; i < IOVS; i++)
		iov[i] = (struct iovec){.iov_base = &byte, .iov_len = 1};
	assert_int_equal(stream_write(client.s, iov, IOVS, &n), OK);
	assert_int_equal(n, IOVS);
	side.server[0].reads = true;
	for (int i = 0; i < MAX_TURNS && side.server[0].got < IOVS; i++)
		assert_int_equal(loop_turn(side.loop, TURN_MS), OK);
	assert_int_equal(side.server[0].got, IOVS);
	stream_close(client.s);
	side_close(&side);
}

static void writing_to_a_closed_peer_fails_without_a_signal(void **state)
{
	struct side side;
	struct end client;
	struct iovec iov = {.iov_base = (void *)(uintptr_t) "x", .iov_len = 1};
	size_t n;
	int rc = OK;

	(void)state;
	connect_pair(&side, &client);
	stream_close(side.server[0].s);
	side.server[0].s = NULL;
	turns_until(side.loop, &client.events, LOOP_HANGUP);
	for (unsigned i = 0; i < 1000 && rc == OK; i++)
		rc = stream_write(client.s, &iov, 1, &n);
	assert_true(rc == ERR_CLOSED || rc == ERR_IO);
	stream_close(client.s);
	side_close(&side);
}

static void a_reset_is_an_error_not_an_orderly_end(void **state)
{
	struct side side;
	struct end client;
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	(void)state;
	connect_pair(&side, &client);
	setsockopt(container_of(client.s, struct stream_tcp, stream)->fd.fd, SOL_SOCKET, SO_LINGER, &hard,
		   sizeof(hard));
	stream_close(client.s);
	side.server[0].reads = true;
	turns_until(side.loop, &side.server[0].events, LOOP_HANGUP);
	assert_int_equal(side.server[0].rc, ERR_IO);
	side_close(&side);
}

static void a_moved_stream_tells_its_bytes_anew(void **state)
{
	struct side side;
	struct end client;
	struct loop *other;

	(void)state;
	assert_int_equal(loop_create(&other), OK);
	connect_pair(&side, &client);
	put(client.s, "moving");
	turns_until(side.loop, &side.server[0].events, LOOP_READABLE);
	stream_detach(side.server[0].s);
	stream_detach(side.server[0].s);
	side.server[0].events = 0;
	side.server[0].reads = true;
	assert_int_equal(stream_attach(side.server[0].s, other), OK);
	turns_until(other, &side.server[0].events, LOOP_READABLE | LOOP_WRITABLE);
	assert_int_equal(side.server[0].got, 6);
	stream_close(side.server[0].s);
	side.server[0].s = NULL;
	stream_close(client.s);
	loop_destroy(other);
	side_close(&side);
}

static void a_stream_may_be_closed_in_its_handler(void **state)
{
	struct side side;
	struct end client;

	(void)state;
	connect_pair(&side, &client);
	side.server[0].close_in_handler = true;
	put(client.s, "x");
	turns_until(side.loop, &side.server[0].events, LOOP_READABLE);
	assert_null(side.server[0].s);
	turns_until(side.loop, &client.events, LOOP_HANGUP);
	stream_close(client.s);
	side_close(&side);
}

static void a_taken_descriptor_is_made_non_blocking_and_close_on_exec(void **state)
{
	int fds[2];
	struct stream *s;
	char text[STREAM_PEER_MAX];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(stream_tcp_from_fd(fds[0], &s), OK);
	assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
	stream_peer(s, text, sizeof(text));
	assert_string_equal(text, "local");
	stream_close(s);
	stream_close(NULL);
	assert_int_equal(fcntl(fds[0], F_GETFL), -1);
	close(fds[1]);
	assert_int_equal(stream_tcp_from_fd(-1, &s), ERR_IO);
}

static void tcp_does_not_delay(void **state)
{
	struct side side;
	struct end client;
	struct end *ends[2];

	(void)state;
	connect_pair(&side, &client);
	ends[0] = &client;
	ends[1] = &side.server[0];
	for (unsigned i = 0; i < 2; i++) {
		int on = 0;
		socklen_t len = sizeof(on);
		int fd = container_of(ends[i]->s, struct stream_tcp, stream)->fd.fd;

		assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
		assert_true(on);
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	}
	stream_close(client.s);
	side_close(&side);
}

/* ---- dialling ---- */

static void a_name_is_looked_up(void **state)
{
	struct side side;
	struct end client;
	char text[STREAM_PEER_MAX], expected[STREAM_PEER_MAX];

	(void)state;
	/* The name may stand for ::1 as well, where nobody listens: the next address is tried. */
	side_open(&side, "127.0.0.1");
	dial(&side, "localhost", listener_port(side.listener), &client);
	turns_until(side.loop, &client.events, LOOP_WRITABLE);
	assert_false(client.events & LOOP_HANGUP);
	stream_peer(client.s, text, sizeof(text));
	snprintf(expected, sizeof(expected), "127.0.0.1:%u", (unsigned)listener_port(side.listener));
	assert_string_equal(text, expected);
	stream_close(client.s);
	side_close(&side);
}

static uint16_t closed_port(struct side *side)
{
	struct listener *l;
	uint16_t port;

	assert_int_equal(listener_tcp_open(side->loop, "127.0.0.1", 0, &side->acceptor, &l), OK);
	port = listener_port(l);
	listener_close(l);
	return port;
}

static void a_dial_that_fails_hangs_up(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost", "no.such.name.invalid", "",
					    "300.1.2.3"};
	struct side side;
	struct end client;
	uint8_t b;
	size_t n;
	bool more;
	struct iovec iov = {.iov_base = &b, .iov_len = 1};

	(void)state;
	side_open(&side, "127.0.0.1");
	for (unsigned i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		dial(&side, hosts[i], closed_port(&side), &client);
		assert_int_equal(stream_read(client.s, &b, 1, &n, &more), ERR_AGAIN);
		assert_int_equal(stream_write(client.s, &iov, 1, &n), OK);
		assert_int_equal(n, 0);
		assert_int_equal(client.calls, 0);
		turns_until(side.loop, &client.events, LOOP_HANGUP);
		assert_int_equal(client.events, LOOP_HANGUP);
		assert_int_equal(client.calls, 1);
		assert_int_equal(stream_read(client.s, &b, 1, &n, &more), ERR_IO);
		assert_int_equal(stream_write(client.s, &iov, 1, &n), ERR_IO);
		/* The failure, too, is told anew. */
		stream_detach(client.s);
		client.events = 0;
		assert_int_equal(stream_attach(client.s, side.loop), OK);
		turns_until(side.loop, &client.events, LOOP_HANGUP);
		stream_close(client.s);
	}
	side_close(&side);
}

static void dial_two(struct side *side, uint16_t first, uint16_t second, struct end *client)
{
	union tcp_addr addrs[2];
	struct stream *s;

	assert_int_equal(tcp_addr_parse("127.0.0.1", first, &addrs[0]), OK);
	assert_int_equal(tcp_addr_parse("127.0.0.1", second, &addrs[1]), OK);
	assert_int_equal(tcp_dial_addrs(addrs, 2, side->loop, &s), OK);
	*client = (struct end){0};
	own(client, s);
}

static void an_address_that_refuses_makes_way_for_the_next(void **state)
{
	struct side side;
	struct end client;
	uint16_t closed;

	(void)state;
	side_open(&side, "127.0.0.1");
	closed = closed_port(&side);
	dial_two(&side, closed, listener_port(side.listener), &client);
	turns_until(side.loop, &client.events, LOOP_WRITABLE);
	assert_false(client.events & LOOP_HANGUP);
	turns_until_count(side.loop, &side.nserver, 1);
	stream_close(client.s);
	dial_two(&side, closed, closed, &client);
	turns_until(side.loop, &client.events, LOOP_HANGUP);
	assert_int_equal(client.events, LOOP_HANGUP);
	stream_close(client.s);
	side_close(&side);
}

/* A port where connecting hangs: its backlog is full and nobody accepts. */
static uint16_t silent_port(int fds[3])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);

	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fds[0], (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fds[0], 0), 0);
	assert_int_equal(getsockname(fds[0], (struct sockaddr *)&at, &len), 0);
	for (unsigned i = 1; i < 3; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], (struct sockaddr *)&at, sizeof(at));
	}
	return ntohs(at.sin_port);
}

static void an_address_that_says_nothing_makes_way_for_the_next(void **state)
{
	struct side side;
	struct end client;
	int fds[3];

	(void)state;
	side_open(&side, "127.0.0.1");
	dial_two(&side, silent_port(fds), listener_port(side.listener), &client);
	turns_until(side.loop, &client.events, LOOP_WRITABLE);
	assert_false(client.events & LOOP_HANGUP);
	turns_until_count(side.loop, &side.nserver, 1);
	stream_close(client.s);
	for (unsigned i = 0; i < 3; i++)
		close(fds[i]);
	side_close(&side);
}

static void a_look_up_may_outlive_stream_and_loop(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		struct side side;
		struct end client;

		side_open(&side, "127.0.0.1");
		dial(&side, "localhost", listener_port(side.listener), &client);
		if (i % 3 == 1)
			assert_int_equal(loop_turn(side.loop, 0), OK);
		if (i % 3 == 2)
			assert_int_equal(loop_turn(side.loop, 5), OK);
		stream_close(client.s);
		side_close(&side);
	}
}

static void a_dialling_stream_may_move(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost"};
	struct loop *other;

	(void)state;
	assert_int_equal(loop_create(&other), OK);
	for (unsigned i = 0; i < 20; i++) {
		struct side side;
		struct end client;

		side_open(&side, "127.0.0.1");
		dial(&side, hosts[i % 2], listener_port(side.listener), &client);
		for (unsigned turns = 0; turns < i / 4; turns++)
			assert_int_equal(loop_turn(side.loop, 1), OK);
		stream_detach(client.s);
		assert_int_equal(loop_turn(side.loop, 1), OK);
		client.events = 0;
		assert_int_equal(stream_attach(client.s, other), OK);
		turns_until(other, &client.events, LOOP_WRITABLE);
		assert_false(client.events & LOOP_HANGUP);
		stream_close(client.s);
		side_close(&side);
	}
	loop_destroy(other);
}

static void dialers_describe_their_place(void **state)
{
	static const struct {
		const char *host, *text;
	} cases[] = {{"10.0.0.1", "10.0.0.1:502"}, {"::1", "[::1]:502"}, {"plc.example", "plc.example:502"}};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct dialer *d;
		char buf[80];

		assert_int_equal(dialer_tcp_create(cases[i].host, 502, &d), OK);
		d->describe(d, buf, sizeof(buf));
		assert_string_equal(buf, cases[i].text);
		d->destroy(d);
	}
}

/* ---- addresses ---- */

static void addresses_are_parsed_and_shown(void **state)
{
	static const struct {
		const char *in, *out; /* NULL: refused */
	} cases[] = {
		{"127.0.0.1", "127.0.0.1:7"},
		{"255.255.255.255", "255.255.255.255:7"},
		{"256.1.1.1", NULL},
		{"1.2.3", NULL},
		{"::", "[::]:7"},
		{"::1", "[::1]:7"},
		{"::ffff:10.0.0.1", "10.0.0.1:7"},
		{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:7"},
		{"fe80::1%lo", "[fe80::1]:7"},
		{"fe80::1%nosuchif", NULL},
		{"127.0.0.1%lo", NULL},
		{"localhost", NULL},
		{"", NULL},
		{"0000000000000000000000000000000000000000000000000000000000000001", NULL},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		union tcp_addr a;
		char buf[STREAM_PEER_MAX];
		int rc = tcp_addr_parse(cases[i].in, 7, &a);

		if (!cases[i].out) {
			assert_true(rc < 0);
			continue;
		}
		assert_int_equal(rc, OK);
		tcp_addr_text(&a, buf, sizeof(buf));
		assert_string_equal(buf, cases[i].out);
	}
}

/* ---- listening ---- */

static bool has_ipv6(void)
{
	union tcp_addr a = {.in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && bind(fd, &a.sa, sizeof(a.in6)) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

static void one_listener_serves_both_families(void **state)
{
	struct side side;
	struct end four, six;

	(void)state;
	side_open(&side, NULL);
	dial(&side, "127.0.0.1", listener_port(side.listener), &four);
	turns_until(side.loop, &four.events, LOOP_WRITABLE);
	turns_until_count(side.loop, &side.nserver, 1);
	if (has_ipv6()) {
		char text[STREAM_PEER_MAX];

		dial(&side, "::1", listener_port(side.listener), &six);
		turns_until(side.loop, &six.events, LOOP_WRITABLE);
		turns_until_count(side.loop, &side.nserver, 2);
		stream_peer(side.server[1].s, text, sizeof(text));
		assert_int_equal(strncmp(text, "[::1]:", 6), 0);
		stream_close(six.s);
	}
	stream_close(four.s);
	side_close(&side);
}

static void a_port_in_use_or_a_foreign_address_is_refused(void **state)
{
	struct side side;
	struct listener *l;

	(void)state;
	side_open(&side, "127.0.0.1");
	assert_int_equal(
		listener_tcp_open(side.loop, "127.0.0.1", listener_port(side.listener), &side.acceptor, &l),
		ERR_IO);
	assert_int_equal(errno, EADDRINUSE);
	assert_int_equal(listener_tcp_open(side.loop, "192.0.2.1", 0, &side.acceptor, &l), ERR_IO);
	assert_int_equal(errno, EADDRNOTAVAIL);
	assert_int_equal(listener_tcp_open(side.loop, "nonsense", 0, &side.acceptor, &l), ERR_IO);
	assert_int_equal(errno, EADDRNOTAVAIL);
	listener_close(NULL);
	side_close(&side);
}

static void a_burst_is_accepted_over_several_turns(void **state)
{
	enum { BURST = 70 }; /* more than one turn takes */
	struct side side;
	struct end *clients = calloc(BURST, sizeof(*clients));
	unsigned up = 0;

	(void)state;
	assert_non_null(clients);
	side_open(&side, "127.0.0.1");
	for (unsigned i = 0; i < BURST; i++)
		dial(&side, "127.0.0.1", listener_port(side.listener), &clients[i]);
	turns_until_count(side.loop, &side.nserver, BURST);
	for (unsigned i = 0; i < BURST; i++) {
		turns_until(side.loop, &clients[i].events, LOOP_WRITABLE);
		up += !(clients[i].events & LOOP_HANGUP);
		stream_close(clients[i].s);
	}
	assert_int_equal(up, BURST);
	free(clients);
	side_close(&side);
}

static void a_listener_may_be_closed_in_its_acceptor(void **state)
{
	struct side side;
	struct end a, b;

	(void)state;
	side_open(&side, "127.0.0.1");
	side.close_after = 1;
	dial(&side, "127.0.0.1", listener_port(side.listener), &a);
	dial(&side, "127.0.0.1", listener_port(side.listener), &b);
	turns_until(side.loop, &a.events, LOOP_WRITABLE);
	turns_until_count(side.loop, &side.nserver, 1);
	assert_null(side.listener);
	stream_close(a.s);
	stream_close(b.s);
	side_close(&side);
}

static void without_descriptors_accepting_pauses_and_goes_on(void **state)
{
	struct side side;
	struct end client;
	struct rlimit limit, low;
	int sink = open("/dev/null", O_WRONLY | O_CLOEXEC), probe;

	(void)state;
	side_open(&side, "127.0.0.1");
	log_set_fd(sink);
	dial(&side, "127.0.0.1", listener_port(side.listener), &client);
	/* The client's socket takes one more number; after it none is left. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	probe = dup(0);
	close(probe);
	low = limit;
	low.rlim_cur = (rlim_t)probe + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	turns_until(side.loop, &client.events, LOOP_WRITABLE);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(loop_turn(side.loop, 20), OK);
	assert_int_equal(side.nserver, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	turns_until_count(side.loop, &side.nserver, 1); /* without a new event */
	log_set_fd(STDERR_FILENO);
	close(sink);
	stream_close(client.s);
	side_close(&side);
}

/* ---- memory ---- */

static int create_all(struct loop *loop, int fd, struct stream **s, struct listener **l, struct dialer **d,
		      struct stream **dialled)
{
	static struct acceptor nobody;
	int rc = stream_tcp_from_fd(fd, s);

	if (rc == OK)
		rc = listener_tcp_open(loop, "127.0.0.1", 0, &nobody, l);
	if (rc == OK)
		rc = dialer_tcp_create("localhost", 1, d);
	if (rc == OK)
		rc = (*d)->dial(*d, loop, dialled);
	return rc;
}

static void every_failing_allocation_is_survived(void **state)
{
	(void)state;
	for (long n = 1;; n++) {
		struct loop *loop;
		struct stream *s = NULL, *dialled = NULL;
		struct listener *l = NULL;
		struct dialer *d = NULL;
		int fds[2], rc;
		bool hit;

		assert_int_equal(loop_create(&loop), OK);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		alloc_fail_at(n);
		rc = create_all(loop, fds[0], &s, &l, &d, &dialled);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		stream_close(dialled);
		if (d)
			d->destroy(d);
		listener_close(l);
		stream_close(s);
		close(fds[1]);
		loop_destroy(loop);
		if (!hit)
			break;
	}
}

static void a_connection_without_memory_is_dropped_and_the_next_served(void **state)
{
	struct side side;
	struct end a, b;

	(void)state;
	side_open(&side, "127.0.0.1");
	dial(&side, "127.0.0.1", listener_port(side.listener), &a);
	assert_int_equal(loop_turn(side.loop, 0), OK); /* connects; the socket has its slot */
	alloc_fail_at(1);
	turns_until(side.loop, &a.events, LOOP_HANGUP);
	assert_true(alloc_fail_end());
	assert_int_equal(side.nserver, 0);
	dial(&side, "127.0.0.1", listener_port(side.listener), &b);
	turns_until(side.loop, &b.events, LOOP_WRITABLE);
	turns_until_count(side.loop, &side.nserver, 1);
	stream_close(a.s);
	stream_close(b.s);
	side_close(&side);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_pass_in_both_directions),
		cmocka_unit_test(a_short_read_says_nothing_more_but_after_hang_up),
		cmocka_unit_test(after_a_short_write_room_is_told_and_all_arrives),
		cmocka_unit_test(more_iovecs_than_the_kernel_takes_at_once_are_all_written),
		cmocka_unit_test(writing_to_a_closed_peer_fails_without_a_signal),
		cmocka_unit_test(a_reset_is_an_error_not_an_orderly_end),
		cmocka_unit_test(a_moved_stream_tells_its_bytes_anew),
		cmocka_unit_test(a_stream_may_be_closed_in_its_handler),
		cmocka_unit_test(a_taken_descriptor_is_made_non_blocking_and_close_on_exec),
		cmocka_unit_test(tcp_does_not_delay),
		cmocka_unit_test(a_name_is_looked_up),
		cmocka_unit_test(a_dial_that_fails_hangs_up),
		cmocka_unit_test(an_address_that_refuses_makes_way_for_the_next),
		cmocka_unit_test(an_address_that_says_nothing_makes_way_for_the_next),
		cmocka_unit_test(a_look_up_may_outlive_stream_and_loop),
		cmocka_unit_test(a_dialling_stream_may_move),
		cmocka_unit_test(dialers_describe_their_place),
		cmocka_unit_test(addresses_are_parsed_and_shown),
		cmocka_unit_test(one_listener_serves_both_families),
		cmocka_unit_test(a_port_in_use_or_a_foreign_address_is_refused),
		cmocka_unit_test(a_burst_is_accepted_over_several_turns),
		cmocka_unit_test(a_listener_may_be_closed_in_its_acceptor),
		cmocka_unit_test(without_descriptors_accepting_pauses_and_goes_on),
		cmocka_unit_test(every_failing_allocation_is_survived),
		cmocka_unit_test(a_connection_without_memory_is_dropped_and_the_next_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
