#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>

#include "admin/control_request.h"
#include "admin/control_socket.h"
#include "base/alloc_fail.h"

#define TIMEOUT_MS 60000u /* longer than any test */

struct rig {
	struct loop *loop;
	struct control_socket *socket;
	char dir[64], path[96];
	unsigned asked;
	bool answer_at_once;
	struct control_question questions[2];
	unsigned nquestions;
	char line[CONTROL_LINE_MAX]; /* that the last one named */
};

static void asked(void *arg)
{
	struct rig *r = arg;

	r->asked++;
	if (r->answer_at_once)
		control_answer(r->socket, "status", "{\"n\":1}");
}

static void never(void *arg)
{
	(void)arg;
}

static void asked_one(void *arg, const struct control_question *q)
{
	struct rig *r = arg;

	snprintf(r->line, sizeof(r->line), "%s", q->line);
	r->questions[r->nquestions++] = *q;
}

static const struct control_command commands[] = {
	{.name = "status", .asked = asked},
	{.name = "never", .asked = never},
	{.name = "one", .asked_one = asked_one, .takes = CONTROL_REPLACE | CONTROL_LINE},
	{.name = NULL},
};

static int up_with(struct rig *r, uint32_t timeout_ms)
{
	*r = (struct rig){.answer_at_once = true};
	snprintf(r->dir, sizeof(r->dir), "/tmp/control-test-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	snprintf(r->path, sizeof(r->path), "%s/c.sock", r->dir);
	assert_int_equal(loop_create(&r->loop), OK);
	return control_socket_open(r->loop, r->path, timeout_ms, commands, r, &r->socket);
}

static void up(struct rig *r)
{
	assert_int_equal(up_with(r, TIMEOUT_MS), OK);
}

static void down(struct rig *r)
{
	control_socket_close(r->socket);
	assert_int_equal(access(r->path, F_OK), -1);
	loop_destroy(r->loop);
	assert_int_equal(rmdir(r->dir), 0);
}

static int dial(const struct rig *r)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", r->path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* All until the other side closes. */
static const char *hear(struct rig *r, int fd)
{
	static char text[8192];
	size_t len = 0;
	ssize_t n;

	do {
		assert_int_equal(loop_turn(r->loop, 10), OK);
		n = recv(fd, text + len, sizeof(text) - 1 - len, 0);
		if (n > 0)
			len += (size_t)n;
	} while (n != 0 && !(n < 0 && errno == ECONNRESET));
	text[len] = '\0';
	close(fd);
	return text;
}

static void a_request_gets_one_answer_and_the_end(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	up(&r);
	fd = dial(&r);
	say(fd, "{\"command\":\"status\"}\n");
	assert_string_equal(hear(&r, fd), "{\"n\":1}\n");
	down(&r);
}

static void a_request_may_come_in_pieces(void **state)
{
	static const char request[] = " {\"command\" : \"status\"} \n";
	struct rig r;
	int fd;

	(void)state;
	up(&r);
	fd = dial(&r);
	for (const char *p = request; *p; p++) {
		say(fd, (char[2]){*p});
		assert_int_equal(loop_turn(r.loop, 0), OK);
		assert_int_equal(loop_turn(r.loop, 0), OK);
	}
	assert_string_equal(hear(&r, fd), "{\"n\":1}\n");
	down(&r);
}

static void an_answer_later_is_for_all_who_asked(void **state)
{
	struct rig r;
	int a, b, other;

	(void)state;
	up(&r);
	r.answer_at_once = false;
	a = dial(&r);
	b = dial(&r);
	other = dial(&r);
	say(a, "{\"command\":\"status\"}\n");
	say(b, "{\"command\":\"status\"}\n");
	say(other, "{\"command\":\"never\"}\n");
	while (r.asked < 2)
		assert_int_equal(loop_turn(r.loop, 10), OK);
	control_answer(r.socket, "status", "{\"n\":2}");
	assert_string_equal(hear(&r, a), "{\"n\":2}\n");
	assert_string_equal(hear(&r, b), "{\"n\":2}\n");
	control_answer(r.socket, "status", "{\"n\":3}"); /* nobody waits */
	control_answer(r.socket, "never", NULL);
	assert_string_equal(hear(&r, other), "{\"error\":\"out of memory\"}\n");
	down(&r);
}

/* A request with two descriptors. */
static void say_with(int fd, const char *text, int a, int b)
{
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(2 * sizeof(int))] = {0};
	struct iovec from = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
	struct msghdr m = {
		.msg_iov = &from, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(2 * sizeof(int));
	memcpy(CMSG_DATA(h), (int[]){a, b}, 2 * sizeof(int));
	assert_int_equal(sendmsg(fd, &m, MSG_NOSIGNAL), strlen(text));
}

static void a_question_of_its_own_has_its_own_answer_whenever_it_comes(void **state)
{
	struct rig r;
	int a, b, pipes[2];
	char byte = 'x';

	(void)state;
	assert_int_equal(up_with(&r, 20), OK);
	assert_int_equal(pipe(pipes), 0);
	a = dial(&r);
	say_with(a, "{\"command\":\"one\",\"replace\":true}\n", pipes[1], pipes[0]);
	close(pipes[1]);
	while (r.nquestions < 1)
		assert_int_equal(loop_turn(r.loop, 10), OK);
	b = dial(&r);
	assert_string_equal(r.line, "");
	say(b, "{\"replace\":false,\"command\":\"one\",\"line\":\"rs\\u0034\"}\n");
	while (r.nquestions < 2)
		assert_int_equal(loop_turn(r.loop, 10), OK);
	assert_int_equal(r.questions[0].flags, CONTROL_REPLACE);
	assert_int_equal(r.questions[1].flags, CONTROL_LINE);
	assert_string_equal(r.line, "rs4");
	assert_int_equal(r.questions[1].fd, -1);
	assert_int_equal(write(r.questions[0].fd, &byte, 1), 1);
	close(r.questions[0].fd);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	assert_int_equal(read(pipes[0], &byte, 1), 0); /* nobody else has it open */
	close(pipes[0]);
	assert_string_equal(hear(&r, dial(&r)), ""); /* the time of others passes meanwhile */
	control_answer_one(r.socket, r.questions[1].id, "{\"n\":2}");
	assert_string_equal(hear(&r, b), "{\"n\":2}\n");
	control_answer_one(r.socket, r.questions[0].id, NULL);
	assert_string_equal(hear(&r, a), "{\"error\":\"out of memory\"}\n");
	control_answer_one(r.socket, r.questions[0].id, "{}"); /* it is gone */
	down(&r);
}

static void what_is_not_understood_is_refused(void **state)
{
	static const char unknown[] = "{\"error\":\"there is no such command in this version\"}\n";
	static const char malformed[] = "{\"error\":\"the request is not understood: malformed bytes\"}\n";
	static const char unsupported[] = "{\"error\":\"the request is not understood: not supported\"}\n";
	static const char large[] = "{\"error\":\"the request is not understood: larger than allowed\"}\n";
	static const struct {
		const char *request, *answer;
	} rows[] = {
		{"\n", malformed},
		{"status\n", malformed},
		{"{}\n", malformed},
		{"[\"command\"]\n", malformed},
		{"{\"command\":1}\n", malformed},
		{"{\"command\":null}\n", malformed},
		{"{\"command\":{}}\n", malformed},
		{"{\"command\":\"status\",\"command\":\"status\"}\n", malformed},
		{"{\"command\":\"status\"\n", malformed},
		{"\xFF\xFE\n", malformed},
		{"{\"command\":\"status\",\"more\":1}\n", unsupported},
		{"{\"command\":\"status\",\"replace\":true}\n", unsupported},
		{"{\"command\":\"one\",\"replace\":1}\n", malformed},
		{"{\"command\":\"one\",\"replace\":\"true\"}\n", malformed},
		{"{\"command\":\"Status\"}\n", unknown},
		{"{\"command\":\"\"}\n", unknown},
		{"{\"command\":\"1234567890123456789012345678901\"}\n", unknown},
		{"{\"command\":\"12345678901234567890123456789012\"}\n", large},
	};
	struct rig r;
	int fd;

	(void)state;
	up(&r);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fd = dial(&r);
		say(fd, rows[i].request);
		assert_string_equal(hear(&r, fd), rows[i].answer);
	}
	assert_int_equal(r.asked, 0);
	assert_int_equal(r.nquestions, 0);
	down(&r);
}

