#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker.h"
#include "link.h"

void broker_start(struct broker *b)
{
	b->up_ns = 0;
	b->started_ns = link_now_ns();
	if ((b->pid = fork()) < 0) {
		perror("fork");
		exit(2);
	}
	if (b->pid > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execvp(b->command[0], b->command);
	perror(b->command[0]);
	_exit(127);
}

static int reap(struct broker *b)
{
	int status = 0;

	while (waitpid(b->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	b->pid = 0;
	return status;
}

void broker_kill(struct broker *b)
{
	if (b->pid == 0)
		return;
	kill(b->pid, SIGKILL);
	reap(b);
}

bool broker_has_died(struct broker *b)
{
	int status;

	if (b->pid == 0 || waitpid(b->pid, &status, WNOHANG) != b->pid)
		return false;
	b->pid = 0;
	fprintf(stderr, "the broker ended by itself: %s %d\n", WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return true;
}

int broker_stop(struct broker *b)
{
	kill(b->pid, SIGTERM);
	return reap(b);
}
