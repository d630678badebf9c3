/*
 * Channels that are not there, for demos and tests and for a gateway without a file. Inputs do what the `signal` of their
 * module says, outputs keep what is written. What a channel shows depends on the time since creation and on what was written, on
 * nothing else. An analog value is rounded to a thousandth, as a real one has no more digits either.
 */
#include <math.h>
#include <stdlib.h>

#include "south/io_driver.h"

#define RAW_MAX         65535.0
#define TWO_PI          6.283185307179586
#define DI_PERIOD_MS    2000u /* of the first di of a module that names none; the next three are slower by 2 */
#define DI_PERIOD_STEPS 4u

/* What of a channel's module matters here. */
struct sim_channel {
	int signal;
	uint32_t period_ms;
	double low, high;
	double raw_low, raw_high; /* of the converter */
	bool on;                  /* do, relay */
	double value;             /* ao */
};

struct sim {
	struct io_driver driver;
	struct io_host *host;
	struct loop *loop;
	uint64_t start_ms;
	struct sim_channel *channels[CONFIG_AREA_TC + 1];
	unsigned nchannels[CONFIG_AREA_TC + 1];
	struct loop_timer edge_timer;
};

static uint64_t age_ms(const struct sim *s)
{
	return loop_now_ms(s->loop) - s->start_ms;
}

/* ---- signals ---- */

static bool level(const struct sim *s, unsigned number)
{
	const struct sim_channel *c = &s->channels[CONFIG_AREA_DI][number];

	switch (c->signal) {
	case CONFIG_SIGNAL_LOOPBACK:
		return number < s->nchannels[CONFIG_AREA_DO] && s->channels[CONFIG_AREA_DO][number].on;
	case CONFIG_SIGNAL_CONSTANT:
		return c->low != 0;
	default:
		return age_ms(s) / (c->period_ms / 2) % 2;
	}
}

static double wave(int signal, double turn)
{
	switch (signal) {
	case CONFIG_SIGNAL_SINE:
		return 0.5 - 0.5 * cos(TWO_PI * turn);
	case CONFIG_SIGNAL_SAW:
		return turn;
	case CONFIG_SIGNAL_TRIANGLE:
		return turn < 0.5 ? 2 * turn : 2 - 2 * turn;
	case CONFIG_SIGNAL_SQUARE:
		return turn < 0.5 ? 0 : 1;
	default:
		return 0;
	}
}

static double analog(const struct sim *s, const struct sim_channel *c, unsigned number)
{
	double turn, value;

	if (c->signal == CONFIG_SIGNAL_LOOPBACK)
		return number < s->nchannels[CONFIG_AREA_AO] ? s->channels[CONFIG_AREA_AO][number].value : 0;
	turn = fmod((double)age_ms(s), c->period_ms) / c->period_ms;
	value = c->low + wave(c->signal, turn) * (c->high - c->low);
	return round(value * 1000) / 1000;
}

static int64_t raw_of(const struct sim_channel *c, double value)
{
	double part = (value - c->raw_low) / (c->raw_high - c->raw_low);

	return part >= 0 ? llround(fmin(part, 1) * RAW_MAX) : 0; /* NaN, where there is no range, is 0 */
}

static void sim_read(struct io_driver *d, enum config_area kind, unsigned number, struct io_reading *r)
{
	struct sim *s = container_of(d, struct sim, driver);
	const struct sim_channel *c = &s->channels[kind][number];

	if (kind == CONFIG_AREA_DO || kind == CONFIG_AREA_RELAY) {
		r->on = c->on;
	} else if (kind == CONFIG_AREA_DI) {
		r->rc = c->signal == CONFIG_SIGNAL_BROKEN ? ERR_IO : OK;
		r->on = level(s, number);
	} else {
		r->is_open = c->signal == CONFIG_SIGNAL_BROKEN;
		r->value = kind == CONFIG_AREA_AO ? c->value : analog(s, c, number);
		r->raw = raw_of(c, r->value);
	}
}

