/* Input: read all there is, parse all of it, hand each packet to its function. */
#include <stdlib.h>

#include "mqtt/client_impl.h"

static void aliases_free(struct mqtt_client *c)
{
	if (!c->aliases)
		return;
	for (size_t i = 0; i < c->alias_max; i++)
		free(c->aliases[i].topic);
	free(c->aliases);
	c->aliases = NULL;
}

void client_in_reset(struct mqtt_client *c)
{
	c->in.len = 0;
	c->in.has_more = c->in.is_paused = false;
	aliases_free(c);
	if (c->in.is_reading) {
		c->in.is_stale = true;
		return;
	}
	free(c->in.buf);
	c->in = (struct client_in){0};
}

/* What the server may still be owed belongs to the session; the rest to the connection. */
void client_in_connected(struct mqtt_client *c, bool session_present)
{
	if (!session_present)
		c->received = (struct id_set){0};
	c->open2 = c->unacked = 0;
}

/* ---- PUBLISH ---- */

/* An alias names the topic that came with it last on this connection (3.3.2.3.4). */
static int alias_apply(struct mqtt_client *c, struct mqtt_publish *p)
{
	uint32_t alias = mqtt_props_num(&p->props, MQTT_P_TOPIC_ALIAS, 0);

	if (!mqtt_props_has(&p->props, MQTT_P_TOPIC_ALIAS))
		return OK;
	if (alias == 0 || alias > c->alias_max)
		return client_violation(c, MQTT_RC_TOPIC_ALIAS_INVALID);
	if (!c->aliases && !(c->aliases = calloc(c->alias_max, sizeof(*c->aliases))))
		return ERR_NOMEM;
	struct client_alias *a = &c->aliases[alias - 1];

	if (p->topic.len > 0) {
		uint8_t *topic = malloc(p->topic.len);

		if (!topic)
			return ERR_NOMEM;
		memcpy(topic, p->topic.p, p->topic.len);
		free(a->topic);
		*a = (struct client_alias){.topic = topic, .len = p->topic.len};
	} else if (a->topic) {
		p->topic = span_of(a->topic, a->len);
	} else {
		return client_violation(c, MQTT_RC_PROTOCOL_ERROR);
	}
	return OK;
}

static void deliver(struct mqtt_client *c, const struct mqtt_publish *p)
{
	c->counters.received++;
	if (c->on.message)
		c->on.message(c->arg, p);
}

/*
 * QoS 2 is delivered when it comes first, the packet id is remembered until PUBREL (4.3.3, method B). The
 * acknowledgement is queued before the delivery, for the receiver may end the connection in it.
 */
static int on_publish(struct mqtt_client *c, const struct mqtt_frame *f)
{
	struct mqtt_publish p;
	int rc;

	if ((rc = mqtt_publish_decode(f, c->opt.connect.version, &p)) < 0)
		return rc;
	if ((rc = alias_apply(c, &p)) < 0)
		return rc;
	if (p.qos == 2 && id_set_has(&c->received, p.packet_id) && (p.dup || !c->trusts_dup)) {
		c->counters.duplicates++;
		return client_out_ack(c, MQTT_PUBREC, p.packet_id, 0);
	}
	if (p.qos > 0 && c->open2 + c->unacked + c->owing.count >= c->receive_max)
		return client_violation(c, MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED);
	if (p.qos > 0 && c->opt.manual_ack) {
		if ((rc = client_owed_add(c, &p)) < 0)
			return rc;
	} else if (p.qos == 1) {
		if ((rc = client_out_ack(c, MQTT_PUBACK, p.packet_id, 0)) < 0)
			return rc;
		c->unacked++;
	} else if (p.qos == 2) {
		if ((rc = client_out_ack(c, MQTT_PUBREC, p.packet_id, 0)) < 0)
			return rc;
		id_set_add(&c->received, p.packet_id);
		c->open2++;
	}
	deliver(c, &p);
	c->owing.token = 0;
	return OK;
}

static int on_pubrel(struct mqtt_client *c, const struct mqtt_frame *f)
{
	uint8_t reason = MQTT_RC_SUCCESS;
	struct mqtt_ack a;
	int rc;

	if ((rc = mqtt_ack_decode(f, c->opt.connect.version, &a)) < 0)
		return rc;
	if (!id_set_has(&c->received, a.packet_id))
		reason = MQTT_RC_PACKET_ID_NOT_FOUND;
	if ((rc = client_out_ack(c, MQTT_PUBCOMP, a.packet_id, reason)) < 0)
		return rc;
	if (reason == MQTT_RC_SUCCESS && c->open2) {
		c->open2--;
		c->unacked++;
	}
	id_set_remove(&c->received, a.packet_id);
	return OK;
}

