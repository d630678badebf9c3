/*
 * What the store kept comes back at a start: sessions, each on the worker that its client id says, with their subscriptions, QoS 2 ids
 * and what waits for them; and retained messages.
 *
 * Time went on while the broker was down. A session's expiry counts from when its client went, or from the last thing that was
 * stored if it was there then. Its will waits for the client to come back, at least will_grace_ms.
 */
#include "mqtt/restore.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "mqtt/promise.h"
#include "mqtt/retained_disk.h"
#include "mqtt/route.h"

struct restored {
	struct session *session; /* NULL: none has this id */
	int64_t away_ms;
};

struct restore {
	struct broker *broker;
	struct restored *all; /* by their ids in the store */
	uint32_t room;
};

static struct session *session_of(const struct restore *r, uint32_t id)
{
	return id < r->room ? r->all[id].session : NULL;
}

static int session_note(struct restore *r, uint32_t id, struct session *s, int64_t away_ms)
{
	uint32_t room = r->room ? r->room : 1024;
	struct restored *more;

	while (room <= id)
		room *= 2;
	if (room > r->room) {
		more = realloc(r->all, room * sizeof(*more));
		if (!more)
			return ERR_NOMEM;
		memset(more + r->room, 0, (room - r->room) * sizeof(*more));
		r->all = more;
		r->room = room;
	}
	r->all[id] = (struct restored){.session = s, .away_ms = away_ms};
	return OK;
}

/* ---- sessions ---- */

static int will_restore(struct session *s, const struct store_will *w)
{
	struct publication p = {
		.topic = w->msg.topic,
		.props = w->msg.props,
		.payload = w->msg.payload,
		.qos = w->msg.qos,
		.retain = w->msg.retain,
		.publisher = s->uid,
		.budget = &s->worker->budget,
	};
	struct will *will = malloc(sizeof(*will));

	if (!will)
		return ERR_NOMEM;
	*will = (struct will){.delay_s = w->delay_s, .expires = w->expires, .expiry_s = w->expiry_s};
	will->msg = msg_create(&p);
	if (!will->msg) {
		free(will);
		return ERR_NOMEM;
	}
	session_take_will(s, will);
	s->has_stored_will = true;
	return OK;
}

struct session *session_restore(struct worker *w, const struct store_session *in)
{
	struct session *s = session_create(w, in->client_id);

	if (!s)
		return NULL;
	s->stored = in->id;
	s->expiry_s = s->stored_expiry_s = in->expiry_s;
	if ((!in->will || will_restore(s, in->will) == OK) &&
	    session_restore_rows(s, in->first_seq, in->next_seq, in->rows, in->row_bytes) == OK)
		return s;
	session_free(s);
	return NULL;
}

/* On its worker; the low bits of the hash choose its bucket there. */
static int restore_session(void *arg, const struct store_session *in)
{
	struct restore *r = arg;
	struct broker *b = r->broker;
	uint64_t hash = hash_span(b->config.seed, in->client_id);
	uint16_t index = (uint16_t)((hash >> 32) % b->nworkers), home;
	struct session *s;

	if (registry_claim(b->registry, in->client_id, index, &home) < 0)
		return ERR_NOMEM;
	s = session_restore(b->workers[index], in);
	return s ? session_note(r, in->id, s, in->away_ms) : ERR_NOMEM;
}

/* ---- what time has done to them, once it is known when the store was last written ---- */

/* It is over, but its client may be back in time to keep the will from being published. */
static void session_await_will(struct session *s, uint64_t grace_ms)
{
	struct worker *w = s->worker;

	while (!list_empty(&s->subs))
		sub_tree_remove(w->subs, container_of(s->subs.next, struct sub, in_session), false);
	s->is_over = true;
	loop_timer_set(w->loop, &s->expiry, grace_ms);
}

