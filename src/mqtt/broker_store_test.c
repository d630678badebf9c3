/* A broker with a store: what is acknowledged when, and what is there after a start. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "mqtt/answer.h"
#include "mqtt/broker_rig.h"
#include "mqtt/session.h"

#define EXPIRY_100 "11 00 00 00 64"

static void up(struct rig *r, uint32_t nworkers)
{
	rig_init(r, nworkers);
	rig_disk(r);
	rig_start(r);
}

/* A CONNECT for a session that lasts 100 s; its answer is not taken. */
static struct peer *come(struct rig *r, const char *id, bool clean)
{
	struct peer *p = peer_open(r, MQTT_V5);
	char payload[160];

	snprintf(payload, sizeof(payload), "<%s>", id);
	peer_connect(p, clean ? 0x02 : 0x00, EXPIRY_100, payload);
	return p;
}

static struct peer *come_up(struct rig *r, const char *id, bool present)
{
	struct peer *p = come(r, id, false);

	peer_expect(p, present ? "CONNACK s1 00" : "CONNACK s0 00");
	return p;
}

/* ---- what waits ---- */

static void connack_of_a_session_that_lasts_waits_for_the_disk(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	up(&r, 1);
	rig_disk_stands(&r, true);
	p = come(&r, "p", false);
	peer_send(p, 0x82, "00 01 [] <t> 01"); /* it does not wait for the answer */
	peer_send(p, 0xC0, "");
	peer_quiet(p);
	rig_disk_stands(&r, false);
	peer_expect(p, "CONNACK s0 00");
	peer_expect(p, "PINGRESP");
	peer_expect(p, "SUBACK m1 01");
	rig_fini(&r);
}

static void who_leaves_nothing_behind_waits_for_no_disk(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	up(&r, 1);
	rig_disk_stands(&r, true);
	p = peer_up(&r, MQTT_V5, "p");
	peer_subscribe(p, "t", 1, "", 0x01);
	peer_unsubscribe(p, "t", 0x00);
	peer_disconnect(p, 0);
	rig_fini(&r);
}

static void connack_waits_until_the_old_session_is_gone_from_the_disk(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	up(&r, 1);
	p = come_up(&r, "p", false);
	peer_disconnect(p, 0);
	rig_run(&r, 5);
	rig_disk_stands(&r, true);
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, 0x02, "", "<p>");
	peer_quiet(p);
	rig_disk_stands(&r, false);
	peer_expect(p, "CONNACK s0 00");
	rig_restart(&r, true, 0);
	(void)come_up(&r, "p", false);
	rig_fini(&r);
}

static void messages_for_a_session_whose_connack_waits_come_behind_it(void **state)
{
	struct rig r;
	struct peer *p, *q;

	(void)state;
	up(&r, 1);
	p = come_up(&r, "p", false);
	peer_subscribe(p, "t", 1, "", 0x01);
	peer_disconnect(p, 0);
	rig_run(&r, 5);
	rig_disk_stands(&r, true);
	p = come(&r, "p", false);
	q = peer_up(&r, MQTT_V5, "q");
	peer_publish(q, 0, 0, "t", "", "away for this");
	peer_publish(q, 2, 1, "t", "", "kept");
	peer_ping(q);
	peer_quiet(p);
	rig_disk_stands(&r, false);
	peer_expect(p, "CONNACK s1 00");
	peer_expect(p, "PUBLISH d0 q1 r0 m1 t=kept");
	rig_fini(&r);
}

static void answers_come_in_the_order_of_what_they_answer(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	up(&r, 1);
	p = come_up(&r, "p", false);
	peer_publish(p, 4, 7, "t", "", "two");
	peer_expect(p, "PUBREC m7 00");
	rig_disk_stands(&r, true);
	peer_send(p, 0x82, "00 01 [] <a/b> 01 <a/c> 02");
	peer_publish(p, 2, 2, "t", "", "one");
	peer_ack(p, MQTT_PUBREL, 7);
	peer_publish(p, 4, 3, "t", "", "two");
	peer_send(p, 0xA2, "00 04 [] <a/b> <x>");
	peer_publish(p, 2, 5, "t", "", "one");
	peer_quiet(p);
	rig_disk_stands(&r, false);
	peer_expect(p, "SUBACK m1 01 02");
	peer_expect(p, "PUBACK m2 10");
	peer_expect(p, "PUBCOMP m7 00");
	peer_expect(p, "PUBREC m3 00");
	peer_expect(p, "UNSUBACK m4 00 11");
	peer_expect(p, "PUBACK m5 10");
	rig_fini(&r);
}

