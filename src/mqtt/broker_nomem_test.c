/* The broker with the first, second, third... allocation failing: nothing breaks or leaks, and other clients are served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "mqtt/broker_rig.h"

static void a_broker_without_memory_is_not_made(void **state)
{
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct rig r;
		int rc;

		rig_init(&r, 2);
		alloc_fail_at(n);
		rc = broker_create(&r.config, r.loops, r.nloops, &r.broker);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		assert_true(hit == !r.broker);
		rig_fini(&r);
	}
}

static void ignore_message(void *arg, const struct mqtt_publish *m)
{
	(void)arg;
	(void)m;
}

static void a_port_without_memory_is_not_opened(void **state)
{
	static const struct mqtt_port_ops ops = {.message = ignore_message};
	struct mqtt_publish m = {.qos = 1, .topic = span_str("t"), .payload = span_str("x"), .retain = true};
	bool hit = true;

	(void)state;
	mqtt_props_clear(&m.props);
	for (long n = 1; hit; n++) {
		struct rig r;
		struct mqtt_port *port = NULL, *other = NULL;
		struct loop *loops[2];

		rig_up(&r, 1);
		assert_int_equal(sim_loop_create(r.world, &loops[0]), OK);
		assert_int_equal(sim_loop_create(r.world, &loops[1]), OK);
		assert_int_equal(mqtt_port_open(r.broker, loops[1], &ops, NULL, &other), OK);
		alloc_fail_at(n);
		if (mqtt_port_open(r.broker, loops[0], &ops, NULL, &port) == OK) {
			(void)!mqtt_port_subscribe(port, span_str("t/#"));
			(void)!mqtt_port_subscribe(port, span_str("$share/g/t"));
			(void)!mqtt_port_subscribe(other, span_str("#"));
			(void)!mqtt_port_publish(port, &m);
			(void)!mqtt_port_publish(other, &m);
			mqtt_port_unsubscribe(port, span_str("t/#"));
		}
		hit = alloc_fail_end();
		rig_run(&r, 5);
		rig_fini(&r);
	}
}

/* All that a session does. What comes back is not looked at: anything may be missing. */
static void much_of_everything(struct rig *r, struct peer *p, struct peer *q)
{
	peer_connect(p, 0x0C, "11 00 00 00 64 17 01 19 01 22 00 04 27 00 00 10 00",
		     "<p> [18 00 00 00 01] <w> <bye>");
	peer_connect(q, 0x02, "", "<q>");
	rig_run(r, 3);
	peer_send(p, 0x82, "00 01 [0B 01] <t/+> 02 <t/#> 01 <$share/g/t/x> 02 <r/#> 02");
	peer_send(q, 0x82, "00 02 <$share/g/t/x> 01 <$share/h/t/x> 01 <t/x> 02 <w> 00");
	rig_run(r, 3);
	peer_publish(q, 0, 0, "t/x", "", "zero");
	peer_publish(q, 2, 1, "t/x", "", "one");
	peer_publish(q, 4, 2, "t/x", "", "two");
	peer_publish(q, 1, 0, "r/a/b", "", "kept");
	peer_publish(q, 3, 3, "r/a/b", "", "kept too");
	peer_publish(p, 2, 1, "t/x", "23 00 01 26 <k> <v> 02 00 00 00 05", "alias");
	peer_publish(p, 5, 2, "", "23 00 01 03 <c>", "alias two");
	rig_run(r, 3);
	peer_ack(p, MQTT_PUBREC, 1);
	peer_ack(p, MQTT_PUBACK, 2);
	peer_ack(q, MQTT_PUBREL, 2);
	peer_send(p, 0x82, "00 03 [] <r/#> 01");
	peer_send(q, 0xA2, "00 04 <t/x> <$share/h/t/x>");
	peer_publish(q, 1, 0, "r/a/b", "", "");
	rig_run(r, 3);
}

static struct peer *peer_again(struct rig *r, const char *id)
{
	struct peer *p = peer_open(r, MQTT_V5);
	char payload[16];

