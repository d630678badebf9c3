/*
 * A damaged database. What can be read is copied into a new file, table by table; a table is read from both ends towards the
 * page that cannot be read, and what lies between two such pages is looked for by halving. Then the old file, with its log, gets
 * another name, and the new one its place. A start that was cut short while that was done goes on with it at the next one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "store/sqlite_db.h"

#define NEW_SUFFIX     "-new"     /* being filled; complete when its meta says so */
#define SUSPECT_SUFFIX "-suspect" /* a page made no sense in the last run */
#define GAPS_MAX       2048       /* searches between unreadable pages of a table */
#define KEY_MAX        512
#define PATH_ROOM      4096

/* ---- files, by way of SQLite's file system: there may be another one than the real ---- */

static sqlite3_vfs *vfs_of(const struct store_sqlite *s)
{
	return sqlite3_vfs_find(s->vfs);
}

/* A file of no bytes is not, for SQLite. */
static bool is_there(const struct store_sqlite *s, const char *path)
{
	sqlite3_vfs *vfs = vfs_of(s);
	int yes = 0;

	return vfs->xAccess(vfs, path, SQLITE_ACCESS_EXISTS, &yes) == SQLITE_OK && yes;
}

static void delete_file(const struct store_sqlite *s, const char *path)
{
	sqlite3_vfs *vfs = vfs_of(s);

	vfs->xDelete(vfs, path, 1); /* it may not be there */
}

/* NULL: it cannot be opened. SQLite wants such names in memory of its own kind. */
static sqlite3_file *open_file(const struct store_sqlite *s, const char *path, int flags, char **name)
{
	sqlite3_vfs *vfs = vfs_of(s);
	sqlite3_file *f = calloc(1, (size_t)vfs->szOsFile);

	*name = f ? (char *)(uintptr_t)sqlite3_create_filename(path, "", "", 0, NULL) : NULL;
	if (*name && vfs->xOpen(vfs, *name, f, flags | SQLITE_OPEN_MAIN_DB, NULL) == SQLITE_OK)
		return f;
	sqlite3_free_filename(*name);
	free(f);
	*name = NULL;
	return NULL;
}

static void close_file(sqlite3_file *f, char *name)
{
	if (!f)
		return;
	f->pMethods->xClose(f);
	free(f);
	sqlite3_free_filename(name);
}

static int copy_bytes(sqlite3_file *from, sqlite3_file *to)
{
	static const int piece = 65536;
	uint8_t *room = malloc((size_t)piece);
	sqlite3_int64 size = 0;
	int rc = room ? from->pMethods->xFileSize(from, &size) : SQLITE_NOMEM;

	for (sqlite3_int64 at = 0; at < size && rc == SQLITE_OK; at += piece) {
		int n = size - at < piece ? (int)(size - at) : piece;

		if ((rc = from->pMethods->xRead(from, room, n, at)) == SQLITE_OK)
			rc = to->pMethods->xWrite(to, room, n, at);
	}
	if (rc == SQLITE_OK)
		rc = to->pMethods->xSync(to, SQLITE_SYNC_NORMAL);
	free(room);
	return rc == SQLITE_OK ? OK : ERR_IO;
}

/* Files of another file system cannot be renamed; the copy is whole before the original goes. */
static int move_file(const struct store_sqlite *s, const char *from, const char *to)
{
	char *from_name = NULL, *to_name = NULL;
	sqlite3_file *a = NULL, *b = NULL;
	int rc = ERR_IO;

	if (!s->vfs)
		return rename(from, to) == 0 ? OK : ERR_IO;
	delete_file(s, to);
	if ((a = open_file(s, from, SQLITE_OPEN_READWRITE, &from_name)) &&
	    (b = open_file(s, to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &to_name)))
		rc = copy_bytes(a, b);
	close_file(a, from_name);
	close_file(b, to_name);
	if (rc == OK)
		delete_file(s, from);
	return rc;
}

static void path_with(const struct store_sqlite *s, const char *suffix, char out[PATH_ROOM])
{
	snprintf(out, PATH_ROOM, "%s%s", s->path, suffix);
}

void sq_suspect_set(struct store_sqlite *s)
{
	char path[PATH_ROOM], *name;
	sqlite3_file *f;

	path_with(s, SUSPECT_SUFFIX, path);
	f = open_file(s, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &name);
	if (f && f->pMethods->xWrite(f, "\n", 1, 0) == SQLITE_OK)
		f->pMethods->xSync(f, SQLITE_SYNC_NORMAL);
	close_file(f, name);
}

bool sq_suspect(const struct store_sqlite *s)
{
	char path[PATH_ROOM];

	path_with(s, SUSPECT_SUFFIX, path);
	return is_there(s, path);
}

