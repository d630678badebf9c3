/*
 * What is said to a control socket: one line of JSON, {"command": "import", "replace": true}. Pure.
 */
#ifndef ADMIN_CONTROL_REQUEST_H
#define ADMIN_CONTROL_REQUEST_H

#include "base/bytes.h"
#include "base/err.h"

#define CONTROL_REQUEST_MAX 4096u /* bytes of a request, the line's end included */
#define CONTROL_COMMAND_MAX 32u   /* with its NUL */

/* Members beside the command, all true or false. */
#define CONTROL_REPLACE 1u /* "replace": what is there already */

struct control_request {
	char command[CONTROL_COMMAND_MAX];
	unsigned flags;
};

/*
 * `line` is without its end. Members that are not known are refused: who asks for more than this version does is told so.
 * ERR_MALFORMED: no such JSON; ERR_UNSUPPORTED: another member; ERR_TOO_LARGE: a command that nobody has; ERR_NOMEM. The command is an
 * empty text then.
 */
MUST_USE int control_request_read(struct span line, struct control_request *out);

#endif
