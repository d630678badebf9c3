#include "field/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BITS_PER_REGISTER 16u
#define BITS_MAX          2000u
#define COST_OF_REQUEST   ((int64_t)1 << 40) /* more than all addresses of a plan together */

static uint32_t item_end(const struct plan_item *item)
{
	return (uint32_t)item->start + item->count;
}

static bool is_same_place(const struct plan_item *a, const struct plan_item *b)
{
	return a->area == b->area && a->start == b->start && a->count == b->count;
}

static int compare_items(const void *a, const void *b)
{
	const struct plan_item *x = a, *y = b;

	if (x->is_refused != y->is_refused)
		return x->is_refused ? 1 : -1;
	if (x->area != y->area)
		return x->area < y->area ? -1 : 1;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	return (x->tag > y->tag) - (x->tag < y->tag);
}

/* One past the last address of the items [first, first + n). */
static uint32_t end_of(const struct plan *p, size_t first, size_t n)
{
	uint32_t end = 0;

	for (size_t i = first; i < first + n; i++)
		if (item_end(&p->items[i]) > end)
			end = item_end(&p->items[i]);
	return end;
}

static struct plan_block block_of(const struct plan *p, size_t first, size_t n)
{
	const struct plan_item *item = &p->items[first];

	return (struct plan_block){
		.area = item->area,
		.is_bits = item->is_bits,
		.is_refused = item->is_refused,
		.start = item->start,
		.count = (uint16_t)(end_of(p, first, n) - item->start),
		.first = (uint32_t)first,
		.nitems = (uint32_t)n,
	};
}

/* ---- the least plan ---- */

/*
 * Leaders are the items that reach further than all before them in their area; the others lie inside the leader before
 * them, and are read with it.
 */
struct step {
	int64_t cost;   /* of the best plan for the leaders before this one */
	uint32_t item;  /* the leader */
	uint32_t begin; /* the leader with which the last block of that plan begins */
};

struct planner {
	const struct plan *p;
	const struct refused *refused;
	struct step *steps; /* one for each leader, and one more for the end */
	uint32_t *queue;    /* where a block may begin, the cheapest first and the costs rising */
	size_t n, head, tail;
	size_t low;     /* the first leader that may begin the block under way */
	uint32_t limit; /* where such a block must end */
};

static bool is_leader(const struct plan *p, size_t i, uint32_t reached)
{
	const struct plan_item *item = &p->items[i];

	return i == 0 || item[-1].area != item->area || item_end(item) > reached ||
	       (p->rules.one_by_one && !is_same_place(&item[-1], item));
}

static size_t find_leaders(const struct plan *p, size_t nitems, struct step *steps)
{
	uint32_t reached = 0;
	size_t n = 0;

	for (size_t i = 0; i < nitems; i++) {
		if (!is_leader(p, i, reached))
			continue;
		reached = item_end(&p->items[i]);
		steps[n++].item = (uint32_t)i;
	}
	steps[n].item = (uint32_t)nitems;
	return n;
}

static const struct plan_item *leader(const struct planner *pl, size_t i)
{
	return &pl->p->items[pl->steps[i].item];
}

/* Where a block that begins with this leader must end. */
static uint32_t limit_of(const struct planner *pl, const struct plan_item *item)
{
	uint32_t factor = item->is_bits ? BITS_PER_REGISTER : 1;
	uint32_t most = pl->p->rules.max_block * factor, reach;

	if (item->is_bits && most > BITS_MAX)
		most = BITS_MAX;
	reach = refused_reach(pl->refused, item->area, item->start);
	return item->start + most < reach ? item->start + most : reach;
}

/* Leader i can not be in a block with the one before it, whatever the block's length. */
static bool is_apart(const struct planner *pl, size_t i)
{
	const struct plan_item *item = leader(pl, i), *before = leader(pl, i - 1);
	uint32_t gap = pl->p->rules.max_gap * (item->is_bits ? BITS_PER_REGISTER : 1);

	return pl->p->rules.one_by_one || item->area != before->area ||
	       item->start > item_end(before) + gap || item_end(before) > limit_of(pl, before);
}

static int64_t cost_from(const struct planner *pl, size_t i)
{
	return pl->steps[i].cost - leader(pl, i)->start;
}

static void may_begin_at(struct planner *pl, size_t i)
{
	while (pl->tail > pl->head && cost_from(pl, pl->queue[pl->tail - 1]) >= cost_from(pl, i))
		pl->tail--;
	pl->queue[pl->tail++] = (uint32_t)i;
}