/* ---- dispatch ---- */

static int packet_up(struct mqtt_client *c, const struct mqtt_frame *f)
{
	int rc;

	switch (f->type) {
	case MQTT_PUBLISH:
		return on_publish(c, f);
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBCOMP:
		return client_on_ack(c, f);
	case MQTT_PUBREL:
		return on_pubrel(c, f);
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		return client_on_suback(c, f);
	case MQTT_PINGRESP:
		if ((rc = mqtt_empty_decode(f)) < 0)
			return rc;
		client_on_pingresp(c);
		return OK;
	case MQTT_DISCONNECT:
		return client_on_disconnect(c, f);
	default: /* a second CONNACK, what only clients send, or AUTH, whose method we did not name */
		return client_violation(c, MQTT_RC_PROTOCOL_ERROR);
	}
}

static int packet_handshake(struct mqtt_client *c, const struct mqtt_frame *f)
{
	if (f->type == MQTT_CONNACK)
		return client_on_connack(c, f);
	if (f->type == MQTT_DISCONNECT)
		return client_on_disconnect(c, f);
	return client_violation(c, MQTT_RC_PROTOCOL_ERROR);
}

/*
 * Whole packets from the front of the buffer; the rest moves there. Stops when a handler ended the
 * connection.
 */
static int parse(struct mqtt_client *c)
{
	struct client_in *in = &c->in;
	size_t at = 0;
	int rc = OK;

	while (rc == OK && (c->state == CLIENT_HANDSHAKE || c->state == CLIENT_UP)) {
		struct mqtt_frame f;

		rc = mqtt_frame_read(in->buf + at, in->len - at, c->in_max, &f);
		if (rc < 0)
			break;
		if (c->on.packet)
			c->on.packet(c->arg, false, &f);
		rc = c->state == CLIENT_UP ? packet_up(c, &f) : packet_handshake(c, &f);
		at += f.size;
	}
	if (rc < 0 && rc != ERR_AGAIN)
		return rc;
	if (!c->stream || c->state == CLIENT_LEAVING) {
		in->len = 0; /* nobody listens any more */
		return OK;
	}
	memmove(in->buf, in->buf + at, in->len - at);
	in->len -= at;
	return OK;
}

/*
 * Room to read into; a buffer that one unfinished packet fills is doubled, never sized by that packet's
 * claim.
 */
static int in_reserve(struct client_in *in)
{
	if (in->len < in->cap)
		return OK;
	size_t cap = in->cap ? in->cap * 2 : CLIENT_IN_FIRST;
	uint8_t *buf = realloc(in->buf, cap);

	if (!buf)
		return ERR_NOMEM;
	in->buf = buf;
	in->cap = cap;
	return OK;
}

static void in_shrink(struct client_in *in)
{
	if (in->len > 0 || in->cap <= CLIENT_KEEP_BUFFER)
		return;
	free(in->buf);
	in->buf = NULL;
	in->cap = 0;
}

/* Until the stream is empty, the turn's budget is used up, or too many acknowledgements wait. */
static int read_all(struct mqtt_client *c)
{
	struct client_in *in = &c->in;
	size_t budget = CLIENT_READ_BUDGET;
	bool more = true;
	int rc;

	while (more && c->stream) {
		size_t got = 0;

		if (budget == 0 || (in->is_paused = c->out.acks >= CLIENT_ACKS_MAX)) {
			in->has_more = true;
			if (!in->is_paused)
				loop_timer_set(c->loop, &c->again, 0);
			return OK;
		}
		if ((rc = in_reserve(in)) < 0)
			return rc;
		size_t room = in->cap - in->len < budget ? in->cap - in->len : budget;

		in->has_more = false;
		rc = stream_read(c->stream, in->buf + in->len, room, &got, &more);
		if (rc == ERR_AGAIN)
			break;
		if (rc < 0)
			return rc;
		in->len += got;
		budget -= got;
		c->counters.received_bytes += got;
		c->last_in_ms = loop_now_ms(c->loop);
		if ((rc = parse(c)) < 0)
			return rc;
	}
	in_shrink(in);
	return OK;
}

void client_read(struct mqtt_client *c)
{
	int rc;

	if (c->in.is_reading)
		return;
	c->in.is_reading = true;
	rc = read_all(c);
	if (rc < 0 && c->stream)
		client_lost(c, rc);
	c->in.is_reading = false;
	if (c->in.is_stale)
		client_in_reset(c);
}
