/* Sessions and retained messages that come from elsewhere while a broker runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "mqtt/broker_rig.h"
#include "mqtt/import.h"
#include "mqtt/session.h"

#define SPAN(text) span_of(text, sizeof(text) - 1)
#define ROWS       600u /* several pieces */

struct one {
	struct broker_import import;
	bool is_done;
	struct store_op ops[ROWS + 8];
};

static void done(struct broker_import *i)
{
	container_of(i, struct one, import)->is_done = true;
}

static struct store_op row(const char *payload, uint8_t state, uint16_t packet_id)
{
	return (struct store_op){
		.kind = STORE_OP_ROW,
		.row = {.qos = state == STORE_WAITS ? 1 : 2,
			.state = state,
			.packet_id = packet_id,
			.msg = {.topic = SPAN("t"), .payload = span_of(payload, strlen(payload)), .qos = 1}}};
}

/* Client "p", subscribed to s/#, with so many messages that wait, and one of each other kind. */
static void session_ask(struct one *o, size_t rows, bool replace)
{
	size_t n = 0;

	*o = (struct one){.import = {.ops = o->ops, .replace = replace, .done = done}};
	o->ops[n++] = (struct store_op){.kind = STORE_OP_SESSION,
					.session = {.client_id = SPAN("p"), .expiry_s = EXPIRY_NEVER}};
	o->ops[n++] =
		(struct store_op){.kind = STORE_OP_SUB, .sub = {.filter = SPAN("s/#"), .qos = 1, .id = 7}};
	o->ops[n++] = (struct store_op){.kind = STORE_OP_RECEIVED, .row = {.packet_id = 9}};
	o->ops[n++] = row("", STORE_RELEASED, 5);
	for (size_t i = 0; i < rows; i++)
		o->ops[n++] = row("m", STORE_WAITS, 0);
	o->import.nops = n;
}

static void retained_ask(struct one *o, bool replace)
{
	*o = (struct one){.import = {.ops = o->ops, .nops = 2, .replace = replace, .done = done}};
	for (unsigned i = 0; i < 2; i++)
		o->ops[i] = (struct store_op){.kind = STORE_OP_RETAINED,
					      .retained = {.msg = {.topic = i ? SPAN("r/1") : SPAN("r/0"),
								   .payload = SPAN("file"),
								   .qos = 1,
								   .retain = true}}};
}

static void finish(struct rig *r, struct one *o, int rc, size_t kept)
{
	for (unsigned i = 0; i < 1000 && !o->is_done; i++)
		rig_run(r, 1);
	assert_true(o->is_done);
	assert_int_equal(o->import.rc, rc);
	assert_int_equal(o->import.kept, kept);
}

static void up(struct rig *r, uint32_t nworkers)
{
	rig_init(r, nworkers);
	rig_disk(r);
	rig_start(r);
}

/* Its client comes and gets everything. */
static void expect_all(struct rig *r, size_t rows)
{
	struct peer *p = peer_open(r, MQTT_V311), *q;

	peer_connect(p, 0x00, "", "<p>");
	peer_expect(p, "CONNACK s1 00");
	peer_expect(p, "PUBREL m5");
	peer_ack(p, MQTT_PUBCOMP, 5);
	for (uint16_t i = 0; i < rows; i++) {
		unsigned id = 0;

		assert_int_equal(sscanf(peer_line(p), "PUBLISH d0 q1 r0 m%u t=m", &id), 1);
		peer_ack(p, MQTT_PUBACK, (uint16_t)id);
	}
	q = peer_up(r, MQTT_V5, "q");
	peer_publish(q, 0, 0, "s/x", "", "live");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 s/x=live");
	peer_disconnect(q, 0);
	peer_disconnect(p, 0);
	rig_run(r, 10);
}

static uint64_t sessions(const struct rig *r)
{
	struct broker_totals t;

	broker_totals(r->broker, &t);
	return t.sum.sessions;
}

static void a_session_is_served_at_once(void **state)
{
	static struct one o;
	struct rig r;

	(void)state;
	for (uint32_t workers = 1; workers <= 3; workers += 2) {
		up(&r, workers);
		session_ask(&o, ROWS, false);
		broker_import(r.broker, &o.import);
		finish(&r, &o, OK, 0);
		expect_all(&r, ROWS);
		rig_fini(&r);
	}
}

static void a_session_is_there_after_a_crash(void **state)
{
	static struct one o;
	struct rig r;

	(void)state;
	up(&r, 3);
	session_ask(&o, ROWS, false);
	broker_import(r.broker, &o.import);
	finish(&r, &o, OK, 0);
	rig_restart(&r, true, 1000);
	expect_all(&r, ROWS);
	rig_fini(&r);
}

static void nothing_is_there_before_all_of_it_is_on_disk(void **state)
{
	static struct one o;
	struct rig r;

	(void)state;
	up(&r, 2);
	rig_disk_stands(&r, true);
	session_ask(&o, ROWS, false);
	broker_import(r.broker, &o.import);
	rig_run(&r, 100);
	assert_false(o.is_done);
	assert_int_equal(sessions(&r), 0);
	rig_fini(&r); /* it is given back */
	assert_true(o.is_done);
	assert_int_equal(o.import.rc, ERR_IO);
}

/* Cut after every step of the world: there is all of it, or nothing. */
static void a_crash_in_the_midst_leaves_nothing_of_it(void **state)
{
	static struct one o;
	bool was_done = false;
	struct rig r;

	(void)state;
	for (unsigned ms = 0; !was_done; ms++) {
		up(&r, 2);
		session_ask(&o, ROWS, false);
		broker_import(r.broker, &o.import);
		rig_run(&r, ms);
		was_done = o.is_done;
		rig_restart(&r, true, 1000);
		rig_run(&r, 50);
		if (sessions(&r) || was_done) {
			expect_all(&r, ROWS);
		} else {
			session_ask(&o, 2, false); /* its id is free */
			broker_import(r.broker, &o.import);
			finish(&r, &o, OK, 0);
			expect_all(&r, 2);
		}
		rig_fini(&r);
	}
}

