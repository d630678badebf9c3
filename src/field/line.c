/*
 * A line owns the wire: what an answer or its absence means. What is sent next: line_queue.c; silence: line_down.c.
 *
 * A poll that got no answer is repeated when it is its device's turn again, so that others are read in between. When a device used up
 * its attempts in a row, two blocks among them if it has as many, it is silent and only probed. When it answers other blocks meanwhile, it is the block that
 * stays without an answer: that is bad alone, and left out for a while.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "field/internal.h"
#include "field/safe.h"
#include "wire/modbus.h"

static struct loop *loop_of(const struct line *l)
{
	return l->field->loop;
}

static void answered(struct source_request *r);

/* ---- slots ---- */

struct plan_block *slot_block(const struct slot *s)
{
	return &s->group->plan.blocks[plan_block_at(&s->group->plan, s->first)];
}

void slot_release(struct slot *s)
{
	if (s->group) {
		slot_block(s)->is_in_flight = false;
		s->device->turn_us -= s->charged_us; /* taken back: it had nothing */
		scan_progress(s->group);
	}
	s->is_used = false;
	s->charged_us = 0;
	s->device = NULL;
	s->group = NULL;
	s->job = NULL;
	s->pass = NULL;
	s->line->nused--;
}

/* ---- answers ---- */

static void publish_read(struct slot *s, const struct plan_read *read)
{
	struct modbus_value scratch;

	for (size_t i = read->first; i < read->first + read->nitems; i++)
		tag_note_exponent(&s->device->tags[s->group->plan.items[i].tag], &s->req.data,
				  (unsigned)s->group->plan.items[i].start - read->start);
	for (size_t i = read->first; i < read->first + read->nitems; i++) {
		const struct plan_item *item = &s->group->plan.items[i];
		struct tag *t = &s->device->tags[item->tag];
		struct tag_sample sample = tag_decode(t, &s->req.data, (unsigned)item->start - read->start,
						      s->req.answered_ms, &scratch);

		rack_judge(s->device, t, &sample);
		publish_sample(s->device, t, &sample);
	}
}

static void items_bad(struct slot *s, size_t first, size_t n, enum reason reason)
{
	for (size_t i = first; i < first + n; i++)
		publish_bad(s->device, &s->device->tags[s->group->plan.items[i].tag], reason);
}

static void block_bad(struct slot *s, enum reason reason)
{
	struct plan_block *b = slot_block(s);

	plan_search_end(b);
	items_bad(s, b->first, b->nitems, reason);
}

/* The device remembers it for all groups. Without memory it is found again with the next scan. */
static void remember_refused(struct slot *s, const struct plan_finding *found)
{
	struct device *d = s->device;
	unsigned version = d->refused.version;

	if (found->kind == REFUSED_TAG)
		items_bad(s, found->first, found->nitems, REASON_EXCEPTION);
	if (refused_add(&d->refused, found->area, found->start, found->end, found->kind,
			loop_now_ms(loop_of(s->line))) < 0)
		log_error("field", "device \"%s\": %s", d->cfg->name, err_text(ERR_NOMEM));
	else if (d->refused.version != version)
		log_notice("field", "device \"%s\" refuses %s %u to %u%s", d->cfg->name,
			   config_area_text((enum config_area)found->area), found->start, found->end - 1,
			   found->kind == REFUSED_PAIR ? " together" : "");
}

static void block_settled(struct slot *s, bool is_again, const struct plan_finding *found)
{
	slot_block(s)->is_pending = is_again;
	if (is_again)
		group_is_pending(s->group);
	if (found->is_found)
		remember_refused(s, found);
}

static void block_read(struct slot *s)
{
	struct plan *p = &s->group->plan;
	size_t at = plan_block_at(p, s->first);
	struct plan_read read = plan_read_of(p, at);
	struct plan_finding found;

	publish_read(s, &read);
	if (p->blocks[at].is_refused) /* no longer */
		refused_remove(&s->device->refused, p->blocks[at].area, read.start,
			       (uint32_t)read.start + read.count);
	if (p->blocks[at].bad)
		block_settled(s, plan_answered(p, at, &found), &found);
}

/*
 * Exceptions 2 and 3 say that something in the block is not there, or that it is too much at once: what it is is searched for, and
 * only a tag that is refused by itself is bad. Any other exception concerns the whole block.
 */
