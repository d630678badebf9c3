/*
 * The modules of racks: what a driver needs and has, and what of a module depends on its other keys.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/gateway_check.h"
#include "config/gateway_schema.h"
#include "config/io_config.h"

#define BIT(n)         (1u << (n))
#define DRIVER(name)   BIT(CONFIG_DRIVER_##name)
#define AREA(name)     BIT(CONFIG_AREA_##name)
#define ROOM_LOW       15.0 /* a temperature that is simulated */
#define ROOM_HIGH      35.0
#define DEFAULT_PERIOD 60000u

static const struct {
	const char *name, *kinds_text;
	unsigned kinds;
	bool is_built;
} drivers[] = {
	[CONFIG_DRIVER_SIM] = {"sim", "di, do, relay, ai, ao, rtd, tc", ~0u, true},
	[CONFIG_DRIVER_GPIOD] = {"gpiod", "di, do, relay", AREA(DI) | AREA(DO) | AREA(RELAY),
#ifdef LINESIDE_GPIOD
				 true
#else
				 false
#endif
	},
	[CONFIG_DRIVER_IIO] = {"iio", "ai, ao, rtd, tc", AREA(AI) | AREA(AO) | AREA(RTD) | AREA(TC), true},
	[CONFIG_DRIVER_HWMON] = {"hwmon", "ai, rtd, tc", AREA(AI) | AREA(RTD) | AREA(TC), true},
};

/* Keys of a module that some drivers only know. */
static const struct {
	const char *key;
	unsigned drivers;
	const char *text;
} driver_keys[] = {
	{"channels", DRIVER(SIM), "sim"},
	{"signal", DRIVER(SIM), "sim"},
	{"period", DRIVER(SIM), "sim"},
	{"low", DRIVER(SIM), "sim"},
	{"high", DRIVER(SIM), "sim"},
	{"device", ~DRIVER(SIM), "gpiod, iio or hwmon"},
	{"points", ~DRIVER(SIM), "gpiod, iio or hwmon"},
	{"factor", DRIVER(IIO) | DRIVER(HWMON), "iio or hwmon"},
	{"active_low", DRIVER(GPIOD), "gpiod"},
	{"bias", DRIVER(GPIOD), "gpiod"},
	{"drive", DRIVER(GPIOD), "gpiod"},
};

static void check_driver_keys(struct checker *c, const struct doc_node *node, const struct config_line *line)
{
	for (size_t i = 0; i < sizeof(driver_keys) / sizeof(driver_keys[0]); i++)
		if (doc_get(node, driver_keys[i].key) && !(driver_keys[i].drivers & BIT(line->driver)))
			schema_fault_key(c->r, node, driver_keys[i].key, "applies only with driver: %s",
					 driver_keys[i].text);
}

/* False: the driver has no such channels, and nothing more can be said. */
static bool check_kind(struct checker *c, const struct doc_node *node, const struct config_line *line,
		       const struct config_module *m)
{
	if (drivers[line->driver].kinds & BIT(m->kind))
		return true;
	schema_fault_key(c->r, node, "kind", "found \"%s\", allowed with driver: %s: %s",
			 config_area_text(m->kind), drivers[line->driver].name,
			 drivers[line->driver].kinds_text);
	return false;
}

static void check_needs(struct checker *c, const struct doc_node *node, const struct config_line *line)
{
	const struct doc_node *points = doc_get(node, "points");

	if (line->driver == CONFIG_DRIVER_SIM)
		return;
	if (!doc_get(node, "device"))
		schema_fault_key(c->r, node, "device", "found nothing, needed with driver: %s",
				 drivers[line->driver].name);
	if (!points || (points->kind == DOC_LIST && !points->count))
		schema_fault_key(c->r, node, "points",
				 "found nothing, needed with driver: %s: one for each channel",
				 drivers[line->driver].name);
}

static void check_counts(struct checker *c, const struct doc_node *node, struct config_line *line,
			 struct config_module *m)
{
	unsigned first = 0;

