/*
 * One unit on a line: its tags and groups, when they are read, and whether it answers.
 */
#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "config/io_config.h"
#include "field/internal.h"
#include "field/safe.h"

#define SILENT_UNIT_MS      100u /* of plan_block.silent_until */
#define BLOCK_DOUBLINGS_MAX 20u  /* of the back-off of a block that stays without an answer */

static struct loop *loop_of(const struct device *d)
{
	return d->line->field->loop;
}

/* ---- making ---- */

static int make_tags(struct device *d)
{
	d->ntags = d->cfg->ntags + d->nextras;
	if (d->ntags == 0)
		return OK;
	d->tags = calloc(d->ntags, sizeof(*d->tags));
	if (!d->tags)
		return ERR_NOMEM;
	for (size_t i = 0; i < d->ntags; i++) {
		struct tag *t = &d->tags[i];
		bool is_extra = i >= d->cfg->ntags;

		tag_init(t, is_extra ? &d->extras[i - d->cfg->ntags] : &d->cfg->tags[i]);
		t->device = d;
		t->now = (struct tag_sample){.quality = QUALITY_BAD, .reason = REASON_OFFLINE};
		rack_place_tag(d, t, is_extra);
		if (t->cfg->scale_tag_name) {
			t->scale_by = &d->tags[t->cfg->scale_tag];
			d->tags[t->cfg->scale_tag].is_scale = true;
		}
		if (t->text_max && !(t->text = malloc(2 * (t->text_max + 1u))))
			return ERR_NOMEM;
	}
	return OK;
}

/* Last, for a tag that joined has to leave. */
static int join_paces(struct device *d)
{
	int rc = OK;

	for (size_t i = 0; i < d->ntags && rc == OK; i++)
		rc = pace_join(d->line->field, &d->tags[i]);
	return rc;
}

static void group_due(struct loop_timer *timer);

static int make_group(struct device *d, size_t index, struct plan_item *items)
{
	struct group *g = &d->groups[index];
	struct plan_rules rules;
	size_t n = 0;

	g->device = d;
	g->cfg = &d->cfg->groups[index];
	loop_timer_init(&g->timer, group_due);
	list_init(&g->unsent);
	g->first_tag = d->ntags;
	for (size_t i = 0; i < d->ntags; i++) {
		const struct tag *t = &d->tags[i];

		if (t->cfg->group != index || d->is_broadcast) /* which can only be written */
			continue;
		g->first_tag = i < g->first_tag ? i : g->first_tag;
		g->end_tags = i + 1;
		if (d->cells)
			continue; /* nobody is asked */
		items[n++] = (struct plan_item){.area = (uint8_t)t->cfg->address.area,
						.is_bits = t->is_bits,
						.start = t->start,
						.count = t->count,
						.tag = (uint32_t)i};
	}
	rules = (struct plan_rules){
		.max_gap = d->cfg->max_gap, .max_block = d->cfg->max_block, .one_by_one = d->cfg->one_by_one};
	if (config_line_is_rack(d->line->cfg)) /* registers between channels cost nothing, requests do */
		rules.max_gap = SOURCE_CHANNEL_REGS;
	return plan_create(&g->plan, items, n, &rules, &d->refused);
}

static int make_groups(struct device *d)
{
	struct plan_item *items = calloc(d->ntags + 1, sizeof(*items));
	int rc = ERR_NOMEM;

	d->groups = calloc(d->cfg->ngroups, sizeof(*d->groups));
	if (items && d->groups) {
		rc = OK;
		for (size_t i = 0; i < d->cfg->ngroups && rc == OK; i++)
			rc = make_group(d, i, items);
	}
	free(items);
	return rc;
}

static void probe_due(struct loop_timer *timer)
{
	struct device *d = container_of(timer, struct device, backoff_timer);

	d->is_probe_due = true;
	line_wake(d->line);
}

