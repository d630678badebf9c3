/* Publishes of ours, from the call to their acknowledgement. */
#include <stdlib.h>

#include "mqtt/client_impl.h"

#define DUP_FLAG 0x08u

/* ---- packet ids ---- */

int client_id_take(struct mqtt_client *c, uint16_t *id)
{
	for (uint32_t tries = 0; tries < MQTT_PACKET_IDS; tries++) {
		if (++c->last_id == 0)
			c->last_id = 1;
		if (id_set_has(&c->ids, c->last_id))
			continue;
		id_set_add(&c->ids, c->last_id);
		*id = c->last_id;
		return OK;
	}
	return ERR_FULL;
}

/* ---- the end of a publish ---- */

static void forget(struct mqtt_client *c, struct outgoing *o)
{
	list_remove(&o->node);
	if (o->is_in_window)
		c->nwindow--;
	if (o->packet_id)
		id_set_remove(&c->ids, o->packet_id);
	c->pending--;
	c->npending--;
	c->pending_bytes -= o->size;
}

/* Takes o out of its list and frees it; the caller must look at its lists anew, for the event may call us. */
static void finish(struct mqtt_client *c, struct outgoing *o, int err, uint8_t reason,
		   const struct mqtt_props *props)
{
	void *token = o->token;

	forget(c, o);
	free(o);
	if (err == OK)
		c->counters.acknowledged++;
	else if (err != ERR_REMOTE)
		c->counters.dropped++;
	if (c->on.published)
		c->on.published(c->arg, token, err, reason, props);
}

void client_pub_fini(struct mqtt_client *c)
{
	struct list *const lists[] = {&c->inflight, &c->releasing, &c->unwritten, &c->resend, &c->queued};
	struct list *node;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		while ((node = list_first(lists[i])))
			finish(c, container_of(node, struct outgoing, node), ERR_CLOSED, 0, NULL);
}

/* QoS 2 stays: its packet id is known to the server. */
static void pick_takable(struct list *from, struct list *to)
{
	list_for_each (node, from) {
		if (container_of(node, struct outgoing, node)->qos == 2)
			continue;
		list_remove(node);
		list_append(to, node);
	}
}

void mqtt_client_take_back(struct mqtt_client *c)
{
	struct list taken, *node;

	if (c->stream || c->is_dead)
		return;
	client_enter(c);
	list_init(&taken);
	pick_takable(&c->resend, &taken);
	pick_takable(&c->queued, &taken);
	while ((node = list_first(&taken)))
		finish(c, container_of(node, struct outgoing, node), ERR_CLOSED, 0, NULL);
	client_leave(c);
}

static void into_window(struct mqtt_client *c, struct outgoing *o)
{
	if (!o->is_in_window)
		c->nwindow++;
	o->is_in_window = true;
}

static void empty_window(struct mqtt_client *c, struct list *l)
{
	list_for_each (at, l)
		container_of(at, struct outgoing, node)->is_in_window = false;
	c->nwindow = 0;
}

/* ---- accepting ---- */

static int outgoing_make(struct mqtt_client *c, const struct mqtt_publish *m, void *token,
			 struct outgoing **out)
{
	enum mqtt_version v = c->opt.connect.version;
	struct mqtt_publish p = *m;

	p.dup = false;
	p.packet_id = p.qos ? 1 : 0; /* takes its place until it is sent */
	size_t size = mqtt_publish_size(v, &p);

	if (size == 0 || size > UINT32_MAX)
		return ERR_RANGE;
	if (size > c->opt.queue_bytes || c->pending_bytes > c->opt.queue_bytes - size)
		return ERR_FULL;
	struct outgoing *o = malloc(sizeof(*o) + size);

	if (!o)
		return ERR_NOMEM;
	struct wr w = wr_of(o->packet, size);
	struct mqtt_frame f = {0};
	int rc = mqtt_publish_encode(&w, v, &p);

	if (rc == OK)
		rc = mqtt_frame_read(o->packet, size, UINT32_MAX, &f);
	if (rc < 0) {
		free(o);
		return rc;
	}
	*o = (struct outgoing){.token = token, .size = (uint32_t)size, .qos = p.qos, .retain = p.retain};
	if (v == MQTT_V5)
		o->alias = (uint16_t)mqtt_props_num(&p.props, MQTT_P_TOPIC_ALIAS, 0);
	if (p.qos)
		o->id_at = (uint32_t)((size_t)(f.body - o->packet) + 2 + p.topic.len);
	*out = o;
	return OK;
}

