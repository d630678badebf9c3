/* -D: MQTT 5 properties on the command line, with the words of the standard. */
#include <stdlib.h>
#include <string.h>

#include "tools/mqtt_options.h"

static const char *const words[MQTT_PROPS] = {
	[MQTT_P_PAYLOAD_FORMAT] = "payload-format-indicator",
	[MQTT_P_MESSAGE_EXPIRY] = "message-expiry-interval",
	[MQTT_P_CONTENT_TYPE] = "content-type",
	[MQTT_P_RESPONSE_TOPIC] = "response-topic",
	[MQTT_P_CORRELATION_DATA] = "correlation-data",
	[MQTT_P_SUBSCRIPTION_ID] = "subscription-identifier",
	[MQTT_P_SESSION_EXPIRY] = "session-expiry-interval",
	[MQTT_P_ASSIGNED_CLIENT_ID] = "assigned-client-identifier",
	[MQTT_P_SERVER_KEEP_ALIVE] = "server-keep-alive",
	[MQTT_P_AUTH_METHOD] = "authentication-method",
	[MQTT_P_AUTH_DATA] = "authentication-data",
	[MQTT_P_REQUEST_PROBLEM_INFO] = "request-problem-information",
	[MQTT_P_WILL_DELAY] = "will-delay-interval",
	[MQTT_P_REQUEST_RESPONSE_INFO] = "request-response-information",
	[MQTT_P_RESPONSE_INFO] = "response-information",
	[MQTT_P_SERVER_REFERENCE] = "server-reference",
	[MQTT_P_REASON_STRING] = "reason-string",
	[MQTT_P_RECEIVE_MAXIMUM] = "receive-maximum",
	[MQTT_P_TOPIC_ALIAS_MAXIMUM] = "topic-alias-maximum",
	[MQTT_P_TOPIC_ALIAS] = "topic-alias",
	[MQTT_P_MAXIMUM_QOS] = "maximum-qos",
	[MQTT_P_RETAIN_AVAILABLE] = "retain-available",
	[MQTT_P_USER_PROPERTY] = "user-property",
	[MQTT_P_MAXIMUM_PACKET_SIZE] = "maximum-packet-size",
	[MQTT_P_WILDCARD_AVAILABLE] = "wildcard-subscription-available",
	[MQTT_P_SUBSCRIPTION_ID_AVAILABLE] = "subscription-identifier-available",
	[MQTT_P_SHARED_AVAILABLE] = "shared-subscription-available",
};

/* Which packets may carry it: the column of the codec's table. */
static const uint32_t carriers[MQTT_PROPS] = {
#define PROP_AS_CARRIERS(name, id, kind, in) [MQTT_P_##name] = (in),
	MQTT_PROP_TABLE(PROP_AS_CARRIERS)
#undef PROP_AS_CARRIERS
};

static const struct {
	const char *word;
	uint32_t in;
} commands[PROPS_COMMANDS] = {
	[PROPS_CONNECT] = {"connect", MQTT_IN(CONNECT)},
	[PROPS_PUBLISH] = {"publish", MQTT_IN(PUBLISH)},
	[PROPS_SUBSCRIBE] = {"subscribe", MQTT_IN(SUBSCRIBE)},
	[PROPS_UNSUBSCRIBE] = {"unsubscribe", MQTT_IN(UNSUBSCRIBE)},
	[PROPS_DISCONNECT] = {"disconnect", MQTT_IN(DISCONNECT)},
	[PROPS_WILL] = {"will", MQTT_IN_WILL},
};

const char *mqtt_property_word(enum mqtt_prop id)
{
	return words[id];
}

static int command_find(const char *word)
{
	for (int i = 0; i < PROPS_COMMANDS; i++)
		if (strcasecmp(word, commands[i].word) == 0)
			return i;
	return -1;
}

static int property_find(const char *word)
{
	for (int i = 0; i < MQTT_PROPS; i++)
		if (strcasecmp(word, words[i]) == 0)
			return i;
	return -1;
}

