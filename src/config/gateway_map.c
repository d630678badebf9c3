/*
 * Where each tag lies in the Modbus view when nobody says it: in order of the configuration, each device from the next multiple of
 * `room` on, so that tags that come at the end of a device move no other.
 */
#include <stdlib.h>

#include "config/gateway_check.h"

#define ADDRESSES 65536u
#define TIME_TEXT 24u /* "2026-01-31T12:00:00.000Z" */

bool gateway_map_is_bits(enum config_area area)
{
	return area == CONFIG_AREA_COIL || area == CONFIG_AREA_DISCRETE;
}

/*
 * The type that holds what the tag is published as. What is scaled has a fraction: a float32 holds 16 bits and a scale exactly
 * enough, a float64 the rest. An enumeration is shown as its number, a date-time as the text that is published.
 */
static enum value_type type_of(const struct config_tag *t)
{
	const struct value_type_info *info = value_type_info(t->type);
	bool is_scaled = t->scale != 1 || t->offset != 0 || t->map || t->scale_tag_name;

	if (info->kind == VALUE_KIND_TIME)
		return VALUE_TYPE_STRING;
	if (is_scaled && !t->nlabels && info->bits > 1 && t->type != VALUE_TYPE_FLOAT32)
		return info->bits > 16 ? VALUE_TYPE_FLOAT64 : VALUE_TYPE_FLOAT32;
	switch (t->type) {
	case VALUE_TYPE_INT8:
		return VALUE_TYPE_INT16;
	case VALUE_TYPE_UINT8:
	case VALUE_TYPE_BCD16:
		return VALUE_TYPE_UINT16;
	case VALUE_TYPE_BCD32:
		return VALUE_TYPE_UINT32;
	default:
		return t->type;
	}
}

struct config_place gateway_map_place(const struct config_modbus_view *view, const struct config_tag *tag)
{
	bool is_swapped = byte_order_info((enum byte_order)view->order)->swap_bytes;
	bool is_time = value_type_info(tag->type)->kind == VALUE_KIND_TIME;
	struct config_place p = {
		.type = type_of(tag), .length = is_time ? TIME_TEXT : tag->length, .count = 1};

	if (p.type == VALUE_TYPE_BOOL) {
		p.area = tag->writable ? CONFIG_AREA_COIL : CONFIG_AREA_DISCRETE;
		p.order = BYTE_ORDER_AB;
		return p;
	}
	p.area = tag->writable ? CONFIG_AREA_HOLDING : CONFIG_AREA_INPUT;
	p.count = (uint16_t)value_type_info(p.type)->registers;
	p.order = (enum byte_order)view->order;
	if (!p.count) {
		p.count = (uint16_t)((p.length + 1) / 2);
		p.order = is_swapped ? BYTE_ORDER_BA : BYTE_ORDER_AB;
	}
	return p;
}

static int compare(const void *a, const void *b)
{
	const struct config_place *p = a, *q = b;
	bool p_bits = gateway_map_is_bits(p->area), q_bits = gateway_map_is_bits(q->area);

	if (p_bits != q_bits)
		return p_bits ? -1 : 1;
	return p->address < q->address ? -1 : p->address > q->address;
}

bool gateway_map_sort(struct config_place *places, size_t n, size_t *at)
{
	qsort(places, n, sizeof(*places), compare);
	for (size_t i = 1; i < n; i++) {
		if (gateway_map_is_bits(places[i].area) != gateway_map_is_bits(places[i - 1].area) ||
		    places[i].address >= places[i - 1].address + (uint32_t)places[i - 1].count)
			continue;
		*at = i;
		return true;
	}
	return false;
}

static uint32_t round_up(uint32_t n, uint32_t room)
{
	return (n + room - 1) / room * room;
}

/* The tags of one device, from next[is it of bits] on. False: there are no more addresses. */
static bool place_device(struct config_modbus_view *v, const struct config_device *d, size_t device,
			 uint32_t next[2])
{
	const uint32_t from[2] = {next[0], next[1]};

	for (size_t i = 0; i < d->ntags; i++) {
		struct config_place p = gateway_map_place(v, &d->tags[i]);
		uint32_t *at = &next[gateway_map_is_bits(p.area)];

		if (*at + p.count > ADDRESSES)
			return false;
		p.device = device;
		p.tag = i;
		p.address = (uint16_t)*at;
		*at += p.count;
		v->places[v->nplaces++] = p;
	}
	/* Kept free for a device that has none, too: its first bit or register moves no other. */
	next[0] = round_up(next[0] > from[0] ? next[0] : from[0] + 1, v->room);
	next[1] = round_up(next[1] > from[1] ? next[1] : from[1] + 1, v->room);
	return true;
}

int gateway_map_make(struct checker *c, const struct doc_node *view)
{
	struct config_modbus_view *v = &c->cfg->views.modbus;
	uint32_t next[2] = {0, 0};
	size_t ntags = 0, at;

	for (size_t i = 0; i < c->cfg->ndevices; i++)
		ntags += c->cfg->devices[i].ntags;
	v->places = arena_array(c->r->arena, ntags, sizeof(*v->places));
	if (!v->places)
		return ERR_NOMEM;
	for (size_t i = 0; i < c->cfg->ndevices; i++) {
		if (place_device(v, &c->cfg->devices[i], i, next))
			continue;
		schema_fault(c->r, view,
			     "found more tags than the 65536 registers and bits hold, allowed: a smaller "
			     "room, or a map that is a file with the tags to be seen");
		return OK;
	}
	(void)gateway_map_sort(v->places, v->nplaces, &at);
	return OK;
}
