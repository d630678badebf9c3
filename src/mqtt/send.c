/*
 * Packets to the client.
 */
#include <stdlib.h>

#include "mqtt/conn.h"
#include "mqtt/session.h"
#include "wire/mqtt_forward.h"

#define ACK_MAX 128u
/* What a property takes besides its text: identifier, length, and a longer length of the list. */
#define PROPERTY_EXTRA 6u

static void add_text(const struct conn *c, struct mqtt_props *props, enum mqtt_prop id, struct span text,
		     size_t *size)
{
	if (!conn_fits(c, *size + PROPERTY_EXTRA + text.len))
		return;
	mqtt_props_set_str(props, id, text);
	*size += PROPERTY_EXTRA + text.len;
}

void conn_explain(const struct conn *c, struct mqtt_props *props, const char *why, size_t *size)
{
	if (c->wants_reasons)
		add_text(c, props, MQTT_P_REASON_STRING, span_str(why), size);
}

void conn_refer(const struct conn *c, struct mqtt_props *props, uint8_t reason, size_t *size)
{
	const struct redirect *to = c->worker->redirect;

	if (to && to->reason == reason)
		add_text(c, props, MQTT_P_SERVER_REFERENCE, span_str(to->text), size);
}

void conn_send_ack(struct conn *c, enum mqtt_type type, uint16_t packet_id, uint8_t reason)
{
	struct mqtt_ack ack = {.packet_id = packet_id, .reason = reason};
	uint8_t packet[ACK_MAX], *at;
	struct wr w = wr_of(packet, sizeof(packet));
	size_t size = 5; /* no client takes less: see connack_fits() */
	uint32_t n;

	mqtt_props_clear(&ack.props);
	if (reason >= 0x80)
		conn_explain(c, &ack.props, mqtt_reason_text(reason), &size);
	if (mqtt_ack_encode(&w, c->version, type, &ack) < 0)
		return;
	n = (uint32_t)(sizeof(packet) - w.left);
	at = conn_take_control(c, n);
	if (at)
		memcpy(at, packet, n);
}

void alias_set(struct conn *c, struct alias *a, uint8_t *copy, uint32_t len)
{
	budget_count(&c->worker->budget, (int64_t)len - a->len);
	free(a->topic);
	*a = (struct alias){.topic = copy, .len = len};
}

void aliases_free(struct conn *c, struct aliases *a)
{
	for (uint16_t i = 0; a && i < ALIASES_MAX; i++)
		alias_set(c, &a->at[i], NULL, 0);
	free(a);
}

/*
 * The alias for a topic, if the client takes any: the first topics sent get one and keep it. *is_new: the packet has to carry
 * the topic, too.
 */
static uint16_t alias_for(struct conn *c, struct span topic, bool *is_new)
{
	struct aliases *a = c->aliases_out;
	uint8_t *copy;

	*is_new = false;
	if (!c->aliases_out_max || topic.len < 4) /* [MQTT-3.1.2-27] */
		return 0;
	if (!a) {
		a = c->aliases_out = calloc(1, sizeof(*a));
		if (!a)
			return 0;
	}
	for (uint16_t i = 0; i < a->count; i++)
		if (span_equal(span_of(a->at[i].topic, a->at[i].len), topic))
			return (uint16_t)(i + 1);
	/* [MQTT-3.1.2-26], [MQTT-3.3.2-11] */
	if (a->count >= c->aliases_out_max || worker_memory(c->worker) > BUDGET_OK)
		return 0;
	copy = malloc(topic.len);
	if (!copy)
		return 0;
	memcpy(copy, topic.p, topic.len);
	alias_set(c, &a->at[a->count], copy, (uint32_t)topic.len);
	*is_new = true;
	return ++a->count;
}

static bool send_encoded(struct conn *c, struct encoded *once)
{
	uint8_t *at = conn_take(c, once->len);

	if (!at)
		return false;
	memcpy(at, once->p, once->len);
	return true;
}

static bool send_forward(struct conn *c, const struct publication *p, const struct mqtt_forward *f,
			 size_t size, size_t head, struct encoded *once)
{
	uint8_t *at = conn_take(c, (uint32_t)(p->blob ? head : size)), *payload;

	if (!at)
		return false;
	payload = mqtt_forward_write(at, c->version, f);
	if (p->blob) {
		if (output_blob(&c->output, c->worker->out_pool, p->blob))
			return true;
		conn_drop(c); /* half a packet is out */
		return false;
	}
	if (p->payload.len)
		memcpy(payload, p->payload.p, p->payload.len);
	if (once)
		*once = (struct encoded){.p = at, .len = (uint32_t)size};
	return true;
}

static uint32_t expiry_left_s(const struct worker *w, const struct publication *p)
{
	uint64_t now = loop_now_ms(w->loop);

	return p->expires_ms > now ? (uint32_t)((p->expires_ms - now + 999) / 1000) : 0;
}

static void count_sent(struct conn *c, const struct publication *p)
{
	worker_count(c->worker, messages_sent, 1);
	worker_count(c->worker, payload_sent, p->payload.len);
}

bool conn_send_publish(struct conn *c, struct publication *p, const struct delivery *d, uint16_t packet_id,
		       bool dup)
{
	bool v5 = c->version == MQTT_V5, is_new = false;
	bool plain = d->qos == 0 && d->nids == 0 && !p->blob && !c->aliases_out_max;
	struct encoded *once = plain ? &p->once[v5][d->retain] : NULL;
	struct mqtt_forward f = {
		.dup = dup,
		.retain = d->retain,
		.qos = d->qos,
		.packet_id = packet_id,
		.topic = p->topic,
		.props = p->props,
		.nids = d->nids,
		.ids = d->ids,
		.payload_len = p->payload.len,
		.has_expiry = p->expires_ms != 0,
	};
	size_t head, size;

	if (once && once->p && conn_fits(c, once->len)) {
		count_sent(c, p);
		return send_encoded(c, once);
	}
	if (f.has_expiry) /* 5.0 [MQTT-3.3.2-6] */
		f.expiry_s = expiry_left_s(c->worker, p);
	size = mqtt_forward_size(c->version, &f, &head);
	/* 5.0 [MQTT-3.1.2-24], [MQTT-3.1.2-25]: not sent, as if it had been */
	if (size == 0 || !conn_fits(c, size)) {
		worker_count(c->worker, dropped_too_large, 1);
		return false;
	}
	if (v5 && conn_fits(c, size + 3))
		f.alias = alias_for(c, p->topic, &is_new);
	if (f.alias) {
		if (!is_new)
			f.topic = span_of(NULL, 0);
		size = mqtt_forward_size(c->version, &f, &head);
	}
	count_sent(c, p);
	return send_forward(c, p, &f, size, head, once);
}
