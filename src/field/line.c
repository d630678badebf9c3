/*
 * A line owns the wire: what is sent next, and what an answer or its absence means.
 *
 * Order: commands, then probes and polls, in turn between devices.  An attempt that got no answer is repeated at
 * once; when all are used up the device is silent and only probed, so that a dead unit costs the others one time-out for each of
 * its back-offs.  When nobody takes the connection all devices are offline together, and one probe speaks for them.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "field/internal.h"
#include "wire/modbus.h"

static struct loop *loop_of(const struct line *l)
{
	return l->field->loop;
}

static void answered(struct source_request *r);
static void pump(struct line *l);

/* ---- slots ---- */

static struct plan_block *block_of(const struct slot *s)
{
	return &s->group->plan.blocks[plan_block_at(&s->group->plan, s->first)];
}

static void slot_release(struct slot *s)
{
	if (s->group)
		block_of(s)->is_in_flight = false;
	if (s->group)
		scan_progress(s->group);
	s->is_used = false;
	s->device = NULL;
	s->group = NULL;
	s->job = NULL;
	s->line->nused--;
}

static struct slot *slot_take(struct line *l, struct device *d)
{
	struct slot *s = l->slots;

	while (s->is_used)
		s++;
	assert(s < l->slots + l->nslots);
	s->is_used = true;
	s->is_probe = d->state == DEVICE_OFFLINE;
	s->device = d;
	s->group = NULL;
	s->job = NULL;
	s->attempts = 0;
	s->req.unit = d->cfg->unit;
	s->req.timeout_ms = l->timeout_ms;
	l->nused++;
	return s;
}

static void slot_submit(struct slot *s)
{
	s->line->source->ops->submit(s->line->source, &s->req);
}

static void poll_block(struct line *l, struct device *d, struct group *g, size_t block)
{
	struct plan_block *b = &g->plan.blocks[block];
	struct plan_read read = plan_read_of(&g->plan, block);
	struct slot *s = slot_take(l, d);

	b->is_pending = false;
	b->is_in_flight = true;
	s->group = g;
	s->first = b->first;
	s->req.op = SOURCE_READ;
	s->req.area = (enum config_area)b->area;
	s->req.start = read.start;
	s->req.count = read.count;
	slot_submit(s);
}

static bool pump_job(struct line *l)
{
	struct job *job = jobs_next(l);
	struct slot *s;

	if (!job)
		return false;
	s = slot_take(l, job->device);
	job_start(s, job);
	slot_submit(s);
	return true;
}

/* The device that was served goes behind the others. */
static bool pump_poll(struct line *l)
{
	list_for_each (node, &l->devices) {
		struct device *d = container_of(node, struct device, node);
		struct group *g;
		size_t block;

		if (!device_next_block(d, &g, &block))
			continue;
		list_remove(&d->node);
		list_append(&l->devices, &d->node);
		poll_block(l, d, g, block);
		return true;
	}
	return false;
}

/* Commands first; but whoever sends them without end does not stop the polls. */
static bool pump_one(struct line *l)
{
	if (l->jobs_in_a_row < JOBS_IN_A_ROW && pump_job(l)) {
		l->jobs_in_a_row++;
		return true;
	}
	l->jobs_in_a_row = 0;
	return pump_poll(l) || pump_job(l);
}

static void pump(struct line *l)
{
	while (l->nused < l->nslots && pump_one(l))
		;
}

static void pump_now(struct loop_timer *timer)
{
	pump(container_of(timer, struct line, pump_timer));
}

void line_wake(struct line *l)
{
	if (!loop_timer_pending(&l->pump_timer))
		loop_timer_set(loop_of(l), &l->pump_timer, 0);
}

/* ---- down and up ---- */

static void line_backoff(struct line *l)
{
	loop_timer_set(loop_of(l), &l->backoff_timer,
		       l->backoff_ms - l->backoff_ms / 8); /* as device_backoff() */
	l->backoff_ms = l->backoff_ms < l->backoff_max_ms / 2 ? l->backoff_ms * 2 : l->backoff_max_ms;
}

static void line_down(struct line *l)
{
	char place[ERROR_TEXT_MAX / 2];

	if (l->cfg->host)
		snprintf(place, sizeof(place), "%s:%u", l->cfg->host, l->cfg->port);
	else
		snprintf(place, sizeof(place), "%s", l->cfg->path ? l->cfg->path : l->cfg->name);
	if (!l->is_down)
		log_warning("field", "line \"%s\": no connection to %s", l->cfg->name, place);
	l->is_down = true;
	list_for_each (node, &l->devices) {
		struct device *d = container_of(node, struct device, node);

		device_error(d, "no connection to %s", place);
		loop_timer_cancel(loop_of(l), &d->backoff_timer);
		d->is_probe_due = false;
		d->backoff_ms = l->backoff_first_ms;
		device_offline(d, REASON_OFFLINE);
	}
	if (!loop_timer_pending(&l->backoff_timer))
		line_backoff(l);
}

/* The first device that has something to read; pump_poll() turns the list. */
static void line_probe(struct loop_timer *timer)
{
	struct line *l = container_of(timer, struct line, backoff_timer);

	list_for_each (node, &l->devices) {
		struct device *d = container_of(node, struct device, node);

		if (!device_has_blocks(d))
			continue;
		d->is_probe_due = true;
		pump(l);
		return;
	}
}

/* Somebody is there again: ask all others at once, but for those that are in a back-off of their own. */
static void line_up(struct line *l, const struct device *probed)
{
	l->backoff_ms = l->backoff_first_ms;
	if (!l->is_down)
		return;
	l->is_down = false;
	loop_timer_cancel(loop_of(l), &l->backoff_timer);
	log_notice("field", "line \"%s\": connected again", l->cfg->name);
	list_for_each (node, &l->devices) {
		struct device *d = container_of(node, struct device, node);

		if (d != probed && !loop_timer_pending(&d->backoff_timer))
			d->is_probe_due = true;
	}
}