int mqtt_client_publish(struct mqtt_client *c, const struct mqtt_publish *m, void *token)
{
	struct outgoing *o = NULL;
	int rc;

	if (c->finish || c->is_dead)
		return ERR_CLOSED;
	if (!mqtt_utf8_valid(m->topic) || !mqtt_topic_valid(m->topic))
		return ERR_TOPIC;
	if (m->qos > 2)
		return ERR_RANGE;
	rc = c->npending >= c->opt.queue_messages ? ERR_FULL : outgoing_make(c, m, token, &o);
	if (rc == ERR_FULL)
		c->counters.dropped++;
	if (rc < 0)
		return rc;
	list_init(&o->node);
	list_append(&c->queued, &o->node);
	c->pending++;
	c->npending++;
	c->pending_bytes += o->size;
	client_kick(c);
	return OK;
}

/* ---- sending ---- */

/* What the server said in CONNACK that it cannot take (3.2.2.3). Returns OK or the error to finish with. */
static int server_takes(const struct mqtt_client *c, const struct outgoing *o, uint8_t *reason)
{
	if (o->size > c->server.packet_max) {
		*reason = MQTT_RC_PACKET_TOO_LARGE;
		return ERR_TOO_LARGE;
	}
	if (o->qos > c->server.qos_max)
		*reason = MQTT_RC_QOS_NOT_SUPPORTED;
	else if (o->retain && !c->server.has_retain)
		*reason = MQTT_RC_RETAIN_NOT_SUPPORTED;
	else if (o->alias > c->server.alias_max)
		*reason = MQTT_RC_TOPIC_ALIAS_INVALID;
	else
		return OK;
	return ERR_UNSUPPORTED;
}

static int send_one(struct mqtt_client *c, struct outgoing *o, bool is_resent)
{
	uint8_t *at;
	int rc;

	if ((rc = client_out_reserve(c, o->size, &at)) < 0)
		return rc;
	if (o->qos && !o->packet_id && (rc = client_id_take(c, &o->packet_id)) < 0)
		return rc;
	memcpy(at, o->packet, o->size);
	if (o->qos)
		put_u16be(at + o->id_at, o->packet_id);
	if (is_resent) {
		at[0] |= DUP_FLAG;
		c->counters.resent++;
	} else {
		c->counters.published++;
	}
	client_out_commit(c, o->size);
	list_remove(&o->node);
	if (o->qos) {
		list_append(&c->inflight, &o->node);
		into_window(c, o);
	} else {
		o->end = c->out.added;
		list_append(&c->unwritten, &o->node);
	}
	return OK;
}

/* The first to send, those of the session before new ones; NULL when there is none or it must wait. */
static struct outgoing *next_to_send(struct mqtt_client *c, bool *is_resent)
{
	struct list *node = list_first(&c->resend);

	*is_resent = node != NULL;
	if (!node)
		node = list_first(&c->queued);
	if (!node || client_out_len(c) >= CLIENT_OUT_BATCH)
		return NULL;
	struct outgoing *o = container_of(node, struct outgoing, node);

	return o->qos && c->nwindow >= c->server.window ? NULL : o;
}

int client_pub_fill(struct mqtt_client *c)
{
	struct outgoing *o;
	bool is_resent;
	int rc;

	while (c->state == CLIENT_UP && (o = next_to_send(c, &is_resent))) {
		uint8_t reason = 0;

		if ((rc = server_takes(c, o, &reason)) < 0) {
			finish(c, o, rc, reason, NULL);
			continue;
		}
		if ((rc = send_one(c, o, is_resent)) == ERR_FULL)
			return OK; /* all packet ids are in use: acknowledgements will free some */
		if (rc < 0)
			return rc;
	}
	return OK;
}

void client_pub_written(struct mqtt_client *c)
{
	struct list *node;

	while ((node = list_first(&c->unwritten))) {
		struct outgoing *o = container_of(node, struct outgoing, node);

		if (o->end > c->out.written)
			return;
		finish(c, o, OK, 0, NULL);
	}
}

