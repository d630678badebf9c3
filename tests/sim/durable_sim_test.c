/*
 * The broker with its store on a disk that fails: 1 to 4 workers, clients that publish, subscribe, stay away, come back; broker
 * and disk crash at any operation of the disk, also while they start; then another broker takes over what is there. In the end every
 * promise that was given before a crash has been kept. One thread, virtual time; LINESIDE_SEED=n replays a run, LINESIDE_SEEDS=n
 * runs as many.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "mqtt/broker.h"
#include "seeds.h"
#include "sim_client.h"
#include "store/backend.h"
#include "store/disk_sim.h"

#define SEEDS       150u
#define WORKERS_MAX 4u
#define CLIENTS_MAX 7u /* and one that looks at the end */
#define SECOND      1000000u

struct run {
	uint64_t seed;
	struct sim_world *world;
	struct sim_net *net;
	struct sim_disk *disk;
	struct loop *client_loop, *accept_loop;
	struct dialer *dialer;
	struct ledger ledger;
	struct sim_client clients[CLIENTS_MAX + 1];
	unsigned nclients;
	unsigned ngroup; /* so many clients, the first ones, form a share group */
	bool busy;
	bool steps; /* of the wall clock */
	enum store_durability durability;

	/* one life of the broker */
	struct broker_config config;
	struct loop *loops[WORKERS_MAX], *store_loop;
	unsigned nworkers;
	struct store *store;
	struct broker *broker;
	struct acceptor acceptor;
	struct listener *listener;
};

static struct {
	uint64_t power_cuts, process_crashes, while_starting, troubles, refused, messages, deliveries;
} seen; /* of all seeds */

static uint64_t any(struct run *r, uint64_t bound)
{
	return sim_random(r->world, bound);
}

static bool one_in(struct run *r, uint64_t n)
{
	return sim_one_in(r->world, n);
}

/* ---- what clients do ---- */

static void publish_burst(struct run *r, struct sim_client *c)
{
	char topic[LEDGER_TOPIC];

	for (uint64_t n = 1 + any(r, 5); n > 0; n--) {
		snprintf(topic, sizeof(topic), "t/%u/%u", c->index, (unsigned)any(r, 3));
		(void)sim_client_publish(c, topic, (uint8_t)any(r, 3), one_in(r, 4));
	}
}

static void subscribe(struct run *r, struct sim_client *c)
{
	char filter[LEDGER_FILTER];

	if (r->ledger.in_group[c->index]) {
		(void)sim_client_subscribe(c, "$share/g/t/+/0", (uint8_t)(1 + any(r, 2)));
		return;
	}
	sim_draw_filter(r->world, r->nclients, filter, sizeof(filter));
	(void)sim_client_subscribe(c, filter, (uint8_t)any(r, 3));
}

static void unsubscribe(struct run *r, struct sim_client *c)
{
	if (!r->ledger.in_group[c->index])
		(void)sim_client_unsubscribe(c, c->filters[any(r, SIM_FILTERS)].filter);
}

static void leave(struct run *r, struct sim_client *c)
{
	static const uint32_t expiries[] = {UINT32_MAX, UINT32_MAX, 0, 1, 100000};
	uint32_t expiry = r->ledger.in_group[c->index] || c->transient ? UINT32_MAX : expiries[any(r, 5)];

	sim_client_leave(c, any(r, one_in(r, 2) ? SECOND / 10 : 3 * SECOND), one_in(r, 2), expiry);
}

struct actor { /* sim_at() carries one pointer */
	struct run *run;
	struct sim_client *client;
};

static struct actor actors[CLIENTS_MAX];

