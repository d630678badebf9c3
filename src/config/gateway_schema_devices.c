#include "config/gateway_schema.h"

#include <math.h>

#include "config/gateway_config.h"
#include "config/gateway_rules.h"

/* Devices, their groups and tags. */
#define GROUP_AT(member) SCHEMA_AT(struct config_group, member)

static const struct schema_word publish_words[] = {
	{"every_scan", CONFIG_PUBLISH_EVERY_SCAN}, {"on_change", CONFIG_PUBLISH_ON_CHANGE},
	{"period", CONFIG_PUBLISH_PERIOD},         {"on_change_or_period", 0, .later = true},
	{"threshold", 0, .later = true},           {NULL, 0},
};

static const struct schema_field group_fields[] = {
	{"name", "What tags call it", SCHEMA_TEXT, GROUP_AT(name), .rule = &rule_name, .required = true},
	{"scan", "How often its tags are read", SCHEMA_TIME, GROUP_AT(scan_ms), .min = 10,
	 .max = 1 * MS_PER_D, .preset = "1s"},
	{"publish", "When a value is published", SCHEMA_ENUM, GROUP_AT(publish), .words = publish_words,
	 .preset = "on_change"},
	{"period", "How often, with publish: period", SCHEMA_TIME, GROUP_AT(period_ms), .min = 10,
	 .max = 7 * MS_PER_D, .unset = "only with publish: period"},
	{"above", "Publish above this value", SCHEMA_LATER},
	{"below", "Publish below this value", SCHEMA_LATER},
	{"hysteresis", "How far a value must return", SCHEMA_LATER},
	{"topic", "Template of the topics of its tags", SCHEMA_LATER},
	{"payload", "Payload format of its tags", SCHEMA_LATER},
};

const struct schema gateway_group_schema = {"group", sizeof(struct config_group), TABLE(group_fields)};

#define TAG_AT(member) SCHEMA_AT(struct config_tag, member)

static const struct schema_word type_words[] = {
#define TYPE_AS_WORD(name, text, registers, bits, kind, help) {text, VALUE_TYPE_##name},
	VALUE_TYPE_TABLE(TYPE_AS_WORD)
#undef TYPE_AS_WORD
		{NULL, 0},
};

static const struct schema_word order_words[] = {
#define ORDER_AS_WORD(name, registers, swap, reverse) {#name, BYTE_ORDER_##name},
	BYTE_ORDER_TABLE(ORDER_AS_WORD)
#undef ORDER_AS_WORD
		{NULL, 0},
};

static const struct schema_word byte_words[] = {{"low", 0}, {"high", 1}, {NULL, 0}};
static const struct schema_word access_words[] = {{"r", 0}, {"rw", 1}, {NULL, 0}};

static const struct schema_field tag_fields[] = {
	{"name", "Last level of its topic", SCHEMA_TEXT, TAG_AT(name), .rule = &rule_name, .required = true},
	{"address", "Where it lies, counted from 0: holding:7, coil:0, or holding:7.3 for one bit",
	 SCHEMA_RULE, TAG_AT(address), .rule = &rule_address, .required = true},
	{"type", "What lies there", SCHEMA_ENUM, TAG_AT(type), .words = type_words,
	 .unset = "bool in coil, discrete, di and do, float64 in ai; needed elsewhere"},
	{"order", "Order of the bytes; ABCD is the most significant first", SCHEMA_ENUM, TAG_AT(order),
	 .words = order_words, .unset = "the most significant byte first"},
	{"byte", "Which byte of the register an int8 or uint8 is", SCHEMA_ENUM, TAG_AT(high_byte),
	 .words = byte_words, .preset = "low"},
	{"length", "Bytes of a string or bytes value", SCHEMA_INT, TAG_AT(length), .min = 1,
	 .max = VALUE_BYTES_MAX, .unset = "needed for string and bytes"},
	{"scale", "The value is raw * scale + offset", SCHEMA_NUMBER, TAG_AT(scale), .preset = "1"},
	{"offset", "See scale", SCHEMA_NUMBER, TAG_AT(offset), .preset = "0"},
	{"unit", "Unit of the value, for people", SCHEMA_TEXT, TAG_AT(unit), .rule = &rule_unit,
	 .unset = "none"},
	{"group", "The group that reads it", SCHEMA_TEXT, TAG_AT(group_name), .rule = &rule_name,
	 .unset = "the device's only group"},
	{"deadband", "A change of no more than this is not published with publish: on_change", SCHEMA_NUMBER,
	 TAG_AT(deadband), .min = 0, .max = 1e300, .preset = "0"},
	{"access", "May it be written?", SCHEMA_ENUM, TAG_AT(writable), .words = access_words, .preset = "r"},
	{"verify", "Read it back after a write, and compare", SCHEMA_BOOL, TAG_AT(verify), .preset = "false"},
	{"min", "Least value that may be written", SCHEMA_NUMBER, TAG_AT(min),
	 .unset = "what the type holds"},
	{"max", "Largest value that may be written", SCHEMA_NUMBER, TAG_AT(max),
	 .unset = "what the type holds"},
	{"above", "Publish above this value", SCHEMA_LATER},
	{"below", "Publish below this value", SCHEMA_LATER},
	{"hysteresis", "How far a value must return", SCHEMA_LATER},
	{"safe", "The value that it takes when the watchdog of its line finds nobody; in JSON a text",
	 SCHEMA_TEXT, TAG_AT(safe), .unset = "it stays as it is"},
	{"topic", "Template of its topic", SCHEMA_LATER},
	{"payload", "Its payload format", SCHEMA_LATER},
};

