/*
 * What waits for a session, in order.
 *
 *   head      in memory: sent next                          session.queue
 *   on disk   rows that were written and are not in memory   shelf.first .. shelf.end
 *   tail      in memory: came last, not on disk yet          shelf.tail
 *
 * A session that is not stored has a head only. Of one that is stored, what is on disk leaves the memory when the head is long, or its
 * client is away and more than a little waits for it; it is read back in pieces when its turn comes.
 */
#ifndef MQTT_SHELF_H
#define MQTT_SHELF_H

#include "mqtt/session.h"

struct keep;
struct store_row;

struct shelf {
	struct session *session;
	struct list keeps; /* struct keep.in_session: all that is owed and in memory, in order of delivery */
	struct list held;  /* struct keep.held: those whose PUBLISH waits for the disk, in order */
	struct list holding;        /* in worker.holding while there are any */
	struct list dirty;          /* in worker.dirty_shelves: rows can be dropped */
	uint64_t next_seq;          /* of the next row */
	uint64_t dropped;           /* rows below are dropped */
	uint64_t first, end;        /* rows that are only on disk lie between these */
	uint64_t rows, row_bytes;   /* how many they are; of their messages, about */
	struct queue *tail;         /* NULL: nothing was there yet */
	struct shelf_read *reading; /* NULL: none under way */
	uint64_t cached;            /* bytes of the head that are counted in worker.cached */
};

/* The session's shelf, made at the first call; NULL: out of memory. Only of stored sessions. */
struct shelf *shelf_of(struct session *s);
/* Accepts NULL. What is on disk stays there. */
void shelf_free(struct shelf *sh);

/* All that waits. */
size_t waiting_len(const struct session *s);
uint64_t waiting_bytes(const struct session *s);
/* Of these, the part that is in memory. */
uint64_t waiting_held(const struct session *s);

/* Behind all that waits; takes the item's references. ERR_NOMEM: they are still the caller's. */
MUST_USE int waiting_push(struct session *s, const struct queue_item *item);
/* The oldest, with its references. false: nothing waits, or it has to be read first; session_pump() is called when it was. */
bool waiting_pop(struct session *s, struct queue_item *item);
/* The oldest of those in memory at the front, which stays there; NULL: there is none. */
const struct queue_item *waiting_peek(const struct session *s);
/* The oldest, or the newest that is in memory, is dropped. false: there is none. */
bool waiting_drop_oldest(struct session *s);
bool waiting_drop_newest(struct session *s);

/* The client went: what lingers is written, and what is on disk leaves the memory. */
void shelf_away(struct session *s);
/* The client is back. */
void shelf_back(struct session *s);
/* What is in memory and on disk leaves the memory. false: there was nothing. */
bool shelf_release(struct session *s);
/* The oldest of the tail is on disk now. */
void shelf_take_durable(struct session *s);
/* The keep of the oldest of the tail, or NULL. */
struct keep *shelf_tail_first(const struct shelf *sh);
/* Something in it waits for the disk, or for a confirmation: session_let_go() looks when that may have come. */
void shelf_hold(struct shelf *sh);
/* Is it the oldest that is owed, in memory and on disk? */
bool shelf_is_first(const struct shelf *sh, const struct keep *k);
/* Rows may have become superfluous. */
void shelf_dirty(struct shelf *sh);
/* Drop them now. */
void shelves_clean(struct worker *w);

/* The worker ends, its port is closed: reads that were under way are forgotten. */
void shelf_reads_end(struct worker *w);

/* Takes back the references of an item that is not sent. */
void item_drop(const struct queue_item *item);

#endif
