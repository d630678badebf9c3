/* SUBSCRIBE, UNSUBSCRIBE and their answers: 3.8 to 3.11. */
#include <assert.h>

#include "wire/mqtt_codec.h"

enum {
	OPTION_QOS = 0x03,
	OPTION_NO_LOCAL = 0x04,
	OPTION_RETAIN_AS_PUBLISHED = 0x08,
	OPTION_RETAIN_HANDLING_SHIFT = 4,
	OPTIONS_RESERVED_V5 = 0xC0,
	OPTIONS_RESERVED_V311 = 0xFC,
	V3_FAILURE = 0x80,
};

/* Packet identifier and, in 5.0, properties: how all four begin. */
static int head_decode(const struct mqtt_frame *f, enum mqtt_version v, struct rd *r, uint16_t *packet_id,
		       struct mqtt_props *props)
{
	mqtt_props_clear(props);
	*packet_id = rd_u16be(r);
	if (r->bad || !mqtt_flags_ok(f, v))
		return ERR_MALFORMED;
	if (*packet_id == 0) /* 3.1.1 [MQTT-2.3.1-1], 5.0 [MQTT-2.2.1-3] */
		return ERR_MALFORMED;
	return v == MQTT_V5 ? mqtt_props_decode(r, 1u << f->type, props) : OK;
}

static int filter_take(struct rd *r, struct span *filter)
{
	int rc = mqtt_string_take(r, filter); /* [MQTT-3.8.3-1], [MQTT-3.10.3-1] */

	return rc < 0 ? rc : mqtt_filter_check(*filter);
}

static int options_check(uint8_t options, enum mqtt_version v, struct span filter)
{
	if (v == MQTT_V5) {
		if (options & OPTIONS_RESERVED_V5) /* [MQTT-3.8.3-5] */
			return ERR_MALFORMED;
		if ((options & OPTION_QOS) == 3 || options >> OPTION_RETAIN_HANDLING_SHIFT == 3) /* 3.8.3.1 */
			return ERR_PROTOCOL;
		if ((options & OPTION_NO_LOCAL) && mqtt_filter_is_share(filter)) /* [MQTT-3.8.3-4] */
			return ERR_PROTOCOL;
		return OK;
	}
	if ((options & OPTION_QOS) == 3) /* 3.1.1 [MQTT-3-8.3-4] */
		return ERR_MALFORMED;
	return v == MQTT_V311 && (options & OPTIONS_RESERVED_V311) ? ERR_MALFORMED : OK;
}

int mqtt_subscribe_decode(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_subscribe *out)
{
	struct rd r = rd_of(f->body, f->body_len);
	struct span filter;
	uint8_t options;
	int rc;

	assert(f->type == MQTT_SUBSCRIBE);
	if ((rc = head_decode(f, v, &r, &out->packet_id, &out->props)) < 0)
		return rc;
	out->filters = span_of(r.p, r.left);
	for (out->count = 0; r.left > 0; out->count++) {
		if ((rc = filter_take(&r, &filter)) < 0)
			return rc;
		options = rd_u8(&r);
		if (r.bad)
			return ERR_MALFORMED;
		if ((rc = options_check(options, v, filter)) < 0)
			return rc;
	}
	return out->count > 0 ? OK : ERR_PROTOCOL; /* 3.1.1 [MQTT-3.8.3-3], 5.0 [MQTT-3.8.3-2] */
}

int mqtt_unsubscribe_decode(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_unsubscribe *out)
{
	struct rd r = rd_of(f->body, f->body_len);
	struct span filter;
	int rc;

	assert(f->type == MQTT_UNSUBSCRIBE);
	if ((rc = head_decode(f, v, &r, &out->packet_id, &out->props)) < 0)
		return rc;
	out->filters = span_of(r.p, r.left);
	for (out->count = 0; r.left > 0; out->count++)
		if ((rc = filter_take(&r, &filter)) < 0)
			return rc;
	return out->count > 0 ? OK : ERR_PROTOCOL; /* [MQTT-3.10.3-2] */
}

bool mqtt_subscribe_next(struct rd *list, enum mqtt_version v, struct mqtt_sub_item *item)
{
	uint8_t options;

	if (list->left == 0)
		return false;
	item->filter = mqtt_binary_take(list);
	options = rd_u8(list);
	item->qos = options & OPTION_QOS;
	item->no_local = v == MQTT_V5 && (options & OPTION_NO_LOCAL);
	item->retain_as_published = v == MQTT_V5 && (options & OPTION_RETAIN_AS_PUBLISHED);
	item->retain_handling = v == MQTT_V5 ? options >> OPTION_RETAIN_HANDLING_SHIFT & 3 : 0;
	return !list->bad;
}

bool mqtt_unsubscribe_next(struct rd *list, struct span *filter)
{
	if (list->left == 0)
		return false;
	*filter = mqtt_binary_take(list);
	return !list->bad;
}

static bool code_ok(enum mqtt_type type, enum mqtt_version v, uint8_t code)
{
	if (v == MQTT_V5)
		return mqtt_reason_allowed(type, code);
	return code <= 2 || code == V3_FAILURE; /* [MQTT-3.9.3-2]; 3.1 servers answer 0x80 too */
}

