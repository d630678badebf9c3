/*
 * A Modbus master (client) as its users see it: requests go in, each is answered or fails exactly once. What is
 * below, TCP or a serial line, is known to modbus_master_*_create() only.
 *
 * A master never blocks, reads no clock but its loop's, and reports each failure once: retries, back-off and the choice
 * of what goes first belong to the caller. It belongs to its loop's thread.
 *
 * Sources: MODBUS Application Protocol V1.1b3; MODBUS Messaging on TCP/IP V1.0b, 4.3.
 */
#ifndef MODBUS_MASTER_H
#define MODBUS_MASTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "loop/loop.h"
#include "net/stream.h"
#include "wire/modbus.h"

struct modbus_master;

enum modbus_request_state {
	MODBUS_REQUEST_IDLE,      /* the caller's; zero-initialised is idle */
	MODBUS_REQUEST_QUEUED,    /* waits for the line */
	MODBUS_REQUEST_IN_FLIGHT, /* sent, waits for its answer */
	MODBUS_REQUEST_FINISHED,  /* done() is about to be called */
};

/*
 * One request, embedded and owned by the caller, who leaves it alone from submit until done() or cancel.
 */
struct modbus_request {
	/* set by the caller before submit */
	uint8_t unit;
	/*
	 * Either a request that modbus_req_encode() accepts, or with is_raw any PDU of 1..MODBUS_PDU_MAX bytes: then whatever the device answers
	 * to it, an exception too, is OK and is in `pdu`, in the place of what was asked (pdu_len 0 after a broadcast).
	 */
	bool is_raw;
	struct modbus_req req;
	uint8_t pdu[MODBUS_PDU_MAX];
	uint16_t pdu_len;
	uint32_t
		silence_us; /* serial lines: to keep on the wire before it, beyond what line and standard ask */
	uint32_t
		timeout_ms; /* >0; from the end of sending to the answer, and for connecting when it is first in the queue */
	void (*done)(struct modbus_request
			     *r); /* may submit it again, free it, and call any function of the master */
	void *owner;

	/*
	 * The outcome, valid in done() and after it:
	 *   OK              data holds what was read; a broadcast was sent and the turnaround is over
	 *   ERR_REMOTE      the device answered with `exception`
	 *   ERR_TIMEOUT     no connection, or no answer, in time
	 *   ERR_CLOSED      the connection broke while it was in flight
	 *   ERR_IO          connecting failed: refused, unreachable, unknown name
	 *   ERR_MALFORMED, ERR_UNEXPECTED   an answer that cannot be one to this request, or that was broken on the wire
	 *   ERR_RANGE, ERR_UNSUPPORTED      req cannot be encoded; nothing was sent
	 *   ERR_NOMEM
	 */
	int rc;
	uint8_t exception;
	uint32_t
		response_us; /* from its last byte on the wire to the answer: OK and ERR_REMOTE; 0 otherwise */
	uint32_t busy_us;    /* from its first byte on the wire to the outcome; 0: it was not sent */
	int64_t answered_ms; /* wall clock, Unix ms, when the answer came: OK and ERR_REMOTE; 0 otherwise */
	union modbus_data data;

	/* the master's */
	struct list node;
	enum modbus_request_state state;
	uint16_t transaction;
	struct loop_timer timer;
	uint64_t sent_us;
	struct modbus_master *master;
};

/* Who looks at the frames of a master. */
struct modbus_trace {
	/*
	 * `bytes` are borrowed for the call. at_us: of the loop's monotonic clock, when the first of them was written or read. note: NULL, or what is
	 * wrong with them: "crc" (broken), "foreign" (a frame that answers nothing), "noise" (no frame), "echo" (our own).
	 */
	void (*frame)(struct modbus_trace *t, bool is_sent, uint64_t at_us, struct span bytes,
		      const char *note);
};

struct modbus_master_stats {
	uint64_t sent;     /* requests that went out */
	uint64_t answered; /* answers, exceptions among them */
	uint64_t timeouts; /* requests sent that got no answer in time */
	uint64_t
		stray; /* answers to nothing: late ones, mostly; on a serial line also foreign frames; dropped */
	uint64_t crc_errors;  /* serial lines: answers with a wrong checksum, or cut short */
	uint64_t connections; /* that came up */
};

