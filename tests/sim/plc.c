#include "plc.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* LEVEL, LOW, LOCKED and FAR share blocks when they may: what is wrong with one must not touch the others. */
const struct cell_info cell_infos[CELLS] = {
	[CELL_LEVEL] = {"level", CONFIG_AREA_HOLDING, 0, 1, true, false,
			"address: 'holding:0', type: int16, scale: 0.1, min: 0, max: 500"},
	[CELL_COUNT] = {"count", CONFIG_AREA_HOLDING, 1, 2, false, true,
			"address: 'holding:1', type: uint32"},
	[CELL_WIDE] = {"wide", CONFIG_AREA_HOLDING, 3, 4, false, true, "address: 'holding:3', type: uint64"},
	[CELL_BIT] = {"bit", CONFIG_AREA_HOLDING, 7, 1, true, false, "address: 'holding:7.3', type: bool"},
	[CELL_LOW] = {"low", CONFIG_AREA_HOLDING, 8, 1, true, false, "address: 'holding:8', type: uint8"},
	[CELL_LOCKED] = {"locked", CONFIG_AREA_HOLDING, 20, 1, true, false,
			 "address: 'holding:20', type: uint16"},
	[CELL_FAR] = {"far", CONFIG_AREA_HOLDING, 22, 1, false, false, "address: 'holding:22', type: uint16"},
	[CELL_TEMP] = {"temp", CONFIG_AREA_INPUT, 40, 2, false, true, "address: 'input:40', type: float32"},
	[CELL_COIL] = {"coil", CONFIG_AREA_COIL, 5, 1, true, false, "address: 'coil:5', type: bool"},
};

/* ---- what cells hold ---- */

static uint64_t joined(const uint16_t *regs, unsigned count)
{
	uint64_t raw = 0;

	for (unsigned i = 0; i < count; i++)
		raw = raw << 16 | regs[i];
	return raw;
}

static uint64_t raw_of(const struct plc_unit *u, enum cell cell)
{
	const struct cell_info *c = &cell_infos[cell];

	switch (cell) {
	case CELL_COIL:
		return u->coils[c->start];
	case CELL_BIT:
		return u->holding[c->start] >> 3 & 1;
	case CELL_LOW:
		return u->holding[c->start] & 0xff;
	case CELL_TEMP:
		return joined(&u->input[c->start], c->count);
	default:
		return joined(&u->holding[c->start], c->count);
	}
}

void cell_text(enum cell cell, uint64_t raw, char *buf, size_t size)
{
	uint32_t bits = (uint32_t)raw;
	float f;

	switch (cell) {
	case CELL_COIL:
	case CELL_BIT:
		snprintf(buf, size, "%s", raw ? "true" : "false");
		break;
	case CELL_TEMP:
		memcpy(&f, &bits, sizeof(f));
		snprintf(buf, size, "%g", (double)f);
		break;
	case CELL_LEVEL:
		if (raw % 10)
			snprintf(buf, size, "%" PRIu64 ".%" PRIu64, raw / 10, raw % 10);
		else
			snprintf(buf, size, "%" PRIu64, raw / 10);
		break;
	default:
		snprintf(buf, size, "%" PRIu64, raw);
	}
}

static void note(struct plc_unit *u)
{
	for (unsigned c = 0; c < CELLS; c++) {
		uint64_t raw = raw_of(u, c);
		unsigned n = u->nhistory[c];

		if (n > 0 && u->history[c][(n - 1) % PLC_HISTORY].raw == raw)
			continue;
		u->history[c][n % PLC_HISTORY].us = sim_now_us(u->plc->world);
		u->history[c][n % PLC_HISTORY].raw = raw;
		u->nhistory[c]++;
	}
}

