/*
 * What a connection has to send: small packets are copied into blocks, large payloads go out by reference. An idle
 * connection owns no block. Blocks come from a pool per worker; its thread only.
 */
#ifndef MQTT_OUTPUT_H
#define MQTT_OUTPUT_H

#include "mqtt/msg.h"
#include "net/stream.h"

struct out_pool;
struct out_block;

struct output {
	struct out_block *first, *last;
	uint64_t bytes; /* not written yet */
};

MUST_USE int out_pool_create(struct out_pool **out);
/* Its blocks, used or not, count in `s` from now on, while it has none. */
void out_pool_count(struct out_pool *p, struct budget_share *s);
void out_pool_destroy(struct out_pool *p); /* accepts NULL */

/* `n` bytes in one piece to fill in at once; NULL: out of memory. */
uint8_t *output_take(struct output *o, struct out_pool *p, uint32_t n);
/* The last n bytes that were taken are not needed. Nothing was taken or appended since. */
void output_give_back(struct output *o, uint32_t n);
/* Append the whole blob, taking a reference; false: out of memory. */
bool output_blob(struct output *o, struct out_pool *p, struct blob *b);

/*
 * Write what the stream takes. OK: all is written; ERR_AGAIN: the stream is full; ERR_CLOSED, ERR_IO. *put: bytes written.
 */
MUST_USE int output_flush(struct output *o, struct out_pool *p, struct stream *s, uint64_t *put);
/* Throw it all away. */
void output_clear(struct output *o, struct out_pool *p);

#endif
