#include "gateway_world.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "north/table.h"
#include "south/io_rack.h"
#include "south/table.h"

#define YAML_MAX 16384u

void gw_broken(struct gw *g, const char *fmt, ...)
{
	va_list args;
	size_t n;

	if (g->broken[0])
		return;
	n = (size_t)snprintf(g->broken, sizeof(g->broken),
			     "at %llu ms: ", (unsigned long long)(sim_now_us(g->world) / 1000 - 3600000));
	va_start(args, fmt);
	vsnprintf(g->broken + n, sizeof(g->broken) - n, fmt, args);
	va_end(args);
}

const char *gw_text(struct span s, char *buf, size_t size)
{
	size_t n = s.len < size - 1 ? s.len : size - 1;

	if (n)
		memcpy(buf, s.p, n);
	buf[n] = '\0';
	return buf;
}

/* ---- sources that are looked at ---- */

struct spied {
	struct source_request *request; /* NULL: free */
	void (*done)(struct source_request *r);
	uint64_t from_us;
};

struct spy {
	struct source source;
	struct source *inner;
	struct gw *gw;
	struct gw_line *line;
	struct list node;
	struct spied spied[SOURCE_IN_FLIGHT_MAX];
};

static struct gw *running; /* done() has no other way to its world */

static struct spied *find_spied(struct source_request *r, struct spy **spy)
{
	list_for_each (node, &running->spies) {
		*spy = container_of(node, struct spy, node);
		for (unsigned i = 0; i < SOURCE_IN_FLIGHT_MAX; i++)
			if ((*spy)->spied[i].request == r)
				return &(*spy)->spied[i];
	}
	return NULL;
}

static void spy_done(struct source_request *r)
{
	struct spy *spy = NULL;
	struct spied *s = find_spied(r, &spy);
	struct gw_line *l;

	assert(s && spy);
	l = spy->line;
	s->request = NULL;
	r->done = s->done;
	if (r->rc == OK && r->op != SOURCE_RAW) { /* which may be the exception of a gateway */
		l->last_ok_us = sim_now_us(running->world);
		l->devices[r->unit - 1]->last_ok_us = l->last_ok_us;
	}
	l->answer.is_on = r->rc == OK && r->op == SOURCE_READ;
	l->answer.unit = r->unit;
	l->answer.area = r->area;
	l->answer.start = r->start;
	l->answer.count = r->count;
	l->answer.from_us = s->from_us;
	l->answer.to_us = sim_now_us(running->world);
	r->done(r);
	l->answer.is_on = false; /* nothing may be said from it later */
}

static void spy_submit(struct source *source, struct source_request *r)
{
	struct spy *spy = container_of(source, struct spy, source);
	struct spied *s = spy->spied;

	while (s->request) {
		/* nothing but polls and probes reads it */
		if (r->area == CONFIG_AREA_INPUT && r->op == SOURCE_READ && s->request->area == r->area &&
		    s->request->op == r->op && s->request->unit == r->unit)
			gw_broken(spy->gw, "%s: unit %u is asked twice at once for the same", spy->line->name,
				  r->unit);
		s++;
	}
	assert(s < spy->spied + SOURCE_IN_FLIGHT_MAX);
	*s = (struct spied){.request = r, .done = r->done, .from_us = sim_now_us(spy->gw->world)};
	r->done = spy_done;
	spy->inner->ops->submit(spy->inner, r);
}

static void spy_cancel(struct source *source, struct source_request *r)
{
	struct spy *spy, *mine = container_of(source, struct spy, source);
	struct spied *s = find_spied(r, &spy);

	if (!s)
		return;
	s->request = NULL;
	r->done = s->done;
	mine->inner->ops->cancel(mine->inner, r);
}

static void spy_destroy(struct source *source)
{
	struct spy *spy = container_of(source, struct spy, source);

	list_remove(&spy->node);
	spy->inner->ops->destroy(spy->inner);
	free(spy);
}

static const struct source_ops spy_ops = {.submit = spy_submit, .cancel = spy_cancel, .destroy = spy_destroy};

static int make_source(struct source_factory *f, struct loop *loop, const struct config_line *line,
		       struct source **out)
{
	struct gw *g = container_of(f, struct gw, factory);
	struct dialer *dialer;
	struct spy *spy;

