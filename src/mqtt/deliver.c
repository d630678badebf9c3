/*
 * From the session to its client: what is sent at once, what is kept, and what the client's answers set free.
 *
 * Order of what goes out: first what an earlier connection left unacknowledged, then the queue, then new messages; retained
 * messages of a fresh subscription when nothing waits before them, so that none is older than what was
 * sent already.
 */
#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "mqtt/conn.h"
#include "mqtt/port.h"
#include "mqtt/session.h"

/* Retained messages are added to the output while less than this waits in it. */
#define FEED_OUTPUT_BYTES (256u * 1024)

static uint32_t window(const struct session *s)
{
	uint32_t own = s->worker->broker->config.max_inflight;

	return s->conn->receive_maximum < own ? s->conn->receive_maximum : own;
}

static bool is_open(const struct session *s)
{
	return s->conn && s->conn->state == CONN_OPEN;
}

static bool window_has_room(const struct session *s)
{
	return is_open(s) && s->unacked < window(s);
}

/* Does anything wait that has to go before a new message? */
static bool something_waits(const struct session *s)
{
	return s->resent < s->nresend || (s->queue && store_queue_len(s->queue) > 0);
}

static bool output_is_full(const struct session *s)
{
	return s->conn->output.bytes >= s->worker->broker->config.max_queued_bytes;
}

bool session_can_take(const struct session *s, uint8_t qos)
{
	const struct broker_config *c = &s->worker->broker->config;

	if (s->port)
		return true;
	if (!is_open(s))
		return false;
	if (qos == 0)
		return !output_is_full(s);
	return !s->queue || (store_queue_len(s->queue) < c->max_queued_messages &&
			     store_queue_bytes(s->queue) < c->max_queued_bytes);
}

/* ---- sending ---- */

/* Give a message that has a slot to the client. What is too large for it counts as sent and acknowledged. */
static void slot_send(struct session *s, struct inflight_slot *slot, bool dup)
{
	struct publication p;
	struct delivery d = {.qos = slot->qos, .retain = slot->retain};
	uint64_t now = loop_now_ms(s->worker->loop);

	msg_view(slot->msg, &p);
	if (slot->sub_ids) {
		d.nids = slot->sub_ids[0];
		d.ids = slot->sub_ids + 1;
	}
	/* what was sent before must be sent again, expired or not: its state is between the two [MQTT-4.4.0-1] */
	if (!dup && publication_expired(&p, now)) {
		worker_count(s->worker, dropped_expired, 1);
		inflight_remove(&s->inflight, slot);
		return;
	}
	if (conn_send_publish(s->conn, &p, &d, slot->packet_id, dup)) {
		s->unacked++;
		return;
	}
	if (is_open(s)) /* else the connection went, and the slot waits for the next */
		inflight_remove(&s->inflight, slot);
}

/* Takes the item's references. false: no memory; they are the caller's still. */
static bool item_send(struct session *s, const struct store_item *item)
{
	struct inflight_slot *slot = inflight_add(&s->inflight);

	if (!slot)
		return false;
	slot->msg = item->msg;
	slot->sub_ids = item->sub_ids;
	slot->qos = item->qos;
	slot->retain = item->retain;
	slot_send(s, slot, false);
	return true;
}

static bool queue_is_full(const struct session *s)
{
	const struct broker_config *c = &s->worker->broker->config;

	return s->queue && (store_queue_len(s->queue) >= c->max_queued_messages ||
			    store_queue_bytes(s->queue) >= c->max_queued_bytes);
}

static bool item_queue(struct session *s, const struct store_item *item)
{
	if (queue_is_full(s)) {
		worker_count(s->worker, dropped_queue_full, 1);
		log_notice("mqtt", "client %s: queue full, message dropped",
			   log_quote((char[128]){0}, 128, session_id(s)));
		return false;
	}
	if ((!s->queue && store_queue_create(s->worker->store, &s->queue) < 0) ||
	    store_queue_push(s->queue, item) < 0) {
		worker_count(s->worker, dropped_memory, 1);
		return false;
	}
	return true;
}

static uint32_t *ids_copy(const struct delivery *d)
{
	uint32_t *ids = malloc((d->nids + 1) * sizeof(*ids));

	if (!ids)
		return NULL;
	ids[0] = d->nids;
	memcpy(ids + 1, d->ids, d->nids * sizeof(*ids));
	return ids;
}

/* QoS 1 and 2: send within the window, else keep in order. */
static void deliver_surely(struct session *s, struct publication *p, const struct delivery *d)
{
	struct store_item item = {.qos = d->qos, .retain = d->retain};
	bool sent;

	if (p->command && !is_open(s))
		return;
	item.msg = publication_msg(p);
	if (item.msg && d->nids)
		item.sub_ids = ids_copy(d);
	if (!item.msg || (d->nids && !item.sub_ids)) {
		msg_unref(item.msg);
		worker_count(s->worker, dropped_memory, 1);
		return;
	}
	sent = !something_waits(s) && window_has_room(s) && item_send(s, &item);
	if (!sent && !item_queue(s, &item)) {
		msg_unref(item.msg);
		free(item.sub_ids);
	}
}

