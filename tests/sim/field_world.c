#include "field_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/alloc_fail.h"
#include "north/table.h"
#include "south/io_rack.h"
#include "south/table.h"

/* ---- what is published ---- */

static void copy_text(char *to, size_t size, struct span from)
{
	size_t n = from.len < size - 1 ? from.len : size - 1;

	if (n)
		memcpy(to, from.p, n);
	to[n] = '\0';
}

static struct seen *find_seen(const struct world *w, const char *topic)
{
	for (unsigned i = 0; i < w->nseen; i++)
		if (strcmp(w->seen[i].topic, topic) == 0)
			return (struct seen *)(uintptr_t)&w->seen[i];
	return NULL;
}

static void sink_publish(struct tag_sink *sink, const struct tag_message *m)
{
	struct world *w = container_of(sink, struct world, sink);
	struct seen *s = find_seen(w, m->topic);

	w->nmessages++;
	if (w->published)
		w->published(w, m);
	if (!s) {
		assert_true(w->nseen < WORLD_TOPICS);
		s = &w->seen[w->nseen++];
		copy_text(s->topic, sizeof(s->topic), span_str(m->topic));
	}
	copy_text(s->payload, sizeof(s->payload), m->payload);
	copy_text(s->correlation, sizeof(s->correlation), m->correlation_data);
	s->retain = m->retain;
	s->count++;
	s->at_us = sim_now_us(w->sim);
}

const struct seen *world_seen(const struct world *w, const char *topic)
{
	return find_seen(w, topic);
}

bool world_has(const struct world *w, const char *topic, const char *part)
{
	const struct seen *s = find_seen(w, topic);

	return s && strstr(s->payload, part);
}

/* ---- devices ---- */

static bool touches(const struct sim_device *d, unsigned address, unsigned count)
{
	return address < d->refused_to && address + count > d->refused_from;
}

static void note_write(struct sim_device *d, uint8_t unit, unsigned address)
{
	d->writes++;
	d->unit_writes[unit]++;
	d->written[d->nwritten++ % 64] = address;
}

static enum modbus_exception check(struct sim_device *d, uint8_t unit, unsigned address, unsigned count)
{
	if (unit == d->absent_unit)
		return MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED;
	if (address + count > DEVICE_REGS || touches(d, address, count))
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	return MODBUS_EXCEPTION_NONE;
}

static enum modbus_exception read_bits(void *model, uint8_t unit, enum modbus_area area, uint16_t address,
				       uint16_t count, uint8_t *bits)
{
	struct sim_device *d = model;
	enum modbus_exception e = check(d, unit, address, count);

	(void)area;
	d->reads++;
	for (unsigned i = 0; e == MODBUS_EXCEPTION_NONE && i < count; i++)
		modbus_bit_set(bits, i, d->coils[address + i]);
	return e;
}

static enum modbus_exception read_regs(void *model, uint8_t unit, enum modbus_area area, uint16_t address,
				       uint16_t count, uint16_t *regs)
{
	struct sim_device *d = model;
	enum modbus_exception e = check(d, unit, address, count);

	(void)area;
	d->reads++;
	if (d->longest && count > d->longest)
		e = MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
	d->exceptions += e != MODBUS_EXCEPTION_NONE;
	d->widest = count > d->widest ? count : d->widest;
	if (e == MODBUS_EXCEPTION_NONE)
		memcpy(regs, &d->regs[address], count * sizeof(*regs));
	return e;
}

static enum modbus_exception write_bits(void *model, uint8_t unit, uint16_t address, uint16_t count,
					const uint8_t *bits)
{
	struct sim_device *d = model;
	enum modbus_exception e = d->write_exception ? d->write_exception : check(d, unit, address, count);

	note_write(d, unit, address);
	for (unsigned i = 0; e == MODBUS_EXCEPTION_NONE && i < count; i++)
		d->coils[address + i] = modbus_bit_get(bits, i);
	return e;
}

static enum modbus_exception write_regs(void *model, uint8_t unit, uint16_t address, uint16_t count,
					const uint16_t *regs)
{
	struct sim_device *d = model;
	enum modbus_exception e = d->write_exception ? d->write_exception : check(d, unit, address, count);

	note_write(d, unit, address);
	for (unsigned i = 0; e == MODBUS_EXCEPTION_NONE && i < count; i++)
		d->regs[address + i] = d->is_clipping && regs[i] > 100 ? 100 : regs[i];
	return e;
}

