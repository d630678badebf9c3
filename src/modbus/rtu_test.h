/*
 * For tests: a serial master on one loop, and units with a small model each on a simulated wire that is watched.
 */
#ifndef MODBUS_RTU_TEST_H
#define MODBUS_RTU_TEST_H

#include "modbus/sim_test.h"
#include "net/serial_sim.h"
#include "wire/modbus_rtu.h"

#define UNITS_MAX 32u

struct wire;

struct unit {
	struct sim_bus_device d;
	struct wire *wire;
	uint8_t id;
	uint64_t delay_us; /* until it answers */
	bool is_silent;
	bool breaks_crc;
	const uint8_t *before; /* bytes that it sends right before its answer */
	size_t before_len;
	unsigned asked;
	struct model model;
};

struct wire {
	struct sim_world *w;
	struct sim_bus *bus;
	struct loop *loop;
	struct modbus_master *master;
	struct unit units[UNITS_MAX];
	unsigned nunits;
	bool is_ascii;
	/* what the watcher saw */
	uint64_t last_end_ns;
	bool last_was_host;
	uint64_t least_gap_ns; /* before a frame of the master */
	uint64_t idle_ns;      /* of such gaps, what is beyond need_ns */
	uint64_t need_ns;      /* the silence that must be kept */
	uint64_t nframes;
};

static inline void watch(void *arg, const struct sim_bus_byte *b)
{
	struct wire *x = arg;
	uint64_t gap_ns = b->start_ns - x->last_end_ns;

	if (b->is_host && x->last_end_ns && (!x->last_was_host || gap_ns > 0)) {
		if (gap_ns < x->least_gap_ns)
			x->least_gap_ns = gap_ns;
		if (gap_ns > x->need_ns)
			x->idle_ns += gap_ns - x->need_ns;
		x->nframes++;
	}
	x->last_end_ns = b->end_ns;
	x->last_was_host = b->is_host;
}

static inline void unit_say(struct unit *u, uint8_t id, struct span pdu, uint64_t after_us)
{
	uint8_t out[MODBUS_ASCII_MAX + 64];
	size_t at = u->before_len, len = 0;

	if (at)
		memcpy(out, u->before, at);
	if (u->wire->is_ascii)
		assert_int_equal(modbus_ascii_encode(id, pdu, out + at, MODBUS_ASCII_MAX, &len), OK);
	else
		assert_int_equal(modbus_rtu_encode(id, pdu, out + at, MODBUS_ASCII_MAX, &len), OK);
	if (u->breaks_crc)
		out[at + len - 4] ^= 1;
	assert_int_equal(sim_bus_say(&u->d, out, at + len, after_us), OK);
}

static inline bool unit_decode(const struct unit *u, const uint8_t *bytes, size_t len,
			       uint8_t room[MODBUS_RTU_MAX], struct modbus_frame *f)
{
	size_t used = 0, size = 0;

	if (u->wire->is_ascii)
		return modbus_ascii_split(bytes, len, room, f, &used) == OK;
	return modbus_rtu_request_size(bytes, len, &size) != ERR_MALFORMED &&
	       modbus_rtu_decode(bytes, len, f) == OK;
}

static inline void unit_frame(struct sim_bus_device *d, const uint8_t *bytes, size_t len)
{
	struct unit *u = container_of(d, struct unit, d);
	uint8_t out[MODBUS_PDU_MAX], room[MODBUS_RTU_MAX];
	struct modbus_frame f;
	size_t n;

	if (!unit_decode(u, bytes, len, room, &f) || (f.unit != u->id && f.unit != MODBUS_BROADCAST))
		return;
	u->asked++;
	if (u->is_silent)
		return;
	n = modbus_model_answer(&model_ops, &u->model, f.unit, f.pdu, out);
	if (f.unit != MODBUS_BROADCAST)
		unit_say(u, u->id, span_of(out, n), u->delay_us);
}

/* Unit ids 1 to `nunits`; register i of unit u holds 1000 * u + i. */
static inline void wire_open(struct wire *x, uint64_t seed, const struct modbus_master_rtu_options *options,
			     unsigned nunits)
{
	unsigned bits = options->char_bits ? options->char_bits : 11;
	struct dialer *dialer;

	*x = (struct wire){.nunits = nunits, .is_ascii = options->is_ascii, .least_gap_ns = UINT64_MAX};
	assert_int_equal(sim_world_create(seed, &x->w), OK);
	assert_int_equal(sim_loop_create(x->w, &x->loop), OK);
	assert_int_equal(sim_bus_create(x->w, options->baud ? options->baud : 9600, bits, &x->bus), OK);
	sim_bus_monitor(x->bus, watch, x);
	for (unsigned i = 0; i < nunits; i++) {
		struct unit *u = &x->units[i];

		u->d.frame = unit_frame;
		u->wire = x;
		u->id = (uint8_t)(i + 1);
		u->delay_us = 2000;
		for (unsigned r = 0; r < NREGS; r++)
			u->model.regs[r] = (uint16_t)(1000 * u->id + r);
		sim_bus_add(x->bus, &u->d);
	}
	assert_int_equal(sim_bus_dialer(x->bus, &dialer), OK);
	assert_int_equal(modbus_master_rtu_create(x->loop, dialer, options, &x->master), OK);
}

static inline void wire_close(struct wire *x)
{
	modbus_master_destroy(x->master);
	for (unsigned i = 0; i < x->nunits; i++)
		sim_bus_remove(&x->units[i].d);
	sim_bus_destroy(x->bus);
	loop_destroy(x->loop);
	sim_world_destroy(x->w);
}

static inline void wire_run(struct wire *x, uint64_t us)
{
	int rc = sim_run(x->w, us, NULL, NULL);

	assert_true(rc == ERR_TIMEOUT || rc == ERR_NOT_FOUND || rc == OK);
}

#endif
