#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc_fail.h"
#include "loop/loop.h"

static struct loop *new_loop(void)
{
	struct loop *loop;

	assert_int_equal(loop_create(&loop), OK);
	return loop;
}

static void turns(struct loop *loop, unsigned n)
{
	while (n-- > 0)
		assert_int_equal(loop_turn(loop, 0), OK);
}

/* ---- descriptors ---- */

struct pipe_end {
	struct loop_fd f;
	struct loop *loop;
	unsigned events, calls;
	struct pipe_end *victim; /* removed in the handler, and its slot given to `heir` */
	struct pipe_end *heir;
};

static void pipe_ready(struct loop_fd *f, unsigned events)
{
	struct pipe_end *p = container_of(f, struct pipe_end, f);

	p->events |= events;
	p->calls++;
	if (!p->victim)
		return;
	loop_fd_remove(p->loop, &p->victim->f);
	p->victim->victim = NULL;
	p->victim = NULL;
	if (p->heir)
		assert_int_equal(loop_fd_add(p->loop, &p->heir->f), OK);
}

static void pair_open(struct loop *loop, struct pipe_end *a, struct pipe_end *b)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	*a = (struct pipe_end){.f = {.fd = fds[0], .ready = pipe_ready}, .loop = loop};
	*b = (struct pipe_end){.f = {.fd = fds[1], .ready = pipe_ready}, .loop = loop};
}

static void pair_close(struct pipe_end *a, struct pipe_end *b)
{
	close(a->f.fd);
	if (b->f.fd >= 0)
		close(b->f.fd);
}

static void events_are_edges(void **state)
{
	struct loop *loop = new_loop();
	struct pipe_end a, b;

	(void)state;
	pair_open(loop, &a, &b);
	assert_int_equal(loop_fd_add(loop, &a.f), OK);
	turns(loop, 2);
	assert_int_equal(a.events, LOOP_WRITABLE);
	assert_int_equal(a.calls, 1);
	assert_int_equal(write(b.f.fd, "x", 1), 1);
	turns(loop, 2);
	assert_true(a.events & LOOP_READABLE);
	assert_int_equal(a.calls, 2);
	/* Removed and added again: what is unread is told anew. */
	loop_fd_remove(loop, &a.f);
	a.events = 0;
	assert_int_equal(loop_fd_add(loop, &a.f), OK);
	turns(loop, 1);
	assert_int_equal(a.events, LOOP_READABLE | LOOP_WRITABLE);
	close(b.f.fd);
	b.f.fd = -1;
	turns(loop, 1);
	assert_true(a.events & LOOP_HANGUP);
	loop_fd_remove(loop, &a.f);
	pair_close(&a, &b);
	loop_destroy(loop);
}

static void an_event_in_hand_of_a_removed_descriptor_is_dropped(void **state)
{
	struct loop *loop = new_loop();
	struct pipe_end a, a2, b, b2, c, c2;

	(void)state;
	pair_open(loop, &a, &a2);
	pair_open(loop, &b, &b2);
	pair_open(loop, &c, &c2);
	assert_int_equal(loop_fd_add(loop, &a.f), OK);
	assert_int_equal(loop_fd_add(loop, &b.f), OK);
	/* Both are ready in the same turn; whichever comes first removes the other and gives its slot away. */
	a.victim = &b;
	b.victim = &a;
	a.heir = b.heir = &c;
	turns(loop, 1);
	assert_int_equal(a.calls + b.calls, 1);
	assert_int_equal(c.calls, 0);
	turns(loop, 1);
	assert_int_equal(c.events, LOOP_WRITABLE);
	loop_fd_remove(loop, a.calls ? &a.f : &b.f);
	loop_fd_remove(loop, &c.f);
	pair_close(&a, &a2);
	pair_close(&b, &b2);
	pair_close(&c, &c2);
	loop_destroy(loop);
}