static int user_add(struct mqtt_prop_set *set, const char *name, const char *value)
{
	size_t room = 1 + 2 + strlen(name) + 2 + strlen(value);
	uint8_t *user = realloc(set->user, set->user_len + room);

	if (!user)
		return ERR_NOMEM;
	set->user = user;
	struct wr w = wr_of(user + set->user_len, room);

	wr_u8(&w, mqtt_prop_id(MQTT_P_USER_PROPERTY));
	wr_u16be(&w, (uint16_t)strlen(name));
	wr_bytes(&w, name, strlen(name));
	wr_u16be(&w, (uint16_t)strlen(value));
	wr_bytes(&w, value, strlen(value));
	set->user_len += room;
	set->props.user = span_of(user, set->user_len);
	return OK;
}

static bool is_text(const char *s)
{
	return strlen(s) <= MQTT_STRING_MAX && mqtt_utf8_valid(span_str(s));
}

static uint32_t number_max(enum mqtt_prop_kind kind)
{
	switch (kind) {
	case MQTT_PROP_U8:
		return UINT8_MAX;
	case MQTT_PROP_U16:
		return UINT16_MAX;
	case MQTT_PROP_VARINT:
		return MQTT_REMAINING_MAX;
	default:
		return UINT32_MAX;
	}
}

static int number_set(struct mqtt_options *o, struct mqtt_props *p, enum mqtt_prop id, const char *value)
{
	uint32_t max = number_max(mqtt_prop_kind(id));
	char *end;
	unsigned long long v = strtoull(value, &end, 10);

	if (*value < '0' || *value > '9' || *end || v > max)
		return mqtt_options_fault(o, "-D: %s is a number from 0 to %u, not \"%s\"", words[id], max,
					  value);
	mqtt_props_set_num(p, id, (uint32_t)v);
	return OK;
}

static int value_set(struct mqtt_options *o, struct mqtt_props *p, enum mqtt_prop id, const char *value)
{
	switch (mqtt_prop_kind(id)) {
	case MQTT_PROP_STRING:
		if (!is_text(value))
			return mqtt_options_fault(o, "-D: %s must be UTF-8 of at most 65535 bytes",
						  words[id]);
		break;
	case MQTT_PROP_BINARY:
		if (strlen(value) > MQTT_STRING_MAX)
			return mqtt_options_fault(o, "-D: %s takes at most 65535 bytes", words[id]);
		break;
	default:
		return number_set(o, p, id, value);
	}
	mqtt_props_set_str(p, id, span_str(value));
	return OK;
}

int mqtt_options_property(struct mqtt_options *o, int argc, char **argv, int *used)
{
	if (argc < 3)
		return mqtt_options_fault(o, "-D needs a command, a property and its value, "
					     "such as: -D publish content-type text/plain");
	int command = command_find(argv[0]);
	int id = property_find(argv[1]);

	if (command < 0)
		return mqtt_options_fault(o,
					  "-D: \"%s\" is none of connect, publish, subscribe, unsubscribe, "
					  "disconnect, will",
					  argv[0]);
	if (id < 0)
		return mqtt_options_fault(o, "-D: there is no property \"%s\"", argv[1]);
	if (!(carriers[id] & commands[command].in))
		return mqtt_options_fault(o, "-D: %s is no property of %s", words[id],
					  commands[command].word);
	struct mqtt_prop_set *set = &o->props[command];

	o->client.connect.version = MQTT_V5;
	*used = 3;
	if (id != MQTT_P_USER_PROPERTY)
		return value_set(o, &set->props, (enum mqtt_prop)id, argv[2]);
	if (argc < 4)
		return mqtt_options_fault(o, "-D: user-property needs a name and a value");
	if (!is_text(argv[2]) || !is_text(argv[3]))
		return mqtt_options_fault(o, "-D: user-property takes UTF-8 of at most 65535 bytes");
	*used = 4;
	return user_add(set, argv[2], argv[3]);
}