static void a_client_that_comes_meanwhile_has_its_own(void **state)
{
	static struct one o;
	struct peer *p;
	struct rig r;

	(void)state;
	up(&r, 1);
	rig_disk_stands(&r, true);
	session_ask(&o, 3, false);
	broker_import(r.broker, &o.import);
	rig_run(&r, 10);
	p = peer_open(&r, MQTT_V311);
	peer_connect(p, 0x00, "", "<p>");
	rig_run(&r, 10);
	rig_disk_stands(&r, false);
	peer_expect(p, "CONNACK s0 00");
	finish(&r, &o, OK, 1);
	peer_ping(p);
	peer_disconnect(p, 0);
	rig_restart(&r, true, 0);
	assert_int_equal(sessions(&r), 1);
	rig_fini(&r);
}

static void what_is_there_stays_or_is_replaced(void **state)
{
	static struct one o;
	struct peer *other, *p;
	struct rig r;

	(void)state;
	up(&r, 3);
	other = peer_up(&r, MQTT_V5,
			"other"); /* so that p is on another worker than its hash says, for some */
	p = peer_up_kept(&r, MQTT_V5, "p", false);
	session_ask(&o, 4, false);
	broker_import(r.broker, &o.import);
	finish(&r, &o, OK, 1);
	peer_ping(p);
	session_ask(&o, 4, true);
	broker_import(r.broker, &o.import);
	finish(&r, &o, OK, 0);
	peer_expect(p, "DISCONNECT 8E");
	expect_all(&r, 4);
	rig_restart(&r, true, 0);
	assert_int_equal(sessions(&r), 1);
	peer_cut(other);
	rig_fini(&r);
}

static void retained_messages_come_and_stay(void **state)
{
	static struct one o;
	struct peer *p;
	struct rig r;

	(void)state;
	up(&r, 2);
	p = peer_up(&r, MQTT_V5, "p");
	peer_subscribe(p, "r/#", 1, "", 0x01);
	peer_publish(p, 3, 1, "r/1", "", "there");
	(void)peer_line(p);
	(void)peer_line(p);
	retained_ask(&o, false);
	broker_import(r.broker, &o.import);
	finish(&r, &o, OK, 1);
	peer_quiet(p); /* it is no news */
	rig_restart(&r, true, 0);
	p = peer_up(&r, MQTT_V5, "p");
	peer_subscribe(p, "r/0", 0, "", 0x00);
	peer_expect(p, "PUBLISH d0 q0 r1 m0 r/0=file");
	peer_subscribe(p, "r/1", 0, "", 0x00);
	peer_expect(p, "PUBLISH d0 q0 r1 m0 r/1=there");
	retained_ask(&o, true);
	broker_import(r.broker, &o.import);
	finish(&r, &o, OK, 0);
	peer_subscribe(p, "r/1", 0, "", 0x00);
	peer_expect(p, "PUBLISH d0 q0 r1 m0 r/1=file");
	rig_fini(&r);
}

static void without_room_it_is_refused(void **state)
{
	static struct one o;
	struct rig r;

	(void)state;
	rig_init(&r, 1);
	r.config.max_sessions = 1;
	rig_disk(&r);
	rig_start(&r);
	(void)peer_up_kept(&r, MQTT_V5, "q", false);
	session_ask(&o, 2, false);
	broker_import(r.broker, &o.import);
	finish(&r, &o, ERR_FULL, 0);
	assert_string_equal(o.import.why, "max_sessions or memory_limit is reached");
	rig_restart(&r, true, 0);
	assert_int_equal(sessions(&r), 1);
	rig_fini(&r);
}

static void without_memory_it_is_there_as_a_whole_or_not_at_all(void **state)
{
	static struct one o;
	bool failed = true;
	struct rig r;

	(void)state;
	for (unsigned n = 1; failed; n++) {
		up(&r, 1);
		session_ask(&o, 3, false);
		alloc_fail_at(n);
		broker_import(r.broker, &o.import);
		for (unsigned i = 0; i < 1000 && !o.is_done; i++)
			rig_run(&r, 1);
		failed = alloc_fail_end();
		for (unsigned i = 0; i < 5000 && !o.is_done; i++) /* the store tries again */
			rig_run(&r, 1);
		assert_true(o.is_done);
		if (o.import.rc < 0) {
			assert_int_equal(o.import.rc, ERR_NOMEM);
			assert_int_equal(sessions(&r), 0);
			session_ask(&o, 3, false);
			broker_import(r.broker, &o.import);
			finish(&r, &o, OK, 0);
		}
		expect_all(&r, 3);
		rig_fini(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_is_served_at_once),
		cmocka_unit_test(a_session_is_there_after_a_crash),
		cmocka_unit_test(nothing_is_there_before_all_of_it_is_on_disk),
		cmocka_unit_test(a_crash_in_the_midst_leaves_nothing_of_it),
		cmocka_unit_test(a_client_that_comes_meanwhile_has_its_own),
		cmocka_unit_test(what_is_there_stays_or_is_replaced),
		cmocka_unit_test(retained_messages_come_and_stay),
		cmocka_unit_test(without_room_it_is_refused),
		cmocka_unit_test(without_memory_it_is_there_as_a_whole_or_not_at_all),
	};

	return cmocka_run_group_tests_name("import", tests, NULL, NULL);
}
