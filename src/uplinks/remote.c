/* The remote broker: the client that speaks with it, and what comes from there. */
#include <stdlib.h>

#include "base/log.h"
#include "uplinks/uplink_impl.h"
#include "wire/mqtt_forward.h"

#define SESSION_EXPIRY_S (7u * 24 * 3600)
#define QUEUE_BYTES      (SIZE_MAX / 4) /* UPLINK_WINDOW records of any size */

/* ---- properties and the mark ---- */

static bool is_mark(const struct mqtt_prop_item *item)
{
	return item->id == MQTT_P_USER_PROPERTY && span_equal(item->str, span_str(UPLINK_MARK));
}

bool remote_is_marked(const struct uplink *u, const struct mqtt_publish *m)
{
	struct rd raw = rd_of(m->props.raw.p, m->props.raw.len);
	struct mqtt_prop_item item;

	while (mqtt_props_next(&raw, &item))
		if (is_mark(&item) && span_equal(item.value, span_str(u->cfg.name)))
			return true;
	return false;
}

static bool is_passed_on(enum mqtt_prop id)
{
	return id == MQTT_P_PAYLOAD_FORMAT || id == MQTT_P_CONTENT_TYPE || id == MQTT_P_RESPONSE_TOPIC ||
	       id == MQTT_P_CORRELATION_DATA;
}

static void put_text(struct wr *w, const char *text)
{
	size_t len = strlen(text);

	wr_u16be(w, (uint16_t)len);
	wr_span(w, span_of(text, len));
}

int remote_props(const struct mqtt_publish *m, const char *mark, uint8_t *buf, size_t room, struct span *out)
{
	struct wr w = wr_of(buf, room);
	struct mqtt_prop_item item;

	for (int user = 0; user < 2; user++) {
		struct rd raw = rd_of(m->props.raw.p, m->props.raw.len);

		while (mqtt_props_next(&raw, &item))
			if (user ? item.id == MQTT_P_USER_PROPERTY && !is_mark(&item) : is_passed_on(item.id))
				wr_span(&w, item.whole);
	}
	if (mark) {
		wr_u8(&w, mqtt_prop_id(MQTT_P_USER_PROPERTY));
		put_text(&w, UPLINK_MARK);
		put_text(&w, mark);
	}
	*out = span_of(buf, (size_t)(w.p - buf));
	return w.bad ? ERR_FULL : OK;
}

void remote_props_read(struct span encoded, struct mqtt_props *out)
{
	struct rd raw = rd_of(encoded.p, encoded.len);
	struct mqtt_prop_item item;

	if (mqtt_passed_on_read(encoded, out) < 0) {
		mqtt_props_clear(out); /* cannot be: they were decoded once */
		return;
	}
	out->user = span_of(NULL, 0);
	while (mqtt_props_next(&raw, &item)) {
		if (item.id != MQTT_P_USER_PROPERTY)
			continue;
		out->user = span_of(item.whole.p, (size_t)(encoded.p + encoded.len - item.whole.p));
		break;
	}
	out->has &= ~(1u << MQTT_P_USER_PROPERTY);
}

/* ---- what comes ---- */

/*
 * After a CONNECT a server of 3.1.1 sends its retained messages again, also those that we published: they would take the place of
 * newer ones here.
 */
static bool is_old_of_ours(struct uplink *u, const struct mqtt_publish *m, struct span local)
{
	const struct config_uplink_map *up;
	uint8_t *back;
	struct span topic;
	bool same;

	if (uplink_is_v5(u) || !m->retain || !(up = remap_find(u->cfg.publish, u->cfg.npublish, local)))
		return false;
	back = malloc(REMAP_TOPIC_MAX);
	same = back && remap_topic(up, local, back, &topic) == OK && span_equal(topic, m->topic);
	free(back);
	return same;
}

