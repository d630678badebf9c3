/*
 * What is told at start, and reading rows. The queue is looked through once before anything is told: for what waits for each session, for
 * rows that do not count, and for the counts of segments.
 */
#include <stdlib.h>

#include "base/log.h"
#include "store/sqlite_db.h"

/* What waits for a session. */
struct waiting {
	uint32_t session;
	bool known; /* there is such a session */
	uint64_t first_seq, next_seq, rows, row_bytes;
};

struct load {
	struct store_sqlite *s;
	const struct store_loader *l;
	void *arg;
	struct waiting *waiting; /* by session */
	size_t count, room;
	struct sq_confirmed *confirmed; /* by origin */
	int64_t *moot;                  /* keys of rows that do not count */
	size_t moot_count, moot_room;
	size_t inflight; /* rows that were sent or released */
};

/* Run a query and tell each row to `each`; what that returns below 0 ends it. */
static int query(struct store_sqlite *s, const char *sql, int (*each)(void *arg, sqlite3_stmt *st), void *arg)
{
	sqlite3_stmt *st = NULL;
	int step = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
	int rc = OK;

	if (step == SQLITE_OK)
		while (rc == OK && (step = sqlite3_step(st)) == SQLITE_ROW)
			rc = each(arg, st);
	if (rc == OK && step != SQLITE_DONE)
		rc = sq_error(s, step, "read it");
	sqlite3_finalize(st);
	return rc;
}

/* Room for one more in an array; NULL: none, and the array is as it was. */
static void *one_more(void *array, size_t count, size_t *room, size_t size)
{
	size_t more = *room ? 2 * *room : 256;
	void *p;

	if (count < *room)
		return array;
	if ((p = realloc(array, more * size)))
		*room = more;
	return p;
}

static int found_confirmed(void *arg, sqlite3_stmt *st)
{
	struct load *d = arg;
	uint16_t origin = (uint16_t)sqlite3_column_int(st, 0);

	d->confirmed[origin].boot = (uint64_t)sqlite3_column_int64(st, 1);
	d->confirmed[origin].number = (uint64_t)sqlite3_column_int64(st, 2);
	return OK;
}

/* A row of the last boot whose publisher was not told that it arrived: it will send the message again. */
static bool is_moot_by(const struct store_sqlite *s, const struct sq_confirmed *confirmed, uint64_t cond,
		       uint64_t number)
{
	const struct sq_confirmed *c = &confirmed[cond & 0xffff];

	if (number == 0 || cond >> 16 != s->boot)
		return false;
	return c->boot != s->boot || number > c->number;
}

static bool is_moot(const struct load *d, uint64_t cond, uint64_t number)
{
	return is_moot_by(d->s, d->confirmed, cond, number);
}

static int add_moot(struct load *d, int64_t key)
{
	int64_t *p = one_more(d->moot, d->moot_count, &d->moot_room, sizeof(*p));

	if (!p)
		return ERR_NOMEM;
	d->moot = p;
	d->moot[d->moot_count++] = key;
	return OK;
}

static struct waiting *waiting_of(struct load *d, uint32_t session, uint64_t seq)
{
	struct waiting *w;

	if (d->count && d->waiting[d->count - 1].session == session)
		return &d->waiting[d->count - 1];
	if (!(w = one_more(d->waiting, d->count, &d->room, sizeof(*w))))
		return NULL;
	d->waiting = w;
	w = &d->waiting[d->count++];
	*w = (struct waiting){.session = session, .first_seq = seq};
	return w;
}

static int found_row(void *arg, sqlite3_stmt *st)
{
	struct load *d = arg;
	uint64_t key = (uint64_t)sqlite3_column_int64(st, 0), seq = key & STORE_SEQ_MAX;
	uint64_t msg = (uint64_t)sqlite3_column_int64(st, 2);
	struct store_row row = {0};
	struct waiting *w;

	if (is_moot(d, (uint64_t)sqlite3_column_int64(st, 3), (uint64_t)sqlite3_column_int64(st, 4)))
		return add_moot(d, (int64_t)key);
	if (msg > d->s->last_msg_id)
		d->s->last_msg_id = msg;
	if (msg && sq_segment_count(&d->s->segments, msg, 1) < 0)
		return ERR_NOMEM;
	if (!(w = waiting_of(d, (uint32_t)(key >> SQ_SEQ_BITS), seq)))
		return ERR_NOMEM;
	w->next_seq = seq + 1;
	sq_row_from_info(sqlite3_column_int64(st, 1), &row);
	d->inflight += row.state != STORE_WAITS;
	if (row.state != STORE_RELEASED) {
		w->rows++;
		w->row_bytes += (uint64_t)sqlite3_column_int64(st, 5);
	}
	return OK;
}

