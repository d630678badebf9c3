#include "south/io_channel.h"

#include <math.h>

void io_channel_init(struct io_channel *c, const struct config_module *m)
{
	*c = (struct io_channel){.kind = m->kind};
	switch (m->kind) {
	case CONFIG_AREA_DI:
		c->di = (struct io_di){.filter_ms = m->filter_ms, .edge = m->edge, .is_counting = true};
		break;
	case CONFIG_AREA_DO:
		c->dout = (struct io_do){
			.on_ms = m->pulse_on_ms, .off_ms = m->pulse_off_ms, .count = m->pulse_count};
		break;
	case CONFIG_AREA_RELAY:
		break;
	default:
		c->analog = (struct io_analog){.mode = (enum io_mode)m->mode, .value = NAN};
	}
}

/* ---- di ---- */

static void count(struct io_di *d)
{
	if (!d->is_counting || (d->edge != CONFIG_EDGE_BOTH && (d->edge == CONFIG_EDGE_RISING) != d->state))
		return;
	if (d->counter == UINT32_MAX)
		d->overflow = true;
	d->counter++;
}

/* A level that has lasted becomes the state. */
static void settle(struct io_di *d, uint64_t now_ms)
{
	if (d->level == d->state || now_ms - d->changed_ms < d->filter_ms)
		return;
	d->state = d->level;
	count(d);
}

static void feed_level(struct io_di *d, bool level, uint64_t now_ms)
{
	if (!d->has_level) { /* what it is at first is no edge */
		d->has_level = true;
		d->level = d->state = level;
		return;
	}
	if (now_ms < d->changed_ms) /* an edge of a moment ago that was read already */
		now_ms = d->changed_ms;
	settle(d, now_ms); /* the level until now may have lasted long enough, though nobody looked */
	if (level != d->level) {
		d->level = level;
		d->changed_ms = now_ms;
	}
	settle(d, now_ms);
}

/* ---- do ---- */

void io_do_set(struct io_do *d, bool on)
{
	d->on = on;
	d->is_pulsing = false;
	d->left = 0;
}

void io_do_pulse(struct io_do *d, bool start, uint64_t now_ms)
{
	io_do_set(d, start);
	d->is_pulsing = start;
	d->left = start ? d->count : 0;
	d->next_ms = now_ms + d->on_ms;
}

/*
 * One step of a train of pulses. A step that comes late moves the ones after it: no pulse is shorter than asked, and none is
 * left out.
 */
static bool step_pulse(struct io_do *d, uint64_t now_ms)
{
	if (!d->is_pulsing || now_ms < d->next_ms)
		return false;
	d->on = !d->on;
	d->next_ms = now_ms + (d->on ? d->on_ms : d->off_ms);
	if (!d->on && d->count && d->left && --d->left == 0)
		d->is_pulsing = false;
	return true;
}

/* ---- relay ---- */

void io_relay_set(struct io_relay *r, bool on)
{
	if (on && !r->on) {
		r->total++;
		r->current++;
	}
	r->on = on;
}

/* ---- analog ---- */

void io_analog_reset_min(struct io_analog *a)
{
	a->min = a->value;
}

void io_analog_reset_max(struct io_analog *a)
{
	a->max = a->value;
}

static enum io_status status_of(const struct io_analog *a, const struct io_reading *r)
{
	const struct io_mode_info *mode = io_mode_info(a->mode);

	if (a->mode == IO_MODE_DISABLED)
		return IO_STATUS_DISABLED;
	if (r->rc < 0)
		return IO_STATUS_LOST;
	if (r->is_open || !isfinite(r->value) || r->value < mode->open)
		return IO_STATUS_OPEN;
	return r->value > mode->over    ? IO_STATUS_OVER
	       : r->value < mode->under ? IO_STATUS_UNDER
					: IO_STATUS_NORMAL;
}

static bool is_measured(enum io_status status)
{
	return status == IO_STATUS_NORMAL || status == IO_STATUS_OVER || status == IO_STATUS_UNDER;
}

/* The extremes are of what was measured: a broken wire leaves them as they are. */
static void feed_analog(struct io_analog *a, const struct io_reading *r)
{
	a->status = status_of(a, r);
	a->value = is_measured(a->status) ? r->value : NAN;
	if (a->status != IO_STATUS_LOST && a->status != IO_STATUS_DISABLED)
		a->raw = r->raw;
	if (!is_measured(a->status))
		return;
	a->min = a->has_extremes ? fmin(a->min, a->value)
				 : a->value; /* fmin() of NaN, after a reset, is the other */
	a->max = a->has_extremes ? fmax(a->max, a->value) : a->value;
	a->has_extremes = true;
}

/* ---- all ---- */

void io_channel_feed(struct io_channel *c, const struct io_reading *r, uint64_t now_ms)
{
	c->is_lost = r->rc < 0;
	switch (c->kind) {
	case CONFIG_AREA_DI:
		if (r->rc == OK)
			feed_level(&c->di, r->on, now_ms);
		break;
	case CONFIG_AREA_DO: /* they are what was written */
	case CONFIG_AREA_RELAY:
		break;
	default:
		feed_analog(&c->analog, r);
	}
}

uint64_t io_channel_due(const struct io_channel *c)
{
	if (c->kind == CONFIG_AREA_DI && c->di.level != c->di.state)
		return c->di.changed_ms + c->di.filter_ms;
	if (c->kind == CONFIG_AREA_DO && c->dout.is_pulsing)
		return c->dout.next_ms;
	return IO_NEVER;
}

bool io_channel_tick(struct io_channel *c, uint64_t now_ms)
{
	if (c->kind == CONFIG_AREA_DI)
		settle(&c->di, now_ms);
	return c->kind == CONFIG_AREA_DO && step_pulse(&c->dout, now_ms);
}

static enum quality bad(enum reason why, enum reason *reason)
{
	*reason = why;
	return QUALITY_BAD;
}

enum quality io_channel_quality(const struct io_channel *c, enum reason *reason)
{
	*reason = REASON_NONE;
	if (c->kind == CONFIG_AREA_DI || c->kind == CONFIG_AREA_DO || c->kind == CONFIG_AREA_RELAY)
		return c->is_lost ? bad(REASON_OFFLINE, reason) : QUALITY_GOOD;
	switch (c->analog.status) {
	case IO_STATUS_NORMAL:
		return QUALITY_GOOD;
	case IO_STATUS_OVER:
	case IO_STATUS_UNDER:
		*reason = REASON_RANGE;
		return QUALITY_UNCERTAIN;
	case IO_STATUS_OPEN:
		return bad(REASON_RANGE, reason);
	case IO_STATUS_DISABLED:
		return bad(REASON_CONFIG, reason);
	default:
		return bad(REASON_OFFLINE, reason);
	}
}
