#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "subscriber.h"

#define EXPIRY_S     3600u
#define MS           1000000u
#define SUBSCRIBE_ID 1u

static uint64_t draw(struct subscriber *s, uint64_t below)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return s->random % below;
}

static void greet(void *owner, struct mqtt_connect *c)
{
	const struct subscriber *s = owner;

	c->clean_start = false;
	if (c->version != MQTT_V5)
		return;
	mqtt_props_set_num(&c->props, MQTT_P_SESSION_EXPIRY, EXPIRY_S);
	if (s->plan->receive_maximum > 0)
		mqtt_props_set_num(&c->props, MQTT_P_RECEIVE_MAXIMUM, s->plan->receive_maximum);
}

static void subscribe(struct subscriber *s)
{
	char filter[32] = "kill/#";
	struct mqtt_sub_item item = {.qos = (uint8_t)s->plan->qos,
				     .retain_handling = s->link.version == MQTT_V5 ? 2 : 0};
	struct mqtt_props none;
	struct wr w = link_room(&s->link, 64);

	if (s->plan->publisher != SUBSCRIBER_ALL)
		snprintf(filter, sizeof(filter), "kill/%u/#", s->plan->publisher);
	item.filter = span_str(filter);
	mqtt_props_clear(&none);
	if (mqtt_subscribe_encode(&w, s->link.version, SUBSCRIBE_ID, &none, &item, 1) == OK)
		link_wrote(&s->link, &w);
}

static void opened(void *owner, bool session_present)
{
	struct subscriber *s = owner;

	if (s->had_session && !session_present) {
		ledger_fault(s->ledger, LEDGER_SESSION, s->link.client_id, 0, 0);
		memset(s->held, 0, (MQTT_PACKET_IDS + 1) * sizeof(*s->held));
	}
	s->had_session = true;
	s->is_quiet = false;
	if (!s->is_granted || !session_present)
		subscribe(s);
	if (s->plan->here_ms > 0)
		s->turn_ns = link_now_ns() + (1 + draw(s, s->plan->here_ms)) * MS;
	if (s->is_steady)
		link_ping(&s->link);
}

static void closed(void *owner)
{
	struct subscriber *s = owner;

	s->nreplies = 0;
	if (s->plan->here_ms > 0)
		s->turn_ns = link_now_ns() + (1 + draw(s, s->plan->away_ms)) * MS;
}

/* ---- acknowledgements ---- */

static void reply(struct subscriber *s, enum mqtt_type type, uint16_t packet_id)
{
	if (s->plan->ack_ms == 0 || s->is_steady) {
		link_ack(&s->link, type, packet_id);
		return;
	}
	if (s->nreplies == s->replies_room) {
		s->replies_room = s->replies_room * 2 + 64;
		if (!(s->replies = realloc(s->replies, s->replies_room * sizeof(*s->replies))))
			exit(2);
	}
	s->replies[s->nreplies++] = (struct subscriber_reply){
		link_now_ns() + (1 + draw(s, s->plan->ack_ms)) * MS, type, packet_id};
}

static void replies_send(struct subscriber *s, uint64_t now_ns)
{
	size_t n = 0;

	while (n < s->nreplies && (s->is_steady || s->replies[n].due_ns <= now_ns)) {
		link_ack(&s->link, s->replies[n].type, s->replies[n].packet_id);
		n++;
	}
	if (n) /* there may be none, and no room for any */
		memmove(s->replies, s->replies + n, (s->nreplies - n) * sizeof(*s->replies));
	s->nreplies -= n;
}

/* ---- messages ---- */

static void deliver(struct subscriber *s, const struct mqtt_publish *m, unsigned publisher, uint64_t number)
{
	struct ledger_seen *seen = &s->seen[publisher];
	uint64_t *last = &seen->last[ledger_topic_of(number)];

	if (number >= s->ledger->publishers[publisher].next) {
		ledger_fault(s->ledger, LEDGER_STRANGE, s->link.client_id, publisher, number);
		return;
	}
	if (!ledger_seen_add(seen, number)) {
		s->ledger->redelivered++;
		/* A retained value may come beside the message itself, to a subscription that is made again. */
		if (m->qos == 2 && !m->retain)
			ledger_fault(s->ledger, LEDGER_REPEATED, s->link.client_id, publisher, number);
		return;
	}
	s->ledger->delivered++;
	if (number < seen->from) /* sent again, it may be new to who subscribed in between */
		return;
	if (number < *last)
		ledger_fault(s->ledger, LEDGER_REORDERED, s->link.client_id, publisher, number);
	else
		*last = number + 1;
}

/* QoS 2 (4.3.3): the first with this id is the message, until PUBREL. */
static bool is_held(struct subscriber *s, const struct mqtt_publish *m, unsigned publisher, uint64_t number)
{
	struct subscriber_held *h = &s->held[m->packet_id];

	if (m->qos < 2)
		return false;
	if (h->is_held && (h->publisher != publisher || h->number != number))
		ledger_fault(s->ledger, LEDGER_REUSED, s->link.client_id, publisher, number);
	if (h->is_held)
		return true;
	*h = (struct subscriber_held){true, publisher, number};
	return false;
}

