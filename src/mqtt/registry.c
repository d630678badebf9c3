#include "mqtt/registry.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/hmap.h"
#include "base/list.h"

#define STRIPES 64u

struct entry {
	struct hmap_node node;
	uint16_t worker;
	uint16_t len;
	uint8_t id[];
};

struct registry {
	uint64_t seed;
	struct stripe {
		pthread_mutex_t mutex;
		struct hmap entries;
	} stripes[STRIPES];
};

int registry_create(uint64_t seed, struct registry **out)
{
	struct registry *r = calloc(1, sizeof(*r));

	*out = r;
	if (!r)
		return ERR_NOMEM;
	r->seed = seed;
	for (unsigned i = 0; i < STRIPES; i++)
		pthread_mutex_init(&r->stripes[i].mutex, NULL);
	return OK;
}

void registry_destroy(struct registry *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < STRIPES; i++) {
		struct stripe *s = &r->stripes[i];
		struct hmap_node *n;
		size_t from = 0;

		while ((n = hmap_any(&s->entries, &from))) {
			hmap_remove(&s->entries, n);
			free(container_of(n, struct entry, node));
		}
		hmap_fini(&s->entries);
		pthread_mutex_destroy(&s->mutex);
	}
	free(r);
}

/* The stripe is chosen by other bits than the bucket in it. */
static struct stripe *stripe_of(struct registry *r, uint64_t hash)
{
	return &r->stripes[(hash >> 56) % STRIPES];
}

static struct entry *entry_find(struct stripe *s, uint64_t hash, struct span id)
{
	struct hmap_node *n = hmap_find(&s->entries, hash);

	for (; n; n = hmap_next(n)) {
		struct entry *e = container_of(n, struct entry, node);

		if (span_equal(span_of(e->id, e->len), id))
			return e;
	}
	return NULL;
}

static struct entry *entry_add(struct stripe *s, uint64_t hash, struct span id, uint16_t worker)
{
	struct entry *e = malloc(sizeof(*e) + id.len);

	if (!e)
		return NULL;
	e->worker = worker;
	e->len = (uint16_t)id.len;
	if (id.len)
		memcpy(e->id, id.p, id.len);
	hmap_insert(&s->entries, &e->node, hash);
	return e;
}

int registry_claim(struct registry *r, struct span client_id, uint16_t mine, uint16_t *worker)
{
	uint64_t hash = hash_span(r->seed, client_id);
	struct stripe *s = stripe_of(r, hash);
	struct entry *e;

	pthread_mutex_lock(&s->mutex);
	e = entry_find(s, hash, client_id);
	if (!e)
		e = entry_add(s, hash, client_id, mine);
	*worker = e ? e->worker : mine;
	pthread_mutex_unlock(&s->mutex);
	return e ? OK : ERR_NOMEM;
}

void registry_release(struct registry *r, struct span client_id, uint16_t mine)
{
	uint64_t hash = hash_span(r->seed, client_id);
	struct stripe *s = stripe_of(r, hash);
	struct entry *e;

	pthread_mutex_lock(&s->mutex);
	e = entry_find(s, hash, client_id);
	if (e && e->worker == mine) {
		hmap_remove(&s->entries, &e->node);
		free(e);
	}
	pthread_mutex_unlock(&s->mutex);
}
