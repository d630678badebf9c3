#include <stdio.h>
#include <string.h>

#include "publisher.h"

#define EXPIRY_S 3600u
#define BURST    50.0 /* what may be caught up after a pause */

static uint16_t packet_id(uint64_t at)
{
	return (uint16_t)(at % MQTT_PACKET_IDS + 1);
}

static struct publisher_slot *slot(struct publisher *p, uint64_t at)
{
	return &p->slots[at % PUBLISHER_WINDOW];
}

static void greet(void *owner, struct mqtt_connect *c)
{
	const struct publisher *p = owner;

	c->clean_start = !p->is_persistent;
	if (p->is_persistent && c->version == MQTT_V5)
		mqtt_props_set_num(&c->props, MQTT_P_SESSION_EXPIRY, EXPIRY_S);
}

static void send_publish(struct publisher *p, uint64_t at, bool dup)
{
	static uint8_t payload[LEDGER_PAYLOAD_MAX];
	uint64_t number = slot(p, at)->number;
	unsigned topic = ledger_topic_of(number);
	char name[32];
	struct mqtt_publish m = {.dup = dup,
				 .retain = topic < LEDGER_RETAINED,
				 .qos = (uint8_t)p->qos,
				 .packet_id = packet_id(at)};
	struct wr w;

	ledger_topic(name, p->index, topic);
	m.topic = span_str(name);
	m.payload = span_of(payload, ledger_payload(payload, p->index, number));
	mqtt_props_clear(&m.props);
	w = link_room(&p->link, m.payload.len + sizeof(name) + 16);
	if (mqtt_publish_encode(&w, p->link.version, &m) == OK)
		link_wrote(&p->link, &w);
}

static void forget_done(struct publisher *p)
{
	while (p->base < p->next && slot(p, p->base)->state == SLOT_DONE)
		p->base++;
}

static void send_again(struct publisher *p)
{
	for (uint64_t at = p->base; at < p->next; at++) {
		if (slot(p, at)->state == SLOT_SENT)
			send_publish(p, at, true);
		else if (slot(p, at)->state == SLOT_RELEASED)
			link_ack(&p->link, MQTT_PUBREL, packet_id(at));
		p->ledger->resent += slot(p, at)->state != SLOT_DONE;
	}
}

static void opened(void *owner, bool session_present)
{
	struct publisher *p = owner;
	bool is_lost = p->had_session && !session_present;

	if (is_lost)
		ledger_fault(p->ledger, LEDGER_SESSION, p->link.client_id, p->index, p->next);
	p->had_session = p->is_persistent;
	if (p->qos == 2 && !session_present)
		p->base = p->next;
	else
		send_again(p);
}

static void closed(void *owner)
{
	(void)owner;
}

/* The message that an acknowledgement is of; NULL: none. */
static struct publisher_slot *find(struct publisher *p, uint16_t id)
{
	for (uint64_t at = p->base; at < p->next; at++) {
		if (packet_id(at) == id)
			return slot(p, at)->state == SLOT_DONE ? NULL : slot(p, at);
	}
	return NULL;
}

/* PUBACK and PUBREC come in the order of the messages (5.0, 4.6). */
static bool is_first_sent(struct publisher *p, const struct publisher_slot *s)
{
	uint64_t at = p->base;

	while (at < p->next && slot(p, at)->state != SLOT_SENT)
		at++;
	return at < p->next && slot(p, at) == s;
}

static void taken(struct publisher *p, struct publisher_slot *s, uint8_t reason)
{
	if (s->state != SLOT_SENT)
		return; /* PUBREC again */
	if (!is_first_sent(p, s))
		ledger_fault(p->ledger, LEDGER_ACK_ORDER, p->link.client_id, p->index, s->number);
	if (reason >= 0x80) {
		ledger_fault(p->ledger, LEDGER_REFUSED, p->link.client_id, p->index, s->number);
		s->state = SLOT_DONE;
		return;
	}
	ledger_ack(p->ledger, p->index, s->number);
	s->state = p->qos == 1 ? SLOT_DONE : SLOT_RELEASED;
}

static void packet(void *owner, const struct mqtt_frame *f)
{
	struct publisher *p = owner;
	struct publisher_slot *s;
	struct mqtt_ack ack;

	if ((f->type != MQTT_PUBACK && f->type != MQTT_PUBREC && f->type != MQTT_PUBCOMP) ||
	    mqtt_ack_decode(f, p->link.version, &ack) < 0 || !(s = find(p, ack.packet_id)) ||
	    (f->type == MQTT_PUBACK) != (p->qos == 1) ||
	    (f->type == MQTT_PUBCOMP && s->state != SLOT_RELEASED)) {
		ledger_fault(p->ledger, LEDGER_STRANGE, p->link.client_id, p->index, f->type);
		return;
	}
	if (f->type == MQTT_PUBCOMP)
		s->state = SLOT_DONE;
	else
		taken(p, s, ack.reason);
	if (f->type == MQTT_PUBREC && s->state == SLOT_RELEASED)
		link_ack(&p->link, MQTT_PUBREL, ack.packet_id);
	forget_done(p);
}

static const struct link_ops ops = {.greet = greet, .opened = opened, .packet = packet, .closed = closed};

void publisher_init(struct publisher *p, struct ledger *g, unsigned index, uint16_t port, double rate)
{
	*p = (struct publisher){.ledger = g,
				.index = index,
				.qos = 1 + index % 2,
				.is_persistent = index / 2 % 2 == 0,
				.is_stopped = true,
				.rate = rate};
	link_init(&p->link, port, index < LEDGER_PUBLISHERS / 2 ? MQTT_V5 : MQTT_V311, &ops, p);
	snprintf(p->link.client_id, sizeof(p->link.client_id), "kill-publisher-%u", index);
}

void publisher_fini(struct publisher *p)
{
	link_fini(&p->link);
}

void publisher_tick(struct publisher *p, double seconds)
{
	if (p->link.state != LINK_OPEN || p->is_stopped)
		return;
	p->credit += seconds * p->rate;
	if (p->credit > BURST)
		p->credit = BURST;
	while (p->credit >= 1 && p->next - p->base < PUBLISHER_WINDOW) {
		*slot(p, p->next) = (struct publisher_slot){ledger_new(p->ledger, p->index), SLOT_SENT};
		send_publish(p, p->next, false);
		p->next++;
		p->credit -= 1;
	}
}

bool publisher_is_idle(const struct publisher *p)
{
	return p->base == p->next;
}
