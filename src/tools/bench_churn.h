/*
 * Connect and disconnect over and over: `clients` at a time, each from the TCP connection to CONNACK, then DISCONNECT.
 * The broker closes first, so that no port of this side stays in TIME-WAIT. With a rate a connection is made when it
 * is time, and its latency counts from then.
 */
#ifndef TOOLS_BENCH_CHURN_H
#define TOOLS_BENCH_CHURN_H

#include "tools/bench.h"

struct bench_churn {
	struct bench_load *load;
	struct churn_worker *workers;
	unsigned nworkers;
	_Atomic bool is_ending;
	_Atomic uint64_t begin_ns; /* connections begun from then on count */

	/* complete after bench_churn_stop() */
	uint64_t connects, failed, refused;
	struct bench_hist latency;
	char fault[128]; /* of the first that failed or was refused */
};

/* Start the threads. Nothing counts before bench_churn_measure(). ERR_* after the fault was said: nothing runs. */
MUST_USE int bench_churn_start(struct bench_churn *c, struct bench_load *l);
void bench_churn_measure(struct bench_churn *c);
void bench_churn_stop(struct bench_churn *c);

#endif
