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

static const struct refused nothing;

static struct plan_item item(unsigned area, unsigned start, unsigned count)
{
	return (struct plan_item){.area = (uint8_t)area,
				  .is_bits = area == BITS,
				  .start = (uint16_t)start,
				  .count = (uint16_t)count};
}

static struct plan_rules rules(unsigned max_gap, unsigned max_block)
{
	return (struct plan_rules){.max_gap = (uint16_t)max_gap, .max_block = (uint16_t)max_block};
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
		/* what is longer than a block has those inside with it */
		{8, 4, {item(HOLDING, 0, 10), item(HOLDING, 0, 1), item(HOLDING, 9, 1)}, 3, "2:0+10"},
		{8, 4, {item(HOLDING, 0, 1), item(HOLDING, 1, 9), item(HOLDING, 2, 1)}, 3, "2:0+1 2:1+9"},
		/* cut where the gap is widest */
		{8,
		 10,
		 {item(HOLDING, 0, 1), item(HOLDING, 7, 1), item(HOLDING, 9, 1), item(HOLDING, 11, 1)},
		 4,
		 "2:0+1 2:7+5"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct plan p;
		char buf[256];

		assert_int_equal(
			plan_create(&p, cases[i].items, cases[i].n,
				    (struct plan_rules[]){rules(cases[i].max_gap, cases[i].max_block)},
				    &nothing),
			OK);
		assert_string_equal(text_of(&p, buf, sizeof(buf)), cases[i].blocks);
		plan_destroy(&p);
	}
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
		if (b->count > p->items[b->first].count)
			assert_true(b->count <= (b->is_bits ? p->rules.max_block * 16 : p->rules.max_block));
	}
	assert_int_equal(next, p->nitems);
}

static void blocks_contain_nothing_that_was_refused(void **state)
{
	const struct {
		struct refused_range refused[2];
		size_t nrefused;
		const char *blocks;
	} cases[] = {
		{{{.area = HOLDING, .start = 12, .end = 14}}, 1, "2:0+11 2:14+7"}, /* the tag at 12 */
		{{{.area = HOLDING, .start = 11, .end = 12, .kind = REFUSED_GAP}}, 1, "2:0+11 2:12+9"},
		{{{.area = HOLDING, .start = 13, .end = 15, .kind = REFUSED_PAIR}}, 1, "2:0+14 2:14+7"},
		{{{.area = HOLDING, .start = 12, .end = 13, .kind = REFUSED_GAP}}, 1, "2:0+11 2:12+2 2:14+7"},
		{{{.area = INPUT, .start = 11, .end = 12, .kind = REFUSED_GAP}}, 1, "2:0+21"},
		{{{.area = HOLDING, .start = 0, .end = 1}, {.area = HOLDING, .start = 20, .end = 21}},
		 2,
		 "2:10+6 2:0+1 2:20+1"},
	};
	const struct plan_item items[] = {item(HOLDING, 0, 1), item(HOLDING, 10, 1), item(HOLDING, 12, 2),
					  item(HOLDING, 14, 2), item(HOLDING, 20, 1)};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct refused refused = {0};
		struct plan p;
		char buf[256];

		for (size_t k = 0; k < cases[i].nrefused; k++)
			assert_int_equal(refused_add(&refused, cases[i].refused[k].area,
						     cases[i].refused[k].start, cases[i].refused[k].end,
						     (enum refused_kind)cases[i].refused[k].kind, 0),
					 OK);
		assert_int_equal(plan_create(&p, items, 5, (struct plan_rules[]){rules(20, 125)}, &refused),
				 OK);
		if (i == 0)
			assert_true(p.blocks[p.nblocks - 1].is_refused), p.nblocks--;
		assert_string_equal(text_of(&p, buf, sizeof(buf)), cases[i].blocks);
		plan_destroy(&p);
		refused_fini(&refused);
	}
}

