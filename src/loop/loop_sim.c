#include "loop/loop_sim.h"

#include <assert.h>
#include <stdlib.h>

#include "loop/loop_impl.h"

#define START_US        UINT64_C(3600000000)
#define START_WALL_MS   INT64_C(1767225600000) /* 2026-01-01T00:00:00Z */
#define NOTIFY_DELAY_US 500
#define TURN_US_MAX     20 /* a loop is busy for 1..this after a turn, unless told otherwise */
#define US_FOREVER      UINT64_MAX

struct sim_world {
	struct loop_clock clock;
	int64_t wall_step_ms;
	uint64_t random[4];
	uint64_t trace;
	uint64_t notify_delay_us;
	uint64_t interleave_one_in;
	uint64_t turn_max_us;
	uint32_t next_loop_id;
	struct list loops;
	struct list calls; /* struct sim_call: all that are pending */
	struct list due;
	struct wheel wheel; /* ticks of 1 us */
};

struct loop_sim {
	struct loop loop;
	struct sim_world *world;
	struct list in_world;
	struct list notified; /* sources by seen_us */
	struct list events;   /* posted, not in a turn yet */
	uint64_t busy_until_us;
	uint64_t turns;
	uint32_t id;
	bool asleep;
	bool in_turn;
};

struct sim_call {
	struct loop_timer timer;
	struct list node;
	void (*fn)(void *arg);
	void *arg;
};

/* What sim_trace() is told apart by. */
enum { TRACE_TURN = 1, TRACE_TIMER, TRACE_STEP_WALL };

static struct loop_sim *sim_of(struct loop *loop)
{
	return container_of(loop, struct loop_sim, loop);
}

/* ---- random numbers and the trace ---- */

/* splitmix64: spreads a seed (0 too) over the state, and mixes the trace. */
static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

static uint64_t rotl(uint64_t x, unsigned k)
{
	return x << k | x >> (64 - k);
}

