#include "config/gateway_schema.h"

#include "config/gateway_config.h"
#include "config/gateway_rules.h"
#include "config/io_config.h"

/* Lines. */
#define LINE_AT(member) SCHEMA_AT(struct config_line, member)
#define TCP_ONLY        .only = 1u << CONFIG_LINE_MODBUS_TCP
#define PORT_ONLY       .only = 1u << CONFIG_LINE_MODBUS_RTU
#define NETWORK         .only = 1u << CONFIG_LINE_MODBUS_TCP | 1u << CONFIG_LINE_RTU_OVER_TCP
#define SERIAL          .only = 1u << CONFIG_LINE_MODBUS_RTU | 1u << CONFIG_LINE_RTU_OVER_TCP
#define IO_ONLY         .only = 1u << CONFIG_LINE_IO
#define NOT_SIM         .only = ~(1u << CONFIG_LINE_SIM | 1u << CONFIG_LINE_INTERNAL)

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
	{"modbus-rtu", CONFIG_LINE_MODBUS_RTU},
	{"rtu-over-tcp", CONFIG_LINE_RTU_OVER_TCP},
	{"io", CONFIG_LINE_IO},
	{"internal", CONFIG_LINE_INTERNAL},
	{NULL, 0},
};

static const struct schema_word parities[] = {
	{"none", CONFIG_PARITY_NONE},
	{"even", CONFIG_PARITY_EVEN},
	{"odd", CONFIG_PARITY_ODD},
	{NULL, 0},
};

static const struct schema_word modes[] = {
	{"rtu", CONFIG_MODE_RTU},
	{"ascii", CONFIG_MODE_ASCII},
	{NULL, 0},
};

static const struct schema_field rs485_fields[] = {
	{"rts_on_send", "RTS is set while sending", SCHEMA_BOOL, SCHEMA_AT(struct config_rs485, rts_on_send),
	 .preset = "true"},
	{"rts_after_send", "RTS is set while listening", SCHEMA_BOOL,
	 SCHEMA_AT(struct config_rs485, rts_after_send), .preset = "false"},
	{"delay_before", "Time from RTS to the first bit", SCHEMA_TIME,
	 SCHEMA_AT(struct config_rs485, delay_before_ms), .min = 0, .max = 1000, .preset = "0"},
	{"delay_after", "Time from the last bit to RTS", SCHEMA_TIME,
	 SCHEMA_AT(struct config_rs485, delay_after_ms), .min = 0, .max = 1000, .preset = "0"},
};

static const struct schema rs485_table = {"rs485", sizeof(struct config_rs485), TABLE(rs485_fields)};

static const struct schema_word watch_words[] = {
	{"modbus", CONFIG_WATCH_MODBUS},
	{"mqtt", CONFIG_WATCH_MQTT},
	{"uplink", CONFIG_WATCH_UPLINK},
	{NULL, 0},
};

static const struct schema_word clear_words[] = {
	{"auto", CONFIG_CLEAR_AUTO},
	{"manual", CONFIG_CLEAR_MANUAL},
	{NULL, 0},
};

#define WATCHDOG_AT(member) SCHEMA_AT(struct config_watchdog, member)

static const struct schema_field watchdog_fields[] = {
	{"watch",
	 "Whose signs of life count: a Modbus master's requests, MQTT commands, or an uplink's connection",
	 SCHEMA_ENUM, WATCHDOG_AT(watch), .words = watch_words, .required = true},
	{"uplink", "Which one, with watch: uplink", SCHEMA_TEXT, WATCHDOG_AT(uplink), .rule = &rule_name,
	 .unset = "needed with watch: uplink"},
	{"timeout", "How long nothing may be seen of it", SCHEMA_TIME, WATCHDOG_AT(timeout_ms), .min = 100,
	 .max = 1 * MS_PER_D, .preset = "30s"},
	{"clear", "What ends the safe state: the first sign of life (auto), or a command only", SCHEMA_ENUM,
	 WATCHDOG_AT(clear), .words = clear_words, .preset = "auto"},
};

static const struct schema watchdog_table = {"watchdog", sizeof(struct config_watchdog),
					     TABLE(watchdog_fields)};

static const struct schema_word drivers[] = {
	{"sim", CONFIG_DRIVER_SIM},
	{"gpiod", CONFIG_DRIVER_GPIOD},
	{"iio", CONFIG_DRIVER_IIO},
	{"hwmon", CONFIG_DRIVER_HWMON},
	{NULL, 0},
};

