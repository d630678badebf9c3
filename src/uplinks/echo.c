#include "uplinks/echo.h"

#include "base/hash.h"

void echo_init(struct echo *e, uint64_t seed)
{
	*e = (struct echo){.seed = seed};
}

static uint64_t hash_of(const struct echo *e, struct span topic, struct span payload)
{
	return hash_span(hash_span(e->seed, topic), payload) | 1;
}

void echo_add(struct echo *e, struct span topic, struct span payload, uint64_t now_ms)
{
	e->ring[e->put++ % ECHO_ENTRIES] =
		(struct echo_entry){.hash = hash_of(e, topic, payload), .at_ms = now_ms};
}

static void forget_old(struct echo *e, uint64_t now_ms)
{
	if (e->put - e->first > ECHO_ENTRIES)
		e->first = e->put - ECHO_ENTRIES;
	for (; e->first != e->put; e->first++) {
		const struct echo_entry *entry = &e->ring[e->first % ECHO_ENTRIES];

		if (entry->hash && now_ms - entry->at_ms <= ECHO_MS)
			return;
	}
}

/* From the oldest on: copies come back in the order in which they were sent, so that mostly the first is the one. */
bool echo_take(struct echo *e, struct span topic, struct span payload, uint64_t now_ms)
{
	uint64_t hash = hash_of(e, topic, payload);

	forget_old(e, now_ms);
	for (uint32_t i = e->first; i != e->put; i++) {
		struct echo_entry *entry = &e->ring[i % ECHO_ENTRIES];

		if (entry->hash != hash)
			continue;
		entry->hash = 0;
		return true;
	}
	return false;
}
