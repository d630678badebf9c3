/*
 * What a client sends after CONNECT, one function per packet type.
 */
#include "mqtt/answer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "mqtt/refusal.h"
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
	if (id > ALIASES_IN_MAX)
		return CONN_ERR_ALIAS; /* [MQTT-3.3.2-9] */
	if (!c->aliases_in)
		c->aliases_in = calloc(1, sizeof(*c->aliases_in));
	if (!c->aliases_in)
		return ERR_NOMEM;
	a = &c->aliases_in->at[id - 1];
	if (pub->topic.len == 0) {
		pub->topic = span_of(a->topic, a->len);
		return a->topic ? OK : ERR_PROTOCOL; /* on this connection [MQTT-3.3.2-7] */
	}
	/* nobody has to send the topic before an alias that it keeps, so the client can do without */
	if (pub->topic.len > a->len && worker_memory(c->worker) == BUDGET_FULL)
		return CONN_ERR_REASON(MQTT_RC_QUOTA_EXCEEDED);
	copy = malloc(pub->topic.len);
	if (!copy)
		return ERR_NOMEM;
	memcpy(copy, pub->topic.p, pub->topic.len);
	alias_set(c, a, copy, (uint32_t)pub->topic.len);
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

/* Let it through to everybody; the answer for an acknowledgement, and what that waits for. */
static uint8_t publish_route(struct conn *c, const struct mqtt_publish *pub, struct promise *promise)
{
	struct publication p;
	struct confirm *confirm = NULL;
	bool command, matched = false;
	uint8_t reason = policy_ask(c, pub, &command);
	int rc;

	if (reason >= 0x80)
		return reason;
	if (publication_of(c, pub, &p) < 0)
		return MQTT_RC_QUOTA_EXCEEDED;
	p.command = command;
	p.conditional = pub->qos == 2 && c->session->stored;
	if (p.conditional && !(confirm = malloc(sizeof(*confirm))))
		return MQTT_RC_QUOTA_EXCEEDED;
	rc = route_publish(c->worker, &p, &matched);
	publication_fini(&p);
	if (rc < 0)
		free(confirm);
	else if (confirm)
		*promise = confirm_add(c->session, confirm, pub->packet_id, &p);
	else if (worker_has_store(c->worker))
		*promise = promise_of(c->worker, &p, p.ticket);
	if (rc == ERR_IO) { /* with a reason of its own, should the store have become well again meanwhile */
		reason = store_refusal(c->worker);
		refusal_publish(c);
		return reason ? reason : MQTT_RC_IMPLEMENTATION_SPECIFIC;
	}
	if (rc == ERR_RANGE)
		return MQTT_RC_TOPIC_NAME_INVALID;
	if (rc == ERR_FULL && pub->qos == 0) /* others learn it from the answer */
		worker_count(c->worker, dropped_memory, 1);
	if (rc < 0)
		return MQTT_RC_QUOTA_EXCEEDED;
	return matched ? MQTT_RC_SUCCESS : MQTT_RC_NO_MATCHING_SUBSCRIBERS;
}

/*
 * A refused QoS 1 or 2 message gets its reason in v5; one that is no acknowledgement's (retain not supported) goes into
 * DISCONNECT. In 3.1.1 there is none: the connection is closed (3.1.1 [MQTT-3.3.5-2]); for the store's sake it waits before that.
 */
static int publish_refused(struct conn *c, const struct mqtt_publish *pub, uint8_t reason)
{
	enum mqtt_type ack = pub->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC;

	/* Not every reason may stand there: 0x9A only in DISCONNECT (5.0, 2.4). */
	if (c->version == MQTT_V5 && pub->qos > 0 && mqtt_reason_allowed(ack, reason)) {
		conn_answer(c, ack, pub->packet_id, reason, NULL);
		return OK;
	}
	if (c->waits_for_store)
		return ERR_AGAIN;
	/* who may not write a topic is not thrown out for a QoS 0 message: tools that clear what is retained write to all */
	if (pub->qos == 0 &&
	    (c->version != MQTT_V5 || reason == MQTT_RC_NOT_AUTHORIZED || reason == MQTT_RC_QUOTA_EXCEEDED))
		return OK;
	return CONN_ERR_REASON(reason);
}

#define PUBREC_BYTES 4u

