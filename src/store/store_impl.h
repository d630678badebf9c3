/*
 * What the two sides of a store share: store.c runs on the store's loop, store_port.c on the loops of the ports. For store/ only.
 *
 * Between them go single linked lists, pushed to by one side and taken as a whole by the other, newest first: batches and reads to the
 * store, answers and free chunks back.
 */
#ifndef STORE_STORE_IMPL_H
#define STORE_STORE_IMPL_H

#include <stdatomic.h>

#include "base/list.h"
#include "store/batch.h"
#include "store/session_ids.h"

/* Of this store; each is written by one thread at a time, but those of `waiting`. */
struct store_counts {
	_Atomic uint64_t commits, rows, elided;
	_Atomic uint64_t commit_us_sum, commit_us_max, commit_us_max_before;
	_Atomic uint64_t waiting, waiting_bytes;
	_Atomic uint64_t bytes, failures;
};

struct batch_queue {
	struct batch *first, *last;
	uint64_t bytes;
};

struct read_queue {
	struct store_read *first, *last;
};

struct store {
	struct loop *loop;
	struct store_backend *backend;
	struct store_options options;
	struct list ports;
	bool loaded;
	uint64_t window_us; /* when commit_us_max began anew */
	uint64_t last_stamp;
	/* all threads */
	struct session_ids ids;
	_Atomic uint64_t next_segment; /* of 256 ids of shared messages */
	_Atomic int64_t last_ms;       /* of the last commit, Unix time */
	_Atomic unsigned health;       /* enum store_health */
	struct store_counts *counts;
	struct loop_source work; /* batches or reads came */
	/* the store's loop */
	struct loop_timer timer;
	struct batch_queue queue; /* in the order of the submits of each port */
	struct read_queue reads;
	bool reads_next; /* a commit was before */
	bool ending;
	bool failed; /* the last commit did */
	uint64_t commit_limit;
	uint64_t untidy_bytes;  /* committed since tidy() had nothing to do any more */
	uint64_t began_us;      /* the commit of the turn before; 0: there was none */
	uint64_t failed_us;     /* when it was tried last */
	uint64_t retry_us;      /* when to look how it is with the disk; 0: it is well */
	uint64_t background_us; /* STORE_NONE: when to write what is queued */
	uint64_t tidy_us;       /* 0: nothing to tidy */
};

struct store_port {
	struct store *store;
	struct list node;
	struct loop *loop;
	const struct store_port_ops *ops;
	void *arg;
	uint16_t index;
	/* the port's */
	struct batch *open, *open_last;
	struct batch *spare; /* free chunks: a reserve for what must not fail, and some more */
	uint32_t nspare;
	uint64_t submitted;         /* ticket of the last batch that was passed on */
	uint64_t put_bytes;         /* of all batches ever */
	uint64_t msg_next, msg_end; /* ids of shared messages in hand */
	uint64_t seen_durable;      /* what progress() was called for */
	unsigned seen_health;
	/* to the store */
	_Alignas(64) _Atomic(struct batch *) passed;
	_Atomic(struct store_read *) asked;
	_Atomic uint64_t elided;
	/* from the store */
	_Alignas(64) _Atomic uint64_t durable; /* on disk, whatever the durability promises */
	_Atomic uint64_t durable_bytes;
	_Atomic(struct store_read *) answered;
	_Atomic(struct batch *) returned;
	_Atomic uint32_t nreturned; /* about so many */
	struct loop_source wake;    /* on the port's loop */
};

static inline uint64_t count_of(const _Atomic uint64_t *n)
{
	return atomic_load_explicit(n, memory_order_relaxed);
}

/* By the only thread that writes it. */
static inline void count_add(_Atomic uint64_t *n, uint64_t by)
{
	atomic_store_explicit(n, count_of(n) + by, memory_order_relaxed);
}

/* ---- store.c, for store_port.c ---- */

/* Take what the port has passed on; on the store's loop, or when no loop runs. Was there anything? */
bool store_take(struct store *s, struct store_port *p);
/* What is queued of a port that goes does not lead to it any more. */
void store_forget_port(struct store *s, struct store_port *p);

/* ---- store_port.c, for store.c ---- */

/* A batch of this port is on disk; it is taken. */
void port_give_back(struct store_port *p, struct batch *b);
/* The answer is in `r`. */
void port_answer(struct store_port *p, struct store_read *r);

/* ---- store_read.c ---- */

/* Ask the backend and fill in the answer; on the store's loop. */
void read_execute(struct store_read *r, struct store_backend *b);

#endif
