#include <stdio.h>

#include "witness.h"

static void greet(void *owner, struct mqtt_connect *c)
{
	(void)owner;
	(void)c;
}

static void opened(void *owner, bool session_present)
{
	const struct mqtt_sub_item item = {.filter = span_str("kill/+/r/+")};
	struct witness *w = owner;
	struct mqtt_props none;
	struct wr out;

	(void)session_present;
	w->is_granted = false;
	for (unsigned p = 0; p < LEDGER_PUBLISHERS; p++) {
		for (unsigned t = 0; t < LEDGER_RETAINED; t++)
			w->least[p][t] = w->ledger->publishers[p].newest[t];
	}
	mqtt_props_clear(&none);
	out = link_room(&w->link, 64);
	if (mqtt_subscribe_encode(&out, w->link.version, 1, &none, &item, 1) == OK)
		link_wrote(&w->link, &out);
}

static void closed(void *owner)
{
	(void)owner;
}

static void look(struct witness *w, const struct mqtt_publish *m)
{
	unsigned publisher;
	uint64_t number, *least;

	if (!ledger_read(m->topic, m->payload, &publisher, &number)) {
		ledger_fault(w->ledger, LEDGER_DAMAGED, w->link.client_id, publisher, number);
		return;
	}
	least = &w->least[publisher][ledger_topic_of(number)];
	if (*least != LEDGER_NOTHING && number < *least)
		ledger_fault(w->ledger, LEDGER_RETAINED_OLD, w->link.client_id, publisher, number);
	*least = LEDGER_NOTHING;
}

static bool has_all(const struct witness *w)
{
	for (unsigned p = 0; p < LEDGER_PUBLISHERS; p++) {
		for (unsigned t = 0; t < LEDGER_RETAINED; t++) {
			if (w->least[p][t] != LEDGER_NOTHING)
				return false;
		}
	}
	return true;
}

static void packet(void *owner, const struct mqtt_frame *f)
{
	struct witness *w = owner;
	struct mqtt_publish m;

	if (f->type == MQTT_SUBACK)
		w->is_granted = true;
	if (f->type == MQTT_PUBLISH && mqtt_publish_decode(f, w->link.version, &m) == OK && m.retain)
		look(w, &m);
	if (w->is_granted && has_all(w)) {
		w->looks++;
		w->is_wanted = false;
		link_leave(&w->link);
	}
}

static const struct link_ops ops = {.greet = greet, .opened = opened, .packet = packet, .closed = closed};

void witness_init(struct witness *w, struct ledger *g, uint16_t port)
{
	*w = (struct witness){.ledger = g};
	link_init(&w->link, port, MQTT_V5, &ops, w);
	snprintf(w->link.client_id, sizeof(w->link.client_id), "kill-witness");
}

void witness_fini(struct witness *w)
{
	link_fini(&w->link);
}

void witness_miss(struct witness *w)
{
	for (unsigned p = 0; p < LEDGER_PUBLISHERS; p++) {
		for (unsigned t = 0; t < LEDGER_RETAINED; t++) {
			if (w->least[p][t] != LEDGER_NOTHING)
				ledger_fault(w->ledger, LEDGER_RETAINED_OLD, w->link.client_id, p,
					     w->least[p][t]);
		}
	}
}
