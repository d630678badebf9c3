/* Subscribe, unsubscribe, and subscribe anew when the server lost the session. */
#include <stdlib.h>

#include "mqtt/client_impl.h"

/* ---- requests ---- */

static void request_add(struct mqtt_client *c, struct list *list, struct request *r)
{
	list_init(&r->node);
	list_append(list, &r->node);
	c->npending++;
	c->pending_bytes += r->size;
}

static void request_forget(struct mqtt_client *c, struct request *r)
{
	list_remove(&r->node);
	if (r->packet_id)
		id_set_remove(&c->ids, r->packet_id);
	c->npending--;
	c->pending_bytes -= r->size;
	free(r);
}

/* Tells the answer and forgets the request; look at the lists anew after it. */
static void request_finish(struct mqtt_client *c, struct request *r, int err, uint8_t reason,
			   const struct mqtt_suback *ack)
{
	struct mqtt_client_answer e = {
		.type = r->type,
		.token = r->token,
		.is_again = r->is_again,
		.err = err,
		.reason = reason,
		.count = r->count,
		.codes = ack ? ack->codes : span_of(NULL, 0),
		.props = ack ? &ack->props : NULL,
	};

	request_forget(c, r);
	if (c->on.answered)
		c->on.answered(c->arg, &e);
}

void client_sub_fini(struct mqtt_client *c)
{
	struct list *node;

	while ((node = list_first(&c->asked)) || (node = list_first(&c->requests)))
		request_finish(c, container_of(node, struct request, node), ERR_CLOSED, 0, NULL);
	while ((node = list_take_first(&c->subscriptions)))
		free(container_of(node, struct subscription, node));
}

/* A request with room for a packet with these properties and `list` bytes of filters. */
static struct request *request_new(enum mqtt_type type, size_t count, const struct mqtt_props *props,
				   size_t list, void *token, struct wr *w)
{
	size_t room = MQTT_HEADER_MAX + 2 + client_props_room(props) + list;
	struct request *r = malloc(sizeof(*r) + room);

	if (!r)
		return NULL;
	*r = (struct request){.token = token, .count = (uint32_t)count, .type = (uint8_t)type};
	*w = wr_of(r->packet, room);
	return r;
}

/* The packet is written, or `rc` says why it cannot be: then the request is freed. */
static int request_seal(struct request *r, const struct wr *w, int rc, struct request **out)
{
	struct mqtt_frame f;

	r->size = (uint32_t)(w->p - r->packet);
	if (rc < 0 || (rc = mqtt_frame_read(r->packet, r->size, UINT32_MAX, &f)) < 0) {
		free(r);
		return rc;
	}
	r->id_at = (uint32_t)(f.body - r->packet);
	*out = r;
	return OK;
}

static int subscribe_make(enum mqtt_version v, const struct mqtt_sub_item *items, size_t count,
			  const struct mqtt_props *props, void *token, struct request **out)
{
	size_t list = 0;
	struct wr w;

	for (size_t i = 0; i < count; i++)
		list += 3 + items[i].filter.len;
	struct request *r = request_new(MQTT_SUBSCRIBE, count, props, list, token, &w);

	if (!r)
		return ERR_NOMEM;
	return request_seal(r, &w, mqtt_subscribe_encode(&w, v, 1, props, items, count), out);
}

static int unsubscribe_make(enum mqtt_version v, const struct span *filters, size_t count,
			    const struct mqtt_props *props, void *token, struct request **out)
{
	size_t list = 0;
	struct wr w;

	for (size_t i = 0; i < count; i++)
		list += 2 + filters[i].len;
	struct request *r = request_new(MQTT_UNSUBSCRIBE, count, props, list, token, &w);

	if (!r)
		return ERR_NOMEM;
	return request_seal(r, &w, mqtt_unsubscribe_encode(&w, v, 1, props, filters, count), out);
}

static bool filter_ok(struct span filter)
{
	return mqtt_utf8_valid(filter) && mqtt_filter_valid(filter);
}

static int request_accept(struct mqtt_client *c, struct request *r)
{
	if (c->npending >= c->opt.queue_messages || r->size > c->opt.queue_bytes ||
	    c->pending_bytes > c->opt.queue_bytes - r->size) {
		free(r);
		return ERR_FULL;
	}
	request_add(c, &c->requests, r);
	client_kick(c);
	return OK;
}

int mqtt_client_subscribe(struct mqtt_client *c, const struct mqtt_sub_item *items, size_t count,
			  const struct mqtt_props *props, void *token)
{
	const struct mqtt_props none = {0};
	struct request *r = NULL;
	int rc;

	if (c->finish || c->is_dead)
		return ERR_CLOSED;
	for (size_t i = 0; i < count; i++)
		if (!filter_ok(items[i].filter))
			return ERR_TOPIC;
	rc = subscribe_make(c->opt.connect.version, items, count, props ? props : &none, token, &r);
	return rc < 0 ? rc : request_accept(c, r);
}