static void act(void *arg)
{
	struct actor *a = arg;
	struct run *r = a->run;
	struct sim_client *c = a->client;

	switch (r->busy ? any(r, 40) : 40) {
	case 0:
		sim_client_reconnect(c, true);
		break;
	case 1:
		sim_client_reconnect(c, false);
		break;
	case 2:
		c->want_clean = c->version == MQTT_V5 && !r->ledger.in_group[c->index];
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
		unsubscribe(r, c);
		break;
	case 7:
	case 8:
		leave(r, c);
		break;
	case 9:
	case 10:
	case 11:
	case 12:
		subscribe(r, c);
		break;
	case 40:
		break;
	default:
		publish_burst(r, c);
	}
	assert_int_equal(sim_at(r->world, 100 + any(r, 20000), act, a), OK);
}

/* ---- one life of the broker ---- */

static void accepted(struct acceptor *a, struct stream *s)
{
	broker_accept(container_of(a, struct run, acceptor)->broker, s);
}

static void life_config(struct run *r)
{
	static const uint32_t windows[] = {1, 2, 5, 20, 1000};
	struct broker_config *c = &r->config;

	broker_config_default(c);
	c->seed = r->seed;
	c->spread_after = 0;
	c->max_inflight = windows[any(r, 5)];
	c->max_queued_messages = 100000;
	c->max_queued_bytes = UINT64_C(1) << 30;
	c->hand_over_first = 1 + (uint32_t)any(r, 4);
	if (one_in(r, 2))
		c->last_packet_id = (uint16_t)(UINT16_MAX - any(r, 30));
	c->linger_ms = one_in(r, 2) ? 5 : (uint32_t)any(r, 30);
	if (r->ledger.late_feeds)
		c->feed_list_max = (uint32_t)any(r, 4);
	if (one_in(r, 2))
		c->backlog_bytes = 500 + any(r, 5000);
}

static int life_open(struct run *r)
{
	struct store_sqlite_options o = {
		.folder = "/store", .durability = r->durability, .vfs = sim_disk_vfs(r->disk)};
	struct store_options so = {.durability = r->durability};
	struct store_backend *backend;
	char why[200] = "";
	int rc = store_sqlite_open(&o, &backend, why, sizeof(why));

	if (rc < 0) {
		if (!sim_disk_crashed(r->disk))
			ledger_broken(&r->ledger, "open: %s: %s", err_text(rc), why);
		return rc;
	}
	assert_int_equal(sim_loop_create(r->world, &r->store_loop), OK);
	assert_int_equal(store_create(r->store_loop, backend, &so, &r->store), OK);
	life_config(r);
	r->config.store = r->store;
	r->nworkers = 1 + (unsigned)any(r, WORKERS_MAX);
	for (unsigned i = 0; i < r->nworkers; i++)
		assert_int_equal(sim_loop_create(r->world, &r->loops[i]), OK);
	assert_int_equal(broker_create(&r->config, r->loops, r->nworkers, &r->broker), OK);
	rc = broker_restore(r->broker);
	if (rc < 0 && !sim_disk_crashed(r->disk))
		ledger_broken(&r->ledger, "restore: %s", err_text(rc));
	return rc;
}

static void life_close(struct run *r)
{
	for (unsigned i = 0; i <= r->nclients; i++)
		sim_client_broker_crashed(&r->clients[i]);
	if (r->listener)
		sim_net_unlisten(r->listener);
	r->listener = NULL;
	broker_destroy(r->broker);
	r->broker = NULL;
	store_destroy(r->store);
	r->store = NULL;
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		loop_destroy(r->loops[i]);
		r->loops[i] = NULL;
	}
	loop_destroy(r->store_loop);
	r->store_loop = NULL;
}

static void restart_disk(struct run *r)
{
	bool power = r->durability == STORE_FSYNC && !one_in(r, 3);

	seen.power_cuts += power;
	seen.process_crashes += !power;
	sim_disk_restart(r->disk, power ? SIM_DISK_POWER_CUT : SIM_DISK_PROCESS_CRASH);
}

