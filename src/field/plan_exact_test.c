/*
 * Is a plan the least there is? Small maps against an exhaustive planner, large ones against a bound that no plan can beat.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "field/plan.h"

#define SMALL   11
#define MAPS    500
#define NONE    UINT32_MAX
#define REQUEST (1u << 16) /* the cost of a request; an address costs one */

enum { BITS, INPUT, HOLDING };

struct map {
	struct plan_item items[2000];
	size_t n;
	struct plan_rules rules;
	struct refused refused;
};

static unsigned end_of(const struct plan_item *it)
{
	return (unsigned)it->start + it->count;
}

static bool is_lost(const struct map *m, const struct plan_item *it)
{
	return refused_tag(&m->refused, it->area, it->start, end_of(it)) != NULL;
}

/* ---- what a planner may ask for, from the words of the contract ---- */

static bool is_inside(const struct plan_item *it, unsigned area, unsigned start, unsigned end)
{
	return it->area == area && it->start >= start && end_of(it) <= end;
}

static bool is_refused(const struct map *m, unsigned area, unsigned start, unsigned end)
{
	for (size_t i = 0; i < m->refused.n; i++)
		if (m->refused.ranges[i].area == area && m->refused.ranges[i].start >= start &&
		    m->refused.ranges[i].end <= end)
			return true;
	return false;
}

static unsigned longest(const struct map *m, unsigned area)
{
	return m->rules.max_block * (area == BITS ? 16u : 1u);
}

/* The tag is read along with start..end: it lies inside, or a longer window that may be read has both. */
static bool is_along(const struct map *m, const struct plan_item *it, unsigned start, unsigned end,
		     bool only_inside)
{
	unsigned from = it->start < start ? it->start : start, to = end_of(it) > end ? end_of(it) : end;

	return only_inside ? from == start && to == end
			   : to - from <= longest(m, it->area) || to - from == it->count;
}

/* More addresses in a row than may be bridged that belong to no tag that is read along. */
static bool has_wide_gap(const struct map *m, unsigned area, unsigned start, unsigned end, bool only_inside)
{
	unsigned row = 0, max_gap = m->rules.max_gap * (area == BITS ? 16u : 1u);

	for (unsigned at = start; at < end; at++) {
		bool is_used = false;

		for (size_t i = 0; i < m->n && !is_used; i++)
			is_used = m->items[i].area == area &&
				  is_along(m, &m->items[i], start, end, only_inside) &&
				  !is_lost(m, &m->items[i]) && at >= m->items[i].start &&
				  at < end_of(&m->items[i]);
		row = is_used ? 0 : row + 1;
		if (row > max_gap)
			return true;
	}
	return false;
}

static bool may_read(const struct map *m, unsigned area, unsigned start, unsigned end, bool only_inside)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct plan_item *it = &m->items[i];

		if (it->area == area && !is_lost(m, it) && it->start <= start && end_of(it) >= end &&
		    (!only_inside || (it->start == start && end_of(it) == end)))
			return true; /* a tag by itself */
	}
	return end - start <= longest(m, area) && !is_refused(m, area, start, end) &&
	       !has_wide_gap(m, area, start, end, only_inside);
}

/* ---- every choice of requests ---- */

struct window {
	unsigned covers; /* a bit for each item */
	uint32_t cost;
};

static size_t windows_of(const struct map *m, struct window *windows)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++)
		for (size_t k = 0; k < m->n; k++) {
			const struct plan_item *a = &m->items[i], *b = &m->items[k];
			struct window w = {.cost = REQUEST + end_of(b) - a->start};

			if (a->area != b->area || end_of(b) <= a->start ||
			    !may_read(m, a->area, a->start, end_of(b), true))
				continue;
			for (size_t j = 0; j < m->n; j++)
				w.covers |= (unsigned)is_inside(&m->items[j], a->area, a->start, end_of(b))
					    << j;
			windows[n++] = w;
		}
	return n;
}

