/*
 * Which shared messages are still referred to: rows are counted per 256 ids of messages, in memory only; load() counts them anew.
 * Messages go by the segment, some time after its last row.
 */
#include <stdlib.h>

#include "store/sqlite_db.h"

void sq_segments_init(struct sq_segments *g)
{
	*g = (struct sq_segments){0};
	list_init(&g->dead);
	list_init(&g->touched);
}

static void segment_free(struct sq_segments *g, struct sq_segment *seg)
{
	hmap_remove(&g->map, &seg->node);
	list_remove(&seg->dead);
	list_remove(&seg->touched);
	free(seg);
}

void sq_segments_fini(struct sq_segments *g)
{
	size_t from = 0;
	struct hmap_node *n;

	while ((n = hmap_any(&g->map, &from)))
		segment_free(g, container_of(n, struct sq_segment, node));
	hmap_fini(&g->map);
}

static struct sq_segment *segment_get(struct sq_segments *g, uint64_t number)
{
	struct hmap_node *n = hmap_find(&g->map, number);
	struct sq_segment *seg;

	if (n)
		return container_of(n, struct sq_segment, node);
	if (!(seg = calloc(1, sizeof(*seg))))
		return NULL;
	list_init(&seg->dead);
	list_init(&seg->touched);
	hmap_insert(&g->map, &seg->node, number);
	return seg;
}

int sq_segment_count(struct sq_segments *g, uint64_t msg_id, int64_t rows)
{
	struct sq_segment *seg = segment_get(g, msg_id >> SQ_SEGMENT);

	if (!seg)
		return ERR_NOMEM;
	if (list_empty(&seg->touched))
		list_append(&g->touched, &seg->touched);
	seg->delta += rows;
	g->live += (uint64_t)rows;
	return OK;
}

void sq_segments_commit(struct store_sqlite *s)
{
	struct sq_segments *g = &s->segments;
	struct list *l;

	while ((l = list_take_first(&g->touched))) {
		struct sq_segment *seg = container_of(l, struct sq_segment, touched);

		if (seg->swept) {
			segment_free(g, seg);
			continue;
		}
		seg->live += (uint64_t)seg->delta;
		seg->delta = 0;
		list_remove(&seg->dead);
		if (seg->live == 0) {
			seg->dead_since = s->age_ms;
			list_append(&g->dead, &seg->dead);
		}
	}
}

void sq_segments_rollback(struct sq_segments *g)
{
	struct list *l;

	while ((l = list_take_first(&g->touched))) {
		struct sq_segment *seg = container_of(l, struct sq_segment, touched);

		g->live -= (uint64_t)seg->delta;
		seg->delta = 0;
		seg->swept = false;
		/* Made by the transaction that did not happen. */
		if (seg->live == 0 && list_empty(&seg->dead))
			segment_free(g, seg);
	}
}

static struct sq_segment *oldest_dead(const struct store_sqlite *s)
{
	const struct list *l = &s->segments.dead;
	struct sq_segment *seg;

	if (list_empty(l))
		return NULL;
	seg = container_of(l->next, struct sq_segment, dead);
	return s->age_ms >= seg->dead_since + STORE_MSG_GRACE_MS ? seg : NULL;
}

bool sq_segments_can_sweep(const struct store_sqlite *s)
{
	return s->loaded && oldest_dead(s);
}

int sq_segments_sweep(struct store_sqlite *s, unsigned max)
{
	struct sq_segments *g = &s->segments;

	if (!s->loaded)
		return OK;
	list_for_each (l, &g->dead) {
		struct sq_segment *seg = container_of(l, struct sq_segment, dead);
		sqlite3_stmt *st = s->stmt[SQ_MSG_DROP_RANGE];
		int64_t first = (int64_t)(seg->node.hash << SQ_SEGMENT);
		int rc;

		if (max-- == 0 || s->age_ms < seg->dead_since + STORE_MSG_GRACE_MS)
			break;
		if (!list_empty(&seg->touched))
			continue; /* something new is in it */
		sqlite3_bind_int64(st, 1, first);
		sqlite3_bind_int64(st, 2, first + (1 << SQ_SEGMENT));
		if ((rc = sq_run(s, SQ_MSG_DROP_RANGE)) < 0)
			return rc;
		seg->swept = true;
		list_append(&g->touched, &seg->touched);
	}
	return OK;
}
