#include "tools/store_clients.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "store/store.h"

#define SEED 1 /* whoever wrote the file may slow down its own import */

void store_clients_init(struct store_clients *t)
{
	*t = (struct store_clients){0};
	list_init(&t->all);
}

void store_clients_fini(struct store_clients *t)
{
	while (!list_empty(&t->all)) {
		struct store_client *c = container_of(t->all.next, struct store_client, node);

		list_remove(&c->node);
		free(c);
	}
	hmap_fini(&t->by_name);
	hmap_fini(&t->by_id);
}

static uint64_t id_hash(uint32_t id)
{
	return hash_bytes(SEED, &id, sizeof(id));
}

static void set_id(struct store_clients *t, struct store_client *c, uint32_t id)
{
	c->id = id;
	hmap_insert(&t->by_id, &c->by_id, id_hash(id));
	if (id > t->last_id)
		t->last_id = id;
}

int store_clients_add(struct store_clients *t, struct span name, uint32_t id, struct store_client **out)
{
	struct store_client *c = calloc(1, sizeof(*c) + name.len);

	if (!c)
		return ERR_NOMEM;
	c->next_seq = 1;
	c->len = name.len;
	memcpy(c->name, name.p, name.len);
	hmap_insert(&t->by_name, &c->by_name, hash_span(SEED, name));
	if (id)
		set_id(t, c, id);
	list_append(&t->all, &c->node);
	*out = c;
	return OK;
}

struct store_client *store_clients_find(struct store_clients *t, struct span name)
{
	uint64_t hash = hash_span(SEED, name);

	for (struct hmap_node *n = hmap_find(&t->by_name, hash); n; n = hmap_next(n)) {
		struct store_client *c = container_of(n, struct store_client, by_name);

		if (span_equal(store_client_name(c), name))
			return c;
	}
	return NULL;
}

struct store_client *store_clients_find_id(struct store_clients *t, uint32_t id)
{
	for (struct hmap_node *n = hmap_find(&t->by_id, id_hash(id)); n; n = hmap_next(n)) {
		struct store_client *c = container_of(n, struct store_client, by_id);

		if (c->id == id)
			return c;
	}
	return NULL;
}

int store_clients_number(struct store_clients *t, struct store_client *c)
{
	uint32_t id = t->last_id;

	if (id == STORE_SESSION_MAX) /* somebody has the highest: look for a gap */
		for (id = 0; store_clients_find_id(t, id + 1); id++)
			if (id + 1 == STORE_SESSION_MAX)
				return ERR_FULL;
	set_id(t, c, id + 1);
	return OK;
}
