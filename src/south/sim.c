/*
 * A rack that is not there, for demos and for a gateway without a file.
 *
 *     di0..di3  blink with periods of 2, 4, 8 and 16 s
 *     do0..do3  keep what is written, off at first
 *     ai0       0..10 V, a sine of 60 s
 *     ai1       4..20 mA, a saw of 30 s
 *     ai2       15..35 °C, a slow sine of 10 min
 *     ai3       -10..10 V, a triangle of 20 s
 *
 * An analog channel is a float64 with the attributes mode, min and max (extremes since the start), raw (of a 16-bit
 * converter) and status (0 normal).  It is rounded to a thousandth, as a real one has no more digits either.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "south/table.h"
#include "wire/modbus_value.h"

#define ANSWER_MS 2u /* after which a request is answered */
#define RAW_MAX   65535.0
#define TWO_PI    6.283185307179586

/* Registers of an analog channel. */
enum { AI_VALUE = 0, AI_RAW = 4, AI_MIN = 5, AI_MAX = 9, AI_STATUS = 13, AI_MODE = 14, AI_MODE_LENGTH = 16 };

enum wave { WAVE_SINE, WAVE_SAW, WAVE_TRIANGLE };

static const struct {
	const char *mode, *unit;
	double low, high;
	enum wave wave;
	double period_ms;
} ai[CONFIG_RACK_CHANNELS] = {
	{"0-10V", "V", 0, 10, WAVE_SINE, 60e3},
	{"4-20mA", "mA", 4, 20, WAVE_SAW, 30e3},
	{"RTD Pt100", "°C", 15, 35, WAVE_SINE, 600e3},
	{"+-10V", "V", -10, 10, WAVE_TRIANGLE, 20e3},
};

static const struct source_attribute attributes[] = {
	{CONFIG_AREA_AI, "mode", AI_MODE, VALUE_TYPE_STRING, AI_MODE_LENGTH, false},
	{CONFIG_AREA_AI, "min", AI_MIN, VALUE_TYPE_FLOAT64, 0, true},
	{CONFIG_AREA_AI, "max", AI_MAX, VALUE_TYPE_FLOAT64, 0, true},
	{CONFIG_AREA_AI, "raw", AI_RAW, VALUE_TYPE_UINT16, 0, false},
	{CONFIG_AREA_AI, "status", AI_STATUS, VALUE_TYPE_UINT16, 0, false},
};

struct rack {
	struct source source;
	struct loop *loop;
	uint64_t start_ms;
	bool out[CONFIG_RACK_CHANNELS];
	double min[CONFIG_RACK_CHANNELS], max[CONFIG_RACK_CHANNELS];
	struct loop_timer timer;
	struct source_request *waiting[SOURCE_IN_FLIGHT_MAX]; /* in order of arrival */
	unsigned nwaiting;
};

static uint64_t age_ms(const struct rack *r)
{
	return loop_now_ms(r->loop) - r->start_ms;
}

static double ai_value(const struct rack *r, unsigned k)
{
	double turn = fmod((double)age_ms(r), ai[k].period_ms) / ai[k].period_ms, part;

	switch (ai[k].wave) {
	case WAVE_SINE:
		part = 0.5 - 0.5 * cos(TWO_PI * turn);
		break;
	case WAVE_SAW:
		part = turn;
		break;
	default:
		part = turn < 0.5 ? 2 * turn : 2 - 2 * turn;
	}
	return round((ai[k].low + part * (ai[k].high - ai[k].low)) * 1000) / 1000;
}

/* ---- one channel's registers ---- */

static void put_value(uint16_t *regs, enum value_type type, uint16_t length, const struct modbus_value *v)
{
	struct modbus_format f = {.type = type, .order = value_type_default_order(type), .length = length};

	if (modbus_value_encode(&f, v, regs) < 0)
		memset(regs, 0,
		       modbus_format_registers(&f) * sizeof(*regs)); /* never: the tables above fit */
}

static void put_double(uint16_t *regs, double x)
{
	put_value(regs, VALUE_TYPE_FLOAT64, 0, &(struct modbus_value){.kind = VALUE_KIND_FLOAT, .f = x});
}

static void ai_registers(struct rack *r, unsigned k, uint16_t regs[SOURCE_CHANNEL_REGS])
{
	double value = ai_value(r, k);
	struct modbus_value mode = {.kind = VALUE_KIND_STRING, .len = strlen(ai[k].mode)};

	r->min[k] = fmin(r->min[k], value);
	r->max[k] = fmax(r->max[k], value);
	memset(regs, 0, SOURCE_CHANNEL_REGS * sizeof(*regs));
	put_double(&regs[AI_VALUE], value);
	put_double(&regs[AI_MIN], r->min[k]);
	put_double(&regs[AI_MAX], r->max[k]);
	regs[AI_RAW] = (uint16_t)lround((value - ai[k].low) / (ai[k].high - ai[k].low) * RAW_MAX);
	memcpy(mode.bytes, ai[k].mode, mode.len);
	put_value(&regs[AI_MODE], VALUE_TYPE_STRING, AI_MODE_LENGTH, &mode);
}

