/*
 * What a driver (south/) is to a line of the field side: something that reads blocks of bits or registers of
 * units and writes them.  The field side owns this interface; a driver knows nothing of tags, scans, retries or back-off.
 *
 * One source serves one line and belongs to that line's loop. It connects by itself when there is a request, and reports
 * each failure once.
 *
 * Channels of a rack (areas di to tc) are registers: channel k has the SOURCE_CHANNEL_REGS from k * SOURCE_CHANNEL_REGS on. Its
 * value lies in the first ones: a bool in bit 0 of the first (di, do, relay), a float64 in four (ai, ao, rtd, tc). Where its
 * attributes are, source->attributes tells. A write is of one value or one attribute, whole.
 */
#ifndef FIELD_SOURCE_H
#define FIELD_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/value_types.h"
#include "config/gateway_config.h"
#include "loop/loop.h"
#include "tags/quality.h"

#define SOURCE_REGS_MAX      125u
#define SOURCE_BITS_MAX      2000u
#define SOURCE_CHANNEL_REGS  32u
#define SOURCE_IN_FLIGHT_MAX 16u

/* Host-order registers, or bits packed from the lowest bit of byte 0. */
union source_data {
	uint16_t regs[SOURCE_REGS_MAX];
	uint8_t bits[SOURCE_BITS_MAX / 8];
};

enum source_op {
	SOURCE_READ,
	SOURCE_WRITE,
	SOURCE_MASK, /* one register becomes (it & and_mask) | (or_mask & ~and_mask): MODBUS Application Protocol, 6.16 */
	SOURCE_RAW /* a PDU of a foreign master, as it is */
};

#define SOURCE_PDU_MAX 253u

/* The line embeds it and leaves it alone from submit() until done() or cancel(). */
struct source_request {
	/* the line's, set before submit() */
	enum source_op op;
	uint8_t unit; /* 0 on a serial line: all, and nobody answers; the outcome is OK when the turnaround is over */
	enum config_area area;
	uint16_t start, count;
	uint16_t and_mask, or_mask; /* SOURCE_MASK */
	bool is_multiple;           /* SOURCE_WRITE: with the function for several items, though it be one */
	uint32_t timeout_ms;
	uint32_t silence_us; /* to keep on the wire before it, beyond what line and standard ask */
	/* Called once, never from inside submit(); may submit it again, and may call any function of the source. */
	void (*done)(struct source_request *r);

	union {
		union source_data data; /* `count` items to write; or what was read, with OK */
		struct {
			uint8_t pdu
				[SOURCE_PDU_MAX]; /* SOURCE_RAW: the request, then the answer, an exception too */
			uint16_t pdu_len;
		};
	};

	/*
	 * The outcome: OK (a SOURCE_RAW always, when there was any answer); ERR_REMOTE (exception says why); ERR_TIMEOUT (no connection or answer in time); ERR_CLOSED (the
	 * connection broke meanwhile); ERR_IO (connecting failed: nobody there); ERR_MALFORMED or ERR_UNEXPECTED (an answer that is
	 * none: checksum, length); ERR_RANGE, ERR_UNSUPPORTED or ERR_NOMEM (not sent).
	 */
	int rc;
	uint8_t exception;
	int64_t answered_ms; /* wall clock, with OK and ERR_REMOTE */
	uint32_t
		busy_us; /* how long it held the wire: from its first byte until the answer, or until we gave up; 0: it was not sent */
	uint32_t response_us; /* from its last byte to the answer, with OK and ERR_REMOTE */

	void *driver; /* the driver's while it has the request */
};

/* An attribute that every channel of some areas has beside its value: the tag ai0.mode of ai0. */
struct source_attribute {
	unsigned areas;   /* bits 1 << enum config_area */
	const char *name; /* "mode" */
	uint16_t offset;  /* register within the channel */
	enum value_type type;
	uint16_t length; /* bytes, of a string */
	bool has_unit;   /* it is a value of the channel at another time: in its unit, scaled as it is */
	bool is_writable;
	double min, max;  /* of what may be written to a number; equal: what the type holds */
	const char *help; /* for people */
};

struct source;

struct source_ops {
	/* At most config's max_in_flight at once. Never fails: a failure is an outcome. */
	void (*submit)(struct source *s, struct source_request *r);
	/* Forget a request that is submitted; done() is not called. */
	void (*cancel)(struct source *s, struct source_request *r);
	/* No request is submitted. */
	void (*destroy)(struct source *s);
	/* The unit in which channel `number` of `area` measures (static), or NULL. The function may be NULL. */
	const char *(*channel_unit)(const struct source *s, enum config_area area, uint16_t number);
	/* How good the value of a channel was when it was last read, and why (REASON_NONE: good). The function may be NULL. */
	enum quality (*channel_quality)(const struct source *s, enum config_area area, uint16_t number,
					enum reason *reason);
	/*
	 * For how long yet an answer of `unit` may come that was not there in time: a request to it may hold the wire that long before it
	 * is sent. 0: none is expected. The function may be NULL.
	 */
	uint32_t (*late_ms)(const struct source *s, uint8_t unit);
};

/* Who looks at the frames of a line; `bytes` is borrowed for the call. */
struct source_trace {
	/* at_us: when the first byte was written or read, by the loop's clock. note: NULL, or what is wrong with it ("crc", "foreign") */
	void (*frame)(struct source_trace *t, bool is_sent, uint64_t at_us, struct span bytes,
		      const char *note);
	/* The line is gone; not called by field_untrace(). */
	void (*ended)(struct source_trace *t);
};

struct source {
	const struct source_ops *ops;
	const struct source_attribute *attributes; /* static; of racks, else NULL */
	size_t nattributes;
	const char
		*fault; /* after ERR_IO: what is wrong, for people; NULL: no more than that nobody is there */
	struct source_trace *trace; /* the line's; NULL: nobody looks */
};

/* Makes the source of a line; the daemon passes south/'s, a test its own. */
struct source_factory {
	/* `line` is borrowed for the call. ERR_NOMEM, or ERR_UNSUPPORTED for a type without driver. */
	int (*create)(struct source_factory *f, struct loop *loop, const struct config_line *line,
		      struct source **out);
};

#endif
