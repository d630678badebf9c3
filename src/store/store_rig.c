#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store_rig.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static void progress(void *arg)
{
	struct rig_port *p = arg;

	p->progressed++;
	p->seen_durable = store_durable(p->port);
	p->seen_health = store_health(p->port);
}

static const struct store_port_ops port_ops = {.progress = progress};

void rig_init(struct rig *r, uint64_t seed)
{
	*r = (struct rig){0};
	assert_int_equal(sim_world_create(seed, &r->world), OK);
	assert_int_equal(sim_loop_create(r->world, &r->loop), OK);
	assert_int_equal(store_mem_disk_create(&r->disk), OK);
	for (unsigned i = 0; i < RIG_PORTS; i++)
		assert_int_equal(sim_loop_create(r->world, &r->ports[i].loop), OK);
}

void rig_fini(struct rig *r)
{
	store_mem_disk_destroy(r->disk);
	sim_world_destroy(r->world);
}

void rig_start(struct rig *r, const struct store_options *o)
{
	struct store_backend *b;

	assert_int_equal(store_mem_open(r->disk, &b), OK);
	rig_start_on(r, b, o);
}

void rig_start_on(struct rig *r, struct store_backend *b, const struct store_options *o)
{
	assert_int_equal(store_create(r->loop, b, o, &r->store), OK);
	assert_int_equal(store_load(r->store, &(struct store_loader){0}, NULL), OK);
	for (unsigned i = 0; i < RIG_PORTS; i++) {
		struct rig_port *p = &r->ports[i];

		*p = (struct rig_port){.rig = r, .loop = p->loop};
		assert_int_equal(store_port_open(r->store, (uint16_t)i, p->loop, &port_ops, p, &p->port), OK);
	}
}

void rig_stop(struct rig *r)
{
	for (unsigned i = 0; i < RIG_PORTS; i++)
		store_port_close(r->ports[i].port);
	store_destroy(r->store);
	for (unsigned i = 0; i < RIG_PORTS; i++)
		r->ports[i].port = NULL;
	r->store = NULL;
}

void rig_crash(struct rig *r)
{
	store_mem_fail(r->disk, UINT_MAX, ERR_IO);
	rig_stop(r);
	store_mem_fail(r->disk, 0, OK);
}

struct store_figures rig_figures(struct rig *r)
{
	struct store_figures f;

	store_figures(r->store, &f);
	return f;
}

static bool nothing_waits(void *arg)
{
	struct rig *r = arg;

	for (unsigned i = 0; i < RIG_PORTS; i++) {
		const struct rig_port *p = &r->ports[i];

		if (store_backlog(p->port) > 0 || p->seen_durable != store_durable(p->port))
			return false;
	}
	return true;
}

void rig_settle(struct rig *r)
{
	assert_int_equal(sim_run(r->world, 10000000, nothing_waits, r), OK);
}

void rig_run_us(struct rig *r, uint64_t us)
{
	int rc = sim_run(r->world, us, NULL, NULL);

	assert_true(rc == ERR_TIMEOUT || rc == ERR_NOT_FOUND);
}

void rig_run_ms(struct rig *r, uint64_t ms)
{
	rig_run_us(r, ms * 1000);
}

void rig_put_session(struct store_port *p, uint32_t id)
{
	char name[16];

	snprintf(name, sizeof(name), "c%u", id);
	assert_int_equal(store_put_session(p, &(struct store_session){.id = id, .client_id = span_str(name)}),
			 OK);
}

void rig_put_row(struct store_port *p, uint32_t session, uint64_t seq)
{
	struct store_row row = {.session = session, .seq = seq, .qos = 1, .msg.topic = span_str("t")};
	char payload[24];

	snprintf(payload, sizeof(payload), "%llu", (unsigned long long)seq);
	row.msg.payload = span_str(payload);
	assert_int_equal(store_put_row(p, &row), OK);
}

static void read_done(struct store_read *read)
{
	struct rig_read *r = (struct rig_read *)(void *)((char *)read - offsetof(struct rig_read, read));

	r->answered = ++*r->order;
}

void rig_ask(struct store_port *p, struct rig_read *r, unsigned *order, uint32_t session, uint64_t from,
	     uint32_t rows, uint64_t bytes)
{
	*r = (struct rig_read){
		.read = {.session = session,
			 .from_seq = from,
			 .max_rows = rows,
			 .max_bytes = bytes,
			 .done = read_done},
		.order = order,
	};
	store_read_rows(p, &r->read);
}

static bool is_answered(void *arg)
{
	return ((struct rig_read *)arg)->answered > 0;
}

void rig_await(struct rig *r, struct rig_read *reading)
{
	assert_int_equal(sim_run(r->world, 10000000, is_answered, reading), OK);
}

unsigned rig_count_rows(struct rig *r, struct store_port *p, uint32_t session)
{
	struct rig_read reading;
	unsigned order = 0, n = 0;
	struct store_row row;
	uint32_t ids[1 + STORE_SUB_IDS_MAX];

	rig_ask(p, &reading, &order, session, 0, UINT32_MAX, UINT64_MAX);
	rig_await(r, &reading);
	assert_int_equal(reading.read.rc, OK);
	while (store_read_next(&reading.read, &row, ids))
		n++;
	assert_int_equal(n, reading.read.rows);
	store_read_fini(&reading.read);
	return n;
}

void rig_restart(struct rig *r, const struct store_options *o)
{
	rig_stop(r);
	rig_start(r, o);
}

int rig_setup(void **state)
{
	struct rig *r = malloc(sizeof(*r));

	rig_init(r, 1);
	rig_start(r, &(struct store_options){.durability = STORE_FSYNC});
	*state = r;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *r = *state;

	rig_stop(r);
	rig_fini(r);
	free(r);
	return 0;
}
