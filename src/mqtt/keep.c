#include "mqtt/keep.h"

#include <stdlib.h>

#include "base/log.h"
#include "mqtt/refusal.h"
#include "mqtt/shelf.h"

/* So many bytes of messages may linger; more are written at once. */
#define LINGER_BYTES_MAX (4u * 1024 * 1024)
/* After there was no room for a row. */
#define TRY_AGAIN_MS 20u

static struct keep *keep_alloc(struct session *s)
{
	struct keep *k = shelf_of(s) ? malloc(sizeof(*k)) : NULL;

	if (!k)
		return NULL;
	*k = (struct keep){.session = s};
	list_init(&k->owed.in_lane);
	list_init(&k->in_session);
	list_init(&k->in_time);
	list_init(&k->held);
	budget_count(&s->worker->budget, budget_block(sizeof(*k)));
	return k;
}

struct keep *keep_create(struct session *s, const struct publication *p, const struct queue_item *item)
{
	struct worker *w = s->worker;
	struct keep *k = keep_alloc(s);

	if (!k)
		return NULL;
	k->msg = item->msg;
	k->sub_ids = item->sub_ids;
	k->qos = item->qos;
	k->retain = item->retain;
	list_append(&s->shelf->keeps, &k->in_session);
	if (p) {
		k->conditional = p->conditional && item->qos == 2;
		k->first_origin = p->first_origin;
		k->first_number = p->first_number;
		owed_add(w, &k->owed, p->origin, p->number);
	}
	k->due_ms = loop_now_ms(w->loop) + w->broker->config.linger_ms;
	list_append(&w->lingering, &k->in_time);
	w->lingering_bytes += msg_cost(k->msg);
	if (!loop_timer_pending(&w->linger))
		loop_timer_set(w->loop, &w->linger, w->broker->config.linger_ms);
	return k;
}

static bool came_later(struct list *in_session, uint64_t seq)
{
	const struct keep *k = container_of(in_session, struct keep, in_session);

	return !k->seq || k->seq > seq;
}

struct keep *keep_of_row(struct session *s, const struct store_row *row)
{
	struct keep *k = keep_alloc(s), *behind;
	struct list *at;

	if (!k)
		return NULL;
	k->seq = row->seq;
	k->packet_id = row->packet_id;
	k->qos = row->qos;
	k->retain = row->retain;
	k->durable = true;
	behind = shelf_tail_first(s->shelf);
	at = behind ? &behind->in_session : &s->shelf->keeps;
	/* a retained message that was sent before it has a later row, or none yet */
	while (at->prev != &s->shelf->keeps && came_later(at->prev, row->seq))
		at = at->prev;
	list_insert_before(at, &k->in_session);
	return k;
}

/* Nobody waits for it any more. */
static void keep_settle(struct keep *k)
{
	owed_settle(k->session->worker, &k->owed);
}

static void linger_end(struct keep *k)
{
	k->session->worker->lingering_bytes -= msg_cost(k->msg);
	list_remove(&k->in_time);
}

/*
 * The message in the store, to be named by several rows; 0: the row has it. Only rows of one batch name the same: in a later one, those
 * that named it may be gone, and the message with them.
 */
static uint64_t msg_shared(struct worker *w, struct msg *m, const struct store_msg *stored)
{
	if (!m->many)
		return 0;
	if (m->stored_id && m->stored_in == store_ticket(w->disk))
		return m->stored_id;
	m->stored_id = 0;
	if (store_put_msg(w->disk, stored, &m->stored_id) < 0)
		return 0;
	m->stored_in = store_ticket(w->disk);
	return m->stored_id;
}

static bool row_write(struct keep *k)
{
	struct session *s = k->session;
	struct worker *w = s->worker;
	struct publication p;
	struct store_row row = {
		.session = s->stored,
		.seq = s->shelf->next_seq,
		.qos = k->qos,
		.retain = k->retain,
		.state = k->qos == 2 && k->packet_id ? STORE_SENT : STORE_WAITS,
		.packet_id = k->qos == 2 ? k->packet_id : 0,
		.origin = k->first_origin,
		.number = k->conditional ? k->first_number : 0,
		.sub_ids = k->sub_ids,
	};

	msg_view(k->msg, &p);
	row.msg = (struct store_msg){
		.topic = p.topic,
		.props = p.props,
		.payload = p.payload,
		.expires_ms = worker_wall_ms(w, p.expires_ms),
		.qos = p.qos,
		.retain = p.retain,
	};
	row.msg_id = msg_shared(w, k->msg, &row.msg);
	if (store_put_row(w->disk, &row) < 0)
		return false;
	linger_end(k);
	k->seq = s->shelf->next_seq++;
	k->ticket = store_ticket(w->disk);
	list_append(&w->writing, &k->in_time);
	return true;
}

