#include "mqtt/port.h"

#include <stdlib.h>

#include "mqtt/route.h"
#include "wire/mqtt_forward.h"

struct mqtt_port {
	struct worker *worker;
	struct session *session;
	const struct mqtt_port_ops *ops;
	void *arg;
	bool calling; /* in the owner's callback: the routing's scratch is in use */
	struct queue *pending;
	struct loop_source wake;
};

static void wake_run(struct loop_source *s)
{
	port_publish_pending(container_of(s, struct mqtt_port, wake));
}

int mqtt_port_open(struct broker *b, struct loop *loop, const struct mqtt_port_ops *ops, void *arg,
		   struct mqtt_port **out)
{
	struct mqtt_port *port;
	struct worker *w;
	int rc;

	*out = NULL;
	if (b->nlanes == BROKER_LANES_MAX)
		return ERR_FULL;
	port = calloc(1, sizeof(*port));
	if (!port)
		return ERR_NOMEM;
	rc = worker_create(b, loop, (uint16_t)b->nlanes, &w);
	if (rc < 0) {
		free(port);
		return rc;
	}
	*port = (struct mqtt_port){.worker = w, .ops = ops, .arg = arg};
	w->port = port;
	loop_source_add(loop, &port->wake, wake_run);
	port->session = session_create(w, span_of(NULL, 0));
	rc = port->session ? queue_create(w->queues, &port->pending) : ERR_NOMEM;
	if (rc < 0) {
		worker_destroy(w);
		return rc;
	}
	port->session->port = port;
	b->workers[b->nlanes++] = w;
	*out = port;
	return OK;
}

void port_destroy(struct mqtt_port *port)
{
	if (!port)
		return;
	loop_source_remove(&port->wake);
	if (port->session)
		session_free(port->session);
	queue_destroy(port->pending);
	free(port);
}

void port_deliver(struct mqtt_port *port, struct publication *p, const struct delivery *d)
{
	uint64_t now = loop_now_ms(port->worker->loop);
	struct mqtt_publish m = {
		.retain = d->retain, .qos = d->qos, .topic = p->topic, .payload = p->payload};

	if (mqtt_passed_on_read(p->props, &m.props) < 0)
		mqtt_props_clear(&m.props);
	if (p->expires_ms > now)
		mqtt_props_set_num(&m.props, MQTT_P_MESSAGE_EXPIRY,
				   (uint32_t)((p->expires_ms - now + 999) / 1000));
	worker_count(port->worker, messages_sent, 1);
	worker_count(port->worker, payload_sent, p->payload.len);
	port->calling = true;
	port->ops->message(port->arg, &m);
	port->calling = false;
}

static int publish_now(struct mqtt_port *port, struct publication *p)
{
	bool matched;

	p->own = true;
	return route_publish(port->worker, p, &matched);
}

static int publish_later(struct mqtt_port *port, const struct publication *p)
{
	struct queue_item item = {.msg = msg_create(p)};

	if (!item.msg)
		return ERR_NOMEM;
	if (queue_push(port->pending, &item) < 0) {
		msg_unref(item.msg);
		return ERR_NOMEM;
	}
	loop_notify(&port->wake);
	return OK;
}

void port_publish_pending(struct mqtt_port *port)
{
	struct queue_item item;
	struct publication p;

	while (queue_pop(port->pending, &item)) {
		msg_view(item.msg, &p);
		if (publish_now(port, &p) < 0)
			worker_count(port->worker, dropped_memory, 1);
		publication_fini(&p);
		msg_unref(item.msg);
	}
}

int mqtt_port_publish(struct mqtt_port *port, const struct mqtt_publish *m)
{
	struct worker *w = port->worker;
	uint32_t expiry_s = mqtt_props_num(&m->props, MQTT_P_MESSAGE_EXPIRY, 0);
	struct publication p = {
		.topic = m->topic,
		.payload = m->payload,
		.qos = m->qos,
		.retain = m->retain,
		.publisher = port->session->uid,
		.budget = &w->budget,
	};
	int rc;

	if (!mqtt_utf8_valid(m->topic) || !mqtt_topic_valid(m->topic))
		return ERR_TOPIC;
	if (mqtt_props_has(&m->props, MQTT_P_MESSAGE_EXPIRY))
		p.expires_ms = loop_now_ms(w->loop) + 1000u * (uint64_t)expiry_s;
	rc = worker_passed_on(w, &m->props, &p.props);
	if (rc < 0)
		return rc;
	worker_count(w, messages_received, 1);
	worker_count(w, payload_received, p.payload.len);
	/* what waits goes first */
	if (port->calling || queue_len(port->pending) > 0)
		return publish_later(port, &p);
	rc = publish_now(port, &p);
	publication_fini(&p);
	return rc;
}

int mqtt_port_subscribe(struct mqtt_port *port, struct span filter)
{
	struct worker *w = port->worker;
	struct sub_options o = {.qos = 2};
	struct sub *sub;
	bool existed;

	if (!mqtt_utf8_valid(filter) || !mqtt_filter_valid(filter))
		return ERR_TOPIC;
	if (route_reserve(w, w->nsessions, sub_tree_count(w->subs) + 1) < 0)
		return ERR_NOMEM;
	return sub_tree_add(w->subs, port->session, &port->session->subs, true, filter, &o, &sub, &existed);
}

void mqtt_port_unsubscribe(struct mqtt_port *port, struct span filter)
{
	struct sub *sub = sub_tree_find(port->worker->subs, port->session, filter);

	if (sub)
		sub_tree_remove(port->worker->subs, sub, true);
}
