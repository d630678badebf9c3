/*
 * The two sessions of our broker, and which of them has the filters: the picture is in uplink.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "uplinks/uplink_impl.h"

#define RECONNECT_FIRST_MS 100u
#define RECONNECT_MAX_MS   5000u
#define LOCAL_QUEUE        4096u
#define RETAINED_IF_NEW    1u /* retain handling */
#define RETAINED_NEVER     2u

enum { TOKEN_BEGIN = 1, TOKEN_JOIN, TOKEN_LEAVE };

const char *uplink_session_id(const char *name, unsigned index, char *buf)
{
	snprintf(buf, UPLINK_ID_MAX, UPLINK_ID_PREFIX "%s%s", name, index ? "/2" : "");
	return buf;
}

uint64_t buffer_queued(const struct buffer *b)
{
	return atomic_load(&b->terms->queued_messages);
}

static uint64_t subscriptions(const struct buffer *b)
{
	return atomic_load(&b->terms->subscriptions);
}

void uplink_terms_set(struct mqtt_session_terms *terms, const struct config_uplink *cfg)
{
	atomic_store(&terms->max_messages, UINT64_MAX);
	atomic_store(&terms->max_bytes, cfg->buffer.max_bytes);
	atomic_store(&terms->max_age_ms, cfg->buffer.max_age_ms);
	atomic_store(&terms->drop_oldest, cfg->buffer.drop_oldest);
}

/* Both sessions together have max_bytes; what comes has a tenth of it at least. */
static void share_bytes(struct uplink *u)
{
	uint64_t most = u->cfg.buffer.max_bytes;
	uint64_t used = atomic_load(&u->buffers[!u->live].terms->queued_bytes);
	uint64_t left = used < most ? most - used : 0;

	atomic_store(&u->buffers[u->live].terms->max_bytes, left > most / 10 ? left : most / 10);
}

/* ---- filters ---- */

static int subscribe(struct buffer *b, uint8_t retain_handling, uintptr_t token)
{
	const struct config_uplink *cfg = &b->uplink->cfg;
	struct mqtt_sub_item *items = calloc(cfg->npublish, sizeof(*items));
	int rc;

	if (!items)
		return ERR_NOMEM;
	for (size_t i = 0; i < cfg->npublish; i++)
		items[i] = (struct mqtt_sub_item){.filter = span_str(cfg->publish[i].filter),
						  .qos = 1,
						  .no_local = true,
						  .retain_as_published = true,
						  .retain_handling = retain_handling};
	rc = mqtt_client_subscribe(b->client, items, cfg->npublish, NULL, (void *)token);
	free(items);
	return rc;
}

static int unsubscribe(struct buffer *b, uintptr_t token)
{
	const struct config_uplink *cfg = &b->uplink->cfg;
	struct span *filters = calloc(cfg->npublish, sizeof(*filters));
	int rc;

	if (!filters)
		return ERR_NOMEM;
	for (size_t i = 0; i < cfg->npublish; i++)
		filters[i] = span_str(cfg->publish[i].filter);
	rc = mqtt_client_unsubscribe(b->client, filters, cfg->npublish, NULL, (void *)token);
	free(filters);
	return rc;
}

static bool is_configured(const struct uplink *u, struct span filter)
{
	for (size_t i = 0; i < u->cfg.npublish; i++)
		if (span_equal(span_str(u->cfg.publish[i].filter), filter))
			return true;
	return false;
}

/* Filters that the session has from another time: all, or those that are configured no more. */
static int unsubscribe_told(struct buffer *b, bool all)
{
	struct uplink *u = b->uplink;
	int rc = OK;

	for (const char *f = b->told; rc == OK && f && *f; f += strlen(f) + 1) {
		struct span filter = span_str(f);

		if (all || !is_configured(u, filter))
			rc = mqtt_client_unsubscribe(b->client, &filter, 1, NULL, NULL);
	}
	free(b->told);
	b->told = NULL;
	return rc;
}