/* What the device does not say is its line's. */
static void take_settings(struct device *d)
{
	const struct config_device *cfg = d->cfg;
	const struct line *l = d->line;

	d->timeout_ms = cfg->timeout_ms ? cfg->timeout_ms : l->timeout_ms;
	d->attempts_max = cfg->retries == CONFIG_RETRIES_UNSET ? l->attempts_max : cfg->retries + 1;
	d->silence_us = cfg->silence_ms * 1000;
	d->backoff_first_ms = cfg->backoff.first_ms ? cfg->backoff.first_ms : l->backoff_first_ms;
	d->backoff_max_ms = cfg->backoff.max_ms ? cfg->backoff.max_ms : l->backoff_max_ms;
	if (d->backoff_max_ms < d->backoff_first_ms)
		d->backoff_max_ms = d->backoff_first_ms;
}

int device_create(struct line *line, const struct gateway_config *gateway, const struct config_device *cfg,
		  struct device **out)
{
	struct device *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return ERR_NOMEM;
	d->line = line;
	d->cfg = cfg;
	d->is_broadcast = config_device_is_broadcast(cfg, line->cfg);
	list_init(&d->node);
	loop_timer_init(&d->backoff_timer, probe_due);
	take_settings(d);
	if ((rc = rack_add_attributes(d)) < 0 || (rc = make_tags(d)) < 0 ||
	    (line->cfg->type == CONFIG_LINE_INTERNAL && (rc = cells_create(d, &d->cells)) < 0) ||
	    (rc = make_groups(d)) < 0 || (rc = safe_device_init(d)) < 0 ||
	    (rc = topics_create(d, gateway)) < 0 || (rc = join_paces(d)) < 0) {
		device_destroy(d);
		return rc;
	}
	*out = d;
	return OK;
}

void device_forget_waits(struct device *d)
{
	for (size_t i = 0; d->tags && i < d->ntags; i++)
		pace_leave(&d->tags[i]);
	for (size_t i = 0; d->groups && i < d->cfg->ngroups; i++)
		if (d->groups[i].device)
			list_remove(&d->groups[i].unsent);
}

void device_destroy(struct device *d)
{
	if (!d)
		return;
	device_forget_waits(d);
	for (size_t i = 0; d->groups && i < d->cfg->ngroups; i++)
		plan_destroy(&d->groups[i].plan);
	for (size_t i = 0; d->tags && i < d->ntags; i++)
		free(d->tags[i].text);
	for (size_t i = 0; i < d->nextras; i++)
		free((void *)(uintptr_t)d->extras[i].name);
	refused_fini(&d->refused);
	safe_device_fini(d);
	cells_destroy(d->cells);
	free(d->topics);
	free(d->groups);
	free(d->tags);
	free(d->extras);
	free(d);
}

/* `cfg` is equal to the one in use, which is about to go. */
void device_repoint(struct device *d, const struct config_device *cfg)
{
	d->cfg = cfg;
	refused_clear(&d->refused); /* a reload is also how a user says: try again */
	for (size_t i = 0; i < cfg->ngroups; i++)
		d->groups[i].cfg = &cfg->groups[i];
	for (size_t i = 0; i < cfg->ntags; i++) {
		d->tags[i].cfg = &cfg->tags[i];
		if (cfg->tags[i].unit)
			d->tags[i].unit = cfg->tags[i].unit;
	}
	rack_repoint(d);
	if (d->cells)
		cells_repoint(d->cells);
}

/* ---- scans ---- */

static bool is_scanning(const struct group *g)
{
	for (size_t i = 0; i < g->plan.nblocks; i++)
		if (g->plan.blocks[i].is_pending || g->plan.blocks[i].is_in_flight)
			return true;
	return false;
}

/* A tag that was refused is bad for that, and asked for rarely. */
static bool is_wanted(struct group *g, const struct plan_block *b, uint64_t now)
{
	const struct refused_range *range;

	if (!b->is_refused)
		return b->silent_until <= now / SILENT_UNIT_MS;
	for (size_t i = b->first; i < b->first + b->nitems; i++)
		publish_bad(g->device, &g->device->tags[g->plan.items[i].tag], REASON_EXCEPTION);
	range = refused_tag(&g->device->refused, b->area, b->start, (uint32_t)b->start + b->count);
	return !range || refused_is_due(range, now);
}

/* What the device refused meanwhile, to whichever group, is planned around. Without memory the old plan serves on. */
static void replan(struct group *g, uint64_t now)
{
	struct refused *refused = &g->device->refused;

	refused_expire(refused, now);
	if (g->planned == refused->version && !g->plan.is_cut)
		return;
	if (plan_renew(&g->plan, refused) == OK)
		g->planned = refused->version;
}