void sq_suspect_clear(struct store_sqlite *s)
{
	char path[PATH_ROOM];

	path_with(s, SUSPECT_SUFFIX, path);
	delete_file(s, path);
}

/* ---- reading past pages that cannot be read ---- */

/* Where a table is read from: a number, or bytes for the one that is in the order of topics. */
struct key {
	int64_t number;
	uint8_t bytes[KEY_MAX];
	size_t len;
};

struct gap {
	struct key lo, hi;
	struct gap *next;
};

struct table {
	const char *name, *key;
	bool bytes;
	sqlite3 *from;
	sqlite3_stmt *up, *down, *insert;
	struct gap *gaps, **last; /* to be looked through */
	unsigned looked;
	uint64_t rows;
	bool lost; /* something could not be read */
};

static void bind_key(const struct table *t, sqlite3_stmt *st, int at, const struct key *k)
{
	if (t->bytes)
		sq_bind(st, at, span_of(k->bytes, k->len));
	else
		sqlite3_bind_int64(st, at, k->number);
}

static void key_of(const struct table *t, sqlite3_stmt *st, struct key *k)
{
	struct span s;

	if (!t->bytes) {
		k->number = sqlite3_column_int64(st, 0);
		return;
	}
	s = sq_span(st, 0);
	k->len = s.len < KEY_MAX ? s.len : KEY_MAX;
	if (k->len)
		memcpy(k->bytes, s.p, k->len);
}

static int copy_row(struct table *t, sqlite3_stmt *st)
{
	int columns = sqlite3_bind_parameter_count(t->insert), rc;

	for (int i = 0; i < columns; i++)
		sqlite3_bind_value(t->insert, i + 1, sqlite3_column_value(st, i + 1));
	rc = sqlite3_step(t->insert);
	if (rc == SQLITE_DONE && sqlite3_changes(sqlite3_db_handle(t->insert)) > 0)
		t->rows++;
	sqlite3_reset(t->insert);
	/* A row that does not fit the table is not one of ours. */
	return rc == SQLITE_DONE || rc == SQLITE_CONSTRAINT ? SQLITE_OK : rc;
}

/* Copy rows between two keys in the order of `st`; *reached is the last one. *whole: nothing was in the way. */
static int copy_run(struct table *t, sqlite3_stmt *st, const struct key *lo, const struct key *hi,
		    struct key *reached, bool *whole)
{
	int step, rc = SQLITE_OK;

	bind_key(t, st, 1, lo);
	bind_key(t, st, 2, hi);
	while (rc == SQLITE_OK && (step = sqlite3_step(st)) == SQLITE_ROW) {
		key_of(t, st, reached);
		rc = copy_row(t, st);
	}
	*whole = rc == SQLITE_OK && step == SQLITE_DONE;
	sqlite3_reset(st);
	return rc;
}

/* The key in the middle; false: there is none, or it would be too long. */
static bool middle(const struct table *t, const struct key *lo, const struct key *hi, struct key *mid)
{
	uint64_t a = 0, b = 0;
	size_t same = 0;

	if (!t->bytes) {
		mid->number = lo->number + (int64_t)(((uint64_t)hi->number - (uint64_t)lo->number) / 2);
		return mid->number > lo->number;
	}
	while (same < lo->len && same < hi->len && lo->bytes[same] == hi->bytes[same])
		same++;
	if (same + 8 > KEY_MAX)
		return false;
	for (size_t i = same; i < same + 8; i++) {
		a = a << 8 | (i < lo->len ? lo->bytes[i] : 0);
		b = b << 8 | (i < hi->len ? hi->bytes[i] : 0);
	}
	if (b < a || b - a < 2)
		return false;
	a += (b - a) / 2;
	memcpy(mid->bytes, lo->bytes, same);
	for (size_t i = 0; i < 8; i++)
		mid->bytes[same + i] = (uint8_t)(a >> (56 - 8 * i));
	mid->len = same + 8;
	return true;
}

static int add_gap(struct table *t, const struct key *lo, const struct key *hi)
{
	struct gap *g = calloc(1, sizeof(*g));

	if (!g)
		return SQLITE_NOMEM;
	g->lo = *lo;
	g->hi = *hi;
	*t->last = g;
	t->last = &g->next;
	return SQLITE_OK;
}

/* Read a gap from both ends, and leave what is between for later in two halves. */
static int look_through(struct table *t, struct gap *g)
{
	struct key mid;
	bool whole;
	int rc = copy_run(t, t->up, &g->lo, &g->hi, &g->lo, &whole);

	if (rc != SQLITE_OK || whole)
		return rc;
	t->lost = true;
	rc = copy_run(t, t->down, &g->lo, &g->hi, &g->hi, &whole);
	if (rc != SQLITE_OK || whole || t->looked++ >= GAPS_MAX || !middle(t, &g->lo, &g->hi, &mid))
		return rc;
	if ((rc = add_gap(t, &g->lo, &mid)) == SQLITE_OK)
		rc = add_gap(t, &mid, &g->hi);
	return rc;
}