static int look_through_queue(struct load *d)
{
	int rc = query(d->s, "SELECT origin, boot, number FROM confirm WHERE origin BETWEEN 0 AND 65535",
		       found_confirmed, d);

	if (rc < 0)
		return rc;
	return query(d->s,
		     "SELECT q.key, q.info, q.msg, q.cond, q.number, CASE WHEN q.msg > 0 THEN"
		     " length(m.topic) + length(m.payload) ELSE length(q.topic) + length(q.payload) END"
		     " FROM queue q LEFT JOIN message m ON m.id = q.msg ORDER BY q.key",
		     found_row, d);
}

/* Segments of messages without rows are to be deleted. */
static int look_through_messages(struct load *d)
{
	sqlite3_stmt *st = d->s->stmt[SQ_MSG_NEXT];
	uint64_t from = 0;
	int step, rc = OK;

	while (rc == OK) {
		sqlite3_bind_int64(st, 1, (int64_t)from);
		if ((step = sqlite3_step(st)) == SQLITE_ROW) {
			uint64_t id = (uint64_t)sqlite3_column_int64(st, 0);

			rc = sq_segment_count(&d->s->segments, id, 0);
			from = ((id >> SQ_SEGMENT) + 1) << SQ_SEGMENT;
			/* Of the segment, any id may be in use. */
			if (from - 1 > d->s->last_msg_id)
				d->s->last_msg_id = from - 1;
		}
		sqlite3_reset(st);
		if (step == SQLITE_DONE)
			return rc;
		if (step != SQLITE_ROW)
			return sq_error(d->s, step, "read messages");
	}
	return rc;
}

/* A page that cannot be read shows now, while nothing was told that would have to be taken back. */
static int look_through_rest(struct load *d)
{
	static const char *const all[] = {
		"SELECT sum(length(client)) FROM session",
		"SELECT sum(length(filter)) FROM sub",
		"SELECT total(key) FROM received",
		"SELECT sum(length(topic) + length(payload)) FROM retained",
	};
	int64_t sum;
	int rc = OK;

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && rc == OK; i++)
		rc = sq_number(d->s, all[i], &sum);
	return rc;
}

static int take_id(struct store_sqlite *s, uint32_t id)
{
	if ((s->session_count & (s->session_count - 1)) == 0) {
		size_t room = s->session_count ? 2 * s->session_count : 1;
		uint32_t *p = realloc(s->session_ids, room * sizeof(*p));

		if (!p)
			return ERR_NOMEM;
		s->session_ids = p;
	}
	s->session_ids[s->session_count++] = id;
	return OK;
}

static int by_session(const void *a, const void *b)
{
	const struct waiting *x = a, *y = b;

	return (x->session > y->session) - (x->session < y->session);
}

static int found_session(void *arg, sqlite3_stmt *st)
{
	struct load *d = arg;
	struct store_will will = {0};
	struct store_session v = {
		.id = (uint32_t)sqlite3_column_int64(st, 0),
		.client_id = sq_span(st, 1),
		.expiry_s = (uint32_t)sqlite3_column_int64(st, 2),
		.away_ms = sqlite3_column_int64(st, 3),
		.first_seq = 1,
		.next_seq = 1,
	};
	struct waiting key = {.session = v.id};
	struct waiting *w = d->count ? bsearch(&key, d->waiting, d->count, sizeof(key), by_session) : NULL;
	int rc;

	if ((rc = take_id(d->s, v.id)) < 0)
		return rc;
	if (sqlite3_column_type(st, 4) != SQLITE_NULL) {
		will.msg.topic = sq_span(st, 4);
		will.msg.props = sq_span(st, 5);
		will.msg.payload = sq_span(st, 6);
		sq_msg_from_info(sqlite3_column_int64(st, 7), &will.msg);
		will.delay_s = (uint32_t)sqlite3_column_int64(st, 8);
		will.expires = sqlite3_column_type(st, 9) != SQLITE_NULL;
		will.expiry_s = (uint32_t)sqlite3_column_int64(st, 9);
		v.will = &will;
	}
	if (w) {
		w->known = true;
		v.first_seq = w->first_seq;
		v.next_seq = w->next_seq;
		v.rows = w->rows;
		v.row_bytes = w->row_bytes;
	}
	return d->l->session ? d->l->session(d->arg, &v) : OK;
}

