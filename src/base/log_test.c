#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A datagram socket keeps the writes apart: one message received is one write(2). */
static int wire[2];

static int log_into_socket(void **state)
{
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, wire), 0);
	log_set_fd(wire[0]);
	log_set_level(LOG_NOTICE);
	return 0;
}

static int log_to_stderr(void **state)
{
	(void)state;
	log_set_fd(STDERR_FILENO);
	close(wire[0]);
	close(wire[1]);
	return 0;
}

/* The next line written, NUL terminated in buf; false when there is none. */
static bool next_line(char *buf, size_t size)
{
	ssize_t n = recv(wire[1], buf, size - 1, 0);

	if (n <= 0)
		return false;
	buf[n] = '\0';
	return true;
}

static int lines_left(void)
{
	char buf[4096];
	int n = 0;

	while (next_line(buf, sizeof buf))
		n++;
	return n;
}

static void a_line_has_time_level_area_and_text(void **state)
{
	char buf[4096];
	regex_t re;

	(void)state;
	assert_int_equal(regcomp(&re,
				 "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "
				 "warning mqtt: client 7 left\n$",
				 REG_EXTENDED | REG_NOSUB),
			 0);
	log_warning("mqtt", "client %d left", 7);
	assert_true(next_line(buf, sizeof buf));
	assert_int_equal(regexec(&re, buf, 0, NULL, 0), 0);
	assert_int_equal(lines_left(), 0);
	regfree(&re);
}

static void levels_above_the_threshold_are_silent(void **state)
{
	(void)state;
	for (int set = LOG_ERROR; set <= LOG_DEBUG; set++) {
		log_set_level((enum log_level)set);
		assert_int_equal(log_level(), set);
		log_error("t", "x");
		log_warning("t", "x");
		log_notice("t", "x");
		log_info("t", "x");
		log_debug("t", "x");
		assert_int_equal(lines_left(), set + 1);
	}
}

static void silent_levels_do_not_evaluate_their_arguments(void **state)
{
	int evaluated = 0;

	(void)state;
	log_debug("t", "%d", ++evaluated);
	assert_int_equal(evaluated, 0);
}

static void level_names_parse_back_and_others_are_not_found(void **state)
{
	static const char *const wrong[] = {"", "Error", "warn", "debug ", "unknown"};
	enum log_level level = LOG_INFO;

	(void)state;
	for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
		assert_int_equal(log_level_parse(log_level_name((enum log_level)i), &level), OK);
		assert_int_equal(level, i);
	}
	for (size_t i = 0; i < COUNT(wrong); i++) {
		level = LOG_INFO;
		assert_int_equal(log_level_parse(wrong[i], &level), ERR_NOT_FOUND);
		assert_int_equal(level, LOG_INFO);
	}
	assert_string_equal(log_level_name((enum log_level)(LOG_DEBUG + 1)), "unknown");
}

static void a_cause_is_limited_and_says_how_many_it_left_out(void **state)
{
	struct log_cause cause = {0}, other = {0};
	char buf[4096];

	(void)state;
	for (int i = 0; i < LOG_BURST + 3; i++)
		log_write(&cause, LOG_ERROR, "t", "line %d", i);
	assert_int_equal(lines_left(), LOG_BURST);

	/* The next window: turn the cause's clock back by one. */
	cause.window_start_ms -= LOG_WINDOW_MS;
	log_write(&cause, LOG_ERROR, "t", "again");
	assert_true(next_line(buf, sizeof buf));
	assert_non_null(strstr(buf, " t: again (3 more left out)\n"));
	log_write(&cause, LOG_ERROR, "t", "and again");
	assert_true(next_line(buf, sizeof buf));
	assert_non_null(strstr(buf, " t: and again\n"));

	log_write(&other, LOG_ERROR, "t", "another cause has its own count");
	assert_int_equal(lines_left(), 1);
}

static void each_place_that_logs_is_its_own_cause(void **state)
{
	(void)state;
	for (int i = 0; i < 2 * LOG_BURST; i++) {
		log_error("t", "here");
		log_error("t", "there");
		if (i % LOG_BURST == 0)
			assert_int_equal(lines_left(), i ? 2 * (LOG_BURST - 1) : 2);
	}
	assert_int_equal(lines_left(), 0);
}

