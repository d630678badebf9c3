/*
 * Lines that nobody takes the connection of, and devices that do not answer.
 *
 * A silent device is probed after its back-off: one attempt, in turn with its smallest block and any other of its blocks. While others of its line answer, probes
 * have their own small part of the wire's time, all silent devices together, so that half a line that is dead takes no more
 * than one unit of it:
 *
 *     quick probes   wait twice as long as the slowest answer of the device so far, or of the line when it never answered: 1/50
 *     long probes    every fourth, if not sooner: wait the whole time-out, because a device may be slower than it was: 1/50
 *
 * A unit that did not answer when it was asked for the first time is silent after that one attempt, which has the whole time-out, and probed as soon
 * as there is time for it: who is not there costs the others no more than that. The time of that attempt is one that long probes do not have, up to a second.
 *
 * Of time in which nobody wants the wire probes have an eighth each. A probe that is answered costs nothing: what it read was wanted anyway. When nobody on the line answers, there
 * is nobody to spare, and all probes are long and go when their back-off is over.
 *
 * When nobody takes the connection all devices are offline together, and one probe speaks for them.
 */
#include <stdio.h>

#include "base/log.h"
#include "field/internal.h"

#define PROBE_PART      50u
#define PROBE_IDLE_PART 8u
/* No more of the wire's time than this is saved up for probes; one that takes longer is paid for afterwards. */
#define PROBE_SAVED_US 150000
#define PROBE_QUICK_MS 50u /* no probe waits less */
#define PROBE_SLACK_MS 20u
#define PROBES_SHORT   3u /* in a row */
#define PROBE_DEBT_US  1000000
#define PROBE_FIRST_US \
	100000 /* there from the start: a unit whose first answer was lost is asked again soon */

static struct loop *loop_of(const struct line *l)
{
	return l->field->loop;
}

/* ---- silent devices ---- */

bool line_anyone_answers(struct line *l)
{
	list_for_each (node, &l->devices)
		if (container_of(node, struct device, node)->state == DEVICE_ONLINE)
			return true;
	return false;
}

bool line_anyone_is_new(struct line *l, const struct device *but)
{
	list_for_each (node, &l->devices) {
		struct device *d = container_of(node, struct device, node);

		if (d != but && d->state == DEVICE_CONNECTING && d->failures == 0 && device_waits(d))
			return true;
	}
	return false;
}

static uint32_t slowest_us(struct line *l)
{
	uint32_t us = 0;

	list_for_each (node, &l->devices) {
		const struct device *d = container_of(node, struct device, node);

		us = d->response.max_us > us ? d->response.max_us : us;
	}
	return us;
}

static uint32_t quick_ms(const struct device *d)
{
	uint32_t us = d->response.count ? d->response.max_us : slowest_us(d->line);
	uint32_t ms = us / 1000 * 2 + PROBE_SLACK_MS;

	ms = ms > PROBE_QUICK_MS ? ms : PROBE_QUICK_MS;
	return ms < d->timeout_ms ? ms : d->timeout_ms;
}

/* A part of the time, and a larger one of the time in which nobody wanted the wire. */
static void budget_fill(struct budget *b, const struct line *l)
{
	uint64_t now_us = loop_now_us(loop_of(l)), busy_us = l->counters.busy_us - b->busy_us;
	uint64_t us = now_us - b->at_us, idle_us = us > busy_us ? us - busy_us : 0;

	b->us += (int64_t)(us / PROBE_PART + idle_us / PROBE_IDLE_PART);
	b->us = b->us < PROBE_SAVED_US ? b->us : PROBE_SAVED_US;
	b->at_us = now_us;
	b->busy_us = l->counters.busy_us;
}

static int64_t budget_lacks(const struct budget *b, uint32_t timeout_ms)
{
	int64_t needed = (int64_t)timeout_ms * 1000;

	return (needed < PROBE_SAVED_US ? needed : PROBE_SAVED_US) - b->us;
}

void line_look_again(struct line *l, uint64_t ms)
{
	if (!loop_timer_pending(&l->probe_timer) || l->probe_timer.due_ms > loop_now_ms(loop_of(l)) + ms)
		loop_timer_set(loop_of(l), &l->probe_timer, ms);
}

static void wait_for_budget(struct line *l, int64_t lacks_us)
{
	line_look_again(l, (uint64_t)lacks_us * PROBE_IDLE_PART / 1000 + 1); /* at the soonest */
}

