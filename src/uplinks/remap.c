#include "uplinks/remap.h"

#include "wire/mqtt.h"

const struct config_uplink_map *remap_find(const struct config_uplink_map *maps, size_t n, struct span topic)
{
	for (size_t i = 0; i < n; i++)
		if (mqtt_filter_matches(span_str(maps[i].filter), topic))
			return &maps[i];
	return NULL;
}

/* From level `n` (from 1) on: that one, or all behind it, too. ERR_RANGE: there are fewer. */
static int level_of(struct span topic, unsigned n, bool and_rest, struct span *out)
{
	const uint8_t *at = topic.p, *end = topic.p + topic.len, *slash;

	for (; n > 1; n--) {
		slash = memchr(at, '/', (size_t)(end - at));
		if (!slash)
			return ERR_RANGE;
		at = slash + 1;
	}
	slash = and_rest ? NULL : memchr(at, '/', (size_t)(end - at));
	*out = span_of(at, (size_t)((slash ? slash : end) - at));
	return OK;
}

/* What stands for the braces at *text, which moves behind them. */
static int placeholder(const char **text, struct span topic, struct span *out)
{
	const char *name = *text + 1, *close = strchr(name, '}');

	*text = close + 1;
	if (*name == 't') {
		*out = topic;
		return OK;
	}
	return level_of(topic, (unsigned)(*name - '0'), name[1] == '+', out);
}

static int fill_template(const char *text, struct span topic, struct wr *w)
{
	struct span part;
	int rc;

	while (*text) {
		if (*text == '{') {
			if ((rc = placeholder(&text, topic, &part)) < 0)
				return rc;
		} else {
			part = span_of(text, strcspn(text, "{"));
			text += part.len;
		}
		wr_span(w, part);
	}
	return OK;
}

static struct span stripped(const char *strip, struct span topic)
{
	size_t n = strip ? strlen(strip) : 0;

	if (n > topic.len || (n && memcmp(topic.p, strip, n) != 0))
		return topic;
	return span_of(topic.p + n, topic.len - n);
}

int remap_topic(const struct config_uplink_map *map, struct span topic, uint8_t *buf, struct span *out)
{
	struct wr w = wr_of(buf, REMAP_TOPIC_MAX);
	int rc;

	if (map->template) {
		if ((rc = fill_template(map->template, topic, &w)) < 0)
			return rc;
	} else {
		if (map->prefix)
			wr_span(&w, span_str(map->prefix));
		wr_span(&w, stripped(map->strip, topic));
	}
	*out = span_of(buf, (size_t)(w.p - buf));
	return w.bad || !mqtt_topic_valid(*out) ? ERR_TOPIC : OK;
}
