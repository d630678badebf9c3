/*
 * The configuration of a gateway as plain data: loaded from one file (YAML, or JSON when its name ends in
 * .json), checked as a whole, complete with every default. Readers never see a half-valid one.
 *
 * A `struct gateway_config` does not change after it was made; any thread may read it. All its pointers live
 * until gateway_config_destroy(). Texts are NUL terminated UTF-8; lists are arrays with a count.
 * Source: PRODUCT "Configuration", "Topics and payloads".
 */
#ifndef CONFIG_GATEWAY_CONFIG_H
#define CONFIG_GATEWAY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/value_types.h"
#include "config/faults.h"

/* A rack whose line names no modules has this many channels each of di, do and ai. */
#define CONFIG_RACK_CHANNELS 4
/* A rack has at most this many channels of a kind. */
#define CONFIG_CHANNELS_MAX 512

#define CONFIG_NAME_MAX    64 /* characters in a name */
#define CONFIG_WORKERS_MAX 63 /* with the field side one lane less than 64, the bits of a word */

enum config_publish {
	CONFIG_PUBLISH_EVERY_SCAN,
	CONFIG_PUBLISH_ON_CHANGE,
	CONFIG_PUBLISH_PERIOD,
	CONFIG_PUBLISH_ON_CHANGE_OR_PERIOD,
	CONFIG_PUBLISH_THRESHOLD,
	CONFIG_PUBLISH_UNSET = 255
};

enum config_payload {
	CONFIG_PAYLOAD_JSON,
	CONFIG_PAYLOAD_VALUE,
	CONFIG_PAYLOAD_PLAIN,
	CONFIG_PAYLOAD_MOXA,
	CONFIG_PAYLOAD_NEURON_VALUES,
	CONFIG_PAYLOAD_NEURON_TAGS,
	CONFIG_PAYLOAD_TEMPLATE,
	CONFIG_PAYLOAD_COUNT,
	CONFIG_PAYLOAD_UNSET = 255
};

struct config_deadband {
	double amount; /* >= 0 */
	bool is_percent;
};

/* What a level of the file says of publishing; what it does not say comes from the level above. */
struct config_policy_keys {
	uint8_t publish;                 /* enum config_publish */
	uint8_t payload;                 /* enum config_payload */
	uint32_t period_ms;              /* 0: not set */
	uint32_t min_interval_ms;        /* CONFIG_INTERVAL_UNSET */
	double above, below, hysteresis; /* NaN: not set */
	struct config_deadband deadband; /* its amount NaN: not set */
	const char *topic, *template;    /* NULL: not set */
};

#define CONFIG_INTERVAL_UNSET UINT32_MAX

/* What holds for a tag: its own keys, its group's, its device's, the gateway's; the nearest wins, key by key. Shared by those
 * for which the same holds. */
struct config_policy {
	enum config_publish publish;
	enum config_payload payload;
	uint32_t period_ms; /* with period and on_change_or_period, > 0 */
	uint32_t min_interval_ms;
	double above, below; /* INFINITY, -INFINITY: none; with threshold, at least one */
	double hysteresis;   /* less than above - below */
	struct config_deadband deadband;
	const char *topic;    /* NULL: TOPIC_TEMPLATE_DEFAULT (config/text_template.h) */
	const char *template; /* of the payload, with CONFIG_PAYLOAD_TEMPLATE */
};

struct config_gateway {
	const char *name;
	const char *root;                /* first levels of every topic; the name when not set */
	const char *control_socket;      /* NULL: see config/control_path.h */
	struct config_policy_keys *keys; /* NULL: none */
};

/* What happens to a message for a session whose queue is full. */
enum config_queue_policy {
	CONFIG_QUEUE_DROP_NEWEST,
	CONFIG_QUEUE_DROP_OLDEST,
	CONFIG_QUEUE_DISCONNECT, /* the client; while it is away, the newest is dropped */
};

