/* Lines that are racks, and the devices on them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "config/gateway_config_rows.h"
#include "config/io_config.h"

#define RACK(driver, modules) "lines: [{name: r, type: io, driver: " driver ", modules: [" modules "]}]\n"
#define SIM(modules)          RACK("sim", modules)
/* A list of texts may hold no concatenation in sight. */
#define ROOTED                                                                                          \
	"lines: [{name: r, type: io, driver: hwmon, root: /a, modules: [{kind: ai, device: x, points: " \
	"[a]}]}]\n"
#define DEVICE(x) "devices: [{name: d, line: r, " x "}]\n"
#ifdef LINESIDE_GPIOD
#define WITH_GPIOD NULL
#else
#define WITH_GPIOD                                                                                 \
	"lines[0].driver: found \"gpiod\", but this program was built without it; build it where " \
	"libgpiod-dev is installed"
#endif
#define AT "lines[0].modules[0]"

static void what_a_module_has_depends_on_kind_and_driver(void **state)
{
	static const struct row rows[] = {
		{"lines: [{name: r, type: io, driver: sim}]\n", NULL},
		{SIM("{kind: di, channels: 512}"), NULL},
		{SIM("{kind: ai, mode: 4-20mA-burnout, signal: constant, low: 3}, {kind: ao}, {kind: relay}"),
		 NULL},
		{SIM("{kind: rtd, mode: Ni100}, {kind: tc, mode: disabled}"), NULL},
		{RACK("hwmon", "{kind: ai, device: coretemp, points: [temp1, 'Core 1']}"), NULL},
		{RACK("iio", "{kind: ao, device: mcp4725, points: [voltage0], names: [valve], mode: 0-10V, "
			     "factor: 2}"),
		 NULL},
		{RACK("gpiod",
		      "{kind: di, device: gpiochip0, points: [17, GPIO27], bias: pull_up, active_low: true}"),
		 WITH_GPIOD},
		{SIM("{kind: di, bias: pull_up}"), AT ".bias: applies only with driver: gpiod"},
		{"lines: [{name: r, type: io}]\n",
		 "lines[0].driver: found nothing, allowed: sim, gpiod, iio, hwmon"},
		{"lines: [{name: r, type: io, driver: iio}]\n",
		 "lines[0].modules: found nothing, needed with driver: iio: a list of maps"},
		{SIM(""), "lines[0].modules: found nothing, needed with driver: sim: a list of maps"},
		{"lines: [{name: r, type: sim, modules: []}]\n",
		 "lines[0].modules: is not a key of a line of type sim"},
		{"lines: [{name: r, type: io, driver: sim, root: /x}]\n",
		 "lines[0].root: applies only with driver: iio or hwmon"},
		{SIM("{channels: 1}"), AT ".kind: found nothing, allowed: di, do, relay, ai, ao, rtd, tc"},
		{SIM("{kind: di, channels: 513}"),
		 AT ".channels: found \"513\", allowed: a whole number, 1..512"},
		{SIM("{kind: di, channels: 512}, {kind: di}"),
		 "lines[0].modules[1]: found 513 channels of kind di with those of modules before, allowed: "
		 "at most 512"},
		{SIM("{kind: di, mode: K}"), AT ".mode: is not a key of a module of kind di"},
		{SIM("{kind: ai, mode: K}"),
		 AT ".mode: found \"K\", allowed in a module of kind ai: any, disabled, 0-10V, +-10V, "
		    "0-20mA, 4-20mA, 4-20mA-burnout, RTD Pt100"},
		{SIM("{kind: ao, mode: 4-20mA-burnout}"),
		 AT ".mode: found \"4-20mA-burnout\", allowed in a module of kind ao: any, 0-10V, +-10V, "
		    "0-20mA, 4-20mA"},
		{SIM("{kind: di, device: x}"), AT ".device: applies only with driver: gpiod, iio or hwmon"},
		{SIM("{kind: ai, factor: 2}"), AT ".factor: applies only with driver: iio or hwmon"},
		{RACK("iio", "{kind: ai, device: x, points: [voltage0], factor: 0}"),
		 AT ".factor: found 0, allowed: any other number"},
		{RACK("iio", "{kind: di, device: x, points: [voltage0]}"),
		 AT ".kind: found \"di\", allowed with driver: iio: ai, ao, rtd, tc"},
		{RACK("hwmon", "{kind: ai, device: x}"),
		 AT ".points: found nothing, needed with driver: hwmon: one for each channel"},
		{RACK("hwmon", "{kind: ai, points: [temp1]}"),
		 AT ".device: found nothing, needed with driver: hwmon"},
		{RACK("hwmon", "{kind: ai, device: x, points: [temp1], signal: sine}"),
		 AT ".signal: applies only with driver: sim"},
		{RACK("hwmon", "{kind: ai, device: x, points: [../y]}"),
		 AT ".points[0]: found \"../y\", allowed: 1 to 64 characters without /, not starting with a "
		    "dot"},
		{RACK("hwmon", "{kind: ai, device: x, points: [temp1, temp1]}"),
		 AT ".points: found \"temp1\" of x twice in this rack, allowed: each point once"},
		{RACK("iio", "{kind: ao, device: x, points: [voltage0, voltage0]}"),
		 AT ".points: found \"voltage0\" of x twice in this rack, allowed: each point once"},
		{SIM("{kind: di, channels: 2, names: [a]}"),
		 AT ".names: found 1, allowed: 2, one for each channel"},
		{SIM("{kind: di, names: [ai0]}, {kind: ai}"),
		 "lines[0].modules[1].names: \"ai0\" is the name of another channel of the rack, allowed: a "
		 "name of its own"},
		{SIM("{kind: di, signal: sine}"),
		 AT ".signal: found one that a di cannot have, allowed: square, constant, loopback, broken"},
		{SIM("{kind: rtd, signal: loopback}"),
		 AT ".signal: found one that a rtd cannot have, allowed: sine, saw, triangle, square, "
		    "constant, broken"},
		{SIM("{kind: di, low: 2, signal: constant}"), AT ".low: found 2, allowed for a di: 0 or 1"},
		{SIM("{kind: ai, low: 5, high: 4}"), AT ".high: found 4, allowed: no less than low, 5"},
		{SIM("{kind: ai, signal: constant, low: 5, high: 6}"),
		 AT ".high: does not apply to signal: constant, whose value is low"},
		{SIM("{kind: do, pulse_on: 0}"),
		 AT ".pulse_on: found \"0\", allowed: a time in ms, s, min, h or d, 1ms..1d"},
	};

	(void)state;
	CHECK_ROWS(rows);
}

