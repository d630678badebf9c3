/*
 * MQTT 3.1, 3.1.1 and 5.0 control packets: bytes <-> structs. Pure functions: no allocation, no state, no
 * clock. Decoders are strict: every length, reserved bit, UTF-8 rule and property rule of the version is
 * checked, so what they return OK for needs no second look.
 *
 * Spans in decoded structs point into the frame and live as long as its bytes do.
 *
 * Sources: MQTT V3.1 (IBM/Eurotech 2010), MQTT 3.1.1 and MQTT 5.0 (OASIS). Clause ids stand beside the code.
 */
#ifndef WIRE_MQTT_H
#define WIRE_MQTT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

enum mqtt_version { MQTT_V31 = 3, MQTT_V311 = 4, MQTT_V5 = 5 };

enum mqtt_type {
	MQTT_CONNECT = 1,
	MQTT_CONNACK,
	MQTT_PUBLISH,
	MQTT_PUBACK,
	MQTT_PUBREC,
	MQTT_PUBREL,
	MQTT_PUBCOMP,
	MQTT_SUBSCRIBE,
	MQTT_SUBACK,
	MQTT_UNSUBSCRIBE,
	MQTT_UNSUBACK,
	MQTT_PINGREQ,
	MQTT_PINGRESP,
	MQTT_DISCONNECT,
	MQTT_AUTH,
};

/* "CONNECT" and so on; "a wrong packet" for what is no type. */
const char *mqtt_type_text(enum mqtt_type type);

#define MQTT_STRING_MAX    65535u
#define MQTT_REMAINING_MAX 268435455u
#define MQTT_HEADER_MAX    5u /* fixed header: type and 1..4 bytes of length */
#define MQTT_PACKET_IDS    65535u

/* ---- reason codes (5.0, 2.4) and their texts; REASON(name, code, text) ---- */
#define MQTT_REASON_TABLE(REASON)                                                              \
	REASON(SUCCESS, 0x00, "success")                                                       \
	REASON(GRANTED_QOS_1, 0x01, "granted QoS 1")                                           \
	REASON(GRANTED_QOS_2, 0x02, "granted QoS 2")                                           \
	REASON(DISCONNECT_WITH_WILL, 0x04, "disconnect with will message")                     \
	REASON(NO_MATCHING_SUBSCRIBERS, 0x10, "no matching subscribers")                       \
	REASON(NO_SUBSCRIPTION_EXISTED, 0x11, "no subscription existed")                       \
	REASON(CONTINUE_AUTHENTICATION, 0x18, "continue authentication")                       \
	REASON(REAUTHENTICATE, 0x19, "re-authenticate")                                        \
	REASON(UNSPECIFIED_ERROR, 0x80, "unspecified error")                                   \
	REASON(MALFORMED_PACKET, 0x81, "malformed packet")                                     \
	REASON(PROTOCOL_ERROR, 0x82, "protocol error")                                         \
	REASON(IMPLEMENTATION_SPECIFIC, 0x83, "implementation specific error")                 \
	REASON(UNSUPPORTED_PROTOCOL_VERSION, 0x84, "unsupported protocol version")             \
	REASON(CLIENT_ID_NOT_VALID, 0x85, "client identifier not valid")                       \
	REASON(BAD_USER_NAME_OR_PASSWORD, 0x86, "bad user name or password")                   \
	REASON(NOT_AUTHORIZED, 0x87, "not authorized")                                         \
	REASON(SERVER_UNAVAILABLE, 0x88, "server unavailable")                                 \
	REASON(SERVER_BUSY, 0x89, "server busy")                                               \
	REASON(BANNED, 0x8A, "banned")                                                         \
	REASON(SERVER_SHUTTING_DOWN, 0x8B, "server shutting down")                             \
	REASON(BAD_AUTHENTICATION_METHOD, 0x8C, "bad authentication method")                   \
	REASON(KEEP_ALIVE_TIMEOUT, 0x8D, "keep alive timeout")                                 \
	REASON(SESSION_TAKEN_OVER, 0x8E, "session taken over")                                 \
	REASON(TOPIC_FILTER_INVALID, 0x8F, "topic filter invalid")                             \
	REASON(TOPIC_NAME_INVALID, 0x90, "topic name invalid")                                 \
	REASON(PACKET_ID_IN_USE, 0x91, "packet identifier in use")                             \
	REASON(PACKET_ID_NOT_FOUND, 0x92, "packet identifier not found")                       \
	REASON(RECEIVE_MAXIMUM_EXCEEDED, 0x93, "receive maximum exceeded")                     \
	REASON(TOPIC_ALIAS_INVALID, 0x94, "topic alias invalid")                               \
	REASON(PACKET_TOO_LARGE, 0x95, "packet too large")                                     \
	REASON(MESSAGE_RATE_TOO_HIGH, 0x96, "message rate too high")                           \
	REASON(QUOTA_EXCEEDED, 0x97, "quota exceeded")                                         \
	REASON(ADMINISTRATIVE_ACTION, 0x98, "administrative action")                           \
	REASON(PAYLOAD_FORMAT_INVALID, 0x99, "payload format invalid")                         \
	REASON(RETAIN_NOT_SUPPORTED, 0x9A, "retain not supported")                             \
	REASON(QOS_NOT_SUPPORTED, 0x9B, "QoS not supported")                                   \
	REASON(USE_ANOTHER_SERVER, 0x9C, "use another server")                                 \
	REASON(SERVER_MOVED, 0x9D, "server moved")                                             \
	REASON(SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, 0x9E, "shared subscriptions not supported") \
	REASON(CONNECTION_RATE_EXCEEDED, 0x9F, "connection rate exceeded")                     \
	REASON(MAXIMUM_CONNECT_TIME, 0xA0, "maximum connect time")                             \
	REASON(SUBSCRIPTION_IDS_NOT_SUPPORTED, 0xA1, "subscription identifiers not supported") \
	REASON(WILDCARDS_NOT_SUPPORTED, 0xA2, "wildcard subscriptions not supported")

