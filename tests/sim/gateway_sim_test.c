/*
 * A whole gateway under faults, in one thread on virtual time: devices that die and return, networks that delay and cut,
 * clients that come and go, commands, reloads, a wall clock that steps. Each seed is another run; LINESIDE_SEED=n replays one,
 * LINESIDE_SEEDS=n runs as many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway_world.h"
#include "seeds.h"

#define SEEDS 1000u

/* ---- what happens to lines and devices ---- */

static void reconsider_line(struct gw *g, struct gw_line *l)
{
	for (unsigned u = 0; u < PLC_UNITS; u++)
		gw_reconsider(g, l->devices[u]);
}

static void set_line(struct gw *g, struct gw_line *l, bool is_rough)
{
	struct sim_net_faults f = {
		.max_delay_us = gw_any(g, 3000), .buffer = 300, .partial_one_in = (uint32_t)gw_any(g, 4)};

	/* a write that is cancelled half sent ends the connection, and without retries the other unit pays for it */
	if (l->retries == 0)
		f.partial_one_in = 0;

	if (is_rough) {
		f.max_delay_us = gw_any(g, sim_one_in(g->world, 2) ? MS(30) : MS(700));
		f.buffer = 20 + gw_any(g, 300);
		f.cut_one_in = sim_one_in(g->world, 3) ? 0 : 20 + (uint32_t)gw_any(g, 200);
	}
	sim_net_set_faults(l->plc.net, &f);
	if (l->is_rough == is_rough)
		return;
	if (!is_rough)
		l->calm_us = sim_now_us(g->world);
	l->is_rough = is_rough;
	reconsider_line(g, l);
}

static void set_mode(struct gw *g, struct gw_line *l, enum plc_mode mode)
{
	plc_become(&l->plc, mode);
	reconsider_line(g, l);
}

/* It starts anew at once: connections break, and nothing else may be seen of it where requests are repeated. */
static void restart(struct gw *g, struct gw_line *l)
{
	plc_become(&l->plc, PLC_ALIVE);
	if (l->retries == 0)
		reconsider_line(g, l);
}

static void act_on_line(struct gw *g)
{
	struct gw_line *l = &g->lines[gw_any(g, g->nlines)];
	struct gw_device *d = l->devices[gw_any(g, PLC_UNITS)];

	switch (gw_any(g, 14)) {
	case 0:
		set_mode(g, l, PLC_GONE);
		break;
	case 1:
		set_mode(g, l, PLC_HUNG);
		break;
	case 2:
	case 3:
	case 4:
	case 11:
		if (l->plc.mode != PLC_ALIVE)
			set_mode(g, l, PLC_ALIVE);
		break;
	case 5:
		if (l->plc.mode == PLC_ALIVE)
			restart(g, l);
		break;
	case 6:
		set_line(g, l, true);
		break;
	case 7:
	case 8:
		set_line(g, l, false);
		break;
	case 9:
		d->unit->is_far_refused = !d->unit->is_far_refused;
		d->far_since_us = sim_now_us(g->world);
		break;
	case 10:
		d = l->devices[1];
		d->unit->is_absent = !d->unit->is_absent;
		gw_reconsider(g, d);
		break;
	case 12:
		set_mode(g, l, PLC_CLOSING);
		break;
	default:
		break;
	}
}

/* ---- what clients and the rest of the world do ---- */

static void set_mqtt(struct gw *g, bool cuts)
{
	struct sim_net_faults f = {
		.max_delay_us = gw_any(g, 5000),
		.buffer = 200 + gw_any(g, 20000),
		.partial_one_in = (uint32_t)gw_any(g, 4),
		.cut_one_in = cuts && !sim_one_in(g->world, 3) ? 300 + (uint32_t)gw_any(g, 3000) : 0,
	};

	sim_net_set_faults(g->net, &f);
}

static void act(void *arg)
{
	struct gw *g = arg;
	struct gw_peer *p = &g->peers[gw_any(g, g->npeers)];

	if (!g->is_busy)
		return;
	switch (gw_any(g, 100)) {
	case 0:
		sim_peer_reconnect(&p->peer, true);
		break;
	case 1:
		sim_peer_reconnect(&p->peer, false);
		break;
	case 2:
		set_mqtt(g, true);
		break;
	case 3:
		gw_set_wall_steps(g, (int64_t)gw_any(g, 7200000) - 3600000);
		break;
	case 4:
		gw_reload(g);
		break;
	case 5:
	case 6:
	case 7:
	case 8:
		gw_ask_pass(g);
		break;
	default:
		for (uint64_t n = sim_one_in(g->world, 30) ? 50 : gw_any(g, 3); n > 0; n--)
			gw_command(g, p);
	}
	assert_int_equal(sim_at(g->world, 1000 + gw_any(g, MS(200)), act, g), OK);
}

