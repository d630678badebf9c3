#include "config/gateway_schema.h"

#include "config/gateway_config.h"
#include "config/gateway_rules.h"

/* Lines. */
#define LINE_AT(member) SCHEMA_AT(struct config_line, member)
#define TCP_ONLY        .only = 1u << CONFIG_LINE_MODBUS_TCP

static const struct schema_field backoff_fields[] = {
	{"first", "Wait before the first new attempt; it doubles each time", SCHEMA_TIME,
	 SCHEMA_AT(struct config_backoff, first_ms), .min = 10, .max = 1 * MS_PER_D, .preset = "5s"},
	{"max", "Longest wait", SCHEMA_TIME, SCHEMA_AT(struct config_backoff, max_ms), .min = 10,
	 .max = 1 * MS_PER_D, .preset = "5min"},
};

static const struct schema backoff_table = {"backoff", sizeof(struct config_backoff), TABLE(backoff_fields)};

static const struct schema_word line_types[] = {
	{"modbus-tcp", CONFIG_LINE_MODBUS_TCP},
	{"sim", CONFIG_LINE_SIM},
	{"modbus-rtu", 0, .later = true},
	{"modbus-rtu-tcp", 0, .later = true},
	{NULL, 0},
};

static const struct schema_field line_fields[] = {
	{"name", "What devices call it", SCHEMA_TEXT, LINE_AT(name), .rule = &rule_name, .required = true},
	{"type", "How it is driven: Modbus/TCP, or a simulated rack", SCHEMA_ENUM, LINE_AT(type),
	 .words = line_types, .required = true},
	{"host", "The Modbus/TCP server", SCHEMA_TEXT, LINE_AT(host), .rule = &rule_host, .required = true,
	 TCP_ONLY},
	{"port", "Its port", SCHEMA_INT, LINE_AT(port), .min = 1, .max = 65535, .preset = "502", TCP_ONLY},
	{"timeout", "Time for an answer", SCHEMA_TIME, LINE_AT(timeout_ms), .min = 10, .max = 10 * MS_PER_MIN,
	 .preset = "1s", TCP_ONLY},
	{"retries", "Attempts after the first one", SCHEMA_INT, LINE_AT(retries), .min = 0, .max = 10,
	 .preset = "1", TCP_ONLY},
	{"backoff", "Waits between attempts at a device or a connection that does not answer", SCHEMA_MAP,
	 LINE_AT(backoff), .sub = &backoff_table, TCP_ONLY},
	{"max_in_flight", "Requests on the wire at once", SCHEMA_INT, LINE_AT(max_in_flight), .min = 1,
	 .max = 16, .preset = "1", TCP_ONLY},
	{"path", "Serial port", SCHEMA_LATER},
	{"baud", "Serial speed", SCHEMA_LATER},
	{"parity", "Serial parity", SCHEMA_LATER},
};

const struct schema gateway_line_schema = {"line", sizeof(struct config_line), TABLE(line_fields),
					   .selector = "type"};
