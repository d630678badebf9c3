#include "config/gateway_schema.h"

#include "base/log.h"
#include "config/gateway_config.h"
#include "config/gateway_rules.h"

/*
 * Every key of PRODUCT "Configuration". A key whose feature this version does not have is LATER, so that it is refused
 * by name instead of being an unknown word.
 */
/* ---- gateway, log, broker ---- */

#define GATEWAY_AT(member) SCHEMA_AT(struct config_gateway, member)

static const struct schema_field gateway_fields[] = {
	{"name", "What this gateway is called", SCHEMA_TEXT, SCHEMA_AT(struct config_gateway, name),
	 .rule = &rule_name, .preset = "lineside"},
	{"root", "First levels of every topic", SCHEMA_TEXT, SCHEMA_AT(struct config_gateway, root),
	 .rule = &rule_root, .unset = "the name"},
	{"control_socket", "Unix socket where \"lineside status\" asks; relative to this file", SCHEMA_PATH,
	 SCHEMA_AT(struct config_gateway, control_socket),
	 .unset = "NAME.sock in /run/lineside for root, in $XDG_RUNTIME_DIR/lineside, or in "
		  "/tmp/lineside-UID"},
	{"", "", SCHEMA_KEYS, GATEWAY_AT(keys), .sub = &gateway_policy_schema},
};

static const struct schema gateway_table = {"gateway", sizeof(struct config_gateway), TABLE(gateway_fields)};

static const struct schema_word log_levels[] = {
	{"error", LOG_ERROR}, {"warning", LOG_WARNING}, {"notice", LOG_NOTICE},
	{"info", LOG_INFO},   {"debug", LOG_DEBUG},     {NULL, 0},
};

static const struct schema_field log_fields[] = {
	{"level", "The least important lines that are written", SCHEMA_ENUM,
	 SCHEMA_AT(struct config_log, level), .words = log_levels, .preset = "notice"},
};

static const struct schema log_table = {"log", sizeof(struct config_log), TABLE(log_fields)};

#define BROKER_AT(member) SCHEMA_AT(struct config_broker, member)

static const struct schema_word queue_policies[] = {
	{"drop_newest", CONFIG_QUEUE_DROP_NEWEST},
	{"drop_oldest", CONFIG_QUEUE_DROP_OLDEST},
	{"disconnect", CONFIG_QUEUE_DISCONNECT},
	{NULL, 0},
};

