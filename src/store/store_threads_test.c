/* The store on threads and epoll, with as many ports as a small gateway has; for TSan, and that nothing hangs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>

#include "loop/loop.h"
#include "store/backend.h"

#define PORTS    3
#define SESSIONS 4
#define ROWS     3000 /* of each port; each turn puts some, reads, drops what was read */

struct porter {
	pthread_t thread;
	struct loop *loop;
	struct loop_timer timer; /* the turns of a port */
	struct store_port *port;
	uint32_t session[SESSIONS];
	uint64_t put, read;
	struct store_read reading;
	bool is_reading, failed;
};

static void read_on(struct porter *p);

static void check_end(struct porter *p)
{
	if (p->failed || (p->read == ROWS && store_durable(p->port) == store_ticket(p->port)))
		loop_stop(p->loop);
}

static void on_progress(void *arg)
{
	check_end(arg);
}

static void on_read(struct store_read *read)
{
	struct porter *p = container_of(read, struct porter, reading);
	uint32_t ids[1 + STORE_SUB_IDS_MAX];
	struct store_row row;

	p->is_reading = false;
	p->failed |= read->rc < 0;
	while (store_read_next(read, &row, ids)) {
		p->failed |= row.seq != ++p->read || row.msg.payload.len != row.seq % 100;
		store_drop_rows(p->port, row.session, row.seq + 1);
	}
	store_read_fini(read);
	store_submit(p->port);
	check_end(p);
	read_on(p);
}

static void read_on(struct porter *p)
{
	if (p->is_reading || p->read == p->put)
		return;
	p->is_reading = true;
	p->reading = (struct store_read){
		.session = p->session[0],
		.from_seq = p->read + 1,
		.max_rows = 50,
		.max_bytes = 100000,
		.done = on_read,
	};
	store_read_rows(p->port, &p->reading);
}

static void on_turn(struct loop_timer *t)
{
	static const uint8_t payload[100];
	struct porter *p = container_of(t, struct porter, timer);

	for (unsigned i = 0; i < 10 && p->put < ROWS; i++) {
		struct store_row row = {.session = p->session[0], .seq = p->put + 1, .qos = 1};

		row.msg.payload = span_of(payload, row.seq % 100);
		if (store_put_row(p->port, &row) == OK)
			p->put++;
	}
	store_count_elided(p->port, 1);
	store_submit(p->port);
	p->failed |= store_health(p->port) != STORE_OK;
	read_on(p);
	if (p->put < ROWS)
		loop_timer_set(p->loop, t, 0);
}

static void take_sessions(struct porter *p)
{
	for (unsigned i = 0; i < SESSIONS; i++) {
		struct store_session s;

		p->failed |= store_take_session_id(p->port, &p->session[i]) < 0;
		s = (struct store_session){.id = p->session[i],
					   .client_id = span_of(&p->session[i], sizeof(p->session[i]))};
		p->failed |= store_put_session(p->port, &s) < 0;
		if (i > 0)
			store_drop_session(p->port, s.id);
	}
}

static void *run_porter(void *arg)
{
	struct porter *p = arg;

	take_sessions(p);
	loop_timer_set(p->loop, &p->timer, 0);
	p->failed |= loop_run(p->loop) < 0;
	return NULL;
}

static void *run_store(void *loop)
{
	return loop_run(loop) < 0 ? loop : NULL;
}

static const struct store_port_ops port_ops = {.progress = on_progress};

static void porter_start(struct porter *p, struct store *s, unsigned i)
{
	assert_int_equal(loop_create(&p->loop), OK);
	assert_int_equal(store_port_open(s, (uint16_t)i, p->loop, &port_ops, p, &p->port), OK);
	loop_timer_init(&p->timer, on_turn);
}

static void ports_on_threads_get_their_rows(void **state)
{
	struct porter porters[PORTS] = {0};
	struct store_backend *b;
	struct store_figures f;
	struct loop *loop;
	struct store *s;
	pthread_t thread;
	void *failed;

	(void)state;
	assert_int_equal(loop_create(&loop), OK);
	assert_int_equal(store_mem_create(&b), OK);
	assert_int_equal(store_create(loop, b, &(struct store_options){0}, &s), OK);
	assert_int_equal(store_load(s, &(struct store_loader){0}, NULL), OK);
	for (unsigned i = 0; i < PORTS; i++)
		porter_start(&porters[i], s, i);
	assert_int_equal(pthread_create(&thread, NULL, run_store, loop), 0);
	for (unsigned i = 0; i < PORTS; i++)
		assert_int_equal(pthread_create(&porters[i].thread, NULL, run_porter, &porters[i]), 0);
	do
		store_figures(s, &f);
	while (f.rows < PORTS * ROWS);
	for (unsigned i = 0; i < PORTS; i++) {
		assert_int_equal(pthread_join(porters[i].thread, NULL), 0);
		assert_false(porters[i].failed);
		assert_int_equal(porters[i].read, ROWS);
	}
	loop_stop(loop);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	store_figures(s, &f);
	assert_int_equal(f.waiting, 0);
	assert_int_equal(f.waiting_bytes, 0);
	assert_int_equal(f.rows, PORTS * ROWS);
	assert_true(f.commits > 0);
	for (unsigned i = 0; i < PORTS; i++)
		store_port_close(porters[i].port);
	store_destroy(s);
	for (unsigned i = 0; i < PORTS; i++)
		loop_destroy(porters[i].loop);
	loop_destroy(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_on_threads_get_their_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
