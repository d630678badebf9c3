/* Uplinks as a whole, on simulated time and wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc_fail.h"
#include "uplinks/uplink_rig.h"

static void expect(struct rig *r, struct rig_side *side, size_t n, const char *line)
{
	rig_wait_seen(r, side, n);
	assert_string_equal(side->seen[n - 1], line);
}

/* Nothing more comes for a while. */
static void expect_no_more(struct rig *r, const struct rig_side *side, size_t n)
{
	rig_run(r, 5000);
	if (side->nseen > n)
		fail_msg("%s", side->seen[n]);
}

static void publish_numbers(struct rig *r, const char *topic, unsigned from, unsigned to)
{
	char text[16];

	for (unsigned i = from; i <= to; i++) {
		snprintf(text, sizeof(text), "%u", i);
		rig_publish(&r->here, topic, text, 1, false);
	}
}

/* The number that stands behind "topic=", or -1. */
static long number_of(const char *line, const char *topic)
{
	size_t n = strlen(topic);

	return strncmp(line, topic, n) == 0 && line[n] == '=' ? atol(line + n + 1) : -1;
}

/* Each of from..to was seen; those that came for the first time came in order. How often something came again. */
static unsigned check_all_seen(const struct rig_side *side, const char *topic, long from, long to)
{
	long next = from;
	unsigned again = 0;

	for (size_t i = 0; i < side->nseen; i++) {
		long n = number_of(side->seen[i], topic);

		if (n < from || n > to)
			continue;
		if (n > next)
			fail_msg("%s: %ld came before %ld", topic, n, next);
		again += n < next;
		next += n == next;
	}
	if (next != to + 1)
		fail_msg("%s: %ld did not come", topic, next);
	return again;
}

/* ---- up ---- */

static void records_go_up_in_order_renamed_and_with_their_retain_flag(void **state)
{
	(void)state;
	for (int v = MQTT_V311; v <= MQTT_V5; v++) {
		struct rig r;

		rig_init(&r, 1, 2);
		r.cfg.version = v;
		rig_up(&r, "none", "#");
		rig_publish(&r.here, "a/b", "1", 1, false);
		rig_publish(&r.here, "a/b", "2", 0, true);
		rig_publish(&r.here, "x/y/z", "3", 2, true);
		rig_publish(&r.here, "x/y", "4", 1, false); /* the template wants three levels */
		rig_publish(&r.here, "b", "5", 1, false);
		expect(&r, &r.there, 1, "a/b=1");
		/* a port is no subscriber that is told of RETAIN: what is retained there is looked at below */
		rig_wait_seen(&r, &r.there, 3);
		assert_int_equal(number_of(r.there.seen[1], "a/b"), 2);
		assert_int_equal(number_of(r.there.seen[2], "x/y/z/z"), 3);
		expect_no_more(&r, &r.there, 3);
		assert_int_equal(rig_status(&r).acknowledged, 3);
		assert_int_equal(rig_status(&r).queued_messages, 0);
		assert_int_equal(rig_status(&r).dropped.unmapped, 1);
		struct broker_totals t;

		broker_totals(r.there.broker, &t);
		assert_int_equal(t.retained_messages, 1);
		rig_fini(&r);
	}
}

static void what_is_published_while_the_remote_broker_is_away_comes_after_it_is_back(void **state)
{
	(void)state;
	for (int v = MQTT_V311; v <= MQTT_V5; v++)
		for (int qos = 0; qos < 2; qos++) {
			struct rig r;

			rig_init(&r, (uint64_t)v, 3);
			r.cfg.version = v;
			r.cfg.qos = (uint8_t)qos;
			rig_up(&r, "none", "#");
			publish_numbers(&r, "a/t", 1, 10);
			rig_wait_seen(&r, &r.there, 10);
			rig_cut(&r);
			publish_numbers(&r, "a/t", 11, 700);
			rig_run(&r, 30000);
			assert_int_equal(rig_status(&r).state, UPLINK_OFFLINE);
			assert_true(rig_status(&r).queued_messages > 600);
			assert_true(rig_status(&r).last_error[0]);
			publish_numbers(&r, "a/t", 701, 710);
			rig_heal(&r);
			publish_numbers(&r, "a/t", 711, 720);
			rig_wait_state(&r, UPLINK_ONLINE);
			rig_run(&r, 5000);
			/* with QoS 0 what was written when the connection broke may be gone */
			if (qos)
				check_all_seen(&r.there, "a/t", 1, 720);
			else
				check_all_seen(&r.there, "a/t", 300, 720);
			assert_int_equal(rig_status(&r).queued_messages, 0);
			rig_fini(&r);
		}
}

