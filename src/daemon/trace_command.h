/*
 * The command "trace" of the control socket: somebody wants to see the frames of a line.
 */
#ifndef DAEMON_TRACE_COMMAND_H
#define DAEMON_TRACE_COMMAND_H

#include "admin/control_socket.h"
#include "daemon/field_thread.h"

/*
 * {"framing": "rtu"} ("ascii", "tcp"), and frames go to q->fd from now on; or {"error": ..., "lines": [those that have frames]}. q->fd is not the
 * question's any more, whatever is answered. To free(); NULL: out of memory. On the main thread.
 *   cfg  what the field side runs
 */
char *trace_command(const struct gateway_config *cfg, struct field_thread *field,
		    const struct control_question *q);

#endif
