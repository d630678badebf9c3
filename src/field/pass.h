/*
 * Pass-through: requests of a foreign master on a line of ours, between our writes and our polls. On the field thread only.
 *
 * They go onto the wire as they are, once each: a foreign master repeats by itself. Each owner has its turn, however many requests
 * it has waiting; polls that wait keep at least a fifth of the wire's time, as beside our own writes (line_queue.c).
 *
 * A unit that left PASS_FAILURES of them in a row without an answer, or one that does not answer our polls either, would take most of the wire
 * from all others, as a master goes on asking: it is not asked for the first back-off of the line, unless it answers a poll meanwhile.
 */
#ifndef FIELD_PASS_H
#define FIELD_PASS_H

#include "base/list.h"
#include "field/field.h"
#include "field/source.h"

#define PASS_MAX       256u /* that wait on a line */
#define PASS_UNITS     256u
#define PASS_WAIT_MS   2000u
#define PASS_FAILURES  3u  /* in a row, and the unit is left alone for a while */
#define PASS_OWNER_MAX 16u /* of one owner: as many transactions as a Modbus/TCP server must be ready for */

/* Embedded by who asks; the line's from field_pass() until done() or field_pass_cancel(). */
struct field_pass {
	/* the asker's */
	uint8_t unit;
	uint8_t pdu[SOURCE_PDU_MAX]; /* the request; with OK the answer, which may be an exception */
	uint16_t pdu_len;            /* 0 with OK: it went to all units, and none answers */
	/*
	 * Waiting in the queue counts, so a master that has given up is not served late; on the wire it has this time or the unit's (the line's),
	 * whichever is shorter. 0: the unit's on the wire, and PASS_WAIT_MS for others before.
	 */
	uint32_t timeout_ms;
	/*
	 * Once, never from inside field_pass(); may ask again. rc as in struct source_request: OK; ERR_TIMEOUT, ERR_MALFORMED,
	 * ERR_UNEXPECTED, ERR_CLOSED (the target did not answer: 0x0B); ERR_IO (nobody takes the line's connection),
	 * ERR_NOT_FOUND (the line is going away: 0x0A); ERR_RANGE, ERR_UNSUPPORTED, ERR_NOMEM (not sent).
	 */
	void (*done)(struct field_pass *p);
	void *owner;
	int rc;

	/* the line's */
	struct list node;
	struct line *line; /* NULL: it is not queued */
	uint64_t expires_at;
	uint64_t round;
	bool is_sent;
};

/*
 * Queue it on a line. A round of the queue has one request of each `owner`.
 * ERR_NOT_FOUND, ERR_UNSUPPORTED (a rack), ERR_RANGE (pdu_len), ERR_FULL, ERR_TIMEOUT (the unit is left alone for now): done() is
 * not called then.
 */
MUST_USE int field_pass(struct field *f, const char *line, struct field_pass *p);
/* done() is not called; nothing happens to one that is not queued. What is on the wire already is sent to its end. */
void field_pass_cancel(struct field_pass *p);

#endif
