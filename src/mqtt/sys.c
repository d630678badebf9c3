#include "mqtt/sys.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "mqtt/route.h"

#define TOPIC_BYTES 128u
#define TEXT_BYTES  48u
#define MS_PER_MIN  60000.0

/* All that the topics are made of, read at one moment. */
struct figures {
	struct broker_totals totals;
	struct broker_memory memory;
	uint64_t control_and_publish_received, control_and_publish_sent;
	uint64_t clients_away, stored_messages, stored_payload;
	struct store_figures store;
	uint64_t commit_us_mean;
};

struct number {
	const char *topic; /* behind "$SYS/broker/" */
	size_t offset;     /* in what the table is for */
};

#define OF_ALL(member) offsetof(struct figures, member)
#define OF_SUM(member) OF_ALL(totals.sum.member)

static const struct number numbers[] = {
	{"clients/total", OF_SUM(sessions)},
	{"clients/connected", OF_ALL(totals.clients)},
	{"clients/active", OF_ALL(totals.clients)},
	{"clients/disconnected", OF_ALL(clients_away)},
	{"clients/inactive", OF_ALL(clients_away)},
	{"clients/maximum", OF_ALL(totals.clients_maximum)},
	{"clients/expired", OF_SUM(count.sessions_expired)},
	{"messages/received", OF_ALL(control_and_publish_received)},
	{"messages/sent", OF_ALL(control_and_publish_sent)},
	{"messages/stored", OF_ALL(stored_messages)},
	{"store/messages/count", OF_ALL(stored_messages)},
	{"store/messages/bytes", OF_ALL(stored_payload)},
	{"store/refused", OF_SUM(count.refused_store)},
	{"retained messages/count", OF_ALL(totals.retained_messages)},
	{"subscriptions/count", OF_SUM(subscriptions)},
	{"shared_subscriptions/count", OF_SUM(shared_subscriptions)},
	{"publish/messages/received", OF_SUM(count.messages_received)},
	{"publish/messages/sent", OF_SUM(count.messages_sent)},
	{"publish/messages/dropped", OF_ALL(totals.dropped)},
	{"publish/bytes/received", OF_SUM(count.payload_received)},
	{"publish/bytes/sent", OF_SUM(count.payload_sent)},
	{"bytes/received", OF_SUM(count.bytes_received)},
	{"bytes/sent", OF_SUM(count.bytes_sent)},
};

static const struct number heap_numbers[] = {
	{"heap/current", OF_ALL(memory.current)},
	{"heap/maximum", OF_ALL(memory.maximum)},
};

/* With a store only. */
static const struct number store_numbers[] = {
	{"storage/commits", OF_ALL(store.commits)},
	{"storage/failures", OF_ALL(store.failures)},
	{"storage/rows", OF_ALL(store.rows)},
	{"storage/elided", OF_ALL(store.elided)},
	{"storage/commit_us/mean", OF_ALL(commit_us_mean)},
	{"storage/commit_us/max", OF_ALL(store.commit_us_max)},
	{"storage/waiting/batches", OF_ALL(store.waiting)},
	{"storage/waiting/bytes", OF_ALL(store.waiting_bytes)},
	{"storage/bytes", OF_ALL(store.bytes)},
};

/* Behind "workers/N/"; of struct broker_figures. */
static const struct number worker_numbers[] = {
	{"connections", offsetof(struct broker_figures, connections)},
	{"sessions", offsetof(struct broker_figures, sessions)},
	{"subscriptions", offsetof(struct broker_figures, subscriptions)},
	{"shared_subscriptions", offsetof(struct broker_figures, shared_subscriptions)},
	{"messages/received", offsetof(struct broker_figures, count.messages_received)},
	{"messages/sent", offsetof(struct broker_figures, count.messages_sent)},
	{"handed_over", offsetof(struct broker_figures, count.handed_over)},
	{"turns", offsetof(struct broker_figures, count.turns)},
	{"backlog_bytes", offsetof(struct broker_figures, backlog_bytes)},
};

/* Of which the load is told: a moving average per minute. */
static const struct number loads[] = {
	{"messages/received", OF_ALL(control_and_publish_received)},
	{"messages/sent", OF_ALL(control_and_publish_sent)},
	{"publish/received", OF_SUM(count.messages_received)},
	{"publish/sent", OF_SUM(count.messages_sent)},
	{"publish/dropped", OF_ALL(totals.dropped)},
	{"bytes/received", OF_SUM(count.bytes_received)},
	{"bytes/sent", OF_SUM(count.bytes_sent)},
	{"sockets", OF_SUM(count.sockets_opened)},
	{"connections", OF_SUM(count.clients_connected)},
	/* with a store only */
	{"storage/commits", OF_ALL(store.commits)},
	{"storage/rows", OF_ALL(store.rows)},
};
#define STORE_LOADS 2u

