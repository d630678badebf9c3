/*
 * What a driver (south/) is to a line of the field side: something that reads blocks of bits or registers from
 * units and writes them.  The field side owns this interface; a driver knows nothing of tags, scans or retries.
 *
 * One source serves one line and belongs to that line's loop.  The line opens it, gives it requests only while it is up,
 * and closes it; a driver never reconnects by itself.
 *
 *     closed --open()--> opening --up()--> up --down()--> closed
 *                              \--down()------------------^   close() leads back from anywhere, silently
 *
 * Registers of a rack (area ai): channel k has the SOURCE_CHANNEL_REGS registers from k * SOURCE_CHANNEL_REGS on. Its value is
 * in the first ones, as config's tag of that channel says; where its attributes are, source->attributes tells.
 */
#ifndef FIELD_SOURCE_H
#define FIELD_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/value_types.h"
#include "config/gateway_config.h"
#include "loop/loop.h"

#define SOURCE_REGS_MAX       125u
#define SOURCE_BITS_MAX       2000u
#define SOURCE_WRITE_REGS_MAX 123u
#define SOURCE_CHANNEL_REGS   16u

/* Host-order registers, or bits packed from the lowest bit of byte 0. */
union source_data {
	uint16_t regs[SOURCE_REGS_MAX];
	uint8_t bits[SOURCE_BITS_MAX / 8];
};

struct source_answer {
	/*
	 * OK; ERR_REMOTE (exception says why), ERR_TIMEOUT, ERR_MALFORMED or ERR_UNEXPECTED (an answer that is none: checksum,
	 * length), ERR_CLOSED or ERR_IO (the connection went), ERR_NOMEM.
	 */
	int status;
	uint8_t exception;
	const union source_data *data; /* of a read with OK: `count` items, borrowed for the call */
};

/* The line embeds it, fills the upper part and keeps it until done() or close(). */
struct source_request {
	bool is_write;
	uint8_t unit;
	enum config_area area;
	uint16_t start;
	uint16_t count;
	const union source_data *data; /* of a write: `count` items, valid as long as the request */
	/* Called once, never from inside submit(); may submit again, may close the source. */
	void (*done)(struct source_request *r, const struct source_answer *a);
	void *owner;

	void *driver; /* the driver's own while the request is with it */
};

/* An attribute that every channel of an area has beside its value. */
struct source_attribute {
	enum config_area area;
	const char *name; /* "mode": the tag is ai0.mode */
	uint16_t offset;  /* register within the channel */
	enum value_type type;
	uint16_t length; /* bytes, of a string */
	bool has_unit;   /* the channel's own unit */
};

struct source;

struct source_ops {
	/* Begin to connect; up() or down() follows, never from inside. */
	void (*open)(struct source *s);
	/* Forget connection and requests; nothing is called any more. Also of a closed source. */
	void (*close)(struct source *s);
	/* Only while up, and at most config's max_in_flight at once. ERR_NOMEM: not taken, done() is not called. */
	int (*submit)(struct source *s, struct source_request *r);
	void (*destroy)(struct source *s);
	/* The unit in which channel `number` of `area` measures, or NULL. May be NULL. */
	const char *(*channel_unit)(const struct source *s, enum config_area area, uint16_t number);
};

struct source {
	const struct source_ops *ops;
	const struct source_attribute *attributes; /* static; of racks, else NULL */
	size_t nattributes;

	/* The line's; set before open(). down() follows the done() of all requests; `err` as in source_answer.status. */
	void (*up)(struct source *s);
	void (*down)(struct source *s, int err);
	void *owner;
};

/* Makes the source of a line; the daemon passes south/'s, a test its own. */
struct source_factory {
	/* `line` is borrowed for the call. ERR_NOMEM, or ERR_UNSUPPORTED for a type without driver. */
	int (*create)(struct source_factory *f, struct loop *loop, const struct config_line *line,
		      struct source **out);
};

#endif
