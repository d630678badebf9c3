#include "tools/modbus_sim.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "wire/modbus_value.h"

#define NCOILS    16u
#define NDISCRETE 8u
#define LIMIT_AT  30u
#define LIMIT_MAX 500u
#define PI        3.14159265358979323846

struct modbus_sim {
	uint64_t random;
	uint8_t unit;
	unsigned nregs;
	uint64_t now_ms;
	double energy_wh;
	double drift[3]; /* slow random walks in -1..1: voltage, current, temperature */
	uint16_t coils;
	uint16_t discrete;
	uint16_t regs[]; /* holding; input registers show the first MODBUS_SIM_SCRATCH of them */
};

/* xorshift64*: small, repeatable, good enough for a moving needle. */
static double noise(struct modbus_sim *sim)
{
	uint64_t x = sim->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	sim->random = x;
	return (double)((x * UINT64_C(2685821657736338717)) >> 11) / 0x1p52 - 1.0;
}

static void put(struct modbus_sim *sim, unsigned at, enum value_type type, struct modbus_value v)
{
	const struct modbus_format f = {
		.type = type,
		.order = value_type_default_order(type),
		.length = type == VALUE_TYPE_STRING ? 16 : 0,
	};
	int rc = modbus_value_encode(&f, &v, sim->regs + at);

	assert(rc == OK);
}

static void put_float(struct modbus_sim *sim, unsigned at, double f)
{
	put(sim, at, VALUE_TYPE_FLOAT32, (struct modbus_value){.kind = VALUE_KIND_FLOAT, .f = f});
}

static void put_int(struct modbus_sim *sim, unsigned at, enum value_type type, double i)
{
	put(sim, at, type, (struct modbus_value){.kind = VALUE_KIND_INT, .i = llround(i)});
}

static bool relay_is_on(const struct modbus_sim *sim)
{
	return sim->coils & 1;
}

/* One tick of 100 ms, so that a course does not depend on how often it is looked at. */
static void tick(struct modbus_sim *sim)
{
	double s, volts, amperes, watts;

	sim->now_ms += 100;
	s = (double)sim->now_ms / 1000;
	for (unsigned i = 0; i < 3; i++)
		sim->drift[i] = fmax(-1, fmin(1, sim->drift[i] * 0.999 + 0.02 * noise(sim)));
	volts = 230 + 3 * sim->drift[0] + 0.2 * noise(sim);
	amperes = 5 + 2 * sin(2 * PI * s / 45) + sim->drift[1];
	amperes = relay_is_on(sim) ? amperes : 0;
	watts = volts * amperes;
	sim->energy_wh = fmod(sim->energy_wh + watts / 36000, INT32_MAX);
	put_float(sim, 0, volts);
	put_float(sim, 2, amperes);
	put_int(sim, 4, VALUE_TYPE_INT32, floor(sim->energy_wh));
	put_int(sim, 6, VALUE_TYPE_UINT16, 5000 + 3 * noise(sim));
	sim->regs[7] = (uint16_t)(relay_is_on(sim) | (watts > 10.0 * sim->regs[LIMIT_AT]) << 3);
	put_float(sim, 8, watts);
	sim->regs[10] = (uint16_t)(sim->now_ms / 1000);
	put_int(sim, 11, VALUE_TYPE_INT16, (double)(sim->now_ms / 100 % 2001) - 1000);
	put_int(sim, 12, VALUE_TYPE_INT16, 1000 * sin(2 * PI * s / 60));
	put_int(sim, 13, VALUE_TYPE_INT16, 215 + 20 * sim->drift[2]);
	put_int(sim, 14, VALUE_TYPE_BCD32, (double)(sim->now_ms / 1000 % 100000000));
	for (unsigned i = 0; i < NDISCRETE; i++) {
		unsigned half_turns = (unsigned)(sim->now_ms / (1000 * (i + 1)));

		sim->discrete = (uint16_t)((sim->discrete & ~(1u << i)) | (half_turns & 1) << i);
	}
}

void modbus_sim_step(struct modbus_sim *sim, uint64_t ms)
{
	/* After a long sleep of the machine the course skips: nobody saw it. */
	if (ms > sim->now_ms + 60000)
		sim->now_ms = (ms - 60000) / 100 * 100;
	while (sim->now_ms + 100 <= ms)
		tick(sim);
	put(sim, 16, VALUE_TYPE_UINT64, (struct modbus_value){.kind = VALUE_KIND_UINT, .u = ms});
}

int modbus_sim_create(uint64_t seed, uint8_t unit, unsigned scratch, struct modbus_sim **out)
{
	unsigned nregs = MODBUS_SIM_SCRATCH + scratch;
	struct modbus_sim *sim = calloc(1, sizeof(*sim) + nregs * sizeof(sim->regs[0]));
	struct modbus_value serial = {.kind = VALUE_KIND_STRING, .len = 15};

	if (!sim)
		return ERR_NOMEM;
	/* Any seed but the one state that xorshift never leaves. */
	sim->random = seed * 2 + 1;
	sim->unit = unit;
	sim->nregs = nregs;
	sim->coils = 1;
	memcpy(serial.bytes, "LINESIDE-SIM-01", serial.len);
	put(sim, 20, VALUE_TYPE_STRING, serial);
	sim->regs[LIMIT_AT] = 300;
	tick(sim);
	*out = sim;
	return OK;
}

