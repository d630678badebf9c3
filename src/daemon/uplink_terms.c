#include "daemon/uplink_terms.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/list.h"

struct entry {
	struct list node;
	struct mqtt_session_terms terms;
	bool is_there;
	char client_id[];
};

struct uplink_terms {
	pthread_mutex_t mutex;
	struct list entries; /* a few; none is ever taken out, for workers have pointers to them */
};

int uplink_terms_create(struct uplink_terms **out)
{
	struct uplink_terms *t = calloc(1, sizeof(*t));

	if (!t)
		return ERR_NOMEM;
	pthread_mutex_init(&t->mutex, NULL);
	list_init(&t->entries);
	*out = t;
	return OK;
}

void uplink_terms_destroy(struct uplink_terms *t)
{
	struct list *node;

	if (!t)
		return;
	while ((node = list_take_first(&t->entries))) {
		struct entry *e = container_of(node, struct entry, node);

		free(e->terms.filters);
		free(e);
	}
	pthread_mutex_destroy(&t->mutex);
	free(t);
}

static struct entry *entry_create(struct uplink_terms *t, struct span client_id)
{
	struct entry *e = calloc(1, sizeof(*e) + client_id.len + 1);

	if (!e)
		return NULL;
	memcpy(e->client_id, client_id.p, client_id.len);
	e->terms.max_messages = e->terms.max_bytes = UINT64_MAX;
	list_append(&t->entries, &e->node);
	return e;
}

static struct entry *entry_get(struct uplink_terms *t, struct span client_id)
{
	list_for_each (node, &t->entries) {
		struct entry *e = container_of(node, struct entry, node);

		if (span_equal(span_str(e->client_id), client_id))
			return e;
	}
	return entry_create(t, client_id);
}

static struct mqtt_session_terms *get(struct uplink_terms *t, struct span client_id, bool is_found)
{
	struct entry *e;

	pthread_mutex_lock(&t->mutex);
	e = entry_get(t, client_id);
	if (e && is_found)
		e->is_there = true;
	pthread_mutex_unlock(&t->mutex);
	return e ? &e->terms : NULL;
}

struct mqtt_session_terms *uplink_terms_get(struct uplink_terms *t, struct span client_id)
{
	return get(t, client_id, false);
}

struct mqtt_session_terms *uplink_terms_found(struct uplink_terms *t, struct span client_id)
{
	return get(t, client_id, true);
}

void uplink_terms_ended(struct uplink_terms *t, struct span client_id)
{
	struct entry *e;

	pthread_mutex_lock(&t->mutex);
	e = entry_get(t, client_id);
	if (e)
		e->is_there = false;
	pthread_mutex_unlock(&t->mutex);
}

const char *uplink_terms_next(struct uplink_terms *t, size_t *next)
{
	const char *id = NULL;
	size_t i = 0;

	pthread_mutex_lock(&t->mutex);
	list_for_each (node, &t->entries) {
		const struct entry *e = container_of(node, struct entry, node);

		if (i++ < *next || !e->is_there)
			continue;
		id = e->client_id;
		*next = i;
		break;
	}
	pthread_mutex_unlock(&t->mutex);
	return id;
}