int mqtt_client_unsubscribe(struct mqtt_client *c, const struct span *filters, size_t count,
			    const struct mqtt_props *props, void *token)
{
	const struct mqtt_props none = {0};
	struct request *r = NULL;
	int rc;

	if (c->finish || c->is_dead)
		return ERR_CLOSED;
	for (size_t i = 0; i < count; i++)
		if (!filter_ok(filters[i]))
			return ERR_TOPIC;
	rc = unsubscribe_make(c->opt.connect.version, filters, count, props ? props : &none, token, &r);
	return rc < 0 ? rc : request_accept(c, r);
}

/* ---- sending ---- */

/* Our own packet back into structs: it was made by the encoder, so this cannot fail. */
static int request_read(const struct mqtt_client *c, const struct request *r, struct mqtt_subscribe *s)
{
	struct mqtt_frame f;
	int rc;

	if ((rc = mqtt_frame_read(r->packet, r->size, UINT32_MAX, &f)) < 0)
		return rc;
	return mqtt_subscribe_decode(&f, c->opt.connect.version, s);
}

static bool has_wildcard(struct span filter)
{
	return filter.len > 0 && (memchr(filter.p, '+', filter.len) || memchr(filter.p, '#', filter.len));
}

/* What the server said in CONNACK that it does not do (3.2.2.3.11 to 13): asking would end the connection. */
static int server_does(const struct mqtt_client *c, const struct request *r, uint8_t *reason)
{
	struct mqtt_sub_item item;
	struct mqtt_subscribe s;
	struct span group, rest;
	int rc;

	*reason = MQTT_RC_PACKET_TOO_LARGE;
	if (r->size > c->server.packet_max)
		return ERR_TOO_LARGE;
	if (r->type != MQTT_SUBSCRIBE)
		return OK;
	if ((rc = request_read(c, r, &s)) < 0)
		return rc;
	*reason = MQTT_RC_SUBSCRIPTION_IDS_NOT_SUPPORTED;
	if (!c->server.has_sub_ids && mqtt_props_has(&s.props, MQTT_P_SUBSCRIPTION_ID))
		return ERR_UNSUPPORTED;
	struct rd list = rd_of(s.filters.p, s.filters.len);

	while (mqtt_subscribe_next(&list, c->opt.connect.version, &item)) {
		*reason = MQTT_RC_WILDCARDS_NOT_SUPPORTED;
		if (!c->server.has_wildcards && has_wildcard(item.filter))
			return ERR_UNSUPPORTED;
		*reason = MQTT_RC_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED;
		if (!c->server.has_shared && mqtt_filter_shared(item.filter, &group, &rest))
			return ERR_UNSUPPORTED;
	}
	return OK;
}

static int request_send(struct mqtt_client *c, struct request *r)
{
	uint8_t *at;
	int rc;

	if ((rc = client_out_reserve(c, r->size, &at)) < 0)
		return rc;
	if (!r->packet_id && (rc = client_id_take(c, &r->packet_id)) < 0)
		return rc;
	memcpy(at, r->packet, r->size);
	put_u16be(at + r->id_at, r->packet_id);
	client_out_commit(c, r->size);
	list_remove(&r->node);
	list_append(&c->asked, &r->node);
	return OK;
}

int client_sub_fill(struct mqtt_client *c)
{
	struct list *node;
	int rc;

	while (c->state == CLIENT_UP && (node = list_first(&c->requests))) {
		struct request *r = container_of(node, struct request, node);
		uint8_t reason;

		if ((rc = server_does(c, r, &reason)) < 0) {
			request_finish(c, r, rc, reason, NULL);
			continue;
		}
		if ((rc = request_send(c, r)) == ERR_FULL)
			return OK;
		if (rc < 0)
			return rc;
	}
	return OK;
}

/* ---- subscribing anew ---- */

static void requests_unsend(struct mqtt_client *c)
{
	list_splice(&c->asked, &c->requests);
	list_splice(&c->requests, &c->asked);
	list_for_each (at, &c->requests) {
		struct request *r = container_of(at, struct request, node);

		if (r->packet_id)
			id_set_remove(&c->ids, r->packet_id);
		r->packet_id = 0;
		if (r->is_again && c->must_resubscribe)
			request_forget(c, r);
	}
}

/*
 * Up to CLIENT_SUBSCRIBE_MAX subscriptions from *node on that share their subscription id; *node moves behind
 * them.
 */
static int again_one(struct mqtt_client *c, struct list **node, struct list *to)
{
	struct mqtt_sub_item items[CLIENT_SUBSCRIBE_MAX];
	struct mqtt_props props = {0};
	struct request *r = NULL;
	uint32_t sub_id = container_of(*node, struct subscription, node)->sub_id;
	size_t n = 0;
	int rc;

	while (*node != &c->subscriptions && n < CLIENT_SUBSCRIBE_MAX) {
		const struct subscription *s = container_of(*node, struct subscription, node);

		if (s->sub_id != sub_id)
			break;
		items[n++] = s->item;
		*node = (*node)->next;
	}
	if (sub_id)
		mqtt_props_set_num(&props, MQTT_P_SUBSCRIPTION_ID, sub_id);
	if ((rc = subscribe_make(c->opt.connect.version, items, n, &props, NULL, &r)) < 0)
		return rc;
	r->is_again = true;
	request_add(c, to, r);
	return OK;
}

