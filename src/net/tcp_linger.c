#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/tcp_impl.h"

#define LINGER_MS    2000u
#define LINGER_BYTES (1024u * 1024)

struct lingering {
	struct loop *loop;
	struct loop_fd fd;
	struct loop_timer limit;
	struct loop_hook destroy;
	size_t discarded;
};

static void linger_end(struct lingering *l)
{
	loop_fd_remove(l->loop, &l->fd);
	loop_timer_cancel(l->loop, &l->limit);
	loop_hook_remove(&l->destroy);
	close(l->fd.fd);
	free(l);
}

static void linger_expired(struct loop_timer *t)
{
	linger_end(container_of(t, struct lingering, limit));
}

static void linger_loop_ends(struct loop_hook *h)
{
	linger_end(container_of(h, struct lingering, destroy));
}

static void linger_ready(struct loop_fd *f, unsigned events)
{
	struct lingering *l = container_of(f, struct lingering, fd);
	uint8_t waste[16384];
	ssize_t n;

	(void)events;
	for (;;) {
		n = recv(f->fd, waste, sizeof(waste), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		l->discarded += (size_t)n;
		if (l->discarded > LINGER_BYTES)
			break;
	}
	if (n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK))
		linger_end(l);
}

void tcp_linger(struct loop *loop, int fd)
{
	struct lingering *l = calloc(1, sizeof(*l));

	if (!l || shutdown(fd, SHUT_WR) < 0)
		goto at_once;
	l->loop = loop;
	l->fd = (struct loop_fd){.fd = fd, .ready = linger_ready};
	if (loop_fd_add(loop, &l->fd) < 0)
		goto at_once;
	loop_timer_init(&l->limit, linger_expired);
	loop_timer_set(loop, &l->limit, LINGER_MS);
	loop_hook_add(loop, LOOP_DESTROY, &l->destroy, linger_loop_ends);
	return;
at_once:
	close(fd);
	free(l);
}