static void block_refused(struct slot *s)
{
	uint8_t e = s->req.exception;
	struct plan *p = &s->group->plan;
	struct plan_finding found;

	if (e == MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS || e == MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE)
		block_settled(s, plan_refused(p, plan_block_at(p, s->first), &found), &found);
	else
		block_bad(s, REASON_EXCEPTION);
}

static void note_exception(struct slot *s)
{
	struct device *d = s->device;

	d->counters.exceptions++;
	d->counters.by_exception[s->req.exception < DIAG_EXCEPTIONS ? s->req.exception : 0]++;
	device_error(d, "exception %u (%s), %s %u items from %u", s->req.exception,
		     modbus_exception_text(s->req.exception),
		     s->req.op != SOURCE_READ ? "writing" : "reading", s->req.count, s->req.start);
}

/* The device is there: with data, or with an exception. */
static void device_is_there(struct slot *s)
{
	struct device *d = s->device;

	line_up(s->line, d);
	pass_unit_spoke(s->line, d->cfg->unit);
	d->failures = 0;
	d->was_forgiven = false;
	if (s->req.rc == OK) {
		d->counters.ok++;
		d->last_ok_ms = s->req.answered_ms;
	} else {
		note_exception(s);
	}
	device_online(d);
}

static void device_spoke(struct slot *s)
{
	if (s->group)
		slot_block(s)->attempts = 0;
	if (s->job) {
		if (job_answered(s)) {
			slot_submit(s);
			return;
		}
	} else if (s->req.rc == OK) {
		slot_block(s)->silences = 0;
		block_read(s);
	} else {
		block_refused(s);
	}
	slot_release(s);
}

static enum reason silence_reason(int rc)
{
	return rc == ERR_CLOSED                              ? REASON_OFFLINE
	       : rc == ERR_MALFORMED || rc == ERR_UNEXPECTED ? REASON_CRC
							     : REASON_TIMEOUT;
}

static void device_silent(struct slot *s)
{
	int rc = s->req.rc;
	struct device *d = s->device;

	slot_release(s);
	device_offline(d, silence_reason(rc));
	device_backoff(d);
}

/* A unit that never answered may not be there at all: its further attempts are probes, the first of them as soon as these may go. */
static void unit_missing(struct slot *s)
{
	struct device *d = s->device;

	first_contact_failed(s->line, s->req.busy_us);
	slot_release(s);
	device_offline(d, REASON_TIMEOUT);
	d->is_probe_due = true;
}

static void note_silence(struct slot *s)
{
	struct device *d = s->device;

	if (s->req.rc == ERR_REMOTE) {
		note_exception(s);
		return;
	}
	if (s->req.rc == ERR_TIMEOUT)
		d->counters.timeouts++;
	else if (s->req.rc == ERR_MALFORMED || s->req.rc == ERR_UNEXPECTED)
		d->counters.crc++;
	else
		d->counters.errors++;
	device_error(d, "%s", err_text(s->req.rc));
}

static void retry_now(struct slot *s)
{
	s->device->counters.retries++;
	slot_submit(s);
}

/*
 * Requests that were on the wire together are lost together, and count once. One attempt says nothing yet of a device that has
 * other blocks: one of them is asked, whatever the number of attempts.
 */
static bool is_worth_more(struct slot *s)
{
	struct device *d = s->device;

	if (s->submitted_us >= d->failed_at) {
		d->failures++;
		d->failed_at = loop_now_us(loop_of(s->line));
	}
	return d->failures < d->attempts_max || (d->failures == 1 && device_ask_another(d));
}

/* When it is this device's turn again. */
static void poll_again(struct slot *s)
{
	s->device->counters.retries++;
	slot_block(s)->is_pending = true;
	group_is_pending(s->group);
	slot_release(s);
}

/* A connection that broke says little of the unit that was to be asked on it, which may be one of many: once is no failure. */
static bool is_forgiven(struct slot *s)
{
	struct device *d = s->device;

	if (s->req.rc != ERR_CLOSED || (d->was_forgiven && s->submitted_us >= d->failed_at))
		return false;
	d->was_forgiven = true;
	d->failed_at = loop_now_us(loop_of(s->line));
	return true;
}

/* Was it asked for the first time, in vain, while there are others that are to be spared? */
static bool is_first_contact(const struct slot *s)
{
	return s->device->state == DEVICE_CONNECTING && s->req.rc == ERR_TIMEOUT && s->req.busy_us > 0 &&
	       (line_anyone_answers(s->line) || line_anyone_is_new(s->line, s->device));
}

