#include "field/capacity.h"

#include <stdio.h>
#include <stdlib.h>

#include "field/internal.h"

#define FIXED_GAP_US    1750u
#define FIXED_GAP_BAUD  19200u
#define REQUEST_BYTES   8u
#define ANSWER_OVERHEAD 5u
#define RTU_EXTRA_BITS  2u /* start and stop; data and parity come to it */
#define PER_MILLION     1000000u
#define GAP_WIDEST      124u

/* What one group asks in each of its scans. */
struct demand {
	const struct config_device *device;
	const struct config_group *group;
	unsigned requests, chars;
	unsigned joined; /* requests, if it read along whatever lies between its tags */
	uint64_t silence_us;
};

struct demands {
	const struct config_line *line;
	struct demand *of;
	size_t n;
};

/* ---- from tags to bytes ---- */

static size_t items_of(const struct config_device *dev, size_t group, struct plan_item *items)
{
	size_t n = 0;

	for (size_t i = 0; i < dev->ntags; i++) {
		struct tag t = {0};

		if (dev->tags[i].group != group)
			continue;
		tag_init(&t, &dev->tags[i]);
		items[n++] = (struct plan_item){.area = (uint8_t)dev->tags[i].address.area,
						.is_bits = t.is_bits,
						.start = t.start,
						.count = t.count,
						.tag = (uint32_t)i};
	}
	return n;
}

/* Characters of a frame that has so many bytes in RTU: ASCII has two for each, a checksum of one byte, and three around them. */
static unsigned chars_of(const struct config_line *line, unsigned bytes)
{
	return line->mode == CONFIG_MODE_ASCII ? 2 * (bytes - 1) + 3 : bytes;
}

static void add_block(struct demand *d, const struct config_line *line, const struct plan_block *b)
{
	unsigned data = b->is_bits ? (b->count + 7u) / 8 : 2u * b->count;

	d->requests++;
	d->chars += chars_of(line, REQUEST_BYTES) + chars_of(line, ANSWER_OVERHEAD + data);
}

static int find_demand(const struct config_line *line, const struct config_device *dev, size_t group,
		       struct plan_item *items, struct demand *d)
{
	const struct refused nothing = {0};
	struct plan_rules rules = {
		.max_gap = dev->max_gap, .max_block = dev->max_block, .one_by_one = dev->one_by_one};
	size_t n = items_of(dev, group, items);
	struct plan plan;
	int rc;

	*d = (struct demand){.device = dev,
			     .group = &dev->groups[group],
			     .silence_us = (uint64_t)(line->silence_ms + dev->silence_ms) * 1000};
	if ((rc = plan_create(&plan, items, n, &rules, &nothing)) < 0)
		return rc;
	for (size_t i = 0; i < plan.nblocks; i++)
		add_block(d, line, &plan.blocks[i]);
	plan_destroy(&plan);
	rules.max_gap = GAP_WIDEST;
	if ((rc = plan_create(&plan, items, n, &rules, &nothing)) < 0)
		return rc;
	d->joined = (unsigned)plan.nblocks;
	plan_destroy(&plan);
	return OK;
}

/* ---- from bytes to time ---- */

static unsigned char_bits(const struct config_line *line)
{
	return RTU_EXTRA_BITS - 1u + (line->data_bits ? line->data_bits : 8u) +
	       (line->parity != CONFIG_PARITY_NONE) + (line->stop_bits ? line->stop_bits : 1u);
}

static uint64_t time_us(const struct config_line *line, const struct demand *d, uint32_t baud)
{
	uint64_t char_ns = (uint64_t)char_bits(line) * PER_MILLION * 1000 / baud;
	uint64_t gap_us = baud > FIXED_GAP_BAUD ? FIXED_GAP_US : char_ns * 7 / 2 / 1000;

	return d->chars * char_ns / 1000 + d->requests * (gap_us + CAPACITY_RESPONSE_US + d->silence_us);
}

/* Millionths of the time. */
static uint64_t load_at(const struct demands *all, uint32_t baud)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < all->n; i++)
		sum += time_us(all->line, &all->of[i], baud) * 1000 / all->of[i].group->scan_ms;
	return sum;
}

