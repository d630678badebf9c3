#include "south/io_registers.h"

#include <math.h>
#include <string.h>

#include "wire/modbus_value.h"

#define UNIT  true
#define PLAIN false
#define RW    true
#define R     false

const struct source_attribute io_attributes[IO_ATTR_COUNT - 1] = {
#define IO_ATTRIBUTE_AS_ROW(kinds, name, text, reg, type, length, unit, access, min, max, help) \
	{kinds, text, reg, VALUE_TYPE_##type, length, unit, access, min, max, help},
	IO_ATTRIBUTE_TABLE(IO_ATTRIBUTE_AS_ROW)
#undef IO_ATTRIBUTE_AS_ROW
};

#undef UNIT
#undef PLAIN
#undef RW
#undef R

static bool is_digital(enum config_area kind)
{
	return kind == CONFIG_AREA_DI || kind == CONFIG_AREA_DO || kind == CONFIG_AREA_RELAY;
}

static struct modbus_format format_of(const struct io_channel *c, enum io_attribute a)
{
	enum value_type type = is_digital(c->kind) ? VALUE_TYPE_BOOL : VALUE_TYPE_FLOAT64;
	uint16_t length = 0;

	if (a != IO_ATTR_VALUE) {
		type = io_attributes[a - 1].type;
		length = io_attributes[a - 1].length;
	}
	return (struct modbus_format){
		.type = type, .order = value_type_default_order(type), .length = length};
}

static unsigned offset_of(enum io_attribute a)
{
	return a == IO_ATTR_VALUE ? 0 : io_attributes[a - 1].offset;
}

static bool has_attribute(const struct io_channel *c, enum io_attribute a)
{
	return a == IO_ATTR_VALUE || io_attributes[a - 1].areas >> c->kind & 1;
}

/* ---- reading ---- */

static struct modbus_value truth(bool b)
{
	return (struct modbus_value){.kind = VALUE_KIND_BOOL, .b = b};
}

static struct modbus_value whole(int64_t i)
{
	return (struct modbus_value){.kind = VALUE_KIND_INT, .i = i};
}

static struct modbus_value real(double f)
{
	return (struct modbus_value){.kind = VALUE_KIND_FLOAT, .f = f};
}

static struct modbus_value text(const char *s)
{
	struct modbus_value v = {.kind = VALUE_KIND_STRING, .len = strlen(s)};

	memcpy(v.bytes, s, v.len);
	return v;
}

static struct modbus_value di_value(const struct io_di *d, enum io_attribute a)
{
	static const char *const edges[] = {"rising", "falling", "both"};

	switch (a) {
	case IO_ATTR_VALUE:
		return truth(d->state);
	case IO_ATTR_COUNTER:
		return whole(d->counter);
	case IO_ATTR_COUNTING:
		return truth(d->is_counting);
	case IO_ATTR_OVERFLOW:
		return truth(d->overflow);
	case IO_ATTR_EDGE:
		return text(edges[d->edge]);
	case IO_ATTR_FILTER:
		return whole(d->filter_ms);
	default:
		return truth(false); /* what is written to clear something */
	}
}

static struct modbus_value do_value(const struct io_do *d, enum io_attribute a)
{
	switch (a) {
	case IO_ATTR_VALUE:
		return truth(d->on);
	case IO_ATTR_PULSE_ON:
		return whole(d->on_ms);
	case IO_ATTR_PULSE_OFF:
		return whole(d->off_ms);
	case IO_ATTR_PULSE_COUNT:
		return whole(d->count);
	case IO_ATTR_PULSES_LEFT:
		return whole(d->left);
	default:
		return truth(d->is_pulsing);
	}
}

static struct modbus_value relay_value(const struct io_relay *r, enum io_attribute a)
{
	switch (a) {
	case IO_ATTR_VALUE:
		return truth(r->on);
	case IO_ATTR_TOTAL_COUNT:
		return whole(r->total);
	case IO_ATTR_CURRENT_COUNT:
		return whole(r->current);
	default:
		return truth(false);
	}
}

static struct modbus_value analog_value(const struct io_analog *c, enum io_attribute a)
{
	switch (a) {
	case IO_ATTR_VALUE:
		return real(c->value);
	case IO_ATTR_RAW:
		return whole(c->raw);
	case IO_ATTR_MIN:
		return real(c->has_extremes ? c->min : NAN);
	case IO_ATTR_MAX:
		return real(c->has_extremes ? c->max : NAN);
	case IO_ATTR_STATUS:
		return whole(c->status);
	case IO_ATTR_MODE:
		return text(io_mode_info(c->mode)->text);
	default:
		return truth(false);
	}
}

static struct modbus_value value_of(const struct io_channel *c, enum io_attribute a)
{
	switch (c->kind) {
	case CONFIG_AREA_DI:
		return di_value(&c->di, a);
	case CONFIG_AREA_DO:
		return do_value(&c->dout, a);
	case CONFIG_AREA_RELAY:
		return relay_value(&c->relay, a);
	default:
		return analog_value(&c->analog, a);
	}
}

/* modbus_value_encode() takes numbers; the registers of NaN are those of any other double. */
static void put_double(uint16_t *regs, double x)
{
	uint64_t bits;

	memcpy(&bits, &x, sizeof(bits));
	for (unsigned i = 0; i < 4; i++)
		regs[i] = (uint16_t)(bits >> (48 - 16 * i));
}

void io_channel_registers(const struct io_channel *c, uint16_t regs[SOURCE_CHANNEL_REGS])
{
	memset(regs, 0, SOURCE_CHANNEL_REGS * sizeof(*regs));
	for (unsigned a = 0; a < IO_ATTR_COUNT; a++) {
		struct modbus_format f = format_of(c, (enum io_attribute)a);
		uint16_t *at = &regs[offset_of((enum io_attribute)a)];
		struct modbus_value v;

		if (!has_attribute(c, (enum io_attribute)a))
			continue;
		v = value_of(c, (enum io_attribute)a);
		if (v.kind == VALUE_KIND_FLOAT)
			put_double(at, v.f);
		else if (modbus_value_encode(&f, &v, at) < 0)
			memset(at, 0,
			       modbus_format_registers(&f) * sizeof(*at)); /* never: the table above fits */
	}
}

/* ---- writing ---- */

static void write_di(struct io_di *d, enum io_attribute a, const struct modbus_value *v)
{
	if (a == IO_ATTR_COUNTER)
		d->counter = (uint32_t)v->u;
	else if (a == IO_ATTR_COUNTING)
		d->is_counting = v->b;
	else if (v->b)
		d->overflow = false;
}

static bool write_do(struct io_do *d, enum io_attribute a, const struct modbus_value *v, uint64_t now_ms)
{
	switch (a) {
	case IO_ATTR_VALUE:
		io_do_set(d, v->b);
		return true;
	case IO_ATTR_PULSE_ON:
		d->on_ms = (uint32_t)v->u;
		return false;
	case IO_ATTR_PULSE_OFF:
		d->off_ms = (uint32_t)v->u;
		return false;
	case IO_ATTR_PULSE_COUNT:
		d->count = (uint32_t)v->u;
		return false;
	default:
		if (!v->b && !d->is_pulsing) /* nothing to stop: the output stays */
			return false;
		io_do_pulse(d, v->b, now_ms);
		return true;
	}
}

static void write_analog(struct io_analog *c, enum io_attribute a, const struct modbus_value *v)
{
	if (!v->b)
		return;
	if (a != IO_ATTR_RESET_MAX)
		io_analog_reset_min(c);
	if (a != IO_ATTR_RESET_MIN)
		io_analog_reset_max(c);
}

static bool is_writable(const struct io_channel *c, enum io_attribute a)
{
	if (a != IO_ATTR_VALUE)
		return io_attributes[a - 1].is_writable;
	return c->kind == CONFIG_AREA_DO || c->kind == CONFIG_AREA_RELAY || c->kind == CONFIG_AREA_AO;
}

static bool is_within(const struct io_channel *c, enum io_attribute a, const struct modbus_value *v)
{
	double min = 0, max = 0;

	if (a != IO_ATTR_VALUE) {
		min = io_attributes[a - 1].min;
		max = io_attributes[a - 1].max;
	} else if (c->kind == CONFIG_AREA_AO) {
		min = io_mode_info(c->analog.mode)->low;
		max = io_mode_info(c->analog.mode)->high;
	}
	if (v->kind == VALUE_KIND_FLOAT)
		return isfinite(v->f) && (min == max || (v->f >= min && v->f <= max));
	return min == max || ((double)v->u >= min && (double)v->u <= max);
}

static bool apply(struct io_channel *c, enum io_attribute a, const struct modbus_value *v, uint64_t now_ms)
{
	switch (c->kind) {
	case CONFIG_AREA_DI:
		write_di(&c->di, a, v);
		return false;
	case CONFIG_AREA_DO:
		return write_do(&c->dout, a, v, now_ms);
	case CONFIG_AREA_RELAY:
		if (a == IO_ATTR_VALUE)
			io_relay_set(&c->relay, v->b);
		else if (v->b)
			c->relay.current = 0;
		return a == IO_ATTR_VALUE;
	case CONFIG_AREA_AO:
		c->analog.value = v->f;
		return true;
	default:
		write_analog(&c->analog, a, v);
		return false;
	}
}

int io_channel_write(struct io_channel *c, unsigned offset, const uint16_t *regs, unsigned count,
		     uint64_t now_ms, bool *is_output)
{
	for (unsigned a = 0; a < IO_ATTR_COUNT; a++) {
		struct modbus_format f = format_of(c, (enum io_attribute)a);
		struct modbus_value v;

		if (!has_attribute(c, (enum io_attribute)a) || offset_of((enum io_attribute)a) != offset ||
		    modbus_format_registers(&f) != count)
			continue;
		if (!is_writable(c, (enum io_attribute)a))
			return ERR_DENIED;
		if (modbus_value_decode(&f, regs, &v) < 0 || !is_within(c, (enum io_attribute)a, &v))
			return ERR_MALFORMED;
		*is_output = apply(c, (enum io_attribute)a, &v, now_ms);
		return OK;
	}
	return ERR_RANGE;
}