static void more_descriptors_than_slots_and_events(void **state)
{
	enum { PAIRS = 200 };
	struct loop *loop = new_loop();
	struct pipe_end a[PAIRS], b[PAIRS];

	(void)state;
	for (unsigned i = 0; i < PAIRS; i++) {
		pair_open(loop, &a[i], &b[i]);
		assert_int_equal(loop_fd_add(loop, &a[i].f), OK);
		assert_int_equal(loop_fd_add(loop, &b[i].f), OK);
	}
	turns(loop, 3);
	for (unsigned i = 0; i < PAIRS; i++) {
		assert_int_equal(a[i].calls + b[i].calls, 2);
		loop_fd_remove(loop, &a[i].f);
		loop_fd_remove(loop, &b[i].f);
		pair_close(&a[i], &b[i]);
	}
	loop_destroy(loop);
}

static void a_closed_descriptor_cannot_be_added(void **state)
{
	struct loop *loop = new_loop();
	struct loop_fd f = {.fd = -1, .ready = pipe_ready};

	(void)state;
	assert_int_equal(loop_fd_add(loop, &f), ERR_IO);
	loop_destroy(loop);
}

/* ---- timers ---- */

struct alarm {
	struct loop_timer t;
	struct loop *loop;
	unsigned id; /* the how manieth of all to fire */
	unsigned fired;
	uint64_t at_us;
	bool rearm_now, stops;
	struct loop_timer *cancels;
};

static unsigned alarm_order;

static void alarm_fire(struct loop_timer *t)
{
	struct alarm *a = container_of(t, struct alarm, t);

	assert_false(loop_timer_pending(t));
	a->fired++;
	a->id = ++alarm_order;
	a->at_us = loop_now_us(a->loop);
	if (a->rearm_now)
		loop_timer_set(a->loop, t, 0);
	if (a->cancels)
		loop_timer_cancel(a->loop, a->cancels);
	if (a->stops)
		loop_stop(a->loop);
}

static void alarm_init(struct alarm *a, struct loop *loop)
{
	*a = (struct alarm){.loop = loop};
	loop_timer_init(&a->t, alarm_fire);
}

static void timers_fire_in_order_and_never_early(void **state)
{
	struct loop *loop = new_loop();
	struct alarm early, late;
	uint64_t set_us;

	(void)state;
	alarm_init(&early, loop);
	alarm_init(&late, loop);
	late.stops = true;
	turns(loop, 1);
	set_us = loop_now_us(loop);
	loop_timer_set(loop, &late.t, 20);
	loop_timer_set(loop, &early.t, 5);
	assert_true(loop_timer_pending(&late.t));
	assert_int_equal(loop_run(loop), OK);
	assert_true(early.at_us - set_us >= 5000 && early.id < late.id);
	assert_true(late.at_us - set_us >= 20000);
	loop_destroy(loop);
}

static void a_timer_of_zero_fires_in_the_next_turn_once(void **state)
{
	struct loop *loop = new_loop();
	struct alarm a;

	(void)state;
	alarm_init(&a, loop);
	a.rearm_now = true;
	loop_timer_set(loop, &a.t, 0);
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(loop_turn(loop, -1), OK); /* does not wait */
		assert_int_equal(a.fired, i);
	}
	loop_timer_cancel(loop, &a.t);
	turns(loop, 1);
	assert_int_equal(a.fired, 5);
	loop_destroy(loop);
}

static void a_timer_can_cancel_one_that_is_due_with_it(void **state)
{
	struct loop *loop = new_loop();
	struct alarm a, b;

	(void)state;
	alarm_init(&a, loop);
	alarm_init(&b, loop);
	a.cancels = &b.t;
	b.cancels = &a.t;
	loop_timer_set(loop, &a.t, 0);
	loop_timer_set(loop, &b.t, 0);
	turns(loop, 3);
	assert_int_equal(a.fired, 1);
	assert_int_equal(b.fired, 0);
	loop_destroy(loop);
}

