#include "config/gateway_schema.h"

#include <math.h>

#include "config/gateway_config.h"
#include "config/gateway_rules.h"

/* Alarms. */
#define ALARM_AT(member) SCHEMA_AT(struct config_alarm, member)

static const struct schema_word severities[] = {
	{"info", CONFIG_SEVERITY_INFO},
	{"warning", CONFIG_SEVERITY_WARNING},
	{"critical", CONFIG_SEVERITY_CRITICAL},
	{NULL, 0},
};

static const struct schema_field alarm_fields[] = {
	{"name", "What its events call it", SCHEMA_TEXT, ALARM_AT(name), .rule = &rule_name,
	 .required = true},
	{"tag", "The tag that it watches, as device/tag; a computed one for what depends on several",
	 SCHEMA_TEXT, ALARM_AT(tag), .rule = &rule_tag, .required = true},
	{"above", "It is raised above this value", SCHEMA_NUMBER, ALARM_AT(above), .unset = "no upper limit"},
	{"below", "It is raised below this value", SCHEMA_NUMBER, ALARM_AT(below), .unset = "no lower limit"},
	{"hysteresis", "How far the value must return within its limits until it is cleared", SCHEMA_NUMBER,
	 ALARM_AT(hysteresis), .min = 0, .max = 1e300, .preset = "0"},
	{"delay", "How long the value must be out of its limits until it is raised", SCHEMA_TIME,
	 ALARM_AT(delay_ms), .min = 0, .max = 1 * MS_PER_D, .preset = "0"},
	{"quality", "Bad quality raises it, too", SCHEMA_BOOL, ALARM_AT(quality), .preset = "false"},
	{"text", "What to tell people", SCHEMA_TEXT, ALARM_AT(text), .rule = &rule_sentence,
	 .unset = "nothing"},
	{"severity", "How bad it is", SCHEMA_ENUM, ALARM_AT(severity), .words = severities,
	 .preset = "warning"},
};

const char *config_severity_text(int severity)
{
	return severities[severity].word;
}

static void alarm_init(void *item)
{
	struct config_alarm *alarm = item;

	alarm->above = INFINITY;
	alarm->below = -INFINITY;
}

const struct schema gateway_alarm_schema = {"alarm", sizeof(struct config_alarm), TABLE(alarm_fields),
					    .init = alarm_init};
