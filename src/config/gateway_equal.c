#include <math.h>
#include <string.h>

#include "config/io_config.h"
#include "config/schema.h"

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool config_broker_equal(const struct config_broker *a, const struct config_broker *b)
{
	return a->workers == b->workers && a->max_packet_size == b->max_packet_size &&
	       a->max_inflight == b->max_inflight && a->max_queued_messages == b->max_queued_messages &&
	       a->max_queued_bytes == b->max_queued_bytes && a->queue_policy == b->queue_policy &&
	       a->max_connections == b->max_connections && a->spread_after == b->spread_after &&
	       a->max_subscriptions == b->max_subscriptions && a->max_topic_levels == b->max_topic_levels &&
	       a->max_retained_messages == b->max_retained_messages &&
	       a->max_retained_bytes == b->max_retained_bytes &&
	       a->connect_timeout_ms == b->connect_timeout_ms && a->max_sessions == b->max_sessions &&
	       a->max_keep_alive_ms == b->max_keep_alive_ms && a->memory_limit == b->memory_limit;
}

bool config_move_equal(const struct config_broker *a, const struct config_broker *b)
{
	return text_equal(a->move_to, b->move_to) && a->move_permanently == b->move_permanently;
}

bool config_storage_equal(const struct config_storage *a, const struct config_storage *b)
{
	return text_equal(a->path, b->path) && a->durability == b->durability &&
	       a->linger_ms == b->linger_ms && a->will_grace_ms == b->will_grace_ms &&
	       a->max_bytes == b->max_bytes;
}

bool config_listener_equal(const struct config_listener *a, const struct config_listener *b)
{
	return text_equal(a->name, b->name) && a->protocol == b->protocol &&
	       text_equal(a->address, b->address) && a->port == b->port &&
	       a->allow_anonymous == b->allow_anonymous;
}

static bool serial_equal(const struct config_line *a, const struct config_line *b)
{
	return text_equal(a->path, b->path) && a->parity == b->parity && a->data_bits == b->data_bits &&
	       a->stop_bits == b->stop_bits && a->baud == b->baud && a->mode == b->mode &&
	       a->silence_ms == b->silence_ms && a->turnaround_ms == b->turnaround_ms &&
	       a->has_rs485 == b->has_rs485 && a->rs485.rts_on_send == b->rs485.rts_on_send &&
	       a->rs485.rts_after_send == b->rs485.rts_after_send &&
	       a->rs485.delay_before_ms == b->rs485.delay_before_ms &&
	       a->rs485.delay_after_ms == b->rs485.delay_after_ms;
}

static bool watchdog_equal(const struct config_watchdog *a, const struct config_watchdog *b)
{
	return a->is_set == b->is_set && a->watch == b->watch && text_equal(a->uplink, b->uplink) &&
	       a->timeout_ms == b->timeout_ms && a->clear == b->clear;
}

bool config_line_equal(const struct config_line *a, const struct config_line *b)
{
	return text_equal(a->name, b->name) && a->type == b->type && text_equal(a->host, b->host) &&
	       a->port == b->port && a->timeout_ms == b->timeout_ms && a->retries == b->retries &&
	       a->backoff.first_ms == b->backoff.first_ms && a->backoff.max_ms == b->backoff.max_ms &&
	       a->max_in_flight == b->max_in_flight && serial_equal(a, b) && config_modules_equal(a, b) &&
	       watchdog_equal(&a->watchdog, &b->watchdog);
}

bool config_policy_equal(const struct config_policy *a, const struct config_policy *b)
{
	return a == b ||
	       (a->publish == b->publish && a->payload == b->payload && a->period_ms == b->period_ms &&
		a->min_interval_ms == b->min_interval_ms && a->above == b->above && a->below == b->below &&
		a->hysteresis == b->hysteresis && a->deadband.amount == b->deadband.amount &&
		a->deadband.is_percent == b->deadband.is_percent && text_equal(a->topic, b->topic) &&
		text_equal(a->template, b->template));
}

static bool group_equal(const struct config_group *a, const struct config_group *b)
{
	return text_equal(a->name, b->name) && a->scan_ms == b->scan_ms && a->message == b->message &&
	       a->retain == b->retain && text_equal(a->group_topic, b->group_topic) &&
	       config_policy_equal(a->policy, b->policy);
}

static bool map_equal(const struct config_map *a, const struct config_map *b)
{
	if (!a || !b)
		return a == b;
	return memcmp(a->raw, b->raw, sizeof(a->raw)) == 0 &&
	       memcmp(a->value, b->value, sizeof(a->value)) == 0 && a->clamp == b->clamp;
}

