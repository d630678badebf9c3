/*
 * Between the field side and the broker's port: tag messages become publishes, publishes to {root}/{device}/{tag}/set become
 * commands. On the field thread.
 */
#ifndef DAEMON_FIELD_PORT_H
#define DAEMON_FIELD_PORT_H

#include "field/field.h"
#include "mqtt/broker.h"
#include "tags/sink.h"

struct field_port {
	struct tag_sink sink; /* for field_create() */
	struct mqtt_port *port;
	struct field *field; /* who gets the commands; NULL: nobody, they are dropped */
};

/* Opens the port on `loop`; before any loop runs. As mqtt_port_open(). */
MUST_USE int field_port_open(struct field_port *p, struct broker *broker, struct loop *loop);
/* Take commands below `root`, and hear how uplinks are. ERR_NOMEM, ERR_TOPIC. */
MUST_USE int field_port_take_commands(struct field_port *p, const char *root);

#endif
