/*
 * What the broker asks before it lets a client act. The broker owns this interface; who decides (ownership of topics,
 * later accounts) implements it. Called on worker threads at once: implementations are thread-safe, do not block and do
 * not allocate.
 */
#ifndef MQTT_POLICY_H
#define MQTT_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct mqtt_publish_request {
	struct span client_id;
	struct span topic;
	uint8_t qos;
	bool retain;
	bool is_will; /* asked at CONNECT for the will */
};

struct mqtt_policy {
	/*
	 * May this be published? MQTT_RC_SUCCESS or the reason code to refuse it with. *command set to true: the
	 * message is a command, never queued for who is not there, never retained, never sent again. Of a will it is
	 * asked once, at CONNECT.
	 */
	uint8_t (*publish)(struct mqtt_policy *p, const struct mqtt_publish_request *r, bool *command);
};

#endif
