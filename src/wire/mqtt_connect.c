/* CONNECT and CONNACK: 3.1 and 3.2. */
#include <assert.h>

#include "wire/mqtt_codec.h"

enum {
	FLAG_RESERVED = 0x01,
	FLAG_CLEAN = 0x02,
	FLAG_WILL = 0x04,
	FLAG_WILL_RETAIN = 0x20,
	FLAG_PASSWORD = 0x40,
	FLAG_USERNAME = 0x80,
	WILL_QOS_SHIFT = 3,
	LEVEL_BRIDGE = 0x80,
};

static struct span protocol_name(enum mqtt_version v)
{
	return v == MQTT_V31 ? span_str("MQIsdp") : span_str("MQTT");
}

/* Name and level: 3.1.2.1, 3.1.2.2 */
static int protocol_decode(struct rd *r, struct mqtt_connect *out)
{
	struct span name = mqtt_binary_take(r);
	uint8_t level = rd_u8(r), plain = level & (uint8_t)~LEVEL_BRIDGE;

	out->version = (enum mqtt_version)level;
	if (r->bad)
		return ERR_MALFORMED;
	/* [MQTT-3.1.2-1]: who asks for something else than MQTT need not know what we are */
	if (!span_equal(name, protocol_name(MQTT_V5)) && !span_equal(name, protocol_name(MQTT_V31)))
		return ERR_MALFORMED;
	out->answer = MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION;
	if (level != MQTT_V5 && plain != MQTT_V311 && plain != MQTT_V31)
		return ERR_UNSUPPORTED;
	if (!span_equal(name, protocol_name((enum mqtt_version)plain)))
		return ERR_UNSUPPORTED;
	out->answer = 0;
	out->version = (enum mqtt_version)plain;
	out->bridge = level & LEVEL_BRIDGE;
	return OK;
}

static int flags_decode(uint8_t flags, struct mqtt_connect *out)
{
	enum mqtt_version v = out->version;

	if (v != MQTT_V31 && (flags & FLAG_RESERVED)) /* [MQTT-3.1.2-3]; 3.1 doesn't use the bit */
		return ERR_MALFORMED;
	out->clean_start = flags & FLAG_CLEAN;
	out->has_will = flags & FLAG_WILL;
	out->has_username = flags & FLAG_USERNAME;
	out->has_password = flags & FLAG_PASSWORD;
	out->will.qos = flags >> WILL_QOS_SHIFT & 3;
	out->will.retain = flags & FLAG_WILL_RETAIN;
	if (!out->has_will) {
		/* 3.1.1 [MQTT-3.1.2-13], [MQTT-3.1.2-15]; 5.0 [MQTT-3.1.2-11], [MQTT-3.1.2-13]; 3.1 says nothing */
		if (v != MQTT_V31 && (out->will.qos || out->will.retain))
			return ERR_MALFORMED;
		out->will.qos = 0;
		out->will.retain = false;
	}
	if (out->will.qos == 3) /* 3.1.1 [MQTT-3.1.2-14], 5.0 [MQTT-3.1.2-12] */
		return ERR_MALFORMED;
	if (v != MQTT_V5 && out->has_password && !out->has_username) /* 3.1.1 [MQTT-3.1.2-22], 3.1 3.1 */
		return ERR_PROTOCOL;
	return OK;
}

/* A list of properties; what is wrong with it is told in CONNACK (2.2.2.2, 4.13.1). */
static int connect_props_decode(struct rd *r, unsigned in, struct mqtt_props *props, uint8_t *answer)
{
	int rc = mqtt_props_decode(r, in, props);

	if (rc < 0)
		*answer = mqtt_reason_of(rc);
	return rc;
}

static int will_decode(struct rd *r, struct mqtt_connect *out)
{
	struct mqtt_will *will = &out->will;
	int rc;

	if (out->version == MQTT_V5 &&
	    (rc = connect_props_decode(r, MQTT_IN_WILL, &will->props, &out->answer)) < 0)
		return rc;
	if ((rc = mqtt_string_take(r, &will->topic)) < 0) /* 3.1.1 [MQTT-3.1.3-10], 5.0 [MQTT-3.1.3-11] */
		return rc;
	will->payload = mqtt_binary_take(r);
	if (r->bad)
		return ERR_MALFORMED;
	return mqtt_topic_valid(will->topic) ? OK : ERR_MALFORMED;
}