static void tag_init(void *item)
{
	struct config_tag *tag = item;

	tag->type = CONFIG_TYPE_UNSET;
	tag->order = CONFIG_ORDER_UNSET;
	tag->address.bit = CONFIG_BIT_UNSET;
	tag->min = -INFINITY;
	tag->max = INFINITY;
}

const struct schema gateway_tag_schema = {"tag", sizeof(struct config_tag), TABLE(tag_fields),
					  .init = tag_init};

static const struct schema_word write_words[] = {
	{"auto", CONFIG_WRITE_AUTO},
	{"single", CONFIG_WRITE_SINGLE},
	{"multiple", CONFIG_WRITE_MULTIPLE},
	{NULL, 0},
};

#define DEVICE_AT(member) SCHEMA_AT(struct config_device, member)

#define OF_ITS_LINE "its line's"

static const struct schema_field backoff_fields[] = {
	{"first", "Wait before the first probe; it doubles each time", SCHEMA_TIME,
	 SCHEMA_AT(struct config_backoff, first_ms), .min = 10, .max = 1 * MS_PER_D, .unset = OF_ITS_LINE},
	{"max", "Longest wait", SCHEMA_TIME, SCHEMA_AT(struct config_backoff, max_ms), .min = 10,
	 .max = 1 * MS_PER_D, .unset = OF_ITS_LINE},
};

static const struct schema backoff_table = {"backoff", sizeof(struct config_backoff), TABLE(backoff_fields)};

static const struct schema_field device_fields[] = {
	{"name", "Topic level of its tags", SCHEMA_TEXT, DEVICE_AT(name), .rule = &rule_name,
	 .required = true},
	{"line", "The line it is on", SCHEMA_TEXT, DEVICE_AT(line_name), .rule = &rule_name,
	 .required = true},
	{"unit", "Modbus unit id", SCHEMA_INT, DEVICE_AT(unit), .min = 0, .max = 255, .preset = "1"},
	{"max_gap", "Registers between two tags that are read along rather than asked for apart", SCHEMA_INT,
	 DEVICE_AT(max_gap), .min = 0, .max = 124, .preset = "8"},
	{"max_block", "Registers in one read; of coils and discrete inputs sixteen times as many", SCHEMA_INT,
	 DEVICE_AT(max_block), .min = 1, .max = 125, .preset = "125"},
	{"write",
	 "With which functions it is written: 5 and 6 (single), 15 and 16 (multiple), or those that fit",
	 SCHEMA_ENUM, DEVICE_AT(write), .words = write_words, .preset = "auto"},
	{"mask_write",
	 "It takes function 22: a bit or byte of a register is written without reading the rest before",
	 SCHEMA_BOOL, DEVICE_AT(mask_write), .preset = "false"},
	{"one_by_one", "Each tag is read by a request of its own, for devices that answer nothing else",
	 SCHEMA_BOOL, DEVICE_AT(one_by_one), .preset = "false"},
	{"timeout", "Time for its answers", SCHEMA_TIME, DEVICE_AT(timeout_ms), .min = 10,
	 .max = 10 * MS_PER_MIN, .unset = OF_ITS_LINE},
	{"retries", "Attempts after the first one", SCHEMA_INT, DEVICE_AT(retries), .min = 0, .max = 10,
	 .unset = OF_ITS_LINE},
	{"silence", "Time on a serial line before each request to it, beyond what line and standard ask",
	 SCHEMA_TIME, DEVICE_AT(silence_ms), .min = 0, .max = 1 * MS_PER_MIN, .preset = "0ms"},
	{"backoff", "Waits between probes while it does not answer", SCHEMA_MAP, DEVICE_AT(backoff),
	 .sub = &backoff_table, .unset = OF_ITS_LINE},
	{"groups", "Tags that are read and published alike", SCHEMA_MAPS,
	 SCHEMA_LIST_AT(struct config_device, groups, ngroups), .sub = &gateway_group_schema,
	 .unset = "one group \"default\" with the defaults of its keys"},
	{"tags", "Its values", SCHEMA_MAPS, SCHEMA_LIST_AT(struct config_device, tags, ntags),
	 .sub = &gateway_tag_schema,
	 .unset = "all channels, when the line is a simulated rack; needed elsewhere"},
	{"template", "Template it is made from", SCHEMA_LATER},
	{"topic", "Template of the topics of its tags", SCHEMA_LATER},
	{"payload", "Payload format of its tags", SCHEMA_LATER},
};

static void device_init(void *item)
{
	struct config_device *device = item;

	device->retries = CONFIG_RETRIES_UNSET;
}

const struct schema gateway_device_schema = {"device", sizeof(struct config_device), TABLE(device_fields),
					     .init = device_init};
