#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/alloc_fail.h"
#include "base/log.h"
#include "mqtt/broker_rig.h"

#define INTERVAL_MS 10000u

static void tell_memory(struct broker_memory *out)
{
	*out = (struct broker_memory){.current = 1234, .maximum = 5678};
}

static void up(struct rig *r, uint32_t nworkers)
{
	rig_init(r, nworkers);
	r->config.memory = tell_memory;
	r->config.max_queued_messages = 5;
	rig_start(r);
}

/* What the topic says: the retained message, that of the last interval. */
static void expect_said(struct peer *reader, const char *topic, const char *value)
{
	char line[256], filter[128];

	snprintf(filter, sizeof(filter), "$SYS/broker/%s", topic);
	peer_subscribe(reader, filter, 0, "", 0);
	snprintf(line, sizeof(line), "PUBLISH d0 q0 r1 m0 %s=%s", filter, value);
	peer_expect(reader, line);
	peer_unsubscribe(reader, filter, 0);
}

struct said {
	const char *topic, *value;
};

static void expect_all(struct rig *r, const struct said *all)
{
	struct peer *reader = peer_up(r, MQTT_V5, "reader");

	for (; all->topic; all++)
		expect_said(reader, all->topic, all->value);
	peer_disconnect(reader, 0);
}

static void right_after_the_start_everything_is_told(void **state)
{
	static const struct said all[] = {
		{"version", "lineside version " LINESIDE_VERSION},
		{"uptime", "0 seconds"},
		{"clients/total", "0"},
		{"clients/connected", "0"},
		{"clients/active", "0"},
		{"clients/disconnected", "0"},
		{"clients/inactive", "0"},
		{"clients/maximum", "0"},
		{"clients/expired", "0"},
		{"messages/received", "0"},
		{"messages/sent", "0"},
		{"subscriptions/count", "0"},
		{"shared_subscriptions/count", "0"},
		{"publish/messages/received", "0"},
		{"publish/messages/sent", "0"},
		{"publish/messages/dropped", "0"},
		{"store/refused", "0"},
		{"publish/bytes/received", "0"},
		{"publish/bytes/sent", "0"},
		{"bytes/received", "0"},
		{"bytes/sent", "0"},
		{"heap/current", "1234"},
		{"heap/maximum", "5678"},
		{"load/messages/received/1min", "0.00"},
		{"load/messages/sent/5min", "0.00"},
		{"load/publish/received/15min", "0.00"},
		{"load/publish/sent/1min", "0.00"},
		{"load/publish/dropped/1min", "0.00"},
		{"load/bytes/received/1min", "0.00"},
		{"load/bytes/sent/1min", "0.00"},
		{"load/sockets/1min", "0.00"},
		{"load/connections/1min", "0.00"},
		{"dropped/qos0", "0"},
		{"dropped/queue_full", "0"},
		{"dropped/commands", "0"},
		{"dropped/expired", "0"},
		{"dropped/too_large", "0"},
		{"dropped/memory", "0"},
		{"dropped/no_member", "0"},
		{"workers/0/connections", "0"},
		{"workers/1/sessions", "0"},
		{"workers/1/subscriptions", "0"},
		{"workers/1/shared_subscriptions", "0"},
		{"workers/1/messages/received", "0"},
		{"workers/1/messages/sent", "0"},
		{"workers/1/handed_over", "0"},
		{"workers/1/backlog_bytes", "0"},
		{NULL, NULL},
	};
	struct rig r;

	(void)state;
	up(&r, 2);
	rig_run(&r, 10);
	expect_all(&r, all);
	rig_fini(&r);
}

