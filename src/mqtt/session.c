#include "mqtt/session.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "mqtt/answer.h"
#include "mqtt/route.h"
#include "mqtt/shelf.h"

#define RECEIVED_BYTES    (65536 / 8)
#define SESSION_ELSEWHERE 128 /* bytes */

static void expiry_fired(struct loop_timer *t)
{
	struct session *s = container_of(t, struct session, expiry);

	/* 5.0 [MQTT-4.1.0-2] */
	log_info("mqtt", "client %s: session expired", log_quote((char[128]){0}, 128, session_id(s)));
	worker_count(s->worker, sessions_expired, 1);
	session_end(s);
}

static void will_publish(struct session *s)
{
	struct will *will = s->will;
	struct publication p;
	bool matched;

	if (!will)
		return;
	s->will = NULL; /* [MQTT-3.1.2-10] */
	loop_timer_cancel(s->worker->loop, &will->timer);
	msg_view(will->msg, &p);
	if (will->expires)
		p.expires_ms = loop_now_ms(s->worker->loop) + 1000u * (uint64_t)will->expiry_s;
	if (route_publish(s->worker, &p, &matched) < 0)
		log_warning("mqtt", "client %s: will not published: out of memory",
			    log_quote((char[128]){0}, 128, session_id(s)));
	publication_fini(&p);
	msg_unref(will->msg);
	free(will);
}

void session_forget_will(struct session *s)
{
	if (!s->will)
		return;
	loop_timer_cancel(s->worker->loop, &s->will->timer);
	msg_unref(s->will->msg);
	free(s->will);
	s->will = NULL;
}

static void will_fired(struct loop_timer *t)
{
	struct session *s = container_of(t, struct will, timer)->session;

	will_publish(s);
	session_put(s);
}

void session_take_will(struct session *s, struct will *will)
{
	will->session = s;
	loop_timer_init(&will->timer, will_fired);
	s->will = will;
}

struct session *session_find(struct worker *w, struct span client_id)
{
	struct hmap_node *n = hmap_find(&w->sessions, hash_span(w->broker->config.seed, client_id));

	for (; n; n = hmap_next(n)) {
		struct session *s = container_of(n, struct session, by_id);

		if (span_equal(session_id(s), client_id))
			return s;
	}
	return NULL;
}

/* With its entry in the registry and what routing reserves for it. */
static int64_t session_bytes(const struct session *s)
{
	return budget_block(sizeof(*s) + s->id_len) + SESSION_ELSEWHERE + s->id_len;
}

struct session *session_create(struct worker *w, struct span client_id)
{
	struct session *s = calloc(1, offsetof(struct session, id) + client_id.len);

	if (!s)
		return NULL;
	if (route_reserve(w, w->nsessions + 1, sub_tree_count(w->subs)) < 0) {
		free(s);
		return NULL;
	}
	s->worker = w;
	s->id_len = (uint16_t)client_id.len;
	if (client_id.len)
		memcpy(s->id, client_id.p, client_id.len);
	if (!w->port && own_session_init(s) < 0) {
		free(s);
		return NULL;
	}
	w->nsessions++;
	s->inflight.budget = &w->budget;
	s->inflight.last_id = w->broker->config.last_packet_id;
	s->uid = w->next_uid +=
		BROKER_LANES_MAX; /* unique in the broker: the low part is the worker's index */
	loop_timer_init(&s->expiry, expiry_fired);
	list_init(&s->subs);
	budget_count(&w->budget, session_bytes(s));
	if (!w->port) {
		atomic_fetch_add(&w->broker->sessions, 1);
		hmap_insert(&w->sessions, &s->by_id, hash_span(w->broker->config.seed, client_id));
	}
	return s;
}

void session_free(struct session *s)
{
	struct worker *w = s->worker;

	while (!list_empty(&s->subs))
		sub_tree_remove(w->subs, container_of(s->subs.next, struct sub, in_session), s->conn != NULL);
	session_feeds_clear(s);
	session_forget_will(s);
	loop_timer_cancel(w->loop, &s->expiry);
	if (s->stored)
		confirms_forget(s);
	shelf_free(s->shelf);
	inflight_clear(&s->inflight);
	queue_destroy(s->queue);
	answers_free(s->left);
	free(s->resend);
	free(s->received);
	own_session_fini(s);
	budget_count(&w->budget,
		     -session_bytes(s) - (int64_t)s->subs_bytes - (s->received ? RECEIVED_BYTES : 0));
	if (!w->port) {
		atomic_fetch_sub(&w->broker->sessions, 1);
		hmap_remove(&w->sessions, &s->by_id);
	}
	w->nsessions--;
	free(s);
}

