/*
 * The Modbus view on simulated time and wire: foreign masters of raw bytes on one side, the field side and its devices on the other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc_fail.h"
#include "base/log.h"
#include "field_world.h"
#include "net/stream_tcp.h"
#include "views/modbus_view.h"
#include "wire/modbus.h"

#define BAD 0x0B

/* clang-format off */
static const char yaml[] =
	"gateway: {name: plant1}\n"
	"lines:\n"
	"  - {name: press, type: modbus-tcp, host: press}\n"
	"  - {name: gone, type: modbus-tcp, host: gone, timeout: 100ms}\n"
	"devices:\n"
	"  - name: m\n"
	"    line: press\n"
	"    unit: 1\n"
	"    groups: [{name: fast, scan: 100ms}]\n"
	"    tags:\n"
	"      - {name: a, address: 'holding:0', type: int16, access: rw, min: 0, max: 500}\n" /* 0 */
	"      - {name: fixed, address: 'holding:1', type: int16}\n"                           /* 1 */
	"      - {name: wide, address: 'holding:2', type: uint32, access: rw}\n"               /* 2, 3 */
	"      - {name: tenth, address: 'holding:4', type: int16, scale: 0.1, access: rw}\n"   /* 4, 5: float32 */
	"      - {name: s, address: 'holding:10', type: string, length: 4, access: rw}\n"      /* 6, 7 */
	"      - {name: raw, address: 'holding:12', type: bytes, length: 2, access: rw}\n"     /* 8 */
	"      - {name: c, address: 'coil:0', type: bool, access: rw}\n"
	"      - {name: k, address: 'coil:1', type: bool}\n"
	"  - {name: x, line: gone, tags: [{name: a, address: 'holding:0', type: int16, access: rw}]}\n"; /* 100 */
/* clang-format on */

/* ---- a master ---- */

struct master {
	struct world *world;
	struct stream *stream;
	bool ended;
	uint8_t unit;
	size_t len;
	uint8_t bytes[64 * 1024];
};

static void take(struct stream *s, unsigned events)
{
	struct master *m = s->owner;
	bool more = true;

	(void)events;
	while (more && m->len < sizeof(m->bytes)) {
		size_t got = 0;
		int rc = stream_read(s, m->bytes + m->len, sizeof(m->bytes) - m->len, &got, &more);

		if (rc < 0) {
			m->ended = m->ended || rc != ERR_AGAIN;
			return;
		}
		m->len += got;
	}
}

static void join(struct world *w, struct master *m)
{
	struct dialer *dialer;

	*m = (struct master){.world = w, .unit = 1};
	assert_int_equal(sim_net_dialer(w->net, "view", &dialer), OK);
	assert_int_equal(dialer->dial(dialer, w->device_loop, &m->stream), OK);
	m->stream->owner = m;
	m->stream->ready = take;
	world_run(w, 100);
	dialer->destroy(dialer);
}

static void leave(struct master *m)
{
	stream_close(m->stream);
}

static void send_pdu(struct master *m, uint16_t transaction, const uint8_t *pdu, size_t len)
{
	uint8_t adu[MODBUS_ADU_MAX];
	struct iovec iov = {.iov_base = adu};
	size_t put = 0;

	assert_int_equal(
		modbus_adu_encode(transaction, m->unit, span_of(pdu, len), adu, sizeof(adu), &iov.iov_len),
		OK);
	assert_int_equal(stream_write(m->stream, &iov, 1, &put), OK);
	assert_int_equal(put, iov.iov_len);
}

/* Send a request and wait for its answer: 0, or the exception. */
static int ask(struct master *m, const struct modbus_req *req, union modbus_data *data)
{
	uint8_t pdu[MODBUS_PDU_MAX], exception = 0;
	struct modbus_adu adu;
	size_t len = 0;
	int rc;

	assert_int_equal(modbus_req_encode(req, pdu, sizeof(pdu), &len), OK);
	m->len = 0;
	send_pdu(m, 7, pdu, len);
	for (unsigned i = 0; i < 1000 && modbus_adu_split(m->bytes, m->len, &adu) < 0; i++)
		world_run(m->world, 10);
	assert_int_equal(modbus_adu_split(m->bytes, m->len, &adu), OK);
	assert_int_equal(adu.size, m->len);
	assert_int_equal(adu.transaction, 7);
	assert_int_equal(adu.unit, m->unit);
	rc = modbus_rsp_decode(adu.pdu.p, adu.pdu.len, req, data, &exception);
	assert_true(rc == OK || rc == ERR_REMOTE);
	return rc == OK ? 0 : exception;
}

