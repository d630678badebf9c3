/*
 * For the tests and fuzzers of the MQTT codec only: packets in a readable notation, any packet decoded, and
 * any packet encoded again from what was decoded. Keeps a few static buffers: one thread.
 */
#ifndef WIRE_MQTT_TESTING_H
#define WIRE_MQTT_TESTING_H

#include <stdlib.h>

#include "wire/mqtt.h"

#define MQTT_TESTING_MAX 65536u /* largest packet that these helpers take */

union mqtt_any {
	struct mqtt_connect connect;
	struct mqtt_connack connack;
	struct mqtt_publish publish;
	struct mqtt_ack ack;
	struct mqtt_subscribe subscribe;
	struct mqtt_unsubscribe unsubscribe;
	struct mqtt_suback suback;
	struct mqtt_disconnect disconnect;
};

/* Decode by type. A CONNECT brings its own version. */
static inline int mqtt_any_decode(const struct mqtt_frame *f, enum mqtt_version v, union mqtt_any *out)
{
	switch ((enum mqtt_type)f->type) {
	case MQTT_CONNECT:
		return mqtt_connect_decode(f, &out->connect);
	case MQTT_CONNACK:
		return mqtt_connack_decode(f, v, &out->connack);
	case MQTT_PUBLISH:
		return mqtt_publish_decode(f, v, &out->publish);
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		return mqtt_ack_decode(f, v, &out->ack);
	case MQTT_SUBSCRIBE:
		return mqtt_subscribe_decode(f, v, &out->subscribe);
	case MQTT_UNSUBSCRIBE:
		return mqtt_unsubscribe_decode(f, v, &out->unsubscribe);
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		return mqtt_suback_decode(f, v, &out->suback);
	case MQTT_DISCONNECT:
	case MQTT_AUTH:
		return mqtt_disconnect_decode(f, v, &out->disconnect);
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
		return mqtt_empty_decode(f);
	}
	return ERR_MALFORMED;
}

/* Make a decoded list ready to be encoded: what num and str can't hold goes into `user`, kept in `room`. */
static inline void mqtt_props_again(struct mqtt_props *p, uint8_t room[MQTT_TESTING_MAX])
{
	struct rd raw = rd_of(p->raw.p, p->raw.len);
	struct wr user = wr_of(room, MQTT_TESTING_MAX);
	struct mqtt_prop_item item;
	uint32_t seen = 0;

	while (mqtt_props_next(&raw, &item)) {
		if (item.id == MQTT_P_USER_PROPERTY || (seen >> item.id & 1))
			wr_span(&user, item.whole);
		seen |= 1u << item.id;
	}
	if (seen != p->has || raw.left > 0 || user.bad)
		abort();
	p->user = span_of(room, (size_t)(user.p - room));
}

static inline int mqtt_subscribe_again(struct mqtt_subscribe *p, enum mqtt_version v, struct wr *w)
{
	static struct mqtt_sub_item items[MQTT_TESTING_MAX / 4];
	struct rd list = rd_of(p->filters.p, p->filters.len);
	size_t n = 0;

	while (n < MQTT_TESTING_MAX / 4 && mqtt_subscribe_next(&list, v, &items[n]))
		n++;
	if (n != p->count || list.left > 0)
		abort();
	return mqtt_subscribe_encode(w, v, p->packet_id, &p->props, items, n);
}

static inline int mqtt_unsubscribe_again(struct mqtt_unsubscribe *p, enum mqtt_version v, struct wr *w)
{
	static struct span filters[MQTT_TESTING_MAX / 3];
	struct rd list = rd_of(p->filters.p, p->filters.len);
	size_t n = 0;

	while (n < MQTT_TESTING_MAX / 3 && mqtt_unsubscribe_next(&list, &filters[n]))
		n++;
	if (n != p->count || list.left > 0)
		abort();
	return mqtt_unsubscribe_encode(w, v, p->packet_id, &p->props, filters, n);
}