static const unsigned load_minutes[] = {1, 5, 15};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct load {
	uint64_t last; /* the counter when it was told last */
	double per_min[COUNT(load_minutes)];
};

struct sys {
	struct worker *worker;
	struct loop_timer timer;
	uint32_t interval_ms;
	uint64_t start_ms, told_ms;
	struct load loads[COUNT(loads)];
	struct store_figures told; /* of the store, the last time */
	/* What each topic says, in the order in which they are told, which never changes; empty: nothing. */
	char (*said)[TEXT_BYTES];
	size_t at;        /* the next one of this round */
	bool is_clearing; /* this round takes them away */
};

/* ---- one topic ---- */

static void publish(struct sys *s, const char *topic, const char *text)
{
	/* QoS 0: a figure that waited for its reader is out of date */
	struct publication p = {
		.topic = span_str(topic), .payload = span_str(text), .retain = true, .own = true};
	bool matched;

	if (route_publish(s->worker, &p, &matched) < 0) {
		s->said[s->at][0] = '\0'; /* again the next time */
		log_warning("mqtt", "%s was not brought up to date: out of memory", topic);
	}
	publication_fini(&p);
}

static void tell(struct sys *s, const char *topic, const char *text)
{
	char *said = s->said[s->at], whole[TOPIC_BYTES];

	snprintf(whole, sizeof(whole), "$SYS/broker/%s", topic);
	if (strcmp(said, text) != 0) {
		snprintf(said, TEXT_BYTES, "%s", text);
		publish(s, whole, text);
	}
	s->at++;
}

static void tell_number(struct sys *s, const char *topic, const void *from, size_t offset)
{
	char text[TEXT_BYTES];
	uint64_t value = *(const uint64_t *)(const void *)((const char *)from + offset);

	snprintf(text, sizeof(text), "%" PRIu64, value);
	tell(s, topic, s->is_clearing ? "" : text);
}

/* ---- all of them, in one order ---- */

static void tell_load(struct sys *s, size_t i, const struct figures *f, double elapsed_min)
{
	struct load *l = &s->loads[i];
	uint64_t now = *(const uint64_t *)(const void *)((const char *)f + loads[i].offset);
	double rate = elapsed_min > 0 ? (double)(now - l->last) / elapsed_min : 0;

	l->last = now;
	for (size_t k = 0; k < COUNT(load_minutes); k++) {
		double keeps = exp(-elapsed_min / load_minutes[k]);
		char topic[TOPIC_BYTES], text[TEXT_BYTES];

		l->per_min[k] = rate + keeps * (l->per_min[k] - rate);
		snprintf(topic, sizeof(topic), "load/%s/%umin", loads[i].topic, load_minutes[k]);
		snprintf(text, sizeof(text), "%.2f", l->per_min[k]);
		tell(s, topic, s->is_clearing ? "" : text);
	}
}

static void tell_worker(struct sys *s, uint32_t worker)
{
	struct broker_figures f;
	char topic[TOPIC_BYTES];

	broker_worker_figures(s->worker->broker, worker, &f);
	for (size_t i = 0; i < COUNT(worker_numbers); i++) {
		snprintf(topic, sizeof(topic), "workers/%u/%s", worker, worker_numbers[i].topic);
		tell_number(s, topic, &f, worker_numbers[i].offset);
	}
}

static void tell_drops(struct sys *s, const struct broker_counters *count)
{
	char topic[TOPIC_BYTES];

	for (const struct broker_counter *c = broker_counter_table; c->name; c++)
		if (broker_counter_drop(c)) {
			snprintf(topic, sizeof(topic), "dropped/%s", broker_counter_drop(c));
			tell_number(s, topic, count, c->offset);
		}
}

/* Of the commits since the last time, which shows a disk that became slow; of all before, when there were none. */
static uint64_t commit_mean(const struct store_figures *now, const struct store_figures *then)
{
	uint64_t commits = now->commits - then->commits;

	if (commits)
		return (now->commit_us_sum - then->commit_us_sum) / commits;
	return now->commits ? now->commit_us_sum / now->commits : 0;
}

