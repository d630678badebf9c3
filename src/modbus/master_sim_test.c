/*
 * Masters and a server on simulated time and wire, from a seed: delays, partial reads and writes, full buffers, cuts, a
 * device that goes and comes back, requests taken back. Every request completes exactly once, with the right data or an error;
 * what a write was told OK is in the device. LINESIDE_SEED=n replays one seed.
 */
#include <stdio.h>

#include "modbus/sim_test.h"

#define SEEDS     1000u
#define NREQUESTS 24u
#define ROUNDS    400u
#define RUN_US    (600 * SECOND)

struct job {
	struct modbus_request r;
	struct run *run;
	bool pending;
	bool cancelled;
};

struct run {
	struct world x;
	struct job jobs[NREQUESTS];
	unsigned submitted, completed, cancelled, ok;
	uint16_t written[NREGS]; /* the value of the last write told OK, where it is known */
	bool known[NREGS];
};

/* Job i owns registers 4 * i to 4 * i + 3, so that its own history says what they must hold. */
static unsigned base_of(const struct run *run, const struct job *j)
{
	return 4 * (unsigned)(j - run->jobs);
}

static void check(struct run *run, const struct job *j)
{
	const struct modbus_req *req = &j->r.req;
	bool writes = req->fc == 16;

	for (unsigned i = 0; i < req->count; i++) {
		unsigned at = req->address + i;

		if (writes && j->r.rc == OK)
			assert_int_equal(run->x.model.regs[at], req->data.regs[i]);
		if (writes) {
			/* Without an answer nobody knows whether it happened. */
			run->known[at] = j->r.rc == OK;
			run->written[at] = req->data.regs[i];
		} else if (j->r.rc == OK && run->known[at]) {
			assert_int_equal(j->r.data.regs[i], run->written[at]);
		}
	}
}

static void on_done(struct modbus_request *r)
{
	struct job *j = r->owner;

	assert_true(j->pending);
	assert_false(j->cancelled);
	assert_in_set(r->rc,
		      ((unsigned long[]){OK, (unsigned long)ERR_CLOSED, (unsigned long)ERR_TIMEOUT,
					 (unsigned long)ERR_IO}),
		      4);
	j->pending = false;
	j->run->completed++;
	j->run->ok += r->rc == OK;
	check(j->run, j);
}

static void submit(struct run *run, struct job *j)
{
	struct sim_world *w = run->x.w;
	unsigned base = base_of(run, j);

	j->r = (struct modbus_request){
		.unit = (uint8_t)(1 + sim_random(w, 3)),
		.req = {.fc = sim_one_in(w, 2) ? 16 : 3,
			.address = (uint16_t)(base + sim_random(w, 3)),
			.count = (uint16_t)(1 + sim_random(w, 2))},
		.timeout_ms = (uint32_t)(20 + sim_random(w, 500)),
		.done = on_done,
		.owner = j,
	};
	for (unsigned i = 0; i < j->r.req.count; i++)
		j->r.req.data.regs[i] = (uint16_t)sim_random(w, 65536);
	j->run = run;
	j->pending = true;
	j->cancelled = false;
	run->submitted++;
	modbus_master_submit(run->x.master, &j->r);
	assert_true(j->pending); /* never from inside submit */
}

static void cancel(struct run *run, struct job *j)
{
	modbus_master_cancel(run->x.master, &j->r);
	for (unsigned i = 0; i < j->r.req.count && j->r.req.fc == 16; i++)
		run->known[j->r.req.address + i] = false;
	j->pending = false;
	j->cancelled = true;
	run->cancelled++;
}

static void device_goes_or_comes(struct run *run)
{
	struct world *x = &run->x;

	if (x->listener) {
		world_unlisten(x);
		return;
	}
	assert_int_equal(
		sim_net_listen(x->net, x->far, "device", modbus_server_acceptor(x->server), &x->listener),
		OK);
}

static void step(struct run *run)
{
	struct sim_world *w = run->x.w;
	struct job *j = &run->jobs[sim_random(w, NREQUESTS)];

	if (!j->pending)
		submit(run, j);
	else if (sim_one_in(w, 8))
		cancel(run, j);
	if (sim_one_in(w, 60))
		device_goes_or_comes(run);
	world_run(&run->x, sim_random(w, 20000));
}

static bool all_done(void *arg)
{
	const struct run *run = arg;

	return run->completed + run->cancelled == run->submitted;
}

/* A late write of a cancelled or timed-out request may still arrive: such registers are not known any more. */
static void run_seed(uint64_t seed)
{
	static struct run run;
	const struct modbus_master_tcp_options options = {.max_in_flight = 1 + (unsigned)(seed % 16)};
	struct sim_net_faults faults;

	run = (struct run){0};
	world_open(&run.x, seed, &options, NULL);
	faults = (struct sim_net_faults){
		.max_delay_us = sim_random(run.x.w, 30000),
		.buffer = 64 + sim_random(run.x.w, 4096),
		.partial_one_in = (uint32_t)sim_random(run.x.w, 4),
		.cut_one_in = sim_one_in(run.x.w, 2) ? 0 : 50,
	};
	sim_net_set_faults(run.x.net, &faults);
	for (unsigned i = 0; i < ROUNDS; i++)
		step(&run);
	assert_int_equal(sim_run(run.x.w, RUN_US, all_done, &run), OK);
	assert_true(run.ok > 0);
	world_close(&run.x);
}

static void every_request_completes_once_with_the_right_data_or_an_error(void **state)
{
	const char *one = getenv("LINESIDE_SEED");
	uint64_t first = one ? strtoull(one, NULL, 10) : 1;
	uint64_t last = one ? first : SEEDS;

	(void)state;
	for (uint64_t seed = first; seed <= last; seed++) {
		/* The last line before a failure says which one it was. */
		print_message("# LINESIDE_SEED=%llu\n", (unsigned long long)seed);
		run_seed(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_request_completes_once_with_the_right_data_or_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
