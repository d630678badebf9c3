/*
 * Hand-over between workers: one lane for each ordered pair. The sender appends records to chunks of its own and
 * passes them over, once or a few times in a loop turn, with one notify; the receiver reads them in place, makes copies of
 * what its sessions must keep, and returns the chunks. Only chunk pointers cross, so nothing is counted
 * across threads but large payloads.
 *
 * A put never fails and never waits: room is reserved before the first effect of a publish.
 */
#ifndef MQTT_HANDOVER_H
#define MQTT_HANDOVER_H

#include <stdatomic.h>

#include "loop/loop.h"
#include "mqtt/msg.h"

enum record_kind {
	RECORD_PUBLISH, /* for every subscriber of the receiver */
	RECORD_SHARE,   /* for one member of a group on the receiver */
};

/* Which members of a group are asked for a message; when none takes it, all are asked anew in the next stage. */
enum share_stage {
	SHARE_SEND, /* who is online and has room */
	SHARE_KEEP, /* and who is away, or about to be, and has room in its queue */
	SHARE_FULL, /* who is away with a full queue: what goes then is the policy's choice */
};

/* What a RECORD_SHARE says besides the message. */
struct share_route {
	struct span key; /* "group/filter" */
	uint64_t tried;  /* lanes that have nobody for it in this stage */
	enum share_stage stage;
};

struct lane {
	/* sender */
	struct chunk *open, *open_last; /* put and not passed, oldest first */
	struct chunk *spare;
	uint64_t put_number; /* of the last publish that was put */
	/* both */
	_Atomic(struct chunk *) passed; /* newest first */
	_Atomic(struct chunk *) returned;
	_Atomic uint32_t nreturned; /* about so many */
	_Atomic uint64_t backlog;   /* bytes passed and not consumed */
	_Atomic uint64_t
		passed_number;     /* every publish of the sender up to this one is passed if it had to be */
	_Atomic bool sender_waits; /* notify `drained` when the backlog is gone */
	_Atomic uint64_t
		settled; /* publishes of the sender that the receiver owes nobody any more (promise.h) */
	_Atomic bool settled_awaited;
	/* receiver */
	struct loop_source arrived;
	struct chunk *taken;         /* from `passed`, not handled in full; oldest first */
	uint32_t taken_at;           /* bytes of the first that are handled */
	uint64_t seen_number;        /* the last publish number of the sender that was handled */
	struct loop_source *drained; /* on the sender's loop */
	uint16_t from, to;
	struct budget *budget; /* where its chunks count; NULL: nowhere */
	void *owner;           /* the receiving worker */
};

/* `arrived` must be added to the receiver's loop by the owner. */
void lane_init(struct lane *l, uint16_t from, uint16_t to);
/* Frees all chunks; nobody uses the lane any more. */
void lane_fini(struct lane *l);

/* Bytes of the record for p. */
size_t lane_record_size(const struct publication *p, const struct share_route *share);
/* The same with a large payload that it refers to: what it counts in the backlog. */
size_t lane_record_weight(const struct publication *p, const struct share_route *share);
/* Make sure that the next put of a record this large succeeds. Sender. ERR_NOMEM. */
MUST_USE int lane_reserve(struct lane *l, size_t record_size);
/* Append; room was reserved. `share` NULL: RECORD_PUBLISH. Sender. */
void lane_put(struct lane *l, const struct publication *p, const struct share_route *share);
/* Pass what was put since, and wake the receiver. Sender, between two publishes. */
void lane_flush(struct lane *l, uint64_t last_number);

/* All that was passed since, oldest first, one call per record; `p` and `share` live for the call. Receiver. */
void lane_take(struct lane *l,
	       void (*handle)(void *arg, struct lane *l, struct publication *p, struct share_route *share),
	       void *arg);

/*
 * The same until enough(arg), asked after each record, is true. Returns whether all was taken; what was not is first the next
 * time.
 */
bool lane_take_some(struct lane *l,
		    void (*handle)(void *arg, struct lane *l, struct publication *p,
				   struct share_route *share),
		    bool (*enough)(void *arg), void *arg);

/* What was put and not passed, one call per record: for the lane of a worker to itself, which is never flushed. */
void lane_take_open(struct lane *l,
		    void (*handle)(void *arg, struct lane *l, struct publication *p,
				   struct share_route *share),
		    void *arg);

/* Nothing with a number up to `number` is still on its way. Receiver. */
bool lane_is_past(const struct lane *l, uint64_t number);

#endif
