/*
 * What the workers count, put together. Read by any thread while they run: each number is right for itself, and two of them
 * may be of different moments.
 */
#include "mqtt/worker.h"

const struct broker_counter broker_counter_table[] = {
#define BROKER_COUNTER_LINE(name, text) {#name, text, offsetof(struct broker_counters, name)},
	BROKER_COUNTERS(BROKER_COUNTER_LINE)
#undef BROKER_COUNTER_LINE
		{NULL, NULL, 0},
};

const char *broker_counter_drop(const struct broker_counter *which)
{
	static const char prefix[] = "dropped_";

	return strncmp(which->name, prefix, sizeof(prefix) - 1) == 0 ? which->name + sizeof(prefix) - 1
								     : NULL;
}

static void add_counters(const struct worker *w, struct broker_counters *sum)
{
#define BROKER_COUNTER_SUM(name, text) \
	sum->name += atomic_load_explicit(&w->count.name, memory_order_relaxed);
	BROKER_COUNTERS(BROKER_COUNTER_SUM)
#undef BROKER_COUNTER_SUM
}

static void add_gauges(const struct worker *w, struct broker_figures *sum)
{
#define BROKER_GAUGE_SUM(name, text) sum->name += atomic_load_explicit(&w->gauge.name, memory_order_relaxed);
	BROKER_GAUGES(BROKER_GAUGE_SUM)
#undef BROKER_GAUGE_SUM
	sum->connections += atomic_load_explicit(&w->connections, memory_order_relaxed);
	for (uint32_t from = 0; from < w->broker->nlanes; from++)
		sum->backlog_bytes += atomic_load_explicit(&broker_lane(w->broker, from, w->index)->backlog,
							   memory_order_relaxed);
}

void broker_counters(const struct broker *b, struct broker_counters *out)
{
	*out = (struct broker_counters){0};
	for (uint32_t i = 0; i < b->nlanes; i++)
		add_counters(b->workers[i], out);
}

uint32_t broker_workers(const struct broker *b)
{
	return b->nworkers;
}

void broker_worker_figures(const struct broker *b, uint32_t worker, struct broker_figures *out)
{
	*out = (struct broker_figures){0};
	add_gauges(b->workers[worker], out);
	add_counters(b->workers[worker], &out->count);
}

void broker_totals(const struct broker *b, struct broker_totals *out)
{
	*out = (struct broker_totals){
		.clients = atomic_load(&b->clients),
		.clients_maximum = atomic_load(&b->clients_maximum),
		.retained_messages = retained_count(b->retained),
		.retained_payload = retained_payload(b->retained),
	};
	for (uint32_t i = 0; i < b->nworkers; i++)
		add_gauges(b->workers[i], &out->sum);
	broker_counters(b, &out->sum.count);
	for (const struct broker_counter *c = broker_counter_table; c->name; c++)
		if (broker_counter_drop(c))
			out->dropped += broker_counter_of(&out->sum.count, c);
}
