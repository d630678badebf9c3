#include "tools/mqtt_trace.h"

#include <stdio.h>

static void publish_details(enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_publish p;

	if (mqtt_publish_decode(f, v, &p) == OK)
		printf(" (d%d, q%d, r%d, m%u, '%.*s', ... (%zu bytes))", p.dup, p.qos, p.retain, p.packet_id,
		       (int)p.topic.len, (const char *)p.topic.p, p.payload.len);
}

static void ack_details(enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_ack a;

	if (mqtt_ack_decode(f, v, &a) == OK)
		printf(" (m%u, rc%u)", a.packet_id, a.reason);
}

static void subscribe_details(enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_sub_item item;
	struct mqtt_subscribe s;

	if (mqtt_subscribe_decode(f, v, &s) < 0)
		return;
	struct rd r = rd_of(s.filters.p, s.filters.len);

	printf(" (m%u", s.packet_id);
	while (mqtt_subscribe_next(&r, v, &item))
		printf(", '%.*s' q%u", (int)item.filter.len, (const char *)item.filter.p, item.qos);
	printf(")");
}

static void unsubscribe_details(enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_unsubscribe u;
	struct span filter;

	if (mqtt_unsubscribe_decode(f, v, &u) < 0)
		return;
	struct rd r = rd_of(u.filters.p, u.filters.len);

	printf(" (m%u", u.packet_id);
	while (mqtt_unsubscribe_next(&r, &filter))
		printf(", '%.*s'", (int)filter.len, (const char *)filter.p);
	printf(")");
}

static void suback_details(enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_suback a;

	if (mqtt_suback_decode(f, v, &a) < 0)
		return;
	printf(" (m%u", a.packet_id);
	for (size_t i = 0; i < a.codes.len; i++)
		printf(", %u", a.codes.p[i]);
	printf(")");
}

static void reason_details(enum mqtt_version v, const struct mqtt_frame *f)
{
	struct mqtt_disconnect d;
	struct mqtt_connack c;

	if (f->type == MQTT_CONNACK && mqtt_connack_decode(f, v, &c) == OK)
		printf(" (%u)", c.reason);
	if (f->type == MQTT_DISCONNECT && mqtt_disconnect_decode(f, v, &d) == OK && d.reason)
		printf(" (%u)", d.reason);
}

static void details(enum mqtt_version v, const struct mqtt_frame *f)
{
	switch (f->type) {
	case MQTT_PUBLISH:
		publish_details(v, f);
		break;
	case MQTT_PUBACK:
	case MQTT_PUBREC:
	case MQTT_PUBREL:
	case MQTT_PUBCOMP:
		ack_details(v, f);
		break;
	case MQTT_SUBSCRIBE:
		subscribe_details(v, f);
		break;
	case MQTT_UNSUBSCRIBE:
		unsubscribe_details(v, f);
		break;
	case MQTT_SUBACK:
	case MQTT_UNSUBACK:
		suback_details(v, f);
		break;
	default:
		reason_details(v, f);
	}
}

void mqtt_trace(const char *id, enum mqtt_version v, bool is_sent, const struct mqtt_frame *f)
{
	printf("Client %s %s %s", id, is_sent ? "sending" : "received", mqtt_type_text(f->type));
	details(v, f);
	printf("\n");
	fflush(stdout);
}
