#include "config/gateway_schema.h"

#include <math.h>

#include "config/gateway_config.h"
#include "config/gateway_rules.h"

/* Devices, their groups and tags. */
#define GROUP_AT(member) SCHEMA_AT(struct config_group, member)

static const struct schema_word message_words[] = {{"tags", CONFIG_MESSAGE_TAGS},
						   {"group", CONFIG_MESSAGE_GROUP},
						   {"both", CONFIG_MESSAGE_BOTH},
						   {NULL, 0}};

static const struct schema_field group_fields[] = {
	{"name", "What tags call it", SCHEMA_TEXT, GROUP_AT(name), .rule = &rule_name, .required = true},
	{"scan", "How often its tags are read", SCHEMA_TIME, GROUP_AT(scan_ms), .min = 10,
	 .max = 1 * MS_PER_D, .preset = "1s"},
	{"message", "What is published of it: each tag, all of a scan in one message, or both", SCHEMA_ENUM,
	 GROUP_AT(message), .words = message_words,
	 .unset = "tags; with the payload neuron-values or neuron-tags, group"},
	{"retain", "Is the message of the group retained?", SCHEMA_BOOL, GROUP_AT(retain), .preset = "false"},
	{"group_topic",
	 "Topic of the message of the group, with ${root}, ${gateway}, ${line}, ${device} and ${group} in it",
	 SCHEMA_TEXT, GROUP_AT(group_topic), .rule = &rule_group_topic,
	 .unset = "${root}/${device}/_group/${group}"},
	{"", "", SCHEMA_KEYS, GROUP_AT(keys), .sub = &gateway_policy_schema},
};

static void group_init(void *item)
{
	((struct config_group *)item)->message = CONFIG_MESSAGE_UNSET;
}

const struct schema gateway_group_schema = {"group", sizeof(struct config_group), TABLE(group_fields),
					    .init = group_init};

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

/* Those that fit every width: two registers stand for one and four. */
static const struct schema_word device_order_words[] = {
	{"ABCD", BYTE_ORDER_ABCD},
	{"CDAB", BYTE_ORDER_CDAB},
	{"BADC", BYTE_ORDER_BADC},
	{"DCBA", BYTE_ORDER_DCBA},
	{NULL, 0},
};

static const struct schema_word string_order_words[] = {
	{"AB", BYTE_ORDER_AB}, {"BA", BYTE_ORDER_BA}, {NULL, 0}};

static const struct schema_word byte_words[] = {{"low", 0}, {"high", 1}, {NULL, 0}};
static const struct schema_word access_words[] = {{"r", 0}, {"rw", 1}, {NULL, 0}};

static const struct schema_word edge_words[] = {
	{"rising", CONFIG_COUNTED_RISING},
	{"falling", CONFIG_COUNTED_FALLING},
	{"both", CONFIG_COUNTED_BOTH},
	{NULL, 0},
};

static const struct schema_field counter_fields[] = {
	{"of", "The tag whose edges are counted, as device/tag", SCHEMA_TEXT,
	 SCHEMA_AT(struct config_counter, of), .rule = &rule_tag, .required = true},
	{"edge", "Which edges: from false to true, from true to false, or both", SCHEMA_ENUM,
	 SCHEMA_AT(struct config_counter, edge), .words = edge_words, .preset = "rising"},
};

static const struct schema counter_table = {"counter", sizeof(struct config_counter), TABLE(counter_fields)};

static const struct schema_field map_fields[] = {
	{"raw", "Two numbers that the device may hold", SCHEMA_NUMBERS, SCHEMA_AT(struct config_map, raw),
	 .required = true},
	{"value", "The values that they stand for", SCHEMA_NUMBERS, SCHEMA_AT(struct config_map, value),
	 .required = true},
	{"clamp", "Keep values between these two", SCHEMA_BOOL, SCHEMA_AT(struct config_map, clamp),
	 .preset = "false"},
};

static void map_init(void *item)
{
	struct config_map *map = item;

	for (size_t i = 0; i < 2; i++)
		map->raw[i] = map->value[i] = (double)NAN;
}

static const struct schema map_schema = {"map", sizeof(struct config_map), TABLE(map_fields),
					 .init = map_init};

