#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/alloc_fail.h"
#include "mqtt/registry.h"

static void the_first_claim_holds_until_its_worker_releases_it(void **state)
{
	struct registry *r;
	uint16_t worker;

	(void)state;
	assert_int_equal(registry_create(1, &r), OK);
	assert_int_equal(registry_claim(r, span_str("a"), 2, &worker), OK);
	assert_int_equal(worker, 2);
	assert_int_equal(registry_claim(r, span_str("a"), 3, &worker), OK);
	assert_int_equal(worker, 2);
	registry_release(r, span_str("a"), 3); /* not its own */
	assert_int_equal(registry_claim(r, span_str("a"), 3, &worker), OK);
	assert_int_equal(worker, 2);
	assert_int_equal(registry_claim(r, span_str("ab"), 3, &worker), OK);
	assert_int_equal(worker, 3);
	registry_release(r, span_str("a"), 2);
	registry_release(r, span_str("a"), 2);
	assert_int_equal(registry_claim(r, span_str("a"), 3, &worker), OK);
	assert_int_equal(worker, 3);
	registry_destroy(r);
	registry_destroy(NULL);
}

static void without_memory_nobody_is_registered(void **state)
{
	struct registry *r;
	uint16_t worker;

	(void)state;
	alloc_fail_at(1);
	assert_int_equal(registry_create(1, &r), ERR_NOMEM);
	(void)alloc_fail_end();
	assert_int_equal(registry_create(1, &r), OK);
	alloc_fail_at(1);
	assert_int_equal(registry_claim(r, span_str("a"), 2, &worker), ERR_NOMEM);
	(void)alloc_fail_end();
	assert_int_equal(registry_claim(r, span_str("a"), 3, &worker), OK);
	assert_int_equal(worker, 3);
	registry_destroy(r);
}

#define THREADS 4
#define IDS     50

struct hand {
	struct registry *registry;
	_Atomic int *owners; /* by id: how many threads hold it */
	uint16_t index;
	bool wrong;
};

static void *hand_run(void *arg)
{
	struct hand *h = arg;

	for (unsigned i = 0; i < 50000; i++) {
		unsigned id = i * 7 % IDS;
		char name[16];
		struct span key = span_of(name, (size_t)snprintf(name, sizeof(name), "client-%u", id));
		uint16_t worker = UINT16_MAX;

		if (registry_claim(h->registry, key, h->index, &worker) < 0 || worker >= THREADS)
			h->wrong = true;
		if (worker != h->index)
			continue;
		h->wrong |= atomic_fetch_add(&h->owners[id], 1) != 0;
		atomic_fetch_sub(&h->owners[id], 1);
		registry_release(h->registry, key, h->index);
	}
	return NULL;
}

static void an_id_belongs_to_one_thread_at_a_time(void **state)
{
	static _Atomic int owners[IDS];
	struct hand hands[THREADS];
	pthread_t threads[THREADS];
	struct registry *r;

	(void)state;
	assert_int_equal(registry_create(1, &r), OK);
	for (uint16_t i = 0; i < THREADS; i++) {
		hands[i] = (struct hand){.registry = r, .owners = owners, .index = i};
		assert_int_equal(pthread_create(&threads[i], NULL, hand_run, &hands[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_false(hands[i].wrong);
	}
	registry_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_claim_holds_until_its_worker_releases_it),
		cmocka_unit_test(without_memory_nobody_is_registered),
		cmocka_unit_test(an_id_belongs_to_one_thread_at_a_time),
	};

	return cmocka_run_group_tests_name("mqtt_registry", tests, NULL, NULL);
}
