/*
 * Foreign masters on a serial line: through the routes and on the map of the Modbus view, while more polls are asked than fit and commands come. Ten
 * minutes of simulated time from each seed: every answer is right, each request has one, nobody talks while another does, and
 * the silence is before every frame. LINESIDE_SEED=n replays one, LINESIDE_SEEDS=n runs so many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "field_world.h"
#include "net/stream_tcp.h"
#include "rtu_line.h"
#include "views/modbus_view.h"
#include "wire/modbus.h"

#define SEEDS     12u
#define MINUTES   10u
#define NUNITS    5u
#define SILENT    4u
#define SLOW      5u
#define VIEW_UNIT 100u
#define NPASSING  4u
#define NMASTERS \
	6u /* the last two are on the map; what they write would have all of the line, so they pause */
#define TICKS      5u /* they ask so often in a second */
#define IN_FLIGHT  3u
#define FIXED_FROM 100u /* foreign masters read these */
#define SCRATCH    150u /* and each has one to write here */
#define OWN_TAGS   10u  /* the tags of a device that are written are behind so many that are read */

/* ---- a master ---- */

struct asked {
	bool is_open;
	uint16_t transaction;
	uint8_t unit;
	struct modbus_req req;
};

struct master {
	struct stage *stage;
	unsigned id;
	bool on_map;
	unsigned in_flight, most;
	struct stream *stream;
	struct asked asked[IN_FLIGHT];
	uint16_t next_transaction;
	uint16_t last_count[NUNITS + 1]; /* of LINE_COUNT, which only grows */
	uint16_t written[NUNITS + 1];    /* what its register of the unit has */
	uint64_t sent, answered, failed;
	size_t len;
	uint8_t bytes[4 * MODBUS_ADU_MAX];
};

struct stage {
	struct world *w;
	struct rtu_line line;
	struct modbus_view *view;
	struct listener *listener;
	struct master masters[NMASTERS];
	bool is_ending;
	unsigned sets, results, set_ok;
};

static unsigned draw(struct master *m, unsigned n)
{
	return (unsigned)sim_random(m->stage->w->sim, n);
}

static uint16_t tag_place(unsigned unit, unsigned at)
{
	return (uint16_t)(100 * (unit - 1) + at);
}

/* On the map: what is polled of a unit, or a write to the tag that is this master's own. */
static void draw_map(struct master *m, struct asked *a, unsigned unit)
{
	a->unit = VIEW_UNIT;
	a->req = (struct modbus_req){.fc = MODBUS_FC_READ_HOLDING_REGISTERS,
				     .address = tag_place(unit, draw(m, OWN_TAGS - 2)),
				     .count = 2};
	if (draw(m, 4) == 0) {
		a->req.fc = MODBUS_FC_WRITE_SINGLE_REGISTER;
		a->req.address = tag_place(unit, OWN_TAGS + 1 + m->id - NPASSING);
		a->req.count = 1;
		a->req.data.regs[0] = (uint16_t)draw(m, 1000);
	}
}

static void draw_pass(struct master *m, struct asked *a, unsigned unit)
{
	a->unit = (uint8_t)unit;
	a->req = (struct modbus_req){.fc = MODBUS_FC_READ_HOLDING_REGISTERS};
	switch (draw(m, 4)) {
	case 0:
		a->req.address = LINE_COUNT;
		a->req.count = 2;
		break;
	case 1:
		a->req.address = (uint16_t)(FIXED_FROM + draw(m, 30));
		a->req.count = (uint16_t)(1 + draw(m, 20));
		break;
	case 2:
		a->req.address = (uint16_t)(SCRATCH + m->id);
		a->req.count = 1;
		break;
	default:
		a->req.fc = MODBUS_FC_WRITE_SINGLE_REGISTER;
		a->req.address = (uint16_t)(SCRATCH + m->id);
		a->req.count = 1;
		a->req.data.regs[0] = (uint16_t)draw(m, UINT16_MAX);
	}
}

static void send_next(struct master *m)
{
	struct asked *a = m->asked;
	uint8_t pdu[MODBUS_PDU_MAX], adu[MODBUS_ADU_MAX];
	struct iovec iov = {.iov_base = adu};
	size_t len = 0, put = 0;

	while (a->is_open)
		a++;
	if (m->on_map)
		draw_map(m, a, 1 + draw(m, NUNITS));
	else
		draw_pass(m, a, 1 + draw(m, NUNITS));
	a->is_open = true;
	a->transaction = m->next_transaction++;
	assert_int_equal(modbus_req_encode(&a->req, pdu, sizeof(pdu), &len), OK);
	assert_int_equal(
		modbus_adu_encode(a->transaction, a->unit, span_of(pdu, len), adu, sizeof(adu), &iov.iov_len),
		OK);
	assert_int_equal(stream_write(m->stream, &iov, 1, &put), OK);
	assert_int_equal(put, iov.iov_len);
	m->in_flight++;
	m->sent++;
}

/* ---- is the answer right? ---- */