static bool labels_equal(const struct config_tag *a, const struct config_tag *b)
{
	for (size_t i = 0; i < a->nlabels && i < b->nlabels; i++)
		if (a->labels[i].number != b->labels[i].number ||
		    strcmp(a->labels[i].text, b->labels[i].text) != 0)
			return false;
	return a->nlabels == b->nlabels;
}

static bool internal_equal(const struct config_tag *a, const struct config_tag *b)
{
	bool same_value = a->value == b->value || (isnan(a->value) && isnan(b->value));

	return same_value && text_equal(a->expression, b->expression) &&
	       text_equal(a->counter.of, b->counter.of) && a->counter.edge == b->counter.edge;
}

bool config_alarm_equal(const struct config_alarm *a, const struct config_alarm *b)
{
	return text_equal(a->name, b->name) && text_equal(a->tag, b->tag) && a->above == b->above &&
	       a->below == b->below && a->hysteresis == b->hysteresis && a->delay_ms == b->delay_ms &&
	       a->quality == b->quality && text_equal(a->text, b->text) && a->severity == b->severity;
}

static bool tag_equal(const struct config_tag *a, const struct config_tag *b)
{
	return text_equal(a->name, b->name) && a->address.area == b->address.area &&
	       a->address.number == b->address.number && a->address.bit == b->address.bit &&
	       a->type == b->type && a->order == b->order && a->high_byte == b->high_byte &&
	       a->bits == b->bits && a->writable == b->writable && a->verify == b->verify &&
	       text_equal(a->safe, b->safe) && a->length == b->length && a->scale == b->scale &&
	       a->offset == b->offset && a->min == b->min && a->max == b->max &&
	       text_equal(a->unit, b->unit) && a->group == b->group && a->has_invalid == b->has_invalid &&
	       a->invalid == b->invalid && map_equal(a->map, b->map) && labels_equal(a, b) &&
	       text_equal(a->scale_tag_name, b->scale_tag_name) && a->scale_tag == b->scale_tag &&
	       config_policy_equal(a->policy, b->policy) && internal_equal(a, b);
}

bool config_device_equal(const struct config_device *a, const struct config_device *b)
{
	if (!text_equal(a->name, b->name) || !text_equal(a->line_name, b->line_name) || a->unit != b->unit ||
	    a->timeout_ms != b->timeout_ms || a->retries != b->retries || a->silence_ms != b->silence_ms ||
	    a->backoff.first_ms != b->backoff.first_ms || a->backoff.max_ms != b->backoff.max_ms ||
	    a->max_gap != b->max_gap || a->max_block != b->max_block || a->one_by_one != b->one_by_one ||
	    a->write != b->write || a->mask_write != b->mask_write || a->ngroups != b->ngroups ||
	    a->ntags != b->ntags)
		return false;
	for (size_t i = 0; i < a->ngroups; i++)
		if (!group_equal(&a->groups[i], &b->groups[i]))
			return false;
	for (size_t i = 0; i < a->ntags; i++)
		if (!tag_equal(&a->tags[i], &b->tags[i]))
			return false;
	return true;
}

static bool maps_equal(const struct config_uplink_map *a, const struct config_uplink_map *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!text_equal(a[i].filter, b[i].filter) || !text_equal(a[i].strip, b[i].strip) ||
		    !text_equal(a[i].prefix, b[i].prefix) || !text_equal(a[i].template, b[i].template) ||
		    a[i].retain != b[i].retain)
			return false;
	return true;
}

bool config_uplink_equal(const struct config_uplink *a, const struct config_uplink *b)
{
	return text_equal(a->name, b->name) && text_equal(a->url, b->url) && a->version == b->version &&
	       text_equal(a->client_id, b->client_id) && text_equal(a->username, b->username) &&
	       text_equal(a->password_file, b->password_file) && a->keep_alive_ms == b->keep_alive_ms &&
	       a->clean == b->clean && a->qos == b->qos && a->npublish == b->npublish &&
	       a->nsubscribe == b->nsubscribe && maps_equal(a->publish, b->publish, a->npublish) &&
	       maps_equal(a->subscribe, b->subscribe, a->nsubscribe) &&
	       a->buffer.max_bytes == b->buffer.max_bytes && a->buffer.max_age_ms == b->buffer.max_age_ms &&
	       a->buffer.drop_oldest == b->buffer.drop_oldest && a->drain_rate == b->drain_rate &&
	       a->reconnect.first_ms == b->reconnect.first_ms && a->reconnect.max_ms == b->reconnect.max_ms;
}

bool config_modbus_listener_equal(const struct config_modbus_view *a, const struct config_modbus_view *b)
{
	return text_equal(a->address, b->address) && a->port == b->port;
}
