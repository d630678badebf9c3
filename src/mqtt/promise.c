#include "mqtt/promise.h"

bool promise_is_kept(const struct worker *w, const struct promise *p)
{
	if (!worker_has_store(w))
		return true;
	return store_durable(w->disk) >= p->ticket;
}

struct promise promise_now(const struct worker *w)
{
	return (struct promise){.ticket = worker_has_store(w) ? store_ticket(w->disk) : 0};
}

struct promise promise_of_all(const struct worker *w)
{
	struct promise p = promise_now(w);
	uint32_t n = w->broker->nlanes;

	if (!worker_has_store(w))
		return p;
	p.number = p.confirm = atomic_load_explicit(&w->published, memory_order_relaxed);
	p.lanes = (n < 64 ? (UINT64_C(1) << n) - 1 : UINT64_MAX) & ~(UINT64_C(1) << w->index);
	return p;
}

int64_t worker_wall_ms(const struct worker *w, uint64_t monotonic_ms)
{
	uint64_t now = loop_now_ms(w->loop);

	if (!monotonic_ms)
		return 0;
	return loop_wall_ms(w->loop) + (int64_t)(monotonic_ms > now ? monotonic_ms - now : 0);
}

uint64_t worker_monotonic_ms(const struct worker *w, int64_t wall_ms)
{
	int64_t now = store_now_ms(w->broker->config.store, loop_wall_ms(w->loop));

	if (!wall_ms)
		return 0;
	return loop_now_ms(w->loop) + (uint64_t)(wall_ms > now ? wall_ms - now : 0);
}