bool probe_may_go(struct device *d, uint32_t *timeout_ms, bool *is_long)
{
	struct line *l = d->line;
	int64_t lacks;

	budget_fill(&l->short_probes, l);
	budget_fill(&l->long_probes, l);
	*timeout_ms = d->timeout_ms;
	*is_long = true;
	if (device_must_wait(d))
		return false;
	if (d->is_probe_free)
		return true;
	if (!line_anyone_answers(l))
		return !line_anyone_is_new(l, d); /* all are asked once before any is asked again */
	if (d->short_probes >= PROBES_SHORT && budget_lacks(&l->long_probes, d->timeout_ms) <= 0)
		return true;
	*timeout_ms = quick_ms(d);
	*is_long = false;
	lacks = budget_lacks(&l->short_probes, *timeout_ms);
	if (lacks > 0)
		wait_for_budget(l, lacks);
	return lacks <= 0;
}

void probe_failed(struct slot *s, uint32_t busy_us)
{
	struct line *l = s->line;

	if (!s->device->is_probe_free) {
		struct budget *b = s->is_long ? &l->long_probes : &l->short_probes;

		b->us -= busy_us;
	}
	s->device->is_probe_free = false;
	s->device->short_probes = s->is_long ? 0 : s->device->short_probes + 1;
}

void first_contact_failed(struct line *l, uint32_t busy_us)
{
	budget_fill(&l->long_probes, l);
	l->long_probes.us -= busy_us;
	if (l->long_probes.us < -PROBE_DEBT_US)
		l->long_probes.us = -PROBE_DEBT_US;
}

static void budget_there(struct loop_timer *timer)
{
	line_pump(container_of(timer, struct line, probe_timer));
}

/* ---- the connection ---- */

static void line_backoff(struct line *l)
{
	loop_timer_set(loop_of(l), &l->backoff_timer,
		       l->backoff_ms - l->backoff_ms / 8); /* as device_backoff() */
	l->backoff_ms = l->backoff_ms < l->backoff_max_ms / 2 ? l->backoff_ms * 2 : l->backoff_max_ms;
}

/* Why nobody answers: what the driver says, or where nobody takes the connection. */
static void reason_of(const struct line *l, char *reason, size_t size)
{
	if (l->source->fault)
		snprintf(reason, size, "%s", l->source->fault);
	else if (l->cfg->host)
		snprintf(reason, size, "no connection to %s:%u", l->cfg->host, l->cfg->port);
	else
		snprintf(reason, size, "no connection to %s", l->cfg->path ? l->cfg->path : l->cfg->name);
}

void line_down(struct line *l)
{
	char reason[ERROR_TEXT_MAX];

	reason_of(l, reason, sizeof(reason));
	if (!l->is_down)
		log_warning("field", "line \"%s\": %s", l->cfg->name, reason);
	l->is_down = true;
	list_for_each (node, &l->devices) {
		struct device *d = container_of(node, struct device, node);

		device_error(d, "%s", reason);
		loop_timer_cancel(loop_of(l), &d->backoff_timer);
		d->is_probe_due = false;
		d->backoff_ms = d->backoff_first_ms;
		device_offline(d, REASON_OFFLINE);
	}
	if (!loop_timer_pending(&l->backoff_timer))
		line_backoff(l);
	passes_fail(l, ERR_IO);
}

/* The first device that has something to read; the queue turns the list. */
static void line_probe(struct loop_timer *timer)
{
	struct line *l = container_of(timer, struct line, backoff_timer);

	list_for_each (node, &l->devices) {
		struct device *d = container_of(node, struct device, node);

		if (!device_has_blocks(d, 1))
			continue;
		d->is_probe_due = true;
		line_pump(l);
		return;
	}
}

/* Somebody is there again: ask all others at once, but for those that are in a back-off of their own. */
void line_up(struct line *l, const struct device *probed)
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
			d->is_probe_due = d->is_probe_free = true;
	}
}

/* It may have been the one that was asked whether the line is back: then another is. */
void line_device_gone(struct line *l)
{
	if (l->is_down && !loop_timer_pending(&l->backoff_timer))
		loop_timer_set(loop_of(l), &l->backoff_timer, 0);
}

void line_down_init(struct line *l)
{
	uint64_t now_us = loop_now_us(loop_of(l));

	loop_timer_init(&l->backoff_timer, line_probe);
	loop_timer_init(&l->probe_timer, budget_there);
	l->short_probes.at_us = l->long_probes.at_us = now_us;
	l->short_probes.us = PROBE_FIRST_US;
}
