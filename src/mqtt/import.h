/*
 * Sessions and retained messages from elsewhere, for a broker that runs and has a store. From any thread.
 *
 * What belongs to a session is first written under a session without a name, which has expired: a start would forget it. When all of
 * it is on disk, one change gives it its name, and the session is there in memory, too: whatever happens, it is there as a whole
 * or not at all. A session that it replaces goes in the same change.
 */
#ifndef MQTT_IMPORT_H
#define MQTT_IMPORT_H

#include "mqtt/broker.h"
#include "mqtt/worker.h"
#include "store/backend.h"

struct broker_import {
	/* asked */
	/*
	 * A SESSION and all that belongs to it, of kinds SUB, RECEIVED and ROW, rows in order; or one or more RETAINED. Valid, as
	 * tools/store_line.h reads them. They stay until done(); ids, places and stamps in them are set.
	 */
	struct store_op *ops;
	size_t nops;
	bool replace;                          /* else what is there already stays */
	void (*done)(struct broker_import *i); /* on any thread; `i` is the caller's again */
	/* answered */
	/*
	 * OK: all that was taken is on disk. ERR_FULL: the store, max_sessions or memory_limit; ERR_IO: the store fails, or the broker
	 * ends; ERR_NOMEM. Of retained messages some may be there then.
	 */
	int rc;
	const char *why; /* when rc says FULL or IO */
	size_t kept;     /* sessions or retained messages that were there, and stayed */

	/* its own */
	struct worker_call call;
	struct list node;
	uint64_t ticket, seq;
	size_t at; /* the next op */
	uint32_t id;
	unsigned step;
};

void broker_import(struct broker *b, struct broker_import *i);

/* ---- for worker and promise.c ---- */

/* Those whose changes are on disk go on. */
void imports_look(struct worker *w);
/* The worker ends. */
void imports_cancel(struct worker *w);

#endif
