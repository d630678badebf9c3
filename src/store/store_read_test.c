#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdlib.h>

#include "base/alloc_fail.h"
#include "store/store_rig.h"

static const struct store_options fsync_options = {.durability = STORE_FSYNC};
static const struct store_options none_options = {.durability = STORE_NONE};

static void rows_are_read_as_they_were_put(void **state)
{
	const uint32_t ids[] = {2, 7, 8};
	struct rig *r = *state;
	struct store_port *p = r->ports[0].port;
	struct store_row row = {.session = 1, .seq = 10, .qos = 2, .retain = true, .sub_ids = ids}, got;
	struct rig_read reading;
	uint32_t room[1 + STORE_SUB_IDS_MAX];
	unsigned order = 0;

	rig_put_session(p, 1);
	assert_int_equal(
		store_put_msg(
			p, &(struct store_msg){.topic = span_str("a/b"), .payload = span_str("x"), .qos = 2},
			&row.msg_id),
		OK);
	assert_int_equal(store_put_row(p, &row), OK);
	store_put_state(p, 1, 10, STORE_SENT, 55);
	rig_put_row(p, 1, 11);
	store_submit(p);
	rig_settle(r);
	rig_ask(p, &reading, &order, 1, 0, 10, 10000);
	rig_await(r, &reading);
	assert_int_equal(reading.read.rows, 2);
	assert_true(store_read_next(&reading.read, &got, room));
	assert_int_equal(got.seq, 10);
	assert_int_equal(got.qos, 2);
	assert_true(got.retain);
	assert_int_equal(got.state, STORE_SENT);
	assert_int_equal(got.packet_id, 55);
	assert_memory_equal(got.sub_ids, ids, sizeof(ids));
	assert_true(got.msg_id == row.msg_id);
	assert_true(span_equal(got.msg.topic, span_str("a/b")));
	assert_true(span_equal(got.msg.payload, span_str("x")));
	assert_true(store_read_next(&reading.read, &got, room));
	assert_int_equal(got.seq, 11);
	assert_null(got.sub_ids);
	assert_true(span_equal(got.msg.payload, span_str("11")));
	assert_false(store_read_next(&reading.read, &got, room));
	store_read_fini(&reading.read);
	store_read_fini(&reading.read);
	assert_false(store_read_next(&reading.read, &got, room));
}

static void a_read_has_bounds(void **state)
{
	static const struct {
		uint64_t from;
		uint32_t max_rows;
		uint64_t max_bytes;
		uint32_t rows;
	} cases[] = {
		{0, 4, 100000, 4}, {18, 4, 100000, 3}, {21, 4, 100000, 0}, {1, 100, 100000, 20},
		{1, 1, 100000, 1}, {1, 100, 0, 1},     {1, 100, 1, 1},     {5, 100, 300, 2},
	};
	struct rig *r = *state;
	struct store_port *p = r->ports[0].port;

	rig_put_session(p, 1);
	for (uint64_t seq = 1; seq <= 20; seq++)
		rig_put_row(p, 1, seq);
	store_submit(p);
	rig_settle(r);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig_read reading;
		unsigned order = 0;

		rig_ask(p, &reading, &order, 1, cases[i].from, cases[i].max_rows, cases[i].max_bytes);
		rig_await(r, &reading);
		assert_int_equal(reading.read.rc, OK);
		assert_int_equal(reading.read.rows, cases[i].rows);
		store_read_fini(&reading.read);
	}
}

static void reads_are_answered_in_order(void **state)
{
	enum { N = 200 };
	static struct rig_read readings[N];
	struct rig *r = *state;
	struct store_port *p = r->ports[1].port;
	unsigned order = 0;

	rig_put_session(p, 1);
	rig_put_row(p, 1, 1);
	store_submit(p);
	rig_settle(r);
	for (unsigned i = 0; i < N; i++) {
		rig_ask(p, &readings[i], &order, 1, 0, 1, 1);
		if (i % 7 == 0)
			rig_run_ms(r, i % 3);
	}
	rig_await(r, &readings[N - 1]);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(readings[i].answered, i + 1);
		store_read_fini(&readings[i].read);
	}
}

static void a_read_without_memory_says_so(void **state)
{
	struct rig *r = *state;
	struct store_port *p = r->ports[0].port;
	struct rig_read reading;
	struct store_row row;
	unsigned order = 0;
	bool hit;

	rig_put_session(p, 1);
	for (uint64_t seq = 1; seq <= 100; seq++)
		rig_put_row(p, 1, seq);
	store_submit(p);
	rig_settle(r);
	for (long n = 1;; n++) {
		rig_ask(p, &reading, &order, 1, 0, 100, UINT64_MAX);
		alloc_fail_at(n);
		rig_await(r, &reading);
		hit = alloc_fail_end();
		assert_int_equal(reading.read.rc, hit ? ERR_NOMEM : OK);
		assert_int_equal(reading.read.rows, hit ? 0 : 100);
		if (hit)
			assert_false(store_read_next(&reading.read, &row, NULL));
		store_read_fini(&reading.read);
		if (!hit)
			break;
	}
}