static void late_records_say_so(void **state)
{
	struct rig r;
	char payload[64], line[128];
	int64_t ts;

	(void)state;
	rig_init(&r, 3, 1);
	rig_up(&r, "none", "#");
	rig_cut(&r);
	rig_run(&r, 1000);
	ts = loop_wall_ms(r.loop);
	snprintf(payload, sizeof(payload), "{\"value\":1.50,\"ts\":%lld}", (long long)ts);
	rig_publish(&r.here, "a/old", payload, 1, false);
	rig_publish(&r.here, "a/text", "ts", 1, false);
	rig_run(&r, 20000);
	snprintf(payload, sizeof(payload), "{\"value\":2,\"ts\":%lld}", (long long)loop_wall_ms(r.loop));
	rig_publish(&r.here, "a/new", payload, 1, false);
	rig_heal(&r);
	snprintf(line, sizeof(line), "a/old={\"value\":1.50,\"ts\":%lld,\"historical\":true}", (long long)ts);
	expect(&r, &r.there, 1, line);
	expect(&r, &r.there, 2, "a/text=ts");
	snprintf(line, sizeof(line), "a/new=%s", payload);
	expect(&r, &r.there, 3, line);
	rig_fini(&r);
}

/* Cuts, partial reads and writes on both sides, and the uplink begun anew now and then: nothing is lost, and each tag is in order. */
static void nothing_is_lost_whatever_breaks(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct rig r;
		struct sim_net_faults faults = {
			.max_delay_us = 3000, .buffer = 4096, .partial_one_in = 5, .cut_one_in = 150};
		char topic[16];
		unsigned n = 0;

		rig_init(&r, seed, 1 + (uint32_t)(seed % 4));
		r.cfg.version = seed % 2 ? MQTT_V5 : MQTT_V311;
		rig_up(&r, "none", "#");
		sim_net_set_faults(r.there.net, &faults);
		faults.cut_one_in = 2000;
		sim_net_set_faults(r.here.net, &faults);
		for (int round = 0; round < 60; round++) {
			for (int tag = 0; tag < 5; tag++) {
				snprintf(topic, sizeof(topic), "a/%d", tag);
				publish_numbers(&r, topic, n + 1, n + 10);
			}
			n += 10;
			rig_run(&r, sim_random(r.world, 300));
			if (round % 20 == 10) {
				uplink_destroy(r.uplink);
				rig_uplink(&r);
			}
		}
		faults = (struct sim_net_faults){.max_delay_us = 1000, .buffer = 65536};
		sim_net_set_faults(r.there.net, &faults);
		sim_net_set_faults(r.here.net, &faults);
		rig_run(&r, 120000);
		print_message("# seed %u: %zu lines\n", (unsigned)seed, r.there.nseen);
		for (int tag = 0; tag < 5; tag++) {
			snprintf(topic, sizeof(topic), "a/%d", tag);
			check_all_seen(&r.there, topic, 1, n);
		}
		assert_int_equal(rig_status(&r).queued_messages, 0);
		rig_fini(&r);
	}
}

/* ---- buffer ---- */

static void what_is_missing_after_a_full_buffer_is_what_was_counted(void **state)
{
	(void)state;
	for (int oldest = 0; oldest < 2; oldest++) {
		struct rig r;
		uint64_t dropped;

		rig_init(&r, 5, 2);
		r.cfg.buffer = (struct config_uplink_buffer){.max_bytes = 50000, .drop_oldest = oldest};
		rig_up(&r, "none", "#");
		rig_cut(&r);
		rig_run(&r, 1000);
		for (unsigned n = 0; n < 3000; n += 100) {
			publish_numbers(&r, "a/t", n + 1, n + 100);
			rig_run(&r, 10);
		}
		dropped = oldest ? rig_status(&r).dropped.queue_oldest : rig_status(&r).dropped.queue_full;
		assert_true(dropped > 1000);
		rig_heal(&r);
		rig_wait_state(&r, UPLINK_ONLINE);
		rig_run(&r, 10000);
		assert_int_equal(r.there.nseen + dropped, 3000);
		if (oldest)
			assert_int_equal(number_of(r.there.seen[r.there.nseen - 1], "a/t"), 3000);
		rig_fini(&r);
	}
}

