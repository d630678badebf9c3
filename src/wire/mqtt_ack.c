/*
 * PUBACK PUBREC PUBREL PUBCOMP: 3.4 to 3.7; DISCONNECT and AUTH: 3.14 and 3.15. What they share: a reason and
 * properties, both optional.
 */
#include <assert.h>

#include "wire/mqtt_codec.h"

/*
 * A 5.0 reason code of this packet, else a protocol error: [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1],
 * [MQTT-3.14.2-1], [MQTT-3.15.2-1].
 */
static int reason_take(struct rd *r, enum mqtt_type type, uint8_t *reason)
{
	*reason = rd_u8(r);
	if (r->bad)
		return ERR_MALFORMED;
	return mqtt_reason_allowed(type, *reason) ? OK : ERR_PROTOCOL;
}

/* The end of a packet: properties, which may be left out, and nothing behind. */
static int props_last(struct rd *r, enum mqtt_type type, struct mqtt_props *props)
{
	int rc;

	if (r->left == 0)
		return OK;
	if ((rc = mqtt_props_decode(r, 1u << type, props)) < 0)
		return rc;
	return r->left == 0 ? OK : ERR_MALFORMED;
}

int mqtt_ack_decode(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_ack *out)
{
	struct rd r = rd_of(f->body, f->body_len);
	int rc;

	assert(f->type >= MQTT_PUBACK && f->type <= MQTT_PUBCOMP);
	out->reason = MQTT_RC_SUCCESS;
	mqtt_props_clear(&out->props);
	out->packet_id = rd_u16be(&r);
	if (r.bad || !mqtt_flags_ok(f, v))
		return ERR_MALFORMED;
	if (out->packet_id == 0) /* 3.1.1 [MQTT-2.3.1-1], 5.0 2.2.1 */
		return ERR_PROTOCOL;
	if (r.left == 0) /* 5.0, 3.4.2.1: success, no properties */
		return OK;
	if (v != MQTT_V5)
		return ERR_MALFORMED;
	if ((rc = reason_take(&r, f->type, &out->reason)) < 0)
		return rc;
	return props_last(&r, f->type, &out->props); /* 3.4.2.2.1: may be missing */
}

int mqtt_ack_encode(struct wr *w, enum mqtt_version v, enum mqtt_type type, const struct mqtt_ack *p)
{
	uint8_t flags = type == MQTT_PUBREL ? 0x02 : 0x00; /* [MQTT-3.6.1-1] */
	size_t props = 0, body = 2;
	int rc;

	assert(type >= MQTT_PUBACK && type <= MQTT_PUBCOMP);
	if (p->packet_id == 0)
		return ERR_RANGE;
	if (v == MQTT_V5) {
		if (!mqtt_reason_allowed(type, p->reason))
			return ERR_RANGE;
		if ((rc = mqtt_props_measure(&p->props, 1u << type, &props)) < 0)
			return rc;
		if (props > 0)
			body = 3 + mqtt_props_room(v, props);
		else if (p->reason != MQTT_RC_SUCCESS)
			body = 3;
	} else if (p->reason >= 0x80 && (type == MQTT_PUBACK || type == MQTT_PUBREC)) {
		return ERR_RANGE; /* below 5.0 an acknowledgement can't say no */
	}
	if ((rc = mqtt_packet_begin(w, (uint8_t)(type << 4 | flags), body)) < 0)
		return rc;
	wr_u16be(w, p->packet_id);
	if (body > 2)
		wr_u8(w, p->reason);
	if (props > 0)
		mqtt_props_write(w, &p->props, props);
	return OK;
}

/* 5.0, 3.15.2: the reason and properties go together, and every AUTH that says something names its method. */
static int auth_check(const struct mqtt_frame *f, const struct mqtt_disconnect *d)
{
	if (f->body_len == 1)
		return ERR_MALFORMED;
	if (mqtt_props_has(&d->props, MQTT_P_AUTH_METHOD))
		return OK;
	return d->reason == MQTT_RC_SUCCESS && d->props.has == 0 ? OK : ERR_PROTOCOL; /* 3.15.2.2.2 */
}

int mqtt_disconnect_decode(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_disconnect *out)
{
	struct rd r = rd_of(f->body, f->body_len);
	int rc;

	assert(f->type == MQTT_DISCONNECT || f->type == MQTT_AUTH);
	out->reason = MQTT_RC_SUCCESS;
	mqtt_props_clear(&out->props);
	if (!mqtt_flags_ok(f, v) || (v != MQTT_V5 && (f->type == MQTT_AUTH || f->body_len > 0)))
		return ERR_MALFORMED;
	if (f->body_len == 0) /* 5.0, 3.14.2.1, 3.15.2.1: success, no properties */
		return OK;
	if ((rc = reason_take(&r, f->type, &out->reason)) < 0)
		return rc;
	if ((rc = props_last(&r, f->type, &out->props)) < 0)
		return rc;
	return f->type == MQTT_AUTH ? auth_check(f, out) : OK;
}

int mqtt_disconnect_encode(struct wr *w, enum mqtt_version v, enum mqtt_type type,
			   const struct mqtt_disconnect *p)
{
	size_t props = 0, body = 0;
	int rc;

	assert(type == MQTT_DISCONNECT || type == MQTT_AUTH);
	if (v != MQTT_V5 && type == MQTT_AUTH)
		return ERR_RANGE;
	if (v == MQTT_V5) {
		if (!mqtt_reason_allowed(type, p->reason))
			return ERR_RANGE;
		if ((rc = mqtt_props_measure(&p->props, 1u << type, &props)) < 0)
			return rc;
		if (type == MQTT_AUTH && !mqtt_props_has(&p->props, MQTT_P_AUTH_METHOD) &&
		    (p->reason != MQTT_RC_SUCCESS || props > 0))
			return ERR_RANGE;
		if (props > 0)
			body = 1 + mqtt_props_room(v, props);
		else if (p->reason != MQTT_RC_SUCCESS)
			body = 1;
	}
	if ((rc = mqtt_packet_begin(w, (uint8_t)(type << 4), body)) < 0)
		return rc;
	if (body > 0)
		wr_u8(w, p->reason);
	if (props > 0)
		mqtt_props_write(w, &p->props, props);
	return OK;
}