/* Until it succeeds: some are cut off on the way. */
static void life_begin(struct run *r)
{
	for (unsigned tries = 0;; tries++) {
		if (tries < 3 && one_in(r, 3))
			sim_disk_crash_at(r->disk, 1 + any(r, 40));
		if ((life_open(r) == OK && !sim_disk_crashed(r->disk)) || r->ledger.broken[0])
			break;
		life_close(r);
		seen.while_starting++;
		restart_disk(r);
	}
	sim_disk_crash_at(r->disk, 0);
	if (!r->ledger.broken[0])
		assert_int_equal(sim_net_listen(r->net, r->accept_loop, "broker", &r->acceptor, &r->listener),
				 OK);
}

static bool has_ended(void *arg)
{
	struct run *r = arg;

	return r->ledger.broken[0] || sim_disk_crashed(r->disk);
}

static void wait(struct run *r, uint64_t us)
{
	(void)!sim_run(r->world, us, has_ended, r);
}

static void run_faults(struct run *r, bool any_at_all)
{
	struct sim_net_faults f = {
		.max_delay_us = any(r, 3000),
		.buffer = 200 + any(r, 20000),
		.partial_one_in = (uint32_t)any(r, 4),
		.cut_one_in = any_at_all && !one_in(r, 3) ? 200 + (uint32_t)any(r, 4000) : 0,
	};

	sim_net_set_faults(r->net, &f);
}

static void let_refuse(struct run *r, bool may)
{
	for (unsigned i = 0; i <= r->nclients; i++)
		r->clients[i].may_be_refused = may;
}

/* The disk is full or fails for a while. */
static void trouble(struct run *r)
{
	static const struct sim_disk_faults none = {0};
	struct sim_disk_faults f = {0};

	switch (any(r, 4)) {
	case 0:
		f.capacity = sim_disk_used(r->disk) + any(r, 20000);
		break;
	case 1:
		f.write_one_in = 1 + (uint32_t)any(r, 20);
		break;
	case 2:
		f.sync_one_in = 1 + (uint32_t)any(r, 5);
		break;
	default:
		f.read_only = true;
	}
	seen.troubles++;
	r->ledger.refuses = true;
	let_refuse(r, true);
	sim_disk_set_faults(r->disk, &f);
	wait(r, any(r, 3 * SECOND));
	sim_disk_set_faults(r->disk, &none);
	wait(r, 3 * SECOND);
	if (!sim_disk_crashed(r->disk))
		let_refuse(r, false);
}

static void crash(struct run *r)
{
	bool broken_off = one_in(r, 2);

	let_refuse(r, true); /* it has seen that the disk fails */
	/* what is on its way to clients may get there, or not */
	for (unsigned i = 0; i < r->nclients; i++)
		if (broken_off || r->clients[i].deaf || one_in(r, 2))
			sim_client_reconnect(&r->clients[i], true);
	if (!sim_disk_crashed(r->disk) && one_in(r, 2))
		sim_disk_crash(r->disk); /* else it is closed as it stands */
	life_close(r);
	restart_disk(r);
	(void)!sim_run(r->world, SECOND / 50 + any(r, one_in(r, 3) ? 2 * SECOND : SECOND / 20), NULL, NULL);
	ledger_crashed(&r->ledger); /* what it had sent has come */
	let_refuse(r, false);
}

static void live(struct run *r)
{
	run_faults(r, true);
	sim_disk_crash_at(r->disk, one_in(r, 8) ? 0 : 1 + any(r, one_in(r, 2) ? 60 : 1500));
	wait(r, any(r, SECOND));
	if (r->steps && one_in(r, 2))
		sim_step_wall(r->world, (int64_t)any(r, 20000000) - 10000000);
	if (one_in(r, 4) && !has_ended(r))
		trouble(r);
	wait(r, any(r, SECOND));
	if (!r->ledger.broken[0])
		crash(r);
}

/* ---- a run ---- */