static const struct schema_field broker_fields[] = {
	{"workers", "Threads that serve clients", SCHEMA_INT, BROKER_AT(workers), .min = 1,
	 .max = CONFIG_WORKERS_MAX, .unset = "one for each CPU"},
	{"spread_after", "Clients that share the first worker before the others get any", SCHEMA_INT,
	 BROKER_AT(spread_after), .min = 0, .max = 1e7, .preset = "8"},
	{"max_packet_size", "Largest packet a client may send or get", SCHEMA_SIZE,
	 BROKER_AT(max_packet_size), .min = 1 * KIB, .max = 255 * MIB, .preset = "1MiB"},
	{"max_inflight", "QoS 1 and 2 messages on the way to one client at once", SCHEMA_INT,
	 BROKER_AT(max_inflight), .min = 1, .max = 65535, .preset = "1000"},
	{"max_queued_messages", "Messages that wait for one session", SCHEMA_INT,
	 BROKER_AT(max_queued_messages), .min = 1, .max = 1e9, .preset = "100000"},
	{"max_queued_bytes", "Their size", SCHEMA_SIZE, BROKER_AT(max_queued_bytes), .min = 1 * KIB,
	 .max = 1024 * GIB, .preset = "64MiB"},
	{"queue_policy",
	 "What a full queue does: lose the message that comes, lose the oldest, or disconnect the client",
	 SCHEMA_ENUM, BROKER_AT(queue_policy), .words = queue_policies, .preset = "drop_newest"},
	{"max_connections", "Clients at once", SCHEMA_INT, BROKER_AT(max_connections), .min = 1, .max = 1e7,
	 .unset = "100000, or what the descriptor limit allows when that is less"},
	{"max_subscriptions", "Subscriptions of one session", SCHEMA_INT, BROKER_AT(max_subscriptions),
	 .min = 1, .max = 1e9, .preset = "100000"},
	{"max_topic_levels", "Levels of a topic or filter", SCHEMA_INT, BROKER_AT(max_topic_levels), .min = 8,
	 .max = 1000, .preset = "128"},
	{"max_retained_messages",
	 "Retained messages of clients; the gateway's own and $SYS do not count; 0 is no limit", SCHEMA_INT,
	 BROKER_AT(max_retained_messages), .min = 0, .max = 1e9, .preset = "0"},
	{"max_retained_bytes", "Topics, properties and payloads of these retained messages; 0 is no limit",
	 SCHEMA_SIZE, BROKER_AT(max_retained_bytes), .min = 0, .max = 1024 * GIB, .preset = "0"},
	{"connect_timeout", "Time from the connection to a complete CONNECT", SCHEMA_TIME,
	 BROKER_AT(connect_timeout_ms), .min = 100, .max = 1 * MS_PER_H, .preset = "10s"},
	{"max_sessions", "Sessions at once, connected or away", SCHEMA_INT, BROKER_AT(max_sessions), .min = 1,
	 .max = 1e9, .unset = "what a quarter of memory_limit holds, at 2 KiB each"},
	{"sys_interval", "How often $SYS/broker/... is brought up to date; 0: there is none", SCHEMA_TIME,
	 BROKER_AT(sys_interval_ms), .min = 0, .max = 1 * MS_PER_D, .preset = "10s"},
	{"max_keep_alive",
	 "Longest keep-alive; MQTT 5 clients that ask for more, or for none, are given this one", SCHEMA_TIME,
	 BROKER_AT(max_keep_alive_ms), .min = 1000, .max = 65535 * 1000.0, .unset = "as the client asks"},
	{"move_to", "Another server, to which clients are sent as long as this key is there", SCHEMA_TEXT,
	 BROKER_AT(move_to), .rule = &rule_reference, .unset = "clients are served here"},
	{"move_permanently", "They are told to stay there, and not to come back", SCHEMA_BOOL,
	 BROKER_AT(move_permanently), .preset = "false"},
	{"memory_limit",
	 "Memory for what clients make the broker hold, at least 16MiB; 0 is half of what the machine or its "
	 "control group has",
	 SCHEMA_SIZE, BROKER_AT(memory_limit), .min = 0, .max = 1024 * 1024.0 * GIB, .preset = "0"},
};

static const struct schema broker_table = {"broker", sizeof(struct config_broker), TABLE(broker_fields)};

/* ---- storage ---- */

#define STORAGE_AT(member) SCHEMA_AT(struct config_storage, member)

static const struct schema_word durabilities[] = {
	{"fsync", CONFIG_DURABILITY_FSYNC},
	{"os", CONFIG_DURABILITY_OS},
	{"none", CONFIG_DURABILITY_NONE},
	{NULL, 0},
};

static const struct schema_field storage_fields[] = {
	{"path", "Folder of the database, made if it is not there; relative to this file", SCHEMA_PATH,
	 STORAGE_AT(path), .unset = "everything is kept in memory and ends with the process"},
	{"durability",
	 "When what is acknowledged is safe: on the medium (survives the power), with the operating system "
	 "(survives the process), or nobody waits for it",
	 SCHEMA_ENUM, STORAGE_AT(durability), .words = durabilities, .preset = "fsync"},
	{"linger",
	 "How long a subscriber that is connected may take to acknowledge a QoS 1 message before the message "
	 "is written",
	 SCHEMA_TIME, STORAGE_AT(linger_ms), .min = 0, .max = 1 * MS_PER_S, .preset = "5ms"},
	{"will_grace",
	 "After a start, how long the will of a client that was there before waits for it to come back, at "
	 "least",
	 SCHEMA_TIME, STORAGE_AT(will_grace_ms), .min = 0, .max = 3600 * MS_PER_S, .preset = "30s"},
	{"max_bytes", "Largest size of the database, at least 1MiB; 0 is no limit", SCHEMA_SIZE,
	 STORAGE_AT(max_bytes), .min = 0, .max = 1024 * 1024.0 * GIB, .preset = "0"},
};

