#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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
		cmocka_unit_test(every_failing_allocation_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
