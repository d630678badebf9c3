/* Texts of policies: dead-bands, templates. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/gateway_rules.h"
#include "config/text_template.h"

#define TOPIC_CHARS_MAX    500
#define TEMPLATE_CHARS_MAX 2000

static bool deadband_parse(const char *text, void *out)
{
	struct config_deadband d = {0};
	size_t len = strlen(text);
	char *end;

	if (!len || strspn(text, "0123456789+.eE") + (text[len - 1] == '%') != len)
		return false;
	d.amount = strtod(text, &end);
	d.is_percent = *end == '%';
	if (end == text || end[d.is_percent] || !isfinite(d.amount) ||
	    d.amount > (d.is_percent ? 100 : 1e300))
		return false;
	if (out)
		*(struct config_deadband *)out = d;
	return true;
}

const struct schema_rule rule_deadband = {
	.parse = deadband_parse,
	.allowed = "a number from 0 on, or percent from \"0%\" to \"100%\"",
	.pattern = "^[0-9+.eE]+%?$",
	.takes_number = true,
};

/* Every level has something in it, and none is one of the gateway's own words. */
static bool has_good_levels(const char *text)
{
	for (const char *level = text;; level += strcspn(level, "/") + 1) {
		size_t len = strcspn(level, "/");

		if (len == 0 || *level == '_' || (*level == '$' && level[1] != '{') ||
		    (len == 3 && strncmp(level, "set", 3) == 0))
			return false;
		if (!level[len])
			return true;
	}
}

static bool is_topic_template(const char *text, bool with_tag)
{
	const char *at = text;
	struct template_part part;

	if (!rule_is_clean(text, TOPIC_CHARS_MAX, "+#") || !has_good_levels(text) ||
	    topic_levels(text) > TOPIC_LEVELS_MAX)
		return false;
	while (template_next(&at, topic_template_names, &part))
		if (part.name == TOPIC_TAG && !with_tag)
			return false;
	return !*at;
}

static bool topic_parse(const char *text, void *out)
{
	(void)out;
	return is_topic_template(text, true);
}

const struct schema_rule rule_topic = {
	.parse = topic_parse,
	.allowed = "1 to 8 levels such as site/${device}/${tag}, with the names root, gateway, line, device, "
		   "group, tag; without + #, no level empty, beginning with _ or $, or \"set\"",
	.pattern = "^[^+#/_][^+#]*$",
};

static bool group_topic_parse(const char *text, void *out)
{
	(void)out;
	return is_topic_template(text, false);
}

const struct schema_rule rule_group_topic = {
	.parse = group_topic_parse,
	.allowed =
		"1 to 8 levels such as site/${device}/${group}, with the names root, gateway, line, device, "
		"group; without + #, no level empty, beginning with _ or $, or \"set\"",
	.pattern = "^[^+#/_][^+#]*$",
};

/* Lines may end: a text block of YAML has them. */
static bool is_clean_block(const char *text)
{
	char copy[4 * TEMPLATE_CHARS_MAX + 1];
	size_t len = strlen(text);

	if (len >= sizeof(copy))
		return false;
	for (size_t i = 0; i <= len; i++)
		copy[i] = text[i] == '\n' || text[i] == '\t' ? ' ' : text[i];
	return rule_is_clean(copy, TEMPLATE_CHARS_MAX, "");
}

static bool payload_template_parse(const char *text, void *out)
{
	const char *at = text;
	struct template_part part;

	(void)out;
	if (!is_clean_block(text))
		return false;
	while (template_next(&at, payload_template_names, &part))
		;
	return !*at;
}

const struct schema_rule rule_payload_template = {
	.parse = payload_template_parse,
	.allowed = "1 to 2000 characters; behind $ one of {value}, {text}, {ts}, {iso}, {quality}, {reason}, "
		   "{unit}, {gateway}, {device}, {group}, {tag}, or another $",
	.pattern = "^[^\\u0000-\\u0008\\u000b-\\u001f]{1,2000}$",
};