/* The least cost for all items: of each set of covered items, from the sets that one request more leads to. */
static uint32_t least(const struct map *m)
{
	static uint32_t best[1u << SMALL];
	struct window windows[SMALL * SMALL];
	size_t n = windows_of(m, windows);
	unsigned all = (1u << m->n) - 1, lost = 0;

	for (size_t i = 0; i < m->n; i++)
		lost |= (unsigned)is_lost(m, &m->items[i]) << i;
	for (unsigned set = 0; set <= all; set++)
		best[set] = NONE;
	best[lost] = 0;
	for (unsigned set = 0; set < all; set++)
		for (size_t i = 0; best[set] != NONE && i < n; i++) {
			unsigned next = set | windows[i].covers;

			if (best[set] + windows[i].cost < best[next])
				best[next] = best[set] + windows[i].cost;
		}
	return best[all];
}

static uint32_t cost_of(const struct plan *p)
{
	uint32_t cost = 0;

	for (size_t i = 0; i < p->nblocks; i++)
		cost += p->blocks[i].is_refused ? 0 : REQUEST + p->blocks[i].count;
	return cost;
}

/* ---- maps ---- */

static unsigned below(unsigned *seed, unsigned n)
{
	return (unsigned)rand_r(seed) % n;
}

static void refuse(struct map *m, unsigned *seed, unsigned span)
{
	const struct plan_item *it = &m->items[below(seed, (unsigned)m->n)];
	unsigned start = below(seed, span), area = below(seed, 3);

	if (below(seed, 3) == 0)
		assert_int_equal(refused_add(&m->refused, it->area, it->start, end_of(it), REFUSED_TAG, 0),
				 OK);
	else
		assert_int_equal(
			refused_add(&m->refused, area, start, start + 1 + below(seed, 3), REFUSED_GAP, 0),
			OK);
}

static void random_map(struct map *m, unsigned *seed, size_t n, unsigned span, unsigned widest,
		       unsigned nrefused)
{
	m->n = n;
	m->refused = (struct refused){0};
	for (size_t i = 0; i < n; i++) {
		unsigned area = below(seed, 3);

		m->items[i] = (struct plan_item){
			.area = (uint8_t)area,
			.is_bits = area == BITS,
			.start = (uint16_t)below(seed, area == BITS ? 16 * span : span),
			.count = (uint16_t)(area == BITS ? 1 : 1 + below(seed, below(seed, 4) ? 4 : widest)),
			.tag = (uint32_t)i,
		};
	}
	while (nrefused--)
		refuse(m, seed, span);
}

static void small_maps_are_planned_as_well_as_by_trying_every_plan(void **state)
{
	unsigned seed = 11, refused_maps = 0, wide_maps = 0;

	(void)state;
	for (int round = 0; round < 10 * MAPS; round++) {
		static struct map m;
		struct plan p;

		random_map(&m, &seed, 1 + below(&seed, SMALL), 10 + below(&seed, 50), 14, below(&seed, 5));
		m.rules = (struct plan_rules){.max_gap = (uint16_t)below(&seed, 7),
					      .max_block = (uint16_t)(1 + below(&seed, 24))};
		assert_int_equal(plan_create(&p, m.items, m.n, &m.rules, &m.refused), OK);
		assert_int_equal(cost_of(&p), least(&m));
		refused_maps += m.refused.n > 0;
		for (size_t i = 0; i < m.n; i++)
			if (m.items[i].count > m.rules.max_block) {
				wide_maps++;
				break;
			}
		plan_destroy(&p);
		refused_fini(&m.refused);
	}
	assert_true(refused_maps > MAPS && wide_maps > MAPS);
}

/*
 * ---- the bound ----
 *
 * So many tags no two of which could share a request. With gaps bridged by every tag that a longer window could have, each part of a
 * window that may be read may be read; so of tags in order of their end it is enough to look at the last one taken.
 */

static bool may_share(const struct map *m, const struct plan_item *a, const struct plan_item *b)
{
	unsigned start = a->start < b->start ? a->start : b->start;
	unsigned end = end_of(a) > end_of(b) ? end_of(a) : end_of(b);

	return a->area == b->area && may_read(m, a->area, start, end, false);
}

