#include "tools/modbus_sim.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "wire/modbus_value.h"

#define NCOILS           16u
#define NDISCRETE        8u
#define LIMIT_AT         30u
#define LIMIT_MAX        500u
#define SERIAL           "LINESIDE-SIM-01"
#define FIRST_OWN_OBJECT 0x80u
#define PI               3.14159265358979323846

struct device {
	uint64_t random;
	unsigned nregs;
	uint64_t now_ms;
	double energy_wh;
	double drift[3]; /* slow random walks in -1..1: voltage, current, temperature */
	uint16_t coils;
	uint16_t discrete;
	uint16_t regs[]; /* holding; input registers show the first MODBUS_SIM_SCRATCH of them */
};

struct modbus_sim {
	struct device *devices[256]; /* by unit; NULL: there is none */
	uint8_t first;
	void (*counters)(void *arg, struct modbus_counters *out);
	void *arg;
};

/* xorshift64*: small, repeatable, good enough for a moving needle. */
static double noise(struct device *d)
{
	uint64_t x = d->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	d->random = x;
	return (double)((x * UINT64_C(2685821657736338717)) >> 11) / 0x1p52 - 1.0;
}

static void put(struct device *d, unsigned at, enum value_type type, struct modbus_value v)
{
	const struct modbus_format f = {
		.type = type,
		.order = value_type_default_order(type),
		.length = type == VALUE_TYPE_STRING ? 16 : 0,
	};
	int rc = modbus_value_encode(&f, &v, d->regs + at);

	assert(rc == OK);
}

static void put_float(struct device *d, unsigned at, double f)
{
	put(d, at, VALUE_TYPE_FLOAT32, (struct modbus_value){.kind = VALUE_KIND_FLOAT, .f = f});
}

static void put_int(struct device *d, unsigned at, enum value_type type, double i)
{
	put(d, at, type, (struct modbus_value){.kind = VALUE_KIND_INT, .i = llround(i)});
}

static bool relay_is_on(const struct device *d)
{
	return d->coils & 1;
}

/* One tick of 100 ms, so that a course does not depend on how often it is looked at. */
static void tick(struct device *d)
{
	double s, volts, amperes, watts;

	d->now_ms += 100;
	s = (double)d->now_ms / 1000;
	for (unsigned i = 0; i < 3; i++)
		d->drift[i] = fmax(-1, fmin(1, d->drift[i] * 0.999 + 0.02 * noise(d)));
	volts = 230 + 3 * d->drift[0] + 0.2 * noise(d);
	amperes = 5 + 2 * sin(2 * PI * s / 45) + d->drift[1];
	amperes = relay_is_on(d) ? amperes : 0;
	watts = volts * amperes;
	d->energy_wh = fmod(d->energy_wh + watts / 36000, INT32_MAX);
	put_float(d, 0, volts);
	put_float(d, 2, amperes);
	put_int(d, 4, VALUE_TYPE_INT32, floor(d->energy_wh));
	put_int(d, 6, VALUE_TYPE_UINT16, 5000 + 3 * noise(d));
	d->regs[7] = (uint16_t)(relay_is_on(d) | (watts > 10.0 * d->regs[LIMIT_AT]) << 3);
	put_float(d, 8, watts);
	d->regs[10] = (uint16_t)(d->now_ms / 1000);
	put_int(d, 11, VALUE_TYPE_INT16, (double)(d->now_ms / 100 % 2001) - 1000);
	put_int(d, 12, VALUE_TYPE_INT16, 1000 * sin(2 * PI * s / 60));
	put_int(d, 13, VALUE_TYPE_INT16, 215 + 20 * d->drift[2]);
	put_int(d, 14, VALUE_TYPE_BCD32, (double)(d->now_ms / 1000 % 100000000));
	for (unsigned i = 0; i < NDISCRETE; i++) {
		unsigned half_turns = (unsigned)(d->now_ms / (1000 * (i + 1)));

		d->discrete = (uint16_t)((d->discrete & ~(1u << i)) | (half_turns & 1) << i);
	}
}

static void step(struct device *d, uint64_t ms)
{
	/* After a long sleep of the machine the course skips: nobody saw it. */
	if (ms > d->now_ms + 60000)
		d->now_ms = (ms - 60000) / 100 * 100;
	while (d->now_ms + 100 <= ms)
		tick(d);
	put(d, 16, VALUE_TYPE_UINT64, (struct modbus_value){.kind = VALUE_KIND_UINT, .u = ms});
}

void modbus_sim_step(struct modbus_sim *sim, uint64_t ms)
{
	for (unsigned unit = 0; unit < 256; unit++)
		if (sim->devices[unit])
			step(sim->devices[unit], ms);
}

static struct device *device_create(uint64_t seed, unsigned scratch)
{
	unsigned nregs = MODBUS_SIM_SCRATCH + scratch;
	struct device *d = calloc(1, sizeof(*d) + nregs * sizeof(d->regs[0]));
	struct modbus_value serial = {.kind = VALUE_KIND_STRING, .len = 15};

	if (!d)
		return NULL;
	/* Any seed but the one state that xorshift never leaves. */
	d->random = seed * 2 + 1;
	d->nregs = nregs;
	d->coils = 1;
	memcpy(serial.bytes, SERIAL, serial.len);
	put(d, 20, VALUE_TYPE_STRING, serial);
	d->regs[LIMIT_AT] = 300;
	tick(d);
	return d;
}

