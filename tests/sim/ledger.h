/*
 * What was published, subscribed and delivered in one simulated run, and whether the broker kept its promises.
 *
 * Everything gets a tick from one counter, so "published after the SUBACK had come" is a comparison. A broken promise
 * found on the way is noted at once; what is owed is looked at when the run is over and quiet.
 */
#ifndef SIM_LEDGER_H
#define SIM_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define LEDGER_CLIENTS  16u
#define LEDGER_MESSAGES 4096u
#define LEDGER_SUBS     2048u
#define LEDGER_TOPIC    32u
#define LEDGER_FILTER   48u

struct ledger_message {
	char topic[LEDGER_TOPIC];
	uint8_t publisher, qos;
	bool retain;
	bool resent;  /* its publisher sent it again: a QoS 1 message may come anew to who subscribed since */
	uint32_t seq; /* of this publisher and topic, from 1 */
	uint64_t sent, acked; /* ticks; 0: not yet */
};

/* One life of a subscription, from SUBACK to UNSUBSCRIBE or the session's end. */
struct ledger_sub {
	char filter[LEDGER_FILTER];
	uint8_t client, qos;
	uint64_t from, until; /* ticks; until 0: still there */
	uint64_t gone;        /* when UNSUBACK had come, or the session's end was known; 0: not */
};

struct ledger {
	uint64_t tick;
	struct ledger_message messages[LEDGER_MESSAGES];
	uint32_t nmessages;
	struct ledger_sub subs[LEDGER_SUBS];
	uint32_t nsubs;
	/* by client and message: how many live copies came, and whether a retained one did */
	uint16_t copies[LEDGER_CLIENTS][LEDGER_MESSAGES];
	uint64_t session_ended[LEDGER_CLIENTS]; /* tick of the last time */
	bool in_group[LEDGER_CLIENTS]; /* a share group's members split a stream, in no order (4.8.2) */
	bool small_queues;             /* a first copy may be dropped, and one that is sent again come late */
	uint64_t crashed;              /* tick of the broker's last crash; 0: none */
	bool refuses;                  /* the broker refused some for want of disk */
	bool stored; /* retained messages overtake what waits on disk, and one that was not acknowledged may go */
	bool late_feeds; /* a retained message that is replaced while a subscriber waits for it may not come */
	uint64_t may_miss, may_miss_shared;
	uint64_t deliveries; /* that came, of any kind */
	char broken[512];    /* the first broken promise; empty: none */
};

/* A message is about to be sent for the first time; its id, or -1 when the ledger is full. */
int ledger_publish(struct ledger *l, unsigned publisher, const char *topic, uint8_t qos, bool retain);
void ledger_acked(struct ledger *l, uint32_t id);
/* SUBACK came. */
void ledger_subscribed(struct ledger *l, unsigned client, const char *filter, uint8_t qos);
/* UNSUBSCRIBE is about to be sent. */
void ledger_unsubscribe(struct ledger *l, unsigned client, const char *filter);
/* UNSUBACK came for all that the client had asked to be rid of. */
void ledger_unsubscribed(struct ledger *l, unsigned client);
/* Had the client any subscription for it left when it was sent? */
bool ledger_was_subscribed(const struct ledger *l, unsigned client, const struct ledger_message *m);
/* The client starts anew: its session, subscriptions and deliveries do not count any more. */
void ledger_session_ends(struct ledger *l, unsigned client);
/* A message arrived at the application of a client. */
void ledger_delivered(struct ledger *l, unsigned client, uint32_t id, uint8_t qos, bool retained_copy);

/*
 * The broker counted this many messages that a configured limit dropped, and so many that no member of a share group could take
 * within its limits: so many may be missing.
 */
void ledger_allow(struct ledger *l, uint64_t dropped, uint64_t dropped_shared);

/* What the broker counted as dropped. */
struct ledger_drops {
	uint64_t sure;       /* of QoS 1 and 2 */
	uint64_t qos0;       /* of QoS 0 */
	uint64_t any;        /* of any */
	bool qos0_went_down; /* with connections that the broker closed: more of QoS 0 may be missing */
};

/*
 * Every message that a subscription was owed either came or was counted. For runs in which no session ends, and nothing is
 * retained or shared. A QoS 1 message that its publisher sent again may have been dropped once more than it is missing.
 */
void ledger_settle_drops(struct ledger *l, const struct ledger_drops *drops);

/*
 * The broker crashed: what was not acknowledged may be gone, with retained messages that clients saw, and what was still to be sent
 * to a new subscription.
 */
void ledger_crashed(struct ledger *l);
/*
 * `client` subscribed to all topics when all was quiet: the retained message it got of each is the newest that was acknowledged, or
 * newer. For runs in which nobody clears any.
 */
void ledger_settle_newest(struct ledger *l, unsigned client);

/* Note a broken promise, printf-like; the first is kept. */
void ledger_broken(struct ledger *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The run is over: what is owed? Fills `broken`. */
void ledger_settle(struct ledger *l);

#endif