bool plc_held(const struct plc_unit *u, enum cell cell, const char *text, uint64_t from_us, uint64_t to_us)
{
	unsigned n = u->nhistory[cell], oldest = n > PLC_HISTORY ? n - PLC_HISTORY : 0;
	char held[32];

	for (unsigned i = n; i-- > oldest;) {
		uint64_t since_us = u->history[cell][i % PLC_HISTORY].us;

		if (since_us > to_us)
			continue;
		cell_text(cell, u->history[cell][i % PLC_HISTORY].raw, held, sizeof(held));
		if (strcmp(held, text) == 0)
			return true;
		if (since_us < from_us)
			return false;
	}
	return false;
}

static void spread(uint16_t *regs, unsigned count, uint64_t raw)
{
	for (unsigned i = count; i-- > 0; raw >>= 16)
		regs[i] = (uint16_t)raw;
}

void plc_move(struct plc *p)
{
	for (unsigned i = 0; i < PLC_UNITS; i++) {
		struct plc_unit *u = &p->units[i];
		float f = (float)sim_random(p->world, 4000) / 4;
		uint32_t bits;

		memcpy(&bits, &f, sizeof(bits));
		spread(&u->input[40], 2, bits);
		spread(&u->holding[1], 2, sim_random(p->world, UINT32_MAX));
		spread(&u->holding[3], 4, sim_random(p->world, UINT64_MAX));
		if (sim_one_in(p->world, 8))
			u->holding[22] = (uint16_t)sim_random(p->world, UINT16_MAX);
		note(u);
	}
}

/* ---- the model ---- */

static enum modbus_exception find_unit(struct plc *p, uint8_t unit, struct plc_unit **out)
{
	if (unit < 1 || unit > PLC_UNITS || p->units[unit - 1].is_absent)
		return MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED;
	*out = &p->units[unit - 1];
	return MODBUS_EXCEPTION_NONE;
}

static enum modbus_exception read_bits(void *model, uint8_t unit, enum modbus_area area, uint16_t address,
				       uint16_t count, uint8_t *bits)
{
	struct plc_unit *u;
	enum modbus_exception e = find_unit(model, unit, &u);

	if (e == MODBUS_EXCEPTION_NONE && (area != MODBUS_AREA_COIL || address + count > PLC_REGS))
		e = MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	for (unsigned i = 0; e == MODBUS_EXCEPTION_NONE && i < count; i++)
		modbus_bit_set(bits, i, u->coils[address + i]);
	return e;
}

static enum modbus_exception read_regs(void *model, uint8_t unit, enum modbus_area area, uint16_t address,
				       uint16_t count, uint16_t *regs)
{
	const struct cell_info *far = &cell_infos[CELL_FAR];
	struct plc_unit *u;
	enum modbus_exception e = find_unit(model, unit, &u);

	if (e != MODBUS_EXCEPTION_NONE)
		return e;
	if (address + count > PLC_REGS || (u->is_far_refused && area == MODBUS_AREA_HOLDING &&
					   address <= far->start && address + count > far->start))
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	memcpy(regs, area == MODBUS_AREA_HOLDING ? &u->holding[address] : &u->input[address],
	       count * sizeof(*regs));
	return MODBUS_EXCEPTION_NONE;
}

static void write_one(struct plc_unit *u, enum cell cell)
{
	note(u);
	u->plc->written(u, cell, raw_of(u, cell));
}

static enum modbus_exception write_bits(void *model, uint8_t unit, uint16_t address, uint16_t count,
					const uint8_t *bits)
{
	struct plc *p = model;
	struct plc_unit *u;
	enum modbus_exception e = find_unit(p, unit, &u);

	if (e != MODBUS_EXCEPTION_NONE)
		return e;
	if (address != cell_infos[CELL_COIL].start || count != 1) {
		p->told(p, "a write of a coil that is no tag's");
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	}
	u->coils[address] = modbus_bit_get(bits, 0);
	write_one(u, CELL_COIL);
	return MODBUS_EXCEPTION_NONE;
}

