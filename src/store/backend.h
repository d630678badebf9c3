/*
 * Where a store keeps things: what store.c needs of a disk, or of what stands for one. Synchronous; called on the store's loop only,
 * and by store_load() before it runs.
 *
 *   store_sqlite.c   a database in a folder
 *   store_mem.c      in memory: the model that others are compared with, and a perfect disk for tests
 */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include "store/store.h"

/*
 * For so long after the last row of a shared message went, another one may still come (a delivery that waits for its
 * acknowledgement before it is written); the message is kept until then.
 */
#define STORE_MSG_GRACE_MS 5000

/* Ids of shared messages come in segments of so many, each of one port: what is in one is of about one time. */
#define STORE_SEGMENT_MSGS 256

enum store_op_kind {
	STORE_OP_SESSION,       /* session */
	STORE_OP_DROP_SESSION,  /* id */
	STORE_OP_SUB,           /* sub */
	STORE_OP_DROP_SUB,      /* sub.session, sub.filter */
	STORE_OP_MSG,           /* msg_id, msg */
	STORE_OP_ROW,           /* row */
	STORE_OP_STATE,         /* row.session, seq, state, packet_id */
	STORE_OP_DROP_ROWS,     /* row.session, below row.seq */
	STORE_OP_DROP_ROW,      /* row.session, row.seq */
	STORE_OP_RECEIVED,      /* row.session, row.packet_id */
	STORE_OP_DROP_RECEIVED, /* the same */
	STORE_OP_CONFIRM,       /* row.origin, row.number */
	STORE_OP_RETAINED,      /* retained */
	STORE_OP_CLEAR,         /* retained.msg.topic, retained.stamp */
};

/* A change, as it was put; spans point into the batch. */
struct store_op {
	enum store_op_kind kind;
	union {
		struct store_session session;
		uint32_t id;
		struct store_sub sub;
		struct {
			uint64_t msg_id;
			struct store_msg msg;
		} shared;
		struct store_row row;
		struct store_retained retained;
	};
};

struct store_backend {
	const struct store_backend_ops *ops;
};

struct store_backend_ops {
	/*
	 * Many changes at once: begin, apply for each, commit. Any of them may fail: ERR_FULL, ERR_IO, ERR_NOMEM; then
	 * rollback() and nothing of it happened. commit() returns OK when all is on disk, as the durability says. What the spans
	 * of an op point to stays where it is until commit() or rollback(); sub_ids are good for the call only.
	 */
	int (*begin)(struct store_backend *b);
	int (*apply)(struct store_backend *b, const struct store_op *op);
	int (*commit)(struct store_backend *b, int64_t wall_ms);
	void (*rollback)(struct store_backend *b);
	/*
	 * How it is with the disk. Asked after every commit or failure, and once a second (after tidy()) while it is not STORE_OK, which
	 * is when the backend looks whether there is room again. STORE_FULL is also said while commits still succeed: a reserve is being
	 * used up by what was accepted before, and nothing new is to be accepted. NULL: STORE_OK whenever the last commit succeeded.
	 */
	enum store_health (*health)(struct store_backend *b);
	/* Work that can wait, in small pieces, when nothing is to be committed. true: there is more. */
	bool (*tidy)(struct store_backend *b);
	/* Rows for a reader, each told to `found`, which returns false when it has enough. OK, ERR_IO, ERR_NOMEM. */
	int (*read)(struct store_backend *b, uint32_t session, uint64_t from_seq,
		    bool (*found)(void *arg, const struct store_row *row), void *arg);
	int (*load)(struct store_backend *b, const struct store_loader *l, void *arg);
	/* After load(): the highest stamp of a retained message, the last wall_ms of a commit, and ids of shared messages in use. */
	uint64_t (*last_stamp)(struct store_backend *b);
	int64_t (*last_ms)(struct store_backend *b);
	uint64_t (*last_msg_id)(struct store_backend *b);
	uint64_t (*bytes)(struct store_backend *b);
	void (*close)(struct store_backend *b); /* frees it */
};

MUST_USE int store_mem_create(struct store_backend **out);

struct store_sqlite_options {
	const char *folder; /* made if it is not there, 0700; the database in it is 0600 */
	enum store_durability durability;
	uint64_t max_bytes; /* 0: no limit */
	const char *vfs;    /* SQLite's name of the file system; NULL: the real one */
	bool read_only;     /* for `lineside store info` and the like */
};
/*
 * Open or make the database. A damaged one is set aside under a new name in the same folder, what can be read of it is copied into
 * a new one, and both are logged. ERR_UNSUPPORTED: made by a newer version; ERR_IO; ERR_BUSY: another process has it; ERR_NOMEM. `why`
 * gets the reason in words that say what to do.
 */
MUST_USE int store_sqlite_open(const struct store_sqlite_options *o, struct store_backend **out, char *why,
			       size_t size);

#endif
