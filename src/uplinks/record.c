/*
 * Records: taken from a session of our broker, sent to the remote one, acknowledged here when it was acknowledged there.
 *
 *     taken --pump--> sent --acknowledged, or refused for good--> acknowledged to our broker, gone
 *       ^               |
 *       +-- connection lost, refused for now --+
 */
#include <stdlib.h>

#include "base/log.h"
#include "uplinks/historical.h"
#include "uplinks/uplink_impl.h"

/* ---- taking ---- */

static void drop_unmapped(struct uplink *u, struct span topic, int err)
{
	char quoted[160];

	u->unmapped++;
	uplink_failed(u, "%s is not forwarded: its new topic is none: %s",
		      log_quote(quoted, sizeof(quoted), topic),
		      err == ERR_RANGE ? "it has fewer levels than the template names" : err_text(err));
}

static struct record *record_create(const struct mqtt_publish *m, struct span topic)
{
	struct record *r = malloc(sizeof(*r) + topic.len + m->payload.len + m->props.raw.len);
	uint8_t *at;

	if (!r)
		return NULL;
	*r = (struct record){.retain = m->retain};
	list_init(&r->node);
	at = r->bytes;
	memcpy(at, topic.p, topic.len);
	r->topic = span_of(at, topic.len);
	at += topic.len;
	if (m->payload.len)
		memcpy(at, m->payload.p, m->payload.len);
	r->payload = span_of(at, m->payload.len);
	at += m->payload.len;
	if (remote_props(m, NULL, at, m->props.raw.len, &r->props) < 0)
		r->props = span_of(NULL, 0); /* cannot be: they fit where they came from */
	return r;
}

static void record_append(struct buffer *b, struct record *r, const struct mqtt_publish *m)
{
	struct uplink *u = b->uplink;
	uint32_t expiry_s = mqtt_props_num(&m->props, MQTT_P_MESSAGE_EXPIRY, 0);

	r->buffer = b;
	r->token = mqtt_client_message_token(b->client);
	r->number = ++u->last_number;
	if (mqtt_props_has(&m->props, MQTT_P_MESSAGE_EXPIRY))
		r->expires_ms = loop_now_ms(u->loop) + 1000u * (uint64_t)expiry_s;
	list_append(&b->records, &r->node);
	if (b->next == &b->records)
		b->next = &r->node;
}

void record_take(struct buffer *b, const struct mqtt_publish *m)
{
	struct uplink *u = b->uplink;
	uint64_t token = mqtt_client_message_token(b->client);
	const struct config_uplink_map *map;
	struct record *r;
	struct span topic;
	int rc;

	if (remote_is_marked(u, m)) {
		u->returned++;
		mqtt_client_ack(b->client, token);
		return;
	}
	map = remap_find(u->cfg.publish, u->cfg.npublish, m->topic);
	if (!map) { /* of a filter that is configured no more */
		mqtt_client_ack(b->client, token);
		return;
	}
	if ((rc = remap_topic(map, m->topic, u->topic, &topic)) < 0) {
		drop_unmapped(u, m->topic, rc);
		mqtt_client_ack(b->client, token);
		return;
	}
	r = record_create(m, topic);
	if (!r) {
		uplink_failed(u, "out of memory for what is buffered: it is read again later");
		buffer_restart(b);
		return;
	}
	r->retain &= map->retain;
	record_append(b, r, m);
	records_pump(u);
}

/* ---- the end of a record ---- */

static void record_remove(struct record *r)
{
	struct buffer *b = r->buffer;

	if (b && b->next == &r->node)
		b->next = r->node.next;
	list_remove(&r->node);
	free(r);
}

/* Done with, well or not: our broker may forget it. */
static void record_done(struct record *r)
{
	if (r->buffer)
		mqtt_client_ack(r->buffer->client, r->token);
	record_remove(r);
}

static void record_refuse(struct uplink *u, struct record *r, const char *why)
{
	char quoted[160];

	u->refused++;
	uplink_failed(u, "%s is dropped: %s", log_quote(quoted, sizeof(quoted), r->topic), why);
	record_done(r);
}

