#include "wire/mqtt_forward.h"

#include "wire/mqtt_codec.h"

#define BIT(prop) (1u << MQTT_P_##prop)
#define PASSED_ON                                                                                \
	(BIT(PAYLOAD_FORMAT) | BIT(CONTENT_TYPE) | BIT(RESPONSE_TOPIC) | BIT(CORRELATION_DATA) | \
	 BIT(USER_PROPERTY))

bool mqtt_passed_on_whole(const struct mqtt_props *decoded, struct span *out)
{
	*out = decoded->raw;
	return (decoded->has & ~PASSED_ON) == 0;
}

int mqtt_passed_on_write(struct wr *w, const struct mqtt_props *p)
{
	struct mqtt_prop_item item;
	struct rd raw = rd_of(p->raw.p, p->raw.len);
	struct mqtt_props only;
	size_t len;

	if (p->raw.len > 0) {
		while (mqtt_props_next(&raw, &item))
			if (PASSED_ON >> item.id & 1)
				wr_span(w, item.whole);
		return w->bad ? ERR_FULL : OK;
	}
	only = *p;
	only.has &= PASSED_ON;
	if (mqtt_props_measure(&only, MQTT_IN(PUBLISH), &len) < 0)
		return ERR_RANGE;
	if (w->left < len)
		return ERR_FULL;
	mqtt_props_list_write(w, &only);
	return OK;
}

int mqtt_passed_on_read(struct span encoded, struct mqtt_props *out)
{
	struct rd list = rd_of(encoded.p, encoded.len);

	return mqtt_props_list_decode(&list, MQTT_IN(PUBLISH), out);
}

static size_t props_size(const struct mqtt_forward *f)
{
	size_t n = f->props.len + (f->has_expiry ? 5 : 0) + (f->alias ? 3 : 0);

	for (uint32_t i = 0; i < f->nids; i++)
		n += 1 + mqtt_varint_size(f->ids[i]);
	return n;
}

/* What follows the fixed header up to the payload. */
static size_t variable_size(enum mqtt_version v, const struct mqtt_forward *f)
{
	size_t n = 2 + f->topic.len + (f->qos ? 2 : 0);

	if (v == MQTT_V5) {
		size_t props = props_size(f);

		n += mqtt_varint_size(props) + props;
	}
	return n;
}

size_t mqtt_forward_size(enum mqtt_version v, const struct mqtt_forward *f, size_t *head)
{
	size_t variable = variable_size(v, f);
	size_t remaining = variable + f->payload_len;

	if (remaining > MQTT_REMAINING_MAX)
		return 0;
	*head = 1 + mqtt_varint_size(remaining) + variable;
	return *head + f->payload_len;
}

static uint8_t *put_span(uint8_t *at, struct span s)
{
	memcpy(at, s.p, s.len);
	return at + s.len;
}

static uint8_t *props_put(uint8_t *at, const struct mqtt_forward *f)
{
	at = mqtt_varint_put(at, props_size(f));
	if (f->has_expiry) {
		*at++ = mqtt_prop_id(MQTT_P_MESSAGE_EXPIRY);
		put_u32be(at, f->expiry_s);
		at += 4;
	}
	if (f->props.len)
		at = put_span(at, f->props);
	for (uint32_t i = 0; i < f->nids; i++) {
		*at++ = mqtt_prop_id(MQTT_P_SUBSCRIPTION_ID);
		at = mqtt_varint_put(at, f->ids[i]);
	}
	if (f->alias) {
		*at++ = mqtt_prop_id(MQTT_P_TOPIC_ALIAS);
		put_u16be(at, f->alias);
		at += 2;
	}
	return at;
}

uint8_t *mqtt_forward_write(uint8_t *at, enum mqtt_version v, const struct mqtt_forward *f)
{
	*at++ = (uint8_t)(MQTT_PUBLISH << 4 | f->dup << 3 | f->qos << 1 | f->retain);
	at = mqtt_varint_put(at, variable_size(v, f) + f->payload_len);
	put_u16be(at, (uint16_t)f->topic.len);
	at += 2;
	if (f->topic.len)
		at = put_span(at, f->topic);
	if (f->qos) { /* 3.1.1 [MQTT-2.3.1-5], 5.0 [MQTT-2.2.1-2] */
		put_u16be(at, f->packet_id);
		at += 2;
	}
	return v == MQTT_V5 ? props_put(at, f) : at;
}
