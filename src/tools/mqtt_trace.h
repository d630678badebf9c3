/* -d: a line for each packet. */
#ifndef TOOLS_MQTT_TRACE_H
#define TOOLS_MQTT_TRACE_H

#include "wire/mqtt.h"

/* `id` is the client's; prints to stdout. */
void mqtt_trace(const char *id, enum mqtt_version v, bool is_sent, const struct mqtt_frame *f);

#endif