/* To be sent again. */
static void record_hold(struct record *r)
{
	struct buffer *b = r->buffer;

	if (!b) {
		free(r);
		return;
	}
	if (b->next == &b->records || container_of(b->next, struct record, node)->number > r->number)
		b->next = &r->node;
}

void records_forget(struct buffer *b)
{
	b->next = &b->records;
	list_for_each (node, &b->records) {
		struct record *r = container_of(node, struct record, node);

		list_remove(node);
		r->buffer = NULL;
		if (!r->is_sent) /* else it is told of when it is published */
			free(r);
	}
}

/* ---- sending ---- */

static struct record *next_held(struct buffer *b)
{
	while (b->next != &b->records && container_of(b->next, struct record, node)->is_sent)
		b->next = b->next->next;
	return b->next == &b->records ? NULL : container_of(b->next, struct record, node);
}

static void pause_sending(struct uplink *u)
{
	u->paused_until_ms = loop_now_ms(u->loop) + UPLINK_RETRY_MS;
	loop_timer_set(u->loop, &u->retry, UPLINK_RETRY_MS);
}

static bool may_send(const struct uplink *u)
{
	uint32_t window = u->strikes ? 1 : UPLINK_WINDOW;

	return u->is_up && !u->is_stopping && loop_now_ms(u->loop) >= u->paused_until_ms &&
	       mqtt_client_pending(u->remote) < window;
}

/* The payload, with a word about it in the scratch when it is late. ERR_NOMEM. */
static int payload_now(struct uplink *u, const struct record *r, struct span *out)
{
	size_t at, room = r->payload.len + sizeof(HISTORICAL_TEXT) - 1;
	int64_t ts;

	*out = r->payload;
	if (!historical_look(r->payload, &ts, &at) || !historical_is_late(ts, loop_wall_ms(u->loop)))
		return OK;
	if (room > u->payload_room) {
		uint8_t *more = realloc(u->payload, room);

		if (!more)
			return ERR_NOMEM;
		u->payload = more;
		u->payload_room = room;
	}
	memcpy(u->payload, r->payload.p, at);
	memcpy(u->payload + at, HISTORICAL_TEXT, sizeof(HISTORICAL_TEXT) - 1);
	memcpy(u->payload + at + sizeof(HISTORICAL_TEXT) - 1, r->payload.p + at, r->payload.len - at);
	*out = span_of(u->payload, room);
	return OK;
}

/* What the remote broker is told of the time that is left: not what our own max_age makes of it. */
static void set_expiry(const struct uplink *u, const struct record *r, struct mqtt_props *props)
{
	uint64_t now = loop_now_ms(u->loop);

	if (r->expires_ms && !u->cfg.buffer.max_age_ms)
		mqtt_props_set_num(props, MQTT_P_MESSAGE_EXPIRY,
				   (uint32_t)((r->expires_ms - now + 999) / 1000));
}

static int publish(struct uplink *u, struct record *r)
{
	struct mqtt_publish m = {.topic = r->topic, .qos = u->cfg.qos, .retain = r->retain};
	int rc;

	mqtt_props_clear(&m.props);
	if ((rc = payload_now(u, r, &m.payload)) < 0)
		return rc;
	if (uplink_is_v5(u)) {
		remote_props_read(r->props, &m.props);
		set_expiry(u, r, &m.props);
	}
	if ((rc = mqtt_client_publish(u->remote, &m, r)) < 0)
		return rc;
	if (u->echo && remap_find(u->cfg.subscribe, u->cfg.nsubscribe, r->topic))
		echo_add(u->echo, r->topic, m.payload, loop_now_ms(u->loop));
	return OK;
}

/* false: no more for now. */
static bool record_send(struct uplink *u, struct record *r)
{
	int rc;

	if (r->expires_ms && loop_now_ms(u->loop) >= r->expires_ms) {
		u->expired++;
		record_done(r);
		return true;
	}
	rc = publish(u, r);
	if (rc == OK) {
		r->is_sent = true;
		u->head = u->sent_here++ ? u->head : r->number;
		u->sent++;
	} else if (rc == ERR_FULL && mqtt_client_pending(u->remote) > 0) {
		return false;
	} else if (rc == ERR_NOMEM || rc == ERR_CLOSED) {
		pause_sending(u);
		return false;
	} else {
		record_refuse(u, r, rc == ERR_FULL ? err_text(ERR_TOO_LARGE) : err_text(rc));
	}
	return true;
}

