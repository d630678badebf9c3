/*
 * Texts with ${names} in them, of which topics and payloads are made; `$$` stands for one `$`. Pure.
 */
#ifndef CONFIG_TEXT_TEMPLATE_H
#define CONFIG_TEXT_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "base/err.h"

/* A name in a template, by its index in a table of names; or text, with name -1. */
struct template_part {
	struct span text;
	int name;
};

/*
 * Take the next part off *at, which begins as the template.
 *   names  ends with NULL
 * Returns true with *part; false at the end, *at is empty then, or at something that is no name, which *at then begins with.
 */
bool template_next(const char **at, const char *const *names, struct template_part *part);

/* The names of a topic, in the order of `enum topic_name`. */
enum topic_name { TOPIC_ROOT, TOPIC_GATEWAY, TOPIC_LINE, TOPIC_DEVICE, TOPIC_GROUP, TOPIC_TAG, TOPIC_NAMES };

extern const char *const topic_template_names[TOPIC_NAMES + 1];

#define TOPIC_TEMPLATE_DEFAULT       "${root}/${device}/${tag}"
#define TOPIC_TEMPLATE_GROUP_DEFAULT "${root}/${device}/_group/${group}"
#define TOPIC_LEVELS_MAX             8
#define TOPIC_TEMPLATE_BYTES         1024u /* of a topic that is made from one, with its NUL */

/*
 * Expand a template that obeys its rule.
 *   names  TOPIC_NAMES texts; those that it does not use may be NULL
 *   buf    `size` bytes, NUL terminated after
 * Returns the topic's length, 0 when it does not fit.
 */
size_t topic_template_expand(const char *template, const char *const *names, char *buf, size_t size);

/* The filter of all topics a template can give, with `+` for what differs between tags. 0: it does not fit. */
size_t topic_template_filter(const char *template, const char *const *names, char *buf, size_t size);

/* Levels of a topic. */
size_t topic_levels(const char *topic);

/* What stands in a payload, in the order of `enum payload_name`; see docs/publishing.md. */
enum payload_name {
	PAYLOAD_VALUE,
	PAYLOAD_TEXT,
	PAYLOAD_TS,
	PAYLOAD_ISO,
	PAYLOAD_QUALITY,
	PAYLOAD_REASON,
	PAYLOAD_UNIT,
	PAYLOAD_GATEWAY,
	PAYLOAD_DEVICE,
	PAYLOAD_GROUP,
	PAYLOAD_TAG,
	PAYLOAD_NAMES
};

extern const char *const payload_template_names[PAYLOAD_NAMES + 1];

#endif
