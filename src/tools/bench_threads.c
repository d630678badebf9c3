/* The threads of the load generator, from start to end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench.h"

#define EVENTS        256
#define WAIT_NS       50000000
#define DRAIN_TICK_NS 1000000

/* Until when the thread may sleep. */
static uint64_t sleep_ns(const struct bench_worker *w)
{
	const struct bench_load *l = w->load;
	uint64_t at, now;

	if (atomic_load_explicit(&w->is_kicked, memory_order_relaxed))
		return 0;
	if (l->gap_ns <= 0 || w->nown == 0 ||
	    atomic_load_explicit(&l->phase, memory_order_relaxed) != BENCH_RUN)
		return WAIT_NS;
	at = l->start_ns + (uint64_t)((double)(w->round * l->npublishers + w->own[w->cursor]) * l->gap_ns);
	now = bench_now_ns();
	return at <= now ? 0 : at - now < WAIT_NS ? at - now : WAIT_NS;
}

static int sleep_until_ready(struct bench_worker *w, struct epoll_event *events)
{
	struct timespec t;
	int n;

	atomic_store(&w->is_asleep, true);
	t = (struct timespec){.tv_nsec = (long)(atomic_load(&w->is_kicked) ? 0 : sleep_ns(w))};
	n = epoll_pwait2(w->epoll, events, EVENTS, &t, NULL);
	atomic_store(&w->is_asleep, false);
	return n;
}

static void dispatch(struct bench_worker *w, const struct epoll_event *e)
{
	uint64_t times;

	if (e->data.ptr)
		bench_conn_ready(w, e->data.ptr, e->events);
	else
		(void)!read(w->wake, &times, sizeof(times));
}

static void *worker_run(void *arg)
{
	struct bench_worker *w = arg;
	struct epoll_event events[EVENTS];

	prctl(PR_SET_TIMERSLACK, 1UL);
	bench_refill_own(w);
	while (atomic_load_explicit(&w->load->phase, memory_order_relaxed) != BENCH_END) {
		int n = sleep_until_ready(w, events);

		for (int i = 0; i < n; i++)
			dispatch(w, &events[i]);
		if (w->load->is_fan_out)
			bench_tell_publishers(w);
		if (atomic_exchange(&w->is_kicked, false))
			bench_refill_own(w);
		if (w->load->gap_ns > 0 &&
		    atomic_load_explicit(&w->load->phase, memory_order_relaxed) == BENCH_RUN)
			bench_send_due(w);
	}
	return NULL;
}

static int adopt(struct bench_worker *w, struct bench_conn *c)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

	c->is_waiting = false;
	if (c->fd >= 0 && epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
		return bench_fault("epoll: %s", strerror(errno));
	return OK;
}

static int adopt_all(struct bench_worker *w)
{
	struct bench_load *l = w->load;
	int rc = OK;

	for (unsigned i = 0; rc == OK && i < l->npublishers; i++) {
		if (l->publishers[i].worker != w->index)
			continue;
		w->own[w->nown++] = i;
		rc = adopt(w, &l->publishers[i].c);
	}
	for (unsigned i = 0; rc == OK && i < l->nsubscribers; i++) {
		if (l->subscribers[i].worker == w->index)
			rc = adopt(w, &l->subscribers[i].c);
	}
	return rc;
}

/* Who of this worker's subscribers waits for whom. */
static int flows_init(struct bench_worker *w)
{
	struct bench_load *l = w->load;

	for (unsigned i = 0; i < l->nsubscribers && l->is_fan_out; i++) {
		for (unsigned p = 0; p < l->npublishers && l->subscribers[i].worker == w->index; p++)
			w->flows[p].nsubs++;
	}
	for (unsigned p = 0; p < l->npublishers && l->is_fan_out && l->is_closed; p++) {
		struct bench_done *d = &w->flows[p];

		if (d->nsubs == 0)
			continue;
		if (!(d->left = malloc(w->o->window * sizeof(*d->left))))
			return bench_fault("%s", err_text(ERR_NOMEM));
		for (unsigned i = 0; i < w->o->window; i++)
			d->left[i] = d->nsubs;
	}
	return OK;
}

