/*
 * Where the field side's messages go: in the daemon the broker, in tests a list.  The consumer implements it; the field
 * side calls it on the field thread.
 */
#ifndef TAGS_SINK_H
#define TAGS_SINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/* Everything is borrowed for the call. */
struct tag_message {
	const char *topic;   /* no wildcard, valid UTF-8, not empty */
	struct span payload; /* empty with retain: forget the retained message of this topic */
	uint8_t qos;         /* 0..2 */
	bool retain;
	const char *content_type; /* MQTT 5 property, or NULL */
	struct span
		correlation_data; /* MQTT 5 property of an answer to a request that had one; p NULL: none */
};

struct tag_sink {
	/* Never blocks, never calls back into the field side before it returns. */
	void (*publish)(struct tag_sink *sink, const struct tag_message *m);
};

#endif
