#include "mqtt/promise.h"

#include <stdlib.h>

#include "mqtt/import.h"
#include "mqtt/keep.h"
#include "mqtt/shelf.h"

/* ---- what is owed ---- */

void owed_add(struct worker *w, struct owed *o, uint16_t origin, uint64_t number)
{
	o->number = number;
	list_append(&w->unsettled[origin], &o->in_lane);
}

void owed_settle(struct worker *w, struct owed *o)
{
	if (list_empty(&o->in_lane))
		return;
	list_remove(&o->in_lane);
	w->progressed = true;
}

/* Everything with a number below is settled here. */
static uint64_t unsettled_from(const struct worker *w, uint32_t origin)
{
	const struct list *all = &w->unsettled[origin];

	return list_empty(all) ? UINT64_MAX : container_of(all->next, struct owed, in_lane)->number;
}

/* ---- promises ---- */

/* Has worker `to` settled our publishes up to `number`? If not, it tells when it has settled more. */
static bool lane_has_settled(struct worker *w, uint32_t to, uint64_t number)
{
	struct lane *l = broker_lane(w->broker, w->index, to);

	if (number > l->put_number) /* what came later did not concern it */
		number = l->put_number;
	if (atomic_load_explicit(&l->settled, memory_order_acquire) >= number)
		return true;
	atomic_store(&l->settled_awaited, true);
	return atomic_load(&l->settled) >= number;
}

static bool is_settled(struct worker *w, uint64_t number, uint64_t lanes)
{
	if (w->delayed) { /* who owes it is known at the end of this turn */
		w->progressed = true;
		return false;
	}
	if (unsettled_from(w, w->index) <= number)
		return false;
	for (; lanes; lanes &= lanes - 1)
		if (!lane_has_settled(w, (uint32_t)__builtin_ctzll(lanes), number))
			return false;
	return true;
}

bool promise_is_kept(struct worker *w, const struct promise *p)
{
	if (!worker_has_store(w))
		return true;
	if (store_durable(w->disk) < p->ticket ||
	    atomic_load_explicit(&w->confirmed, memory_order_relaxed) < p->confirm)
		return false;
	return !p->number || is_settled(w, p->number, p->lanes);
}

struct promise promise_of(const struct worker *w, const struct publication *p, uint64_t ticket)
{
	const struct list *all = worker_has_store(w) ? &w->unsettled[w->index] : NULL;
	bool is_owed =
		all &&
		(w->delayed || p->asked ||
		 (!list_empty(all) && container_of(all->prev, struct owed, in_lane)->number == p->number));

	return (struct promise){.ticket = ticket, .number = is_owed ? p->number : 0, .lanes = p->asked};
}

struct promise promise_now(const struct worker *w)
{
	return (struct promise){.ticket = worker_has_store(w) ? store_ticket(w->disk) : 0};
}

struct promise promise_of_all(const struct worker *w)
{
	struct promise p = promise_now(w);
	uint32_t n = w->broker->nlanes;

	if (!worker_has_store(w))
		return p;
	p.number = atomic_load_explicit(&w->published, memory_order_relaxed);
	p.confirm = w->confirm_newest;
	p.lanes = (n < 64 ? (UINT64_C(1) << n) - 1 : UINT64_MAX) & ~(UINT64_C(1) << w->index);
	return p;
}

int64_t worker_wall_ms(const struct worker *w, uint64_t monotonic_ms)
{
	uint64_t now = loop_now_ms(w->loop);

	if (!monotonic_ms)
		return 0;
	return store_now_ms(w->broker->config.store, loop_wall_ms(w->loop)) +
	       (int64_t)(monotonic_ms > now ? monotonic_ms - now : 0);
}

uint64_t worker_monotonic_ms(const struct worker *w, int64_t wall_ms)
{
	int64_t now = store_now_ms(w->broker->config.store, loop_wall_ms(w->loop));

	if (!wall_ms)
		return 0;
	return loop_now_ms(w->loop) + (uint64_t)(wall_ms > now ? wall_ms - now : 0);
}

/* ---- share groups: what was passed on for another worker ---- */

struct relay {
	struct owed owed;
	struct list in_worker;
	uint64_t own, lanes;
};

void relay_add(struct worker *w, uint16_t origin, uint64_t number, uint64_t own, uint64_t lanes)
{
	struct relay *r = worker_has_store(w) ? malloc(sizeof(*r)) : NULL;

	if (!r) /* without memory it counts as settled: it is on its way */
		return;
	*r = (struct relay){.own = own, .lanes = lanes};
	owed_add(w, &r->owed, origin, number);
	list_append(&w->relays, &r->in_worker);
}

static void relays_look(struct worker *w)
{
	list_for_each (n, &w->relays) {
		struct relay *r = container_of(n, struct relay, in_worker);

		if (!is_settled(w, r->own, r->lanes))
			continue;
		owed_settle(w, &r->owed);
		list_remove(&r->in_worker);
		free(r);
	}
}

/* ---- confirmations ---- */

struct promise confirm_add(struct session *s, struct confirm *c, uint16_t packet_id,
			   const struct publication *p)
{
	struct worker *w = s->worker;

	*c = (struct confirm){
		.session = s,
		.packet_id = packet_id,
		.number = p->number,
		.promise = promise_of(w, p, p->ticket),
	};
	list_append(&w->confirming, &c->in_worker);
	w->confirm_newest = p->number;
	w->progressed = true;
	return (struct promise){.ticket = p->ticket, .confirm = p->number};
}