static void a_disconnect_that_changes_the_expiry_ends_when_that_is_on_disk(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	up(&r, 1);
	p = come_up(&r, "p", false);
	rig_disk_stands(&r, true);
	peer_send(p, 0xE0, "00 [11 00 00 00 00]");
	peer_send(p, 0xC0, ""); /* nothing behind it is looked at */
	peer_quiet(p);
	rig_disk_stands(&r, false);
	peer_expect(p, "closed");
	rig_restart(&r, true, 0);
	p = come_up(&r, "p", false);
	rig_disk_stands(&r, true);
	peer_send(p, 0xE0, "");
	peer_expect(p, "closed"); /* nothing changed */
	rig_fini(&r);
}

static void who_is_not_stored_in_time_is_closed(void **state)
{
	struct rig r;
	struct peer *p, *q;

	(void)state;
	up(&r, 1);
	q = come_up(&r, "q", false);
	rig_disk_stands(&r, true);
	p = come(&r, "p", false);
	peer_send(q, 0xE0, "00 [11 00 00 00 00]");
	rig_run(&r, 9900);
	assert_false(p->stream->is_closed || q->stream->is_closed);
	rig_run(&r, 200);
	peer_expect(p, "closed");
	peer_expect(q, "closed");
	rig_fini(&r);
}

static void a_connection_whose_connack_waits_is_taken_over(void **state)
{
	struct rig r;
	struct peer *first, *second, *cut;

	(void)state;
	up(&r, 2);
	rig_disk_stands(&r, true);
	first = come(&r, "p", false);
	rig_run(&r, 5);
	second = come(&r, "p", false);
	cut = come(&r, "cut", false);
	peer_expect(first, "closed");
	rig_run(&r, 5);
	fake_end(cut->stream, ERR_IO);
	peer_quiet(second);
	rig_disk_stands(&r, false);
	peer_expect(second, "CONNACK s1 00");
	peer_ping(second);
	rig_run(&r, 5);
	assert_true(cut->stream->is_closed);
	rig_fini(&r);
}

static void keep_alive_does_not_run_while_connack_waits(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	up(&r, 1);
	rig_disk_stands(&r, true);
	p = peer_open(&r, MQTT_V5);
	peer_send(p, 0x10, "<MQTT> 05 00 00 02 [11 00 00 00 64] <p>"); /* 2 s */
	rig_run(&r, 5000);
	rig_disk_stands(&r, false);
	peer_expect(p, "CONNACK s0 00");
	rig_run(&r, 2900);
	assert_false(p->stream->is_closed);
	rig_run(&r, 200);
	peer_expect(p, "DISCONNECT 8D");
	rig_fini(&r);
}

/* ---- floods ---- */

#define FLOOD 20000u

static void who_floods_with_what_waits_is_read_on_later(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	up(&r, 1);
	p = come_up(&r, "p", false);
	rig_disk_stands(&r, true);
	for (unsigned i = 0; i < FLOOD; i++)
		peer_send(p, 0x82, "00 01 [] <t> 01");
	rig_run(&r, 50);
	for (unsigned i = 0; i < FLOOD; i++)
		peer_send(p, 0x82, "00 02 [] <t> 01");
	peer_quiet(p);
	assert_true(p->stream->in_off < p->stream->in_len);
	assert_true(broker_memory_used(r.broker) < 2u * ANSWERS_BYTES + INPUT_BYTES);
	rig_disk_stands(&r, false);
	for (unsigned i = 0; i < FLOOD; i++)
		peer_expect(p, "SUBACK m1 01");
	for (unsigned i = 0; i < FLOOD; i++)
		peer_expect(p, "SUBACK m2 01");
	peer_ping(p);
	rig_fini(&r);
}

/* ---- what is sent again ---- */

static struct session *session_of(const struct rig *r, const char *id)
{
	struct session *s = session_find(r->broker->workers[0], span_str(id));

	assert_non_null(s);
	return s;
}

/* PUBLISH 1, 2 and 3 came, and their answers wait for what is put after this. */
static void three_wait(struct rig *r, const char *id)
{
	struct session *s = session_of(r, id);
	const struct promise later = {.ticket = store_ticket(s->worker->disk) + 1};

	for (uint16_t packet_id = 1; packet_id <= 3; packet_id++)
		conn_answer(s->conn, MQTT_PUBACK, packet_id, MQTT_RC_SUCCESS, &later);
}

