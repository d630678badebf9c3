/*
 * What lines, devices and groups count about themselves. Cheap enough to be told at every request; pure.
 */
#ifndef FIELD_DIAG_H
#define FIELD_DIAG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define DIAG_EXCEPTIONS  12u /* codes 1..11; 0 stands for any other */
#define GROUPS_SHOWN_MAX 64u /* in the status of a device */

/* Each request that went to the device has one outcome: ok, exceptions, timeouts, crc or errors. */
struct device_counters {
	uint64_t ok, timeouts, exceptions, errors, writes;
	uint64_t late;    /* scans that were left out because the one before was not done */
	uint64_t late_ms; /* the worst time by which one took longer than its interval */
	uint64_t sent;    /* requests */
	uint64_t retries; /* of them, those that repeat one that got no answer */
	uint64_t crc;     /* answers that were broken on the wire, or none to what was asked */
	uint32_t by_exception[DIAG_EXCEPTIONS];
};

struct line_counters {
	uint64_t sent, answered, timeouts, crc, errors;
	uint64_t passed;  /* requests of foreign masters */
	uint64_t busy_us; /* how long the wire was held */
};

#define RESPONSE_BUCKETS 12u

/* Upper ends of the buckets in ms; the last has none. */
extern const uint32_t response_bounds_ms[RESPONSE_BUCKETS - 1];

/* From the last byte of a request to its answer. */
struct response_times {
	uint64_t count, sum_us;
	uint32_t max_us;
	uint32_t buckets[RESPONSE_BUCKETS];
};

void response_add(struct response_times *t, uint32_t us);
uint32_t response_mean_us(const struct response_times *t); /* 0: none */

/* The time from the end of one scan to the end of the next. */
struct scan_times {
	uint64_t count, sum_ms;
	uint64_t worst_ms;
	uint64_t late;    /* left out because the one before was not done */
	uint64_t last_at; /* when the last scan ended; 0: none yet, or the device was away since */
};

void scan_ended(struct scan_times *t, uint64_t now_ms);
void scan_interrupted(struct scan_times *t);
double scan_mean_ms(const struct scan_times *t); /* 0: none */

#endif
