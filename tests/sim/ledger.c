#include "ledger.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "wire/mqtt.h"

/* ledger.copies: two bits and a count */
#define RETAINED 1u
#define BY_QOS_2 2u
#define ONE_LIVE 4u

void ledger_broken(struct ledger *l, const char *fmt, ...)
{
	va_list args;

	if (l->broken[0])
		return;
	va_start(args, fmt);
	vsnprintf(l->broken, sizeof(l->broken), fmt, args);
	va_end(args);
}

static bool take_one(uint64_t *n)
{
	if (*n == 0)
		return false;
	--*n;
	return true;
}

/* Something owed to one client did not come, and `excused` is not set: one drop excuses it, however many subscriptions owed it. */
static bool is_excused(struct ledger *l, bool *excused)
{
	if (!*excused)
		*excused = take_one(&l->may_miss);
	return *excused;
}

int ledger_publish(struct ledger *l, unsigned publisher, const char *topic, uint8_t qos, bool retain)
{
	struct ledger_message *m = &l->messages[l->nmessages];
	uint32_t seq = 1;

	if (l->nmessages == LEDGER_MESSAGES)
		return -1;
	for (uint32_t i = 0; i < l->nmessages; i++)
		if (l->messages[i].publisher == publisher && strcmp(l->messages[i].topic, topic) == 0)
			seq = l->messages[i].seq + 1;
	*m = (struct ledger_message){
		.publisher = (uint8_t)publisher, .qos = qos, .retain = retain, .seq = seq, .sent = ++l->tick};
	snprintf(m->topic, sizeof(m->topic), "%s", topic);
	return (int)l->nmessages++;
}

void ledger_acked(struct ledger *l, uint32_t id)
{
	l->messages[id].acked = ++l->tick;
}

void ledger_subscribed(struct ledger *l, unsigned client, const char *filter, uint8_t qos)
{
	struct ledger_sub *s = &l->subs[l->nsubs];

	if (l->nsubs == LEDGER_SUBS) { /* one that is not known would make others look broken */
		ledger_broken(l, "the ledger has no room for more subscriptions");
		return;
	}
	*s = (struct ledger_sub){.client = (uint8_t)client, .qos = qos, .from = ++l->tick};
	snprintf(s->filter, sizeof(s->filter), "%s", filter);
	l->nsubs++;
}

void ledger_unsubscribe(struct ledger *l, unsigned client, const char *filter)
{
	for (uint32_t i = 0; i < l->nsubs; i++) {
		struct ledger_sub *s = &l->subs[i];

		if (s->client == client && !s->until && (!filter || strcmp(s->filter, filter) == 0))
			s->until = ++l->tick;
	}
}

void ledger_unsubscribed(struct ledger *l, unsigned client)
{
	for (uint32_t i = 0; i < l->nsubs; i++)
		if (l->subs[i].client == client && l->subs[i].until && !l->subs[i].gone)
			l->subs[i].gone = ++l->tick;
}

bool ledger_was_subscribed(const struct ledger *l, unsigned client, const struct ledger_message *m)
{
	struct span name, filter;

	for (uint32_t i = 0; i < l->nsubs; i++) {
		const struct ledger_sub *s = &l->subs[i];

		filter = span_str(s->filter);
		(void)mqtt_filter_shared(filter, &name, &filter);
		if (s->client == client && (!s->gone || s->gone > m->sent) &&
		    mqtt_filter_matches(filter, span_str(m->topic)))
			return true;
	}
	return false;
}

void ledger_session_ends(struct ledger *l, unsigned client)
{
	ledger_unsubscribe(l, client, NULL);
	ledger_unsubscribed(l, client);
	memset(l->copies[client], 0, sizeof(l->copies[client]));
	l->session_ended[client] = ++l->tick;
}

static bool same_topic(const struct ledger_message *a, const struct ledger_message *b)
{
	return a->publisher == b->publisher && strcmp(a->topic, b->topic) == 0;
}