static int rd_regs(struct master *m, uint16_t address, uint16_t count, uint16_t *regs)
{
	struct modbus_req req = {.fc = MODBUS_FC_READ_HOLDING_REGISTERS, .address = address, .count = count};
	union modbus_data data = {0};
	int e = ask(m, &req, &data);

	memcpy(regs, data.regs, count * sizeof(*regs));
	return e;
}

static int rd_bits(struct master *m, uint16_t address, uint16_t count, uint8_t *bits)
{
	struct modbus_req req = {.fc = MODBUS_FC_READ_COILS, .address = address, .count = count};
	union modbus_data data = {0};
	int e = ask(m, &req, &data);

	*bits = data.bits[0];
	return e;
}

static int wr_regs(struct master *m, uint16_t address, uint16_t count, const uint16_t *regs)
{
	struct modbus_req req = {.fc = count == 1 ? MODBUS_FC_WRITE_SINGLE_REGISTER
						  : MODBUS_FC_WRITE_MULTIPLE_REGISTERS,
				 .address = address,
				 .count = count};
	union modbus_data data = {0};

	memcpy(req.data.regs, regs, count * sizeof(*regs));
	return ask(m, &req, &data);
}

static int wr_reg(struct master *m, uint16_t address, uint16_t value)
{
	return wr_regs(m, address, 1, &value);
}

static int wr_coil(struct master *m, uint16_t address, bool on)
{
	struct modbus_req req = {.fc = MODBUS_FC_WRITE_SINGLE_COIL, .address = address, .count = 1};
	union modbus_data data = {0};

	req.data.bits[0] = on;
	return ask(m, &req, &data);
}

/* ---- the view in a world ---- */

struct stage {
	struct world *w;
	struct sim_device *press;
	struct modbus_view *view;
	struct listener *listener;
	struct gateway_config *shown;
	struct master m;
};

static void show_text(struct stage *s, const char *text)
{
	struct gateway_config *old = s->shown;

	s->shown = world_parse(text);
	assert_int_equal(modbus_view_prepare(s->view, s->shown), OK);
	world_apply(s->w, text);
	modbus_view_commit(s->view);
	gateway_config_destroy(old);
}

static void show(struct stage *s, const char *views)
{
	char text[8192];

	snprintf(text, sizeof(text), "%s%s", yaml, views);
	show_text(s, text);
}

static void stage_open(struct stage *s, uint64_t seed, const char *views)
{
	*s = (struct stage){.w = world_create(seed)};
	s->press = world_device(s->w, "press");
	for (unsigned i = 0; i < DEVICE_REGS; i++)
		s->press->regs[i] = (uint16_t)(i + 1);
	assert_int_equal(modbus_view_create(s->w->field_loop, s->w->field, &s->view), OK);
	show(s, views);
	assert_int_equal(sim_net_listen(s->w->net, s->w->field_loop, "view", modbus_view_acceptor(s->view),
					&s->listener),
			 OK);
	world_run(s->w, 3000);
	join(s->w, &s->m);
}

static void stage_close(struct stage *s)
{
	leave(&s->m);
	sim_net_unlisten(s->listener);
	modbus_view_destroy(s->view);
	world_destroy(s->w);
	gateway_config_destroy(s->shown);
}

/* ---- the map ---- */

static void tags_are_read_as_registers_and_bits(void **state)
{
	struct stage s;
	uint16_t regs[9];
	uint8_t bits;

	(void)state;
	stage_open(&s, 1, "views: {modbus: {}}\n");
	s.press->coils[1] = true;
	world_run(s.w, 1000);
	assert_int_equal(rd_regs(&s.m, 0, 9, regs), 0);
	assert_int_equal(regs[0], 1);
	assert_int_equal(regs[1], 2);
	assert_int_equal(regs[2] << 16 | regs[3], 3 << 16 | 4);
	assert_int_equal(regs[4], 0x3F00); /* 5 * 0.1 as float32 */
	assert_int_equal(regs[5], 0);
	assert_int_equal(regs[8], 13);
	assert_int_equal(rd_regs(&s.m, 3, 1, regs), 0); /* half of a value */
	assert_int_equal(regs[0], 4);
	assert_int_equal(rd_bits(&s.m, 0, 2, &bits), 0);
	assert_int_equal(bits, 2);
	s.m.unit = 255;
	assert_int_equal(rd_regs(&s.m, 1, 1, regs), 0);
	stage_close(&s);
}

