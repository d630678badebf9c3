#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc_fail.h"
#include "field/plan.h"

enum { BITS, INPUT, HOLDING };

static struct plan_item item(unsigned area, unsigned start, unsigned count)
{
	return (struct plan_item){
		.area = area, .is_bits = area == BITS, .start = (uint16_t)start, .count = (uint16_t)count};
}

/* "area:start+count ..." */
static const char *text_of(const struct plan *p, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < p->nblocks; i++)
		at += (size_t)snprintf(buf + at, size - at, "%s%u:%u+%u", i ? " " : "", p->blocks[i].area,
				       p->blocks[i].start, p->blocks[i].count);
	return buf;
}

static void tags_share_blocks_by_gap_and_size(void **state)
{
	const struct {
		uint16_t max_gap, max_block;
		struct plan_item items[4];
		size_t n;
		const char *blocks;
	} cases[] = {
		{8, 125, {item(HOLDING, 0, 2)}, 1, "2:0+2"},
		{8, 125, {item(HOLDING, 10, 2), item(HOLDING, 0, 2)}, 2, "2:0+12"},       /* gap 8 */
		{8, 125, {item(HOLDING, 11, 2), item(HOLDING, 0, 2)}, 2, "2:0+2 2:11+2"}, /* gap 9 */
		{0, 125, {item(HOLDING, 0, 2), item(HOLDING, 2, 2), item(HOLDING, 5, 1)}, 3, "2:0+4 2:5+1"},
		{8, 125, {item(HOLDING, 0, 1), item(INPUT, 1, 1)}, 2, "1:1+1 2:0+1"},         /* areas */
		{200, 125, {item(HOLDING, 0, 1), item(HOLDING, 123, 2)}, 2, "2:0+125"},       /* size 125 */
		{200, 125, {item(HOLDING, 0, 1), item(HOLDING, 124, 2)}, 2, "2:0+1 2:124+2"}, /* size 126 */
		{8, 4, {item(HOLDING, 0, 3), item(HOLDING, 3, 2)}, 2, "2:0+3 2:3+2"}, /* never split a tag */
		{8,
		 4,
		 {item(HOLDING, 0, 10), item(HOLDING, 10, 1)},
		 2,
		 "2:0+10 2:10+1"}, /* larger than max */
		{0,
		 125,
		 {item(HOLDING, 7, 1), item(HOLDING, 7, 1), item(HOLDING, 7, 2)},
		 3,
		 "2:7+2"}, /* bits of one */
		{0,
		 125,
		 {item(HOLDING, 0, 8), item(HOLDING, 2, 1), item(HOLDING, 8, 1)},
		 3,
		 "2:0+9"}, /* inside */
		{0, 125, {item(BITS, 0, 1), item(BITS, 1, 1)}, 2, "0:0+2"},
		{1, 125, {item(BITS, 0, 1), item(BITS, 17, 1), item(BITS, 35, 1)}, 3, "0:0+18 0:35+1"},
		{125, 125, {item(BITS, 0, 1), item(BITS, 1000, 1), item(BITS, 1999, 1)}, 3, "0:0+2000"},
		{125,
		 125,
		 {item(BITS, 0, 1), item(BITS, 1000, 1), item(BITS, 2000, 1)},
		 3,
		 "0:0+1001 0:2000+1"},
		{8, 125, {item(HOLDING, 65535, 1), item(HOLDING, 65530, 2)}, 2, "2:65530+6"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct plan p;
		char buf[256];

		assert_int_equal(
			plan_create(&p, cases[i].items, cases[i].n, cases[i].max_gap, cases[i].max_block),
			OK);
		assert_string_equal(text_of(&p, buf, sizeof(buf)), cases[i].blocks);
		plan_destroy(&p);
	}
}

static void a_refused_block_is_cut_at_its_widest_gap_then_in_the_middle(void **state)
{
	const struct plan_item items[] = {item(HOLDING, 0, 1), item(HOLDING, 1, 1), item(HOLDING, 4, 1),
					  item(HOLDING, 5, 2), item(HOLDING, 9, 1)};
	struct plan p;
	char buf[256];

	(void)state;
	assert_int_equal(plan_create(&p, items, 5, 8, 125), OK);
	p.blocks[0].is_pending = true;
	assert_true(plan_split(&p, 0)); /* gaps of two: the first wins */
	assert_string_equal(text_of(&p, buf, sizeof(buf)), "2:0+2 2:4+6");
	assert_true(p.blocks[0].is_pending && p.blocks[1].is_pending && p.is_split);
	assert_true(plan_split(&p, 1));
	assert_string_equal(text_of(&p, buf, sizeof(buf)), "2:0+2 2:4+3 2:9+1");
	assert_true(plan_split(&p, 0));
	assert_true(plan_split(&p, 2));
	assert_string_equal(text_of(&p, buf, sizeof(buf)), "2:0+1 2:1+1 2:4+1 2:5+2 2:9+1");
	for (size_t i = 0; i < p.nblocks; i++)
		assert_false(plan_split(&p, i));
	plan_reset(&p);
	assert_string_equal(text_of(&p, buf, sizeof(buf)), "2:0+10");
	assert_false(p.blocks[0].is_pending || p.is_split);
	plan_destroy(&p);
}

/* Every tag is in exactly one block and lies in it whole; no block is larger than allowed unless one tag is. */
static void check_cover(const struct plan *p)
{
	size_t next = 0;

	for (size_t i = 0; i < p->nblocks; i++) {
		const struct plan_block *b = &p->blocks[i];

		assert_int_equal(b->first, next);
		next += b->nitems;
		for (size_t k = b->first; k < next; k++) {
			assert_int_equal(p->items[k].area, b->area);
			assert_true(p->items[k].start >= b->start);
			assert_true(p->items[k].start + p->items[k].count <= b->start + b->count);
		}
		if (b->nitems > 1)
			assert_true(b->count <= (b->is_bits ? p->max_block * 16 : p->max_block));
	}
	assert_int_equal(next, p->nitems);
}

static void random_plans_cover_every_tag_once_however_they_are_cut(void **state)
{
	unsigned seed = 7;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct plan_item items[60];
		size_t n = 1 + (size_t)rand_r(&seed) % 60;
		struct plan p;

		for (size_t i = 0; i < n; i++) {
			unsigned area = (unsigned)rand_r(&seed) % 3,
				 count = area ? 1 + (unsigned)rand_r(&seed) % 8 : 1;

			items[i] = item(area, (unsigned)rand_r(&seed) % 600, count);
			items[i].tag = i;
		}
		assert_int_equal(plan_create(&p, items, n, (uint16_t)(rand_r(&seed) % 20),
					     (uint16_t)(8 + rand_r(&seed) % 118)),
				 OK);
		check_cover(&p);
		for (int cuts = 0; cuts < 80; cuts++) {
			plan_split(&p, (size_t)rand_r(&seed) % p.nblocks);
			check_cover(&p);
		}
		plan_destroy(&p);
	}
}

static void a_failing_allocation_leaves_an_empty_plan(void **state)
{
	const struct plan_item items[] = {item(HOLDING, 0, 1), item(HOLDING, 1, 1)};

	(void)state;
	for (long n = 1;; n++) {
		struct plan p;
		bool hit;
		int rc;

		alloc_fail_at(n);
		rc = plan_create(&p, items, 2, 8, 125);
		hit = alloc_fail_end();
		if (!hit) {
			assert_int_equal(rc, OK);
			plan_destroy(&p);
			break;
		}
		assert_int_equal(rc, ERR_NOMEM);
		assert_null(p.items);
		assert_null(p.blocks);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_share_blocks_by_gap_and_size),
		cmocka_unit_test(a_refused_block_is_cut_at_its_widest_gap_then_in_the_middle),
		cmocka_unit_test(random_plans_cover_every_tag_once_however_they_are_cut),
		cmocka_unit_test(a_failing_allocation_leaves_an_empty_plan),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