/* Was a plain subscription of the client owed the message, and with what QoS? 0: none. */
static uint8_t owed_qos(const struct ledger *l, unsigned client, const struct ledger_message *m)
{
	uint8_t qos = 0;

	for (uint32_t i = 0; i < l->nsubs; i++) {
		const struct ledger_sub *s = &l->subs[i];
		uint8_t q = s->qos < m->qos ? s->qos : m->qos;

		if (s->client == client && !s->until && s->from < m->sent && q > qos &&
		    strncmp(s->filter, "$share/", 7) != 0 &&
		    mqtt_filter_matches(span_str(s->filter), span_str(m->topic)))
			qos = q;
	}
	return qos;
}

/*
 * Does it come too late, now that the client has seen a newer one? A first live copy must not come after a newer live
 * one of the same QoS (4.6), nor after a newer retained one. A retained copy is the newest that was published with
 * RETAIN, so it must not come after a newer one of these. What its publisher sent again may come anew, and be retained anew.
 */
static bool too_late(const struct ledger_message *m, bool retained_copy, const struct ledger_message *newer,
		     uint16_t newer_copies)
{
	if (!newer_copies || !same_topic(m, newer))
		return false;
	if (retained_copy)
		return newer->retain && !m->resent;
	return (newer_copies >= ONE_LIVE && m->qos == newer->qos) || (newer_copies & RETAINED && !m->resent);
}

/* covers 3.1.1 [MQTT-4.6.0-6]; 5.0 [MQTT-4.6.0-5] [MQTT-4.6.0-6] */
static void check_order(struct ledger *l, unsigned client, uint32_t id, bool retained_copy)
{
	const struct ledger_message *m = &l->messages[id];

	if (retained_copy && l->stored)
		return;
	/* one of QoS 2 is new to a broker that crashed before it confirmed it */
	if (m->resent && (m->qos == 1 || l->crashed) && (l->small_queues || owed_qos(l, client, m) == 0))
		return;
	/* refused while the disk was full, and sent again by who did not hear of that: what came behind it may have been taken */
	if (m->resent && l->refuses)
		return;
	for (uint32_t i = id + 1; i < l->nmessages; i++) {
		const struct ledger_message *newer = &l->messages[i];

		uint16_t newer_copies = l->copies[client][i];

		if (l->stored)
			newer_copies &= (uint16_t)~RETAINED;
		if (too_late(m, retained_copy, newer, newer_copies))
			ledger_broken(l, "client %u: %s of client %u: %u%s came after %u", client, m->topic,
				      m->publisher, m->seq, retained_copy ? ", retained," : "", newer->seq);
	}
}

/* covers 3.1.1 [MQTT-4.3.3-2]; 5.0 [MQTT-4.3.3-10] */
void ledger_delivered(struct ledger *l, unsigned client, uint32_t id, uint8_t qos, bool retained_copy)
{
	const struct ledger_message *m = &l->messages[id];
	uint16_t *copies = &l->copies[client][id];

	l->deliveries++;
	if (id >= l->nmessages) {
		ledger_broken(l, "client %u: a message that nobody sent", client);
		return;
	}
	if (*copies == 0 && !l->in_group[client])
		check_order(l, client, id, retained_copy);
	/* to a subscription of QoS 0 what comes later may overtake what waits for an earlier one of QoS 1 or 2 */
	if (retained_copy || (l->stored && qos == 0)) {
		*copies |= RETAINED;
		return;
	}
	/* one that came by QoS 1 before a subscription was changed may come again */
	if (qos == 2 && *copies & BY_QOS_2)
		ledger_broken(l, "client %u: %s of client %u: %u of QoS 2 came twice", client, m->topic,
			      m->publisher, m->seq);
	*copies += ONE_LIVE;
	if (qos == 2)
		*copies |= BY_QOS_2;
}

/* covers 3.1.1 [MQTT-4.5.0-1] [MQTT-3.1.2-5]; 5.0 [MQTT-4.5.0-1] */
static void settle_plain(struct ledger *l, uint32_t id, bool excused[LEDGER_CLIENTS])
{
	const struct ledger_message *m = &l->messages[id];

	for (unsigned c = 0; c < LEDGER_CLIENTS; c++)
		if (owed_qos(l, c, m) > 0 && l->copies[c][id] == 0 && !is_excused(l, &excused[c]))
			ledger_broken(l, "client %u: %s of client %u: %u of QoS %u, acknowledged, never came",
				      c, m->topic, m->publisher, m->seq, m->qos);
}