static void setting_a_pending_timer_moves_it(void **state)
{
	struct loop *loop = new_loop();
	struct alarm a;

	(void)state;
	alarm_init(&a, loop);
	loop_timer_set(loop, &a.t, 0);
	loop_timer_set(loop, &a.t, 3600000);
	turns(loop, 3);
	assert_int_equal(a.fired, 0);
	loop_timer_set(loop, &a.t, UINT64_MAX);
	assert_true(loop_timer_pending(&a.t));
	turns(loop, 1);
	loop_timer_cancel(loop, &a.t);
	loop_timer_cancel(loop, &a.t);
	assert_false(loop_timer_pending(&a.t));
	loop_destroy(loop);
}

static void the_wall_clock_is_unix_time(void **state)
{
	struct loop *loop = new_loop();
	int64_t now = (int64_t)time(NULL) * 1000;

	(void)state;
	turns(loop, 1);
	assert_true(loop_wall_ms(loop) >= now - 1000 && loop_wall_ms(loop) < now + 60000);
	assert_int_equal(loop_now_ms(loop), loop_now_us(loop) / 1000);
	loop_destroy(loop);
}

/* ---- hooks ---- */

struct hook {
	struct loop_hook h;
	char *log;
	char name;
	struct loop_hook *removes;
	struct loop *again;
};

static void hook_run(struct loop_hook *h)
{
	struct hook *k = container_of(h, struct hook, h);
	size_t len = strlen(k->log);

	k->log[len] = k->name;
	k->log[len + 1] = '\0';
	if (k->removes)
		loop_hook_remove(k->removes);
	k->removes = NULL;
	if (k->again)
		loop_again(k->again);
}

static void hooks_run_in_order_and_around_waits_only(void **state)
{
	struct loop *loop = new_loop();
	char log[64] = "";
	struct hook b = {.log = log, .name = 'b'}, a = {.log = log, .name = 'a'};
	struct hook e = {.log = log, .name = 'e'}, f = {.log = log, .name = 'f'},
		    g = {.log = log, .name = 'g'};

	(void)state;
	loop_hook_add(loop, LOOP_BEFORE_SLEEP, &b.h, hook_run);
	loop_hook_add(loop, LOOP_AFTER_SLEEP, &a.h, hook_run);
	loop_hook_add(loop, LOOP_TURN_END, &e.h, hook_run);
	loop_hook_add(loop, LOOP_TURN_END, &f.h, hook_run);
	loop_hook_add(loop, LOOP_TURN_END, &g.h, hook_run);
	assert_int_equal(loop_turn(loop, 1), OK);
	assert_string_equal(log, "efg"); /* the first turn never waits */
	log[0] = '\0';
	assert_int_equal(loop_turn(loop, 1), OK);
	assert_string_equal(log, "baefg");
	log[0] = '\0';
	assert_int_equal(loop_turn(loop, 0), OK);
	assert_string_equal(log, "efg");
	log[0] = '\0';
	loop_again(loop);
	assert_int_equal(loop_turn(loop, -1), OK); /* returns: there was work in hand */
	assert_string_equal(log, "efg");
	log[0] = '\0';
	b.again = loop; /* work that comes up in the hook */
	assert_int_equal(loop_turn(loop, -1), OK);
	assert_string_equal(log, "baefg");
	log[0] = '\0';
	e.removes = &f.h;
	turns(loop, 1);
	assert_string_equal(log, "eg");
	log[0] = '\0';
	e.removes = &e.h;
	turns(loop, 2);
	assert_string_equal(log, "egg");
	loop_destroy(loop);
}

/* ---- sources ---- */

struct bell {
	struct loop_source s;
	unsigned rung;
	unsigned again; /* notify itself so many times more */
	struct loop_source *removes;
};

static void bell_run(struct loop_source *s)
{
	struct bell *b = container_of(s, struct bell, s);

	b->rung++;
	if (b->again) {
		b->again--;
		loop_notify(s);
	}
	if (b->removes)
		loop_source_remove(b->removes);
}

