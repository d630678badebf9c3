/*
 * Retained messages and the store.
 */
#ifndef MQTT_RETAINED_DISK_H
#define MQTT_RETAINED_DISK_H

#include "mqtt/worker.h"

/* At a start: a retained message as the store kept it, borrowed. ERR_NOMEM. */
MUST_USE int retained_restore(struct broker *b, const struct store_retained *r);

#endif
