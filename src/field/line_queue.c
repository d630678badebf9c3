/*
 * What goes onto the wire of a line next.
 *
 * Commands go before requests of foreign masters, and these before polls. Whoever sends them without end stops nobody: a quarter of
 * the time for which they hold the wire is owed to those behind them, as long as any of them waits. So polls that wait have a
 * fifth of the wire's time at least, and foreign masters a fifth of what they and our commands have together. Time is counted and not
 * requests, because one that is not answered takes a hundred times as long as one that is.
 *
 * Polls are fair between devices, by time of the wire again: the device that had the least of it goes next, and one that had
 * nothing to ask saves nothing up. So a device with long blocks or late answers waits longer for its next turn and
 * its neighbours do not. Within a device the scan that is to be done first goes first; as soon as one is late there is more asked
 * than fits, and then its groups are served by time of the wire too.
 */
#include <assert.h>

#include "field/internal.h"

#define OWED_PART 4u
#define OWED_MAX_US \
	250000u /* what is owed from longer ago is forgotten: polls do not hold a command up for longer */
#define MEAN_PART 8u /* weight of the newest in a running mean */

static struct loop *loop_of(const struct line *l)
{
	return l->field->loop;
}

/* ---- slots ---- */

static struct slot *slot_take(struct line *l, struct device *d)
{
	struct slot *s = l->slots;

	while (s->is_used)
		s++;
	assert(s < l->slots + l->nslots);
	s->is_used = true;
	s->is_probe = s->is_long = false;
	s->device = d;
	s->group = NULL;
	s->job = NULL;
	s->pass = NULL;
	s->attempts = 0;
	s->charged_us = 0;
	s->req.unit = d ? d->cfg->unit : 0;
	s->req.timeout_ms = d ? d->timeout_ms : l->timeout_ms;
	s->req.silence_us = d ? d->silence_us : 0;
	l->nused++;
	return s;
}

void slot_submit(struct slot *s)
{
	s->line->counters.sent++;
	if (s->device && !s->pass)
		s->device->counters.sent++;
	s->submitted_us = loop_now_us(loop_of(s->line));
	s->line->source->ops->submit(s->line->source, &s->req);
}

static struct slot *block_slot(struct device *d, struct group *g, size_t block)
{
	struct plan_block *b = &g->plan.blocks[block];
	struct plan_read read = plan_read_of(&g->plan, block);
	struct slot *s = slot_take(d->line, d);

	b->is_pending = false;
	b->is_in_flight = true;
	s->group = g;
	s->first = b->first;
	s->req.op = SOURCE_READ;
	s->req.area = (enum config_area)b->area;
	s->req.start = read.start;
	s->req.count = read.count;
	return s;
}

/* ---- who is next ---- */

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

static bool pump_pass(struct line *l)
{
	struct field_pass *p = pass_next(l);
	struct slot *s;

	if (!p) {
		l->owed_pass_us = 0;
		return false;
	}
	s = slot_take(l, NULL);
	pass_start(s, p);
	slot_submit(s);
	return true;
}

static void behind_the_others(struct device *d)
{
	list_remove(&d->node);
	list_append(&d->line->devices, &d->node);
}

static bool is_being_probed(const struct device *d)
{
	for (unsigned i = 0; i < d->line->nslots; i++)
		if (d->line->slots[i].is_used && d->line->slots[i].is_probe && d->line->slots[i].device == d)
			return true;
	return false;
}

static bool pump_probe(struct line *l)
{
	list_for_each (node, &l->devices) {
		struct device *d = container_of(node, struct device, node);
		struct slot *s;
		struct group *g;
		size_t block;
		uint32_t timeout_ms;
		bool is_long;

		if (d->is_probe_due && is_being_probed(d))
			d->is_probe_due = false; /* that one tells */
		if (d->state != DEVICE_OFFLINE || !d->is_probe_due || !probe_may_go(d, &timeout_ms, &is_long))
			continue;
		d->is_probe_due = false;
		if (!device_probe_block(d, &g, &block))
			continue;
		behind_the_others(d);
		s = block_slot(d, g, block);
		s->is_probe = true;
		s->is_long = is_long;
		s->req.timeout_ms = timeout_ms;
		slot_submit(s);
		return true;
	}
	return false;
}