static void what_is_not_there_or_has_no_value_is_an_exception(void **state)
{
	struct stage s;
	uint16_t regs[20];
	uint8_t bits;

	(void)state;
	stage_open(&s, 2, "views: {modbus: {}}\n");
	assert_int_equal(rd_regs(&s.m, 8, 2, regs), 2);
	assert_int_equal(rd_regs(&s.m, 65535, 1, regs), 2);
	assert_int_equal(rd_bits(&s.m, 2, 1, &bits), 2);
	assert_int_equal(rd_regs(&s.m, 100, 1, regs), BAD);
	s.m.unit = 9;
	assert_int_equal(rd_regs(&s.m, 0, 1, regs), 0x0A);
	s.m.unit = 1;
	device_die(s.press);
	world_run(s.w, 5000);
	assert_int_equal(rd_regs(&s.m, 0, 1, regs), BAD);
	stage_close(&s);
}

static void the_last_good_value_is_held_when_asked(void **state)
{
	struct stage s;
	uint16_t regs[9];
	uint8_t bits;

	(void)state;
	stage_open(&s, 3, "views: {modbus: {bad: hold}}\n");
	s.press->regs[0] = 77;
	s.press->coils[0] = true;
	world_run(s.w, 1000);
	device_die(s.press);
	world_run(s.w, 5000);
	assert_int_equal(rd_regs(&s.m, 0, 1, regs), 0);
	assert_int_equal(regs[0], 77);
	assert_int_equal(rd_bits(&s.m, 0, 1, &bits), 0);
	assert_int_equal(bits, 1);
	assert_int_equal(rd_regs(&s.m, 100, 1, regs), BAD); /* never had one */
	/* A reload keeps them, of tags that stay what and where they were. */
	show(&s, "views: {modbus: {bad: hold, default_access: read, max_connections: 1}}\n");
	world_run(s.w, 1000);
	assert_int_equal(rd_regs(&s.m, 0, 4, regs), 0);
	assert_int_equal(regs[0], 77);
	assert_int_equal(regs[3], 4);
	assert_int_equal(rd_bits(&s.m, 0, 1, &bits), 0);
	assert_int_equal(bits, 1);
	assert_int_equal(rd_regs(&s.m, 100, 1, regs), BAD);
	show(&s, "views: {modbus: {bad: hold, order: CDAB}}\n");
	assert_int_equal(rd_regs(&s.m, 2, 2, regs), BAD);
	stage_close(&s);
}

/* ---- writes ---- */

static void a_write_is_answered_when_the_device_has_it(void **state)
{
	const uint16_t wide[] = {0x1234, 0x5678}, half[] = {0x4148, 0}, text[] = {0x4162, 0x6364};
	struct stage s;

	(void)state;
	stage_open(&s, 4, "views: {modbus: {}}\n");
	assert_int_equal(wr_reg(&s.m, 0, 321), 0);
	assert_int_equal(s.press->regs[0], 321);
	assert_int_equal(wr_regs(&s.m, 2, 2, wide), 0);
	assert_int_equal(s.press->regs[3], 0x5678);
	assert_int_equal(wr_regs(&s.m, 4, 2, half), 0); /* 12.5 */
	assert_int_equal(s.press->regs[4], 125);
	assert_int_equal(wr_regs(&s.m, 6, 2, text), 0);
	assert_int_equal(s.press->regs[10], 0x4162);
	assert_int_equal(wr_reg(&s.m, 8, 0xBEEF), 0);
	assert_int_equal(s.press->regs[12], 0xBEEF);
	assert_int_equal(wr_coil(&s.m, 0, true), 0);
	assert_true(s.press->coils[0]);
	stage_close(&s);
}

