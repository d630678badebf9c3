/*
 * The domain counts epochs.  A reader announces the count that it saw when it was last quiescent; 0 is
 * off-line.  What a thread retires in a turn gets one new number at the end of it, after all its unlinking:
 * a reader that announces this number or a later one has seen the count move, so the unlinking too, and it
 * held nothing when it announced.
 *
 * There are no fences (race checkers cannot follow them).  Where a store must be seen before a later load
 * is done (coming on-line), both sides do a read-modify-write of the same counter, which orders them.
 */
#include "base/epoch.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#define CACHE_LINE 64

struct reader_slot {
	_Atomic uint64_t seen; /* 0: off-line or free */
	_Atomic bool taken;
	char apart[CACHE_LINE - sizeof(uint64_t) - sizeof(bool)]; /* no two threads write one cache line */
};

struct epoch_domain {
	_Atomic uint64_t count;  /* starts at 1 */
	_Atomic unsigned nslots; /* slots below this were taken once */
	_Atomic(struct epoch_node *) orphans;
	struct reader_slot slots[EPOCH_READERS_MAX];
};

struct epoch_reader {
	struct epoch_domain *domain;
	struct reader_slot *slot;
	struct epoch_node *head, **tail; /* retired, oldest first */
	struct epoch_node **fresh;       /* where those begin that have no number yet */
};

int epoch_domain_create(struct epoch_domain **out)
{
	struct epoch_domain *d = calloc(1, sizeof(*d));

	if (!d)
		return ERR_NOMEM;
	atomic_init(&d->count, 1);
	*out = d;
	return OK;
}

void epoch_domain_destroy(struct epoch_domain *d)
{
	if (!d)
		return;
	for (unsigned i = 0; i < EPOCH_READERS_MAX; i++)
		assert(!atomic_load(&d->slots[i].taken));
	for (struct epoch_node *n = atomic_load(&d->orphans), *next; n; n = next) {
		next = n->next;
		n->free_fn(n);
	}
	free(d);
}

static struct reader_slot *slot_take(struct epoch_domain *d)
{
	for (unsigned i = 0; i < EPOCH_READERS_MAX; i++) {
		bool taken = false;
		unsigned high;

		if (!atomic_compare_exchange_strong(&d->slots[i].taken, &taken, true))
			continue;
		high = atomic_load(&d->nslots);
		while (high < i + 1 && !atomic_compare_exchange_weak(&d->nslots, &high, i + 1))
			;
		return &d->slots[i];
	}
	return NULL;
}

int epoch_reader_create(struct epoch_domain *d, struct epoch_reader **out)
{
	struct epoch_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return ERR_NOMEM;
	r->domain = d;
	r->tail = r->fresh = &r->head;
	r->slot = slot_take(d);
	if (!r->slot) {
		free(r);
		return ERR_FULL;
	}
	epoch_online(r);
	*out = r;
	return OK;
}

/* One number for all that was retired since the last call: it is drawn after their unlinking. */
static void number_fresh(struct epoch_reader *r)
{
	uint64_t epoch;

	if (!*r->fresh)
		return;
	epoch = atomic_fetch_add_explicit(&r->domain->count, 1, memory_order_acq_rel) + 1;
	for (struct epoch_node *n = *r->fresh; n; n = n->next)
		n->epoch = epoch;
	r->fresh = r->tail;
}

static uint64_t oldest_seen(struct epoch_domain *d)
{
	unsigned nslots = atomic_load_explicit(&d->nslots, memory_order_acquire);
	uint64_t oldest = UINT64_MAX;

	for (unsigned i = 0; i < nslots; i++) {
		uint64_t seen = atomic_load_explicit(&d->slots[i].seen, memory_order_acquire);

		if (seen && seen < oldest)
			oldest = seen;
	}
	return oldest;
}

static void free_old(struct epoch_reader *r)
{
	uint64_t oldest;

	if (!r->head)
		return;
	oldest = oldest_seen(r->domain);
	/* free_fn may retire more: these have no number (epoch 0 with fresh pointing at them) and stop the loop. */
	while (&r->head != r->fresh && r->head->epoch <= oldest) {
		struct epoch_node *n = r->head;

		r->head = n->next;
		if (r->fresh == &n->next)
			r->fresh = &r->head;
		if (r->tail == &n->next)
			r->tail = &r->head;
		n->free_fn(n);
	}
}

void epoch_quiescent(struct epoch_reader *r)
{
	uint64_t count;

	number_fresh(r);
	count = atomic_load_explicit(&r->domain->count, memory_order_acquire);
	if (count != atomic_load_explicit(&r->slot->seen, memory_order_relaxed))
		atomic_store_explicit(&r->slot->seen, count, memory_order_release);
	free_old(r);
}

void epoch_offline(struct epoch_reader *r)
{
	epoch_quiescent(r);
	atomic_store_explicit(&r->slot->seen, 0, memory_order_release);
}

void epoch_online(struct epoch_reader *r)
{
	uint64_t count;

	/*
	 * A thread that retires adds to the count and then looks at `seen`. Its addition is either before ours,
	 * then we see what it unlinked; or after, then it sees us with the oldest number.
	 */
	atomic_store_explicit(&r->slot->seen, 1, memory_order_relaxed);
	count = atomic_fetch_add_explicit(&r->domain->count, 0, memory_order_acq_rel);
	atomic_store_explicit(&r->slot->seen, count, memory_order_release);
}

void epoch_retire(struct epoch_reader *r, struct epoch_node *n, void (*free_fn)(struct epoch_node *n))
{
	n->next = NULL;
	n->epoch = 0;
	n->free_fn = free_fn;
	*r->tail = n;
	r->tail = &n->next;
}

void epoch_reader_destroy(struct epoch_reader *r)
{
	struct epoch_node *orphans;

	if (!r)
		return;
	epoch_offline(r);
	if (r->head) {
		orphans = atomic_load(&r->domain->orphans);
		do
			*r->tail = orphans;
		while (!atomic_compare_exchange_weak(&r->domain->orphans, &orphans, r->head));
	}
	atomic_store(&r->slot->taken, false);
	free(r);
}