static void poll_unanswered(struct slot *s)
{
	struct group *g = s->group;
	size_t b = plan_block_at(&g->plan, s->first);

	if (is_forgiven(s)) {
		poll_again(s);
		return;
	}
	if (is_first_contact(s)) {
		unit_missing(s);
		return;
	}
	g->plan.blocks[b].attempts++;
	if (!is_worth_more(s)) {
		device_silent(s);
	} else if (g->plan.blocks[b].attempts < s->device->attempts_max) {
		poll_again(s);
	} else { /* the device answers others, or is about to be asked for one: else its attempts were used up before */
		block_bad(s, silence_reason(s->req.rc));
		group_block_silent(g, b);
		slot_release(s);
	}
}

static void probe_unanswered(struct slot *s, uint32_t busy_us)
{
	struct device *d = s->device;

	if (s->req.rc == ERR_CLOSED && s->attempts++ == 0) {
		retry_now(s); /* a peer that was restarted breaks the old connection when we use it */
		return;
	}
	probe_failed(s, busy_us);
	line_up(s->line, d); /* if it was down: somebody took the connection, or the next probes will tell */
	slot_release(s);
	device_backoff(d);
}

static void no_answer(struct slot *s, uint32_t busy_us)
{
	note_silence(s);
	if (s->is_probe)
		probe_unanswered(s, busy_us);
	else if (!s->job)
		poll_unanswered(s);
	else if (++s->attempts < s->device->attempts_max)
		retry_now(s);
	else
		device_silent(s);
}

/* The request itself cannot be sent: nothing went to the device, and nothing ever will. */
static void not_sent(struct slot *s)
{
	s->device->counters.errors++;
	device_error(s->device, "%s", err_text(s->req.rc));
	if (s->job)
		(void)job_answered(s);
	else
		block_bad(s, REASON_CONFIG);
	if (s->is_probe)
		device_backoff(s->device);
	slot_release(s);
}

/* A gateway answers these for a unit that does not. */
static bool is_unit_absent(const struct slot *s)
{
	return !s->job && (s->req.exception == MODBUS_EXCEPTION_GATEWAY_PATH_UNAVAILABLE ||
			   s->req.exception == MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED);
}

/* It said that it is busy: later, if there are attempts left. */
static bool is_tried_again(struct slot *s)
{
	if (s->req.rc != ERR_REMOTE || s->req.exception != MODBUS_EXCEPTION_SERVER_DEVICE_BUSY || s->is_probe)
		return false;
	if (s->job && ++s->attempts < s->device->attempts_max)
		retry_now(s);
	else if (s->group && ++slot_block(s)->attempts < s->device->attempts_max)
		poll_again(s);
	else
		return false;
	return true;
}

static void device_answered(struct slot *s, uint32_t busy_us)
{
	switch (s->req.rc) {
	case OK:
	case ERR_REMOTE:
		if (s->req.rc == ERR_REMOTE && is_unit_absent(s)) {
			no_answer(s, busy_us);
			break;
		}
		device_is_there(s);
		if (!is_tried_again(s))
			device_spoke(s);
		break;
	case ERR_IO:
		slot_release(s);
		line_down(s->line);
		break;
	case ERR_TIMEOUT:
	case ERR_CLOSED:
	case ERR_MALFORMED:
	case ERR_UNEXPECTED:
	case ERR_NOMEM: /* of ours, but it may pass like the others */
		no_answer(s, busy_us);
		break;
	default:
		not_sent(s);
	}
}

static void count_outcome(struct slot *s)
{
	struct line_counters *c = &s->line->counters;
	int rc = s->req.rc;

	if (rc == OK || rc == ERR_REMOTE)
		c->answered++;
	else if (rc == ERR_TIMEOUT)
		c->timeouts++;
	else if (rc == ERR_MALFORMED || rc == ERR_UNEXPECTED)
		c->crc++;
	else
		c->errors++;
	if (s->device && !s->pass && (rc == OK || rc == ERR_REMOTE) && s->req.response_us)
		response_add(&s->device->response, s->req.response_us);
}

static void answered(struct source_request *r)
{
	struct slot *s = container_of(r, struct slot, req);
	struct line *l = s->line;
	uint32_t busy_us = s->req.busy_us;

	count_outcome(s);
	queue_account(s, busy_us);
	if (s->pass)
		pass_answered(s);
	else
		device_answered(s, busy_us);
	line_pump(l);
}

