#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "mqtt/interest.h"

#define SEED 7

struct rig {
	struct epoch_domain *domain;
	struct epoch_reader *reader;
	struct interest *interest;
	struct topic_levels *levels;
	struct topic_walk_entry stack[10];
	uint64_t lanes;
	unsigned nshares;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	*state = r;
	assert_int_equal(epoch_domain_create(&r->domain), OK);
	assert_int_equal(epoch_reader_create(r->domain, &r->reader), OK);
	assert_int_equal(interest_create(SEED, &r->interest), OK);
	r->levels = topic_levels_create(8);
	assert_non_null(r->levels);
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	interest_destroy(r->interest);
	epoch_reader_destroy(r->reader);
	epoch_domain_destroy(r->domain);
	free(r->levels);
	free(r);
	return 0;
}

static const struct topic_levels *levels(struct rig *r, const char *topic)
{
	assert_true(topic_levels_split(r->levels, SEED, span_str(topic)));
	return r->levels;
}

static void count_share(void *arg, struct interest_share *s)
{
	struct rig *r = arg;

	(void)s;
	r->nshares++;
}

static void match(struct rig *r, const char *topic)
{
	r->nshares = 0;
	interest_match(r->interest, levels(r, topic), r->stack, &r->lanes, count_share, r);
}

static void a_group_without_members_is_gone_though_others_want_the_filter(void **state)
{
	struct rig *r = *state;
	struct interest_share *share[3], *again;
	const char *keys[] = {"g/a/+", "h/a/+", "i/a/+"};

	assert_int_equal(interest_add(r->interest, r->reader, levels(r, "a/+"), 5), OK);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(interest_share_hold(r->interest, r->reader, levels(r, "a/+"),
						     span_str(keys[i]), &share[i]),
				 OK);
	assert_int_equal(
		interest_share_hold(r->interest, r->reader, levels(r, "a/+"), span_str(keys[1]), &again), OK);
	assert_ptr_equal(again, share[1]);
	match(r, "a/b");
	assert_int_equal(r->nshares, 3);
	interest_share_drop(r->interest, r->reader, levels(r, "a/+"), share[1]);
	match(r, "a/b");
	assert_int_equal(r->nshares, 3); /* another worker still has members */
	interest_share_drop(r->interest, r->reader, levels(r, "a/+"), share[1]);
	match(r, "a/b");
	assert_int_equal(r->nshares, 2);
	interest_share_drop(r->interest, r->reader, levels(r, "a/+"), share[2]);
	interest_share_drop(r->interest, r->reader, levels(r, "a/+"), share[0]);
	epoch_quiescent(r->reader);
	match(r, "a/b");
	assert_int_equal(r->nshares, 0);
	assert_int_equal(r->lanes, UINT64_C(1) << 5);
	interest_remove(r->interest, r->reader, levels(r, "a/+"), 5);
	match(r, "a/b");
	assert_int_equal(r->lanes, 0);
}

static void a_hold_without_memory_changes_nothing(void **state)
{
	struct rig *r = *state;
	struct interest_share *share;
	bool hit = true;

	for (long n = 1; hit; n++) {
		const struct topic_levels *l = levels(r, "x/y/z");
		int rc;

		alloc_fail_at(n);
		rc = interest_share_hold(r->interest, r->reader, l, span_str("g/x/y/z"), &share);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		match(r, "x/y/z");
		assert_int_equal(r->nshares, !hit);
	}
	interest_share_drop(r->interest, r->reader, levels(r, "x/y/z"), share);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_group_without_members_is_gone_though_others_want_the_filter,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_hold_without_memory_changes_nothing, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
