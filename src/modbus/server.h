/*
 * A Modbus/TCP server (slave) over accepted streams. It knows framing, limits and exceptions; what the
 * registers are is said by a model of the caller. It belongs to its loop's thread, and never blocks.
 *
 * Behind it is a model, asked and answering at once, or a handler, which answers when it can. Of one connection, requests to one
 * unit are handled one after the other, so what reads behind a write sees it; those to different units do not wait for each
 * other, so a device that is silent does not hold up its neighbours, and their answers may overtake (a master that sends more than
 * one request at a time pairs by transaction: TCP 3.1.3). When MODBUS_SERVER_REQUESTS_MAX requests of a connection are unanswered, or
 * a peer sends without reading, it is not read from until that is over. Bytes that are no Modbus/TCP close the connection.
 * An idle connection owns no buffer.
 *
 * Sources: MODBUS Application Protocol V1.1b3, 6 and 7; MODBUS Messaging on TCP/IP V1.0b, 4.2 and 4.4.
 */
#ifndef MODBUS_SERVER_H
#define MODBUS_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "loop/loop.h"
#include "net/stream.h"
#include "wire/modbus.h"

/*
 * The data behind a server. Called on the server's loop; `address` + `count` never leaves 0..65536 and count is 1 to the
 * limit of the function. Each returns MODBUS_EXCEPTION_NONE or the exception to answer with; then nothing was changed.
 * A function that is NULL is answered with "illegal function", unless it says otherwise.
 */
struct modbus_model_ops {
	/* Is there anybody? Who is not is answered for with "gateway target failed", whatever was asked. NULL: there is. */
	bool (*has_unit)(void *model, uint8_t unit);
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
	/* The register becomes (it & and_mask) | (or_mask & ~and_mask). NULL: read_regs, then write_regs. */
	enum modbus_exception (*mask_write)(void *model, uint8_t unit, uint16_t address, uint16_t and_mask,
					    uint16_t or_mask);
	/* Write, then read (AP 6.17). NULL: read_regs to see whether it can be read, write_regs, read_regs. */
	enum modbus_exception (*read_write)(void *model, uint8_t unit, const struct modbus_req *req,
					    uint16_t *regs);
	/* What the device says about itself: the text of an object, borrowed for the call; NULL: there is none. */
	const char *(*object)(void *model, uint8_t unit, uint8_t id);
	/*
	 * What it counts, for the diagnostics and the event counter of AP 6.8 and 6.9. These are functions of serial lines; over TCP
	 * they are as harmless: only the echo and what reads a counter is answered, nothing that clears, restarts or silences.
	 */
	void (*counters)(void *model, uint8_t unit, struct modbus_counters *out);
};

/* The answer to one request PDU from a model: always 1..MODBUS_PDU_MAX bytes, an exception if need be. Pure but for the model. */
size_t modbus_model_answer(const struct modbus_model_ops *ops, void *model, uint8_t unit, struct span pdu,
			   uint8_t out[MODBUS_PDU_MAX]);

/* ---- answering later ---- */

#define MODBUS_SERVER_REQUESTS_MAX 16u /* of one connection, unanswered: TCP 4.3.2.2 */

/* Who is connected; the server's, as long as the connection. */
struct modbus_peer {
	char address[STREAM_PEER_MAX]; /* "10.0.0.1:5000", "[::1]:5000" */
	void *data;                    /* the handler's */
};

/* One request. The server's; the handler may keep it until it answers or is told to cancel. */
struct modbus_server_request {
	uint8_t unit;
	uint8_t pdu_len;
	uint8_t pdu[MODBUS_PDU_MAX]; /* any bytes, 1 at least: modbus_req_decode() says what they are */
	struct modbus_peer *peer;
	void *owner; /* the handler's; NULL at first */

	/* the server's */
	struct list node;
	struct modbus_connection *connection;
	uint16_t transaction;
};

/* All are called on the server's loop, and may not destroy the server. */
struct modbus_handler_ops {
	/* Who comes; false: refused, with a line in the log. peer->data may be set. NULL: everybody is let in. */
	bool (*accept)(void *handler, struct modbus_peer *peer);
	/* One that was let in is gone; none of its requests is left. May be NULL. */
	void (*closed)(void *handler, struct modbus_peer *peer);
	/* modbus_server_answer() ends it, from inside this call or later. */
	void (*request)(void *handler, struct modbus_server_request *r);
	/* The connection ended, the server goes away: forget it. NULL for a handler that answers from inside request(). */
	void (*cancel)(void *handler, struct modbus_server_request *r);
};

/* Answer with 1..MODBUS_PDU_MAX bytes, which may lie in r->pdu; `r` is the server's again. It is sent with the loop's next turn at the latest. */
void modbus_server_answer(struct modbus_server_request *r, struct span pdu);

/* The same with an exception. */
void modbus_server_refuse(struct modbus_server_request *r, enum modbus_exception exception);

/*
 * The objects that answer a request for device identification (decoded with OK), from `object` as above: MODBUS_EXCEPTION_NONE, or
 * the exception. Those longer than MODBUS_OBJECT_MAX bytes are cut.
 */
enum modbus_exception modbus_identify(const struct modbus_req *req,
				      const char *(*object)(void *model, uint8_t unit, uint8_t id),
				      void *model, uint8_t unit, struct modbus_objects *out);

struct modbus_server;

struct modbus_server_stats {
	uint64_t requests;
	uint64_t exceptions;  /* requests answered with one */
	uint64_t malformed;   /* connections closed for bytes that are no Modbus/TCP */
	uint64_t displaced;   /* connections closed to make room for a new one */
	uint64_t refused;     /* connections that accept() did not let in */
	unsigned connections; /* open now */
};

/*
 * A server that answers from `ops` and `model` (both borrowed; they outlive it). When `max_connections` (>0) are open, a
 * new one takes the place of the one that has been silent longest (TCP 4.2.2). ERR_NOMEM.
 */
MUST_USE int modbus_server_create(struct loop *loop, const struct modbus_model_ops *ops, void *model,
				  unsigned max_connections, struct modbus_server **out);

/* The same, answered by `handler` (both borrowed; they outlive it). */
MUST_USE int modbus_server_create_handled(struct loop *loop, const struct modbus_handler_ops *ops,
					  void *handler, unsigned max_connections,
					  struct modbus_server **out);

/* Another max_connections: when more are open, those that have been silent longest are closed. */
void modbus_server_limit(struct modbus_server *s, unsigned max_connections);

/* Where a listener hands its streams to. Lives as long as the server. */
struct acceptor *modbus_server_acceptor(struct modbus_server *s);

void modbus_server_stats(const struct modbus_server *s, struct modbus_server_stats *out);

/* Closes all connections; no listener uses its acceptor any more. Accepts NULL. */
void modbus_server_destroy(struct modbus_server *s);

#endif
