/*
 * From the session to its client: what is sent at once, what is kept, and what the client's answers set free.
 *
 * Order of what goes out: first what an earlier connection left unacknowledged, then queue and retained messages as they
 * came to the session, then new messages. QoS 0 does not wait behind QoS 1 and 2 (4.6 orders each by itself), but behind
 * retained messages, so that nobody sees an older value after a newer one.
 */
#include <stdlib.h>

#include "base/log.h"
#include "mqtt/answer.h"
#include "mqtt/conn.h"
#include "mqtt/keep.h"
#include "mqtt/port.h"
#include "mqtt/shelf.h"

/* What need not wait for an acknowledgement is added to the output while less than this is in it. */
#define FAIR_INFLIGHT     16u /* so many may always be on the way to a client */
#define PUMP_OUTPUT_BYTES (256u * 1024)

/* The send quota: 5.0 [MQTT-4.9.0-1], [MQTT-3.3.4-9]. */
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
	if (!is_open(s) || s->unacked >= window(s)) /* 5.0 [MQTT-4.9.0-2] */
		return false;
	/* what is on its way is held for as long as the client likes */
	return s->unacked < FAIR_INFLIGHT || worker_memory(s->worker) == BUDGET_OK;
}

/* Most have none: asked at each delivery. */
static bool is_fed(const struct session *s)
{
	return s->feeds && session_is_fed(s);
}

bool session_waits(const struct session *s)
{
	return s->resent < s->nresend || is_fed(s) || waiting_len(s) > 0;
}

/* Does the client not take its output while memory is short? */
static bool output_is_cut(const struct session *s)
{
	const struct conn *c = s->conn;

	return c->write_blocked && c->output.bytes >= FAIR_OUTPUT_BYTES &&
	       worker_memory(s->worker) > BUDGET_OK;
}

static bool output_is_full(const struct session *s)
{
	return s->conn->output.bytes >= s->worker->broker->config.max_queued_bytes || output_is_cut(s);
}

bool session_queue_is_large(const struct session *s)
{
	return waiting_held(s) >= FAIR_QUEUE_BYTES;
}

/* Is there no memory for one more message in its queue? Those that hold little are the last to feel it. */
static bool queue_is_cut(const struct session *s)
{
	enum budget_level level = worker_memory(s->worker);

	return level == BUDGET_FULL || (level == BUDGET_TIGHT && session_queue_is_large(s));
}

bool session_can_take(const struct session *s, uint8_t qos)
{
	if (s->port)
		return true;
	if (!is_open(s))
		return false;
	if (qos == 0)
		return !output_is_full(s);
	return !session_queue_is_full(s) && (!session_waits(s) || !queue_is_cut(s));
}

/* ---- sending ---- */

/* What had the slot is done with. */
static void slot_remove(struct session *s, struct inflight_slot *slot)
{
	if (slot->keep)
		keep_done(slot->keep);
	inflight_remove(&s->inflight, slot);
}

/* The slot of a message that counts in the window is given up. */
static void slot_give_up(struct session *s, struct inflight_slot *slot)
{
	slot_remove(s, slot);
	s->unacked--;
}

/* Give a message that has a slot to the client. What is too large for it counts as sent and acknowledged. */
static void slot_send(struct session *s, struct inflight_slot *slot)
{
	struct publication p;
	struct delivery d = {.qos = slot->qos, .retain = slot->retain};
	uint64_t now = loop_now_ms(s->worker->loop);
	bool dup = slot->sent; /* [MQTT-3.3.1-1] */

	msg_view(slot->msg, &p);
	if (slot->sub_ids) {
		d.nids = slot->sub_ids[0];
		d.ids = slot->sub_ids + 1;
	}
	/* what was sent before must be sent again, expired or not: its state is between the two: [MQTT-4.4.0-1]; 5.0 [MQTT-4.3.3-7] */
	if (!dup && publication_expired(&p, now)) {
		session_count_drop(s, dropped_expired);
		slot_give_up(s, slot);
		return;
	}
	slot->sent = true;
	if (!conn_send_publish(s->conn, &p, &d, slot->packet_id, dup) && is_open(s))
		slot_give_up(s, slot); /* else the connection went, and the slot waits for the next */
}

