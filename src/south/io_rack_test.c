#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc_fail.h"
#include "loop/loop_sim.h"
#include "south/io_rack.h"
#include "south/io_registers.h"

/* ---- the simulated rack, on virtual time ---- */

struct fixture {
	struct sim_world *sim;
	struct loop *loop;
	struct source *rack;
	unsigned ndone;
};

static struct fixture fx;

static const struct config_module sim_modules[] = {
	{.kind = CONFIG_AREA_DI, .channels = 2, .signal = CONFIG_SIGNAL_LOOPBACK, .high = 1},
	{.kind = CONFIG_AREA_DI,
	 .first = 2,
	 .channels = 1,
	 .signal = CONFIG_SIGNAL_SQUARE,
	 .period_ms = 200,
	 .high = 1},
	{.kind = CONFIG_AREA_DI, .first = 3, .channels = 1, .signal = CONFIG_SIGNAL_BROKEN, .high = 1},
	{.kind = CONFIG_AREA_DO, .channels = 4, .pulse_on_ms = 20, .pulse_off_ms = 30, .pulse_count = 5},
	{.kind = CONFIG_AREA_AI,
	 .channels = 1,
	 .mode = IO_MODE_V10,
	 .signal = CONFIG_SIGNAL_SAW,
	 .high = 10,
	 .period_ms = 10000},
	{.kind = CONFIG_AREA_AI,
	 .first = 1,
	 .channels = 1,
	 .mode = IO_MODE_MA4_OPEN,
	 .signal = CONFIG_SIGNAL_CONSTANT,
	 .low = 2,
	 .period_ms = 10000},
	{.kind = CONFIG_AREA_AI,
	 .first = 2,
	 .channels = 2,
	 .mode = IO_MODE_V10,
	 .signal = CONFIG_SIGNAL_LOOPBACK,
	 .period_ms = 10000},
	{.kind = CONFIG_AREA_AO, .channels = 3, .mode = IO_MODE_PM10},
};

static const struct config_line sim_line = {.name = "rack",
					    .type = CONFIG_LINE_IO,
					    .modules = (struct config_module *)(uintptr_t)sim_modules,
					    .nmodules = sizeof(sim_modules) / sizeof(sim_modules[0])};

static void done(struct source_request *r)
{
	(void)r;
	fx.ndone++;
}

