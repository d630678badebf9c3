/*
 * Signals of the process as events of one loop: SIGTERM and SIGINT, SIGHUP. They are blocked for the calling thread and
 * every thread that it makes after; SIGPIPE is ignored.
 */
#ifndef DAEMON_SIGNALS_H
#define DAEMON_SIGNALS_H

#include "loop/loop.h"

struct signals {
	void (*arrived)(struct signals *s, int signo); /* on the loop; set before signals_open() */
	struct loop *loop;
	struct loop_fd fd;
};

/* ERR_IO, ERR_NOMEM. */
MUST_USE int signals_open(struct signals *s, struct loop *loop);
/* Harmless when it is not open (all zero). The signals stay blocked: what comes now is for nobody. */
void signals_close(struct signals *s);

#endif
