/* Properties: 5.0, 2.2.2. Everything about a property comes from MQTT_PROP_TABLE. */
#include <assert.h>

#include "wire/mqtt_codec.h"

static_assert(MQTT_PROPS <= 32, "struct mqtt_props keeps one bit for each");

struct prop_info {
	const char *name;
	uint32_t in;
	uint8_t id;
	uint8_t kind;
};

static const struct prop_info infos[MQTT_PROPS] = {
#define PROP_AS_INFO(prop, ident, type, packets) \
	[MQTT_P_##prop] = {.name = #prop, .in = (packets), .id = (ident), .kind = MQTT_PROP_##type},
	MQTT_PROP_TABLE(PROP_AS_INFO)
#undef PROP_AS_INFO
};

/* Identifier to index + 1; 0 for none. All identifiers are below 128, so their variable byte integer is one byte. */
static const uint8_t index_of[128] = {
#define PROP_AS_LOOKUP(prop, ident, type, packets) [ident] = MQTT_P_##prop + 1,
	MQTT_PROP_TABLE(PROP_AS_LOOKUP)
#undef PROP_AS_LOOKUP
};

const char *mqtt_prop_name(enum mqtt_prop id)
{
	return infos[id].name;
}

uint8_t mqtt_prop_id(enum mqtt_prop id)
{
	return infos[id].id;
}

enum mqtt_prop_kind mqtt_prop_kind(enum mqtt_prop id)
{
	return infos[id].kind;
}

/* One property by its shape; false when it is cut short or unknown. Text is not looked at. */
static bool item_take(struct rd *r, struct mqtt_prop_item *item)
{
	const uint8_t *start = r->p;
	uint8_t id = rd_u8(r);

	if (r->bad || id >= sizeof(index_of) || index_of[id] == 0)
		return false;
	item->id = (enum mqtt_prop)(index_of[id] - 1);
	item->num = 0;
	item->str = item->value = span_of(NULL, 0);
	switch ((enum mqtt_prop_kind)infos[item->id].kind) {
	case MQTT_PROP_U8:
		item->num = rd_u8(r);
		break;
	case MQTT_PROP_U16:
		item->num = rd_u16be(r);
		break;
	case MQTT_PROP_U32:
		item->num = rd_u32be(r);
		break;
	case MQTT_PROP_VARINT:
		if (!mqtt_varint_take(r, &item->num))
			return false;
		break;
	case MQTT_PROP_PAIR:
		item->str = mqtt_binary_take(r);
		item->value = mqtt_binary_take(r);
		break;
	case MQTT_PROP_STRING:
	case MQTT_PROP_BINARY:
		item->str = mqtt_binary_take(r);
		break;
	}
	item->whole = span_of(start, (size_t)(r->p - start));
	return !r->bad;
}

bool mqtt_props_next(struct rd *raw, struct mqtt_prop_item *item)
{
	return raw->left > 0 && item_take(raw, item);
}

/* Values that the standard calls protocol errors. */
static bool number_ok(enum mqtt_prop id, uint32_t v)
{
	switch (id) {
	case MQTT_P_SUBSCRIPTION_ID:     /* 3.8.2.1.2, 3.3.2.3.8 */
	case MQTT_P_RECEIVE_MAXIMUM:     /* 3.1.2.11.3, 3.2.2.3.3 */
	case MQTT_P_MAXIMUM_PACKET_SIZE: /* 3.1.2.11.4, 3.2.2.3.6 */
	case MQTT_P_TOPIC_ALIAS:         /* [MQTT-3.3.2-8] */
		return v != 0;
	default:
		/* Every property of one byte is a 0 or 1: 3.1.2.11.6, .7, 3.2.2.3.4, .5, .11, .12, .13, 3.3.2.3.2 */
		return infos[id].kind != MQTT_PROP_U8 || v <= 1;
	}
}

static int text_check(const struct mqtt_prop_item *item)
{
	enum mqtt_text text;

	switch (infos[item->id].kind) {
	case MQTT_PROP_PAIR:
		/* [MQTT-1.5.7-1] */
		return mqtt_utf8_valid(item->str) && mqtt_utf8_valid(item->value) ? OK : ERR_MALFORMED;
	case MQTT_PROP_STRING:
		text = mqtt_text_scan(item->str.p, item->str.len);
		if (text == MQTT_TEXT_BAD) /* [MQTT-3.3.2-13], [MQTT-3.3.2-19] */
			return ERR_MALFORMED;
		/* It is a topic name: no wildcards [MQTT-3.3.2-14], not empty [MQTT-4.7.3-1]. */
		if (item->id == MQTT_P_RESPONSE_TOPIC && (text == MQTT_TEXT_WILD || item->str.len == 0))
			return ERR_PROTOCOL;
		return OK;
	default:
		return OK;
	}
}

/* May it be there more than once? 2.2.2.2; for PUBLISH 3.3.2.3.8 */
static bool repeatable(enum mqtt_prop id, unsigned in)
{
	return id == MQTT_P_USER_PROPERTY || (id == MQTT_P_SUBSCRIPTION_ID && in == MQTT_IN(PUBLISH));
}

static int prop_decode(struct rd *list, unsigned in, struct mqtt_props *out)
{
	struct mqtt_prop_item item;
	int rc;

	/* Unknown, or not for this packet: malformed by 2.2.2.2 */
	if (!item_take(list, &item) || !(infos[item.id].in & in))
		return ERR_MALFORMED;
	if ((rc = text_check(&item)) < 0)
		return rc;
	if (!number_ok(item.id, item.num))
		return ERR_PROTOCOL;
	if (mqtt_props_has(out, item.id))
		return repeatable(item.id, in) ? OK : ERR_PROTOCOL;
	out->has |= 1u << item.id;
	if (infos[item.id].kind <= MQTT_PROP_VARINT)
		out->num[item.id] = item.num;
	else
		out->str[item.id] = item.str;
	return OK;
}

/* No data without a method: 3.1.2.11.10, and the same for CONNACK and AUTH. */
static bool auth_ok(const struct mqtt_props *p)
{
	return !mqtt_props_has(p, MQTT_P_AUTH_DATA) || mqtt_props_has(p, MQTT_P_AUTH_METHOD);
}

int mqtt_props_list_decode(struct rd *list, unsigned in, struct mqtt_props *out)
{
	int rc;

	mqtt_props_clear(out);
	if (list->left == 0)
		return OK;
	out->raw = span_of(list->p, list->left);
	while (list->left > 0)
		if ((rc = prop_decode(list, in, out)) < 0)
			return rc;
	return auth_ok(out) ? OK : ERR_PROTOCOL;
}

int mqtt_props_decode(struct rd *r, unsigned in, struct mqtt_props *out)
{
	uint32_t len;
	struct rd list;

	mqtt_props_clear(out);
	if (!mqtt_varint_take(r, &len) || len > r->left)
		return ERR_MALFORMED;
	list = rd_of(r->p, len);
	(void)rd_span(r, len);
	return mqtt_props_list_decode(&list, in, out);
}

/* Bytes of one property with its identifier; 0 when it cannot be told in MQTT. */
static size_t item_size(const struct mqtt_props *p, enum mqtt_prop id)
{
	uint32_t v = p->num[id];

	switch ((enum mqtt_prop_kind)infos[id].kind) {
	case MQTT_PROP_U8:
		return number_ok(id, v) ? 2 : 0;
	case MQTT_PROP_U16:
		return v <= UINT16_MAX && number_ok(id, v) ? 3 : 0;
	case MQTT_PROP_U32:
		return number_ok(id, v) ? 5 : 0;
	case MQTT_PROP_VARINT:
		return v <= MQTT_REMAINING_MAX && number_ok(id, v) ? 1 + mqtt_varint_size(v) : 0;
	default:
		return p->str[id].len <= MQTT_STRING_MAX ? 3 + p->str[id].len : 0;
	}
}

/* What is encoded from has, num and str: user properties travel in `user`. */
static uint32_t encoded_bits(const struct mqtt_props *p)
{
	return p->has & ~(1u << MQTT_P_USER_PROPERTY);
}

static enum mqtt_prop lowest(uint32_t bits)
{
	return (enum mqtt_prop)__builtin_ctz(bits);
}

int mqtt_props_measure(const struct mqtt_props *p, unsigned in, size_t *len)
{
	*len = 0;
	if (!p)
		return OK;
	for (uint32_t bits = encoded_bits(p); bits; bits &= bits - 1) {
		enum mqtt_prop id = lowest(bits);
		size_t n = infos[id].in & in ? item_size(p, id) : 0;

		if (n == 0)
			return ERR_RANGE;
		*len += n;
	}
	if (p->user.len > MQTT_REMAINING_MAX || !auth_ok(p))
		return ERR_RANGE;
	*len += p->user.len;
	return *len <= MQTT_REMAINING_MAX ? OK : ERR_RANGE;
}

static void item_write(struct wr *w, const struct mqtt_props *p, enum mqtt_prop id)
{
	wr_u8(w, infos[id].id);
	switch ((enum mqtt_prop_kind)infos[id].kind) {
	case MQTT_PROP_U8:
		wr_u8(w, (uint8_t)p->num[id]);
		break;
	case MQTT_PROP_U16:
		wr_u16be(w, (uint16_t)p->num[id]);
		break;
	case MQTT_PROP_U32:
		wr_u32be(w, p->num[id]);
		break;
	case MQTT_PROP_VARINT:
		mqtt_varint_write(w, p->num[id]);
		break;
	case MQTT_PROP_STRING:
	case MQTT_PROP_BINARY:
	case MQTT_PROP_PAIR:
		mqtt_string_write(w, p->str[id]);
		break;
	}
}

void mqtt_props_write(struct wr *w, const struct mqtt_props *p, size_t len)
{
	mqtt_varint_write(w, len); /* also 0 [MQTT-2.2.2-1] */
	if (p && len > 0)
		mqtt_props_list_write(w, p);
}

void mqtt_props_list_write(struct wr *w, const struct mqtt_props *p)
{
	for (uint32_t bits = encoded_bits(p); bits; bits &= bits - 1)
		item_write(w, p, lowest(bits));
	wr_span(w, p->user);
}