struct config_broker {
	uint32_t workers;      /* 0: one per CPU */
	uint32_t spread_after; /* connections on the first worker before the others get any */
	uint32_t max_packet_size;
	uint32_t max_inflight;
	uint32_t max_queued_messages; /* per session */
	uint64_t max_queued_bytes;    /* per session */
	int queue_policy;             /* enum config_queue_policy */
	uint32_t max_connections;     /* 0: not set, what the descriptor limit allows */
	uint32_t max_subscriptions;   /* per session */
	uint32_t max_topic_levels;
	uint32_t max_retained_messages; /* of clients; 0: no limit of their own */
	uint64_t max_retained_bytes;    /* the same */
	uint32_t connect_timeout_ms;
	uint32_t sys_interval_ms;   /* 0: no $SYS */
	uint32_t max_keep_alive_ms; /* whole seconds; 0: as clients ask */
	const char *move_to;        /* another server that clients are sent to; NULL: they are served here */
	bool move_permanently;
	uint32_t max_sessions; /* 0: not set, what a quarter of the memory holds */
	uint64_t memory_limit; /* for what clients make the broker hold; 0: half of what the machine has */
};

enum config_durability { CONFIG_DURABILITY_FSYNC, CONFIG_DURABILITY_OS, CONFIG_DURABILITY_NONE };

struct config_storage {
	const char *path;   /* a folder; NULL: nothing outlives the process */
	int durability;     /* enum config_durability */
	uint32_t linger_ms; /* 0..1000 */
	uint32_t will_grace_ms;
	uint64_t max_bytes; /* 0: no limit */
};

enum config_protocol { CONFIG_PROTOCOL_MQTT };

struct config_listener {
	const char *name;
	enum config_protocol protocol;
	const char *address; /* numeric, a loopback address */
	uint16_t port;       /* 0: any free one */
	bool allow_anonymous;
};

struct config_log {
	int level; /* enum log_level */
};

enum config_line_type {
	CONFIG_LINE_MODBUS_TCP,
	CONFIG_LINE_SIM,
	CONFIG_LINE_MODBUS_RTU,
	CONFIG_LINE_RTU_OVER_TCP,
	CONFIG_LINE_IO,
	CONFIG_LINE_INTERNAL /* no wire: set points, counters and computed tags */
};

enum config_parity { CONFIG_PARITY_NONE, CONFIG_PARITY_EVEN, CONFIG_PARITY_ODD };
enum config_mode { CONFIG_MODE_RTU, CONFIG_MODE_ASCII };

/* The driver of a serial port switches the direction by RTS. */
struct config_rs485 {
	bool rts_on_send, rts_after_send;
	uint32_t delay_before_ms, delay_after_ms;
};

struct config_backoff {
	uint32_t first_ms;
	uint32_t max_ms; /* >= first_ms */
};

enum config_watch { CONFIG_WATCH_MODBUS, CONFIG_WATCH_MQTT, CONFIG_WATCH_UPLINK };
enum config_clear { CONFIG_CLEAR_AUTO, CONFIG_CLEAR_MANUAL };

/* When the outputs of a line take their safe values. */
struct config_watchdog {
	bool is_set;
	int watch;          /* enum config_watch */
	const char *uplink; /* its name, with watch: uplink; else NULL */
	uint32_t timeout_ms;
	int clear; /* enum config_clear */
};

struct config_module; /* config/io_config.h */

struct config_line {
	const char *name;
	enum config_line_type type;
	/* serial ports */
	const char *path;
	int parity; /* enum config_parity */
	uint8_t data_bits, stop_bits;
	bool has_rs485;
	struct config_rs485 rs485;
	/* these and RTU over TCP */
	uint32_t baud; /* 0: not known, over TCP only */
	int mode;      /* enum config_mode */
	uint32_t silence_ms, turnaround_ms;
	/* TCP */
	const char *host;
	uint16_t port;
	/* racks only: types sim and io */
	int driver;       /* enum config_driver */
	const char *root; /* where sys and dev are, of drivers that look there; NULL: / */
	struct config_module *modules;
	size_t nmodules;
	/* all of Modbus, and io */
	uint32_t timeout_ms;
	uint32_t retries;
	struct config_backoff backoff;
	uint32_t max_in_flight; /* requests on the wire at once, 1..16; 1 but with Modbus/TCP */
	struct config_watchdog watchdog;
};

/* What is published of a group: each tag, all of a scan in one message, or both. */
enum config_message {
	CONFIG_MESSAGE_TAGS,
	CONFIG_MESSAGE_GROUP,
	CONFIG_MESSAGE_BOTH,
	CONFIG_MESSAGE_UNSET = 255
};

