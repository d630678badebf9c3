/* Fixed headers and the packets that have nothing else. */
#include <assert.h>

#include "wire/mqtt_codec.h"

const char *mqtt_type_text(enum mqtt_type type)
{
	static const char *const names[] = {
		[MQTT_CONNECT] = "CONNECT",   [MQTT_CONNACK] = "CONNACK",
		[MQTT_PUBLISH] = "PUBLISH",   [MQTT_PUBACK] = "PUBACK",
		[MQTT_PUBREC] = "PUBREC",     [MQTT_PUBREL] = "PUBREL",
		[MQTT_PUBCOMP] = "PUBCOMP",   [MQTT_SUBSCRIBE] = "SUBSCRIBE",
		[MQTT_SUBACK] = "SUBACK",     [MQTT_UNSUBSCRIBE] = "UNSUBSCRIBE",
		[MQTT_UNSUBACK] = "UNSUBACK", [MQTT_PINGREQ] = "PINGREQ",
		[MQTT_PINGRESP] = "PINGRESP", [MQTT_DISCONNECT] = "DISCONNECT",
		[MQTT_AUTH] = "AUTH",
	};

	return type >= MQTT_CONNECT && type <= MQTT_AUTH ? names[type] : "a wrong packet";
}

bool mqtt_varint_take(struct rd *r, uint32_t *v)
{
	uint32_t value = 0;

	for (unsigned shift = 0; shift < 28; shift += 7) {
		uint8_t b = rd_u8(r);

		value |= (uint32_t)(b & 0x7F) << shift;
		if (r->bad)
			return false;
		if (b & 0x80)
			continue;
		*v = value;
		return b != 0 || shift == 0; /* a last byte of 0 adds nothing [MQTT-1.5.5-1] */
	}
	r->bad = true;
	return false;
}

void mqtt_varint_write(struct wr *w, size_t v)
{
	uint8_t *p = wr_take(w, mqtt_varint_size(v));

	if (p)
		mqtt_varint_put(p, v);
}

bool mqtt_flags_ok(const struct mqtt_frame *f, enum mqtt_version v)
{
	bool qos_1 = f->type == MQTT_PUBREL || f->type == MQTT_SUBSCRIBE || f->type == MQTT_UNSUBSCRIBE;

	/*
	 * 3.1 (2.1) sends these three at QoS 1 and may repeat them with DUP; what it calls "not used" may be
	 * anything. 3.1.1 and 5.0 fix all four bits: 3.1.1 [MQTT-2.2.2-2], 5.0 [MQTT-2.1.3-1]; [MQTT-3.6.1-1],
	 * [MQTT-3.8.1-1], [MQTT-3.10.1-1], [MQTT-3.14.1-1]; 5.0 [MQTT-3.15.1-1].
	 */
	if (v == MQTT_V31)
		return !qos_1 || (f->flags & 0x06) == 0x02;
	return f->flags == (qos_1 ? 0x02 : 0x00);
}

int mqtt_packet_begin(struct wr *w, uint8_t first, size_t body)
{
	if (body > MQTT_REMAINING_MAX)
		return ERR_RANGE;
	if (w->bad || w->left < 1 + mqtt_varint_size(body) + body)
		return ERR_FULL;
	wr_u8(w, first);
	mqtt_varint_write(w, body);
	return OK;
}

int mqtt_empty_decode(const struct mqtt_frame *f)
{
	return f->flags == 0 && f->body_len == 0 ? OK : ERR_MALFORMED;
}

int mqtt_empty_encode(struct wr *w, enum mqtt_type type)
{
	assert(type == MQTT_PINGREQ || type == MQTT_PINGRESP);
	return mqtt_packet_begin(w, (uint8_t)(type << 4), 0);
}