/* ---- answers ---- */

static void publish_read(struct slot *s, const struct plan_read *read)
{
	struct modbus_value scratch;

	for (size_t i = read->first; i < read->first + read->nitems; i++) {
		const struct plan_item *item = &s->group->plan.items[i];
		struct tag *t = &s->device->tags[item->tag];
		struct tag_sample sample = tag_decode(t, &s->req.data, (unsigned)item->start - read->start,
						      s->req.answered_ms, &scratch);

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
	struct plan_block *b = block_of(s);

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
	block_of(s)->is_pending = is_again;
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
	device_error(d, "exception %u (%s), %s %u items from %u", s->req.exception,
		     modbus_exception_text(s->req.exception),
		     s->req.op != SOURCE_READ ? "writing" : "reading", s->req.count, s->req.start);
}

/* The device is there: with data, or with an exception. */
static void device_spoke(struct slot *s)
{
	struct device *d = s->device;

	line_up(s->line, d);
	if (s->req.rc == OK) {
		d->counters.ok++;
		d->last_ok_ms = s->req.answered_ms;
	} else {
		note_exception(s);
	}
	device_online(d);
	if (s->job) {
		if (job_answered(s)) {
			slot_submit(s);
			return;
		}
	} else if (s->req.rc == OK) {
		block_read(s);
	} else {
		block_refused(s);
	}
	slot_release(s);
}

static void device_silent(struct slot *s)
{
	int rc = s->req.rc;
	struct device *d = s->device;

	slot_release(s);
	device_offline(d, rc == ERR_CLOSED                              ? REASON_OFFLINE
			  : rc == ERR_MALFORMED || rc == ERR_UNEXPECTED ? REASON_CRC
									: REASON_TIMEOUT);
	device_backoff(d);
}

static void no_answer(struct slot *s)
{
	struct device *d = s->device;

	if (s->req.rc == ERR_REMOTE) {
		note_exception(s);
	} else {
		if (s->req.rc == ERR_TIMEOUT)
			d->counters.timeouts++;
		else
			d->counters.errors++;
		device_error(d, "%s", err_text(s->req.rc));
	}
	if (s->is_probe && s->req.rc == ERR_CLOSED && s->attempts++ == 0) {
		slot_submit(s); /* a peer that was restarted breaks the old connection when we use it */
	} else if (s->is_probe) {
		line_up(s->line,
			d); /* if it was down: somebody took the connection, or the next probes will tell */
		slot_release(s);
		device_backoff(d);
	} else if (++s->attempts < s->line->attempts_max) {
		slot_submit(s);
	} else {
		device_silent(s);
	}
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

static bool is_worth_another(struct slot *s)
{
	return s->req.exception == MODBUS_EXCEPTION_SERVER_DEVICE_BUSY && !s->is_probe &&
	       ++s->attempts < s->line->attempts_max;
}

static void answered(struct source_request *r)
{
	struct slot *s = container_of(r, struct slot, req);
	struct line *l = s->line;

	switch (r->rc) {
	case OK:
		device_spoke(s);
		break;
	case ERR_REMOTE:
		if (is_unit_absent(s))
			no_answer(s);
		else if (is_worth_another(s))
			slot_submit(s);
		else
			device_spoke(s);
		break;
	case ERR_IO:
		slot_release(s);
		line_down(l);
		break;
	case ERR_TIMEOUT:
	case ERR_CLOSED:
	case ERR_MALFORMED:
	case ERR_UNEXPECTED:
	case ERR_NOMEM: /* of ours, but it may pass like the others */
		no_answer(s);
		break;
	default:
		not_sent(s);
	}
	pump(l);
}

/* ---- life ---- */

/* Counters of a device that works change all the time: at most every ten seconds. */
static void status_due(struct loop_timer *timer)
{
	struct line *l = container_of(timer, struct line, status_timer);

	list_for_each (node, &l->devices) {
		struct device *d = container_of(node, struct device, node);

		if (memcmp(&d->counters, &d->shown, sizeof(d->shown)) != 0)
			publish_status(d);
	}
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
	loop_timer_init(&l->backoff_timer, line_probe);
	loop_timer_init(&l->status_timer, status_due);
	loop_timer_init(&l->pump_timer, pump_now);
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
	loop_timer_set(loop_of(l), &l->status_timer, STATUS_INTERVAL_MS);
}

void line_forget_device(struct line *l, struct device *d)
{
	for (unsigned i = 0; i < l->nslots; i++) {
		struct slot *s = &l->slots[i];

		if (!s->is_used || s->device != d)
			continue;
		l->source->ops->cancel(l->source, &s->req);
		slot_release(s);
	}
}

void line_stop_device(struct line *l, struct device *d)
{
	device_stop(d);
	line_forget_device(l, d);
	jobs_fail(d, "cancelled", "cancelled");
	list_remove(&d->node);
	/* It may have been the one that was asked whether the line is back: then another is. */
	if (l->is_down && !loop_timer_pending(&l->backoff_timer))
		loop_timer_set(loop_of(l), &l->backoff_timer, 0);
	line_wake(l);
}

void line_destroy(struct line *l)
{
	if (!l)
		return;
	assert(list_empty(&l->devices) && list_empty(&l->jobs) && l->nused == 0);
	loop_timer_cancel(loop_of(l), &l->backoff_timer);
	loop_timer_cancel(loop_of(l), &l->status_timer);
	loop_timer_cancel(loop_of(l), &l->pump_timer);
	l->source->ops->destroy(l->source);
	free(l);
}