struct config_group {
	const char *name;
	uint32_t scan_ms;
	uint8_t message;                 /* enum config_message */
	bool retain;                     /* the group's message */
	const char *group_topic;         /* of it; NULL: TOPIC_TEMPLATE_GROUP_DEFAULT */
	struct config_policy_keys *keys; /* NULL: none */
	const struct config_policy
		*policy; /* of its tags that have no keys of their own; its payload is the message's */
};

enum config_area {
	CONFIG_AREA_COIL,
	CONFIG_AREA_DISCRETE,
	CONFIG_AREA_INPUT,
	CONFIG_AREA_HOLDING,
	CONFIG_AREA_DI, /* from here on: channels of a rack, numbered from 0 through all modules of a kind */
	CONFIG_AREA_DO,
	CONFIG_AREA_RELAY,
	CONFIG_AREA_AI,
	CONFIG_AREA_AO,
	CONFIG_AREA_RTD,
	CONFIG_AREA_TC
};

/* "coil", "holding", "di", ... Static. */
const char *config_area_text(enum config_area area);

struct config_address {
	enum config_area area;
	uint16_t number; /* from 0 */
	int8_t bit;      /* 0..15 of a register, 0..63 of a bit field's value; -1: none */
	/* What was written along, for the checks only: the tag has its result */
	int16_t unit;   /* -1: none */
	int16_t detail; /* the bit, or the length of a string; -1: none */
	int order;      /* enum byte_order; CONFIG_ORDER_UNSET: none */
};

enum config_counted { CONFIG_COUNTED_RISING, CONFIG_COUNTED_FALLING, CONFIG_COUNTED_BOTH };

struct config_counter {
	const char *of; /* "device/tag"; NULL: it is no counter */
	int edge;       /* enum config_counted */
};

#define CONFIG_RANKS_MAX 16 /* computed tags of computed tags of ... */

#define CONFIG_ORDER_UNSET BYTE_ORDER_COUNT
#define CONFIG_ADDRESS_NONE                                                      \
	{                                                                        \
		.bit = -1, .unit = -1, .detail = -1, .order = CONFIG_ORDER_UNSET \
	}

/* From what a device holds to a value, by two points of a straight line. */
struct config_map {
	double raw[2];   /* different */
	double value[2]; /* different */
	bool clamp; /* a value beyond them is published as the nearer of the two, and refused when written */
};

struct schema_label; /* config/schema.h: a number and its text */

struct config_tag {
	const char *name;
	struct config_address address; /* of an internal line: its own, made from the place in the list */
	enum value_type type;
	enum byte_order order; /* fits the type; the type's own when not set */
	bool high_byte;        /* int8, uint8: the high byte of the register */
	bool writable;
	uint8_t bits;     /* integers: so many from address.bit on are the value; 0: all */
	bool verify;      /* read back after a write */
	const char *safe; /* its value in the safe state, of the kind of its type; NULL: none */
	uint16_t length;  /* bytes of a string or bytes value, 1..VALUE_BYTES_MAX; else 0 */
	double scale;     /* finite, not 0 */
	double offset;
	double min;       /* -INFINITY when not set */
	double max;       /* INFINITY when not set */
	const char *unit; /* NULL when not set */
	double invalid;   /* with has_invalid: what the device holds for "no value" */
	bool has_invalid;
	const struct config_map *map;      /* NULL: by scale and offset */
	const struct schema_label *labels; /* of an enumeration, ordered by number */
	size_t nlabels;
	const char *scale_tag_name; /* the value is raw * scale * 10^that tag, + offset; NULL: without */
	size_t scale_tag;           /* index into the device's tags */
	const char *group_name;
	size_t group;                    /* index into the device's groups */
	struct config_policy_keys *keys; /* NULL: none */
	const struct config_policy *policy;
	/* on internal lines, one of: */
	double value;           /* NAN when not set; of a bool 0 or 1 */
	const char *expression; /* base/expr.h; NULL when not set */
	struct config_counter counter;
	uint8_t rank; /* 1..CONFIG_RANKS_MAX: one more than the highest of those that it is made from; 0: of none */
};

/* With which functions a device is written. */
enum config_write {
	CONFIG_WRITE_AUTO,     /* 5 and 6 for one item, 15 and 16 for several */
	CONFIG_WRITE_SINGLE,   /* 5 and 6 only, one register after the other */
	CONFIG_WRITE_MULTIPLE, /* 15 and 16 only */
};

#define CONFIG_RETRIES_UNSET UINT32_MAX

