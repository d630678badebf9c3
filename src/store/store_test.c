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

/* ---- tickets ---- */

static void tickets_become_durable_in_order(void **state)
{
	struct rig *r = *state;
	struct rig_port *p = &r->ports[0];
	uint64_t last = 0;

	assert_int_equal(store_ticket(p->port), 0);
	store_submit(p->port);
	assert_int_equal(store_ticket(p->port), 0);
	rig_put_session(p->port, 1);
	assert_int_equal(store_ticket(p->port), 1);
	rig_put_row(p->port, 1, 1);
	assert_int_equal(store_ticket(p->port), 1);
	rig_run_ms(r, 100);
	assert_int_equal(store_durable(p->port), 0); /* not submitted */
	store_submit(p->port);
	assert_int_equal(store_ticket(p->port), 1);
	assert_int_equal(store_durable(p->port), 0);
	for (uint64_t ticket = 2; ticket < 300; ticket++) {
		rig_put_row(p->port, 1, ticket);
		assert_int_equal(store_ticket(p->port), ticket);
		store_submit(p->port);
		if (ticket % 5 == 0)
			rig_run_us(r, ticket % 700);
		assert_true(p->seen_durable >= last && p->seen_durable <= ticket);
		last = p->seen_durable;
	}
	rig_settle(r);
	assert_int_equal(p->seen_durable, 299);
	assert_int_equal(rig_count_rows(r, p->port, 1), 299);
	assert_in_range(p->progressed, 2, 298);
}

static void what_all_ports_submitted_goes_in_one_commit(void **state)
{
	struct rig *r = *state;

	sim_set_interleave(r->world, 0);
	rig_run_ms(r, 1000);
	for (unsigned i = 0; i < RIG_PORTS; i++)
		for (unsigned k = 0; k < 10; k++) {
			rig_put_session(r->ports[i].port, 1 + 10 * i + k);
			store_submit(r->ports[i].port);
		}
	assert_int_equal(rig_figures(r).waiting, 10 * RIG_PORTS);
	assert_true(rig_figures(r).waiting_bytes > 0);
	rig_settle(r);
	assert_int_equal(store_mem_commits(r->disk), 1);
	for (unsigned i = 0; i < RIG_PORTS; i++)
		assert_int_equal(r->ports[i].progressed, 1);
	assert_int_equal(rig_figures(r).waiting_bytes, 0);
}

static void a_commit_is_bounded(void **state)
{
	static uint8_t payload[1 << 20];
	struct rig *r = *state;
	struct store_port *p = r->ports[0].port;
	struct store_row row = {.session = 1, .qos = 1, .msg.payload = {payload, sizeof(payload)}};

	rig_put_session(p, 1);
	for (unsigned i = 1; i <= 70; i++) {
		row.seq = i;
		assert_int_equal(store_put_row(p, &row), OK);
		store_submit(p);
	}
	assert_true(store_backlog(p) > 70u << 20);
	rig_settle(r);
	assert_int_equal(store_mem_commits(r->disk), 3);
	assert_int_equal(store_backlog(p), 0);
	assert_int_equal(rig_count_rows(r, p, 1), 70);
}

static void the_backlog_is_what_is_not_on_disk(void **state)
{
	struct rig *r = *state;
	struct store_port *p = r->ports[0].port;
	uint64_t before;

	assert_int_equal(store_backlog(p), 0);
	rig_put_session(p, 1);
	before = store_backlog(p);
	assert_true(before > 0);
	store_submit(p);
	assert_int_equal(store_backlog(p), before);
	rig_settle(r);
	assert_int_equal(store_backlog(p), 0);
	assert_int_equal(store_backlog(r->ports[1].port), 0);
}

/* ---- a disk that fails ---- */

