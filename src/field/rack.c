/*
 * Devices on a line that is a rack: the attributes of their channels become tags beside those of the configuration, and what the
 * rack says of a channel becomes the quality of its value.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/io_config.h"
#include "field/internal.h"

static bool has_tag(const struct config_device *cfg, const char *name)
{
	for (size_t i = 0; i < cfg->ntags; i++)
		if (strcmp(cfg->tags[i].name, name) == 0)
			return true;
	return false;
}

/* Longest name of a channel and an attribute, in bytes. */
#define EXTRA_NAME_MAX (CONFIG_NAME_MAX * 4 + 32)

static bool is_attribute_of(const struct source_attribute *a, const struct config_tag *channel)
{
	return a->areas >> channel->address.area & 1;
}

/* A value of the channel at another time is scaled and published as the channel is; others stand for themselves. */
static struct config_tag attribute_tag(const struct device *d, const struct config_tag *channel,
				       const struct source_attribute *a)
{
	struct config_tag tag = {.scale = 1, .group = channel->group, .group_name = channel->group_name};

	if (a->has_unit)
		tag = *channel;
	tag.address = (struct config_address){
		.area = channel->address.area,
		.number = (uint16_t)(channel->address.number * SOURCE_CHANNEL_REGS + a->offset),
		.bit = -1};
	tag.type = a->type;
	tag.order = value_type_default_order(a->type);
	tag.length = a->length;
	tag.writable = a->is_writable;
	tag.min = a->min < a->max ? a->min : -INFINITY;
	tag.max = a->min < a->max ? a->max : INFINITY;
	tag.policy = d->cfg->groups[channel->group].policy; /* a topic of the channel alone is not for it */
	return tag;
}

static size_t count_attributes(const struct device *d)
{
	const struct source *source = d->line->source;
	size_t n = 0;

	for (size_t i = 0; i < d->cfg->ntags; i++)
		for (size_t k = 0; k < source->nattributes; k++)
			n += is_attribute_of(&source->attributes[k], &d->cfg->tags[i]);
	return n;
}

/* The next extra; it keeps the name that it has. */
static int set_extra(struct device *d, size_t *n, const struct config_tag *channel,
		     const struct source_attribute *a)
{
	struct config_tag *extra = &d->extras[*n];
	char text[EXTRA_NAME_MAX];
	const char *name = extra->name;

	snprintf(text, sizeof(text), "%s.%s", channel->name, a->name);
	if (has_tag(d->cfg, text)) /* the user has a tag of that name: theirs */
		return OK;
	if (!name && !(name = strdup(text)))
		return ERR_NOMEM;
	*extra = attribute_tag(d, channel, a);
	extra->name = name;
	(*n)++;
	return OK;
}

static int set_extras(struct device *d, size_t *n)
{
	const struct source *source = d->line->source;
	int rc;

	for (size_t i = 0; i < d->cfg->ntags; i++)
		for (size_t k = 0; k < source->nattributes; k++)
			if (is_attribute_of(&source->attributes[k], &d->cfg->tags[i]) &&
			    (rc = set_extra(d, n, &d->cfg->tags[i], &source->attributes[k])) < 0)
				return rc;
	return OK;
}

int rack_add_attributes(struct device *d)
{
	size_t n = count_attributes(d);

	if (n == 0)
		return OK;
	d->extras = calloc(n, sizeof(*d->extras));
	if (!d->extras)
		return ERR_NOMEM;
	return set_extras(d, &d->nextras);
}

/* The configuration is equal to the one before, so no extra comes or goes; but what they point to is of the new one. */
void rack_repoint(struct device *d)
{
	size_t n = 0;

	(void)!set_extras(d, &n);
	for (size_t i = 0; i < d->nextras; i++)
		rack_place_tag(d, &d->tags[d->cfg->ntags + i], true);
}

static const char *unit_of(const struct device *d, enum config_area area, uint16_t number)
{
	const struct source *source = d->line->source;

	return source->ops->channel_unit ? source->ops->channel_unit(source, area, number) : NULL;
}

/* The channel's own unit, unless the configuration names another; of what is not in its unit, none. */
static const char *extra_unit(const struct device *d, const struct config_tag *extra)
{
	uint16_t offset = extra->address.number % SOURCE_CHANNEL_REGS;
	const struct source *source = d->line->source;

	for (size_t k = 0; k < source->nattributes; k++)
		if (is_attribute_of(&source->attributes[k], extra) &&
		    source->attributes[k].offset == offset && !source->attributes[k].has_unit)
			return NULL;
	if (extra->unit)
		return extra->unit;
	return unit_of(d, extra->address.area, extra->address.number / SOURCE_CHANNEL_REGS);
}

void rack_place_tag(const struct device *d, struct tag *t, bool is_extra)
{
	const struct config_address *a = &t->cfg->address;

	if (!config_area_is_rack(a->area))
		return;
	if (is_extra) {
		t->unit = extra_unit(d, t->cfg);
		return;
	}
	if (!t->unit)
		t->unit = unit_of(d, a->area, a->number);
	t->start = (uint16_t)(a->number * SOURCE_CHANNEL_REGS);
}

bool tag_is_partial(const struct tag *t)
{
	return !t->is_bits && !config_area_is_rack(t->cfg->address.area) &&
	       modbus_format_is_partial(&t->format);
}

void rack_judge(const struct device *d, const struct tag *t, struct tag_sample *s)
{
	const struct source *source = d->line->source;
	enum config_area area = t->cfg->address.area;
	enum reason reason = REASON_NONE;
	enum quality quality;

	if (!source->ops->channel_quality || t->start % SOURCE_CHANNEL_REGS != 0 ||
	    !config_area_is_rack(area))
		return;
	quality = source->ops->channel_quality(source, area, t->start / SOURCE_CHANNEL_REGS, &reason);
	if (quality == QUALITY_GOOD)
		return;
	s->quality = quality;
	s->reason = reason;
	if (quality == QUALITY_BAD)
		s->value = tag_none();
}
