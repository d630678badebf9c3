#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <asm/termbits.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc_fail.h"
#include "base/log.h"
#include "net/stream_serial.h"

struct line {
	struct loop *loop;
	int far; /* the other end of the wire */
	char path[64];
	struct dialer *dialer;
	struct stream *stream;
	unsigned events;
	int log_fd;
};

static void on_ready(struct stream *s, unsigned events)
{
	((struct line *)s->owner)->events |= events;
}

static struct serial_options options_of(const struct line *l)
{
	return (struct serial_options){
		.path = l->path, .baud = 19200, .parity = SERIAL_PARITY_NONE, .data_bits = 8, .stop_bits = 1};
}

static void log_to_file(struct line *l)
{
	FILE *f = tmpfile();

	assert_non_null(f);
	l->log_fd = dup(fileno(f));
	fclose(f);
	log_set_fd(l->log_fd);
}

static void assert_logged(const struct line *l, const char *text, unsigned times)
{
	char all[8192];
	ssize_t n = pread(l->log_fd, all, sizeof(all) - 1, 0);
	unsigned found = 0;

	assert_true(n >= 0);
	all[n] = '\0';
	for (const char *at = all; (at = strstr(at, text)); at++)
		found++;
	if (found != times)
		print_message("%s", all);
	assert_int_equal(found, times);
}

static void far_open(struct line *l)
{
	l->far = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	assert_true(l->far >= 0);
	assert_int_equal(grantpt(l->far) | unlockpt(l->far), 0);
	assert_int_equal(ptsname_r(l->far, l->path, sizeof(l->path)), 0);
}

static void line_open(struct line *l)
{
	struct serial_options o;

	*l = (struct line){0};
	log_to_file(l);
	assert_int_equal(loop_create(&l->loop), OK);
	far_open(l);
	o = options_of(l);
	assert_int_equal(dialer_serial_create(&o, &l->dialer), OK);
}

static int dial(struct line *l)
{
	int rc = l->dialer->dial(l->dialer, l->loop, &l->stream);

	if (rc < 0)
		return rc;
	l->stream->owner = l;
	l->stream->ready = on_ready;
	while (!(l->events & LOOP_WRITABLE))
		assert_int_equal(loop_turn(l->loop, -1), OK);
	return OK;
}

static void line_close(struct line *l)
{
	stream_close(l->stream);
	l->dialer->destroy(l->dialer);
	if (l->far >= 0)
		close(l->far);
	loop_destroy(l->loop);
	log_set_fd(2);
	close(l->log_fd);
}

static void wait_for(struct line *l, unsigned event)
{
	while (!(l->events & event))
		assert_int_equal(loop_turn(l->loop, 5000), OK);
	l->events &= ~event;
}

static void all_bytes_pass_unchanged(void **state)
{
	uint8_t out[256], in[300];
	struct iovec iov = {.iov_base = out, .iov_len = sizeof(out)};
	size_t put = 0, got = 0, sum = 0;
	bool more = true;
	struct line l;
	char text[64];

	(void)state;
	line_open(&l);
	assert_int_equal(dial(&l), OK);
	for (unsigned i = 0; i < 256; i++)
		out[i] = (uint8_t)i;
	assert_int_equal(stream_read(l.stream, in, sizeof(in), &got, &more), ERR_AGAIN);
	assert_int_equal(stream_write(l.stream, &iov, 1, &put), OK);
	assert_int_equal(put, 256);
	assert_int_equal(read(l.far, in, sizeof(in)), 256);
	assert_memory_equal(in, out, 256);
	/* ^C, ^D, XON and XOFF among them */
	assert_int_equal(write(l.far, out, 256), 256);
	while (sum < 256) {
		wait_for(&l, LOOP_READABLE);
		while (stream_read(l.stream, in + sum, sizeof(in) - sum, &got, &more) == OK)
			sum += got;
	}
	assert_memory_equal(in, out, 256);
	stream_peer(l.stream, text, sizeof(text));
	assert_string_equal(text, l.path);
	line_close(&l);
}

static void any_rate_and_what_a_pty_can_is_set(void **state)
{
	static const uint32_t rates[] = {50, 9600, 57600, 115200, 250000, 1000000, 4000000};

	(void)state;
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct serial_options o;
		struct termios2 t;
		struct line l;

		line_open(&l);
		l.dialer->destroy(l.dialer);
		o = options_of(&l);
		o.baud = rates[i];
		o.stop_bits = 2;
		assert_int_equal(dialer_serial_create(&o, &l.dialer), OK);
		assert_int_equal(dial(&l), OK);
		assert_int_equal(ioctl(l.far, TCGETS2, &t), 0);
		assert_int_equal(t.c_ospeed, rates[i]);
		assert_true(t.c_cflag & CSTOPB && t.c_cflag & CLOCAL);
		assert_int_equal(t.c_lflag, 0);
		line_close(&l);
	}
}