/* It is its turn: sent now, or when the disk has what it must have before, behind others that wait for that. */
static void slot_start(struct session *s, struct inflight_slot *slot)
{
	struct keep *k = slot->keep;

	s->unacked++;
	if (!k || (list_empty(&s->shelf->held) && keep_may_leave(k))) {
		slot_send(s, slot);
		return;
	}
	list_append(&s->shelf->held, &k->held);
	shelf_hold(s->shelf);
}

void session_let_go(struct session *s)
{
	struct shelf *sh = s->shelf;
	struct list *n;

	list_remove(&sh->holding);
	while ((n = list_first(&sh->held)) && is_open(s)) {
		struct keep *k = container_of(n, struct keep, held);
		struct inflight_slot *slot = inflight_find(&s->inflight, k->packet_id);

		if (!keep_may_leave(k)) {
			shelf_hold(sh);
			break;
		}
		list_remove(n);
		slot_send(s, slot);
	}
	shelf_take_durable(s);
	if (is_open(s) && session_waits(s))
		session_pump(s);
}

/* Takes the item's references. false: no memory; they are the caller's still. */
static bool item_send(struct session *s, const struct queue_item *item)
{
	struct inflight_slot *slot = inflight_add(&s->inflight);

	if (!slot)
		return false;
	slot->msg = item->msg;
	if (item->sub_ids)
		inflight_set_ids(&s->inflight, slot, item->sub_ids);
	slot->qos = item->qos;
	slot->retain = item->retain;
	slot->keep = item->keep;
	if (slot->keep)
		keep_sent(slot->keep, slot->packet_id);
	slot_start(s, slot);
	return true;
}

/* The limits in force: of all, or of its own. */
struct session_limits {
	uint64_t messages, bytes;
	enum broker_queue_policy policy;
};

static struct session_limits session_limits(const struct session *s)
{
	const struct broker_config *c = &s->worker->broker->config;
	const struct mqtt_session_terms *t = s->own ? s->own->terms : NULL;

	if (!t)
		return (struct session_limits){c->max_queued_messages, c->max_queued_bytes, c->queue_policy};
	return (struct session_limits){atomic_load_explicit(&t->max_messages, memory_order_relaxed),
				       atomic_load_explicit(&t->max_bytes, memory_order_relaxed),
				       atomic_load_explicit(&t->drop_oldest, memory_order_relaxed)
					       ? BROKER_DROP_OLDEST
					       : BROKER_DROP_NEWEST};
}

bool session_queue_is_full(const struct session *s)
{
	const struct session_limits most = session_limits(s);

	return waiting_len(s) >= most.messages || waiting_bytes(s) >= most.bytes;
}

static bool drop_oldest(struct session *s)
{
	bool dropped = waiting_drop_oldest(s);

	s->is_full &= waiting_len(s) > 0;
	return dropped;
}

/* What expired at the head of the queue makes room, if the queue needs it ([MQTT-3.3.2-5]). */
static void queue_drop_expired(struct session *s)
{
	uint64_t now = loop_now_ms(s->worker->loop);
	const struct queue_item *oldest;

	while (session_queue_is_full(s) && (oldest = waiting_peek(s)) && oldest->msg->expires_ms &&
	       oldest->msg->expires_ms <= now && drop_oldest(s))
		session_count_drop(s, dropped_expired);
}

static void queue_drop_oldest(struct session *s)
{
	while (session_queue_is_full(s) && drop_oldest(s))
		session_count_drop(s, dropped_queue_oldest);
}

/*
 * A client that comes back to a full queue is not thrown out before there was room in it once: it could never empty it.
 */