/* ---- phases ---- */

static uint64_t backlog_max(const struct uplink *u)
{
	uint64_t half_a_second = u->cfg.drain_rate / 2 + 1;

	return u->cfg.drain_rate && half_a_second < UPLINK_BACKLOG ? half_a_second : UPLINK_BACKLOG;
}

static void begun(struct uplink *u)
{
	u->phase = PHASE_DRAINING; /* over at once when the other session is empty */
	buffers_look(u);
	records_pump(u);
}

/* What was left of the last time: the session with the filters goes on; do both have them, the one with less behind it. */
static int begin(struct uplink *u)
{
	struct buffer *b = u->buffers;
	bool second = subscriptions(&b[1]) > 0 &&
		      (subscriptions(&b[0]) == 0 || buffer_queued(&b[1]) < buffer_queued(&b[0]));
	struct buffer *live = &b[second], *other = &b[!second];
	int rc;

	u->live = second;
	if ((rc = unsubscribe_told(other, true)) < 0 || (rc = unsubscribe_told(live, false)) < 0)
		return rc;
	u->phase = PHASE_BEGINNING;
	if (u->cfg.npublish)
		return subscribe(live, RETAINED_IF_NEW, TOKEN_BEGIN);
	begun(u);
	return OK;
}

static void join(struct uplink *u)
{
	if (subscribe(&u->buffers[!u->live], RETAINED_NEVER, TOKEN_JOIN) == OK)
		u->phase = PHASE_JOINING;
}

static void joined(struct uplink *u, const struct mqtt_client_answer *e)
{
	bool ok = e->err == OK;

	for (size_t i = 0; i < e->codes.len; i++)
		ok &= e->codes.p[i] < 0x80;
	if (!ok) {
		u->phase = PHASE_ALONE;
		return;
	}
	u->live = !u->live;
	share_bytes(u);
	u->phase = PHASE_BOTH;
	loop_timer_set(u->loop, &u->overlap, UPLINK_OVERLAP_MS);
	log_info("uplink", "%s: %" PRIu64 " records wait: live values go first", u->cfg.name,
		 buffer_queued(&u->buffers[!u->live]));
}

void buffers_overlap_over(struct loop_timer *t)
{
	struct uplink *u = container_of(t, struct uplink, overlap);

	if (unsubscribe(&u->buffers[!u->live], TOKEN_LEAVE) == OK)
		u->phase = PHASE_LEAVING;
	else
		loop_timer_set(u->loop, &u->overlap, UPLINK_OVERLAP_MS);
}

void buffers_look(struct uplink *u)
{
	const struct buffer *other = &u->buffers[!u->live];

	if (u->phase == PHASE_DRAINING && other->is_up && list_empty(&other->records) &&
	    buffer_queued(other) == 0)
		u->phase = PHASE_ALONE;
	if (u->phase == PHASE_ALONE && u->is_up && other->is_up &&
	    buffer_queued(&u->buffers[u->live]) > backlog_max(u))
		join(u);
	share_bytes(u);
	uplink_settle(u);
}

/* ---- events of the local clients ---- */

static void on_connected(void *arg, const struct mqtt_client_connected *e)
{
	struct buffer *b = arg;
	struct uplink *u = b->uplink;

	(void)e;
	b->is_up = true;
	free(b->told);
	b->told = atomic_exchange(&b->terms->filters, NULL);
	if (u->phase != PHASE_STARTING || !u->buffers[0].is_up || !u->buffers[1].is_up)
		return;
	if (begin(u) < 0) {
		uplink_failed(u, "out of memory: it begins again");
		buffer_restart(b);
	}
}

