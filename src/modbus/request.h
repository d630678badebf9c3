/*
 * What all masters do with a request alike.  For modbus/ only.
 */
#ifndef MODBUS_REQUEST_H
#define MODBUS_REQUEST_H

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

static inline void modbus_master_trace(const struct modbus_master *m, bool is_sent, uint64_t at_us,
				       struct span bytes, const char *note)
{
	if (m->trace)
		m->trace->frame(m->trace, is_sent, at_us, bytes, note);
}

#endif
