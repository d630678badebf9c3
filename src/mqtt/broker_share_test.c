/* Share groups: who of the members gets a message, and that one does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "mqtt/broker_rig.h"

static void a_share_group_takes_turns_over_all_workers(void **state)
{
	struct rig r;
	struct peer *member[4], *plain, *from;
	unsigned got[4] = {0}, n = 400;
	char line[64];

	(void)state;
	rig_up(&r, 3);
	for (unsigned i = 0; i < 4; i++) {
		char id[] = {'m', (char)('0' + i), '\0'};

		member[i] = peer_up(&r, MQTT_V5, id);
		peer_subscribe(member[i], "$share/g/t/+", 1, "0B 03", 1);
	}
	plain = peer_up(&r, MQTT_V5, "plain");
	peer_subscribe(plain, "t/#", 0, "", 0);
	from = peer_up(&r, MQTT_V311, "from");
	for (unsigned i = 0; i < n; i++) {
		peer_publish(from, 2, 1, "t/x", "", "m");
		peer_expect(from, "PUBACK m1");
		peer_expect(plain, "PUBLISH d0 q0 r0 m0 t/x=m");
	}
	rig_run(&r, 10);
	for (unsigned i = 0; i < 4; i++) {
		while (member[i]->stream->out_len > 0) {
			got[i]++;
			snprintf(line, sizeof(line), "PUBLISH d0 q1 r0 m%u t/x=m ids=3", got[i]);
			peer_expect(member[i], line);
		}
		assert_in_range(got[i], n / 4 - 40, n / 4 + 40);
	}
	assert_int_equal(got[0] + got[1] + got[2] + got[3], n);
	rig_fini(&r);
}

static void a_share_group_whose_members_are_away_keeps_for_one_of_them(void **state)
{
	struct rig r;
	struct peer *a, *from;

	(void)state;
	for (uint32_t workers = 1; workers <= 3; workers++) {
		rig_up(&r, workers);
		a = peer_up_kept(&r, MQTT_V5, "a", false);
		peer_subscribe(a, "$share/g/t", 1, "", 1);
		from = peer_up(&r, MQTT_V5, "from");
		peer_cut(a);
		peer_publish(from, 2, 1, "t", "", "1");
		peer_expect(from, "PUBACK m1 00");
		peer_publish(from, 0, 0, "t", "", "lost");
		rig_run(&r, 5);
		a = peer_up_kept(&r, MQTT_V5, "a", true);
		peer_expect(a, "PUBLISH d0 q1 r0 m1 t=1");
		/* online again it gets all */
		peer_publish(from, 0, 0, "t", "", "2");
		peer_expect(a, "PUBLISH d0 q0 r0 m0 t=2");
		peer_unsubscribe(a, "$share/g/t", 0);
		peer_publish(from, 2, 2, "t", "", "3");
		peer_expect(from, "PUBACK m2 10");
		peer_unsubscribe(a, "$share/g/t", 0x11);
		rig_fini(&r);
	}
}

/* The connection has broken, and in the same turn, before it is cleared away, the message comes. */
static void a_share_group_keeps_what_comes_while_its_member_goes(void **state)
{
	struct rig r;
	struct peer *a, *from;

	(void)state;
	for (uint32_t workers = 1; workers <= 3; workers++) {
		rig_up(&r, workers);
		a = peer_up_kept(&r, MQTT_V5, "a", false);
		peer_subscribe(a, "$share/g/t", 1, "", 1);
		from = peer_up(&r, MQTT_V5, "from");
		rig_run(&r, 5);
		fake_end(a->stream, ERR_IO);
		peer_publish(from, 2, 1, "t", "", "1");
		peer_expect(from, "PUBACK m1 00");
		a = peer_up_kept(&r, MQTT_V5, "a", true);
		peer_expect(a, "PUBLISH d0 q1 r0 m1 t=1");
		rig_fini(&r);
	}
}

/*
 * The end of `a` and the message are seen in one turn, in the order that the world's dice say. true: the end was first, and `b` has
 * the message. Else it went with `a`, which was connected.
 */
static bool it_goes_to_the_other(unsigned throws)
{
	struct rig r;
	struct peer *a, *b, *from;
	bool got;

	rig_up(&r, 1);
	a = peer_up(&r, MQTT_V5, "a");
	b = peer_up_kept(&r, MQTT_V5, "b", false);
	peer_subscribe(a, "$share/g/t", 1, "", 1);
	peer_subscribe(b, "$share/g/t", 1, "", 1);
	from = peer_up(&r, MQTT_V5, "from");
	peer_cut(b);
	while (throws--)
		peer_ping(from);
	fake_end(a->stream, ERR_IO);
	peer_publish(from, 2, 1, "t", "", "1");
	peer_expect(from, "PUBACK m1 00");
	b = peer_up_kept(&r, MQTT_V5, "b", true);
	got = strcmp(peer_line(b), "(nothing)") != 0;
	rig_fini(&r);
	return got;
}

