/*
 * Reclamation for structures that are read without locks. Each thread that reads takes part with a
 * `struct epoch_reader`; between two calls of epoch_quiescent() it may hold pointers that it read. What a
 * writer unlinked goes to epoch_retire() and is freed when every reader has been quiescent since or is off-line.
 * Nobody waits; nothing is freed on a helper thread, so a simulation stays deterministic.
 *
 *   domain    one per broker; shared by all its threads
 *   reader    one per thread; only its thread calls the reader functions
 */
#ifndef BASE_EPOCH_H
#define BASE_EPOCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define EPOCH_READERS_MAX 256

struct epoch_node { /* embedded in what is retired */
	struct epoch_node *next;
	uint64_t epoch;
	void (*free_fn)(struct epoch_node *n);
};

struct epoch_domain;
struct epoch_reader;

MUST_USE int epoch_domain_create(struct epoch_domain **out);
/* No reader is registered any more; frees whatever is still retired. Accepts NULL. */
void epoch_domain_destroy(struct epoch_domain *d);

/* Register this thread; starts on-line. ERR_FULL, ERR_NOMEM. */
MUST_USE int epoch_reader_create(struct epoch_domain *d, struct epoch_reader **out);
/* Its retired nodes pass to the domain. Accepts NULL. */
void epoch_reader_destroy(struct epoch_reader *r);

/* The thread holds no pointer from before this call; frees what can be freed of this reader's own. Once per loop turn. */
void epoch_quiescent(struct epoch_reader *r);
/* Around a wait that may block: an off-line reader delays nobody and may hold no pointer. */
void epoch_offline(struct epoch_reader *r);
void epoch_online(struct epoch_reader *r);

/* `n` was unlinked by this reader's thread: free_fn(n) is called on this thread later. Never fails. */
void epoch_retire(struct epoch_reader *r, struct epoch_node *n, void (*free_fn)(struct epoch_node *n));

#endif