static void a_line_without_an_end_is_refused_at_its_limit(void **state)
{
	char request[CONTROL_REQUEST_MAX + 2];
	struct rig r;
	int fd;

	(void)state;
	up(&r);
	/* one with its end at the limit is taken */
	memset(request, ' ', sizeof(request));
	memcpy(request, "{\"command\":\"status\"}", 20);
	request[CONTROL_REQUEST_MAX - 1] = '\n';
	request[CONTROL_REQUEST_MAX] = '\0';
	fd = dial(&r);
	say(fd, request);
	assert_string_equal(hear(&r, fd), "{\"n\":1}\n");
	request[CONTROL_REQUEST_MAX - 1] = ' ';
	fd = dial(&r);
	say(fd, request);
	assert_string_equal(hear(&r, fd),
			    "{\"error\":\"the request is not understood: larger than allowed\"}\n");
	down(&r);
}

static void who_comes_when_all_places_are_taken_is_told(void **state)
{
	int fds[CONTROL_CLIENTS_MAX], fd;
	struct rig r;

	(void)state;
	up(&r);
	for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
		fds[i] = dial(&r);
	fd = dial(&r);
	assert_string_equal(hear(&r, fd), "{\"error\":\"busy, ask again\"}\n");
	close(fds[0]); /* a place is free again */
	assert_int_equal(loop_turn(r.loop, 10), OK);
	fd = dial(&r);
	say(fd, "{\"command\":\"status\"}\n");
	assert_string_equal(hear(&r, fd), "{\"n\":1}\n");
	for (unsigned i = 1; i < CONTROL_CLIENTS_MAX; i++)
		close(fds[i]);
	down(&r);
}

