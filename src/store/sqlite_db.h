/*
 * What the files store_sqlite*.c share; nobody else includes it.
 *
 *   store_sqlite.c          open, transactions, checkpoints, health, close
 *   store_sqlite_schema.c   tables, statements, format versions
 *   store_sqlite_apply.c    changes
 *   store_sqlite_load.c     what is told at start, reading rows
 *   store_sqlite_segment.c  which shared messages are still referred to
 *   store_sqlite_folder.c   the folder: permissions, lock, reserve on the disk
 *   store_sqlite_salvage.c  a damaged database
 *   care.c                  what people do with a database, beside a gateway or without one
 *
 * Tables: see store_sqlite_schema.c. Keys of the queue are session << 39 | seq, so a session's rows lie side by side in their order;
 * keys of received packet ids are session << 16 | packet id.
 */
#ifndef STORE_SQLITE_DB_H
#define STORE_SQLITE_DB_H

#include <sqlite3.h>

#include "base/hmap.h"
#include "base/list.h"
#include "store/backend.h"

#define SQ_FORMAT   1 /* PRAGMA user_version of what this program writes */
#define SQ_SEQ_BITS 39
#define SQ_SEGMENT  8 /* bits: 256 ids of messages */
/* Of new databases, measured: a row for each of many sessions logs a page for each; smaller ones hold too few rows. */
#define SQ_PAGE_SIZE 1024
#define SQ_FILE_NAME "lineside.db"

enum sq_stmt {
	SQ_BEGIN,
	SQ_COMMIT,
	SQ_ROLLBACK,
	SQ_META_PUT,
	SQ_SESSION_PUT,
	SQ_SESSION_DROP,
	SQ_SUB_PUT,
	SQ_SUB_DROP,
	SQ_SUB_DROP_ALL,
	SQ_MSG_PUT,
	SQ_MSG_DROP_RANGE,
	SQ_MSG_NEXT,
	SQ_ROW_PUT,
	SQ_ROW_PUT_SHARED,
	SQ_ROW_MSG,
	SQ_ROW_MSGS,
	SQ_ROW_STATE,
	SQ_ROW_RELEASE,
	SQ_ROW_DROP,
	SQ_ROW_DROP_RANGE,
	SQ_ROW_READ,
	SQ_RECEIVED_PUT,
	SQ_RECEIVED_DROP,
	SQ_RECEIVED_DROP_RANGE,
	SQ_CONFIRM_PUT,
	SQ_RETAINED_PUT,
	SQ_RETAINED_PURGE,
	SQ_PAGES,
	SQ_FREE_PAGES,
	SQ_STMTS
};

/* 256 ids of shared messages. */
struct sq_segment {
	struct hmap_node node; /* hash: its number */
	struct list dead;      /* in `dead` while it is without rows */
	struct list touched;   /* in `touched` by this transaction */
	uint64_t live;         /* rows that refer to its messages, as of the last commit */
	int64_t delta;         /* of this transaction */
	uint64_t dead_since;   /* of the store's age_ms */
	bool swept;            /* its messages are deleted by this transaction */
};

struct sq_segments {
	struct hmap map;
	struct list dead; /* in the order of dead_since */
	struct list touched;
	uint64_t live; /* sum over all, with the open transaction's */
};

/* A change of the queue, gathered until the commit. */
struct sq_change {
	enum store_op_kind kind;
	struct store_row row; /* spans point into the batch; sub_ids is not used */
	uint32_t sub_ids_at;  /* in store_sqlite.sub_ids */
	uint32_t sub_ids_len; /* bytes */
};

struct sq_order {
	uint32_t session, index;
};

struct sq_changes {
	struct sq_change *all;
	struct sq_order *order;
	size_t count, room;
	uint8_t *sub_ids;
	size_t sub_ids_len, sub_ids_room;
};

/* Up to which number publishes of an origin count, in the boot that it was said in. */
struct sq_confirmed {
	uint64_t boot, number;
};

/* What the folder holds beside the database; nothing of it when a VFS is named. */
struct sq_folder {
	int lock_fd;
	uint64_t ballast;   /* bytes that it should have */
	bool ballast_there; /* ...and has; without it, free pages of the database have to do */
};

