#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>

#include "base/alloc_fail.h"
#include "daemon/workers.h"

enum { WORKERS = 3, MARKS = 100 };

struct rig {
	struct loop *loop;
	struct loop_source marked;
	int marks;
};

struct job {
	struct loop_source source; /* on a worker's loop */
	int n;                     /* without a lock: the sanitizer for threads watches */
};

static void count_mark(struct loop_source *s)
{
	container_of(s, struct rig, marked)->marks++;
}

static void do_job(struct loop_source *s)
{
	container_of(s, struct job, source)->n++;
}

static void a_mark_comes_after_what_each_worker_had_in_hand(void **state)
{
	struct job jobs[WORKERS] = {0};
	struct workers *workers = NULL;
	struct rig r = {0};

	(void)state;
	assert_int_equal(loop_create(&r.loop), OK);
	loop_source_add(r.loop, &r.marked, count_mark);
	assert_int_equal(workers_create(WORKERS, &r.marked, &workers), OK);
	for (int i = 0; i < WORKERS; i++)
		loop_source_add(workers_loops(workers)[i], &jobs[i].source, do_job);
	assert_int_equal(workers_start(workers), OK);
	for (int mark = 1; mark <= MARKS; mark++) {
		for (int i = 0; i < WORKERS; i++)
			loop_notify(&jobs[i].source);
		workers_mark(workers);
		while (r.marks < mark)
			assert_int_equal(loop_turn(r.loop, -1), OK);
		for (int i = 0; i < WORKERS; i++)
			assert_int_equal(jobs[i].n, mark);
	}
	workers_stop(workers);
	for (int i = 0; i < WORKERS; i++)
		loop_source_remove(&jobs[i].source);
	workers_destroy(workers);
	loop_source_remove(&r.marked);
	loop_destroy(r.loop);
}

/* A worker that its test has put onto another CPU than its own, and that looks now and then where it is. */
struct lodger {
	struct loop *loop;
	struct loop_source begin;
	struct loop_timer tick;
	struct loop_source *end; /* notified when it is at home, or after LOOKS */
	int cpu, home, looks;
	bool may_go;
	cpu_set_t last;
};

enum { LOOKS = 500, LOOK_MS = 10 };

static void lodger_begin(struct loop_source *s)
{
	struct lodger *l = container_of(s, struct lodger, begin);
	cpu_set_t only;

	CPU_ZERO(&only);
	CPU_SET(l->cpu, &only);
	assert_int_equal(sched_setaffinity(0, sizeof(only), &only), 0);
	if (l->may_go) {
		CPU_SET(l->home, &only);
		assert_int_equal(sched_setaffinity(0, sizeof(only), &only), 0);
	}
	l->last = only;
	loop_timer_set(l->loop, &l->tick, LOOK_MS);
}

static void lodger_look(struct loop_timer *t)
{
	struct lodger *l = container_of(t, struct lodger, tick);
	cpu_set_t now;

	assert_int_equal(sched_getaffinity(0, sizeof(now), &now), 0);
	assert_true(CPU_EQUAL(&now, &l->last));
	if (l->end && (sched_getcpu() == l->home || ++l->looks == LOOKS))
		loop_notify(l->end);
	else
		loop_timer_set(l->loop, t, LOOK_MS);
}

static void a_worker_is_where_it_looked_of_late(void **state)
{
	uint64_t place = worker_place(5000, 3);

	(void)state;
	assert_true(worker_is_at(place, 5000, 3));
	assert_true(worker_is_at(place, 5000 + 2 * WORKERS_LOOK_MS - 1, 3));
	assert_false(worker_is_at(place, 5000 + 2 * WORKERS_LOOK_MS, 3));
	assert_false(worker_is_at(place, 5000, 2));
	assert_false(worker_is_at(0, 5000, 0));
}

static void workers_that_meet_on_one_cpu_part(void **state)
{
	struct lodger lodgers[2] = {0};
	struct workers *workers = NULL;
	struct rig r = {0};
	cpu_set_t cpus;
	int first = 0, second;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	if (CPU_COUNT(&cpus) < 2)
		return; /* they have nowhere to go */
	while (!CPU_ISSET(first, &cpus))
		first++;
	for (second = first + 1; !CPU_ISSET(second, &cpus);)
		second++;
	assert_int_equal(loop_create(&r.loop), OK);
	loop_source_add(r.loop, &r.marked, count_mark);
	assert_int_equal(workers_create(2, &r.marked, &workers), OK);
	for (int i = 0; i < 2; i++) {
		struct lodger *l = &lodgers[i];

		*l = (struct lodger){
			.loop = workers_loops(workers)[i], .cpu = first, .home = i ? second : first};
		l->may_go = i == 1;
		l->end = i == 1 ? &r.marked : NULL;
		loop_source_add(l->loop, &l->begin, lodger_begin);
		loop_timer_init(&l->tick, lodger_look);
		loop_notify(&l->begin);
	}
	assert_int_equal(workers_start(workers), OK);
	while (r.marks == 0)
		assert_int_equal(loop_turn(r.loop, -1), OK);
	workers_stop(workers);
	assert_true(lodgers[1].looks < LOOKS);
	for (int i = 0; i < 2; i++) {
		loop_timer_cancel(lodgers[i].loop, &lodgers[i].tick);
		loop_source_remove(&lodgers[i].begin);
	}
	workers_destroy(workers);
	loop_source_remove(&r.marked);
	loop_destroy(r.loop);
}

static void every_failing_allocation_is_reported(void **state)
{
	struct loop_source marked = {0};
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct workers *w = NULL;
		int rc;

		alloc_fail_at(n);
		rc = workers_create(WORKERS, &marked, &w);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		workers_destroy(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mark_comes_after_what_each_worker_had_in_hand),
		cmocka_unit_test(a_worker_is_where_it_looked_of_late),
		cmocka_unit_test(workers_that_meet_on_one_cpu_part),
		cmocka_unit_test(every_failing_allocation_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
