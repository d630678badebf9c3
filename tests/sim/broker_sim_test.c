/*
 * The broker under faults: 1 to 4 workers, clients that publish, subscribe, vanish and come back, in one thread on
 * virtual time. Each seed is another run; LINESIDE_SEED=n replays one, LINESIDE_SEEDS=n runs as many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "mqtt/broker.h"
#include "seeds.h"
#include "sim_client.h"

#define SEEDS       1000u
#define WORKERS_MAX 4u
#define CLIENTS_MAX 8u
#define SECOND      1000000u

struct run {
	uint64_t seed;
	struct sim_world *world;
	struct sim_net *net;
	struct loop *loops[WORKERS_MAX], *client_loop, *accept_loop;
	struct broker *broker;
	struct acceptor acceptor;
	struct listener *listener;
	struct dialer *dialer;
	struct ledger ledger;
	struct sim_client clients[CLIENTS_MAX];
	unsigned nworkers, nclients;
	unsigned ngroup;  /* so many clients, the first ones, form a share group */
	bool group_stays; /* its sessions do not end: what is sent to it must come */
	bool busy;        /* the clients go on doing things */
	bool small_memory;
	bool flood; /* queues are short, receivers slow, and every message is accounted for */
	enum broker_queue_policy policy;
	bool calm; /* no faults: subscriptions race with retained messages */
};

static void accepted(struct acceptor *a, struct stream *s)
{
	broker_accept(container_of(a, struct run, acceptor)->broker, s);
}

static uint64_t any(struct run *r, uint64_t bound)
{
	return sim_random(r->world, bound);
}

/* ---- what clients do ---- */

/* When it is calm, all are busy with the same few topics at a time. */
static unsigned theme(const struct run *r)
{
	return (unsigned)(sim_now_us(r->world) / 3000 % 20);
}

static void topic_of(struct run *r, const struct sim_client *c, char *topic, size_t size)
{
	if (r->calm)
		snprintf(topic, size, "r/%u/%u", theme(r), c->index);
	else
		snprintf(topic, size, "t/%u/%u", c->index, (unsigned)any(r, 3));
}

static void filter_of(struct run *r, char *filter, size_t size)
{
	if (r->calm)
		snprintf(filter, size, "r/%u/+", theme(r));
	else
		sim_draw_filter(r->world, r->nclients, filter, size);
}

static void publish_burst(struct run *r, struct sim_client *c)
{
	char topic[LEDGER_TOPIC];

	for (uint64_t n = 1 + any(r, 5); n > 0; n--) {
		topic_of(r, c, topic, sizeof(topic));
		(void)sim_client_publish(c, topic, (uint8_t)any(r, 3),
					 !r->flood && (r->calm || sim_one_in(r->world, 3)));
	}
}

static void subscribe(struct run *r, struct sim_client *c)
{
	char filter[LEDGER_FILTER];
	uint8_t qos = (uint8_t)any(r, 3);

	if (r->ledger.in_group[c->index]) {
		snprintf(filter, sizeof(filter), "$share/g/t/+/0");
		if (qos == 0 && r->group_stays) /* one member of QoS 0, and the group is owed nothing */
			qos = 1;
	} else {
		filter_of(r, filter, sizeof(filter));
	}
	(void)sim_client_subscribe(c, filter, qos);
}

struct actor { /* sim_at() carries one pointer */
	struct run *run;
	struct sim_client *client;
};

static struct actor actors[CLIENTS_MAX];

/* No faults but slow receivers: what is owed and does not come was dropped by a limit. */
static void act_in_flood(struct run *r, struct sim_client *c)
{
	switch (any(r, 10)) {
	case 0:
	case 1:
		sim_client_deafen(c);
		break;
	case 2:
		sim_client_listen(c);
		break;
	default:
		publish_burst(r, c);
	}
}

static void act_at_all(struct run *r, struct sim_client *c);

static void act(void *arg)
{
	struct actor *a = arg;
	struct run *r = a->run;
	struct sim_client *c = a->client;

	if (!r->busy)
		return;
	if (r->flood)
		act_in_flood(r, c);
	else
		act_at_all(r, c);
	assert_int_equal(sim_at(r->world, r->calm ? any(r, 500) : 100 + any(r, 20000), act, a), OK);
}

static void act_at_all(struct run *r, struct sim_client *c)
{
	/* with a group there is less to say and more coming and going */
	switch (r->calm ? 6 + any(r, 8) : any(r, r->ngroup ? 25 : 40)) {
	case 0:
		sim_client_reconnect(c, true);
		break;
	case 1:
		sim_client_reconnect(c, false);
		break;
	case 2:
		c->want_clean = c->version == MQTT_V5 && !(r->group_stays && r->ledger.in_group[c->index]);
		sim_client_reconnect(c, true);
		break;
	case 3:
		sim_client_deafen(c);
		break;
	case 4:
	case 5:
		sim_client_listen(c);
		break;
	case 6:
	case 7:
	case 8:
	case 9:
		subscribe(r, c);
		break;
	default:
		publish_burst(r, c);
	}
}