static void on_disconnected(void *arg, const struct mqtt_client_disconnected *e)
{
	struct buffer *b = arg;
	struct uplink *u = b->uplink;
	char why[UPLINK_ERROR_BYTES];

	b->is_up = false;
	records_forget(b);
	if (u->is_stopping) {
		uplink_client_ended(u);
		return;
	}
	if (e->err != OK)
		uplink_failed(u, "our own broker: %s", uplink_why(e, MQTT_V5, why, sizeof(why)));
	else if (mqtt_client_start(b->client) < 0)
		loop_timer_set(u->loop, &u->tick, UPLINK_TICK_MS);
}

static void on_message(void *arg, const struct mqtt_publish *m)
{
	record_take(arg, m);
}

static void on_published(void *arg, void *token, int err, uint8_t reason, const struct mqtt_props *props)
{
	struct buffer *b = arg;

	(void)props;
	remote_delivered(b->uplink, token, err, reason);
}

static void on_answered(void *arg, const struct mqtt_client_answer *e)
{
	struct buffer *b = arg;
	struct uplink *u = b->uplink;

	if (u->is_dead)
		return;
	for (size_t i = 0; e->type == MQTT_SUBSCRIBE && i < e->codes.len; i++)
		if (e->codes.p[i] >= 0x80)
			uplink_failed(u, "our own broker refuses the subscription to %s: %s",
				      u->cfg.publish[i].filter, mqtt_reason_text(e->codes.p[i]));
	if (e->token == (void *)TOKEN_BEGIN && u->phase == PHASE_BEGINNING) {
		begun(u);
	} else if (e->token == (void *)TOKEN_JOIN && u->phase == PHASE_JOINING) {
		joined(u, e);
		records_pump(u);
	} else if (e->token == (void *)TOKEN_LEAVE && u->phase == PHASE_LEAVING) {
		u->phase = PHASE_DRAINING;
		buffers_look(u);
	}
}

/* ---- life ---- */

int buffer_open(struct uplink *u, unsigned index, struct mqtt_session_terms *terms)
{
	static const struct mqtt_client_events events = {.connected = on_connected,
							 .disconnected = on_disconnected,
							 .message = on_message,
							 .published = on_published,
							 .answered = on_answered};
	struct buffer *b = &u->buffers[index];
	struct mqtt_client_options o;
	char id[UPLINK_ID_MAX];
	int rc;

	b->uplink = u;
	b->index = index;
	b->terms = terms;
	list_init(&b->records);
	b->next = &b->records;
	mqtt_client_options_init(&o);
	o.connect.version = MQTT_V5;
	o.connect.clean_start = false;
	o.connect.keep_alive_s = 0;
	o.connect.client_id = span_str(uplink_session_id(u->cfg.name, index, id));
	mqtt_props_set_num(&o.connect.props, MQTT_P_SESSION_EXPIRY, UINT32_MAX);
	mqtt_props_set_num(&o.connect.props, MQTT_P_RECEIVE_MAXIMUM, UPLINK_WINDOW);
	o.reconnect_min_ms = RECONNECT_FIRST_MS;
	o.reconnect_max_ms = RECONNECT_MAX_MS;
	o.queue_messages = LOCAL_QUEUE;
	o.queue_bytes = SIZE_MAX / 4;
	o.manual_ack = true;
	o.seed = index;
	if ((rc = mqtt_client_create(u->loop, u->local, &o, &events, b, &b->client)) < 0)
		return rc;
	return mqtt_client_start(b->client);
}

void buffer_restart(struct buffer *b)
{
	b->uplink->phase = PHASE_STARTING;
	loop_timer_cancel(b->uplink->loop, &b->uplink->overlap);
	if (mqtt_client_disconnect(b->client, false, MQTT_RC_SUCCESS, NULL) < 0)
		uplink_failed(b->uplink, "%s", err_text(ERR_NOMEM));
}

void buffer_close(struct buffer *b)
{
	if (!b->uplink)
		return;
	records_forget(b);
	mqtt_client_destroy(b->client);
	b->client = NULL;
	free(b->told);
	b->told = NULL;
}
