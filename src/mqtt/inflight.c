#include "mqtt/inflight.h"

#include <stdlib.h>

#include "wire/mqtt.h"

#define FIRST_CAP 8u
#define CAP_MAX   65536u

static uint32_t slot_index(const struct inflight *f, uint16_t packet_id)
{
	return packet_id & (f->cap - 1);
}

static int64_t slots_bytes(const struct inflight *f)
{
	return f->cap ? budget_block(f->cap * sizeof(*f->slots)) : 0;
}

static bool inflight_grow(struct inflight *f)
{
	struct inflight fresh = *f;

	fresh.cap = f->cap ? 2 * f->cap : FIRST_CAP;
	if (fresh.cap > CAP_MAX)
		return false;
	fresh.slots = calloc(fresh.cap, sizeof(*fresh.slots));
	if (!fresh.slots)
		return false;
	for (uint32_t i = 0; i < f->cap; i++)
		if (f->slots[i].state != INFLIGHT_FREE)
			fresh.slots[slot_index(&fresh, f->slots[i].packet_id)] = f->slots[i];
	budget_count(f->budget, slots_bytes(&fresh) - slots_bytes(f));
	free(f->slots);
	*f = fresh;
	return true;
}

struct inflight_slot *inflight_add(struct inflight *f)
{
	struct inflight_slot *s;

	if (f->count >= MQTT_PACKET_IDS)
		return NULL;
	/* at most half full, so that an id with a free slot is near */
	if (2 * (f->count + 1) > f->cap && f->cap < CAP_MAX && !inflight_grow(f) && f->count >= f->cap)
		return NULL;
	/* an id that is not 0 and not in use: 3.1.1 [MQTT-2.3.1-4], 5.0 [MQTT-2.2.1-4] */
	do {
		if (++f->last_id == 0)
			f->last_id = 1;
		s = &f->slots[slot_index(f, f->last_id)];
	} while (s->state != INFLIGHT_FREE);
	*s = (struct inflight_slot){
		.state = INFLIGHT_PUBLISHED, .packet_id = f->last_id, .order = f->next_order++};
	f->count++;
	return s;
}

struct inflight_slot *inflight_put(struct inflight *f, uint16_t packet_id)
{
	struct inflight_slot *s;

	while (f->cap == 0 || f->slots[slot_index(f, packet_id)].state != INFLIGHT_FREE)
		if (!inflight_grow(f))
			return NULL;
	s = &f->slots[slot_index(f, packet_id)];
	*s = (struct inflight_slot){
		.state = INFLIGHT_PUBLISHED, .packet_id = packet_id, .order = f->next_order++};
	f->count++;
	return s;
}

struct inflight_slot *inflight_find(const struct inflight *f, uint16_t packet_id)
{
	struct inflight_slot *s;

	if (f->cap == 0)
		return NULL;
	s = &f->slots[slot_index(f, packet_id)];
	return s->state != INFLIGHT_FREE && s->packet_id == packet_id ? s : NULL;
}

static int64_t ids_bytes(const uint32_t *sub_ids)
{
	return sub_ids ? budget_block((sub_ids[0] + 1) * sizeof(*sub_ids)) : 0;
}

void inflight_set_ids(struct inflight *f, struct inflight_slot *s, uint32_t *sub_ids)
{
	budget_count(f->budget, ids_bytes(sub_ids));
	s->sub_ids = sub_ids;
}

void inflight_drop_ids(struct inflight *f, struct inflight_slot *s)
{
	budget_count(f->budget, -ids_bytes(s->sub_ids));
	free(s->sub_ids);
	s->sub_ids = NULL;
}

void inflight_remove(struct inflight *f, struct inflight_slot *s)
{
	msg_unref(s->msg);
	inflight_free_ids(f, s);
	*s = (struct inflight_slot){0};
	if (--f->count == 0 && f->cap > 64) {
		budget_count(f->budget, -slots_bytes(f));
		free(f->slots);
		f->slots = NULL;
		f->cap = 0;
	}
}

static int slot_order(const void *a, const void *b)
{
	uint64_t x = (*(struct inflight_slot *const *)a)->order,
		 y = (*(struct inflight_slot *const *)b)->order;

	return x < y ? -1 : x > y;
}

struct inflight_slot **inflight_sorted(const struct inflight *f)
{
	struct inflight_slot **list = f->count ? malloc(f->count * sizeof(struct inflight_slot *)) : NULL;
	uint32_t n = 0;

	if (!list)
		return NULL;
	for (uint32_t i = 0; i < f->cap; i++)
		if (f->slots[i].state != INFLIGHT_FREE)
			list[n++] = &f->slots[i];
	qsort(list, n, sizeof(struct inflight_slot *), slot_order);
	return list;
}

void inflight_clear(struct inflight *f)
{
	for (uint32_t i = 0; i < f->cap; i++) {
		msg_unref(f->slots[i].msg);
		inflight_free_ids(f, &f->slots[i]);
	}
	budget_count(f->budget, -slots_bytes(f));
	free(f->slots);
	*f = (struct inflight){.last_id = f->last_id, .budget = f->budget};
}
