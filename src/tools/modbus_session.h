/*
 * One device for the length of a command: a loop, a master, and requests one after the other, waited for.
 */
#ifndef TOOLS_MODBUS_SESSION_H
#define TOOLS_MODBUS_SESSION_H

#include "modbus/master.h"
#include "tools/modbus_options.h"

struct modbus_session {
	const struct modbus_options *o; /* borrowed */
	const char *command;
	struct loop *loop;
	struct modbus_master *master;
	struct modbus_request request; /* of the last modbus_session_do(); data holds its answer */
};

/* OK, or a failure that was explained on stderr; closed again in that case. */
MUST_USE int modbus_session_open(enum modbus_command command, const struct modbus_options *o,
				 struct modbus_session *s);
void modbus_session_close(struct modbus_session *s);

/* Do `req` and wait for the outcome; a failure is explained on stderr with what can be done about it. */
MUST_USE int modbus_session_do(struct modbus_session *s, const struct modbus_req *req);

/* Read `count` items (1 to the limit of the area's function). */
MUST_USE int modbus_session_read(struct modbus_session *s, unsigned number, unsigned count);

/* Let the loop go on for so long. */
MUST_USE int modbus_session_wait(struct modbus_session *s, uint64_t ms);

#endif