	snprintf(payload, sizeof(payload), "<%s>", id);
	peer_connect(p, 0x00, "11 00 00 00 64", payload);
	rig_run(r, 3);
	return p;
}

static void check_served(struct peer *calm)
{
	/* it may have been closed when the memory was missing for it, but if not, it is served in full */
	while (calm->stream->out_len > calm->stream->out_off)
		(void)peer_line(calm);
	assert_false(calm->stream->is_closed);
	peer_publish(calm, 2, 9, "calm", "", "still here");
	peer_expect(calm, "PUBLISH d0 q0 r0 m0 calm=still here");
	peer_expect(calm, "PUBACK m9 00");
}

static void drop_all(struct peer *p, struct peer *q)
{
	fake_end(p->stream, ERR_IO);
	fake_end(q->stream, ERR_CLOSED);
	rig_run(p->rig, 3);
}

static void every_allocation_may_fail_and_others_are_served(void **state)
{
	bool hit = true;

	(void)state;
	for (uint32_t workers = 1; workers <= 3; workers++) {
		hit = true;
		for (long n = 1; hit; n++) {
			struct rig r;
			struct peer *calm, *p, *q, *last;

			rig_init(&r, workers);
			if (workers == 3)
				r.config.feed_list_max = 0; /* retained messages are not listed */
			rig_start(&r);
			calm = peer_up(&r, MQTT_V5, "calm");
			peer_subscribe(calm, "calm", 0, "", 0);
			p = peer_open(&r, MQTT_V5);
			q = peer_open(&r, MQTT_V311);
			rig_run(&r, 3);
			alloc_fail_at(n);
			much_of_everything(&r, p, q);
			drop_all(p, q);
			hit = alloc_fail_end();
			rig_run(&r, 2000); /* the will's delay */
			check_served(calm);
			/* and who was hit can come again */
			last = peer_again(&r, "p");
			while (last->stream->out_len > last->stream->out_off)
				(void)peer_line(last);
			peer_ping(last);
			rig_fini(&r);
		}
	}
}

/* covers 3.1.1 [MQTT-4.8.0-2] */
static void without_memory_a_packet_is_answered_or_its_connection_closed(void **state)
{
	static const struct {
		uint8_t first;
		const char *body;
	} packets[] = {
		{0x32, "<t/x> 00 01 'x'"}, {0x33, "<t/y> 00 01 'x'"},      {0x34, "<t/x> 00 01 'x'"},
		{0x82, "00 01 <t/+> 02"},  {0xA2, "00 01 <calm> <other>"},
	};

	unsigned hits = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
		bool hit = true;

		for (long n = 1; hit; n++) {
			struct rig r;
			struct peer *p;

			rig_up(&r, 2);
			p = peer_up(&r, MQTT_V311, "p");
			peer_subscribe(p, "calm", 0, "", 0);
			alloc_fail_at(n);
			peer_send(p, packets[i].first, packets[i].body);
			rig_run(&r, 3);
			hit = alloc_fail_end();
			hits += hit;
			assert_true(p->stream->is_closed || p->stream->out_len > p->stream->out_off);
			rig_fini(&r);
		}
	}
	assert_true(hits > 5);
}

static void a_redirect_without_memory_changes_nothing(void **state)
{
	bool hit = true;

	(void)state;
	for (long n = 1; hit; n++) {
		struct rig r;
		struct peer *p;
		int rc;

		rig_up(&r, 2);
		p = peer_up(&r, MQTT_V5, "a");
		alloc_fail_at(n);
		rc = broker_redirect(r.broker, "elsewhere", false);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		if (hit)
			peer_ping(p);
		else
			peer_expect(p, "DISCONNECT 9C");
		rig_fini(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_broker_without_memory_is_not_made),
		cmocka_unit_test(a_port_without_memory_is_not_opened),
		cmocka_unit_test(every_allocation_may_fail_and_others_are_served),
		cmocka_unit_test(without_memory_a_packet_is_answered_or_its_connection_closed),
		cmocka_unit_test(a_redirect_without_memory_changes_nothing),
	};

	return cmocka_run_group_tests_name("mqtt_broker_nomem", tests, NULL, NULL);
}
