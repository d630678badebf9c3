/* A client without a session that asks for all retained values, and compares them with what was acknowledged before it asked. */
#ifndef KILL_WITNESS_H
#define KILL_WITNESS_H

#include "ledger.h"
#include "link.h"

struct witness {
	struct link link;
	struct ledger *ledger;
	bool is_wanted, is_granted;
	uint64_t least[LEDGER_PUBLISHERS][LEDGER_RETAINED]; /* LEDGER_NOTHING: came, or none is owed */
	uint64_t looks;                                     /* that saw all of them */
};

void witness_init(struct witness *w, struct ledger *g, uint16_t port);
void witness_fini(struct witness *w);
/* Values that did not come are faults. */
void witness_miss(struct witness *w);

#endif