/* Four clients, one of them away with a queue that overflows. */
static void do_known_things(struct rig *r)
{
	struct peer *c0 = peer_up(r, MQTT_V5, "c0"), *c1 = peer_up(r, MQTT_V5, "c1"),
		    *c2 = peer_up(r, MQTT_V311, "c2"), *away = peer_up_kept(r, MQTT_V5, "away", false);
	char line[64];

	peer_subscribe(c0, "a/+", 0, "", 0);
	peer_subscribe(c0, "b", 0, "", 0);
	peer_subscribe(c1, "a/#", 0, "", 0);
	peer_subscribe(c2, "$share/g/a/x", 0, "", 0);
	peer_subscribe(away, "q/#", 1, "", 1);
	peer_disconnect(away, 0);
	for (unsigned i = 1; i <= 7; i++) {
		peer_publish(c0, 2, (uint16_t)i, "q/x", "", "0123456789");
		snprintf(line, sizeof(line), "PUBACK m%u 00", i);
		peer_expect(c0, line);
	}
	for (unsigned i = 0; i < 3; i++) {
		peer_publish(c1, 0, 0, "a/x", "", "four");
		peer_expect(c0, "PUBLISH d0 q0 r0 m0 a/x=four");
		peer_expect(c1, "PUBLISH d0 q0 r0 m0 a/x=four");
		peer_expect(c2, "PUBLISH d0 q0 r0 m0 a/x=four");
	}
}

static void figures_are_exact(void **state)
{
	static const struct said all[] = {
		{"clients/total", "4"},
		{"clients/connected", "3"},
		{"clients/active", "3"},
		{"clients/disconnected", "1"},
		{"clients/inactive", "1"},
		{"clients/maximum", "4"},
		{"subscriptions/count", "4"},
		{"shared_subscriptions/count", "1"},
		{"publish/messages/received", "10"},
		{"publish/messages/sent", "9"},
		{"publish/bytes/received", "82"},
		{"publish/bytes/sent", "36"},
		{"messages/received", "20"}, /* and 4 CONNECT, 5 SUBSCRIBE, DISCONNECT */
		{"messages/sent", "25"},     /* and 4 CONNACK, 5 SUBACK, 7 PUBACK */
		{"publish/messages/dropped", "2"},
		{"dropped/queue_full", "2"},
		{"dropped/qos0", "0"},
		{NULL, NULL},
	};
	struct rig r;

	(void)state;
	for (uint32_t workers = 1; workers <= 3; workers++) {
		up(&r, workers);
		do_known_things(&r);
		rig_run(&r, INTERVAL_MS);
		expect_all(&r, all);
		rig_fini(&r);
	}
}

static void what_is_kept_is_counted_with_its_payload(void **state)
{
	struct broker_totals before, after;
	struct peer *p;
	struct rig r;

	(void)state;
	up(&r, 2);
	rig_run(&r, 10);
	broker_totals(r.broker, &before);
	do_known_things(&r);
	p = peer_up(&r, MQTT_V5, "p");
	peer_publish(p, 1, 0, "kept", "", "longer, and replaced");
	peer_publish(p, 1, 0, "kept", "", "short");
	peer_publish(p, 1, 0, "gone", "", "gone");
	peer_publish(p, 1, 0, "gone", "", "");
	peer_ping(p);
	broker_totals(r.broker, &after);
	assert_int_equal(after.sum.queued_messages, 5);
	assert_int_equal(after.sum.queued_payload, 50);
	assert_int_equal(after.retained_messages, before.retained_messages + 1);
	assert_int_equal(after.retained_payload, before.retained_payload + 5);
	rig_fini(&r);
}

static void the_workers_figures_add_up(void **state)
{
	struct broker_figures f;
	uint64_t sessions = 0, subscriptions = 0, connections = 0, received = 0;
	struct rig r;

	(void)state;
	up(&r, 3);
	do_known_things(&r);
	rig_run(&r, 10);
	assert_int_equal(broker_workers(r.broker), 3);
	for (uint32_t i = 0; i < 3; i++) {
		broker_worker_figures(r.broker, i, &f);
		sessions += f.sessions;
		subscriptions += f.subscriptions;
		connections += f.connections;
		received += f.count.messages_received;
		assert_true(f.sessions < 4); /* they are spread */
		assert_int_equal(f.backlog_bytes, 0);
	}
	assert_int_equal(sessions, 4);
	assert_int_equal(subscriptions, 4);
	assert_int_equal(connections, 3);
	assert_int_equal(received, 10);
	rig_fini(&r);
}

