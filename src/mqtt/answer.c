#include "mqtt/answer.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "mqtt/session.h"

#define RING_LEAST 8u

static struct answer *answer_at(const struct answers *a, uint32_t i)
{
	return &a->ring[(a->head + i) & (a->room - 1)];
}

/* ---- the queue ---- */

static void answers_count(struct answers *a, int64_t bytes)
{
	a->bytes += (uint64_t)bytes;
	budget_count(&a->worker->budget, bytes);
}

static struct answers *answers_create(struct conn *c)
{
	struct answers *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->worker = c->worker;
	a->conn = c;
	answers_count(a, budget_block(sizeof(*a)));
	list_append(&a->worker->waiting, &a->in_worker);
	return a;
}

static void answer_fini(struct answers *a, struct answer *one)
{
	if (one->packet)
		answers_count(a, -budget_block(one->len));
	free(one->packet);
	one->packet = NULL;
}

void answers_free(struct answers *a)
{
	if (!a)
		return;
	for (uint32_t i = 0; i < a->count; i++)
		answer_fini(a, answer_at(a, i));
	answers_count(a, -(int64_t)a->bytes);
	list_remove(&a->in_worker);
	free(a->ring);
	free(a);
}

static void answers_free_empty(struct answers *a)
{
	if (a->count > 0)
		return;
	if (a->conn)
		a->conn->answers = NULL;
	else
		a->session->left = NULL;
	answers_free(a);
}

/* In place of a ring that is full: twice as large, with its head first. */
static int ring_grow(struct answers *a)
{
	uint32_t room = a->room ? 2 * a->room : RING_LEAST;
	struct answer *ring = malloc(room * sizeof(*ring));

	if (!ring)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < a->count; i++)
		ring[i] = *answer_at(a, i);
	free(a->ring);
	answers_count(a, (int64_t)((room - a->room) * sizeof(*ring)));
	a->ring = ring;
	a->room = room;
	a->head = 0;
	return OK;
}

static int answers_push(struct answers *a, const struct answer *one)
{
	if (a->count == a->room && ring_grow(a) < 0)
		return ERR_NOMEM;
	*answer_at(a, a->count++) = *one;
	if (one->packet)
		answers_count(a, budget_block(one->len));
	return OK;
}

/* The oldest, whose packet is the caller's from now on. */
static struct answer answers_pop(struct answers *a)
{
	struct answer one = *answer_at(a, 0);

	if (one.packet)
		answers_count(a, -budget_block(one.len));
	a->head = (a->head + 1) & (a->room - 1);
	a->count--;
	return one;
}

/* ---- an answer of a connection ---- */

static void answer_write(struct conn *c, const struct answer *one)
{
	uint8_t *at;

	if (one->type == MQTT_DISCONNECT) {
		conn_drop(c);
	} else if (one->packet) {
		at = conn_take_control(c, one->len);
		if (at)
			memcpy(at, one->packet, one->len);
		if (at && c->state == CONN_OPENING) /* it was CONNACK */
			conn_opened(c);
	} else if (one->type) {
		conn_send_ack(c, one->type, one->packet_id, one->reason);
	}
}

static bool may_go_now(const struct conn *c, const struct promise *p)
{
	return !c->answers && (!p || promise_is_kept(c->worker, p));
}

/* `one` borrows its packet. */
static int answer_queue(struct conn *c, struct answer one, const struct promise *p)
{
	const uint8_t *packet = one.packet;
	int rc = ERR_NOMEM;

	if (!c->answers)
		c->answers = answers_create(c);
	if (!c->answers)
		return ERR_NOMEM;
	if (p)
		one.promise = *p;
	one.packet = packet ? malloc(one.len) : NULL;
	if (one.packet)
		memcpy(one.packet, packet, one.len);
	if (!packet || one.packet)
		rc = answers_push(c->answers, &one);
	if (rc < 0) {
		free(one.packet);
		answers_free_empty(c->answers);
	}
	return rc;
}

static void answer_wait(struct conn *c, const struct answer *one, const struct promise *p)
{
	if (c->state == CONN_CLOSING || answer_queue(c, *one, p) == OK)
		return;
	conn_close(c, MQTT_RC_SERVER_BUSY, "out of memory");
}