void group_is_pending(struct group *g)
{
	g->may_wait = true;
	line_wake(g->device->line);
}

static void scan_begin(struct group *g)
{
	uint64_t now = loop_now_ms(loop_of(g->device));

	if (!is_scanning(g)) /* a probe that brings the device back is still in its block */
		replan(g, now);
	g->is_open = g->plan.nitems > 0;
	g->begun_at = now;
	for (size_t i = 0; i < g->plan.nblocks; i++)
		g->plan.blocks[i].is_pending = is_wanted(g, &g->plan.blocks[i], now);
	group_is_pending(g);
}

/* The device does not answer to it, but to others: it is not worth a time-out in each scan. */
void group_block_silent(struct group *g, size_t block)
{
	const struct device *d = g->device;
	struct plan_block *b = &g->plan.blocks[block];
	uint64_t wait = (uint64_t)d->backoff_first_ms << b->silences;

	b->attempts = 0;
	if (b->silences < BLOCK_DOUBLINGS_MAX)
		b->silences++;
	wait = wait < d->backoff_max_ms ? wait : d->backoff_max_ms;
	b->silent_until = (uint32_t)((loop_now_ms(loop_of(d)) + wait) / SILENT_UNIT_MS) + 1;
}

/* A block was read or refused. The scan it was of is done with the last one, and late when that took longer than an interval. */
void scan_progress(struct group *g)
{
	uint64_t now = loop_now_ms(loop_of(g->device)), took = now - g->begun_at;

	if (!g->is_open || is_scanning(g))
		return;
	g->is_open = false;
	scan_ended(&g->times, now);
	if (took > g->cfg->scan_ms && took - g->cfg->scan_ms > g->device->counters.late_ms)
		g->device->counters.late_ms = took - g->cfg->scan_ms;
	group_scanned(g);
	if (g->is_missed)
		loop_timer_set(loop_of(g->device), &g->timer, 0);
}

/*
 * A scan that is still going on is not joined by another: it counts as late, and the start that it missed is made up for as soon as
 * it is done, once, however many it were. So a wire of which more is asked than fits is never idle, no scan is done more often than
 * was asked, and a group that was late once is back on its grid.
 */
static void group_due(struct loop_timer *timer)
{
	struct group *g = container_of(timer, struct group, timer);
	struct loop *loop = loop_of(g->device);
	uint64_t now = loop_now_ms(loop);

	if (g->is_open && is_scanning(g)) { /* not what is only read once more after a write */
		g->device->counters.late++;
		g->times.late++;
		g->is_missed = true;
	} else {
		g->is_missed = false;
		scan_begin(g);
	}
	while (g->due <= now)
		g->due += g->cfg->scan_ms;
	loop_timer_set(loop, &g->timer, g->due - now);
}

/*
 * Begin to scan: everything at once now, so that values are there soon; then each group on its own grid (group.place).
 */
static void groups_start(struct device *d)
{
	struct loop *loop = loop_of(d);
	uint64_t now = loop_now_ms(loop);

	for (size_t i = 0; i < d->cfg->ngroups; i++) {
		struct group *g = &d->groups[i];
		uint64_t share = g->cfg->scan_ms - ((uint64_t)g->cfg->scan_ms * g->place >> 32);

		if (g->plan.nitems == 0)
			continue;
		scan_begin(g);
		g->due = now + share;
		loop_timer_set(loop, &g->timer, share);
	}
}

static void forget_block(struct plan_block *b)
{
	b->is_pending = false;
	b->attempts = b->silences = 0;
	b->silent_until = 0;
	plan_search_end(b);
}

static void groups_stop(struct device *d)
{
	for (size_t i = 0; i < d->cfg->ngroups; i++) {
		d->groups[i].is_open = d->groups[i].is_missed = false;
		scan_interrupted(&d->groups[i].times);
		group_flush_soon(&d->groups[i]);
		loop_timer_cancel(loop_of(d), &d->groups[i].timer);
		for (size_t b = 0; b < d->groups[i].plan.nblocks; b++)
			forget_block(&d->groups[i].plan.blocks[b]);
	}
}

static bool block_waits(const struct plan_block *b)
{
	return b->is_pending && !b->is_in_flight;
}

