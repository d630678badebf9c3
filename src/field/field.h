/*
 * The gateway's field side: lines, their devices, groups and tags; what is read when, what is published when, and
 * what is written.  DESIGN.md, "Field side"; PRODUCT.md, "Topics and payloads".
 *
 * It lives on one loop and belongs to its thread; no function may be called from another. It touches no
 * socket, clock, file or global: time comes from the loop, bytes go through the sources that the factory makes, messages to
 * the sink. The sink must not call back.
 */
#ifndef FIELD_FIELD_H
#define FIELD_FIELD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "config/gateway_config.h"
#include "field/format.h"
#include "field/source.h"
#include "loop/loop.h"
#include "tags/sink.h"

struct field;

/* Everything is borrowed and outlives the field side. Starts without lines. ERR_NOMEM. */
MUST_USE int field_create(struct loop *loop, struct tag_sink *sink, struct source_factory *factory,
			  const payload_formats *formats, struct field **out);

/*
 * Run what `cfg` says.  Lines and devices that are the same as before keep running with their state, counters and queued
 * commands; the others are stopped (their commands are answered "cancelled", retained topics that are no more are
 * cleared) and started.
 *   cfg  borrowed until the next field_apply() returned OK or field_destroy() returned
 * Returns OK; ERR_NOMEM or ERR_UNSUPPORTED, and then everything runs on as it was, on the old configuration.
 */
MUST_USE int field_apply(struct field *f, const struct gateway_config *cfg);

/*
 * Look at the frames of a line. `t` is borrowed until field_untrace() or t->ended(); one at a time. ERR_NOT_FOUND: no such line;
 * ERR_UNSUPPORTED: it has no frames; ERR_EXISTS: somebody looks already.
 */
MUST_USE int field_trace(struct field *f, const char *line, struct source_trace *t);
/* May be called from inside t->frame(). */
void field_untrace(struct field *f, struct source_trace *t);

/* How lines and devices do. All borrowed for the call. */
struct field_visitor {
	void (*line)(void *arg, const struct line_status *l);
	void (*device)(void *arg, const char *name, const char *line, const struct device_status *d);
	void *arg;
};

/* Each line, followed by its devices. */
void field_visit(const struct field *f, const struct field_visitor *v);

/* Every queued command is answered "cancelled". Accepts NULL. */
void field_destroy(struct field *f);

/* An uplink is connected, or is not any more: lines may watch it (config_watchdog). ERR_NOMEM: not remembered. */
MUST_USE int field_uplink_state(struct field *f, const char *name, bool up);

/* A publish to {topic}/set, the topic being a tag's; all borrowed for the call. */
struct field_set {
	const char *topic;
	struct span payload;
	/* MQTT 5: where the result goes. To {topic}/result when it is NULL, no topic name, or one of the gateway's own. */
	const char *response_topic;
	struct span correlation; /* MQTT 5; p NULL: none */
	bool has_expiry;
	uint32_t expiry_ms; /* not sent to the device later than this from now */
};

/*
 * Carry out a command.  Exactly one result is published for it, in this call or later, whatever happens. ERR_TOPIC: not a
 * topic of a command of this gateway; nothing is published.
 */
MUST_USE int field_set(struct field *f, const struct field_set *set);

#endif
