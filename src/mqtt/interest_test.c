#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "mqtt/interest.h"

#define SEED  7
#define LANES 6

struct rig {
	struct epoch_domain *domain;
	struct epoch_reader *reader;
	struct interest *interest;
	struct topic_levels *levels;
	struct topic_walk_entry stack[10];
	uint64_t lanes, kept;
	unsigned nshares, nowned;
	void *owned;
};

static max_align_t own[LANES]; /* what lanes keep: only the addresses matter */

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	*state = r;
	assert_int_equal(epoch_domain_create(&r->domain), OK);
	assert_int_equal(epoch_reader_create(r->domain, &r->reader), OK);
	assert_int_equal(interest_create(SEED, &r->interest), OK);
	interest_set_lanes(r->interest, LANES);
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

static void count_own(void *arg, void *what)
{
	struct rig *r = arg;

	r->nowned++;
	r->owned = what;
}

static void match_as(struct rig *r, uint32_t lane, const char *topic)
{
	struct interest_found found = {.own = count_own, .share = count_share, .arg = r};

	r->nshares = r->nowned = 0;
	r->owned = NULL;
	interest_match(r->interest, lane, levels(r, topic), r->stack, &found, &r->lanes, &r->kept);
}

static void match(struct rig *r, const char *topic)
{
	match_as(r, 0, topic);
}

static struct topic_node *add(struct rig *r, const char *filter, uint32_t lane, void *what)
{
	struct topic_node *at = NULL;

	assert_int_equal(interest_add(r->interest, r->reader, levels(r, filter), lane, what, false, &at), OK);
	assert_ptr_equal(interest_find(r->interest, levels(r, filter)), at);
	assert_ptr_equal(interest_own(at, lane), what);
	return at;
}

static struct interest_share *hold(struct rig *r, const char *filter, const char *key, struct topic_node **at)
{
	struct interest_share *share;

	assert_int_equal(
		interest_share_hold(r->interest, r->reader, levels(r, filter), span_str(key), at, &share),
		OK);
	return share;
}

static void a_group_without_members_is_gone_though_others_want_the_filter(void **state)
{
	struct rig *r = *state;
	struct topic_node *at = add(r, "a/+", 5, &own[5]), *same;
	struct interest_share *share[3];
	const char *keys[] = {"g/a/+", "h/a/+", "i/a/+"};

	for (unsigned i = 0; i < 3; i++) {
		share[i] = hold(r, "a/+", keys[i], &same);
		assert_ptr_equal(same, at);
	}
	assert_ptr_equal(hold(r, "a/+", keys[1], &same), share[1]);
	match(r, "a/b");
	assert_int_equal(r->nshares, 3);
	interest_share_drop(r->interest, r->reader, at, share[1]);
	match(r, "a/b");
	assert_int_equal(r->nshares, 3); /* another worker still has members */
	interest_share_drop(r->interest, r->reader, at, share[1]);
	match(r, "a/b");
	assert_int_equal(r->nshares, 2);
	interest_share_drop(r->interest, r->reader, at, share[2]);
	interest_share_drop(r->interest, r->reader, at, share[0]);
	epoch_quiescent(r->reader);
	match(r, "a/b");
	assert_int_equal(r->nshares, 0);
	assert_int_equal(r->lanes, UINT64_C(1) << 5);
	assert_ptr_equal(interest_own(at, 5), &own[5]);
	interest_remove(r->interest, r->reader, at, 5);
	match(r, "a/b");
	assert_int_equal(r->lanes, 0);
}

static void check_lanes(struct rig *r, const char *topic, uint64_t lanes, void *const kept[LANES])
{
	for (uint32_t i = 0; i < LANES; i++) {
		match_as(r, i, topic);
		assert_int_equal(r->lanes, lanes);
		assert_int_equal(r->nowned, kept[i] != NULL);
		assert_ptr_equal(r->owned, kept[i]);
	}
}