static int setup(void **state)
{
	(void)state;
	fx = (struct fixture){0};
	assert_int_equal(sim_world_create(1, &fx.sim), OK);
	assert_int_equal(sim_loop_create(fx.sim, &fx.loop), OK);
	assert_int_equal(io_rack_create(fx.loop, &sim_line, io_sim_create, &fx.rack), OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fx.rack->ops->destroy(fx.rack);
	loop_destroy(fx.loop);
	sim_world_destroy(fx.sim);
	return 0;
}

static struct source_request request(enum config_area area, unsigned start, unsigned count)
{
	return (struct source_request){.area = area,
				       .start = (uint16_t)start,
				       .count = (uint16_t)count,
				       .timeout_ms = 1000,
				       .done = done};
}

static bool is_done(void *arg)
{
	return fx.ndone >= *(unsigned *)arg;
}

static int ask(struct source_request *r)
{
	unsigned want = fx.ndone + 1;

	fx.rack->ops->submit(fx.rack, r);
	assert_int_equal(fx.ndone, want - 1); /* never from inside */
	assert_int_equal(sim_run(fx.sim, 1000000, is_done, &want), OK);
	return r->rc;
}

static void pass_ms(unsigned ms)
{
	(void)!sim_run(fx.sim, ms * 1000u, NULL, NULL);
}

/* Register `offset` of a channel, now. */
static unsigned reg(enum config_area area, unsigned number, unsigned offset)
{
	struct source_request r = request(area, number * SOURCE_CHANNEL_REGS + offset, 1);

	assert_int_equal(ask(&r), OK);
	return r.data.regs[0];
}

static unsigned attribute(enum config_area area, unsigned number, enum io_attribute a)
{
	const struct source_attribute *at = &io_attributes[a - 1];

	return reg(area, number, at->offset + (at->type == VALUE_TYPE_UINT32));
}

static int put(enum config_area area, unsigned number, unsigned offset, unsigned value)
{
	struct source_request r = request(area, number * SOURCE_CHANNEL_REGS + offset, 1);

	r.op = SOURCE_WRITE;
	r.data.regs[0] = (uint16_t)value;
	return ask(&r);
}

static int put_double(enum config_area area, unsigned number, double value)
{
	struct source_request r = request(area, number * SOURCE_CHANNEL_REGS, 4);
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	for (unsigned i = 0; i < 4; i++)
		r.data.regs[i] = (uint16_t)(bits >> (48 - 16 * i));
	r.op = SOURCE_WRITE;
	return ask(&r);
}

static enum quality quality_of(enum config_area area, uint16_t number, enum reason want)
{
	enum reason reason;
	enum quality q = fx.rack->ops->channel_quality(fx.rack, area, number, &reason);

	assert_int_equal(reason, want);
	return q;
}

static void a_rack_refuses_what_it_does_not_have(void **state)
{
	const struct {
		enum config_area area;
		unsigned start, count;
		enum source_op op;
		int rc;
	} cases[] = {
		{CONFIG_AREA_DI, 0, 125, SOURCE_READ, OK},
		{CONFIG_AREA_DI, 4 * 32 - 1, 1, SOURCE_READ, OK},
		{CONFIG_AREA_DI, 4 * 32, 1, SOURCE_READ, ERR_RANGE},
		{CONFIG_AREA_DI, 4 * 32 - 1, 2, SOURCE_READ, ERR_RANGE},
		{CONFIG_AREA_DI, 0, 0, SOURCE_READ, ERR_RANGE},
		{CONFIG_AREA_DI, 0, 126, SOURCE_READ, ERR_RANGE},
		{CONFIG_AREA_RTD, 0, 1, SOURCE_READ, ERR_RANGE},
		{CONFIG_AREA_HOLDING, 0, 1, SOURCE_READ, ERR_RANGE},
		{CONFIG_AREA_DO, 96, 1, SOURCE_WRITE, OK},
		{CONFIG_AREA_DO, 96, 2, SOURCE_WRITE, ERR_RANGE},
		{CONFIG_AREA_DO, 128, 1, SOURCE_WRITE, ERR_RANGE},
		{CONFIG_AREA_DI, 0, 1, SOURCE_WRITE, ERR_RANGE},
		{CONFIG_AREA_AI, 0, 4, SOURCE_WRITE, ERR_RANGE},
		{CONFIG_AREA_DO, 0, 1, SOURCE_MASK, ERR_UNSUPPORTED},
		{CONFIG_AREA_DO, 0, 1, SOURCE_RAW, ERR_UNSUPPORTED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct source_request r = request(cases[i].area, cases[i].start, cases[i].count);

		r.op = cases[i].op;
		assert_int_equal(ask(&r), cases[i].rc);
	}
}

static void a_block_from_the_middle_of_a_channel_is_that_part_of_the_whole(void **state)
{
	struct source_request all = request(CONFIG_AREA_AI, 0, 96), part = request(CONFIG_AREA_AI, 37, 30);

	(void)state;
	assert_int_equal(ask(&all), OK);
	assert_int_equal(ask(&part), OK);
	assert_memory_equal(&all.data.regs[37], part.data.regs, 27 * sizeof(uint16_t)); /* ai1, a constant */
}

static void a_cancelled_request_is_not_answered(void **state)
{
	struct source_request a = request(CONFIG_AREA_DI, 0, 1), b = a;

	(void)state;
	fx.rack->ops->submit(fx.rack, &a);
	fx.rack->ops->submit(fx.rack, &b);
	fx.rack->ops->cancel(fx.rack, &a);
	pass_ms(10);
	assert_int_equal(fx.ndone, 1);
	fx.rack->ops->submit(fx.rack, &a);
	fx.rack->ops->cancel(fx.rack, &a);
	pass_ms(10);
	assert_int_equal(fx.ndone, 1);
}

static void a_counter_sees_edges_that_no_read_sees(void **state)
{
	(void)state;
	assert_int_equal(reg(CONFIG_AREA_DI, 2, 0), 0);
	pass_ms(2010); /* ten periods of 200 ms, each with one rising edge */
	assert_int_equal(attribute(CONFIG_AREA_DI, 2, IO_ATTR_COUNTER), 10);
}

static void a_train_of_pulses_is_counted_by_the_input_that_it_drives(void **state)
{
	(void)state;
	assert_int_equal(reg(CONFIG_AREA_DI, 1, 0), 0);
	assert_int_equal(put(CONFIG_AREA_DO, 1, io_attributes[IO_ATTR_PULSE - 1].offset, 1), OK);
	assert_int_equal(reg(CONFIG_AREA_DI, 1, 0), 1);
	assert_int_equal(attribute(CONFIG_AREA_DO, 1, IO_ATTR_PULSE), 1);
	pass_ms(30); /* in the first pause */
	assert_int_equal(reg(CONFIG_AREA_DO, 1, 0), 0);
	assert_int_equal(attribute(CONFIG_AREA_DO, 1, IO_ATTR_PULSES_LEFT), 4);
	pass_ms(300);
	assert_int_equal(attribute(CONFIG_AREA_DO, 1, IO_ATTR_PULSE), 0);
	assert_int_equal(attribute(CONFIG_AREA_DI, 1, IO_ATTR_COUNTER), 5);
	assert_int_equal(reg(CONFIG_AREA_DI, 1, 0), 0);
}

static void a_broken_wire_is_told_and_its_neighbours_are_not_concerned(void **state)
{
	(void)state;
	assert_int_equal(attribute(CONFIG_AREA_AI, 1, IO_ATTR_STATUS), IO_STATUS_OPEN);
	assert_int_equal(quality_of(CONFIG_AREA_AI, 1, REASON_RANGE), QUALITY_BAD);
	assert_int_equal(attribute(CONFIG_AREA_AI, 0, IO_ATTR_STATUS), IO_STATUS_NORMAL);
	assert_int_equal(quality_of(CONFIG_AREA_AI, 0, REASON_NONE), QUALITY_GOOD);
	assert_int_equal(reg(CONFIG_AREA_DI, 3, 0), 0);
	assert_int_equal(quality_of(CONFIG_AREA_DI, 3, REASON_OFFLINE), QUALITY_BAD);
}

static void an_analog_output_comes_back_through_a_loop(void **state)
{
	(void)state;
	assert_int_equal(put_double(CONFIG_AREA_AO, 2, 7.5), OK);
	assert_int_equal(reg(CONFIG_AREA_AI, 2, 0), 0x401E); /* 7.5 */
	assert_int_equal(put_double(CONFIG_AREA_AO, 2, -7.5), OK);
	assert_int_equal(attribute(CONFIG_AREA_AI, 2, IO_ATTR_STATUS), IO_STATUS_UNDER);
	assert_int_equal(quality_of(CONFIG_AREA_AI, 2, REASON_RANGE), QUALITY_UNCERTAIN);
	assert_int_equal(put_double(CONFIG_AREA_AO, 2, 10.5), ERR_REMOTE);
	assert_int_equal(attribute(CONFIG_AREA_AI, 2, IO_ATTR_STATUS), IO_STATUS_UNDER);
}

static void units_are_those_of_the_modes(void **state)
{
	(void)state;
	assert_string_equal(fx.rack->ops->channel_unit(fx.rack, CONFIG_AREA_AI, 0), "V");
	assert_string_equal(fx.rack->ops->channel_unit(fx.rack, CONFIG_AREA_AI, 1), "mA");
	assert_null(fx.rack->ops->channel_unit(fx.rack, CONFIG_AREA_DI, 0));
	assert_null(fx.rack->ops->channel_unit(fx.rack, CONFIG_AREA_AI, 4));
}

static void a_failing_allocation_makes_no_rack(void **state)
{
	(void)state;
	for (long n = 1;; n++) {
		struct source *s = NULL;
		bool hit;
		int rc;

		alloc_fail_at(n);
		rc = io_rack_create(fx.loop, &sim_line, io_sim_create, &s);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		if (hit)
			continue;
		s->ops->destroy(s);
		break;
	}
}

/* ---- a driver that hangs, on a real loop with its thread ---- */

struct hanger {
	struct io_driver driver;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool is_hanging, is_in_read; /* under the lock */
	bool is_gone;                /* under the lock */
	bool is_destroyed;           /* under the lock */
};

static struct hanger hanger = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void hanger_read(struct io_driver *d, enum config_area kind, unsigned number, struct io_reading *r)
{
	struct hanger *h = container_of(d, struct hanger, driver);

	(void)kind;
	pthread_mutex_lock(&h->lock);
	h->is_in_read = true;
	pthread_cond_broadcast(&h->changed);
	while (h->is_hanging)
		pthread_cond_wait(&h->changed, &h->lock);
	h->is_in_read = false;
	r->rc = h->is_gone ? ERR_IO : OK;
	pthread_mutex_unlock(&h->lock);
	r->value = number + 1;
}

static bool hanger_fault(struct io_driver *d, char text[IO_FAULT_MAX])
{
	(void)d;
	memcpy(text, "no chip", 8);
	return true;
}

static void hanger_destroy(struct io_driver *d)
{
	struct hanger *h = container_of(d, struct hanger, driver);

	pthread_mutex_lock(&h->lock);
	h->is_destroyed = true;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
}

static const struct io_driver_ops hanger_ops = {
	.is_slow = true, .read = hanger_read, .fault = hanger_fault, .destroy = hanger_destroy};

static int hanger_create(struct loop *loop, const struct config_line *line, struct io_host *host,
			 struct io_driver **out)
{
	(void)loop;
	(void)line;
	(void)host;
	hanger.driver.ops = &hanger_ops;
	*out = &hanger.driver;
	return OK;
}

static const struct config_module slow_module = {.kind = CONFIG_AREA_AI, .channels = 2, .mode = IO_MODE_ANY};
static const struct config_line slow_line = {.name = "slow",
					     .type = CONFIG_LINE_IO,
					     .modules = (struct config_module *)(uintptr_t)&slow_module,
					     .nmodules = 1};

static int setup_slow(void **state)
{
	(void)state;
	fx = (struct fixture){0};
	hanger.is_hanging = hanger.is_gone = hanger.is_destroyed = false;
	assert_int_equal(loop_create(&fx.loop), OK);
	assert_int_equal(io_rack_create(fx.loop, &slow_line, hanger_create, &fx.rack), OK);
	return 0;
}

static void hang(bool on)
{
	pthread_mutex_lock(&hanger.lock);
	hanger.is_hanging = on;
	pthread_cond_broadcast(&hanger.changed);
	pthread_mutex_unlock(&hanger.lock);
}

static void await_hanger(const bool *flag)
{
	pthread_mutex_lock(&hanger.lock);
	while (!*flag)
		pthread_cond_wait(&hanger.changed, &hanger.lock);
	pthread_mutex_unlock(&hanger.lock);
}

static int teardown_slow(void **state)
{
	(void)state;
	if (fx.rack)
		fx.rack->ops->destroy(fx.rack);
	hang(false);
	await_hanger(&hanger.is_destroyed);
	loop_destroy(fx.loop);
	return 0;
}

static int await_done(struct source_request *r, unsigned want)
{
	while (fx.ndone < want)
		assert_int_equal(loop_turn(fx.loop, 1000), OK);
	return r->rc;
}

static void a_thread_reads_what_is_slow(void **state)
{
	struct source_request r = request(CONFIG_AREA_AI, 0, 64);

	(void)state;
	for (unsigned i = 1; i <= 50; i++) {
		fx.rack->ops->submit(fx.rack, &r);
		assert_int_equal(await_done(&r, i), OK);
	}
	assert_int_equal(r.data.regs[0], 0x3FF0);  /* 1.0 */
	assert_int_equal(r.data.regs[32], 0x4000); /* 2.0 */
}

static void a_driver_that_hangs_costs_a_time_out_and_is_used_again_when_it_is_back(void **state)
{
	struct source_request r = request(CONFIG_AREA_AI, 0, 4), again = request(CONFIG_AREA_AI, 32, 4);

	(void)state;
	hang(true);
	r.timeout_ms = again.timeout_ms = 20;
	fx.rack->ops->submit(fx.rack, &r);
	assert_int_equal(await_done(&r, 1), ERR_TIMEOUT);
	fx.rack->ops->submit(fx.rack, &again); /* the thread is still with the first one */
	assert_int_equal(await_done(&again, 2), ERR_TIMEOUT);
	again.timeout_ms = 60000;
	fx.rack->ops->submit(fx.rack, &again);
	hang(false);
	assert_int_equal(await_done(&again, 3), OK);
	assert_int_equal(again.data.regs[0], 0x4000); /* its own answer, not that of the first */
}

static void a_rack_that_goes_while_its_driver_hangs_is_freed_by_the_thread(void **state)
{
	struct source_request r = request(CONFIG_AREA_AI, 0, 4);

	(void)state;
	hang(true);
	fx.rack->ops->submit(fx.rack, &r);
	assert_int_equal(loop_turn(fx.loop, 1000), OK); /* its timer is due: the thread begins */
	await_hanger(&hanger.is_in_read);
	fx.rack->ops->cancel(fx.rack, &r);
	fx.rack->ops->destroy(fx.rack); /* does not wait */
	fx.rack = NULL;
	assert_false(hanger.is_destroyed);
}

static void a_chip_that_is_gone_is_a_line_without_an_answer(void **state)
{
	struct source_request r = request(CONFIG_AREA_AI, 0, 4);

	(void)state;
	hanger.is_gone = true;
	fx.rack->ops->submit(fx.rack, &r);
	assert_int_equal(await_done(&r, 1), ERR_IO);
	assert_string_equal(fx.rack->fault, "no chip");
	pthread_mutex_lock(&hanger.lock);
	hanger.is_gone = false;
	pthread_mutex_unlock(&hanger.lock);
	fx.rack->ops->submit(fx.rack, &r);
	assert_int_equal(await_done(&r, 2), OK);
}

#define ON_SIM(test)  cmocka_unit_test_setup_teardown(test, setup, teardown)
#define ON_LOOP(test) cmocka_unit_test_setup_teardown(test, setup_slow, teardown_slow)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_SIM(a_rack_refuses_what_it_does_not_have),
		ON_SIM(a_block_from_the_middle_of_a_channel_is_that_part_of_the_whole),
		ON_SIM(a_cancelled_request_is_not_answered),
		ON_SIM(a_counter_sees_edges_that_no_read_sees),
		ON_SIM(a_train_of_pulses_is_counted_by_the_input_that_it_drives),
		ON_SIM(a_broken_wire_is_told_and_its_neighbours_are_not_concerned),
		ON_SIM(an_analog_output_comes_back_through_a_loop),
		ON_SIM(units_are_those_of_the_modes),
		ON_SIM(a_failing_allocation_makes_no_rack),
		ON_LOOP(a_thread_reads_what_is_slow),
		ON_LOOP(a_driver_that_hangs_costs_a_time_out_and_is_used_again_when_it_is_back),
		ON_LOOP(a_rack_that_goes_while_its_driver_hangs_is_freed_by_the_thread),
		ON_LOOP(a_chip_that_is_gone_is_a_line_without_an_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