static const struct schema storage_table = {"storage", sizeof(struct config_storage), TABLE(storage_fields)};

/* ---- listeners ---- */

#define LISTENER_AT(member) SCHEMA_AT(struct config_listener, member)

static const struct schema_word protocols[] = {
	{"mqtt", CONFIG_PROTOCOL_MQTT},
	{"websocket", 0, .later = true},
	{"http", 0, .later = true},
	{NULL, 0},
};

static const struct schema_field listener_fields[] = {
	{"name", "For the log", SCHEMA_TEXT, LISTENER_AT(name), .rule = &rule_name, .required = true},
	{"protocol", "What it speaks", SCHEMA_ENUM, LISTENER_AT(protocol), .words = protocols,
	 .required = true},
	{"address", "Numeric address to listen at; in this version it is one of this machine only",
	 SCHEMA_TEXT, LISTENER_AT(address), .rule = &rule_ip, .required = true},
	{"port", "TCP port; 0 takes any free one, which the log then names", SCHEMA_INT, LISTENER_AT(port),
	 .min = 0, .max = 65535, .required = true},
	{"allow_anonymous", "Clients need no account; this version has no accounts, so it must be true",
	 SCHEMA_BOOL, LISTENER_AT(allow_anonymous), .preset = "false"},
	{"tls", "Certificate and key", SCHEMA_LATER},
	{"path", "Path of a WebSocket, or of a Unix socket", SCHEMA_LATER},
};

static const struct schema listener_table = {"listener", sizeof(struct config_listener),
					     TABLE(listener_fields)};

/* ---- the file ---- */

#define FILE_AT(member)             SCHEMA_AT(struct gateway_config, member)
#define FILE_LIST_AT(member, count) SCHEMA_LIST_AT(struct gateway_config, member, count)

static const struct schema_field file_fields[] = {
	{"gateway", "The gateway itself", SCHEMA_MAP, FILE_AT(gateway), .sub = &gateway_table},
	{"log", "The log on standard error", SCHEMA_MAP, FILE_AT(log), .sub = &log_table},
	{"broker", "Limits of the MQTT broker", SCHEMA_MAP, FILE_AT(broker), .sub = &broker_table},
	{"storage", "What survives a restart, and where", SCHEMA_MAP, FILE_AT(storage),
	 .sub = &storage_table},
	{"listeners", "Where clients connect", SCHEMA_MAPS, FILE_LIST_AT(listeners, nlisteners),
	 .sub = &listener_table, .unset = "none"},
	{"lines", "Serial ports, TCP endpoints and racks", SCHEMA_MAPS, FILE_LIST_AT(lines, nlines),
	 .sub = &gateway_line_schema, .unset = "none"},
	{"devices", "Devices on the lines", SCHEMA_MAPS, FILE_LIST_AT(devices, ndevices),
	 .sub = &gateway_device_schema, .unset = "none"},
	{"users", "Accounts", SCHEMA_LATER},
	{"roles", "What accounts may do", SCHEMA_LATER},
	{"templates", "Groups, tags and other keys for many devices, with parameters: docs/templates.md",
	 SCHEMA_ANY_LIST, .unset = "none"},
	{"uplinks", "Remote brokers and clouds", SCHEMA_MAPS, FILE_LIST_AT(uplinks, nuplinks),
	 .sub = &gateway_uplink_schema, .unset = "none"},
	{"alarms", "What is told when a tag leaves its limits", SCHEMA_MAPS, FILE_LIST_AT(alarms, nalarms),
	 .sub = &gateway_alarm_schema, .unset = "none"},
	{"views", "Modbus server, SNMP agent", SCHEMA_LATER},
};

const struct schema gateway_schema = {"configuration", sizeof(struct gateway_config), TABLE(file_fields)};