static void deliver_once(struct session *s, struct publication *p, const struct delivery *d)
{
	if (!is_open(s))
		return;
	if (output_is_full(s))
		worker_count(s->worker, dropped_qos0, 1);
	else
		(void)conn_send_publish(s->conn, p, d, 0, false); /* it counts what it can't send */
}

void session_deliver(struct session *s, struct publication *p, const struct delivery *d)
{
	if (s->port)
		port_deliver(s->port, p, d);
	else if (d->qos == 0)
		deliver_once(s, p, d);
	else
		deliver_surely(s, p, d);
}

/* ---- sending again after a reconnect (4.4) ---- */

int session_resume(struct session *s)
{
	struct inflight_slot **list;

	free(s->resend);
	s->resend = NULL;
	s->nresend = s->resent = 0;
	if (s->inflight.count > 0) {
		list = inflight_sorted(&s->inflight);
		s->resend = list ? malloc(s->inflight.count * sizeof(*s->resend)) : NULL;
		for (uint32_t i = 0; s->resend && i < s->inflight.count; i++)
			s->resend[i] = list[i]->packet_id;
		free(list);
		if (!s->resend)
			return ERR_NOMEM;
		s->nresend = s->inflight.count;
	}
	session_pump(s);
	return OK;
}

static void resend_next(struct session *s)
{
	struct inflight_slot *slot = inflight_find(&s->inflight, s->resend[s->resent++]);

	if (!slot)
		return;
	if (slot->state == INFLIGHT_RELEASED) {
		s->unacked++;
		conn_send_ack(s->conn, MQTT_PUBREL, slot->packet_id, MQTT_RC_SUCCESS);
	} else {
		slot_send(s, slot, true);
	}
}

/* ---- retained messages of a fresh subscription ---- */

static int feed_add(void *arg, struct retained *value)
{
	struct retained_feed *f = arg;

	if (f->count == f->room) {
		uint32_t room = f->room ? 2 * f->room : 8;
		struct retained **values = realloc(f->values, room * sizeof(struct retained *));

		if (!values)
			return ERR_NOMEM;
		f->values = values;
		f->room = room;
	}
	f->values[f->count++] = retained_ref(value);
	return OK;
}

int session_feed_retained(struct session *s, struct span filter, const struct sub_options *o, bool existed)
{
	struct worker *w = s->worker;
	struct retained_feed *f = calloc(1, sizeof(*f)), **last = &s->feed;
	int rc = f ? OK : ERR_NOMEM;

	if (f && topic_levels_split(w->levels, w->broker->config.seed, filter))
		rc = retained_match(w->broker->retained, w->levels, feed_add, f);
	if (!f || f->count == 0) {
		free(f);
		return rc;
	}
	f->options = *o;
	f->existed = existed;
	while (*last)
		last = &(*last)->next;
	*last = f;
	return rc;
}

/*
 * The value to send: the topic's newest, which may have changed since the subscription, or the one that was settled on before
 * waiting.
 */
static struct retained *feed_value(struct session *s, struct retained_feed *f)
{
	struct worker *w = s->worker;
	struct retained **at = &f->values[f->at], *now;

	if (f->pinned)
		return *at;
	if (!topic_levels_split(w->levels, w->broker->config.seed,
				span_of((*at)->msg->bytes, (*at)->msg->topic_len)))
		return NULL;
	now = retained_get(w->broker->retained, w->levels);
	if (now && now != *at) {
		retained_unref(*at);
		*at = retained_ref(now);
	}
	return now;
}

/*
 * Is a message that is not newer than this one still on its way from another worker? A new subscription skips it
 * when it comes (session_guard). One that was there before must get it, so the retained message waits until it did.
 */
static bool feed_must_wait(struct session *s, struct retained_feed *f, const struct retained *value)
{
	struct worker *w = s->worker;
	const struct msg *m = value->msg;
	struct lane *l = broker_lane(w->broker, m->origin, w->index);

	if (m->origin == w->index || lane_is_past(l, m->number))
		return false;
	if (f->existed)
		return true;
	session_guard(s, span_of(m->bytes, m->topic_len), m->origin, m->number);
	return false;
}

static void feed_send(struct session *s, struct retained_feed *f, struct retained *value)
{
	uint64_t now = loop_now_ms(s->worker->loop);
	struct delivery d = {.retain = true, .nids = f->options.id ? 1 : 0, .ids = &f->options.id};
	struct publication p;

	msg_view(value->msg, &p);
	d.qos = p.qos < f->options.qos ? p.qos : f->options.qos;
	if (!publication_expired(&p, now))
		session_deliver(s, &p, &d);
	publication_fini(&p);
}

