/*
 * $SYS/broker/...: what the broker tells about itself, as retained messages. The first worker publishes them, as if a client had:
 * once right after the start, then every interval those that changed. Names and meanings are those of Mosquitto's
 * mosquitto(8) where it has them; docs/sys.md lists all.
 *
 * The first worker's thread only.
 */
#ifndef MQTT_SYS_H
#define MQTT_SYS_H

#include "mqtt/worker.h"

/* Begins with the interval of the broker's configuration. ERR_NOMEM. */
MUST_USE int sys_create(struct worker *w, struct sys **out);
/* Without a word to subscribers. Accepts NULL. */
void sys_destroy(struct sys *s);

/* From now on at this interval; 0 takes away what there is. */
void sys_set_interval(struct sys *s, uint32_t interval_ms);

#endif
