/*
 * A store in an SQLite database: one connection in WAL mode, one transaction per commit, checkpoints when we say so.
 *
 * A page that makes no sense while it runs is answered with ERR_IO, and the store says STORE_FAILING until the next start, which
 * salvages: what workers remember of the disk (how many rows wait there) would not be true any more of a database that was
 * replaced below them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/sqlite_db.h"

#define CACHE_KIB    16384
#define BUSY_MS      5000                 /* for so long another process may hold the database */
#define WAL_MAX      (UINT64_C(64) << 20) /* bytes of the log; more are checkpointed after the commit */
#define WAL_MIN      (UINT64_C(128) << 10)
#define WAL_OF       4 /* of the reserve, which must have room for it twice, one in so many */
#define WAL_IDLE     (UINT64_C(16) << 20) /* more are checkpointed when there is nothing else to do */
#define SOFT_OF      8                    /* of max_bytes, one in so many is the reserve */
#define AGAIN_OF     32                   /* so much more must be free before it is in order again */
#define SWEEP_COMMIT 4
#define SWEEP_TIDY   32
#define PURGE_ROWS   200
#define PURGE_MS     60000 /* a value older than a clear of the same topic comes sooner than this, or never */
#define LAST_MS_STEP 1000
/* Bytes: a database is checked at each start up to this size, and up to that after a stop that was not clean. */
#define CHECK_MAX         (UINT64_C(32) << 20)
#define CHECK_UNCLEAN_MAX (UINT64_C(128) << 20)

static bool is_no_space(struct store_sqlite *s, int rc)
{
	int e;

	if ((rc & 0xff) == SQLITE_FULL)
		return true;
	e = (rc & 0xff) == SQLITE_IOERR && s->db ? sqlite3_system_errno(s->db) : 0;
	return e == ENOSPC || e == EDQUOT;
}

static void disk_is_full(struct store_sqlite *s)
{
	if (!s->vfs && s->disk.ballast_there)
		sq_folder_spend(s);
	if (!s->ballast_used)
		log_info("store", "%s: no space left", s->path);
	s->ballast_used = true;
	s->health = STORE_FULL;
}

int sq_error(struct store_sqlite *s, int rc, const char *doing)
{
	int kind = rc & 0xff;

	if (kind == SQLITE_NOMEM)
		return ERR_NOMEM;
	if (is_no_space(s, rc)) {
		disk_is_full(s);
		return ERR_FULL;
	}
	log_error("store", "%s: cannot %s: %s (%d)", s->path, doing,
		  s->db ? sqlite3_errmsg(s->db) : "no database", rc);
	if ((kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB) && !s->damaged) {
		s->damaged = true;
		if (!s->read_only)
			sq_suspect_set(s);
	}
	s->health = STORE_FAILING;
	return kind == SQLITE_BUSY ? ERR_BUSY : ERR_IO;
}

int sq_run(struct store_sqlite *s, enum sq_stmt which)
{
	int rc = sqlite3_step(s->stmt[which]);

	sqlite3_reset(s->stmt[which]);
	return rc == SQLITE_DONE ? OK : sq_error(s, rc, "write");
}

int sq_exec(struct store_sqlite *s, const char *sql)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? OK : sq_error(s, rc, sql);
}

int sq_meta_put(struct store_sqlite *s, const char *key, int64_t value)
{
	sqlite3_bind_text(s->stmt[SQ_META_PUT], 1, key, -1, SQLITE_STATIC);
	sqlite3_bind_int64(s->stmt[SQ_META_PUT], 2, value);
	return sq_run(s, SQ_META_PUT);
}

/* ---- size ---- */

static uint64_t ask_number(struct store_sqlite *s, enum sq_stmt which, uint64_t otherwise)
{
	uint64_t n = otherwise;

	if (sqlite3_step(s->stmt[which]) == SQLITE_ROW)
		n = (uint64_t)sqlite3_column_int64(s->stmt[which], 0);
	sqlite3_reset(s->stmt[which]);
	return n;
}

static void measure(struct store_sqlite *s)
{
	s->pages = ask_number(s, SQ_PAGES, s->pages);
	s->free_pages = ask_number(s, SQ_FREE_PAGES, s->free_pages);
}

static uint64_t frame_bytes(const struct store_sqlite *s)
{
	return s->page_size + 24; /* a frame of the log has a header */
}

