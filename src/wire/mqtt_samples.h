/*
 * Valid packets of every kind, made by the encoders, for tests and for the fuzzers' corpus. Two dimensions:
 * the variant of the packet itself and the mix of properties.
 */
#ifndef WIRE_MQTT_SAMPLES_H
#define WIRE_MQTT_SAMPLES_H

#include "wire/mqtt.h"

enum {
	MQTT_SAMPLE_VARIANTS = 4,
	/* no properties; each alone; all of them; all of them and user properties */
	MQTT_SAMPLE_MIXES = MQTT_PROPS + 3
};

static inline void mqtt_sample_prop(struct mqtt_props *p, enum mqtt_prop id)
{
	static const uint8_t user[] = {0x26, 0, 1, 'k', 0, 2, 'v', '1', 0x26, 0, 1, 'k', 0, 0};

	switch (mqtt_prop_kind(id)) {
	case MQTT_PROP_U8:
		mqtt_props_set_num(p, id, 1);
		break;
	case MQTT_PROP_U16:
		mqtt_props_set_num(p, id, 0xFFFF);
		break;
	case MQTT_PROP_U32:
		mqtt_props_set_num(p, id, 0xFFFFFFFF);
		break;
	case MQTT_PROP_VARINT:
		mqtt_props_set_num(p, id, MQTT_REMAINING_MAX);
		break;
	case MQTT_PROP_STRING:
		mqtt_props_set_str(p, id, span_str("text/\xE2\x82\xAC"));
		break;
	case MQTT_PROP_BINARY:
		mqtt_props_set_str(p, id, span_of("\x00\xFF\x80", 3));
		break;
	case MQTT_PROP_PAIR:
		p->user = span_of(user, sizeof(user));
		break;
	}
}

static inline bool mqtt_sample_may(unsigned in, enum mqtt_prop id)
{
	static const uint32_t packets[] = {
#define MQTT_SAMPLE_AS_MASK(name, ident, kind, packets) [MQTT_P_##name] = (packets),
		MQTT_PROP_TABLE(MQTT_SAMPLE_AS_MASK)
#undef MQTT_SAMPLE_AS_MASK
	};

	return (packets[id] & in) != 0;
}

/* False when the packet `in` has no such mix. */
static inline bool mqtt_sample_props(struct mqtt_props *p, unsigned in, unsigned mix)
{
	mqtt_props_clear(p);
	if (in == MQTT_IN(AUTH) && mix > 0)
		mqtt_sample_prop(p, MQTT_P_AUTH_METHOD);
	if (mix == 0)
		return true;
	if (mix <= MQTT_PROPS) {
		enum mqtt_prop id = (enum mqtt_prop)(mix - 1);

		if (!mqtt_sample_may(in, id))
			return false;
		mqtt_sample_prop(p, id);
		if (id == MQTT_P_AUTH_DATA)
			mqtt_sample_prop(p, MQTT_P_AUTH_METHOD);
		return true;
	}
	for (unsigned id = 0; id < MQTT_PROPS; id++)
		if (mqtt_sample_may(in, (enum mqtt_prop)id) &&
		    (id != MQTT_P_USER_PROPERTY || mix == MQTT_PROPS + 2))
			mqtt_sample_prop(p, (enum mqtt_prop)id);
	return true;
}

static inline int mqtt_sample_connect(enum mqtt_version v, unsigned variant, unsigned mix, struct wr *w)
{
	struct mqtt_connect p = {.version = v, .keep_alive_s = 60, .client_id = span_str("client")};

	p.clean_start = variant != 1;
	p.bridge = variant == 3 && v != MQTT_V5;
	p.has_username = variant >= 2;
	p.username = span_str("user");
	p.has_password = variant >= 2;
	p.password = span_str("secret");
	p.has_will = variant == 1 || variant == 2;
	p.will.topic = span_str("will/topic");
	p.will.payload = span_str("gone");
	p.will.qos = (uint8_t)variant;
	p.will.retain = variant == 2;
	if (!mqtt_sample_props(&p.props, MQTT_IN(CONNECT), mix) &&
	    !(p.has_will && mix > 0 && mqtt_sample_may(MQTT_IN_WILL, (enum mqtt_prop)(mix - 1))))
		return ERR_NOT_FOUND;
	(void)mqtt_sample_props(&p.will.props, MQTT_IN_WILL, mix);
	return mqtt_connect_encode(w, &p);
}

static inline int mqtt_sample_publish(enum mqtt_version v, unsigned variant, unsigned mix, struct wr *w)
{
	struct mqtt_publish p = {.qos = (uint8_t)(variant % 3), .dup = variant == 2, .retain = variant & 1};

	p.packet_id = p.qos > 0 ? 0xFFFF : 0;
	p.topic = span_str("plant1/rack/\xC3\xA4/value");
	p.payload = variant == 3 ? span_of(NULL, 0) : span_of("{\"value\": 1}", 12);
	if (!mqtt_sample_props(&p.props, MQTT_IN(PUBLISH), mix))
		return ERR_NOT_FOUND;
	if (variant == 3 && v == MQTT_V5 && mqtt_props_has(&p.props, MQTT_P_TOPIC_ALIAS))
		p.topic.len = 0;
	return mqtt_publish_encode(w, v, &p);
}