static void one_by_one_only_bits_of_one_register_share_a_request(void **state)
{
	const struct plan_item items[] = {item(HOLDING, 7, 1), item(HOLDING, 7, 1), item(HOLDING, 0, 8),
					  item(HOLDING, 8, 1)};
	struct plan_rules r = rules(8, 125);
	struct plan p;
	char buf[256];

	(void)state;
	r.one_by_one = true;
	assert_int_equal(plan_create(&p, items, 4, &r, &nothing), OK);
	assert_string_equal(text_of(&p, buf, sizeof(buf)), "2:0+8 2:7+1 2:8+1");
	plan_destroy(&p);
}

/* ---- the search ---- */

/* A device: addresses that it lacks, and the longest read that it takes. */
struct model {
	bool is_hole[200];
	unsigned longest;
	unsigned requests, exceptions;
};

static bool model_reads(struct model *m, unsigned start, unsigned count)
{
	bool ok = count <= m->longest;

	m->requests++;
	for (unsigned i = start; i < start + count; i++)
		ok = ok && !m->is_hole[i];
	m->exceptions += !ok;
	return ok;
}

/* One scan, as a line does it. Which tags were read is in `got`, which were found refused in `lost`. */
static void scan(struct plan *p, struct refused *refused, struct model *m, bool *got, bool *lost)
{
	for (size_t i = 0; i < p->nblocks; i++)
		p->blocks[i].is_pending = !p->blocks[i].is_refused;
	for (size_t i = 0; i < p->nblocks; i++)
		while (p->blocks[i].is_pending) {
			struct plan_read r = plan_read_of(p, i);
			bool ok = model_reads(m, r.start, r.count);
			struct plan_finding f;

			for (size_t k = r.first; ok && k < r.first + r.nitems; k++)
				got[p->items[k].tag] = true;
			p->blocks[i].is_pending = ok ? plan_answered(p, i, &f) : plan_refused(p, i, &f);
			if (!f.is_found)
				continue;
			assert_int_equal(refused_add(refused, f.area, f.start, f.end, f.kind, 0), OK);
			for (size_t k = f.first; k < f.first + f.nitems; k++)
				lost[p->items[k].tag] = true;
		}
}

static void a_refused_tag_is_found_with_as_many_requests_as_its_number_has_digits(void **state)
{
	(void)state;
	for (unsigned bad = 0; bad < 100; bad++) {
		struct model m = {.longest = 125};
		struct refused refused = {0};
		struct plan_item items[100];
		bool got[100] = {false}, lost[100] = {false};
		struct plan p;

		for (unsigned i = 0; i < 100; i++) {
			items[i] = item(HOLDING, i, 1);
			items[i].tag = i;
		}
		m.is_hole[bad] = true;
		assert_int_equal(plan_create(&p, items, 100, (struct plan_rules[]){rules(8, 125)}, &nothing),
				 OK);
		scan(&p, &refused, &m, got, lost);
		for (unsigned i = 0; i < 100; i++)
			assert_true(got[i] == (i != bad) && lost[i] == (i == bad));
		assert_true(m.requests <=
			    1 + 7 + 1 + 1); /* whole, search, the tag itself, what is behind it */
		assert_int_equal(plan_renew(&p, &refused), OK);
		m.requests = m.exceptions = 0;
		scan(&p, &refused, &m, got, lost);
		assert_int_equal(m.exceptions, 0);
		assert_int_equal(m.requests, bad == 0 || bad == 99 ? 1 : 2);
		plan_destroy(&p);
		refused_fini(&refused);
	}
}

static void a_device_that_has_nothing_is_asked_twice_for_each_tag(void **state)
{
	struct model m = {.longest = 0};
	struct refused refused = {0};
	struct plan_item items[100];
	bool got[100] = {false}, lost[100] = {false};
	struct plan p;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		items[i] = item(HOLDING, i, 1);
		items[i].tag = i;
	}
	assert_int_equal(plan_create(&p, items, 100, (struct plan_rules[]){rules(8, 125)}, &nothing), OK);
	scan(&p, &refused, &m, got, lost);
	for (unsigned i = 0; i < 100; i++)
		assert_true(lost[i]);
	assert_true(m.requests <= 210);
	plan_destroy(&p);
	refused_fini(&refused);
}