static void a_share_group_gives_nothing_to_a_session_that_ends(void **state)
{
	unsigned got = 0;

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		got += it_goes_to_the_other(i);
	assert_true(got > 0 && got < 16);
}

static void a_share_group_whose_members_are_away_fills_the_queues_of_all(void **state)
{
	struct broker_counters count;
	struct rig r;
	struct peer *p, *from;
	char text[2] = "0", line[] = "PUBLISH d0 q1 r0 m1 t=0";

	(void)state;
	for (uint32_t workers = 1; workers <= 3; workers++) {
		rig_init(&r, workers);
		r.config.max_queued_messages = 3;
		rig_start(&r);
		from = peer_up(&r, MQTT_V5, "from");
		/* one's queue is full before the other joins */
		p = peer_up_kept(&r, MQTT_V5, "a", false);
		peer_subscribe(p, "$share/g/t", 1, "", 1);
		peer_cut(p);
		for (uint16_t i = 0; i < 6; i++) {
			if (i == 3) {
				p = peer_up_kept(&r, MQTT_V5, "b", false);
				peer_subscribe(p, "$share/g/t", 1, "", 1);
				peer_cut(p);
			}
			text[0] = (char)('0' + i);
			peer_publish(from, 2, 1, "t", "", text);
			peer_expect(from, "PUBACK m1 00");
			rig_run(&r, 5);
		}
		broker_counters(r.broker, &count);
		assert_int_equal(count.dropped_queue_full + count.dropped_no_member, 0);
		for (uint16_t i = 0; i < 6; i++) {
			if (i % 3 == 0)
				p = peer_up_kept(&r, MQTT_V5, i ? "b" : "a", true);
			line[18] = (char)('1' + i % 3);
			line[22] = (char)('0' + i);
			peer_expect(p, line);
		}
		rig_fini(&r);
	}
}

static void groups_of_one_filter_get_one_message_each(void **state)
{
	struct rig r;
	struct peer *p, *from;

	(void)state;
	rig_up(&r, 2);
	p = peer_up(&r, MQTT_V311, "p");
	peer_subscribe(p, "$share/g/t", 0, "", 0);
	peer_subscribe(p, "$share/h/t", 0, "", 0);
	peer_subscribe(p, "t", 0, "", 0);
	from = peer_up(&r, MQTT_V311, "from");
	peer_publish(from, 0, 0, "t", "", "x");
	for (unsigned i = 0; i < 3; i++)
		peer_expect(p, "PUBLISH d0 q0 r0 m0 t=x");
	peer_quiet(p);
	rig_fini(&r);
}

static void groups_that_are_gone_cost_nothing_and_are_not_counted(void **state)
{
	struct rig r;
	struct peer *p, *from;
	struct broker_counters count;

	(void)state;
	rig_up(&r, 2);
	p = peer_up(&r, MQTT_V311, "p");
	peer_subscribe(p, "t", 0, "", 0);
	for (unsigned i = 0; i < 20; i++) {
		char filter[] = {'$', 's', 'h', 'a', 'r', 'e', '/', (char)('a' + i), '/', 't', '\0'};

		peer_subscribe(p, filter, 0, "", 0);
		peer_unsubscribe(p, filter, 0);
	}
	from = peer_up(&r, MQTT_V311, "from");
	peer_publish(from, 0, 0, "t", "", "x");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 t=x");
	broker_counters(r.broker, &count);
	assert_int_equal(count.dropped_no_member, 0);
	rig_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_share_group_takes_turns_over_all_workers),
		cmocka_unit_test(a_share_group_whose_members_are_away_keeps_for_one_of_them),
		cmocka_unit_test(a_share_group_keeps_what_comes_while_its_member_goes),
		cmocka_unit_test(a_share_group_gives_nothing_to_a_session_that_ends),
		cmocka_unit_test(a_share_group_whose_members_are_away_fills_the_queues_of_all),
		cmocka_unit_test(groups_of_one_filter_get_one_message_each),
		cmocka_unit_test(groups_that_are_gone_cost_nothing_and_are_not_counted),
	};

	return cmocka_run_group_tests_name("mqtt_broker_share", tests, NULL, NULL);
}