/*
 * A message that was not seen before. Without a store its PUBREC is written before the routing, which may send it to this very
 * client: who waits for an answer gets that first ([MQTT-3.3.4-1]; 5.0 [MQTT-4.3.3-8]). With one, whether it may be written is
 * known after. That nobody was subscribed is told in PUBACK only (3.5.2.1: may).
 */
static int qos2_take(struct conn *c, const struct mqtt_publish *pub)
{
	const struct mqtt_ack ack = {.packet_id = pub->packet_id};
	bool waits = worker_has_store(c->worker);
	uint8_t *at = waits ? NULL : conn_take(c, PUBREC_BYTES), reason;
	struct wr w = wr_of(at, at ? PUBREC_BYTES : 0);
	struct promise promise = {0};
	int rc;

	if (!at && !waits)
		return ERR_NOMEM;
	reason = publish_route(c, pub, &promise);
	if (reason >= 0x80) {
		if (at)
			output_give_back(&c->output, PUBREC_BYTES); /* nothing was sent to anybody */
		return reason;
	}
	if (waits) {
		conn_answer(c, MQTT_PUBREC, pub->packet_id, MQTT_RC_SUCCESS, &promise);
		return OK;
	}
	rc = mqtt_ack_encode(&w, c->version, MQTT_PUBREC, &ack);
	assert(rc == OK && w.left == 0);
	return OK;
}

static int on_publish_qos2(struct conn *c, const struct mqtt_publish *pub)
{
	struct promise promise;
	bool fresh;
	int rc;

	if (session_received_add(c->session, pub->packet_id, &fresh) < 0)
		return ERR_NOMEM;
	if (!fresh) { /* a repeat is acknowledged alone: 3.1.1 [MQTT-4.3.3-2], 5.0 [MQTT-4.3.3-10] */
		promise = promise_of_all(c->worker); /* its first answer may wait still */
		conn_answer(c, MQTT_PUBREC, pub->packet_id, MQTT_RC_SUCCESS, &promise);
		return OK;
	}
	if (c->session->nreceived > c->worker->broker->config.max_inflight + c->received_before &&
	    c->version == MQTT_V5)
		rc = CONN_ERR_REASON(MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED); /* [MQTT-3.3.4-7] */
	else
		rc = qos2_take(c, pub);
	if (rc == OK)
		return OK;
	/* it was not taken: sent again, it is no repeat [MQTT-4.3.3-9] */
	(void)session_received_remove(c->session, pub->packet_id);
	return rc < 0 ? rc : publish_refused(c, pub, (uint8_t)rc);
}

static int on_publish(struct conn *c, const struct mqtt_frame *f)
{
	struct mqtt_publish pub;
	struct promise promise = {0};
	uint8_t reason;
	int rc = mqtt_publish_decode(f, c->version, &pub);

	if (rc == OK && c->version == MQTT_V5 && mqtt_props_has(&pub.props, MQTT_P_SUBSCRIPTION_ID))
		rc = ERR_PROTOCOL; /* [MQTT-3.3.4-6] */
	if (rc == OK)
		rc = alias_resolve(c, &pub);
	if (rc < 0)
		return rc;
	c->publishes = true;
	if (!refusal_end(c)) {
		worker_count(c->worker, messages_received, 1);
		worker_count(c->worker, payload_received, pub.payload.len);
	}
	if (pub.qos == 2)
		return on_publish_qos2(c, &pub);
	if (pub.qos == 1 && (pub.dup || c->session->left) && answers_repeat(c, pub.packet_id, pub.dup))
		return OK;
	reason = publish_route(c, &pub, &promise);
	if (reason >= 0x80)
		return publish_refused(c, &pub, reason);
	if (pub.qos == 1) /* [MQTT-3.3.4-1]; 3.1.1 [MQTT-4.3.2-2], 5.0 [MQTT-4.3.2-4] */
		conn_answer(c, MQTT_PUBACK, pub.packet_id, reason, &promise);
	return OK;
}

/* ---- acknowledgements ---- */

/* What was put for a session until now, if any of it is kept on disk. */
static struct promise session_promise(const struct session *s)
{
	return s->stored ? promise_now(s->worker) : (struct promise){0};
}

