/*
 * The command line of `lineside pub` and `lineside sub`: the flags of mosquitto_pub and mosquitto_sub.  One
 * table of options parses, prints --help and is what the manual pages list.
 */
#ifndef TOOLS_MQTT_OPTIONS_H
#define TOOLS_MQTT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "mqtt/client.h"

#define MQTT_TOOL_INFLIGHT 20

enum mqtt_tool_kind { MQTT_TOOL_PUB = 1, MQTT_TOOL_SUB = 2 };

enum mqtt_prop_command { /* of -D */
			 PROPS_CONNECT,
			 PROPS_PUBLISH,
			 PROPS_SUBSCRIBE,
			 PROPS_UNSUBSCRIBE,
			 PROPS_DISCONNECT,
			 PROPS_WILL,
			 PROPS_COMMANDS
};

struct mqtt_prop_set {
	struct mqtt_props props; /* strings point into argv */
	uint8_t *user;           /* encoded user properties */
	size_t user_len;
};

enum mqtt_payload_source {
	SOURCE_NONE,
	SOURCE_MESSAGE,
	SOURCE_FILE,
	SOURCE_LINES,
	SOURCE_STDIN,
	SOURCE_NULL
};

struct mqtt_options {
	enum mqtt_tool_kind kind;
	const char *name; /* "pub" or "sub" */
	bool want_help, want_version, debug, quiet;

	const char *host;
	uint16_t port;
	struct mqtt_client_options client; /* mqtt_options_parse() fills it in at its end */
	const char *id, *id_prefix, *username;
	char *password;
	const char *will_topic, *will_payload;
	bool has_will_flags;
	char *made_id, *made_url; /* what spans may point into */
	bool has_session_expiry;
	uint32_t session_expiry;
	struct mqtt_prop_set props[PROPS_COMMANDS];

	uint8_t qos;
	const char **topics, **unsubscribes, **filters_out; /* room for argc each */
	size_t ntopics, nunsubscribes, nfilters_out;

	/* pub */
	bool retain;
	enum mqtt_payload_source source;
	const char *source_arg;
	uint32_t repeat;
	uint64_t repeat_delay_ms;

	/* sub */
	const char *format;
	bool verbose, no_newline, json, pretty, exit_after_suback;
	bool no_retained, retained_only, remove_retained, retain_as_published;
	uint64_t count;     /* 0: no end */
	uint32_t timeout_s; /* 0: none */
	double percent;     /* of messages to print */
};

/*
 * Parse. argv is borrowed for the life of *o; passwords in it are overwritten, after a copy was taken.  OK,
 * or a negative value after the fault was said on stderr. Call mqtt_options_fini() in both cases.
 */
MUST_USE int mqtt_options_parse(struct mqtt_options *o, enum mqtt_tool_kind kind, int argc, char **argv);
void mqtt_options_fini(struct mqtt_options *o);

void mqtt_options_help(const struct mqtt_options *o, FILE *to);

/* Say what is wrong and where help is; returns ERR_CONFIG. */
int mqtt_options_fault(const struct mqtt_options *o, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* -D: consumes 3 or, for user-property, 4 words at argv; *used is how many. */
MUST_USE int mqtt_options_property(struct mqtt_options *o, int argc, char **argv, int *used);
/* "content-type" for MQTT_P_CONTENT_TYPE. */
const char *mqtt_property_word(enum mqtt_prop id);

#endif
