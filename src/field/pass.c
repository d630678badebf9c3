#include "field/pass.h"

#include <assert.h>
#include <string.h>

#include "config/io_config.h"
#include "field/internal.h"
#include "field/safe.h"
#include "wire/modbus.h"

#define EXCEPTION_BIT 0x80u /* of a function code */

static struct loop *loop_of(const struct line *l)
{
	return l->field->loop;
}

static struct device *device_of(struct line *l, uint8_t unit)
{
	list_for_each (node, &l->devices) {
		struct device *d = container_of(node, struct device, node);

		if (d->cfg->unit == unit)
			return d;
	}
	return NULL;
}

/* ---- the queue ---- */

static void pass_end(struct field_pass *p, int rc)
{
	struct line *l = p->line;

	if (!p->is_sent)
		l->npasses--;
	list_remove(&p->node);
	p->line = NULL;
	p->rc = rc;
	p->done(p);
}

/* What done() asks anew is not among them, and it may cancel another of them. */
static void passes_end_all(struct list *of, int rc)
{
	while (!list_empty(of))
		pass_end(container_of(list_first(of), struct field_pass, node), rc);
}

static void passes_expire(struct loop_timer *timer)
{
	struct line *l = container_of(timer, struct line, pass_timer);
	uint64_t now = loop_now_ms(loop_of(l)), next = UINT64_MAX;
	struct list late;

	list_init(&late);
	list_for_each (node, &l->passes) {
		struct field_pass *p = container_of(node, struct field_pass, node);

		if (p->expires_at <= now) {
			list_remove(node);
			list_append(&late, node);
		} else if (p->expires_at < next) {
			next = p->expires_at;
		}
	}
	if (next != UINT64_MAX)
		loop_timer_set(loop_of(l), &l->pass_timer, next - now);
	passes_end_all(&late, ERR_TIMEOUT);
}

void passes_init(struct line *l)
{
	list_init(&l->passes);
	loop_timer_init(&l->pass_timer, passes_expire);
}

/* The round of an owner's next request: one behind its last, and never the one that is being served. */
static bool find_round(struct line *l, const void *owner, uint64_t *round)
{
	unsigned waiting = 0;

	*round = l->pass_round + 1;
	list_for_each (node, &l->passes) {
		const struct field_pass *p = container_of(node, struct field_pass, node);

		if (p->owner != owner)
			continue;
		waiting++;
		*round = p->round >= *round ? p->round + 1 : *round;
	}
	return waiting < PASS_OWNER_MAX;
}

/* In order of their rounds, and within one of their arrival. */
static void enqueue(struct line *l, struct field_pass *p)
{
	struct list *at = &l->passes;

	while (at->prev != &l->passes && container_of(at->prev, struct field_pass, node)->round > p->round)
		at = at->prev;
	list_insert_before(at, &p->node);
	l->npasses++;
}

static void expire_at(struct line *l, uint64_t at, uint64_t now)
{
	if (!loop_timer_pending(&l->pass_timer) || l->pass_timer.due_ms > at)
		loop_timer_set(loop_of(l), &l->pass_timer, at - now);
}

static uint32_t timeout_of(struct line *l, uint8_t unit)
{
	const struct device *d = device_of(l, unit);

	return d ? d->timeout_ms : l->timeout_ms;
}

static bool is_write(uint8_t fc)
{
	return fc == MODBUS_FC_WRITE_SINGLE_COIL || fc == MODBUS_FC_WRITE_SINGLE_REGISTER ||
	       fc == MODBUS_FC_WRITE_MULTIPLE_COILS || fc == MODBUS_FC_WRITE_MULTIPLE_REGISTERS ||
	       fc == MODBUS_FC_MASK_WRITE_REGISTER || fc == MODBUS_FC_READ_WRITE_REGISTERS;
}

int field_pass(struct field *f, const char *line, struct field_pass *p)
{
	struct line *l = field_line(f, line);
	uint64_t now = loop_now_ms(f->loop);

	if (!l)
		return ERR_NOT_FOUND;
	if (!config_line_has_frames(l->cfg))
		return ERR_UNSUPPORTED;
	if (p->pdu_len < 1 || p->pdu_len > SOURCE_PDU_MAX)
		return ERR_RANGE;
	safe_seen(l, CONFIG_WATCH_MODBUS);
	if (l->safe.is_on && is_write(p->pdu[0]))
		return ERR_FULL;
	if (now < l->pass_units[p->unit].until_ms)
		return ERR_TIMEOUT;
	if (l->npasses >= PASS_MAX || !find_round(l, p->owner, &p->round))
		return ERR_FULL;
	p->line = l;
	p->is_sent = false;
	p->rc = OK;
	p->expires_at = now + (p->timeout_ms ? p->timeout_ms : PASS_WAIT_MS + timeout_of(l, p->unit));
	enqueue(l, p);
	expire_at(l, p->expires_at, now);
	line_wake(l);
	return OK;
}