/* Each group is owed every message once, by whichever of its members. */
static void settle_group(struct ledger *l, const struct ledger_sub *group, uint32_t id)
{
	const struct ledger_message *m = &l->messages[id];
	struct span name, rest;
	unsigned copies = 0, by_qos_2 = 0;
	uint8_t qos = 2;

	if (!mqtt_filter_shared(span_str(group->filter), &name, &rest) || group->from > m->sent ||
	    !mqtt_filter_matches(rest, span_str(m->topic)))
		return;
	/* what a member had in hand when its session ended went with it */
	for (unsigned c = 0; c < LEDGER_CLIENTS; c++)
		if (l->in_group[c] && l->session_ended[c] > m->sent)
			return;
	for (uint32_t i = 0; i < l->nsubs; i++) {
		const struct ledger_sub *s = &l->subs[i];

		if (strcmp(s->filter, group->filter) != 0 || s->until)
			continue;
		copies += l->copies[s->client][id] / ONE_LIVE;
		by_qos_2 += (l->copies[s->client][id] & BY_QOS_2) != 0;
		if (s->qos < qos)
			qos = s->qos;
	}
	if (qos > 0 && m->qos > 0 && copies == 0 && !take_one(&l->may_miss_shared) && !take_one(&l->may_miss))
		ledger_broken(l, "group %s: %s of client %u: %u never came", group->filter, m->topic,
			      m->publisher, m->seq);
	if (by_qos_2 > 1)
		ledger_broken(l, "group %s: %s of client %u: %u of QoS 2 came %u times", group->filter,
			      m->topic, m->publisher, m->seq, by_qos_2);
}

/* The next message that was published with RETAIN to the topic of `id`, or NULL. */
static const struct ledger_message *next_retained(const struct ledger *l, uint32_t id)
{
	for (uint32_t i = id + 1; i < l->nmessages; i++)
		if (l->messages[i].retain && same_topic(&l->messages[i], &l->messages[id]))
			return &l->messages[i];
	return NULL;
}

/* Was an older one sent again, of QoS 1? Then it may have been retained anew, after this one. */
static bool older_came_again(const struct ledger *l, uint32_t id)
{
	for (uint32_t i = 0; i < id; i++) {
		const struct ledger_message *m = &l->messages[i];

		if (m->retain && m->resent && m->qos == 1 && same_topic(m, &l->messages[id]))
			return true;
	}
	return false;
}

/*
 * Did the client see a newer retained message of the topic, retained or live? Where feeds are read late one of QoS 0 will do
 * that is lost as such messages are, while the client is away.
 */
static bool saw_newer(const struct ledger *l, unsigned client, uint32_t id)
{
	for (uint32_t i = id + 1; i < l->nmessages; i++)
		if ((l->copies[client][i] || (l->late_feeds && l->messages[i].qos == 0)) &&
		    l->messages[i].retain && same_topic(&l->messages[i], &l->messages[id]))
			return true;
	return false;
}

/*
 * Who subscribed while this was the topic's newest retained message, or on its way to be that, has seen it: retained, or live
 * when it came later than the subscription; or the one that took its place before it was sent.
 */
/* covers 3.1.1 [MQTT-3.3.1-6]; 5.0 [MQTT-3.3.1-9] */
static void settle_retained(struct ledger *l, uint32_t id, bool excused[LEDGER_CLIENTS])
{
	const struct ledger_message *m = &l->messages[id], *next = next_retained(l, id);

	if (!m->retain || older_came_again(l, id))
		return;
	for (uint32_t i = 0; i < l->nsubs; i++) {
		const struct ledger_sub *s = &l->subs[i];

		if (s->until || s->qos == 0 || s->from < m->sent || s->from < l->crashed ||
		    (next && next->sent < s->from) || strncmp(s->filter, "$share/", 7) == 0 ||
		    !mqtt_filter_matches(span_str(s->filter), span_str(m->topic)))
			continue;
		if (l->copies[s->client][id] == 0 && !saw_newer(l, s->client, id) &&
		    !is_excused(l, &excused[s->client]))
			ledger_broken(l, "client %u: subscribed to %s and never saw %s: %u, retained",
				      s->client, s->filter, m->topic, m->seq);
	}
}

