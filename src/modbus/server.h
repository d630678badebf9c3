/*
 * A Modbus/TCP server (slave) over accepted streams. It knows framing, limits and exceptions; what the
 * registers are is said by a model of the caller. It belongs to its loop's thread, and never blocks.
 *
 * Requests of a connection are answered in order; a peer that sends without reading is not read from until it
 * does; bytes that are no Modbus/TCP close the connection. An idle connection owns no buffer.
 *
 * Sources: MODBUS Application Protocol V1.1b3, 6 and 7; MODBUS Messaging on TCP/IP V1.0b, 4.2 and 4.4.
 */
#ifndef MODBUS_SERVER_H
#define MODBUS_SERVER_H

#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"
#include "net/stream.h"
#include "wire/modbus.h"

/*
 * The data behind a server. Called on the server's loop; `address` + `count` never leaves 0..65536 and count is 1 to the
 * limit of the function. Each returns MODBUS_EXCEPTION_NONE or the exception to answer with; then nothing was changed.
 * A function that is NULL is answered with "illegal function".
 */
struct modbus_model_ops {
	/* COIL or DISCRETE: fill `count` bits, packed as in union modbus_data; bits is zeroed before. */
	enum modbus_exception (*read_bits)(void *model, uint8_t unit, enum modbus_area area, uint16_t address,
					   uint16_t count, uint8_t *bits);
	/* INPUT or HOLDING: fill `count` registers. */
	enum modbus_exception (*read_regs)(void *model, uint8_t unit, enum modbus_area area, uint16_t address,
					   uint16_t count, uint16_t *regs);
	/* Coils and holding registers. */
	enum modbus_exception (*write_bits)(void *model, uint8_t unit, uint16_t address, uint16_t count,
					    const uint8_t *bits);
	enum modbus_exception (*write_regs)(void *model, uint8_t unit, uint16_t address, uint16_t count,
					    const uint16_t *regs);
};

/* The answer to one request PDU from a model: always 1..MODBUS_PDU_MAX bytes, an exception if need be. Pure but for the model. */
size_t modbus_model_answer(const struct modbus_model_ops *ops, void *model, uint8_t unit, struct span pdu,
			   uint8_t out[MODBUS_PDU_MAX]);

struct modbus_server;

struct modbus_server_stats {
	uint64_t requests;
	uint64_t exceptions;  /* requests answered with one */
	uint64_t malformed;   /* connections closed for bytes that are no Modbus/TCP */
	uint64_t displaced;   /* connections closed to make room for a new one */
	unsigned connections; /* open now */
};

/*
 * A server that answers from `ops` and `model` (both borrowed; they outlive it). When `max_connections` (>0) are open, a
 * new one takes the place of the one that has been silent longest (TCP 4.2.2). ERR_NOMEM.
 */
MUST_USE int modbus_server_create(struct loop *loop, const struct modbus_model_ops *ops, void *model,
				  unsigned max_connections, struct modbus_server **out);

/* Where a listener hands its streams to. Lives as long as the server. */
struct acceptor *modbus_server_acceptor(struct modbus_server *s);

void modbus_server_stats(const struct modbus_server *s, struct modbus_server_stats *out);

/* Closes all connections; no listener uses its acceptor any more. Accepts NULL. */
void modbus_server_destroy(struct modbus_server *s);

#endif
