/* PUBLISH: 3.3. The hot path of everything: properties are not touched when there are none. */
#include "wire/mqtt_codec.h"

enum { FLAG_RETAIN = 0x01, FLAG_DUP = 0x08 };

/* The topic in front, at most body_len long. */
static int topic_decode(const struct mqtt_frame *f, bool may_be_empty, struct span *topic)
{
	size_t len;

	if (f->body_len < 2)
		return ERR_MALFORMED;
	len = get_u16be(f->body);
	if (f->body_len - 2 < len)
		return ERR_MALFORMED;
	*topic = span_of(f->body + 2, len);
	switch (mqtt_text_scan(topic->p, len)) {
	case MQTT_TEXT_BAD:
		return ERR_MALFORMED;
	case MQTT_TEXT_WILD: /* [MQTT-3.3.2-2] */
		return ERR_TOPIC;
	case MQTT_TEXT_PLAIN:
		break;
	}
	return len > 0 || may_be_empty ? OK : ERR_PROTOCOL; /* [MQTT-4.7.3-1] */
}

static int props_decode(struct rd *r, struct mqtt_publish *out)
{
	int rc;

	if (r->left > 0 && r->p[0] == 0) {
		(void)rd_u8(r);
		mqtt_props_clear(&out->props);
	} else if ((rc = mqtt_props_decode(r, MQTT_IN(PUBLISH), &out->props)) < 0) {
		return rc;
	}
	if (out->topic.len == 0 && !mqtt_props_has(&out->props, MQTT_P_TOPIC_ALIAS)) /* 3.3.2.1 */
		return ERR_PROTOCOL;
	return OK;
}

int mqtt_publish_decode(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_publish *out)
{
	struct rd r;
	int rc;

	out->dup = f->flags & FLAG_DUP;
	out->retain = f->flags & FLAG_RETAIN;
	out->qos = f->flags >> 1 & 3;
	out->packet_id = 0;
	if (out->qos == 3 || (out->dup && out->qos == 0)) /* [MQTT-3.3.1-4], [MQTT-3.3.1-2] */
		return ERR_MALFORMED;
	if ((rc = topic_decode(f, v == MQTT_V5, &out->topic)) < 0)
		return rc;
	r = rd_of(out->topic.p + out->topic.len, f->body_len - 2 - out->topic.len);
	if (out->qos > 0) {
		out->packet_id = rd_u16be(&r);
		if (r.bad)
			return ERR_MALFORMED;
		if (out->packet_id == 0) /* 3.1.1 [MQTT-2.3.1-1], 5.0 [MQTT-2.2.1-3] */
			return ERR_PROTOCOL;
	}
	if (v != MQTT_V5)
		mqtt_props_clear(&out->props);
	else if ((rc = props_decode(&r, out)) < 0)
		return rc;
	out->payload = span_of(r.p, r.left);
	return OK;
}

struct shape {
	size_t props; /* the list without its length; 0 below v5 */
	size_t body;
};

static int measure(enum mqtt_version v, const struct mqtt_publish *p, struct shape *s)
{
	int rc;

	s->props = 0;
	if (p->qos > 2 || (p->qos == 0 && p->dup) || (p->qos > 0 && p->packet_id == 0) ||
	    p->topic.len > MQTT_STRING_MAX || p->payload.len > MQTT_REMAINING_MAX)
		return ERR_RANGE;
	s->body = 2 + p->topic.len + (p->qos > 0 ? 2 : 0) + p->payload.len;
	if (v == MQTT_V5) {
		if ((p->props.has != 0 || p->props.user.len > 0) &&
		    (rc = mqtt_props_measure(&p->props, MQTT_IN(PUBLISH), &s->props)) < 0)
			return rc;
		s->body += mqtt_props_room(v, s->props);
	}
	if (p->topic.len == 0 && (v != MQTT_V5 || !mqtt_props_has(&p->props, MQTT_P_TOPIC_ALIAS)))
		return ERR_RANGE;
	return s->body <= MQTT_REMAINING_MAX ? OK : ERR_RANGE;
}

static uint8_t first_byte(const struct mqtt_publish *p)
{
	return (uint8_t)(MQTT_PUBLISH << 4 | (p->dup ? FLAG_DUP : 0) | p->qos << 1 |
			 (p->retain ? FLAG_RETAIN : 0));
}

/* The packet with the first `payload` bytes of the payload: none or all. */
static int encode(struct wr *w, enum mqtt_version v, const struct mqtt_publish *p, bool with_payload)
{
	size_t payload = with_payload ? p->payload.len : 0;
	struct shape s;
	uint8_t *at;
	int rc;

	if ((rc = measure(v, p, &s)) < 0)
		return rc;
	if (w->bad || w->left < 1 + mqtt_varint_size(s.body) + s.body - (p->payload.len - payload))
		return ERR_FULL;
	/* Checked as a whole: from here on plain stores, but for the rare properties. */
	at = w->p;
	*at++ = first_byte(p);
	at = mqtt_varint_put(at, s.body);
	put_u16be(at, (uint16_t)p->topic.len);
	at += 2;
	if (p->topic.len > 0)
		memcpy(at, p->topic.p, p->topic.len);
	at += p->topic.len;
	if (p->qos > 0) {
		put_u16be(at, p->packet_id);
		at += 2;
	}
	if (v == MQTT_V5 && s.props == 0)
		*at++ = 0;
	w->left -= (size_t)(at - w->p);
	w->p = at;
	if (s.props > 0)
		mqtt_props_write(w, &p->props, s.props);
	wr_bytes(w, p->payload.p, payload);
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
	struct shape s;

	return measure(v, p, &s) < 0 ? 0 : 1 + mqtt_varint_size(s.body) + s.body;
}
