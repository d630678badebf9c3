/*
 * What is done when the memory for clients is used up: the largest backlog of the worker goes, one at the end of each turn.
 */
#include "mqtt/conn.h"
#include "mqtt/session.h"
#include "mqtt/shelf.h"

#define LOOK_AGAIN_MS 10u /* it looks at all sessions of the worker */

static int64_t held_by(const struct worker *w)
{
	return atomic_load_explicit(&w->budget.held, memory_order_relaxed);
}

/* It is not this worker's clients who pay when others hold far more. */
static bool holds_much(const struct worker *w)
{
	const struct broker *b = w->broker;
	int64_t most = 0;

	for (uint32_t i = 0; i < b->nworkers; i++)
		if (held_by(b->workers[i]) > most)
			most = held_by(b->workers[i]);
	return held_by(w) >= most / 2;
}

static uint64_t conn_backlog(const struct conn *c)
{
	return c->state == CONN_CLOSING ? 0 : c->output.bytes + c->input_room;
}

static struct conn *largest_conn(struct worker *w)
{
	struct conn *largest = NULL;

	list_for_each (n, &w->conns) {
		struct conn *c = container_of(n, struct conn, in_worker);

		if (conn_backlog(c) >= FAIR_OUTPUT_BYTES &&
		    (!largest || conn_backlog(c) > conn_backlog(largest)))
			largest = c;
	}
	return largest;
}

static size_t session_backlog(const struct session *s)
{
	return waiting_held(s);
}

static struct session *largest_session(struct worker *w)
{
	struct session *largest = NULL;
	size_t from = 0;

	for (struct hmap_node *n = hmap_any(&w->sessions, &from); n; n = hmap_after(&w->sessions, n)) {
		struct session *s = container_of(n, struct session, by_id);

		if (session_backlog(s) >= FAIR_QUEUE_BYTES &&
		    (!largest || session_backlog(s) > session_backlog(largest)))
			largest = s;
	}
	return largest;
}

void backlog_cut(struct worker *w)
{
	struct conn *c;
	struct session *s;

	if (!holds_much(w) || loop_now_ms(w->loop) < w->cut_again_ms)
		return;
	c = largest_conn(w);
	s = largest_session(w);
	if (c && (!s || conn_backlog(c) >= session_backlog(s))) {
		worker_count(w, disconnected_slow, 1);
		conn_close(c, MQTT_RC_QUOTA_EXCEEDED, "memory is short and most of it waits for this client");
	} else if (s) {
		session_cut(s);
	}
	if (!c && !s)
		w->cut_again_ms = loop_now_ms(w->loop) + LOOK_AGAIN_MS;
	else
		loop_again(w->loop); /* the turn's flush is over; and there may be more to cut */
}
