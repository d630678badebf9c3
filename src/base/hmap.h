/*
 * Intrusive chained hash table: the node is embedded in what it holds, so an insertion never fails. When a
 * larger bucket array can't be had, chains get longer and it goes on. Not thread safe.
 */
#ifndef BASE_HMAP_H
#define BASE_HMAP_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct hmap_node {
	struct hmap_node *next;
	uint64_t hash;
};

struct hmap {
	struct hmap_node **buckets; /* NULL until the first growth: then `one` is the only bucket */
	struct hmap_node *one;
	size_t mask;
	size_t count;
};

static inline void hmap_fini(struct hmap *m)
{
	free(m->buckets);
	*m = (struct hmap){0};
}

static inline struct hmap_node **hmap_bucket(struct hmap *m, uint64_t hash)
{
	return m->buckets ? &m->buckets[hash & m->mask] : &m->one;
}

static inline void hmap_resize(struct hmap *m, size_t nbuckets)
{
	struct hmap_node **fresh = calloc(nbuckets, sizeof(struct hmap_node *));
	size_t old = m->buckets ? m->mask + 1 : 1;

	if (!fresh)
		return;
	for (size_t i = 0; i < old; i++) {
		struct hmap_node *n = m->buckets ? m->buckets[i] : m->one, *next;

		for (; n; n = next) {
			next = n->next;
			n->next = fresh[n->hash & (nbuckets - 1)];
			fresh[n->hash & (nbuckets - 1)] = n;
		}
	}
	free(m->buckets);
	m->buckets = fresh;
	m->one = NULL;
	m->mask = nbuckets - 1;
}

static inline void hmap_insert(struct hmap *m, struct hmap_node *n, uint64_t hash)
{
	struct hmap_node **b;

	if (m->count > m->mask)
		hmap_resize(m, m->mask < 8 ? 16 : 2 * (m->mask + 1));
	b = hmap_bucket(m, hash);
	n->hash = hash;
	n->next = *b;
	*b = n;
	m->count++;
}

/* The first node of this hash; compare its key, go on with hmap_next(). NULL: none. */
static inline struct hmap_node *hmap_find(struct hmap *m, uint64_t hash)
{
	struct hmap_node *n = *hmap_bucket(m, hash);

	while (n && n->hash != hash)
		n = n->next;
	return n;
}

static inline struct hmap_node *hmap_next(const struct hmap_node *n)
{
	struct hmap_node *next = n->next;

	while (next && next->hash != n->hash)
		next = next->next;
	return next;
}

/* `n` is in the map. */
static inline void hmap_remove(struct hmap *m, struct hmap_node *n)
{
	struct hmap_node **at = hmap_bucket(m, n->hash);

	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	n->next = NULL;
	m->count--;
}

/* Any node, for taking a map apart; NULL when it is empty. *from remembers the place, 0 at first. */
static inline struct hmap_node *hmap_any(struct hmap *m, size_t *from)
{
	if (!m->buckets)
		return m->one;
	while (*from <= m->mask && !m->buckets[*from])
		(*from)++;
	return *from <= m->mask ? m->buckets[*from] : NULL;
}

/* The node after `n`, in no particular order; NULL: there is none. Begins with hmap_any(); the map does not change meanwhile. */
static inline struct hmap_node *hmap_after(const struct hmap *m, const struct hmap_node *n)
{
	if (n->next || !m->buckets)
		return n->next;
	for (size_t i = (n->hash & m->mask) + 1; i <= m->mask; i++)
		if (m->buckets[i])
			return m->buckets[i];
	return NULL;
}

#endif
