/*
 * Which ids of stored sessions are taken. For all threads; a mutex, taken when sessions come and go.
 */
#ifndef STORE_SESSION_IDS_H
#define STORE_SESSION_IDS_H

#include <pthread.h>
#include <stdint.h>

#include "store/store.h"

#define SESSION_IDS_PAGE \
	(1u << 15) /* ids whose bits are in one piece of memory, made when the first of them is taken */
#define SESSION_IDS_PAGES ((STORE_SESSION_MAX + 1) / SESSION_IDS_PAGE)

struct session_ids {
	pthread_mutex_t mutex;
	uint64_t *page[SESSION_IDS_PAGES];
	uint32_t taken[SESSION_IDS_PAGES];
	uint32_t
		next; /* where the search for a free one goes on, so that an id is given anew as late as possible */
};

void session_ids_init(struct session_ids *ids);
void session_ids_fini(struct session_ids *ids);
/* It is in use. ERR_NOMEM, ERR_RANGE. */
MUST_USE int session_ids_mark(struct session_ids *ids, uint32_t id);
/* A free one. ERR_FULL, ERR_NOMEM. */
MUST_USE int session_ids_take(struct session_ids *ids, uint32_t *id);
/* It is free again; one that is not taken stays so. */
void session_ids_give(struct session_ids *ids, uint32_t id);

#endif