	for (const struct config_module *before = line->modules; before < m; before++)
		if (before->kind == m->kind)
			first += before->channels;
	if (line->driver != CONFIG_DRIVER_SIM)
		m->channels =
			(uint16_t)(m->npoints < CONFIG_CHANNELS_MAX ? m->npoints : CONFIG_CHANNELS_MAX + 1);
	m->channels = m->channels ? m->channels : 1;
	m->first = (uint16_t)first;
	if (first + m->channels > CONFIG_CHANNELS_MAX) {
		schema_fault(c->r, node,
			     "found %u channels of kind %s with those of modules before, allowed: at most %d",
			     first + m->channels, config_area_text(m->kind), CONFIG_CHANNELS_MAX);
		m->channels = 0;
	} else if (m->names && m->nnames != m->channels) {
		schema_fault_key(c->r, node, "names", "found %zu, allowed: %u, one for each channel",
				 m->nnames, m->channels);
	}
}

/* "0-10V, 4-20mA" in buf. */
static const char *modes_of(enum config_area kind, char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (int i = 0; i < IO_MODE_COUNT && len < size; i++)
		if (io_mode_fits((enum io_mode)i, kind))
			len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? ", " : "",
						io_mode_info((enum io_mode)i)->text);
	return buf;
}

static void check_mode(struct checker *c, const struct doc_node *node, const struct config_line *line,
		       struct config_module *m)
{
	char text[160];

	if (m->mode == IO_MODE_COUNT) {
		if (m->kind == CONFIG_AREA_RTD || m->kind == CONFIG_AREA_TC)
			m->mode = m->kind == CONFIG_AREA_RTD ? IO_MODE_PT100 : IO_MODE_TC_K;
		else
			m->mode = line->driver == CONFIG_DRIVER_SIM ? IO_MODE_V10 : IO_MODE_ANY;
	} else if (doc_get(node, "mode") && !io_mode_fits((enum io_mode)m->mode, m->kind)) {
		schema_fault_key(c->r, node, "mode", "found \"%s\", allowed in a module of kind %s: %s",
				 io_mode_info((enum io_mode)m->mode)->text, config_area_text(m->kind),
				 modes_of(m->kind, text, sizeof(text)));
	}
	if (m->factor == 0)
		schema_fault_key(c->r, node, "factor", "found 0, allowed: any other number");
}

/* ---- signals ---- */

static bool signal_fits(int signal, enum config_area kind)
{
	switch (signal) {
	case CONFIG_SIGNAL_LOOPBACK:
		return kind == CONFIG_AREA_DI || kind == CONFIG_AREA_AI;
	case CONFIG_SIGNAL_SQUARE:
	case CONFIG_SIGNAL_CONSTANT:
	case CONFIG_SIGNAL_BROKEN:
		return true;
	default:
		return kind != CONFIG_AREA_DI;
	}
}

static void fill_signal(struct config_module *m)
{
	const struct io_mode_info *mode = io_mode_info((enum io_mode)m->mode);
	bool is_di = m->kind == CONFIG_AREA_DI;
	bool is_temperature = mode->unit && strcmp(mode->unit, "°C") == 0;

	if (m->signal == CONFIG_SIGNAL_UNSET)
		m->signal = is_di ? CONFIG_SIGNAL_SQUARE : CONFIG_SIGNAL_SINE;
	if (isnan(m->low))
		m->low = is_di ? 0 : is_temperature ? ROOM_LOW : mode->low;
	if (isnan(m->high))
		m->high = is_di ? 1 : is_temperature ? ROOM_HIGH : mode->high;
	if (m->period_ms == 0 && !is_di)
		m->period_ms = DEFAULT_PERIOD;
}

static void check_signal(struct checker *c, const struct doc_node *node, struct config_module *m)
{
	fill_signal(m);
	if (!signal_fits(m->signal, m->kind))
		schema_fault_key(c->r, node, "signal", "found one that a %s cannot have, allowed: %s",
				 config_area_text(m->kind),
				 m->kind == CONFIG_AREA_DI ? "square, constant, loopback, broken"
							   : "sine, saw, triangle, square, constant, broken");
	if (m->signal == CONFIG_SIGNAL_CONSTANT && doc_get(node, "high"))
		schema_fault_key(c->r, node, "high",
				 "does not apply to signal: constant, whose value is low");
	else if (m->signal != CONFIG_SIGNAL_CONSTANT && m->low > m->high)
		schema_fault_key(c->r, node, "high", "found %.15g, allowed: no less than low, %.15g", m->high,
				 m->low);
	if (m->kind == CONFIG_AREA_DI && m->low != 0 && m->low != 1)
		schema_fault_key(c->r, node, "low", "found %.15g, allowed for a di: 0 or 1", m->low);
}

