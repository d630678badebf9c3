/*
 * Changes. Those of the queue are gathered until the commit and written session by session in the order of keys: sessions do not
 * depend on each other, a page is touched once, and rows that came and went in the same commit are not written at all.
 */
#include <stdlib.h>

#include "store/sqlite_db.h"

#define INFO_STATE_MASK \
	((UINT64_C(3) << 3) | (UINT64_C(0xffff) << 8)) /* state and packet id in sq_row_info() */

static int put_session(struct store_sqlite *s, const struct store_session *v)
{
	sqlite3_stmt *st = s->stmt[SQ_SESSION_PUT];
	const struct store_will *w = v->will;

	sqlite3_clear_bindings(st);
	sqlite3_bind_int64(st, 1, v->id);
	sq_bind(st, 2, v->client_id);
	sqlite3_bind_int64(st, 3, v->expiry_s);
	sqlite3_bind_int64(st, 4, v->away_ms);
	if (w) {
		sq_bind(st, 5, w->msg.topic);
		sq_bind(st, 6, w->msg.props);
		sq_bind(st, 7, w->msg.payload);
		sqlite3_bind_int64(st, 8, sq_msg_info(&w->msg));
		sqlite3_bind_int64(st, 9, w->delay_s);
		if (w->expires)
			sqlite3_bind_int64(st, 10, w->expiry_s);
	}
	return sq_run(s, SQ_SESSION_PUT);
}

static int put_sub(struct store_sqlite *s, const struct store_sub *v)
{
	sqlite3_stmt *st = s->stmt[SQ_SUB_PUT];

	sqlite3_bind_int64(st, 1, v->session);
	sq_bind(st, 2, v->filter);
	sqlite3_bind_int64(st, 3,
			   (int64_t)(v->qos | (unsigned)v->no_local << 2 |
				     (unsigned)v->retain_as_published << 3 |
				     (unsigned)v->retain_handling << 4));
	sqlite3_bind_int64(st, 4, v->id);
	return sq_run(s, SQ_SUB_PUT);
}

static int drop_sub(struct store_sqlite *s, const struct store_sub *v)
{
	sqlite3_bind_int64(s->stmt[SQ_SUB_DROP], 1, v->session);
	sq_bind(s->stmt[SQ_SUB_DROP], 2, v->filter);
	return sq_run(s, SQ_SUB_DROP);
}

static int put_msg(struct store_sqlite *s, uint64_t id, const struct store_msg *m)
{
	sqlite3_stmt *st = s->stmt[SQ_MSG_PUT];
	int rc;

	if (s->loaded && (rc = sq_segment_count(&s->segments, id, 0)) < 0)
		return rc;
	sqlite3_bind_int64(st, 1, (int64_t)id);
	sqlite3_bind_int64(st, 2, sq_msg_info(m));
	sqlite3_bind_int64(st, 3, m->expires_ms);
	sq_bind(st, 4, m->topic);
	sq_bind(st, 5, m->props);
	sq_bind(st, 6, m->payload);
	return sq_run(s, SQ_MSG_PUT);
}

static int put_retained(struct store_sqlite *s, const struct store_retained *r, bool clear)
{
	sqlite3_stmt *st = s->stmt[SQ_RETAINED_PUT];

	sqlite3_clear_bindings(st);
	sq_bind(st, 1, r->msg.topic);
	sqlite3_bind_int64(st, 2, (int64_t)r->stamp);
	if (!clear) {
		sqlite3_bind_int64(st, 3, sq_msg_info(&r->msg));
		sqlite3_bind_int64(st, 4, r->msg.expires_ms);
		sq_bind(st, 5, r->msg.props);
		sq_bind(st, 6, r->msg.payload);
	}
	if (r->stamp > s->last_stamp)
		s->last_stamp = r->stamp;
	s->may_have_cleared |= clear;
	return sq_run(s, SQ_RETAINED_PUT);
}