/* Encode what mqtt_any_decode() decoded. */
static inline int mqtt_any_encode(enum mqtt_type type, enum mqtt_version v, union mqtt_any *p, struct wr *w)
{
	static uint8_t user[MQTT_TESTING_MAX], will_user[MQTT_TESTING_MAX];

	switch (type) {
	case MQTT_CONNECT:
		mqtt_props_again(&p->connect.props, user);
		mqtt_props_again(&p->connect.will.props, will_user);
		return mqtt_connect_encode(w, &p->connect);
	case MQTT_CONNACK:
		mqtt_props_again(&p->connack.props, user);
		return mqtt_connack_encode(w, v, &p->connack);
	case MQTT_PUBLISH:
		mqtt_props_again(&p->publish.props, user);
		return mqtt_publish_encode(w, v, &p->publish);
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		mqtt_props_again(&p->ack.props, user);
		return mqtt_ack_encode(w, v, type, &p->ack);
	case MQTT_SUBSCRIBE:
		mqtt_props_again(&p->subscribe.props, user);
		return mqtt_subscribe_again(&p->subscribe, v, w);
	case MQTT_UNSUBSCRIBE:
		mqtt_props_again(&p->unsubscribe.props, user);
		return mqtt_unsubscribe_again(&p->unsubscribe, v, w);
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		mqtt_props_again(&p->suback.props, user);
		return mqtt_suback_encode(w, v, type, &p->suback);
	case MQTT_DISCONNECT:
	case MQTT_AUTH:
		mqtt_props_again(&p->disconnect.props, user);
		return mqtt_disconnect_encode(w, v, type, &p->disconnect);
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
		return mqtt_empty_encode(w, type);
	}
	return ERR_RANGE;
}

static inline int mqtt_hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/*
 * Bytes from a readable notation: "0A FF" are bytes (capital digits), <text> a string with its length in front,
 * 'text' bytes alone, [ ... ] a list of up to 126 bytes with its length in front.
 */
static inline void mqtt_notation(struct wr *w, const char *s)
{
	uint8_t *list = NULL;

	for (; *s; s++) {
		if (*s == ' ')
			continue;
		if (*s == '<' || *s == '\'') {
			const char *end = strchr(s + 1, *s == '<' ? '>' : '\'');

			if (*s == '<')
				wr_u16be(w, (uint16_t)(end - s - 1));
			wr_bytes(w, s + 1, (size_t)(end - s - 1));
			s = end;
		} else if (*s == '[') {
			list = w->p;
			wr_u8(w, 0);
		} else if (*s == ']') {
			*list = (uint8_t)(w->p - list - 1);
		} else {
			if (mqtt_hex_digit(s[0]) < 0 || mqtt_hex_digit(s[1]) < 0)
				abort();
			wr_u8(w, (uint8_t)(mqtt_hex_digit(s[0]) << 4 | mqtt_hex_digit(s[1])));
			s++;
		}
	}
	if (w->bad)
		abort();
}

/* A whole packet: first byte, length, body in the notation above. A block of its size: sanitizers see a step beyond. */
static inline uint8_t *mqtt_packet_of(uint8_t first, const char *body, size_t *len)
{
	static uint8_t room[MQTT_TESTING_MAX];
	struct wr w = wr_of(room, sizeof(room));
	uint8_t *out;
	size_t n, at = 0;

	mqtt_notation(&w, body);
	n = (size_t)(w.p - room);
	out = malloc(n + 1 + (n < 128 ? 1 : n < 16384 ? 2 : 3));
	if (!out)
		abort();
	out[at++] = first;
	for (size_t left = n;; left >>= 7) {
		out[at++] = (uint8_t)((left & 0x7F) | (left > 127 ? 0x80 : 0));
		if (left <= 127)
			break;
	}
	if (n > 0)
		memcpy(out + at, room, n);
	*len = at + n;
	return out;
}

#endif