static void a_write_that_cannot_be_is_refused_and_changes_nothing(void **state)
{
	const uint16_t both[] = {5, 6, 7, 8}, far[] = {600, 0};
	struct stage s;
	unsigned writes;

	(void)state;
	stage_open(&s, 5, "views: {modbus: {}}\n");
	writes = s.press->writes;
	assert_int_equal(wr_reg(&s.m, 0, 501), 3);
	assert_int_equal(wr_reg(&s.m, 1, 5), 2);
	assert_int_equal(wr_reg(&s.m, 2, 5), 3); /* half of a value */
	assert_int_equal(wr_reg(&s.m, 50, 5), 2);
	assert_int_equal(wr_regs(&s.m, 0, 4, both), 2); /* one of them is read only */
	assert_int_equal(wr_regs(&s.m, 0, 1, far), 3);
	assert_int_equal(wr_coil(&s.m, 1, true), 2);
	assert_int_equal(wr_reg(&s.m, 100, 1), BAD);
	assert_int_equal(s.press->writes, writes);
	s.press->write_exception = MODBUS_EXCEPTION_SERVER_DEVICE_FAILURE;
	assert_int_equal(wr_reg(&s.m, 0, 5), 4);
	device_hang(s.press);
	assert_int_equal(wr_reg(&s.m, 0, 5), BAD);
	stage_close(&s);
}

static void several_tags_are_written_in_order_and_mask_and_read_write_work(void **state)
{
	const uint16_t four[] = {0x0001, 0x0002, 0x4120, 0};
	struct modbus_req mask = {.fc = MODBUS_FC_MASK_WRITE_REGISTER,
				  .address = 0,
				  .count = 1,
				  .and_mask = 0x00F0,
				  .or_mask = 0x0005};
	struct modbus_req both = {.fc = MODBUS_FC_READ_WRITE_REGISTERS,
				  .address = 0,
				  .count = 2,
				  .write_address = 0,
				  .write_count = 1};
	union modbus_data data = {0};
	struct stage s;

	(void)state;
	stage_open(&s, 6, "views: {modbus: {}}\n");
	assert_int_equal(wr_regs(&s.m, 2, 4, four), 0);
	assert_int_equal(s.press->regs[3], 2);
	assert_int_equal(s.press->regs[4], 100);
	s.press->regs[0] = 0x0132;
	world_run(s.w, 1000);
	assert_int_equal(ask(&s.m, &mask, &data), 0);
	assert_int_equal(s.press->regs[0], 0x0035);
	both.data.regs[0] = 44;
	assert_int_equal(ask(&s.m, &both, &data), 0);
	assert_int_equal(data.regs[0], 44); /* though no scan has seen it */
	assert_int_equal(data.regs[1], 2);
	stage_close(&s);
}

static void a_master_that_goes_leaves_its_write_behind(void **state)
{
	const uint8_t pdu[] = {MODBUS_FC_WRITE_SINGLE_REGISTER, 0, 0, 0, 99};
	struct master other;
	struct stage s;

	(void)state;
	stage_open(&s, 7, "views: {modbus: {pass: [{units: '5', line: press}]}}\n");
	join(s.w, &other);
	send_pdu(&other, 1, pdu, sizeof(pdu));
	other.unit = 5;
	send_pdu(&other, 2, pdu, sizeof(pdu));
	world_run(s.w, 1);
	leave(&other);
	world_run(s.w, 3000);
	assert_int_equal(s.press->regs[0], 99);
	stage_close(&s);
}

/* ---- who may ---- */

static void masters_may_what_their_network_may(void **state)
{
	struct modbus_view_stats stats;
	struct stage s;
	uint16_t reg;

	(void)state;
	stage_open(&s, 8, "views: {modbus: {default_access: read}}\n");
	assert_int_equal(rd_regs(&s.m, 0, 1, &reg), 0);
	assert_int_equal(wr_reg(&s.m, 0, 5), 1);
	assert_int_equal(s.press->regs[0], 1);
	show(&s,
	     "views: {modbus: {default_access: none}}\n"); /* who is connected stays so, and may nothing */
	assert_int_equal(rd_regs(&s.m, 0, 1, &reg), 1);
	modbus_view_stats(s.view, &stats);
	assert_int_equal(stats.forbidden, 2);
	show(&s, "views: {modbus: {default_access: write}}\n");
	world_run(s.w, 2000);
	assert_int_equal(wr_reg(&s.m, 0, 5), 0);
	stage_close(&s);
}

static void a_reload_keeps_masters_and_takes_the_new_map(void **state)
{
	struct stage s;
	uint16_t regs[2];

	(void)state;
	stage_open(&s, 9, "views: {modbus: {}}\n");
	show(&s, "views: {modbus: {order: CDAB}}\n");
	world_run(s.w, 2000);
	assert_int_equal(rd_regs(&s.m, 2, 2, regs), 0);
	assert_int_equal(regs[0], 4);
	assert_int_equal(regs[1], 3);
	assert_false(s.m.ended);
	stage_close(&s);
}

