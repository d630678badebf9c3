#include "loop/loop.h"

#include <assert.h>

#include "loop/loop_impl.h"

void loop_init(struct loop *loop, const struct loop_ops *ops, const struct loop_clock *clock)
{
	loop->ops = ops;
	loop->clock = clock;
	for (unsigned i = 0; i < LOOP_HOOKS; i++)
		list_init(&loop->hooks[i]);
	list_init(&loop->due);
	list_init(&loop->running);
	list_init(&loop->alarms);
	list_init(&loop->ringing);
	/* The first turn does not wait, so that work handed over before it is seen. */
	loop->again = true;
	atomic_init(&loop->stopped, false);
	wheel_init(&loop->wheel, clock->now_us / 1000);
}

/* ---- timers ---- */

void loop_timer_init(struct loop_timer *t, void (*fire)(struct loop_timer *t))
{
	t->fire = fire;
	t->due_ms = 0;
	list_init(&t->node);
}

void loop_timer_set(struct loop *loop, struct loop_timer *t, uint64_t after_ms)
{
	uint64_t now_us = loop->clock->now_us;
	/* Rounded up: a timer is never early. With 0 it is due at once, that is in the next turn. */
	uint64_t now_ms = after_ms ? (now_us + 999) / 1000 : now_us / 1000;

	list_remove(&t->node);
	t->due_ms = after_ms < WHEEL_NEVER - now_ms ? now_ms + after_ms : WHEEL_NEVER - 1;
	wheel_put(&loop->wheel, t);
}

void loop_timer_cancel(struct loop *loop, struct loop_timer *t)
{
	(void)loop;
	list_remove(&t->node);
}

bool loop_timer_pending(const struct loop_timer *t)
{
	return !list_empty(&t->node);
}

uint64_t loop_timers_next_us(struct loop *loop)
{
	uint64_t next = wheel_next(&loop->wheel);
	uint64_t next_us = next > WHEEL_NEVER / 1000 ? WHEEL_NEVER : next * 1000;
	struct list *first = list_first(&loop->alarms);

	if (first && container_of(first, struct loop_alarm, node)->due_us < next_us)
		next_us = container_of(first, struct loop_alarm, node)->due_us;
	return next_us;
}

/* ---- alarms ---- */

void loop_alarm_init(struct loop_alarm *a, void (*fire)(struct loop_alarm *a))
{
	a->fire = fire;
	a->due_us = 0;
	list_init(&a->node);
}

void loop_alarm_set(struct loop *loop, struct loop_alarm *a, uint64_t at_us)
{
	struct list *at = &loop->alarms;

	list_remove(&a->node);
	a->due_us = at_us;
	/* From the end: most are set later than those that wait. Those of one time in the order they were set. */
	while (at->prev != &loop->alarms && container_of(at->prev, struct loop_alarm, node)->due_us > at_us)
		at = at->prev;
	list_insert_before(at, &a->node);
}

void loop_alarm_cancel(struct loop_alarm *a)
{
	list_remove(&a->node);
}

bool loop_alarm_pending(const struct loop_alarm *a)
{
	return !list_empty(&a->node);
}

/* The due ones leave the list before any of them runs: what one sets to the past fires in the next turn. */
static void ring_alarms(struct loop *loop)
{
	struct list *node;

	if (list_empty(&loop->alarms))
		return;
	while ((node = list_first(&loop->alarms)) &&
	       container_of(node, struct loop_alarm, node)->due_us <= loop->clock->now_us) {
		list_remove(node);
		list_append(&loop->ringing, node);
	}
	while ((node = list_take_first(&loop->ringing))) {
		struct loop_alarm *a = container_of(node, struct loop_alarm, node);

		a->fire(a);
	}
}

/* ---- sources ---- */

void loop_source_add(struct loop *loop, struct loop_source *s, void (*run)(struct loop_source *s))
{
	s->run = run;
	s->loop = loop;
	atomic_init(&s->pending, false);
	list_init(&s->node);
}

void loop_source_remove(struct loop_source *s)
{
	if (!atomic_load_explicit(&s->pending, memory_order_acquire))
		return;
	s->loop->ops->forget(s->loop, s);
	atomic_store(&s->pending, false);
}

void loop_notify(struct loop_source *s)
{
	/* A source that is pending already will run after this: the exchange hands our writes to its run. */
	if (!atomic_exchange_explicit(&s->pending, true, memory_order_acq_rel))
		s->loop->ops->notify(s->loop, s);
}

/* ---- hooks ---- */

void loop_hook_add(struct loop *loop, enum loop_hook_when when, struct loop_hook *h,
		   void (*run)(struct loop_hook *h))
{
	h->run = run;
	list_init(&h->node);
	list_append(&loop->hooks[when], &h->node);
	loop->again = true; /* it sees the next sleep from its start */
}

void loop_hook_remove(struct loop_hook *h)
{
	list_remove(&h->node);
}

void loop_run_hooks(struct loop *loop, enum loop_hook_when when)
{
	struct list *head = &loop->hooks[when];
	struct list mark; /* keeps our place whatever a hook adds or removes */

	list_init(&mark);
	list_insert_before(head->next, &mark);
	while (mark.next != head) {
		struct list *node = mark.next;
		struct loop_hook *h = container_of(node, struct loop_hook, node);

		list_remove(&mark);
		list_insert_before(node->next, &mark);
		h->run(h);
	}
	list_remove(&mark);
}

/* ---- a turn ---- */

void loop_interleave(struct loop *loop)
{
	if (loop->ops->interleave)
		loop->ops->interleave(loop);
}

void loop_again(struct loop *loop)
{
	loop->again = true;
}

void loop_turn_begin(struct loop *loop)
{
	loop->again = false;
	/*
	 * Due timers are taken before any handler runs: what a handler sets to "now" fires in the next turn, and
	 * bytes that came in time still push their timer out.
	 */
	wheel_expire(&loop->wheel, loop->clock->now_us / 1000, &loop->due);
}

void loop_turn_finish(struct loop *loop)
{
	struct list *node;

	ring_alarms(loop); /* first: somebody counts microseconds */
	while ((node = list_take_first(&loop->running))) {
		struct loop_source *s = container_of(node, struct loop_source, node);

		/* From here it can be notified again; the exchange takes over what all notifiers wrote. */
		atomic_exchange_explicit(&s->pending, false, memory_order_acq_rel);
		s->run(s);
	}
	while ((node = list_take_first(&loop->due))) {
		struct loop_timer *t = container_of(node, struct loop_timer, node);

		t->fire(t);
	}
	loop_run_hooks(loop, LOOP_TURN_END);
}

/* ---- by kind ---- */

int loop_fd_add(struct loop *loop, struct loop_fd *f)
{
	return loop->ops->fd_add(loop, f);
}

void loop_fd_remove(struct loop *loop, struct loop_fd *f)
{
	loop->ops->fd_remove(loop, f);
}

uint64_t loop_now_us(const struct loop *loop)
{
	return loop->clock->now_us;
}

uint64_t loop_precise_us(const struct loop *loop)
{
	return loop->ops->precise_us ? loop->ops->precise_us() : loop->clock->now_us;
}

int64_t loop_wall_ms(const struct loop *loop)
{
	return loop->clock->wall_ms;
}

int loop_run(struct loop *loop)
{
	return loop->ops->run(loop);
}

int loop_turn(struct loop *loop, int max_wait_ms)
{
	return loop->ops->turn(loop, max_wait_ms);
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stopped, true);
	loop->ops->wake(loop);
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	loop_run_hooks(loop, LOOP_DESTROY);
	loop->ops->destroy(loop);
}
