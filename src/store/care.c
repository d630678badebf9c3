#include "store/care.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/sqlite_db.h"

#define BUSY_MS      60000 /* commits are short; another compaction is not */
#define PATH_BYTES   4200u
#define DRAFT_FOLDER "draft"
#define LOCK_FILE    "lock"

struct reason {
	char *text;
	size_t size;
};

static int PRINTF_LIKE(3, 4) say(const struct reason *why, int rc, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why->text, why->size, fmt, args);
	va_end(args);
	return rc;
}

static void path_of(const char *folder, const char *name, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/%s", folder, name);
}

static uint64_t file_bytes(const char *folder, const char *name)
{
	char path[PATH_BYTES];
	struct stat st;

	path_of(folder, name, path);
	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* ---- connections ---- */

static int fault_of(sqlite3 *db, int rc, const struct reason *why)
{
	const char *text = db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);

	switch (rc & 0xff) {
	case SQLITE_NOMEM:
		return say(why, ERR_NOMEM, "out of memory");
	case SQLITE_FULL:
		return say(why, ERR_FULL, "no space left: a copy of the database has to fit");
	case SQLITE_BUSY:
		return say(why, ERR_BUSY, "somebody else writes to it: try again later");
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return say(why, ERR_MALFORMED,
			   "it is damaged (%s): the gateway salvages it when it is started again", text);
	default:
		return say(why, ERR_IO, "%s", text);
	}
}

/* Nobody can change it, and its log is empty: SQLite need not, and could not, make the shared memory that readers agree in. */
static bool is_frozen(const char *folder)
{
	return access(folder, W_OK) < 0 && errno == EROFS && file_bytes(folder, SQ_FILE_NAME "-wal") == 0;
}

/* As a URI: what has a meaning there is written as %XX. */
static void uri_of(const char *path, char uri[3 * PATH_BYTES])
{
	size_t n = (size_t)snprintf(uri, 3 * PATH_BYTES, "file:");

	for (; *path; path++)
		n += (size_t)snprintf(uri + n, 3 * PATH_BYTES - n, strchr("?#%", *path) ? "%%%02X" : "%c",
				      (unsigned char)*path);
	snprintf(uri + n, 3 * PATH_BYTES - n, "?immutable=1");
}

int sq_open_to_read(const char *folder, sqlite3 **db)
{
	char path[PATH_BYTES], uri[3 * PATH_BYTES + 16];
	int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;

	path_of(folder, SQ_FILE_NAME, path);
	if (!is_frozen(folder))
		return sqlite3_open_v2(path, db, flags, NULL);
	uri_of(path, uri);
	return sqlite3_open_v2(uri, db, flags | SQLITE_OPEN_URI, NULL);
}

static int open_database(const char *folder, int flags, sqlite3 **db, const struct reason *why)
{
	char path[PATH_BYTES];
	int rc;

	*db = NULL;
	path_of(folder, SQ_FILE_NAME, path);
	if (access(path, F_OK) < 0)
		return say(why, ERR_NOT_FOUND, "there is no store here: %s", strerror(errno));
	if (flags == SQLITE_OPEN_READONLY)
		rc = sq_open_to_read(folder, db);
	else
		rc = sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(*db, BUSY_MS);
	if (rc == SQLITE_OK)
		return OK;
	rc = fault_of(*db, rc, why);
	sqlite3_close(*db);
	*db = NULL;
	return rc;
}

static int number_of(sqlite3 *db, const char *sql, int64_t *out)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		*out = sqlite3_column_int64(st, 0);
		rc = SQLITE_OK;
	}
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int check_format(sqlite3 *db, const struct reason *why)
{
	int64_t format = 0;
	int rc = number_of(db, "PRAGMA user_version", &format);

	if (rc != SQLITE_OK)
		return fault_of(db, rc, why);
	if (format > SQ_FORMAT)
		return say(why, ERR_UNSUPPORTED,
			   "it has format %lld, made by a newer version; this one knows formats up to %d",
			   (long long)format, SQ_FORMAT);
	return OK;
}