void confirms_forget(struct session *s)
{
	list_for_each (n, &s->worker->confirming) {
		struct confirm *c = container_of(n, struct confirm, in_worker);

		if (c->session == s)
			c->session = NULL;
	}
}

/* What is settled is confirmed, in order: all that is below the confirmed number counts after a restart. */
static void confirms_put(struct worker *w)
{
	struct list *n;

	while ((n = list_first(&w->confirming))) {
		struct confirm *c = container_of(n, struct confirm, in_worker);

		if (!promise_is_kept(w, &c->promise))
			return;
		if (c->session && session_received_has(c->session, c->packet_id)) /* else PUBREL came early */
			store_put_received(w->disk, c->session->stored, c->packet_id);
		store_confirm(w->disk, c->number);
		c->ticket = store_ticket(w->disk);
		list_remove(n);
		list_append(&w->confirmed_writing, n);
	}
}

static void confirms_durable(struct worker *w)
{
	struct broker *b = w->broker;
	uint64_t durable = store_durable(w->disk);
	bool tell = false;
	struct list *n;

	while ((n = list_first(&w->confirmed_writing))) {
		struct confirm *c = container_of(n, struct confirm, in_worker);

		if (c->ticket > durable)
			break;
		atomic_store(&w->confirmed, c->number);
		tell = true;
		list_remove(n);
		free(c);
	}
	tell = tell && atomic_exchange(&w->confirm_awaited, false);
	for (uint32_t i = 0; tell && i < b->nworkers; i++)
		if (i != w->index)
			loop_notify(&b->workers[i]->settled);
}

/* ---- the turn ---- */

static void progress(void *arg)
{
	((struct worker *)arg)->progressed = true;
}

static void settled_run(struct loop_source *s)
{
	container_of(s, struct worker, settled)->progressed = true;
}

static void linger_fired(struct loop_timer *t)
{
	keeps_linger(container_of(t, struct worker, linger));
}

static void cleaning_fired(struct loop_timer *t)
{
	shelves_clean(container_of(t, struct worker, cleaning));
}

void promises_init(struct worker *w)
{
	list_init(&w->lingering);
	list_init(&w->writing);
	list_init(&w->holding);
	list_init(&w->dirty_shelves);
	list_init(&w->reads);
	list_init(&w->relays);
	list_init(&w->imports);
	list_init(&w->confirming);
	list_init(&w->confirmed_writing);
	loop_timer_init(&w->linger, linger_fired);
	loop_timer_init(&w->cleaning, cleaning_fired);
}

int promises_open(struct worker *w)
{
	static const struct store_port_ops ops = {.progress = progress};
	struct store *store = w->broker->config.store;

	if (!store)
		return OK;
	w->unsettled = malloc(BROKER_LANES_MAX * sizeof(*w->unsettled));
	if (!w->unsettled)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < BROKER_LANES_MAX; i++)
		list_init(&w->unsettled[i]);
	loop_source_add(w->loop, &w->settled, settled_run);
	return store_port_open(store, w->index, w->loop, &ops, w, &w->disk);
}

static void confirms_free(struct list *all)
{
	struct list *n;

	while ((n = list_take_first(all)))
		free(container_of(n, struct confirm, in_worker));
}

void promises_close(struct worker *w)
{
	struct list *n;

	loop_timer_cancel(w->loop, &w->linger);
	loop_timer_cancel(w->loop, &w->cleaning);
	while ((n = list_take_first(&w->relays)))
		free(container_of(n, struct relay, in_worker));
	imports_cancel(w);
	confirms_free(&w->confirming);
	confirms_free(&w->confirmed_writing);
	if (w->disk) {
		store_port_close(w->disk);
		shelf_reads_end(w);
	}
	if (w->unsettled)
		loop_source_remove(&w->settled);
	free(w->unsettled);
	w->disk = NULL;
}

void promises_look(struct worker *w)
{
	struct list held, *n;

	if (!worker_has_store(w))
		return;
	keeps_durable(w);
	if (!w->progressed)
		return;
	relays_look(w);
	confirms_put(w);
	confirms_durable(w);
	imports_look(w);
	list_init(&held);
	list_splice(&held, &w->holding);
	while ((n = list_first(&held)))
		session_let_go(container_of(n, struct shelf, holding)->session);
}

static void settled_tell(struct worker *w, uint32_t from)
{
	struct lane *l = broker_lane(w->broker, from, w->index);
	uint64_t number = unsettled_from(w, from);

	number = number == UINT64_MAX ? l->seen_number : number - 1;
	if (atomic_load_explicit(&l->settled, memory_order_relaxed) == number)
		return;
	atomic_store(&l->settled, number);
	if (atomic_load(&l->settled_awaited) && atomic_exchange(&l->settled_awaited, false))
		loop_notify(&w->broker->workers[from]->settled);
}

void promises_pass(struct worker *w)
{
	if (!worker_has_store(w))
		return;
	for (uint32_t from = 0; from < w->broker->nlanes; from++)
		if (from != w->index)
			settled_tell(w, from);
	store_submit(w->disk);
	if (w->progressed) /* after the answers were sent */
		loop_again(w->loop);
}