struct store_sqlite {
	struct store_backend base;
	sqlite3 *db;
	sqlite3_stmt *stmt[SQ_STMTS];
	char *folder, *path, *vfs; /* vfs: NULL for the real one */
	enum store_durability durability;
	bool read_only;
	uint64_t max_bytes;

	struct sq_folder disk;
	enum store_health health;
	bool ballast_used; /* STORE_FULL until there is room for it again */
	bool is_over;      /* max_bytes was reached */
	bool damaged;      /* a page made no sense: salvage at the next start */

	struct sq_changes changes;
	struct sq_segments segments;
	uint32_t page_size;
	uint64_t pages, free_pages;            /* as of the last commit */
	uint32_t wal_frames, wal_checkpointed; /* in the log; of these, copied into the database */
	uint64_t wal_limit;                    /* bytes: more are checkpointed at once */

	struct sq_confirmed *
		confirmed; /* read_only: by origin, so that rows which do not count are not read; NULL: all are */
	bool told;         /* load() has begun to tell */
	bool loaded;       /* counts in `segments` are complete */
	uint64_t boot;
	uint64_t last_stamp, last_msg_id;
	int64_t last_ms, meta_ms; /* of the last commit; as it stands in the database */
	int64_t pending_ms;
	/*
	 * A clock that counts what passed between commits, and at most a second for each: a wall clock that was set does not make
	 * things old.
	 */
	uint64_t age_ms;
	bool may_have_cleared; /* there may be retained messages that were cleared */
	struct {
		uint64_t stamp, age_ms;
	} cleared[2]; /* [0]: what was cleared up to this stamp is old enough when [1] is */
	uint32_t *session_ids;
	size_t session_count;
};

static inline struct store_sqlite *sq_of(struct store_backend *b)
{
	return (struct store_sqlite *)(void *)b; /* base is its first member */
}

static inline int64_t sq_row_key(uint32_t session, uint64_t seq)
{
	return (int64_t)((uint64_t)session << SQ_SEQ_BITS | seq);
}

/* Flags of a row and of its message, in one number. */
static inline int64_t sq_row_info(const struct store_row *r)
{
	return (int64_t)(r->qos | (unsigned)r->retain << 2 | (unsigned)r->state << 3 |
			 (unsigned)r->msg.qos << 5 | (unsigned)r->msg.retain << 7 |
			 (unsigned)r->packet_id << 8);
}

static inline void sq_row_from_info(int64_t info, struct store_row *r)
{
	r->qos = info & 3;
	r->retain = info >> 2 & 1;
	r->state = info >> 3 & 3;
	r->msg.qos = info >> 5 & 3;
	r->msg.retain = info >> 7 & 1;
	r->packet_id = (uint16_t)(info >> 8);
}

static inline int64_t sq_msg_info(const struct store_msg *m)
{
	return (int64_t)(m->qos | (unsigned)m->retain << 2);
}

static inline void sq_msg_from_info(int64_t info, struct store_msg *m)
{
	m->qos = info & 3;
	m->retain = info >> 2 & 1;
}

/* A blob of no bytes is not NULL. */
static inline void sq_bind(sqlite3_stmt *st, int at, struct span v)
{
	sqlite3_bind_blob64(st, at, v.p ? (const void *)v.p : "", v.len, SQLITE_STATIC);
}

static inline struct span sq_span(sqlite3_stmt *st, int column)
{
	const void *p = sqlite3_column_blob(st, column);

	return span_of(p, (size_t)sqlite3_column_bytes(st, column));
}

/* ---- store_sqlite.c ---- */

/* An ERR_* for a failure of SQLite; remembers what it says about the disk. `doing` goes into the log. */
int sq_error(struct store_sqlite *s, int rc, const char *doing);
/* Run a statement that returns no row, and reset it. OK or ERR_*. */
MUST_USE int sq_run(struct store_sqlite *s, enum sq_stmt which);
/* Run SQL without parameters. OK or ERR_*. */
MUST_USE int sq_exec(struct store_sqlite *s, const char *sql);
MUST_USE int sq_begin(struct store_sqlite *s);
MUST_USE int sq_commit(struct store_sqlite *s);
void sq_rollback(struct store_sqlite *s);
MUST_USE int sq_meta_put(struct store_sqlite *s, const char *key, int64_t value);
/* Open the connection and set it up; nothing is read yet. OK or ERR_*. */
MUST_USE int sq_open_database(struct store_sqlite *s, char *why, size_t size);
MUST_USE int sq_connect(struct store_sqlite *s);
void sq_disconnect(struct store_sqlite *s);