static void a_client_that_went_is_in_no_figure_though_nothing_else_happens(void **state)
{
	struct broker_totals t;
	struct peer *p;
	struct rig r;

	(void)state;
	rig_init(&r, 2);
	r.config.sys_interval_ms = 0;
	rig_start(&r);
	p = peer_up(&r, MQTT_V5, "p");
	peer_subscribe(p, "a", 0, "", 0);
	peer_subscribe(p, "$share/g/a", 0, "", 0);
	broker_totals(r.broker, &t);
	assert_int_equal(t.sum.sessions, 1);
	assert_int_equal(t.sum.subscriptions, 1);
	assert_int_equal(t.sum.shared_subscriptions, 1);
	peer_disconnect(p, 0);
	rig_run(&r, 100);
	broker_totals(r.broker, &t);
	assert_int_equal(t.sum.sessions, 0);
	assert_int_equal(t.sum.subscriptions, 0);
	assert_int_equal(t.sum.shared_subscriptions, 0);
	rig_fini(&r);
}

static void an_expired_session_is_counted(void **state)
{
	static const struct said all[] = {
		{"clients/expired", "1"}, {"clients/total", "0"}, {"clients/maximum", "1"}, {NULL, NULL}};
	struct peer *p;
	struct rig r;

	(void)state;
	up(&r, 2);
	p = peer_open(&r, MQTT_V5);
	peer_connect(p, 0x02, "11 00 00 00 02", "<short>");
	peer_expect(p, "CONNACK s0 00");
	peer_disconnect(p, 0);
	rig_run(&r, 2 * INTERVAL_MS);
	expect_all(&r, all);
	rig_fini(&r);
}

static void only_what_changed_is_published(void **state)
{
	struct peer *p;
	struct rig r;

	(void)state;
	up(&r, 1);
	p = peer_up(&r, MQTT_V5, "p");
	rig_run(&r, INTERVAL_MS);
	peer_subscribe(p, "$SYS/broker/clients/+", 2, "", 2);
	for (unsigned i = 0; i < 7; i++) /* active, connected, ..., in any order */
		assert_non_null(strstr(peer_line(p), "$SYS/broker/clients/"));
	rig_run(&r, 5 * INTERVAL_MS - 1000);
	peer_quiet(p);
	peer_unsubscribe(p, "$SYS/broker/clients/+", 0);
	peer_subscribe(p, "$SYS/broker/uptime", 2, "", 2);
	peer_expect(p, "PUBLISH d0 q0 r1 m0 $SYS/broker/uptime=50 seconds");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 $SYS/broker/uptime=60 seconds");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 $SYS/broker/uptime=70 seconds");
	peer_unsubscribe(p, "$SYS/broker/uptime", 0);
	rig_fini(&r);
}

/* 60 messages in the first ten seconds of a minute are 360 in a minute as long as they last. */
static void the_load_is_a_moving_average_per_minute(void **state)
{
	static const struct said after_one[] = {
		{"load/publish/received/1min", "55.27"}, {"load/publish/received/5min", "11.80"},
		{"load/publish/received/15min", "3.98"}, {"load/connections/1min", "0.92"},
		{"load/sockets/1min", "0.92"},           {NULL, NULL}};
	static const struct said after_two[] = {{"load/publish/received/1min", "46.78"}, {NULL, NULL}};
	struct peer *p;
	struct rig r;

	(void)state;
	up(&r, 2);
	p = peer_up(&r, MQTT_V5, "p");
	for (unsigned i = 0; i < 60; i++)
		peer_publish(p, 0, 0, "a", "", "x");
	peer_ping(p);
	rig_run(&r, INTERVAL_MS);
	expect_all(&r, after_one);
	rig_run(&r, INTERVAL_MS);
	expect_all(&r, after_two);
	rig_fini(&r);
}