static void a_large_backlog_does_not_hold_up_live_values(void **state)
{
	struct rig r;
	size_t before;

	(void)state;
	rig_init(&r, 6, 2);
	r.cfg.drain_rate = 1000;
	rig_up(&r, "none", "#");
	for (int outage = 0; outage < 3; outage++) {
		unsigned from = 1 + 20000 * (unsigned)outage;
		char topic[16];

		snprintf(topic, sizeof(topic), "a/live%d", outage);
		rig_cut(&r);
		rig_run(&r, 1000);
		publish_numbers(&r, "a/t", from, from + 9999);
		rig_run(&r, 1000);
		rig_heal(&r);
		rig_wait_state(&r, UPLINK_DRAINING);
		rig_run(&r, 1000); /* both have the filters for a moment */
		before = r.there.nseen;
		assert_true(rig_status(&r).queued_messages > 7000);
		publish_numbers(&r, topic, 1, 50);
		rig_run(&r, 100);
		check_all_seen(&r.there, topic, 1, 50);
		assert_true(r.there.nseen - before < 50 + 300); /* at the rate that was asked for */
		rig_wait_state(&r, UPLINK_ONLINE);
		check_all_seen(&r.there, "a/t", from, from + 9999);
	}
	rig_fini(&r);
}

static void a_backlog_survives_a_new_beginning_in_any_phase(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct rig r;
		char text[16];
		unsigned n = 0;

		rig_init(&r, seed, 1 + (uint32_t)(seed % 3));
		r.cfg.drain_rate = 500;
		rig_up(&r, "none", "#");
		rig_cut(&r);
		rig_run(&r, 1000);
		publish_numbers(&r, "a/t", 1, 2000);
		rig_heal(&r);
		for (int i = 0; i < 5; i++) {
			rig_run(&r, sim_random(r.world, 1500));
			uplink_destroy(r.uplink);
			rig_uplink(&r);
			for (int k = 0; k < 20; k++) {
				snprintf(text, sizeof(text), "%u", ++n);
				rig_publish(&r.here, "a/live", text, 1, false);
				rig_run(&r, sim_random(r.world, 30));
			}
		}
		rig_wait_state(&r, UPLINK_ONLINE);
		rig_run(&r, 10000);
		check_all_seen(&r.there, "a/t", 1, 2000);
		check_all_seen(&r.there, "a/live", 1, n);
		assert_int_equal(rig_status(&r).queued_messages, 0);
		rig_fini(&r);
	}
}

/* ---- refusals ---- */

static void what_the_remote_broker_refuses_is_counted_and_dropped(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 7, 1);
	r.there.refused = "a/bad";
	rig_up(&r, "none", "#");
	rig_publish(&r.here, "a/1", "x", 1, false);
	rig_publish(&r.here, "a/bad", "x", 1, false);
	rig_publish(&r.here, "a/2", "x", 1, false);
	expect(&r, &r.there, 2, "a/2=x");
	expect_no_more(&r, &r.there, 2);
	assert_int_equal(rig_status(&r).dropped.refused, 1);
	assert_int_equal(rig_status(&r).queued_messages, 0);
	assert_string_equal(rig_status(&r).last_error, "\"a/bad\" is dropped: not authorized");
	rig_fini(&r);
}

static void what_is_too_large_for_the_remote_broker_does_not_stop_the_rest(void **state)
{
	static char large[5000];

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	for (int v = MQTT_V311; v <= MQTT_V5; v++) {
		struct rig r;

		rig_init(&r, 8, 1);
		r.cfg.version = v;
		r.there.config.max_packet_size = 2000;
		rig_up(&r, "none", "#");
		publish_numbers(&r, "a/t", 1, 5);
		rig_publish(&r.here, "a/large", large, 1, false);
		publish_numbers(&r, "a/t", 6, 10);
		rig_run(&r, 120000);
		check_all_seen(&r.there, "a/t", 1, 10);
		assert_int_equal(rig_status(&r).dropped.refused, 1);
		assert_int_equal(rig_status(&r).queued_messages, 0);
		rig_fini(&r);
	}
}

/* ---- down, and round and round ---- */

static struct config_uplink_map down[] = {
	{.filter = "cmd/#", .strip = "cmd/", .prefix = "d/", .retain = true}};

static void messages_come_down_renamed(void **state)
{
	(void)state;
	for (int v = MQTT_V311; v <= MQTT_V5; v++) {
		struct rig r;

		rig_init(&r, 9, 2);
		r.cfg.version = v;
		r.cfg.subscribe = down;
		r.cfg.nsubscribe = 1;
		r.here.refused = "d/no";
		rig_up(&r, "#", "none");
		rig_run(&r, 1000);
		rig_publish(&r.there, "cmd/a/b", "1", 1, false);
		rig_publish(&r.there, "cmd/no/b", "2", 1, false);
		rig_publish(&r.there, "cmd/c", "3", 0, false);
		rig_publish(&r.there, "other", "4", 0, false);
		expect(&r, &r.here, 1, "d/a/b=1");
		expect(&r, &r.here, 2, "d/c=3");
		expect_no_more(&r, &r.here, 2);
		assert_int_equal(rig_status(&r).received, 2);
		assert_int_equal(rig_status(&r).dropped.not_taken, 1);
		rig_fini(&r);
	}
}