static void a_message_sent_again_while_its_answer_waits_is_not_routed_again(void **state)
{
	struct rig r;
	struct peer *p, *q;

	(void)state;
	up(&r, 1);
	p = peer_open(&r, MQTT_V311);
	peer_connect(p, 0x00, "", "<p>"); /* it never expires: nothing is written when it goes and comes */
	peer_expect(p, "CONNACK s0 00");
	q = come_up(&r, "q", false);
	peer_subscribe(q, "t", 0, "", 0x00);
	three_wait(&r, "p");
	for (int again = 0; again < 2; again++) {
		peer_cut(p);
		p = peer_open(&r, MQTT_V311);
		peer_connect(p, 0x00, "", "<p>");
		peer_expect(p, "CONNACK s1 00");
		peer_publish(p, 0x0A, 1, "t", "", "again");
		peer_quiet(p);
		peer_quiet(q);
	}
	peer_publish(p, 0x0A, 1, "t", "", "again"); /* on the same connection, as 3.1 clients do */
	peer_publish(p, 0x0A, 3, "t", "", "again");
	peer_publish(p, 0x02, 2, "t", "", "another");
	peer_expect(q, "PUBLISH d0 q0 r0 m0 t=another");
	peer_quiet(p);
	peer_subscribe(q, "u", 0, "", 0x00);
	peer_expect(p, "PUBACK m1");
	peer_expect(p, "PUBACK m3");
	peer_expect(p, "PUBACK m2");
	peer_ping(p);
	assert_null(session_of(&r, "p")->left);
	rig_fini(&r);
}

static void what_a_client_does_not_ask_for_again_is_forgotten(void **state)
{
	struct rig r;
	struct peer *p, *q;

	(void)state;
	up(&r, 1);
	p = come_up(&r, "p", false);
	q = come_up(&r, "q", false);
	three_wait(&r, "p");
	rig_disk_stands(&r, true);
	peer_cut(p);
	assert_non_null(session_of(&r, "p")->left);
	rig_disk_stands(&r, false);
	peer_subscribe(q, "u", 0, "", 0x00);
	assert_null(session_of(&r, "p")->left);
	three_wait(&r, "q");
	rig_fini(&r);
}

/* ---- after a start ---- */

static void sessions_and_subscriptions_are_there_after_a_crash(void **state)
{
	struct rig r;

	(void)state;
	for (uint32_t nworkers = 1; nworkers <= RIG_LOOPS; nworkers++) {
		struct peer *p, *q;

		up(&r, nworkers);
		p = come_up(&r, "p", false);
		q = peer_up(&r, MQTT_V5, "q");
		peer_subscribe(p, "t/+", 1, "0B 05", 0x01);
		peer_subscribe(p, "gone", 1, "", 0x01);
		peer_subscribe(p, "$share/g/s", 2, "", 0x02);
		peer_subscribe(q, "q", 1, "", 0x01);
		peer_unsubscribe(p, "gone", 0x00);
		rig_restart(&r, true, 0);
		(void)peer_up_kept(&r, MQTT_V5, "q", false);
		p = come_up(&r, "p", true);
		q = peer_up(&r, MQTT_V5, "r");
		peer_publish(q, 0, 0, "gone", "", "no");
		peer_publish(q, 0, 0, "s", "", "shared");
		peer_expect(p, "PUBLISH d0 q0 r0 m0 s=shared");
		peer_publish(q, 0, 0, "t/x", "", "plain");
		peer_expect(p, "PUBLISH d0 q0 r0 m0 t/x=plain ids=5");
		peer_unsubscribe(p, "t/+", 0x00);
		rig_fini(&r);
	}
}