/* ---- care.c ---- */

/* Open the database of a folder to read it, also where nobody can write. An SQLite result code; *db is to be closed. */
MUST_USE int sq_open_to_read(const char *folder, sqlite3 **db);

/* ---- store_sqlite_schema.c ---- */

/* Make the tables, or bring them to this version, and prepare the statements. Also ERR_UNSUPPORTED; `why` says it. */
MUST_USE int sq_schema_open(struct store_sqlite *s, char *why, size_t size);
MUST_USE int sq_schema_create(sqlite3 *db); /* an SQLite result code */
/* The number that a query gives; 0: no row. */
MUST_USE int sq_number(struct store_sqlite *s, const char *sql, int64_t *out);

/* ---- store_sqlite_apply.c ---- */

MUST_USE int sq_apply(struct store_sqlite *s, const struct store_op *op);
MUST_USE int sq_changes_write(struct store_sqlite *s);
void sq_changes_fini(struct sq_changes *c);

/* ---- store_sqlite_load.c ---- */

MUST_USE int sq_load(struct store_sqlite *s, const struct store_loader *l, void *arg);
MUST_USE int sq_read(struct store_sqlite *s, uint32_t session, uint64_t from_seq,
		     bool (*found)(void *arg, const struct store_row *row), void *arg);

/* ---- store_sqlite_folder.c: none of this when a VFS is named ---- */

void sq_folder_init(struct sq_folder *f);
/* Make the folder for its owner alone, and lock it. ERR_BUSY, ERR_IO; `why` says it. */
MUST_USE int sq_folder_open(struct store_sqlite *s, char *why, size_t size);
/* A file of the folder, for its owner alone. ERR_IO. */
MUST_USE int sq_folder_make_file(struct store_sqlite *s, const char *name);
/* Bytes that the file system has for us. */
uint64_t sq_folder_free(const struct store_sqlite *s);
/* How large the reserve is to be. One of the last run is given up: it takes something to start, too. */
void sq_folder_plan(struct store_sqlite *s);
/* Make the reserve. False: there is no room for it. */
bool sq_folder_reserve(struct store_sqlite *s);
/* Give the reserve up: the disk is full. */
void sq_folder_spend(struct store_sqlite *s);
/* Is there room for the reserve again, and was it made? */
bool sq_folder_restore(struct store_sqlite *s);
void sq_folder_close(struct store_sqlite *s);

/* ---- store_sqlite_salvage.c ---- */

/* Copy what can be read into a new database that takes the place of the damaged one, which gets another name. OK or ERR_*. */
MUST_USE int sq_salvage(struct store_sqlite *s);
/* Go on with what was cut short. Before the database is opened. */
MUST_USE int sq_salvage_resume(struct store_sqlite *s);
/* A mark that outlives the process: look closely at the next start. */
void sq_suspect_set(struct store_sqlite *s);
bool sq_suspect(const struct store_sqlite *s);
void sq_suspect_clear(struct store_sqlite *s);

/* ---- store_sqlite_segment.c ---- */

void sq_segments_init(struct sq_segments *g);
void sq_segments_fini(struct sq_segments *g);
/* `rows` more or fewer refer to messages of the segment of this id; 0: one was put. ERR_NOMEM. */
MUST_USE int sq_segment_count(struct sq_segments *g, uint64_t msg_id, int64_t rows);
void sq_segments_commit(struct store_sqlite *s);
void sq_segments_rollback(struct sq_segments *g);
/* Delete messages of up to `max` segments that nobody refers to, in the open transaction. OK or ERR_*. */
MUST_USE int sq_segments_sweep(struct store_sqlite *s, unsigned max);
bool sq_segments_can_sweep(const struct store_sqlite *s);

#endif
