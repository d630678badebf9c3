/*
 * Changes on their way to the storage thread: each is a record of bytes in a chunk, and a batch is a list of chunks. Chunks do not
 * move or grow, so putting a change is a copy of it, and what was decoded points into the chunk.
 *
 * Records are for this process alone: they are laid out as the structs are.
 */
#ifndef STORE_BATCH_H
#define STORE_BATCH_H

#include "store/backend.h"

#define BATCH_CHUNK_BYTES (16u << 10) /* with its head; larger ones are made for one large record */

/* The first chunk of a batch is the batch: what is said about it stands there. */
struct batch {
	struct batch *more;      /* the next chunk of this batch */
	struct batch *next;      /* another batch, or a chunk that is free */
	struct store_port *port; /* whose it is; NULL: of one that is closed */
	uint64_t ticket;
	uint64_t bytes;      /* of the records in all its chunks */
	uint32_t submits;    /* how often store_submit() had a part in it */
	uint32_t rows;       /* records of kind STORE_OP_ROW */
	bool drops_sessions; /* there is a STORE_OP_DROP_SESSION in it */
	uint32_t used, room; /* of `data`, in this chunk */
	uint64_t data[];
};

#define BATCH_CHUNK_ROOM (BATCH_CHUNK_BYTES - (uint32_t)sizeof(struct batch))

/* A chunk with room for `room` bytes, empty. NULL: no memory. */
struct batch *batch_chunk_create(uint32_t room);
/* Every chunk of it. Accepts NULL. */
void batch_destroy(struct batch *b);

/*
 * Bytes of the record of a change. `what` is the member of struct store_op that goes with `kind`. With `with_msg` a row takes its
 * message along even if that is shared.
 */
size_t record_size(enum store_op_kind kind, const void *what, bool with_msg);
/* Write it to `at`: record_size() bytes, aligned to 8. */
void record_write(void *at, size_t size, enum store_op_kind kind, const void *what, bool with_msg);
/* Read the record at `at`; spans and sub_ids point into it, a will is in `will`. Returns its size. */
size_t record_read(const void *at, struct store_op *op, struct store_will *will);

/* Go through the changes of a batch: *at is where; begins as {b, 0}. false: that was all. */
struct batch_at {
	const struct batch *chunk;
	uint32_t used;
};
bool batch_next(struct batch_at *at, struct store_op *op, struct store_will *will);

#endif