static void run_init(struct run *r, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	r->seed = seed;
	assert_int_equal(sim_world_create(seed, &r->world), OK);
	assert_int_equal(sim_net_create(r->world, &r->net), OK);
	assert_int_equal(sim_disk_create(seed, &r->disk), OK);
	sim_set_notify_delay(r->world, any(r, 3000));
	if (one_in(r, 3))
		sim_set_turn(r->world, 1 + any(r, 3000));
	r->durability = one_in(r, 5) ? STORE_OS : STORE_FSYNC;
	r->steps = one_in(r, 3);
	r->nclients = 3 + (unsigned)any(r, CLIENTS_MAX - 2);
	r->ngroup = one_in(r, 2) ? 1 + (unsigned)any(r, 3) : 0;
	r->ledger.late_feeds = one_in(r, 2);
	r->ledger.stored = true;
	r->acceptor.accepted = accepted;
	assert_int_equal(sim_loop_create(r->world, &r->accept_loop), OK);
	assert_int_equal(sim_loop_create(r->world, &r->client_loop), OK);
	assert_int_equal(sim_net_dialer(r->net, "broker", &r->dialer), OK);
	for (unsigned i = 0; i < r->nclients; i++) {
		struct sim_client *c = &r->clients[i];

		sim_client_init(c, r->world, r->client_loop, r->dialer, &r->ledger, i);
		r->ledger.in_group[i] = i < r->ngroup;
		c->durable = true;
		c->transient = i >= r->ngroup && one_in(r, 4);
		if (one_in(r, 2)) /* ids come around */
			c->last_packet_id = (uint16_t)(SIM_INFLIGHT + SIM_FILTERS + 1 + any(r, 50));
		actors[i] = (struct actor){.run = r, .client = c};
		assert_int_equal(sim_at(r->world, any(r, 30000), act, &actors[i]), OK);
	}
	r->busy = true;
}

static void run_fini(struct run *r)
{
	for (unsigned i = 0; i <= r->nclients; i++)
		sim_client_fini(&r->clients[i]);
	/* what acts later than the end: retries and half-open connections being closed */
	(void)!sim_run(r->world, SECOND, NULL, NULL);
	for (unsigned i = 0; i <= r->nclients; i++)
		sim_client_fini(&r->clients[i]);
	life_close(r);
	r->dialer->destroy(r->dialer);
	sim_net_destroy(r->net);
	sim_world_destroy(r->world);
	sim_disk_destroy(r->disk);
}

static bool all_quiet(void *arg)
{
	struct run *r = arg;

	if (r->ledger.broken[0])
		return true;
	for (unsigned i = 0; i < r->nclients; i++)
		if (!sim_client_is_quiet(&r->clients[i]))
			return false;
	return true;
}

/* What is on its way to others still comes: it has when two seconds bring nothing. */
static void wait_for_deliveries(struct run *r)
{
	uint64_t before;

	do {
		before = r->ledger.deliveries;
		(void)!sim_run(r->world, 2 * SECOND, has_ended, r);
	} while (r->ledger.deliveries != before && !r->ledger.broken[0]);
}

/* Somebody new looks at what is retained. */
static void look_at_retained(struct run *r)
{
	struct sim_client *c = &r->clients[r->nclients];

	sim_client_init(c, r->world, r->client_loop, r->dialer, &r->ledger, r->nclients);
	c->transient = true;
	(void)!sim_run(r->world, SECOND, has_ended, r);
	if (!sim_client_subscribe(c, "#", 2))
		ledger_broken(&r->ledger, "a new client cannot connect and subscribe");
	wait_for_deliveries(r);
	ledger_settle_newest(&r->ledger, r->nclients);
}

