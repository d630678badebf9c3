#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/tcp_impl.h"
#include "net/tcp_testing.h"

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
