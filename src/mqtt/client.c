#include "mqtt/client.h"

#include <assert.h>
#include <stdlib.h>

#include "mqtt/client_impl.h"

void mqtt_client_options_init(struct mqtt_client_options *o)
{
	*o = (struct mqtt_client_options){
		.connect = {.version = MQTT_V311, .clean_start = true, .keep_alive_s = 60},
		.reconnect = true,
		.reconnect_min_ms = 1000,
		.reconnect_max_ms = 60000,
		.queue_messages = 1000,
		.queue_bytes = 16u << 20,
		.inflight = 100,
		.connect_timeout_ms = 30000,
		.ping_timeout_ms = 10000,
	};
}

void client_enter(struct mqtt_client *c)
{
	c->busy++;
}

static void client_free(struct mqtt_client *c)
{
	client_pub_fini(c);
	client_sub_fini(c);
	client_conn_fini(c);
	client_owed_fini(c);
	free(c->connect_buf);
	free(c->assigned_id);
	free(c->bye);
	free(c);
}

void client_leave(struct mqtt_client *c)
{
	assert(c->busy > 0);
	if (--c->busy == 0 && c->is_dead)
		client_free(c);
}

static size_t connect_room(const struct mqtt_connect *p)
{
	size_t room = MQTT_HEADER_MAX + 10 + 2 + p->client_id.len + client_props_room(&p->props);

	if (p->has_will)
		room += 4 + p->will.topic.len + p->will.payload.len + client_props_room(&p->will.props);
	return room + 4 + (p->has_username ? p->username.len : 0) + (p->has_password ? p->password.len : 0);
}

int client_out_connect(struct mqtt_client *c, const struct mqtt_connect *p)
{
	size_t room = connect_room(p);
	uint8_t *at;
	int rc;

	if ((rc = client_out_reserve(c, room, &at)) < 0)
		return rc;
	struct wr w = wr_of(at, room);

	if ((rc = mqtt_connect_encode(&w, p)) < 0)
		return rc;
	client_out_commit(c, (size_t)(w.p - at));
	return OK;
}

/*
 * A decoded list becomes one to encode: our encoder puts user properties last, so they are the tail of `raw`.
 */
static void props_reuse(struct mqtt_props *p)
{
	struct rd r = rd_of(p->raw.p, p->raw.len);
	struct mqtt_prop_item item;

	p->user = span_of(NULL, 0);
	while (mqtt_props_next(&r, &item)) {
		if (item.id != MQTT_P_USER_PROPERTY)
			continue;
		p->user = span_of(item.whole.p, (size_t)(p->raw.p + p->raw.len - item.whole.p));
		break;
	}
	p->has &= ~(1u << MQTT_P_USER_PROPERTY);
}

/* The codec makes the deep copy: encode what the caller gave, decode it from bytes of our own. */
static int connect_copy(struct mqtt_client *c, const struct mqtt_connect *given)
{
	size_t room = connect_room(given);
	struct mqtt_frame f;
	int rc;

	if (!(c->connect_buf = malloc(room)))
		return ERR_NOMEM;
	struct wr w = wr_of(c->connect_buf, room);

	if ((rc = mqtt_connect_encode(&w, given)) < 0)
		return rc;
	if ((rc = mqtt_frame_read(c->connect_buf, (size_t)(w.p - c->connect_buf), UINT32_MAX, &f)) < 0)
		return rc;
	if ((rc = mqtt_connect_decode(&f, &c->opt.connect)) < 0)
		return rc;
	c->opt.connect.bridge = given->bridge;
	if (given->version != MQTT_V5) {
		mqtt_props_clear(&c->opt.connect.props);
		mqtt_props_clear(&c->opt.connect.will.props);
		return OK;
	}
	props_reuse(&c->opt.connect.props);
	if (given->has_will)
		props_reuse(&c->opt.connect.will.props);
	return OK;
}

