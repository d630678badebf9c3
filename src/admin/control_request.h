/*
 * What is said to a control socket: one line of JSON, {"command": "import", "replace": true} or {"command": "trace", "line": "rs485"}.
 * Pure.
 */
#ifndef ADMIN_CONTROL_REQUEST_H
#define ADMIN_CONTROL_REQUEST_H

#include "base/bytes.h"
#include "base/err.h"

#define CONTROL_REQUEST_MAX 4096u /* bytes of a request, the line's end included */
#define CONTROL_COMMAND_MAX 32u   /* with its NUL */
#define CONTROL_LINE_MAX    260u /* the same: names have CONFIG_NAME_MAX characters, of four bytes at the most */

/* Members beside the command that are there, and not false. */
#define CONTROL_REPLACE 1u /* "replace": what is there already */
#define CONTROL_LINE    2u /* "line": the name of one */

struct control_request {
	char command[CONTROL_COMMAND_MAX];
	unsigned flags;
	char line[CONTROL_LINE_MAX]; /* empty: none is named */
};

/*
 * `line` is without its end. Members that are not known are refused: who asks for more than this version does is told so.
 * ERR_MALFORMED: no such JSON; ERR_UNSUPPORTED: another member; ERR_TOO_LARGE: a command that nobody has; ERR_NOMEM. The command is an
 * empty text then.
 */
MUST_USE int control_request_read(struct span line, struct control_request *out);

#endif