/* xoshiro256** of Blackman and Vigna. */
static uint64_t draw(struct sim_world *w)
{
	uint64_t *s = w->random;
	uint64_t result = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t sim_random(struct sim_world *w, uint64_t bound)
{
	uint64_t value, unfair;

	assert(bound > 0);
	/* The lowest 2^64 mod bound values would make some remainders more likely. */
	unfair = -bound % bound;
	do
		value = draw(w);
	while (value < unfair);
	sim_trace(w, value);
	return value % bound;
}

bool sim_one_in(struct sim_world *w, uint64_t n)
{
	return n > 0 && sim_random(w, n) == 0;
}

void sim_trace(struct sim_world *w, uint64_t what)
{
	w->trace = mix(w->trace ^ what);
}

uint64_t sim_trace_hash(const struct sim_world *w)
{
	return w->trace;
}

/* ---- time ---- */

static void clock_set(struct sim_world *w, uint64_t now_us)
{
	w->clock.now_us = now_us;
	w->clock.wall_ms = START_WALL_MS + (int64_t)((now_us - START_US) / 1000) + w->wall_step_ms;
}

uint64_t sim_now_us(const struct sim_world *w)
{
	return w->clock.now_us;
}

void sim_set_notify_delay(struct sim_world *w, uint64_t max_us)
{
	w->notify_delay_us = max_us;
}

void sim_step_wall(struct sim_world *w, int64_t by_ms)
{
	w->wall_step_ms += by_ms;
	clock_set(w, w->clock.now_us);
	sim_trace(w, TRACE_STEP_WALL);
}

static uint64_t later_us(uint64_t now_us, uint64_t by_us)
{
	return by_us < US_FOREVER - 1 - now_us ? now_us + by_us : US_FOREVER - 1;
}

void sim_timer_set(struct sim_world *w, struct loop_timer *t, uint64_t after_us)
{
	list_remove(&t->node);
	/* At least 1, so that nothing can keep the world busy at one point of time. */
	t->due_ms = later_us(w->clock.now_us, after_us ? after_us : 1);
	wheel_put(&w->wheel, t);
}

void sim_timer_cancel(struct loop_timer *t)
{
	list_remove(&t->node);
}

static void call_fire(struct loop_timer *t)
{
	struct sim_call *c = container_of(t, struct sim_call, timer);
	void (*fn)(void *arg) = c->fn;
	void *arg = c->arg;

	list_remove(&c->node);
	free(c);
	fn(arg);
}

int sim_at(struct sim_world *w, uint64_t after_us, void (*fn)(void *arg), void *arg)
{
	struct sim_call *c = calloc(1, sizeof(*c));

	if (!c)
		return ERR_NOMEM;
	loop_timer_init(&c->timer, call_fire);
	list_init(&c->node);
	list_append(&w->calls, &c->node);
	c->fn = fn;
	c->arg = arg;
	sim_timer_set(w, &c->timer, after_us);
	return OK;
}

/* ---- what reaches a loop from outside ---- */

static void sim_notify(struct loop *loop, struct loop_source *s)
{
	struct loop_sim *l = sim_of(loop);
	struct list *at = &l->notified;

	s->seen_us = later_us(l->world->clock.now_us, sim_random(l->world, l->world->notify_delay_us + 1));
	/* Sorted; those of one time in the order of the notifies. */
	while (at->prev != &l->notified &&
	       container_of(at->prev, struct loop_source, node)->seen_us > s->seen_us)
		at = at->prev;
	list_insert_before(at, &s->node);
}

static void sim_forget(struct loop *loop, struct loop_source *s)
{
	(void)loop;
	list_remove(&s->node);
}

static void sim_wake(struct loop *loop)
{
	(void)loop; /* whoever runs the world looks at `stopped` after each step */
}

void sim_event_init(struct sim_event *e, void (*run)(struct sim_event *e))
{
	e->run = run;
	list_init(&e->node);
}

void sim_event_post(struct loop *loop, struct sim_event *e)
{
	struct loop_sim *l = sim_of(loop);

	if (!list_empty(&e->node))
		return;
	list_insert_before(sim_one_in(l->world, 2) ? l->events.next : &l->events, &e->node);
}

void sim_event_cancel(struct sim_event *e)
{
	list_remove(&e->node);
}

static int sim_fd_add(struct loop *loop, struct loop_fd *f)
{
	(void)loop;
	(void)f;
	return ERR_UNSUPPORTED;
}

static void sim_fd_remove(struct loop *loop, struct loop_fd *f)
{
	(void)loop;
	assert(!f); /* none was ever added */
}

/* ---- turns ---- */

/* When this loop has something to do, without regard to what it is busy with. */
static uint64_t work_us(struct loop_sim *l)
{
	uint64_t next_us;

	if (l->loop.again || !list_empty(&l->events))
		return 0;
	next_us = loop_timers_next_us(&l->loop);
	if (!list_empty(&l->notified)) {
		uint64_t seen_us = container_of(l->notified.next, struct loop_source, node)->seen_us;

		if (seen_us < next_us)
			next_us = seen_us;
	}
	return next_us;
}

static uint64_t next_turn_us(struct loop_sim *l)
{
	uint64_t next_us = work_us(l);

	return next_us < l->busy_until_us ? l->busy_until_us : next_us;
}

static void run_events(struct loop_sim *l)
{
	struct list events, *node;

	list_init(&events);
	list_splice(&events, &l->events);
	while ((node = list_take_first(&events))) {
		struct sim_event *e = container_of(node, struct sim_event, node);

		e->run(e);
	}
}

/* The sources whose notify is seen by `until_us`. */
static void take_seen_sources(struct loop_sim *l, uint64_t until_us)
{
	while (!list_empty(&l->notified)) {
		struct list *node = l->notified.next;

		if (container_of(node, struct loop_source, node)->seen_us > until_us)
			return;
		list_remove(node);
		list_append(&l->loop.running, node);
	}
}

static void take_turn(struct loop_sim *l, uint64_t seen_until_us)
{
	struct sim_world *w = l->world;

	l->in_turn = true;
	sim_trace(w, TRACE_TURN);
	sim_trace(w, l->id);
	sim_trace(w, w->clock.now_us);
	if (l->asleep) {
		l->asleep = false;
		loop_run_hooks(&l->loop, LOOP_AFTER_SLEEP);
	}
	loop_turn_begin(&l->loop);
	run_events(l);
	take_seen_sources(l, seen_until_us);
	loop_turn_finish(&l->loop);
	l->turns++;
	l->busy_until_us = later_us(w->clock.now_us, 1 + sim_random(w, w->turn_max_us));
	if (work_us(l) > w->clock.now_us) {
		loop_run_hooks(&l->loop, LOOP_BEFORE_SLEEP);
		l->asleep = true;
	}
	l->in_turn = false;
}

/* Some loop that is not in a turn and has something to do, soon or now. */
static struct loop_sim *pick_other(struct sim_world *w)
{
	struct loop_sim *picked = NULL;
	uint64_t n = 0;

	list_for_each (node, &w->loops) {
		struct loop_sim *l = container_of(node, struct loop_sim, in_world);

		if (!l->in_turn && (l->loop.again || !list_empty(&l->events) || !list_empty(&l->notified)) &&
		    sim_random(w, ++n) == 0)
			picked = l;
	}
	return picked;
}

/*
 * The others' notifies are seen without delay here: it was drawn too long, and this is as good a time. Where the loop is not in a turn no
 * loop runs: it is being set up or taken down.
 */
static void sim_interleave(struct loop *loop)
{
	struct sim_world *w = sim_of(loop)->world;

	if (!sim_of(loop)->in_turn)
		return;
	while (sim_one_in(w, w->interleave_one_in)) {
		struct loop_sim *other = pick_other(w);

		if (!other)
			return;
		take_turn(other, US_FOREVER);
	}
}

void sim_set_turn(struct sim_world *w, uint64_t max_us)
{
	w->turn_max_us = max_us;
}

void sim_set_interleave(struct sim_world *w, uint64_t n)
{
	w->interleave_one_in = n;
}

static void run_due_timers(struct sim_world *w)
{
	struct list *node;

	wheel_expire(&w->wheel, w->clock.now_us, &w->due);
	while ((node = list_take_first(&w->due))) {
		struct loop_timer *t = container_of(node, struct loop_timer, node);

		sim_trace(w, TRACE_TIMER);
		sim_trace(w, t->due_ms);
		t->fire(t);
	}
}

/* All world timers that are due, then one turn of one of the loops that are ready for it. */
static void step(struct sim_world *w)
{
	uint64_t nready = 0, chosen;

	run_due_timers(w);
	list_for_each (node, &w->loops)
		nready += next_turn_us(container_of(node, struct loop_sim, in_world)) <= w->clock.now_us;
	if (nready == 0)
		return;
	chosen = sim_random(w, nready);
	list_for_each (node, &w->loops) {
		struct loop_sim *l = container_of(node, struct loop_sim, in_world);

		if (next_turn_us(l) <= w->clock.now_us && chosen-- == 0) {
			take_turn(l, l->world->clock.now_us);
			return;
		}
	}
}

static uint64_t next_step_us(struct sim_world *w)
{
	uint64_t next_us = wheel_next(&w->wheel);

	list_for_each (node, &w->loops) {
		uint64_t at_us = next_turn_us(container_of(node, struct loop_sim, in_world));

		if (at_us < next_us)
			next_us = at_us;
	}
	return next_us;
}

int sim_run(struct sim_world *w, uint64_t for_us, bool (*until)(void *arg), void *arg)
{
	uint64_t end_us = later_us(w->clock.now_us, for_us);

	for (;;) {
		uint64_t next_us;

		if (until && until(arg))
			return OK;
		next_us = next_step_us(w);
		if (next_us == US_FOREVER)
			return ERR_NOT_FOUND;
		if (next_us > end_us) {
			clock_set(w, end_us);
			return ERR_TIMEOUT;
		}
		if (next_us > w->clock.now_us)
			clock_set(w, next_us);
		step(w);
	}
}

/* ---- loop_run() and loop_turn() ---- */

static bool is_stopped(void *arg)
{
	struct loop_sim *l = arg;

	return atomic_exchange(&l->loop.stopped, false);
}

static int sim_loop_run(struct loop *loop)
{
	struct loop_sim *l = sim_of(loop);

	return sim_run(l->world, US_FOREVER, is_stopped, l) == OK ? OK : ERR_IO;
}

struct awaited_turn {
	const struct loop_sim *l;
	uint64_t turns;
};

static bool had_turn(void *arg)
{
	const struct awaited_turn *a = arg;

	return a->l->turns != a->turns;
}

static int sim_loop_turn(struct loop *loop, int max_wait_ms)
{
	struct loop_sim *l = sim_of(loop);
	struct sim_world *w = l->world;
	struct awaited_turn a = {.l = l, .turns = l->turns};
	uint64_t for_us = max_wait_ms < 0 ? US_FOREVER : (uint64_t)max_wait_ms * 1000;
	uint64_t end_us = later_us(w->clock.now_us, for_us);
	int rc = sim_run(w, for_us, had_turn, &a);

	if (rc == OK)
		return OK;
	if (max_wait_ms < 0)
		return ERR_IO;
	/* The wait is over and found nothing to do: a turn all the same. */
	clock_set(w, end_us > l->busy_until_us ? end_us : l->busy_until_us);
	take_turn(l, l->world->clock.now_us);
	return OK;
}

/* ---- life ---- */

static void sim_loop_destroy(struct loop *loop)
{
	struct loop_sim *l = sim_of(loop);

	list_remove(&l->in_world);
	free(l);
}

static const struct loop_ops sim_ops = {
	.run = sim_loop_run,
	.turn = sim_loop_turn,
	.notify = sim_notify,
	.wake = sim_wake,
	.forget = sim_forget,
	.interleave = sim_interleave,
	.fd_add = sim_fd_add,
	.fd_remove = sim_fd_remove,
	.destroy = sim_loop_destroy,
};

int sim_loop_create(struct sim_world *w, struct loop **out)
{
	struct loop_sim *l = calloc(1, sizeof(*l));

	if (!l)
		return ERR_NOMEM;
	loop_init(&l->loop, &sim_ops, &w->clock);
	l->world = w;
	l->id = w->next_loop_id++;
	list_init(&l->notified);
	list_init(&l->events);
	list_init(&l->in_world);
	list_append(&w->loops, &l->in_world);
	*out = &l->loop;
	return OK;
}

int sim_world_create(uint64_t seed, struct sim_world **out)
{
	struct sim_world *w = calloc(1, sizeof(*w));

	if (!w)
		return ERR_NOMEM;
	for (unsigned i = 0; i < 4; i++)
		w->random[i] = mix(seed + i * UINT64_C(0x9e3779b97f4a7c15));
	w->trace = mix(seed);
	w->notify_delay_us = NOTIFY_DELAY_US;
	w->interleave_one_in = 2;
	w->turn_max_us = TURN_US_MAX;
	list_init(&w->loops);
	list_init(&w->calls);
	list_init(&w->due);
	clock_set(w, START_US);
	wheel_init(&w->wheel, START_US);
	*out = w;
	return OK;
}

void sim_world_destroy(struct sim_world *w)
{
	struct list *node;

	if (!w)
		return;
	while ((node = list_first(&w->loops)))
		loop_destroy(&container_of(node, struct loop_sim, in_world)->loop);
	while ((node = list_take_first(&w->calls)))
		free(container_of(node, struct sim_call, node));
	free(w);
}
