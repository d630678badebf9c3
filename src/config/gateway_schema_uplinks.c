#include "config/gateway_config.h"
#include "config/gateway_rules.h"
#include "config/gateway_schema.h"

#define MAP_AT(member)       SCHEMA_AT(struct config_uplink_map, member)
#define BUFFER_AT(member)    SCHEMA_AT(struct config_uplink_buffer, member)
#define RECONNECT_AT(member) SCHEMA_AT(struct config_uplink_reconnect, member)
#define UPLINK_AT(member)    SCHEMA_AT(struct config_uplink, member)

static const struct schema_field map_fields[] = {
	{"filter", "Topics that go to the other side; of several filters the first that matches counts",
	 SCHEMA_TEXT, MAP_AT(filter), .rule = &rule_filter, .required = true},
	{"strip", "Taken off the front of the topic, where it begins with it", SCHEMA_TEXT, MAP_AT(strip),
	 .rule = &rule_topic_part, .unset = "nothing"},
	{"prefix", "Put in front of the topic, after strip", SCHEMA_TEXT, MAP_AT(prefix),
	 .rule = &rule_topic_part, .unset = "nothing"},
	{"template",
	 "The topic on the other side: text with {topic}, {1} to {8} for a level of the topic, {2+} for that "
	 "level "
	 "and all behind it",
	 SCHEMA_TEXT, MAP_AT(template), .rule = &rule_template, .unset = "strip and prefix hold"},
	{"retain", "The retain flag of messages is kept", SCHEMA_BOOL, MAP_AT(retain), .preset = "true"},
};

static const struct schema map_table = {"filter", sizeof(struct config_uplink_map), TABLE(map_fields),
					.text_key = "filter"};

static const struct schema_word policies[] = {{"drop_newest", 0}, {"drop_oldest", 1}, {NULL, 0}};

static const struct schema_field buffer_fields[] = {
	{"max_bytes", "Size of what waits; a full buffer drops by policy, which is counted", SCHEMA_SIZE,
	 BUFFER_AT(max_bytes), .min = 1 * KIB, .max = 1024 * GIB, .preset = "64MiB"},
	{"max_age", "What is older is dropped, and counted; 0 is no limit", SCHEMA_TIME,
	 BUFFER_AT(max_age_ms), .min = 0, .max = 35 * MS_PER_D, .preset = "0"},
	{"policy", "What a full buffer drops: what has waited longest, or what comes", SCHEMA_ENUM,
	 BUFFER_AT(drop_oldest), .words = policies, .preset = "drop_oldest"},
};

static const struct schema buffer_table = {"buffer", sizeof(struct config_uplink_buffer),
					   TABLE(buffer_fields)};

static const struct schema_field reconnect_fields[] = {
	{"first", "Wait before the first new attempt; it doubles each time", SCHEMA_TIME,
	 RECONNECT_AT(first_ms), .min = 10, .max = 1 * MS_PER_D, .preset = "1s"},
	{"max", "Longest wait", SCHEMA_TIME, RECONNECT_AT(max_ms), .min = 10, .max = 1 * MS_PER_D,
	 .preset = "1min"},
};

static const struct schema reconnect_table = {"reconnect", sizeof(struct config_uplink_reconnect),
					      TABLE(reconnect_fields)};

static const struct schema_word versions[] = {{"3.1.1", 4}, {"5.0", 5}, {NULL, 0}};

static const struct schema_field uplink_fields[] = {
	{"name", "What it is called; also in the topic of its state", SCHEMA_TEXT, UPLINK_AT(name),
	 .rule = &rule_name, .required = true},
	{"url",
	 "The remote broker, mqtt://HOST or mqtt://HOST:PORT; mqtts, ws and wss are not in this version",
	 SCHEMA_TEXT, UPLINK_AT(url), .rule = &rule_url, .required = true},
	{"version", "MQTT version to speak", SCHEMA_ENUM, UPLINK_AT(version), .words = versions,
	 .preset = "5.0"},
	{"client_id", "Client identifier at the remote broker", SCHEMA_TEXT, UPLINK_AT(client_id),
	 .rule = &rule_client_id, .unset = "GATEWAY-NAME, of the gateway's name and its own"},
	{"username", "User name", SCHEMA_TEXT, UPLINK_AT(username), .rule = &rule_client_id, .unset = "none"},
	{"password_file", "File with the password in its first line; relative to this file", SCHEMA_PATH,
	 UPLINK_AT(password_file), .unset = "no password"},
	{"keep_alive", "How long the connection may be silent, in whole seconds; 0 is for ever", SCHEMA_TIME,
	 UPLINK_AT(keep_alive_ms), .min = 0, .max = 65535 * MS_PER_S, .preset = "60s"},
	{"clean",
	 "The remote broker is to forget the session between connections: what it has for us is lost then",
	 SCHEMA_BOOL, UPLINK_AT(clean), .preset = "false"},
	{"qos",
	 "QoS of messages in both directions; with 0 the buffer is emptied without any acknowledgement",
	 SCHEMA_INT, UPLINK_AT(qos), .min = 0, .max = 1, .preset = "1"},
	{"publish", "What goes to the remote broker", SCHEMA_MAPS,
	 SCHEMA_LIST_AT(struct config_uplink, publish, npublish), .sub = &map_table, .unset = "nothing"},
	{"subscribe", "What comes from there", SCHEMA_MAPS,
	 SCHEMA_LIST_AT(struct config_uplink, subscribe, nsubscribe), .sub = &map_table, .unset = "nothing"},
	{"buffer", "What may wait for the remote broker", SCHEMA_MAP, UPLINK_AT(buffer),
	 .sub = &buffer_table},
	{"drain_rate", "Records a second of a large backlog, beside live values; 0 is no limit", SCHEMA_INT,
	 UPLINK_AT(drain_rate), .min = 0, .max = 1e6, .preset = "0"},
	{"reconnect", "Waits between attempts to connect", SCHEMA_MAP, UPLINK_AT(reconnect),
	 .sub = &reconnect_table},
};

const struct schema gateway_uplink_schema = {"uplink", sizeof(struct config_uplink), TABLE(uplink_fields)};