void conn_answer_promised(struct conn *c, enum mqtt_type type, uint16_t packet_id, uint8_t reason,
			  const struct promise *p)
{
	if (may_go_now(c, p))
		conn_send_ack(c, type, packet_id, reason);
	else
		answer_wait(c,
			    &(struct answer){.type = (uint8_t)type, .packet_id = packet_id, .reason = reason},
			    p);
}

void conn_answer_packet(struct conn *c, enum mqtt_type type, uint8_t *packet, uint32_t len,
			const struct promise *p)
{
	struct answer one = {.type = (uint8_t)type, .packet = packet, .len = len};

	if (may_go_now(c, p))
		answer_write(c, &one);
	else
		answer_wait(c, &one, p);
}

void conn_answer_end(struct conn *c, const struct promise *p)
{
	if (may_go_now(c, p)) {
		conn_drop(c);
		return;
	}
	c->state = CONN_ENDING;
	loop_timer_set(c->worker->loop, &c->timer, c->worker->broker->config.connect_timeout_ms);
	answer_wait(c, &(struct answer){.type = MQTT_DISCONNECT}, p);
}

bool answers_hold(const struct answers *a)
{
	return a->bytes > ANSWERS_BYTES || a->conn->state != CONN_OPEN;
}

/* ---- when the disk has got further ---- */

static void answers_go(struct answers *a)
{
	struct worker *w = a->worker;
	struct conn *c = a->conn;

	/* what closes is told nothing, but its session may want what it leaves */
	while ((!c || c->state != CONN_CLOSING) && promise_is_kept(w, &answer_at(a, 0)->promise)) {
		struct answer one = answers_pop(a);
		bool last = a->count == 0;

		answers_free_empty(a);
		if (c)
			answer_write(c, &one);
		free(one.packet);
		if (last)
			break;
	}
	if (c && !list_empty(&c->unread) && !conn_is_held(c))
		loop_again(w->loop);
}

void answers_send(struct worker *w)
{
	if (!w->progressed)
		return;
	w->progressed = false;
	list_for_each (n, &w->waiting)
		answers_go(container_of(n, struct answers, in_worker));
}

/* ---- what a connection leaves to the next ---- */

/* PUBACKs alone: each of the others is asked for again, and done again. */
static void keep_pubacks(struct answers *a)
{
	for (uint32_t n = a->count; n > 0; n--) {
		struct answer one = answers_pop(a);

		free(one.packet);
		if (one.type == MQTT_PUBACK)
			*answer_at(a, a->count++) = one; /* there is room: it was just taken out */
	}
}

/* Those that were left before go first; where memory is short, what is not remembered is only sent twice. */
static void answers_append(struct answers *to, struct answers *from)
{
	while (from->count > 0 && answers_push(to, answer_at(from, 0)) == OK)
		(void)answers_pop(from);
	answers_free(from);
}

void answers_leave(struct conn *c, struct session *s)
{
	struct answers *a = c->answers;

	c->answers = NULL;
	if (!a)
		return;
	keep_pubacks(a);
	a->conn = NULL;
	a->session = s;
	if (a->count == 0) {
		answers_free(a);
	} else if (s->left) {
		answers_append(s->left, a);
	} else {
		s->left = a;
	}
}

static struct answer *puback_find(const struct answers *a, uint16_t packet_id)
{
	for (uint32_t i = 0; a && i < a->count; i++) {
		struct answer *one = answer_at(a, i);

		if (one->type == MQTT_PUBACK && one->packet_id == packet_id)
			return one;
	}
	return NULL;
}

/* They are asked for in order, mostly: so the next is found at once. */
static void drop_given(struct answers *a)
{
	while (a->count > 0 && !answer_at(a, 0)->type)
		(void)answers_pop(a);
	answers_free_empty(a);
}

bool answers_repeat(struct conn *c, uint16_t packet_id, bool dup)
{
	struct answers *left = c->session->left;
	struct answer *one = puback_find(left, packet_id);

	if (one) {
		if (dup)
			conn_answer(c, MQTT_PUBACK, packet_id, one->reason, &one->promise);
		one->type = 0;
		drop_given(left);
		return dup;
	}
	if (!dup)
		return false;
	if (puback_find(c->answers, packet_id)) /* 3.1 clients repeat on the same connection, too */
		return true;
	/*
	 * Its answer was sent and not heard, so it is routed again; and so is what the client repeats behind it: else a retained value
	 * would be followed by an older one.
	 */
	answers_free(left);
	c->session->left = NULL;
	return false;
}
