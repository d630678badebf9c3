#include "config/gateway_schema.h"

#include <math.h>

#include "config/gateway_rules.h"
#include "config/io_config.h"

/* Modules of a rack. What depends on the driver is checked in gateway_check_io.c. */
#define MODULE_AT(member) SCHEMA_AT(struct config_module, member)
#define KIND(name)        (1u << CONFIG_AREA_##name)
#define ANALOG_KINDS      (KIND(AI) | KIND(AO) | KIND(RTD) | KIND(TC))

static const struct schema_word kinds[] = {
	{"di", CONFIG_AREA_DI},       {"do", CONFIG_AREA_DO},
	{"relay", CONFIG_AREA_RELAY}, {"ai", CONFIG_AREA_AI},
	{"ao", CONFIG_AREA_AO},       {"rtd", CONFIG_AREA_RTD},
	{"tc", CONFIG_AREA_TC},       {NULL, 0},
};

static const struct schema_word modes[] = {
#define IO_MODE_AS_WORD(name, text, kind, unit, low, high, open, under, over) {text, IO_MODE_##name},
	IO_MODE_TABLE(IO_MODE_AS_WORD)
#undef IO_MODE_AS_WORD
		{NULL, 0},
};

static const struct schema_word edges[] = {{"rising", CONFIG_EDGE_RISING},
					   {"falling", CONFIG_EDGE_FALLING},
					   {"both", CONFIG_EDGE_BOTH},
					   {NULL, 0}};
static const struct schema_word biases[] = {{"as_is", CONFIG_BIAS_AS_IS},
					    {"disabled", CONFIG_BIAS_DISABLED},
					    {"pull_up", CONFIG_BIAS_PULL_UP},
					    {"pull_down", CONFIG_BIAS_PULL_DOWN},
					    {NULL, 0}};
static const struct schema_word drives[] = {{"push_pull", CONFIG_DRIVE_PUSH_PULL},
					    {"open_drain", CONFIG_DRIVE_OPEN_DRAIN},
					    {"open_source", CONFIG_DRIVE_OPEN_SOURCE},
					    {NULL, 0}};
static const struct schema_word signals[] = {
	{"sine", CONFIG_SIGNAL_SINE},         {"saw", CONFIG_SIGNAL_SAW},
	{"triangle", CONFIG_SIGNAL_TRIANGLE}, {"square", CONFIG_SIGNAL_SQUARE},
	{"constant", CONFIG_SIGNAL_CONSTANT}, {"loopback", CONFIG_SIGNAL_LOOPBACK},
	{"broken", CONFIG_SIGNAL_BROKEN},     {NULL, 0},
};

static const struct schema_field module_fields[] = {
	{"kind", "Kind of its channels", SCHEMA_ENUM, MODULE_AT(kind), .words = kinds, .required = true},
	{"channels", "How many channels a simulated module has", SCHEMA_INT, MODULE_AT(channels), .min = 1,
	 .max = CONFIG_CHANNELS_MAX, .unset = "1; of other drivers as many as points"},
	{"names", "What its channels are called as tags of a device that names no tags", SCHEMA_TEXTS,
	 SCHEMA_LIST_AT(struct config_module, names, nnames), .rule = &rule_name,
	 .unset = "kind and number: di0, di1, ..."},
	{"device", "The chip: its name or label, which stays when its number changes", SCHEMA_TEXT,
	 MODULE_AT(device), .rule = &rule_point, .unset = "needed but with driver: sim"},
	{"points",
	 "What each channel is connected to there: numbers or names of lines (gpiod), voltage0 (iio), temp1 "
	 "or a label "
	 "(hwmon)",
	 SCHEMA_TEXTS, SCHEMA_LIST_AT(struct config_module, points, npoints), .rule = &rule_point,
	 .unset = "needed but with driver: sim"},
	{"mode", "What an analog channel measures or drives", SCHEMA_ENUM, MODULE_AT(mode), .words = modes,
	 .unset = "Pt100 of rtd, K of tc; 0-10V of ai and ao when simulated, else any", .only = ANALOG_KINDS},
	{"factor",
	 "What the driver measures times this is the value: 4 for the volts of 4-20 mA through 250 ohms",
	 SCHEMA_NUMBER, MODULE_AT(factor), .preset = "1", .only = ANALOG_KINDS},
	{"filter", "A new state counts when it has lasted so long", SCHEMA_TIME, MODULE_AT(filter_ms),
	 .min = 0, .max = 1 * MS_PER_MIN, .preset = "0", .only = KIND(DI)},
	{"edge", "What is counted", SCHEMA_ENUM, MODULE_AT(edge), .words = edges, .preset = "rising",
	 .only = KIND(DI)},
	{"pulse_on", "How long a pulse is", SCHEMA_TIME, MODULE_AT(pulse_on_ms), .min = 1,
	 .max = 1 * MS_PER_D, .preset = "500ms", .only = KIND(DO)},
	{"pulse_off", "Time between two pulses", SCHEMA_TIME, MODULE_AT(pulse_off_ms), .min = 1,
	 .max = 1 * MS_PER_D, .preset = "500ms", .only = KIND(DO)},
	{"pulse_count", "Pulses of one start; 0: until it is stopped", SCHEMA_INT, MODULE_AT(pulse_count),
	 .min = 0, .max = 4294967295.0, .preset = "0", .only = KIND(DO)},
	{"active_low", "On is the low level", SCHEMA_BOOL, MODULE_AT(active_low), .preset = "false",
	 .only = KIND(DI) | KIND(DO) | KIND(RELAY)},
	{"bias", "Resistor at an input", SCHEMA_ENUM, MODULE_AT(bias), .words = biases, .preset = "as_is",
	 .only = KIND(DI)},
	{"drive", "How an output drives its line", SCHEMA_ENUM, MODULE_AT(drive), .words = drives,
	 .preset = "push_pull", .only = KIND(DO) | KIND(RELAY)},
	{"signal", "What a simulated input does", SCHEMA_ENUM, MODULE_AT(signal), .words = signals,
	 .unset = "square of di, sine of others", .only = KIND(DI) | KIND(AI) | KIND(RTD) | KIND(TC)},
	{"period", "Of the signal", SCHEMA_TIME, MODULE_AT(period_ms), .min = 20, .max = 1 * MS_PER_D,
	 .unset = "60s; of the channels of a di 2s, 4s, 8s, 16s, and so on again",
	 .only = KIND(DI) | KIND(AI) | KIND(RTD) | KIND(TC)},
	{"low", "Least value of the signal; the value of a constant one (of di 0 or 1)", SCHEMA_NUMBER,
	 MODULE_AT(low), .unset = "the least of the mode, of temperatures 15",
	 .only = KIND(DI) | KIND(AI) | KIND(RTD) | KIND(TC)},
	{"high", "Largest value of the signal", SCHEMA_NUMBER, MODULE_AT(high),
	 .unset = "the largest of the mode, of temperatures 35", .only = KIND(AI) | KIND(RTD) | KIND(TC)},
};

static void module_init(void *item)
{
	struct config_module *m = item;

	m->mode = IO_MODE_COUNT;
	m->signal = CONFIG_SIGNAL_UNSET;
	m->low = m->high = NAN;
}

const struct schema gateway_module_schema = {"module", sizeof(struct config_module), TABLE(module_fields),
					     .selector = "kind", .init = module_init};
