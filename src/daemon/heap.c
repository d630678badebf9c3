#include "daemon/heap.h"

#include <inttypes.h>
#include <malloc.h>

#include "base/log.h"
#include "daemon/limits.h"

bool heap_is_loose(struct heap *h, uint64_t used, uint64_t resident)
{
	if (h->resident > resident)
		h->resident = resident;
	return resident > used + used / 2 + HEAP_SLACK &&
	       (resident > h->resident + HEAP_SLACK || used + HEAP_SLACK < h->used);
}

void heap_look(struct heap *h, uint64_t used)
{
	uint64_t most, before = limits_memory_in_use(&most);

	if (!heap_is_loose(h, used, before))
		return;
	(void)malloc_trim(0);
	h->resident = limits_memory_in_use(&most);
	h->used = used;
	log_info("daemon", "gave memory back to the system: %" PRIu64 " of %" PRIu64 " MiB are left",
		 h->resident >> 20, before >> 20);
}