static const struct modbus_model_ops model_ops = {
	.read_bits = read_bits, .read_regs = read_regs, .write_bits = write_bits, .write_regs = write_regs};

/* Over TCP, functions are counted, or not known. */
static void answer_request(void *handler, struct modbus_server_request *r)
{
	struct sim_device *d = handler;
	uint8_t fc = r->pdu[0] & 0x7f, out[MODBUS_PDU_MAX];

	d->requests[fc]++;
	if (d->lacks[fc])
		modbus_server_refuse(r, MODBUS_EXCEPTION_ILLEGAL_FUNCTION);
	else
		modbus_server_answer(r, span_of(out, modbus_model_answer(&model_ops, d, r->unit,
									 span_of(r->pdu, r->pdu_len), out)));
}

static const struct modbus_handler_ops handler_ops = {.request = answer_request};

static void slave_ended(struct modbus_slave *s, void *arg)
{
	struct sim_device *d = arg;

	for (size_t i = 0; i < sizeof(d->slaves) / sizeof(*d->slaves); i++)
		if (d->slaves[i] == s)
			d->slaves[i] = NULL;
	modbus_slave_destroy(s);
}

static void serial_accepted(struct acceptor *a, struct stream *s)
{
	struct sim_device *d = container_of(a, struct sim_device, serial);
	struct modbus_slave_options options = {0};
	size_t i = 0;

	for (unsigned unit = 1; unit <= 4; unit++)
		modbus_units_add(&options.units, unit);
	while (d->slaves[i])
		assert_true(++i < sizeof(d->slaves) / sizeof(*d->slaves));
	assert_int_equal(modbus_slave_create(d->world->device_loop, s, &options, &model_ops, d, slave_ended,
					     d, &d->slaves[i]),
			 OK);
	assert_int_equal(stream_attach(s, d->world->device_loop), OK);
}

static void swallow(struct stream *s, unsigned events)
{
	struct sim_device *d = s->owner;
	uint8_t buf[512];
	size_t got;
	bool more = true;

	(void)events;
	while (more && stream_read(s, buf, sizeof(buf), &got, &more) == OK)
		if (d->server)
			sim_stream_cut(s);
}

static void hole_accepted(struct acceptor *a, struct stream *s)
{
	struct sim_device *d = container_of(a, struct sim_device, hole);

	assert_true(d->nheld < sizeof(d->held) / sizeof(*d->held));
	d->held[d->nheld++] = s;
	s->ready = swallow;
	s->owner = d;
	assert_int_equal(stream_attach(s, d->world->device_loop), OK);
}

static void stop(struct sim_device *d)
{
	sim_net_unlisten(d->listener);
	d->listener = NULL;
	modbus_server_destroy(d->server);
	d->server = NULL;
}

void device_die(struct sim_device *d)
{
	stop(d);
	for (size_t i = 0; i < sizeof(d->slaves) / sizeof(*d->slaves); i++) {
		modbus_slave_destroy(d->slaves[i]);
		d->slaves[i] = NULL;
	}
	for (; d->nheld; d->nheld--)
		stream_close(d->held[d->nheld - 1]);
}

void device_reboot(struct sim_device *d)
{
	stop(d);
	assert_int_equal(modbus_server_create_handled(d->world->device_loop, &handler_ops, d, 8, &d->server),
			 OK);
	assert_int_equal(sim_net_listen(d->world->net, d->world->device_loop, d->name,
					modbus_server_acceptor(d->server), &d->listener),
			 OK);
}

void device_return(struct sim_device *d)
{
	device_die(d);
	device_reboot(d);
}

void device_hang(struct sim_device *d)
{
	device_die(d);
	assert_int_equal(
		sim_net_listen(d->world->net, d->world->device_loop, d->name, &d->hole, &d->listener), OK);
}

static struct sim_device *add_device(struct world *w, const char *name)
{
	struct sim_device *d = &w->devices[w->ndevices++];

	assert_true(w->ndevices <= WORLD_DEVICES);
	d->world = w;
	d->name = name;
	d->absent_unit = 255;
	d->hole.accepted = hole_accepted;
	d->serial.accepted = serial_accepted;
	return d;
}

struct sim_device *world_device(struct world *w, const char *name)
{
	struct sim_device *d = add_device(w, name);

	device_return(d);
	return d;
}