struct modbus_master_ops {
	void (*submit)(struct modbus_master *m, struct modbus_request *r);
	void (*cancel)(struct modbus_master *m, struct modbus_request *r);
	bool (*connected)(const struct modbus_master *m);
	void (*stats)(const struct modbus_master *m, struct modbus_master_stats *out);
	uint32_t (*late_ms)(const struct modbus_master *m, uint8_t unit); /* NULL: never */
	void (*destroy)(struct modbus_master *m);
};

struct modbus_master {
	const struct modbus_master_ops *ops;
	struct modbus_trace *trace; /* the user's, at any time; NULL: nobody looks */
};

/*
 * Queue `r` (idle) behind those already queued. done(r) is called exactly once, later, never from inside
 * this call, unless the request is cancelled or the master destroyed before.
 */
static inline void modbus_master_submit(struct modbus_master *m, struct modbus_request *r)
{
	m->ops->submit(m, r);
}

/* Take `r` back: done() is not called, its answer will be dropped. Nothing happens to an idle one. */
static inline void modbus_master_cancel(struct modbus_master *m, struct modbus_request *r)
{
	m->ops->cancel(m, r);
}

/* Is a connection up now? */
static inline bool modbus_master_connected(const struct modbus_master *m)
{
	return m->ops->connected(m);
}

static inline void modbus_master_stats(const struct modbus_master *m, struct modbus_master_stats *out)
{
	m->ops->stats(m, out);
}

/*
 * Serial lines: for how long yet an answer of `unit` may come that was not there in time. A request to it, but the same once more, may have to wait
 * that long with all that are queued behind it. 0: none is expected.
 */
static inline uint32_t modbus_master_late_ms(const struct modbus_master *m, uint8_t unit)
{
	return m->ops->late_ms ? m->ops->late_ms(m, unit) : 0;
}

/* Requests that it still has are cancelled. May be called from done(). Accepts NULL. */
static inline void modbus_master_destroy(struct modbus_master *m)
{
	if (m)
		m->ops->destroy(m);
}

/* ---- Modbus/TCP ---- */

#define MODBUS_IN_FLIGHT_MAX 16u /* TCP 4.3.2.2: what a server must be ready for; many devices take one */

struct modbus_master_tcp_options {
	unsigned max_in_flight; /* 1..MODBUS_IN_FLIGHT_MAX; 0: 1 */
	/*
	 * After so many requests in a row without an answer, with nothing received meanwhile, the connection is given up and
	 * made anew, when every unit that ever answered on it was among them: the peer may have forgotten it. 0: 3.
	 */
	unsigned quiet_timeouts;
};

/*
 * A master over connections that `dialer` makes: the first when a request is there, a new one when a request
 * is there and the last one broke.
 *   loop     borrowed; outlives the master
 *   dialer   the master's with OK, still the caller's on failure
 *   options  copied; NULL: defaults
 * Returns OK, ERR_NOMEM or ERR_RANGE (max_in_flight).
 */
MUST_USE int modbus_master_tcp_create(struct loop *loop, struct dialer *dialer,
				      const struct modbus_master_tcp_options *options,
				      struct modbus_master **out);

/* ---- serial lines, also behind a TCP connection: RTU and ASCII ---- */

struct modbus_master_rtu_options {
	bool is_ascii;
	uint32_t baud; /* 0: not known; then bytes take no time and no 3.5 characters of silence are kept */
	unsigned
		char_bits; /* of a character with start, parity and stop bits; 0: 11, as the standard has it */
	uint32_t silence_us;    /* before each request, beyond 3.5 characters */
	uint32_t turnaround_us; /* after a broadcast */
	/*
	 * An answer that stopped for so long has ended, whole or not; 0: 20 ms. Not 1.5 characters: USB adapters and networks keep bytes back for longer.
	 */
	uint32_t gap_us;
	/* As above, for connections; 0: never, as a serial port tells when it is gone. */
	unsigned quiet_timeouts;
	/*
	 * The stream brings each byte when it comes, at the pace of `baud`: then the master does not look at each of them, but again when the rest of the answer
	 * can be there.
	 */
	bool is_port;
};

/* As modbus_master_tcp_create(). One request is on the wire at a time. ERR_NOMEM. */
MUST_USE int modbus_master_rtu_create(struct loop *loop, struct dialer *dialer,
				      const struct modbus_master_rtu_options *options,
				      struct modbus_master **out);

#endif