enum mqtt_reason {
#define MQTT_REASON_AS_VALUE(name, code, text) MQTT_RC_##name = (code),
	MQTT_REASON_TABLE(MQTT_REASON_AS_VALUE)
#undef MQTT_REASON_AS_VALUE
};

/* Text for a reason code; "unknown reason code" for others. */
const char *mqtt_reason_text(uint8_t reason);
/* May a v5 packet of this type carry this reason code (5.0 table 2-6)? The fold of DISCONNECT/SUBACK etc. is in. */
bool mqtt_reason_allowed(enum mqtt_type type, uint8_t reason);
/* The v3.1.1 CONNACK return code (0..5) for a v5 reason code. */
uint8_t mqtt_connack_v3(uint8_t reason);
/*
 * The reason code to close with after a decoder's ERR_*: MALFORMED 0x81, PROTOCOL 0x82, TOO_LARGE 0x95,
 * UNSUPPORTED 0x84, DENIED 0x87, BUSY 0x89, TIMEOUT 0x8D, FULL 0x97; 0x80 for others.
 */
uint8_t mqtt_reason_of(int err);

/*
 * ---- properties (5.0, 2.2.2.2): one table, PROP(NAME, id, KIND, packets that may carry it) ----
 * They are written in this order, that of the identifiers; but receive maximum behind maximum packet size, as in the CONNACK of other brokers.
 */
enum mqtt_prop_kind {
	MQTT_PROP_U8,
	MQTT_PROP_U16,
	MQTT_PROP_U32,
	MQTT_PROP_VARINT,
	MQTT_PROP_STRING,
	MQTT_PROP_BINARY,
	MQTT_PROP_PAIR
};

#define MQTT_IN(type) (1u << MQTT_##type)
#define MQTT_IN_WILL  (1u << 0)
#define MQTT_IN_ACKS                                                                                \
	(MQTT_IN(PUBACK) | MQTT_IN(PUBREC) | MQTT_IN(PUBREL) | MQTT_IN(PUBCOMP) | MQTT_IN(SUBACK) | \
	 MQTT_IN(UNSUBACK))
