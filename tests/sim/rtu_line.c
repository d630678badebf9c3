#include "rtu_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#define CHAR_BITS 11u

/* ---- units ---- */

static enum modbus_exception read_regs(void *model, uint8_t id, enum modbus_area area, uint16_t address,
				       uint16_t count, uint16_t *regs)
{
	const struct rtu_unit *u = model;

	(void)id;
	(void)area;
	if (address + count > LINE_REGS)
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	memcpy(regs, &u->regs[address], count * sizeof(*regs));
	return MODBUS_EXCEPTION_NONE;
}

static enum modbus_exception write_regs(void *model, uint8_t id, uint16_t address, uint16_t count,
					const uint16_t *regs)
{
	struct rtu_unit *u = model;

	(void)id;
	if (address + count > LINE_REGS)
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	memcpy(&u->regs[address], regs, count * sizeof(*regs));
	return MODBUS_EXCEPTION_NONE;
}

static const struct modbus_model_ops model_ops = {.read_regs = read_regs, .write_regs = write_regs};

static void unit_frame(struct sim_bus_device *d, const uint8_t *bytes, size_t len)
{
	struct rtu_unit *u = container_of(d, struct rtu_unit, d);
	uint8_t pdu[MODBUS_PDU_MAX], out[MODBUS_RTU_MAX];
	struct modbus_frame f;
	size_t n = 0;

	/* The answers of others are heard too; those to writes look like requests, but for another unit. */
	if (modbus_rtu_decode(bytes, len, &f) < 0 || f.unit != u->id)
		return;
	u->asked++;
	if (u->is_silent)
		return;
	u->regs[LINE_COUNT]++;
	u->regs[LINE_COUNT + 1] = (uint16_t)~u->regs[LINE_COUNT];
	n = modbus_model_answer(&model_ops, u, f.unit, f.pdu, pdu);
	assert_int_equal(modbus_rtu_encode(u->id, span_of(pdu, n), out, sizeof(out), &n), OK);
	assert_int_equal(sim_bus_say(d, out, n, u->delay_us + sim_random(u->sim, u->delay_us + 1)), OK);
}

/* ---- the watcher ---- */

static enum frame_kind kind_of(const uint8_t *frame)
{
	unsigned address = (unsigned)frame[2] << 8 | frame[3];

	if (address >= LINE_COUNT)
		return FRAME_PASS;
	return frame[1] == MODBUS_FC_READ_HOLDING_REGISTERS ? FRAME_POLL : FRAME_COMMAND;
}

static void frame_begins(struct rtu_line *l, const struct sim_bus_byte *b)
{
	uint64_t gap_ns = b->start_ns - l->last_end_ns;

	if (l->len >= 4)
		l->busy_ns[kind_of(l->frame)] += b->start_ns - l->start_ns;
	if (l->len >= 4)
		l->frames[kind_of(l->frame)]++;
	if (l->last_end_ns && gap_ns < l->least_gap_ns)
		l->least_gap_ns = gap_ns;
	l->len = 0;
	l->start_ns = b->start_ns;
}

static void watch(void *arg, const struct sim_bus_byte *b)
{
	struct rtu_line *l = arg;

	if (b->is_host && (!l->last_was_host || b->start_ns > l->last_end_ns))
		frame_begins(l, b);
	if (b->is_host && l->len < sizeof(l->frame))
		l->frame[l->len++] = b->value;
	l->last_was_host = b->is_host;
	l->last_end_ns = b->end_ns;
}

/* ---- life ---- */

void rtu_line_open(struct rtu_line *l, struct sim_world *sim, uint32_t baud, unsigned n)
{
	assert_true(n <= LINE_UNITS);
	*l = (struct rtu_line){.nunits = n, .least_gap_ns = UINT64_MAX};
	assert_int_equal(sim_bus_create(sim, baud, CHAR_BITS, &l->bus), OK);
	l->silence_ns = baud > 19200 ? 1750000 : sim_bus_char_ns(l->bus) * 7 / 2;
	sim_bus_monitor(l->bus, watch, l);
	for (unsigned i = 0; i < n; i++) {
		struct rtu_unit *u = &l->units[i];

		u->d.frame = unit_frame;
		u->id = (uint8_t)(i + 1);
		u->sim = sim;
		u->delay_us = 2000;
		for (unsigned r = 0; r < LINE_REGS; r++)
			u->regs[r] = (uint16_t)(1000 * u->id + r);
		u->regs[LINE_COUNT] = 0;
		u->regs[LINE_COUNT + 1] = UINT16_MAX;
		sim_bus_add(l->bus, &u->d);
	}
}

void rtu_line_close(struct rtu_line *l)
{
	for (unsigned i = 0; i < l->nunits; i++)
		sim_bus_remove(&l->units[i].d);
	sim_bus_destroy(l->bus);
}

unsigned rtu_line_collisions(const struct rtu_line *l)
{
	struct sim_bus_stats stats;

	sim_bus_stats(l->bus, &stats);
	return (unsigned)stats.collisions;
}