int care_sizes(const char *folder, struct care_sizes *out, char *text, size_t size)
{
	const struct reason why = {text, size};
	int64_t page = 0, free_pages = 0, pages = 0;
	sqlite3 *db;
	int rc = open_database(folder, SQLITE_OPEN_READONLY, &db, &why);

	*out = (struct care_sizes){0};
	if (rc < 0)
		return rc;
	if ((rc = number_of(db, "PRAGMA page_size", &page)) != SQLITE_OK ||
	    (rc = number_of(db, "PRAGMA page_count", &pages)) != SQLITE_OK ||
	    (rc = number_of(db, "PRAGMA freelist_count", &free_pages)) != SQLITE_OK ||
	    (rc = number_of(db, "PRAGMA user_version", &out->format)) != SQLITE_OK)
		rc = fault_of(db, rc, &why);
	sqlite3_close(db);
	out->bytes = (uint64_t)(pages * page);
	out->free_bytes = (uint64_t)(free_pages * page);
	out->log_bytes = file_bytes(folder, SQ_FILE_NAME "-wal");
	return rc;
}

/* ---- checking ---- */

/* What SQLite cannot know: that what belongs together is there. */
static const struct {
	const char *sql, *fault;
} relations[] = {
	{"SELECT count(*) FROM queue WHERE key >> 39 NOT IN (SELECT id FROM session)",
	 "messages for sessions that are not there"},
	{"SELECT count(*) FROM sub WHERE session NOT IN (SELECT id FROM session)",
	 "subscriptions of sessions that are not there"},
	{"SELECT count(*) FROM received WHERE key >> 16 NOT IN (SELECT id FROM session)",
	 "packet ids of sessions that are not there"},
	{"SELECT count(*) FROM queue WHERE msg > 0 AND info & 24 <> 16 AND msg NOT IN (SELECT id FROM "
	 "message)",
	 "places in queues without their message"},
	{"SELECT count(*) - count(DISTINCT client) FROM session WHERE length(client) > 0",
	 "sessions of a client that has another one"},
};

static int check_pages(sqlite3 *db, void (*found)(void *, const char *), void *arg, uint64_t *faults)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(db, "PRAGMA integrity_check(100)", -1, &st, NULL);

	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		if ((rc = sqlite3_step(st)) != SQLITE_ROW)
			break;
		if (strcmp((const char *)sqlite3_column_text(st, 0), "ok") == 0)
			continue;
		found(arg, (const char *)sqlite3_column_text(st, 0));
		(*faults)++;
	}
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int check_relations(sqlite3 *db, void (*found)(void *, const char *), void *arg, uint64_t *faults)
{
	for (size_t i = 0; i < sizeof(relations) / sizeof(relations[0]); i++) {
		int64_t n = 0;
		char fault[128];
		int rc = number_of(db, relations[i].sql, &n);

		if (rc != SQLITE_OK)
			return rc;
		if (n == 0)
			continue;
		snprintf(fault, sizeof(fault), "%lld %s", (long long)n, relations[i].fault);
		found(arg, fault);
		(*faults)++;
	}
	return SQLITE_OK;
}

int care_check(const char *folder, void (*found)(void *arg, const char *fault), void *arg, char *text,
	       size_t size)
{
	const struct reason why = {text, size};
	uint64_t faults = 0;
	sqlite3 *db;
	int rc = open_database(folder, SQLITE_OPEN_READONLY, &db, &why);

	if (rc < 0)
		return rc;
	if ((rc = check_format(db, &why)) == OK) {
		rc = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL); /* all of one moment */
		if (rc == SQLITE_OK)
			rc = check_pages(db, found, arg, &faults);
		if (rc == SQLITE_OK && faults == 0)
			rc = check_relations(db, found, arg, &faults);
		rc = rc == SQLITE_OK ? OK : fault_of(db, rc, &why);
	}
	sqlite3_close(db);
	if (rc == OK && faults)
		return say(&why, ERR_MALFORMED, "%llu faults", (unsigned long long)faults);
	return rc;
}

/* ---- compacting ---- */