static void each_lane_finds_what_it_keeps_and_no_other(void **state)
{
	struct rig *r = *state;
	void *kept[LANES] = {[3] = &own[3]}, *odd = (char *)&own[3] + 1;
	struct topic_node *at = add(r, "a/#", 3, &own[3]);

	check_lanes(r, "a", 1 << 3, kept);
	interest_set_own(r->interest, at, 3, odd, false); /* the lowest bit is the lane's */
	kept[3] = odd;
	check_lanes(r, "a/b", 1 << 3, kept);
	assert_null(interest_own(at, 2));
	assert_ptr_equal(add(r, "a/#", 0, &own[0]), at);
	kept[0] = &own[0];
	check_lanes(r, "a/b/c", 1 << 3 | 1 << 0, kept);
	interest_set_own(r->interest, at, 3, &own[4], false);
	kept[3] = &own[4];
	check_lanes(r, "a", 1 << 3 | 1 << 0, kept);
	interest_remove(r->interest, r->reader, at, 3);
	kept[3] = NULL;
	check_lanes(r, "a", 1 << 0, kept);
	interest_remove(r->interest, r->reader, at, 0);
	kept[0] = NULL;
	check_lanes(r, "a", 0, kept);
	assert_null(interest_own(at, 0));
}

static void check_kept(struct rig *r, const char *topic, uint64_t kept)
{
	match(r, topic);
	assert_int_equal(r->kept, kept);
	assert_int_equal(r->kept & ~r->lanes, 0);
}

static struct topic_node *add_kept(struct rig *r, const char *filter, uint32_t lane)
{
	struct topic_node *at = NULL;

	assert_int_equal(interest_add(r->interest, r->reader, levels(r, filter), lane, &own[lane], true, &at),
			 OK);
	return at;
}

static void who_gets_what_outlives_the_process_is_told_of_one_lane_and_of_many(void **state)
{
	struct rig *r = *state;
	struct topic_node *at = add_kept(r, "k/+", 5), *deep = add_kept(r, "k/#", 2);

	check_kept(r, "k/1", 1 << 5 | 1 << 2);
	check_kept(r, "k", 1 << 2);
	assert_ptr_equal(interest_own(at, 5), &own[5]);
	interest_set_own(r->interest, at, 5, &own[5], false);
	check_kept(r, "k/1", 1 << 2);
	assert_int_equal(r->lanes, 1 << 5 | 1 << 2);
	interest_set_own(r->interest, at, 5, &own[5], true);
	(void)add(r, "k/+", 0, &own[0]); /* another lane, which takes what the first one had into an entry */
	check_kept(r, "k/1", 1 << 5 | 1 << 2);
	interest_set_own(r->interest, at, 0, &own[0], true);
	interest_set_own(r->interest, at, 5, &own[5], false);
	check_kept(r, "k/1", 1 << 0 | 1 << 2);
	interest_remove(r->interest, r->reader, at, 0);
	check_kept(r, "k/1", 1 << 2);
	assert_ptr_equal(add_kept(r, "k/+", 1), at);
	check_kept(r, "k/1", 1 << 1 | 1 << 2);
	interest_remove(r->interest, r->reader, at, 1);
	interest_remove(r->interest, r->reader, at, 5);
	interest_remove(r->interest, r->reader, deep, 2);
	check_kept(r, "k/1", 0);
	assert_int_equal(r->lanes, 0);
}

/* What was looked up before must not be taken for true after any of these. */
static void the_generation_grows_when_that_changes(void **state)
{
	struct rig *r = *state;
	struct topic_node *at = add(r, "a", 3, &own[3]), *same;
	struct interest_share *share = hold(r, "a", "g/a", &same);
	uint64_t before = interest_generation(r->interest);

	interest_set_own(r->interest, at, 3, &own[3], true);
	assert_true(interest_generation(r->interest) > before);
	before = interest_generation(r->interest);
	interest_set_own(r->interest, at, 3, &own[4], true); /* the lane's own affair */
	assert_int_equal(interest_generation(r->interest), before);
	interest_share_keep(r->interest, share, 4, true);
	assert_true(interest_generation(r->interest) > before);
	assert_int_equal(interest_share_kept(share), 1 << 4);
	interest_share_keep(r->interest, share, 4, false);
	assert_int_equal(interest_share_kept(share), 0);
	interest_share_drop(r->interest, r->reader, at, share);
	interest_remove(r->interest, r->reader, at, 3);
}