/* Pages that were given back are used before the file grows, so they do not count; the log is a part of the reserve. */
static bool over_limit(struct store_sqlite *s)
{
	uint64_t used = (s->pages - s->free_pages) * s->page_size;
	uint64_t most = s->max_bytes - s->max_bytes / SOFT_OF - (s->is_over ? s->max_bytes / AGAIN_OF : 0);

	s->is_over = s->max_bytes && used > most;
	return s->is_over;
}

static uint64_t backend_bytes(struct store_backend *b)
{
	struct store_sqlite *s = sq_of(b);

	return s->pages * s->page_size + s->wal_frames * frame_bytes(s);
}

/*
 * The file system may stay full of our own database, which does not shrink: then its free pages are the reserve, if there is room
 * for the log beside it.
 */
static bool has_room_inside(const struct store_sqlite *s, uint64_t pages_bytes)
{
	return s->free_pages * s->page_size >= pages_bytes &&
	       sq_folder_free(s) + s->wal_frames * frame_bytes(s) >= 2 * s->wal_limit;
}

static bool has_reserve(struct store_sqlite *s)
{
	if (s->vfs || sq_folder_restore(s))
		return true;
	/* Twice as much to begin with, so that it does not go to and fro. */
	return has_room_inside(s, s->ballast_used ? s->disk.ballast : s->disk.ballast / 2);
}

static enum store_health backend_health(struct store_backend *b)
{
	struct store_sqlite *s = sq_of(b);

	if (s->health == STORE_FAILING)
		return s->health;
	if (s->ballast_used && has_reserve(s)) {
		s->ballast_used = false;
		s->health = STORE_OK;
		log_info("store", "%s: there is space again", s->path);
	} else if (!s->vfs && !s->ballast_used && !s->disk.ballast_there && !has_reserve(s)) {
		disk_is_full(s);
	}
	if (s->health == STORE_OK && over_limit(s))
		return STORE_FULL;
	return s->health;
}

/* ---- the log ---- */

static int on_wal(void *arg, sqlite3 *db, const char *name, int frames)
{
	struct store_sqlite *s = arg;

	(void)db;
	(void)name;
	if ((uint32_t)frames < s->wal_frames)
		s->wal_checkpointed = 0; /* it began anew */
	s->wal_frames = (uint32_t)frames;
	return SQLITE_OK;
}

static int checkpoint(struct store_sqlite *s)
{
	int mode = s->ballast_used ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
	int frames = 0, done = 0, rc;

	sqlite3_busy_timeout(s->db, 0); /* someone reads: the rest another time */
	rc = sqlite3_wal_checkpoint_v2(s->db, NULL, mode, &frames, &done);
	sqlite3_busy_timeout(s->db, BUSY_MS);
	if (rc == SQLITE_OK && frames >= 0) {
		s->wal_frames = (uint32_t)frames;
		s->wal_checkpointed = (uint32_t)done;
	}
	return rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED ? OK
									   : sq_error(s, rc, "checkpoint");
}

static bool log_exceeds(const struct store_sqlite *s, uint64_t bytes)
{
	return (s->wal_frames - s->wal_checkpointed) * frame_bytes(s) > bytes;
}

/* ---- transactions ---- */

int sq_begin(struct store_sqlite *s)
{
	int rc;

	if (s->damaged)
		return ERR_IO;
	rc = sq_run(s, SQ_BEGIN);
	return rc == ERR_BUSY ? ERR_IO : rc;
}

static int purge_cleared(struct store_sqlite *s)
{
	sqlite3_stmt *st = s->stmt[SQ_RETAINED_PURGE];
	int rc;

	if (!s->may_have_cleared || s->age_ms < s->cleared[1].age_ms + PURGE_MS)
		return OK;
	sqlite3_bind_int64(st, 1, (int64_t)s->cleared[0].stamp);
	sqlite3_bind_int64(st, 2, PURGE_ROWS);
	if ((rc = sq_run(s, SQ_RETAINED_PURGE)) < 0)
		return rc;
	if (sqlite3_changes(s->db) > 0)
		return sq_meta_put(s, "last_stamp", (int64_t)s->last_stamp);
	s->may_have_cleared = s->cleared[0].stamp < s->last_stamp;
	s->cleared[0] = s->cleared[1];
	s->cleared[1].stamp = s->last_stamp;
	s->cleared[1].age_ms = s->age_ms;
	return OK;
}