static void a_session_that_came_back_is_owed_messages_as_before(void **state)
{
	struct rig r;

	(void)state;
	for (uint32_t nworkers = 1; nworkers <= RIG_LOOPS; nworkers++) {
		struct peer *p, *q[RIG_LOOPS];

		up(&r, RIG_LOOPS);
		p = come_up(&r, "p", false);
		peer_subscribe(p, "t", 1, "", 0x01);
		r.nloops = nworkers; /* others have the session now */
		rig_restart(&r, true, 0);
		for (uint32_t i = 0; i < nworkers; i++)
			q[i] = peer_up(&r, MQTT_V5, (const char *[]){"0", "1", "2", "3"}[i]);
		rig_disk_stands(&r, true);
		for (uint32_t i = 0; i < nworkers; i++) {
			peer_publish(q[i], 2, 1, "t", "", "owed");
			peer_quiet(q[i]);
		}
		rig_disk_stands(&r, false);
		for (uint32_t i = 0; i < nworkers; i++)
			peer_expect(q[i], "PUBACK m1 00");
		rig_restart(&r, true, 0);
		p = come_up(&r, "p", true);
		for (uint32_t i = 0; i < nworkers; i++) {
			char line[64];

			snprintf(line, sizeof(line), "PUBLISH d0 q1 r0 m%u t=owed", i + 1);
			peer_expect(p, line);
		}
		peer_quiet(p);
		rig_fini(&r);
	}
}

static void what_was_not_durable_is_not_there_after_a_crash(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	up(&r, 1);
	p = come_up(&r, "p", false);
	rig_disk_stands(&r, true);
	(void)come(&r, "q", false);
	peer_send(p, 0x82, "00 01 [] <t> 01");
	peer_quiet(p);
	rig_restart(&r, true, 0);
	(void)come_up(&r, "q", false);
	p = come_up(&r, "p", true);
	peer_unsubscribe(p, "t", 0x11);
	rig_fini(&r);
}

static void a_session_expires_while_the_broker_is_down(void **state)
{
	static const struct {
		int64_t down_ms;
		bool there;
	} table[] = {{98000, true}, {101000, false}};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct peer *away, *there;

		up(&r, 2);
		away = come_up(&r, "away", false);
		there = come_up(&r, "there", false);
		peer_disconnect(away, 0);
		rig_run(&r, 5);
		peer_subscribe(there, "t", 1, "", 0x01); /* so long it was there, at least */
		rig_restart(&r, true, table[i].down_ms);
		(void)come_up(&r, "away", table[i].there);
		(void)come_up(&r, "there", table[i].there);
		rig_run(&r, 5);
		rig_restart(&r, true, 0);
		(void)come_up(&r, "away", true);
		rig_fini(&r);
	}
}

static void what_is_left_of_its_expiry_runs_on(void **state)
{
	struct rig r;
	struct broker_counters n;

	(void)state;
	up(&r, 1);
	peer_disconnect(come_up(&r, "p", false), 0);
	rig_run(&r, 5);
	rig_restart(&r, true, 90000);
	rig_run(&r, 9000);
	broker_counters(r.broker, &n);
	assert_int_equal(n.sessions_expired, 0);
	rig_run(&r, 2000);
	broker_counters(r.broker, &n);
	assert_int_equal(n.sessions_expired, 1);
	rig_restart(&r, true, -1000000); /* a clock that is behind changes nothing */
	(void)come_up(&r, "p", false);
	rig_fini(&r);
}

static void ids_of_qos_2_are_known_after_a_crash(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	up(&r, 1);
	p = come_up(&r, "p", false);
	store_put_received(r.broker->workers[0]->disk, session_of(&r, "p")->stored, 7);
	peer_unsubscribe(p, "t", 0x11); /* that is on disk, too, then */
	rig_restart(&r, true, 0);
	p = come_up(&r, "p", true);
	peer_subscribe(p, "t", 0, "", 0x00);
	peer_publish(p, 0x0C, 7, "t", "", "again");
	peer_expect(p, "PUBREC m7 00");
	peer_ack(p, MQTT_PUBREL, 7);
	peer_expect(p, "PUBCOMP m7 00");
	rig_restart(&r, true, 0);
	p = come_up(&r, "p", true);
	peer_publish(p, 0x04, 7, "t", "", "another");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 t=another");
	peer_expect(p, "PUBREC m7 00");
	rig_fini(&r);
}

/* ---- all of it, many times ---- */

#define CLIENTS 6u
#define FILTERS 3u

struct model {
	char id[8];
	struct peer *peer; /* NULL: away */
	bool is_there;     /* its session, as it was acknowledged */
	bool subscribed[FILTERS];
	bool is_unsure; /* something was not acknowledged */
};

static uint64_t draw(uint64_t *state, uint64_t bound)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (*state >> 33) % bound;
}

static void model_ends(struct model *m)
{
	*m = (struct model){.peer = m->peer, .is_unsure = m->is_unsure, .id = {m->id[0], m->id[1]}};
}

