/*
 * What a run of `lineside bench` found: named figures in the order in which they are told, as text for people or as one
 * JSON object. Never allocates.
 */
#ifndef TOOLS_BENCH_REPORT_H
#define TOOLS_BENCH_REPORT_H

#include "tools/bench.h"

#define BENCH_FACTS 48u

struct bench_fact {
	const char *key, *label; /* of JSON, for people */
	double value;
	int decimals;
};

struct bench_report {
	const struct bench_options *o;
	struct bench_fact facts[BENCH_FACTS];
	unsigned nfacts;
	bool is_bad;    /* something was lost, repeated, out of order, refused or broken */
	char note[256]; /* one more sentence on stderr, or empty */
};

void bench_tell(struct bench_report *r, const char *key, const char *label, double value, int decimals);

/* p50, p90, p99, p99.9 and the maximum in microseconds, as PREFIX_p50_us...; the prefix is "latency" or "ack". */
void bench_tell_latency(struct bench_report *r, bool is_ack, const struct bench_hist *h);

/* Lost, repeated and so on; sets is_bad and note. */
void bench_tell_faults(struct bench_report *r, const struct bench_load *l, const struct bench_totals *t);

/* Returns false when stdout did not take it. */
bool bench_report_print(const struct bench_report *r);

#endif
