#include "uplinks/uplink.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "uplinks/uplink_impl.h"

/* ---- state, and what went wrong ---- */

const char *uplink_state_text(enum uplink_state s)
{
	static const char *const texts[] = {
		[UPLINK_OFFLINE] = "offline", [UPLINK_ONLINE] = "online", [UPLINK_DRAINING] = "draining"};

	return texts[s];
}

static void tell_changed(struct uplink *u)
{
	loop_timer_set(u->loop, &u->telling, 0);
}

static void tell(struct loop_timer *t)
{
	struct uplink *u = container_of(t, struct uplink, telling);

	if (u->on.changed)
		u->on.changed(u->arg);
}

/* What goes on being wrong, as every attempt to connect, is told once. */
static void log_failure(const struct uplink *u, bool is_new)
{
	if (is_new)
		log_warning("uplink", "%s: %s", u->cfg.name, u->error);
	else
		log_info("uplink", "%s: again: %s", u->cfg.name, u->error);
}

void uplink_failed(struct uplink *u, const char *fmt, ...)
{
	char text[UPLINK_ERROR_BYTES];
	bool is_new;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	is_new = strcmp(text, u->error) != 0;
	memcpy(u->error, text, sizeof(text));
	u->error_ms = loop_wall_ms(u->loop);
	log_failure(u, is_new);
	if (is_new)
		tell_changed(u);
}

void uplink_settle(struct uplink *u)
{
	bool is_online = u->is_up && u->phase >= PHASE_ALONE && !u->is_stopping;
	enum uplink_state now = !is_online                ? UPLINK_OFFLINE
				: u->phase == PHASE_ALONE ? UPLINK_ONLINE
							  : UPLINK_DRAINING;

	if (now == u->state)
		return;
	u->state = now;
	u->since_ms = loop_wall_ms(u->loop);
	log_notice("uplink", "%s: %s", u->cfg.name, uplink_state_text(now));
	tell_changed(u);
}

/* Return codes of CONNACK in 3.1 and 3.1.1, table 3.1. */
static const char *v3_text(uint8_t code)
{
	static const char *const texts[] = {"accepted",
					    "it does not speak this version of MQTT",
					    "client identifier not valid",
					    "server unavailable",
					    "bad user name or password",
					    "not authorized"};

	return code < sizeof(texts) / sizeof(texts[0]) ? texts[code] : "unknown return code";
}

const char *uplink_why(const struct mqtt_client_disconnected *e, enum mqtt_version v, char *buf, size_t size)
{
	const char *reason = v == MQTT_V5 ? mqtt_reason_text(e->reason) : v3_text(e->reason);

	if (!e->was_connected && e->err == ERR_IO)
		snprintf(buf, size, "no connection to it: nobody answers there, or there is no such host");
	else if (e->is_refused)
		snprintf(buf, size, "refused: %s", reason);
	else if (e->err == ERR_REMOTE)
		snprintf(buf, size, "disconnected by the other side: %s", mqtt_reason_text(e->reason));
	else
		snprintf(buf, size, "%s: %s", e->was_connected ? "connection lost" : "not connected",
			 err_text(e->err));
	return buf;
}

static void look(struct loop_timer *t)
{
	struct uplink *u = container_of(t, struct uplink, tick);

	for (unsigned i = 0; i < 2; i++) /* one that could not be started again has no timer of its own */
		if (mqtt_client_start(u->buffers[i].client) == OK)
			log_info("uplink", "%s: session %u is read again", u->cfg.name, i + 1);
	buffers_look(u);
	records_pump(u);
	if (u->is_up)
		loop_timer_set(u->loop, &u->tick, UPLINK_TICK_MS);
}

static uint64_t dropped(const struct uplink *u, size_t offset)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < 2; i++)
		n += atomic_load(
			(const _Atomic uint64_t *)(const void *)((const char *)u->buffers[i].terms + offset));
	return n;
}

