/* Reason codes: 5.0 2.4 and table 2-6, 3.1.1 table 3.1. */
#include "wire/mqtt.h"

const char *mqtt_reason_text(uint8_t reason)
{
	switch (reason) {
#define REASON_AS_CASE(name, code, text) \
	case code:                       \
		return text;
		MQTT_REASON_TABLE(REASON_AS_CASE)
#undef REASON_AS_CASE
	default:
		return "unknown reason code";
	}
}

#define C                 MQTT_IN(CONNACK)
#define P                 (MQTT_IN(PUBACK) | MQTT_IN(PUBREC))
#define R                 (MQTT_IN(PUBREL) | MQTT_IN(PUBCOMP))
#define S                 MQTT_IN(SUBACK)
#define U                 MQTT_IN(UNSUBACK)
#define D                 MQTT_IN(DISCONNECT)
#define A                 MQTT_IN(AUTH)
#define IN(name, packets) [MQTT_RC_##name] = (packets)

/* Which packets may carry it: 5.0, table 2-6. */
static const uint16_t reason_in[256] = {
	IN(SUCCESS, C | P | R | S | U | D | A),
	IN(GRANTED_QOS_1, S),
	IN(GRANTED_QOS_2, S),
	IN(DISCONNECT_WITH_WILL, D),
	IN(NO_MATCHING_SUBSCRIBERS, P),
	IN(NO_SUBSCRIPTION_EXISTED, U),
	IN(CONTINUE_AUTHENTICATION, A),
	IN(REAUTHENTICATE, A),
	IN(UNSPECIFIED_ERROR, C | P | S | U | D),
	IN(MALFORMED_PACKET, C | D),
	IN(PROTOCOL_ERROR, C | D),
	IN(IMPLEMENTATION_SPECIFIC, C | P | S | U | D),
	IN(UNSUPPORTED_PROTOCOL_VERSION, C),
	IN(CLIENT_ID_NOT_VALID, C),
	IN(BAD_USER_NAME_OR_PASSWORD, C),
	IN(NOT_AUTHORIZED, C | P | S | U | D),
	IN(SERVER_UNAVAILABLE, C),
	IN(SERVER_BUSY, C | D),
	IN(BANNED, C),
	IN(SERVER_SHUTTING_DOWN, D),
	IN(BAD_AUTHENTICATION_METHOD, C | D),
	IN(KEEP_ALIVE_TIMEOUT, D),
	IN(SESSION_TAKEN_OVER, D),
	IN(TOPIC_FILTER_INVALID, S | U | D),
	IN(TOPIC_NAME_INVALID, C | P | D),
	IN(PACKET_ID_IN_USE, P | S | U),
	IN(PACKET_ID_NOT_FOUND, R),
	IN(RECEIVE_MAXIMUM_EXCEEDED, D),
	IN(TOPIC_ALIAS_INVALID, D),
	IN(PACKET_TOO_LARGE, C | D),
	IN(MESSAGE_RATE_TOO_HIGH, D),
	IN(QUOTA_EXCEEDED, C | P | S | D),
	IN(ADMINISTRATIVE_ACTION, D),
	IN(PAYLOAD_FORMAT_INVALID, C | P | D),
	IN(RETAIN_NOT_SUPPORTED, C | D),
	IN(QOS_NOT_SUPPORTED, C | D),
	IN(USE_ANOTHER_SERVER, C | D),
	IN(SERVER_MOVED, C | D),
	IN(SHARED_SUBSCRIPTIONS_NOT_SUPPORTED, S | D),
	IN(CONNECTION_RATE_EXCEEDED, C | D),
	IN(MAXIMUM_CONNECT_TIME, D),
	IN(SUBSCRIPTION_IDS_NOT_SUPPORTED, S | D),
	IN(WILDCARDS_NOT_SUPPORTED, S | D),
};

#undef C
#undef P
#undef R
#undef S
#undef U
#undef D
#undef A
#undef IN

bool mqtt_reason_allowed(enum mqtt_type type, uint8_t reason)
{
	return reason_in[reason] >> type & 1;
}

enum { /* 3.1.1 table 3.1 */
       V3_ACCEPTED,
       V3_UNACCEPTABLE_PROTOCOL,
       V3_IDENTIFIER_REJECTED,
       V3_SERVER_UNAVAILABLE,
       V3_BAD_USER_NAME_OR_PASSWORD,
       V3_NOT_AUTHORIZED
};

uint8_t mqtt_connack_v3(uint8_t reason)
{
	switch (reason) {
	case MQTT_RC_SUCCESS:
		return V3_ACCEPTED;
	case MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION:
		return V3_UNACCEPTABLE_PROTOCOL;
	case MQTT_RC_CLIENT_ID_NOT_VALID:
		return V3_IDENTIFIER_REJECTED;
	case MQTT_RC_BAD_USER_NAME_OR_PASSWORD:
		return V3_BAD_USER_NAME_OR_PASSWORD;
	case MQTT_RC_NOT_AUTHORIZED:
	case MQTT_RC_BANNED:
	case MQTT_RC_BAD_AUTHENTICATION_METHOD:
	case MQTT_RC_TOPIC_NAME_INVALID: /* these last ones are about the will: no use in trying again */
	case MQTT_RC_PAYLOAD_FORMAT_INVALID:
	case MQTT_RC_RETAIN_NOT_SUPPORTED:
	case MQTT_RC_QOS_NOT_SUPPORTED:
		return V3_NOT_AUTHORIZED;
	default:
		return V3_SERVER_UNAVAILABLE;
	}
}

uint8_t mqtt_reason_of(int err)
{
	switch (err) {
	case OK:
		return MQTT_RC_SUCCESS;
	case ERR_MALFORMED:
		return MQTT_RC_MALFORMED_PACKET;
	case ERR_PROTOCOL:
		return MQTT_RC_PROTOCOL_ERROR;
	case ERR_TOO_LARGE:
		return MQTT_RC_PACKET_TOO_LARGE;
	case ERR_UNSUPPORTED:
		return MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION;
	case ERR_DENIED:
		return MQTT_RC_NOT_AUTHORIZED;
	case ERR_FULL:
		return MQTT_RC_QUOTA_EXCEEDED;
	case ERR_BUSY:
		return MQTT_RC_SERVER_BUSY;
	case ERR_TIMEOUT:
		return MQTT_RC_KEEP_ALIVE_TIMEOUT;
	default:
		return MQTT_RC_UNSPECIFIED_ERROR;
	}
}
