/*
 * What `lineside pub` and `lineside sub` share: options, loop, dialer, client, and how a connection that
 * fails becomes a message and an exit status.
 */
#ifndef TOOLS_MQTT_TOOL_H
#define TOOLS_MQTT_TOOL_H

#include "loop/loop.h"
#include "mqtt/client.h"
#include "tools/mqtt_options.h"

#define MQTT_TOOL_TIMEOUT 27 /* exit status of mosquitto_sub -W */

struct mqtt_tool {
	struct mqtt_options o;
	struct loop *loop;
	struct dialer *dialer;
	struct mqtt_client *client;
	struct loop_fd signals;
	char id[64]; /* client id for -d */
	int status;  /* exit status */
	bool has_connected, is_leaving;
	bool is_signalled; /* SIGINT or SIGTERM came */

	/* Set by the tool before mqtt_tool_open(); others than `message` may be NULL. */
	void (*connected)(struct mqtt_tool *t);
	void (*message)(struct mqtt_tool *t, const struct mqtt_publish *m);
	void (*published)(struct mqtt_tool *t, int err, uint8_t reason);
	void (*answered)(struct mqtt_tool *t, const struct mqtt_client_answer *e);
};

/*
 * Loop, dialer and client by t->o, started. OK, or a negative value after the fault was said;
 * mqtt_tool_close() in both cases.
 */
MUST_USE int mqtt_tool_open(struct mqtt_tool *t, bool catch_signals);
/* Run until the client has left. Returns the exit status. */
int mqtt_tool_run(struct mqtt_tool *t);
void mqtt_tool_close(struct mqtt_tool *t);

/* End with this status; `finish_first`: after all that was published is acknowledged. */
void mqtt_tool_leave(struct mqtt_tool *t, int status, bool finish_first);

/* One line on stderr, unless --quiet. */
void mqtt_tool_error(const struct mqtt_tool *t, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* --help and --version: prints and returns true when that was asked; *status is the exit status. */
bool mqtt_tool_information(const struct mqtt_options *o, int *status);

#endif