/* After PUBCOMP the id is new: 3.1.1 [MQTT-4.3.3-2], 5.0 [MQTT-4.3.3-11], [MQTT-4.3.3-12]. */
static int on_pubrel(struct conn *c, const struct mqtt_frame *f)
{
	struct session *s = c->session;
	struct mqtt_ack ack;
	struct promise promise;
	bool known;
	int rc = mqtt_ack_decode(f, c->version, &ack);

	if (rc < 0)
		return rc;
	known = session_received_remove(s, ack.packet_id);
	if (known && s->stored)
		store_drop_received(c->worker->disk, s->stored, ack.packet_id);
	promise =
		session_promise(s); /* a repeat waits, too: for what an earlier connection did not hear of */
	/* to send PUBREL once more is no mistake of who lost the connection before PUBCOMP (3.7.2.1) */
	conn_answer(c, MQTT_PUBCOMP, ack.packet_id,
		    known || c->is_resumed ? MQTT_RC_SUCCESS : MQTT_RC_PACKET_ID_NOT_FOUND, &promise);
	return OK;
}

/* PUBACK, PUBREC, PUBCOMP: the client's answers. */
static int on_ack(struct conn *c, const struct mqtt_frame *f)
{
	struct mqtt_ack ack;
	int rc = mqtt_ack_decode(f, c->version, &ack);

	if (rc < 0)
		return rc;
	switch (f->type) {
	case MQTT_PUBACK:
		return session_puback(c->session, ack.packet_id);
	case MQTT_PUBREC:
		return session_pubrec(c->session, ack.packet_id, ack.reason);
	default:
		return session_pubcomp(c->session, ack.packet_id);
	}
}

/* ---- SUBSCRIBE, UNSUBSCRIBE ---- */

/* The first failure among the codes in words, for who wants them. */
static void explain_codes(const struct conn *c, struct mqtt_suback *ack)
{
	size_t size = mqtt_suback_size(ack->codes.len);

	mqtt_props_clear(&ack->props);
	for (size_t i = 0; i < ack->codes.len; i++)
		if (ack->codes.p[i] >= 0x80) {
			conn_explain(c, &ack->props, mqtt_reason_text(ack->codes.p[i]), &size);
			return;
		}
}

/* Is there a filter that was not refused? A refusal speaks of nothing that has to be on disk. */
static bool any_granted(struct span codes)
{
	for (size_t i = 0; i < codes.len; i++)
		if (codes.p[i] < 0x80)
			return true;
	return false;
}

/* A code per filter in their order, in one packet made for it: [MQTT-3.9.3-1]; 5.0 [MQTT-3.11.3-1]. */
static int send_codes(struct conn *c, enum mqtt_type type, uint16_t packet_id, struct span codes)
{
	struct mqtt_suback ack = {.packet_id = packet_id, .codes = codes};
	uint32_t room = (uint32_t)codes.len + 128;
	uint8_t *at = malloc(room);
	struct wr w = wr_of(at, room);
	struct promise promise = session_promise(c->session);
	int rc = at ? OK : ERR_NOMEM;

	explain_codes(c, &ack);
	if (at)
		rc = mqtt_suback_encode(&w, c->version, type, &ack);
	if (rc == OK)
		conn_answer_packet(c, type, at, room - (uint32_t)w.left,
				   any_granted(codes) ? &promise : NULL);
	free(at);
	return rc;
}

/* May there be one more subscription? One that is renewed always may. */
static bool sub_is_permitted(struct worker *w, struct session *s, struct span filter)
{
	return (s->nsubs < w->broker->config.max_subscriptions && worker_memory(w) == BUDGET_OK) ||
	       sub_tree_find(w->subs, s, filter);
}

/* As in the store already? How retained messages are handled says nothing of later. */
static bool sub_is_same(const struct sub_options *a, const struct sub_options *b)
{
	return a->qos == b->qos && a->no_local == b->no_local &&
	       a->retain_as_published == b->retain_as_published && a->id == b->id;
}

static int sub_put(const struct session *s, const struct mqtt_sub_item *item, uint32_t id)
{
	const struct store_sub sub = {
		.session = s->stored,
		.filter = item->filter,
		.qos = item->qos,
		.no_local = item->no_local,
		.retain_as_published = item->retain_as_published,
		.retain_handling = item->retain_handling,
		.id = id,
	};

	return store_put_sub(s->worker->disk, &sub);
}

/* Into tree and store, or neither. */
static int sub_make(struct session *s, const struct mqtt_sub_item *item, const struct sub_options *o,
		    struct sub **sub, bool *existed)
{
	struct worker *w = s->worker;
	struct sub *was = s->stored ? sub_tree_find(w->subs, s, item->filter) : NULL;
	struct sub_options before = was ? was->options : (struct sub_options){0};
	int rc = sub_tree_add(w->subs, s, &s->subs, true, item->filter, o, sub, existed);

