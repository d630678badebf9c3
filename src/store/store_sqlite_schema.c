/*
 * Tables, statements, format versions.
 *
 *   meta      format-independent numbers: boot, last_ms, last_stamp, clean
 *   session   will_topic NULL: it has no will
 *   message   what several rows of the queue refer to
 *   queue     key = session << 39 | seq; msg 0: the message is in the row. info: see sq_row_info(). cond: boot << 16 | origin of a
 *             row that counts only if `confirm` of that origin reached its number in that boot; 0: it counts
 *   retained  payload NULL: it was cleared, and the stamp is kept so that an older value that comes late does not come back
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "store/sqlite_db.h"

static const char *const tables[] = {"meta",     "session", "sub",      "message", "queue",
				     "received", "confirm", "retained", NULL};

static const char tables_sql[] =
	"CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;"
	"CREATE TABLE session(id INTEGER PRIMARY KEY, client BLOB, expiry INTEGER, away INTEGER, will_topic "
	"BLOB,"
	" will_props BLOB, will_payload BLOB, will_info INTEGER, will_delay INTEGER, will_expiry INTEGER);"
	"CREATE TABLE sub(session INTEGER, filter BLOB, flags INTEGER, ident INTEGER, PRIMARY KEY(session, "
	"filter))"
	" WITHOUT ROWID;"
	"CREATE TABLE message(id INTEGER PRIMARY KEY, info INTEGER, expires INTEGER, topic BLOB, props BLOB,"
	" payload BLOB);"
	"CREATE TABLE queue(key INTEGER PRIMARY KEY, info INTEGER, msg INTEGER, cond INTEGER, number INTEGER,"
	" sub_ids BLOB, expires INTEGER, topic BLOB, props BLOB, payload BLOB);"
	"CREATE TABLE received(key INTEGER PRIMARY KEY);"
	"CREATE TABLE confirm(origin INTEGER PRIMARY KEY, boot INTEGER, number INTEGER);"
	"CREATE TABLE retained(topic BLOB PRIMARY KEY, stamp INTEGER, info INTEGER, expires INTEGER, props "
	"BLOB,"
	" payload BLOB) WITHOUT ROWID;"
	"CREATE INDEX cleared ON retained(stamp) WHERE payload IS NULL;";

static const char *const statements[SQ_STMTS] = {
	[SQ_BEGIN] = "BEGIN IMMEDIATE",
	[SQ_COMMIT] = "COMMIT",
	[SQ_ROLLBACK] = "ROLLBACK",
	[SQ_META_PUT] = "INSERT OR REPLACE INTO meta VALUES(?1, ?2)",
	[SQ_SESSION_PUT] = "INSERT OR REPLACE INTO session VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[SQ_SESSION_DROP] = "DELETE FROM session WHERE id = ?1",
	[SQ_SUB_PUT] = "INSERT OR REPLACE INTO sub VALUES(?1, ?2, ?3, ?4)",
	[SQ_SUB_DROP] = "DELETE FROM sub WHERE session = ?1 AND filter = ?2",
	[SQ_SUB_DROP_ALL] = "DELETE FROM sub WHERE session = ?1",
	[SQ_MSG_PUT] = "INSERT OR REPLACE INTO message VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[SQ_MSG_DROP_RANGE] = "DELETE FROM message WHERE id >= ?1 AND id < ?2",
	[SQ_MSG_NEXT] = "SELECT id FROM message WHERE id >= ?1 ORDER BY id LIMIT 1",
	[SQ_ROW_PUT] = "INSERT OR REPLACE INTO queue VALUES(?1, ?2, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[SQ_ROW_PUT_SHARED] = "INSERT OR REPLACE INTO queue(key, info, msg, cond, number, sub_ids)"
			      " VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
	[SQ_ROW_MSG] = "SELECT msg FROM queue WHERE key = ?1",
	[SQ_ROW_MSGS] = "SELECT msg FROM queue WHERE key >= ?1 AND key <= ?2 AND msg > 0",
	[SQ_ROW_STATE] = "UPDATE queue SET info = (info & ~?2) | ?3 WHERE key = ?1",
	[SQ_ROW_RELEASE] = "UPDATE queue SET info = (info & ~?2) | ?3, msg = 0, topic = NULL, props = NULL,"
			   " payload = NULL WHERE key = ?1",
	[SQ_ROW_DROP] = "DELETE FROM queue WHERE key = ?1",
	[SQ_ROW_DROP_RANGE] = "DELETE FROM queue WHERE key >= ?1 AND key <= ?2",
	[SQ_ROW_READ] = "SELECT q.key, q.info, q.msg, q.cond, q.number, q.sub_ids,"
			" q.expires, q.topic, q.props, q.payload, m.id, m.info, m.expires, m.topic, m.props, "
			"m.payload"
			" FROM queue q LEFT JOIN message m ON m.id = q.msg"
			" WHERE q.key >= ?1 AND q.key <= ?2 ORDER BY q.key",
	[SQ_RECEIVED_PUT] = "INSERT OR REPLACE INTO received VALUES(?1)",
	[SQ_RECEIVED_DROP] = "DELETE FROM received WHERE key = ?1",
	[SQ_RECEIVED_DROP_RANGE] = "DELETE FROM received WHERE key >= ?1 AND key < ?2",
	[SQ_CONFIRM_PUT] = "INSERT OR REPLACE INTO confirm VALUES(?1, ?2, ?3)",
	[SQ_RETAINED_PUT] =
		"INSERT INTO retained VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(topic) DO UPDATE SET"
		" stamp = excluded.stamp, info = excluded.info, expires = excluded.expires,"
		" props = excluded.props, payload = excluded.payload WHERE excluded.stamp > stamp",
	[SQ_RETAINED_PURGE] =
		"DELETE FROM retained WHERE topic IN (SELECT topic FROM retained INDEXED BY cleared"
		" WHERE payload IS NULL AND stamp <= ?1 LIMIT ?2)",
	[SQ_PAGES] = "PRAGMA page_count",
	[SQ_FREE_PAGES] = "PRAGMA freelist_count",
};

int sq_schema_create(sqlite3 *db)
{
	return sqlite3_exec(db, tables_sql, NULL, NULL, NULL);
}

/*
 * From a format to the next one, in the transaction that also sets user_version. Format 0 is an empty file, or one whose making was
 * cut short.
 */