static void model_comes(struct rig *r, struct model *m, bool clean)
{
	m->peer = come(r, m->id, clean);
	if (clean)
		model_ends(m);
	if (!r->disk.stands)
		peer_expect(m->peer, m->is_there ? "CONNACK s1 00" : "CONNACK s0 00");
	m->is_there = true;
}

static void model_subscribes(struct rig *r, struct model *m, unsigned filter, bool wanted)
{
	char body[64];

	snprintf(body, sizeof(body), wanted ? "00 01 [] <f%u> 00" : "00 01 [] <f%u>", filter);
	peer_send(m->peer, wanted ? 0x82 : 0xA2, body);
	if (r->disk.stands)
		return;
	if (wanted || m->subscribed[filter])
		peer_expect(m->peer, wanted ? "SUBACK m1 00" : "UNSUBACK m1 00");
	else
		peer_expect(m->peer, "UNSUBACK m1 11");
	m->subscribed[filter] = wanted;
}

static void model_goes(struct rig *r, struct model *m, bool for_good)
{
	peer_send(m->peer, 0xE0, for_good ? "00 [11 00 00 00 00]" : "00");
	if (!r->disk.stands)
		peer_expect(m->peer, "closed");
	m->peer = NULL;
	if (for_good)
		model_ends(m);
}

static void model_acts(struct rig *r, struct model *m, uint64_t *random)
{
	uint64_t what = draw(random, 12);

	if (!m->peer)
		model_comes(r, m, what == 0);
	else if (what < 2)
		model_goes(r, m, what == 0);
	else
		model_subscribes(r, m, (unsigned)draw(random, FILTERS), what < 8);
}

/* What was acknowledged is there, and nothing else. */
static void model_check(struct rig *r, struct model *m, struct peer *publisher)
{
	model_comes(r, m, m->is_unsure);
	m->is_unsure = false;
	for (unsigned i = 0; i < FILTERS; i++) {
		char topic[8], line[64];

		snprintf(topic, sizeof(topic), "f%u", i);
		snprintf(line, sizeof(line), "PUBLISH d0 q0 r0 m0 %s=x", topic);
		peer_publish(publisher, 0, 0, topic, "", "x");
		if (m->subscribed[i])
			peer_expect(m->peer, line);
	}
	peer_ping(publisher);
	rig_run(r, 2); /* it may be on the way between workers */
	peer_ping(m->peer);
	model_goes(r, m, false);
}

static void model_crash(struct rig *r, struct model *all, uint64_t *random)
{
	struct peer *publisher;

	rig_disk_stands(r, true);
	for (unsigned i = 0; i < CLIENTS / 2; i++) {
		struct model *m = &all[draw(random, CLIENTS)];

		if (!m->is_unsure)
			model_acts(r, m, random);
		m->is_unsure = true;
	}
	rig_run(r, draw(random, 3));
	for (unsigned i = 0; i < CLIENTS; i++)
		all[i].peer = NULL;
	r->nloops = 1 + (uint32_t)draw(random, RIG_LOOPS);
	rig_restart(r, true, 0);
	publisher = peer_up(r, MQTT_V5, "publisher");
	for (unsigned i = 0; i < CLIENTS; i++)
		model_check(r, &all[i], publisher);
}

static void what_was_acknowledged_is_there_after_any_crash(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct model all[CLIENTS] = {0};
		uint64_t random = seed;
		struct rig r;

		up(&r, RIG_LOOPS);
		for (unsigned i = 0; i < CLIENTS; i++)
			snprintf(all[i].id, sizeof(all[i].id), "c%u", i);
		for (unsigned crash = 0; crash < 3; crash++) {
			for (unsigned i = 0; i < 4 * CLIENTS && r.npeers < RIG_PEERS - 3 * CLIENTS; i++)
				model_acts(&r, &all[draw(&random, CLIENTS)], &random);
			if (r.npeers < RIG_PEERS - 2 * CLIENTS)
				model_crash(&r, all, &random);
		}
		rig_fini(&r);
	}
}

/* ---- wills ---- */

/* CONNECT with a will on "w", delayed by so many seconds. */
static struct peer *come_with_will(struct rig *r, const char *id, const char *delay)
{
	struct peer *p = peer_open(r, MQTT_V5);
	char payload[128];

	snprintf(payload, sizeof(payload), "<%s> [18 %s 26 <k> <v>] <w> <bye>", id, delay);
	peer_connect(p, 0x0C, EXPIRY_100, payload);
	peer_expect(p, "CONNACK s0 00");
	return p;
}

