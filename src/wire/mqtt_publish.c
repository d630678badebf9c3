/* PUBLISH: 3.3. The hot path of everything: properties are not touched when there are none. */
#include "wire/mqtt_codec.h"

enum { FLAG_RETAIN = 0x01, FLAG_DUP = 0x08 };

/* Properties, and what they decide: whether the topic may be missing. Kept out of the way of packets without any. */
static __attribute__((noinline)) int props_decode(const uint8_t *p, size_t left, bool has_topic,
						  struct mqtt_publish *out)
{
	struct rd r = rd_of(p, left);
	int rc;

	if ((rc = mqtt_props_decode(&r, MQTT_IN(PUBLISH), &out->props)) < 0)
		return rc;
	if (!has_topic && !mqtt_props_has(&out->props, MQTT_P_TOPIC_ALIAS)) /* 3.3.2.1 */
		return ERR_PROTOCOL;
	out->payload = span_of(r.p, r.left);
	return OK;
}

/*
 * Plain pointers instead of struct rd: the whole head is compared with the body once, and `out` is written
 * without being read again, which is a third of the time.
 */
int mqtt_publish_decode(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_publish *out)
{
	const uint8_t *p = f->body;
	size_t left = f->body_len, topic_len, head;
	unsigned flags = f->flags, qos = flags >> 1 & 3, packet_id = 0;
	enum mqtt_text text;

	if (qos == 3 || (qos == 0 && (flags & FLAG_DUP))) /* [MQTT-3.3.1-4], [MQTT-3.3.1-2] */
		return ERR_MALFORMED;
	if (left < 2)
		return ERR_MALFORMED;
	topic_len = get_u16be(p);
	head = 2 + topic_len + (qos > 0 ? 2 : 0);
	if (left < head)
		return ERR_MALFORMED;
	text = mqtt_text_scan(p + 2, topic_len);
	if (text != MQTT_TEXT_PLAIN) /* [MQTT-3.3.2-1], [MQTT-3.3.2-2] */
		return ERR_MALFORMED;
	if (topic_len == 0 && v != MQTT_V5) /* [MQTT-4.7.3-1] */
		return ERR_PROTOCOL;
	if (qos > 0 &&
	    (packet_id = get_u16be(p + 2 + topic_len)) == 0) /* 3.1.1 [MQTT-2.3.1-1], 5.0 [MQTT-2.2.1-3] */
		return ERR_PROTOCOL;
	out->dup = flags & FLAG_DUP;
	out->retain = flags & FLAG_RETAIN;
	out->qos = (uint8_t)qos;
	out->packet_id = (uint16_t)packet_id;
	out->topic = span_of(p + 2, topic_len);
	p += head;
	left -= head;
	if (v == MQTT_V5) {
		if (left == 0 || p[0] != 0 || topic_len == 0)
			return props_decode(p, left, topic_len > 0, out);
		p++;
		left--;
	}
	mqtt_props_clear(&out->props);
	out->payload = span_of(p, left);
	return OK;
}

#define NOT_EXPRESSIBLE SIZE_MAX

static __attribute__((noinline)) size_t props_measure(const struct mqtt_publish *p)
{
	size_t len;

	if (p->topic.len == 0 && !mqtt_props_has(&p->props, MQTT_P_TOPIC_ALIAS))
		return NOT_EXPRESSIBLE;
	return mqtt_props_measure(&p->props, MQTT_IN(PUBLISH), &len) < 0 ? NOT_EXPRESSIBLE : len;
}

/* The property list without its length; NOT_EXPRESSIBLE also when the packet needs a property that it hasn't. */
static inline size_t list_len(enum mqtt_version v, const struct mqtt_publish *p)
{
	if (v == MQTT_V5 && (p->props.has != 0 || p->props.user.len > 0 || p->topic.len == 0))
		return props_measure(p);
	return p->topic.len > 0 ? 0 : NOT_EXPRESSIBLE;
}

/* Bytes behind the fixed header, with a property list of `list` bytes. */
static inline size_t body_len(enum mqtt_version v, const struct mqtt_publish *p, size_t list)
{
	size_t n = 2 + p->topic.len + (p->qos > 0 ? 2 : 0) + p->payload.len;

	if (list == NOT_EXPRESSIBLE || p->qos > 2 || (p->qos == 0 && p->dup) ||
	    (p->qos > 0 && p->packet_id == 0) || p->topic.len > MQTT_STRING_MAX ||
	    p->payload.len > MQTT_REMAINING_MAX)
		return NOT_EXPRESSIBLE;
	n += mqtt_props_room(v, list);
	return n <= MQTT_REMAINING_MAX ? n : NOT_EXPRESSIBLE;
}

static uint8_t first_byte(const struct mqtt_publish *p)
{
	return (uint8_t)(MQTT_PUBLISH << 4 | (p->dup ? FLAG_DUP : 0) | p->qos << 1 |
			 (p->retain ? FLAG_RETAIN : 0));
}

/* The list with its length, where room was made for it; returns the byte behind. */
static __attribute__((noinline)) uint8_t *props_put(uint8_t *at, const struct mqtt_props *p, size_t list)
{
	struct wr w = wr_of(at, mqtt_props_room(MQTT_V5, list));

	mqtt_props_write(&w, p, list);
	return w.p;
}

/* The packet with its payload or only up to it. */
static inline int encode(struct wr *w, enum mqtt_version v, const struct mqtt_publish *p, bool with_payload)
{
	size_t payload = with_payload ? p->payload.len : 0, list = list_len(v, p),
	       body = body_len(v, p, list);
	uint8_t *at = w->p;

	if (body == NOT_EXPRESSIBLE)
		return ERR_RANGE;
	if (w->bad || w->left < 1 + mqtt_varint_size(body) + body - (p->payload.len - payload))
		return ERR_FULL;
	/* Checked as a whole: from here on plain stores, but for the rare properties. */
	*at++ = first_byte(p);
	at = mqtt_varint_put(at, body);
	put_u16be(at, (uint16_t)p->topic.len);
	at += 2;
	if (p->topic.len > 0)
		memcpy(at, p->topic.p, p->topic.len);
	at += p->topic.len;
	if (p->qos > 0) {
		put_u16be(at, p->packet_id);
		at += 2;
	}
	if (v == MQTT_V5)
		at = list > 0 ? props_put(at, &p->props, list) : mqtt_varint_put(at, 0);
	if (payload > 0)
		memcpy(at, p->payload.p, payload);
	at += payload;
	w->left -= (size_t)(at - w->p);
	w->p = at;
	return OK;
}

int mqtt_publish_encode(struct wr *w, enum mqtt_version v, const struct mqtt_publish *p)
{
	return encode(w, v, p, true);
}

int mqtt_publish_head_encode(struct wr *w, enum mqtt_version v, const struct mqtt_publish *p)
{
	return encode(w, v, p, false);
}

size_t mqtt_publish_size(enum mqtt_version v, const struct mqtt_publish *p)
{
	size_t body = body_len(v, p, list_len(v, p));

	return body == NOT_EXPRESSIBLE ? 0 : 1 + mqtt_varint_size(body) + body;
}