#define MQTT_IN_ALL                                                                             \
	(MQTT_IN(CONNECT) | MQTT_IN_WILL | MQTT_IN(CONNACK) | MQTT_IN(PUBLISH) | MQTT_IN_ACKS | \
	 MQTT_IN(SUBSCRIBE) | MQTT_IN(UNSUBSCRIBE) | MQTT_IN(DISCONNECT) | MQTT_IN(AUTH))

#define MQTT_PROP_TABLE(PROP)                                                                      \
	PROP(PAYLOAD_FORMAT, 0x01, U8, MQTT_IN(PUBLISH) | MQTT_IN_WILL)                            \
	PROP(MESSAGE_EXPIRY, 0x02, U32, MQTT_IN(PUBLISH) | MQTT_IN_WILL)                           \
	PROP(CONTENT_TYPE, 0x03, STRING, MQTT_IN(PUBLISH) | MQTT_IN_WILL)                          \
	PROP(RESPONSE_TOPIC, 0x08, STRING, MQTT_IN(PUBLISH) | MQTT_IN_WILL)                        \
	PROP(CORRELATION_DATA, 0x09, BINARY, MQTT_IN(PUBLISH) | MQTT_IN_WILL)                      \
	PROP(SUBSCRIPTION_ID, 0x0B, VARINT, MQTT_IN(PUBLISH) | MQTT_IN(SUBSCRIBE))                 \
	PROP(SESSION_EXPIRY, 0x11, U32, MQTT_IN(CONNECT) | MQTT_IN(CONNACK) | MQTT_IN(DISCONNECT)) \
	PROP(ASSIGNED_CLIENT_ID, 0x12, STRING, MQTT_IN(CONNACK))                                   \
	PROP(SERVER_KEEP_ALIVE, 0x13, U16, MQTT_IN(CONNACK))                                       \
	PROP(AUTH_METHOD, 0x15, STRING, MQTT_IN(CONNECT) | MQTT_IN(CONNACK) | MQTT_IN(AUTH))       \
	PROP(AUTH_DATA, 0x16, BINARY, MQTT_IN(CONNECT) | MQTT_IN(CONNACK) | MQTT_IN(AUTH))         \
	PROP(REQUEST_PROBLEM_INFO, 0x17, U8, MQTT_IN(CONNECT))                                     \
	PROP(WILL_DELAY, 0x18, U32, MQTT_IN_WILL)                                                  \
	PROP(REQUEST_RESPONSE_INFO, 0x19, U8, MQTT_IN(CONNECT))                                    \
	PROP(RESPONSE_INFO, 0x1A, STRING, MQTT_IN(CONNACK))                                        \
	PROP(SERVER_REFERENCE, 0x1C, STRING, MQTT_IN(CONNACK) | MQTT_IN(DISCONNECT))               \
	PROP(REASON_STRING, 0x1F, STRING,                                                          \
	     MQTT_IN(CONNACK) | MQTT_IN_ACKS | MQTT_IN(DISCONNECT) | MQTT_IN(AUTH))                \
	PROP(TOPIC_ALIAS_MAXIMUM, 0x22, U16, MQTT_IN(CONNECT) | MQTT_IN(CONNACK))                  \
	PROP(TOPIC_ALIAS, 0x23, U16, MQTT_IN(PUBLISH))                                             \
	PROP(MAXIMUM_QOS, 0x24, U8, MQTT_IN(CONNACK))                                              \
	PROP(RETAIN_AVAILABLE, 0x25, U8, MQTT_IN(CONNACK))                                         \
	PROP(USER_PROPERTY, 0x26, PAIR, MQTT_IN_ALL)                                               \
	PROP(MAXIMUM_PACKET_SIZE, 0x27, U32, MQTT_IN(CONNECT) | MQTT_IN(CONNACK))                  \
	PROP(RECEIVE_MAXIMUM, 0x21, U16, MQTT_IN(CONNECT) | MQTT_IN(CONNACK))                      \
	PROP(WILDCARD_AVAILABLE, 0x28, U8, MQTT_IN(CONNACK))                                       \
	PROP(SUBSCRIPTION_ID_AVAILABLE, 0x29, U8, MQTT_IN(CONNACK))                                \
	PROP(SHARED_AVAILABLE, 0x2A, U8, MQTT_IN(CONNACK))

