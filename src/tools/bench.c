/*
 * lineside bench: the courses of its modes, on the main thread.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "tools/bench.h"
#include "tools/bench_churn.h"
#include "tools/bench_report.h"
#include "tools/tool.h"

#define TICK_MS         20
#define TICK_LIMIT_MS   1 /* when the end of the work is what ends the run */
#define PROGRESS_NS     500000000u
#define SLOW_READ_NS    100000000u
#define SLOW_READ_BYTES 4096
#define SETTLE_MS       300       /* until a broker's memory is what it stays */
#define LATE_NS         10000000u /* a message that was due just before the end is not late yet */
#define SECOND_NS       1000000000u

/* What is there at one moment. */
struct sample {
	uint64_t at_ns, broker_ns, broker_rss, load_ns;
	struct bench_totals totals;
};

static struct sample sample(const struct bench_load *l)
{
	struct sample s = {.at_ns = bench_now_ns(), .totals = bench_totals(l)};
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	s.load_ns = (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
	if (l->o->pid > 0 && (bench_process_cpu(l->o->pid, &s.broker_ns) < 0 ||
			      bench_process_rss(l->o->pid, &s.broker_rss) < 0))
		s.broker_ns = s.broker_rss = 0; /* it ended; its connections tell of that */
	return s;
}

/* ---- waiting ---- */

/* SIGINT and SIGTERM end the run early, with a report. From here on: the set-up dies of them as any program. */
static int signals_open(struct bench_load *l)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || (l->signals = signalfd(-1, &set, SFD_CLOEXEC)) < 0)
		return bench_fault("signals: %s", strerror(errno));
	return OK;
}

struct wait {
	uint64_t progress_ns, slow_ns, delivered, at_ns, moved, moved_ns;
};

static void show_progress(const struct bench_load *l, struct wait *w, const char *stage)
{
	struct bench_totals t = bench_totals(l);
	uint64_t now = bench_now_ns(), moved = t.delivered > 0 ? t.delivered : t.sent;

	if (l->o->quiet || l->o->mode == BENCH_IDLE || !isatty(STDERR_FILENO) || now < w->progress_ns)
		return;
	if (w->at_ns > 0)
		fprintf(stderr, "\r%s %s: %.0f s, %.0f/s, %.0f %s\033[K", bench_mode_name(l->o->mode), stage,
			(double)(now - l->start_ns) / SECOND_NS,
			(double)(moved - w->delivered) * SECOND_NS / (double)(now - w->at_ns), (double)moved,
			l->o->mode == BENCH_CONNECT ? "connections" : "messages");
	w->at_ns = now;
	w->delivered = moved;
	w->progress_ns = now + PROGRESS_NS;
}

