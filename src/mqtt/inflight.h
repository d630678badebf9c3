/*
 * Messages sent with QoS 1 or 2 that are not acknowledged in full: a table by packet id, in which an id finds its slot
 * by its low bits. Ids are given in turn; one whose slot is taken is left out. Empty, it owns nothing.
 */
#ifndef MQTT_INFLIGHT_H
#define MQTT_INFLIGHT_H

#include "mqtt/msg.h"

enum inflight_state {
	INFLIGHT_FREE,
	INFLIGHT_PUBLISHED, /* PUBLISH sent: PUBACK or PUBREC is due */
	INFLIGHT_RELEASED,  /* PUBREL sent: PUBCOMP is due; the message is gone */
};

struct inflight_slot {
	struct msg *msg;
	uint32_t *sub_ids; /* as in struct queue_item */
	struct keep *keep; /* of a stored session (keep.h); the session's to free */
	uint64_t order;    /* in which they were sent */
	uint16_t packet_id;
	uint8_t state;
	uint8_t qos;
	bool retain;
	bool sent; /* to this client at least once, maybe */
};

struct inflight {
	struct inflight_slot *slots;
	uint32_t cap; /* power of two, or 0 */
	uint32_t count;
	uint64_t next_order;
	uint16_t last_id;
	struct budget_share *budget; /* where its memory counts; NULL: nowhere */
};

/* A free slot with a packet id (PUBLISHED, the rest for the caller to fill); NULL: out of memory or 65,535 are taken. */
struct inflight_slot *inflight_add(struct inflight *f);
/* The slot for this very id, which is free (after a restart). NULL: out of memory. */
struct inflight_slot *inflight_put(struct inflight *f, uint16_t packet_id);
/* The slot of an id, or NULL. */
struct inflight_slot *inflight_find(const struct inflight *f, uint16_t packet_id);
/* The slot, which has none, takes these identifiers (malloc'ed); or it lets go of those it has. */
void inflight_set_ids(struct inflight *f, struct inflight_slot *s, uint32_t *sub_ids);
void inflight_drop_ids(struct inflight *f, struct inflight_slot *s);
static inline void inflight_free_ids(struct inflight *f, struct inflight_slot *s)
{
	if (s->sub_ids) /* few have any */
		inflight_drop_ids(f, s);
}
/* Forget it; what it held is released. */
void inflight_remove(struct inflight *f, struct inflight_slot *s);
/* The slots in the order they were sent; count of them in a malloc'ed array; NULL: out of memory or none. */
struct inflight_slot **inflight_sorted(const struct inflight *f);
/* Release everything. */
void inflight_clear(struct inflight *f);

#endif