void session_end(struct session *s)
{
	will_publish(s);
	if (!s->has_heir)
		registry_release(s->worker->broker->registry, session_id(s), s->worker->index);
	session_drop(s);
	session_free(s);
}

static void client_came(struct broker *b)
{
	uint32_t now = atomic_fetch_add(&b->clients, 1) + 1, most = atomic_load(&b->clients_maximum);

	while (most < now && !atomic_compare_exchange_weak(&b->clients_maximum, &most, now))
		;
}

void session_attach(struct session *s, struct conn *c)
{
	client_came(s->worker->broker);
	session_forget_will(s); /* the client is back before its delay passed: 5.0 [MQTT-3.1.3-9] */
	loop_timer_cancel(s->worker->loop, &s->expiry);
	s->conn = c;
	c->session = s;
	s->unacked = 0;
	shelf_back(s);
	c->received_before = (uint16_t)s->nreceived;
	s->is_spared = session_queue_is_full(s) || session_queue_is_large(s);
	sub_tree_presence(s->worker->subs, &s->subs, true);
	own_session_attached(s);
}

/* A command must not act later: what is not done by now is forgotten. */
static void forget_commands(struct session *s)
{
	for (uint32_t i = 0; i < s->inflight.cap; i++) {
		struct inflight_slot *slot = &s->inflight.slots[i];

		/* one that was sent before a start is without its message until that is read */
		if (slot->state == INFLIGHT_PUBLISHED && slot->msg && slot->msg->command)
			inflight_remove(&s->inflight, slot); /* may leave a table of no slots */
	}
}

void session_detach(struct session *s, bool publish_will)
{
	struct loop *loop = s->worker->loop;

	answers_leave(s->conn, s);
	s->conn = NULL;
	atomic_fetch_sub(&s->worker->broker->clients, 1);
	sub_tree_presence(s->worker->subs, &s->subs, false);
	if (!publish_will) /* [MQTT-3.14.4-3] */
		session_forget_will(s);
	if (s->expiry_s == 0) { /* else it is kept: 3.1.1 [MQTT-3.1.2-4], 5.0 [MQTT-3.1.2-23] */
		session_end(s);
		return;
	}
	forget_commands(s);
	shelf_away(s);
	if (s->expiry_s != EXPIRY_NEVER)
		loop_timer_set(loop, &s->expiry, 1000u * (uint64_t)s->expiry_s);
	if (s->will && s->will->delay_s == 0) /* [MQTT-3.1.2-8] */
		will_publish(s);
	else if (s->will)
		loop_timer_set(loop, &s->will->timer, 1000u * (uint64_t)s->will->delay_s);
	session_put(s);
}

int session_received_add(struct session *s, uint16_t packet_id, bool *fresh)
{
	uint64_t bit = UINT64_C(1) << packet_id % 64;

	if (!s->received) {
		s->received = calloc(1, RECEIVED_BYTES);
		if (!s->received)
			return ERR_NOMEM;
		budget_count(&s->worker->budget, RECEIVED_BYTES);
	}
	*fresh = !(s->received[packet_id / 64] & bit);
	s->received[packet_id / 64] |= bit;
	s->nreceived += *fresh;
	return OK;
}

bool session_received_has(const struct session *s, uint16_t packet_id)
{
	return s->received && (s->received[packet_id / 64] & UINT64_C(1) << packet_id % 64);
}

bool session_received_remove(struct session *s, uint16_t packet_id)
{
	if (!session_received_has(s, packet_id))
		return false;
	s->received[packet_id / 64] &= ~(UINT64_C(1) << packet_id % 64);
	s->nreceived--;
	return true;
}

/*
 * About: nodes of the trees here and of all workers, what routing reserves, and the filter itself. How many of its levels need a
 * node is not asked: most of many filters share theirs, so this is high, and near for filters that share none.
 */
static int64_t sub_bytes(struct span filter)
{
	return 256 + 160 * (int64_t)mqtt_topic_levels(filter) + (int64_t)filter.len;
}

void session_count_sub(struct session *s, struct span filter, int n)
{
	int64_t bytes = n * sub_bytes(filter);

	s->nsubs += (uint32_t)n;
	s->subs_bytes += (uint64_t)bytes;
	budget_count(&s->worker->budget, bytes);
}