static int login_decode(struct rd *r, struct mqtt_connect *out)
{
	int rc;

	/* 3.1 (3.1, payload): the length decides over the flags; what is not there is not missed. */
	if (out->version == MQTT_V31 && r->left == 0)
		out->has_username = out->has_password = false;
	/* 3.1.1 [MQTT-3.1.3-11], 5.0 [MQTT-3.1.3-12] */
	if (out->has_username && (rc = mqtt_string_take(r, &out->username)) < 0)
		return rc;
	if (out->version == MQTT_V31 && r->left == 0)
		out->has_password = false;
	if (out->has_password)
		out->password = mqtt_binary_take(r);
	return r->bad ? ERR_MALFORMED : OK;
}

static int client_id_decode(struct rd *r, struct mqtt_connect *out)
{
	int rc = mqtt_string_take(r, &out->client_id); /* [MQTT-3.1.3-4] */

	if (rc < 0 && !r->bad && out->version == MQTT_V5)
		out->answer = MQTT_RC_CLIENT_ID_NOT_VALID;
	return rc;
}

int mqtt_connect_decode(const struct mqtt_frame *f, struct mqtt_connect *out)
{
	struct rd r = rd_of(f->body, f->body_len);
	uint8_t flags;
	int rc;

	assert(f->type == MQTT_CONNECT);
	out->answer = 0;
	mqtt_props_clear(&out->props);
	mqtt_props_clear(&out->will.props);
	out->will.topic = out->will.payload = out->username = out->password = span_of(NULL, 0);
	if ((rc = protocol_decode(&r, out)) < 0)
		return rc;
	flags = rd_u8(&r);
	out->keep_alive_s = rd_u16be(&r);
	if (r.bad || !mqtt_flags_ok(f, out->version))
		return ERR_MALFORMED;
	if ((rc = flags_decode(flags, out)) < 0)
		return rc;
	if (out->version == MQTT_V5 &&
	    (rc = connect_props_decode(&r, MQTT_IN(CONNECT), &out->props, &out->answer)) < 0)
		return rc;
	/* the payload in its order [MQTT-3.1.3-1], beginning with the id [MQTT-3.1.3-3] */
	if ((rc = client_id_decode(&r, out)) < 0)
		return rc;
	/*
	 * What the flags say is there, and nothing else: [MQTT-3.1.2-9]; 3.1.1 [MQTT-3.1.2-18] to [MQTT-3.1.2-21], 5.0
	 * [MQTT-3.1.2-16] to [MQTT-3.1.2-19].
	 */
	if (out->has_will && (rc = will_decode(&r, out)) < 0)
		return rc;
	if ((rc = login_decode(&r, out)) < 0)
		return rc;
	if (r.left > 0 && out->version == MQTT_V5)
		out->answer = MQTT_RC_MALFORMED_PACKET;
	return r.left == 0 ? OK : ERR_MALFORMED;
}

struct connect_shape {
	size_t props, will_props, body;
};

static bool connect_sane(const struct mqtt_connect *p)
{
	bool v5 = p->version == MQTT_V5;

	if (p->client_id.len > MQTT_STRING_MAX || (p->bridge && v5))
		return false;
	if (p->has_will && (p->will.qos > 2 || p->will.topic.len == 0 ||
			    p->will.topic.len > MQTT_STRING_MAX || p->will.payload.len > MQTT_STRING_MAX))
		return false;
	if (p->has_username && p->username.len > MQTT_STRING_MAX)
		return false;
	if (p->has_password && (p->password.len > MQTT_STRING_MAX || (!v5 && !p->has_username)))
		return false;
	return true;
}

static int connect_measure(const struct mqtt_connect *p, struct connect_shape *s)
{
	bool v5 = p->version == MQTT_V5;
	int rc;

	s->props = s->will_props = 0;
	if (!connect_sane(p))
		return ERR_RANGE;
	if (v5 && (rc = mqtt_props_measure(&p->props, MQTT_IN(CONNECT), &s->props)) < 0)
		return rc;
	if (v5 && p->has_will && (rc = mqtt_props_measure(&p->will.props, MQTT_IN_WILL, &s->will_props)) < 0)
		return rc;
	s->body = 2 + protocol_name(p->version).len + 1 + 1 + 2; /* name, level, flags, keep-alive */
	s->body += mqtt_props_room(p->version, s->props) + 2 + p->client_id.len;
	if (p->has_will)
		s->body += mqtt_props_room(p->version, s->will_props) + 2 + p->will.topic.len + 2 +
			   p->will.payload.len;
	if (p->has_username)
		s->body += 2 + p->username.len;
	if (p->has_password)
		s->body += 2 + p->password.len;
	return OK;
}

