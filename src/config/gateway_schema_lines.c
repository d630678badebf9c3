#include "config/gateway_schema.h"

#include "config/gateway_config.h"
#include "config/gateway_rules.h"
#include "config/io_config.h"

/* Lines. */
#define LINE_AT(member) SCHEMA_AT(struct config_line, member)
#define TCP_ONLY        .only = 1u << CONFIG_LINE_MODBUS_TCP
#define IO_ONLY         .only = 1u << CONFIG_LINE_IO
#define NOT_SIM         .only = ~(1u << CONFIG_LINE_SIM)

static const struct schema_field backoff_fields[] = {
	{"first", "Wait before the first new attempt; it doubles each time", SCHEMA_TIME,
	 SCHEMA_AT(struct config_backoff, first_ms), .min = 10, .max = 1 * MS_PER_D, .preset = "5s"},
	{"max", "Longest wait", SCHEMA_TIME, SCHEMA_AT(struct config_backoff, max_ms), .min = 10,
	 .max = 1 * MS_PER_D, .preset = "5min"},
};

static const struct schema backoff_table = {"backoff", sizeof(struct config_backoff), TABLE(backoff_fields)};

static const struct schema_word line_types[] = {
	{"modbus-tcp", CONFIG_LINE_MODBUS_TCP},
	{"io", CONFIG_LINE_IO},
	{"sim", CONFIG_LINE_SIM},
	{"modbus-rtu", 0, .later = true},
	{"modbus-rtu-tcp", 0, .later = true},
	{NULL, 0},
};

static const struct schema_word drivers[] = {
	{"sim", CONFIG_DRIVER_SIM},
	{"gpiod", CONFIG_DRIVER_GPIOD, .later = true},
	{"iio", CONFIG_DRIVER_IIO},
	{"hwmon", CONFIG_DRIVER_HWMON},
	{NULL, 0},
};

static const struct schema_field line_fields[] = {
	{"name", "What devices call it", SCHEMA_TEXT, LINE_AT(name), .rule = &rule_name, .required = true},
	{"type", "How it is driven: Modbus/TCP, an I/O rack, or a simulated rack with a few channels",
	 SCHEMA_ENUM, LINE_AT(type), .words = line_types, .required = true},
	{"host", "The Modbus/TCP server", SCHEMA_TEXT, LINE_AT(host), .rule = &rule_host, .required = true,
	 TCP_ONLY},
	{"port", "Its port", SCHEMA_INT, LINE_AT(port), .min = 1, .max = 65535, .preset = "502", TCP_ONLY},
	{"timeout", "Time for an answer", SCHEMA_TIME, LINE_AT(timeout_ms), .min = 10, .max = 10 * MS_PER_MIN,
	 .preset = "1s", NOT_SIM},
	{"retries", "Attempts after the first one", SCHEMA_INT, LINE_AT(retries), .min = 0, .max = 10,
	 .preset = "1", NOT_SIM},
	{"backoff", "Waits between attempts at a device or a connection that does not answer", SCHEMA_MAP,
	 LINE_AT(backoff), .sub = &backoff_table, NOT_SIM},
	{"max_in_flight", "Requests on the wire at once", SCHEMA_INT, LINE_AT(max_in_flight), .min = 1,
	 .max = 16, .preset = "1", TCP_ONLY},
	{"driver", "What drives the channels of the rack", SCHEMA_ENUM, LINE_AT(driver), .words = drivers,
	 .required = true, IO_ONLY},
	{"root", "Folder with the sys of this machine, with driver: iio and hwmon; another one for a trial",
	 SCHEMA_PATH, LINE_AT(root), .unset = "/", IO_ONLY},
	{"modules", "Its channels", SCHEMA_MAPS, SCHEMA_LIST_AT(struct config_line, modules, nmodules),
	 .sub = &gateway_module_schema, .unset = "those of type: sim with driver: sim; needed with others",
	 IO_ONLY},
	{"path", "Serial port", SCHEMA_LATER},
	{"baud", "Serial speed", SCHEMA_LATER},
	{"parity", "Serial parity", SCHEMA_LATER},
};

const struct schema gateway_line_schema = {"line", sizeof(struct config_line), TABLE(line_fields),
					   .selector = "type"};