static void a_will_fires_when_its_client_stays_away_after_a_crash(void **state)
{
	static const struct {
		const char *delay;
		int64_t down_ms;
		uint64_t before_ms, until_ms;
	} table[] = {
		{"00 00 00 00", 0, 29500, 30500},      /* the grace time */
		{"00 00 00 32", 0, 49000, 50500},      /* its delay is longer */
		{"00 00 00 32", 10000, 39000, 40500},  /* of which a part is over */
		{"00 00 00 00", 200000, 29500, 30500}, /* its session expired */
	};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct peer *q;

		up(&r, 1);
		(void)come_with_will(&r, "p", table[i].delay);
		rig_restart(&r, true, table[i].down_ms);
		q = peer_up(&r, MQTT_V5, "q");
		peer_subscribe(q, "w", 0, "", 0x00);
		rig_run(&r, table[i].before_ms);
		peer_ping(q);
		rig_run(&r, table[i].until_ms - table[i].before_ms);
		peer_expect(q, "PUBLISH d0 q0 r0 m0 w=bye user=k:v");
		rig_run(&r, 5);
		rig_restart(&r, true, 0); /* not twice */
		q = peer_up(&r, MQTT_V5, "q");
		peer_subscribe(q, "w", 0, "", 0x00);
		rig_run(&r, 60000);
		peer_ping(q);
		rig_fini(&r);
	}
}

static void a_client_that_is_back_in_time_keeps_its_will(void **state)
{
	struct rig r;

	(void)state;
	for (int64_t down_ms = 0; down_ms <= 200000; down_ms += 200000) {
		struct peer *p, *q;

		up(&r, 1);
		(void)come_with_will(&r, "p", "00 00 00 00");
		rig_restart(&r, true, down_ms);
		q = peer_up(&r, MQTT_V5, "q");
		peer_subscribe(q, "w", 0, "", 0x00);
		p = come_up(&r, "p", down_ms == 0); /* an expired session is not resumed */
		peer_ping(p);
		rig_run(&r, 20000);
		peer_ping(q);
		rig_run(&r, 20000);
		peer_ping(q);
		rig_fini(&r);
	}
}

static void a_will_that_was_taken_back_is_none_after_a_crash(void **state)
{
	struct rig r;
	struct peer *q;

	(void)state;
	up(&r, 1);
	peer_disconnect(come_with_will(&r, "p", "00 00 00 32"), 0);
	rig_run(&r, 5);
	rig_restart(&r, true, 0);
	q = peer_up(&r, MQTT_V5, "q");
	peer_subscribe(q, "w", 0, "", 0x00);
	rig_run(&r, 50000);
	peer_ping(q);
	rig_run(&r, 40000);
	peer_ping(q);
	rig_fini(&r);
}

/* ---- a disk that takes nothing ---- */

static void a_full_disk_refuses_what_would_have_to_be_kept(void **state)
{
	static const struct {
		int rc;
		const char *connack, *suback;
	} table[] = {{ERR_FULL, "CONNACK s0 97", "SUBACK m1 97"}, {ERR_IO, "CONNACK s0 88", "SUBACK m1 83"}};
	struct rig r;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct peer *p, *q;

		up(&r, 1);
		p = come_up(&r, "p", false);
		store_mem_fail(r.disk.disk, UINT_MAX, table[i].rc);
		q = come(&r, "q", false); /* who finds out */
		peer_quiet(q);
		peer_expect(come(&r, "r", false), table[i].connack);
		peer_send(p, 0x82, "00 01 [] <t> 01");
		peer_expect(p, table[i].suback);
		peer_subscribe(peer_up(&r, MQTT_V5, "clean"), "t", 1, "", 0x01);
		store_mem_fail(r.disk.disk, 0, OK);
		peer_expect(q, "CONNACK s0 00"); /* nobody has to help */
		peer_subscribe(p, "t", 1, "", 0x01);
		rig_fini(&r);
	}
}

/* ---- memory ---- */

