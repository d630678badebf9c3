#include "daemon/signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void read_signals(struct loop_fd *f, unsigned events)
{
	struct signals *s = container_of(f, struct signals, fd);
	struct signalfd_siginfo info;

	(void)events;
	while (s->loop && read(f->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		s->arrived(s, (int)info.ssi_signo);
}

int signals_open(struct signals *s, struct loop *loop)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t set;
	int rc;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigaction(SIGPIPE, &ignore, NULL) < 0 || pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return ERR_IO;
	s->fd = (struct loop_fd){.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC), .ready = read_signals};
	if (s->fd.fd < 0)
		return ERR_IO;
	if ((rc = loop_fd_add(loop, &s->fd)) < 0) {
		close(s->fd.fd);
		return rc;
	}
	s->loop = loop;
	return OK;
}

void signals_close(struct signals *s)
{
	if (!s->loop)
		return;
	loop_fd_remove(s->loop, &s->fd);
	close(s->fd.fd);
	s->loop = NULL;
}
