#include <string.h>

#include "config/gateway_rules.h"

#define SENTENCE_MAX 200

/* The tag may be an attribute of a channel, and device and tag have the rules of names. */
static bool tag_parse(const char *text, void *out)
{
	const char *slash = strchr(text, '/');

	(void)out;
	return slash && slash != text && slash[1] && !strchr(slash + 1, '/') &&
	       rule_is_clean(text, 2 * CONFIG_NAME_MAX + 32, "+#");
}

const struct schema_rule rule_tag = {
	.parse = tag_parse,
	.allowed = "the names of a device and one of its tags, as device/tag",
	.pattern = "^[^/+#\\u0000-\\u001f]+/[^/+#\\u0000-\\u001f]+$",
};

static bool sentence_parse(const char *text, void *out)
{
	(void)out;
	return rule_is_clean(text, SENTENCE_MAX, "");
}

const struct schema_rule rule_sentence = {
	.parse = sentence_parse,
	.allowed = "1 to 200 characters, none of them a control character",
	.pattern = "^[^\\u0000-\\u001f]{1,200}$",
};