enum mqtt_prop {
#define MQTT_PROP_AS_INDEX(name, id, kind, in) MQTT_P_##name,
	MQTT_PROP_TABLE(MQTT_PROP_AS_INDEX)
#undef MQTT_PROP_AS_INDEX
		MQTT_PROPS
};

/*
 * A property list. Decoded: `has` tells which are there; num[] holds integers, str[] strings and binary
 * data; of a repeated one the first (of a user property its name). User properties and repeated subscription ids are
 * read from `raw` by mqtt_props_next(). num/str entries that `has` does not name are not initialised.
 * To encode: set `has`, num, str through mqtt_props_set_*; `user` is appended as it is (whole encoded user properties,
 * or further subscription ids of a PUBLISH). MQTT_P_USER_PROPERTY in `has` is not encoded: `user` is.
 */
struct mqtt_props {
	uint32_t has; /* bit MQTT_P_* */
	uint32_t num[MQTT_PROPS];
	struct span str[MQTT_PROPS];
	struct span raw;  /* decoded: the whole list without its length */
	struct span user; /* to encode: bytes appended behind the list */
};

static inline bool mqtt_props_has(const struct mqtt_props *p, enum mqtt_prop id)
{
	return p->has >> id & 1;
}

static inline void mqtt_props_clear(struct mqtt_props *p)
{
	/* Field by field: copying one span to the other stalls on the stores just made, 5 ns for each PUBLISH. */
	p->has = 0;
	p->raw.p = p->user.p = NULL;
	p->raw.len = p->user.len = 0;
}

static inline void mqtt_props_set_num(struct mqtt_props *p, enum mqtt_prop id, uint32_t v)
{
	p->has |= 1u << id;
	p->num[id] = v;
}

static inline void mqtt_props_set_str(struct mqtt_props *p, enum mqtt_prop id, struct span v)
{
	p->has |= 1u << id;
	p->str[id] = v;
}

static inline uint32_t mqtt_props_num(const struct mqtt_props *p, enum mqtt_prop id, uint32_t otherwise)
{
	return mqtt_props_has(p, id) ? p->num[id] : otherwise;
}

/* One property of a list that was validated before. */
struct mqtt_prop_item {
	enum mqtt_prop id;
	uint32_t num;
	struct span str;   /* string, binary, or the name of a pair */
	struct span value; /* of a pair */
	struct span whole; /* its encoded bytes, id included */
};
/* The next property of `raw` (advance it by calling again); false at the end. */
bool mqtt_props_next(struct rd *raw, struct mqtt_prop_item *item);

/* Name ("TOPIC_ALIAS"), identifier and kind of a property, from the table. */
const char *mqtt_prop_name(enum mqtt_prop id);
uint8_t mqtt_prop_id(enum mqtt_prop id);
enum mqtt_prop_kind mqtt_prop_kind(enum mqtt_prop id);

/* ---- framing ---- */
struct mqtt_frame {
	uint8_t type;  /* 0 and 15 in v3 are refused by the frame reader or decoder */
	uint8_t flags; /* low nibble of byte 1 */
	const uint8_t *body;
	uint32_t body_len;
	uint32_t size; /* whole packet, header included */
};

/*
 * Split the first packet off buf. OK: complete. ERR_AGAIN: more bytes are needed; f->size is the whole
 * size when it is known already, else 0. ERR_PROTOCOL: type 0. ERR_MALFORMED: a length of more than 4 bytes, or one that
 * is not in its shortest form [MQTT-1.5.5-1]. ERR_TOO_LARGE: the packet would be larger than max_size (told as soon as the length
 * is there; f->size is it). type and flags are set as soon as there is a byte; body and body_len only with OK.
 */
MUST_USE static inline int mqtt_frame_read(const uint8_t *buf, size_t len, uint32_t max_size,
					   struct mqtt_frame *f)
{
	uint32_t body, head = 2;

