/*
 * What "lineside status" is told, as JSON: docs/man/lineside-status.1 says what each member means. On the main thread; the
 * broker's figures are read while its workers run.
 */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

#include <jansson.h>

#include "config/gateway_config.h"
#include "mqtt/broker.h"
#include "net/stream_tcp.h"

/* Where the messages stood at two moments, so that rates can be told without waiting. */
struct status_rates {
	struct status_sample {
		uint64_t at_ms;
		uint64_t received, sent, dropped; /* messages */
		struct store_figures store;       /* all 0 without one */
	} before, last;
};

/* Once in STATUS_SAMPLE_MS. */
#define STATUS_SAMPLE_MS 5000u
/* `store` may be NULL. */
void status_rates_sample(struct status_rates *r, const struct broker *b, const struct store *store,
			 uint64_t now_ms);

struct status_facts {
	const char *path;  /* of the configuration; NULL: the default */
	const char *state; /* "running", ... */
	const struct gateway_config *cfg;
	const struct broker *broker;
	const struct store *store; /* NULL: all is in memory */
	uint32_t max_connections;
	uint64_t memory_limit;             /* bytes for what clients make the broker hold; 0: none */
	struct listener *const *listeners; /* those of `first` */
	const struct gateway_config *first;
	size_t nlisteners;
	uint64_t start_ms, now_ms; /* monotonic */
	const struct status_rates *rates;
	struct status_reloads {
		uint32_t taken, refused;
		int64_t last_ms; /* wall clock; 0: none yet */
		bool last_was_refused;
	} reloads;
};

/*
 * One line of JSON, to free(). `field` is what field_thread_take_report() gave, `uplinks` what uplink_thread_take_report() did, and both are
 * taken; NULL: what is in them is left out. NULL: out of memory.
 */
char *status_text(const struct status_facts *f, json_t *field, json_t *uplinks);

#endif
