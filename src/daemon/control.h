/*
 * The gateway's control socket: where it is, and what is answered there. On the main thread.
 */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "admin/control_socket.h"
#include "config/control_path.h"

struct control {
	struct control_socket *socket; /* NULL: there is none */
	char path[CONTROL_PATH_BYTES];
};

/*
 * Open it where `cfg` says. A configured place that cannot be had is an error, which is logged; without one, what stands in the way
 * is logged and OK returned. `commands` and `arg` as for control_socket_open().
 */
MUST_USE int control_open(struct control *c, struct loop *loop, const struct gateway_config *cfg,
			  const struct control_command *commands, void *arg);
/* After a reload: the new place if it is another one; if that can't be had, which is logged, the old one stays. */
void control_move(struct control *c, struct loop *loop, const struct gateway_config *cfg,
		  const struct control_command *commands, void *arg);
void control_close(struct control *c);

#endif