int mqtt_suback_decode(const struct mqtt_frame *f, enum mqtt_version v, struct mqtt_suback *out)
{
	struct rd r = rd_of(f->body, f->body_len);
	int rc;

	assert(f->type == MQTT_SUBACK || f->type == MQTT_UNSUBACK);
	if ((rc = head_decode(f, v, &r, &out->packet_id, &out->props)) < 0)
		return rc;
	out->codes = span_of(r.p, r.left);
	if (f->type == MQTT_UNSUBACK && v != MQTT_V5) /* 3.1.1, 3.11.3: no payload */
		return r.left == 0 ? OK : ERR_MALFORMED;
	for (size_t i = 0; i < out->codes.len; i++)
		if (!code_ok(f->type, v, out->codes.p[i]))
			return ERR_PROTOCOL;
	return out->codes.len > 0 ? OK : ERR_PROTOCOL; /* one for each filter, and there is a filter */
}

/* Fixed header, packet identifier and properties of all four; `payload` bytes follow. */
static int head_encode(struct wr *w, enum mqtt_version v, enum mqtt_type type, uint16_t packet_id,
		       const struct mqtt_props *props, size_t payload)
{
	uint8_t flags = type == MQTT_SUBSCRIBE || type == MQTT_UNSUBSCRIBE ? 0x02 : 0x00;
	size_t list = 0;
	int rc;

	if (packet_id == 0 || payload > MQTT_REMAINING_MAX)
		return ERR_RANGE;
	if (v == MQTT_V5 && (rc = mqtt_props_measure(props, 1u << type, &list)) < 0)
		return rc;
	if ((rc = mqtt_packet_begin(w, (uint8_t)(type << 4 | flags),
				    2 + mqtt_props_room(v, list) + payload)) < 0)
		return rc;
	wr_u16be(w, packet_id);
	if (v == MQTT_V5)
		mqtt_props_write(w, props, list);
	return OK;
}

static bool item_sane(const struct mqtt_sub_item *item, enum mqtt_version v)
{
	if (item->filter.len == 0 || item->filter.len > MQTT_STRING_MAX || item->qos > 2)
		return false;
	return v != MQTT_V5 ||
	       (item->retain_handling <= 2 && !(item->no_local && mqtt_filter_is_share(item->filter)));
}

static uint8_t options_of(const struct mqtt_sub_item *item, enum mqtt_version v)
{
	if (v != MQTT_V5)
		return item->qos;
	return (uint8_t)(item->qos | (item->no_local ? OPTION_NO_LOCAL : 0) |
			 (item->retain_as_published ? OPTION_RETAIN_AS_PUBLISHED : 0) |
			 item->retain_handling << OPTION_RETAIN_HANDLING_SHIFT);
}

int mqtt_subscribe_encode(struct wr *w, enum mqtt_version v, uint16_t packet_id,
			  const struct mqtt_props *props, const struct mqtt_sub_item *items, size_t count)
{
	size_t payload = 0;
	int rc;

	if (count == 0)
		return ERR_RANGE;
	for (size_t i = 0; i < count; i++) {
		if (!item_sane(&items[i], v))
			return ERR_RANGE;
		payload += 2 + items[i].filter.len + 1;
	}
	if ((rc = head_encode(w, v, MQTT_SUBSCRIBE, packet_id, props, payload)) < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		mqtt_string_write(w, items[i].filter);
		wr_u8(w, options_of(&items[i], v));
	}
	return OK;
}

int mqtt_unsubscribe_encode(struct wr *w, enum mqtt_version v, uint16_t packet_id,
			    const struct mqtt_props *props, const struct span *filters, size_t count)
{
	size_t payload = 0;
	int rc;

	if (count == 0)
		return ERR_RANGE;
	for (size_t i = 0; i < count; i++) {
		if (filters[i].len == 0 || filters[i].len > MQTT_STRING_MAX)
			return ERR_RANGE;
		payload += 2 + filters[i].len;
	}
	if ((rc = head_encode(w, v, MQTT_UNSUBSCRIBE, packet_id, props, payload)) < 0)
		return rc;
	for (size_t i = 0; i < count; i++)
		mqtt_string_write(w, filters[i]);
	return OK;
}

size_t mqtt_suback_size(size_t ncodes)
{
	size_t body = 2 + mqtt_props_room(MQTT_V5, 0) + ncodes;

	return 1 + mqtt_varint_size(body) + body;
}

int mqtt_suback_encode(struct wr *w, enum mqtt_version v, enum mqtt_type type, const struct mqtt_suback *p)
{
	bool bare = type == MQTT_UNSUBACK && v != MQTT_V5; /* 3.1.1, 3.11.3: no payload */
	int rc;

	assert(type == MQTT_SUBACK || type == MQTT_UNSUBACK);
	if (!bare && p->codes.len == 0)
		return ERR_RANGE;
	for (size_t i = 0; !bare && i < p->codes.len; i++)
		if (!code_ok(type, v, p->codes.p[i]) && (v == MQTT_V5 || p->codes.p[i] < V3_FAILURE))
			return ERR_RANGE;
	if ((rc = head_encode(w, v, type, p->packet_id, &p->props, bare ? 0 : p->codes.len)) < 0)
		return rc;
	for (size_t i = 0; !bare && i < p->codes.len; i++) /* below 5.0 every failure is 0x80 */
		wr_u8(w, v != MQTT_V5 && p->codes.p[i] > V3_FAILURE ? V3_FAILURE : p->codes.p[i]);
	return OK;
}
