/*
 * Pass-through: requests of a foreign master on a line of ours, between our writes and our polls. On the field thread only.
 */
#ifndef FIELD_PASS_H
#define FIELD_PASS_H

#include "base/list.h"
#include "field/field.h"
#include "field/source.h"

/* Embedded by who asks; the line's from field_pass() until done() or field_pass_cancel(). */
struct field_pass {
	/* the asker's */
	uint8_t unit;
	uint8_t pdu[SOURCE_PDU_MAX]; /* the request; with OK the answer, which may be an exception */
	uint16_t pdu_len;
	uint32_t
		timeout_ms; /* 0: the line's; waiting in the queue counts, so a master that has given up is not served late */
	/*
	 * Once, never from inside field_pass(). rc as in struct source_request: OK; ERR_TIMEOUT, ERR_MALFORMED, ERR_UNEXPECTED, ERR_CLOSED
	 * (the target did not answer: 0x0B); ERR_IO (nobody takes the line's connection), ERR_NOT_FOUND (no such line or it
	 * is going away: 0x0A); ERR_FULL (its queue is: 0x06).
	 */
	void (*done)(struct field_pass *p);
	void *owner;
	int rc;

	struct list node; /* the line's */
	struct line *line;
	uint64_t expires_at;
};

/*
 * Queue it on a line. Among the pass-through requests of a line, each `owner` has its turn.
 * ERR_NOT_FOUND, ERR_UNSUPPORTED (a rack), ERR_FULL: done() is not called then.
 */
MUST_USE int field_pass(struct field *f, const char *line, struct field_pass *p);
void field_pass_cancel(
	struct field_pass *p); /* done() is not called; nothing happens to one that is not queued */

#endif