/* ---- what must not be there twice ---- */

/* "name" of a channel as a tag: what the file says, or kind and number. */
static const char *channel_name(const struct config_module *m, unsigned k, char *buf, size_t size)
{
	if (m->names)
		return k < m->nnames && m->names[k] ? m->names[k] : "";
	snprintf(buf, size, "%s%u", config_area_text(m->kind), m->first + k);
	return buf;
}

static int check_names(struct checker *c, const struct doc_node *list, const struct config_line *line)
{
	struct name_set set;
	char buf[16];
	size_t there, n_channels = 0;
	int rc;

	for (size_t i = 0; i < line->nmodules; i++)
		n_channels += line->modules[i].channels;
	rc = name_set_init(&set, c->r->arena, n_channels);
	for (const struct doc_node *n = list->first; rc == OK && n; n = n->next) {
		const struct config_module *m = &line->modules[n->index];

		for (unsigned k = 0; rc == OK && k < m->channels; k++) {
			const char *name = channel_name(m, k, buf, sizeof(buf));
			const char *kept = arena_text(c->r->arena, name, strlen(name));

			if (!kept)
				return ERR_NOMEM;
			rc = name[0] ? name_set_add(&set, kept, n->index, &there) : OK;
			if (rc == ERR_EXISTS) {
				schema_fault_key(c->r, n, "names",
						 "\"%s\" is the name of another channel of the rack, "
						 "allowed: a name of its own",
						 name);
				rc = OK;
			}
		}
	}
	return rc;
}

/* Of a converter in_voltage0 and out_voltage0 are two: one is measured, the other driven. */
static bool is_same_point(const struct config_module *a, size_t i, const struct config_module *b, size_t k)
{
	if ((a->kind == CONFIG_AREA_AO) != (b->kind == CONFIG_AREA_AO))
		return false;
	return a->device && b->device && a->points[i] && b->points[k] && strcmp(a->device, b->device) == 0 &&
	       strcmp(a->points[i], b->points[k]) == 0;
}

static void check_point(struct checker *c, const struct doc_node *n, const struct config_line *line, size_t i)
{
	const struct config_module *m = &line->modules[n->index];

	for (const struct config_module *o = line->modules; o <= m; o++)
		for (size_t k = 0; k < (o == m ? i : o->npoints); k++)
			if (is_same_point(m, i, o, k)) {
				schema_fault_key(
					c->r, n, "points",
					"found \"%s\" of %s twice in this rack, allowed: each point once",
					m->points[i], m->device);
				return;
			}
}

/* ---- the rack ---- */

static void check_module(struct checker *c, const struct doc_node *n, struct config_line *line)
{
	struct config_module *m = &line->modules[n->index];

	/* It had no kind that could be read, or one that the driver has not. */
	if (!config_area_is_rack(m->kind) || !check_kind(c, n, line, m)) {
		m->channels = 0;
		return;
	}
	check_driver_keys(c, n, line);
	check_needs(c, n, line);
	check_counts(c, n, line, m);
	if (m->kind >= CONFIG_AREA_AI)
		check_mode(c, n, line, m);
	else
		m->mode = IO_MODE_ANY;
	if (line->driver == CONFIG_DRIVER_SIM)
		check_signal(c, n, m);
	else
		m->signal = 0, m->low = m->high = 0;
	for (size_t i = 0; i < m->npoints; i++)
		check_point(c, n, line, i);
}

static int take_default(struct checker *c, struct config_line *line)
{
	size_t n;
	const struct config_module *modules = config_default_modules(&n);

	line->modules = arena_array(c->r->arena, n, sizeof(*modules));
	if (!line->modules)
		return ERR_NOMEM;
	memcpy(line->modules, modules, n * sizeof(*modules));
	line->nmodules = n;
	return OK;
}

