/*
 * Retained messages of the whole broker, read without locks.
 *
 * A topic that has one owns a slot, a word in memory that never moves; its node of a topic tree points to the slot. A slot is
 * replaced by compare-and-set, and each change of a topic has a higher stamp than all before, clearing it included, so that
 * everyone agrees which is the newest: so does the disk, where changes come in any order. Slots are numbered: who wants very many values walks the numbers, a few per turn, and holds
 * nothing meanwhile.
 *
 * Values are good until the caller's next quiescent state, or as long as they are referenced.
 */
#ifndef MQTT_RETAINED_H
#define MQTT_RETAINED_H

#include "mqtt/msg.h"
#include "mqtt/topic_tree.h"

/* Immutable. There may be a million of them: each byte counts. */
struct retained {
	struct epoch_node retired;
	struct retained_store *store;
	uint64_t number; /* as in struct publication */
	uint64_t publisher;
	uint64_t stamp : 56;
	uint64_t qos : 2;
	uint64_t expires : 1, has_blob : 1;
	uint64_t limited : 1;  /* a client's: it counts in the limits, and may be refused */
	_Atomic uint32_t refs; /* the store's, and those of feeds (feed.c) */
	uint32_t slot;         /* stays the same until the topic is cleared */
	uint32_t props_len, payload_len;
	uint16_t topic_len;
	uint8_t origin;
	uint8_t bytes[]; /* topic, props, when it expires (u64), then the blob's address or the payload */
};

struct retained_limits { /* of values that are `limited`; 0: none */
	uint64_t messages;
	uint64_t bytes; /* topics, properties and payloads together */
};

enum retained_from {
	RETAINED_OWN,    /* the gateway says it: not limited */
	RETAINED_CLIENT, /* refused when a limit is reached */
	RETAINED_ABSENT, /* as from disk, but only where there is no value: else ERR_EXISTS */
	RETAINED_DISK, /* a client's, from an earlier run: it counts, but what was kept is not lost to a lower limit */
};

/* What a change was. */
struct retained_change {
	uint64_t stamp;
	bool of_client; /* the value that was there was a client's */
};

struct retained_store;

MUST_USE int retained_create(uint64_t seed, const struct retained_limits *limits,
			     struct retained_store **out);
/* Its values count in `b` from now on, while there are none. */
void retained_count_in(struct retained_store *r, struct budget *b);
/*
 * Stamps are above `last` from now on, and of all topics together they grow with time; before anything is set. Without this call,
 * they count the changes of a topic while it has a value. Called again, the higher of both counts.
 */
void retained_begin_stamps(struct retained_store *r, uint64_t last);
void retained_destroy(struct retained_store *r); /* accepts NULL */

/*
 * Make a copy of p the value of the topic. ERR_NOMEM; ERR_FULL: a limit is reached; ERR_EXISTS: as `from` says. Then nothing changed.
 */
MUST_USE int retained_set(struct retained_store *r, struct epoch_reader *me, const struct topic_levels *topic,
			  const struct publication *p, enum retained_from from,
			  struct retained_change *change);
/*
 * Forget the topic's value. Was there none, it is a change all the same: another thread may have cleared it a moment ago. ERR_NOMEM
 * only then, and only when another one is about to set it.
 */
MUST_USE int retained_clear(struct retained_store *r, struct epoch_reader *me,
			    const struct topic_levels *topic, struct retained_change *change);
/* The value now, or NULL. */
struct retained *retained_get(const struct retained_store *r, const struct topic_levels *topic);

struct retained *retained_ref(struct retained *v);
void retained_unref(struct retained *v); /* accepts NULL */
/* What it counts in limits: topic, properties and payload. */
uint64_t retained_cost(const struct retained *v);
struct span retained_topic(const struct retained *v);
uint64_t retained_expires_ms(const struct retained *v); /* monotonic; 0: never */
/* A view of v; it borrows v. */
void retained_view(const struct retained *v, struct publication *p);

/*
 * All values that a filter matches, each passed to `found`. Without recursion; needs memory for the path. The
 * nodes that were visited are added to *visited. ERR_NOMEM, ERR_FULL: it would visit more than `most`; or what `found` returned
 * below 0: the walk ends there.
 */
MUST_USE int retained_match(struct retained_store *r, const struct topic_levels *filter, uint64_t most,
			    int (*found)(void *arg, struct retained *value), void *arg, uint64_t *visited);

/*
 * Slots are numbered from 0; those from retained_slots() on were never used. A slot without value: NULL. A value that was there
 * all the time is found in the same slot.
 */
uint32_t retained_slots(const struct retained_store *r);
struct retained *retained_at(const struct retained_store *r, uint32_t slot);

/* Exact when nobody is changing them. */
uint64_t retained_count(const struct retained_store *r);
/* Bytes of their payloads. */
uint64_t retained_payload(const struct retained_store *r);
uint64_t retained_bytes(const struct retained_store *r);

/*
 * Look at `most` more slots and forget what expired, each told to `gone` with the stamp of that change; `scratch` has room for
 * the levels of any topic. Another thread may be at it: then nothing is done. false: nothing that is stored expires.
 */
bool retained_sweep(struct retained_store *r, struct epoch_reader *me, uint64_t now_ms, uint32_t most,
		    struct topic_levels *scratch,
		    void (*gone)(void *arg, const struct retained *v, uint64_t stamp), void *arg);
/* Housekeeping, once per loop turn. */
void retained_prune(struct retained_store *r, struct epoch_reader *me);

#endif
