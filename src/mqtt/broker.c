#include "mqtt/broker.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "mqtt/conn.h"
#include "mqtt/sys.h"
#include "mqtt/worker.h"

#define BACKLOG_LEAST (128u * 1024)

void broker_config_default(struct broker_config *c)
{
	*c = (struct broker_config){
		.max_packet_size = 1024 * 1024,
		.max_inflight = 1000,
		.max_queued_messages = 100000,
		.max_queued_bytes = 64u * 1024 * 1024,
		.max_connections = 100000,
		.spread_after = 8,
		.max_subscriptions = 100000,
		.max_topic_levels = 128,
		.connect_timeout_ms = 10000,
		.max_sessions = 1000000,
		.feed_list_max = 16384,
		.backlog_bytes = 16u * 1024 * 1024,
		.sys_interval_ms = 10000,
		.hand_over_first = 32,
		.linger_ms = 5,
		.refuse_close_ms = 30000,
		.will_grace_ms = 30000,
		.seed = 1,
	};
}

/* Lanes get a small part of the memory: their backlog passes without any client's help, and pauses publishers meanwhile. */
static void fit_backlog(struct broker_config *c)
{
	uint64_t fits = c->memory_limit / 128;

	if (c->memory_limit && c->backlog_bytes > fits)
		c->backlog_bytes = fits > BACKLOG_LEAST ? fits : BACKLOG_LEAST;
}

static void lane_make(struct broker *b, uint16_t from, uint16_t to)
{
	struct lane *l = broker_lane(b, from, to);

	lane_init(l, from, to);
	l->budget = &b->budget;
}

static int make_shared(struct broker *b)
{
	uint64_t seed = b->config.seed;
	const struct retained_limits limits = {b->config.max_retained_messages, b->config.max_retained_bytes};
	int rc;

	b->lanes = calloc((size_t)BROKER_LANES_MAX * BROKER_LANES_MAX, sizeof(*b->lanes));
	if (!b->lanes)
		return ERR_NOMEM;
	for (uint32_t from = 0; from < BROKER_LANES_MAX; from++)
		for (uint32_t to = 0; to < BROKER_LANES_MAX; to++)
			lane_make(b, (uint16_t)from, (uint16_t)to);
	if ((rc = epoch_domain_create(&b->epoch)) < 0 || (rc = interest_create(seed, &b->interest)) < 0 ||
	    (rc = retained_create(seed, &limits, &b->retained)) < 0)
		return rc;
	retained_count_in(b->retained, &b->budget);
	if (b->config.store)
		retained_begin_stamps(b->retained, store_last_stamp(b->config.store));
	return registry_create(seed, &b->registry);
}

int broker_create(const struct broker_config *c, struct loop *const *loops, uint32_t nloops,
		  struct broker **out)
{
	struct broker *b;
	int rc;

	*out = NULL;
	if (nloops < 1 || nloops > BROKER_LANES_MAX)
		return ERR_RANGE;
	b = calloc(1, sizeof(*b));
	if (!b)
		return ERR_NOMEM;
	b->config = *c;
	fit_backlog(&b->config);
	budget_init(&b->budget, c->memory_limit);
	rc = make_shared(b);
	for (uint32_t i = 0; rc == OK && i < nloops; i++) {
		rc = worker_create(b, loops[i], (uint16_t)i, &b->workers[i]);
		if (rc == OK)
			b->nworkers = ++b->nlanes;
	}
	if (rc == OK)
		rc = sys_create(b->workers[0], &b->workers[0]->sys);
	if (rc < 0) {
		broker_destroy(b);
		return rc;
	}
	*out = b;
	return OK;
}

void broker_destroy(struct broker *b)
{
	bool all_given_back;

	if (!b)
		return;
	for (uint32_t i = 0; i < b->nlanes; i++)
		worker_destroy(b->workers[i]);
	for (uint32_t i = 0; b->lanes && i < BROKER_LANES_MAX * BROKER_LANES_MAX; i++)
		lane_fini(&b->lanes[i]);
	registry_destroy(b->registry);
	all_given_back = b->retained &&
			 retained_count(b->retained) == 0; /* else there is more, which is not counted back */
	epoch_domain_destroy(
		b->epoch); /* before the store of retained messages: what was one gives its slot back */
	retained_destroy(b->retained);
	interest_destroy(b->interest);
	assert(!all_given_back || atomic_load(&b->budget.used) == 0);
	free(b->lanes);
	free(b);
}

/* ---- accepting ---- */

struct open_call {
	struct worker_call call;
	struct stream *stream;
	bool own;
};

static void open_run(struct worker *w, struct worker_call *c)
{
	struct open_call *o = container_of(c, struct open_call, call);

	if (atomic_load(&w->broker->stopping)) {
		stream_close(o->stream);
		connection_gone(w);
	} else {
		conn_open(w, o->stream, o->own);
	}
	free(o);
}

static void open_cancel(struct worker_call *c)
{
	struct open_call *o = container_of(c, struct open_call, call);

	stream_close(o->stream);
	free(o);
}

