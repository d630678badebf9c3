/* A broker with a store: what is acknowledged when, and what it does while the disk or memory takes nothing. */
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

/* ---- what waits ---- */

static void connack_of_a_session_that_lasts_waits_for_the_disk(void **state)
{
	struct rig r;
	struct peer *p;

	(void)state;
	rig_up_disk(&r, 1);
	rig_disk_stands(&r, true);
	p = peer_come(&r, "p", false);
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
	rig_up_disk(&r, 1);
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
	rig_up_disk(&r, 1);
	p = peer_up_kept(&r, MQTT_V5, "p", false);
	peer_disconnect(p, 0);
	rig_run(&r, 5);
	rig_disk_stands(&r, true);
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, 0x02, "", "<p>");
	peer_quiet(p);
	rig_disk_stands(&r, false);
	peer_expect(p, "CONNACK s0 00");
	rig_restart(&r, true, 0);
	(void)peer_up_kept(&r, MQTT_V5, "p", false);
	rig_fini(&r);
}

static void messages_for_a_session_whose_connack_waits_come_behind_it(void **state)
{
	struct rig r;
	struct peer *p, *q;

	(void)state;
	rig_up_disk(&r, 1);
	p = peer_up_kept(&r, MQTT_V5, "p", false);
	peer_subscribe(p, "t", 1, "", 0x01);
	peer_disconnect(p, 0);
	rig_run(&r, 5);
	rig_disk_stands(&r, true);
	p = peer_come(&r, "p", false);
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
	rig_up_disk(&r, 1);
	p = peer_up_kept(&r, MQTT_V5, "p", false);
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
	rig_up_disk(&r, 1);
	p = peer_up_kept(&r, MQTT_V5, "p", false);
	rig_disk_stands(&r, true);
	peer_send(p, 0xE0, "00 [11 00 00 00 00]");
	peer_send(p, 0xC0, ""); /* nothing behind it is looked at */
	peer_quiet(p);
	rig_disk_stands(&r, false);
	peer_expect(p, "closed");
	rig_restart(&r, true, 0);
	p = peer_up_kept(&r, MQTT_V5, "p", false);
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
	rig_up_disk(&r, 1);
	q = peer_up_kept(&r, MQTT_V5, "q", false);
	rig_disk_stands(&r, true);
	p = peer_come(&r, "p", false);
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
	rig_up_disk(&r, 2);
	rig_disk_stands(&r, true);
	first = peer_come(&r, "p", false);
	rig_run(&r, 5);
	second = peer_come(&r, "p", false);
	cut = peer_come(&r, "cut", false);
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
	rig_up_disk(&r, 1);
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
	rig_up_disk(&r, 1);
	p = peer_up_kept(&r, MQTT_V5, "p", false);
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
	rig_up_disk(&r, 1);
	p = peer_open(&r, MQTT_V311);
	peer_connect(p, 0x00, "", "<p>"); /* it never expires: nothing is written when it goes and comes */
	peer_expect(p, "CONNACK s0 00");
	q = peer_up_kept(&r, MQTT_V5, "q", false);
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
	rig_up_disk(&r, 1);
	p = peer_up_kept(&r, MQTT_V5, "p", false);
	q = peer_up_kept(&r, MQTT_V5, "q", false);
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

		rig_up_disk(&r, 1);
		p = peer_up_kept(&r, MQTT_V5, "p", false);
		store_mem_fail(r.disk.disk, UINT_MAX, table[i].rc);
		q = peer_come(&r, "q", false); /* who finds out */
		peer_quiet(q);
		peer_expect(peer_come(&r, "r", false), table[i].connack);
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

		rig_up_disk(&r, 1);
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
		cmocka_unit_test(a_full_disk_refuses_what_would_have_to_be_kept),
		cmocka_unit_test(memory_that_is_missing_breaks_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