/* What is written beside the changes themselves. */
static int write_rest(struct store_sqlite *s)
{
	int rc;

	if ((rc = sq_changes_write(s)) < 0 || (rc = sq_segments_sweep(s, SWEEP_COMMIT)) < 0 ||
	    (rc = purge_cleared(s)) < 0)
		return rc;
	if (s->pending_ms >= s->meta_ms + LAST_MS_STEP)
		return sq_meta_put(s, "last_ms", s->pending_ms);
	return OK;
}

static void passed(struct store_sqlite *s, int64_t wall_ms)
{
	int64_t step = wall_ms - s->last_ms;

	if (s->pending_ms >= s->meta_ms + LAST_MS_STEP)
		s->meta_ms = s->pending_ms;
	if (step > 0) {
		s->age_ms += (uint64_t)(step < 1000 ? step : 1000);
		s->last_ms = wall_ms;
	}
}

int sq_commit(struct store_sqlite *s)
{
	int rc;

	if ((rc = write_rest(s)) < 0)
		return rc;
	measure(s);
	if ((rc = sq_run(s, SQ_COMMIT)) < 0)
		return rc == ERR_BUSY ? ERR_IO : rc;
	passed(s, s->pending_ms);
	sq_segments_commit(s);
	s->health = s->ballast_used ? STORE_FULL : STORE_OK;
	/* A failure shows again, and is told, at the next commit. */
	if (log_exceeds(s, s->ballast_used ? WAL_MIN : s->wal_limit) && checkpoint(s) < 0 && !s->ballast_used)
		log_warning("store", "%s: the log stays as it is for now", s->path);
	return OK;
}

void sq_rollback(struct store_sqlite *s)
{
	s->changes.count = 0;
	s->changes.sub_ids_len = 0;
	/* SQLite may have done so itself. */
	if (!sqlite3_get_autocommit(s->db)) {
		sqlite3_step(s->stmt[SQ_ROLLBACK]);
		sqlite3_reset(s->stmt[SQ_ROLLBACK]);
	}
	sq_segments_rollback(&s->segments);
}

static int backend_begin(struct store_backend *b)
{
	return sq_begin(sq_of(b));
}

static int backend_apply(struct store_backend *b, const struct store_op *op)
{
	return sq_apply(sq_of(b), op);
}

static int backend_commit(struct store_backend *b, int64_t wall_ms)
{
	struct store_sqlite *s = sq_of(b);

	s->pending_ms = wall_ms;
	return sq_commit(s);
}

static void backend_rollback(struct store_backend *b)
{
	sq_rollback(sq_of(b));
}

static bool sweep(struct store_sqlite *s)
{
	int rc;

	if ((rc = sq_begin(s)) < 0)
		return false;
	if ((rc = sq_segments_sweep(s, SWEEP_TIDY)) == OK)
		rc = sq_commit(s);
	if (rc < 0)
		sq_rollback(s);
	return rc == OK;
}

static bool backend_tidy(struct store_backend *b)
{
	struct store_sqlite *s = sq_of(b);

	if (s->damaged || s->read_only)
		return false;
	if (sq_segments_can_sweep(s) && sweep(s))
		return true;
	if (log_exceeds(s, s->ballast_used ? 0 : WAL_IDLE))
		return checkpoint(s) == OK && sq_segments_can_sweep(s);
	return false;
}

/* ---- the rest of the backend ---- */

static int backend_read(struct store_backend *b, uint32_t session, uint64_t from_seq,
			bool (*found)(void *arg, const struct store_row *row), void *arg)
{
	return sq_read(sq_of(b), session, from_seq, found, arg);
}

static int backend_load(struct store_backend *b, const struct store_loader *l, void *arg)
{
	struct store_sqlite *s = sq_of(b);
	char why[256];
	int rc = sq_load(s, l, arg);

	/* Nothing was told yet: all of it was read once before. */
	if (rc < 0 && s->damaged && !s->told && !s->read_only && (rc = sq_salvage(s)) == OK &&
	    (rc = sq_open_database(s, why, sizeof(why))) == OK)
		rc = sq_load(s, l, arg);
	if (rc < 0 || s->read_only)
		return rc;
	measure(s);
	if (!s->vfs)
		(void)sq_folder_reserve(s); /* if not, health() says so */
	return OK;
}