static void a_master_that_asks_keeps_the_outputs_of_its_line_out_of_their_safe_state(void **state)
{
	static const char text[] = "gateway: {name: plant1}\n"
				   "lines: [{name: press, type: modbus-tcp, host: press, watchdog: {watch: "
				   "modbus, timeout: 2s, clear: "
				   "manual}}]\n"
				   "devices: [{name: m, line: press, tags: [{name: a, address: 'holding:0', "
				   "type: int16, access: rw, "
				   "safe: 7}]}]\n"
				   "views: {modbus: {pass: [{units: '5', line: press}]}}\n";
	struct stage s;
	uint16_t reg;

	(void)state;
	stage_open(&s, 15, "views: {modbus: {}}\n");
	show_text(&s, text);
	for (unsigned i = 0; i < 10; i++) { /* one way and the other */
		s.m.unit = i % 2 ? 5 : 1;
		world_run(s.w, 1000);
		(void)rd_regs(&s.m, 0, 1, &reg);
	}
	s.m.unit = 1;
	assert_int_equal(wr_reg(&s.m, 0, 55), 0);
	world_run(s.w, 5000);
	assert_int_equal(s.press->regs[0], 7);
	assert_int_equal(wr_reg(&s.m, 0, 56), 4);
	stage_close(&s);
}

/* ---- units of lines ---- */

static void complaint_10_foreign_masters_reach_the_units_of_a_line(void **state)
{
	struct master other;
	struct stage s;
	uint16_t regs[2];

	(void)state;
	stage_open(&s, 10,
		   "views: {modbus: {pass: [{units: '2-9,20', line: press}, {units: '30', line: gone}]}}\n");
	join(s.w, &other); /* the device would serve several connections, but has one from us */
	s.m.unit = 2;
	other.unit = 20;
	assert_int_equal(rd_regs(&s.m, 200, 2, regs), 0);
	assert_int_equal(regs[1], 202);
	assert_int_equal(wr_reg(&other, 200, 4711), 0);
	assert_int_equal(rd_regs(&s.m, 200, 1, regs), 0);
	assert_int_equal(regs[0], 4711);
	assert_int_equal(rd_regs(&s.m, DEVICE_REGS, 1, regs), 2); /* the device's own exception */
	s.m.unit = 10;
	assert_int_equal(rd_regs(&s.m, 0, 1, regs), 0x0A); /* no such route */
	s.m.unit = 30;
	assert_int_equal(rd_regs(&s.m, 0, 1, regs), 0x0A); /* nobody takes the line's connection */
	device_hang(s.press);
	s.m.unit = 2;
	assert_int_equal(rd_regs(&s.m, 0, 1, regs), BAD);
	leave(&other);
	stage_close(&s);
}

static void a_route_lets_through_so_many_requests_a_second(void **state)
{
	struct modbus_view_stats stats;
	unsigned done = 0, busy = 0;
	struct stage s;
	uint16_t reg;

	(void)state;
	stage_open(&s, 11, "views: {modbus: {pass: [{units: '2', line: press, rate: 10}]}}\n");
	s.m.unit = 2;
	for (unsigned i = 0; i < 200; i++) {
		int e = rd_regs(&s.m, 0, 1, &reg);

		assert_true(e == 0 || e == MODBUS_EXCEPTION_SERVER_DEVICE_BUSY);
		done += e == 0;
		busy += e != 0;
		world_run(s.w, 10);
	}
	assert_true(busy > 0);
	assert_in_range(done, 10, 60);
	modbus_view_stats(s.view, &stats);
	assert_int_equal(stats.limited, busy);
	assert_int_equal(stats.passed, done);
	stage_close(&s);
}

/* ---- ten minutes ---- */

