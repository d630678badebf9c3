/*
 * Topics on their way through an uplink: which of its filters takes a message, and what its topic becomes on the other side. Pure.
 *
 *   strip      is taken off the front of the topic; a topic that does not begin with it stays as it is
 *   prefix     is put in front of what is left
 *   template   takes the place of both: text with {topic}, the whole topic; {1}..{8}, one of its levels; {2+}, that level and
 *              all behind it
 */
#ifndef UPLINKS_REMAP_H
#define UPLINKS_REMAP_H

#include "base/bytes.h"
#include "base/err.h"
#include "config/gateway_config.h"

#define REMAP_TOPIC_MAX 65535u

/* The first of `n` whose filter matches, or NULL. */
const struct config_uplink_map *remap_find(const struct config_uplink_map *maps, size_t n, struct span topic);

/*
 * The topic on the other side, in `buf` of REMAP_TOPIC_MAX bytes. OK with *out; ERR_RANGE: the template asks for a level that the
 * topic has not; ERR_TOPIC: what comes out is no topic.
 */
MUST_USE int remap_topic(const struct config_uplink_map *map, struct span topic, uint8_t *buf,
			 struct span *out);

#endif
