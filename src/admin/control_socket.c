#include "admin/control_socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/control_request.h"
#include "base/log.h"

#define BACKLOG  16
#define RETRY_MS 100u

/*
 *   READING --a whole line--> WAITING --control_answer()--> WRITING --all written--> gone
 *      \--line too long or not understood------------------^
 *   Anywhere: time-out, broken --> gone
 */
enum client_state { CLIENT_READING, CLIENT_WAITING, CLIENT_WRITING };

struct client {
	struct list node;
	struct control_socket *socket;
	struct loop_fd fd;
	struct loop_timer timer;
	enum client_state state;
	const struct control_command *command; /* WAITING */
	uint64_t id;                           /* of its question */
	int passed;                            /* descriptor that came along; -1: none */
	char *out;                             /* WRITING */
	size_t len;                            /* of `in`, then of `out` */
	size_t sent;
	char in[CONTROL_REQUEST_MAX];
};

struct control_socket {
	struct loop *loop;
	struct loop_fd fd;
	struct loop_timer retry; /* descriptors ran out: accept again */
	struct list clients;
	unsigned nclients;
	uint32_t timeout_ms;
	uint64_t last_id;
	const struct control_command *commands;
	void *arg;
	dev_t dev; /* of the file */
	ino_t ino;
	struct sockaddr_un at;
};

/* ---- one client ---- */

static void client_free(struct client *c)
{
	struct control_socket *s = c->socket;

	loop_timer_cancel(s->loop, &c->timer);
	loop_fd_remove(s->loop, &c->fd);
	close(c->fd.fd);
	if (c->passed >= 0)
		close(c->passed);
	list_remove(&c->node);
	s->nclients--;
	free(c->out);
	free(c);
}

static void client_write(struct client *c)
{
	ssize_t n;

	while (c->sent < c->len) {
		n = send(c->fd.fd, c->out + c->sent, c->len - c->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n < 0)
			break;
		c->sent += (size_t)n;
	}
	client_free(c);
}

/* `text` and a line's end; c may be gone afterwards. */
static void client_say(struct client *c, const char *text)
{
	loop_timer_set(c->socket->loop, &c->timer, c->socket->timeout_ms);
	c->len = strlen(text) + 1;
	c->out = malloc(c->len);
	c->state = CLIENT_WRITING;
	if (!c->out) {
		client_free(c);
		return;
	}
	memcpy(c->out, text, c->len - 1);
	c->out[c->len - 1] = '\n';
	client_write(c);
}

static void client_refuse(struct client *c, int err)
{
	char text[128];

	snprintf(text, sizeof(text), "{\"error\":\"the request is not understood: %s\"}", err_text(err));
	client_say(c, text);
}

static const struct control_command *find_command(const struct control_socket *s, const char *name)
{
	const struct control_command *c = s->commands;

	while (c->name && strcmp(c->name, name) != 0)
		c++;
	return c->name ? c : NULL;
}

/* c may be gone afterwards. */
static void client_ask_one(struct client *c, const struct control_request *r)
{
	struct control_socket *s = c->socket;
	const struct control_question q = {.id = c->id, .flags = r->flags, .line = r->line, .fd = c->passed};

	loop_timer_cancel(s->loop, &c->timer);
	c->passed = -1;
	c->command->asked_one(s->arg, &q);
}

static void client_ask(struct client *c, size_t len)
{
	struct control_socket *s = c->socket;
	struct control_request r;
	int rc = control_request_read(span_of(c->in, len), &r);

	c->command = rc == OK ? find_command(s, r.command) : NULL;
	if (c->command && r.flags & ~c->command->takes)
		rc = ERR_UNSUPPORTED;
	if (rc < 0) {
		client_refuse(c, rc);
	} else if (!c->command) {
		client_say(c, "{\"error\":\"there is no such command in this version\"}");
	} else {
		c->state = CLIENT_WAITING;
		if (c->command->asked_one)
			client_ask_one(c, &r);
		else
			c->command->asked(s->arg); /* c may be gone */
	}
}

/* The first descriptor that comes is kept. */
static void take_descriptors(struct client *c, struct msghdr *m)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		size_t n = h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS
				   ? (h->cmsg_len - CMSG_LEN(0)) / sizeof(int)
				   : 0;

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
			if (c->passed < 0)
				c->passed = fd;
			else
				close(fd);
		}
	}
}

static ssize_t client_receive(struct client *c)
{
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))];
	struct iovec to = {.iov_base = c->in + c->len, .iov_len = sizeof(c->in) - c->len};
	struct msghdr m = {
		.msg_iov = &to, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)};
	ssize_t n = recvmsg(c->fd.fd, &m, MSG_CMSG_CLOEXEC);

	if (n >= 0)
		take_descriptors(c, &m);
	return n;
}

static void client_read(struct client *c)
{
	for (;;) {
		ssize_t n = client_receive(c);
		const char *end;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n <= 0) {
			client_free(c);
			return;
		}
		end = memchr(c->in + c->len, '\n', (size_t)n);
		c->len += (size_t)n;
		if (end) {
			client_ask(c, (size_t)(end - c->in));
			return;
		}
		if (c->len == sizeof(c->in)) {
			client_refuse(c, ERR_TOO_LARGE);
			return;
		}
	}
}

static void client_ready(struct loop_fd *f, unsigned events)
{
	struct client *c = container_of(f, struct client, fd);

	(void)events;
	if (c->state == CLIENT_READING)
		client_read(c);
	else if (c->state == CLIENT_WRITING)
		client_write(c);
}

static void client_late(struct loop_timer *t)
{
	client_free(container_of(t, struct client, timer));
}