static uint8_t connect_flags(const struct mqtt_connect *p)
{
	unsigned flags = p->clean_start ? FLAG_CLEAN : 0;

	if (p->has_will)
		flags |= FLAG_WILL | (unsigned)p->will.qos << WILL_QOS_SHIFT |
			 (p->will.retain ? FLAG_WILL_RETAIN : 0);
	if (p->has_username)
		flags |= FLAG_USERNAME;
	if (p->has_password)
		flags |= FLAG_PASSWORD;
	return (uint8_t)flags;
}

int mqtt_connect_encode(struct wr *w, const struct mqtt_connect *p)
{
	bool v5 = p->version == MQTT_V5;
	struct connect_shape s;
	int rc;

	if ((rc = connect_measure(p, &s)) < 0)
		return rc;
	if ((rc = mqtt_packet_begin(w, MQTT_CONNECT << 4, s.body)) < 0)
		return rc;
	mqtt_string_write(w, protocol_name(p->version));
	wr_u8(w, (uint8_t)(p->version | (p->bridge ? LEVEL_BRIDGE : 0)));
	wr_u8(w, connect_flags(p));
	wr_u16be(w, p->keep_alive_s);
	if (v5)
		mqtt_props_write(w, &p->props, s.props);
	mqtt_string_write(w, p->client_id);
	if (p->has_will) {
		if (v5)
			mqtt_props_write(w, &p->will.props, s.will_props);
		mqtt_string_write(w, p->will.topic);
		mqtt_string_write(w, p->will.payload);
	}
	if (p->has_username)
		mqtt_string_write(w, p->username);
	if (p->has_password)
		mqtt_string_write(w, p->password);
	return OK;
}

/* Return codes of 3.1 and 3.1.1: table 3.1; 6 to 255 are reserved. */
static bool connack_code_ok(enum mqtt_version v, uint8_t code)
{
	return v == MQTT_V5 ? mqtt_reason_allowed(MQTT_CONNACK, code) : code <= 5;
}

int mqtt_connack_decode(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_connack *out)
{
	struct rd r = rd_of(f->body, f->body_len);
	uint8_t flags = rd_u8(&r);
	int rc;

	assert(f->type == MQTT_CONNACK);
	mqtt_props_clear(&out->props);
	if (v == MQTT_V31) /* 3.1 (3.2): the byte is not used */
		flags = 0;
	out->session_present = flags & 1;
	out->reason = rd_u8(&r);
	if (r.bad || (flags & ~1u) || !mqtt_flags_ok(f, v)) /* 5.0 [MQTT-3.2.2-1] */
		return ERR_MALFORMED;
	if (!connack_code_ok(v, out->reason)) /* 3.1.1 3.2.2.3, 5.0 [MQTT-3.2.2-8] */
		return ERR_PROTOCOL;
	if (out->session_present && out->reason != 0) /* 3.1.1 [MQTT-3.2.2-4], 5.0 [MQTT-3.2.2-6] */
		return ERR_PROTOCOL;
	if (v == MQTT_V5 && (rc = mqtt_props_decode(&r, MQTT_IN(CONNACK), &out->props)) < 0)
		return rc;
	return r.left == 0 ? OK : ERR_MALFORMED;
}

int mqtt_connack_encode(struct wr *w, enum mqtt_version v, const struct mqtt_connack *p)
{
	size_t props = 0;
	int rc;

	if (!connack_code_ok(v, p->reason) || (p->session_present && p->reason != 0))
		return ERR_RANGE;
	if (v == MQTT_V5 && (rc = mqtt_props_measure(&p->props, MQTT_IN(CONNACK), &props)) < 0)
		return rc;
	if ((rc = mqtt_packet_begin(w, MQTT_CONNACK << 4, 2 + mqtt_props_room(v, props))) < 0)
		return rc;
	wr_u8(w, p->session_present && v != MQTT_V31);
	wr_u8(w, p->reason);
	if (v == MQTT_V5)
		mqtt_props_write(w, &p->props, props);
	return OK;
}
