#include "store_model.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- messages ---- */

static uint32_t scramble(uint32_t x)
{
	x ^= x >> 16;
	x *= 0x7feb352du;
	x ^= x >> 15;
	x *= 0x846ca68bu;
	return x ^ x >> 16;
}

void model_msg(uint32_t content, uint8_t buf[MODEL_MSG_BYTES], struct store_msg *m)
{
	uint32_t random = scramble(content);
	size_t topic = (size_t)snprintf((char *)buf, 32, "m/%u", content);
	size_t props = random % 3 ? 0 : 1 + random / 3 % 40;
	size_t payload = random % 7 == 0 ? random / 7 % 5000 : random / 7 % 200;

	for (size_t i = 0; i < props + payload; i++)
		buf[topic + i] = (uint8_t)(random + i * 31);
	*m = (struct store_msg){
		.topic = span_of(buf, topic),
		.props = span_of(buf + topic, props),
		.payload = span_of(buf + topic + props, payload),
		.expires_ms = random % 5 ? 0 : INT64_C(4102444800000) + random, /* in the year 2100 */
		.qos = (uint8_t)(1 + random % 2),
		.retain = random % 11 == 0,
	};
}

bool model_msg_equal(const struct store_msg *a, const struct store_msg *b)
{
	return span_equal(a->topic, b->topic) && span_equal(a->props, b->props) &&
	       span_equal(a->payload, b->payload) && a->expires_ms == b->expires_ms && a->qos == b->qos &&
	       a->retain == b->retain;
}

/* ---- what a change does ---- */

struct model_row *model_find_row(struct model_session *s, uint64_t seq)
{
	for (unsigned i = 0; i < s->nrows; i++)
		if (s->rows[i].seq == seq)
			return &s->rows[i];
	return NULL;
}

static void drop_row(struct model_session *s, struct model_row *row)
{
	size_t at = (size_t)(row - s->rows);

	memmove(row, row + 1, (s->nrows - at - 1) * sizeof(*row));
	s->nrows--;
}

static void put_session(struct model_session *s, const struct model_head *head)
{
	if (s->head.id != head->id)
		memset(s, 0, sizeof(*s));
	s->head = *head;
	if (s->next_seq == 0)
		s->next_seq = 1;
}

static void apply_row(struct model_session *s, const struct model_op *op)
{
	struct model_row *row;

	switch (op->kind) {
	case MODEL_ROW:
		assert(s->nrows < MODEL_ROWS);
		s->rows[s->nrows++] = op->row;
		s->next_seq = op->row.seq + 1;
		break;
	case MODEL_DROP_ROWS:
		while (s->nrows > 0 && s->rows[0].seq < op->row.seq)
			drop_row(s, &s->rows[0]);
		break;
	default:
		row = model_find_row(s, op->row.seq);
		assert(row);
		if (op->kind == MODEL_DROP_ROW) {
			drop_row(s, row);
			break;
		}
		row->state = op->row.state;
		row->packet_id = op->row.packet_id;
	}
}

static void apply(struct model_state *st, const struct model_op *op)
{
	struct model_session *s = &st->sessions[op->slot];

	switch (op->kind) {
	case MODEL_SESSION:
		put_session(s, &op->head);
		break;
	case MODEL_DROP_SESSION:
		memset(s, 0, sizeof(*s));
		break;
	case MODEL_SUB:
		s->subs[op->at] = op->sub;
		break;
	case MODEL_DROP_SUB:
		s->subs[op->at].used = false;
		break;
	case MODEL_RECEIVED:
		s->received |= 1u << op->at;
		break;
	case MODEL_DROP_RECEIVED:
		s->received &= ~(1u << op->at);
		break;
	case MODEL_CONFIRM:
		st->confirmed = op->row.number;
		break;
	case MODEL_RETAINED:
		st->retained[op->at] = op->retained;
		break;
	case MODEL_TURN:
		break;
	default:
		apply_row(s, op);
	}
}

/* ---- turns ---- */

void model_put(struct model_port *p, const struct model_op *op)
{
	if (p->nlog == p->room) {
		p->room = p->room ? 2 * p->room : 64;
		p->log = realloc(p->log, p->room * sizeof(*p->log));
		assert(p->log);
	}
	p->log[p->nlog++] = *op;
	apply(&p->now, op);
	p->turn += op->kind == MODEL_TURN;
}

void model_advance(struct model_port *p, uint64_t turn)
{
	size_t done = 0;

	while (p->base_turn < turn && done < p->nlog) {
		apply(&p->base, &p->log[done]);
		p->base_turn += p->log[done].kind == MODEL_TURN;
		done++;
	}
	assert(p->base_turn == turn);
	p->nlog -= done;
	if (done > 0)
		memmove(p->log, p->log + done, p->nlog * sizeof(*p->log));
}

void model_forget_rest(struct model_port *p)
{
	p->nlog = 0;
	p->now = p->base;
	p->turn = p->base_turn;
}

void model_fini(struct model_port *p)
{
	free(p->log);
	memset(p, 0, sizeof(*p));
}