/* ---- a run ---- */

static void run_make_broker(struct run *r)
{
	static const uint32_t windows[] = {1, 2, 5, 20, 1000};
	struct broker_config config;

	broker_config_default(&config);
	config.seed = r->seed;
	config.spread_after = 0;
	config.max_inflight = windows[any(r, 5)];
	/* queues that are full: what they drop is counted, and nobody has to wait for anybody */
	r->ledger.small_queues = r->flood || sim_one_in(r->world, 5);
	if (r->ledger.small_queues)
		config.max_queued_messages = 1 + (uint32_t)any(r, 8);
	if (r->flood)
		config.max_queued_bytes = 50 + any(r, 2000);
	/* enough for all to connect and subscribe, not for what is published */
	r->small_memory = r->flood && sim_one_in(r->world, 3);
	if (r->small_memory) {
		/* each pair of workers may need a chunk of their lane */
		config.memory_limit = 100000 + 40000 * r->nworkers * r->nworkers + any(r, 400000);
		config.max_queued_messages = 1000;
		config.max_queued_bytes = 1000000;
	}
	config.queue_policy = r->policy = (enum broker_queue_policy)any(r, 3);
	r->ledger.late_feeds = sim_one_in(r->world, 2);
	if (r->ledger.late_feeds)
		config.feed_list_max = (uint32_t)any(r, 4);
	if (sim_one_in(r->world, 2))
		config.backlog_bytes = 500 + any(r, 5000);
	config.hand_over_first = 1 + (uint32_t)any(r, 4);
	for (unsigned i = 0; i < r->nworkers; i++)
		assert_int_equal(sim_loop_create(r->world, &r->loops[i]), OK);
	assert_int_equal(broker_create(&config, r->loops, r->nworkers, &r->broker), OK);
}

static void run_faults(struct run *r, bool cuts)
{
	struct sim_net_faults f = {
		.max_delay_us = any(r, r->calm ? 50 : 3000),
		.buffer = 200 + any(r, 20000),
		.partial_one_in = (uint32_t)any(r, 4),
		.cut_one_in = cuts && !sim_one_in(r->world, 4) ? 100 + (uint32_t)any(r, 2000) : 0,
	};

	sim_net_set_faults(r->net, &f);
}

static void run_init(struct run *r, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	r->seed = seed;
	assert_int_equal(sim_world_create(seed, &r->world), OK);
	assert_int_equal(sim_net_create(r->world, &r->net), OK);
	sim_set_notify_delay(r->world, any(r, 3000));
	r->nworkers = 1 + (unsigned)any(r, WORKERS_MAX);
	r->nclients = 3 + (unsigned)any(r, CLIENTS_MAX - 2);
	r->calm = sim_one_in(r->world, 4);
	r->flood = !r->calm && sim_one_in(r->world, 3);
	r->ngroup = !r->calm && !r->flood && sim_one_in(r->world, 2) ? 1 + (unsigned)any(r, 3) : 0;
	/* long turns: one client goes and another speaks in the same one */
	if (!r->calm && sim_one_in(r->world, 3))
		sim_set_turn(r->world, 1 + any(r, 3000));
	r->group_stays = r->ngroup && !sim_one_in(r->world, 4);
	run_make_broker(r);
	run_faults(r, !r->calm && !r->flood);
	r->acceptor.accepted = accepted;
	assert_int_equal(sim_loop_create(r->world, &r->accept_loop), OK);
	assert_int_equal(sim_loop_create(r->world, &r->client_loop), OK);
	assert_int_equal(sim_net_listen(r->net, r->accept_loop, "broker", &r->acceptor, &r->listener), OK);
	assert_int_equal(sim_net_dialer(r->net, "broker", &r->dialer), OK);
	for (unsigned i = 0; i < r->nclients; i++) {
		sim_client_init(&r->clients[i], r->world, r->client_loop, r->dialer, &r->ledger, i);
		r->ledger.in_group[i] = i < r->ngroup;
		actors[i] = (struct actor){.run = r, .client = &r->clients[i]};
	}
}

static void run_fini(struct run *r)
{
	for (unsigned i = 0; i < r->nclients; i++)
		sim_client_fini(&r->clients[i]);
	sim_net_unlisten(r->listener);
	/* what acts later than the end: retries and half-open connections being closed */
	(void)!sim_run(r->world, SECOND, NULL, NULL);
	for (unsigned i = 0; i < r->nclients; i++)
		sim_client_fini(&r->clients[i]);
	broker_destroy(r->broker);
	r->dialer->destroy(r->dialer);
	sim_net_destroy(r->net);
	sim_world_destroy(r->world);
}

static bool all_quiet(void *arg)
{
	struct run *r = arg;

	for (unsigned i = 0; i < r->nclients; i++)
		if (!sim_client_is_quiet(&r->clients[i]))
			return false;
	return true;
}