/*
 * What was asked on the last connection is asked again; granted subscriptions only if the server forgot them.
 */
int client_sub_connected(struct mqtt_client *c, bool session_present)
{
	struct list *node = c->subscriptions.next;
	struct list again;
	int rc = OK;

	if (!session_present)
		c->must_resubscribe = true;
	requests_unsend(c);
	if (!c->must_resubscribe)
		return OK;
	list_init(&again);
	while (rc == OK && node != &c->subscriptions)
		rc = again_one(c, &node, &again);
	list_splice(&again, &c->requests);
	list_splice(&c->requests, &again);
	c->must_resubscribe = rc < 0;
	return rc;
}

/* ---- answers ---- */

static struct subscription *subscription_find(struct mqtt_client *c, struct span filter)
{
	list_for_each (at, &c->subscriptions) {
		struct subscription *s = container_of(at, struct subscription, node);

		if (span_equal(s->item.filter, filter))
			return s;
	}
	return NULL;
}

static void subscription_remove(struct mqtt_client *c, struct span filter)
{
	struct subscription *s = subscription_find(c, filter);

	if (!s)
		return;
	list_remove(&s->node);
	free(s);
}

static int subscription_put(struct mqtt_client *c, const struct mqtt_sub_item *item, uint32_t sub_id)
{
	struct subscription *s = malloc(sizeof(*s) + item->filter.len);

	if (!s)
		return ERR_NOMEM;
	s->sub_id = sub_id;
	s->item = *item;
	memcpy(s->filter, item->filter.p, item->filter.len);
	s->item.filter = span_of(s->filter, item->filter.len);
	subscription_remove(c, item->filter);
	list_init(&s->node);
	list_append(&c->subscriptions, &s->node);
	return OK;
}

/*
 * Codes line up with the filters of our packet. After ERR_NOMEM the request is still asked, and will be
 * again.
 */
static int subscribed(struct mqtt_client *c, const struct request *r, const struct mqtt_suback *a)
{
	struct mqtt_sub_item item;
	struct mqtt_subscribe s;
	int rc;

	if (a->codes.len != r->count)
		return client_violation(c, MQTT_RC_PROTOCOL_ERROR);
	if ((rc = request_read(c, r, &s)) < 0)
		return rc;
	struct rd list = rd_of(s.filters.p, s.filters.len);
	uint32_t sub_id = mqtt_props_num(&s.props, MQTT_P_SUBSCRIPTION_ID, 0);

	for (size_t i = 0; mqtt_subscribe_next(&list, c->opt.connect.version, &item); i++) {
		if (a->codes.p[i] < 0x80)
			rc = subscription_put(c, &item, sub_id);
		else if (r->is_again)
			subscription_remove(c, item.filter);
		if (rc < 0)
			return rc;
	}
	return OK;
}

static int unsubscribed(struct mqtt_client *c, const struct request *r, const struct mqtt_suback *a)
{
	struct mqtt_unsubscribe u;
	struct mqtt_frame f;
	struct span filter;
	int rc;

	if (client_is_v5(c) && a->codes.len != r->count)
		return client_violation(c, MQTT_RC_PROTOCOL_ERROR);
	if ((rc = mqtt_frame_read(r->packet, r->size, UINT32_MAX, &f)) < 0 ||
	    (rc = mqtt_unsubscribe_decode(&f, c->opt.connect.version, &u)) < 0)
		return rc;
	struct rd list = rd_of(u.filters.p, u.filters.len);

	for (size_t i = 0; mqtt_unsubscribe_next(&list, &filter); i++)
		if (i >= a->codes.len || a->codes.p[i] < 0x80)
			subscription_remove(c, filter);
	return OK;
}

int client_on_suback(struct mqtt_client *c, const struct mqtt_frame *f)
{
	struct request *r = NULL;
	struct mqtt_suback a;
	int rc;

	if ((rc = mqtt_suback_decode(f, c->opt.connect.version, &a)) < 0)
		return rc;
	list_for_each (at, &c->asked) {
		r = container_of(at, struct request, node);
		if (r->packet_id == a.packet_id)
			break;
		r = NULL;
	}
	if (!r || (r->type == MQTT_SUBSCRIBE) != (f->type == MQTT_SUBACK))
		return client_violation(c, MQTT_RC_PROTOCOL_ERROR);
	rc = r->type == MQTT_SUBSCRIBE ? subscribed(c, r, &a) : unsubscribed(c, r, &a);
	if (rc < 0)
		return rc;
	request_finish(c, r, OK, 0, &a);
	return OK;
}
