#include "bus.h"

#include <string.h>

#define CHAR_BITS   11u
#define EXCEPTION_2 2

static uint32_t chars_us(const struct bus *b, unsigned n)
{
	return (uint32_t)((uint64_t)n * CHAR_BITS * 1000000 / b->baud);
}

/* At least 3.5 characters before each frame; fixed above 19200 bit/s. */
static uint32_t gap_us(const struct bus *b)
{
	return b->baud > 19200 ? 1750 : (uint32_t)(35ull * CHAR_BITS * 100000 / b->baud);
}

static unsigned request_bytes(const struct source_request *q)
{
	return q->op == SOURCE_WRITE ? 9u + 2u * q->count : q->op == SOURCE_RAW ? q->pdu_len + 3u : 8u;
}

static unsigned answer_bytes(const struct source_request *q)
{
	return q->op == SOURCE_WRITE ? 8u : q->op == SOURCE_RAW ? 7u : 5u + 2u * q->count;
}

static bool draws(struct bus *b, unsigned one_in)
{
	return one_in && sim_one_in(b->sim, one_in);
}

static bool answers(struct bus *b, const struct source_request *q)
{
	const struct bus_unit *u = &b->units[q->unit];
	bool is_hole =
		q->op == SOURCE_READ && q->start < u->silent_to && q->start + q->count > u->silent_from;

	return !u->is_silent && !is_hole && !draws(b, u->lose_one_in);
}

static int outcome(struct bus *b, struct source_request *q)
{
	struct bus_unit *u = &b->units[q->unit];

	if (draws(b, u->corrupt_one_in))
		return ERR_MALFORMED;
	q->exception = u->exception;
	if (q->op == SOURCE_RAW) {
		q->pdu_len = 2;
		return OK;
	}
	if (u->exception)
		return ERR_REMOTE;
	if (q->start + q->count > sizeof(u->regs) / sizeof(*u->regs)) {
		q->exception = EXCEPTION_2;
		return ERR_REMOTE;
	}
	if (q->op == SOURCE_WRITE)
		memcpy(&u->regs[q->start], q->data.regs, q->count * sizeof(*u->regs));
	else
		memcpy(q->data.regs, &u->regs[q->start], q->count * sizeof(*u->regs));
	return OK;
}

static void count(struct bus_unit *u, const struct source_request *q)
{
	unsigned *n = q->op == SOURCE_WRITE ? &u->writes : q->op == SOURCE_RAW ? &u->raws : &u->reads;

	(*n)++;
	u->worst_timeout_ms = q->timeout_ms > u->worst_timeout_ms ? q->timeout_ms : u->worst_timeout_ms;
}

static void note(struct bus *b, const struct source_request *q)
{
	b->log[b->nlog++ % BUS_LOG] = (struct bus_event){.op = q->op,
							 .unit = q->unit,
							 .start = q->start,
							 .count = q->count,
							 .silence_us = q->silence_us,
							 .timeout_ms = q->timeout_ms,
							 .at_us = loop_now_us(b->loop),
							 .rc = b->rc};
}

static void begin(struct bus *b)
{
	struct source_request *q = b->waiting[0];
	struct bus_unit *u = &b->units[q->unit];
	uint32_t response_us = u->response_us ? u->response_us : b->response_us;
	uint32_t sent_us = gap_us(b) + q->silence_us + chars_us(b, request_bytes(q));

	q->response_us = 0;
	q->exception = 0;
	if (b->is_unplugged) {
		b->rc = ERR_IO;
		b->busy_us = 1000;
	} else if (u->connecting_ms) {
		b->rc = ERR_TIMEOUT;
		b->busy_us = 0;
	} else if (answers(b, q) && response_us < q->timeout_ms * 1000) {
		q->response_us = response_us + chars_us(b, answer_bytes(q));
		b->busy_us = sent_us + q->response_us;
		b->rc = outcome(b, q);
	} else {
		b->rc = ERR_TIMEOUT;
		b->busy_us = sent_us + q->timeout_ms * 1000;
	}
	count(u, q);
	note(b, q);
	loop_alarm_set(b->loop, &b->alarm, loop_now_us(b->loop) + b->busy_us + u->connecting_ms * 1000);
}

static void take_first(struct bus *b)
{
	b->nwaiting--;
	memmove(&b->waiting[0], &b->waiting[1], b->nwaiting * sizeof(*b->waiting));
	if (b->nwaiting)
		begin(b);
}

static void over(struct loop_alarm *a)
{
	struct bus *b = container_of(a, struct bus, alarm);
	struct source_request *q = b->waiting[0];

	b->all_busy_us += b->busy_us;
	b->units[q->unit].busy_us += b->busy_us;
	q->rc = b->rc;
	q->busy_us = b->busy_us;
	q->answered_ms = loop_wall_ms(b->loop);
	take_first(b);
	q->done(q);
}

static void submit(struct source *s, struct source_request *q)
{
	struct bus *b = container_of(s, struct bus, source);

	b->collisions += b->nwaiting > 0;
	b->waiting[b->nwaiting++] = q;
	if (b->nwaiting == 1)
		begin(b);
}

static void cancel(struct source *s, struct source_request *q)
{
	struct bus *b = container_of(s, struct bus, source);

	for (unsigned i = 0; i < b->nwaiting; i++) {
		if (b->waiting[i] != q)
			continue;
		if (i == 0) {
			loop_alarm_cancel(&b->alarm);
			take_first(b);
		} else {
			b->nwaiting--;
			memmove(&b->waiting[i], &b->waiting[i + 1], (b->nwaiting - i) * sizeof(*b->waiting));
		}
		return;
	}
}

static void destroy(struct source *s)
{
	loop_alarm_cancel(&container_of(s, struct bus, source)->alarm);
}

static const struct source_ops ops = {.submit = submit, .cancel = cancel, .destroy = destroy};

void bus_init(struct bus *b, struct sim_world *sim, struct loop *loop)
{
	b->source.ops = &ops;
	b->sim = sim;
	b->loop = loop;
	loop_alarm_init(&b->alarm, over);
}
