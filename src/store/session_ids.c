#include "store/session_ids.h"

#include <stdlib.h>

void session_ids_init(struct session_ids *ids)
{
	*ids = (struct session_ids){.next = 1};
	pthread_mutex_init(&ids->mutex, NULL);
}

void session_ids_fini(struct session_ids *ids)
{
	for (uint32_t p = 0; p < SESSION_IDS_PAGES; p++)
		free(ids->page[p]);
	pthread_mutex_destroy(&ids->mutex);
}

static uint64_t *word_of(struct session_ids *ids, uint32_t id)
{
	uint64_t *page = ids->page[id / SESSION_IDS_PAGE];

	return page ? &page[id % SESSION_IDS_PAGE / 64] : NULL;
}

static bool is_taken(struct session_ids *ids, uint32_t id)
{
	const uint64_t *word = word_of(ids, id);

	return word && *word >> (id % 64) & 1;
}

static int mark(struct session_ids *ids, uint32_t id)
{
	uint32_t p = id / SESSION_IDS_PAGE;

	if (is_taken(ids, id))
		return OK;
	if (!ids->page[p] && !(ids->page[p] = calloc(SESSION_IDS_PAGE / 64, sizeof(uint64_t))))
		return ERR_NOMEM;
	*word_of(ids, id) |= UINT64_C(1) << (id % 64);
	ids->taken[p]++;
	return OK;
}

int session_ids_mark(struct session_ids *ids, uint32_t id)
{
	int rc;

	if (id == 0 || id > STORE_SESSION_MAX)
		return ERR_RANGE;
	pthread_mutex_lock(&ids->mutex);
	rc = mark(ids, id);
	if (rc == OK && id >= ids->next)
		ids->next = id + 1;
	pthread_mutex_unlock(&ids->mutex);
	return rc;
}

/* The first free one from `from` on, below `to`; 0: none. 0 is never free. */
static uint32_t find_free(struct session_ids *ids, uint32_t from, uint32_t to)
{
	uint32_t id = from ? from : 1;

	while (id < to) {
		const uint64_t *word = word_of(ids, id);

		if (!is_taken(ids, id))
			return id;
		if (ids->taken[id / SESSION_IDS_PAGE] == SESSION_IDS_PAGE)
			id = (id / SESSION_IDS_PAGE + 1) * SESSION_IDS_PAGE;
		else if (*word == UINT64_MAX)
			id = (id / 64 + 1) * 64;
		else
			id++;
	}
	return 0;
}

int session_ids_take(struct session_ids *ids, uint32_t *out)
{
	uint32_t id;
	int rc;

	pthread_mutex_lock(&ids->mutex);
	id = find_free(ids, ids->next, STORE_SESSION_MAX + 1);
	if (!id)
		id = find_free(ids, 1, ids->next);
	rc = id ? mark(ids, id) : ERR_FULL;
	if (rc == OK)
		ids->next = id + 1;
	pthread_mutex_unlock(&ids->mutex);
	if (rc == OK)
		*out = id;
	return rc;
}

void session_ids_give(struct session_ids *ids, uint32_t id)
{
	pthread_mutex_lock(&ids->mutex);
	if (id <= STORE_SESSION_MAX && is_taken(ids, id)) {
		*word_of(ids, id) &= ~(UINT64_C(1) << (id % 64));
		ids->taken[id / SESSION_IDS_PAGE]--;
	}
	pthread_mutex_unlock(&ids->mutex);
}
