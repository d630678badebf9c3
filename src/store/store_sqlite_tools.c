/* What the command line does with a database. */
#include "store/store_sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/sqlite_db.h"

#define WAIT_MS 10000 /* for the gateway, which has it for a commit at a time */

struct tool {
	sqlite3 *db;
	char *path;
	char *why;
	size_t size;
};

static int failed(struct tool *t, int rc)
{
	int kind = rc & 0xff;

	snprintf(t->why, t->size, "%s: %s", t->path ? t->path : "store",
		 t->db ? sqlite3_errmsg(t->db) : sqlite3_errstr(rc));
	switch (kind) {
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_FULL:
		return ERR_FULL;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ERR_BUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return ERR_MALFORMED;
	default:
		return ERR_IO;
	}
}

static int number(struct tool *t, const char *sql, int64_t *out)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(t->db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	*out = rc == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;
	sqlite3_finalize(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? OK : failed(t, rc);
}

static int tool_open(struct tool *t, const char *folder)
{
	int64_t format;
	int rc;

	t->why[0] = '\0';
	if (asprintf(&t->path, "%s/%s", folder, SQ_FILE_NAME) < 0) {
		t->path = NULL;
		return ERR_NOMEM;
	}
	if (access(t->path, F_OK) < 0) {
		snprintf(t->why, t->size, "there is no store in %s", folder);
		return ERR_NOT_FOUND;
	}
	/* Not read-only: after a stop that was not clean the log has to be read into shared memory first. */
	rc = sqlite3_open_v2(t->path, &t->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc != SQLITE_OK)
		return failed(t, rc);
	sqlite3_busy_timeout(t->db, WAIT_MS);
	if ((rc = number(t, "PRAGMA user_version", &format)) < 0)
		return rc;
	if (format > SQ_FORMAT) {
		snprintf(t->why, t->size,
			 "%s has format %lld, made by a newer version; this one knows formats up to %d",
			 t->path, (long long)format, SQ_FORMAT);
		return ERR_UNSUPPORTED;
	}
	return OK;
}

static void tool_close(struct tool *t)
{
	sqlite3_close(t->db);
	free(t->path);
}

static uint64_t file_bytes(const char *path, const char *suffix)
{
	char name[4096];
	struct stat st;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	return stat(name, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

static int count_tables(struct tool *t, struct store_sqlite_info *out)
{
	for (unsigned i = 0; sq_tables[i]; i++) {
		char sql[96];
		int64_t rows;
		int rc;

		snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s%s", sq_tables[i],
			 strcmp(sq_tables[i], "retained") == 0 ? " WHERE payload IS NOT NULL" : "");
		if ((rc = number(t, sql, &rows)) < 0)
			return rc;
		out->table[i].name = sq_tables[i];
		out->table[i].rows = (uint64_t)rows;
		out->ntables = i + 1;
	}
	return OK;
}

int store_sqlite_info(const char *folder, struct store_sqlite_info *out, char *why, size_t size)
{
	struct tool t = {.why = why, .size = size};
	int64_t page_size = 0, free_pages = 0, clean = 0;
	int rc;

	*out = (struct store_sqlite_info){0};
	if ((rc = tool_open(&t, folder)) == OK &&
	    (rc = number(&t, "PRAGMA user_version", &out->format)) == OK &&
	    (rc = number(&t, "PRAGMA page_size", &page_size)) == OK &&
	    (rc = number(&t, "PRAGMA freelist_count", &free_pages)) == OK &&
	    (rc = number(&t, "SELECT value FROM meta WHERE key = 'boot'", &out->boots)) == OK &&
	    (rc = number(&t, "SELECT value FROM meta WHERE key = 'clean'", &clean)) == OK)
		rc = count_tables(&t, out);
	if (rc == OK) {
		out->clean = clean;
		out->bytes = file_bytes(t.path, "");
		out->free = (uint64_t)(free_pages * page_size);
		out->log = file_bytes(t.path, "-wal");
	}
	tool_close(&t);
	return rc;
}

int store_sqlite_check(const char *folder, bool thorough, void (*fault)(void *arg, const char *line),
		       void *arg, char *why, size_t size)
{
	struct tool t = {.why = why, .size = size};
	sqlite3_stmt *st = NULL;
	int rc = tool_open(&t, folder), step = SQLITE_DONE;
	bool sound = true;

	if (rc == OK)
		step = sqlite3_prepare_v2(t.db, thorough ? "PRAGMA integrity_check" : "PRAGMA quick_check",
					  -1, &st, NULL);
	while (rc == OK && st && (step = sqlite3_step(st)) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(st, 0);

		if (line && strcmp(line, "ok") == 0)
			continue;
		sound = false;
		fault(arg, line ? line : "a fault without words");
	}
	sqlite3_finalize(st);
	if (rc == OK && step != SQLITE_DONE)
		rc = failed(&t, step);
	if (rc == OK && !sound) {
		snprintf(why, size,
			 "%s is damaged: the gateway salvages it when it starts and finds the fault", t.path);
		rc = ERR_MALFORMED;
	}
	tool_close(&t);
	return rc;
}

int store_sqlite_compact(const char *folder, uint64_t *before, uint64_t *after, char *why, size_t size)
{
	struct tool t = {.why = why, .size = size};
	int rc, sqlite;

	*before = *after = 0;
	/* What it writes on the side belongs where the room was asked for, not in memory. */
	setenv("SQLITE_TMPDIR", folder, 1);
	if ((rc = tool_open(&t, folder)) == OK) {
		*before = file_bytes(t.path, "");
		sqlite = sqlite3_exec(t.db,
				      "PRAGMA temp_store = FILE; PRAGMA synchronous = FULL; VACUUM;"
				      "PRAGMA wal_checkpoint(TRUNCATE)",
				      NULL, NULL, NULL);
		rc = sqlite == SQLITE_OK ? OK : failed(&t, sqlite);
		*after = file_bytes(t.path, "");
	}
	tool_close(&t);
	return rc;
}