static int worker_init(struct bench_load *l, unsigned index)
{
	struct bench_worker *w = &l->workers[index];
	struct epoll_event e = {.events = EPOLLIN};
	int rc;

	memset(w, 0, sizeof(*w));
	w->load = l;
	w->o = l->o;
	w->index = index;
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	/* An acknowledgement is never longer than what it answers. */
	w->in = malloc(l->packet_max + BENCH_READ_MAX);
	w->replies = malloc(l->packet_max + BENCH_READ_MAX);
	w->batch = malloc(l->packet_max * l->o->batch);
	w->flows = calloc(l->npublishers + 1, sizeof(*w->flows));
	w->touched = calloc(l->npublishers + 1, sizeof(*w->touched));
	w->own = calloc(l->npublishers + 1, sizeof(*w->own));
	if (!w->in || !w->replies || !w->batch || !w->flows || !w->touched || !w->own)
		return bench_fault("%s", err_text(ERR_NOMEM));
	if (w->epoll < 0 || w->wake < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->wake, &e) < 0)
		return bench_fault("epoll: %s", strerror(errno));
	if ((rc = flows_init(w)) < 0)
		return rc;
	return adopt_all(w);
}

static void worker_fini(struct bench_worker *w)
{
	for (unsigned p = 0; w->flows && p < w->load->npublishers; p++)
		free(w->flows[p].left);
	if (w->epoll >= 0)
		close(w->epoll);
	if (w->wake >= 0)
		close(w->wake);
	free(w->in);
	free(w->replies);
	free(w->batch);
	free(w->flows);
	free(w->touched);
	free(w->own);
}

/* ---- for the main thread ---- */

int bench_start(struct bench_load *l)
{
	unsigned made = 0, started = 0;
	int rc = OK;

	l->start_ns = bench_now_ns();
	atomic_store(&l->phase, BENCH_RUN);
	while (rc == OK && made < l->nworkers)
		rc = worker_init(l, made++);
	while (rc == OK && started < l->nworkers) {
		struct bench_worker *w = &l->workers[started];

		if (pthread_create(&w->thread, NULL, worker_run, w) != 0)
			rc = bench_fault("cannot start a thread");
		else
			started++;
	}
	if (rc == OK)
		return OK;
	atomic_store(&l->phase, BENCH_END);
	for (unsigned i = 0; i < started; i++)
		pthread_join(l->workers[i].thread, NULL);
	for (unsigned i = 0; i < made; i++)
		worker_fini(&l->workers[i]);
	return rc;
}

struct bench_totals bench_totals(const struct bench_load *l)
{
	struct bench_totals t = {0};

	for (unsigned i = 0; i < l->nworkers; i++) {
		const struct bench_counters *c = &l->workers[i].count;
		uint64_t last = atomic_load(&c->last_ns);

		t.sent += atomic_load(&c->sent);
		t.acked += atomic_load(&c->acked);
		t.delivered += atomic_load(&c->delivered);
		t.duplicates += atomic_load(&c->duplicates);
		t.reordered += atomic_load(&c->reordered);
		t.wrong += atomic_load(&c->wrong);
		t.refused += atomic_load(&c->refused);
		t.broken += atomic_load(&c->broken);
		t.stuck += atomic_load(&c->stuck);
		t.last_ns = last > t.last_ns ? last : t.last_ns;
	}
	t.expected = t.sent * l->copies + l->owed;
	return t;
}

bool bench_is_drained(const struct bench_load *l, const struct bench_totals *t)
{
	return t->stuck == 0 && t->delivered >= t->expected && (l->o->qos == 0 || t->acked == t->sent);
}

static void pause_ns(long ns)
{
	const struct timespec t = {.tv_nsec = ns};

	nanosleep(&t, NULL);
}

void bench_drain(struct bench_load *l)
{
	struct bench_totals before = bench_totals(l), now;
	uint64_t moved_ns = bench_now_ns(), patience_ns = (uint64_t)(l->o->drain_s * 1e9);
	unsigned drained = 0;
	uint64_t rss;

	atomic_store(&l->phase, BENCH_DRAIN);
	/* A thread may be between its look at the phase and its send: ask twice. */
	while (drained < 2 && bench_now_ns() - moved_ns < patience_ns) {
		pause_ns(DRAIN_TICK_NS);
		if (l->o->pid > 0 && bench_process_rss(l->o->pid, &rss) == OK && rss > l->rss_max)
			l->rss_max = rss;
		now = bench_totals(l);
		drained = bench_is_drained(l, &now) ? drained + 1 : 0;
		if (now.broken >= (uint64_t)l->npublishers + l->nsubscribers)
			return;
		if (now.delivered != before.delivered || now.acked != before.acked ||
		    now.stuck != before.stuck)
			moved_ns = bench_now_ns();
		before = now;
	}
}

void bench_stop(struct bench_load *l)
{
	atomic_store(&l->phase, BENCH_END);
	for (unsigned i = 0; i < l->nworkers; i++) {
		(void)!write(l->workers[i].wake, &(uint64_t){1}, 8);
		pthread_join(l->workers[i].thread, NULL);
	}
	for (unsigned i = 0; i < l->nworkers; i++)
		worker_fini(&l->workers[i]);
}
