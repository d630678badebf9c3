/*
 * Between the field side and the broker's port: tag messages become publishes, publishes to {topic}/set of tags become
 * commands. On the field thread.
 */
#ifndef DAEMON_FIELD_PORT_H
#define DAEMON_FIELD_PORT_H

#include "daemon/command_filters.h"
#include "field/field.h"
#include "mqtt/broker.h"
#include "tags/sink.h"

struct field_port {
	struct tag_sink sink; /* for field_create() */
	struct mqtt_port *port;
	struct field *field; /* who gets the commands; NULL: nobody, they are dropped */
	struct command_filters filters, next;
};

/* Opens the port on `loop`; before any loop runs. As mqtt_port_open(). */
MUST_USE int field_port_open(struct field_port *p, struct broker *broker, struct loop *loop);
/* Before `cfg` is applied: take its commands, too. ERR_NOMEM, ERR_TOPIC. */
MUST_USE int field_port_take_commands(struct field_port *p, const struct gateway_config *cfg);
/* It was applied: those of the configuration before it are no more; or it was not, and they are all there are. */
void field_port_settle_commands(struct field_port *p, bool is_applied);
/* Its memory; the port itself is the broker's. */
void field_port_close(struct field_port *p);

#endif