static int publish_here(struct uplink *u, const struct mqtt_publish *m, struct span topic, bool retain,
			uint64_t token)
{
	size_t room = m->props.raw.len + UPLINK_MARK_ROOM;
	uint8_t *buf = malloc(room);
	struct mqtt_publish p = {
		.topic = topic, .payload = m->payload, .qos = m->qos, .retain = m->retain && retain};
	struct span props;
	int rc;

	if (!buf)
		return ERR_NOMEM;
	if ((rc = remote_props(m, u->cfg.name, buf, room, &props)) == OK) {
		remote_props_read(props, &p.props);
		if (mqtt_props_has(&m->props, MQTT_P_MESSAGE_EXPIRY))
			mqtt_props_set_num(&p.props, MQTT_P_MESSAGE_EXPIRY,
					   m->props.num[MQTT_P_MESSAGE_EXPIRY]);
		rc = mqtt_client_publish(u->buffers[0].client, &p, (void *)(uintptr_t)token);
	}
	free(buf);
	return rc;
}

static void not_taken(struct uplink *u, uint64_t token, const char *why)
{
	u->not_taken++;
	uplink_failed(u, "a message from the remote broker is not published here: %s", why);
	mqtt_client_ack(u->remote, token);
}

/* The remote broker keeps what we did not acknowledge and sends it again on a new connection. */
static void ask_again(struct uplink *u, const char *why)
{
	uplink_failed(u, "messages from the remote broker have to wait: %s", why);
	u->is_asking = true;
	if (mqtt_client_disconnect(u->remote, false, MQTT_RC_SUCCESS, NULL) < 0)
		uplink_failed(u, "%s", err_text(ERR_NOMEM));
}

static void on_message(void *arg, const struct mqtt_publish *m)
{
	struct uplink *u = arg;
	uint64_t token = mqtt_client_message_token(u->remote);
	const struct config_uplink_map *map = remap_find(u->cfg.subscribe, u->cfg.nsubscribe, m->topic);
	struct span topic;
	int rc;

	if (u->is_stopping)
		return;
	if (u->echo && echo_take(u->echo, m->topic, m->payload, loop_now_ms(u->loop))) {
		u->returned++;
		mqtt_client_ack(u->remote, token);
		return;
	}
	if (!map) { /* of a filter of another time, in a session that the remote broker kept */
		mqtt_client_ack(u->remote, token);
		return;
	}
	if ((rc = remap_topic(map, m->topic, u->topic, &topic)) < 0) {
		not_taken(u, token, err_text(rc));
		return;
	}
	if (is_old_of_ours(u, m, topic)) {
		u->returned++;
		mqtt_client_ack(u->remote, token);
		return;
	}
	rc = publish_here(u, m, topic, map->retain, token);
	if (rc == OK)
		return;
	if (token && (rc == ERR_FULL || rc == ERR_NOMEM))
		ask_again(u, err_text(rc));
	else
		not_taken(u, token, err_text(rc));
}

void remote_delivered(struct uplink *u, void *token, int err, uint8_t reason)
{
	uint64_t number = (uintptr_t)token;

	if (u->is_dead)
		return;
	if (err == OK) {
		u->received++;
		mqtt_client_ack(u->remote, number);
	} else if (number && err == ERR_REMOTE &&
		   (reason == MQTT_RC_QUOTA_EXCEEDED || reason == MQTT_RC_IMPLEMENTATION_SPECIFIC)) {
		ask_again(u, mqtt_reason_text(reason)); /* the disk is full, say */
	} else if (err != ERR_CLOSED) {
		not_taken(u, number, err == ERR_REMOTE ? mqtt_reason_text(reason) : err_text(err));
	}
}

/* ---- events of the client ---- */

static void on_connected(void *arg, const struct mqtt_client_connected *e)
{
	struct uplink *u = arg;

	(void)e;
	u->is_up = true;
	u->has_acked = false;
	u->sent_here = 0;
	u->connects++;
	loop_timer_set(u->loop, &u->tick, UPLINK_TICK_MS);
	buffers_look(u);
	records_pump(u);
}

static void on_disconnected(void *arg, const struct mqtt_client_disconnected *e)
{
	struct uplink *u = arg;
	char why[UPLINK_ERROR_BYTES];

	u->is_up = false;
	mqtt_client_take_back(u->remote);
	if (u->is_stopping) {
		uplink_client_ended(u);
		return;
	}
	if (e->err != OK)
		uplink_failed(u, "%s", uplink_why(e, (enum mqtt_version)u->cfg.version, why, sizeof(why)));
	if (e->was_connected)
		records_connection_lost(u, e->err);
	if (u->is_asking) {
		u->is_asking = false;
		loop_timer_set(u->loop, &u->retry, UPLINK_RETRY_MS);
	}
	uplink_settle(u);
}

