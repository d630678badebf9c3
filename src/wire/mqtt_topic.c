/* Topic names and filters: 3.1.1 and 5.0, 4.7; shared subscriptions: 5.0, 4.8.2. */
#include "wire/mqtt_codec.h"

bool mqtt_topic_valid(struct span topic)
{
	if (topic.len == 0 || topic.len > MQTT_STRING_MAX) /* [MQTT-4.7.3-1], [MQTT-4.7.3-3] */
		return false;
	for (size_t i = 0; i < topic.len; i++) {
		uint8_t c = topic.p[i];

		/* 3.1.1 [MQTT-4.7.1-1], 5.0 [MQTT-4.7.0-1]; [MQTT-4.7.3-2] */
		if (c == '+' || c == '#' || c == 0)
			return false;
	}
	return true;
}

/*
 * # is the last character and alone in its level (3.1.1 [MQTT-4.7.1-2], 5.0 [MQTT-4.7.1-1]); + is alone in its level
 * (3.1.1 [MQTT-4.7.1-3], 5.0 [MQTT-4.7.1-2]).
 */
static bool wildcards_placed(struct span f)
{
	for (size_t i = 0; i < f.len; i++) {
		uint8_t c = f.p[i];

		if (c == 0) /* [MQTT-4.7.3-2] */
			return false;
		if (c != '+' && c != '#')
			continue;
		if (i > 0 && f.p[i - 1] != '/')
			return false;
		if (i + 1 < f.len && (c == '#' || f.p[i + 1] != '/'))
			return false;
	}
	return true;
}

bool mqtt_filter_shared(struct span filter, struct span *group, struct span *rest)
{
	const size_t at = sizeof("$share/") - 1;
	size_t end = at;

	if (filter.len > MQTT_STRING_MAX || !mqtt_filter_is_share(filter))
		return false;
	while (end < filter.len && filter.p[end] != '/') {
		uint8_t c = filter.p[end++];

		if (c == '+' || c == '#' || c == 0) /* [MQTT-4.8.2-2] */
			return false;
	}
	/* A group of one character or more [MQTT-4.8.2-1], a slash, and a filter that is not empty. */
	if (end == at || filter.len - end < 2)
		return false;
	*group = span_of(filter.p + at, end - at);
	*rest = span_of(filter.p + end + 1, filter.len - end - 1);
	return wildcards_placed(*rest);
}

int mqtt_filter_check(struct span filter)
{
	struct span group, rest;

	if (filter.len == 0 || filter.len > MQTT_STRING_MAX) /* [MQTT-4.7.3-1], [MQTT-4.7.3-3] */
		return ERR_MALFORMED;
	if (!wildcards_placed(filter))
		return ERR_MALFORMED;
	if (mqtt_filter_is_share(filter) && !mqtt_filter_shared(filter, &group, &rest))
		return ERR_PROTOCOL;
	return OK;
}

bool mqtt_filter_valid(struct span filter)
{
	return mqtt_filter_check(filter) == OK;
}

/* Bytes are compared as they are [MQTT-4.7.3-4]. */
bool mqtt_filter_matches(struct span filter, struct span topic)
{
	const uint8_t *f = filter.p, *t = topic.p;
	size_t i = 0, j = 0;

	if (filter.len == 0 || topic.len == 0)
		return false;
	if (t[0] == '$' && (f[0] == '+' || f[0] == '#')) /* [MQTT-4.7.2-1] */
		return false;
	while (i < filter.len) {
		if (f[i] == '#')
			return true;
		if (f[i] == '+') {
			while (j < topic.len && t[j] != '/')
				j++;
			i++;
		} else {
			while (i < filter.len && j < topic.len && f[i] == t[j] && f[i] != '/')
				i++, j++;
		}
		if (i == filter.len)
			return j == topic.len;
		if (f[i] != '/')
			return false;
		/* # stands for the parent level too: a/# matches a (4.7.1.2) */
		if (j == topic.len)
			return filter.len - i == 2 && f[i + 1] == '#';
		if (t[j] != '/')
			return false;
		i++, j++;
	}
	return j == topic.len; /* the last level of the filter is empty */
}

size_t mqtt_topic_levels(struct span topic)
{
	size_t n = 1;

	for (size_t i = 0; i < topic.len; i++)
		n += topic.p[i] == '/';
	return n;
}