static uint64_t backend_last_stamp(struct store_backend *b)
{
	return sq_of(b)->last_stamp;
}

static int64_t backend_last_ms(struct store_backend *b)
{
	return sq_of(b)->last_ms;
}

static uint64_t backend_last_msg_id(struct store_backend *b)
{
	return sq_of(b)->last_msg_id;
}

static void say_clean(struct store_sqlite *s)
{
	int rc;

	if (!s->loaded || s->read_only || s->damaged || sq_begin(s) < 0)
		return;
	if ((rc = sq_meta_put(s, "last_ms", s->last_ms)) == OK)
		rc = sq_meta_put(s, "clean", 1);
	if (rc == OK)
		rc = sq_commit(s);
	if (rc < 0)
		sq_rollback(s);
}

static void sq_destroy(struct store_sqlite *s)
{
	sq_disconnect(s);
	if (!s->vfs && !s->read_only)
		sq_folder_close(s);
	sq_changes_fini(&s->changes);
	sq_segments_fini(&s->segments);
	free(s->session_ids);
	free(s->confirmed);
	free(s->folder);
	free(s->path);
	free(s->vfs);
	free(s);
}

static void backend_close(struct store_backend *b)
{
	struct store_sqlite *s = sq_of(b);

	say_clean(s);
	sq_destroy(s);
}

static const struct store_backend_ops backend_ops = {
	.begin = backend_begin,
	.apply = backend_apply,
	.commit = backend_commit,
	.rollback = backend_rollback,
	.health = backend_health,
	.tidy = backend_tidy,
	.read = backend_read,
	.load = backend_load,
	.last_stamp = backend_last_stamp,
	.last_ms = backend_last_ms,
	.last_msg_id = backend_last_msg_id,
	.bytes = backend_bytes,
	.close = backend_close,
};

/* ---- open ---- */

static int set_up(struct store_sqlite *s)
{
	char sql[512];

	/*
	 * No memory mapping: a read error would be a signal and end the process. Pages that were freed need not be overwritten.
	 * Shared memory beside the log, for other processes, only where there are some; which has to be said before anything is read.
	 */
	snprintf(sql, sizeof(sql),
		 "%sPRAGMA page_size = %d; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -%d; PRAGMA "
		 "cache_spill = OFF;"
		 "PRAGMA secure_delete = OFF; PRAGMA trusted_schema = OFF; PRAGMA wal_autocheckpoint = 0;"
		 "PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON;%s",
		 s->vfs ? "PRAGMA locking_mode = EXCLUSIVE;" : "", SQ_PAGE_SIZE, CACHE_KIB,
		 s->read_only ? "" : "PRAGMA journal_mode = WAL;");
	return sq_exec(s, sql);
}

/* The log is kept at this length when it begins anew: writing over what is there syncs faster than growing. */
static int set_limits(struct store_sqlite *s)
{
	char sql[128];
	int64_t page_size;
	int rc;

	if ((rc = sq_number(s, "PRAGMA page_size", &page_size)) < 0)
		return rc;
	s->page_size = (uint32_t)page_size;
	s->wal_limit = s->max_bytes ? s->max_bytes / SOFT_OF : WAL_MAX;
	if (s->disk.ballast && s->wal_limit > s->disk.ballast / WAL_OF)
		s->wal_limit = s->disk.ballast / WAL_OF;
	if (s->wal_limit > WAL_MAX)
		s->wal_limit = WAL_MAX;
	if (s->wal_limit < WAL_MIN)
		s->wal_limit = WAL_MIN;
	snprintf(sql, sizeof(sql), "PRAGMA journal_size_limit = %llu; PRAGMA synchronous = %s",
		 (unsigned long long)(2 * s->wal_limit), s->durability == STORE_FSYNC ? "FULL" : "OFF");
	return sq_exec(s, sql);
}

int sq_connect(struct store_sqlite *s)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	int rc = s->read_only && !s->vfs ? sq_open_to_read(s->folder, &s->db)
					 : sqlite3_open_v2(s->path, &s->db, flags, s->vfs);

	if (rc != SQLITE_OK)
		return sq_error(s, rc, "open it");
	sqlite3_busy_timeout(s->db, BUSY_MS);
	if ((rc = set_up(s)) < 0)
		return rc;
	sqlite3_wal_hook(s->db, on_wal, s); /* wal_autocheckpoint takes away the one there was */
	return OK;
}