static int found_sub(void *arg, sqlite3_stmt *st)
{
	struct load *d = arg;
	int64_t flags = sqlite3_column_int64(st, 2);
	struct store_sub v = {
		.session = (uint32_t)sqlite3_column_int64(st, 0),
		.filter = sq_span(st, 1),
		.qos = flags & 3,
		.no_local = flags >> 2 & 1,
		.retain_as_published = flags >> 3 & 1,
		.retain_handling = flags >> 4 & 3,
		.id = (uint32_t)sqlite3_column_int64(st, 3),
	};

	return d->l->sub ? d->l->sub(d->arg, &v) : OK;
}

static int found_received(void *arg, sqlite3_stmt *st)
{
	struct load *d = arg;
	uint64_t key = (uint64_t)sqlite3_column_int64(st, 0);

	return d->l->received ? d->l->received(d->arg, (uint32_t)(key >> 16), (uint16_t)key) : OK;
}

static int found_inflight(void *arg, sqlite3_stmt *st)
{
	struct load *d = arg;
	uint64_t key = (uint64_t)sqlite3_column_int64(st, 0);
	struct store_row row = {.session = (uint32_t)(key >> SQ_SEQ_BITS), .seq = key & STORE_SEQ_MAX};

	if (is_moot(d, (uint64_t)sqlite3_column_int64(st, 2), (uint64_t)sqlite3_column_int64(st, 3)))
		return OK; /* only when nothing may be written */
	sq_row_from_info(sqlite3_column_int64(st, 1), &row);
	row.msg_id = (uint64_t)sqlite3_column_int64(st, 4);
	return d->l->inflight(d->arg, &row);
}

static int found_retained(void *arg, sqlite3_stmt *st)
{
	struct load *d = arg;
	struct store_retained v = {.msg.topic = sq_span(st, 0),
				   .stamp = (uint64_t)sqlite3_column_int64(st, 1)};

	if (v.stamp > d->s->last_stamp)
		d->s->last_stamp = v.stamp;
	if (sqlite3_column_type(st, 5) == SQLITE_NULL || !d->l->retained)
		return OK;
	sq_msg_from_info(sqlite3_column_int64(st, 2), &v.msg);
	v.msg.expires_ms = sqlite3_column_int64(st, 3);
	v.msg.props = sq_span(st, 4);
	v.msg.payload = sq_span(st, 5);
	return d->l->retained(d->arg, &v);
}

static int tell(struct load *d)
{
	struct store_sqlite *s = d->s;
	int rc;

	s->told = true;
	if ((rc = query(s, "SELECT * FROM session ORDER BY id", found_session, d)) < 0 ||
	    (rc = query(s, "SELECT * FROM sub ORDER BY session", found_sub, d)) < 0 ||
	    (rc = query(s, "SELECT key FROM received ORDER BY key", found_received, d)) < 0)
		return rc;
	if (d->inflight && d->l->inflight &&
	    (rc = query(s, "SELECT key, info, cond, number, msg FROM queue WHERE info & 24 ORDER BY key",
			found_inflight, d)) < 0)
		return rc;
	return query(s, "SELECT topic, stamp, info, expires, props, payload FROM retained", found_retained,
		     d);
}

/* ---- what is written then ---- */

static int drop_moot(struct load *d)
{
	sqlite3_stmt *st = d->s->stmt[SQ_ROW_DROP];
	int rc = OK;

	for (size_t i = 0; i < d->moot_count && rc == OK; i++) {
		sqlite3_bind_int64(st, 1, d->moot[i]);
		rc = sq_run(d->s, SQ_ROW_DROP);
	}
	return rc;
}

/* The boot is counted, and what does not count is gone, in one transaction. */
static int write_boot(struct load *d)
{
	struct store_sqlite *s = d->s;
	int rc;

	if ((rc = sq_begin(s)) < 0)
		return rc;
	if ((rc = drop_moot(d)) == OK && (rc = sq_meta_put(s, "boot", (int64_t)s->boot + 1)) == OK)
		rc = sq_meta_put(s, "clean", 0);
	if (rc == OK)
		rc = sq_commit(s);
	if (rc < 0) {
		sq_rollback(s);
		return rc;
	}
	s->boot++;
	return OK;
}

/* Messages were kept in case one more row would come; none of the last run will. Nor will older values of cleared topics. */
static int forget(struct load *d)
{
	struct store_sqlite *s = d->s;

	s->may_have_cleared = true;
	s->cleared[0].stamp = s->cleared[1].stamp = s->last_stamp;
	s->age_ms += STORE_MSG_GRACE_MS + UINT64_C(60000);
	return OK;
}