static void much_of_everything(struct rig *r, struct peer *p)
{
	peer_connect(p, 0x0C, EXPIRY_100, "<p> [18 00 00 00 01] <w> <bye>");
	rig_run(r, 5);
	peer_send(p, 0x82, "00 01 [0B 01] <t/+> 02 <$share/g/t/x> 02");
	peer_publish(p, 2, 2, "t/x", "", "one");
	peer_publish(p, 4, 3, "t/x", "", "two");
	rig_run(r, 5);
	peer_ack(p, MQTT_PUBREL, 3);
	peer_send(p, 0x82, "00 04 [0B 02] <t/+> 01");
	peer_send(p, 0xA2, "00 05 [] <$share/g/t/x>");
	peer_publish(p, 2, 6, "t/y", "", "one");
	fake_end(p->stream, ERR_IO);
	rig_run(r, 5);
}

static void come_back(struct rig *r, struct peer *p)
{
	peer_connect(p, 0x00, EXPIRY_100, "<p>");
	peer_publish(p, 0x0A, 6, "t/y", "", "one");
	rig_run(r, 5);
	peer_send(p, 0xE0, "00 [11 00 00 00 32]");
	rig_run(r, 5);
}

static void memory_that_is_missing_breaks_nothing(void **state)
{
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct rig r;
		struct peer *p, *again, *calm;

		up(&r, 1);
		calm = peer_up(&r, MQTT_V5, "calm");
		p = peer_open(&r, MQTT_V5);
		again = peer_open(&r, MQTT_V5);
		rig_run(&r, 5);
		alloc_fail_at(n);
		much_of_everything(&r, p);
		come_back(&r, again);
		hit = alloc_fail_end();
		peer_ping(calm);
		rig_restart(&r, n % 2, 0);
		(void)peer_up(&r, MQTT_V5, "p");
		rig_fini(&r);
	}
}

static void a_start_without_memory_fails_cleanly(void **state)
{
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct rig r;
		int rc;

		up(&r, 2);
		peer_subscribe(come_with_will(&r, "p", "00 00 00 32"), "t", 1, "", 0x01);
		peer_subscribe(come_up(&r, "q", false), "$share/g/t", 1, "", 0x01);
		broker_destroy(r.broker);
		store_destroy(r.disk.store);
		rig_store_open(&r);
		assert_int_equal(broker_create(&r.config, r.loops, r.nloops, &r.broker), OK);
		alloc_fail_at(n);
		rc = broker_restore(r.broker);
		hit = alloc_fail_end();
		assert_true(rc == OK || (hit && rc == ERR_NOMEM));
		rig_fini(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connack_of_a_session_that_lasts_waits_for_the_disk),
		cmocka_unit_test(who_leaves_nothing_behind_waits_for_no_disk),
		cmocka_unit_test(connack_waits_until_the_old_session_is_gone_from_the_disk),
		cmocka_unit_test(messages_for_a_session_whose_connack_waits_come_behind_it),
		cmocka_unit_test(answers_come_in_the_order_of_what_they_answer),
		cmocka_unit_test(a_disconnect_that_changes_the_expiry_ends_when_that_is_on_disk),
		cmocka_unit_test(who_is_not_stored_in_time_is_closed),
		cmocka_unit_test(a_connection_whose_connack_waits_is_taken_over),
		cmocka_unit_test(keep_alive_does_not_run_while_connack_waits),
		cmocka_unit_test(who_floods_with_what_waits_is_read_on_later),
		cmocka_unit_test(a_message_sent_again_while_its_answer_waits_is_not_routed_again),
		cmocka_unit_test(what_a_client_does_not_ask_for_again_is_forgotten),
		cmocka_unit_test(sessions_and_subscriptions_are_there_after_a_crash),
		cmocka_unit_test(a_session_that_came_back_is_owed_messages_as_before),
		cmocka_unit_test(what_was_not_durable_is_not_there_after_a_crash),
		cmocka_unit_test(a_session_expires_while_the_broker_is_down),
		cmocka_unit_test(what_is_left_of_its_expiry_runs_on),
		cmocka_unit_test(ids_of_qos_2_are_known_after_a_crash),
		cmocka_unit_test(what_was_acknowledged_is_there_after_any_crash),
		cmocka_unit_test(a_will_fires_when_its_client_stays_away_after_a_crash),
		cmocka_unit_test(a_client_that_is_back_in_time_keeps_its_will),
		cmocka_unit_test(a_will_that_was_taken_back_is_none_after_a_crash),
		cmocka_unit_test(a_full_disk_refuses_what_would_have_to_be_kept),
		cmocka_unit_test(memory_that_is_missing_breaks_nothing),
		cmocka_unit_test(a_start_without_memory_fails_cleanly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
