/*
 * What a client sends after CONNECT, one function per packet type.
 */
#include "mqtt/conn.h"

#include <stdlib.h>

#include "base/log.h"
#include "mqtt/route.h"
#include "mqtt/session.h"
#include "wire/mqtt_forward.h"

/* ---- PUBLISH ---- */

/* The topic of a packet whose alias may stand for it, or sets one (5.0, 3.3.2.3.4). */
static int alias_resolve(struct conn *c, struct mqtt_publish *pub)
{
	uint32_t id = mqtt_props_num(&pub->props, MQTT_P_TOPIC_ALIAS, 0);
	struct alias *a;
	uint8_t *copy;

	if (c->version != MQTT_V5 || !id)
		return OK;
	if (id > ALIASES_MAX)
		return CONN_ERR_ALIAS; /* [MQTT-3.3.2-9] */
	if (!c->aliases_in)
		c->aliases_in = calloc(1, sizeof(*c->aliases_in));
	if (!c->aliases_in)
		return ERR_NOMEM;
	a = &c->aliases_in->at[id - 1];
	if (pub->topic.len == 0) {
		pub->topic = span_of(a->topic, a->len);
		return a->topic ? OK : ERR_PROTOCOL;
	}
	copy = malloc(pub->topic.len);
	if (!copy)
		return ERR_NOMEM;
	memcpy(copy, pub->topic.p, pub->topic.len);
	free(a->topic);
	*a = (struct alias){.topic = copy, .len = (uint32_t)pub->topic.len};
	return OK;
}

int worker_passed_on(struct worker *w, const struct mqtt_props *props, struct span *out)
{
	size_t need = props->raw.len + props->user.len + 5u * MQTT_STRING_MAX;
	struct wr to;

	if (mqtt_passed_on_whole(props, out) && props->raw.len > 0)
		return OK;
	*out = span_of(NULL, 0);
	if (!props->has && !props->user.len)
		return OK;
	if (props->raw.len > 0)
		need = props->raw.len;
	if (need > w->props_room) {
		uint8_t *room = realloc(w->props, need);

		if (!room)
			return ERR_NOMEM;
		w->props = room;
		w->props_room = (uint32_t)need;
	}
	to = wr_of(w->props, w->props_room);
	if (mqtt_passed_on_write(&to, props) < 0)
		return ERR_RANGE;
	*out = span_of(w->props, w->props_room - to.left);
	return OK;
}

static int publication_of(struct conn *c, const struct mqtt_publish *pub, struct publication *p)
{
	uint32_t expiry_s = mqtt_props_num(&pub->props, MQTT_P_MESSAGE_EXPIRY, 0);

	*p = (struct publication){
		.topic = pub->topic,
		.payload = pub->payload,
		.qos = pub->qos,
		.retain = pub->retain,
		.refusable = pub->qos > 0,
		.publisher = c->session->uid,
	};
	if (c->version != MQTT_V5)
		return OK;
	if (mqtt_props_has(&pub->props, MQTT_P_MESSAGE_EXPIRY))
		p->expires_ms = loop_now_ms(c->worker->loop) + 1000u * (uint64_t)expiry_s;
	return worker_passed_on(c->worker, &pub->props, &p->props);
}

static uint8_t policy_ask(struct conn *c, const struct mqtt_publish *pub, bool *command)
{
	const struct mqtt_publish_request r = {
		.client_id = session_id(c->session),
		.topic = pub->topic,
		.qos = pub->qos,
		.retain = pub->retain,
	};
	uint8_t reason = publish_permitted(c->worker->broker, &r, command);

	if (reason >= 0x80)
		log_warning("mqtt", "client %s %s: PUBLISH to %s refused: %s",
			    log_quote((char[64]){0}, 64, r.client_id),
			    conn_peer(c, (char[STREAM_PEER_MAX]){0}),
			    log_quote((char[128]){0}, 128, pub->topic), mqtt_reason_text(reason));
	return reason;
}

/* Let it through to everybody; the answer for an acknowledgement. */
static uint8_t publish_route(struct conn *c, const struct mqtt_publish *pub)
{
	struct publication p;
	bool command, matched = false;
	uint8_t reason = policy_ask(c, pub, &command);
	int rc;

	if (reason >= 0x80)
		return reason;
	if (publication_of(c, pub, &p) < 0)
		return MQTT_RC_QUOTA_EXCEEDED;
	p.command = command;
	rc = route_publish(c->worker, &p, &matched);
	publication_fini(&p);
	if (rc == ERR_RANGE)
		return MQTT_RC_TOPIC_NAME_INVALID;
	if (rc < 0)
		return MQTT_RC_QUOTA_EXCEEDED;
	return matched ? MQTT_RC_SUCCESS : MQTT_RC_NO_MATCHING_SUBSCRIBERS;
}

