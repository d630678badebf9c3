#include "daemon/status.h"

#include <unistd.h>

#include "daemon/limits.h"

#define RATE_MIN_MS 1000u /* a shorter time says nothing */

/* ---- rates ---- */

static struct status_sample sample(const struct broker_totals *t, const struct store *store, uint64_t now_ms)
{
	struct status_sample s = {.at_ms = now_ms,
				  .received = t->sum.count.messages_received,
				  .sent = t->sum.count.messages_sent,
				  .dropped = t->dropped};

	if (store)
		store_figures(store, &s.store);
	return s;
}

void status_rates_sample(struct status_rates *r, const struct broker *b, const struct store *store,
			 uint64_t now_ms)
{
	struct broker_totals t;

	broker_totals(b, &t);
	r->before = r->last;
	r->last = sample(&t, store, now_ms);
	if (!r->before.at_ms)
		r->before = r->last;
}

static double per_s(uint64_t now, uint64_t then, uint64_t ms)
{
	return (double)(now - then) * 1000 / (double)ms;
}

/* The moment that rates are told against; NULL: too little time has passed since. */
static const struct status_sample *rates_since(const struct status_facts *f)
{
	const struct status_rates *r = f->rates;
	const struct status_sample *then = f->now_ms - r->last.at_ms >= RATE_MIN_MS ? &r->last : &r->before;

	return f->now_ms - then->at_ms >= RATE_MIN_MS ? then : NULL;
}

static json_t *rates(const struct status_facts *f, const struct status_sample *now)
{
	const struct status_sample *then = rates_since(f);
	uint64_t ms = then ? now->at_ms - then->at_ms : 0;

	if (!then)
		return json_null();
	return json_pack("{s:f, s:f, s:f}", "received_per_s", per_s(now->received, then->received, ms),
			 "sent_per_s", per_s(now->sent, then->sent, ms), "dropped_per_s",
			 per_s(now->dropped, then->dropped, ms));
}

static json_t *rate_or_null(const struct status_facts *f, uint64_t now, uint64_t then)
{
	const struct status_sample *since = rates_since(f);

	return since ? json_real(per_s(now, then, f->now_ms - since->at_ms)) : json_null();
}

static const char *const durability_words[] = {
	[CONFIG_DURABILITY_FSYNC] = "fsync",
	[CONFIG_DURABILITY_OS] = "os",
	[CONFIG_DURABILITY_NONE] = "none",
};

static json_t *store(const struct status_facts *f, const struct status_sample *sample)
{
	const struct config_storage *c = &f->first->storage;
	const struct status_sample *since = rates_since(f);
	const struct store_figures *n = &sample->store, none = {0}, *then = since ? &since->store : &none;
	uint64_t owed = n->rows + n->elided;

	if (!f->store)
		return json_null();
	if (n->commits == then->commits)
		then = &none; /* of all, for there were none lately */
	return json_pack("{s:s, s:s, s:s, s:I, s:o, s:I, s:I, s:o, s:I, s:f, s:I, s:I, s:I, s:I, s:I, s:I}",
			 "path", c->path, "durability", durability_words[c->durability], "health",
			 store_health_word(n->health), "commits", (json_int_t)n->commits, "commits_per_s",
			 rate_or_null(f, n->commits, since ? since->store.commits : 0), "failures",
			 (json_int_t)n->failures, "rows", (json_int_t)n->rows, "rows_per_s",
			 rate_or_null(f, n->rows, since ? since->store.rows : 0), "elided",
			 (json_int_t)n->elided, "rows_per_message",
			 owed ? (double)n->rows / (double)owed : 0.0, "commit_us_mean",
			 (json_int_t)(n->commits > then->commits ? (n->commit_us_sum - then->commit_us_sum) /
									   (n->commits - then->commits)
								 : 0),
			 "commit_us_max", (json_int_t)n->commit_us_max, "waiting_batches",
			 (json_int_t)n->waiting, "waiting_bytes", (json_int_t)n->waiting_bytes, "bytes",
			 (json_int_t)n->bytes, "max_bytes", (json_int_t)c->max_bytes);
}

/* ---- parts; each NULL without memory ---- */

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

/* All counters, or only the drops by their causes. */
static json_t *counters(const struct broker_counters *c, bool drops)
{
	json_t *out = json_object();

	for (const struct broker_counter *w = broker_counter_table; out && w->name; w++) {
		const char *name = drops ? broker_counter_drop(w) : w->name;

		if (name && json_object_set_new(out, name, number(broker_counter_of(c, w))) < 0) {
			json_decref(out);
			out = NULL;
		}
	}
	return out;
}

