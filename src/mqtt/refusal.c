#include "mqtt/refusal.h"

/* What a worker may have on its way to the disk before its publishers wait: the store's commits are larger than they have to be by then. */
#define STORE_BEHIND_BYTES (8u * 1024 * 1024)

uint8_t store_refusal(const struct worker *w)
{
	switch (w->disk ? store_health(w->disk) : STORE_OK) {
	case STORE_FULL:
		return MQTT_RC_QUOTA_EXCEEDED;
	case STORE_FAILING:
		return MQTT_RC_IMPLEMENTATION_SPECIFIC;
	default:
		return MQTT_RC_SUCCESS;
	}
}

/* What is accepted before the refusal begins, and what nobody can refuse, is less than this. */
#define STORE_STUCK_BYTES (32u * 1024 * 1024)

bool store_is_behind(const struct worker *w)
{
	return w->disk && store_backlog(w->disk) > STORE_BEHIND_BYTES && store_health(w->disk) == STORE_OK;
}

bool store_is_stuck(const struct worker *w)
{
	return w->disk && store_health(w->disk) != STORE_OK && store_backlog(w->disk) > STORE_STUCK_BYTES;
}

void refusal_publish(struct conn *c)
{
	if (c->version == MQTT_V5) {
		worker_count(c->worker, refused_store, 1);
		return;
	}
	c->waits_for_store = true;
	loop_timer_set(c->worker->loop, &c->timer, c->worker->broker->config.refuse_close_ms);
}

bool refusal_holds(const struct conn *c)
{
	return c->waits_for_store && store_refusal(c->worker) != MQTT_RC_SUCCESS;
}

bool refusal_end(struct conn *c)
{
	bool waited = c->waits_for_store;

	c->waits_for_store = false;
	if (waited)
		conn_keep_alive(c);
	return waited;
}

void refusal_give_up(struct conn *c)
{
	worker_count(c->worker, refused_store, 1);
	conn_close(c, MQTT_RC_SUCCESS,
		   store_refusal(c->worker) == MQTT_RC_QUOTA_EXCEEDED
			   ? "the disk is full, what it publishes can not be stored"
			   : "the disk fails, what it publishes can not be stored");
}
