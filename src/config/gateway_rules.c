#include "config/gateway_rules.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/utf8.h"

/* `{root}/{device}/{tag}/set/result` has at most 8 levels (PRODUCT "Topics and payloads"). */
#define ROOT_LEVELS_MAX 4
#define ROOT_BYTES_MAX  200
#define HOST_BYTES_MAX  253
/* It stands in one small packet. */
#define REFERENCE_BYTES_MAX 256

bool rule_is_clean(const char *text, size_t max, const char *without)
{
	const uint8_t *p = (const uint8_t *)text;
	size_t left = strlen(text), n, chars = 0;
	uint32_t point;

	for (; left; p += n, left -= n, chars++) {
		n = utf8_char(p, left, &point);
		if (!n || point < 0x20 || (point >= 0x7F && point < 0xA0) || chars == max)
			return false;
		if (point < 0x80 && strchr(without, (int)point))
			return false;
	}
	return chars > 0;
}

static bool name_parse(const char *text, void *out)
{
	(void)out;
	return rule_is_clean(text, CONFIG_NAME_MAX, "/+#") && text[0] != '$' && text[0] != '_' &&
	       strcmp(text, "set") != 0;
}

const struct schema_rule rule_name = {
	.parse = name_parse,
	.allowed = "1 to 64 characters without / + #, not starting with $ or _, and not \"set\"",
	.pattern =
		"^(?!set$)[^$_/+#\\u0000-\\u001f\\u007f-\\u009f][^/+#\\u0000-\\u001f\\u007f-\\u009f]{0,63}$",
};

static bool root_parse(const char *text, void *out)
{
	size_t levels = 1, len = strlen(text);

	(void)out;
	if (!rule_is_clean(text, ROOT_BYTES_MAX, "+#") || text[0] == '$' || text[0] == '/' ||
	    text[len - 1] == '/' || strstr(text, "//"))
		return false;
	for (; *text; text++)
		levels += *text == '/';
	return levels <= ROOT_LEVELS_MAX;
}

const struct schema_rule rule_root = {
	.parse = root_parse,
	.allowed = "1 to 4 topic levels such as site/plant1, without + #, not starting with $ or /",
	.pattern = "^[^$/+#][^/+#]*(/[^/+#]+){0,3}$",
};

static bool unit_parse(const char *text, void *out)
{
	(void)out;
	return rule_is_clean(text, 32, "");
}

const struct schema_rule rule_unit = {
	.parse = unit_parse,
	.allowed = "1 to 32 characters",
	.pattern = "^.{1,32}$",
};

static bool reference_parse(const char *text, void *out)
{
	(void)out;
	return rule_is_clean(text, REFERENCE_BYTES_MAX, "") && strlen(text) <= REFERENCE_BYTES_MAX;
}

/* A slash would lead out of the folder of the device. */
static bool point_parse(const char *text, void *out)
{
	(void)out;
	return rule_is_clean(text, CONFIG_NAME_MAX, "/") && text[0] != '.';
}

const struct schema_rule rule_point = {
	.parse = point_parse,
	.allowed = "1 to 64 characters without /, not starting with a dot",
	.pattern = "^[^./\\u0000-\\u001f\\u007f-\\u009f][^/\\u0000-\\u001f\\u007f-\\u009f]{0,63}$",
};

const struct schema_rule rule_reference = {
	.parse = reference_parse,
	.allowed = "a server such as other.example:1883, or several with a space between, up to 256 bytes",
	.pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]{1,256}$",
};

/* Letters, digits and dots of a name; hexadecimal and colons of an IPv6 address, which has two at least. */
static bool host_parse(const char *text, void *out)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:%";
	const char *colon = strchr(text, ':');
	size_t len = strlen(text);

	(void)out;
	return len && len <= HOST_BYTES_MAX && strspn(text, chars) == len && text[0] != '-' &&
	       (!colon || strchr(colon + 1, ':'));
}

const struct schema_rule rule_host = {
	.parse = host_parse,
	.allowed = "a host name or an IP address; a port stands beside it, as port: 502",
	.pattern = "^([A-Za-z0-9_.%][-A-Za-z0-9_.%]{0,252}|[A-Za-z0-9_.%]*:[-A-Za-z0-9_.%]*:[-A-Za-z0-9_.:%]"
		   "{0,251})$",
};

static bool any_parse(const char *text, void *out)
{
	(void)text;
	(void)out;
	return true;
}

const struct schema_rule rule_safe = {
	.parse = any_parse,
	.allowed = "a value of the tag",
	.pattern = "",
	.takes_number = true,
	.takes_bool = true,
};

static bool ip_parse(const char *text, void *out)
{
	struct in6_addr ipv6;
	struct in_addr ipv4;

	(void)out;
	return inet_pton(AF_INET, text, &ipv4) == 1 || inet_pton(AF_INET6, text, &ipv6) == 1;
}

const struct schema_rule rule_ip = {
	.parse = ip_parse,
	.allowed = "an IP address such as 127.0.0.1 or ::1",
	.pattern = "^[0-9a-fA-F.:]+$",
};