static const struct schema_field tag_fields[] = {
	{"name", "Last level of its topic", SCHEMA_TEXT, TAG_AT(name), .rule = &rule_name, .required = true},
	{"address",
	 "Where it lies, counted from 0: holding:7, coil:0, or holding:7.3 for one bit; or 40008, 400008, "
	 "1!400008",
	 SCHEMA_RULE, TAG_AT(address), .rule = &rule_address, .unset = "needed, but on an internal line"},
	{"type", "What lies there", SCHEMA_ENUM, TAG_AT(type), .words = type_words,
	 .unset = "bool in coil, discrete, di, do and relay, float64 in ai, ao, rtd and tc, float64 on an "
		  "internal "
		  "line; needed elsewhere"},
	{"order", "Order of the bytes; ABCD is the most significant first", SCHEMA_ENUM, TAG_AT(order),
	 .words = order_words, .unset = "the most significant byte first"},
	{"byte", "Which byte of the register an int8 or uint8 is", SCHEMA_ENUM, TAG_AT(high_byte),
	 .words = byte_words, .preset = "low"},
	{"bits",
	 "A bit field: so many bits from the bit of the address on, counted in the whole value of its type",
	 SCHEMA_INT, TAG_AT(bits), .min = 1, .max = 64, .unset = "all bits"},
	{"length", "Bytes of a string or bytes value", SCHEMA_INT, TAG_AT(length), .min = 1,
	 .max = VALUE_BYTES_MAX, .unset = "needed for string and bytes"},
	{"scale", "The value is raw * scale + offset", SCHEMA_NUMBER, TAG_AT(scale), .preset = "1"},
	{"offset", "See scale", SCHEMA_NUMBER, TAG_AT(offset), .preset = "0"},
	{"map", "From raw to value by two points of a straight line, instead of scale and offset",
	 SCHEMA_OPTION, TAG_AT(map), .sub = &map_schema, .unset = "scale and offset"},
	{"enum",
	 "Texts that stand for numbers, such as {0: stopped, 1: running}; other numbers are uncertain",
	 SCHEMA_LABELS, SCHEMA_LIST_AT(struct config_tag, labels, nlabels), .unset = "none"},
	{"invalid", "The number that the device holds when it has no value, before scale and offset",
	 SCHEMA_NUMBER, TAG_AT(invalid), .unset = "none"},
	{"scale_tag", "A tag of this device that holds a power of ten for the scale, as SunSpec has them",
	 SCHEMA_TEXT, TAG_AT(scale_tag_name), .rule = &rule_name, .unset = "none"},
	{"unit", "Unit of the value, for people", SCHEMA_TEXT, TAG_AT(unit), .rule = &rule_unit,
	 .unset = "none"},
	{"group", "The group that reads it", SCHEMA_TEXT, TAG_AT(group_name), .rule = &rule_name,
	 .unset = "the device's only group"},
	{"access", "May it be written?", SCHEMA_ENUM, TAG_AT(writable), .words = access_words, .preset = "r"},
	{"verify", "Read it back after a write, and compare", SCHEMA_BOOL, TAG_AT(verify), .preset = "false"},
	{"min", "Least value that may be written", SCHEMA_NUMBER, TAG_AT(min),
	 .unset = "what the type holds"},
	{"max", "Largest value that may be written", SCHEMA_NUMBER, TAG_AT(max),
	 .unset = "what the type holds"},
	{"value",
	 "On an internal line: a constant, or with access: rw where a set point begins; 0 or 1 "
	 "of a bool",
	 SCHEMA_NUMBER, TAG_AT(value), .unset = "it is not one"},
	{"expression", "On an internal line: what it is computed from, such as press/power / 1000",
	 SCHEMA_TEXT, TAG_AT(expression), .unset = "it is not computed"},
	{"counter", "On an internal line: it counts the edges of another tag", SCHEMA_MAP, TAG_AT(counter),
	 .sub = &counter_table, .unset = "it does not count"},
	{"safe", "The value that it takes when the watchdog of its line finds nobody", SCHEMA_TEXT,
	 TAG_AT(safe), .rule = &rule_safe, .unset = "it stays as it is"},
	{"", "", SCHEMA_KEYS, TAG_AT(keys), .sub = &gateway_policy_schema},
};

static void tag_init(void *item)
{
	struct config_tag *tag = item;

	tag->type = CONFIG_TYPE_UNSET;
	tag->order = CONFIG_ORDER_UNSET;
	tag->address = (struct config_address)CONFIG_ADDRESS_NONE;
	tag->address.bit = CONFIG_BIT_UNSET;
	tag->min = -INFINITY;
	tag->max = INFINITY;
	tag->value = NAN;
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
	{"order", "Order of the bytes of its numbers and date-times, where a tag names none", SCHEMA_ENUM,
	 DEVICE_AT(order), .words = device_order_words, .unset = "the most significant byte first"},
	{"string_order", "Order of the bytes of its strings and bytes values, where a tag names none",
	 SCHEMA_ENUM, DEVICE_AT(string_order), .words = string_order_words, .unset = "AB"},
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
	 .sub = &gateway_tag_schema, .unset = "all channels, when the line is a rack; needed elsewhere"},
	{"template",
	 "Template it is made from: one of this file, or one that is built in (lineside templates)",
	 SCHEMA_TEXT, DEVICE_AT(template_name), .rule = &rule_name, .unset = "none"},
	{"parameters", "What the parameters of its template are", SCHEMA_ANY_MAP,
	 .unset = "what the template says"},
	{"tags_file", "Table of tags, CSV", SCHEMA_PATH, DEVICE_AT(tags_file), .unset = "none"},
	{"", "", SCHEMA_KEYS, DEVICE_AT(keys), .sub = &gateway_policy_schema},
};

static void device_init(void *item)
{
	struct config_device *device = item;

	device->retries = CONFIG_RETRIES_UNSET;
	device->order = CONFIG_ORDER_UNSET;
	device->string_order = CONFIG_ORDER_UNSET;
}

const struct schema gateway_device_schema = {"device", sizeof(struct config_device), TABLE(device_fields),
					     .init = device_init};