static void a_source_runs_once_a_turn_however_often_notified(void **state)
{
	struct loop *loop = new_loop();
	struct bell b = {.again = 2};

	(void)state;
	loop_source_add(loop, &b.s, bell_run);
	turns(loop, 1);
	loop_notify(&b.s);
	loop_notify(&b.s);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(loop_turn(loop, -1), OK); /* does not sleep over a notify of its own */
		assert_int_equal(b.rung, i);
	}
	turns(loop, 2);
	assert_int_equal(b.rung, 3);
	loop_source_remove(&b.s);
	loop_destroy(loop);
}

static void a_removed_source_does_not_run(void **state)
{
	struct loop *loop = new_loop();
	struct bell a = {0}, b = {0}, c = {0};

	(void)state;
	loop_source_add(loop, &a.s, bell_run);
	loop_source_add(loop, &b.s, bell_run);
	loop_source_add(loop, &c.s, bell_run);
	loop_notify(&a.s);
	loop_notify(&b.s);
	loop_notify(&c.s);
	loop_source_remove(&b.s); /* before the turn */
	a.removes = &c.s;         /* within it */
	turns(loop, 2);
	assert_int_equal(a.rung, 1);
	assert_int_equal(b.rung, 0);
	assert_int_equal(c.rung, 0);
	loop_destroy(loop);
}

/* ---- threads ---- */

#define THREADS  4
#define MESSAGES 60000

struct mailbox {
	struct loop_source s;
	struct loop *loop;
	_Atomic unsigned posted;
	unsigned taken, wanted, runs;
};

struct poster {
	struct mailbox *box;
	pthread_t thread;
};

static void mailbox_run(struct loop_source *s)
{
	struct mailbox *m = container_of(s, struct mailbox, s);

	m->runs++;
	m->taken = atomic_load_explicit(&m->posted, memory_order_relaxed);
	if (m->taken == m->wanted)
		loop_stop(m->loop);
}

static void *poster_main(void *arg)
{
	struct poster *p = arg;

	for (unsigned i = 0; i < MESSAGES; i++) {
		atomic_fetch_add_explicit(&p->box->posted, 1, memory_order_relaxed);
		loop_notify(&p->box->s);
		if (i % 64 == 0)
			sched_yield(); /* let the loop fall asleep now and then */
	}
	return NULL;
}

static void no_wake_up_is_lost(void **state)
{
	struct mailbox box = {.loop = new_loop(), .wanted = THREADS * MESSAGES};
	struct poster posters[THREADS];

	(void)state;
	loop_source_add(box.loop, &box.s, mailbox_run);
	for (unsigned i = 0; i < THREADS; i++) {
		posters[i] = (struct poster){.box = &box};
		assert_int_equal(pthread_create(&posters[i].thread, NULL, poster_main, &posters[i]), 0);
	}
	/* Sleeps without a limit: a lost wake-up hangs here. */
	assert_int_equal(loop_run(box.loop), OK);
	assert_int_equal(box.taken, box.wanted);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(posters[i].thread, NULL);
	loop_source_remove(&box.s);
	loop_destroy(box.loop);
}

/* Two loops throw a ball, one message in flight, each asleep while the other has it. */
struct player {
	struct loop_source s;
	struct loop *loop;
	struct player *other;
	unsigned *ball;
	pthread_t thread;
};

#define THROWS 30000

static void player_run(struct loop_source *s)
{
	struct player *p = container_of(s, struct player, s);
	unsigned throws = ++*p->ball; /* plain memory: handed over by the notify alone */

	if (throws >= THROWS)
		loop_stop(p->loop);
	if (throws <= THROWS)
		loop_notify(&p->other->s);
}

static void *player_main(void *arg)
{
	struct player *p = arg;

	return loop_run(p->loop) == OK ? p : NULL;
}

