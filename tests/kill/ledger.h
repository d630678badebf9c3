/*
 * What publishers were promised, what subscribers got, and every promise that was broken.
 *
 * Message `number` of a publisher goes to topic number % LEDGER_TOPICS of it; the first LEDGER_RETAINED topics are retained. A
 * payload tells publisher and number, and its size and bytes follow from these.
 */
#ifndef KILL_LEDGER_H
#define KILL_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define LEDGER_PUBLISHERS  8u
#define LEDGER_TOPICS      12u
#define LEDGER_RETAINED    3u
#define LEDGER_PAYLOAD_MAX 20000u
#define LEDGER_NOTHING     UINT64_MAX

#define LEDGER_FAULTS(FAULT)                                                               \
	FAULT(LOST, "lost", "an acknowledged message did not arrive")                      \
	FAULT(REPEATED, "repeated", "a QoS 2 message arrived twice")                       \
	FAULT(REORDERED, "reordered", "a message arrived behind a later one")              \
	FAULT(DAMAGED, "damaged", "a message is not what was published")                   \
	FAULT(RETAINED_OLD, "retained_old", "a retained value is older than acknowledged") \
	FAULT(SESSION, "sessions_lost", "a session that was acknowledged is gone")         \
	FAULT(REUSED, "ids_reused", "a packet id in use came with another message")        \
	FAULT(ACK_ORDER, "acks_out_of_order", "acknowledged before an earlier one")        \
	FAULT(STRANGE, "strange", "a packet that nobody asked for")                        \
	FAULT(REFUSED, "refused", "a publish or subscription was refused")                 \
	FAULT(STALLED, "stalled", "nothing moves any more")                                \
	FAULT(DIED, "died", "the broker ended by itself")

enum ledger_fault {
#define LEDGER_AS_ENUM(name, key, text) LEDGER_##name,
	LEDGER_FAULTS(LEDGER_AS_ENUM)
#undef LEDGER_AS_ENUM
		LEDGER_NFAULTS
};

struct ledger {
	struct {
		uint64_t next;   /* numbers below it were sent */
		uint16_t *acked; /* by number: 0: not yet; else the broker's life in which it was */
		size_t room;
		uint64_t newest[LEDGER_TOPICS]; /* acknowledged; LEDGER_NOTHING: none */
	} publishers[LEDGER_PUBLISHERS];
	uint64_t faults[LEDGER_NFAULTS];
	uint64_t acked, delivered, resent, redelivered;
	unsigned life; /* of the broker: how often it was started */
};

void ledger_init(struct ledger *g);
void ledger_fini(struct ledger *g);

/* A new message: its number. */
uint64_t ledger_new(struct ledger *g, unsigned publisher);
void ledger_ack(struct ledger *g, unsigned publisher, uint64_t number);
bool ledger_is_acked(const struct ledger *g, unsigned publisher, uint64_t number);

/* Count it, and say the first few. */
void ledger_fault(struct ledger *g, enum ledger_fault fault, const char *who, unsigned publisher,
		  uint64_t number);
uint64_t ledger_faults(const struct ledger *g);
const char *ledger_fault_key(enum ledger_fault fault);

/* The topic of a message, by its number. */
static inline unsigned ledger_topic_of(uint64_t number)
{
	return (unsigned)(number % LEDGER_TOPICS);
}

/* Name of a topic, payload of a message; `payload` has room for LEDGER_PAYLOAD_MAX. Returns the payload's length. */
void ledger_topic(char to[32], unsigned publisher, unsigned topic);
size_t ledger_payload(uint8_t *payload, unsigned publisher, uint64_t number);
/* Which message this is; false when it is none, or damaged. */
bool ledger_read(struct span topic, struct span payload, unsigned *publisher, uint64_t *number);

/* ---- what one subscriber has of one publisher ---- */

struct ledger_seen {
	uint64_t from;                /* numbers from here on are owed; LEDGER_NOTHING: none */
	uint64_t complete;            /* all below it that are owed arrived */
	uint64_t last[LEDGER_TOPICS]; /* plus 1 */
	uint64_t *bits;
	size_t words;
};

/* It arrived: false when it was there before. */
bool ledger_seen_add(struct ledger_seen *s, uint64_t number);
/* Have all come that are acknowledged and owed? With `report`, each that did not is a fault. */
bool ledger_seen_complete(struct ledger *g, struct ledger_seen *s, unsigned publisher, const char *who,
			  bool report);

#endif