static void check_figures(struct run *r)
{
	struct broker_totals t;
	struct store_figures f;
	uint64_t filters = 1;

	for (unsigned i = 0; i < r->nclients; i++)
		for (unsigned k = 0; k < SIM_FILTERS; k++)
			filters += r->clients[i].filters[k].wanted;
	broker_totals(r->broker, &t);
	store_figures(r->store, &f);
	if (t.clients != r->nclients + 1 || t.sum.sessions != r->nclients + 1 ||
	    t.sum.subscriptions + t.sum.shared_subscriptions != filters || t.sum.queued_messages ||
	    t.sum.queued_payload)
		ledger_broken(&r->ledger,
			      "figures: %llu clients, %llu sessions of %u, %llu filters of %llu, %llu queued",
			      (unsigned long long)t.clients, (unsigned long long)t.sum.sessions,
			      r->nclients + 1,
			      (unsigned long long)(t.sum.subscriptions + t.sum.shared_subscriptions),
			      (unsigned long long)filters, (unsigned long long)t.sum.queued_messages);
	if (t.dropped > t.sum.count.dropped_qos0 + t.sum.count.dropped_no_member)
		ledger_broken(&r->ledger, "%llu messages were dropped, %llu of QoS 0",
			      (unsigned long long)t.dropped, (unsigned long long)t.sum.count.dropped_qos0);
	if (f.waiting || f.health != STORE_OK)
		ledger_broken(&r->ledger, "%llu batches wait for the disk", (unsigned long long)f.waiting);
}

static void settle(struct run *r)
{
	r->busy = false;
	run_faults(r, false);
	for (unsigned i = 0; i < r->nclients; i++) {
		sim_client_listen(&r->clients[i]);
		sim_client_return(&r->clients[i]);
	}
	if (sim_run(r->world, 120 * (uint64_t)SECOND, all_quiet, r) < 0)
		ledger_broken(&r->ledger,
			      "stalled: not everything was acknowledged two minutes after the last crash");
	wait_for_deliveries(r);
	ledger_settle(&r->ledger);
	if (!r->ledger.broken[0])
		look_at_retained(r);
	if (!r->ledger.broken[0])
		check_figures(r);
}

/* true: every promise was kept. */
static bool run_seed(uint64_t seed, uint64_t *trace)
{
	static struct run r;
	uint64_t lives;
	bool kept;

	run_init(&r, seed);
	for (lives = 1 + any(&r, 4); lives > 0 && !r.ledger.broken[0]; lives--) {
		life_begin(&r);
		if (!r.ledger.broken[0])
			live(&r);
	}
	if (!r.ledger.broken[0])
		life_begin(&r);
	if (!r.ledger.broken[0])
		settle(&r);
	sim_trace(r.world, sim_disk_ops(r.disk));
	*trace = sim_trace_hash(r.world);
	kept = !r.ledger.broken[0];
	if (!kept)
		fprintf(stderr, "# LINESIDE_SEED=%llu: %u workers, %u clients, %u messages: %s\n",
			(unsigned long long)seed, r.nworkers, r.nclients, r.ledger.nmessages,
			r.ledger.broken);
	for (unsigned i = 0; i < r.nclients; i++)
		seen.refused += r.clients[i].refused;
	seen.messages += r.ledger.nmessages;
	seen.deliveries += r.ledger.deliveries;
	run_fini(&r);
	return kept;
}

static void summary(void)
{
	printf("# %llu power cuts and %llu crashes of the process, %llu of them while starting; the disk was "
	       "full or failed %llu times, "
	       "and the broker refused %llu things; %llu messages, %llu deliveries\n",
	       (unsigned long long)seen.power_cuts, (unsigned long long)seen.process_crashes,
	       (unsigned long long)seen.while_starting, (unsigned long long)seen.troubles,
	       (unsigned long long)seen.refused, (unsigned long long)seen.messages,
	       (unsigned long long)seen.deliveries);
}

int main(void)
{
	static const struct seeds seeds = {.count = SEEDS, .run = run_seed, .summary = summary};

	log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC)); /* it is full of what the disk does */
	return seeds_main(&seeds);
}
