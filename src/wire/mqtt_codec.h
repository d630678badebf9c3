/*
 * What the rooms of the MQTT codec share. For src/wire/mqtt_*.c only; everybody else includes wire/mqtt.h.
 */
#ifndef WIRE_MQTT_CODEC_H
#define WIRE_MQTT_CODEC_H

#include "wire/mqtt.h"

/* ---- variable byte integers (5.0, 1.5.5), in mqtt_frame.c ---- */

static inline size_t mqtt_varint_size(size_t v)
{
	return v < 128 ? 1 : v < 16384 ? 2 : v < 2097152 ? 3 : 4;
}

/* Writes v (at most MQTT_REMAINING_MAX) to p and returns the byte behind it. */
static inline uint8_t *mqtt_varint_put(uint8_t *p, size_t v)
{
	while (v > 127) {
		*p++ = (uint8_t)(v | 0x80);
		v >>= 7;
	}
	*p++ = (uint8_t)v;
	return p;
}

/* False when it is cut short, longer than 4 bytes or not in its shortest form. */
MUST_USE bool mqtt_varint_take(struct rd *r, uint32_t *v);
void mqtt_varint_write(struct wr *w, size_t v);

/* ---- packets, in mqtt_frame.c ---- */

/* Are these the flags that the version wants in the first byte? Not for PUBLISH, whose flags carry data. */
MUST_USE bool mqtt_flags_ok(const struct mqtt_frame *f, enum mqtt_version v);
/* Write the fixed header once `body` bytes are known to fit behind it: the writes that follow can't fail. */
MUST_USE int mqtt_packet_begin(struct wr *w, uint8_t first, size_t body);

/* ---- text, in mqtt_text.c ---- */

enum mqtt_text { MQTT_TEXT_BAD = -1, MQTT_TEXT_PLAIN = 0, MQTT_TEXT_WILD = 1 };

/* One pass over a string: BAD is no UTF-8 as MQTT wants it, WILD holds a + or #. */
MUST_USE enum mqtt_text mqtt_text_scan(const uint8_t *p, size_t len);
/* A length of two bytes and a valid string. OK or ERR_MALFORMED. */
MUST_USE int mqtt_string_take(struct rd *r, struct span *out);
/* A length of two bytes and any bytes; a failure sticks in r. */
struct span mqtt_binary_take(struct rd *r);
void mqtt_string_write(struct wr *w, struct span s);

/* ---- properties, in mqtt_props.c; `in` is one MQTT_IN bit ---- */

/* Length and list. OK, ERR_MALFORMED or ERR_PROTOCOL. */
MUST_USE int mqtt_props_decode(struct rd *r, unsigned in, struct mqtt_props *out);
/* *len is the length of the list without its own length. p may be NULL: an empty list. OK or ERR_RANGE. */
MUST_USE int mqtt_props_measure(const struct mqtt_props *p, unsigned in, size_t *len);
/* Length and list of `len` bytes, measured before. */
void mqtt_props_write(struct wr *w, const struct mqtt_props *p, size_t len);

/* The same without the length: all of `list` is properties. */
MUST_USE int mqtt_props_list_decode(struct rd *list, unsigned in, struct mqtt_props *out);
void mqtt_props_list_write(struct wr *w, const struct mqtt_props *p);

/* What a list takes with its length in front; 0 below v5, where there is none. */
static inline size_t mqtt_props_room(enum mqtt_version v, size_t len)
{
	return v == MQTT_V5 ? mqtt_varint_size(len) + len : 0;
}

/* $share/ at the start: a shared filter, be it right or wrong (5.0, 4.8.2). */
static inline bool mqtt_filter_is_share(struct span filter)
{
	return filter.len >= 7 && memcmp(filter.p, "$share/", 7) == 0;
}

#endif
