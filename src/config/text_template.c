#include "config/text_template.h"

#include <string.h>

const char *const topic_template_names[TOPIC_NAMES + 1] = {
	[TOPIC_ROOT] = "root",     [TOPIC_GATEWAY] = "gateway", [TOPIC_LINE] = "line",
	[TOPIC_DEVICE] = "device", [TOPIC_GROUP] = "group",     [TOPIC_TAG] = "tag",
};

const char *const payload_template_names[PAYLOAD_NAMES + 1] = {
	[PAYLOAD_VALUE] = "value", [PAYLOAD_TEXT] = "text",       [PAYLOAD_TS] = "ts",
	[PAYLOAD_ISO] = "iso",     [PAYLOAD_QUALITY] = "quality", [PAYLOAD_REASON] = "reason",
	[PAYLOAD_UNIT] = "unit",   [PAYLOAD_GATEWAY] = "gateway", [PAYLOAD_DEVICE] = "device",
	[PAYLOAD_GROUP] = "group", [PAYLOAD_TAG] = "tag",
};

/* Behind "${": the index of the name and what follows its brace; -1: it is none. */
static int take_name(const char **p, const char *const *names)
{
	for (int i = 0; names[i]; i++) {
		size_t len = strlen(names[i]);

		if (strncmp(*p, names[i], len) != 0 || (*p)[len] != '}')
			continue;
		*p += len + 1;
		return i;
	}
	return -1;
}

bool template_next(const char **at, const char *const *names, struct template_part *part)
{
	const char *p = *at;
	size_t len = strcspn(p, "$");

	part->name = -1;
	if (len > 0) {
		part->text = span_of(p, len);
		*at = p + len;
		return true;
	}
	if (*p != '$')
		return false;
	if (p[1] == '$') {
		part->text = span_of(p, 1);
		*at = p + 2;
		return true;
	}
	if (p[1] != '{')
		return false;
	p += 2;
	part->name = take_name(&p, names);
	if (part->name < 0)
		return false;
	*at = p;
	return true;
}

size_t topic_template_expand(const char *template, const char *const *names, char *buf, size_t size)
{
	struct wr w = wr_of(buf, size - 1);
	struct template_part part;

	while (template_next(&template, topic_template_names, &part)) {
		if (part.name >= 0)
			part.text = span_str(names[part.name]);
		wr_span(&w, part.text);
	}
	if (w.bad)
		return 0;
	*w.p = '\0';
	return size - 1 - w.left;
}

/* Take back what stands in the level already, and put `+` in its place. */
static void level_becomes_any(struct wr *w, const char *buf)
{
	while ((const char *)w->p > buf && w->p[-1] != '/') {
		w->p--;
		w->left++;
	}
	wr_u8(w, '+');
}

static void put_fixed(struct wr *w, struct span text, bool *is_any)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] == '/')
			*is_any = false;
		if (!*is_any)
			wr_u8(w, text.p[i]);
	}
}

size_t topic_template_filter(const char *template, const char *const *names, char *buf, size_t size)
{
	struct wr w = wr_of(buf, size - 1);
	struct template_part part;
	bool is_any = false;

	while (template_next(&template, topic_template_names, &part)) {
		if (part.name < 0) {
			put_fixed(&w, part.text, &is_any);
		} else if (part.name == TOPIC_ROOT || part.name == TOPIC_GATEWAY) {
			put_fixed(&w, span_str(names[part.name]), &is_any);
		} else if (!is_any) {
			level_becomes_any(&w, buf);
			is_any = true;
		}
	}
	if (w.bad)
		return 0;
	*w.p = '\0';
	return size - 1 - w.left;
}

size_t topic_levels(const char *topic)
{
	size_t n = 1;

	for (; *topic; topic++)
		n += *topic == '/';
	return n;
}