static bool group_waits(struct group *g)
{
	bool is_pending = false;

	for (size_t i = 0; g->may_wait && i < g->plan.nblocks; i++) {
		if (block_waits(&g->plan.blocks[i]))
			return true;
		is_pending = is_pending || g->plan.blocks[i].is_pending; /* and waits when its read is over */
	}
	g->may_wait = is_pending;
	return false;
}

static bool group_next_block(struct group *g, size_t *block)
{
	for (size_t i = 0; i < g->plan.nblocks; i++) {
		size_t b = (g->next_block + i) % g->plan.nblocks;

		if (!block_waits(&g->plan.blocks[b]))
			continue;
		g->next_block = b + 1;
		*block = b;
		return true;
	}
	return false;
}

bool device_waits(const struct device *d)
{
	for (size_t i = 0; d->state != DEVICE_OFFLINE && i < d->cfg->ngroups; i++)
		if (group_waits(&d->groups[i]))
			return true;
	return false;
}

static size_t count_blocks(const struct device *d)
{
	size_t total = 0;

	for (size_t i = 0; i < d->cfg->ngroups; i++)
		total += d->groups[i].plan.nblocks;
	return total;
}

bool device_has_blocks(const struct device *d, size_t n)
{
	return count_blocks(d) >= n;
}

static void block_at(struct device *d, size_t at, struct group **g, size_t *block)
{
	size_t i = 0;

	while (at >= d->groups[i].plan.nblocks)
		at -= d->groups[i++].plan.nblocks;
	*g = &d->groups[i];
	*block = at;
}

static unsigned block_bits(const struct plan_block *b)
{
	return b->count * (b->is_bits ? 1u : 16u);
}

static size_t smallest_block(struct device *d, size_t total)
{
	unsigned least = UINT_MAX;
	size_t best = 0;

	for (size_t at = 0; at < total; at++) {
		struct group *g;
		size_t b;

		block_at(d, at, &g, &b);
		if (block_bits(&g->plan.blocks[b]) >= least)
			continue;
		least = block_bits(&g->plan.blocks[b]);
		best = at;
	}
	return best;
}

/* Its smallest block, which is answered soonest; every other time another, because the device may not answer to that one. */
bool device_probe_block(struct device *d, struct group **g, size_t *block)
{
	size_t total = count_blocks(d), turn = d->next_probe++;

	if (total == 0)
		return false;
	block_at(d, turn % 2 ? turn / 2 % total : smallest_block(d, total), g, block);
	return true;
}

static uint64_t deadline(const struct group *g)
{
	return g->begun_at + g->cfg->scan_ms;
}

/* Does `a` go before `b`? */
static bool goes_first(const struct group *a, const struct group *b, bool is_late)
{
	return is_late ? a->turn_us < b->turn_us : deadline(a) < deadline(b);
}

static bool is_any_late(struct device *d)
{
	uint64_t now = loop_now_ms(loop_of(d));

	for (size_t i = 0; i < d->cfg->ngroups; i++)
		if (group_waits(&d->groups[i]) && deadline(&d->groups[i]) < now)
			return true;
	return false;
}

/* In turn where groups are equal. */
static struct group *group_in_turn(struct device *d)
{
	bool is_late = is_any_late(d);
	struct group *best = NULL;

	for (size_t i = 0; i < d->cfg->ngroups; i++) {
		struct group *g = &d->groups[(d->next_group + i) % d->cfg->ngroups];

		if (!group_waits(g))
			continue;
		g->turn_us = g->turn_us > d->group_turn_us ? g->turn_us : d->group_turn_us;
		if (!best || goes_first(g, best, is_late))
			best = g;
	}
	return best;
}

/*
 * Is it the device that is silent, or one block? A block that was not among the unanswered ones tells, wanted in this scan or not. True: there is one;
 * *g stays NULL when one is on the wire.
 */
static bool untried_block(struct device *d, struct group **g, size_t *block)
{
	uint64_t now = loop_now_ms(loop_of(d)) / SILENT_UNIT_MS;

	*g = NULL;
	for (size_t i = 0; i < d->cfg->ngroups; i++)
		for (size_t b = 0; b < d->groups[i].plan.nblocks; b++) {
			const struct plan_block *other = &d->groups[i].plan.blocks[b];

			if (other->attempts > 0 || other->is_refused || other->silent_until > now)
				continue;
			if (other->is_in_flight) {
				*g = NULL;
				return true;
			}
			if (!*g) {
				*g = &d->groups[i];
				*block = b;
			}
		}
	return *g != NULL;
}

