/*
 * One device for the length of a command: a loop, a master, and requests one after the other, waited for.
 */
#ifndef TOOLS_MODBUS_SESSION_H
#define TOOLS_MODBUS_SESSION_H

#include "modbus/master.h"
#include "net/stream.h"
#include "tools/modbus_options.h"

#define MODBUS_PLACE_MAX (MODBUS_HOST_MAX + 32u)

struct modbus_session {
	const struct modbus_options *o; /* borrowed */
	const char *command;
	bool is_patient;
	struct loop *loop;
	struct modbus_master *master;
	struct modbus_request request; /* of the last modbus_session_do(); data holds its answer */
};

/* The dialer of the place that `o` names. ERR_NOMEM. */
MUST_USE int modbus_dialer_create(const struct modbus_options *o, struct dialer **out);

/* Of a line, how it is set; of TCP host and port. */
const char *modbus_describe_place(const struct modbus_options *o, char *buf, size_t size);

/* OK, or a failure that was explained on stderr; closed again in that case. */
MUST_USE int modbus_session_open(enum modbus_command command, const struct modbus_options *o,
				 struct modbus_session *s);
void modbus_session_close(struct modbus_session *s);

/* Do `req` and wait for the outcome; a failure is explained on stderr with what can be done about it. */
MUST_USE int modbus_session_do(struct modbus_session *s, const struct modbus_req *req);

/* The same, but an outcome that is a device's, or its silence, is not explained. */
MUST_USE int modbus_session_ask(struct modbus_session *s, const struct modbus_req *req, uint8_t unit,
				uint32_t timeout_ms);

/* A failure of modbus_session_ask(), on stderr. */
void modbus_session_explain(const struct modbus_session *s, int rc);

/* Read `count` items (1 to the limit of the area's function). */
MUST_USE int modbus_session_read(struct modbus_session *s, unsigned number, unsigned count);

/* Let the loop go on for so long. */
MUST_USE int modbus_session_wait(struct modbus_session *s, uint64_t ms);

#endif
