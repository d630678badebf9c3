#include "mqtt/worker.h"

#include <stdlib.h>

#include "base/hash.h"
#include "mqtt/answer.h"
#include "mqtt/port.h"
#include "mqtt/promise.h"
#include "mqtt/refusal.h"
#include "mqtt/retained_disk.h"
#include "mqtt/route.h"
#include "mqtt/session.h"
#include "mqtt/sys.h"

/* Every SWEEP_MS a part of the retained messages is looked at for those that expired: all of them in half a minute. */
#define SWEEP_TURNS 120u
#define SWEEP_MIN   1024u

uint64_t worker_random(struct worker *w)
{
	w->random += 0x9e3779b97f4a7c15u;
	return hash_fold(w->random ^ w->broker->config.seed, 0xd6e8feb86659fd93u);
}

bool worker_is_backlogged(struct worker *w)
{
	return w->stopped_reading || w->handed_bytes > w->broker->config.backlog_bytes || store_is_behind(w);
}

/* ---- calls from other threads ---- */

void worker_call(struct worker *w, struct worker_call *c)
{
	c->next = atomic_load(&w->calls);
	while (!atomic_compare_exchange_weak(&w->calls, &c->next, c))
		;
	loop_notify(&w->called);
}

/* All calls, oldest first. */
static struct worker_call *calls_take(struct worker *w)
{
	struct worker_call *c = atomic_exchange(&w->calls, NULL), *oldest = NULL, *next;

	for (; c; c = next) {
		next = c->next;
		c->next = oldest;
		oldest = c;
	}
	return oldest;
}

static void calls_run(struct loop_source *s)
{
	struct worker *w = container_of(s, struct worker, called);
	struct worker_call *next;

	for (struct worker_call *c = calls_take(w); c; c = next) {
		next = c->next;
		c->run(w, c);
	}
}

/* ---- the turn ---- */

static bool lane_enough(void *worker)
{
	return worker_is_busy(worker);
}

static void lane_arrived(struct loop_source *s)
{
	struct lane *l = container_of(s, struct lane, arrived);
	struct worker *w = l->owner;

	w->steps = 0;
	if (!lane_take_some(l, route_record, lane_enough, w))
		loop_notify(&l->arrived);
}

/* A receiver has caught up; the others may have, too. */
static void lanes_drained(struct loop_source *s)
{
	struct worker *w = container_of(s, struct worker, drained);

	w->stopped_reading = false;
	for (uint32_t to = 0; to < w->broker->nlanes; to++) {
		struct lane *l = broker_lane(w->broker, w->index, to);

		w->stopped_reading |= to != w->index && atomic_load(&l->sender_waits);
	}
}