static int prepare(struct table *t, sqlite3 *from, sqlite3 *to, const char *values)
{
	char sql[256];
	int rc;

	snprintf(sql, sizeof(sql), "SELECT %s, * FROM %s WHERE %s >= ?1 AND %s <= ?2 ORDER BY %s", t->key,
		 t->name, t->key, t->key, t->key);
	if ((rc = sqlite3_prepare_v2(from, sql, -1, &t->up, NULL)) != SQLITE_OK)
		return rc;
	strcat(sql, " DESC");
	if ((rc = sqlite3_prepare_v2(from, sql, -1, &t->down, NULL)) != SQLITE_OK)
		return rc;
	snprintf(sql, sizeof(sql), "INSERT OR IGNORE INTO %s VALUES(%s)", t->name, values);
	return sqlite3_prepare_v2(to, sql, -1, &t->insert, NULL);
}

static const struct {
	const char *name, *key, *values;
	bool bytes;
} plan[] = {
	{"meta", "CAST(key AS BLOB)", "?,?", true},     {"session", "id", "?,?,?,?,?,?,?,?,?,?", false},
	{"sub", "session", "?,?,?,?", false},           {"message", "id", "?,?,?,?,?,?", false},
	{"queue", "key", "?,?,?,?,?,?,?,?,?,?", false}, {"received", "key", "?", false},
	{"confirm", "origin", "?,?,?", false},          {"retained", "topic", "?,?,?,?,?,?", true},
};

/* Copy what can be read of a table. What SQLite says when the new database cannot be written. */
static int copy_table(const struct store_sqlite *s, sqlite3 *from, sqlite3 *to, size_t which)
{
	struct table t = {
		.name = plan[which].name, .key = plan[which].key, .bytes = plan[which].bytes, .from = from};
	struct key lo = {.number = INT64_MIN}, hi = {.number = INT64_MAX, .len = 8};
	struct gap *g;
	int rc;

	memset(hi.bytes, 0xff, sizeof(hi.bytes));
	t.last = &t.gaps;
	if (prepare(&t, from, to, plan[which].values) != SQLITE_OK) {
		t.lost = true;
		rc = t.up && t.down ? SQLITE_ERROR : SQLITE_OK;
	} else {
		rc = add_gap(&t, &lo, &hi);
	}
	while ((g = t.gaps)) {
		if (rc == SQLITE_OK)
			rc = look_through(&t, g);
		if (!(t.gaps = g->next))
			t.last = &t.gaps;
		free(g);
	}
	sqlite3_finalize(t.up);
	sqlite3_finalize(t.down);
	sqlite3_finalize(t.insert);
	log_warning("store", "%s: salvaged %llu rows of %s%s", s->path, (unsigned long long)t.rows, t.name,
		    t.lost ? "; some could not be read" : "");
	return rc;
}

/*
 * What belongs to nothing goes, and numbers that were lost are taken from what names them, so that none is given twice. A row that
 * only a lost number could prove to be unconfirmed counts.
 */
static const char clean_up[] =
	"DELETE FROM session WHERE id NOT BETWEEN 1 AND 16777215 OR typeof(client) <> 'blob';"
	"DELETE FROM sub WHERE session NOT IN (SELECT id FROM session) OR typeof(filter) <> 'blob';"
	"DELETE FROM received WHERE key >> 16 NOT IN (SELECT id FROM session);"
	"DELETE FROM queue WHERE key >> 39 NOT IN (SELECT id FROM session)"
	" OR (msg > 0 AND info & 24 <> 16 AND msg NOT IN (SELECT id FROM message));"
	"DELETE FROM retained WHERE typeof(topic) <> 'blob' OR typeof(stamp) <> 'integer';"
	"INSERT OR IGNORE INTO meta VALUES('boot', 0);"
	"UPDATE meta SET value = max(value, (SELECT ifnull(max(cond >> 16), 0) FROM queue)) WHERE key = "
	"'boot';"
	"INSERT OR REPLACE INTO meta VALUES('salvaged', 1);";

static int fill(const struct store_sqlite *s, sqlite3 *from, sqlite3 *to)
{
	char sql[64];
	int rc;

	snprintf(sql, sizeof(sql), "PRAGMA page_size = %d; BEGIN; PRAGMA user_version = %d", SQ_PAGE_SIZE,
		 SQ_FORMAT);
	if ((rc = sqlite3_exec(to, sql, NULL, NULL, NULL)) != SQLITE_OK ||
	    (rc = sq_schema_create(to)) != SQLITE_OK)
		return rc;
	for (size_t i = 0; i < sizeof(plan) / sizeof(plan[0]); i++)
		if ((rc = copy_table(s, from, to, i)) != SQLITE_OK)
			return rc;
	if ((rc = sqlite3_exec(to, clean_up, NULL, NULL, NULL)) != SQLITE_OK)
		return rc;
	return sqlite3_exec(to, "COMMIT", NULL, NULL, NULL);
}

