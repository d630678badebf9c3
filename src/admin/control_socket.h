/*
 * A gateway's control socket: programs of the same user ask it over a Unix socket (mode 0600) and get an answer in JSON. A
 * connection carries one request and one answer, a line each, and is closed then:
 *
 *     {"command": "status"}
 *     {"version": ..., ...}          or          {"error": "there is no command \"statsu\""}
 *
 * A descriptor may come with the request (SCM_RIGHTS), as what a command reads from: who asks has opened it.
 *
 * Bounded whoever connects: CONTROL_CLIENTS_MAX connections at once, CONTROL_REQUEST_MAX bytes of a request, `timeout_ms` for all
 * of it but a question that has its own answer. Never blocks. On one loop, its thread only.
 */
#ifndef ADMIN_CONTROL_SOCKET_H
#define ADMIN_CONTROL_SOCKET_H

#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"

#define CONTROL_CLIENTS_MAX 8u

struct control_socket;

struct control_question {
	uint64_t id;      /* never 0 */
	unsigned flags;   /* of control_request.h */
	const char *line; /* as there; borrowed for the call */
	int fd;           /* what came with it; -1: nothing. The command's own, to close() */
};

/* One of the two functions. */
struct control_command {
	const char *name;
	/* Somebody asks. Answer with control_answer(), from within or later; one answer serves all who asked until then. */
	void (*asked)(void *arg);
	/* Each question has an answer of its own, control_answer_one(), from within or later, however long it takes. */
	void (*asked_one)(void *arg, const struct control_question *q);
	unsigned takes; /* flags that it knows: others are refused */
};

/*
 * Listen at `path` (copied). A socket file there that nobody listens at is replaced.
 *   commands  outlive it; end with name NULL
 * ERR_EXISTS: a living program listens there; ERR_TOO_LARGE: no Unix socket may have so long a path; ERR_IO with errno;
 * ERR_NOMEM.
 */
MUST_USE int control_socket_open(struct loop *loop, const char *path, uint32_t timeout_ms,
				 const struct control_command *commands, void *arg,
				 struct control_socket **out);
/* Connections end without an answer; the file goes if it is still ours. Accepts NULL. */
void control_socket_close(struct control_socket *s);

/* Tell `text` (one line of JSON without its end, borrowed) to all who wait for the answer to this command; NULL: out of memory. */
void control_answer(struct control_socket *s, const char *command, const char *text);

/* The answer to one question; harmless when who asked is gone. As above. */
void control_answer_one(struct control_socket *s, uint64_t id, const char *text);

/*
 * Make the folder of `path`, for this user alone, unless it is there. ERR_DENIED: it is there and others may write to it, or it is no
 * folder of this user; ERR_IO with errno; ERR_TOO_LARGE.
 */
MUST_USE int control_folder_make(const char *path);

#endif
