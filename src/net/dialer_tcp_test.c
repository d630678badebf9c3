#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/tcp_impl.h"
#include "net/tcp_testing.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_is_looked_up),
		cmocka_unit_test(a_dial_that_fails_hangs_up),
		cmocka_unit_test(an_address_that_refuses_makes_way_for_the_next),
		cmocka_unit_test(an_address_that_says_nothing_makes_way_for_the_next),
		cmocka_unit_test(a_look_up_may_outlive_stream_and_loop),
		cmocka_unit_test(a_dialling_stream_may_move),
		cmocka_unit_test(dialers_describe_their_place),
		cmocka_unit_test(addresses_are_parsed_and_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