/* Its turn is no earlier than that of who was served last: time that it did not ask for is not saved up. */
static uint64_t turn_of(const struct device *d)
{
	return d->turn_us > d->line->turn_us ? d->turn_us : d->line->turn_us;
}

/*
 * While a late answer of a device may come, the master keeps the wire free before another request to it. The others of the line are not to wait
 * for that, so it is not handed over before. The same request once more need not wait: a device with one block has no other.
 */
bool device_must_wait(struct device *d)
{
	struct line *l = d->line;
	uint32_t ms = l->source->ops->late_ms ? l->source->ops->late_ms(l->source, d->cfg->unit) : 0;

	if (!ms || l->devices.next == l->devices.prev || !device_has_blocks(d, 2))
		return false;
	line_look_again(l, ms);
	return true;
}

static struct device *device_in_turn(struct line *l)
{
	struct device *best = NULL;

	list_for_each (node, &l->devices) {
		struct device *d = container_of(node, struct device, node);

		if (device_waits(d) && (!best || turn_of(d) < turn_of(best)) && !device_must_wait(d))
			best = d;
	}
	return best;
}

static bool pump_poll(struct line *l)
{
	struct device *d;
	struct slot *s;
	struct group *g;
	size_t block;

	if (pump_probe(l))
		return true;
	d = device_in_turn(l);
	if (!d || !device_next_block(d, &g, &block)) {
		l->owed_polls_us = 0;
		return false;
	}
	d->turn_us = l->turn_us = turn_of(d);
	behind_the_others(d);
	s = block_slot(d, g, block);
	s->charged_us = d->cost_us;
	d->turn_us += s->charged_us;
	slot_submit(s);
	return true;
}

static bool pump_one(struct line *l)
{
	if (l->owed_polls_us && l->owed_polls_us >= l->poll_us && pump_poll(l))
		return true;
	if (l->owed_pass_us && l->owed_pass_us >= l->poll_us && pump_pass(l))
		return true;
	return pump_job(l) || pump_pass(l) || pump_poll(l);
}

void line_pump(struct line *l)
{
	while (l->nused < l->nslots && pump_one(l))
		;
}

static void pump_now(struct loop_timer *timer)
{
	line_pump(container_of(timer, struct line, pump_timer));
}

void line_wake(struct line *l)
{
	if (!loop_timer_pending(&l->pump_timer))
		loop_timer_set(loop_of(l), &l->pump_timer, 0);
}

void line_queue_init(struct line *l)
{
	loop_timer_init(&l->pump_timer, pump_now);
}

void line_queue_stop(struct line *l)
{
	loop_timer_cancel(loop_of(l), &l->pump_timer);
}

/* ---- what it took ---- */

static uint32_t mean(uint32_t before, uint32_t us)
{
	return before ? before - before / MEAN_PART + us / MEAN_PART : us;
}

static uint64_t owe(uint64_t owed, uint32_t busy_us)
{
	return owed + busy_us / OWED_PART < OWED_MAX_US ? owed + busy_us / OWED_PART : OWED_MAX_US;
}

static uint64_t repay(uint64_t owed, uint32_t busy_us)
{
	return owed > busy_us ? owed - busy_us : 0;
}

static void account_poll(struct slot *s, uint32_t busy_us)
{
	struct device *d = s->device;

	s->line->owed_polls_us = repay(s->line->owed_polls_us, busy_us);
	if (s->is_probe)
		return;
	d->turn_us = d->turn_us + busy_us - s->charged_us;
	s->group->turn_us += busy_us;
	s->charged_us = 0;
	if (s->req.rc != OK)
		return;
	d->cost_us = mean(d->cost_us, busy_us);
	s->line->poll_us = mean(s->line->poll_us, busy_us);
}

void queue_account(struct slot *s, uint32_t busy_us)
{
	struct line *l = s->line;

	l->counters.busy_us += busy_us;
	if (s->group) {
		account_poll(s, busy_us);
		return;
	}
	l->owed_polls_us = owe(l->owed_polls_us, busy_us);
	if (s->pass)
		l->owed_pass_us = repay(l->owed_pass_us, busy_us);
	else
		l->owed_pass_us = owe(l->owed_pass_us, busy_us);
}
