#include "mqtt/msg.h"

#include <stdlib.h>

struct blob *blob_create(struct span payload)
{
	struct blob *b = malloc(sizeof(*b) + payload.len);

	if (!b)
		return NULL;
	atomic_init(&b->refs, 1);
	b->len = (uint32_t)payload.len;
	b->budget = NULL;
	memcpy(b->data, payload.p, payload.len);
	return b;
}

static int64_t blob_bytes(const struct blob *b)
{
	return budget_block(sizeof(*b) + b->len);
}

void blob_count(struct blob *blob, struct budget *b)
{
	blob->budget = b;
	budget_add(b, blob_bytes(blob));
}

struct blob *blob_ref(struct blob *b)
{
	atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
	return b;
}

void blob_unref(struct blob *b)
{
	if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
		return;
	budget_add(b->budget, -blob_bytes(b));
	free(b);
}

static size_t inline_payload(const struct publication *p)
{
	return p->blob ? 0 : p->payload.len;
}

size_t msg_size(const struct publication *p)
{
	return sizeof(struct msg) + p->topic.len + p->props.len + inline_payload(p);
}

void msg_fill(struct msg *m, const struct publication *p)
{
	struct wr w = wr_of(m->bytes, msg_size(p) - sizeof(*m));

	*m = (struct msg){
		.refs = 1,
		.topic_len = (uint32_t)p->topic.len,
		.props_len = (uint32_t)p->props.len,
		.payload_len = (uint32_t)p->payload.len,
		.qos = p->qos,
		.retain = p->retain,
		.command = p->command,
		.many = p->many,
		.origin = p->origin,
		.number = p->number,
		.publisher = p->publisher,
		.expires_ms = p->expires_ms,
		.blob = p->blob ? blob_ref(p->blob) : NULL,
	};
	wr_span(&w, p->topic);
	wr_span(&w, p->props);
	wr_bytes(&w, p->payload.p, inline_payload(p));
}

static int64_t msg_bytes(const struct msg *m)
{
	return budget_block(sizeof(*m) + m->topic_len + m->props_len + (m->blob ? 0 : m->payload_len));
}

struct msg *msg_create(const struct publication *p)
{
	struct msg *m = malloc(msg_size(p));

	if (!m)
		return NULL;
	msg_fill(m, p);
	m->budget = p->budget;
	budget_count(m->budget, msg_bytes(m));
	return m;
}

void msg_unref(struct msg *m)
{
	if (!m || --m->refs)
		return;
	budget_count(m->budget, -msg_bytes(m));
	blob_unref(m->blob);
	free(m);
}

void msg_view(struct msg *m, struct publication *p)
{
	const uint8_t *payload = m->blob ? m->blob->data : m->bytes + m->topic_len + m->props_len;

	*p = (struct publication){
		.topic = span_of(m->bytes, m->topic_len),
		.props = span_of(m->bytes + m->topic_len, m->props_len),
		.payload = span_of(payload, m->payload_len),
		.qos = m->qos,
		.retain = m->retain,
		.command = m->command,
		.origin = m->origin,
		.number = m->number,
		.publisher = m->publisher,
		.expires_ms = m->expires_ms,
		.blob = m->blob,
	};
}

struct msg *publication_msg(struct publication *p)
{
	if (!p->msg)
		p->msg = msg_create(p);
	return p->msg ? msg_ref(p->msg) : NULL;
}

void publication_fini(struct publication *p)
{
	msg_unref(p->msg);
	p->msg = NULL;
}