static void on_publish(struct subscriber *s, const struct mqtt_frame *f)
{
	struct mqtt_publish m;
	unsigned publisher;
	uint64_t number;

	if (mqtt_publish_decode(f, s->link.version, &m) < 0 ||
	    !ledger_read(m.topic, m.payload, &publisher, &number)) {
		ledger_fault(s->ledger, LEDGER_DAMAGED, s->link.client_id, 0, 0);
		return;
	}
	if (m.qos != (s->plan->qos < 1 + publisher % 2 ? s->plan->qos : 1 + publisher % 2))
		ledger_fault(s->ledger, LEDGER_DAMAGED, s->link.client_id, publisher, number);
	if (!is_held(s, &m, publisher, number))
		deliver(s, &m, publisher, number);
	if (m.qos > 0)
		reply(s, m.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, m.packet_id);
}

static void on_suback(struct subscriber *s, const struct mqtt_frame *f)
{
	struct mqtt_suback ack;

	if (mqtt_suback_decode(f, s->link.version, &ack) < 0 || ack.codes.len != 1 ||
	    ack.codes.p[0] != s->plan->qos) {
		ledger_fault(s->ledger, LEDGER_REFUSED, s->link.client_id, 0, 0);
		return;
	}
	if (s->is_granted)
		return; /* again, after a session was lost */
	s->is_granted = true;
	for (unsigned p = 0; p < LEDGER_PUBLISHERS; p++) {
		if (s->plan->publisher == SUBSCRIBER_ALL || s->plan->publisher == p)
			s->seen[p].from = s->ledger->publishers[p].next;
	}
}

static void packet(void *owner, const struct mqtt_frame *f)
{
	struct subscriber *s = owner;
	struct mqtt_ack ack;

	switch (f->type) {
	case MQTT_PUBLISH:
		on_publish(s, f);
		return;
	case MQTT_SUBACK:
		on_suback(s, f);
		return;
	case MQTT_PINGRESP:
		s->is_quiet = true;
		return;
	case MQTT_PUBREL:
		if (mqtt_ack_decode(f, s->link.version, &ack) == OK) {
			s->held[ack.packet_id].is_held = false;
			reply(s, MQTT_PUBCOMP, ack.packet_id);
			return;
		}
		break;
	default:
		break;
	}
	ledger_fault(s->ledger, LEDGER_STRANGE, s->link.client_id, 0, f->type);
}

static const struct link_ops ops = {.greet = greet, .opened = opened, .packet = packet, .closed = closed};

/* ---- life ---- */

void subscriber_init(struct subscriber *s, struct ledger *g, const struct subscriber_plan *plan,
		     uint16_t port, uint64_t seed)
{
	*s = (struct subscriber){.ledger = g, .plan = plan, .random = seed | 1};
	link_init(&s->link, port, plan->version, &ops, s);
	snprintf(s->link.client_id, sizeof(s->link.client_id), "kill-%s", plan->name);
	for (unsigned p = 0; p < LEDGER_PUBLISHERS; p++)
		s->seen[p].from = LEDGER_NOTHING;
	if (!(s->held = calloc(MQTT_PACKET_IDS + 1, sizeof(*s->held))))
		exit(2);
	if (plan->late_ms > 0)
		s->turn_ns = link_now_ns() + plan->late_ms * (uint64_t)MS;
}

void subscriber_fini(struct subscriber *s)
{
	link_fini(&s->link);
	for (unsigned p = 0; p < LEDGER_PUBLISHERS; p++)
		free(s->seen[p].bits);
	free(s->held);
	free(s->replies);
}

void subscriber_settle(struct subscriber *s)
{
	s->is_steady = true;
	s->turn_ns = 0;
}

bool subscriber_is_wanted(const struct subscriber *s, uint64_t now_ns)
{
	if (s->is_steady)
		return true;
	if (s->plan->is_absent && s->is_granted)
		return false;
	return now_ns >= s->turn_ns;
}

void subscriber_tick(struct subscriber *s, uint64_t now_ns)
{
	if (s->link.state != LINK_OPEN)
		return;
	replies_send(s, now_ns);
	if (s->is_steady || !s->is_granted)
		return;
	if (s->plan->is_absent || (s->plan->here_ms > 0 && now_ns >= s->turn_ns)) {
		if (draw(s, 2))
			link_leave(&s->link);
		else
			link_cut(&s->link);
	}
}

bool subscriber_is_complete(struct subscriber *s, bool report)
{
	bool is_complete = true;

	for (unsigned p = 0; p < LEDGER_PUBLISHERS; p++)
		is_complete &= ledger_seen_complete(s->ledger, &s->seen[p], p, s->link.client_id, report);
	return is_complete;
}
