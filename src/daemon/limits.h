/*
 * The descriptors this process may have, and what follows for limits that the configuration leaves open.
 */
#ifndef DAEMON_LIMITS_H
#define DAEMON_LIMITS_H

#include <stdint.h>

#include "config/gateway_config.h"

/* Raise the soft limit of descriptors to the hard one, as far as the system lets us; returns the soft limit then in force. */
uint64_t limits_raise_descriptors(void);

/*
 * How many clients fit: what is configured, or what is not set by default, and never more than the descriptors
 * leave beside what the gateway needs itself (`workers` threads, listeners, lines). At least 1. Pure.
 */
uint32_t limits_connections(const struct gateway_config *cfg, uint32_t workers, uint64_t descriptors);

/*
 * Memory for what clients make the broker hold, in bytes: what is configured, or half of what the machine has, or its control group
 * when that is less. `root` is "" but in tests: where /proc and /sys are. 0: nobody could say, and there is no limit.
 */
uint64_t limits_memory(const struct gateway_config *cfg, const char *root);

/* Sessions: what is configured, or what a quarter of this memory holds; at least 1000 then. Pure. */
uint32_t limits_sessions(const struct gateway_config *cfg, uint64_t memory);
/* Bytes of memory that this process has resident; *most: the most so far. 0: the system does not tell. */
uint64_t limits_memory_in_use(uint64_t *most);

/* Workers to run: what is configured, or the CPUs this process may use; 1..CONFIG_WORKERS_MAX. */
uint32_t limits_workers(const struct gateway_config *cfg);

#endif