static void what_was_written_before_a_notify_is_visible_after(void **state)
{
	struct player a = {.loop = new_loop()}, b = {.loop = new_loop()};
	unsigned ball = 0;
	void *end;

	(void)state;
	a.other = &b;
	b.other = &a;
	a.ball = b.ball = &ball;
	loop_source_add(a.loop, &a.s, player_run);
	loop_source_add(b.loop, &b.s, player_run);
	assert_int_equal(pthread_create(&a.thread, NULL, player_main, &a), 0);
	assert_int_equal(pthread_create(&b.thread, NULL, player_main, &b), 0);
	loop_notify(&a.s);
	pthread_join(a.thread, &end);
	assert_ptr_equal(end, &a);
	pthread_join(b.thread, &end);
	assert_ptr_equal(end, &b);
	assert_true(ball >= THROWS);
	loop_destroy(a.loop);
	loop_destroy(b.loop);
}

static void *stopper_main(void *arg)
{
	loop_stop(arg);
	return NULL;
}

static void stop_ends_a_sleeping_loop_and_one_not_yet_running(void **state)
{
	struct loop *loop = new_loop();
	pthread_t thread;

	(void)state;
	loop_stop(loop);
	assert_int_equal(loop_run(loop), OK);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(pthread_create(&thread, NULL, stopper_main, loop), 0);
		assert_int_equal(loop_run(loop), OK);
		pthread_join(thread, NULL);
	}
	loop_destroy(loop);
}

static struct loop_source *signalled;

static void on_signal(int number)
{
	(void)number;
	loop_notify(signalled);
}

static void a_signal_handler_may_notify(void **state)
{
	struct loop *loop = new_loop();
	struct bell b = {0};
	struct sigaction action = {.sa_handler = on_signal}, before;

	(void)state;
	loop_source_add(loop, &b.s, bell_run);
	signalled = &b.s;
	assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
	turns(loop, 1);
	raise(SIGUSR1);
	assert_int_equal(loop_turn(loop, -1), OK);
	assert_int_equal(b.rung, 1);
	sigaction(SIGUSR1, &before, NULL);
	loop_destroy(loop);
}

/* ---- memory ---- */

static void every_failing_allocation_is_survived(void **state)
{
	(void)state;
	for (long n = 1;; n++) {
		struct loop *loop = NULL;
		struct loop_fd f = {.ready = pipe_ready};
		int fds[2];
		int rc;
		bool hit;

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
		f.fd = fds[0];
		alloc_fail_at(n);
		rc = loop_create(&loop);
		if (rc == OK)
			rc = loop_fd_add(loop, &f);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		loop_destroy(loop);
		close(fds[0]);
		close(fds[1]);
		if (!hit)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_are_edges),
		cmocka_unit_test(an_event_in_hand_of_a_removed_descriptor_is_dropped),
		cmocka_unit_test(more_descriptors_than_slots_and_events),
		cmocka_unit_test(a_closed_descriptor_cannot_be_added),
		cmocka_unit_test(timers_fire_in_order_and_never_early),
		cmocka_unit_test(a_timer_of_zero_fires_in_the_next_turn_once),
		cmocka_unit_test(a_timer_can_cancel_one_that_is_due_with_it),
		cmocka_unit_test(setting_a_pending_timer_moves_it),
		cmocka_unit_test(the_wall_clock_is_unix_time),
		cmocka_unit_test(hooks_run_in_order_and_around_waits_only),
		cmocka_unit_test(a_source_runs_once_a_turn_however_often_notified),
		cmocka_unit_test(a_removed_source_does_not_run),
		cmocka_unit_test(no_wake_up_is_lost),
		cmocka_unit_test(what_was_written_before_a_notify_is_visible_after),
		cmocka_unit_test(stop_ends_a_sleeping_loop_and_one_not_yet_running),
		cmocka_unit_test(a_signal_handler_may_notify),
		cmocka_unit_test(every_failing_allocation_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