static void without_an_interval_there_is_none(void **state)
{
	struct peer *p;
	struct rig r;

	(void)state;
	rig_init(&r, 2);
	r.config.sys_interval_ms = 0;
	rig_start(&r);
	p = peer_up(&r, MQTT_V5, "p");
	peer_subscribe(p, "$SYS/#", 0, "", 0);
	rig_run(&r, 5 * INTERVAL_MS);
	peer_quiet(p);
	rig_fini(&r);
}

static void the_interval_changes_while_it_runs(void **state)
{
	struct broker_totals t;
	struct peer *p;
	struct rig r;

	(void)state;
	up(&r, 2);
	rig_run(&r, 10);
	assert_int_equal(broker_set_sys_interval(r.broker, 1000), OK);
	rig_run(&r, 100);
	p = peer_up(&r, MQTT_V5, "p");
	peer_subscribe(p, "$SYS/broker/uptime", 0, "", 0);
	peer_expect(p, "PUBLISH d0 q0 r1 m0 $SYS/broker/uptime=0 seconds");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 $SYS/broker/uptime=1 seconds");
	peer_expect(p, "PUBLISH d0 q0 r0 m0 $SYS/broker/uptime=2 seconds");
	assert_int_equal(broker_set_sys_interval(r.broker, 0), OK);
	peer_expect(p, "PUBLISH d0 q0 r0 m0 $SYS/broker/uptime=");
	rig_run(&r, 5000);
	peer_quiet(p);
	broker_totals(r.broker, &t);
	assert_int_equal(t.retained_messages, 0);
	assert_int_equal(t.retained_payload, 0);
	assert_int_equal(broker_set_sys_interval(r.broker, 1000), OK);
	peer_expect(p, "PUBLISH d0 q0 r0 m0 $SYS/broker/uptime=7 seconds");
	rig_fini(&r);
}

/* What could not be published for want of memory is when the next interval begins. */
static void without_memory_a_figure_comes_later(void **state)
{
	static const struct said all[] = {
		{"version", "lineside version " LINESIDE_VERSION},
		{"clients/total", "0"},
		{"workers/0/backlog_bytes", "0"},
		{NULL, NULL},
	};
	struct rig r;

	(void)state;
	for (unsigned n = 1; n < 400; n += 7) {
		up(&r, 1);
		alloc_fail_at(n);
		rig_run(&r, 10);
		(void)alloc_fail_end();
		rig_run(&r, INTERVAL_MS);
		expect_all(&r, all);
		rig_fini(&r);
	}
}

static void the_names_of_drops_are_those_of_their_counters(void **state)
{
	const struct broker_counters c = {.dropped_no_member = 7, .turns = 9};
	unsigned drops = 0;

	(void)state;
	for (const struct broker_counter *w = broker_counter_table; w->name; w++) {
		const char *cause = broker_counter_drop(w);

		assert_int_equal(cause != NULL, strncmp(w->name, "dropped_", 8) == 0);
		drops += cause != NULL;
		if (cause && strcmp(cause, "no_member") == 0)
			assert_int_equal(broker_counter_of(&c, w), 7);
		if (strcmp(w->name, "turns") == 0)
			assert_int_equal(broker_counter_of(&c, w), 9);
	}
	assert_true(drops >= 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_after_the_start_everything_is_told),
		cmocka_unit_test(figures_are_exact),
		cmocka_unit_test(what_is_kept_is_counted_with_its_payload),
		cmocka_unit_test(the_workers_figures_add_up),
		cmocka_unit_test(a_client_that_went_is_in_no_figure_though_nothing_else_happens),
		cmocka_unit_test(an_expired_session_is_counted),
		cmocka_unit_test(only_what_changed_is_published),
		cmocka_unit_test(the_load_is_a_moving_average_per_minute),
		cmocka_unit_test(without_an_interval_there_is_none),
		cmocka_unit_test(the_interval_changes_while_it_runs),
		cmocka_unit_test(without_memory_a_figure_comes_later),
		cmocka_unit_test(the_names_of_drops_are_those_of_their_counters),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests_name("sys", tests, NULL, NULL);
}
