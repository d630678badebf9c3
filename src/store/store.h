/*
 * What outlives the process: sessions, their subscriptions, the messages that they are owed, QoS 2 states, retained messages.
 *
 *   struct store       one for the program, on a loop of its own (the storage thread, or a loop of the simulation). It
 *                      writes what all ports put, many changes in one commit
 *   struct store_port  one for each worker and port of the broker, used by its thread only: its changes in the order in which
 *                      they were put, and its reads
 *
 * Nothing waits for the disk. A port gathers changes in an open batch; store_submit() passes it on, once a turn. A *ticket* is
 * the number of a batch: what was put before store_ticket() was asked is on disk when store_durable() has reached it. A
 * batch is in one commit, and commits are in the order of the submits of each port; between ports there is no order.
 * progress() is called on the port's loop when store_durable() or store_health() has changed.
 *
 * When the disk is full or fails, no ticket becomes durable, nothing that was submitted is lost, and the store tries again by itself
 * until it succeeds. Whoever puts looks at store_health() before it accepts new work.
 *
 * Who knows what: store.c does batches, tickets, commits and retries over a backend (store/backend.h): store_sqlite.c on disk,
 * store_mem.c in memory, for tests and simulation.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "loop/loop.h"

struct store;
struct store_port;

#define STORE_SESSION_MAX ((1u << 24) - 1)          /* ids of sessions: 1.. */
#define STORE_SEQ_MAX     ((UINT64_C(1) << 39) - 1) /* sequence numbers of rows: 1.. */

/* ---- what is kept ---- */

/* A message; spans are borrowed for the call. */
struct store_msg {
	struct span topic, props, payload;
	int64_t expires_ms; /* Unix time; 0: never */
	uint8_t qos;        /* as it was published */
	bool retain;
};

enum store_row_state {
	STORE_WAITS,    /* not sent, or sent with QoS 1 and without a packet id on disk */
	STORE_SENT,     /* QoS 2 with `packet_id`: PUBREC is due */
	STORE_RELEASED, /* PUBREC came: PUBCOMP is due; the message is of no use any more */
};

/* A message that a session is owed. Rows of a session are sent in the order of `seq`. */
struct store_row {
	uint32_t session;
	uint64_t seq;
	uint8_t qos;   /* of the delivery, 1 or 2 */
	bool retain;   /* flag of the delivery */
	uint8_t state; /* enum store_row_state */
	uint16_t packet_id;
	/*
	 * A row with number > 0 counts only if store_confirm() of the port `origin` has reached that number: else it is
	 * forgotten at the next start. (QoS 2 of a publisher that would send it again.)
	 */
	uint16_t origin;
	uint64_t number;
	const uint32_t *sub_ids; /* [0] tells how many follow; NULL: none */
	/*
	 * Where the message is: shared by rows, put before with store_put_msg(); or 0 and in `msg`, for one row alone.
	 */
	uint64_t msg_id;
	struct store_msg msg; /* when it is read, always */
};

struct store_will {
	struct store_msg msg;
	uint32_t delay_s;
	bool expires;
	uint32_t expiry_s; /* from when it is published */
};

struct store_session {
	uint32_t id;
	struct span client_id;
	uint32_t expiry_s;             /* UINT32_MAX: never */
	int64_t away_ms;               /* since when its client is away, Unix time; 0: it is connected */
	const struct store_will *will; /* NULL: none */
	/* when it is loaded: what waits for it */
	uint64_t first_seq, next_seq; /* equal: nothing */
	uint64_t rows, row_bytes;     /* of these that are not in state RELEASED; payloads and topics */
};

struct store_sub {
	uint32_t session;
	struct span filter; /* with $share */
	uint8_t qos;
	bool no_local, retain_as_published;
	uint8_t retain_handling;
	uint32_t id; /* subscription identifier; 0: none */
};

struct store_retained {
	struct store_msg msg;
	/*
	 * Of two values of a topic the one with the higher stamp stands, in whatever order they come. Stamps begin above
	 * store_last_stamp().
	 */
	uint64_t stamp;
};

/* ---- ports ---- */

enum store_health {
	STORE_OK,
	STORE_FULL,    /* disk full, or max_bytes reached */
	STORE_FAILING, /* I/O error, read-only */
};

/* "ok", "full", "failing": for people and for programs that read it. */
const char *store_health_word(enum store_health h);

struct store_port_ops {
	void (*progress)(void *arg); /* on the port's loop */
};

/*
 * Open a port; before any loop runs. `index` is the worker's in the broker (row.origin of others). ERR_NOMEM.
 */
MUST_USE int store_port_open(struct store *s, uint16_t index, struct loop *loop,
			     const struct store_port_ops *ops, void *arg, struct store_port **out);
/*
 * No loop runs any more, but its loop is still there. What was not submitted is forgotten; reads that were not answered are the
 * caller's again, without done(). Accepts NULL.
 */
void store_port_close(struct store_port *p);

/*
 * Changes, into the open batch; everything is copied. Those with MUST_USE can fail with ERR_NOMEM and have no effect then;
 * the others have room kept for them.
 */
/*
 * A new session id, unique among all that are stored or were taken. It is given anew when store_drop_session() of it is durable;
 * that also gives back one that was not put. ERR_FULL, ERR_NOMEM.
 */
MUST_USE int store_take_session_id(struct store_port *p, uint32_t *id);
/*
 * A session as it is now: new, or in place of what was there. Its rows, subscriptions and packet ids stay. A session is put before
 * anything that belongs to it.
 */
