/*
 * Ports, inside (mqtt/broker.h has the public side): a worker without connections and one session whose messages go to a
 * callback.
 */
#ifndef MQTT_PORT_H
#define MQTT_PORT_H

#include "mqtt/session.h"

/* Hand a message to the port's owner. */
void port_deliver(struct mqtt_port *port, struct publication *p, const struct delivery *d);
/* What the owner published from inside its callback is published now. */
void port_publish_pending(struct mqtt_port *port);
void port_destroy(struct mqtt_port *port); /* accepts NULL */

#endif