	f->size = 0;
	f->type = f->flags = 0;
	if (len == 0)
		return ERR_AGAIN;
	f->type = buf[0] >> 4;
	f->flags = buf[0] & 0x0F;
	if (f->type == 0)
		return ERR_PROTOCOL; /* "Forbidden" (2.1.2) */
	if (len == 1)
		return ERR_AGAIN;
	body = buf[1] & 0x7F;
	while (buf[head - 1] & 0x80) {
		if (head == MQTT_HEADER_MAX)
			return ERR_MALFORMED;
		if (head == len)
			return ERR_AGAIN;
		body |= (uint32_t)(buf[head] & 0x7F) << 7 * (head - 1);
		if (buf[head++] == 0)
			return ERR_MALFORMED;
	}
	f->size = head + body;
	if (f->size > max_size)
		return ERR_TOO_LARGE;
	if (f->size > len)
		return ERR_AGAIN;
	f->body = buf + head;
	f->body_len = body;
	return OK;
}

/* ---- packets ---- */
struct mqtt_will {
	uint8_t qos;
	bool retain;
	struct span topic, payload;
	struct mqtt_props props;
};

struct mqtt_connect {
	enum mqtt_version version;
	bool clean_start; /* clean session in v3 */
	bool bridge;      /* the high bit of the protocol level that bridges set in v3; accepted */
	uint8_t answer;   /* after a failure */
	uint16_t keep_alive_s;
	struct span client_id;
	bool has_will, has_username, has_password;
	struct mqtt_will will;
	struct span username, password;
	struct mqtt_props props;
};

struct mqtt_connack {
	bool session_present;
	uint8_t reason; /* v3: the return code as on the wire */
	struct mqtt_props props;
};

struct mqtt_publish {
	bool dup, retain;
	uint8_t qos;
	uint16_t packet_id; /* 0 for QoS 0 */
	struct span topic;  /* empty only in v5 with a topic alias */
	struct span payload;
	struct mqtt_props props; /* v5; empty else */
};

struct mqtt_ack { /* PUBACK PUBREC PUBREL PUBCOMP */
	uint16_t packet_id;
	uint8_t reason; /* 0 in v3 */
	struct mqtt_props props;
};

struct mqtt_subscribe {
	uint16_t packet_id;
	uint32_t count;      /* filters, at least 1 */
	struct span filters; /* validated: read it with mqtt_subscribe_next */
	struct mqtt_props props;
};

struct mqtt_sub_item {
	struct span filter;
	uint8_t qos;
	bool no_local, retain_as_published; /* v5 */
	uint8_t retain_handling;            /* 0..2, v5 */
};

struct mqtt_unsubscribe {
	uint16_t packet_id;
	uint32_t count;
	struct span filters;
	struct mqtt_props props;
};

struct mqtt_suback { /* SUBACK and UNSUBACK (v3 UNSUBACK: no codes) */
	uint16_t packet_id;
	struct span codes;
	struct mqtt_props props;
};

struct mqtt_disconnect { /* DISCONNECT and AUTH */
	uint8_t reason;
	struct mqtt_props props;
};

/*
 * Decoders: the frame must be of the type. Return OK, ERR_MALFORMED, ERR_PROTOCOL (well formed, but the standard
 * forbids it: 0x82), ERR_UNSUPPORTED (CONNECT of MQTT in a version that we do not speak; out->version then holds the level
 * byte). *out is undefined after a failure; but mqtt_connect_decode() then leaves in out->answer the reason for a CONNACK, 0: it is to
 * be closed without a word.
 *
 * What is decoded holds only valid topic names and filters.
 */
MUST_USE int mqtt_connect_decode(const struct mqtt_frame *f, struct mqtt_connect *out);
MUST_USE int mqtt_connack_decode(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_connack *out);
MUST_USE int mqtt_publish_decode(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_publish *out);
MUST_USE int mqtt_ack_decode(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_ack *out);
MUST_USE int mqtt_subscribe_decode(const struct mqtt_frame *f, enum mqtt_version v,
				   struct mqtt_subscribe *out);
MUST_USE int mqtt_unsubscribe_decode(const struct mqtt_frame *f, enum mqtt_version v,
				     struct mqtt_unsubscribe *out);
MUST_USE int mqtt_suback_decode(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_suback *out);
MUST_USE int mqtt_disconnect_decode(const struct mqtt_frame *f, enum mqtt_version v,
				    struct mqtt_disconnect *out);