	if (line->type == CONFIG_LINE_SIM)
		return io_rack_create(loop, line, io_sim_create, out);
	spy = calloc(1, sizeof(*spy));
	assert(spy);
	spy->source.ops = &spy_ops;
	spy->gw = g;
	spy->line = &g->lines[line->name[1] - '0'];
	list_init(&spy->node);
	list_append(&g->spies, &spy->node);
	assert(sim_net_dialer(spy->line->plc.net, line->host, &dialer) == OK);
	assert(modbus_tcp_source_create(loop, line, dialer, &spy->inner) == OK);
	*out = &spy->source;
	return OK;
}

/* ---- configurations ---- */

static void add(char *yaml, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(char *yaml, const char *fmt, ...)
{
	size_t n = strlen(yaml);
	va_list args;

	va_start(args, fmt);
	n += (size_t)vsnprintf(yaml + n, YAML_MAX - n, fmt, args);
	va_end(args);
	assert(n < YAML_MAX);
}

static void add_device(char *yaml, const struct gw_device *d)
{
	unsigned scan_ms = d->line->scan_ms * (d->is_slower ? 2 : 1);

	add(yaml, "  - name: %s\n    line: %s\n    unit: %u\n    max_gap: 20\n    mask_write: %s\n", d->name,
	    d->line->name, d->unit->number, d->is_masked ? "true" : "false");
	add(yaml,
	    "    groups: [{name: fast, scan: %ums, publish: every_scan}, {name: slow, scan: %ums}]\n    "
	    "tags:\n",
	    scan_ms, 2 * scan_ms);
	for (unsigned c = 0; c < CELLS; c++)
		if (c != CELL_FAR || d->has_far)
			add(yaml, "      - {name: %s, %s, access: %s, group: %s}\n", cell_infos[c].name,
			    cell_infos[c].yaml,
			    !cell_infos[c].is_writable ? "r"
			    : d->is_verified           ? "rw, verify: true"
						       : "rw",
			    cell_infos[c].is_fast ? "fast" : "slow");
}

static struct gateway_config *configuration(const struct gw *g)
{
	static char yaml[YAML_MAX];
	struct gateway_config *cfg = NULL;
	struct faults faults;

	yaml[0] = '\0';
	add(yaml, "gateway: {name: plant1}\nlines:\n  - {name: rack, type: sim}\n");
	for (unsigned i = 0; i < g->nlines; i++) {
		const struct gw_line *l = &g->lines[i];

		add(yaml,
		    "  - {name: %s, type: modbus-tcp, host: %s, timeout: %ums, retries: %u, backoff: {first: "
		    "%ums, "
		    "max: %ums}, max_in_flight: %u}\n",
		    l->name, l->name, l->timeout_ms, l->retries, l->first_ms, l->max_ms, l->in_flight);
	}
	add(yaml, "devices:\n  - {name: rack, line: rack}\n");
	for (unsigned i = 0; i < g->ndevices; i++)
		if (g->devices[i].is_configured)
			add_device(yaml, &g->devices[i]);
	faults_init(&faults, "sim.yaml");
	if (gateway_config_parse("sim.yaml", yaml, strlen(yaml), &cfg, &faults) < 0) {
		faults_print(&faults, stderr);
		abort();
	}
	faults_fini(&faults);
	return cfg;
}

/* true: the device is another than before. */
static bool draw_device(struct gw *g, struct gw_device *d)
{
	bool had_far = d->has_far, was_slower = d->is_slower, was_there = d->is_configured;

	if (d->unit->number > 1)
		d->is_configured = !sim_one_in(g->world, 4);
	d->has_far = !sim_one_in(g->world, 4);
	d->is_slower = sim_one_in(g->world, 4);
	return was_there != d->is_configured ||
	       (d->is_configured && (had_far != d->has_far || was_slower != d->is_slower));
}

static void forget(struct gw_device *d, uint64_t now_us)
{
	memset(d->tags, 0, sizeof(d->tags));
	d->last_ok_us = now_us;
}

static void check_cleared(struct gw *g, const struct gw_device *d)
{
	char prefix[24];

	snprintf(prefix, sizeof(prefix), "plant1/%s/", d->name);
	for (unsigned i = 0; i < GW_TOPICS; i++) {
		const struct gw_topic *t = &g->topic[i];
		bool is_gone = !d->is_configured || (!d->has_far && strstr(t->name, "/far"));

		if (t->nmessages && t->is_retained && !t->is_cleared && is_gone &&
		    strncmp(t->name, prefix, strlen(prefix)) == 0)
			gw_broken(g, "%s is no more and still retained", t->name);
	}
}

/* As the daemon does: the field side takes it, then the broker asks the new table. */
static void reload_now(struct gw *g)
{
	bool is_changed[GW_DEVICES] = {false};
	unsigned starts[GW_DEVICES] = {0};
	struct gateway_config *cfg;
	struct own_table *table;

	for (unsigned i = 0; i < g->ndevices; i++) {
		struct gw_device *d = &g->devices[i];

		starts[i] = d->starts;
		is_changed[i] = sim_one_in(g->world, 2) && draw_device(g, d);
		if (is_changed[i])
			forget(d, sim_now_us(g->world));
	}
	cfg = configuration(g);
	assert(field_apply(g->field, cfg) == OK);
	gateway_config_destroy(g->cfg);
	g->cfg = cfg;
	assert(own_table_create(cfg, &table) == OK);
	own_table_destroy(own_topics_replace(g->topics, table));
	for (unsigned i = 0; i < g->ndevices; i++) {
		struct gw_device *d = &g->devices[i];

		if (d->starts - starts[i] != (is_changed[i] && d->is_configured))
			gw_broken(g, "%s: a reload that %s it started it %u times", d->name,
				  is_changed[i] ? "changed" : "did not change", d->starts - starts[i]);
		check_cleared(g, d);
		if (is_changed[i])
			gw_reconsider(g, d);
	}
	g->reloads++;
}

static void reload_run(struct loop_source *s)
{
	struct gw *g = container_of(s, struct gw, reload);

	if (!g->is_ending) {
		reload_now(g);
		return;
	}
	g->port.field = NULL;
	field_destroy(g->field);
	field_port_close(&g->port);
	g->field = NULL;
}

void gw_reload(struct gw *g)
{
	loop_notify(&g->reload);
}

void gw_end(struct gw *g)
{
	g->is_ending = true;
	loop_notify(&g->reload);
}

/* ---- making ---- */

static void accepted(struct acceptor *a, struct stream *s)
{
	broker_accept(container_of(a, struct gw, acceptor)->broker, s);
}

static void plc_told(struct plc *p, const char *what)
{
	gw_broken(p->owner, "%s: %s", p->name, what);
}

static void make_line(struct gw *g, unsigned i)
{
	struct gw_line *l = &g->lines[i];

	snprintf(l->name, sizeof(l->name), "l%u", i);
	l->scan_ms = 100 + 50 * (unsigned)gw_any(g, 4);
	l->timeout_ms = sim_one_in(g->world, 4) ? 1000 : 100 + 50 * (unsigned)gw_any(g, 4);
	l->retries = (unsigned)gw_any(g, 3);
	l->first_ms = sim_one_in(g->world, 5) ? 5000 : 400 + 100 * (unsigned)gw_any(g, 6);
	l->max_ms = l->first_ms * (1 + (unsigned)gw_any(g, 5));
	l->in_flight = sim_one_in(g->world, 3) ? 4 : 1;
	l->last_ok_us = sim_now_us(g->world);
	l->plc = (struct plc){.world = g->world,
			      .loop = g->device_loop,
			      .name = l->name,
			      .owner = g,
			      .written = gw_written,
			      .told = plc_told};
	plc_start(&l->plc);
	for (unsigned u = 0; u < PLC_UNITS; u++) {
		struct gw_device *d = &g->devices[g->ndevices++];

		snprintf(d->name, sizeof(d->name), "d%u%u", i, u + 1);
		l->devices[u] = d;
		d->unit = &l->plc.units[u];
		d->line = l;
		d->is_configured = true;
		d->has_far = true;
		d->is_verified = sim_one_in(g->world, 3);
		d->is_masked = sim_one_in(g->world, 3);
		(void)draw_device(g, d);
		forget(d, sim_now_us(g->world));
	}
}

static void make_broker(struct gw *g)
{
	struct broker_config config;
	struct own_table *table;

	for (unsigned i = 0; i < g->nworkers; i++)
		assert(sim_loop_create(g->world, &g->workers[i]) == OK);
	g->cfg = configuration(g);
	assert(own_table_create(g->cfg, &table) == OK);
	assert(own_topics_create(table, NULL, &g->topics) == OK);
	broker_config_default(&config);
	config.seed = g->seed;
	config.policy = own_topics_policy(g->topics);
	assert(broker_create(&config, g->workers, g->nworkers, &g->broker) == OK);
	g->acceptor.accepted = accepted;
	assert(sim_net_listen(g->net, g->accept_loop, "broker", &g->acceptor, &g->listener) == OK);
	assert(sim_net_dialer(g->net, "broker", &g->dialer) == OK);
}

static void make_field(struct gw *g)
{
	loop_source_add(g->field_loop, &g->reload, reload_run);
	loop_source_add(g->field_loop, &g->asking, gw_asking);
	assert(field_port_open(&g->port, g->broker, g->field_loop) == OK);
	g->sink.publish = gw_publish;
	g->factory.create = make_source;
	assert(field_create(g->field_loop, &g->sink, &g->factory, &north_formats, &g->field) == OK);
	g->port.field = g->field;
	assert(field_port_take_commands(&g->port, g->cfg) == OK);
	field_port_settle_commands(&g->port, true);
	assert(field_apply(g->field, g->cfg) == OK);
	for (unsigned i = 0; i < g->ndevices; i++)
		gw_reconsider(g, &g->devices[i]);
}

static void peer_told(struct sim_peer *p, const char *what)
{
	gw_broken(p->owner, "client %s: %s", p->id, what);
}

static void make_peer(struct gw *g, unsigned i)
{
	struct gw_peer *p = &g->peers[i];

	p->peer = (struct sim_peer){.world = g->world,
				    .loop = g->client_loop,
				    .dialer = g->dialer,
				    .owner = g,
				    .version = sim_one_in(g->world, 3) ? MQTT_V311 : MQTT_V5,
				    .message = gw_peer_message,
				    .told = peer_told};
	snprintf(p->peer.id, sizeof(p->peer.id), "p%u", i);
	snprintf(p->filter, sizeof(p->filter), "reply/%u", i);
	p->peer.filters[0] = p->filter;
	p->peer.filters[1] = "plant1/#";
}

void gw_init(struct gw *g, uint64_t seed)
{
	memset(g, 0, sizeof(*g));
	running = g;
	g->seed = seed;
	list_init(&g->spies);
	assert(sim_world_create(seed, &g->world) == OK);
	assert(sim_net_create(g->world, &g->net) == OK);
	sim_set_notify_delay(g->world, gw_any(g, 3000));
	assert(sim_loop_create(g->world, &g->accept_loop) == OK);
	assert(sim_loop_create(g->world, &g->client_loop) == OK);
	assert(sim_loop_create(g->world, &g->field_loop) == OK);
	assert(sim_loop_create(g->world, &g->device_loop) == OK);
	g->nworkers = 1 + (unsigned)gw_any(g, GW_WORKERS);
	g->nlines = 1 + (unsigned)gw_any(g, GW_LINES);
	g->npeers = 1 + (unsigned)gw_any(g, GW_PEERS);
	for (unsigned i = 0; i < g->nlines; i++)
		make_line(g, i);
	make_broker(g);
	make_field(g);
	for (unsigned i = 0; i <= GW_PEERS; i++)
		make_peer(g, i);
	for (unsigned i = 0; i < g->npeers; i++)
		sim_peer_start(&g->peers[i].peer);
	g->is_busy = true;
}

void gw_fini(struct gw *g)
{
	if (g->field)
		gw_end(g);
	for (unsigned i = 0; i <= GW_PEERS; i++)
		sim_peer_stop(&g->peers[i].peer);
	sim_net_unlisten(g->listener);
	(void)!sim_run(g->world, MS(1000), NULL, NULL); /* half-open connections are closed */
	loop_source_remove(&g->reload);
	loop_source_remove(&g->asking);
	for (unsigned i = 0; i < g->nlines; i++)
		plc_stop(&g->lines[i].plc);
	broker_destroy(g->broker);
	own_topics_destroy(g->topics);
	gateway_config_destroy(g->cfg);
	g->dialer->destroy(g->dialer);
	sim_net_destroy(g->net);
	sim_world_destroy(g->world);
}