static enum modbus_exception write_regs(void *model, uint8_t unit, uint16_t address, uint16_t count,
					const uint16_t *regs)
{
	struct plc *p = model;
	struct plc_unit *u;
	enum modbus_exception e = find_unit(p, unit, &u);
	enum cell cell = address == 0   ? CELL_LEVEL
			 : address == 7 ? CELL_BIT
			 : address == 8 ? CELL_LOW
					: CELL_LOCKED;
	uint16_t shared = cell == CELL_BIT ? 0xfff7 : cell == CELL_LOW ? 0xff00 : 0;

	if (e != MODBUS_EXCEPTION_NONE)
		return e;
	if (address != cell_infos[cell].start || count != 1) {
		p->told(p, "a write of registers that are no tag's");
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	}
	if (cell == CELL_LOCKED)
		return MODBUS_EXCEPTION_SERVER_DEVICE_FAILURE;
	if ((regs[0] ^ u->holding[address]) & shared)
		p->told(p, "a write changed bits beside the tag's");
	u->holding[address] = regs[0];
	write_one(u, cell);
	return MODBUS_EXCEPTION_NONE;
}

static const struct modbus_model_ops model_ops = {
	.read_bits = read_bits, .read_regs = read_regs, .write_bits = write_bits, .write_regs = write_regs};

/* ---- life ---- */

static void drop(struct plc *p, struct stream *s)
{
	unsigned i = 0;

	while (p->held[i] != s)
		i++;
	memmove(&p->held[i], &p->held[i + 1], (--p->nheld - i) * sizeof(*p->held));
	stream_close(s);
}

static void swallow(struct stream *s, unsigned events)
{
	struct plc *p = s->owner;
	uint8_t buf[512];
	size_t got;
	bool more = true, any = false;

	(void)events;
	while (more && stream_read(s, buf, sizeof(buf), &got, &more) == OK)
		any = true;
	if (any && p->mode == PLC_CLOSING)
		drop(p, s);
}

static void hole_accepted(struct acceptor *a, struct stream *s)
{
	struct plc *p = container_of(a, struct plc, hole);

	if (p->nheld == PLC_HELD) { /* the gateway has long left this one */
		stream_close(p->held[0]);
		memmove(p->held, p->held + 1, --p->nheld * sizeof(*p->held));
	}
	p->held[p->nheld++] = s;
	s->ready = swallow;
	s->owner = p;
	assert(stream_attach(s, p->loop) == OK);
}

static void leave(struct plc *p)
{
	if (p->listener)
		sim_net_unlisten(p->listener);
	p->listener = NULL;
	modbus_server_destroy(p->server);
	p->server = NULL;
	for (; p->nheld; p->nheld--)
		stream_close(p->held[p->nheld - 1]);
}

void plc_become(struct plc *p, enum plc_mode mode)
{
	struct acceptor *a = &p->hole;

	leave(p);
	p->mode = mode;
	if (mode == PLC_GONE)
		return;
	if (mode == PLC_ALIVE) {
		assert(modbus_server_create(p->loop, &model_ops, p, 8, &p->server) == OK);
		a = modbus_server_acceptor(p->server);
	}
	assert(sim_net_listen(p->net, p->loop, p->name, a, &p->listener) == OK);
}

void plc_start(struct plc *p)
{
	p->hole.accepted = hole_accepted;
	assert(sim_net_create(p->world, &p->net) == OK);
	for (unsigned i = 0; i < PLC_UNITS; i++) {
		struct plc_unit *u = &p->units[i];

		u->plc = p;
		u->number = i + 1;
		u->holding[7] = (uint16_t)sim_random(p->world, 65536);
		u->holding[8] = (uint16_t)sim_random(p->world, 65536);
	}
	plc_move(p);
	plc_become(p, PLC_ALIVE);
}

void plc_stop(struct plc *p)
{
	leave(p);
	sim_net_destroy(p->net);
}