static int drop_unknown(struct load *d)
{
	for (size_t i = 0; i < d->count; i++) {
		struct store_op op = {.kind = STORE_OP_DROP_SESSION, .id = d->waiting[i].session};
		int rc;

		if (d->waiting[i].known)
			continue;
		log_warning("store", "%s: rows of a session that is not there are deleted", d->s->path);
		if ((rc = sq_begin(d->s)) == OK && (rc = sq_apply(d->s, &op)) == OK)
			rc = sq_commit(d->s);
		if (rc < 0) {
			sq_rollback(d->s);
			return rc;
		}
	}
	return OK;
}

static int load_all(struct load *d)
{
	struct store_sqlite *s = d->s;
	int rc;

	if ((rc = look_through_queue(d)) < 0 || (rc = look_through_messages(d)) < 0 ||
	    (rc = look_through_rest(d)) < 0)
		return rc;
	sq_segments_commit(s);
	s->loaded = !s->read_only;
	if (!s->read_only && (rc = write_boot(d)) < 0)
		return rc;
	if ((rc = tell(d)) < 0)
		return rc;
	if (s->read_only)
		return OK;
	if ((rc = drop_unknown(d)) < 0)
		return rc;
	return forget(d);
}

int sq_load(struct store_sqlite *s, const struct store_loader *l, void *arg)
{
	struct load d = {.s = s, .l = l, .arg = arg};
	int rc = ERR_NOMEM;

	sq_segments_fini(&s->segments);
	sq_segments_init(&s->segments);
	s->session_count = 0;
	s->told = s->loaded = false;
	if ((d.confirmed = calloc(UINT16_MAX + 1, sizeof(*d.confirmed))))
		rc = load_all(&d);
	free(s->confirmed);
	s->confirmed = s->read_only ? d.confirmed : NULL; /* else they were deleted */
	if (!s->read_only)
		free(d.confirmed);
	free(d.waiting);
	free(d.moot);
	return rc;
}

/* ---- reading rows ---- */

/* The row of SQ_ROW_READ; false: its message is not there. */
static bool row_of(sqlite3_stmt *st, struct store_row *row, uint32_t *sub_ids)
{
	uint64_t key = (uint64_t)sqlite3_column_int64(st, 0);
	uint64_t cond = (uint64_t)sqlite3_column_int64(st, 3);
	struct span ids = sq_span(st, 5);
	int at = 6;

	*row = (struct store_row){.session = (uint32_t)(key >> SQ_SEQ_BITS), .seq = key & STORE_SEQ_MAX};
	sq_row_from_info(sqlite3_column_int64(st, 1), row);
	row->msg_id = (uint64_t)sqlite3_column_int64(st, 2);
	row->origin = (uint16_t)cond;
	row->number = (uint64_t)sqlite3_column_int64(st, 4);
	if (ids.len >= 4 && ids.len / 4 <= STORE_SUB_IDS_MAX) {
		sub_ids[0] = (uint32_t)(ids.len / 4);
		for (uint32_t i = 0; i < sub_ids[0]; i++)
			sub_ids[1 + i] = get_u32be(ids.p + 4 * (size_t)i);
		row->sub_ids = sub_ids;
	}
	if (row->msg_id) {
		if (sqlite3_column_type(st, 10) == SQLITE_NULL)
			return row->state == STORE_RELEASED;
		sq_msg_from_info(sqlite3_column_int64(st, 11), &row->msg);
		at = 12;
	}
	row->msg.expires_ms = sqlite3_column_int64(st, at);
	row->msg.topic = sq_span(st, at + 1);
	row->msg.props = sq_span(st, at + 2);
	row->msg.payload = sq_span(st, at + 3);
	return true;
}

int sq_read(struct store_sqlite *s, uint32_t session, uint64_t from_seq,
	    bool (*found)(void *arg, const struct store_row *row), void *arg)
{
	uint32_t sub_ids[1 + STORE_SUB_IDS_MAX];
	sqlite3_stmt *st = s->stmt[SQ_ROW_READ];
	struct store_row row;
	int rc;

	sqlite3_bind_int64(st, 1, sq_row_key(session, from_seq));
	sqlite3_bind_int64(st, 2, sq_row_key(session, STORE_SEQ_MAX));
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (s->confirmed && is_moot_by(s, s->confirmed, (uint64_t)sqlite3_column_int64(st, 3),
					       (uint64_t)sqlite3_column_int64(st, 4)))
			continue;
		if (!row_of(st, &row, sub_ids))
			log_warning("store", "%s: a message of session %u is not there", s->path, session);
		else if (!found(arg, &row))
			break;
	}
	sqlite3_reset(st); /* no transaction stays open */
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? OK : sq_error(s, rc, "read the queue");
}