static void check_map(const struct asked *a, int exception, const union modbus_data *data)
{
	unsigned unit = a->req.address / 100 + 1, at = a->req.address % 100;

	if (unit == SILENT) {
		assert_int_equal(exception, MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED);
		return;
	}
	assert_int_equal(exception, 0);
	if (a->req.fc == MODBUS_FC_READ_HOLDING_REGISTERS)
		for (unsigned i = 0; i < a->req.count; i++)
			assert_int_equal(data->regs[i], 1000 * unit + at + i);
}

static void check_fixed(const struct asked *a, const union modbus_data *data)
{
	for (unsigned i = 0; i < a->req.count; i++)
		assert_int_equal(data->regs[i], 1000u * a->unit + a->req.address + i);
}

static void check_pass(struct master *m, const struct asked *a, int exception, const union modbus_data *data)
{
	if (a->unit == SILENT) {
		assert_int_equal(exception, MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED);
		return;
	}
	assert_int_equal(exception, 0);
	if (a->req.fc == MODBUS_FC_WRITE_SINGLE_REGISTER) {
		m->written[a->unit] = a->req.data.regs[0];
	} else if (a->req.address == LINE_COUNT) {
		assert_int_equal(data->regs[0], (uint16_t)~data->regs[1]);
		assert_in_range((uint16_t)(data->regs[0] - m->last_count[a->unit]), 1, 10000);
		m->last_count[a->unit] = data->regs[0];
	} else if (a->req.address >= SCRATCH && m->most == 1) {
		assert_int_equal(data->regs[0], m->written[a->unit]);
	} else if (a->req.address + a->req.count <= SCRATCH) {
		check_fixed(a, data);
	}
}

static void take_answer(struct master *m, const struct modbus_adu *adu)
{
	union modbus_data data = {0};
	uint8_t exception = 0;
	struct asked *a = m->asked;
	int rc;

	while (a < m->asked + IN_FLIGHT && !(a->is_open && a->transaction == adu->transaction))
		a++;
	assert_true(a < m->asked + IN_FLIGHT); /* each request has one answer, and none comes unasked */
	assert_int_equal(adu->unit, a->unit);
	rc = modbus_rsp_decode(adu->pdu.p, adu->pdu.len, &a->req, &data, &exception);
	assert_true(rc == OK || rc == ERR_REMOTE);
	if (m->on_map)
		check_map(a, rc == OK ? 0 : exception, &data);
	else
		check_pass(m, a, rc == OK ? 0 : exception, &data);
	a->is_open = false;
	m->in_flight--;
	m->answered++;
	m->failed += rc != OK;
}

static void send_more(struct master *m)
{
	while (!m->stage->is_ending && m->in_flight < m->most)
		send_next(m);
}

static void on_ready(struct stream *s, unsigned events)
{
	struct master *m = s->owner;
	struct modbus_adu adu;
	bool more = true;
	size_t got = 0;

	(void)events;
	while (more && stream_read(s, m->bytes + m->len, sizeof(m->bytes) - m->len, &got, &more) == OK) {
		m->len += got;
		while (modbus_adu_split(m->bytes, m->len, &adu) == OK) {
			take_answer(m, &adu);
			m->len -= adu.size;
			memmove(m->bytes, m->bytes + adu.size, m->len);
		}
	}
	if (!m->on_map)
		send_more(m);
}

static void join(struct stage *s, unsigned id)
{
	struct master *m = &s->masters[id];
	struct dialer *dialer;

	/* One sends without waiting for the answers. */
	*m = (struct master){.stage = s, .id = id, .on_map = id >= NPASSING, .most = id == 0 ? IN_FLIGHT : 1};
	for (unsigned u = 1; u <= NUNITS; u++)
		m->written[u] = (uint16_t)(1000 * u + SCRATCH + id);
	assert_int_equal(sim_net_dialer(s->w->net, "view", &dialer), OK);
	assert_int_equal(dialer->dial(dialer, s->w->device_loop, &m->stream), OK);
	m->stream->owner = m;
	m->stream->ready = on_ready;
	dialer->destroy(dialer);
}

/* ---- the gateway ---- */

static void on_published(struct world *w, const struct tag_message *msg)
{
	struct stage *s = w->bus;

	if (!strstr(msg->topic, "/set/result"))
		return;
	s->results++;
	s->set_ok += strstr((const char *)msg->payload.p, "\"ok\":true") != NULL;
}

static void show(struct stage *s, uint32_t baud)
{
	static char yaml[16384];
	size_t at = (size_t)snprintf(yaml, sizeof(yaml),
				     "gateway: {name: p}\n"
				     "lines: [{name: bus, type: modbus-rtu, path: /dev/bus, baud: %u, "
				     "timeout: 300ms}]\n"
				     "views: {modbus: {unit: %u, pass: [{units: '1-%u', line: bus}]}}\n"
				     "devices:\n",
				     (unsigned)baud, VIEW_UNIT, NUNITS);

	for (unsigned u = 1; u <= NUNITS; u++) {
		at += (size_t)snprintf(
			yaml + at, sizeof(yaml) - at,
			"  - {name: u%u, line: bus, unit: %u, groups: [{name: g, scan: 50ms}], "
			"tags: [",
			u, u);
		for (unsigned i = 0; i < OWN_TAGS + 3; i++)
			at += (size_t)snprintf(yaml + at, sizeof(yaml) - at,
					       "{name: r%u, address: 'holding:%u', type: uint16%s}, ", i, i,
					       i < OWN_TAGS ? "" : ", access: rw");
		at += (size_t)snprintf(yaml + at, sizeof(yaml) - at, "]}\n");
	}
	world_apply(s->w, yaml);
	assert_int_equal(modbus_view_prepare(s->view, s->w->cfg), OK);
	modbus_view_commit(s->view);
}