static const struct schema_field line_fields[] = {
	{"name", "What devices call it", SCHEMA_TEXT, LINE_AT(name), .rule = &rule_name, .required = true},
	{"type",
	 "How it is driven: Modbus/TCP, Modbus RTU on a serial port, the same behind a TCP connection, a "
	 "simulated rack, or internal: no wire, but tags that the gateway itself keeps and computes",
	 SCHEMA_ENUM, LINE_AT(type), .words = line_types, .required = true},
	{"host", "The Modbus/TCP server, or the converter in front of a serial line", SCHEMA_TEXT,
	 LINE_AT(host), .rule = &rule_host, .required = true, NETWORK},
	{"port", "Its port", SCHEMA_INT, LINE_AT(port), .min = 1, .max = 65535, .preset = "502", NETWORK},
	{"path", "Serial port; a name below /dev/serial/by-id stays the same when ports come and go",
	 SCHEMA_PATH, LINE_AT(path), .required = true, PORT_ONLY},
	{"baud", "Serial speed; over TCP that of the line behind it, so that its silences are kept",
	 SCHEMA_INT, LINE_AT(baud), .min = 50, .max = 4000000, SERIAL,
	 .unset = "19200; over TCP no silences are kept"},
	{"parity", "Serial parity", SCHEMA_ENUM, LINE_AT(parity), .words = parities, .preset = "even",
	 PORT_ONLY},
	{"data_bits", "Bits of a character", SCHEMA_INT, LINE_AT(data_bits), .min = 7, .max = 8, PORT_ONLY,
	 .unset = "8; 7 with mode ascii"},
	{"stop_bits", "Stop bits of a character", SCHEMA_INT, LINE_AT(stop_bits), .min = 1, .max = 2,
	 .preset = "1", PORT_ONLY},
	{"mode", "How frames are written", SCHEMA_ENUM, LINE_AT(mode), .words = modes, .preset = "rtu",
	 SERIAL},
	{"rs485", "The driver of the port switches the direction of an RS-485 transceiver by RTS", SCHEMA_MAP,
	 LINE_AT(rs485), .sub = &rs485_table, PORT_ONLY, .unset = "the hardware does it by itself"},
	{"silence", "Silence before each request, beyond the 3.5 characters of the standard", SCHEMA_TIME,
	 LINE_AT(silence_ms), .min = 0, .max = 10 * 1000, .preset = "0", SERIAL},
	{"turnaround", "Time that devices are given after a broadcast", SCHEMA_TIME, LINE_AT(turnaround_ms),
	 .min = 0, .max = 10 * 1000, .preset = "100ms", SERIAL},
	{"timeout", "Time for an answer", SCHEMA_TIME, LINE_AT(timeout_ms), .min = 10, .max = 10 * MS_PER_MIN,
	 .preset = "1s", NOT_SIM},
	{"retries", "Attempts after the first one", SCHEMA_INT, LINE_AT(retries), .min = 0, .max = 10,
	 .preset = "1", NOT_SIM},
	{"backoff", "Waits between attempts at a device or a connection that does not answer", SCHEMA_MAP,
	 LINE_AT(backoff), .sub = &backoff_table, NOT_SIM},
	{"max_in_flight", "Requests on the wire at once", SCHEMA_INT, LINE_AT(max_in_flight), .min = 1,
	 .max = 16, .preset = "1", TCP_ONLY},
	{"watchdog", "Without a sign of life its outputs take their safe values, and writes are refused",
	 SCHEMA_MAP, LINE_AT(watchdog), .sub = &watchdog_table, .unset = "nothing is watched"},
	{"driver", "What drives the channels of the rack", SCHEMA_ENUM, LINE_AT(driver), .words = drivers,
	 .required = true, IO_ONLY},
	{"root", "Folder with the sys of this machine, with driver: iio and hwmon; another one for a trial",
	 SCHEMA_PATH, LINE_AT(root), .unset = "/", IO_ONLY},
	{"modules", "Its channels", SCHEMA_MAPS, SCHEMA_LIST_AT(struct config_line, modules, nmodules),
	 .sub = &gateway_module_schema, .unset = "those of type: sim with driver: sim; needed with others",
	 IO_ONLY},
};

const struct schema gateway_line_schema = {"line", sizeof(struct config_line), TABLE(line_fields),
					   .selector = "type"};
