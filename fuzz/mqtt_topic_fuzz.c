/* Text, topics and filters against plain models of the same rules. The first byte says where the topic begins. */
#include <stdlib.h>

#include "wire/mqtt.h"

#define CHECK(cond)              \
	do {                     \
		if (!(cond))     \
			abort(); \
	} while (0)

/* UTF-8 by its definition: build the code point, then judge it. */
static bool model_utf8(struct span s)
{
	for (size_t i = 0; i < s.len;) {
		static const uint32_t smallest[] = {0, 1, 0x80, 0x800, 0x10000};
		uint8_t c = s.p[i];
		size_t n = c < 0x80             ? 1
			   : (c & 0xE0) == 0xC0 ? 2
			   : (c & 0xF0) == 0xE0 ? 3
			   : (c & 0xF8) == 0xF0 ? 4
						: 0;
		uint32_t code = n == 1 ? c : n == 2 ? c & 0x1Fu : n == 3 ? c & 0x0Fu : c & 0x07u;

		if (n == 0 || n > s.len - i)
			return false;
		for (size_t k = 1; k < n; k++) {
			if ((s.p[i + k] & 0xC0) != 0x80)
				return false;
			code = code << 6 | (s.p[i + k] & 0x3Fu);
		}
		if (code < smallest[n] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
			return false;
		/* what should not be there (1.5.4): control characters, non-characters */
		if (code < 0x20 || (code >= 0x7F && code < 0xA0) || (code >= 0xFDD0 && code <= 0xFDEF) ||
		    (code & 0xFFFE) == 0xFFFE)
			return false;
		i += n;
	}
	return true;
}

/* Cut the first level off; false when there was none left. */
static bool level_take(struct span *s, bool *more, struct span *level)
{
	const uint8_t *slash;

	if (!*more)
		return false;
	slash = s->len > 0 ? memchr(s->p, '/', s->len) : NULL;
	*level = span_of(s->p, slash ? (size_t)(slash - s->p) : s->len);
	*more = slash != NULL;
	if (slash)
		*s = span_of(slash + 1, s->len - level->len - 1);
	return true;
}

static bool has_any(struct span s, const char *set)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.p[i] == 0 || strchr(set, s.p[i]))
			return true;
	return false;
}

static bool model_filter(struct span filter)
{
	struct span level, rest = filter;
	bool more = true;

	if (filter.len == 0 || filter.len > MQTT_STRING_MAX)
		return false;
	while (level_take(&rest, &more, &level)) {
		bool hash = span_equal(level, span_str("#"));

		if (hash ? more : !span_equal(level, span_str("+")) && has_any(level, "+#"))
			return false;
	}
	return true;
}

static bool model_matches(struct span filter, struct span topic)
{
	bool f_more = true, t_more = true;
	struct span f, t;

	if (topic.p[0] == '$' && (filter.p[0] == '+' || filter.p[0] == '#'))
		return false;
	while (level_take(&filter, &f_more, &f)) {
		if (span_equal(f, span_str("#")))
			return true;
		if (!level_take(&topic, &t_more, &t))
			return false;
		if (!span_equal(f, span_str("+")) && !span_equal(f, t))
			return false;
		if (!t_more && f_more)
			return span_equal(filter, span_str("#"));
	}
	return !t_more;
}

static void check_share(struct span filter)
{
	struct span group, rest;

	if (!mqtt_filter_shared(filter, &group, &rest))
		return;
	CHECK(mqtt_filter_valid(filter) && group.len > 0 && !has_any(group, "/+#"));
	CHECK(model_filter(rest));
	CHECK(7 + group.len + 1 + rest.len == filter.len && rest.p + rest.len == filter.p + filter.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span filter, topic, level, rest;
	size_t cut, levels = 0;
	bool more = true;

	if (size < 1)
		return 0;
	cut = data[0] < size - 1 ? data[0] : size - 1;
	filter = span_of(data + 1, cut);
	topic = span_of(data + 1 + cut, size - 1 - cut);
	CHECK(mqtt_utf8_valid(filter) == (model_utf8(filter) && !(cut && memchr(filter.p, 0, cut))));
	CHECK(mqtt_utf8_valid(topic) == (model_utf8(topic) && !(topic.len && memchr(topic.p, 0, topic.len))));
	CHECK(mqtt_topic_valid(topic) ==
	      (topic.len > 0 && topic.len <= MQTT_STRING_MAX && !has_any(topic, "+#")));
	if (filter.len < 7 || memcmp(filter.p, "$share/", 7) != 0)
		CHECK(mqtt_filter_valid(filter) == (model_filter(filter) && !has_any(filter, "")));
	check_share(filter);
	for (rest = topic; level_take(&rest, &more, &level);)
		levels++;
	CHECK(mqtt_topic_levels(topic) == levels);
	if (mqtt_filter_valid(filter) && mqtt_topic_valid(topic))
		CHECK(mqtt_filter_matches(filter, topic) == model_matches(filter, topic));
	return 0;
}