/* One retained message; false: not now. */
static bool feed_step(struct session *s)
{
	struct retained_feed *f = s->feed;
	struct retained *value = feed_value(s, f);

	if (value && feed_must_wait(s, f, value)) {
		f->pinned = true;
		if (list_empty(&s->deferred))
			list_append(&s->worker->deferred, &s->deferred);
		return false;
	}
	if (value)
		feed_send(s, f, value);
	f->pinned = false;
	retained_unref(f->values[f->at++]);
	if (f->at == f->count) {
		s->feed = f->next;
		free(f->values);
		free(f);
	}
	return true;
}

void sessions_retry_deferred(struct worker *w, const struct lane *l, uint64_t number)
{
	struct list all, *n;

	list_init(&all);
	list_splice(&all, &w->deferred);
	while ((n = list_take_first(&all))) {
		struct session *s = container_of(n, struct session, deferred);
		const struct msg *m = s->feed->values[s->feed->at]->msg;

		if (!l || (m->origin == l->from && m->number < number))
			session_pump(s); /* may be deferred again */
		else
			list_append(&w->deferred, &s->deferred);
	}
}

void session_pump(struct session *s)
{
	struct store_item item;

	while (window_has_room(s) && s->resent < s->nresend)
		resend_next(s);
	while (window_has_room(s) && s->resent == s->nresend && s->queue &&
	       store_queue_pop(s->queue, &item)) {
		if (item_send(s, &item))
			continue;
		msg_unref(item.msg);
		free(item.sub_ids);
		worker_count(s->worker, dropped_memory, 1);
	}
	while (s->feed && !something_waits(s) && window_has_room(s) &&
	       s->conn->output.bytes < FEED_OUTPUT_BYTES)
		if (!feed_step(s))
			break;
}

/* ---- guards ---- */

static uint64_t topic_hash(const struct session *s, struct span topic)
{
	return hash_span(s->worker->broker->config.seed, topic);
}

void session_guard(struct session *s, struct span topic, uint16_t origin, uint64_t number)
{
	struct guard *g = malloc(sizeof(*g));

	if (!g) {
		worker_count(s->worker, dropped_memory, 1);
		return;
	}
	*g = (struct guard){.topic = topic_hash(s, topic), .number = number, .origin = origin};
	list_append(&s->guards, &g->in_session);
	list_append(&s->worker->guards, &g->in_worker);
}

void guard_free(struct guard *g)
{
	list_remove(&g->in_session);
	list_remove(&g->in_worker);
	free(g);
}

bool session_is_guarded(struct session *s, const struct publication *p)
{
	uint64_t topic = topic_hash(s, p->topic);

	for (struct list *n = s->guards.next; n != &s->guards; n = n->next) {
		const struct guard *g = container_of(n, struct guard, in_session);

		if (g->origin == p->origin && g->topic == topic && p->number <= g->number)
			return true;
	}
	return false;
}

void guards_expire(struct worker *w)
{
	list_for_each (n, &w->guards) {
		struct guard *g = container_of(n, struct guard, in_worker);

		if (lane_is_past(broker_lane(w->broker, g->origin, w->index), g->number))
			guard_free(g);
	}
}

/* ---- the client's answers ---- */

static void slot_done(struct session *s, struct inflight_slot *slot)
{
	inflight_remove(&s->inflight, slot);
	if (s->unacked > 0)
		s->unacked--;
	session_pump(s);
}

int session_puback(struct session *s, uint16_t packet_id)
{
	struct inflight_slot *slot = inflight_find(&s->inflight, packet_id);

	if (!slot)
		return OK; /* late: of an earlier connection, or of a message that is forgotten */
	if (slot->qos != 1)
		return ERR_PROTOCOL;
	slot_done(s, slot);
	return OK;
}

int session_pubrec(struct session *s, uint16_t packet_id, uint8_t reason)
{
	struct inflight_slot *slot = inflight_find(&s->inflight, packet_id);
	uint8_t answer = MQTT_RC_SUCCESS;

	if (slot && slot->qos != 2)
		return ERR_PROTOCOL;
	if (reason >= 0x80) { /* the receiver does not want it: there is no PUBREL [MQTT-4.3.3-4] */
		if (slot)
			slot_done(s, slot);
		return OK;
	}
	if (slot && slot->state == INFLIGHT_PUBLISHED) {
		slot->state = INFLIGHT_RELEASED;
		msg_unref(slot->msg);
		free(slot->sub_ids);
		slot->msg = NULL;
		slot->sub_ids = NULL;
	}
	if (!slot)
		answer = MQTT_RC_PACKET_ID_NOT_FOUND;
	conn_send_ack(s->conn, MQTT_PUBREL, packet_id, answer);
	return OK;
}

int session_pubcomp(struct session *s, uint16_t packet_id)
{
	struct inflight_slot *slot = inflight_find(&s->inflight, packet_id);

	if (!slot)
		return OK;
	if (slot->qos != 2 || slot->state != INFLIGHT_RELEASED)
		return ERR_PROTOCOL;
	slot_done(s, slot);
	return OK;
}