void keep_write(struct keep *k)
{
	struct list *keeps = &k->session->shelf->keeps, *from = &k->in_session;

	if (store_is_stuck(
		    k->session->worker)) { /* its batches must not grow for ever; the linger tries again */
		k->session->worker->is_short = true;
		return;
	}

	while (from->prev != keeps && !container_of(from->prev, struct keep, in_session)->seq)
		from = from->prev;
	for (;; from = from->next) {
		struct keep *at = container_of(from, struct keep, in_session);

		if (!at->seq && !row_write(at)) {
			if (!k->session->worker->is_short)
				log_warning("mqtt",
					    "no memory to store what sessions are owed; it is tried again");
			k->session->worker->is_short = true;
			return;
		}
		if (at == k)
			return;
	}
}

/* Its row is on disk, and changes. */
static void keep_changed(struct keep *k)
{
	struct worker *w = k->session->worker;

	k->ticket = store_ticket(w->disk);
	k->durable = false;
	list_remove(&k->in_time);
	list_append(&w->writing, &k->in_time);
}

void keep_sent(struct keep *k, uint16_t packet_id)
{
	bool written = k->seq;

	k->packet_id = packet_id;
	if (k->qos != 2)
		return;
	if (!written) {
		keep_write(k);
		return;
	}
	store_put_state(k->session->worker->disk, k->session->stored, k->seq, STORE_SENT, packet_id);
	keep_changed(k);
}

void keep_released(struct keep *k)
{
	struct session *s = k->session;

	list_remove(&k->held);
	store_put_state(s->worker->disk, s->stored, k->seq, STORE_RELEASED, k->packet_id);
	keep_settle(k);
}

void keep_forget(struct keep *k)
{
	keep_settle(k);
	if (!k->seq)
		linger_end(k);
	list_remove(&k->in_time);
	list_remove(&k->in_session);
	list_remove(&k->held);
	budget_count(&k->session->worker->budget, -budget_block(sizeof(*k)));
	free(k);
}

void keep_done(struct keep *k)
{
	struct session *s = k->session;
	struct worker *w = s->worker;

	if (!k->seq) {
		store_count_elided(w->disk, 1);
	} else {
		/* out of turn, its packet id must not be found on disk when it is used anew */
		if (k->qos == 2 && !shelf_is_first(s->shelf, k))
			store_drop_row(w->disk, s->stored, k->seq);
		shelf_dirty(s->shelf);
	}
	keep_forget(k);
}

bool keep_is_confirmed(const struct keep *k)
{
	struct worker *w = k->session->worker, *origin = w->broker->workers[k->first_origin];

	if (!k->conditional || k->first_number <= atomic_load(&origin->confirmed))
		return true;
	if (origin == w)
		return false;
	atomic_store(&origin->confirm_awaited, true);
	return k->first_number <= atomic_load(&origin->confirmed);
}

bool keep_may_leave(const struct keep *k)
{
	return k->qos < 2 || (k->durable && keep_is_confirmed(k));
}

void keeps_linger(struct worker *w)
{
	uint64_t now = loop_now_ms(w->loop);
	struct list *n;

	w->is_short = false;
	while ((n = list_first(&w->lingering)) && !w->is_short) {
		struct keep *k = container_of(n, struct keep, in_time);

		if (k->due_ms > now && w->lingering_bytes < LINGER_BYTES_MAX) {
			loop_timer_set(w->loop, &w->linger, k->due_ms - now);
			return;
		}
		keep_write(k);
	}
	if (w->is_short)
		loop_timer_set(w->loop, &w->linger, w->broker->config.linger_ms + TRY_AGAIN_MS);
}

void keeps_durable(struct worker *w)
{
	uint64_t durable = store_durable(w->disk);
	struct list *n;

	while ((n = list_first(&w->writing))) {
		struct keep *k = container_of(n, struct keep, in_time);

		if (k->ticket > durable)
			return;
		list_remove(&k->in_time);
		k->durable = true;
		keep_settle(k);
		if (!list_empty(&k->session->shelf->holding)) /* with nobody who waits for its row, too */
			w->progressed = true;
		if (!k->packet_id)
			shelf_take_durable(k->session);
	}
}
