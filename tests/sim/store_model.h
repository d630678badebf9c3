/*
 * What a store must hold, for the simulation of the store: what each port put, turn by turn, so that after a crash it can be said
 * what the state was at the end of any turn.
 *
 * Each turn ends with a mark (a session whose expiry is the turn's number), so what is found after a crash says itself up
 * to which turn of each port it goes; it must then be that, exactly.
 */
#ifndef SIM_STORE_MODEL_H
#define SIM_STORE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

#define MODEL_PORTS    4u
#define MODEL_SESSIONS 5u /* of a port; one more is its mark */
#define MODEL_MARK     MODEL_SESSIONS
#define MODEL_ROWS     48u /* of a session */
#define MODEL_SUBS     4u
#define MODEL_IDS      16u /* packet ids 1..16 */
#define MODEL_TOPICS   6u  /* retained */

struct model_row {
	uint64_t seq, number;
	uint32_t content; /* see model_msg() */
	uint32_t nsub_ids;
	uint16_t origin, packet_id;
	uint8_t qos, state;
	bool retain;
};

struct model_sub {
	bool used, no_local, retain_as_published;
	uint8_t qos, retain_handling;
	uint32_t id;
};

struct model_head {
	uint32_t id; /* 0: there is none */
	uint32_t expiry_s;
	int64_t away_ms;
	uint32_t will; /* its content; 0: none */
	uint32_t will_delay_s;
};

struct model_session {
	struct model_head head;
	uint64_t next_seq;
	struct model_row rows[MODEL_ROWS]; /* in order */
	unsigned nrows;
	struct model_sub subs[MODEL_SUBS];
	uint32_t received; /* bits of packet ids */
};

struct model_retained {
	uint64_t stamp;
	uint32_t content; /* 0: cleared */
};

/* What one port put. */
struct model_state {
	struct model_session sessions[MODEL_SESSIONS + 1];
	uint64_t confirmed;
	struct model_retained retained[MODEL_TOPICS];
};

enum model_kind {
	MODEL_SESSION,      /* slot, head */
	MODEL_DROP_SESSION, /* slot */
	MODEL_SUB,          /* slot, at, sub */
	MODEL_DROP_SUB,     /* slot, at */
	MODEL_ROW,          /* slot, row */
	MODEL_STATE,        /* slot, row: seq, state, packet_id */
	MODEL_DROP_ROWS,    /* slot, row.seq */
	MODEL_DROP_ROW,     /* slot, row.seq */
	MODEL_RECEIVED,     /* slot, at */
	MODEL_DROP_RECEIVED,
	MODEL_CONFIRM,  /* row.number */
	MODEL_RETAINED, /* at, retained */
	MODEL_TURN      /* the turn ends */
};

struct model_op {
	enum model_kind kind;
	unsigned slot, at;
	union {
		struct model_head head;
		struct model_sub sub;
		struct model_row row;
		struct model_retained retained;
	};
};

struct model_port {
	struct model_state base; /* as of turn `base_turn` */
	struct model_state now;
	uint64_t base_turn, turn;
	struct model_op *log; /* since then */
	size_t nlog, room;
};

/* A message made of a number > 0: the same one each time. `buf` is its room. */
#define MODEL_MSG_BYTES 6000u
void model_msg(uint32_t content, uint8_t buf[MODEL_MSG_BYTES], struct store_msg *m);
bool model_msg_equal(const struct store_msg *a, const struct store_msg *b);

void model_put(struct model_port *p, const struct model_op *op);
/* What was put until the end of this turn is the base. */
void model_advance(struct model_port *p, uint64_t turn);
/* What came later never was. */
void model_forget_rest(struct model_port *p);
void model_fini(struct model_port *p);

struct model_row *model_find_row(struct model_session *s, uint64_t seq);

#endif
