#include "field/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define BITS_PER_REGISTER 16u
#define BITS_MAX          2000u

static int compare_items(const void *a, const void *b)
{
	const struct plan_item *x = a, *y = b;

	if (x->area != y->area)
		return x->area < y->area ? -1 : 1;
	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->count != y->count)
		return x->count < y->count ? -1 : 1;
	return (x->tag > y->tag) - (x->tag < y->tag);
}

static unsigned item_end(const struct plan_item *item)
{
	return (unsigned)item->start + item->count;
}

static unsigned block_end(const struct plan_block *b)
{
	return (unsigned)b->start + b->count;
}

static bool fits(const struct plan *p, const struct plan_block *b, const struct plan_item *item)
{
	unsigned factor = b->is_bits ? BITS_PER_REGISTER : 1, gap = p->max_gap * factor,
		 most = p->max_block * factor;
	unsigned end = item_end(item) > block_end(b) ? item_end(item) : block_end(b);

	if (b->is_bits && most > BITS_MAX)
		most = BITS_MAX;
	return item->area == b->area && item->start <= block_end(b) + gap && end - b->start <= most;
}

/* A block of the items [first, first + n). */
static struct plan_block block_of(const struct plan *p, size_t first, size_t n)
{
	const struct plan_item *item = &p->items[first];
	struct plan_block b = {
		.area = item->area, .is_bits = item->is_bits, .start = item->start, .first = first};
	unsigned end = 0;

	for (; b.nitems < n; b.nitems++)
		if (item_end(&item[b.nitems]) > end)
			end = item_end(&item[b.nitems]);
	b.count = (uint16_t)(end - b.start);
	return b;
}

void plan_reset(struct plan *p)
{
	p->nblocks = 0;
	p->is_split = false;
	for (size_t i = 0; i < p->nitems; i++) {
		struct plan_block *last = p->nblocks ? &p->blocks[p->nblocks - 1] : NULL;

		if (last && fits(p, last, &p->items[i]))
			*last = block_of(p, last->first, last->nitems + 1);
		else
			p->blocks[p->nblocks++] = block_of(p, i, 1);
	}
}

int plan_create(struct plan *out, const struct plan_item *items, size_t nitems, uint16_t max_gap,
		uint16_t max_block)
{
	assert(max_block > 0);
	*out = (struct plan){.nitems = nitems, .max_gap = max_gap, .max_block = max_block};
	if (nitems == 0)
		return OK;
	out->items = calloc(nitems, sizeof(*out->items));
	out->blocks = calloc(nitems, sizeof(*out->blocks)); /* no plan has more blocks than tags */
	if (!out->items || !out->blocks) {
		plan_destroy(out);
		return ERR_NOMEM;
	}
	memcpy(out->items, items, nitems * sizeof(*items));
	qsort(out->items, nitems, sizeof(*items), compare_items);
	plan_reset(out);
	return OK;
}

void plan_destroy(struct plan *p)
{
	free(p->items);
	free(p->blocks);
	*p = (struct plan){0};
}

/* How many items the first half of a cut gets. */
static size_t cut_of(const struct plan *p, const struct plan_block *b)
{
	const struct plan_item *items = &p->items[b->first];
	unsigned end = item_end(&items[0]), widest = 0;
	size_t at = b->nitems / 2;

	for (size_t i = 1; i < b->nitems; i++) {
		if (items[i].start > end && items[i].start - end > widest) {
			widest = items[i].start - end;
			at = i;
		}
		if (item_end(&items[i]) > end)
			end = item_end(&items[i]);
	}
	return at;
}

bool plan_split(struct plan *p, size_t b)
{
	struct plan_block whole = p->blocks[b];
	struct plan_block *halves = &p->blocks[b];
	size_t cut;

	if (whole.nitems < 2)
		return false;
	assert(p->nblocks < p->nitems);
	cut = cut_of(p, &whole);
	memmove(&halves[2], &halves[1], (p->nblocks - b - 1) * sizeof(*halves));
	p->nblocks++;
	halves[0] = block_of(p, whole.first, cut);
	halves[1] = block_of(p, whole.first + cut, whole.nitems - cut);
	for (int i = 0; i < 2; i++) {
		halves[i].is_pending = whole.is_pending;
		halves[i].is_in_flight = whole.is_in_flight;
	}
	p->is_split = true;
	return true;
}