void field_pass_cancel(struct field_pass *p)
{
	struct line *l = p->line;

	if (!l)
		return;
	for (unsigned i = 0; p->is_sent && i < l->nslots; i++)
		if (l->slots[i].is_used && l->slots[i].pass == p) {
			l->source->ops->cancel(l->source, &l->slots[i].req);
			slot_release(&l->slots[i]);
			line_wake(l);
		}
	if (!p->is_sent)
		l->npasses--;
	list_remove(&p->node);
	p->line = NULL;
}

void passes_fail(struct line *l, int rc)
{
	struct list all;

	list_init(&all);
	list_splice(&all, &l->passes);
	passes_end_all(&all, rc);
}

void passes_end(struct line *l)
{
	for (unsigned i = 0; i < l->nslots; i++) {
		struct slot *s = &l->slots[i];
		struct field_pass *p = s->is_used ? s->pass : NULL;

		if (!p)
			continue;
		l->source->ops->cancel(l->source, &s->req);
		slot_release(s);
		pass_end(p, ERR_NOT_FOUND);
	}
	passes_fail(l, ERR_NOT_FOUND);
	loop_timer_cancel(loop_of(l), &l->pass_timer);
}

/* ---- on the wire ---- */

struct field_pass *pass_next(struct line *l)
{
	/* Nobody takes its connection, and it is not yet time to ask again. */
	if (l->is_down && loop_timer_pending(&l->backoff_timer))
		passes_fail(l, ERR_IO);
	return list_empty(&l->passes) ? NULL : container_of(list_first(&l->passes), struct field_pass, node);
}

void pass_start(struct slot *s, struct field_pass *p)
{
	struct line *l = s->line;
	uint32_t timeout_ms = timeout_of(l, p->unit);

	list_remove(&p->node);
	l->npasses--;
	l->pass_round = p->round;
	p->is_sent = true;
	s->pass = p;
	s->device = device_of(l, p->unit);
	s->req.op = SOURCE_RAW;
	s->req.unit = p->unit;
	s->req.timeout_ms = p->timeout_ms && p->timeout_ms < timeout_ms ? p->timeout_ms : timeout_ms;
	s->req.silence_us = s->device ? s->device->silence_us : 0;
	memcpy(s->req.pdu, p->pdu, p->pdu_len);
	s->req.pdu_len = p->pdu_len;
}

void pass_unit_spoke(struct line *l, uint8_t unit)
{
	l->pass_units[unit].failures = 0;
	l->pass_units[unit].until_ms = 0;
}

/* One failure is enough when our own polls have no answer either. */
static bool is_hopeless(struct line *l, const struct device *d, uint8_t unit)
{
	return ++l->pass_units[unit].failures >= PASS_FAILURES || (d && d->state == DEVICE_OFFLINE);
}

/* Those for it that wait move to `out`. */
static void leave_alone(struct line *l, uint8_t unit, struct list *out)
{
	l->pass_units[unit].failures =
		PASS_FAILURES - 1; /* one more after the pause tells whether it is back */
	l->pass_units[unit].until_ms = loop_now_ms(loop_of(l)) + l->backoff_first_ms;
	list_for_each (node, &l->passes)
		if (container_of(node, struct field_pass, node)->unit == unit) {
			list_remove(node);
			list_append(out, node);
		}
}

/* A gateway answers these for a unit that does not. */
static bool is_unit_absent(const struct field_pass *p)
{
	return p->pdu_len == 2 && (p->pdu[0] & EXCEPTION_BIT) &&
	       (p->pdu[1] == MODBUS_EXCEPTION_GATEWAY_PATH_UNAVAILABLE ||
		p->pdu[1] == MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED);
}

/* Whoever answers a foreign master answers us too. */
static void seen(const struct field_pass *p, struct device *d)
{
	if (d && d->state == DEVICE_OFFLINE && p->pdu_len && !is_unit_absent(p))
		d->is_probe_due = d->is_probe_free = true;
}

void pass_answered(struct slot *s)
{
	struct field_pass *p = s->pass;
	struct line *l = s->line;
	int rc = s->req.rc;
	struct list hopeless;

	list_init(&hopeless);
	l->counters.passed++;
	if (rc == ERR_TIMEOUT && is_hopeless(l, s->device, p->unit))
		leave_alone(l, p->unit, &hopeless);
	if (rc == OK) {
		pass_unit_spoke(l, p->unit);
		memcpy(p->pdu, s->req.pdu, s->req.pdu_len);
		p->pdu_len = s->req.pdu_len;
		seen(p, s->device);
	}
	slot_release(s);
	if (rc == ERR_IO)
		line_down(l);
	else if (rc == OK)
		line_up(l, NULL);
	pass_end(p, rc);
	passes_end_all(&hopeless, ERR_TIMEOUT);
}