/* ---- requests ---- */

static int read_regs(struct rack *r, struct source_request *q)
{
	uint16_t channel[SOURCE_CHANNEL_REGS];

	if (q->start + q->count > CONFIG_RACK_CHANNELS * SOURCE_CHANNEL_REGS)
		return ERR_RANGE;
	for (unsigned i = 0; i < q->count; i++) {
		unsigned at = q->start + i;

		if (i == 0 || at % SOURCE_CHANNEL_REGS == 0)
			ai_registers(r, at / SOURCE_CHANNEL_REGS, channel);
		q->data.regs[i] = channel[at % SOURCE_CHANNEL_REGS];
	}
	return OK;
}

static int read_bits(const struct rack *r, struct source_request *q)
{
	if (q->start + q->count > CONFIG_RACK_CHANNELS)
		return ERR_RANGE;
	q->data.bits[0] = 0;
	for (unsigned i = 0; i < q->count; i++) {
		unsigned k = q->start + i;
		bool on = q->area == CONFIG_AREA_DO ? r->out[k] : age_ms(r) / (1000ull << k) % 2;

		q->data.bits[0] = (uint8_t)(q->data.bits[0] | on << i);
	}
	return OK;
}

static int write_bits(struct rack *r, const struct source_request *q)
{
	if (q->area != CONFIG_AREA_DO || q->start + q->count > CONFIG_RACK_CHANNELS)
		return ERR_RANGE;
	for (unsigned i = 0; i < q->count; i++)
		r->out[q->start + i] = q->data.bits[i / 8] >> (i % 8) & 1;
	return OK;
}

static void answer(struct rack *r, struct source_request *q)
{
	q->exception = 0;
	q->answered_ms = loop_wall_ms(r->loop);
	q->rc = q->op == SOURCE_WRITE       ? write_bits(r, q)
		: q->area == CONFIG_AREA_AI ? read_regs(r, q)
					    : read_bits(r, q);
	q->done(q);
}

static void answer_due(struct loop_timer *timer)
{
	struct rack *r = container_of(timer, struct rack, timer);
	struct source_request *q = r->waiting[0];

	r->nwaiting--;
	memmove(&r->waiting[0], &r->waiting[1], r->nwaiting * sizeof(*r->waiting));
	if (r->nwaiting)
		loop_timer_set(r->loop, &r->timer, ANSWER_MS);
	answer(r, q);
}

static void submit(struct source *s, struct source_request *q)
{
	struct rack *r = container_of(s, struct rack, source);

	r->waiting[r->nwaiting++] = q;
	if (!loop_timer_pending(&r->timer))
		loop_timer_set(r->loop, &r->timer, ANSWER_MS);
}

static void cancel(struct source *s, struct source_request *q)
{
	struct rack *r = container_of(s, struct rack, source);
	unsigned n = 0;

	for (unsigned i = 0; i < r->nwaiting; i++)
		if (r->waiting[i] != q)
			r->waiting[n++] = r->waiting[i];
	r->nwaiting = n;
	if (n == 0)
		loop_timer_cancel(r->loop, &r->timer);
}

static void destroy(struct source *s)
{
	struct rack *r = container_of(s, struct rack, source);

	loop_timer_cancel(r->loop, &r->timer);
	free(r);
}

static const char *channel_unit(const struct source *s, enum config_area area, uint16_t number)
{
	(void)s;
	return area == CONFIG_AREA_AI && number < CONFIG_RACK_CHANNELS ? ai[number].unit : NULL;
}

static const struct source_ops ops = {
	.submit = submit,
	.cancel = cancel,
	.destroy = destroy,
	.channel_unit = channel_unit,
};

int sim_source_create(struct loop *loop, struct source **out)
{
	struct rack *r = calloc(1, sizeof(*r));

	if (!r)
		return ERR_NOMEM;
	r->source = (struct source){.ops = &ops,
				    .attributes = attributes,
				    .nattributes = sizeof(attributes) / sizeof(*attributes)};
	r->loop = loop;
	r->start_ms = loop_now_ms(loop);
	loop_timer_init(&r->timer, answer_due);
	for (unsigned k = 0; k < CONFIG_RACK_CHANNELS; k++)
		r->min[k] = r->max[k] = ai_value(r, k);
	*out = &r->source;
	return OK;
}
