/* The broker's process: started, killed, started again. */
#ifndef KILL_BROKER_H
#define KILL_BROKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct broker {
	char **command;             /* NULL terminated */
	pid_t pid;                  /* 0: it does not run */
	uint64_t started_ns, up_ns; /* up: it answered a CONNECT; 0: not yet */
	uint64_t start_took_ns;     /* the last time */
};

/* It dies with this process. Exits when it cannot fork. */
void broker_start(struct broker *b);
void broker_kill(struct broker *b);
/* Has it ended by itself? */
bool broker_has_died(struct broker *b);
/* SIGTERM; its wait status. */
int broker_stop(struct broker *b);

#endif