static inline int mqtt_sample_subscribe(enum mqtt_version v, unsigned variant, unsigned mix, struct wr *w)
{
	const struct mqtt_sub_item items[] = {
		{.filter = span_str("a/+/#"), .qos = (uint8_t)(variant % 3), .no_local = true},
		{.filter = span_str("$share/group/b/#"), .qos = 1, .retain_as_published = true},
		{.filter = span_str("c"), .qos = 2, .retain_handling = 2},
		{.filter = span_str("+/+/"), .retain_handling = 1},
	};
	struct mqtt_props props;

	if (!mqtt_sample_props(&props, MQTT_IN(SUBSCRIBE), mix))
		return ERR_NOT_FOUND;
	return mqtt_subscribe_encode(w, v, 7, &props, items, variant + 1);
}

static inline int mqtt_sample_unsubscribe(enum mqtt_version v, unsigned variant, unsigned mix, struct wr *w)
{
	const struct span filters[] = {span_str("a/+/#"), span_str("$share/g/b"), span_str("c"),
				       span_str("/")};
	struct mqtt_props props;

	if (!mqtt_sample_props(&props, MQTT_IN(UNSUBSCRIBE), mix))
		return ERR_NOT_FOUND;
	return mqtt_unsubscribe_encode(w, v, 8, &props, filters, variant + 1);
}

static inline int mqtt_sample_suback(enum mqtt_type type, enum mqtt_version v, unsigned variant, unsigned mix,
				     struct wr *w)
{
	static const uint8_t sub[] = {0, 1, 2, 0x80}, unsub[] = {0, 0x11, 0x80, 0x87};
	struct mqtt_suback p = {.packet_id = 9};

	p.codes = span_of(type == MQTT_SUBACK ? sub : unsub, variant + 1);
	if (!mqtt_sample_props(&p.props, 1u << type, mix))
		return ERR_NOT_FOUND;
	return mqtt_suback_encode(w, v, type, &p);
}

static inline int mqtt_sample_ack(enum mqtt_type type, enum mqtt_version v, unsigned variant, unsigned mix,
				  struct wr *w)
{
	struct mqtt_ack p = {.packet_id = (uint16_t)(variant << 8 | 1)};

	if (v == MQTT_V5 && variant > 1)
		p.reason =
			type >= MQTT_PUBREL ? MQTT_RC_PACKET_ID_NOT_FOUND : MQTT_RC_NO_MATCHING_SUBSCRIBERS;
	if (!mqtt_sample_props(&p.props, 1u << type, mix))
		return ERR_NOT_FOUND;
	return mqtt_ack_encode(w, v, type, &p);
}

static inline int mqtt_sample_connack(enum mqtt_version v, unsigned variant, unsigned mix, struct wr *w)
{
	struct mqtt_connack p = {.session_present = variant == 1};

	if (variant > 1)
		p.reason = v == MQTT_V5 ? MQTT_RC_NOT_AUTHORIZED : (uint8_t)(variant + 2);
	if (!mqtt_sample_props(&p.props, MQTT_IN(CONNACK), mix))
		return ERR_NOT_FOUND;
	return mqtt_connack_encode(w, v, &p);
}

static inline int mqtt_sample_disconnect(enum mqtt_type type, enum mqtt_version v, unsigned variant,
					 unsigned mix, struct wr *w)
{
	struct mqtt_disconnect p = {.reason = 0};

	if (variant > 0 && mix > 0 && v == MQTT_V5)
		p.reason = type == MQTT_AUTH ? MQTT_RC_CONTINUE_AUTHENTICATION : MQTT_RC_DISCONNECT_WITH_WILL;
	if (!mqtt_sample_props(&p.props, 1u << type, mix) || (type == MQTT_AUTH && v != MQTT_V5))
		return ERR_NOT_FOUND;
	return mqtt_disconnect_encode(w, v, type, &p);
}

/* Append one packet. ERR_NOT_FOUND: there is none with this variant and mix. Below v5 only mix 0 is there. */
MUST_USE static inline int mqtt_sample(enum mqtt_type type, enum mqtt_version v, unsigned variant,
				       unsigned mix, struct wr *w)
{
	if (v != MQTT_V5 && mix > 0)
		return ERR_NOT_FOUND;
	switch (type) {
	case MQTT_CONNECT:
		return mqtt_sample_connect(v, variant, mix, w);
	case MQTT_CONNACK:
		return mqtt_sample_connack(v, variant, mix, w);
	case MQTT_PUBLISH:
		return mqtt_sample_publish(v, variant, mix, w);
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		return mqtt_sample_ack(type, v, variant, mix, w);
	case MQTT_SUBSCRIBE:
		return mqtt_sample_subscribe(v, variant, mix, w);
	case MQTT_UNSUBSCRIBE:
		return mqtt_sample_unsubscribe(v, variant, mix, w);
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		return mqtt_sample_suback(type, v, variant, mix, w);
	case MQTT_DISCONNECT:
	case MQTT_AUTH:
		return mqtt_sample_disconnect(type, v, variant, mix, w);
	case MQTT_PINGREQ:
	case MQTT_PINGRESP:
		return variant == 0 && mix == 0 ? mqtt_empty_encode(w, type) : ERR_NOT_FOUND;
	}
	return ERR_NOT_FOUND;
}

#endif