struct config_device {
	const char *name;
	const char *line_name;
	size_t line; /* index into gateway_config.lines */
	uint8_t unit;
	/* 0, and CONFIG_RETRIES_UNSET: its line's */
	uint32_t timeout_ms;
	uint32_t retries;
	struct config_backoff backoff; /* first_ms <= max_ms when both are set */
	uint32_t silence_ms;           /* before each request to it, beyond its line's */
	uint16_t max_gap;              /* registers nobody asked for that a block may contain */
	uint16_t max_block;            /* registers in one read, 1..125; of coils sixteen times as many */
	int order; /* of its numbers that name none; CONFIG_ORDER_UNSET: the most significant byte first */
	int string_order;                      /* of its strings and bytes that name none */
	const char *template_name, *tags_file; /* where its keys come from besides; NULL: none */
	bool one_by_one;                       /* each tag has a request of its own */
	int write;                             /* enum config_write */
	bool mask_write;                       /* it takes function 22 */
	struct config_group *groups;
	size_t ngroups; /* at least 1 */
	struct config_tag *tags;
	size_t ntags;
	struct config_policy_keys *keys; /* NULL: none */
};

/* What of an uplink goes from one side to the other, and under which topic: uplinks/remap.h. */
struct config_uplink_map {
	const char *filter;
	const char *strip, *prefix; /* NULL: none */
	const char *template;       /* NULL: none; else strip and prefix are not set */
	bool retain;                /* the flag is kept */
};

struct config_uplink_buffer {
	uint64_t max_bytes;
	uint32_t max_age_ms; /* 0: it may be of any age */
	bool drop_oldest;    /* when it is full; else what comes */
};

struct config_uplink_reconnect {
	uint32_t first_ms;
	uint32_t max_ms; /* >= first_ms */
};

struct config_uplink {
	const char *name;
	const char *url; /* scheme://host:port */
	const char *scheme, *host;
	uint16_t port;
	int version; /* of MQTT, as in its CONNECT: 4 is 3.1.1, 5 is 5.0 */
	const char *client_id;
	const char *username;      /* NULL: none */
	const char *password_file; /* NULL: none */
	uint32_t keep_alive_ms;    /* whole seconds */
	bool clean;                /* the remote broker forgets us between connections */
	uint8_t qos;               /* 0 or 1 */
	struct config_uplink_map *publish;
	size_t npublish;
	struct config_uplink_map *subscribe;
	size_t nsubscribe;
	struct config_uplink_buffer buffer;
	uint32_t drain_rate; /* records a second; 0: no limit */
	struct config_uplink_reconnect reconnect;
};

enum config_access { CONFIG_ACCESS_NONE, CONFIG_ACCESS_READ, CONFIG_ACCESS_WRITE };

/* A network; IPv4 lies in IPv6 as ::ffff:0:0/96 (RFC 4291, 2.5.5.2). */
struct config_net {
	uint8_t address[16];
	uint8_t bits; /* 0..128 */
};

struct config_allow {
	struct config_net net;
	int access; /* enum config_access */
};

struct config_units {
	uint8_t bits[32]; /* unit n: bits[n / 8] >> (n % 8) & 1 */
};

/* Units that a foreign master reaches through a view. */
struct config_pass {
	struct config_units units;
	const char *line_name;
	size_t line;   /* index into gateway_config.lines */
	uint32_t rate; /* requests a second, 0: no limit */
};

/* Where a tag lies in the map of the Modbus view. */
struct config_place {
	size_t device, tag; /* indexes into devices and their tags */
	enum config_area area;
	uint16_t address, count; /* bits or registers */
	enum value_type type;
	enum byte_order order;
	uint16_t length; /* bytes of a string or bytes value */
};

enum config_bad { CONFIG_BAD_EXCEPTION, CONFIG_BAD_HOLD };

struct config_modbus_view {
	const char *address; /* numeric */
	uint16_t port;       /* 0: any free one */
	struct config_allow *allow;
	size_t nallow;
	int default_access; /* enum config_access */
	uint32_t max_connections;
	uint8_t unit;
	int bad;          /* enum config_bad */
	int order;        /* enum byte_order of two registers; of what is placed automatically */
	uint32_t room;    /* automatic places of a device begin at a multiple of it */
	const char *path; /* of the map; NULL: automatic */
	struct config_pass *pass;
	size_t npass;
	/* Bits first, then registers, by address; none overlap. COIL and DISCRETE share addresses, HOLDING and INPUT do. */
	struct config_place *places;
	size_t nplaces;
};