/* A pty has no parity and no RS-485: both are said once, and it works. */
static void what_the_port_cannot_is_said_once(void **state)
{
	const struct serial_direction direction = {.rts_on_send = true};
	struct serial_options o;
	struct line l;

	(void)state;
	line_open(&l);
	l.dialer->destroy(l.dialer);
	o = options_of(&l);
	o.parity = SERIAL_PARITY_ODD;
	o.data_bits = 7;
	o.direction = &direction;
	assert_int_equal(dialer_serial_create(&o, &l.dialer), OK);
	for (unsigned i = 0; i < 3; i++) {
		stream_close(l.stream);
		l.stream = NULL;
		assert_int_equal(dial(&l), OK);
	}
	assert_logged(&l, "did not take parity data_bits", 1);
	assert_logged(&l, "cannot switch the direction of RS-485", 1);
	line_close(&l);
}

static void a_port_has_one_user_and_the_other_is_told_who(void **state)
{
	struct serial_options o;
	struct line l;
	struct dialer *other;
	struct stream *s;
	char who[64];

	(void)state;
	line_open(&l);
	assert_int_equal(dial(&l), OK);
	o = options_of(&l);
	assert_int_equal(dialer_serial_create(&o, &other), OK);
	assert_int_equal(other->dial(other, l.loop, &s), ERR_IO);
	assert_int_equal(other->dial(other, l.loop, &s), ERR_IO);
	snprintf(who, sizeof(who), "process %ld has it", (long)getpid());
	assert_logged(&l, who, 1);
	stream_close(l.stream);
	l.stream = NULL;
	assert_int_equal(other->dial(other, l.loop, &s), OK);
	stream_close(s);
	other->destroy(other);
	line_close(&l);
}

static void a_port_that_is_pulled_out_breaks_and_comes_back(void **state)
{
	char link[] = "/tmp/lineside-serial-XXXXXX";
	struct serial_options o;
	uint8_t in[8];
	size_t got = 0;
	bool more = false;
	struct line l;
	int fd;

	(void)state;
	line_open(&l);
	l.dialer->destroy(l.dialer);
	fd = mkstemp(link);
	assert_true(fd >= 0);
	close(fd);
	unlink(link);
	assert_int_equal(symlink(l.path, link), 0);
	o = options_of(&l);
	o.path = link;
	assert_int_equal(dialer_serial_create(&o, &l.dialer), OK);
	assert_int_equal(dial(&l), OK);
	close(l.far);
	wait_for(&l, LOOP_HANGUP);
	assert_int_equal(stream_read(l.stream, in, sizeof(in), &got, &more), ERR_IO);
	stream_close(l.stream);
	l.stream = NULL;
	unlink(link);
	assert_int_equal(dial(&l), ERR_IO);
	assert_int_equal(dial(&l), ERR_IO);
	assert_logged(&l, "it is not there; ports with a stable name: ", 1);
	far_open(&l);
	assert_int_equal(symlink(l.path, link), 0);
	l.events = 0;
	assert_int_equal(dial(&l), OK);
	unlink(link);
	line_close(&l);
}

static void what_is_no_port_is_said_so(void **state)
{
	static const struct {
		const char *path, *text;
	} cases[] = {
		{"/dev/null", "/dev/null: cannot open: it is no serial port"},
		{"/dev/no-such-port", "/dev/no-such-port: cannot open: it is not there"},
		{"/tmp", "/tmp: cannot open: Is a directory"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct serial_options o;
		struct line l;

		line_open(&l);
		l.dialer->destroy(l.dialer);
		o = options_of(&l);
		o.path = cases[i].path;
		assert_int_equal(dialer_serial_create(&o, &l.dialer), OK);
		assert_int_equal(dial(&l), ERR_IO);
		assert_logged(&l, cases[i].text, 1);
		line_close(&l);
	}
}

static void a_port_that_is_not_ours_is_said_so(void **state)
{
	struct line l;
	uid_t me = geteuid();

	(void)state;
	if (me != 0)
		skip(); /* only root can become somebody who may not */
	line_open(&l);
	assert_int_equal(chmod(l.path, 0600), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(dial(&l), ERR_IO);
	assert_int_equal(seteuid(me), 0);
	assert_logged(&l, "no permission; add the user of this program to the group", 1);
	line_close(&l);
}

static void every_failing_allocation_is_survived(void **state)
{
	(void)state;
	for (long n = 1;; n++) {
		struct line l = {0};
		struct serial_options o;
		bool hit;
		int rc;

		log_to_file(&l);
		assert_int_equal(loop_create(&l.loop), OK);
		far_open(&l);
		o = options_of(&l);
		alloc_fail_at(n);
		rc = dialer_serial_create(&o, &l.dialer);
		if (rc == OK)
			rc = l.dialer->dial(l.dialer, l.loop, &l.stream);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		if (!l.dialer)
			assert_int_equal(dialer_serial_create(&o, &l.dialer), OK);
		line_close(&l);
		if (!hit)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_bytes_pass_unchanged),
		cmocka_unit_test(any_rate_and_what_a_pty_can_is_set),
		cmocka_unit_test(what_the_port_cannot_is_said_once),
		cmocka_unit_test(a_port_has_one_user_and_the_other_is_told_who),
		cmocka_unit_test(a_port_that_is_pulled_out_breaks_and_comes_back),
		cmocka_unit_test(what_is_no_port_is_said_so),
		cmocka_unit_test(a_port_that_is_not_ours_is_said_so),
		cmocka_unit_test(every_failing_allocation_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