/* The best last block of a plan that ends with leader i. */
static void step(struct planner *pl, size_t i)
{
	uint32_t end = item_end(leader(pl, i)), begin;

	may_begin_at(pl, i);
	if (i == 0 || is_apart(pl, i)) {
		pl->low = i;
		pl->limit = limit_of(pl, leader(pl, i));
	}
	while (pl->low < i && end > pl->limit)
		pl->limit = limit_of(pl, leader(pl, ++pl->low));
	while (pl->queue[pl->head] < pl->low)
		pl->head++;
	begin = pl->queue[pl->head];
	pl->steps[i + 1].begin = begin;
	pl->steps[i + 1].cost = cost_from(pl, begin) + COST_OF_REQUEST + end;
}

static void take_blocks(struct plan *p, const struct planner *pl)
{
	size_t n = 0;

	for (size_t i = pl->n; i > 0; i = pl->steps[i].begin)
		n++;
	p->nblocks = n;
	for (size_t i = pl->n; i > 0; i = pl->steps[i].begin) {
		uint32_t first = pl->steps[pl->steps[i].begin].item;

		p->blocks[--n] = block_of(p, first, pl->steps[i].item - first);
	}
}

/* What is refused comes last: each place by itself. */
static void take_refused(struct plan *p, size_t first)
{
	for (size_t i = first, n; i < p->nitems; i += n) {
		for (n = 1; i + n < p->nitems && is_same_place(&p->items[i], &p->items[i + n]);)
			n++;
		p->blocks[p->nblocks++] = block_of(p, i, n);
	}
}

static size_t sort_items(struct plan *p, const struct refused *refused)
{
	size_t n = 0;

	for (size_t i = 0; i < p->nitems; i++) {
		struct plan_item *item = &p->items[i];

		item->is_refused = refused_tag(refused, item->area, item->start, item_end(item)) != NULL;
		n += !item->is_refused;
	}
	qsort(p->items, p->nitems, sizeof(*p->items), compare_items);
	return n;
}

int plan_renew(struct plan *p, const struct refused *refused)
{
	struct planner pl = {.p = p, .refused = refused};
	size_t n;

	if (p->nitems == 0)
		return OK;
	pl.steps = calloc(p->nitems + 1, sizeof(*pl.steps));
	pl.queue = calloc(p->nitems, sizeof(*pl.queue));
	if (!pl.steps || !pl.queue) {
		free(pl.steps);
		free(pl.queue);
		return ERR_NOMEM;
	}
	n = sort_items(p, refused);
	pl.n = find_leaders(p, n, pl.steps);
	for (size_t i = 0; i < pl.n; i++)
		step(&pl, i);
	take_blocks(p, &pl);
	take_refused(p, n);
	p->is_cut = false;
	free(pl.steps);
	free(pl.queue);
	return OK;
}

int plan_create(struct plan *out, const struct plan_item *items, size_t nitems,
		const struct plan_rules *rules, const struct refused *refused)
{
	assert(rules->max_block > 0);
	*out = (struct plan){.nitems = nitems, .rules = *rules};
	if (nitems == 0)
		return OK;
	out->items = calloc(nitems, sizeof(*out->items));
	out->blocks = calloc(nitems, sizeof(*out->blocks)); /* no plan has more blocks than tags */
	if (!out->items || !out->blocks) {
		plan_destroy(out);
		return ERR_NOMEM;
	}
	memcpy(out->items, items, nitems * sizeof(*items));
	if (plan_renew(out, refused) < 0) {
		plan_destroy(out);
		return ERR_NOMEM;
	}
	return OK;
}

void plan_destroy(struct plan *p)
{
	free(p->items);
	free(p->blocks);
	*p = (struct plan){0};
}