/* Then it costs nothing, whatever the plan. */
static bool is_nested(const struct map *m, const struct plan_item *it)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct plan_item *other = &m->items[i];

		if (is_inside(it, other->area, other->start, end_of(other)) && !is_lost(m, other) &&
		    other->count > it->count)
			return true;
	}
	return false;
}

static int by_end(const void *a, const void *b)
{
	const struct plan_item *x = a, *y = b;

	if (x->area != y->area)
		return (int)x->area - (int)y->area;
	return (int)end_of(x) - (int)end_of(y);
}

static size_t bound(const struct map *m)
{
	static struct plan_item sorted[2000];
	const struct plan_item *last = NULL;
	size_t n = 0;

	memcpy(sorted, m->items, m->n * sizeof(*sorted));
	qsort(sorted, m->n, sizeof(*sorted), by_end);
	for (size_t i = 0; i < m->n; i++) {
		if (is_lost(m, &sorted[i]) || is_nested(m, &sorted[i]) ||
		    (last && may_share(m, last, &sorted[i])))
			continue;
		last = &sorted[i];
		n++;
	}
	return n;
}

static void large_maps_are_planned_within_5_percent_of_what_no_plan_can_beat(void **state)
{
	unsigned seed = 12, equal = 0;

	(void)state;
	for (int round = 0; round < MAPS; round++) {
		static struct map m;
		struct plan p;
		size_t least_requests, requests = 0;

		random_map(&m, &seed, 100 + below(&seed, 400), 500 + below(&seed, 4000), 20,
			   below(&seed, 30));
		m.rules = (struct plan_rules){.max_gap = (uint16_t)below(&seed, 20),
					      .max_block = (uint16_t)(20 + below(&seed, 106))};
		assert_int_equal(plan_create(&p, m.items, m.n, &m.rules, &m.refused), OK);
		for (size_t i = 0; i < p.nblocks; i++)
			requests += !p.blocks[i].is_refused;
		least_requests = bound(&m);
		equal += least_requests == requests;
		assert_true(least_requests <= requests);
		assert_true(100 * requests <= 105 * least_requests);
		plan_destroy(&p);
		refused_fini(&m.refused);
	}
	print_message("# %u of %u maps are planned as the bound says\n", equal, MAPS);
}

static void a_hundred_thousand_tags_are_planned_at_once(void **state)
{
	enum { N = 100000 };
	struct plan_item *items = calloc(N, sizeof(*items));
	struct plan_rules rules = {.max_gap = 8, .max_block = 125};
	struct timespec a, b;
	struct refused refused = {0};
	struct plan p;

	(void)state;
	assert_non_null(items);
	for (unsigned i = 0; i < N; i++)
		items[i] = (struct plan_item){.area = (uint8_t)(i % 2),
					      .is_bits = i % 2 == 0,
					      .start = (uint16_t)(i / 2),
					      .count = 1,
					      .tag = i};
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(refused_add(&refused, i % 2, 41 * i, 41 * i + 1, REFUSED_TAG, 0), OK);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
	assert_int_equal(plan_create(&p, items, N, &rules, &refused), OK);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
	print_message("# %d tags in %.0f ms; %zu bytes a tag, %zu a block\n", N,
		      (double)(b.tv_sec - a.tv_sec) * 1e3 + (double)(b.tv_nsec - a.tv_nsec) / 1e6,
		      sizeof(struct plan_item), sizeof(struct plan_block));
	assert_true(b.tv_sec - a.tv_sec < 2);
	assert_true(sizeof(struct plan_item) <= 12 && sizeof(struct plan_block) <= 28);
	plan_destroy(&p);
	refused_fini(&refused);
	free(items);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_maps_are_planned_as_well_as_by_trying_every_plan),
		cmocka_unit_test(large_maps_are_planned_within_5_percent_of_what_no_plan_can_beat),
		cmocka_unit_test(a_hundred_thousand_tags_are_planned_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
