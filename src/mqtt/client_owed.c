/* Acknowledgements that the user gives: of what was delivered, in order. */
#include <stdlib.h>

#include "mqtt/client_impl.h"

static int owed_grow(struct client_owing *w)
{
	uint32_t cap = w->cap ? 2 * w->cap : 64;
	struct client_owed *ring = malloc(cap * sizeof(*ring));

	if (!ring)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < w->count; i++)
		ring[i] = w->ring[(w->first + i) % w->cap];
	free(w->ring);
	w->ring = ring;
	w->cap = cap;
	w->first = 0;
	return OK;
}

int client_owed_add(struct mqtt_client *c, const struct mqtt_publish *p)
{
	struct client_owing *w = &c->owing;
	int rc;

	if (w->count == w->cap && (rc = owed_grow(w)) < 0)
		return rc;
	w->ring[(w->first + w->count) % w->cap] =
		(struct client_owed){.packet_id = p->packet_id, .qos = p->qos};
	w->token = w->base + w->count++;
	return OK;
}

/* Of QoS 2 the packet id is remembered from PUBREC on: what was not acknowledged is delivered again. */
static int give(struct mqtt_client *c, const struct client_owed *o)
{
	int rc = client_out_ack(c, o->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, o->packet_id, 0);

	if (rc < 0)
		return rc;
	if (o->qos == 1) {
		c->unacked++;
	} else {
		id_set_add(&c->received, o->packet_id);
		c->open2++;
	}
	return OK;
}

void mqtt_client_ack(struct mqtt_client *c, uint64_t token)
{
	struct client_owing *w = &c->owing;
	int rc = OK;

	if (c->state != CLIENT_UP || token < w->base || token - w->base >= w->count)
		return; /* of an earlier connection: it is delivered again */
	client_enter(c);
	w->ring[(w->first + (token - w->base)) % w->cap].is_done = true;
	while (rc == OK && w->count > 0 && w->ring[w->first].is_done) {
		rc = give(c, &w->ring[w->first]); /* in order: [MQTT-4.6.0-2] */
		w->first = (w->first + 1) % w->cap;
		w->base++;
		w->count--;
	}
	if (rc < 0)
		client_lost(c, rc);
	client_kick(c);
	client_leave(c);
}

uint64_t mqtt_client_message_token(const struct mqtt_client *c)
{
	return c->owing.token;
}

/* The connection is gone, and with it what was owed on it; its tokens are never used again. */
void client_owed_clear(struct mqtt_client *c)
{
	struct client_owing *w = &c->owing;

	w->base += w->count;
	w->count = w->first = 0;
	w->token = 0;
}

void client_owed_fini(struct mqtt_client *c)
{
	free(c->owing.ring);
	c->owing = (struct client_owing){0};
}
