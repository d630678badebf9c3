/*
 * A PUBLISH as a server passes it on (5.0, 3.3): the properties that travel with a message are kept as they came, as
 * encoded bytes; expiry, subscription identifiers and alias are the receiver's own. Made for the hot path: one
 * function tells the size, one fills exactly that.
 */
#ifndef WIRE_MQTT_FORWARD_H
#define WIRE_MQTT_FORWARD_H

#include "wire/mqtt.h"

/*
 * The properties of a message that are passed on unchanged: payload format [MQTT-3.3.2-4], content type [MQTT-3.3.2-20], response
 * topic [MQTT-3.3.2-15], correlation data [MQTT-3.3.2-16], user properties [MQTT-3.3.2-17] in their order [MQTT-3.3.2-18], also
 * of a will [MQTT-3.1.3-10].
 */
/* Of a decoded list. true: `*out` borrows from it, nothing had to be left out; false: fill with mqtt_passed_on_write(). */
bool mqtt_passed_on_whole(const struct mqtt_props *decoded, struct span *out);
/* Write them to w, from a decoded list (raw) or, when raw is empty, from one that was set up to encode. ERR_FULL, ERR_RANGE. */
MUST_USE int mqtt_passed_on_write(struct wr *w, const struct mqtt_props *p);
/* Read such bytes back. They were valid once. */
MUST_USE int mqtt_passed_on_read(struct span encoded, struct mqtt_props *out);

struct mqtt_forward {
	bool dup, retain;
	uint8_t qos;
	uint16_t packet_id;
	uint16_t alias; /* 0: none */
	bool has_expiry;
	uint32_t expiry_s;
	struct span topic; /* empty when the alias stands for it */
	struct span props; /* as above, encoded */
	uint32_t nids;
	const uint32_t *ids; /* subscription identifiers, each 1..MQTT_REMAINING_MAX */
	size_t payload_len;
};

/* Bytes of the whole packet, or 0 when it can't be expressed; *head: without the payload. */
size_t mqtt_forward_size(enum mqtt_version v, const struct mqtt_forward *f, size_t *head);
/* Fill `head` bytes as measured; returns the byte behind them, where the payload goes. */
uint8_t *mqtt_forward_write(uint8_t *at, enum mqtt_version v, const struct mqtt_forward *f);

#endif