static int to_format_1(sqlite3 *db)
{
	for (size_t i = 0; tables[i]; i++) {
		char sql[64];
		int rc;

		snprintf(sql, sizeof(sql), "DROP TABLE IF EXISTS %s", tables[i]);
		if ((rc = sqlite3_exec(db, sql, NULL, NULL, NULL)) != SQLITE_OK)
			return rc;
	}
	return sq_schema_create(db);
}

static int (*const migrations[SQ_FORMAT])(sqlite3 *db) = {to_format_1};

static int migrate(struct store_sqlite *s, int64_t from)
{
	int rc;

	if ((rc = sq_exec(s, "BEGIN IMMEDIATE")) < 0)
		return rc;
	for (int64_t v = from; v < SQ_FORMAT && rc == OK; v++) {
		char sql[64];

		snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", (int)v + 1);
		if ((rc = migrations[v](s->db)) != SQLITE_OK)
			rc = sq_error(s, rc, "bring it to this version's format");
		else
			rc = sq_exec(s, sql);
	}
	if (rc == OK)
		rc = sq_exec(s, "COMMIT");
	if (rc < 0 && !sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	if (rc == OK && from > 0)
		log_notice("store", "%s: brought from format %d to %d", s->path, (int)from, SQ_FORMAT);
	return rc;
}

static int prepare_all(struct store_sqlite *s)
{
	for (int i = 0; i < SQ_STMTS; i++) {
		int rc = sqlite3_prepare_v3(s->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &s->stmt[i],
					    NULL);

		if (rc != SQLITE_OK)
			return sq_error(s, rc, "prepare statements");
	}
	return OK;
}

int sq_number(struct store_sqlite *s, const char *sql, int64_t *out)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	*out = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? OK : sq_error(s, rc, "read");
}

static int read_meta(struct store_sqlite *s)
{
	int64_t boot = 0, stamp = 0;
	int rc;

	if ((rc = sq_number(s, "SELECT value FROM meta WHERE key = 'boot'", &boot)) < 0 ||
	    (rc = sq_number(s, "SELECT value FROM meta WHERE key = 'last_stamp'", &stamp)) < 0 ||
	    (rc = sq_number(s, "SELECT value FROM meta WHERE key = 'last_ms'", &s->meta_ms)) < 0)
		return rc;
	s->boot = (uint64_t)boot;
	s->last_stamp = (uint64_t)stamp;
	s->last_ms = s->pending_ms = s->meta_ms;
	return OK;
}

int sq_schema_open(struct store_sqlite *s, char *why, size_t size)
{
	int64_t format;
	int rc;

	if ((rc = sq_number(s, "PRAGMA user_version", &format)) < 0)
		return rc;
	if (format > SQ_FORMAT) {
		snprintf(why, size,
			 "%s has format %lld, made by a newer version; this one knows formats up to %d: "
			 "install "
			 "that version again, or name another folder",
			 s->path, (long long)format, SQ_FORMAT);
		return ERR_UNSUPPORTED;
	}
	if (format < SQ_FORMAT && s->read_only) {
		snprintf(why, size,
			 "%s has the older format %lld: the gateway brings it to this one when it starts",
			 s->path, (long long)format);
		return ERR_UNSUPPORTED;
	}
	if (format < SQ_FORMAT && (rc = migrate(s, format)) < 0)
		return rc;
	if ((rc = prepare_all(s)) < 0)
		return rc;
	return read_meta(s);
}