	if (rc == OK && !*existed)
		session_count_sub(s, item->filter, 1);
	if (rc < 0 || !s->stored || (was && sub_is_same(&before, o)) || sub_put(s, item, o->id) == OK)
		return rc;
	if (was) {
		rc = sub_tree_add(w->subs, s, &s->subs, true, item->filter, &before, sub, existed);
		assert(rc == OK); /* it is there */
	} else {
		sub_tree_remove(w->subs, *sub, true);
		session_count_sub(s, item->filter, -1);
	}
	return ERR_NOMEM;
}

static uint8_t subscribe_one(struct conn *c, const struct mqtt_sub_item *item, uint32_t id)
{
	struct worker *w = c->worker;
	struct session *s = c->session;
	struct sub_options o = {
		.qos = item->qos,
		.no_local = item->no_local,
		.retain_as_published = item->retain_as_published,
		.is_stored = s->stored != 0,
		.id = id,
	};
	struct sub *sub;
	bool existed;
	/* not even one that it has, anew */
	uint8_t refusal = s->stored ? store_refusal(w) : MQTT_RC_SUCCESS;
	int rc;

	if (refusal)
		return refusal;
	/* it does not read the retained messages that it asked for before */
	if (item->retain_handling != 2 && !session_feed_has_room(s))
		return MQTT_RC_QUOTA_EXCEEDED;
	if (!sub_is_permitted(w, s, item->filter))
		return MQTT_RC_QUOTA_EXCEEDED;
	if (route_reserve(w, w->nsessions, sub_tree_count(w->subs) + 1) < 0)
		return MQTT_RC_QUOTA_EXCEEDED;
	rc = sub_make(s, item, &o, &sub, &existed);
	if (rc < 0)
		return rc == ERR_RANGE ? MQTT_RC_TOPIC_FILTER_INVALID : MQTT_RC_QUOTA_EXCEEDED;
	loop_interleave(w->loop); /* inserted, then retained messages are read: see publish() in route.c */
	/*
	 * Not for shared subscriptions (4.8.2); otherwise as the handling says: 5.0 [MQTT-3.3.1-9] to [MQTT-3.3.1-11],
	 * [MQTT-3.8.4-4]; below 5.0 always: 3.1.1 [MQTT-3.3.1-6], [MQTT-3.8.4-3].
	 */
	if (!sub->options.is_shared &&
	    (item->retain_handling == 0 || (item->retain_handling == 1 && !existed)) &&
	    session_feed_retained(s, item->filter, &sub->options) < 0)
		log_warning("mqtt", "client %s %s: retained messages not sent: out of memory",
			    log_quote((char[64]){0}, 64, session_id(s)),
			    conn_peer(c, (char[STREAM_PEER_MAX]){0}));
	return item->qos; /* 3.1.1 [MQTT-3.8.4-5], 5.0 [MQTT-3.8.4-7] */
}

/* v3 knows only one refusal (3.1.1 [MQTT-3.9.3-2]); 3.1 none, and grants the lowest. */
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
	if (!conn_fits(c, mqtt_suback_size(sub.count)))
		return ERR_TOO_LARGE; /* [MQTT-3.1.2-24]: it would not get the answer */
	if (!c->subscribing)
		c->subscribing = calloc(1, sizeof(*at) + sub.count);
	at = c->subscribing;
	if (!at)
		return ERR_NOMEM;
	rc = subscribe_on(c, &sub);
	if (rc == ERR_AGAIN)
		return rc;
	/* [MQTT-3.8.4-1], [MQTT-3.8.4-2]; one for all filters: 3.1.1 [MQTT-3.8.4-4], 5.0 [MQTT-3.8.4-5], [MQTT-3.8.4-6] */
	rc = send_codes(c, MQTT_SUBACK, sub.packet_id, span_of(at->codes, at->count));
	free(at);
	c->subscribing = NULL;
	if (rc == OK && c->state == CONN_OPEN)
		session_pump(c->session);
	return rc;
}