/* Before the turn's output leaves: who has got an answer finds it in the figures. */
void worker_gauges_set(struct worker *w)
{
	uint32_t shared = sub_tree_shared(w->subs);
	const struct {
		_Atomic uint64_t *gauge;
		uint64_t now;
	} all[] = {
		{&w->gauge.sessions, w->nsessions},
		{&w->gauge.subscriptions, sub_tree_count(w->subs) - shared},
		{&w->gauge.shared_subscriptions, shared},
		{&w->gauge.queued_messages, queue_pool_len(w->queues) + w->shelved},
		{&w->gauge.queued_payload, queue_pool_payload(w->queues) + w->shelved_bytes},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		atomic_store_explicit(all[i].gauge, all[i].now, memory_order_relaxed);
}

void worker_count_queues(struct worker *w)
{
	uint64_t held = queue_pool_held(w->queues);

	budget_count(&w->budget, (int64_t)(held - w->queues_counted));
	w->queues_counted = held;
}

static void ripening_fired(struct loop_timer *t)
{
	(void)t; /* the end of this turn sees to it */
}

static void sweeping_fired(struct loop_timer *t)
{
	struct worker *w = container_of(t, struct worker, sweeping);
	struct retained_store *r = w->broker->retained;
	uint32_t most = retained_slots(r) / SWEEP_TURNS;

	if (retained_sweep(r, w->reader, loop_now_ms(w->loop), most > SWEEP_MIN ? most : SWEEP_MIN, w->levels,
			   retained_put_expired, w))
		loop_timer_set(w->loop, &w->sweeping, SWEEP_MS);
}

static void turn_end(struct loop_hook *h)
{
	struct worker *w = container_of(h, struct worker, turn_end);

	w->steps = 0;
	conns_read_on(w);
	w->steps = 0;
	if (!list_empty(&w->unripe))
		feeds_ripen(w);
	worker_gauges_set(w);
	worker_count(w, turns, 1);
	route_flush(w); /* first: then the others deliver while this one does */
	own_sessions_tell(w);
	promises_look(w);
	answers_send(w);
	conns_flush(w);
	route_flush(w); /* wills of those that went */
	promises_pass(w);
	own_sessions_tell(w);
	worker_gauges_set(w); /* without them: it may be long until the next turn */
	worker_count_queues(w);
	budget_settle(&w->budget);
	if (worker_memory(w) == BUDGET_FULL)
		backlog_cut(w);
	interest_prune(w->broker->interest, w->reader);
	retained_prune(w->broker->retained, w->reader);
	epoch_quiescent(w->reader);
}

static void before_sleep(struct loop_hook *h)
{
	epoch_offline(container_of(h, struct worker, before_sleep)->reader);
}

static void after_sleep(struct loop_hook *h)
{
	epoch_online(container_of(h, struct worker, after_sleep)->reader);
}

/* ---- life ---- */

static size_t stored_cost(const struct msg *m)
{
	return msg_cost(m);
}

static size_t stored_payload(const struct msg *m)
{
	return m->payload_len;
}

static const struct queue_msg_ops stored_ops = {
	.unref = msg_unref, .cost = stored_cost, .payload = stored_payload};

static int worker_make_parts(struct worker *w)
{
	const struct broker_config *c = &w->broker->config;
	int rc;

	if ((rc = epoch_reader_create(w->broker->epoch, &w->reader)) < 0 ||
	    (rc = out_pool_create(&w->out_pool)) < 0 ||
	    (rc = queue_pool_create(&stored_ops, &w->queues)) < 0 || (rc = routes_create(&w->routes)) < 0 ||
	    (rc = sub_tree_create(w->broker->interest, w->reader, c->seed, w->index, c->max_topic_levels,
				  &w->subs)) < 0)
		return rc;
	out_pool_count(w->out_pool, &w->budget);
	rc = promises_open(w);
	if (rc < 0)
		return rc;
	w->input = malloc(INPUT_BYTES);
	w->levels = topic_levels_create(c->max_topic_levels);
	w->walk = malloc((c->max_topic_levels + 2) * sizeof(*w->walk));
	return w->input && w->levels && w->walk ? OK : ERR_NOMEM;
}

static void worker_hook(struct worker *w)
{
	loop_source_add(w->loop, &w->called, calls_run);
	loop_source_add(w->loop, &w->drained, lanes_drained);
	loop_hook_add(w->loop, LOOP_TURN_END, &w->turn_end, turn_end);
	loop_hook_add(w->loop, LOOP_BEFORE_SLEEP, &w->before_sleep, before_sleep);
	loop_hook_add(w->loop, LOOP_AFTER_SLEEP, &w->after_sleep, after_sleep);
	for (uint32_t from = 0; from < BROKER_LANES_MAX; from++) {
		struct lane *l = broker_lane(w->broker, from, w->index);

		l->owner = w;
		loop_source_add(w->loop, &l->arrived, lane_arrived);
		broker_lane(w->broker, w->index, from)->drained = &w->drained;
	}
	w->hooked = true;
}

int worker_create(struct broker *b, struct loop *loop, uint16_t index, struct worker **out)
{
	struct worker *w = calloc(1, sizeof(*w));

	*out = w;
	if (!w)
		return ERR_NOMEM;
	w->broker = b;
	w->budget.all = &b->budget;
	w->loop = loop;
	w->index = index;
	w->next_uid = index;
	w->random = index;
	interest_set_lanes(b->interest, index + 1u);
	list_init(&w->conns);
	list_init(&w->own_sessions);
	list_init(&w->dirty);
	list_init(&w->unread);
	list_init(&w->unripe);
	promises_init(w);
	list_init(&w->waiting);
	loop_timer_init(&w->ripening, ripening_fired);
	loop_timer_init(&w->sweeping, sweeping_fired);
	if (worker_make_parts(w) < 0) {
		worker_destroy(w);
		*out = NULL;
		return ERR_NOMEM;
	}
	worker_hook(w);
	return OK;
}

static void worker_unhook(struct worker *w)
{
	struct worker_call *next;

	loop_timer_cancel(w->loop, &w->ripening);
	loop_timer_cancel(w->loop, &w->sweeping);
	for (uint32_t from = 0; from < BROKER_LANES_MAX; from++)
		loop_source_remove(&broker_lane(w->broker, from, w->index)->arrived);
	loop_source_remove(&w->called);
	loop_source_remove(&w->drained);
	loop_hook_remove(&w->turn_end);
	loop_hook_remove(&w->before_sleep);
	loop_hook_remove(&w->after_sleep);
	for (struct worker_call *c = calls_take(w); c; c = next) {
		next = c->next;
		c->cancel(c);
	}
}

void worker_destroy(struct worker *w)
{
	struct hmap_node *n;
	size_t from = 0;

	if (!w)
		return;
	if (w->hooked)
		worker_unhook(w);
	sys_destroy(w->sys);
	while (!list_empty(&w->conns))
		conn_free(container_of(w->conns.next, struct conn, in_worker));
	while ((n = hmap_any(&w->sessions, &from)))
		session_free(container_of(n, struct session, by_id));
	port_destroy(w->port);
	promises_close(w);
	hmap_fini(&w->sessions);
	sub_tree_destroy(w->subs);
	routes_destroy(w->routes, &w->budget);
	if (w->queues)
		worker_count_queues(w);
	queue_pool_destroy(w->queues);
	out_pool_destroy(w->out_pool);
	budget_settle(&w->budget);
	free(w->walk);
	free(w->levels);
	free(w->input);
	free(w->props);
	free(w->redirect);
	epoch_reader_destroy(w->reader);
	free(w);
}
