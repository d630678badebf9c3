#include "daemon/local_dialer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/list.h"
#include "net/stream_tcp.h"

struct local_dialer {
	struct dialer dialer;
	struct broker *broker;
};

static int dial(struct dialer *d, struct loop *loop, struct stream **out)
{
	struct local_dialer *l = container_of(d, struct local_dialer, dialer);
	struct stream *ours = NULL, *theirs = NULL;
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return ERR_IO;
	rc = stream_tcp_from_fd(pair[0], &ours); /* it has the descriptor in any case */
	if (stream_tcp_from_fd(pair[1], &theirs) < 0 || rc < 0 || (rc = stream_attach(ours, loop)) < 0) {
		stream_close(ours);
		stream_close(theirs);
		return rc < 0 ? rc : ERR_NOMEM;
	}
	broker_accept_own(l->broker, theirs);
	*out = ours;
	return OK;
}

static void describe(const struct dialer *d, char *buf, size_t size)
{
	(void)d;
	snprintf(buf, size, "local");
}

static void destroy(struct dialer *d)
{
	free(container_of(d, struct local_dialer, dialer));
}

int local_dialer_create(struct broker *broker, struct dialer **out)
{
	struct local_dialer *l = malloc(sizeof(*l));

	if (!l)
		return ERR_NOMEM;
	*l = (struct local_dialer){.dialer = {.dial = dial, .describe = describe, .destroy = destroy},
				   .broker = broker};
	*out = &l->dialer;
	return OK;
}