/* How many of the messages that stored sessions were owed had to be written. */
static void tell_store(struct sys *s, const struct figures *f)
{
	const struct store_figures *n = &f->store;
	uint64_t owed = n->rows + n->elided;
	char text[TEXT_BYTES];

	tell(s, "storage/health", s->is_clearing ? "" : store_health_word(n->health));
	snprintf(text, sizeof(text), "%.3f", owed ? (double)n->rows / (double)owed : 0.0);
	tell(s, "storage/rows_per_message", s->is_clearing ? "" : text);
	for (size_t i = 0; i < COUNT(store_numbers); i++)
		tell_number(s, store_numbers[i].topic, f, store_numbers[i].offset);
}
#define STORE_TOPICS (2u + COUNT(store_numbers))

static void read_figures(struct sys *s, struct figures *f)
{
	const struct broker *b = s->worker->broker;
	const struct broker_figures *sum = &f->totals.sum;

	*f = (struct figures){0};
	broker_totals(b, &f->totals);
	f->control_and_publish_received = sum->count.control_received + sum->count.messages_received;
	f->control_and_publish_sent = sum->count.control_sent + sum->count.messages_sent;
	/* two numbers of two moments: a client may be connected before its worker has counted its session */
	f->clients_away = sum->sessions > f->totals.clients ? sum->sessions - f->totals.clients : 0;
	f->stored_messages = f->totals.retained_messages + sum->queued_messages;
	f->stored_payload = f->totals.retained_payload + sum->queued_payload;
	if (b->config.memory)
		b->config.memory(&f->memory);
	if (b->config.store) {
		store_figures(b->config.store, &f->store);
		f->commit_us_mean = commit_mean(&f->store, &s->told);
		s->told = f->store;
	}
}

static void tell_all(struct sys *s)
{
	const struct broker *b = s->worker->broker;
	uint64_t now = loop_now_ms(s->worker->loop);
	struct figures f;
	char text[TEXT_BYTES];

	s->at = 0;
	read_figures(s, &f);
	tell(s, "version", s->is_clearing ? "" : "lineside version " LINESIDE_VERSION);
	snprintf(text, sizeof(text), "%" PRIu64 " seconds", (now - s->start_ms) / 1000);
	tell(s, "uptime", s->is_clearing ? "" : text);
	for (size_t i = 0; i < COUNT(numbers); i++)
		tell_number(s, numbers[i].topic, &f, numbers[i].offset);
	for (size_t i = 0; b->config.memory && i < COUNT(heap_numbers); i++)
		tell_number(s, heap_numbers[i].topic, &f, heap_numbers[i].offset);
	if (b->config.store)
		tell_store(s, &f);
	for (size_t i = 0; i < COUNT(loads) - (b->config.store ? 0 : STORE_LOADS); i++)
		tell_load(s, i, &f, (double)(now - s->told_ms) / MS_PER_MIN);
	tell_drops(s, &f.totals.sum.count);
	for (uint32_t i = 0; i < b->nworkers; i++)
		tell_worker(s, i);
	s->told_ms = now;
}

static void timer_fired(struct loop_timer *t)
{
	struct sys *s = container_of(t, struct sys, timer);

	tell_all(s);
	loop_timer_set(s->worker->loop, &s->timer, s->interval_ms);
}

/* ---- life ---- */

static size_t topics_of(const struct broker *b)
{
	size_t drops = 0;

	for (const struct broker_counter *c = broker_counter_table; c->name; c++)
		drops += broker_counter_drop(c) != NULL;
	return 2 + STORE_TOPICS + COUNT(numbers) + COUNT(heap_numbers) + COUNT(loads) * COUNT(load_minutes) +
	       drops + b->nworkers * COUNT(worker_numbers);
}

int sys_create(struct worker *w, struct sys **out)
{
	struct sys *s = calloc(1, sizeof(*s));

	*out = NULL;
	if (!s)
		return ERR_NOMEM;
	s->worker = w;
	s->said = calloc(topics_of(w->broker), TEXT_BYTES);
	if (!s->said) {
		free(s);
		return ERR_NOMEM;
	}
	loop_timer_init(&s->timer, timer_fired);
	s->start_ms = s->told_ms = loop_now_ms(w->loop);
	sys_set_interval(s, w->broker->config.sys_interval_ms);
	*out = s;
	return OK;
}

void sys_destroy(struct sys *s)
{
	if (!s)
		return;
	loop_timer_cancel(s->worker->loop, &s->timer);
	free(s->said);
	free(s);
}

void sys_set_interval(struct sys *s, uint32_t interval_ms)
{
	bool was_on = s->interval_ms != 0;

	if (interval_ms == s->interval_ms)
		return;
	s->interval_ms = interval_ms;
	if (interval_ms) {
		loop_timer_set(s->worker->loop, &s->timer, 0);
		return;
	}
	loop_timer_cancel(s->worker->loop, &s->timer);
	if (!was_on)
		return;
	s->is_clearing = true;
	tell_all(s);
	s->is_clearing = false;
}
