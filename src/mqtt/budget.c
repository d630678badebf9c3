#include "mqtt/budget.h"

#define TIGHT_PERCENT 75u
#define FULL_PERCENT  90u

static int64_t part(uint64_t limit, uint64_t percent)
{
	if (limit == 0 || limit > INT64_MAX / 100)
		return INT64_MAX;
	return (int64_t)(limit * percent / 100);
}

void budget_init(struct budget *b, uint64_t limit)
{
	atomic_init(&b->used, 0);
	b->tight = part(limit, TIGHT_PERCENT);
	b->full = part(limit, FULL_PERCENT);
}

void budget_settle(struct budget_share *s)
{
	if (s->open == 0)
		return;
	atomic_store_explicit(&s->held, atomic_load_explicit(&s->held, memory_order_relaxed) + s->open,
			      memory_order_relaxed);
	budget_add(s->all, s->open);
	s->open = 0;
}
