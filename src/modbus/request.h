/*
 * What all masters do with a request alike.  For modbus/ only.
 */
#ifndef MODBUS_REQUEST_H
#define MODBUS_REQUEST_H

#include <string.h>

#include "modbus/master.h"

/* Submitted: the outcome of before is forgotten. */
void modbus_request_queued(struct modbus_request *r, struct modbus_master *m);

/* Its PDU, into MODBUS_PDU_MAX bytes. The errors of modbus_req_encode(). */
MUST_USE int modbus_request_encode(const struct modbus_request *r, uint8_t *pdu, size_t *len);

/*
 * The outcome that this answer is: OK and ERR_REMOTE, which set times, exception and data; ERR_MALFORMED and ERR_UNEXPECTED, which set
 * nothing.
 *   sent_us  when its last byte was on the wire
 */
MUST_USE int modbus_request_decode(struct modbus_request *r, struct span pdu, const struct loop *loop,
				   uint64_t sent_us);

/* Does it change something in the device? Of a raw one: true for all but the functions that are known to read only. */
bool modbus_request_is_write(const struct modbus_request *r);

/*
 * Has a connection's other end forgotten it? Behind a gateway there are several units, and one that is silent says nothing about the
 * connection: it is given up when every unit that ever answered on it was asked in vain since something was heard.
 */
struct modbus_quiet {
	unsigned timeouts; /* in a row, with nothing heard */
	uint64_t answered[4], silent[4];
};

static inline void modbus_quiet_heard(struct modbus_quiet *q)
{
	q->timeouts = 0;
	memset(q->silent, 0, sizeof(q->silent));
}

static inline void modbus_quiet_answered(struct modbus_quiet *q, uint8_t unit)
{
	q->answered[unit / 64] |= UINT64_C(1) << unit % 64;
}

/* True: give it up. After MODBUS_QUIET_MAX it is in any case, for some unit may be asked no more. */
bool modbus_quiet_timeout(struct modbus_quiet *q, uint8_t unit, unsigned limit);

#define MODBUS_QUIET_MAX 16u

static inline void modbus_master_trace(const struct modbus_master *m, bool is_sent, uint64_t at_us,
				       struct span bytes, const char *note)
{
	if (m->trace)
		m->trace->frame(m->trace, is_sent, at_us, bytes, note);
}

#endif
