/*
 * lineside store info: what is in a store.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tools/store_tool.h"
#include "tools/text.h"

#define SESSIONS_SHOWN 100u

struct session_info {
	uint32_t id;
	uint64_t subs, rows, bytes;
	int64_t away_ms;
	char *client;
};

struct info {
	struct session_info *all; /* by `rows`, when it is complete */
	size_t n, room;
	uint64_t subs, received, inflight, retained, retained_bytes, rows, bytes, away;
};

static int found_session(void *arg, const struct store_session *s)
{
	struct info *i = arg;
	struct session_info *more;

	if (i->n == i->room) {
		more = realloc(i->all, (i->room * 2 + 64) * sizeof(*more));
		if (!more)
			return ERR_NOMEM;
		i->all = more;
		i->room = i->room * 2 + 64;
	}
	i->all[i->n] = (struct session_info){
		.id = s->id, .rows = s->rows, .bytes = s->row_bytes, .away_ms = s->away_ms};
	i->all[i->n].client = strndup((const char *)s->client_id.p, s->client_id.len);
	if (!i->all[i->n].client)
		return ERR_NOMEM;
	i->n++;
	i->rows += s->rows;
	i->bytes += s->row_bytes;
	i->away += s->away_ms != 0;
	return OK;
}

static int found_sub(void *arg, const struct store_sub *sub)
{
	struct info *i = arg;

	/* they come in the order of their sessions */
	for (size_t at = i->subs ? i->received : 0; at < i->n; at++)
		if (i->all[at].id == sub->session) {
			i->all[at].subs++;
			break;
		}
	i->subs++;
	return OK;
}