static int put_confirm(struct store_sqlite *s, const struct store_row *r)
{
	sqlite3_stmt *st = s->stmt[SQ_CONFIRM_PUT];

	sqlite3_bind_int64(st, 1, r->origin);
	sqlite3_bind_int64(st, 2, (int64_t)s->boot);
	sqlite3_bind_int64(st, 3, (int64_t)r->number);
	return sq_run(s, SQ_CONFIRM_PUT);
}

static int run_received(struct store_sqlite *s, enum sq_stmt which, const struct store_row *r)
{
	sqlite3_bind_int64(s->stmt[which], 1, (int64_t)((uint64_t)r->session << 16 | r->packet_id));
	return sq_run(s, which);
}

/* ---- the queue ---- */

static void bind_row(struct store_sqlite *s, sqlite3_stmt *st, const struct sq_change *c)
{
	const struct store_row *r = &c->row;

	sqlite3_bind_int64(st, 1, sq_row_key(r->session, r->seq));
	sqlite3_bind_int64(st, 2, sq_row_info(r));
	if (r->number) {
		sqlite3_bind_int64(st, 4, (int64_t)(s->boot << 16 | r->origin));
		sqlite3_bind_int64(st, 5, (int64_t)r->number);
	} else {
		sqlite3_bind_null(st, 4);
		sqlite3_bind_null(st, 5);
	}
	if (c->sub_ids_len)
		sq_bind(st, 6, span_of(s->changes.sub_ids + c->sub_ids_at, c->sub_ids_len));
	else
		sqlite3_bind_null(st, 6);
}

static int put_row(struct store_sqlite *s, const struct sq_change *c)
{
	const struct store_row *r = &c->row;
	enum sq_stmt which = r->msg_id ? SQ_ROW_PUT_SHARED : SQ_ROW_PUT;
	sqlite3_stmt *st = s->stmt[which];
	int rc;

	bind_row(s, st, c);
	if (r->msg_id) {
		if (s->loaded && (rc = sq_segment_count(&s->segments, r->msg_id, 1)) < 0)
			return rc;
		sqlite3_bind_int64(st, 3, (int64_t)r->msg_id);
	} else {
		if (r->msg.expires_ms)
			sqlite3_bind_int64(st, 7, r->msg.expires_ms);
		else
			sqlite3_bind_null(st, 7);
		sq_bind(st, 8, r->msg.topic);
		sq_bind(st, 9, r->msg.props);
		sq_bind(st, 10, r->msg.payload);
	}
	return sq_run(s, which);
}

/* What a statement selects are ids of messages that lose a row each. */
static int count_off(struct store_sqlite *s, enum sq_stmt which)
{
	sqlite3_stmt *st = s->stmt[which];
	int step, rc = OK;

	while (rc == OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
		uint64_t id = (uint64_t)sqlite3_column_int64(st, 0);

		if (id)
			rc = sq_segment_count(&s->segments, id, -1);
	}
	if (rc == OK && step != SQLITE_DONE)
		rc = sq_error(s, step, "read the queue");
	sqlite3_reset(st);
	return rc;
}

static int count_off_row(struct store_sqlite *s, int64_t key)
{
	if (!s->loaded || s->segments.live == 0)
		return OK;
	sqlite3_bind_int64(s->stmt[SQ_ROW_MSG], 1, key);
	return count_off(s, SQ_ROW_MSG);
}

static int set_state(struct store_sqlite *s, const struct store_row *r)
{
	enum sq_stmt which = r->state == STORE_RELEASED ? SQ_ROW_RELEASE : SQ_ROW_STATE;
	int64_t key = sq_row_key(r->session, r->seq);
	int rc;

	if (which == SQ_ROW_RELEASE && (rc = count_off_row(s, key)) < 0)
		return rc;
	sqlite3_bind_int64(s->stmt[which], 1, key);
	sqlite3_bind_int64(s->stmt[which], 2, (int64_t)INFO_STATE_MASK);
	sqlite3_bind_int64(s->stmt[which], 3,
			   (int64_t)((unsigned)r->state << 3 | (unsigned)r->packet_id << 8));
	return sq_run(s, which);
}