static void stage_open(struct stage *s, uint64_t seed)
{
	static const uint32_t bauds[] = {9600, 19200, 38400};
	uint32_t baud = bauds[seed % 3];
	struct sim_bus_faults faults = {0};

	*s = (struct stage){.w = world_create(seed)};
	rtu_line_open(&s->line, s->w->sim, baud, NUNITS);
	s->line.units[SILENT - 1].is_silent = true;
	s->line.units[SLOW - 1].delay_us = 40000;
	faults.max_delay_us = seed % 2 ? 2000 : 0;
	sim_bus_set_faults(s->line.bus, &faults);
	s->w->wire = s->line.bus;
	s->w->bus = s;
	s->w->published = on_published;
	assert_int_equal(modbus_view_create(s->w->field_loop, s->w->field, &s->view), OK);
	show(s, baud);
	assert_int_equal(sim_net_listen(s->w->net, s->w->field_loop, "view", modbus_view_acceptor(s->view),
					&s->listener),
			 OK);
	world_run(s->w, 10000); /* everything was read */
	for (unsigned i = 0; i < NMASTERS; i++)
		join(s, i);
}

static void stage_close(struct stage *s)
{
	for (unsigned i = 0; i < NMASTERS; i++)
		stream_close(s->masters[i].stream);
	sim_net_unlisten(s->listener);
	modbus_view_destroy(s->view);
	field_destroy(s->w->field);
	s->w->field = NULL;
	rtu_line_close(&s->line);
	world_destroy(s->w);
}

/* ---- ten minutes ---- */

static void command(struct stage *s)
{
	unsigned unit = 1 + (unsigned)sim_random(s->w->sim, NUNITS);
	char topic[64], payload[64];

	snprintf(topic, sizeof(topic), "p/u%u/r%u/set", unit, OWN_TAGS);
	snprintf(payload, sizeof(payload), "{\"id\":\"%u\",\"value\":%u}", s->sets, s->sets % 1000);
	world_set(s->w, topic, payload);
	s->sets++;
}

static void check_line(const struct stage *s, uint64_t seed)
{
	const struct rtu_line *l = &s->line;
	uint64_t all_ns = 0;

	for (unsigned k = 0; k < FRAME_KINDS; k++)
		all_ns += l->busy_ns[k];
	print_message("# seed %llu: polls %llu (%llu %% of the time), commands %llu, passed %llu; least gap "
		      "%llu ns of %llu\n",
		      (unsigned long long)seed, (unsigned long long)l->frames[FRAME_POLL],
		      (unsigned long long)(l->busy_ns[FRAME_POLL] * 100 / all_ns),
		      (unsigned long long)l->frames[FRAME_COMMAND], (unsigned long long)l->frames[FRAME_PASS],
		      (unsigned long long)l->least_gap_ns, (unsigned long long)l->silence_ns);
	assert_int_equal(rtu_line_collisions(l), 0);
	assert_true(l->least_gap_ns >= l->silence_ns);
	assert_true(l->busy_ns[FRAME_POLL] * 100 >= all_ns * 19);
	assert_true(l->busy_ns[FRAME_PASS] * 100 >= all_ns * 19);
}

static void run_seed(uint64_t seed)
{
	struct stage s;

	stage_open(&s, seed);
	for (unsigned i = 0; i < MINUTES * 60 * TICKS; i++) {
		world_run(s.w, 1000 / TICKS);
		for (unsigned m = NPASSING; m < NMASTERS; m++)
			send_more(&s.masters[m]);
		if (i % TICKS == 0)
			command(&s);
	}
	s.is_ending = true;
	world_run(s.w, 10000);
	for (unsigned i = 0; i < NMASTERS; i++) {
		assert_int_equal(s.masters[i].answered, s.masters[i].sent);
		assert_true(s.masters[i].answered > s.masters[i].failed + 500);
	}
	assert_int_equal(s.results, s.sets);
	check_line(&s, seed);
	stage_close(&s);
}

static void complaint_10_15_masters_polls_and_commands_share_a_serial_line(void **state)
{
	const char *one = getenv("LINESIDE_SEED"), *many = getenv("LINESIDE_SEEDS");
	uint64_t first = one ? strtoull(one, NULL, 10) : 1;
	uint64_t last = one ? first : many ? strtoull(many, NULL, 10) : SEEDS;

	(void)state;
	for (uint64_t seed = first; seed <= last; seed++) {
		print_message("# LINESIDE_SEED=%llu\n", (unsigned long long)seed);
		run_seed(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(complaint_10_15_masters_polls_and_commands_share_a_serial_line),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