static void act_on_lines(void *arg)
{
	struct gw *g = arg;

	if (!g->is_busy)
		return;
	act_on_line(g);
	assert_int_equal(sim_at(g->world, MS(50) + gw_any(g, MS(1500)) / g->nlines, act_on_lines, g), OK);
}

static void move(void *arg)
{
	struct gw *g = arg;

	if (!g->field)
		return;
	for (unsigned i = 0; i < g->nlines; i++)
		plc_move(&g->lines[i].plc);
	assert_int_equal(sim_at(g->world, MS(5) + gw_any(g, MS(150)), move, g), OK);
}

static void watch(void *arg)
{
	struct gw *g = arg;

	if (!g->field)
		return;
	gw_watch(g);
	gw_watch_passes(g);
	assert_int_equal(sim_at(g->world, MS(20), watch, g), OK);
}

/* ---- a run ---- */

static bool is_broken(void *arg)
{
	return ((struct gw *)arg)->broken[0] != '\0';
}

static bool is_well_or_broken(void *arg)
{
	return is_broken(arg) || gw_all_well(arg);
}

static void pass(struct gw *g, uint64_t ms)
{
	(void)!sim_run(g->world, MS(ms), is_broken, g);
}

/* All faults end; in the end all is well, and everybody has the newest. */
static void settle(struct gw *g)
{
	g->is_busy = false;
	set_mqtt(g, false);
	for (unsigned i = 0; i < g->nlines; i++) {
		struct gw_line *l = &g->lines[i];

		l->plc.units[1].is_absent = false;
		set_line(g, l, false);
		if (l->plc.mode != PLC_ALIVE)
			plc_become(&l->plc, PLC_ALIVE);
		reconsider_line(g, l);
	}
	(void)!sim_run(g->world, MS(90000), is_well_or_broken, g);
	if (!gw_all_well(g))
		gw_broken(g, "a deadline is more than 90 s off");
	sim_peer_start(&g->peers[GW_PEERS].peer);
	pass(g, 1000);
	gw_ask_pass(g); /* so that there is something to end */
	gw_end(g);
	pass(g, 500);
	for (unsigned i = 0; i <= GW_PEERS; i++) {
		struct gw_peer *p = &g->peers[i];

		if (i >= g->npeers && i < GW_PEERS)
			continue;
		if (!p->peer.is_ready)
			gw_broken(g, "client %s is not connected in the end", p->peer.id);
		gw_check_newest(g, p);
	}
	gw_settle_commands(g);
	gw_settle_passes(g);
}

static struct {
	unsigned messages, commands, ok, errors, writes, reloads, passes, answered;
} sum;

static void count(const struct gw *g)
{
	sum.messages += g->nlog;
	sum.commands += g->ncommands;
	sum.writes += g->nwrites;
	sum.reloads += g->reloads;
	sum.passes += g->npasses;
	for (unsigned i = 0; i < g->npasses; i++)
		sum.answered += g->passes[i].outcomes && g->passes[i].pass.rc == OK;
	for (unsigned i = 0; i < g->ncommands; i++) {
		sum.ok += g->commands[i].is_ok;
		sum.errors += g->commands[i].results && !g->commands[i].is_ok;
	}
}

/* true: every promise was kept. */
static bool run_seed(uint64_t seed, uint64_t *trace)
{
	static struct gw g;
	bool kept;

	gw_init(&g, seed);
	set_mqtt(&g, true);
	for (unsigned i = 0; i < g.nlines; i++)
		set_line(&g, &g.lines[i], false);
	assert_int_equal(sim_at(g.world, MS(100), act, &g), OK);
	assert_int_equal(sim_at(g.world, MS(1000), act_on_lines, &g), OK);
	move(&g);
	watch(&g);
	pass(&g, 3000 + gw_any(&g, 12000));
	settle(&g);
	*trace = sim_trace_hash(g.world);
	kept = !g.broken[0];
	if (!kept)
		fprintf(stderr, "# LINESIDE_SEED=%llu: %u workers, %u lines, %u clients: %s\n",
			(unsigned long long)seed, g.nworkers, g.nlines, g.npeers, g.broken);
	count(&g);
	gw_fini(&g);
	return kept;
}

static void print_sum(void)
{
	print_message("# %u messages, %u commands: %u done, %u refused; %u writes, %u reloads; "
		      "%u requests of foreign masters: %u answered\n",
		      sum.messages, sum.commands, sum.ok, sum.errors, sum.writes, sum.reloads, sum.passes,
		      sum.answered);
}

int main(void)
{
	static const struct seeds seeds = {.count = SEEDS, .run = run_seed, .summary = print_sum};

	return seeds_main(&seeds);
}