static void what_fails_is_written_later_in_order(void **state)
{
	struct rig *r = *state;
	struct rig_port *p = &r->ports[0];

	store_mem_fail(r->disk, 3, ERR_IO);
	rig_put_session(p->port, 1);
	store_submit(p->port);
	rig_put_row(p->port, 1, 1);
	store_submit(p->port);
	rig_run_ms(r, 500);
	assert_int_equal(store_durable(p->port), 0);
	assert_int_equal(store_health(p->port), STORE_FAILING);
	assert_int_equal(p->seen_health, STORE_FAILING);
	assert_int_equal(r->ports[1].seen_health, STORE_FAILING);
	assert_int_equal(rig_figures(r).failures, 1);
	assert_int_equal(rig_figures(r).health, STORE_FAILING);
	rig_run_ms(r, 5000);
	assert_int_equal(store_durable(p->port), 2);
	assert_int_equal(p->seen_health, STORE_OK);
	assert_int_equal(r->ports[1].seen_health, STORE_OK);
	assert_int_equal(rig_figures(r).failures, 3);
	assert_int_equal(rig_count_rows(r, p->port, 1), 1);
}

static void a_failing_disk_is_not_tried_all_the_time(void **state)
{
	struct rig *r = *state;
	struct store_port *p = r->ports[0].port;

	store_mem_fail(r->disk, UINT_MAX, ERR_FULL);
	rig_put_session(p, 1);
	store_submit(p);
	rig_run_ms(r, 10500);
	assert_int_equal(store_health(p), STORE_FULL);
	assert_int_equal(rig_figures(r).failures, 11);
	/* What comes new makes it try earlier, but not each time. */
	for (uint64_t seq = 1; seq <= 1000; seq++) {
		rig_put_row(p, 1, seq);
		store_submit(p);
		rig_run_ms(r, 1);
	}
	assert_in_range(rig_figures(r).failures, 18, 22);
	assert_int_equal(rig_figures(r).waiting, 1001);
	store_mem_fail(r->disk, 0, OK);
	rig_put_row(p, 1, 1001);
	store_submit(p);
	rig_run_ms(r, 150);
	assert_int_equal(store_health(p), STORE_OK);
	assert_int_equal(rig_figures(r).waiting, 0);
	assert_int_equal(store_durable(p), 1002);
	assert_int_equal(rig_count_rows(r, p, 1), 1001);
}

static void a_commit_without_memory_is_done_again(void **state)
{
	struct rig *r = *state;
	struct store_port *p = r->ports[0].port;
	uint64_t seq = 0;
	bool hit = true;

	rig_put_session(p, 1);
	store_submit(p);
	rig_settle(r);
	for (long n = 1; hit; n++) {
		for (unsigned i = 0; i < 3; i++) {
			rig_put_row(p, 1, ++seq);
			store_submit(p);
		}
		alloc_fail_at(n);
		rig_run_ms(r, 20);
		hit = alloc_fail_end();
		assert_int_equal(store_health(p), hit ? STORE_FAILING : STORE_OK);
		rig_settle(r);
		assert_int_equal(store_health(p), STORE_OK);
		assert_int_equal(rig_count_rows(r, p, 1), seq);
	}
	assert_true(seq > 3);
}

static void a_database_at_its_limit_is_full(void **state)
{
	struct rig *r = *state;
	struct rig_port *p = &r->ports[0];

	rig_restart(r, &(struct store_options){.max_bytes = 100000});
	rig_put_session(p->port, 1);
	for (uint64_t seq = 1; seq <= 1000; seq++)
		rig_put_row(p->port, 1, seq);
	store_submit(p->port);
	rig_settle(r);
	/* What was accepted is kept; whoever asks is told to accept no more. */
	assert_int_equal(store_health(p->port), STORE_FULL);
	assert_int_equal(p->seen_health, STORE_FULL);
	assert_int_equal(rig_figures(r).failures, 0);
	assert_true(rig_figures(r).bytes > 100000);
	rig_run_ms(r, 5000);
	assert_int_equal(store_health(p->port), STORE_FULL);

	rig_restart(r, &(struct store_options){.max_bytes = 100000});
	assert_int_equal(store_health(p->port), STORE_FULL);
	store_drop_rows(p->port, 1, 1001);
	store_submit(p->port);
	rig_run_ms(r, 20);
	assert_int_equal(store_health(p->port), STORE_OK);
	assert_int_equal(p->seen_health, STORE_OK);
	assert_true(rig_figures(r).bytes < 100000);
}

/* A backend that says itself how it is with the disk. */
static enum store_health said;

static enum store_health say_health(struct store_backend *b)
{
	(void)b;
	return said;
}