static int sim_write(struct io_driver *d, enum config_area kind, unsigned number, bool on, double value)
{
	struct sim *s = container_of(d, struct sim, driver);

	s->channels[kind][number].on = on;
	s->channels[kind][number].value = value;
	if (kind == CONFIG_AREA_DO && number < s->nchannels[CONFIG_AREA_DI] &&
	    s->channels[CONFIG_AREA_DI][number].signal == CONFIG_SIGNAL_LOOPBACK)
		s->host->level(s->host, number, on, loop_now_ms(s->loop));
	return OK;
}

static bool sim_fault(struct io_driver *d, char text[IO_FAULT_MAX])
{
	(void)d;
	text[0] = '\0';
	return false;
}

/* ---- edges between two reads ---- */

static bool is_square(const struct sim *s, unsigned number)
{
	return s->channels[CONFIG_AREA_DI][number].signal == CONFIG_SIGNAL_SQUARE;
}

static void set_edge_timer(struct sim *s)
{
	uint64_t age = age_ms(s), next = UINT64_MAX;

	for (unsigned k = 0; k < s->nchannels[CONFIG_AREA_DI]; k++) {
		uint64_t half = s->channels[CONFIG_AREA_DI][k].period_ms / 2;

		if (is_square(s, k) && half - age % half < next)
			next = half - age % half;
	}
	if (next != UINT64_MAX)
		loop_timer_set(s->loop, &s->edge_timer, next);
}

static void edge_due(struct loop_timer *timer)
{
	struct sim *s = container_of(timer, struct sim, edge_timer);

	for (unsigned k = 0; k < s->nchannels[CONFIG_AREA_DI]; k++)
		if (is_square(s, k))
			s->host->level(s->host, k, level(s, k), loop_now_ms(s->loop));
	set_edge_timer(s);
}

/* ---- life ---- */

static void sim_destroy(struct io_driver *d)
{
	struct sim *s = container_of(d, struct sim, driver);

	loop_timer_cancel(s->loop, &s->edge_timer);
	for (size_t i = 0; i < sizeof(s->channels) / sizeof(s->channels[0]); i++)
		free(s->channels[i]);
	free(s);
}

static struct sim_channel channel_of(const struct config_module *m, unsigned number)
{
	const struct io_mode_info *mode = io_mode_info((enum io_mode)m->mode);
	struct sim_channel c = {
		.signal = m->signal, .period_ms = m->period_ms, .low = m->low, .high = m->high};

	if (c.period_ms == 0)
		c.period_ms = DI_PERIOD_MS << (number - m->first) % DI_PERIOD_STEPS;
	c.raw_low = mode->low < mode->high ? mode->low : m->low;
	c.raw_high = mode->low < mode->high ? mode->high : m->high;
	c.value = fmax(mode->low, 0);
	return c;
}

static int make_channels(struct sim *s, const struct config_line *line)
{
	for (int kind = CONFIG_AREA_DI; kind <= CONFIG_AREA_TC; kind++) {
		unsigned n = config_line_channels(line, (enum config_area)kind);

		if (n == 0)
			continue;
		s->channels[kind] = calloc(n, sizeof(*s->channels[kind]));
		if (!s->channels[kind])
			return ERR_NOMEM;
		s->nchannels[kind] = n;
		for (unsigned k = 0; k < n; k++)
			s->channels[kind][k] =
				channel_of(config_line_module(line, (enum config_area)kind, k), k);
	}
	return OK;
}

int io_sim_create(struct loop *loop, const struct config_line *line, struct io_host *host,
		  struct io_driver **out)
{
	static const struct io_driver_ops ops = {
		.read = sim_read, .write = sim_write, .fault = sim_fault, .destroy = sim_destroy};
	struct sim *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return ERR_NOMEM;
	s->driver.ops = &ops;
	s->host = host;
	s->loop = loop;
	s->start_ms = loop_now_ms(loop);
	loop_timer_init(&s->edge_timer, edge_due);
	if ((rc = make_channels(s, line)) < 0) {
		sim_destroy(&s->driver);
		return rc;
	}
	set_edge_timer(s);
	*out = &s->driver;
	return OK;
}