static void messages_that_came_down_while_away_are_not_lost(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r, 10, 2);
	r.cfg.subscribe = down;
	r.cfg.nsubscribe = 1;
	rig_up(&r, "#", "none");
	rig_run(&r, 1000);
	rig_cut(&r);
	rig_run(&r, 1000);
	for (int i = 1; i <= 200; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", i);
		rig_publish(&r.there, "cmd/n", text, 1, false);
	}
	rig_heal(&r);
	rig_wait_seen(&r, &r.here, 200);
	check_all_seen(&r.here, "d/n", 1, 200);
	rig_fini(&r);
}

static void both_directions_may_overlap(void **state)
{
	static struct config_uplink_map both[] = {{.filter = "a/#", .retain = true}};

	(void)state;
	for (int v = MQTT_V311; v <= MQTT_V5; v++) {
		struct rig r;

		rig_init(&r, 11, 2);
		r.cfg.version = v;
		r.cfg.subscribe = both;
		r.cfg.nsubscribe = 1;
		rig_up(&r, "a/#", "a/#");
		rig_run(&r, 1000);
		for (int i = 0; i < 50; i++) {
			rig_publish(&r.here, "a/here", "x", 1, false);
			rig_publish(&r.there, "a/there", "y", 1, false);
		}
		rig_run(&r, 10000);
		assert_int_equal(r.here.nseen, 100);
		assert_int_equal(r.there.nseen, 100);
		/* also when what came down waited in the buffer */
		rig_cut(&r);
		rig_publish(&r.there, "a/there", "z", 1, true);
		rig_publish(&r.here, "a/here", "z", 1, true);
		rig_run(&r, 1000);
		rig_heal(&r);
		rig_run(&r, 60000);
		assert_int_equal(r.here.nseen, 102);
		assert_int_equal(r.there.nseen, 102);
		rig_fini(&r);
	}
}

static void a_retained_value_that_is_older_does_not_come_back(void **state)
{
	static struct config_uplink_map both[] = {{.filter = "a/#", .retain = true}};

	(void)state;
	for (int v = MQTT_V311; v <= MQTT_V5; v++) {
		struct rig r;

		rig_init(&r, 12, 1);
		r.cfg.version = v;
		r.cfg.subscribe = both;
		r.cfg.nsubscribe = 1;
		rig_up(&r, "a/#", "a/#");
		rig_publish(&r.here, "a/t", "old", 1, true);
		rig_wait_seen(&r, &r.there, 1);
		rig_run(&r, 60000); /* an echo of it would be none any more */
		uplink_destroy(r.uplink);
		r.uplink = NULL;
		rig_publish(&r.here, "a/t", "new", 1, true);
		rig_uplink(&r);
		rig_run(&r, 5000);
		assert_int_equal(r.here.nseen, 2); /* and not "old" behind "new" */
		assert_int_equal(r.there.nseen, 2);
		rig_fini(&r);
	}
}

/* ---- life ---- */

static void filters_that_are_configured_no_more_are_given_up(void **state)
{
	static struct config_uplink_map other[] = {{.filter = "x/#"}, {.filter = "new/#"}};
	struct rig r;

	(void)state;
	rig_init(&r, 13, 1);
	rig_up(&r, "none", "#");
	assert_int_equal(r.terms[0].subscriptions, 2);
	uplink_destroy(r.uplink);
	r.cfg.publish = other;
	rig_uplink(&r);
	rig_wait_state(&r, UPLINK_ONLINE);
	rig_run(&r, 100);
	assert_int_equal(r.terms[0].subscriptions + r.terms[1].subscriptions, 2);
	rig_publish(&r.here, "a/1", "x", 1, false);
	rig_publish(&r.here, "new/1", "x", 1, false);
	expect(&r, &r.there, 1, "new/1=x");
	rig_fini(&r);
}

