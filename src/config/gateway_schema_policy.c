#include "config/gateway_schema.h"

#include <math.h>

#include "config/gateway_config.h"
#include "config/gateway_rules.h"

/* What is published when, where and how: the same keys at a tag, its group, its device and the gateway. */
#define POLICY_AT(member) SCHEMA_AT(struct config_policy_keys, member)

static const struct schema_word publish_words[] = {
	{"every_scan", CONFIG_PUBLISH_EVERY_SCAN},
	{"on_change", CONFIG_PUBLISH_ON_CHANGE},
	{"period", CONFIG_PUBLISH_PERIOD},
	{"on_change_or_period", CONFIG_PUBLISH_ON_CHANGE_OR_PERIOD},
	{"threshold", CONFIG_PUBLISH_THRESHOLD},
	{NULL, 0},
};

static const struct schema_word payload_words[] = {
	{"json", CONFIG_PAYLOAD_JSON},
	{"value", CONFIG_PAYLOAD_VALUE},
	{"plain", CONFIG_PAYLOAD_PLAIN},
	{"moxa", CONFIG_PAYLOAD_MOXA},
	{"neuron-values", CONFIG_PAYLOAD_NEURON_VALUES},
	{"neuron-tags", CONFIG_PAYLOAD_NEURON_TAGS},
	{"template", CONFIG_PAYLOAD_TEMPLATE},
	{NULL, 0},
};

static const struct schema_field policy_fields[] = {
	{"publish", "When a value is published", SCHEMA_ENUM, POLICY_AT(publish), .words = publish_words,
	 .unset = "as one level up, in the end on_change"},
	{"period", "How often at least, with publish: period and on_change_or_period", SCHEMA_TIME,
	 POLICY_AT(period_ms), .min = 10, .max = 7 * MS_PER_D, .unset = "as one level up"},
	{"above", "Values above this are published, with publish: threshold", SCHEMA_NUMBER, POLICY_AT(above),
	 .unset = "as one level up"},
	{"below", "Values below this are published, with publish: threshold", SCHEMA_NUMBER, POLICY_AT(below),
	 .unset = "as one level up"},
	{"hysteresis", "How far a value must return behind above or below to count as returned",
	 SCHEMA_NUMBER, POLICY_AT(hysteresis), .min = 0, .max = 1e300,
	 .unset = "as one level up, in the end 0"},
	{"deadband",
	 "A change of no more than this is none: a number in the tag's unit, or percent such as \"5%\" of "
	 "min "
	 "to max where a tag has both or of its map, else of the value published last",
	 SCHEMA_RULE, POLICY_AT(deadband), .rule = &rule_deadband, .unset = "as one level up, in the end 0"},
	{"min_interval",
	 "Changes that come sooner after another are held back, and the newest is published then",
	 SCHEMA_TIME, POLICY_AT(min_interval_ms), .min = 0, .max = 1 * MS_PER_D,
	 .unset = "as one level up, in the end 0"},
	{"topic",
	 "Topic of its tags, with ${root}, ${gateway}, ${line}, ${device}, ${group} and ${tag} in it",
	 SCHEMA_TEXT, POLICY_AT(topic), .rule = &rule_topic,
	 .unset = "as one level up, in the end ${root}/${device}/${tag}"},
	{"payload", "Payload format of its tags", SCHEMA_ENUM, POLICY_AT(payload), .words = payload_words,
	 .unset = "as one level up, in the end json"},
	{"payload_template",
	 "Text of the payload with ${value} and other names in it, with payload: template", SCHEMA_TEXT,
	 POLICY_AT(template), .rule = &rule_payload_template, .unset = "as one level up"},
};

static void policy_init(void *item)
{
	struct config_policy_keys *keys = item;

	keys->publish = CONFIG_PUBLISH_UNSET;
	keys->payload = CONFIG_PAYLOAD_UNSET;
	keys->min_interval_ms = CONFIG_INTERVAL_UNSET;
	keys->above = keys->below = keys->hysteresis = NAN;
	keys->deadband.amount = NAN;
}

const struct schema gateway_policy_schema = {"policy", sizeof(struct config_policy_keys),
					     TABLE(policy_fields), .init = policy_init};