static struct gateway_config *parsed(const char *text)
{
	struct gateway_config *cfg = NULL;
	struct faults faults;

	assert_int_equal(parse(text, &cfg, &faults), OK);
	faults_fini(&faults);
	return cfg;
}

static void an_input_and_an_output_of_a_converter_are_two_points(void **state)
{
	struct gateway_config *cfg =
		parsed(RACK("iio", "{kind: ai, device: x, points: [voltage0]}, {kind: ao, device: x, points: "
				   "[voltage0]}"));

	(void)state;
	gateway_config_destroy(cfg);
}

static void channels_are_numbered_through_the_modules_of_a_kind(void **state)
{
	struct gateway_config *cfg = parsed(SIM(
		"{kind: di, channels: 2}, {kind: ai, mode: 4-20mA}, {kind: di, names: [door]}, {kind: ai}")
						    DEVICE("groups: [{name: g}]"));
	static const char *const names[] = {"di0", "di1", "ai0", "door", "ai1"};
	const struct config_line *line = &cfg->lines[0];

	(void)state;
	assert_int_equal(config_line_channels(line, CONFIG_AREA_DI), 3);
	assert_int_equal(config_line_channels(line, CONFIG_AREA_TC), 0);
	assert_ptr_equal(config_line_module(line, CONFIG_AREA_DI, 2), &line->modules[2]);
	assert_ptr_equal(config_line_module(line, CONFIG_AREA_AI, 1), &line->modules[3]);
	assert_null(config_line_module(line, CONFIG_AREA_AI, 2));
	assert_int_equal(cfg->devices[0].ntags, 5);
	for (size_t i = 0; i < 5; i++)
		assert_string_equal(cfg->devices[0].tags[i].name, names[i]);
	assert_int_equal(cfg->devices[0].tags[3].address.number, 2);
	gateway_config_destroy(cfg);
}

static void an_analog_output_is_limited_by_its_mode_as_it_is_scaled(void **state)
{
	struct gateway_config *cfg =
		parsed(SIM("{kind: ao, channels: 2, mode: 4-20mA}, {kind: ao, mode: any}") DEVICE(
			"tags: [{name: a, address: 'ao:0', access: rw},"
			" {name: b, address: 'ao:1', access: rw, scale: -10, offset: 300},"
			" {name: c, address: 'ao:1', access: rw, min: 6, max: 30},"
			" {name: d, address: 'ao:2', access: rw}, {name: e, address: 'ao:0'},"
			" {name: f, address: 'ao:1', access: rw, map: {raw: [4, 20], value: [0, 100]}}]"));
	const struct config_tag *t = cfg->devices[0].tags;

	(void)state;
	assert_true(t[0].min == 4 && t[0].max == 20);
	assert_true(t[1].min == 100 && t[1].max == 260);
	assert_true(t[2].min == 6 && t[2].max == 30);
	assert_true(isinf(t[3].min) && isinf(t[3].max));
	assert_true(isinf(t[4].min));
	assert_true(t[5].min == 0 && t[5].max == 100);
	gateway_config_destroy(cfg);
}