static void stopping_is_told_and_what_is_buffered_stays(void **state)
{
	(void)state;
	for (int is_cut = 0; is_cut < 2; is_cut++) {
		struct rig r;

		rig_init(&r, 14, 1);
		rig_up(&r, "none", "#");
		if (is_cut)
			rig_cut(&r);
		rig_run(&r, 500);
		uplink_stop(r.uplink);
		rig_run(&r, 3000);
		assert_int_equal(r.stops, 1);
		uplink_destroy(r.uplink);
		r.uplink = NULL;
		publish_numbers(&r, "a/t", 1, 300);
		rig_run(&r, 1000);
		assert_int_equal(r.terms[0].queued_messages, 300);
		if (is_cut)
			rig_heal(&r);
		rig_uplink(&r);
		rig_wait_seen(&r, &r.there, 300);
		check_all_seen(&r.there, "a/t", 1, 300);
		rig_fini(&r);
	}
}

static void note_end(void *arg, struct uplink_ending *e, bool ended)
{
	(void)e;
	*(int *)arg += ended ? 1 : 100;
}

static void an_uplink_that_is_gone_leaves_nothing_behind(void **state)
{
	struct uplink_ending *ending;
	char id[UPLINK_ID_MAX];
	struct rig r;
	int ends = 0;

	(void)state;
	rig_init(&r, 15, 2);
	rig_up(&r, "none", "#");
	uplink_destroy(r.uplink);
	r.uplink = NULL;
	publish_numbers(&r, "a/t", 1, 10);
	rig_run(&r, 100);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(uplink_end_session(r.loop, r.local, uplink_session_id("up", i, id), note_end,
						    &ends, &ending),
				 OK);
	rig_run(&r, 2000);
	assert_int_equal(ends, 2);
	struct broker_totals t;

	broker_totals(r.here.broker, &t);
	assert_int_equal(t.sum.sessions, 0);
	assert_int_equal(t.sum.queued_messages, 0);
	rig_fini(&r);
}

static void what_does_not_fit_into_memory_is_not_begun(void **state)
{
	static struct config_uplink_map both[] = {{.filter = "a/#", .prefix = "b/"}};
	const struct uplink_events events = {0};

	(void)state;
	for (int v = MQTT_V311; v <= MQTT_V5; v++) {
		struct rig r;
		struct uplink_setup setup = {
			.client_id = "gw-up", .password = span_str("x"), .max_packet_size = 1 << 20};

		rig_init(&r, 16, 1);
		rig_start(&r, "none", "#");
		r.cfg.version = v;
		r.cfg.username = "u";
		r.cfg.subscribe = both;
		r.cfg.nsubscribe = 1;
		setup.cfg = &r.cfg;
		for (long n = 1;; n++) {
			struct uplink_places places = {
				.loop = r.loop, .local = r.local, .terms = {&r.terms[0], &r.terms[1]}};
			bool hit;
			int rc;

			assert_int_equal(sim_net_dialer(r.there.net, "broker", &places.remote), OK);
			alloc_fail_at(n);
			rc = uplink_create(&places, &setup, &events, &r, &r.uplink);
			hit = alloc_fail_end();
			assert_int_equal(rc, hit ? ERR_NOMEM : OK);
			assert_int_equal(r.uplink == NULL, hit);
			if (!hit)
				break;
		}
		rig_wait_state(&r, UPLINK_ONLINE);
		rig_fini(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_go_up_in_order_renamed_and_with_their_retain_flag),
		cmocka_unit_test(what_is_published_while_the_remote_broker_is_away_comes_after_it_is_back),
		cmocka_unit_test(late_records_say_so),
		cmocka_unit_test(nothing_is_lost_whatever_breaks),
		cmocka_unit_test(what_is_missing_after_a_full_buffer_is_what_was_counted),
		cmocka_unit_test(a_large_backlog_does_not_hold_up_live_values),
		cmocka_unit_test(a_backlog_survives_a_new_beginning_in_any_phase),
		cmocka_unit_test(what_the_remote_broker_refuses_is_counted_and_dropped),
		cmocka_unit_test(what_is_too_large_for_the_remote_broker_does_not_stop_the_rest),
		cmocka_unit_test(messages_come_down_renamed),
		cmocka_unit_test(messages_that_came_down_while_away_are_not_lost),
		cmocka_unit_test(both_directions_may_overlap),
		cmocka_unit_test(a_retained_value_that_is_older_does_not_come_back),
		cmocka_unit_test(filters_that_are_configured_no_more_are_given_up),
		cmocka_unit_test(stopping_is_told_and_what_is_buffered_stays),
		cmocka_unit_test(an_uplink_that_is_gone_leaves_nothing_behind),
		cmocka_unit_test(what_does_not_fit_into_memory_is_not_begun),
	};

	return cmocka_run_group_tests_name("uplinks", tests, NULL, NULL);
}