static int open_any(const struct store_sqlite *s, const char *path, sqlite3 **db)
{
	int rc = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
				 s->vfs);

	if (rc == SQLITE_OK && s->vfs)
		rc = sqlite3_exec(*db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL);
	return rc;
}

static int make_new(struct store_sqlite *s, const char *path)
{
	sqlite3 *from = NULL, *to = NULL;
	int rc;

	delete_file(s, path);
	if (!s->vfs && (rc = sq_folder_make_file(s, SQ_FILE_NAME NEW_SUFFIX)) < 0)
		return rc;
	if ((rc = open_any(s, path, &to)) == SQLITE_OK) {
		/* What cannot be opened at all has no rows. */
		if (open_any(s, s->path, &from) != SQLITE_OK)
			log_error("store", "%s: nothing of it can be read", s->path);
		rc = fill(s, from, to);
	}
	if (rc != SQLITE_OK)
		log_error("store", "%s: cannot write what was salvaged: %s", path,
			  to ? sqlite3_errmsg(to) : "");
	sqlite3_close(from);
	sqlite3_close(to);
	return rc == SQLITE_OK ? OK : rc == SQLITE_FULL ? ERR_FULL : ERR_IO;
}

/* ---- the new one takes the place of the old one ---- */

/* Seconds since 1970 by SQLite's file system, whose time may be another one. */
static time_t now_s(const struct store_sqlite *s)
{
	sqlite3_vfs *vfs = vfs_of(s);
	sqlite3_int64 ms = 0;

	if (vfs->iVersion >= 2 && vfs->xCurrentTimeInt64)
		vfs->xCurrentTimeInt64(vfs, &ms); /* since noon of 24 November 4714 BC */
	return (time_t)(ms / 1000 - INT64_C(210866760000));
}

static void name_aside(const struct store_sqlite *s, char out[PATH_ROOM])
{
	time_t now = now_s(s);
	struct tm tm = {0};
	char at[32];

	gmtime_r(&now, &tm);
	strftime(at, sizeof(at), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(out, PATH_ROOM, "%s.damaged-%s", s->path, at);
	for (int n = 2; is_there(s, out); n++)
		snprintf(out, PATH_ROOM, "%s.damaged-%s-%d", s->path, at, n);
}

/* May be cut short anywhere, and done again. */
static int exchange(struct store_sqlite *s, const char *fresh)
{
	char aside[PATH_ROOM], log_aside[PATH_ROOM + 8], path[PATH_ROOM];
	int rc;

	name_aside(s, aside);
	snprintf(log_aside, sizeof(log_aside), "%s-wal", aside);
	if (is_there(s, s->path) && (rc = move_file(s, s->path, aside)) < 0)
		return rc;
	path_with(s, "-wal", path);
	if (is_there(s, path) && (rc = move_file(s, path, log_aside)) < 0)
		return rc;
	path_with(s, "-shm", path);
	delete_file(s, path);
	if ((rc = move_file(s, fresh, s->path)) < 0)
		return rc;
	sq_suspect_clear(s);
	log_error("store",
		  "%s was damaged: what could be read of it is in a new one; the damaged one is now %s",
		  s->path, aside);
	return OK;
}

static bool is_complete(const struct store_sqlite *s, const char *path)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	bool yes = false;

	if (open_any(s, path, &db) == SQLITE_OK &&
	    sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE key = 'salvaged'", -1, &st, NULL) ==
		    SQLITE_OK)
		yes = sqlite3_step(st) == SQLITE_ROW;
	sqlite3_finalize(st);
	sqlite3_close(db);
	return yes;
}

int sq_salvage_resume(struct store_sqlite *s)
{
	char path[PATH_ROOM];

	path_with(s, NEW_SUFFIX, path);
	if (is_there(s, path) && is_complete(s, path))
		return exchange(s, path);
	delete_file(s, path);
	return OK;
}

int sq_salvage(struct store_sqlite *s)
{
	char path[PATH_ROOM];
	int rc;

	log_error("store", "%s is damaged: reading what can be read of it", s->path);
	sq_disconnect(s);
	path_with(s, NEW_SUFFIX, path);
	if ((rc = make_new(s, path)) < 0 || (rc = exchange(s, path)) < 0)
		return rc;
	s->damaged = false;
	return OK;
}
