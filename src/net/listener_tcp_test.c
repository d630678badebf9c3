#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/alloc_fail.h"
#include "base/log.h"
#include "net/tcp_impl.h"
#include "net/tcp_testing.h"

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

/* No descriptor number below the limit is free after this. */
static struct rlimit use_up_descriptors(int sink)
{
	struct rlimit limit, low;
	int probe;

	log_set_fd(sink);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	probe = dup(0);
	close(probe);
	low = limit;
	low.rlim_cur = (rlim_t)probe;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	return limit;
}

static void without_descriptors_connections_are_closed_and_later_served(void **state)
{
	struct side side;
	struct end first, second, third;
	struct rlimit limit;
	int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)state;
	side_open(&side, "127.0.0.1");
	dial(&side, "127.0.0.1", listener_port(side.listener), &first);
	dial(&side, "127.0.0.1", listener_port(side.listener), &second);
	assert_int_equal(loop_turn(side.loop, 0), OK); /* they connect; their sockets have their numbers */
	limit = use_up_descriptors(sink);
	turns_until(side.loop, &first.events, LOOP_HANGUP);
	turns_until(side.loop, &second.events, LOOP_HANGUP);
	assert_int_equal(side.nserver, 0);
	assert_int_equal(listener_turned_away(side.listener), 2);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	dial(&side, "127.0.0.1", listener_port(side.listener), &third);
	turns_until(side.loop, &third.events, LOOP_WRITABLE);
	turns_until_count(side.loop, &side.nserver, 1);
	assert_int_equal(listener_turned_away(side.listener), 2);
	log_set_fd(STDERR_FILENO);
	close(sink);
	stream_close(first.s);
	stream_close(second.s);
	stream_close(third.s);
	side_close(&side);
}

static void without_even_the_spare_accepting_pauses_and_goes_on(void **state)
{
	struct side side;
	struct end client;
	struct rlimit limit, lower;
	int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);

	(void)state;
	side_open(&side, "127.0.0.1");
	dial(&side, "127.0.0.1", listener_port(side.listener), &client);
	assert_int_equal(loop_turn(side.loop, 0), OK);
	limit = use_up_descriptors(sink);
	lower = limit;
	lower.rlim_cur = 3; /* below the spare's number: giving it up is no help */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &lower), 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(loop_turn(side.loop, 20), OK);
	assert_int_equal(side.nserver, 0);
	assert_int_equal(listener_turned_away(side.listener), 0);
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
		cmocka_unit_test(one_listener_serves_both_families),
		cmocka_unit_test(a_port_in_use_or_a_foreign_address_is_refused),
		cmocka_unit_test(a_burst_is_accepted_over_several_turns),
		cmocka_unit_test(a_listener_may_be_closed_in_its_acceptor),
		cmocka_unit_test(without_descriptors_connections_are_closed_and_later_served),
		cmocka_unit_test(without_even_the_spare_accepting_pauses_and_goes_on),
		cmocka_unit_test(every_failing_allocation_is_survived),
		cmocka_unit_test(a_connection_without_memory_is_dropped_and_the_next_served),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