struct config_views {
	bool has_modbus;
	struct config_modbus_view modbus;
};

enum config_severity { CONFIG_SEVERITY_INFO, CONFIG_SEVERITY_WARNING, CONFIG_SEVERITY_CRITICAL };

const char *config_severity_text(int severity); /* "warning" */

struct config_alarm {
	const char *name;
	const char *tag;     /* "device/tag" */
	double above, below; /* INFINITY and -INFINITY when not set */
	double hysteresis;
	uint32_t delay_ms;
	bool quality;     /* bad quality raises it, too */
	const char *text; /* for people; NULL: none */
	int severity;     /* enum config_severity */
};

struct gateway_config {
	struct config_gateway gateway;
	struct config_broker broker;
	struct config_log log;
	struct config_storage storage;
	struct config_listener *listeners;
	size_t nlisteners;
	struct config_line *lines;
	size_t nlines;
	struct config_device *devices;
	size_t ndevices;
	struct config_uplink *uplinks;
	size_t nuplinks;
	struct config_views views;
	struct config_alarm *alarms;
	size_t nalarms;
};

/*
 * Load and check a file.
 *   path    borrowed
 *   out     on OK a configuration to destroy; untouched on failure
 *   faults  initialised by the caller; gets every fault found, at most FAULTS_MAX
 * Returns OK, ERR_CONFIG (faults say why), ERR_IO (the file can't be read; errno), ERR_NOMEM.
 */
MUST_USE int gateway_config_load(const char *path, struct gateway_config **out, struct faults *faults);

struct doc;

/*
 * A file as a document (config/doc.h), its devices as they stand there.
 *   out     on OK a document to destroy
 * Returns as above; OK also with faults that leave a tree.
 */
MUST_USE int gateway_document_load(const char *path, struct doc **out, struct faults *faults);

/*
 * Check a document: what devices take from templates and tables is put into it, faults are added. `name` as below. Returns OK also
 * then; ERR_NOMEM.
 */
MUST_USE int gateway_document_check(const char *name, struct doc *doc, struct faults *faults);

/* The same of bytes in memory; `name` stands in faults, and its ending says whether they are JSON. */
MUST_USE int gateway_config_parse(const char *name, const void *bytes, size_t len,
				  struct gateway_config **out, struct faults *faults);

/*
 * What runs without a file: gateway "lineside", broker on 127.0.0.1:1883 in memory, the simulated rack as
 * device "rack". ERR_NOMEM.
 */
MUST_USE int gateway_config_default(struct gateway_config **out);

/* Unit 0 of a serial line, that is all units: they can be written, and none answers. */
bool config_device_is_broadcast(const struct config_device *device, const struct config_line *line);

/* Accepts NULL. */
void gateway_config_destroy(struct gateway_config *cfg);

/* Equal in all that a running one of them sees. A device's line may differ though its name is the same. */
/* Of the broker: all but sys_interval_ms and move_*, which take effect at a reload. */
bool config_broker_equal(const struct config_broker *a, const struct config_broker *b);
bool config_move_equal(const struct config_broker *a, const struct config_broker *b);
bool config_storage_equal(const struct config_storage *a, const struct config_storage *b);
bool config_listener_equal(const struct config_listener *a, const struct config_listener *b);
bool config_line_equal(const struct config_line *a, const struct config_line *b);
bool config_policy_equal(const struct config_policy *a, const struct config_policy *b);
bool config_device_equal(const struct config_device *a, const struct config_device *b);
/* What the listener is made of. */
bool config_modbus_listener_equal(const struct config_modbus_view *a, const struct config_modbus_view *b);
bool config_alarm_equal(const struct config_alarm *a, const struct config_alarm *b);
bool config_uplink_equal(const struct config_uplink *a, const struct config_uplink *b);

/*
 * Write the map of the Modbus view as CSV, in the form that its key `map` reads. ERR_IO when writing fails.
 */
MUST_USE int gateway_config_map_print(const struct gateway_config *cfg, FILE *out);

/* The JSON Schema (draft 2020-12) of the file, from the same table that checks it. ERR_IO when writing fails. */
MUST_USE int gateway_config_schema_print(FILE *out);

#endif