static void the_backend_may_say_that_it_is_full_while_commits_succeed(void **state)
{
	struct rig *r = *state;
	static struct store_backend_ops ops;
	struct store_backend *b;
	struct store_port *p;
	uint64_t tidied;

	rig_stop(r);
	said = STORE_FULL;
	assert_int_equal(store_mem_open(r->disk, &b), OK);
	ops = *b->ops;
	ops.health = say_health;
	b->ops = &ops;
	rig_start_on(r, b, &fsync_options);
	p = r->ports[0].port;
	assert_int_equal(store_health(p), STORE_FULL);
	rig_put_session(p, 1);
	store_submit(p);
	tidied = store_mem_tidied(r->disk);
	rig_run_ms(r, 10);
	assert_int_equal(store_durable(p), 1);
	assert_int_equal(store_health(p), STORE_FULL);
	/* It is asked again by and by, when something was tidied away. */
	rig_run_ms(r, 3500);
	assert_in_range(store_mem_tidied(r->disk) - tidied, 3, 5);
	said = STORE_OK;
	rig_run_ms(r, 1100);
	assert_int_equal(store_health(p), STORE_OK);
	assert_int_equal(r->ports[0].seen_health, STORE_OK);
}

/* ---- starts and ends ---- */

static void what_was_submitted_is_written_at_the_end(void **state)
{
	struct rig *r = *state;

	rig_put_session(r->ports[0].port, 1);
	rig_put_row(r->ports[0].port, 1, 1);
	store_submit(r->ports[0].port);
	rig_put_session(r->ports[1].port, 2);
	store_submit(r->ports[1].port);
	rig_put_row(r->ports[0].port, 1, 2); /* never submitted */
	rig_restart(r, &fsync_options);
	assert_int_equal(rig_count_rows(r, r->ports[0].port, 1), 1);
}

static void what_cannot_be_written_at_the_end_is_lost(void **state)
{
	struct rig *r = *state;

	rig_put_session(r->ports[0].port, 1);
	rig_put_row(r->ports[0].port, 1, 1);
	store_submit(r->ports[0].port);
	rig_settle(r);
	rig_put_row(r->ports[0].port, 1, 2);
	store_submit(r->ports[0].port);
	rig_crash(r);
	rig_start(r, &fsync_options);
	assert_int_equal(rig_count_rows(r, r->ports[0].port, 1), 1);
}

/* One session of each port; rows from 1 on, put and dropped at random, until the end comes at some point. */
struct history {
	uint64_t put, submitted, durable; /* rows */
	uint64_t ticket_put[400];         /* by ticket: rows put with it and before */
};

static void live(struct rig *r, struct history *h)
{
	for (unsigned i = 0; i < RIG_PORTS; i++) {
		struct store_port *p = r->ports[i].port;

		for (uint64_t n = sim_random(r->world, 4); n > 0; n--)
			rig_put_row(p, 1 + i, ++h[i].put);
		h[i].ticket_put[store_ticket(p)] = h[i].put;
		if (sim_one_in(r->world, 3)) {
			store_submit(p);
			h[i].submitted = h[i].put;
		}
	}
	if (sim_one_in(r->world, 20))
		store_mem_fail(r->disk, (unsigned)sim_random(r->world, 4), ERR_IO);
	rig_run_us(r, sim_random(r->world, sim_one_in(r->world, 20) ? 2000000 : 1000));
	for (unsigned i = 0; i < RIG_PORTS; i++)
		h[i].durable = h[i].ticket_put[store_durable(r->ports[i].port)];
}

static void what_is_durable_survives_a_crash(void **state)
{
	struct rig *r = *state;

	rig_stop(r);
	rig_fini(r);
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct history h[RIG_PORTS] = {0};

		rig_init(r, seed);
		rig_start(r, &fsync_options);
		for (unsigned i = 0; i < RIG_PORTS; i++)
			rig_put_session(r->ports[i].port, 1 + i);
		for (uint64_t steps = 1 + sim_random(r->world, 300); steps > 0; steps--)
			live(r, h);
		rig_crash(r);
		rig_start(r, &fsync_options);
		for (unsigned i = 0; i < RIG_PORTS; i++)
			assert_in_range(rig_count_rows(r, r->ports[i].port, 1 + i), h[i].durable,
					h[i].submitted);
		rig_stop(r);
		rig_fini(r);
	}
	rig_init(r, 1);
	rig_start(r, &fsync_options);
}