/* PINGREQ, PINGRESP, and v3 DISCONNECT: an empty body and flags 0. */
MUST_USE int mqtt_empty_decode(const struct mqtt_frame *f);

/* Walk validated filter lists: `list` starts as rd_of(filters.p, filters.len); false at the end. */
bool mqtt_subscribe_next(struct rd *list, enum mqtt_version v, struct mqtt_sub_item *item);
bool mqtt_unsubscribe_next(struct rd *list, struct span *filter);

/*
 * Encoders append one packet to w. Returns OK, ERR_FULL (no room: w is as before) or ERR_RANGE (a string, count,
 * property or packet that MQTT cannot express, a reason code that the packet may not carry, packet id 0; w is as before).
 * Properties are left out below v5. That text is UTF-8 and topics are valid is the caller's word.
 * Below v5, acknowledgements leave their reason out, but PUBACK and PUBREC can't refuse: ERR_RANGE from 0x80 on;
 * SUBACK writes every failure as 0x80; UNSUBACK leaves its codes and DISCONNECT its reason out.
 */
MUST_USE int mqtt_connect_encode(struct wr *w, const struct mqtt_connect *p);
MUST_USE int mqtt_connack_encode(struct wr *w, enum mqtt_version v, const struct mqtt_connack *p);
MUST_USE int mqtt_publish_encode(struct wr *w, enum mqtt_version v, const struct mqtt_publish *p);
MUST_USE int mqtt_ack_encode(struct wr *w, enum mqtt_version v, enum mqtt_type type,
			     const struct mqtt_ack *p);
MUST_USE int mqtt_subscribe_encode(struct wr *w, enum mqtt_version v, uint16_t packet_id,
				   const struct mqtt_props *props, const struct mqtt_sub_item *items,
				   size_t count);
MUST_USE int mqtt_unsubscribe_encode(struct wr *w, enum mqtt_version v, uint16_t packet_id,
				     const struct mqtt_props *props, const struct span *filters,
				     size_t count);
MUST_USE int mqtt_suback_encode(struct wr *w, enum mqtt_version v, enum mqtt_type type,
				const struct mqtt_suback *p);
/* Bytes of a v5 SUBACK or UNSUBACK with so many codes and no properties. */
size_t mqtt_suback_size(size_t ncodes);
MUST_USE int mqtt_disconnect_encode(struct wr *w, enum mqtt_version v, enum mqtt_type type,
				    const struct mqtt_disconnect *p);
MUST_USE int mqtt_empty_encode(struct wr *w, enum mqtt_type type); /* PINGREQ PINGRESP */

/* Bytes that the packet takes, for a large one whose payload travels by itself: header up to the payload. */
MUST_USE int mqtt_publish_head_encode(struct wr *w, enum mqtt_version v, const struct mqtt_publish *p);
size_t mqtt_publish_size(enum mqtt_version v,
			 const struct mqtt_publish *p); /* whole packet; 0: not expressible */

/* ---- topics (4.7, 4.8.2), in wire/mqtt_topic.c ---- */

/*
 * Valid UTF-8 as MQTT wants it: no surrogates, nothing above U+10FFFF, shortest forms, no U+0000; and none of what should not be
 * there: control characters and non-characters (1.5.4).
 */
bool mqtt_utf8_valid(struct span s);
/* Non-empty, no wildcards, no NUL. The bytes are known to be valid UTF-8. */
bool mqtt_topic_valid(struct span topic);
/* Wildcards stand alone in their level and # is last. A $share filter is checked whole. */
bool mqtt_filter_valid(struct span filter);
/* The same: OK; ERR_MALFORMED: its wildcards or length; ERR_PROTOCOL: what a $share filter needs is not there. */
MUST_USE int mqtt_filter_check(struct span filter);
/* "$share/{group}/{filter}" taken apart; false when it is no shared filter (or a wrong one). */
bool mqtt_filter_shared(struct span filter, struct span *group, struct span *rest);
/* Does a valid filter (not a $share one) match the topic? $-topics are not matched by a leading wildcard. */
bool mqtt_filter_matches(struct span filter, struct span topic);
/* Levels of a topic or filter: slashes + 1. */
size_t mqtt_topic_levels(struct span topic);

#endif