/* With drain_rate: how many records of the session that drains may go now. */
static bool may_drain(struct uplink *u)
{
	uint64_t now = loop_now_ms(u->loop);
	double most = u->cfg.drain_rate / 10.0;

	if (!u->cfg.drain_rate)
		return true;
	u->allowance += (double)(now - u->allowed_at_ms) * u->cfg.drain_rate / 1000.0;
	u->allowed_at_ms = now;
	most = most < 1 ? 1 : most;
	u->allowance = u->allowance > most ? most : u->allowance;
	if (u->allowance >= 1)
		return true;
	if (!loop_timer_pending(&u->drain))
		loop_timer_set(u->loop, &u->drain, UPLINK_DRAIN_MS);
	return false;
}

void records_drain_more(struct loop_timer *t)
{
	records_pump(container_of(t, struct uplink, drain));
}

void records_pump(struct uplink *u)
{
	struct buffer *live = &u->buffers[u->live], *other = &u->buffers[!u->live];
	struct record *r;

	/* else the subscription of the other session would wait for a disk that is busy with what drains, and live values with it */
	if (u->phase == PHASE_JOINING)
		return;
	while (may_send(u) && (r = next_held(live)))
		if (!record_send(u, r))
			return;
	while (may_send(u) && (r = next_held(other)) && may_drain(u)) {
		if (!record_send(u, r))
			return;
		u->allowance -= 1;
	}
}

/* ---- answers ---- */

/* May it go well another time (5.0, 3.4.2.1)? */
static bool may_pass(uint8_t reason)
{
	return reason == MQTT_RC_UNSPECIFIED_ERROR || reason == MQTT_RC_IMPLEMENTATION_SPECIFIC ||
	       reason == MQTT_RC_PACKET_ID_IN_USE || reason == MQTT_RC_QUOTA_EXCEEDED ||
	       reason == MQTT_RC_SERVER_BUSY || reason == MQTT_RC_MESSAGE_RATE_TOO_HIGH;
}

void records_published(struct uplink *u, struct record *r, int err, uint8_t reason)
{
	r->is_sent = false;
	if (u->is_dead) {
		record_remove(r);
		return;
	}
	if (err == OK) {
		u->acknowledged++;
		u->has_acked = true;
		u->strikes = 0;
		record_done(r);
	} else if (err == ERR_CLOSED) {
		record_hold(r);
		return;
	} else if (err == ERR_REMOTE && may_pass(reason)) {
		uplink_failed(u, "the remote broker refuses records for now: %s", mqtt_reason_text(reason));
		record_hold(r);
		pause_sending(u);
		return;
	} else {
		record_refuse(u, r, mqtt_reason_text(reason));
	}
	if (u->phase == PHASE_DRAINING && list_empty(&u->buffers[!u->live].records))
		buffers_look(u);
	records_pump(u);
}

/*
 * A server of MQTT 3.1.1 cannot refuse a record, it can only close the connection; then everything would come to a stand at that
 * one. So after a connection without any acknowledgement records go one by one, and the one at which so many connections ended in
 * a row is dropped.
 */
void records_connection_lost(struct uplink *u, int err)
{
	if (u->has_acked || !u->sent_here || (err != ERR_CLOSED && err != ERR_IO && err != ERR_REMOTE))
		return;
	u->strikes = u->strikes && u->struck == u->head ? u->strikes + 1 : 1;
	u->struck = u->head;
	if (u->strikes < UPLINK_STRIKES)
		return;
	u->strikes = 0;
	for (unsigned i = 0; i < 2; i++) {
		struct list *first = list_first(&u->buffers[i].records);
		struct record *r = first ? container_of(first, struct record, node) : NULL;

		if (r && r->number == u->struck) {
			record_refuse(u, r, "the remote broker closes the connection whenever it comes");
			return;
		}
	}
}