/*
 * A handful of connections shares one worker: there is nothing to gain from more, and who acts after another sees what
 * that one did, as with one thread.
 */
static struct worker *worker_for_next(const struct broker *b, uint32_t before)
{
	struct worker *least = b->workers[0];

	if (before < b->config.spread_after)
		return least;
	for (uint32_t i = 1; i < b->nworkers; i++)
		if (atomic_load(&b->workers[i]->connections) < atomic_load(&least->connections))
			least = b->workers[i];
	return least;
}

static void accept_stream(struct broker *b, struct stream *s, bool own)
{
	struct open_call *o = malloc(sizeof(*o));
	uint32_t before = atomic_fetch_add(&b->connections, 1);
	struct worker *w = worker_for_next(b, before);
	char peer[STREAM_PEER_MAX];

	const char *why = !o                                              ? "out of memory"
			  : own                                           ? NULL
			  : before >= b->config.max_connections           ? "max_connections is reached"
			  : budget_level_of(&b->budget, 0) == BUDGET_FULL ? "memory_limit is reached"
									  : NULL;

	if (why) {
		stream_peer(s, peer, sizeof(peer));
		log_warning("mqtt", "%s: not accepted: %s", peer, why);
		atomic_fetch_sub(&b->connections, 1);
		stream_close(s);
		free(o);
		return;
	}
	*o = (struct open_call){.call = {.run = open_run, .cancel = open_cancel}, .stream = s, .own = own};
	atomic_fetch_add(&w->connections, 1);
	worker_call(w, &o->call);
}

void broker_accept(struct broker *b, struct stream *s)
{
	accept_stream(b, s, false);
}

void broker_accept_own(struct broker *b, struct stream *s)
{
	accept_stream(b, s, true);
}

/* ---- what clients may publish ---- */

static bool begins(struct span topic, const char *prefix)
{
	size_t n = strlen(prefix);

	return topic.len >= n && memcmp(topic.p, prefix, n) == 0;
}

/* `$SYS/broker/connection/{id}/state`, where bridges of Mosquitto say that they are there, and close when they may not. */
static bool is_bridge_state(struct span topic)
{
	static const char head[] = "$SYS/broker/connection/", tail[] = "/state";
	size_t ends = sizeof(head) + sizeof(tail) - 2;

	return topic.len > ends && begins(topic, head) &&
	       memcmp(topic.p + topic.len - (sizeof(tail) - 1), tail, sizeof(tail) - 1) == 0 &&
	       !memchr(topic.p + sizeof(head) - 1, '/', topic.len - ends);
}

uint8_t publish_permitted(const struct broker *b, const struct mqtt_publish_request *r, bool *command)
{
	struct mqtt_policy *policy = b->config.policy;

	*command = false;
	/* ours, and what no filter can ask for */
	if (r->topic.len > 0 && r->topic.p[0] == '$' && !is_bridge_state(r->topic) &&
	    (begins(r->topic, "$SYS/") || begins(r->topic, "$share/")))
		return MQTT_RC_NOT_AUTHORIZED;
	return policy ? policy->publish(policy, r, command) : MQTT_RC_SUCCESS;
}

/* ---- stopping ---- */

static void stop_run(struct worker *w, struct worker_call *c)
{
	free(c);
	list_for_each (n, &w->conns)
		conn_close(container_of(n, struct conn, in_worker), MQTT_RC_SERVER_SHUTTING_DOWN,
			   "the broker stops");
}

static void stop_cancel(struct worker_call *c)
{
	free(c);
}

void broker_stop(struct broker *b)
{
	atomic_store(&b->stopping, true);
	for (uint32_t i = 0; i < b->nworkers; i++) {
		struct worker_call *c = malloc(sizeof(*c));

		if (!c) /* they are just closed then, by broker_destroy() */
			return;
		*c = (struct worker_call){.run = stop_run, .cancel = stop_cancel};
		worker_call(b->workers[i], c);
	}
}

uint32_t broker_connections(const struct broker *b)
{
	return atomic_load(&b->connections);
}

uint64_t broker_memory_used(const struct broker *b)
{
	int64_t used = atomic_load_explicit(&b->budget.used, memory_order_relaxed);

	return used > 0 ? (uint64_t)used : 0;
}

/* ---- $SYS ---- */

struct interval_call {
	struct worker_call call;
	uint32_t interval_ms;
};

static void interval_run(struct worker *w, struct worker_call *c)
{
	struct interval_call *i = container_of(c, struct interval_call, call);

	sys_set_interval(w->sys, i->interval_ms);
	free(i);
}

static void interval_cancel(struct worker_call *c)
{
	free(container_of(c, struct interval_call, call));
}

int broker_set_sys_interval(struct broker *b, uint32_t interval_ms)
{
	struct interval_call *i = malloc(sizeof(*i));

	if (!i)
		return ERR_NOMEM;
	*i = (struct interval_call){.call = {.run = interval_run, .cancel = interval_cancel},
				    .interval_ms = interval_ms};
	worker_call(b->workers[0], &i->call);
	return OK;
}