void ledger_crashed(struct ledger *l)
{
	l->crashed = ++l->tick;
}

static bool has_retained_from(const struct ledger *l, unsigned client, uint32_t id)
{
	for (uint32_t i = id; i < l->nmessages; i++)
		if (l->copies[client][i] & RETAINED && same_topic(&l->messages[i], &l->messages[id]))
			return true;
	return false;
}

void ledger_settle_newest(struct ledger *l, unsigned client)
{
	for (uint32_t id = 0; id < l->nmessages; id++) {
		const struct ledger_message *m = &l->messages[id];

		/* an older one of QoS 1 may have come again behind one of QoS 2, which does not */
		if (m->retain && m->qos > 0 && m->acked && !(m->qos == 2 && older_came_again(l, id)) &&
		    !has_retained_from(l, client, id))
			ledger_broken(l, "retained message of %s is older than %u of client %u, acknowledged",
				      m->topic, m->seq, m->publisher);
	}
}

void ledger_allow(struct ledger *l, uint64_t dropped, uint64_t dropped_shared)
{
	l->may_miss = dropped;
	l->may_miss_shared = dropped_shared;
}

static bool is_subscribed(const struct ledger *l, unsigned client, const struct ledger_message *m)
{
	for (uint32_t i = 0; i < l->nsubs; i++) {
		const struct ledger_sub *s = &l->subs[i];

		if (s->client == client && !s->until && s->from < m->sent &&
		    mqtt_filter_matches(span_str(s->filter), span_str(m->topic)))
			return true;
	}
	return false;
}

struct missing {
	uint64_t sure, qos0;
	uint64_t again; /* so many may have been dropped that are not missing */
};

static struct missing count_missing(const struct ledger *l)
{
	struct missing n = {0};

	for (uint32_t id = 0; id < l->nmessages; id++) {
		const struct ledger_message *m = &l->messages[id];

		for (unsigned c = 0; c < LEDGER_CLIENTS; c++) {
			bool came = l->copies[c][id] > 0;

			if (owed_qos(l, c, m) > 0) {
				n.sure += !came;
				n.again += m->resent && m->qos == 1;
			} else if (is_subscribed(l, c, m)) {
				n.qos0 += !came;
			}
		}
	}
	return n;
}

void ledger_settle_drops(struct ledger *l, const struct ledger_drops *d)
{
	struct missing n = count_missing(l);
	uint64_t missing = n.sure + n.qos0, counted = d->sure + d->qos0 + d->any;

	/* QoS 0 that waits in a queue, lest it overtakes a retained message, is dropped as others are there */
	if (n.sure > d->sure + d->any || d->sure > missing + n.again || d->qos0 > n.qos0 ||
	    counted > missing + n.again || (missing > counted && !d->qos0_went_down))
		ledger_broken(l,
			      "missing: %llu of QoS 1 and 2, %llu of QoS 0; counted as dropped: %llu, %llu, "
			      "and %llu of any",
			      (unsigned long long)n.sure, (unsigned long long)n.qos0,
			      (unsigned long long)d->sure, (unsigned long long)d->qos0,
			      (unsigned long long)d->any);
}

/* The oldest subscription of a group that is there stands for it. */
static bool stands_for_group(const struct ledger *l, uint32_t sub)
{
	const struct ledger_sub *s = &l->subs[sub];

	if (s->until || strncmp(s->filter, "$share/", 7) != 0)
		return false;
	for (uint32_t i = 0; i < sub; i++)
		if (!l->subs[i].until && strcmp(l->subs[i].filter, s->filter) == 0)
			return false;
	return true;
}

void ledger_settle(struct ledger *l)
{
	for (uint32_t id = 0; id < l->nmessages; id++) {
		bool excused[LEDGER_CLIENTS] = {false};

		if (l->messages[id].qos == 0 || !l->messages[id].acked)
			continue;
		settle_plain(l, id, excused);
		settle_retained(l, id, excused);
		for (uint32_t i = 0; i < l->nsubs; i++)
			if (stands_for_group(l, i))
				settle_group(l, &l->subs[i], id);
	}
}