static void disconnect_slow(struct session *s)
{
	if (!is_open(s) || s->is_spared)
		return;
	worker_count(s->worker, disconnected_slow, 1);
	conn_close(s->conn, MQTT_RC_QUOTA_EXCEEDED, "its queue is full");
}

/* The same as queue_make_room() for the memory of all: with drop_oldest the new message takes the place of an old one. */
static bool queue_make_memory(struct session *s)
{
	enum broker_queue_policy policy = session_limits(s).policy;

	if (!queue_is_cut(s))
		return true;
	session_count_drop(s, dropped_memory);
	if (policy == BROKER_DROP_OLDEST && drop_oldest(s))
		return true;
	if (policy == BROKER_DISCONNECT && session_queue_is_large(s))
		disconnect_slow(s);
	return false;
}

/* Room for one more message, if the policy makes any. */
static bool queue_make_room(struct session *s)
{
	enum broker_queue_policy policy = session_limits(s).policy;

	queue_drop_expired(s);
	if (!session_queue_is_full(s))
		return queue_make_memory(s);
	if (!s->is_full) /* once, until it is empty again */
		log_notice("mqtt", "client %s: queue full, messages are dropped",
			   log_quote((char[128]){0}, 128, session_id(s)));
	s->is_full = true;
	if (policy == BROKER_DROP_OLDEST)
		queue_drop_oldest(s);
	if (!session_queue_is_full(s))
		return queue_make_memory(s);
	session_count_drop(s, dropped_queue_full);
	if (policy == BROKER_DISCONNECT)
		disconnect_slow(s);
	return false;
}

static bool item_queue(struct session *s, const struct queue_item *item)
{
	if (!queue_make_room(s))
		return false;
	if (waiting_push(s, item) < 0) {
		if (item->qos == 0)
			worker_count(s->worker, dropped_qos0, 1);
		else
			session_count_drop(s, dropped_memory);
		return false;
	}
	s->is_spared &= !is_open(s);
	worker_count_queues(s->worker);
	return true;
}

