/*
 * Gives memory back to the system. After a burst the allocator keeps what was freed, spread over its arenas, and the process looks as
 * large as at its worst for as long as it runs. The main thread only.
 */
#ifndef DAEMON_HEAP_H
#define DAEMON_HEAP_H

#include <stdbool.h>
#include <stdint.h>

#define HEAP_SLACK (64u * 1024 * 1024) /* bytes that may be resident without being used */

struct heap {
	uint64_t resident, used; /* bytes, after the last trim */
};

/*
 * Is so much resident beyond what is used that it is worth a trim, which holds up whoever allocates for some milliseconds? Not
 * again for what the last one could not give back, before less is used.
 */
bool heap_is_loose(struct heap *h, uint64_t used, uint64_t resident);

/* Now and then, with the bytes that the broker counts as used. */
void heap_look(struct heap *h, uint64_t used);

#endif
