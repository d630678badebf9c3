/* Texts of uplinks. */
#include <string.h>

#include "config/gateway_rules.h"

#define TOPIC_CHARS_MAX     1000
#define CLIENT_ID_CHARS_MAX 128

static bool url_parse(const char *text, void *out)
{
	static const char *const schemes[] = {"mqtt://", "mqtts://", "ws://", "wss://"};
	const char *host = NULL, *colon;
	char name[256];
	size_t len;

	(void)out;
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strncmp(text, schemes[i], strlen(schemes[i])) == 0)
			host = text + strlen(schemes[i]);
	if (!host)
		return false;
	len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");
	if (len >= sizeof(name) || strlen(host) < len)
		return false;
	memcpy(name, host + (host[0] == '['), len);
	name[host[0] == '[' ? len - 2 : len] = '\0';
	if (!rule_host.parse(name, NULL))
		return false;
	colon = host + len;
	if (!*colon)
		return true;
	len = strspn(colon + 1, "0123456789");
	return *colon == ':' && len >= 1 && len <= 5 && !colon[1 + len];
}

const struct schema_rule rule_url = {
	.parse = url_parse,
	.allowed = "mqtt://HOST or mqtt://HOST:PORT, an IPv6 address in brackets",
	.pattern = "^(mqtts?|wss?)://[^/]+$",
};

/* `+` stands alone in its level, `#` alone in the last one. */
static bool filter_parse(const char *text, void *out)
{
	const char *level = text;

	(void)out;
	if (!rule_is_clean(text, TOPIC_CHARS_MAX, "") || strncmp(text, "$share/", 7) == 0)
		return false;
	for (;;) {
		size_t len = strcspn(level, "/"), wild = strcspn(level, "+#");

		if (wild < len && len != 1)
			return false;
		if (wild < len && *level == '#')
			return !level[1];
		if (!level[len])
			return true;
		level += len + 1;
	}
}

const struct schema_rule rule_filter = {
	.parse = filter_parse,
	.allowed = "a topic filter such as plant1/#, at most 1000 characters",
	.pattern = "^([^+#/]*|\\+)(/([^+#/]*|\\+))*(/#)?$|^#$",
};

static bool part_parse(const char *text, void *out)
{
	(void)out;
	return rule_is_clean(text, TOPIC_CHARS_MAX, "+#");
}

const struct schema_rule rule_topic_part = {
	.parse = part_parse,
	.allowed = "1 to 1000 characters without + #",
	.pattern = "^[^+#]{1,1000}$",
};

/* Behind the brace; returns what follows the closing one, or NULL. */
static const char *placeholder_end(const char *p)
{
	if (strncmp(p, "topic}", 6) == 0)
		return p + 6;
	if (*p < '1' || *p > '8')
		return NULL;
	p += p[1] == '+' ? 2 : 1;
	return *p == '}' ? p + 1 : NULL;
}

static bool template_parse(const char *text, void *out)
{
	(void)out;
	if (!rule_is_clean(text, TOPIC_CHARS_MAX, "#"))
		return false;
	while (text && *text) {
		if (*text == '+' || *text == '}')
			return false;
		text = *text == '{' ? placeholder_end(text + 1) : text + 1;
	}
	return text != NULL;
}

const struct schema_rule rule_template = {
	.parse = template_parse,
	.allowed = "a topic with {topic}, {1} to {8}, or {1+} to {8+} in it, without + # otherwise",
	.pattern = "^([^{}+#]|\\{(topic|[1-8]\\+?)\\})+$",
};

static bool client_id_parse(const char *text, void *out)
{
	(void)out;
	return rule_is_clean(text, CLIENT_ID_CHARS_MAX, "");
}

const struct schema_rule rule_client_id = {
	.parse = client_id_parse,
	.allowed = "1 to 128 characters",
	.pattern = "^.{1,128}$",
};