static int unsubscribe_one(struct conn *c, struct span filter, uint8_t *code)
{
	struct session *s = c->session;
	struct sub *sub = sub_tree_find(c->worker->subs, s, filter); /* the very same [MQTT-3.10.4-1] */

	*code = MQTT_RC_NO_SUBSCRIPTION_EXISTED;
	if (!sub)
		return OK;
	/* 0x97 may not stand there (5.0, table 3-9); below 5.0 nothing may, and UNSUBACK waits */
	if (s->stored && c->version == MQTT_V5 && store_refusal(c->worker)) {
		*code = MQTT_RC_IMPLEMENTATION_SPECIFIC;
		return OK;
	}
	if (s->stored && store_drop_sub(c->worker->disk, s->stored, filter) < 0)
		return ERR_NOMEM;
	/* [MQTT-3.10.4-2]; what has a slot stays [MQTT-3.10.4-3] */
	sub_tree_remove(c->worker->subs, sub, true);
	session_count_sub(s, filter, -1);
	*code = MQTT_RC_SUCCESS;
	return OK;
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
	if (!conn_fits(c, mqtt_suback_size(unsub.count)))
		return ERR_TOO_LARGE; /* as in SUBSCRIBE */
	codes = malloc(unsub.count);
	if (!codes)
		return ERR_NOMEM;
	list = rd_of(unsub.filters.p, unsub.filters.len);
	while (rc == OK && n < unsub.count && mqtt_unsubscribe_next(&list, &filter))
		rc = unsubscribe_one(c, filter, &codes[n++]);
	/* [MQTT-3.10.4-4], [MQTT-3.10.4-5], [MQTT-3.10.4-6] */
	if (rc == OK)
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
		return f->body_len > 0 ? CONN_ERR_QUIET : rc;
	at = conn_take_control(c, 2);
	w = wr_of(at, at ? 2 : 0);
	return at ? mqtt_empty_encode(&w, MQTT_PINGRESP) : OK; /* [MQTT-3.12.4-1] */
}

/* Some reasons are the server's alone (5.0 [MQTT-3.14.2-1], table 3-10). */
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

/* It goes when what it said of its session is on disk; of the rest nobody has to be sure. */
static void leave(struct conn *c, bool expiry_changed)
{
	struct session *s = c->session;
	struct promise promise;

	if (!s->stored || !expiry_changed) {
		conn_drop(c);
		return;
	}
	if (c->orderly)
		session_forget_will(s);
	session_put(s);
	promise = promise_now(s->worker);
	conn_answer_end(c, &promise);
}

static int on_disconnect(struct conn *c, const struct mqtt_frame *f)
{
	struct mqtt_disconnect d;
	uint32_t expiry_s = c->session->expiry_s, before = expiry_s;
	int rc;

	/* it is gone: a reason that is none is no reason to answer (3.14.4) */
	if (c->version == MQTT_V5 && f->body_len > 0 && !disconnect_is_clients(f->body[0]))
		return CONN_ERR_QUIET;
	rc = mqtt_disconnect_decode(f, c->version, &d);
	if (rc < 0)
		return rc;
	if (c->version == MQTT_V5) {
		expiry_s = mqtt_props_num(&d.props, MQTT_P_SESSION_EXPIRY, before);
		/* it can't be made to last if it was not to at CONNECT (5.0, 3.14.2.2.2) */
		if (before == 0 && expiry_s != 0)
			return ERR_PROTOCOL;
		c->session->expiry_s = expiry_s;
	}
	c->orderly = d.reason == MQTT_RC_SUCCESS; /* no will then [MQTT-3.14.4-3] */
	log_info("mqtt", "client %s %s: disconnected: %s",
		 log_quote((char[64]){0}, 64, session_id(c->session)),
		 conn_peer(c, (char[STREAM_PEER_MAX]){0}), mqtt_reason_text(d.reason));
	leave(c, expiry_s != before);
	return OK;
}

int conn_packet(struct conn *c, const struct mqtt_frame *f)
{
	switch (f->type) {
	case MQTT_PUBLISH:
		return on_publish(c, f);
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBCOMP:
		return on_ack(c, f);
	case MQTT_PUBREL:
		return on_pubrel(c, f);
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
	case MQTT_PINGRESP:
	case MQTT_SUBACK:
	case MQTT_UNSUBACK: /* only servers send them; their flags are looked at first [MQTT-2.1.3-1] */
		if (f->type == MQTT_PINGRESP && f->body_len > 0)
			return CONN_ERR_QUIET;
		return f->flags ? ERR_MALFORMED : ERR_PROTOCOL;
	default: /* CONNACK; AUTH without a method: 5.0 [MQTT-3.15.1-1], [MQTT-4.12.0-7], [MQTT-4.12.1-2] */
		return ERR_PROTOCOL;
	}
}