int care_compact(const char *folder, char *text, size_t size)
{
	const struct reason why = {text, size};
	sqlite3 *db;
	int rc = open_database(folder, SQLITE_OPEN_READWRITE, &db, &why), done;

	if (rc < 0)
		return rc;
	if ((rc = check_format(db, &why)) == OK) {
		done = sqlite3_exec(db, "VACUUM", NULL, NULL, NULL);
		/* Into the database itself; what a gateway reads just now is left to its own checkpoints. */
		if (done == SQLITE_OK)
			(void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
		else
			rc = fault_of(db, done, &why);
	}
	sqlite3_close(db);
	return rc;
}

/* ---- drafts ---- */

struct care_draft {
	char *folder, *copy;
	int lock_fd;
};

static int take_lock(struct care_draft *d, const struct reason *why)
{
	char path[PATH_BYTES];

	if (mkdir(d->folder, 0700) < 0 && errno != EEXIST)
		return say(why, ERR_IO, "cannot make it: %s", strerror(errno));
	path_of(d->folder, LOCK_FILE, path);
	d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (d->lock_fd < 0)
		return say(why, ERR_IO, "cannot write in it: %s", strerror(errno));
	if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return OK;
	close(d->lock_fd);
	d->lock_fd = -1;
	return say(why, ERR_BUSY, "a gateway uses it");
}

/* After this the log is empty and gone: it would else be taken for that of the database that comes in its place. */
static int copy_database(const struct care_draft *d, const struct reason *why)
{
	char path[PATH_BYTES];
	sqlite3_stmt *st = NULL;
	sqlite3 *db;
	int rc = open_database(d->folder, SQLITE_OPEN_READWRITE, &db, why), done;

	if (rc == ERR_NOT_FOUND)
		return OK;
	if (rc < 0)
		return rc;
	path_of(d->copy, SQ_FILE_NAME, path);
	if ((rc = check_format(db, why)) == OK) {
		done = sqlite3_prepare_v2(db, "VACUUM INTO ?1", -1, &st, NULL);
		if (done == SQLITE_OK)
			done = sqlite3_bind_text(st, 1, path, -1, SQLITE_STATIC);
		if (done == SQLITE_OK)
			done = sqlite3_step(st);
		rc = done == SQLITE_DONE ? OK : fault_of(db, done, why);
		sqlite3_finalize(st);
	}
	if (sqlite3_close(db) != SQLITE_OK && rc == OK)
		rc = say(why, ERR_IO, "cannot be closed");
	return rc;
}

static void delete_copy(const struct care_draft *d)
{
	static const char *const names[] = {SQ_FILE_NAME,        SQ_FILE_NAME "-wal",
					    SQ_FILE_NAME "-shm", SQ_FILE_NAME "-journal",
					    LOCK_FILE,           "reserve"};
	char path[PATH_BYTES];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		path_of(d->copy, names[i], path);
		(void)unlink(path);
	}
	(void)rmdir(d->copy);
}

int care_draft_begin(const char *folder, struct care_draft **out, char *text, size_t size)
{
	const struct reason why = {text, size};
	struct care_draft *d = calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return say(&why, ERR_NOMEM, "out of memory");
	d->lock_fd = -1;
	d->folder = strdup(folder);
	if (!d->folder || asprintf(&d->copy, "%s/%s", folder, DRAFT_FOLDER) < 0) {
		d->copy = NULL;
		care_draft_end(d);
		return say(&why, ERR_NOMEM, "out of memory");
	}
	if ((rc = take_lock(d, &why)) == OK) {
		delete_copy(d); /* of one that was interrupted */
		if (mkdir(d->copy, 0700) < 0)
			rc = say(&why, ERR_IO, "%s: %s", d->copy, strerror(errno));
		else
			rc = copy_database(d, &why);
	}
	if (rc < 0) {
		care_draft_end(d);
		return rc;
	}
	*out = d;
	return OK;
}

const char *care_draft_folder(const struct care_draft *d)
{
	return d->copy;
}

static int sync_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc;

	if (fd < 0)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

int care_draft_take(struct care_draft *d, char *text, size_t size)
{
	const struct reason why = {text, size};
	char from[PATH_BYTES], to[PATH_BYTES], log[PATH_BYTES];

	path_of(d->copy, SQ_FILE_NAME, from);
	path_of(d->folder, SQ_FILE_NAME, to);
	path_of(d->copy, SQ_FILE_NAME "-wal", log);
	if (access(log, F_OK) == 0)
		return say(&why, ERR_IO, "the copy was not completed");
	path_of(d->folder, SQ_FILE_NAME "-wal", log);
	if (access(log, F_OK) == 0)
		return say(&why, ERR_BUSY, "somebody reads the database just now: try again later");
	if (sync_path(from) < 0 || rename(from, to) < 0 || sync_path(d->folder) < 0)
		return say(&why, ERR_IO, "%s", strerror(errno));
	return OK;
}

void care_draft_end(struct care_draft *d)
{
	if (!d)
		return;
	if (d->lock_fd >= 0) {
		delete_copy(d);
		close(d->lock_fd);
	}
	free(d->copy);
	free(d->folder);
	free(d);
}
