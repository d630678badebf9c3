/* A broker with a store: what is there after a start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "mqtt/broker_rig.h"
#include "mqtt/session.h"

#define EXPIRY_100 "11 00 00 00 64"

/* ---- sessions ---- */

static struct session *session_of(const struct rig *r, const char *id)
{
	struct session *s = session_find(r->broker->workers[0], span_str(id));

	assert_non_null(s);
	return s;
}

static void sessions_and_subscriptions_are_there_after_a_crash(void **state)
{
	struct rig r;

	(void)state;
	for (uint32_t nworkers = 1; nworkers <= RIG_LOOPS; nworkers++) {
		struct peer *p, *q;

		rig_up_disk(&r, nworkers);
		p = peer_up_kept(&r, MQTT_V5, "p", false);
		q = peer_up(&r, MQTT_V5, "q");
		peer_subscribe(p, "t/+", 1, "0B 05", 0x01);
		peer_subscribe(p, "gone", 1, "", 0x01);
		peer_subscribe(p, "$share/g/s", 2, "", 0x02);
		peer_subscribe(q, "q", 1, "", 0x01);
		peer_unsubscribe(p, "gone", 0x00);
		rig_restart(&r, true, 0);
		(void)peer_up_kept(&r, MQTT_V5, "q", false);
		p = peer_up_kept(&r, MQTT_V5, "p", true);
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

		rig_up_disk(&r, RIG_LOOPS);
		p = peer_up_kept(&r, MQTT_V5, "p", false);
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
		p = peer_up_kept(&r, MQTT_V5, "p", true);
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
	rig_up_disk(&r, 1);
	p = peer_up_kept(&r, MQTT_V5, "p", false);
	rig_disk_stands(&r, true);
	(void)peer_come(&r, "q", false);
	peer_send(p, 0x82, "00 01 [] <t> 01");
	peer_quiet(p);
	rig_restart(&r, true, 0);
	(void)peer_up_kept(&r, MQTT_V5, "q", false);
	p = peer_up_kept(&r, MQTT_V5, "p", true);
	peer_unsubscribe(p, "t", 0x11);
	rig_fini(&r);
}

static struct peer *for_100_s(struct rig *r, const char *id, bool present)
{
	struct peer *p = peer_come(r, id, false);

	peer_expect(p, present ? "CONNACK s1 00" : "CONNACK s0 00");
	return p;
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

		rig_up_disk(&r, 2);
		away = for_100_s(&r, "away", false);
		there = for_100_s(&r, "there", false);
		peer_disconnect(away, 0);
		rig_run(&r, 5);
		peer_subscribe(there, "t", 1, "", 0x01); /* so long it was there, at least */
		rig_restart(&r, true, table[i].down_ms);
		(void)for_100_s(&r, "away", table[i].there);
		(void)for_100_s(&r, "there", table[i].there);
		rig_run(&r, 5);
		rig_restart(&r, true, 0);
		(void)peer_up_kept(&r, MQTT_V5, "away", true);
		rig_fini(&r);
	}
}

static void what_is_left_of_its_expiry_runs_on(void **state)
{
	struct rig r;
	struct broker_counters n;

	(void)state;
	rig_up_disk(&r, 1);
	peer_disconnect(for_100_s(&r, "p", false), 0);
	rig_run(&r, 5);
	rig_restart(&r, true, 90000);
	rig_run(&r, 9000);
	broker_counters(r.broker, &n);
	assert_int_equal(n.sessions_expired, 0);
	rig_run(&r, 2000);
	broker_counters(r.broker, &n);
	assert_int_equal(n.sessions_expired, 1);
	rig_restart(&r, true, -1000000); /* a clock that is behind changes nothing */
	(void)peer_up_kept(&r, MQTT_V5, "p", false);
	rig_fini(&r);
}

static void ids_of_qos_2_are_known_after_a_crash(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	rig_up_disk(&r, 1);
	p = peer_up_kept(&r, MQTT_V5, "p", false);
	store_put_received(r.broker->workers[0]->disk, session_of(&r, "p")->stored, 7);
	peer_unsubscribe(p, "t", 0x11); /* that is on disk, too, then */
	rig_restart(&r, true, 0);
	p = peer_up_kept(&r, MQTT_V5, "p", true);
	peer_subscribe(p, "t", 0, "", 0x00);
	peer_publish(p, 0x0C, 7, "t", "", "again");
	peer_expect(p, "PUBREC m7 00");
	peer_ack(p, MQTT_PUBREL, 7);
	peer_expect(p, "PUBCOMP m7 00");
	rig_restart(&r, true, 0);
	p = peer_up_kept(&r, MQTT_V5, "p", true);
	peer_publish(p, 0x04, 7, "t", "", "another");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 t=another");
	peer_expect(p, "PUBREC m7 00");
	rig_fini(&r);
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

		rig_up_disk(&r, 1);
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

		rig_up_disk(&r, 1);
		(void)come_with_will(&r, "p", "00 00 00 00");
		rig_restart(&r, true, down_ms);
		q = peer_up(&r, MQTT_V5, "q");
		peer_subscribe(q, "w", 0, "", 0x00);
		p = peer_up_kept(&r, MQTT_V5, "p", down_ms == 0); /* an expired session is not resumed */
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
	rig_up_disk(&r, 1);
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
	m->peer = peer_come(r, m->id, clean);
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

		rig_up_disk(&r, RIG_LOOPS);
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

/* ---- memory ---- */

static void a_start_without_memory_fails_cleanly(void **state)
{
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct rig r;
		int rc;

		rig_up_disk(&r, 2);
		peer_subscribe(come_with_will(&r, "p", "00 00 00 32"), "t", 1, "", 0x01);
		peer_subscribe(peer_up_kept(&r, MQTT_V5, "q", false), "$share/g/t", 1, "", 0x01);
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
		cmocka_unit_test(a_start_without_memory_fails_cleanly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
