/* Ending a session: CONNECT with a clean start, and DISCONNECT without an expiry. */
#include <stdlib.h>

#include "mqtt/client.h"
#include "uplinks/uplink.h"

struct uplink_ending {
	struct mqtt_client *client;
	void (*done)(void *arg, struct uplink_ending *e, bool ended);
	void *arg;
	bool was_there;
};

static void on_connected(void *arg, const struct mqtt_client_connected *c)
{
	struct uplink_ending *e = arg;

	(void)c;
	e->was_there = true;
	if (mqtt_client_disconnect(e->client, false, MQTT_RC_SUCCESS, NULL) < 0)
		e->was_there = false; /* the connection is closed below: the session ends with it */
}

static void on_disconnected(void *arg, const struct mqtt_client_disconnected *d)
{
	struct uplink_ending *e = arg;

	(void)d;
	e->done(e->arg, e, e->was_there);
	uplink_ending_destroy(e);
}

int uplink_end_session(struct loop *loop, struct dialer *local, const char *client_id,
		       void (*done)(void *arg, struct uplink_ending *e, bool ended), void *arg,
		       struct uplink_ending **out)
{
	static const struct mqtt_client_events events = {.connected = on_connected,
							 .disconnected = on_disconnected};
	struct uplink_ending *e = calloc(1, sizeof(*e));
	struct mqtt_client_options o;
	int rc;

	*out = NULL;
	if (!e)
		return ERR_NOMEM;
	e->done = done;
	e->arg = arg;
	mqtt_client_options_init(&o);
	o.connect.version = MQTT_V5;
	o.connect.client_id = span_str(client_id);
	o.reconnect = false;
	rc = mqtt_client_create(loop, local, &o, &events, e, &e->client);
	if (rc == OK)
		rc = mqtt_client_start(e->client);
	if (rc < 0) {
		uplink_ending_destroy(e);
		return rc;
	}
	*out = e;
	return OK;
}

void uplink_ending_destroy(struct uplink_ending *e)
{
	if (!e)
		return;
	mqtt_client_destroy(e->client);
	free(e);
}