/*
 * A refused QoS 1 or 2 message gets its reason in v5; one that is no acknowledgement's (retain not supported) goes into
 * DISCONNECT. In 3.1.1 there is none: the connection is closed [MQTT-3.3.5-2].
 */
static int publish_refused(struct conn *c, const struct mqtt_publish *pub, uint8_t reason)
{
	enum mqtt_type ack = pub->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC;

	/* Not every reason may stand there: 0x9A only in DISCONNECT (5.0, 2.4). */
	if (c->version == MQTT_V5 && pub->qos > 0 && mqtt_reason_allowed(ack, reason)) {
		conn_send_ack(c, ack, pub->packet_id, reason);
		return OK;
	}
	/* who may not write a topic is not thrown out for a QoS 0 message: tools that clear what is retained write to all */
	if (pub->qos == 0 && (c->version != MQTT_V5 || reason == MQTT_RC_NOT_AUTHORIZED))
		return OK;
	return CONN_ERR_REASON(reason);
}

static int on_publish_qos2(struct conn *c, const struct mqtt_publish *pub)
{
	bool fresh;
	uint8_t reason = MQTT_RC_SUCCESS;

	if (session_received_add(c->session, pub->packet_id, &fresh) < 0)
		return ERR_NOMEM;
	if (fresh && c->session->nreceived > c->worker->broker->config.max_inflight &&
	    c->version == MQTT_V5) {
		/* it was not taken: sent again after a reconnect, it is no repeat */
		(void)session_received_remove(c->session, pub->packet_id);
		return CONN_ERR_REASON(MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED); /* [MQTT-3.3.4-7] */
	}
	if (fresh)
		reason = publish_route(c, pub);
	if (reason >= 0x80) {
		(void)session_received_remove(c->session, pub->packet_id);
		return publish_refused(c, pub, reason);
	}
	conn_send_ack(c, MQTT_PUBREC, pub->packet_id, reason);
	return OK;
}

static int on_publish(struct conn *c, const struct mqtt_frame *f)
{
	struct mqtt_publish pub;
	uint8_t reason;
	int rc = mqtt_publish_decode(f, c->version, &pub);

	if (rc == OK && c->version == MQTT_V5 && mqtt_props_has(&pub.props, MQTT_P_SUBSCRIPTION_ID))
		rc = ERR_PROTOCOL; /* [MQTT-3.3.4-6] */
	if (rc == OK)
		rc = alias_resolve(c, &pub);
	if (rc < 0)
		return rc;
	c->publishes = true;
	worker_count(c->worker, messages_received, 1);
	if (pub.qos == 2)
		return on_publish_qos2(c, &pub);
	reason = publish_route(c, &pub);
	if (reason >= 0x80)
		return publish_refused(c, &pub, reason);
	if (pub.qos == 1)
		conn_send_ack(c, MQTT_PUBACK, pub.packet_id, reason);
	return OK;
}

/* ---- acknowledgements ---- */

static int on_ack(struct conn *c, const struct mqtt_frame *f)
{
	struct mqtt_ack ack;
	bool known;
	int rc = mqtt_ack_decode(f, c->version, &ack);

	if (rc < 0)
		return rc;
	switch (f->type) {
	case MQTT_PUBACK:
		return session_puback(c->session, ack.packet_id);
	case MQTT_PUBREC:
		return session_pubrec(c->session, ack.packet_id, ack.reason);
	case MQTT_PUBCOMP:
		return session_pubcomp(c->session, ack.packet_id);
	default:
		known = session_received_remove(c->session, ack.packet_id);
		conn_send_ack(c, MQTT_PUBCOMP, ack.packet_id,
			      known ? MQTT_RC_SUCCESS : MQTT_RC_PACKET_ID_NOT_FOUND);
		return OK;
	}
}

/* ---- SUBSCRIBE, UNSUBSCRIBE ---- */

/* A code per filter, in a packet made for it. */
static int send_codes(struct conn *c, enum mqtt_type type, uint16_t packet_id, struct span codes)
{
	struct mqtt_suback ack = {.packet_id = packet_id, .codes = codes};
	uint32_t room = (uint32_t)codes.len + 16;
	uint8_t *at = malloc(room), *out;
	struct wr w = wr_of(at, room);
	int rc = at ? OK : ERR_NOMEM;

	mqtt_props_clear(&ack.props);
	if (at)
		rc = mqtt_suback_encode(&w, c->version, type, &ack);
	out = rc == OK ? conn_take(c, room - (uint32_t)w.left) : NULL;
	if (out)
		memcpy(out, at, room - w.left);
	free(at);
	return rc;
}

