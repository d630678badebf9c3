/*
 * A client with a persistent session that checks what it gets. It keeps what QoS 2 wants a client to keep across connections, and so
 * across deaths of the broker.
 */
#ifndef KILL_SUBSCRIBER_H
#define KILL_SUBSCRIBER_H

#include "ledger.h"
#include "link.h"

#define SUBSCRIBER_ALL UINT32_MAX

struct subscriber_plan {
	const char *name;
	enum mqtt_version version;
	unsigned qos, publisher;   /* SUBSCRIBER_ALL: of all */
	unsigned receive_maximum;  /* 0: not said. MQTT 5 */
	unsigned ack_ms;           /* acknowledges up to so much later; 0: at once */
	unsigned here_ms, away_ms; /* comes for so long, and goes for so long, at most; 0: stays */
	unsigned late_ms;          /* first comes then */
	bool is_absent;            /* subscribes, goes, and comes at the end */
};

struct subscriber {
	struct link link;
	struct ledger *ledger;
	const struct subscriber_plan *plan;
	bool had_session, is_granted;
	bool is_steady;   /* from now on here, and quick */
	bool is_quiet;    /* everything before the PING was read */
	uint64_t turn_ns; /* when it comes or goes next; 0: it stays as it is */
	uint64_t random;
	struct ledger_seen seen[LEDGER_PUBLISHERS];
	struct subscriber_held { /* by packet id: QoS 2 messages whose PUBREL has not come */
		bool is_held;
		unsigned publisher;
		uint64_t number;
	} * held;
	struct subscriber_reply {
		uint64_t due_ns;
		enum mqtt_type type;
		uint16_t packet_id;
	} * replies; /* in order */
	size_t nreplies, replies_room;
};

void subscriber_init(struct subscriber *s, struct ledger *g, const struct subscriber_plan *plan,
		     uint16_t port, uint64_t seed);
void subscriber_fini(struct subscriber *s);
/* Come, go, acknowledge what is due. */
void subscriber_tick(struct subscriber *s, uint64_t now_ns);
/* From now on it is here and acknowledges at once. */
void subscriber_settle(struct subscriber *s);
/* Does it want to be connected now? */
bool subscriber_is_wanted(const struct subscriber *s, uint64_t now_ns);
bool subscriber_is_complete(struct subscriber *s, bool report);

#endif