static int drop_row(struct store_sqlite *s, const struct store_row *r)
{
	int64_t key = sq_row_key(r->session, r->seq);
	int rc;

	if ((rc = count_off_row(s, key)) < 0)
		return rc;
	sqlite3_bind_int64(s->stmt[SQ_ROW_DROP], 1, key);
	return sq_run(s, SQ_ROW_DROP);
}

/* Rows with keys from `first` to `last`, both included: the key after the last session's rows has no room in a number. */
static int drop_range(struct store_sqlite *s, int64_t first, int64_t last)
{
	int rc;

	if (s->loaded && s->segments.live > 0) {
		sqlite3_bind_int64(s->stmt[SQ_ROW_MSGS], 1, first);
		sqlite3_bind_int64(s->stmt[SQ_ROW_MSGS], 2, last);
		if ((rc = count_off(s, SQ_ROW_MSGS)) < 0)
			return rc;
	}
	sqlite3_bind_int64(s->stmt[SQ_ROW_DROP_RANGE], 1, first);
	sqlite3_bind_int64(s->stmt[SQ_ROW_DROP_RANGE], 2, last);
	return sq_run(s, SQ_ROW_DROP_RANGE);
}

static int change(struct store_sqlite *s, const struct sq_change *c)
{
	switch (c->kind) {
	case STORE_OP_ROW:
		return put_row(s, c);
	case STORE_OP_STATE:
		return set_state(s, &c->row);
	case STORE_OP_DROP_ROW:
		return drop_row(s, &c->row);
	default:
		return drop_range(s, sq_row_key(c->row.session, 0),
				  sq_row_key(c->row.session, c->row.seq) - 1);
	}
}