void sq_disconnect(struct store_sqlite *s)
{
	for (int i = 0; i < SQ_STMTS; i++) {
		sqlite3_finalize(s->stmt[i]);
		s->stmt[i] = NULL;
	}
	sqlite3_close(s->db);
	s->db = NULL;
}

static int create(const struct store_sqlite_options *o, struct store_sqlite **out)
{
	struct store_sqlite *s = calloc(1, sizeof(*s));

	if (!s)
		return ERR_NOMEM;
	s->base.ops = &backend_ops;
	sq_folder_init(&s->disk);
	sq_segments_init(&s->segments);
	s->durability = o->durability;
	s->max_bytes = o->max_bytes;
	s->read_only = o->read_only;
	s->folder = strdup(o->folder);
	s->vfs = o->vfs ? strdup(o->vfs) : NULL;
	if (!s->folder || (o->vfs && !s->vfs) || asprintf(&s->path, "%s/%s", o->folder, SQ_FILE_NAME) < 0) {
		s->path = NULL;
		sq_destroy(s);
		return ERR_NOMEM;
	}
	*out = s;
	return OK;
}

int sq_open_database(struct store_sqlite *s, char *why, size_t size)
{
	int rc;

	if ((rc = sq_connect(s)) < 0 || (rc = sq_schema_open(s, why, size)) < 0 || (rc = set_limits(s)) < 0)
		return rc;
	measure(s);
	s->health = STORE_OK;
	return s->read_only ? sq_exec(s, "BEGIN") : OK; /* all that is read is of one moment */
}

/*
 * Look at every page when it takes no time, when the last run was cut short and it does not take long, or when that found one that
 * made no sense.
 */
static int check_if_due(struct store_sqlite *s)
{
	sqlite3_stmt *st = NULL;
	int64_t unclean = 0;
	bool suspect = sq_suspect(s), sound;
	int rc;

	if ((rc = sq_number(s, "SELECT value = 0 FROM meta WHERE key = 'clean'", &unclean)) < 0)
		return rc;
	if (!suspect && s->pages * s->page_size > (unclean ? CHECK_UNCLEAN_MAX : CHECK_MAX))
		return OK;
	sound = sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &st, NULL) == SQLITE_OK &&
		sqlite3_step(st) == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(st, 0), "ok") == 0;
	sqlite3_finalize(st);
	s->damaged = !sound;
	if (sound && suspect)
		sq_suspect_clear(s);
	return sound ? OK : ERR_IO;
}

static int open_checked(struct store_sqlite *s, char *why, size_t size)
{
	int rc = sq_open_database(s, why, size);

	if (rc == OK && !s->read_only)
		rc = check_if_due(s);
	if (rc == OK || !s->damaged || s->read_only)
		return rc;
	if ((rc = sq_salvage(s)) < 0)
		return rc;
	return sq_open_database(s, why, size);
}

static int open_folder(struct store_sqlite *s, char *why, size_t size)
{
	int rc = sq_folder_open(s, why, size);

	if (rc < 0)
		return rc;
	sq_folder_plan(s);
	if ((rc = sq_salvage_resume(s)) < 0)
		return rc;
	return sq_folder_make_file(s, SQ_FILE_NAME);
}

int store_sqlite_open(const struct store_sqlite_options *o, struct store_backend **out, char *why,
		      size_t size)
{
	struct store_sqlite *s = NULL;
	int rc;

	/* Nobody asks SQLite how much memory it has; counting takes a lock at each allocation. Too late: no harm. */
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	sqlite3_initialize();
	why[0] = '\0';
	if ((rc = create(o, &s)) < 0)
		goto failed;
	if (!s->read_only && (rc = s->vfs ? sq_salvage_resume(s) : open_folder(s, why, size)) < 0)
		goto failed;
	if ((rc = open_checked(s, why, size)) < 0)
		goto failed;
	*out = &s->base;
	return OK;
failed:
	if (s && why[0] == '\0' && rc == ERR_FULL)
		snprintf(why, size, "no space left on the disk of %s: make room there, and start again",
			 s->folder);
	if (s && why[0] == '\0')
		snprintf(why, size, "%s: %s", s->path, s->db ? sqlite3_errmsg(s->db) : err_text(rc));
	if (s)
		sq_destroy(s);
	return rc;
}