static void a_long_line_is_cut_and_still_one_line(void **state)
{
	struct log_cause cause = {.left_out = UINT32_MAX};
	char text[5000], buf[8192];
	size_t n;

	(void)state;
	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	log_write(&cause, LOG_ERROR, "t", "%s", text);
	assert_true(next_line(buf, sizeof buf));
	n = strlen(buf);
	assert_in_range(n, 1000, 2048);
	assert_non_null(strstr(buf, "aaa... (4294967295 more left out)\n"));
	assert_ptr_equal(strchr(buf, '\n'), buf + n - 1);

	/* An area that fills the line by itself. */
	log_write(&cause, LOG_ERROR, text, "%s", text);
	assert_true(next_line(buf, sizeof buf));
	assert_non_null(strstr(buf, "aaa...\n"));
	assert_int_equal(lines_left(), 0);
}

static void control_bytes_in_a_text_become_blanks(void **state)
{
	char buf[4096];

	(void)state;
	log_error("t", "a\nb\033c\177d");
	assert_true(next_line(buf, sizeof buf));
	assert_non_null(strstr(buf, "t: a b c d\n"));
}

static void errno_survives_a_line(void **state)
{
	struct log_cause cause = {0};

	(void)state;
	errno = ENOENT;
	log_set_fd(-1);
	log_write(&cause, LOG_ERROR, "t", "nowhere");
	assert_int_equal(errno, ENOENT);
}

static void outside_bytes_are_quoted(void **state)
{
	static const struct {
		const char *in;
		size_t len, size;
		const char *out;
	} cases[] = {
		{"", 0, 8, "\"\""},
		{"abc", 3, 8, "\"abc\""},
		{"abcde", 5, 8, "\"abcde\""},
		{"abcdef", 6, 8, "\"ab\"..."},
		{"abcdef", 6, 9, "\"abcdef\""},
		{"a\"b\\c", 5, 64, "\"a\\\"b\\\\c\""},
		{"\0\n\x1b\x7f ", 5, 64, "\"\\x00\\x0a\\x1b\\x7f \""},
		{"gr\xc3\xbc\xc3\x9f", 6, 64, "\"gr\xc3\xbc\xc3\x9f\""},
		{"\xf0\x9f\x98\x80", 4, 64, "\"\xf0\x9f\x98\x80\""},
		{"\xf4\x8f\xbf\xbf\xf4\x90\x80\x80", 8, 64, "\"\xf4\x8f\xbf\xbf\\xf4\\x90\\x80\\x80\""},
		{"\xc2\x85", 2, 64, "\"\\xc2\\x85\""},          /* a C1 control */
		{"\xc2\xa0", 2, 64, "\"\xc2\xa0\""},            /* one past them */
		{"\xc0\xaf", 2, 64, "\"\\xc0\\xaf\""},          /* overlong */
		{"\xed\xa0\x80", 3, 64, "\"\\xed\\xa0\\x80\""}, /* a surrogate */
		{"\xc3", 1, 64, "\"\\xc3\""},                   /* cut short */
		{"\xe2\x82", 2, 64, "\"\\xe2\\x82\""},          /* cut short */
		{"\xff\x80", 2, 64, "\"\\xff\\x80\""},          /* no lead byte */
		{"ab\xc3\xbc"
		 "def",
		 7, 9, "\"ab\"..."}, /* never half a character */
		{"\n\n\n", 3, 8, "\"\"..."},
		{"\n\n\n", 3, 12, "\"\\x0a\"..."},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char buf[64];

		memset(buf, '#', sizeof buf);
		assert_ptr_equal(log_quote(buf, cases[i].size, span_of(cases[i].in, cases[i].len)), buf);
		assert_string_equal(buf, cases[i].out);
		assert_true(strlen(buf) < cases[i].size);
		for (size_t k = cases[i].size; k < sizeof buf; k++)
			assert_int_equal(buf[k], '#');
	}
}

#define THREADS    4
#define PER_THREAD 1000

static void *log_many(void *arg)
{
	struct log_cause *cause = arg;

	for (int i = 0; i < PER_THREAD; i++)
		log_write(cause, LOG_ERROR, "t", "from a thread");
	return NULL;
}

static void threads_that_share_a_cause_lose_no_count(void **state)
{
	struct log_cause cause = {0};
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, log_many, &cause), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(lines_left() + (int)cause.left_out, THREADS * PER_THREAD);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, log_into_socket, log_to_stderr)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_line_has_time_level_area_and_text),
		TEST(levels_above_the_threshold_are_silent),
		TEST(silent_levels_do_not_evaluate_their_arguments),
		TEST(level_names_parse_back_and_others_are_not_found),
		TEST(a_cause_is_limited_and_says_how_many_it_left_out),
		TEST(each_place_that_logs_is_its_own_cause),
		TEST(a_long_line_is_cut_and_still_one_line),
		TEST(control_bytes_in_a_text_become_blanks),
		TEST(errno_survives_a_line),
		TEST(outside_bytes_are_quoted),
		TEST(threads_that_share_a_cause_lose_no_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