static int by_session(const void *a, const void *b)
{
	const struct sq_order *x = a, *y = b;

	if (x->session != y->session)
		return x->session < y->session ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

static void order(struct sq_changes *c)
{
	bool sorted = true;

	for (size_t i = 0; i < c->count; i++) {
		c->order[i] = (struct sq_order){.session = c->all[i].row.session, .index = (uint32_t)i};
		sorted &= i == 0 || c->order[i - 1].session <= c->order[i].session;
	}
	if (!sorted)
		qsort(c->order, c->count, sizeof(*c->order), by_session);
}

/*
 * Changes of one session. Those before a watermark that are below it are of no use: neither they nor lower watermarks are
 * carried out.
 */
static int write_session(struct store_sqlite *s, const struct sq_order *first, const struct sq_order *end)
{
	const struct sq_change *all = s->changes.all;
	const struct sq_order *mark = NULL;
	uint64_t below = 0;
	int rc;

	for (const struct sq_order *o = first; o < end; o++)
		if (all[o->index].kind == STORE_OP_DROP_ROWS && all[o->index].row.seq > below) {
			below = all[o->index].row.seq;
			mark = o;
		}
	for (const struct sq_order *o = first; o < end; o++) {
		const struct sq_change *c = &all[o->index];
		bool moot = o != mark && (c->kind == STORE_OP_DROP_ROWS || (o < mark && c->row.seq < below));

		if (!moot && (rc = change(s, c)) < 0)
			return rc;
	}
	return OK;
}

int sq_changes_write(struct store_sqlite *s)
{
	struct sq_changes *c = &s->changes;
	int rc = OK;

	order(c);
	for (size_t i = 0, end; i < c->count && rc == OK; i = end) {
		for (end = i + 1; end < c->count && c->order[end].session == c->order[i].session;)
			end++;
		rc = write_session(s, &c->order[i], &c->order[end]);
	}
	c->count = 0;
	c->sub_ids_len = 0;
	return rc;
}

static int changes_grow(struct sq_changes *c)
{
	size_t room = c->room ? 2 * c->room : 1024;
	struct sq_change *all = realloc(c->all, room * sizeof(*all));
	struct sq_order *ord;

	if (!all)
		return ERR_NOMEM;
	c->all = all;
	if (!(ord = realloc(c->order, room * sizeof(*ord))))
		return ERR_NOMEM;
	c->order = ord;
	c->room = room;
	return OK;
}

static int keep_sub_ids(struct sq_changes *c, struct sq_change *to, const uint32_t *ids)
{
	size_t len = 4 * (size_t)ids[0];

	if (c->sub_ids_len + len > c->sub_ids_room) {
		size_t room = 2 * (c->sub_ids_len + len);
		uint8_t *p = realloc(c->sub_ids, room);

		if (!p)
			return ERR_NOMEM;
		c->sub_ids = p;
		c->sub_ids_room = room;
	}
	to->sub_ids_at = (uint32_t)c->sub_ids_len;
	to->sub_ids_len = (uint32_t)len;
	for (uint32_t i = 0; i < ids[0]; i++)
		put_u32be(c->sub_ids + c->sub_ids_len + 4 * (size_t)i, ids[1 + i]);
	c->sub_ids_len += len;
	return OK;
}

static int gather(struct store_sqlite *s, const struct store_op *op)
{
	struct sq_changes *c = &s->changes;
	struct sq_change *to;
	int rc;

	if (c->count == c->room && (rc = changes_grow(c)) < 0)
		return rc;
	to = &c->all[c->count];
	to->kind = op->kind;
	to->row = op->row;
	to->row.sub_ids = NULL;
	to->sub_ids_len = 0;
	if (op->kind == STORE_OP_ROW && op->row.sub_ids && (rc = keep_sub_ids(c, to, op->row.sub_ids)) < 0)
		return rc;
	c->count++;
	return OK;
}

void sq_changes_fini(struct sq_changes *c)
{
	free(c->all);
	free(c->order);
	free(c->sub_ids);
	*c = (struct sq_changes){0};
}

static int drop_session(struct store_sqlite *s, uint32_t id)
{
	sqlite3_stmt *st = s->stmt[SQ_RECEIVED_DROP_RANGE];
	int rc;

	/* Its id may be given anew in this very commit. */
	if ((rc = sq_changes_write(s)) < 0 ||
	    (rc = drop_range(s, sq_row_key(id, 0), sq_row_key(id, STORE_SEQ_MAX))) < 0)
		return rc;
	sqlite3_bind_int64(st, 1, (int64_t)id << 16);
	sqlite3_bind_int64(st, 2, ((int64_t)id + 1) << 16);
	if ((rc = sq_run(s, SQ_RECEIVED_DROP_RANGE)) < 0)
		return rc;
	sqlite3_bind_int64(s->stmt[SQ_SUB_DROP_ALL], 1, id);
	if ((rc = sq_run(s, SQ_SUB_DROP_ALL)) < 0)
		return rc;
	sqlite3_bind_int64(s->stmt[SQ_SESSION_DROP], 1, id);
	return sq_run(s, SQ_SESSION_DROP);
}

int sq_apply(struct store_sqlite *s, const struct store_op *op)
{
	switch (op->kind) {
	case STORE_OP_SESSION:
		return put_session(s, &op->session);
	case STORE_OP_DROP_SESSION:
		return drop_session(s, op->id);
	case STORE_OP_SUB:
		return put_sub(s, &op->sub);
	case STORE_OP_DROP_SUB:
		return drop_sub(s, &op->sub);
	case STORE_OP_MSG:
		return put_msg(s, op->shared.msg_id, &op->shared.msg);
	case STORE_OP_RECEIVED:
		return run_received(s, SQ_RECEIVED_PUT, &op->row);
	case STORE_OP_DROP_RECEIVED:
		return run_received(s, SQ_RECEIVED_DROP, &op->row);
	case STORE_OP_CONFIRM:
		return put_confirm(s, &op->row);
	case STORE_OP_RETAINED:
		return put_retained(s, &op->retained, false);
	case STORE_OP_CLEAR:
		return put_retained(s, &op->retained, true);
	default:
		return gather(s, op);
	}
}
