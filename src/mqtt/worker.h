/*
 * Inside the broker: the broker, a worker, and what they are made of. Not for other folders.
 *
 *   broker    what all workers share: configuration, interest, retained, registry, lanes. Changed only through
 *             structures that are made for it
 *   worker    one loop's sessions, connections, subscriptions and routing. Touched by its loop's thread only; others
 *             send it a call (worker_call) or records through a lane. A port is a worker without connections
 */
#ifndef MQTT_WORKER_H
#define MQTT_WORKER_H

#include <stdatomic.h>

#include "base/epoch.h"
#include "base/hmap.h"
#include "base/list.h"
#include "mqtt/broker.h"
#include "mqtt/budget.h"
#include "mqtt/handover.h"
#include "mqtt/interest.h"
#include "mqtt/msg.h"
#include "mqtt/registry.h"
#include "mqtt/retained.h"
#include "mqtt/sub_tree.h"
#include "store/queue.h"
#include "store/store.h"

#define INPUT_BYTES (256u * 1024)
/* A backlog below this is left alone as long as there is any memory. */
#define FAIR_QUEUE_BYTES  (16u * 1024)
#define FAIR_OUTPUT_BYTES (64u * 1024)
#define WORKER_STEPS_MAX  100000u /* 10 to 50 ms */
#define SWEEP_MS          250u    /* between two looks for retained messages that expired */

struct conn;
struct session;
struct sys;
struct worker;

/* Something to do on another worker, sent over its control lane: moves, not data. The sender allocates it. */
struct worker_call {
	void (*run)(struct worker *w, struct worker_call *c); /* frees it */
	void (*cancel)(struct worker_call *c);                /* the broker ends before it ran */
	struct worker_call *next;
};

/* That clients go to another server (5.0, 4.11). Each worker has its own copy. */
struct redirect {
	uint8_t reason; /* 0x9C for now, 0x9D for good */
	char text[];    /* the Server Reference, up to REDIRECT_BYTES_MAX and a NUL */
};

/* Something that a worker owes another: a message that is not settled yet. */
struct owed {
	struct list in_lane; /* worker.unsettled of the worker that published it, in order */
	uint64_t number;     /* of its publishes */
};

struct worker {
	struct broker *broker;
	struct loop *loop;
	uint16_t index; /* of its lanes; ports come behind the workers */
	bool hooked;
	struct epoch_reader *reader;
	struct loop_hook turn_end, before_sleep, after_sleep;

	_Atomic uint32_t connections; /* here, or on their way here */

	/* incoming calls */
	_Atomic(struct worker_call *) calls;
	struct loop_source called;

	struct redirect *redirect; /* where clients are sent; NULL: they are served here */

	/* sessions and connections */
	struct hmap sessions; /* by client id */
	uint32_t nsessions;
	struct list own_sessions; /* the program's, of nsessions */
	struct list conns;
	struct list dirty; /* connections with output to flush or to be closed at the end of the turn */
	struct list
		unread; /* connections to be read again: more was there than one turn takes, or reading was stopped */
	struct list waiting; /* answers that wait for the disk (answer.h) */
	struct out_pool *out_pool;
	struct queue_pool *queues;
	struct budget_share budget;
	uint64_t queues_counted; /* of queue_pool_held(), in the budget */

	/* what outlives the process (promise.h, keep.h, shelf.h) */
	struct store_port *disk; /* NULL: nothing does */
	bool progressed;         /* something was settled or became durable: answers may be ready */
	bool is_short;           /* of memory for a row: it is tried again */
	struct list *unsettled;  /* by lane: struct owed */
	struct list lingering;   /* keeps without a row, oldest first */
	struct list writing;     /* keeps with a row that is not durable, by ticket */
	uint64_t lingering_bytes;
	struct loop_timer linger;
	struct list holding;        /* shelves with messages that wait for the disk before they leave */
	struct list dirty_shelves;  /* shelves with rows that are done with */
	struct loop_timer cleaning; /* of these */
	struct list reads;          /* under way */
	struct list imports;        /* that wait for the disk (import.h) */
	struct list relays;         /* what was passed on for another worker */
	struct list confirming, confirmed_writing; /* publishes of QoS 2 of stored sessions */
	uint64_t confirm_newest;                   /* number of the newest of them */
	_Atomic uint64_t confirmed;                /* those up to this number are confirmed, on disk */
	_Atomic bool confirm_awaited;              /* by another worker */
	struct loop_source settled;                /* another worker settled or confirmed something */
	uint64_t cached; /* bytes in memory of messages for clients that are away, on disk as well */
	uint64_t shelved, shelved_bytes; /* messages that are only on disk */
	uint8_t *input;                  /* INPUT_BYTES, for the connection that is being read */
	uint64_t next_uid;
	uint64_t random; /* state of worker_random() */

