/*
 * A Modbus slave (server) on a stream that carries a serial line, RTU or ASCII: a serial port, or RTU over TCP. It belongs to its
 * loop's thread, never blocks, and answers from a model (modbus/server.h) for its units. Requests to others, and their answers, are
 * heard and let pass; a broadcast is done by all of its units and answered by none.
 *
 * A frame ends where its function says, so a gap inside one does no harm; silence ends only what has no known end, or is
 * none.
 *
 * Source: MODBUS over Serial Line V1.02, 2.
 */
#ifndef MODBUS_SLAVE_H
#define MODBUS_SLAVE_H

#include "modbus/server.h"

/* Units 0 to 255. */
struct modbus_units {
	uint8_t bits[32];
};

static inline bool modbus_units_has(const struct modbus_units *u, unsigned unit)
{
	return modbus_bit_get(u->bits, unit);
}

static inline void modbus_units_add(struct modbus_units *u, unsigned unit)
{
	modbus_bit_set(u->bits, unit, true);
}

struct modbus_slave_options {
	bool is_ascii;
	uint32_t baud;      /* 0: not known; then it answers without waiting for 3.5 characters of silence */
	unsigned char_bits; /* of a character, with start, parity and stop bits; 0: 11 */
	struct modbus_units units;
};

struct modbus_slave;

/*
 * A slave on `stream`, which is its own with OK and still the caller's on failure. The caller attaches it to the loop, if it is
 * not.
 *   ops, model  borrowed; outlive it
 *   ended       the stream is over; the slave may be destroyed from inside. May not be NULL.
 * Returns OK or ERR_NOMEM.
 */
MUST_USE int modbus_slave_create(struct loop *loop, struct stream *stream,
				 const struct modbus_slave_options *options,
				 const struct modbus_model_ops *ops, void *model,
				 void (*ended)(struct modbus_slave *s, void *arg), void *arg,
				 struct modbus_slave **out);

/* What it counted; a device with several lines adds them up. */
void modbus_slave_counters(const struct modbus_slave *s, struct modbus_counters *out);

void modbus_slave_destroy(struct modbus_slave *s); /* accepts NULL */

#endif