void session_age(struct session *s, int64_t since_ms, int64_t now_ms)
{
	struct worker *w = s->worker;
	int64_t grace = w->broker->config.will_grace_ms, gone = now_ms - since_ms, left = INT64_MAX, delay;

	/* expiry 0: it was to end with its connection */
	if (s->expiry_s != EXPIRY_NEVER)
		left = s->expiry_s ? 1000 * (int64_t)s->expiry_s - gone : 0;
	if (left <= 0 && s->will) {
		session_await_will(s, (uint64_t)grace);
		return;
	}
	if (left <= 0) {
		worker_count(w, sessions_expired, 1);
		session_end(s);
		return;
	}
	if (s->will) {
		delay = 1000 * (int64_t)s->will->delay_s - gone;
		loop_timer_set(w->loop, &s->will->timer, (uint64_t)(delay > grace ? delay : grace));
		left = left > grace ? left : grace; /* its end would publish the will */
	}
	if (s->expiry_s != EXPIRY_NEVER)
		loop_timer_set(w->loop, &s->expiry, (uint64_t)left);
}

static void sessions_age(const struct restore *r)
{
	struct store *store = r->broker->config.store;
	int64_t last_ms = store_now_ms(store, 0),
		now_ms = store_now_ms(store, loop_wall_ms(r->broker->workers[0]->loop));

	for (uint32_t id = 0; id < r->room; id++) {
		const struct restored *one = &r->all[id];

		/* one that was connected was so until the last thing was stored, at least */
		if (one->session)
			session_age(one->session,
				    one->away_ms && one->away_ms < last_ms ? one->away_ms : last_ms, now_ms);
	}
}

/* ---- what belongs to them ---- */

int session_restore_sub(struct session *s, const struct store_sub *in)
{
	const struct sub_options o = {
		.qos = in->qos,
		.no_local = in->no_local,
		.retain_as_published = in->retain_as_published,
		.is_stored = true,
		.id = in->id,
	};
	struct worker *w = s->worker;
	struct sub *sub;
	bool existed;
	int rc;

	if (route_reserve(w, w->nsessions, sub_tree_count(w->subs) + 1) < 0)
		return ERR_NOMEM;
	rc = mqtt_utf8_valid(in->filter) && mqtt_filter_valid(in->filter)
		     ? sub_tree_add(w->subs, s, &s->subs, false, in->filter, &o, &sub, &existed)
		     : ERR_RANGE;
	if (rc == ERR_RANGE) { /* the limit was higher when it was made */
		log_warning("mqtt", "client %s: subscription to %s not restored: it is not valid any more",
			    log_quote((char[64]){0}, 64, session_id(s)),
			    log_quote((char[128]){0}, 128, in->filter));
		return OK;
	}
	if (rc == OK && !existed)
		session_count_sub(s, in->filter, 1);
	return rc;
}

static int restore_sub(void *arg, const struct store_sub *in)
{
	struct session *s = session_of(arg, in->session);

	return s ? session_restore_sub(s, in) : OK;
}

static int restore_received(void *arg, uint32_t session, uint16_t packet_id)
{
	struct session *s = session_of(arg, session);
	bool fresh;

	return s ? session_received_add(s, packet_id, &fresh) : OK;
}

static int restore_inflight(void *arg, const struct store_row *row)
{
	struct session *s = session_of(arg, row->session);

	return s ? session_restore_inflight(s, row) : OK;
}

static int restore_retained(void *arg, const struct store_retained *in)
{
	return retained_restore(((struct restore *)arg)->broker->workers[0], in);
}

int broker_restore(struct broker *b)
{
	static const struct store_loader loader = {
		.session = restore_session,
		.sub = restore_sub,
		.received = restore_received,
		.inflight = restore_inflight,
		.retained = restore_retained,
	};
	struct restore r = {.broker = b};
	int rc;

	if (!b->config.store)
		return OK;
	rc = store_load(b->config.store, &loader, &r);
	retained_begin_stamps(b->retained, store_last_stamp(b->config.store));
	if (rc == OK)
		sessions_age(&r);
	free(r.all);
	for (uint32_t i = 0; i < b->nlanes; i++) {
		store_submit(b->workers[i]->disk);
		budget_settle(&b->workers[i]->budget);
		worker_gauges_set(b->workers[i]);
		own_sessions_tell(b->workers[i]);
	}
	return rc;
}
