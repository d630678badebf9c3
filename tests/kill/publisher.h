/*
 * A client that publishes with a window, as fast as it is allowed, and after each connection that ended sends again what was not
 * finished, with the same packet ids and DUP.
 *
 * One without a session cannot know whether a QoS 2 message without PUBREC was taken: it gives such up, and nothing is owed.
 */
#ifndef KILL_PUBLISHER_H
#define KILL_PUBLISHER_H

#include "ledger.h"
#include "link.h"

#define PUBLISHER_WINDOW 64u

struct publisher {
	struct link link;
	struct ledger *ledger;
	unsigned index, qos;
	bool is_persistent, had_session, is_stopped;
	double rate, credit; /* messages a second */
	uint64_t base, next; /* the messages on the way */
	struct publisher_slot {
		uint64_t number; /* in the ledger */
		enum { SLOT_SENT, SLOT_RELEASED, SLOT_DONE } state;
	} slots[PUBLISHER_WINDOW];
};

void publisher_init(struct publisher *p, struct ledger *g, unsigned index, uint16_t port, double rate);
void publisher_fini(struct publisher *p);
/* `seconds` passed: send what may be sent. */
void publisher_tick(struct publisher *p, double seconds);
bool publisher_is_idle(const struct publisher *p);

#endif