static void who_says_nothing_is_closed_in_time(void **state)
{
	struct rig r;
	int silent, waiting;

	(void)state;
	assert_int_equal(up_with(&r, 20), OK);
	r.answer_at_once = false;
	silent = dial(&r);
	waiting = dial(&r);
	say(waiting, "{\"command\":\"status\"}\n");
	assert_string_equal(hear(&r, silent), "");
	assert_string_equal(hear(&r, waiting), "");
	control_answer(r.socket, "status", "{}"); /* too late for anybody */
	down(&r);
}

static void the_file_is_for_its_user_alone(void **state)
{
	struct stat st;
	struct rig r;

	(void)state;
	umask(0);
	up(&r);
	assert_int_equal(stat(r.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	down(&r);
}

static void a_dead_file_is_replaced_and_a_living_one_is_not(void **state)
{
	struct control_socket *second = NULL;
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct rig r;
	int dead;

	(void)state;
	up(&r);
	assert_int_equal(control_socket_open(r.loop, r.path, TIMEOUT_MS, commands, &r, &second), ERR_EXISTS);
	assert_null(second);
	control_socket_close(r.socket);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", r.path);
	dead = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(dead, (const struct sockaddr *)&at, sizeof(at)), 0);
	close(dead);
	assert_int_equal(access(r.path, F_OK), 0);
	assert_int_equal(control_socket_open(r.loop, r.path, TIMEOUT_MS, commands, &r, &r.socket), OK);
	a_request_gets_one_answer_and_the_end(NULL);
	down(&r);
}

static void what_is_no_socket_is_left_alone(void **state)
{
	struct control_socket *other = NULL;
	struct rig r;
	char path[128];
	FILE *f;

	(void)state;
	up(&r);
	snprintf(path, sizeof(path), "%s/file", r.dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(control_socket_open(r.loop, path, TIMEOUT_MS, commands, &r, &other), ERR_IO);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(unlink(path), 0);
	down(&r);
}

static void a_path_that_no_socket_can_have_is_refused(void **state)
{
	struct control_socket *other = NULL;
	struct rig r;
	char path[109];

	(void)state;
	up(&r);
	memset(path, 'x', sizeof(path));
	path[108] = '\0';
	assert_int_equal(control_socket_open(r.loop, path, TIMEOUT_MS, commands, &r, &other), ERR_TOO_LARGE);
	down(&r);
}

/* Somebody else's gateway may have replaced ours after our file was removed. */
static void closing_leaves_a_file_that_is_not_ours(void **state)
{
	struct control_socket *ours;
	struct rig r;

	(void)state;
	up(&r);
	ours = r.socket;
	assert_int_equal(unlink(r.path), 0);
	assert_int_equal(control_socket_open(r.loop, r.path, TIMEOUT_MS, commands, &r, &r.socket), OK);
	control_socket_close(ours);
	assert_int_equal(access(r.path, F_OK), 0);
	down(&r);
}

static void closing_ends_those_who_wait(void **state)
{
	struct rig r;
	char byte;
	int fd;

	(void)state;
	up(&r);
	r.answer_at_once = false;
	fd = dial(&r);
	say(fd, "{\"command\":\"status\"}\n");
	while (!r.asked)
		assert_int_equal(loop_turn(r.loop, 10), OK);
	down(&r);
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	close(fd);
}

static void the_folder_is_made_for_its_user_alone(void **state)
{
	char dir[] = "/tmp/control-test-XXXXXX", path[64], folder[64];
	struct stat st;

	(void)state;
	umask(0);
	assert_non_null(mkdtemp(dir));
	snprintf(folder, sizeof(folder), "%s/new", dir);
	snprintf(path, sizeof(path), "%s/new/c.sock", dir);
	assert_int_equal(control_folder_make(path), OK);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(control_folder_make(path), OK);
	assert_int_equal(chmod(folder, 0770), 0);
	assert_int_equal(control_folder_make(path), ERR_DENIED);
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(symlink(dir, folder), 0); /* laid out by somebody else */
	assert_int_equal(control_folder_make(path), ERR_DENIED);
	assert_int_equal(unlink(folder), 0);
	snprintf(path, sizeof(path), "%s/none/new/c.sock", dir);
	assert_int_equal(control_folder_make(path), ERR_IO);
	assert_int_equal(rmdir(dir), 0);
}

static void without_memory_it_says_no_and_goes_on(void **state)
{
	bool failed = true;
	struct rig r;
	int fd;

	(void)state;
	up(&r);
	for (unsigned n = 1; failed; n++) {
		fd = dial(&r);
		say(fd, "{\"command\":\"status\"}\n");
		alloc_fail_at(n);
		(void)hear(&r, fd);
		failed = alloc_fail_end();
	}
	control_socket_close(r.socket);
	alloc_fail_at(1);
	assert_int_equal(control_socket_open(r.loop, r.path, TIMEOUT_MS, commands, &r, &r.socket), ERR_NOMEM);
	(void)alloc_fail_end();
	assert_int_equal(control_socket_open(r.loop, r.path, TIMEOUT_MS, commands, &r, &r.socket), OK);
	down(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_request_gets_one_answer_and_the_end),
		cmocka_unit_test(a_request_may_come_in_pieces),
		cmocka_unit_test(an_answer_later_is_for_all_who_asked),
		cmocka_unit_test(a_question_of_its_own_has_its_own_answer_whenever_it_comes),
		cmocka_unit_test(what_is_not_understood_is_refused),
		cmocka_unit_test(a_line_without_an_end_is_refused_at_its_limit),
		cmocka_unit_test(who_comes_when_all_places_are_taken_is_told),
		cmocka_unit_test(who_says_nothing_is_closed_in_time),
		cmocka_unit_test(the_file_is_for_its_user_alone),
		cmocka_unit_test(a_dead_file_is_replaced_and_a_living_one_is_not),
		cmocka_unit_test(what_is_no_socket_is_left_alone),
		cmocka_unit_test(a_path_that_no_socket_can_have_is_refused),
		cmocka_unit_test(closing_leaves_a_file_that_is_not_ours),
		cmocka_unit_test(closing_ends_those_who_wait),
		cmocka_unit_test(the_folder_is_made_for_its_user_alone),
		cmocka_unit_test(without_memory_it_says_no_and_goes_on),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