int gateway_check_rack(struct checker *c, const struct doc_node *node, struct config_line *line)
{
	const struct doc_node *list = doc_get(node, "modules");
	const char *driver = drivers[line->driver].name;

	if (line->type == CONFIG_LINE_SIM)
		return take_default(c, line);
	if (!drivers[line->driver].is_built)
		schema_fault_key(c->r, node, "driver",
				 "found \"%s\", but this program was built without it; build it where "
				 "libgpiod-dev is installed",
				 driver);
	if (line->root && line->driver != CONFIG_DRIVER_IIO && line->driver != CONFIG_DRIVER_HWMON)
		schema_fault_key(c->r, node, "root", "applies only with driver: iio or hwmon");
	if (!list && line->driver == CONFIG_DRIVER_SIM)
		return take_default(c, line);
	if (line->nmodules == 0) {
		if (!list || list->kind == DOC_LIST)
			schema_fault_key(c->r, node, "modules",
					 "found nothing, needed with driver: %s: a list of maps", driver);
		return OK;
	}
	for (const struct doc_node *n = list->first; n; n = n->next)
		check_module(c, n, line);
	return check_names(c, list, line);
}

/* ---- the channels of a rack, for a device that names no tags ---- */

static double scaled(const struct config_tag *tag, double raw)
{
	const struct config_map *map = tag->map;

	if (!map)
		return raw * tag->scale + tag->offset;
	return map->value[0] +
	       (raw - map->raw[0]) * (map->value[1] - map->value[0]) / (map->raw[1] - map->raw[0]);
}

/* An analog output takes nothing beyond what it is made for. */
void gateway_limit_output(const struct config_line *line, struct config_tag *tag)
{
	const struct config_module *m = config_line_module(line, tag->address.area, tag->address.number);
	const struct io_mode_info *mode;
	double low, high;

	if (!m || m->kind != CONFIG_AREA_AO || m->mode >= IO_MODE_COUNT || !tag->writable)
		return;
	mode = io_mode_info((enum io_mode)m->mode);
	if (mode->low == mode->high)
		return;
	low = scaled(tag, mode->low);
	high = scaled(tag, mode->high);
	if (isinf(tag->min))
		tag->min = fmin(low, high);
	if (isinf(tag->max))
		tag->max = fmax(low, high);
}

static int make_channel(struct checker *c, const struct config_device *dev, const struct config_line *line,
			const struct config_module *m, unsigned k, struct config_tag *tag)
{
	bool is_digital =
		m->kind == CONFIG_AREA_DI || m->kind == CONFIG_AREA_DO || m->kind == CONFIG_AREA_RELAY;
	const char *name;
	char buf[16];
	int rc;

	if ((rc = schema_defaults(c->r, &gateway_tag_schema, tag)) < 0)
		return rc;
	name = channel_name(m, k, buf, sizeof(buf));
	tag->name = arena_text(c->r->arena, name, strlen(name));
	tag->address =
		(struct config_address){.area = m->kind, .number = (uint16_t)(m->first + k), .bit = -1};
	tag->type = is_digital ? VALUE_TYPE_BOOL : VALUE_TYPE_FLOAT64;
	tag->order = value_type_default_order(tag->type);
	tag->writable =
		m->kind == CONFIG_AREA_DO || m->kind == CONFIG_AREA_RELAY || m->kind == CONFIG_AREA_AO;
	gateway_limit_output(line, tag);
	tag->group_name = dev->groups[0].name;
	return tag->name ? OK : ERR_NOMEM;
}

int gateway_add_channels(struct checker *c, struct config_device *dev, const struct config_line *line)
{
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < line->nmodules; i++)
		n += line->modules[i].channels;
	dev->tags = arena_array(c->r->arena, n, sizeof(*dev->tags));
	if (!dev->tags)
		return ERR_NOMEM;
	for (size_t i = 0; i < line->nmodules; i++)
		for (unsigned k = 0; k < line->modules[i].channels; k++, dev->ntags++)
			if ((rc = make_channel(c, dev, line, &line->modules[i], k, &dev->tags[dev->ntags])) <
			    0)
				return rc;
	return OK;
}