static void on_published(void *arg, void *token, int err, uint8_t reason, const struct mqtt_props *props)
{
	(void)props;
	records_published(arg, token, err, reason);
}

static void on_answered(void *arg, const struct mqtt_client_answer *e)
{
	struct uplink *u = arg;

	if (u->is_dead)
		return;
	if (e->err < 0)
		uplink_failed(u, "the remote broker takes no subscriptions of this kind: %s",
			      mqtt_reason_text(e->reason));
	for (size_t i = 0; !e->is_again && i < e->codes.len && i < u->cfg.nsubscribe; i++)
		if (e->codes.p[i] >= 0x80)
			uplink_failed(u, "the remote broker refuses the subscription to %s: %s",
				      u->cfg.subscribe[i].filter,
				      uplink_is_v5(u) ? mqtt_reason_text(e->codes.p[i]) : "no reason told");
}

/* ---- life ---- */

static int subscribe(struct uplink *u)
{
	struct mqtt_sub_item *items;
	int rc;

	if (!u->cfg.nsubscribe)
		return OK;
	items = calloc(u->cfg.nsubscribe, sizeof(*items));
	if (!items)
		return ERR_NOMEM;
	for (size_t i = 0; i < u->cfg.nsubscribe; i++) {
		items[i] = (struct mqtt_sub_item){.filter = span_str(u->cfg.subscribe[i].filter),
						  .qos = u->cfg.qos};
		if (!uplink_is_v5(u))
			continue;
		items[i].no_local = true;
		items[i].retain_as_published = true;
		items[i].retain_handling = u->cfg.subscribe[i].retain ? 1 : 2;
	}
	rc = mqtt_client_subscribe(u->remote, items, u->cfg.nsubscribe, NULL, NULL);
	free(items);
	return rc;
}

static void set_options(const struct uplink *u, const struct uplink_setup *setup,
			struct mqtt_client_options *o)
{
	const struct config_uplink *c = &u->cfg;
	struct mqtt_connect *p = &o->connect;

	mqtt_client_options_init(o);
	p->version = (enum mqtt_version)c->version;
	p->clean_start = c->clean;
	p->keep_alive_s = (uint16_t)(c->keep_alive_ms / 1000);
	p->client_id = span_str(setup->client_id);
	p->has_username = c->username != NULL;
	if (c->username)
		p->username = span_str(c->username);
	p->has_password = setup->password.len > 0;
	p->password = setup->password;
	if (uplink_is_v5(u)) {
		mqtt_props_set_num(&p->props, MQTT_P_SESSION_EXPIRY, c->clean ? 0 : SESSION_EXPIRY_S);
		mqtt_props_set_num(&p->props, MQTT_P_RECEIVE_MAXIMUM, UPLINK_IN_WINDOW);
	}
	o->reconnect_min_ms = c->reconnect.first_ms;
	o->reconnect_max_ms = c->reconnect.max_ms;
	o->seed = setup->seed;
	o->queue_messages = 2 * UPLINK_WINDOW;
	o->queue_bytes = QUEUE_BYTES;
	o->inflight = UPLINK_WINDOW;
	o->max_packet_size = setup->max_packet_size;
	o->manual_ack = true;
}

int remote_open(struct uplink *u, const struct uplink_setup *setup)
{
	static const struct mqtt_client_events events = {.connected = on_connected,
							 .disconnected = on_disconnected,
							 .message = on_message,
							 .published = on_published,
							 .answered = on_answered};
	struct mqtt_client_options o;
	int rc;

	set_options(u, setup, &o);
	if ((rc = mqtt_client_create(u->loop, u->remote_dialer, &o, &events, u, &u->remote)) < 0)
		return rc;
	if ((rc = subscribe(u)) < 0)
		return rc;
	return mqtt_client_start(u->remote);
}

void remote_retry(struct loop_timer *t)
{
	struct uplink *u = container_of(t, struct uplink, retry);
	int rc = mqtt_client_start(u->remote); /* ERR_BUSY: it runs */

	if (rc == OK)
		log_info("uplink", "%s: connects again", u->cfg.name);
	records_pump(u);
}