void modbus_sim_destroy(struct modbus_sim *sim)
{
	free(sim);
}

/* ---- the model ---- */

static enum modbus_exception check(const struct modbus_sim *sim, uint8_t unit, unsigned address,
				   unsigned count, unsigned size)
{
	if (unit != sim->unit && unit != 0 && unit != 255)
		return MODBUS_EXCEPTION_GATEWAY_TARGET_FAILED;
	return address + count > size ? MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS : MODBUS_EXCEPTION_NONE;
}

static enum modbus_exception read_bits(void *model, uint8_t unit, enum modbus_area area, uint16_t address,
				       uint16_t count, uint8_t *bits)
{
	const struct modbus_sim *sim = model;
	bool is_coil = area == MODBUS_AREA_COIL;
	enum modbus_exception e = check(sim, unit, address, count, is_coil ? NCOILS : NDISCRETE);

	for (unsigned i = 0; e == MODBUS_EXCEPTION_NONE && i < count; i++)
		modbus_bit_set(bits, i, (is_coil ? sim->coils : sim->discrete) >> (address + i) & 1);
	return e;
}

static enum modbus_exception read_regs(void *model, uint8_t unit, enum modbus_area area, uint16_t address,
				       uint16_t count, uint16_t *regs)
{
	const struct modbus_sim *sim = model;
	enum modbus_exception e =
		check(sim, unit, address, count, area == MODBUS_AREA_INPUT ? MODBUS_SIM_SCRATCH : sim->nregs);

	if (e == MODBUS_EXCEPTION_NONE)
		memcpy(regs, sim->regs + address, count * sizeof(*regs));
	return e;
}

static enum modbus_exception write_bits(void *model, uint8_t unit, uint16_t address, uint16_t count,
					const uint8_t *bits)
{
	struct modbus_sim *sim = model;
	enum modbus_exception e = check(sim, unit, address, count, NCOILS);

	for (unsigned i = 0; e == MODBUS_EXCEPTION_NONE && i < count; i++) {
		unsigned mask = 1u << (address + i);

		sim->coils = (uint16_t)(modbus_bit_get(bits, i) ? sim->coils | mask : sim->coils & ~mask);
	}
	return e;
}

static enum modbus_exception write_regs(void *model, uint8_t unit, uint16_t address, uint16_t count,
					const uint16_t *regs)
{
	struct modbus_sim *sim = model;
	enum modbus_exception e = check(sim, unit, address, count, sim->nregs);
	bool is_limit = address == LIMIT_AT && count == 1;

	if (e != MODBUS_EXCEPTION_NONE)
		return e;
	if (!is_limit && address < MODBUS_SIM_SCRATCH)
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	if (is_limit && regs[0] > LIMIT_MAX)
		return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
	memcpy(sim->regs + address, regs, count * sizeof(*regs));
	return MODBUS_EXCEPTION_NONE;
}

const struct modbus_model_ops modbus_sim_model = {
	.read_bits = read_bits,
	.read_regs = read_regs,
	.write_bits = write_bits,
	.write_regs = write_regs,
};

void modbus_sim_print_map(FILE *to, unsigned scratch)
{
	static const struct {
		unsigned at;
		enum value_type type;
		const char *unit, *text;
	} entries[] = {
#define SIM_ENTRY_AS_ROW(address, kind, people, help) {(address), VALUE_TYPE_##kind, (people), (help)},
		MODBUS_SIM_REGISTERS(SIM_ENTRY_AS_ROW)
#undef SIM_ENTRY_AS_ROW
	};
	char where[48];

	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++) {
		snprintf(where, sizeof(where), "holding:%u", entries[i].at);
		fprintf(to, "  %-16s  %-7s  %-13s  %s\n", where, value_type_info(entries[i].type)->name,
			entries[i].unit, entries[i].text);
	}
	if (scratch) {
		snprintf(where, sizeof(where), "holding:%u..%u", MODBUS_SIM_SCRATCH,
			 MODBUS_SIM_SCRATCH + scratch - 1);
		fprintf(to, "  %-16s  %-7s  %-13s  %s\n", where, "", "", "free, may be written");
	}
	fprintf(to, "  %-16s  %-7s  %-13s  %s\n", "input:0..99", "", "", "the same as holding:0..99");
	fprintf(to, "  %-16s  %-7s  %-13s  %s\n", "coil:0", "bool", "",
		"the relay, may be written; on at the start");
	fprintf(to, "  %-16s  %-7s  %-13s  %s\n", "coil:1..15", "bool", "", "free, may be written");
	fprintf(to, "  %-16s  %-7s  %-13s  %s\n", "discrete:0..7", "bool", "",
		"number n changes every n + 1 seconds");
}
