#include "config/io_config.h"

#include <string.h>

bool config_line_is_rack(const struct config_line *line)
{
	return line->type == CONFIG_LINE_SIM || line->type == CONFIG_LINE_IO;
}

bool config_line_has_frames(const struct config_line *line)
{
	return !config_line_is_rack(line) && line->type != CONFIG_LINE_INTERNAL;
}

bool config_area_is_rack(enum config_area area)
{
	return area >= CONFIG_AREA_DI && area <= CONFIG_AREA_TC;
}

unsigned config_line_channels(const struct config_line *line, enum config_area kind)
{
	unsigned n = 0;

	for (size_t i = 0; i < line->nmodules; i++)
		if (line->modules[i].kind == kind)
			n += line->modules[i].channels;
	return n;
}

const struct config_module *config_line_module(const struct config_line *line, enum config_area kind,
					       unsigned number)
{
	for (size_t i = 0; i < line->nmodules; i++) {
		const struct config_module *m = &line->modules[i];

		if (m->kind == kind && number >= m->first && number - m->first < m->channels)
			return m;
	}
	return NULL;
}

#define ANALOG(number, mode_, signal_, low_, high_, period)                                             \
	{                                                                                               \
		.kind = CONFIG_AREA_AI, .first = (number), .channels = 1, .mode = (mode_), .factor = 1, \
		.signal = (signal_), .low = (low_), .high = (high_), .period_ms = (period)              \
	}

static const struct config_module default_modules[] = {
	{.kind = CONFIG_AREA_DI,
	 .channels = CONFIG_RACK_CHANNELS,
	 .signal = CONFIG_SIGNAL_SQUARE,
	 .factor = 1},
	{.kind = CONFIG_AREA_DO,
	 .channels = CONFIG_RACK_CHANNELS,
	 .pulse_on_ms = 500,
	 .pulse_off_ms = 500,
	 .factor = 1},
	ANALOG(0, IO_MODE_V10, CONFIG_SIGNAL_SINE, 0, 10, 60000),
	ANALOG(1, IO_MODE_MA4, CONFIG_SIGNAL_SAW, 4, 20, 30000),
	ANALOG(2, IO_MODE_AI_PT100, CONFIG_SIGNAL_SINE, 15, 35, 600000),
	ANALOG(3, IO_MODE_PM10, CONFIG_SIGNAL_TRIANGLE, -10, 10, 20000),
};

const struct config_module *config_default_modules(size_t *n)
{
	*n = sizeof(default_modules) / sizeof(default_modules[0]);
	return default_modules;
}

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool texts_equal(const char *const *a, size_t na, const char *const *b, size_t nb)
{
	if (na != nb)
		return false;
	for (size_t i = 0; i < na; i++)
		if (strcmp(a[i], b[i]) != 0)
			return false;
	return true;
}

/* Names are the tags' business, not the rack's. */
static bool module_equal(const struct config_module *a, const struct config_module *b)
{
	return a->kind == b->kind && a->channels == b->channels && text_equal(a->device, b->device) &&
	       texts_equal(a->points, a->npoints, b->points, b->npoints) && a->mode == b->mode &&
	       a->factor == b->factor && a->filter_ms == b->filter_ms && a->edge == b->edge &&
	       a->pulse_on_ms == b->pulse_on_ms && a->pulse_off_ms == b->pulse_off_ms &&
	       a->pulse_count == b->pulse_count && a->active_low == b->active_low && a->bias == b->bias &&
	       a->drive == b->drive && a->signal == b->signal && a->period_ms == b->period_ms &&
	       a->low == b->low && a->high == b->high;
}

bool config_modules_equal(const struct config_line *a, const struct config_line *b)
{
	if (a->driver != b->driver || !text_equal(a->root, b->root) || a->nmodules != b->nmodules)
		return false;
	for (size_t i = 0; i < a->nmodules; i++)
		if (!module_equal(&a->modules[i], &b->modules[i]))
			return false;
	return true;
}