static void rows_are_read_while_commits_fail(void **state)
{
	struct rig *r = *state;
	struct store_port *p = r->ports[0].port;

	rig_put_session(p, 1);
	rig_put_row(p, 1, 1);
	store_submit(p);
	rig_settle(r);
	store_mem_fail(r->disk, UINT_MAX, ERR_IO);
	rig_put_row(p, 1, 2);
	store_submit(p);
	rig_run_ms(r, 10);
	assert_int_equal(rig_count_rows(r, p, 1), 1);
	assert_int_equal(store_health(p), STORE_FAILING);
	store_mem_fail(r->disk, 0, OK);
	rig_settle(r);
	assert_int_equal(rig_count_rows(r, p, 1), 2);
}

/* ---- durability none ---- */

static void with_none_nobody_waits_and_all_is_written(void **state)
{
	struct rig *r = *state;
	struct store_port *p;
	uint64_t commits;

	rig_restart(r, &none_options);
	p = r->ports[0].port;
	assert_true(store_durable(p) == UINT64_MAX);
	rig_put_session(p, 1);
	store_submit(p);
	commits = store_mem_commits(r->disk);
	for (uint64_t seq = 1; seq <= 50; seq++) {
		rig_put_row(p, 1, seq);
		store_submit(p);
		rig_run_ms(r, 1);
	}
	assert_true(store_durable(p) == UINT64_MAX);
	assert_int_equal(store_mem_commits(r->disk), commits);
	rig_run_ms(r, 150);
	assert_int_equal(store_mem_commits(r->disk), commits + 1);
	assert_int_equal(store_backlog(p), 0);
}

static void with_none_much_is_written_at_once(void **state)
{
	static uint8_t payload[1 << 20];
	struct rig *r = *state;
	struct store_port *p;
	struct store_row row = {.session = 1, .qos = 1, .msg.payload = {payload, sizeof(payload)}};

	rig_restart(r, &none_options);
	p = r->ports[0].port;
	rig_put_session(p, 1);
	for (row.seq = 1; row.seq <= 5; row.seq++)
		assert_int_equal(store_put_row(p, &row), OK);
	store_submit(p);
	rig_run_ms(r, 5);
	assert_int_equal(store_backlog(p), 0);
}

static void with_none_a_read_finds_what_was_put(void **state)
{
	struct rig *r = *state;
	struct store_port *p;
	struct rig_read reading;
	unsigned order = 0;

	rig_restart(r, &none_options);
	p = r->ports[0].port;
	rig_put_session(p, 1);
	rig_put_row(p, 1, 1);
	store_submit(p);
	rig_put_row(p, 1, 2); /* not submitted */
	assert_int_equal(rig_count_rows(r, p, 1), 2);

	store_mem_fail(r->disk, UINT_MAX, ERR_IO);
	rig_put_row(p, 1, 3);
	rig_ask(p, &reading, &order, 1, 0, 10, 10000);
	rig_await(r, &reading);
	assert_int_equal(reading.read.rc, ERR_IO);
	assert_int_equal(store_health(p), STORE_FAILING);
	store_read_fini(&reading.read);
	store_mem_fail(r->disk, 0, OK);
	rig_run_ms(r, 1500);
	assert_int_equal(rig_count_rows(r, p, 1), 3);
}

static void reads_in_flight_are_dropped_at_the_end(void **state)
{
	static struct rig_read readings[3];
	struct rig *r = *state;
	struct rig_port *p = &r->ports[0], *other = &r->ports[1];
	unsigned order = 0;

	rig_put_session(p->port, 1);
	rig_put_row(p->port, 1, 1);
	store_submit(p->port);
	rig_settle(r);
	rig_ask(p->port, &readings[0], &order, 1, 0, 10,
		10000); /* will be answered, and done() is not called yet */
	while (!readings[0].read.rows)
		assert_int_equal(loop_turn(r->loop, 1), OK);
	if (readings[0].answered)
		store_read_fini(&readings[0].read);
	rig_ask(other->port, &readings[1], &order, 1, 0, 10, 10000);
	rig_ask(p->port, &readings[2], &order, 1, 0, 10, 10000);
	rig_restart(r, &fsync_options);
	rig_run_ms(r, 1000);
	assert_int_equal(readings[1].answered, 0);
	assert_int_equal(readings[2].answered, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rows_are_read_as_they_were_put),
		TEST(a_read_has_bounds),
		TEST(reads_are_answered_in_order),
		TEST(a_read_without_memory_says_so),
		TEST(rows_are_read_while_commits_fail),
		TEST(with_none_nobody_waits_and_all_is_written),
		TEST(with_none_much_is_written_at_once),
		TEST(with_none_a_read_finds_what_was_put),
		TEST(reads_in_flight_are_dropped_at_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
