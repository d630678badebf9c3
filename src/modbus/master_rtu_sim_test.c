/*
 * A serial master and units on a simulated wire, from a seed: bytes that are flipped or lost, an adapter that keeps bytes back or hears itself, units that answer too
 * late or not at all, a port that is pulled out, requests taken back. Every request completes exactly once, and what it brings is what it asked for.
 * LINESIDE_SEED=n replays one seed.
 */
#include <stdio.h>

#include "modbus/rtu_test.h"

#define SEEDS      1000u
#define NREQUESTS  12u
#define NUNITS     4u
#define ROUNDS     150u
#define RUN_US     (600 * SECOND)
#define TIMEOUT_MS 80u

struct job {
	struct modbus_request r;
	struct run *run;
	bool pending;
};

struct run {
	struct wire x;
	struct job jobs[NREQUESTS];
	unsigned submitted, completed, cancelled, ok;
	bool is_unplugged;
};

/* The upper half of the registers is written, each with a value that says where it is. */
static uint16_t value_at(unsigned unit, unsigned address)
{
	return (uint16_t)(1000 * unit + address);
}

static void check(const struct job *j)
{
	const struct modbus_req *req = &j->r.req;

	for (unsigned i = 0; req->fc == 3 && i < req->count; i++)
		assert_int_equal(j->r.data.regs[i], value_at(j->r.unit, req->address + i));
	j->run->ok++;
}

static void on_done(struct modbus_request *r)
{
	struct job *j = r->owner;

	assert_true(j->pending);
	assert_in_set(r->rc,
		      ((unsigned long[]){OK, (unsigned long)ERR_CLOSED, (unsigned long)ERR_TIMEOUT,
					 (unsigned long)ERR_IO, (unsigned long)ERR_MALFORMED,
					 (unsigned long)ERR_UNEXPECTED}),
		      6);
	j->pending = false;
	j->run->completed++;
	if (r->rc == OK)
		check(j);
}

static void submit(struct run *run, struct job *j)
{
	struct sim_world *w = run->x.w;
	unsigned unit = 1 + (unsigned)sim_random(w, NUNITS);

	j->r = (struct modbus_request){
		.unit = (uint8_t)unit,
		.req = {.fc = sim_one_in(w, 4) ? 16 : 3,
			.address = (uint16_t)sim_random(w, NREGS - 10),
			.count = (uint16_t)(1 + sim_random(w, 10))},
		.timeout_ms = TIMEOUT_MS,
		.silence_us = sim_one_in(w, 4) ? 5000 : 0,
		.done = on_done,
		.owner = j,
	};
	for (unsigned i = 0; j->r.req.fc == 16 && i < j->r.req.count; i++)
		j->r.req.data.regs[i] = value_at(unit, j->r.req.address + i);
	j->run = run;
	j->pending = true;
	run->submitted++;
	modbus_master_submit(run->x.master, &j->r);
	assert_true(j->pending); /* never from inside submit */
}

static void cancel(struct run *run, struct job *j)
{
	modbus_master_cancel(run->x.master, &j->r);
	j->pending = false;
	run->cancelled++;
}

static void plug_or_unplug(struct run *run)
{
	if (run->is_unplugged)
		sim_bus_plug(run->x.bus);
	else
		sim_bus_unplug(run->x.bus);
	run->is_unplugged = !run->is_unplugged;
}

static void step(struct run *run)
{
	struct sim_world *w = run->x.w;
	struct job *j = &run->jobs[sim_random(w, NREQUESTS)];
	struct unit *u = &run->x.units[sim_random(w, NUNITS)];

	if (!j->pending)
		submit(run, j);
	else if (sim_one_in(w, 8))
		cancel(run, j);
	/* Some answers come after their time-out, up to nearly as late again. */
	u->delay_us = sim_one_in(w, 6) ? sim_random(w, 120000) : sim_random(w, 5000);
	if (sim_one_in(w, 20))
		u->is_silent = !u->is_silent;
	if (sim_one_in(w, run->is_unplugged ? 4 : 60))
		plug_or_unplug(run);
	wire_run(&run->x, sim_random(w, 40000));
}

static bool all_done(void *arg)
{
	const struct run *run = arg;

	return run->completed + run->cancelled == run->submitted;
}

static void run_seed(uint64_t seed)
{
	static const uint32_t bauds[] = {9600, 19200, 57600, 115200};
	static struct run run;
	const struct modbus_master_rtu_options options = {.baud = bauds[seed % 4],
							  .is_ascii = seed % 3 == 0,
							  .turnaround_us = 20000,
							  .is_port = seed % 2};
	struct sim_bus_faults faults;

	run = (struct run){0};
	wire_open(&run.x, seed, &options, NUNITS);
	faults = (struct sim_bus_faults){
		/* The checksum of ASCII is a sum of 8 bits, which lets some broken frames through. */
		.flip_one_in = options.is_ascii ? 0 : (uint32_t)sim_random(run.x.w, 2) * 200,
		.drop_one_in = options.is_ascii ? 0 : (uint32_t)sim_random(run.x.w, 2) * 300,
		.max_delay_us = sim_random(run.x.w, 2) * 8000,
		.echo = sim_one_in(run.x.w, 4),
	};
	sim_bus_set_faults(run.x.bus, &faults);
	for (unsigned i = 0; i < ROUNDS; i++)
		step(&run);
	assert_int_equal(sim_run(run.x.w, RUN_US, all_done, &run), OK);
	assert_true(run.ok > 0);
	wire_close(&run.x);
}

static void every_request_completes_once_with_what_it_asked_for(void **state)
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
		cmocka_unit_test(every_request_completes_once_with_what_it_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
