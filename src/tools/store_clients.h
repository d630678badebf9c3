/*
 * Client ids of the sessions of a store, by name and by number, in the order in which they were added.
 */
#ifndef TOOLS_STORE_CLIENTS_H
#define TOOLS_STORE_CLIENTS_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/hmap.h"
#include "base/list.h"

struct store_client {
	struct hmap_node by_name, by_id;
	struct list node;
	uint32_t id;       /* of its session in the store; 0: it has none */
	uint64_t next_seq; /* where its next row goes */
	bool is_in_file;   /* the import has a session of this name */
	bool is_left;      /* ...which is not taken: the one that is there stays */
	size_t len;
	uint8_t name[];
};

struct store_clients {
	struct hmap by_name, by_id;
	struct list all;
	uint32_t last_id; /* the highest */
};

void store_clients_init(struct store_clients *t);
void store_clients_fini(struct store_clients *t);
/* ERR_NOMEM. `id` 0: found by name only. */
MUST_USE int store_clients_add(struct store_clients *t, struct span name, uint32_t id,
			       struct store_client **out);
/* NULL: it is not there. */
struct store_client *store_clients_find(struct store_clients *t, struct span name);
struct store_client *store_clients_find_id(struct store_clients *t, uint32_t id);
/* Give it an id that no other has. ERR_FULL: there is none. */
MUST_USE int store_clients_number(struct store_clients *t, struct store_client *c);

static inline struct span store_client_name(const struct store_client *c)
{
	return span_of(c->name, c->len);
}

#endif
