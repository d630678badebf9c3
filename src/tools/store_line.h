/*
 * A store as text: JSON lines, one for each thing that is kept (docs/man/lineside-store.1). Between a line and a change of the
 * store (store/backend.h). Sessions are called by their client ids; numbers of the store (ids, places in a queue, stamps) are not
 * told, since they belong to one store.
 *
 *     {"type":"lineside-store","version":1}
 *     {"type":"session","client":"a","expiry_s":3600,"away_ms":1763800000000}
 *     {"type":"subscription","client":"a","filter":"t/#","qos":1}
 *     {"type":"received","client":"a","packet_id":7}
 *     {"type":"message","client":"a","qos":1,"message":{"topic":"t/x","payload":"21.5","qos":1}}
 *     {"type":"retained","message":{"topic":"t/x","payload_base64":"AP8=","qos":1,"retain":true}}
 *     {"type":"end","lines":6}
 */
#ifndef TOOLS_STORE_LINE_H
#define TOOLS_STORE_LINE_H

#include <jansson.h>
#include <stdio.h>

#include "store/backend.h"

#define STORE_LINE_VERSION 1
#define STORE_LINE_MAX \
	(768u << 20) /* bytes: the largest packet there can be, in base64 or with every byte escaped twice */

enum store_line_kind { STORE_LINE_BEGIN, STORE_LINE_CHANGE, STORE_LINE_END };

struct store_line {
	enum store_line_kind kind;
	struct span client; /* whose it is; empty of a retained message */
	/*
	 * CHANGE: one of SESSION, SUB, RECEIVED, ROW, RETAINED. Session ids, `seq` and `stamp` are 0, rows hold their message themselves.
	 */
	struct store_op op;
	uint64_t lines; /* END: all before it */

	/* its own */
	json_t *root;
	struct store_will will;
	uint8_t *bytes[4];
	size_t nbytes;
	uint32_t *sub_ids;
};

/* Print one; op as above (a session's `client_id` is not looked at). ERR_IO, ERR_NOMEM. */
MUST_USE int store_line_print(FILE *to, struct span client, const struct store_op *op);
MUST_USE int store_line_print_begin(FILE *to);
MUST_USE int store_line_print_end(FILE *to, uint64_t lines);

/*
 * Read one, without its line feed. All that a store and a broker rely on is checked: topics, filters, ranges, properties. On OK *out holds
 * all that its spans point to, until store_line_fini(). ERR_MALFORMED: `why` says what is wrong; ERR_NOMEM.
 */
MUST_USE int store_line_read(struct span text, struct store_line *out, char *why, size_t size);
/* Accepts what a failure left, and zeroes. */
void store_line_fini(struct store_line *l);

#endif
