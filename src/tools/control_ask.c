#include "tools/control_ask.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (64u << 20) /* bytes; a gateway of 100,000 devices needs half of it */

static int dial(const char *path, unsigned wait_s)
{
	struct timeval wait = {.tv_sec = (time_t)wait_s};
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), error;

	memcpy(at.sun_path, path, strlen(path) + 1);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == 0 &&
	    connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	error = errno;
	if (fd >= 0)
		close(fd);
	errno = error;
	return -1;
}

/* A request is short: it goes as a whole. */
static int say(int to, const char *request, int fd)
{
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec from = {.iov_base = (void *)(uintptr_t)request, .iov_len = strlen(request)};
	struct msghdr m = {.msg_iov = &from, .msg_iovlen = 1};
	struct cmsghdr *h;
	ssize_t n;

	if (fd >= 0) {
		m.msg_control = space;
		m.msg_controllen = sizeof(space);
		h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	}
	n = sendmsg(to, &m, MSG_NOSIGNAL);
	if (n >= 0 && (size_t)n < from.iov_len)
		errno = EMSGSIZE;
	return n == (ssize_t)from.iov_len ? 0 : -1;
}

/* All until the end, NUL terminated. */
static char *read_all(int fd)
{
	size_t len = 0, room = 65536;
	char *text = malloc(room), *more;

	while (text) {
		ssize_t n = recv(fd, text + len, room - len - 1, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0) {
			text[len] = '\0';
			return text;
		}
		len += n > 0 ? (size_t)n : 0;
		if (n < 0 || len >= ANSWER_MAX) {
			errno = n < 0 ? errno : EMSGSIZE;
			break;
		}
		if (room - len < 2) {
			more = realloc(text, room *= 2);
			if (!more)
				break;
			text = more;
		}
	}
	free(text);
	return NULL;
}

char *control_ask(const char *path, const char *request, int fd, unsigned wait_s)
{
	int to = dial(path, wait_s), error;
	char *text = NULL;

	if (to < 0)
		return NULL;
	if (say(to, request, fd) == 0)
		text = read_all(to);
	error = errno;
	close(to);
	errno = error;
	return text;
}
