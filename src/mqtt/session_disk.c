/*
 * Sessions in the store: what is written of them when they come, change, go and end. Subscriptions are written where they are
 * made (packets.c), messages by shelf.c.
 */
#include "base/log.h"
#include "mqtt/promise.h"
#include "mqtt/session.h"

static struct store_will will_of(const struct will *will)
{
	struct publication p;

	msg_view(will->msg, &p);
	return (struct store_will){
		.msg = {.topic = p.topic,
			.props = p.props,
			.payload = p.payload,
			.qos = p.qos,
			.retain = p.retain},
		.delay_s = will->delay_s,
		.expires = will->expires,
		.expiry_s = will->expiry_s,
	};
}

/* `away_ms`: Unix time, 0: connected. */
static int session_write(struct session *s, uint32_t expiry_s, const struct will *will, int64_t away_ms)
{
	struct store_will w;
	struct store_session out = {
		.id = s->stored, .client_id = session_id(s), .expiry_s = expiry_s, .away_ms = away_ms};
	int rc;

	if (will && !will->msg->command) { /* a command must not act after a power cut */
		w = will_of(will);
		out.will = &w;
	}
	rc = store_put_session(s->worker->disk, &out);
	if (rc < 0)
		return rc;
	s->stored_expiry_s = expiry_s;
	s->has_stored_will = out.will != NULL;
	return OK;
}

/* One that never expires and has no will is the same to a later start, whether its client is there or not. */
static bool session_differs(const struct session *s, uint32_t expiry_s, const struct will *will)
{
	return s->stored_expiry_s != expiry_s || expiry_s != EXPIRY_NEVER || will || s->has_stored_will;
}

int session_put_connected(struct session *s, uint32_t expiry_s, const struct will *will)
{
	bool is_new = !s->stored;
	int rc;

	if (!worker_has_store(s->worker) || (is_new && expiry_s == 0))
		return OK;
	if (is_new && (rc = store_take_session_id(s->worker->disk, &s->stored)) < 0)
		return rc;
	if (!is_new && !session_differs(s, expiry_s, will))
		return OK;
	rc = session_write(s, expiry_s, will, 0);
	if (rc < 0 && is_new) {
		store_drop_session(s->worker->disk, s->stored); /* the id */
		s->stored = 0;
	}
	return rc;
}

/* Since when its client is away, Unix time; 0: it is there. For one that never expires, now will do. */
static int64_t away_ms(const struct session *s)
{
	const struct worker *w = s->worker;
	int64_t away = 0;

	if (s->conn)
		return 0;
	if (loop_timer_pending(&s->expiry))
		away = 1000 * (int64_t)s->expiry_s - (int64_t)(s->expiry.due_ms - loop_now_ms(w->loop));
	return store_now_ms(w->broker->config.store, loop_wall_ms(w->loop)) - (away > 0 ? away : 0);
}

void session_put(struct session *s)
{
	if (!s->stored || !session_differs(s, s->expiry_s, s->will))
		return;
	if (session_write(s, s->expiry_s, s->will, away_ms(s)) < 0)
		log_warning("mqtt", "client %s: what changed is not stored: out of memory",
			    log_quote((char[128]){0}, 128, session_id(s)));
}

void session_drop(struct session *s)
{
	if (s->stored)
		store_drop_session(s->worker->disk, s->stored);
}