static void ids_of_sessions_come_again_when_the_drop_is_durable(void **state)
{
	struct rig *r = *state;
	struct store_port *p = r->ports[0].port;
	uint32_t id, other;

	for (uint32_t i = 1; i < STORE_SESSION_MAX; i++)
		if (store_take_session_id(p, &id) != OK || id != i)
			fail();
	store_drop_session(p, 4711);
	assert_int_equal(store_take_session_id(r->ports[1].port, &other), OK);
	assert_int_equal(other, STORE_SESSION_MAX);
	assert_int_equal(store_take_session_id(p, &other), ERR_FULL);
	store_submit(p);
	store_mem_fail(r->disk, 1, ERR_IO);
	rig_run_ms(r, 10);
	assert_int_equal(store_take_session_id(p, &other), ERR_FULL);
	rig_settle(r);
	assert_int_equal(store_take_session_id(p, &other), OK);
	assert_int_equal(other, 4711);
}

static void ids_of_stored_sessions_are_taken_at_the_start(void **state)
{
	struct rig *r = *state;
	uint32_t id = 0;

	rig_put_session(r->ports[0].port, 1);
	rig_put_session(r->ports[0].port, 2);
	rig_put_session(r->ports[0].port, 70000);
	store_drop_session(r->ports[0].port, 2);
	store_submit(r->ports[0].port);
	rig_restart(r, &fsync_options);
	assert_int_equal(store_take_session_id(r->ports[0].port, &id), OK);
	assert_int_equal(id, 70001);
}

static void ids_of_messages_are_unique(void **state)
{
	struct rig *r = *state;
	uint64_t id[RIG_PORTS] = {0}, last[RIG_PORTS] = {0}, highest = 0;
	const struct store_msg m = {.topic = span_str("t")};

	for (unsigned start = 0; start < 2; start++) {
		for (unsigned k = 0; k < 600; k++) {
			for (unsigned i = 0; i < RIG_PORTS; i++) {
				assert_int_equal(store_put_msg(r->ports[i].port, &m, &id[i]), OK);
				assert_true(id[i] > last[i]);
				for (unsigned j = 0; j < i; j++)
					assert_true(id[i] / STORE_SEGMENT_MSGS != id[j] / STORE_SEGMENT_MSGS);
				last[i] = id[i];
			}
		}
		for (unsigned i = 0; i < RIG_PORTS; i++) {
			highest = id[i] > highest ? id[i] : highest;
			store_submit(r->ports[i].port);
		}
		rig_restart(r, &fsync_options);
		for (unsigned i = 0; i < RIG_PORTS; i++)
			last[i] = highest;
	}
}

static int loaded_session(void *arg, const struct store_session *s)
{
	*(uint32_t *)arg += s->id;
	return s->id == 3 ? ERR_CONFIG : OK;
}

static void an_error_of_the_loader_ends_the_load(void **state)
{
	struct store_backend *b;
	struct rig *r = *state;
	struct store *s;
	uint32_t sum = 0;

	for (uint32_t id = 1; id <= 4; id++)
		rig_put_session(r->ports[0].port, id);
	store_submit(r->ports[0].port);
	rig_stop(r);
	assert_int_equal(store_mem_open(r->disk, &b), OK);
	assert_int_equal(store_create(r->loop, b, &fsync_options, &s), OK);
	assert_int_equal(store_load(s, &(struct store_loader){.session = loaded_session}, &sum), ERR_CONFIG);
	assert_int_equal(sum, 1 + 2 + 3);
	store_destroy(s);
	rig_start(r, &fsync_options);
}

static void time_does_not_run_behind_what_was_stored(void **state)
{
	struct rig *r = *state;
	int64_t stored_ms;

	rig_put_session(r->ports[0].port, 1);
	store_submit(r->ports[0].port);
	rig_settle(r);
	stored_ms = loop_wall_ms(r->loop);
	assert_int_equal(store_now_ms(r->store, stored_ms + 5), stored_ms + 5);
	sim_step_wall(r->world, -86400000);
	rig_restart(r, &fsync_options);
	assert_in_range(store_now_ms(r->store, loop_wall_ms(r->loop)), stored_ms - 100, stored_ms);
	store_drop_session(r->ports[0].port, 1);
	store_submit(r->ports[0].port);
	rig_restart(r, &fsync_options);
	assert_in_range(store_now_ms(r->store, loop_wall_ms(r->loop)), stored_ms - 100, stored_ms);
}