static void hide_progress(const struct bench_load *l)
{
	if (!l->o->quiet && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* The slow ones read a little now and then. */
static void slow_read(const struct bench_load *l, struct wait *w)
{
	uint64_t now = bench_now_ns();
	char bytes[SLOW_READ_BYTES];

	if (l->nslow == 0 || now < w->slow_ns)
		return;
	for (unsigned i = 0; i < l->nslow; i++)
		(void)!recv(l->slow[i].fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	w->slow_ns = now + SLOW_READ_NS;
}

/* With a limit: has all been sent, or does nothing move any more? The rest is for bench_drain() to wait for. */
static bool is_limit_reached(const struct bench_load *l, struct wait *w, const struct bench_totals *t)
{
	uint64_t moved = t->sent + t->delivered + t->acked, now = bench_now_ns();

	if (l->o->limit == 0)
		return false;
	if (t->sent >= l->o->limit || l->owed > 0)
		return true;
	if (moved != w->moved || w->moved_ns == 0) {
		w->moved = moved;
		w->moved_ns = now;
	}
	return l->o->rate <= 0 && (double)(now - w->moved_ns) > l->o->drain_s * SECOND_NS;
}

/* Until the time is up, the limit is reached, nothing is left to measure, or a signal. Returns false for the latter. */
static bool wait_for(const struct bench_load *l, double seconds, const char *stage)
{
	uint64_t end = bench_now_ns() + (uint64_t)(seconds * SECOND_NS), now;
	struct pollfd p = {.fd = l->signals, .events = POLLIN};
	uint64_t tick_ms = l->o->limit > 0 ? TICK_LIMIT_MS : TICK_MS;
	struct wait w = {0};
	bool goes_on = true;

	while (goes_on && (now = bench_now_ns()) < end) {
		uint64_t left_ms = (end - now) / 1000000u + 1;
		struct bench_totals t = bench_totals(l);

		if (t.broken > 0 && t.broken >= (uint64_t)l->npublishers + l->nsubscribers)
			break;
		if (is_limit_reached(l, &w, &t))
			break;
		show_progress(l, &w, stage);
		slow_read(l, &w);
		goes_on = poll(&p, 1, (int)(left_ms < tick_ms ? left_ms : tick_ms)) <= 0;
	}
	hide_progress(l);
	return goes_on;
}

static void settle(void)
{
	const struct timespec t = {.tv_nsec = SETTLE_MS * 1000000};

	nanosleep(&t, NULL);
}

/* ---- report ---- */

static void tell_plan(struct bench_report *r, const struct bench_load *l)
{
	const struct bench_options *o = l->o;

	bench_tell(r, "qos", "QoS", o->qos, 0);
	bench_tell(r, "size", "payload bytes", o->size, 0);
	bench_tell(r, "publishers", "publishers", l->npublishers, 0);
	bench_tell(r, "subscribers", "subscribers", l->nsubscribers, 0);
	bench_tell(r, "workers", "threads of the load", l->nworkers, 0);
}

/* CPU of both sides between two samples; `messages` were moved meanwhile. */
static void tell_cpu(struct bench_report *r, const struct bench_load *l, const struct sample *a,
		     const struct sample *b, double messages)
{
	double ns = (double)(b->at_ns - a->at_ns);

	if (l->o->pid > 0) {
		bench_tell(r, "us_per_message", "broker CPU, us a message",
			   (double)(int64_t)(b->broker_ns - a->broker_ns) / messages / 1000, 5);
		bench_tell(r, "broker_cores", "broker CPU, cores",
			   (double)(int64_t)(b->broker_ns - a->broker_ns) / ns, 3);
		bench_tell(r, "broker_bytes", "broker memory, bytes", (double)b->broker_rss, 0);
	}
	bench_tell(r, "load_cores", "load CPU, cores", (double)(b->load_ns - a->load_ns) / ns, 3);
}

static void tell_latencies(struct bench_report *r, struct bench_load *l)
{
	struct bench_hist *delivery = &l->workers[0].delivery, *ack = &l->workers[0].ack;

	for (unsigned i = 1; i < l->nworkers; i++) {
		bench_hist_merge(delivery, &l->workers[i].delivery);
		bench_hist_merge(ack, &l->workers[i].ack);
	}
	bench_tell_latency(r, false, delivery);
	bench_tell_latency(r, true, ack);
}

/* Messages of one publisher whose time had come before `ns` and that were not sent. */
static uint64_t unsent_of(const struct bench_load *l, const struct bench_publisher *p, uint64_t ns)
{
	double turns = ((double)(int64_t)(ns - l->start_ns) / l->gap_ns - p->c.id) / l->npublishers;
	uint64_t due = turns > 0 ? ((uint64_t)turns + 1) * l->o->batch : 0;

	if (due > p->limit)
		due = p->limit;
	return due > p->next ? due - p->next : 0;
}

/* With a rate: what should have been sent and was not. */
static void tell_unsent(struct bench_report *r, const struct bench_load *l, uint64_t end_ns)
{
	uint64_t unsent = 0;

	if (l->o->rate <= 0)
		return;
	for (unsigned i = 0; i < l->npublishers; i++)
		unsent += unsent_of(l, &l->publishers[i], end_ns - LATE_NS);
	bench_tell(r, "unsent", "not sent in time", (double)unsent, 0);
	if (unsent > 0 && !*r->note)
		snprintf(r->note, sizeof(r->note),
			 "the rate was not reached: %.0f messages were still to be sent at the end, and no "
			 "latency counts them",
			 (double)unsent);
}

/* ---- exchange, fan-in, fan-out, subscribe, pub, sub ---- */

static int connect_all(struct bench_load *l, struct bench_report *r)
{
	uint64_t begin = bench_now_ns(), connected;
	uint64_t filters = (uint64_t)l->nsubscribers * (l->is_fan_out ? l->npublishers : l->o->filters);
	int rc;

	if ((rc = bench_connect_subscribers(l, l->o->persistent ? BENCH_KEPT : BENCH_CLEAN)) < 0 ||
	    (rc = bench_connect_publishers(l)) < 0)
		return rc;
	connected = bench_now_ns();
	bench_tell(r, "connect_seconds", "time to connect, s", (double)(connected - begin) / SECOND_NS, 4);
	if ((rc = bench_subscribe_all(l)) < 0 || (rc = bench_connect_slow(l)) < 0)
		return rc;
	if (l->nsubscribers == 0)
		return OK;
	bench_tell(r, "subscriptions", "subscriptions", (double)filters, 0);
	bench_tell(r, "subscribe_seconds", "time to subscribe, s",
		   (double)(bench_now_ns() - connected) / SECOND_NS, 4);
	return OK;
}

static void report_traffic(struct bench_report *r, struct bench_load *l, const struct sample *a,
			   const struct sample *b)
{
	struct bench_totals t = bench_totals(l);
	double seconds = (double)(b->at_ns - a->at_ns) / SECOND_NS;
	double sent = (double)(b->totals.sent - a->totals.sent),
	       delivered = (double)(b->totals.delivered - a->totals.delivered);
	double moved = l->nsubscribers > 0 ? delivered : sent;

	bench_tell(r, "seconds", "time measured, s", seconds, 4);
	bench_tell(r, "sent", "messages sent", sent, 0);
	bench_tell(r, "delivered", "messages delivered", delivered, 0);
	bench_tell(r, "per_second", "messages a second", moved / seconds, 0);
	tell_latencies(r, l);
	tell_cpu(r, l, a, b, moved);
	bench_tell_faults(r, l, &t);
	tell_unsent(r, l, b->at_ns);
}

/* How long a run with a limit took: until the last arrived, whenever main saw it. */
static void end_at_last(const struct bench_load *l, const struct sample *begin, struct sample *end)
{
	if (l->o->limit > 0 && end->totals.last_ns > begin->at_ns && end->totals.last_ns < end->at_ns)
		end->at_ns = end->totals.last_ns;
}

static void leave_subscribers(struct bench_load *l)
{
	for (unsigned i = 0; i < l->nsubscribers; i++)
		bench_disconnect(l, &l->subscribers[i].c);
}

/* A clean start ends the sessions that were kept. */
static int forget_sessions(struct bench_load *l)
{
	int rc;

	leave_subscribers(l);
	rc = bench_connect_subscribers(l, BENCH_CLEAN);
	leave_subscribers(l);
	return rc;
}

static int run_traffic(struct bench_load *l, struct bench_report *r)
{
	struct sample begin, end;
	int rc;

	l->is_closed = l->o->rate <= 0;
	l->copies = l->npublishers == 0 || l->nsubscribers == 0 ? 0 : l->is_fan_out ? l->nsubscribers : 1;
	atomic_store(&l->begin_ns, l->o->warmup_s > 0 ? UINT64_MAX : 0);
	atomic_store(&l->end_ns, UINT64_MAX);
	if ((rc = connect_all(l, r)) < 0 || (rc = signals_open(l)) < 0)
		return rc;
	begin = sample(l);
	if ((rc = bench_start(l)) < 0)
		return rc;
	if (l->o->warmup_s <= 0 || wait_for(l, l->o->warmup_s, "warm-up")) {
		if (l->o->warmup_s > 0) {
			begin = sample(l);
			atomic_store(&l->begin_ns, begin.at_ns);
		}
		wait_for(l, l->o->seconds, "measuring");
	}
	end = sample(l);
	if (l->o->limit == 0)
		atomic_store(&l->end_ns, end.at_ns);
	bench_drain(l);
	if (l->o->limit > 0)
		end = sample(l);
	bench_stop(l);
	end_at_last(l, &begin, &end);
	report_traffic(r, l, &begin, &end);
	return l->o->persistent ? forget_sessions(l) : OK;
}

/* ---- retained, offline: stages that each have an end ---- */

/* Run what is connected until its limit; *took is from `begin_ns` to the last that arrived. */
static int run_stage(struct bench_load *l, uint64_t begin_ns, const char *name, double *took)
{
	struct bench_totals t;
	int rc;

	if ((rc = bench_start(l)) < 0)
		return rc;
	wait_for(l, l->o->seconds, name);
	bench_drain(l);
	bench_stop(l);
	t = bench_totals(l);
	*took = (double)((t.last_ns > begin_ns ? t.last_ns : bench_now_ns()) - begin_ns) / SECOND_NS;
	return OK;
}

/* All publishers send all they have, and the broker has read it when this returns. */
static int run_publishing(struct bench_load *l, const char *name, double *took)
{
	uint64_t begin = bench_now_ns();
	int rc;

	l->copies = l->owed = 0;
	if ((rc = run_stage(l, begin, name, took)) < 0)
		return rc;
	for (unsigned i = 0; i < l->npublishers; i++) {
		if (l->publishers[i].c.fd >= 0 && (rc = bench_ping(&l->publishers[i].c)) < 0)
			return rc;
	}
	*took = (double)(bench_now_ns() - begin) / SECOND_NS;
	return OK;
}

static void tell_stage(struct bench_report *r, const struct bench_load *l, const char *const keys[3],
		       const char *const labels[3], const struct sample *a, const struct sample *b,
		       double count, double seconds)
{
	bench_tell(r, keys[0], labels[0], seconds, 4);
	bench_tell(r, keys[1], labels[1], count / seconds, 0);
	if (l->o->pid > 0)
		bench_tell(r, keys[2], labels[2],
			   (double)(int64_t)(b->broker_ns - a->broker_ns) / count / 1000, 5);
}

static void add_totals(struct bench_totals *to, const struct bench_totals *t)
{
	to->sent += t->sent;
	to->acked += t->acked;
	to->delivered += t->delivered;
	to->expected += t->expected;
	to->duplicates += t->duplicates;
	to->reordered += t->reordered;
	to->wrong += t->wrong;
	to->refused += t->refused;
	to->broken += t->broken;
}

static const char *const set_keys[] = {"set_seconds", "set_per_second", "set_us"};
static const char *const set_labels[] = {"time to set, s", "set a second", "broker CPU to set, us each"};
static const char *const fetch_keys[] = {"fetch_seconds", "fetch_per_second", "fetch_us"};
static const char *const fetch_labels[] = {"time to fetch, s", "fetched a second",
					   "broker CPU to fetch, us each"};
static const char *const queue_keys[] = {"queue_seconds", "queue_per_second", "queue_us"};
static const char *const queue_labels[] = {"time to queue, s", "queued a second",
					   "broker CPU to queue, us each"};
static const char *const drain_keys[] = {"drain_seconds", "drain_per_second", "drain_us"};
static const char *const drain_labels[] = {"time to come back and drain, s", "drained a second",
					   "broker CPU to drain, us each"};

/* One wildcard subscription gets them all. */
static int fetch_retained(struct bench_load *l, double *took)
{
	uint64_t begin = bench_now_ns();
	char filter[BENCH_TOPIC_MAX];
	int rc;

	snprintf(filter, sizeof(filter), "%s/r/#", l->prefix);
	if ((rc = bench_connect(l, &l->subscribers[0].c, BENCH_CLEAN)) < 0 ||
	    (rc = bench_subscribe_send(l, &l->subscribers[0].c, filter)) < 0)
		return rc;
	l->owed = l->o->limit;
	rc = run_stage(l, begin, "fetching", took);
	bench_disconnect(l, &l->subscribers[0].c);
	return rc;
}

/* Leave nothing behind in the broker. */
static int clear_retained(struct bench_load *l)
{
	double took;
	int rc;

	if (l->o->resume && (rc = bench_connect_publishers(l)) < 0)
		return rc;
	for (unsigned i = 0; i < l->npublishers; i++) {
		struct bench_publisher *p = &l->publishers[i];

		p->next = p->acked = p->rel = 0;
		if ((rc = bench_publisher_prepare(l, p, 0, true)) < 0)
			return rc;
	}
	return run_publishing(l, "clearing", &took);
}

/* The first stage: all publishers set or queue what they have, between the two samples. */
static int fill(struct bench_load *l, const char *name, struct sample at[2], struct bench_totals *all,
		double *took)
{
	struct bench_totals t;
	int rc;

	at[0] = sample(l);
	if ((rc = run_publishing(l, name, took)) < 0)
		return rc;
	t = bench_totals(l);
	add_totals(all, &t);
	at[1] = sample(l);
	return OK;
}

static int set_retained(struct bench_load *l, struct bench_report *r, struct bench_totals *all, double *took)
{
	size_t topic_len = strlen(l->prefix) + strlen("/r/00000000");
	struct sample at[2], settled;
	int rc;

	if ((rc = fill(l, "setting", at, all, took)) < 0)
		return rc;
	settle();
	settled = sample(l);
	tell_stage(r, l, set_keys, set_labels, &at[0], &at[1], (double)l->o->limit, *took);
	if (l->o->pid > 0)
		bench_tell(r, "bytes_per_topic", "broker memory besides topic and payload, bytes each",
			   (double)(int64_t)(settled.broker_rss - at[0].broker_rss) / (double)l->o->limit -
				   (double)(topic_len + l->o->size),
			   1);
	return OK;
}

static int get_retained(struct bench_load *l, struct bench_report *r, struct bench_totals *all, double *took)
{
	struct sample at[2];
	struct bench_totals t;
	int rc;

	at[0] = sample(l);
	if ((rc = fetch_retained(l, took)) < 0)
		return rc;
	t = bench_totals(l);
	add_totals(all, &t);
	at[1] = sample(l);
	tell_stage(r, l, fetch_keys, fetch_labels, &at[0], &at[1], (double)l->o->limit, *took);
	return OK;
}

static int run_retained(struct bench_load *l, struct bench_report *r)
{
	bool sets = !l->o->resume, gets = l->o->resume || !l->o->leave;
	struct bench_totals all = {0};
	double set_s = 0, fetch_s = 0;
	int rc;

	if (!(l->topics_seen = calloc(l->o->limit / 64 + 1, sizeof(*l->topics_seen))))
		return bench_fault("%s", err_text(ERR_NOMEM));
	/* Who only fetches has no publishers yet: in its stage they would set everything anew. */
	if ((sets && (rc = bench_connect_publishers(l)) < 0) || (rc = signals_open(l)) < 0)
		return rc;
	bench_tell(r, "topics", "retained topics", (double)l->o->limit, 0);
	if ((sets && (rc = set_retained(l, r, &all, &set_s)) < 0) ||
	    (gets && (rc = get_retained(l, r, &all, &fetch_s)) < 0))
		return rc;
	bench_tell(r, "seconds", "set and fetched, s", set_s + fetch_s, 4);
	bench_tell_faults(r, l, &all);
	return l->o->leave ? OK : clear_retained(l);
}

static int come_back(struct bench_load *l, double *took)
{
	uint64_t begin = bench_now_ns();
	int rc = bench_connect_subscribers(l, BENCH_KEPT);

	l->copies = 0;
	l->owed = l->o->limit * (l->o->to_all ? l->nsubscribers : 1);
	return rc < 0 ? rc : run_stage(l, begin, "draining", took);
}

static int make_sessions(struct bench_load *l)
{
	int rc;

	if ((rc = bench_connect_subscribers(l, BENCH_KEPT)) < 0 || (rc = bench_subscribe_all(l)) < 0)
		return rc;
	leave_subscribers(l);
	if ((rc = bench_connect_publishers(l)) < 0)
		return rc;
	settle();
	return OK;
}

static int queue_offline(struct bench_load *l, struct bench_report *r, struct bench_totals *all)
{
	struct sample at[2];
	double took;
	int rc;

	if ((rc = fill(l, "queueing", at, all, &took)) < 0)
		return rc;
	tell_stage(r, l, queue_keys, queue_labels, &at[0], &at[1], (double)l->o->limit, took);
	bench_tell(r, "rows_per_second", "rows of sessions a second",
		   (double)l->o->limit * (l->o->to_all ? l->nsubscribers : 1) / took, 0);
	if (l->o->pid > 0)
		bench_tell(r, "bytes_per_message", "broker memory, bytes a queued message",
			   (double)(int64_t)(at[1].broker_rss - at[0].broker_rss) / (double)l->o->limit, 1);
	return OK;
}

static int drain_offline(struct bench_load *l, struct bench_report *r, struct bench_totals *all)
{
	struct sample at[2];
	struct bench_totals t;
	double took;
	int rc;

	at[0] = sample(l);
	l->rss_max = at[0].broker_rss;
	if ((rc = come_back(l, &took)) < 0)
		return rc;
	t = bench_totals(l);
	add_totals(all, &t);
	at[1] = sample(l);
	tell_stage(r, l, drain_keys, drain_labels, &at[0], &at[1], (double)l->owed, took);
	if (l->o->pid > 0)
		bench_tell(r, "drain_growth_bytes", "broker memory, bytes more while it drained",
			   (double)(l->rss_max - at[0].broker_rss), 0);
	return OK;
}

static int run_offline(struct bench_load *l, struct bench_report *r)
{
	bool queues = !l->o->resume, drains = l->o->resume || !l->o->leave;
	struct bench_totals all = {0};
	int rc;

	bench_tell(r, "messages", "messages", (double)l->o->limit, 0);
	if ((queues && (rc = make_sessions(l)) < 0) || (rc = signals_open(l)) < 0 ||
	    (queues && (rc = queue_offline(l, r, &all)) < 0) ||
	    (drains && (rc = drain_offline(l, r, &all)) < 0))
		return rc;
	bench_tell_faults(r, l, &all);
	return l->o->leave ? OK : forget_sessions(l);
}

/* ---- idle ---- */

static int run_idle(struct bench_load *l, struct bench_report *r)
{
	double connections = l->nsubscribers, subscriptions = connections * l->o->filters;
	struct sample before = sample(l), connected, subscribed;
	uint64_t begin = bench_now_ns(), took_ns, subscribe_ns;
	int rc;

	if ((rc = bench_connect_subscribers(l, BENCH_CLEAN)) < 0)
		return rc;
	took_ns = bench_now_ns() - begin;
	settle();
	connected = sample(l);
	begin = bench_now_ns();
	if ((rc = bench_subscribe_all(l)) < 0)
		return rc;
	subscribe_ns = bench_now_ns() - begin;
	settle();
	subscribed = sample(l);
	bench_tell(r, "connections", "connections", connections, 0);
	bench_tell(r, "subscriptions", "subscriptions", subscriptions, 0);
	bench_tell(r, "connect_seconds", "time to connect, s", (double)took_ns / SECOND_NS, 4);
	bench_tell(r, "subscribe_seconds", "time to subscribe, s", (double)subscribe_ns / SECOND_NS, 4);
	if (l->o->pid > 0)
		bench_tell(r, "bytes_per_connection", "broker memory, bytes a connection",
			   (double)(int64_t)(connected.broker_rss - before.broker_rss) / connections, 1);
	if (l->o->pid > 0 && subscriptions > 0)
		bench_tell(r, "bytes_per_subscription", "broker memory, bytes a subscription",
			   (double)(int64_t)(subscribed.broker_rss - connected.broker_rss) / subscriptions,
			   1);
	if ((rc = signals_open(l)) == OK)
		wait_for(l, l->o->seconds, "holding");
	return rc;
}

/* ---- connect ---- */

static int run_connect(struct bench_load *l, struct bench_report *r)
{
	struct bench_churn c;
	struct sample begin, end;
	int rc;

	if ((rc = bench_reach(l)) < 0 || (rc = signals_open(l)) < 0 || (rc = bench_churn_start(&c, l)) < 0)
		return rc;
	if (l->o->warmup_s <= 0 || wait_for(l, l->o->warmup_s, "warm-up")) {
		begin = sample(l);
		bench_churn_measure(&c);
		wait_for(l, l->o->seconds, "measuring");
	} else {
		begin = sample(l);
	}
	end = sample(l);
	bench_churn_stop(&c);
	bench_tell(r, "concurrency", "connections at a time", l->o->clients, 0);
	bench_tell(r, "seconds", "time measured, s", (double)(end.at_ns - begin.at_ns) / SECOND_NS, 4);
	bench_tell(r, "connects", "connections made", (double)c.connects, 0);
	bench_tell(r, "per_second", "connections a second",
		   (double)c.connects * SECOND_NS / (double)(end.at_ns - begin.at_ns), 0);
	bench_tell_latency(r, false, &c.latency);
	tell_cpu(r, l, &begin, &end, (double)c.connects);
	bench_tell(r, "failed", "connections that failed", (double)c.failed, 0);
	bench_tell(r, "refused", "connections refused", (double)c.refused, 0);
	r->is_bad = c.failed > 0 || c.refused > 0;
	if (r->is_bad)
		snprintf(r->note, sizeof(r->note), "the first that failed: %s", c.fault);
	return OK;
}

/* ---- the command ---- */

static int check_pid(const struct bench_options *o)
{
	uint64_t ns;

	if (o->pid > 0 && bench_process_cpu(o->pid, &ns) < 0)
		return bench_fault("there is no process %u here (--pid)", o->pid);
	return OK;
}

static int run(struct bench_load *l, struct bench_report *r)
{
	static int (*const courses[BENCH_MODES])(struct bench_load * l, struct bench_report * r) = {
		[BENCH_EXCHANGE] = run_traffic,  [BENCH_FAN_IN] = run_traffic,
		[BENCH_FAN_OUT] = run_traffic,   [BENCH_SUBSCRIBE] = run_traffic,
		[BENCH_RETAINED] = run_retained, [BENCH_OFFLINE] = run_offline,
		[BENCH_CONNECT] = run_connect,   [BENCH_IDLE] = run_idle,
		[BENCH_PUB] = run_traffic,       [BENCH_SUB] = run_traffic,
	};
	int rc;

	tell_plan(r, l);
	if ((rc = courses[l->o->mode](l, r)) < 0)
		return rc;
	return bench_report_print(r) ? OK : ERR_IO;
}

int tool_bench(int argc, char **argv)
{
	struct bench_report report = {0};
	struct bench_options o;
	struct bench_load l;
	int rc = bench_options_parse(&o, argc, argv);

	if (rc == OK && o.help) {
		bench_options_help(stdout);
		return fflush(stdout) == 0 ? 0 : 1;
	}
	if (rc == OK && (rc = check_pid(&o)) == OK) {
		report.o = &o;
		if ((rc = bench_load_open(&l, &o)) == OK)
			rc = run(&l, &report);
		bench_load_close(&l);
		if (l.signals >= 0)
			close(l.signals);
	}
	bench_options_fini(&o);
	return rc < 0 ? 2 : report.is_bad ? 1 : 0;
}
