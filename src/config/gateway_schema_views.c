#include "config/gateway_schema.h"

#include "config/gateway_config.h"
#include "config/gateway_rules.h"

static const struct schema_word accesses[] = {
	{"none", CONFIG_ACCESS_NONE},
	{"read", CONFIG_ACCESS_READ},
	{"write", CONFIG_ACCESS_WRITE},
	{NULL, 0},
};

static const struct schema_field allow_fields[] = {
	{"net", "A network; the one with the longest prefix holds for a master", SCHEMA_RULE,
	 SCHEMA_AT(struct config_allow, net), .rule = &rule_net, .required = true},
	{"access", "What its masters may do; write includes read", SCHEMA_ENUM,
	 SCHEMA_AT(struct config_allow, access), .words = accesses, .required = true},
};

static const struct schema allow_table = {"allowed network", sizeof(struct config_allow),
					  TABLE(allow_fields)};

static const struct schema_field pass_fields[] = {
	{"units", "Unit numbers that are those of the line", SCHEMA_RULE,
	 SCHEMA_AT(struct config_pass, units), .rule = &rule_units, .required = true},
	{"line", "The Modbus line on which these units are", SCHEMA_TEXT,
	 SCHEMA_AT(struct config_pass, line_name), .rule = &rule_name, .required = true},
	{"rate", "Requests a second that are let through; a second's worth may come at once; 0 is no limit",
	 SCHEMA_INT, SCHEMA_AT(struct config_pass, rate), .min = 0, .max = 1e6, .preset = "0"},
};

static const struct schema pass_table = {"route", sizeof(struct config_pass), TABLE(pass_fields)};

static const struct schema_word bads[] = {
	{"exception", CONFIG_BAD_EXCEPTION},
	{"hold", CONFIG_BAD_HOLD},
	{NULL, 0},
};

static const struct schema_word orders[] = {
	{"ABCD", BYTE_ORDER_ABCD},
	{"CDAB", BYTE_ORDER_CDAB},
	{"BADC", BYTE_ORDER_BADC},
	{"DCBA", BYTE_ORDER_DCBA},
	{NULL, 0},
};

#define VIEW_AT(member)             SCHEMA_AT(struct config_modbus_view, member)
#define VIEW_LIST_AT(member, count) SCHEMA_LIST_AT(struct config_modbus_view, member, count)

static const struct schema_field modbus_fields[] = {
	{"address", "Numeric address to listen at; one beyond this machine needs allow", SCHEMA_TEXT,
	 VIEW_AT(address), .rule = &rule_ip, .preset = "127.0.0.1"},
	{"port", "TCP port; 0 takes any free one, which the log then names", SCHEMA_INT, VIEW_AT(port),
	 .min = 0, .max = 65535, .preset = "502"},
	{"allow", "Networks from which masters come", SCHEMA_MAPS, VIEW_LIST_AT(allow, nallow),
	 .sub = &allow_table, .unset = "none: default_access holds for all"},
	{"default_access", "What masters of no listed network may do", SCHEMA_ENUM, VIEW_AT(default_access),
	 .words = accesses, .unset = "none beside allow; else write, as only this machine connects"},
	{"max_connections", "Masters at once; one more takes the place of the one silent longest", SCHEMA_INT,
	 VIEW_AT(max_connections), .min = 1, .max = 10000, .preset = "64"},
	{"unit", "Unit number of the map, beside 0 and 255", SCHEMA_INT, VIEW_AT(unit), .min = 1, .max = 247,
	 .preset = "1"},
	{"bad", "A tag without a good value: answered with exception 11, or with the last good value",
	 SCHEMA_ENUM, VIEW_AT(bad), .words = bads, .preset = "exception"},
	{"map", "Where each tag lies: auto, or a CSV file; relative to this file", SCHEMA_PATH, VIEW_AT(path),
	 .unset = "auto"},
	{"order", "Byte order of what has no order in the file of the map", SCHEMA_ENUM, VIEW_AT(order),
	 .words = orders, .preset = "ABCD"},
	{"room", "With map: auto, each device begins at a multiple of it", SCHEMA_INT, VIEW_AT(room),
	 .min = 1, .max = 65536, .preset = "100"},
	{"pass", "Units of lines that masters reach through this port", SCHEMA_MAPS,
	 VIEW_LIST_AT(pass, npass), .sub = &pass_table, .unset = "none"},
};

static const struct schema modbus_table = {"Modbus view", sizeof(struct config_modbus_view),
					   TABLE(modbus_fields)};

static const struct schema_field views_fields[] = {
	{"modbus", "A Modbus/TCP server", SCHEMA_MAP, SCHEMA_AT(struct config_views, modbus),
	 .sub = &modbus_table, .unset = "none"},
	{"snmp", "An SNMP agent", SCHEMA_LATER},
};

const struct schema gateway_views_schema = {"views", sizeof(struct config_views), TABLE(views_fields)};