/* ---- connections come and go ---- */

/* Unacknowledged ones wait for the next connection; QoS 0 that was handed to this one is gone with it. */
void client_pub_lost(struct mqtt_client *c)
{
	struct list *node;

	/* In front of those that were still to be resent: they were sent before. */
	list_splice(&c->inflight, &c->resend);
	list_splice(&c->resend, &c->inflight);
	empty_window(c, &c->resend);
	empty_window(c, &c->releasing);
	while ((node = list_first(&c->unwritten)))
		finish(c, container_of(node, struct outgoing, node), ERR_CLOSED, 0, NULL);
}

static void forget_session(struct mqtt_client *c)
{
	struct list *node;

	list_for_each (at, &c->resend) {
		struct outgoing *o = container_of(at, struct outgoing, node);

		id_set_remove(&c->ids, o->packet_id);
		o->packet_id = 0;
	}
	list_splice(&c->resend, &c->queued);
	list_splice(&c->queued, &c->resend);
	while ((node = list_first(&c->releasing)))
		finish(c, container_of(node, struct outgoing, node), OK, MQTT_RC_SUCCESS, NULL);
}

/* With the session go on where we were: PUBREL in the order of PUBREC, then PUBLISH in theirs (4.4, 4.6). */
int client_pub_connected(struct mqtt_client *c, bool session_present)
{
	int rc;

	if (!session_present) {
		forget_session(c);
		return OK;
	}
	list_for_each (at, &c->releasing) {
		struct outgoing *o = container_of(at, struct outgoing, node);

		if ((rc = client_out_ack(c, MQTT_PUBREL, o->packet_id, 0)) < 0)
			return rc;
		into_window(c, o);
	}
	return OK;
}

/* ---- acknowledgements ---- */

static struct outgoing *find(struct mqtt_client *c, uint16_t id)
{
	struct list *const lists[] = {&c->inflight, &c->releasing, &c->resend};

	if (!id_set_has(&c->ids, id))
		return NULL;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		list_for_each (at, lists[i]) {
			struct outgoing *o = container_of(at, struct outgoing, node);

			if (o->packet_id == id)
				return o;
		}
	}
	return NULL;
}

static void acknowledged(struct mqtt_client *c, struct outgoing *o, const struct mqtt_ack *a)
{
	finish(c, o, a->reason < 0x80 ? OK : ERR_REMOTE, a->reason, &a->props);
}

static int on_pubrec(struct mqtt_client *c, struct outgoing *o, const struct mqtt_ack *a)
{
	int rc;

	if (a->reason >= 0x80) {
		if (!o->is_released)
			acknowledged(c, o, a);
		return OK;
	}
	if ((rc = client_out_ack(c, MQTT_PUBREL, a->packet_id, 0)) < 0)
		return rc;
	if (!o->is_released) {
		o->is_released = true;
		list_remove(&o->node);
		list_append(&c->releasing, &o->node);
		into_window(c, o);
	}
	return OK;
}

/*
 * PUBACK, PUBREC, PUBCOMP. One for an id that is not in use may follow a resend that crossed it on the way:
 * no offence. One of the wrong kind is.
 */
int client_on_ack(struct mqtt_client *c, const struct mqtt_frame *f)
{
	struct mqtt_ack a;
	int rc;

	if ((rc = mqtt_ack_decode(f, c->opt.connect.version, &a)) < 0)
		return rc;
	struct outgoing *o = find(c, a.packet_id);

	if (!o && f->type == MQTT_PUBREC && a.reason < 0x80)
		return client_out_ack(c, MQTT_PUBREL, a.packet_id, MQTT_RC_PACKET_ID_NOT_FOUND);
	if (!o)
		return OK;
	if (o->qos != (f->type == MQTT_PUBACK ? 1 : 2))
		return client_violation(c, MQTT_RC_PROTOCOL_ERROR);
	if (f->type == MQTT_PUBREC)
		return on_pubrec(c, o, &a);
	if (f->type == MQTT_PUBCOMP && !o->is_released)
		return client_violation(c, MQTT_RC_PROTOCOL_ERROR);
	acknowledged(c, o, &a);
	return OK;
}