int modbus_sim_create(uint64_t seed, const struct modbus_units *units, unsigned scratch,
		      struct modbus_sim **out)
{
	struct modbus_sim *sim = calloc(1, sizeof(*sim));

	if (!sim)
		return ERR_NOMEM;
	for (unsigned unit = 256; unit-- > 0;) {
		if (!modbus_units_has(units, unit))
			continue;
		sim->first = (uint8_t)unit;
		sim->devices[unit] = device_create(seed + unit, scratch);
		if (!sim->devices[unit]) {
			modbus_sim_destroy(sim);
			return ERR_NOMEM;
		}
	}
	assert(sim->devices[sim->first]);
	*out = sim;
	return OK;
}

void modbus_sim_destroy(struct modbus_sim *sim)
{
	for (unsigned unit = 0; sim && unit < 256; unit++)
		free(sim->devices[unit]);
	free(sim);
}

void modbus_sim_count_with(struct modbus_sim *sim, void (*counters)(void *arg, struct modbus_counters *out),
			   void *arg)
{
	sim->counters = counters;
	sim->arg = arg;
}

/* ---- the model ---- */

static struct device *find(const struct modbus_sim *sim, uint8_t unit)
{
	bool is_any = unit == 0 || unit == 255; /* who speaks TCP to a device itself need not know its unit */

	return sim->devices[unit] || !is_any ? sim->devices[unit] : sim->devices[sim->first];
}

static bool has_unit(void *model, uint8_t unit)
{
	return find(model, unit) != NULL;
}

/* The server asks has_unit() before all else. */
static struct device *device_of(const struct modbus_sim *sim, uint8_t unit)
{
	struct device *d = find(sim, unit);

	assert(d);
	return d;
}

static enum modbus_exception within(unsigned address, unsigned count, unsigned size)
{
	return address + count > size ? MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS : MODBUS_EXCEPTION_NONE;
}

static enum modbus_exception read_bits(void *model, uint8_t unit, enum modbus_area area, uint16_t address,
				       uint16_t count, uint8_t *bits)
{
	bool is_coil = area == MODBUS_AREA_COIL;
	struct device *d = device_of(model, unit);
	enum modbus_exception e = within(address, count, is_coil ? NCOILS : NDISCRETE);

	for (unsigned i = 0; e == MODBUS_EXCEPTION_NONE && i < count; i++)
		modbus_bit_set(bits, i, (is_coil ? d->coils : d->discrete) >> (address + i) & 1);
	return e;
}

static enum modbus_exception read_regs(void *model, uint8_t unit, enum modbus_area area, uint16_t address,
				       uint16_t count, uint16_t *regs)
{
	struct device *d = device_of(model, unit);
	enum modbus_exception e =
		within(address, count, area == MODBUS_AREA_INPUT ? MODBUS_SIM_SCRATCH : d->nregs);

	if (e == MODBUS_EXCEPTION_NONE)
		memcpy(regs, d->regs + address, count * sizeof(*regs));
	return e;
}

static enum modbus_exception write_bits(void *model, uint8_t unit, uint16_t address, uint16_t count,
					const uint8_t *bits)
{
	struct device *d = device_of(model, unit);
	enum modbus_exception e = within(address, count, NCOILS);

	for (unsigned i = 0; e == MODBUS_EXCEPTION_NONE && i < count; i++) {
		unsigned mask = 1u << (address + i);

		d->coils = (uint16_t)(modbus_bit_get(bits, i) ? d->coils | mask : d->coils & ~mask);
	}
	return e;
}

static enum modbus_exception write_regs(void *model, uint8_t unit, uint16_t address, uint16_t count,
					const uint16_t *regs)
{
	bool is_limit = address == LIMIT_AT && count == 1;
	struct device *d = device_of(model, unit);
	enum modbus_exception e = within(address, count, d->nregs);

	if (e != MODBUS_EXCEPTION_NONE)
		return e;
	if (!is_limit && address < MODBUS_SIM_SCRATCH)
		return MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS;
	if (is_limit && regs[0] > LIMIT_MAX)
		return MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE;
	memcpy(d->regs + address, regs, count * sizeof(*regs));
	return MODBUS_EXCEPTION_NONE;
}

static const char *object(void *model, uint8_t unit, uint8_t id)
{
	(void)model;
	(void)unit;
	switch (id) {
	case MODBUS_OBJECT_VENDOR_NAME:
		return "Lineside";
	case MODBUS_OBJECT_PRODUCT_CODE:
		return "SIM";
	case MODBUS_OBJECT_REVISION:
		return LINESIDE_VERSION;
	case MODBUS_OBJECT_PRODUCT_NAME:
		return "simulated power meter";
	case FIRST_OWN_OBJECT:
		return SERIAL;
	default:
		return NULL;
	}
}

static void counters(void *model, uint8_t unit, struct modbus_counters *out)
{
	const struct modbus_sim *sim = model;

	(void)unit; /* they sit on one line */
	if (sim->counters)
		sim->counters(sim->arg, out);
}

const struct modbus_model_ops modbus_sim_model = {
	.has_unit = has_unit,
	.read_bits = read_bits,
	.read_regs = read_regs,
	.write_bits = write_bits,
	.write_regs = write_regs,
	.object = object,
	.counters = counters,
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
