/*
 * What was just sent to a server of MQTT 3.1.1, which sends it back when a subscription of ours covers it: there is no "no local"
 * in that version. A memory of bounded size and time: each entry stands for one copy that may come back.
 */
#ifndef UPLINKS_ECHO_H
#define UPLINKS_ECHO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define ECHO_ENTRIES 4096u  /* a power of two */
#define ECHO_MS      30000u /* one that did not come back by then does not */

struct echo {
	uint64_t seed;
	uint32_t put;   /* entries so far; the newest ECHO_ENTRIES are there */
	uint32_t first; /* before it there is none that may come back */
	struct echo_entry {
		uint64_t hash; /* 0: none, or it came back */
		uint64_t at_ms;
	} ring[ECHO_ENTRIES];
};

void echo_init(struct echo *e, uint64_t seed);
void echo_add(struct echo *e, struct span topic, struct span payload, uint64_t now_ms);
/* Is this a copy of what was sent? It is forgotten then. */
bool echo_take(struct echo *e, struct span topic, struct span payload, uint64_t now_ms);

#endif