/* ---- tidying, figures ---- */

static void what_can_wait_is_done_when_it_is_quiet(void **state)
{
	struct rig *r = *state;
	uint64_t tidied = store_mem_tidied(r->disk);

	store_mem_set_untidy(r->disk, 5);
	rig_run_ms(r, 1000);
	assert_int_equal(store_mem_tidied(r->disk), tidied); /* nothing was written */
	rig_put_session(r->ports[0].port, 1);
	store_submit(r->ports[0].port);
	rig_run_ms(r, 10);
	assert_int_equal(store_mem_tidied(r->disk), tidied);
	rig_run_ms(r, 1000);
	assert_int_equal(store_mem_tidied(r->disk), tidied + 5);
}

static void what_can_wait_is_done_now_and_then_when_it_is_not_quiet(void **state)
{
	static uint8_t payload[1 << 20];
	struct rig *r = *state;
	struct store_port *p = r->ports[0].port;
	struct store_row row = {.session = 1, .qos = 1, .msg.payload = {payload, sizeof(payload)}};
	uint64_t tidied = store_mem_tidied(r->disk);

	rig_put_session(p, 1);
	for (row.seq = 1; row.seq <= 64; row.seq++) {
		assert_int_equal(store_put_row(p, &row), OK);
		store_drop_rows(p, 1, row.seq + 1);
		store_submit(p);
		rig_run_ms(r, 5);
	}
	assert_in_range(store_mem_tidied(r->disk) - tidied, 3, 5);
}

static void figures_tell_what_was_done(void **state)
{
	struct rig *r = *state;
	struct store_figures f;

	for (uint32_t i = 0; i < RIG_PORTS; i++) {
		rig_put_session(r->ports[i].port, 1 + i);
		rig_put_row(r->ports[i].port, 1 + i, 1);
		rig_put_row(r->ports[i].port, 1 + i, 2);
		store_submit(r->ports[i].port);
		store_count_elided(r->ports[i].port, 10 + i);
	}
	rig_settle(r);
	rig_run_ms(r, 100);
	f = rig_figures(r);
	assert_int_equal(f.commits, store_mem_commits(r->disk));
	assert_int_equal(f.rows, 2 * RIG_PORTS);
	assert_int_equal(f.elided, 33);
	assert_int_equal(f.failures, 0);
	assert_int_equal(f.health, STORE_OK);
	assert_true(f.bytes > 0);
	assert_true(f.commit_us_sum > 0);
	assert_in_range(f.commit_us_max, 1, f.commit_us_sum);
}

/* ---- memory ---- */

static int put_nth(struct store_port *p, unsigned nth)
{
	static uint8_t large[100000];
	const struct store_msg m = {.topic = span_str("t"), .payload = {large, sizeof(large)}};
	uint64_t id;

	switch (nth) {
	case 0:
		return store_put_session(p, &(struct store_session){.id = 1, .client_id = {large, 60000}});
	case 1:
		return store_put_sub(p, &(struct store_sub){.session = 1, .filter = {large, 60000}});
	case 2:
		return store_drop_sub(p, 1, span_of(large, 60000));
	case 3:
		return store_put_msg(p, &m, &id);
	case 4:
		return store_put_row(p, &(struct store_row){.session = 1, .seq = 1, .msg = m});
	case 5:
		return store_put_retained(p, &(struct store_retained){.msg = m, .stamp = 1});
	default:
		return store_clear_retained(p, span_of(large, 60000), 1);
	}
}

static void a_put_without_memory_has_no_effect(void **state)
{
	struct rig *r = *state;
	struct store_port *p = r->ports[0].port;

	for (unsigned i = 0; i < 7; i++) {
		bool hit = true;

		for (long n = 1; hit; n++) {
			uint64_t ticket = store_ticket(p), backlog = store_backlog(p);
			int rc;

			alloc_fail_at(n);
			rc = put_nth(p, i);
			hit = alloc_fail_end();
			assert_int_equal(rc, hit ? ERR_NOMEM : OK);
			if (hit) {
				assert_int_equal(store_ticket(p), ticket);
				assert_int_equal(store_backlog(p), backlog);
			}
		}
		store_submit(p);
	}
	rig_settle(r);
	assert_int_equal(rig_count_rows(r, p, 1), 1);
}