/* ---- life ---- */

static void window_begin(struct line *l)
{
	l->window = l->counters;
	l->window_at_us = loop_now_us(loop_of(l));
}

static void window_end(struct line *l)
{
	uint64_t us = (loop_now_us(loop_of(l)) - l->window_at_us) * l->nslots;
	uint64_t busy = l->counters.busy_us - l->window.busy_us;

	if (us == 0)
		return;
	l->utilisation = (uint32_t)(busy < us ? busy * 1000 / us : 1000);
	window_begin(l);
	publish_line(l);
}

/* Counters of a device that works change all the time: at most every ten seconds. */
static void status_due(struct loop_timer *timer)
{
	struct line *l = container_of(timer, struct line, status_timer);

	list_for_each (node, &l->devices) {
		struct device *d = container_of(node, struct device, node);

		if (memcmp(&d->counters, &d->shown, sizeof(d->shown)) != 0)
			publish_status(d);
	}
	window_end(l);
	loop_timer_set(loop_of(l), &l->status_timer, STATUS_INTERVAL_MS);
}

int line_create(struct field *f, const struct config_line *cfg, struct line **out)
{
	struct line *l = calloc(1, sizeof(*l));
	int rc;

	if (!l)
		return ERR_NOMEM;
	l->field = f;
	list_init(&l->node);
	list_init(&l->devices);
	list_init(&l->jobs);
	passes_init(l);
	safe_init(l);
	line_down_init(l);
	line_queue_init(l);
	loop_timer_init(&l->status_timer, status_due);
	line_repoint(l, cfg);
	l->nslots = cfg->max_in_flight ? cfg->max_in_flight : 1;
	assert(l->nslots <= SOURCE_IN_FLIGHT_MAX);
	l->timeout_ms = cfg->timeout_ms ? cfg->timeout_ms : DEFAULT_TIMEOUT_MS;
	l->attempts_max = cfg->retries + 1;
	l->backoff_first_ms = cfg->backoff.first_ms ? cfg->backoff.first_ms : DEFAULT_BACKOFF_FIRST_MS;
	l->backoff_max_ms = cfg->backoff.max_ms ? cfg->backoff.max_ms : DEFAULT_BACKOFF_MAX_MS;
	l->backoff_ms = l->backoff_first_ms;
	for (unsigned i = 0; i < l->nslots; i++) {
		l->slots[i].line = l;
		l->slots[i].req.done = answered;
	}
	rc = cfg->type == CONFIG_LINE_INTERNAL ? cells_source_create(f->loop, &l->source)
					       : f->factory->create(f->factory, f->loop, cfg, &l->source);
	if (rc < 0) {
		free(l);
		return rc;
	}
	*out = l;
	return OK;
}

void line_repoint(struct line *l, const struct config_line *cfg)
{
	l->cfg = cfg;
}

void line_start(struct line *l)
{
	window_begin(l);
	loop_timer_set(loop_of(l), &l->status_timer, STATUS_FIRST_MS);
	safe_start(l);
}

void line_forget_device(struct line *l, struct device *d)
{
	for (unsigned i = 0; i < l->nslots; i++) {
		struct slot *s = &l->slots[i];

		if (!s->is_used || s->device != d)
			continue;
		if (s->pass) { /* it is the foreign master's, and goes on without the device */
			s->device = NULL;
			continue;
		}
		l->source->ops->cancel(l->source, &s->req);
		slot_release(s);
	}
}

void line_stop_device(struct line *l, struct device *d)
{
	d->is_stopping = true;
	device_stop(d);
	line_forget_device(l, d);
	jobs_fail(d, "cancelled", "cancelled");
	list_remove(&d->node);
	line_device_gone(l);
	line_wake(l);
}

void line_destroy(struct line *l)
{
	if (!l)
		return;
	passes_end(l);
	safe_stop(l);
	assert(list_empty(&l->devices) && list_empty(&l->jobs) && l->nused == 0);
	line_queue_stop(l);
	loop_timer_cancel(loop_of(l), &l->backoff_timer);
	loop_timer_cancel(loop_of(l), &l->probe_timer);
	loop_timer_cancel(loop_of(l), &l->status_timer);
	if (l->source->trace)
		l->source->trace->ended(l->source->trace);
	l->source->ops->destroy(l->source);
	free(l);
}