void uplink_status(const struct uplink *u, struct uplink_status *out)
{
	*out = (struct uplink_status){
		.state = u->state,
		.since_ms = u->since_ms,
		.sent = u->sent,
		.acknowledged = u->acknowledged,
		.received = u->received,
		.returned = u->returned,
		.connects = u->connects,
		.dropped.refused = u->refused,
		.dropped.unmapped = u->unmapped,
		.dropped.not_taken = u->not_taken,
		.last_error = u->error,
		.last_error_ms = u->error_ms,
	};
#define UPLINK_DROP_SUM(name, text) \
	out->dropped.name = dropped(u, offsetof(struct mqtt_session_terms, dropped_##name));
	UPLINK_DROPS_OF_BUFFER(UPLINK_DROP_SUM)
#undef UPLINK_DROP_SUM
	out->dropped.expired += u->expired;
	for (unsigned i = 0; i < 2; i++) {
		out->queued_messages += buffer_queued(&u->buffers[i]);
		out->queued_bytes += atomic_load(&u->buffers[i].terms->queued_bytes);
	}
}

/* ---- the configuration, copied ---- */

static int copy_text(struct arena *a, const char **text)
{
	if (!*text)
		return OK;
	*text = arena_text(a, *text, strlen(*text));
	return *text ? OK : ERR_NOMEM;
}

static int copy_maps(struct arena *a, struct config_uplink_map **maps, size_t n)
{
	struct config_uplink_map *copy = arena_array(a, n, sizeof(*copy));
	int rc = copy ? OK : ERR_NOMEM;

	for (size_t i = 0; rc == OK && i < n; i++) {
		const char **const texts[] = {&copy[i].filter, &copy[i].strip, &copy[i].prefix,
					      &copy[i].template};

		copy[i] = (*maps)[i];
		for (size_t t = 0; rc == OK && t < sizeof(texts) / sizeof(texts[0]); t++)
			rc = copy_text(a, texts[t]);
	}
	*maps = copy;
	return rc;
}

static int copy_config(struct uplink *u, const struct config_uplink *cfg)
{
	int rc;

	u->cfg = *cfg;
	u->cfg.url = u->cfg.host = u->cfg.client_id = u->cfg.password_file = NULL; /* not looked at here */
	if ((rc = copy_text(&u->arena, &u->cfg.name)) < 0 ||
	    (rc = copy_text(&u->arena, &u->cfg.username)) < 0 ||
	    (rc = copy_maps(&u->arena, &u->cfg.publish, u->cfg.npublish)) < 0)
		return rc;
	return copy_maps(&u->arena, &u->cfg.subscribe, u->cfg.nsubscribe);
}

/* ---- life ---- */

static void ended(struct loop_timer *t)
{
	struct uplink *u = container_of(t, struct uplink, ending);

	if (u->on.stopped)
		u->on.stopped(u->arg);
}

void uplink_client_ended(struct uplink *u)
{
	if (!u->is_up && !u->buffers[0].is_up && !u->buffers[1].is_up)
		loop_timer_set(u->loop, &u->ending, 0);
}

static void cancel_timers(struct uplink *u)
{
	struct loop_timer *const timers[] = {&u->tick,  &u->overlap, &u->drain,
					     &u->retry, &u->telling, &u->ending};

	for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++)
		loop_timer_cancel(u->loop, timers[i]);
}

void uplink_stop(struct uplink *u)
{
	struct mqtt_client *const clients[] = {u->remote, u->buffers[0].client, u->buffers[1].client};

	u->is_stopping = true;
	cancel_timers(u);
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++)
		if (mqtt_client_disconnect(clients[i], false, MQTT_RC_SUCCESS, NULL) < 0)
			log_warning("uplink", "%s: no memory to say good-bye", u->cfg.name);
	uplink_settle(u);
	uplink_client_ended(u);
}

static int open_all(struct uplink *u, const struct uplink_places *places, const struct uplink_setup *setup)
{
	int rc;

	if ((rc = copy_config(u, setup->cfg)) < 0)
		return rc;
	u->topic = malloc(REMAP_TOPIC_MAX);
	if (!uplink_is_v5(u) && u->cfg.nsubscribe)
		u->echo = malloc(sizeof(*u->echo));
	if (!u->topic || (!uplink_is_v5(u) && u->cfg.nsubscribe && !u->echo))
		return ERR_NOMEM;
	if (u->echo)
		echo_init(u->echo, setup->seed);
	for (unsigned i = 0; i < 2; i++)
		if ((rc = buffer_open(u, i, places->terms[i])) < 0)
			return rc;
	return remote_open(u, setup);
}

int uplink_create(const struct uplink_places *places, const struct uplink_setup *setup,
		  const struct uplink_events *events, void *arg, struct uplink **out)
{
	struct uplink *u = calloc(1, sizeof(*u));
	int rc;

	*out = NULL;
	if (!u) {
		places->remote->destroy(places->remote);
		return ERR_NOMEM;
	}
	u->loop = places->loop;
	u->local = places->local;
	u->remote_dialer = places->remote;
	u->on = *events;
	u->arg = arg;
	u->since_ms = loop_wall_ms(u->loop);
	loop_timer_init(&u->tick, look);
	loop_timer_init(&u->overlap, buffers_overlap_over);
	loop_timer_init(&u->drain, records_drain_more);
	loop_timer_init(&u->retry, remote_retry);
	loop_timer_init(&u->telling, tell);
	loop_timer_init(&u->ending, ended);
	if ((rc = open_all(u, places, setup)) < 0) {
		uplink_destroy(u);
		return rc;
	}
	*out = u;
	return OK;
}

void uplink_destroy(struct uplink *u)
{
	if (!u)
		return;
	u->is_dead = true;
	cancel_timers(u);
	mqtt_client_destroy(u->remote);
	for (unsigned i = 0; i < 2; i++)
		buffer_close(&u->buffers[i]);
	cancel_timers(u); /* the clients told of what they had */
	u->remote_dialer->destroy(u->remote_dialer);
	arena_free(&u->arena);
	free(u->echo);
	free(u->topic);
	free(u->payload);
	free(u);
}