static bool is_broken(void *arg)
{
	return ((struct run *)arg)->ledger.broken[0] != '\0';
}

/* What is on its way to others still comes: it has when two seconds bring nothing. */
static void wait_for_deliveries(struct run *r)
{
	uint64_t before;

	do {
		before = r->ledger.deliveries;
		(void)!sim_run(r->world, 2 * SECOND, is_broken, r);
	} while (r->ledger.deliveries != before && !is_broken(r));
}

/* When all is quiet, what the broker says of itself is what its clients know. */
static void check_figures(struct run *r)
{
	struct broker_totals t;
	uint64_t filters = 0, there;

	for (unsigned i = 0; i < r->nclients; i++)
		for (unsigned k = 0; k < SIM_FILTERS; k++)
			filters += r->clients[i].filters[k].wanted;
	broker_totals(r->broker, &t);
	there = t.sum.subscriptions + t.sum.shared_subscriptions;
	if (t.clients != r->nclients || t.sum.sessions != r->nclients || there != filters ||
	    t.sum.queued_messages || t.sum.queued_payload || t.sum.backlog_bytes)
		ledger_broken(
			&r->ledger,
			"figures: %llu clients, %llu sessions of %u, %llu filters of %llu, %llu queued, "
			"%llu bytes handed over",
			(unsigned long long)t.clients, (unsigned long long)t.sum.sessions, r->nclients,
			(unsigned long long)there, (unsigned long long)filters,
			(unsigned long long)t.sum.queued_messages, (unsigned long long)t.sum.backlog_bytes);
}

/* Everybody has subscribed before the first message. */
static void subscribe_first(struct run *r)
{
	(void)!sim_run(r->world, 10 * (uint64_t)SECOND, all_quiet, r);
	for (unsigned i = 0; i < r->nclients; i++)
		for (uint64_t n = 1 + any(r, 3); n > 0; n--)
			subscribe(r, &r->clients[i]);
	if (sim_run(r->world, 10 * (uint64_t)SECOND, all_quiet, r) < 0)
		ledger_broken(&r->ledger, "stalled while subscribing");
}

static void begin(struct run *r)
{
	if (r->flood)
		subscribe_first(r);
	r->busy = true;
	for (unsigned i = 0; i < r->nclients; i++)
		assert_int_equal(sim_at(r->world, any(r, 30000), act, &actors[i]), OK);
}

static void settle(struct run *r)
{
	struct broker_counters n;
	struct ledger_drops drops;

	broker_counters(r->broker, &n);
	drops = (struct ledger_drops){
		.sure = n.dropped_queue_full + n.dropped_queue_oldest,
		.qos0 = n.dropped_qos0,
		.any = n.dropped_memory,
		.qos0_went_down = n.disconnected_slow > 0,
	};
	/* a group has a member that takes or keeps it, unless queues are full */
	ledger_allow(&r->ledger, drops.sure + drops.any, r->ledger.small_queues ? n.dropped_no_member : 0);
	ledger_settle(&r->ledger);
	if (r->flood)
		ledger_settle_drops(&r->ledger, &drops);
	if (n.dropped_memory && !r->small_memory)
		ledger_broken(&r->ledger, "dropped for want of memory, of which there is enough");
	if (n.dropped_queue_oldest && r->policy != BROKER_DROP_OLDEST)
		ledger_broken(&r->ledger, "the oldest were dropped against the policy");
	if (n.disconnected_slow && r->policy != BROKER_DISCONNECT && !r->small_memory)
		ledger_broken(&r->ledger, "clients were disconnected against the policy");
}

/* true: every promise was kept. */
static bool run_seed(uint64_t seed, uint64_t *trace)
{
	static struct run r;
	bool kept;

	run_init(&r, seed);
	begin(&r);
	(void)!sim_run(r.world, r.calm ? SECOND / 8 : SECOND / 2 + any(&r, 2 * SECOND), is_broken, &r);
	r.busy = false;
	run_faults(&r, false);
	for (unsigned i = 0; i < r.nclients; i++)
		sim_client_listen(&r.clients[i]);
	if (!is_broken(&r) && sim_run(r.world, 60 * (uint64_t)SECOND, all_quiet, &r) < 0)
		ledger_broken(&r.ledger,
			      "stalled: not everything was acknowledged a minute after the last fault");
	wait_for_deliveries(&r);
	settle(&r);
	if (!is_broken(&r))
		check_figures(&r);
	*trace = sim_trace_hash(r.world);
	kept = !r.ledger.broken[0];
	if (!kept)
		fprintf(stderr, "# LINESIDE_SEED=%llu: %u workers, %u clients, %u messages: %s\n",
			(unsigned long long)seed, r.nworkers, r.nclients, r.ledger.nmessages,
			r.ledger.broken);
	run_fini(&r);
	return kept;
}

int main(void)
{
	static const struct seeds seeds = {.count = SEEDS, .run = run_seed};

	return seeds_main(&seeds);
}