	/*
	 * What this turn did for its clients since others had theirs: nodes visited, messages delivered. One packet may ask
	 * for very much; above WORKER_STEPS_MAX the rest waits for the next turn.
	 */
	uint64_t steps;

	/* routing */
	struct sub_tree *subs;
	struct topic_levels *levels; /* scratch */
	struct topic_walk_entry *walk;
	struct routes *routes;
	uint8_t *props; /* scratch for properties passed on */
	uint32_t props_room;
	_Atomic uint64_t published; /* number of the last publish that started here */
	uint64_t handed;            /* number up to which all is in the lanes */
	uint64_t touched;           /* lanes that got records in this turn */
	uint64_t handed_bytes;      /* put into lanes in this turn */
	bool may_delay;             /* the packet in hand is one of a row of PUBLISH */
	bool delayed;               /* messages for sessions here wait in the lane to itself */
	struct loop_source drained;
	bool stopped_reading;
	struct list unripe; /* feeds of retained messages that wait for what is on its way */
	struct loop_timer ripening;
	struct loop_timer sweeping; /* pending while a retained message that was stored here may expire */

	uint64_t cut_again_ms;  /* not before this: there was nothing to cut */
	struct mqtt_port *port; /* set when this is a port's worker */
	struct sys *sys;        /* the first worker's */

#define WORKER_GAUGE_FIELD(name, text) _Atomic uint64_t name;
	struct {
		BROKER_GAUGES(WORKER_GAUGE_FIELD)
	} gauge; /* set by the worker at the end of a turn */
#undef WORKER_GAUGE_FIELD

#define WORKER_COUNTER_FIELD(name, text) _Atomic uint64_t name;
	struct {
		BROKER_COUNTERS(WORKER_COUNTER_FIELD)
	} count;
#undef WORKER_COUNTER_FIELD
};

struct broker {
	struct broker_config config;
	struct epoch_domain *epoch;
	struct interest *interest;
	struct retained_store *retained;
	struct registry *registry;
	struct worker *workers[BROKER_LANES_MAX]; /* nworkers of them, then nports */
	uint32_t nworkers, nlanes;
	struct lane *lanes; /* [from * BROKER_LANES_MAX + to] */
	struct budget budget;
	_Atomic uint32_t connections;
	_Atomic uint32_t clients, clients_maximum; /* connected; changed when one comes or goes */
	_Atomic uint32_t sessions;                 /* of clients */
	_Atomic bool stopping;
};

/* Only the worker's own thread counts; others read. */
#define worker_count(w, name, n)                                                                  \
	atomic_store_explicit(&(w)->count.name,                                                   \
			      atomic_load_explicit(&(w)->count.name, memory_order_relaxed) + (n), \
			      memory_order_relaxed)

static inline struct lane *broker_lane(const struct broker *b, uint32_t from, uint32_t to)
{
	return &b->lanes[from * BROKER_LANES_MAX + to];
}

/* One connection less, of this worker and of all. */
static inline void connection_gone(struct worker *w)
{
	atomic_fetch_sub(&w->connections, 1);
	atomic_fetch_sub(&w->broker->connections, 1);
}

/*
 * May this be published, now or as a will? Nothing below $SYS/, for it is the broker's own; else as the policy says. In broker.c.
 */
uint8_t publish_permitted(const struct broker *b, const struct mqtt_publish_request *r, bool *command);

/* In worker.c */
MUST_USE int worker_create(struct broker *b, struct loop *loop, uint16_t index, struct worker **out);
void worker_destroy(struct worker *w);
/* Any thread: run c on w soon. Never fails. */
void worker_call(struct worker *w, struct worker_call *c);
uint64_t worker_random(struct worker *w);
/*
 * The encoded properties of a message that are passed on: borrowed from the decoded list, or in the worker's scratch until
 * the next call. ERR_NOMEM, ERR_RANGE.
 */
MUST_USE int worker_passed_on(struct worker *w, const struct mqtt_props *props, struct span *out);
/* Did this turn do enough? */
static inline bool worker_is_busy(const struct worker *w)
{
	return w->steps > WORKER_STEPS_MAX;
}
/* How much memory is left for what clients make us hold? */
static inline enum budget_level worker_memory(const struct worker *w)
{
	return budget_level(&w->budget);
}
/*
 * At the end of a turn with BUDGET_FULL: if this worker is among those that hold most, its largest backlog is cut. In overload.c.
 */
void backlog_cut(struct worker *w);
/* How it stands, for others: at the end of a turn, and after a restore. */
void worker_gauges_set(struct worker *w);
/* Bring what the store holds into the budget. */
void worker_count_queues(struct worker *w);
/* Publishers are not read for now (hand-over backlog)? */
bool worker_is_backlogged(struct worker *w);

#endif