static uint8_t subscribe_one(struct conn *c, const struct mqtt_sub_item *item, uint32_t id)
{
	struct worker *w = c->worker;
	struct session *s = c->session;
	struct sub_options o = {
		.qos = item->qos,
		.no_local = item->no_local,
		.retain_as_published = item->retain_as_published,
		.id = id,
	};
	struct sub *sub;
	bool existed;
	int rc;

	if (!mqtt_filter_valid(item->filter))
		return MQTT_RC_TOPIC_FILTER_INVALID;
	/* it does not read the retained messages that it asked for before */
	if (item->retain_handling != 2 && !session_feed_has_room(s))
		return MQTT_RC_QUOTA_EXCEEDED;
	if (s->nsubs >= w->broker->config.max_subscriptions && !sub_tree_find(w->subs, s, item->filter))
		return MQTT_RC_QUOTA_EXCEEDED;
	if (route_reserve(w, w->nsessions, sub_tree_count(w->subs) + 1) < 0)
		return MQTT_RC_QUOTA_EXCEEDED;
	rc = sub_tree_add(w->subs, s, &s->subs, true, item->filter, &o, &sub, &existed);
	if (rc < 0)
		return rc == ERR_RANGE ? MQTT_RC_TOPIC_FILTER_INVALID : MQTT_RC_QUOTA_EXCEEDED;
	s->nsubs += !existed;
	loop_interleave(w->loop); /* inserted, then retained messages are read: see publish() in route.c */
	/* not for shared subscriptions (4.8.2); otherwise as the handling says (3.8.3.1) */
	if (!sub->group && (item->retain_handling == 0 || (item->retain_handling == 1 && !existed)) &&
	    session_feed_retained(s, item->filter, &o) < 0)
		log_warning("mqtt", "client %s %s: retained messages not sent: out of memory",
			    log_quote((char[64]){0}, 64, session_id(s)),
			    conn_peer(c, (char[STREAM_PEER_MAX]){0}));
	return item->qos;
}

/* v3 knows only one refusal ([MQTT-3.9.3-2]); 3.1 none, and grants the lowest. */
static uint8_t suback_code(const struct conn *c, uint8_t code)
{
	if (code < 0x80 || c->version == MQTT_V5)
		return code;
	return c->version == MQTT_V311 ? 0x80 : 0;
}

/*
 * The filters, as many as this turn has time for: each may look at all retained messages. ERR_AGAIN: there are more.
 * Meanwhile the session gets what matches those that are done, which it may before SUBACK (3.8.4).
 */
static int subscribe_on(struct conn *c, const struct mqtt_subscribe *sub)
{
	struct subscribing *at = c->subscribing;
	uint32_t id = c->version == MQTT_V5 ? mqtt_props_num(&sub->props, MQTT_P_SUBSCRIPTION_ID, 0) : 0;
	struct rd list = rd_of(sub->filters.p + at->offset, sub->filters.len - at->offset);
	struct mqtt_sub_item item;

	while (at->count < sub->count && mqtt_subscribe_next(&list, c->version, &item)) {
		at->codes[at->count++] = suback_code(c, subscribe_one(c, &item, id));
		if (worker_is_busy(c->worker) && at->count < sub->count) {
			at->offset = sub->filters.len - list.left;
			return ERR_AGAIN;
		}
	}
	return OK;
}

static int on_subscribe(struct conn *c, const struct mqtt_frame *f)
{
	struct subscribing *at;
	struct mqtt_subscribe sub;
	int rc = mqtt_subscribe_decode(f, c->version, &sub);

	if (rc < 0)
		return rc;
	if (!c->subscribing)
		c->subscribing = calloc(1, sizeof(*at) + sub.count);
	at = c->subscribing;
	if (!at)
		return ERR_NOMEM;
	rc = subscribe_on(c, &sub);
	if (rc == ERR_AGAIN)
		return rc;
	rc = send_codes(c, MQTT_SUBACK, sub.packet_id, span_of(at->codes, at->count));
	free(at);
	c->subscribing = NULL;
	if (rc == OK && c->state == CONN_OPEN)
		session_pump(c->session);
	return rc;
}

static uint8_t unsubscribe_one(struct conn *c, struct span filter)
{
	struct session *s = c->session;
	struct sub *sub;

	if (!mqtt_filter_valid(filter))
		return MQTT_RC_TOPIC_FILTER_INVALID;
	sub = sub_tree_find(c->worker->subs, s, filter);
	if (!sub)
		return MQTT_RC_NO_SUBSCRIPTION_EXISTED;
	sub_tree_remove(c->worker->subs, sub, true);
	s->nsubs--;
	return MQTT_RC_SUCCESS;
}