static void a_subscription_without_memory_changes_nothing(void **state)
{
	struct rig *r = *state;
	void *kept[LANES] = {[1] = &own[1]};
	struct topic_node *at = add(r, "x/+", 1, &own[1]), *other;
	bool hit = true;

	for (long n = 1; hit; n++) {
		const char *filter = n % 2 ? "x/+" : "x/y/z";
		int rc;

		(void)levels(r, filter);
		alloc_fail_at(n / 2 + 1);
		rc = interest_add(r->interest, r->reader, r->levels, 2, &own[2], true, &other);
		hit = alloc_fail_end();
		if (rc == OK) {
			interest_remove(r->interest, r->reader, other, 2);
			interest_prune(r->interest, r->reader);
		}
		check_lanes(r, "x/y", 1 << 1, kept);
		match(r, "x/y/z");
		assert_int_equal(r->lanes, 0);
		assert_int_equal(r->kept, 0);
	}
	interest_remove(r->interest, r->reader, at, 1);
}

static void a_hold_without_memory_changes_nothing(void **state)
{
	struct rig *r = *state;
	struct interest_share *share;
	struct topic_node *at;
	bool hit = true;

	for (long n = 1; hit; n++) {
		const struct topic_levels *l = levels(r, "x/y/z");
		int rc;

		alloc_fail_at(n);
		rc = interest_share_hold(r->interest, r->reader, l, span_str("g/x/y/z"), &at, &share);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		match(r, "x/y/z");
		assert_int_equal(r->nshares, !hit);
	}
	interest_share_drop(r->interest, r->reader, at, share);
}

struct mover {
	struct interest *interest;
	struct interest_share *share;
	_Atomic bool is_done;
};

static void *move_to_and_fro(void *arg)
{
	struct mover *m = arg;

	for (unsigned i = 0; i < 50000; i++) {
		interest_share_change(m->interest, m->share, 2, -1, 1);
		interest_share_change(m->interest, m->share, 2, 1, -1);
	}
	atomic_store(&m->is_done, true);
	return NULL;
}

static uint32_t members(const struct interest_share *share)
{
	struct share_members n = interest_share_members(share, 2);

	return n.online + n.away;
}

/* Another worker that has a message for the group looks while its only member comes and goes. */
static void a_member_that_goes_is_online_or_away_at_any_time(void **state)
{
	struct rig *r = *state;
	struct topic_node *at;
	struct mover m = {.interest = r->interest, .share = hold(r, "a", "g/a", &at)};
	uint32_t n;
	pthread_t thread;

	interest_share_change(r->interest, m.share, 2, 1, 0);
	assert_int_equal(pthread_create(&thread, NULL, move_to_and_fro, &m), 0);
	do
		n = members(m.share);
	while (n == 1 && !atomic_load(&m.is_done));
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(n, 1);
	interest_share_change(r->interest, m.share, 2, -1, 0);
	assert_int_equal(members(m.share), 0);
	interest_share_drop(r->interest, r->reader, at, m.share);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_group_without_members_is_gone_though_others_want_the_filter,
						setup, teardown),
		cmocka_unit_test_setup_teardown(each_lane_finds_what_it_keeps_and_no_other, setup, teardown),
		cmocka_unit_test_setup_teardown(
			who_gets_what_outlives_the_process_is_told_of_one_lane_and_of_many, setup, teardown),
		cmocka_unit_test_setup_teardown(the_generation_grows_when_that_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_subscription_without_memory_changes_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_hold_without_memory_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_member_that_goes_is_online_or_away_at_any_time, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