void session_cut(struct session *s)
{
	enum broker_queue_policy policy = session_limits(s).policy;
	uint64_t half = waiting_held(s) / 2;

	if (policy == BROKER_DISCONNECT && is_open(s) && !s->is_spared) {
		worker_count(s->worker, disconnected_slow, 1);
		conn_close(s->conn, MQTT_RC_QUOTA_EXCEEDED,
			   "memory is short and most of it waits for this client");
		return;
	}
	if (shelf_release(s)) /* it is on disk as well */
		return;
	log_notice("mqtt", "client %s: memory is short, half of what waits for it is dropped",
		   log_quote((char[128]){0}, 128, session_id(s)));
	while (waiting_held(s) > half &&
	       (policy == BROKER_DROP_OLDEST ? waiting_drop_oldest(s) : waiting_drop_newest(s)))
		session_count_drop(s, dropped_memory);
	s->is_full &= waiting_len(s) > 0;
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

/* The message of p; one of its own for a session that keeps it for so long only. */
static struct msg *msg_for(struct session *s, struct publication *p)
{
	uint64_t age = s->own ? atomic_load_explicit(&s->own->terms->max_age_ms, memory_order_relaxed) : 0;
	uint64_t expires_ms = loop_now_ms(s->worker->loop) + age;

	if (!age || (p->expires_ms && p->expires_ms <= expires_ms))
		return publication_msg(p);
	struct publication aged = *p;

	aged.expires_ms = expires_ms;
	return msg_create(&aged);
}

/* `owner` is the publish that waits for it to be settled; NULL: none does. */
static bool item_make(struct session *s, struct publication *p, const struct delivery *d,
		      const struct publication *owner, struct queue_item *item)
{
	/* a retained message of QoS 1 is fetched anew by who did not get it */
	bool is_kept = s->stored && d->qos > (owner ? 0 : 1) && !p->command;

	p->budget = &s->worker->budget;
	*item = (struct queue_item){.msg = msg_for(s, p), .qos = d->qos, .retain = d->retain};
	if (item->msg && d->nids)
		item->sub_ids = ids_copy(d);
	if (item->msg && (!d->nids || item->sub_ids)) {
		item->keep = is_kept ? keep_create(s, owner, item) : NULL;
		if (item->keep || !is_kept)
			return true;
	}
	msg_unref(item->msg);
	free(item->sub_ids);
	session_count_drop(s, dropped_memory);
	return false;
}

/* QoS 1 and 2: send within the window, else keep in order. */
static void deliver_surely(struct session *s, struct publication *p, const struct delivery *d)
{
	/* output that is full counts as a window that is: the queue has a limit of its own, and its order */
	bool now = !session_waits(s) && window_has_room(s) && !output_is_full(s), sent;
	struct queue_item item;

	if (p->command && !now) { /* never kept for later */
		session_count_drop(s, dropped_commands);
		return;
	}
	if (!item_make(s, p, d, p, &item))
		return;
	sent = now && item_send(s, &item);
	if (!sent && !item_queue(s, &item))
		item_drop(&item);
}

/* Behind all that waits. */
static void deliver_in_order(struct session *s, struct publication *p, const struct delivery *d)
{
	struct queue_item item;

	if (item_make(s, p, d, p, &item) && !item_queue(s, &item))
		item_drop(&item);
}

static void deliver_once(struct session *s, struct publication *p, const struct delivery *d)
{
	if (!is_open(s))
		return;
	if (output_is_cut(s))
		session_count_drop(s, dropped_memory);
	else if (output_is_full(s))
		worker_count(s->worker, dropped_qos0, 1);
	else if ((s->queued_qos0 || is_fed(s)) &&
		 !p->command) /* a command is never kept, and never retained */
		deliver_in_order(s, p, d);
	else
		(void)conn_send_publish(s->conn, p, d, 0, false); /* it counts what it can't send */
}

/*
 * For a session of the program's own nothing goes without being kept; but for QoS 0, of which nobody is told, the disk must be well:
 * else what it does not take would pile up.
 */
static void deliver_own(struct session *s, struct publication *p, const struct delivery *d)
{
	struct delivery kept = *d;

	if (d->qos == 0 && s->stored && store_health(s->worker->disk) != STORE_OK) {
		session_count_drop(s, dropped_memory);
		return;
	}
	kept.qos = d->qos ? d->qos : 1;
	deliver_surely(s, p, &kept);
}

void session_deliver(struct session *s, struct publication *p, const struct delivery *d)
{
	/* 3.1.1 [MQTT-3.1.2-5]; [MQTT-4.5.0-1] */
	if (s->port)
		port_deliver(s->port, p, d);
	else if (s->own)
		deliver_own(s, p, d);
	else if (d->qos == 0)
		deliver_once(s, p, d);
	else
		deliver_surely(s, p, d);
}

/* ---- sending again after a reconnect [MQTT-4.4.0-1], in order: 3.1.1 [MQTT-4.6.0-1] ---- */

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

/* When the disk has that the message is released. */
static void pubrel_send(struct session *s, uint16_t packet_id, uint8_t reason)
{
	struct promise p = s->stored ? promise_now(s->worker) : (struct promise){0};

	conn_answer(s->conn, MQTT_PUBREL, packet_id, reason, &p);
}

static void resend_next(struct session *s)
{
	struct inflight_slot *slot = inflight_find(&s->inflight, s->resend[s->resent++]);

	if (!slot)
		return;
	if (slot->state == INFLIGHT_RELEASED) {
		s->unacked++;
		pubrel_send(s, slot->packet_id, MQTT_RC_SUCCESS); /* 5.0 [MQTT-4.3.3-5] */
	} else if (slot->msg) { /* else it is only on disk, and comes when it was read */
		slot_start(s, slot);
	}
}

/* ---- sending on ---- */

/* A message that was read from disk and has its slot and packet id already. */
static void item_resend(struct session *s, struct queue_item *item)
{
	struct inflight_slot *slot = inflight_find(&s->inflight, item->packet_id);

	if (!slot || slot->state != INFLIGHT_PUBLISHED || slot->msg) {
		item_drop(item);
		return;
	}
	slot->msg = item->msg;
	if (item->sub_ids)
		inflight_set_ids(&s->inflight, slot, item->sub_ids);
	slot_start(s, slot);
}

static void queue_step(struct session *s, struct queue_item *item)
{
	struct publication p;
	struct delivery d = {.retain = item->retain};

	if (item->packet_id) {
		item_resend(s, item);
		return;
	}
	if (item->qos > 0) {
		if (item_send(s, item))
			return;
		session_count_drop(s, dropped_memory);
	} else {
		msg_view(item->msg, &p);
		if (item->sub_ids) {
			d.nids = item->sub_ids[0];
			d.ids = item->sub_ids + 1;
		}
		if (publication_expired(&p, loop_now_ms(s->worker->loop)))
			session_count_drop(s, dropped_expired);
		else
			(void)conn_send_publish(s->conn, &p, &d, 0, false);
	}
	item_drop(item);
}

/* One retained message into output, window or oblivion; the window has room. false: none was found in so many looks. */
static bool feed_step(struct session *s, uint32_t *looks)
{
	struct delivery d;
	struct queue_item item;
	struct publication p;
	struct retained *v = session_feed_next(s, looks, &d);

	if (!v)
		return false;
	retained_view(v, &p);
	if (publication_expired(&p, loop_now_ms(s->worker->loop)))
		session_count_drop(s, dropped_expired);
	else if (d.qos == 0)
		(void)conn_send_publish(s->conn, &p, &d, 0, false);
	else if (item_make(s, &p, &d, NULL, &item) && !item_send(s, &item))
		item_drop(&item);
	publication_fini(&p);
	retained_unref(v);
	return true;
}

void session_pump(struct session *s)
{
	uint32_t most = s->feeds ? feed_looks(s->worker) : 0, looks = most;
	struct queue_item item;

	while (window_has_room(s) && s->conn->output.bytes < PUMP_OUTPUT_BYTES) {
		if (s->resent < s->nresend) {
			resend_next(s);
		} else if (s->feeds && session_feed_is_first(s)) {
			if (s->shelf && !list_empty(&s->shelf->held))
				break; /* messages that wait for the disk are before it */
			if (!feed_step(s, &looks) && looks == 0) {
				conn_dirty(s->conn); /* on in the next turn */
				break;
			}
		} else if (waiting_pop(s, &item)) {
			s->is_full &= waiting_len(s) > 0;
			queue_step(s, &item);
		} else {
			break; /* nothing waits, or it is being read */
		}
	}
	s->worker->steps += most - looks;
}

/* ---- the client's answers ---- */

static void slot_done(struct session *s, struct inflight_slot *slot)
{
	slot_remove(s, slot);
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
	/* the receiver does not want it: there is no PUBREL [MQTT-4.3.3-4] and no PUBLISH again [MQTT-4.4.0-2] */
	if (reason >= 0x80) {
		if (slot)
			slot_done(s, slot);
		return OK;
	}
	if (slot && slot->state == INFLIGHT_PUBLISHED) {
		/* no PUBLISH any more: 3.1.1 [MQTT-4.3.3-1], 5.0 [MQTT-4.3.3-6] */
		slot->state = INFLIGHT_RELEASED;
		if (slot->keep)
			keep_released(slot->keep);
		msg_unref(slot->msg);
		inflight_free_ids(&s->inflight, slot);
		slot->msg = NULL;
	}
	if (!slot)
		answer = MQTT_RC_PACKET_ID_NOT_FOUND;
	pubrel_send(s, packet_id, answer); /* 3.1.1 [MQTT-4.3.3-1], 5.0 [MQTT-4.3.3-4] */
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