struct sim_device *world_serial_device(struct world *w, const char *name)
{
	struct sim_device *d = add_device(w, name);

	assert_int_equal(sim_net_listen(w->net, w->device_loop, name, &d->serial, &d->listener), OK);
	return d;
}

/* ---- the world ---- */

static int make_source(struct source_factory *f, struct loop *loop, const struct config_line *line,
		       struct source **out)
{
	struct world *w = container_of(f, struct world, factory);
	struct dialer *dialer;
	int rc;

	if (line->type == CONFIG_LINE_SIM)
		return io_rack_create(loop, line, io_sim_create, out);
	if (w->source && strcmp(line->host, "bus") == 0) {
		*out = w->source;
		return OK;
	}
	rc = line->type == CONFIG_LINE_MODBUS_RTU ? sim_bus_dialer(w->wire, &dialer)
						  : sim_net_dialer(w->net, line->host, &dialer);
	if (rc < 0)
		return rc;
	rc = line->type == CONFIG_LINE_MODBUS_TCP ? modbus_tcp_source_create(loop, line, dialer, out)
						  : modbus_rtu_source_create(loop, line, dialer, out);
	if (rc < 0)
		dialer->destroy(dialer);
	return rc;
}

struct world *world_create(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(sim_world_create(seed, &w->sim), OK);
	assert_int_equal(sim_net_create(w->sim, &w->net), OK);
	assert_int_equal(sim_loop_create(w->sim, &w->field_loop), OK);
	assert_int_equal(sim_loop_create(w->sim, &w->device_loop), OK);
	w->factory.create = make_source;
	w->sink.publish = sink_publish;
	assert_int_equal(field_create(w->field_loop, &w->sink, &w->factory, &north_formats, &w->field), OK);
	return w;
}

void world_destroy(struct world *w)
{
	field_destroy(w->field);
	gateway_config_destroy(w->cfg);
	for (unsigned i = 0; i < w->ndevices; i++)
		device_die(&w->devices[i]);
	sim_net_destroy(w->net);
	loop_destroy(w->field_loop);
	loop_destroy(w->device_loop);
	sim_world_destroy(w->sim);
	free(w);
}

struct gateway_config *world_parse(const char *yaml)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;

	faults_init(&faults, "test.yaml");
	if (gateway_config_parse("test.yaml", yaml, strlen(yaml), &cfg, &faults) < 0) {
		faults_print(&faults, stderr);
		fail_msg("the configuration is wrong");
	}
	faults_fini(&faults);
	return cfg;
}

void world_apply(struct world *w, const char *yaml)
{
	struct gateway_config *cfg = world_parse(yaml);

	assert_int_equal(field_apply(w->field, cfg), OK);
	gateway_config_destroy(w->cfg);
	w->cfg = cfg;
}

bool world_apply_failing(struct world *w, struct gateway_config *next, long n)
{
	bool hit;
	int rc;

	alloc_fail_at(n);
	rc = field_apply(w->field, next);
	hit = alloc_fail_end();
	assert_int_equal(rc, hit ? ERR_NOMEM : OK);
	if (hit)
		return false;
	gateway_config_destroy(w->cfg);
	w->cfg = next;
	return true;
}

void world_run(struct world *w, uint64_t ms)
{
	int rc = sim_run(w->sim, ms * 1000, NULL, NULL);

	assert_true(rc == ERR_TIMEOUT ||
		    rc == ERR_NOT_FOUND); /* time is over, or nothing is left to happen */
}

struct awaited {
	const struct world *w;
	const char *topic, *part;
};

static bool is_seen(void *arg)
{
	const struct awaited *a = arg;

	return world_has(a->w, a->topic, a->part);
}

uint64_t world_await(struct world *w, const char *topic, const char *part, uint64_t limit_ms)
{
	struct awaited a = {w, topic, part};
	uint64_t start = sim_now_us(w->sim);

	if (sim_run(w->sim, limit_ms * 1000, is_seen, &a) < 0) {
		const struct seen *s = world_seen(w, topic);

		fail_msg("%s is %s after %lu ms, not %s", topic, s ? s->payload : "unknown",
			 (unsigned long)limit_ms, part);
	}
	return (sim_now_us(w->sim) - start) / 1000;
}

void world_set(struct world *w, const char *topic, const char *payload)
{
	struct field_set set = {.topic = topic, .payload = span_str(payload)};

	assert_int_equal(field_set(w->field, &set), OK);
}