bool device_ask_another(struct device *d)
{
	struct group *g;
	size_t b;

	if (!untried_block(d, &g, &b))
		return false;
	if (g) {
		g->plan.blocks[b].is_pending = true;
		group_is_pending(g);
	}
	return true;
}

/* Before a block that was not answered is asked again, another is; and the one in turn still waits. */
static void untried_first(struct device *d, struct group **g, size_t *block)
{
	struct group *other;
	size_t b;

	if (!untried_block(d, &other, &b) || !other)
		return;
	*g = other;
	*block = b;
}

bool device_next_block(struct device *d, struct group **g, size_t *block)
{
	struct group *next = group_in_turn(d);

	if (!next || !group_next_block(next, block))
		return false;
	if (next->turn_us > d->group_turn_us)
		d->group_turn_us = next->turn_us;
	d->next_group = (size_t)(next - d->groups) + 1;
	*g = next;
	if (d->failures > 0 && next->plan.blocks[*block].attempts > 0)
		untried_first(d, g, block);
	return true;
}

/* ---- states ---- */

static void enter(struct device *d, enum device_state state)
{
	d->state = state;
	d->since_ms = loop_wall_ms(loop_of(d));
	publish_status(d);
}

void device_error(struct device *d, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(d->last_error, sizeof(d->last_error), fmt, args);
	va_end(args);
}

void device_start(struct device *d)
{
	d->backoff_ms = d->backoff_first_ms;
	enter(d, DEVICE_CONNECTING);
	safe_device_joined(d);
	groups_start(d);
	if (d->cells)
		cells_start(d->cells);
}

void device_stop(struct device *d)
{
	groups_stop(d);
	if (d->cells)
		cells_stop(d->cells);
	loop_timer_cancel(loop_of(d), &d->backoff_timer);
	d->is_probe_due = false;
}

void device_online(struct device *d)
{
	bool was_offline = d->state == DEVICE_OFFLINE;

	d->backoff_ms = d->backoff_first_ms;
	loop_timer_cancel(loop_of(d), &d->backoff_timer);
	d->is_probe_due = d->is_probe_free = false;
	d->short_probes = 0;
	if (d->state == DEVICE_ONLINE)
		return;
	log_notice("field", "device \"%s\" on line \"%s\": online", d->cfg->name, d->line->cfg->name);
	enter(d, DEVICE_ONLINE);
	if (was_offline)
		groups_start(d);
}

void device_offline(struct device *d, enum reason reason)
{
	if (d->state == DEVICE_OFFLINE && d->reason == reason) {
		jobs_fail(d, "offline",
			  "offline"); /* to a device that is written without being asked first */
		return;
	}
	log_warning("field", "device \"%s\" on line \"%s\": offline: %s", d->cfg->name, d->line->cfg->name,
		    d->last_error);
	groups_stop(d);
	line_forget_device(d->line, d);
	d->reason = reason;
	d->failures = 0;
	d->was_forgiven = false;
	if (d->state == DEVICE_OFFLINE) {
		publish_status(d); /* for another reason, but offline since the same time */
	} else {
		d->is_probe_due =
			false; /* asked for by the line before this device had used up its attempts */
		enter(d, DEVICE_OFFLINE);
	}
	for (size_t i = 0; i < d->ntags; i++)
		publish_bad(d, &d->tags[i], reason);
	jobs_fail(d, reason == REASON_OFFLINE ? "offline" : "timeout", "offline");
}

/*
 * The next probe goes out when seven eighths of the back-off have passed, so that the connection and a read of each block
 * after it end within the back-off.
 */
void device_backoff(struct device *d)
{
	uint64_t wait = d->backoff_ms - d->backoff_ms / 8;

	loop_timer_set(loop_of(d), &d->backoff_timer, wait);
	d->backoff_ms = d->backoff_ms < d->backoff_max_ms / 2 ? d->backoff_ms * 2 : d->backoff_max_ms;
}