size_t plan_block_at(const struct plan *p, size_t item)
{
	size_t low = 0, high = p->nblocks;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (p->blocks[middle].first <= item)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* ---- the search ---- */

/* How many items lie in the place of item i or inside it, with it first. */
static size_t run_of(const struct plan *p, const struct plan_block *b, size_t i, bool inside_too)
{
	size_t n = 1;

	while (i + n < b->first + b->nitems &&
	       (inside_too ? item_end(&p->items[i + n]) <= item_end(&p->items[i])
			   : is_same_place(&p->items[i], &p->items[i + n])))
		n++;
	return n;
}

static bool is_last_step(const struct plan_block *b)
{
	return b->bad == b->good + 1;
}

/* Beginnings that end at the same address are one: the shortest of those that cannot be read. */
static void tighten(const struct plan *p, struct plan_block *b)
{
	uint32_t bad = end_of(p, b->first, b->bad);

	while (!is_last_step(b) && end_of(p, b->first, b->bad - 1) == bad)
		b->bad--;
}

/*
 * The beginning to read next, in items. In the middle; after a refused tag, where the next is likely refused too, from the first
 * item in growing steps. With all that lies inside.
 */
static size_t next_beginning(const struct plan *p, const struct plan_block *b)
{
	size_t n = b->good + (b->bad - b->good) / 2, doubled = b->good ? 2 * (size_t)b->good : 1;
	uint32_t end;

	if (b->is_rest && doubled < n)
		n = doubled;
	end = end_of(p, b->first, n);
	while (item_end(&p->items[b->first + n]) <= end)
		n++;
	return n;
}

struct plan_read plan_read_of(const struct plan *p, size_t block)
{
	const struct plan_block *b = &p->blocks[block];
	struct plan_read r = {.first = b->first, .nitems = b->nitems};

	if (b->bad && is_last_step(b)) { /* the item that makes it bad, by itself */
		r.first = b->first + b->good;
		r.nitems = run_of(p, b, r.first, true);
	} else if (b->bad) {
		r.nitems = next_beginning(p, b);
	}
	r.start = p->items[r.first].start;
	r.count = (uint16_t)(end_of(p, r.first, r.nitems) - r.start);
	return r;
}

void plan_search_end(struct plan_block *b)
{
	b->good = b->bad = 0;
}

/* The first `n` items are settled; the others become a block that waits. */
static void cut_behind(struct plan *p, size_t block, size_t n)
{
	struct plan_block whole = p->blocks[block], *b = &p->blocks[block];

	plan_search_end(b);
	p->is_cut = true;
	if (n == whole.nitems)
		return;
	assert(p->nblocks < p->nitems);
	memmove(&b[2], &b[1], (p->nblocks - block - 1) * sizeof(*b));
	p->nblocks++;
	b[0] = block_of(p, whole.first, n);
	b[0].is_in_flight = whole.is_in_flight;
	b[1] = block_of(p, whole.first + n, whole.nitems - n);
	b[1].is_pending = true;
	b[1].is_rest = true;
}

static bool found_tag(struct plan *p, size_t block, struct plan_finding *found)
{
	struct plan_block *b = &p->blocks[block];
	size_t at = b->first + b->good;
	const struct plan_item *item = &p->items[at];

	*found = (struct plan_finding){
		.is_found = true,
		.kind = REFUSED_TAG,
		.area = b->area,
		.start = item->start,
		.end = item_end(item),
		.first = at,
		.nitems = run_of(p, b, at, false),
	};
	cut_behind(p, block, b->good + found->nitems);
	return false;
}

/* The item and what is before it can be read, but not together. */
static bool found_gap(struct plan *p, size_t block, struct plan_finding *found)
{
	struct plan_block *b = &p->blocks[block];
	size_t at = b->first + b->good;
	uint32_t start = end_of(p, b->first, b->good), end = p->items[at].start;
	bool is_gap = start < end;

	*found = (struct plan_finding){
		.is_found = true,
		.kind = is_gap ? REFUSED_GAP : REFUSED_PAIR,
		.area = b->area,
		.start = is_gap ? start : end - 1,
		.end = is_gap ? end : start + 1,
	};
	cut_behind(p, block, b->good + run_of(p, b, at, true));
	return false;
}

static bool search_on(struct plan *p, size_t block, struct plan_finding *found)
{
	struct plan_block *b = &p->blocks[block];

	tighten(p, b);
	if (is_last_step(b) && b->good == 0)
		return found_tag(p, block, found);
	return true;
}

bool plan_answered(struct plan *p, size_t block, struct plan_finding *found)
{
	struct plan_block *b = &p->blocks[block];

	found->is_found = false;
	if (!b->bad)
		return false;
	if (is_last_step(b))
		return found_gap(p, block, found);
	b->good = (uint32_t)next_beginning(p, b);
	return search_on(p, block, found);
}

bool plan_refused(struct plan *p, size_t block, struct plan_finding *found)
{
	struct plan_block *b = &p->blocks[block];

	found->is_found = false;
	if (!b->bad)
		b->bad = b->nitems;
	else if (is_last_step(b))
		return found_tag(p, block, found);
	else
		b->bad = (uint32_t)next_beginning(p, b);
	return search_on(p, block, found);
}
