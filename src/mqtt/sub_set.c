#include "mqtt/sub_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

#define MANY        ((uintptr_t)1)
#define ROOM_MIN    4u
#define ROOM_LINEAR 16u /* up to here looking through the array is as fast as an index */

/* Behind at[room], when there is more room than ROOM_LINEAR: uint32_t index[2 * room], by hash of the session; position + 1 or 0. */
struct many {
	uint32_t count, room;
	uint32_t kept; /* of them, as sub_is_kept() says */
	struct sub *at[];
};

static struct many *many_of(void *set)
{
	return (uintptr_t)set & MANY ? (struct many *)((uintptr_t)set & ~MANY) : NULL;
}

static void *set_of(struct many *m)
{
	return (void *)((uintptr_t)m | MANY);
}

/* ---- the index ---- */

static uint32_t *index_of(struct many *m)
{
	return m->room > ROOM_LINEAR ? (uint32_t *)(void *)(m->at + m->room) : NULL;
}

static uint32_t index_mask(const struct many *m)
{
	return 2 * m->room - 1;
}

/* Where the search for a session begins. */
static uint32_t index_home(const struct many *m, const struct session *s)
{
	return (uint32_t)hash_fold((uintptr_t)s, 0x9e3779b97f4a7c15u) & index_mask(m);
}

/* The slot of a session, or the empty one where it belongs. */
static uint32_t index_find(struct many *m, const struct session *s)
{
	const uint32_t *index = index_of(m);
	uint32_t i = index_home(m, s);

	while (index[i] && m->at[index[i] - 1]->session != s)
		i = (i + 1) & index_mask(m);
	return i;
}

/* Empty a slot, and move up what was put behind it because it was taken. */
static void index_clear(struct many *m, uint32_t i)
{
	uint32_t *index = index_of(m), mask = index_mask(m);

	for (uint32_t j = (i + 1) & mask; index[j]; j = (j + 1) & mask) {
		uint32_t home = index_home(m, m->at[index[j] - 1]->session);

		if (((j - home) & mask) < ((j - i) & mask))
			continue;
		index[i] = index[j];
		i = j;
	}
	index[i] = 0;
}

/* ---- the array ---- */

/* Its place, or `count`. */
static uint32_t many_find(struct many *m, const struct session *s)
{
	uint32_t i = 0;

	if (index_of(m)) {
		i = index_of(m)[index_find(m, s)];
		return i ? i - 1 : m->count;
	}
	while (i < m->count && m->at[i]->session != s)
		i++;
	return i;
}

static void many_append(struct many *m, struct sub *sub)
{
	m->at[m->count++] = sub;
	m->kept += sub_is_kept(sub);
	if (index_of(m))
		index_of(m)[index_find(m, sub->session)] = m->count;
}

/* Another one with this room and the subscriptions given. */
static struct many *many_create(uint32_t room, struct sub *const *at, uint32_t count)
{
	size_t index = room > ROOM_LINEAR ? 2 * (size_t)room * sizeof(uint32_t) : 0;
	struct many *m = calloc(1, sizeof(*m) + room * sizeof(m->at[0]) + index);

	if (!m)
		return NULL;
	m->room = room;
	for (uint32_t i = 0; i < count; i++)
		many_append(m, at[i]);
	return m;
}

static void many_take_out(struct many *m, uint32_t i)
{
	struct sub *last = m->at[m->count - 1];

	m->kept -= sub_is_kept(m->at[i]);
	if (index_of(m)) {
		index_clear(m, index_find(m, m->at[i]->session));
		if (last != m->at[i])
			index_of(m)[index_find(m, last->session)] = i + 1;
	}
	m->at[i] = last;
	m->count--;
}

/* ---- the set ---- */

struct sub *const *sub_set_all(void *const *set, uint32_t *n)
{
	struct many *m = many_of(*set);

	*n = m ? m->count : *set != NULL;
	return m ? m->at : (struct sub *const *)(const void *)set;
}

struct sub *sub_set_find(void *set, const struct session *s)
{
	struct many *m = many_of(set);
	struct sub *one = set;
	uint32_t i;

	if (!m)
		return one && one->session == s ? one : NULL;
	i = many_find(m, s);
	return i < m->count ? m->at[i] : NULL;
}

int sub_set_add(void **set, struct sub *sub)
{
	struct many *m = many_of(*set), *more;
	struct sub *const *all;
	uint32_t n;

	if (!*set) {
		*set = sub;
		return OK;
	}
	all = sub_set_all(set, &n);
	if (!m || n == m->room) {
		more = many_create(m ? 2 * m->room : ROOM_MIN, all, n);
		if (!more)
			return ERR_NOMEM;
		free(m);
		m = more;
		*set = set_of(m);
	}
	many_append(m, sub);
	return OK;
}

void sub_set_remove(void **set, struct sub *sub)
{
	struct many *m = many_of(*set), *less;

	if (!m) {
		*set = NULL;
		return;
	}
	many_take_out(m, many_find(m, sub->session));
	if (m->count == 1) {
		*set = m->at[0];
		free(m);
		return;
	}
	if (m->room == ROOM_MIN || m->count > m->room / 4)
		return;
	less = many_create(m->room / 2, m->at, m->count);
	if (!less)
		return; /* it stays larger than it need be */
	free(m);
	*set = set_of(less);
}

void sub_set_change(void *set, struct sub *sub, const struct sub_options *o)
{
	struct many *m = many_of(set);
	bool was = sub_is_kept(sub);

	sub->options = *o;
	if (m)
		m->kept += (uint32_t)sub_is_kept(sub) - was;
}

bool sub_set_keeps(void *set)
{
	const struct many *m = many_of(set);

	if (m)
		return m->kept > 0;
	return set && sub_is_kept(set);
}
