#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/alloc_fail.h"
#include "base/hash.h"
#include "mqtt/sub_set.h"

#define SESSIONS 3000u

/* The set does not look into sessions. */
struct session {
	bool here, seen;
	struct sub sub;
};

static struct session all[SESSIONS];

static void up(void)
{
	for (unsigned i = 0; i < SESSIONS; i++)
		all[i] = (struct session){.sub = {.session = &all[i]}};
}

static void add(void **set, unsigned i)
{
	assert_null(sub_set_find(*set, &all[i]));
	assert_int_equal(sub_set_add(set, &all[i].sub), OK);
	all[i].here = true;
}

static void take_out(void **set, unsigned i)
{
	assert_ptr_equal(sub_set_find(*set, &all[i]), &all[i].sub);
	sub_set_remove(set, &all[i].sub);
	all[i].here = false;
}

/* The set and `here` say the same. */
static void check(void *set, unsigned n)
{
	struct sub *const *subs;
	uint32_t count;
	unsigned here = 0;
	bool keeps = false;

	subs = sub_set_all(&set, &count);
	for (uint32_t i = 0; i < count; i++) {
		keeps |= sub_is_kept(subs[i]);
		assert_true(subs[i]->session->here);
		assert_false(subs[i]->session->seen);
		subs[i]->session->seen = true;
	}
	for (unsigned i = 0; i < n; i++) {
		assert_ptr_equal(sub_set_find(set, &all[i]), all[i].here ? &all[i].sub : NULL);
		here += all[i].here;
		all[i].seen = false;
	}
	assert_int_equal(count, here);
	assert_int_equal(sub_set_keeps(set), keeps);
	assert_true((set == NULL) == (here == 0));
}

/* One in sixteen is kept: so that it is often the last one. */
static struct sub_options options_of(uint64_t random)
{
	return (struct sub_options){.qos = (uint8_t)(random % 3), .is_stored = (random >> 8) % 16 == 0};
}

static void a_set_has_what_was_added_and_not_removed(void **state)
{
	static const unsigned sizes[] = {2, 6, 20, 40, 500};

	(void)state;
	for (unsigned at = 0; at < 5; at++) {
		uint64_t random = at;
		void *set = NULL;

		up();
		for (unsigned step = 0; step < 4000; step++) {
			unsigned i;

			random = hash_fold(random + 0x9e3779b97f4a7c15u, 0xd6e8feb86659fd93u);
			i = (unsigned)(random >> 20) % sizes[at];
			if (!all[i].here) {
				all[i].sub.options = options_of(random >> 30);
				add(&set, i);
			} else if (random % 8 == 1) {
				struct sub_options o = options_of(random >> 30);

				sub_set_change(set, &all[i].sub, &o);
			} else if (step / 500 % 2 || random % 4 == 0) /* it shrinks and grows */
				take_out(&set, i);
			if (step % 16 == 0)
				check(set, sizes[at]);
		}
		for (unsigned i = 0; i < sizes[at]; i++)
			if (all[i].here)
				take_out(&set, i);
		check(set, sizes[at]);
	}
}

static void subscribers_are_told_in_the_order_they_came(void **state)
{
	struct sub *const *subs;
	void *set = NULL;
	uint32_t n;

	(void)state;
	up();
	for (unsigned i = 0; i < SESSIONS; i++)
		add(&set, (i * 7) % SESSIONS); /* 7 and 3000 have no factor in common */
	subs = sub_set_all(&set, &n);
	assert_int_equal(n, SESSIONS);
	for (unsigned i = 0; i < n; i++)
		assert_ptr_equal(subs[i]->session, &all[(i * 7) % SESSIONS]);
	for (unsigned i = 0; i < SESSIONS; i++)
		take_out(&set, i);
	assert_null(set);
}

static void without_memory_the_set_is_as_it_was(void **state)
{
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		void *set = NULL;

		up();
		alloc_fail_at(n);
		for (unsigned i = 0; i < 40; i++)
			all[i].here = sub_set_add(&set, &all[i].sub) == OK;
		check(set, 40);
		for (unsigned i = 0; i < 40; i++) {
			if (all[i].here)
				take_out(&set, i);
			check(set, 40);
		}
		hit = alloc_fail_end();
		assert_null(set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_set_has_what_was_added_and_not_removed),
		cmocka_unit_test(subscribers_are_told_in_the_order_they_came),
		cmocka_unit_test(without_memory_the_set_is_as_it_was),
	};

	return cmocka_run_group_tests_name("mqtt_sub_set", tests, NULL, NULL);
}