static void a_change_of_a_module_is_a_change_of_its_line(void **state)
{
	static const char *const texts[] = {
		SIM("{kind: di}"),
		SIM("{kind: di, channels: 2}"),
		SIM("{kind: di, filter: 5ms}"),
		SIM("{kind: di, edge: both}"),
		SIM("{kind: di, signal: loopback}"),
		SIM("{kind: di, period: 50ms}"),
		SIM("{kind: di}, {kind: do}"),
		SIM("{kind: do}"),
		SIM("{kind: do, pulse_on: 5ms}"),
		SIM("{kind: do, pulse_off: 5ms}"),
		SIM("{kind: do, pulse_count: 5}"),
		SIM("{kind: ai}"),
		SIM("{kind: ai, mode: 4-20mA, low: 0, high: 10}"),
		SIM("{kind: ai, low: 1}"),
		SIM("{kind: ai, high: 1}"),
		RACK("iio", "{kind: ai, device: x, points: [a]}"),
		RACK("iio", "{kind: ai, device: y, points: [a]}"),
		RACK("iio", "{kind: ai, device: x, points: [b]}"),
		RACK("iio", "{kind: ai, device: x, points: [a], factor: 2}"),
		RACK("hwmon", "{kind: ai, device: x, points: [a]}"),
		ROOTED,
	};
	const size_t n = sizeof(texts) / sizeof(texts[0]);

	(void)state;
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++) {
			struct gateway_config *a = parsed(texts[i]), *b = parsed(texts[k]);

			assert_int_equal(config_line_equal(&a->lines[0], &b->lines[0]), i == k);
			gateway_config_destroy(a);
			gateway_config_destroy(b);
		}
}

static void addresses_are_those_of_channels_that_are_there(void **state)
{
	static const struct {
		const char *address, *fault;
	} rows[] = {
		{"di:1", ""},
		{"di:2", "found channel 2, allowed: 0..1"},
		{"tc:0", "found the area tc, allowed on this rack: di"},
		{"coil:0", "found the area coil, allowed on this line: di, do, relay, ai, ao, rtd, tc"},
		{"di:0.1", "found bit 1, allowed only for a bool of a register, or with bits"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct gateway_config *cfg = NULL;
		struct faults faults;
		char text[256];

		snprintf(text, sizeof(text),
			 SIM("{kind: di, channels: 2}") DEVICE("tags: [{name: t, address: '%s'}]"),
			 rows[i].address);
		assert_int_equal(parse(text, &cfg, &faults), rows[i].fault[0] ? ERR_CONFIG : OK);
		assert_string_equal(faults.count ? faults.list[0].text : "", rows[i].fault);
		gateway_config_destroy(cfg);
		faults_fini(&faults);
	}
}

static void memory_that_runs_out_leaves_nothing(void **state)
{
	static const char text[] =
		SIM("{kind: di, channels: 3, names: [a, b, c]}, {kind: ai}") DEVICE("unit: 1");

	(void)state;
	for (long n = 1;; n++) {
		struct gateway_config *cfg = NULL;
		struct faults faults;
		bool hit;
		int rc;

		faults_init(&faults, "f");
		alloc_fail_at(n);
		rc = gateway_config_parse("f.yaml", text, sizeof(text) - 1, &cfg, &faults);
		hit = alloc_fail_end();
		if (hit)
			assert_int_equal(rc, ERR_NOMEM);
		gateway_config_destroy(cfg);
		faults_fini(&faults);
		if (!hit)
			break;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_module_has_depends_on_kind_and_driver),
		cmocka_unit_test(an_input_and_an_output_of_a_converter_are_two_points),
		cmocka_unit_test(channels_are_numbered_through_the_modules_of_a_kind),
		cmocka_unit_test(an_analog_output_is_limited_by_its_mode_as_it_is_scaled),
		cmocka_unit_test(a_change_of_a_module_is_a_change_of_its_line),
		cmocka_unit_test(addresses_are_those_of_channels_that_are_there),
		cmocka_unit_test(memory_that_runs_out_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