MUST_USE int store_put_session(struct store_port *p, const struct store_session *s);
/* It ends, with all that belongs to it; its id may be given anew. */
void store_drop_session(struct store_port *p, uint32_t session);
MUST_USE int store_put_sub(struct store_port *p, const struct store_sub *sub);
MUST_USE int store_drop_sub(struct store_port *p, uint32_t session, struct span filter);
/* A message for several rows, which name *id. It goes when the last of them went. */
MUST_USE int store_put_msg(struct store_port *p, const struct store_msg *m, uint64_t *id);
MUST_USE int store_put_row(struct store_port *p, const struct store_row *row);
/* A row of QoS 2 was sent, or released. */
void store_put_state(struct store_port *p, uint32_t session, uint64_t seq, uint8_t state, uint16_t packet_id);
/* All rows of the session below `seq` are done with. */
void store_drop_rows(struct store_port *p, uint32_t session, uint64_t below_seq);
/* One row is. */
void store_drop_row(struct store_port *p, uint32_t session, uint64_t seq);
/* QoS 2 packet ids that came from the client and wait for PUBREL. */
void store_put_received(struct store_port *p, uint32_t session, uint16_t packet_id);
void store_drop_received(struct store_port *p, uint32_t session, uint16_t packet_id);
/* Rows of any port with this one as origin and a number up to this count from now on. */
void store_confirm(struct store_port *p, uint64_t number);
MUST_USE int store_put_retained(struct store_port *p, const struct store_retained *r);
MUST_USE int store_clear_retained(struct store_port *p, struct span topic, uint64_t stamp);

/* The ticket of all that was put so far. */
uint64_t store_ticket(const struct store_port *p);
/* Pass the open batch on, if there is anything in it. */
void store_submit(struct store_port *p);
/* All batches up to this ticket are on disk. */
uint64_t store_durable(const struct store_port *p);
enum store_health store_health(const struct store_port *p);
/* Bytes of this port's batches that are not on disk yet. */
uint64_t store_backlog(const struct store_port *p);
/* So many rows need not be written any more; for the figures. */
void store_count_elided(struct store_port *p, uint64_t n);

/* ---- reading rows ---- */

struct store_read {
	/* asked */
	uint32_t session;
	uint64_t from_seq;
	uint32_t max_rows;
	uint64_t max_bytes;                 /* at least one row comes, however large */
	void (*done)(struct store_read *r); /* on the port's loop; `r` is the caller's again */
	/* answered */
	int rc; /* OK; ERR_NOMEM; ERR_IO, also with STORE_NONE when what was put before cannot be written */
	struct span bytes; /* encoded rows, until store_read_fini() */
	uint32_t rows;
	/* the store's own */
	struct store_read *next;
	struct store_port *port;
	uint64_t ticket;
	struct rd at;
};

/* Rows of a session from `from_seq` on, of those that are on disk when it is asked. Reads of a port are answered in order. */
void store_read_rows(struct store_port *p, struct store_read *r); /* `r` stays where it is until done() */
/* The next row of the answer; false: that was all. Spans are good until store_read_fini(). */
bool store_read_next(struct store_read *r, struct store_row *row,
		     uint32_t *sub_ids_room /* 1 + STORE_SUB_IDS_MAX */);
void store_read_fini(struct store_read *r);
#define STORE_SUB_IDS_MAX 1024u /* identifiers beyond are not kept */

/* ---- the store ---- */

enum store_durability {
	STORE_FSYNC, /* durable: synced to the medium */
	STORE_OS,    /* durable: given to the operating system: survives the process, not the power */
	STORE_NONE,  /* nobody waits: written in the background; store_durable() is always ahead */
};

struct store_options {
	enum store_durability durability;
	uint64_t max_bytes; /* of the database; 0: no limit */
};

/* What `load` tells, in this order; a value below 0 from any of them ends it. Each may be NULL. */
struct store_loader {
	int (*session)(void *arg, const struct store_session *s);
	int (*sub)(void *arg, const struct store_sub *s);
	int (*received)(void *arg, uint32_t session, uint16_t packet_id);
	/* rows in state SENT and RELEASED, without their messages, in order */
	int (*inflight)(void *arg, const struct store_row *row);
	int (*retained)(void *arg, const struct store_retained *r);
};

/*
 * Tell everything that is kept; once, before any loop runs and before anything is put. What does not count is forgotten first (rows without confirmation). What
 * is told is as of the last run: expiry of sessions is the caller's to judge, with store_now_ms().
 */
MUST_USE int store_load(struct store *s, const struct store_loader *l, void *arg);
/* Unix time that never runs behind what was stored: `wall_ms`, or the last time stored if the clock is behind that. */
int64_t store_now_ms(const struct store *s, int64_t wall_ms);
uint64_t store_last_stamp(const struct store *s);

struct store_figures {                  /* any thread */
	uint64_t commits, rows, elided; /* rows written; `elided` counts what store_count_elided() said */
	uint64_t commit_us_sum,
		commit_us_max; /* of the last commits' time; max: in the last 10 to 20 s of commits */
	uint64_t waiting;      /* batches submitted and not durable */
	uint64_t waiting_bytes;
	uint64_t bytes;    /* of the database with its log */
	uint64_t failures; /* commits that failed */
	enum store_health health;
};
void store_figures(const struct store *s, struct store_figures *out);

/*
 * Runs on `loop`: the caller runs it (a thread, or the simulation), after ports were opened. Takes the backend when it returns OK;
 * ERR_NOMEM.
 */
struct store_backend;
MUST_USE int store_create(struct loop *loop, struct store_backend *b, const struct store_options *o,
			  struct store **out);
/*
 * Write what was submitted, in one try, and close. No loop runs any more, but its loop is still there; all ports are closed.
 * Accepts NULL.
 */
void store_destroy(struct store *s);

#endif