static void client_create(struct control_socket *s, int fd)
{
	struct client *c = s->nclients < CONTROL_CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		static const char busy[] = "{\"error\":\"busy, ask again\"}\n";

		(void)!send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
		return;
	}
	c->socket = s;
	c->id = ++s->last_id;
	c->passed = -1;
	c->fd = (struct loop_fd){.fd = fd, .ready = client_ready};
	loop_timer_init(&c->timer, client_late);
	if (loop_fd_add(s->loop, &c->fd) < 0) {
		close(fd);
		free(c);
		return;
	}
	loop_timer_set(s->loop, &c->timer, s->timeout_ms);
	list_append(&s->clients, &c->node);
	s->nclients++;
}

/* ---- accepting ---- */

static void accept_all(struct control_socket *s)
{
	for (;;) {
		int fd = accept4(s->fd.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			client_create(s, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			loop_timer_set(s->loop, &s->retry, RETRY_MS);
		return;
	}
}

static void socket_ready(struct loop_fd *f, unsigned events)
{
	(void)events;
	accept_all(container_of(f, struct control_socket, fd));
}

static void socket_retry(struct loop_timer *t)
{
	accept_all(container_of(t, struct control_socket, retry));
}

static const char out_of_memory[] = "{\"error\":\"out of memory\"}";

void control_answer_one(struct control_socket *s, uint64_t id, const char *text)
{
	list_for_each (n, &s->clients) {
		struct client *c = container_of(n, struct client, node);

		if (c->state == CLIENT_WAITING && c->id == id) {
			client_say(c, text ? text : out_of_memory);
			return;
		}
	}
}

void control_answer(struct control_socket *s, const char *command, const char *text)
{
	if (!text)
		text = out_of_memory;
	list_for_each (n, &s->clients) {
		struct client *c = container_of(n, struct client, node);

		if (c->state == CLIENT_WAITING && strcmp(c->command->name, command) == 0)
			client_say(c, text);
	}
}

/* ---- the file ---- */

/* Is it a socket file that nobody listens at? Else errno says what it is: EADDRINUSE for one that lives. */
static bool is_dead(const struct sockaddr_un *at)
{
	int fd, error;
	struct stat st;

	if (lstat(at->sun_path, &st) < 0)
		return errno == ENOENT;
	if (!S_ISSOCK(st.st_mode)) {
		errno = EEXIST;
		return false;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	error = connect(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 ? errno : EADDRINUSE;
	close(fd);
	errno = error == EAGAIN ? EADDRINUSE : error; /* its queue is full: it lives */
	return error == ECONNREFUSED;
}

static int listen_at(struct control_socket *s)
{
	const struct sockaddr *at = (const struct sockaddr *)&s->at;
	struct stat st;
	int rc;

	s->fd.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* before bind: the file gets this mode as it is made, whatever the umask lets others do */
	if (s->fd.fd < 0 || fchmod(s->fd.fd, S_IRUSR | S_IWUSR) < 0)
		return ERR_IO;
	rc = bind(s->fd.fd, at, sizeof(s->at));
	if (rc < 0 && errno == EADDRINUSE) {
		if (!is_dead(&s->at))
			return errno == EADDRINUSE ? ERR_EXISTS : ERR_IO;
		if (unlink(s->at.sun_path) < 0 && errno != ENOENT)
			return ERR_IO;
		rc = bind(s->fd.fd, at, sizeof(s->at));
	}
	if (rc < 0 || lstat(s->at.sun_path, &st) < 0)
		return ERR_IO;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return listen(s->fd.fd, BACKLOG) < 0 ? ERR_IO : OK;
}

static void file_remove(const struct control_socket *s)
{
	struct stat st;

	if (s->ino && lstat(s->at.sun_path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(s->at.sun_path);
}

static void socket_free(struct control_socket *s)
{
	int error = errno;

	file_remove(s);
	if (s->fd.fd >= 0)
		close(s->fd.fd);
	free(s);
	errno = error;
}

int control_socket_open(struct loop *loop, const char *path, uint32_t timeout_ms,
			const struct control_command *commands, void *arg, struct control_socket **out)
{
	struct control_socket *s;
	int rc;

	if (strlen(path) >= sizeof(s->at.sun_path))
		return ERR_TOO_LARGE;
	s = calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	s->loop = loop;
	s->timeout_ms = timeout_ms;
	s->commands = commands;
	s->arg = arg;
	s->fd.ready = socket_ready;
	s->at.sun_family = AF_UNIX;
	memcpy(s->at.sun_path, path, strlen(path) + 1);
	list_init(&s->clients);
	loop_timer_init(&s->retry, socket_retry);
	rc = listen_at(s);
	if (rc == OK)
		rc = loop_fd_add(loop, &s->fd);
	if (rc < 0) {
		socket_free(s);
		return rc;
	}
	*out = s;
	return OK;
}

void control_socket_close(struct control_socket *s)
{
	if (!s)
		return;
	while (!list_empty(&s->clients))
		client_free(container_of(s->clients.next, struct client, node));
	loop_timer_cancel(s->loop, &s->retry);
	loop_fd_remove(s->loop, &s->fd);
	socket_free(s);
}

int control_folder_make(const char *path)
{
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
	const char *slash = strrchr(path, '/');
	struct stat st;
	int n = slash ? snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path) : 0;

	if (n <= 0)
		return OK; /* here, or in the root */
	if ((size_t)n >= sizeof(folder))
		return ERR_TOO_LARGE;
	if (mkdir(folder, S_IRWXU) < 0 && errno != EEXIST)
		return ERR_IO;
	if (lstat(folder, &st) < 0)
		return ERR_IO;
	/* in a place like /tmp somebody else may have been first */
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH))
		       ? OK
		       : ERR_DENIED;
}