static json_t *listeners(const struct status_facts *f)
{
	json_t *out = json_array();

	for (size_t i = 0; out && i < f->nlisteners; i++) {
		const struct config_listener *l = &f->first->listeners[i];
		json_t *item = json_pack("{s:s, s:s, s:s, s:i}", "name", l->name, "protocol", "mqtt",
					 "address", l->address, "port", (int)listener_port(f->listeners[i]));

		if (json_array_append_new(out, item) < 0) {
			json_decref(out);
			out = NULL;
		}
	}
	return out;
}

static json_t *worker(const struct broker *b, uint32_t index)
{
	struct broker_figures f;

	broker_worker_figures(b, index, &f);
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "connections",
			 (json_int_t)f.connections, "sessions", (json_int_t)f.sessions, "subscriptions",
			 (json_int_t)(f.subscriptions + f.shared_subscriptions), "messages_received",
			 (json_int_t)f.count.messages_received, "messages_sent",
			 (json_int_t)f.count.messages_sent, "handed_over", (json_int_t)f.count.handed_over,
			 "turns", (json_int_t)f.count.turns, "backlog_bytes", (json_int_t)f.backlog_bytes,
			 "queued_messages", (json_int_t)f.queued_messages, "dropped",
			 counters(&f.count, true));
}

static json_t *workers(const struct broker *b)
{
	json_t *out = json_array();

	for (uint32_t i = 0; out && i < broker_workers(b); i++)
		if (json_array_append_new(out, worker(b, i)) < 0) {
			json_decref(out);
			out = NULL;
		}
	return out;
}

static json_t *memory(const struct status_facts *f)
{
	uint64_t most, now = limits_memory_in_use(&most);

	return json_pack("{s:I, s:I, s:I, s:I}", "resident_bytes", (json_int_t)now, "resident_maximum_bytes",
			 (json_int_t)most, "clients_bytes", (json_int_t)broker_memory_used(f->broker),
			 "limit_bytes", (json_int_t)f->memory_limit);
}

static json_t *reloads(const struct status_reloads *r)
{
	const char *last = !r->last_ms ? "none" : r->last_was_refused ? "refused" : "taken";

	return json_pack("{s:s, s:I, s:I, s:I}", "last", last, "last_ms", (json_int_t)r->last_ms, "taken",
			 (json_int_t)r->taken, "refused", (json_int_t)r->refused);
}

static json_t *gateway(const struct status_facts *f)
{
	return json_pack("{s:s, s:s, s:I, s:s, s:s?, s:I}", "version", LINESIDE_VERSION, "gateway",
			 f->cfg->gateway.name, "pid", (json_int_t)getpid(), "state", f->state, "config",
			 f->path, "uptime_s", (json_int_t)((f->now_ms - f->start_ms) / 1000));
}

static json_t *clients(const struct status_facts *f, const struct broker_totals *t)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "connected", (json_int_t)t->clients, "maximum",
			 (json_int_t)t->clients_maximum, "sessions", (json_int_t)t->sum.sessions,
			 "connections", (json_int_t)t->sum.connections, "connections_limit",
			 (json_int_t)f->max_connections);
}

static json_t *kept(uint64_t messages, uint64_t payload)
{
	return json_pack("{s:I, s:I}", "messages", (json_int_t)messages, "payload_bytes",
			 (json_int_t)payload);
}

/* ---- all of it ---- */

char *status_text(const struct status_facts *f, json_t *field, json_t *uplinks)
{
	json_t *all = gateway(f);
	struct broker_totals t;
	char *text = NULL;

	broker_totals(f->broker, &t);
	const struct status_sample now = sample(&t, f->store, f->now_ms);
	const struct {
		const char *name;
		json_t *value;
	} members[] = {
		{"reloads", reloads(&f->reloads)},
		{"listeners", listeners(f)},
		{"clients", clients(f, &t)},
		{"subscriptions", number(t.sum.subscriptions)},
		{"shared_subscriptions", number(t.sum.shared_subscriptions)},
		{"retained", kept(t.retained_messages, t.retained_payload)},
		{"queued", kept(t.sum.queued_messages, t.sum.queued_payload)},
		{"rates", rates(f, &now)},
		{"store", store(f, &now)},
		{"dropped", counters(&t.sum.count, true)},
		{"counters", counters(&t.sum.count, false)},
		{"memory", memory(f)},
		{"workers", workers(f->broker)},
	};
	bool complete = all != NULL;

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		complete &= json_object_set_new(all, members[i].name, members[i].value) == 0;
	complete &= (!field || json_object_update(all, field) == 0) &&
		    (!uplinks || json_object_update(all, uplinks) == 0);
	if (complete)
		text = json_dumps(all, JSON_COMPACT | JSON_REAL_PRECISION(6));
	json_decref(all);
	json_decref(field);
	json_decref(uplinks);
	return text;
}
