#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "base/alloc_fail.h"
#include "base/epoch.h"
#include "base/list.h"

struct thing {
	struct epoch_node node;
	unsigned *freed;
	struct epoch_reader *retire_more; /* when freed */
};

static void thing_free(struct epoch_node *n)
{
	struct thing *t = container_of(n, struct thing, node);

	++*t->freed;
	if (t->retire_more) {
		struct thing *more = calloc(1, sizeof(*more));

		more->freed = t->freed;
		epoch_retire(t->retire_more, &more->node, thing_free);
	}
	free(t);
}

static void retire_new(struct epoch_reader *r, unsigned *freed)
{
	struct thing *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->freed = freed;
	epoch_retire(r, &t->node, thing_free);
}

static void what_is_retired_lives_until_all_were_quiescent(void **state)
{
	struct epoch_domain *d;
	struct epoch_reader *a, *b, *c;
	unsigned freed = 0;

	(void)state;
	assert_int_equal(epoch_domain_create(&d), OK);
	assert_int_equal(epoch_reader_create(d, &a), OK);
	assert_int_equal(epoch_reader_create(d, &b), OK);
	assert_int_equal(epoch_reader_create(d, &c), OK);
	retire_new(a, &freed);
	epoch_quiescent(b); /* before a's turn ended: does not count */
	epoch_quiescent(a);
	epoch_quiescent(b);
	epoch_quiescent(a);
	assert_int_equal(freed, 0); /* c may still read it */
	epoch_quiescent(c);
	assert_int_equal(freed, 0); /* only the thread that retired frees */
	epoch_quiescent(a);
	assert_int_equal(freed, 1);
	epoch_reader_destroy(a);
	epoch_reader_destroy(b);
	epoch_reader_destroy(c);
	epoch_domain_destroy(d);
}

static void an_offline_reader_delays_nobody(void **state)
{
	struct epoch_domain *d;
	struct epoch_reader *a, *b;
	unsigned freed = 0;

	(void)state;
	assert_int_equal(epoch_domain_create(&d), OK);
	assert_int_equal(epoch_reader_create(d, &a), OK);
	assert_int_equal(epoch_reader_create(d, &b), OK);
	epoch_offline(b);
	retire_new(a, &freed);
	epoch_quiescent(a);
	assert_int_equal(freed, 1);
	epoch_online(b);
	retire_new(a, &freed);
	epoch_quiescent(a);
	assert_int_equal(freed, 1);
	epoch_offline(b);
	epoch_offline(a);
	assert_int_equal(freed, 2);
	epoch_online(a);
	epoch_reader_destroy(a);
	epoch_reader_destroy(b);
	epoch_domain_destroy(d);
}

static void freeing_may_retire_more(void **state)
{
	struct epoch_domain *d;
	struct epoch_reader *a;
	unsigned freed = 0;
	struct thing *t = calloc(1, sizeof(*t));

	(void)state;
	assert_int_equal(epoch_domain_create(&d), OK);
	assert_int_equal(epoch_reader_create(d, &a), OK);
	t->freed = &freed;
	t->retire_more = a;
	epoch_retire(a, &t->node, thing_free);
	retire_new(a, &freed);
	epoch_quiescent(a);
	assert_int_equal(freed, 2);
	epoch_quiescent(a);
	assert_int_equal(freed, 3);
	epoch_reader_destroy(a);
	epoch_domain_destroy(d);
}

static void the_domain_frees_what_a_gone_reader_left(void **state)
{
	struct epoch_domain *d;
	struct epoch_reader *a, *b;
	unsigned freed = 0;

	(void)state;
	assert_int_equal(epoch_domain_create(&d), OK);
	assert_int_equal(epoch_reader_create(d, &a), OK);
	assert_int_equal(epoch_reader_create(d, &b), OK);
	for (unsigned i = 0; i < 3; i++)
		retire_new(a, &freed);
	epoch_reader_destroy(a);
	retire_new(b, &freed);
	epoch_reader_destroy(b);
	assert_int_equal(freed, 1); /* b was the last reader: its own went at once */
	epoch_domain_destroy(d);
	assert_int_equal(freed, 4);
}