static int on_unsubscribe(struct conn *c, const struct mqtt_frame *f)
{
	struct mqtt_unsubscribe unsub;
	struct span filter;
	uint8_t *codes;
	uint32_t n = 0;
	struct rd list;
	int rc = mqtt_unsubscribe_decode(f, c->version, &unsub);

	if (rc < 0)
		return rc;
	codes = malloc(unsub.count);
	if (!codes)
		return ERR_NOMEM;
	list = rd_of(unsub.filters.p, unsub.filters.len);
	while (n < unsub.count && mqtt_unsubscribe_next(&list, &filter))
		codes[n++] = unsubscribe_one(c, filter);
	rc = send_codes(c, MQTT_UNSUBACK, unsub.packet_id, span_of(codes, n));
	free(codes);
	return rc;
}

/* ---- the rest ---- */

static int on_pingreq(struct conn *c, const struct mqtt_frame *f)
{
	uint8_t *at;
	struct wr w;
	int rc = mqtt_empty_decode(f);

	if (rc < 0)
		return rc;
	at = conn_take(c, 2);
	w = wr_of(at, at ? 2 : 0);
	return at ? mqtt_empty_encode(&w, MQTT_PINGRESP) : OK;
}

/* Some reasons are the server's alone (5.0, table 3-10). */
static bool disconnect_is_clients(uint8_t reason)
{
	switch (reason) {
	case MQTT_RC_SUCCESS:
	case MQTT_RC_DISCONNECT_WITH_WILL:
	case MQTT_RC_UNSPECIFIED_ERROR:
	case MQTT_RC_MALFORMED_PACKET:
	case MQTT_RC_PROTOCOL_ERROR:
	case MQTT_RC_IMPLEMENTATION_SPECIFIC:
	case MQTT_RC_TOPIC_NAME_INVALID:
	case MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED:
	case MQTT_RC_TOPIC_ALIAS_INVALID:
	case MQTT_RC_PACKET_TOO_LARGE:
	case MQTT_RC_MESSAGE_RATE_TOO_HIGH:
	case MQTT_RC_QUOTA_EXCEEDED:
	case MQTT_RC_ADMINISTRATIVE_ACTION:
	case MQTT_RC_PAYLOAD_FORMAT_INVALID:
		return true;
	default:
		return false;
	}
}

static int on_disconnect(struct conn *c, const struct mqtt_frame *f)
{
	struct mqtt_disconnect d;
	uint32_t expiry_s;
	int rc = mqtt_disconnect_decode(f, c->version, &d);

	if (rc < 0)
		return rc;
	if (!disconnect_is_clients(d.reason))
		return ERR_PROTOCOL;
	if (c->version == MQTT_V5) {
		expiry_s = mqtt_props_num(&d.props, MQTT_P_SESSION_EXPIRY, c->session->expiry_s);
		/* it can't be made to last if it was not to at CONNECT [MQTT-3.14.2-2] */
		if (c->session->expiry_s == 0 && expiry_s != 0)
			return ERR_PROTOCOL;
		c->session->expiry_s = expiry_s;
	}
	c->orderly = d.reason == MQTT_RC_SUCCESS;
	log_info("mqtt", "client %s %s: disconnected: %s",
		 log_quote((char[64]){0}, 64, session_id(c->session)),
		 conn_peer(c, (char[STREAM_PEER_MAX]){0}), mqtt_reason_text(d.reason));
	conn_drop(c);
	return OK;
}

int conn_packet(struct conn *c, const struct mqtt_frame *f)
{
	switch (f->type) {
	case MQTT_PUBLISH:
		return on_publish(c, f);
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		return on_ack(c, f);
	case MQTT_SUBSCRIBE:
		return on_subscribe(c, f);
	case MQTT_UNSUBSCRIBE:
		return on_unsubscribe(c, f);
	case MQTT_PINGREQ:
		return on_pingreq(c, f);
	case MQTT_DISCONNECT:
		return on_disconnect(c, f);
	case MQTT_CONNECT:
		/* closed without a DISCONNECT: the standard asks for no more [MQTT-3.1.0-2], and there are readers that hang on one */
		worker_count(c->worker, protocol_errors, 1);
		conn_close(c, MQTT_RC_SUCCESS, "a second CONNECT");
		return OK;
	default: /* AUTH without a method, or what only servers send */
		return ERR_PROTOCOL;
	}
}