static const struct demand *largest(const struct demands *all, uint32_t baud)
{
	const struct demand *most = &all->of[0];
	uint64_t load, most_load = 0;

	for (size_t i = 0; i < all->n; i++) {
		load = time_us(all->line, &all->of[i], baud) * 1000 / all->of[i].group->scan_ms;
		if (load < most_load)
			continue;
		most_load = load;
		most = &all->of[i];
	}
	return most;
}

/* ---- in words ---- */

/* The slowest usual rate at which it would fit; 0: none. */
static uint32_t fitting_baud(const struct demands *all)
{
	static const uint32_t usual[] = {4800, 9600, 19200, 38400, 57600, 115200, 230400};

	for (size_t i = 0; i < sizeof(usual) / sizeof(*usual); i++)
		if (usual[i] > all->line->baud && load_at(all, usual[i]) <= PER_MILLION)
			return usual[i];
	return 0;
}

static void describe(const struct demands *all, uint64_t load, char *text, size_t size)
{
	const struct config_line *line = all->line;
	const struct demand *most = largest(all, line->baud);
	uint32_t faster = fitting_baud(all);
	char join[96] = "", baud[48] = "";

	if (most->joined < most->requests)
		snprintf(join, sizeof(join), ", join its %u requests into %u (max_gap)", most->requests,
			 most->joined);
	if (faster)
		snprintf(baud, sizeof(baud), ", or use %u baud", (unsigned)faster);
	snprintf(text, size,
		 "line %s: its scans ask for %u %% of the time that %u baud have; group %s of %s alone asks "
		 "for %u ms every "
		 "%u ms: scan it slower%s%s",
		 line->name, (unsigned)((load + 9999) / 10000), (unsigned)line->baud, most->group->name,
		 most->device->name, (unsigned)((time_us(line, most, line->baud) + 999) / 1000),
		 (unsigned)most->group->scan_ms, join, baud);
}

static size_t count_groups(const struct gateway_config *cfg, size_t line, size_t *tags)
{
	size_t n = 0;

	*tags = 0;
	for (size_t i = 0; i < cfg->ndevices; i++) {
		if (cfg->devices[i].line != line)
			continue;
		n += cfg->devices[i].ngroups;
		*tags = cfg->devices[i].ntags > *tags ? cfg->devices[i].ntags : *tags;
	}
	return n;
}

static int find_demands(const struct gateway_config *cfg, size_t line, struct plan_item *items,
			struct demands *all)
{
	int rc = OK;

	for (size_t i = 0; i < cfg->ndevices && rc == OK; i++) {
		const struct config_device *dev = &cfg->devices[i];

		for (size_t g = 0; dev->line == line && g < dev->ngroups && rc == OK; g++)
			rc = find_demand(all->line, dev, g, items, &all->of[all->n++]);
	}
	return rc;
}

static int check_line(const struct gateway_config *cfg, size_t line, void (*say)(void *arg, const char *text),
		      void *arg)
{
	struct demands all = {.line = &cfg->lines[line]};
	size_t tags, groups = count_groups(cfg, line, &tags);
	struct plan_item *items;
	char text[CAPACITY_TEXT_MAX];
	uint64_t load;
	int rc = ERR_NOMEM;

	if (!all.line->baud || groups == 0)
		return OK;
	all.of = calloc(groups, sizeof(*all.of));
	items = calloc(tags + 1, sizeof(*items));
	if (all.of && items)
		rc = find_demands(cfg, line, items, &all);
	if (rc == OK && (load = load_at(&all, all.line->baud)) > PER_MILLION) {
		describe(&all, load, text, sizeof(text));
		say(arg, text);
	}
	free(all.of);
	free(items);
	return rc;
}

int capacity_check(const struct gateway_config *cfg, void (*say)(void *arg, const char *text), void *arg)
{
	int rc = OK;

	for (size_t i = 0; i < cfg->nlines && rc == OK; i++)
		rc = check_line(cfg, i, say, arg);
	return rc;
}