static void what_must_not_fail_does_not(void **state)
{
	struct rig *r = *state;
	struct store_port *p = r->ports[0].port;

	rig_put_session(p, 1);
	for (unsigned i = 0; i < 1200; i++) {
		alloc_fail_at(1);
		store_put_received(p, 1, (uint16_t)(1 + i));
		(void)alloc_fail_end();
	}
	store_submit(p);
	rig_settle(r);
	/* And the reserve comes back. */
	for (unsigned i = 0; i < 1200; i++) {
		alloc_fail_at(1);
		store_drop_received(p, 1, (uint16_t)(1 + i));
		(void)alloc_fail_end();
	}
	store_submit(p);
	rig_settle(r);
}

static void a_store_without_memory_is_not_made(void **state)
{
	struct rig *r = *state;
	bool hit = true;

	rig_stop(r);
	for (long n = 1; hit; n++) {
		struct store_backend *b = NULL;
		struct store *s = NULL;
		struct store_port *p = NULL;
		int rc;

		alloc_fail_at(n);
		rc = store_mem_create(&b);
		if (rc == OK) {
			rc = store_create(r->loop, b, &fsync_options, &s);
			if (rc < 0)
				b->ops->close(b);
		}
		if (rc == OK)
			rc = store_load(s, &(struct store_loader){0}, NULL);
		if (rc == OK)
			rc = store_port_open(s, 0, r->ports[0].loop, &(struct store_port_ops){0}, NULL, &p);
		hit = alloc_fail_end();
		/* A port makes do with the reserve, if one more chunk is not to be had. */
		assert_true(rc == OK || (hit && rc == ERR_NOMEM));
		store_port_close(p);
		store_destroy(s);
	}
	rig_start(r, &fsync_options);
}

static void a_load_needs_memory_for_ids(void **state)
{
	struct rig *r = *state;
	struct store_backend *b;
	struct store *s;

	rig_put_session(r->ports[0].port, 1);
	store_submit(r->ports[0].port);
	rig_stop(r);
	assert_int_equal(store_mem_open(r->disk, &b), OK);
	assert_int_equal(store_create(r->loop, b, &fsync_options, &s), OK);
	alloc_fail_at(1);
	assert_int_equal(store_load(s, &(struct store_loader){0}, NULL), ERR_NOMEM);
	assert_true(alloc_fail_end());
	store_destroy(s);
	rig_start(r, &fsync_options);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tickets_become_durable_in_order),
		TEST(what_all_ports_submitted_goes_in_one_commit),
		TEST(a_commit_is_bounded),
		TEST(the_backlog_is_what_is_not_on_disk),
		TEST(what_fails_is_written_later_in_order),
		TEST(a_failing_disk_is_not_tried_all_the_time),
		TEST(a_commit_without_memory_is_done_again),
		TEST(a_database_at_its_limit_is_full),
		TEST(the_backend_may_say_that_it_is_full_while_commits_succeed),
		TEST(what_was_submitted_is_written_at_the_end),
		TEST(what_cannot_be_written_at_the_end_is_lost),
		TEST(what_is_durable_survives_a_crash),
		TEST(ids_of_sessions_come_again_when_the_drop_is_durable),
		TEST(ids_of_stored_sessions_are_taken_at_the_start),
		TEST(ids_of_messages_are_unique),
		TEST(an_error_of_the_loader_ends_the_load),
		TEST(time_does_not_run_behind_what_was_stored),
		TEST(what_can_wait_is_done_when_it_is_quiet),
		TEST(what_can_wait_is_done_now_and_then_when_it_is_not_quiet),
		TEST(figures_tell_what_was_done),
		TEST(a_put_without_memory_has_no_effect),
		TEST(what_must_not_fail_does_not),
		TEST(a_store_without_memory_is_not_made),
		TEST(a_load_needs_memory_for_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
