/*
 * Lines without a wire: the tags that the gateway itself keeps (constants, set points, counters) and computes.
 *
 * Who is made from a tag hangs on it as a dependant and sees each of its samples before any policy of publishing. A computed tag is
 * evaluated once in a turn of the loop in which any of its operands changed, those of lower rank first, and with each scan of its group
 * when it has windows. Its quality is bad with the reason of the first operand that is bad, and with "range" when there is no result;
 * its time is that of the newest operand.
 *
 * Inside field/; the field thread only.
 */
#ifndef FIELD_CELLS_H
#define FIELD_CELLS_H

#include "base/list.h"
#include "field/field.h"
#include "tags/value.h"

struct tag;
struct device;
struct line;

/* Of a tag: a list without allocation; a tag without any costs one test of a pointer. */
struct dependant {
	struct dependant *next;
	void (*changed)(struct dependant *dep, const struct tag_sample *s);
};

void dependants_tell(struct dependant *first, const struct tag_sample *s);

/* What waits to be evaluated, by rank. Embedded in the field side. */
struct cells_queue {
	struct loop *loop;
	struct list ranks[CONFIG_RANKS_MAX + 1];
	struct loop_timer timer;
};

void cells_queue_init(struct cells_queue *q, struct loop *loop);
void cells_queue_fini(struct cells_queue *q); /* no cell is left */

struct cells; /* of one device */

/* For a device whose tags are made. ERR_NOMEM. */
MUST_USE int cells_create(struct device *d, struct cells **out);
void cells_destroy(struct cells *c); /* stopped, or never started; accepts NULL */
void cells_start(struct cells *c);
void cells_stop(struct cells *c);
/* The device's configuration is another one, equal to the last. */
void cells_repoint(struct cells *c);

/* All that hangs on tags is hung on them anew: after each change of the configuration, while devices still know whether they were kept. */
void cells_link(struct field *f);

/* The source of an internal line: what is written goes into its cells. ERR_NOMEM. */
MUST_USE int cells_source_create(struct loop *loop, struct source **out);

#endif