/* The device's registers 300 and 301 are always each other's complement: an answer in which they are not is a wrong one. */
static void complaint_10_ten_minutes_of_masters_polls_and_writes_without_a_wrong_answer(void **state)
{
	struct master others[3];
	struct stage s;
	uint16_t regs[2];

	(void)state;
	stage_open(&s, 12, "views: {modbus: {pass: [{units: '2-9', line: press}]}}\n");
	for (unsigned i = 0; i < 3; i++) {
		join(s.w, &others[i]);
		others[i].unit = (uint8_t)(i + 2);
	}
	for (uint16_t round = 0; round < 6000; round++) {
		struct master *m = &others[round % 3];

		s.press->regs[300] = round;
		s.press->regs[301] = (uint16_t)~round;
		assert_int_equal(rd_regs(m, 300, 2, regs), 0);
		assert_int_equal(regs[0], (uint16_t)~regs[1]);
		assert_int_equal(regs[0], round);
		if (round % 10 == 0) {
			assert_int_equal(wr_reg(&s.m, 0, round % 500), 0);
			assert_int_equal(s.press->regs[0], round % 500);
		}
		assert_int_equal(rd_regs(&s.m, 1, 1, regs), 0);
		assert_int_equal(regs[0], 2);
		world_run(s.w, 80);
	}
	assert_int_equal(s.press->exceptions, 0);
	for (unsigned i = 0; i < 3; i++)
		leave(&others[i]);
	stage_close(&s);
}

/* ---- hostile masters ---- */

static uint32_t draw(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*seed >> 33);
}

static void any_request_gets_one_answer(void **state)
{
	struct stage s;
	uint64_t seed = 99;

	(void)state;
	stage_open(&s, 13, "views: {modbus: {bad: hold, pass: [{units: '2-9', line: press}]}}\n");
	for (uint16_t n = 0; n < 5000; n++) {
		static const uint8_t fcs[] = {1, 2, 3, 4, 5, 6, 15, 16, 22, 23, 43, 8, 11};
		size_t len = 1 + draw(&seed) % 24;
		struct modbus_adu adu;
		uint8_t pdu[24];

		for (size_t i = 0; i < len; i++)
			pdu[i] = (uint8_t)(draw(&seed) % 4 ? draw(&seed) % 6 : draw(&seed));
		pdu[0] = draw(&seed) % 8 ? fcs[draw(&seed) % sizeof(fcs)] : pdu[0];
		s.m.unit = (uint8_t)(draw(&seed) % 4);
		s.m.len = 0;
		send_pdu(&s.m, n, pdu, len);
		for (unsigned i = 0; i < 500 && s.m.len == 0; i++)
			world_run(s.w, 10);
		assert_int_equal(modbus_adu_split(s.m.bytes, s.m.len, &adu), OK);
		assert_int_equal(adu.size, s.m.len);
		assert_int_equal(adu.transaction, n);
		assert_int_equal(adu.pdu.p[0] & 0x7F, pdu[0] & 0x7F);
	}
	stage_close(&s);
}

static void a_view_without_memory_stays_as_it_was(void **state)
{
	struct stage s;
	uint16_t reg;

	(void)state;
	stage_open(&s, 14, "views: {modbus: {bad: hold, pass: [{units: '2-9', line: press}]}}\n");
	for (long n = 1;; n++) {
		int rc;

		alloc_fail_at(n);
		rc = modbus_view_prepare(s.view, s.shown);
		if (!alloc_fail_end())
			break;
		assert_int_equal(rc, ERR_NOMEM);
	}
	modbus_view_abandon(s.view);
	assert_int_equal(rd_regs(&s.m, 0, 1, &reg), 0);
	stage_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags_are_read_as_registers_and_bits),
		cmocka_unit_test(what_is_not_there_or_has_no_value_is_an_exception),
		cmocka_unit_test(the_last_good_value_is_held_when_asked),
		cmocka_unit_test(a_write_is_answered_when_the_device_has_it),
		cmocka_unit_test(a_write_that_cannot_be_is_refused_and_changes_nothing),
		cmocka_unit_test(several_tags_are_written_in_order_and_mask_and_read_write_work),
		cmocka_unit_test(a_master_that_goes_leaves_its_write_behind),
		cmocka_unit_test(masters_may_what_their_network_may),
		cmocka_unit_test(a_master_that_asks_keeps_the_outputs_of_its_line_out_of_their_safe_state),
		cmocka_unit_test(a_reload_keeps_masters_and_takes_the_new_map),
		cmocka_unit_test(complaint_10_foreign_masters_reach_the_units_of_a_line),
		cmocka_unit_test(a_route_lets_through_so_many_requests_a_second),
		cmocka_unit_test(complaint_10_ten_minutes_of_masters_polls_and_writes_without_a_wrong_answer),
		cmocka_unit_test(any_request_gets_one_answer),
		cmocka_unit_test(a_view_without_memory_stays_as_it_was),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