static void readers_are_limited_and_places_used_again(void **state)
{
	struct epoch_domain *d;
	struct epoch_reader *r[EPOCH_READERS_MAX], *more;

	(void)state;
	assert_int_equal(epoch_domain_create(&d), OK);
	for (unsigned i = 0; i < EPOCH_READERS_MAX; i++)
		assert_int_equal(epoch_reader_create(d, &r[i]), OK);
	assert_int_equal(epoch_reader_create(d, &more), ERR_FULL);
	epoch_reader_destroy(r[7]);
	assert_int_equal(epoch_reader_create(d, &r[7]), OK);
	for (unsigned i = 0; i < EPOCH_READERS_MAX; i++)
		epoch_reader_destroy(r[i]);
	epoch_reader_destroy(NULL);
	epoch_domain_destroy(d);
	epoch_domain_destroy(NULL);
}

static void every_failing_allocation_is_survived(void **state)
{
	struct epoch_domain *d;
	struct epoch_reader *r;

	(void)state;
	alloc_fail_at(1);
	assert_int_equal(epoch_domain_create(&d), ERR_NOMEM);
	assert_true(alloc_fail_end());
	assert_int_equal(epoch_domain_create(&d), OK);
	alloc_fail_at(1);
	assert_int_equal(epoch_reader_create(d, &r), ERR_NOMEM);
	assert_true(alloc_fail_end());
	epoch_domain_destroy(d);
}

/* ---- threads ---- */

#define THREADS      4
#define CELLS        8
#define WRITES       60000
#define ALIVE        0x600df00du
#define READS_A_TURN 16

struct value {
	struct epoch_node node;
	unsigned alive, copy;
	_Atomic long *live;
};

struct stress {
	struct epoch_domain *d;
	_Atomic(struct value *) cells[CELLS];
	_Atomic long live;
	_Atomic unsigned wrong;
};

struct worker {
	struct stress *s;
	pthread_t thread;
	uint64_t random;
};

static void value_free(struct epoch_node *n)
{
	struct value *v = container_of(n, struct value, node);

	v->alive = 0; /* whoever still reads it is seen by the race checker, or finds this */
	atomic_fetch_sub(v->live, 1);
	free(v);
}

static unsigned worker_random(struct worker *w)
{
	w->random = w->random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(w->random >> 40);
}

static void worker_turn(struct worker *w, struct epoch_reader *r)
{
	struct stress *s = w->s;

	for (unsigned i = 0; i < READS_A_TURN; i++) {
		struct value *v =
			atomic_load_explicit(&s->cells[worker_random(w) % CELLS], memory_order_acquire);

		if (v && (v->alive != ALIVE || v->copy != ~ALIVE))
			atomic_fetch_add(&s->wrong, 1);
	}
	struct value *fresh = calloc(1, sizeof(*fresh));

	fresh->alive = ALIVE;
	fresh->copy = ~ALIVE;
	fresh->live = &s->live;
	atomic_fetch_add(&s->live, 1);
	struct value *old =
		atomic_exchange_explicit(&s->cells[worker_random(w) % CELLS], fresh, memory_order_acq_rel);

	if (old)
		epoch_retire(r, &old->node, value_free);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct epoch_reader *r;

	if (epoch_reader_create(w->s->d, &r) < 0)
		return NULL;
	for (unsigned i = 0; i < WRITES; i++) {
		worker_turn(w, r);
		if (worker_random(w) % 8 == 0) {
			epoch_offline(r);
			epoch_online(r);
		} else if (worker_random(w) % 2) {
			epoch_quiescent(r);
		}
		if (worker_random(w) % 4096 == 0) { /* leave and come back */
			epoch_reader_destroy(r);
			if (epoch_reader_create(w->s->d, &r) < 0)
				return NULL;
		}
	}
	epoch_reader_destroy(r);
	return NULL;
}

static void nobody_reads_what_is_freed(void **state)
{
	struct stress s = {0};
	struct worker workers[THREADS];

	(void)state;
	assert_int_equal(epoch_domain_create(&s.d), OK);
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.s = &s, .random = i + 1};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < CELLS; i++)
		if (atomic_load(&s.cells[i]))
			value_free(&atomic_load(&s.cells[i])->node);
	epoch_domain_destroy(s.d);
	assert_int_equal(atomic_load(&s.wrong), 0);
	assert_int_equal(atomic_load(&s.live), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_retired_lives_until_all_were_quiescent),
		cmocka_unit_test(an_offline_reader_delays_nobody),
		cmocka_unit_test(freeing_may_retire_more),
		cmocka_unit_test(the_domain_frees_what_a_gone_reader_left),
		cmocka_unit_test(readers_are_limited_and_places_used_again),
		cmocka_unit_test(every_failing_allocation_is_survived),
		cmocka_unit_test(nobody_reads_what_is_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