static bool has_hole(const struct model *m, const struct plan_item *it)
{
	for (unsigned i = it->start; i < it->start + it->count; i++)
		if (m->is_hole[i])
			return true;
	return it->count > m->longest;
}

static void random_device(struct model *m, unsigned *seed)
{
	*m = (struct model){.longest = 6 + (unsigned)rand_r(seed) % 120};
	for (unsigned i = 0, n = (unsigned)rand_r(seed) % 12; i < n; i++)
		m->is_hole[(unsigned)rand_r(seed) % 200] = true;
}

/* In every scan, the first too, all that can be read is read; and what was learned ends all exceptions. */
static void whatever_a_device_lacks_its_other_tags_are_read(void **state)
{
	unsigned seed = 3;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		size_t n = 1 + (size_t)rand_r(&seed) % 60, scans = 0;
		struct refused refused = {0};
		struct plan_item items[60];
		bool got[60], lost[60] = {false};
		struct model m;
		struct plan p;

		random_device(&m, &seed);
		for (size_t i = 0; i < n; i++) {
			items[i] =
				item(HOLDING, (unsigned)rand_r(&seed) % 190, 1 + (unsigned)rand_r(&seed) % 8);
			items[i].tag = (uint32_t)i;
		}
		assert_int_equal(plan_create(&p, items, n,
					     (struct plan_rules[]){rules((unsigned)rand_r(&seed) % 20,
									 8 + (unsigned)rand_r(&seed) % 118)},
					     &nothing),
				 OK);
		do {
			memset(got, 0, sizeof(got));
			m.exceptions = 0;
			scan(&p, &refused, &m, got, lost);
			for (size_t i = 0; i < n; i++) {
				assert_int_equal(got[i], !has_hole(&m, &items[i]));
				assert_int_equal(lost[i], has_hole(&m, &items[i]));
			}
			check_cover(&p);
			assert_int_equal(plan_renew(&p, &refused), OK);
			check_cover(&p);
		} while (m.exceptions && ++scans < 20);
		assert_int_equal(m.exceptions, 0);
		plan_destroy(&p);
		refused_fini(&refused);
	}
}

static void a_failing_allocation_leaves_an_empty_plan_or_the_old_one(void **state)
{
	const struct plan_item items[] = {item(HOLDING, 0, 1), item(HOLDING, 1, 1), item(HOLDING, 2, 1)};
	struct refused refused = {0};
	bool hit = true;

	(void)state;
	assert_int_equal(refused_add(&refused, HOLDING, 1, 2, REFUSED_TAG, 0), OK);
	for (long n = 1; hit; n++) {
		struct plan p;
		char buf[64];
		int rc;

		alloc_fail_at(n);
		rc = plan_create(&p, items, 3, (struct plan_rules[]){rules(8, 125)}, &nothing);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		if (hit) {
			assert_null(p.items);
			assert_null(p.blocks);
			continue;
		}
		for (long k = 1; k <= 2; k++) {
			alloc_fail_at(k);
			assert_int_equal(plan_renew(&p, &refused), ERR_NOMEM);
			assert_true(alloc_fail_end());
			assert_string_equal(text_of(&p, buf, sizeof(buf)), "2:0+3");
		}
		plan_destroy(&p);
	}
	refused_fini(&refused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_share_blocks_by_gap_and_size),
		cmocka_unit_test(blocks_contain_nothing_that_was_refused),
		cmocka_unit_test(one_by_one_only_bits_of_one_register_share_a_request),
		cmocka_unit_test(a_refused_tag_is_found_with_as_many_requests_as_its_number_has_digits),
		cmocka_unit_test(a_device_that_has_nothing_is_asked_twice_for_each_tag),
		cmocka_unit_test(whatever_a_device_lacks_its_other_tags_are_read),
		cmocka_unit_test(a_failing_allocation_leaves_an_empty_plan_or_the_old_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