static void limits_init(struct mqtt_client *c)
{
	struct mqtt_props *p = &c->opt.connect.props;
	uint32_t max = c->opt.max_packet_size;

	if (client_is_v5(c) && max && !mqtt_props_has(p, MQTT_P_MAXIMUM_PACKET_SIZE))
		mqtt_props_set_num(p, MQTT_P_MAXIMUM_PACKET_SIZE, max);
	c->in_max = mqtt_props_num(p, MQTT_P_MAXIMUM_PACKET_SIZE, max ? max : UINT32_MAX);
	c->receive_max = (uint16_t)mqtt_props_num(p, MQTT_P_RECEIVE_MAXIMUM, MQTT_PACKET_IDS);
	c->alias_max = (uint16_t)mqtt_props_num(p, MQTT_P_TOPIC_ALIAS_MAXIMUM, 0);
	c->random = c->opt.seed;
}

static void lists_init(struct mqtt_client *c)
{
	list_init(&c->queued);
	list_init(&c->resend);
	list_init(&c->inflight);
	list_init(&c->releasing);
	list_init(&c->unwritten);
	list_init(&c->requests);
	list_init(&c->asked);
	list_init(&c->subscriptions);
	c->owing.base = 1;
}

int mqtt_client_create(struct loop *loop, struct dialer *dialer, const struct mqtt_client_options *o,
		       const struct mqtt_client_events *events, void *arg, struct mqtt_client **out)
{
	struct mqtt_client *c = calloc(1, sizeof(*c));
	int rc;

	*out = NULL;
	if (!c)
		return ERR_NOMEM;
	c->loop = loop;
	c->dialer = dialer;
	c->on = *events;
	c->arg = arg;
	c->opt = *o;
	lists_init(c);
	client_conn_init(c);
	if ((rc = connect_copy(c, &o->connect)) < 0) {
		client_free(c);
		return rc;
	}
	limits_init(c);
	*out = c;
	return OK;
}

int mqtt_client_start(struct mqtt_client *c)
{
	if (c->state != CLIENT_IDLE || c->is_dead)
		return ERR_BUSY;
	c->finish = false;
	c->backoff_ms = 0;
	c->state = CLIENT_WAITING;
	loop_timer_set(c->loop, &c->timer, 0);
	return OK;
}

static int bye_make(struct mqtt_client *c, uint8_t reason, const struct mqtt_props *props)
{
	struct mqtt_disconnect d = {.reason = reason};

	if (props)
		d.props = *props;
	size_t room = MQTT_HEADER_MAX + 1 + client_props_room(&d.props);
	uint8_t *buf = malloc(room);
	int rc;

	if (!buf)
		return ERR_NOMEM;
	struct wr w = wr_of(buf, room);

	if ((rc = mqtt_disconnect_encode(&w, c->opt.connect.version, MQTT_DISCONNECT, &d)) < 0) {
		free(buf);
		return rc;
	}
	free(c->bye);
	c->bye = buf;
	c->bye_len = (size_t)(w.p - buf);
	return OK;
}

int mqtt_client_disconnect(struct mqtt_client *c, bool finish_first, uint8_t reason,
			   const struct mqtt_props *props)
{
	int rc;

	if (c->state == CLIENT_IDLE || c->state == CLIENT_LEAVING)
		return OK;
	if ((rc = bye_make(c, reason, props)) < 0)
		return rc;
	client_enter(c);
	if (finish_first && (c->npending || c->state == CLIENT_UP))
		c->finish = true;
	else if (c->state == CLIENT_UP)
		client_leave_server(c);
	else
		client_stop(c, c->state != CLIENT_WAITING);
	client_kick(c);
	client_leave(c);
	return OK;
}

void mqtt_client_destroy(struct mqtt_client *c)
{
	if (!c || c->is_dead)
		return;
	client_enter(c);
	c->is_dead = true;
	client_stop(c, false);
	client_pub_fini(c);
	client_sub_fini(c);
	c->on = (struct mqtt_client_events){0}; /* `arg` may be gone before the outermost handler returns */
	client_leave(c);
}

bool mqtt_client_is_connected(const struct mqtt_client *c)
{
	return c->state == CLIENT_UP;
}

uint32_t mqtt_client_pending(const struct mqtt_client *c)
{
	return c->pending;
}

void mqtt_client_counters(const struct mqtt_client *c, struct mqtt_client_counters *out)
{
	*out = c->counters;
}
