#include "mqtt/retained_disk.h"

#include "base/log.h"
#include "mqtt/promise.h"
#include "mqtt/refusal.h"

static int put_value(struct worker *w, const struct publication *p, uint64_t stamp)
{
	const struct store_retained r = {
		.msg = {.topic = p->topic,
			.props = p->props,
			.payload = p->payload,
			.expires_ms = worker_wall_ms(w, p->expires_ms),
			.qos = p->qos,
			.retain = true},
		.stamp = stamp,
	};

	return store_put_retained(w->disk, &r);
}

int retained_put(struct worker *w, struct publication *p, const struct retained_change *change)
{
	int rc;

	/* a client's value that the gateway's takes the place of must not be back after a start */
	if (!worker_has_store(w) || (p->own && !change->of_client))
		return OK;
	if (p->qos == 0 &&
	    store_is_stuck(w)) { /* nobody is promised anything, and the batches would grow for ever */
		worker_count(w, dropped_retained, 1);
		return OK;
	}
	if (p->own || p->payload.len == 0)
		rc = store_clear_retained(w->disk, p->topic, change->stamp);
	else
		rc = put_value(w, p, change->stamp);
	if (rc == OK)
		p->ticket = store_ticket(w->disk);
	return rc;
}

void retained_put_expired(void *worker, const struct retained *v, uint64_t stamp)
{
	struct worker *w = worker;

	if (worker_has_store(w) && v->limited && store_clear_retained(w->disk, retained_topic(v), stamp) < 0)
		log_debug("mqtt", "retained message %s: it expires on disk at the next start: out of memory",
			  log_quote((char[128]){0}, 128, retained_topic(v)));
}

/* Large payloads are shared, as those that come from clients are. */
static int blob_restore(struct broker *b, struct publication *p)
{
	if (p->payload.len < BLOB_MIN)
		return OK;
	p->blob = blob_create(p->payload);
	if (!p->blob)
		return ERR_NOMEM;
	blob_count(p->blob, &b->budget);
	return OK;
}

static int take(struct worker *w, struct publication *p, enum retained_from from,
		struct retained_change *change)
{
	struct broker *b = w->broker;
	int rc = blob_restore(b, p);

	if (rc == OK)
		rc = retained_set(b->retained, w->reader, w->levels, p, from, change);
	blob_unref(p->blob);
	if (rc == OK && p->expires_ms && !loop_timer_pending(&w->sweeping))
		loop_timer_set(w->loop, &w->sweeping, SWEEP_MS);
	return rc;
}

/* Its topic is in w->levels then. false: it cannot be one here, which is logged. */
static bool view(struct worker *w, const struct store_retained *r, struct publication *p)
{
	*p = (struct publication){
		.topic = r->msg.topic,
		.payload = r->msg.payload,
		.props = r->msg.props,
		.qos = r->msg.qos,
		.retain = true,
		.expires_ms = worker_monotonic_ms(w, r->msg.expires_ms),
	};
	if (r->msg.expires_ms && !p->expires_ms)
		p->expires_ms = 1; /* 0 would be never */
	if (topic_levels_split(w->levels, w->broker->config.seed, p->topic))
		return true;
	log_warning("mqtt", "retained message %s: it has more levels than are allowed now: not loaded",
		    log_quote((char[128]){0}, 128, p->topic));
	return false;
}

int retained_restore(struct worker *w, const struct store_retained *r)
{
	struct retained_change change;
	struct publication p;

	return view(w, r, &p) ? take(w, &p, RETAINED_DISK, &change) : OK;
}

int retained_import(struct worker *w, const struct store_retained *r, bool replace)
{
	struct retained_change change;
	const struct retained *now;
	struct publication p;
	int rc;

	if (!view(w, r, &p))
		return OK;
	now = retained_get(w->broker->retained, w->levels);
	if (now && !now->limited) /* the gateway's own, which it knows best */
		return ERR_EXISTS;
	rc = take(w, &p, replace ? RETAINED_DISK : RETAINED_ABSENT, &change);
	return rc == OK ? retained_put(w, &p, &change) : rc;
}
