#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/alloc_fail.h"
#include "tools/modbus_sim.h"
#include "wire/modbus_value.h"

#define SCRATCH 10u

static const struct modbus_units unit_1 = {.bits = {1u << 1}};

static void read_all(struct modbus_sim *sim, uint16_t regs[MODBUS_SIM_SCRATCH])
{
	assert_int_equal(modbus_sim_model.read_regs(sim, 1, MODBUS_AREA_HOLDING, 0, MODBUS_SIM_SCRATCH, regs),
			 MODBUS_EXCEPTION_NONE);
}

static void a_seed_gives_one_course_however_often_it_steps(void **state)
{
	struct modbus_sim *often, *once, *other;
	uint16_t a[MODBUS_SIM_SCRATCH], b[MODBUS_SIM_SCRATCH];

	(void)state;
	assert_int_equal(modbus_sim_create(7, &unit_1, SCRATCH, &often), OK);
	assert_int_equal(modbus_sim_create(7, &unit_1, SCRATCH, &once), OK);
	assert_int_equal(modbus_sim_create(8, &unit_1, SCRATCH, &other), OK);
	for (uint64_t ms = 0; ms <= 50000; ms += 70)
		modbus_sim_step(often, ms);
	modbus_sim_step(often, 50000);
	modbus_sim_step(once, 50000);
	modbus_sim_step(other, 50000);
	read_all(often, a);
	read_all(once, b);
	assert_memory_equal(a, b, sizeof(a));
	read_all(other, b);
	assert_memory_not_equal(a, b, sizeof(a));
	modbus_sim_destroy(often);
	modbus_sim_destroy(once);
	modbus_sim_destroy(other);
}

static void its_values_stay_in_their_ranges_for_days(void **state)
{
	const struct modbus_format single = {.type = VALUE_TYPE_FLOAT32, .order = BYTE_ORDER_ABCD};
	struct modbus_sim *sim;
	uint16_t regs[MODBUS_SIM_SCRATCH];
	struct modbus_value v;
	unsigned alarms = 0;

	(void)state;
	assert_int_equal(modbus_sim_create(1, &unit_1, SCRATCH, &sim), OK);
	for (uint64_t ms = 0; ms < 3 * 86400000ull; ms += 59000) {
		modbus_sim_step(sim, ms);
		read_all(sim, regs);
		assert_int_equal(modbus_value_decode(&single, regs, &v), OK);
		assert_true(v.f > 226 && v.f < 234);
		assert_int_equal(modbus_value_decode(&single, regs + 2, &v), OK);
		assert_true(v.f >= 2 && v.f <= 8);
		assert_int_equal(regs[7] & 1, 1);
		alarms += regs[7] >> 3 & 1;
	}
	/* Asleep for a year. */
	modbus_sim_step(sim, 365 * 86400000ull);
	modbus_sim_destroy(sim);
	assert_int_equal(alarms, 0);
}

static void the_alarm_follows_the_limit_and_the_relay_the_current(void **state)
{
	const struct modbus_format single = {.type = VALUE_TYPE_FLOAT32, .order = BYTE_ORDER_ABCD};
	struct modbus_sim *sim;
	uint16_t regs[MODBUS_SIM_SCRATCH], limit = 0;
	struct modbus_value v;
	uint8_t off = 0;

	(void)state;
	assert_int_equal(modbus_sim_create(1, &unit_1, SCRATCH, &sim), OK);
	assert_int_equal(modbus_sim_model.write_regs(sim, 1, 30, 1, &limit), MODBUS_EXCEPTION_NONE);
	modbus_sim_step(sim, 1000);
	read_all(sim, regs);
	assert_int_equal(regs[7], 1 | 1 << 3);
	assert_int_equal(modbus_sim_model.write_bits(sim, 1, 0, 1, &off), MODBUS_EXCEPTION_NONE);
	modbus_sim_step(sim, 2000);
	read_all(sim, regs);
	assert_int_equal(regs[7], 0);
	assert_int_equal(modbus_value_decode(&single, regs + 2, &v), OK);
	assert_true(v.f == 0);
	modbus_sim_destroy(sim);
}

static void writes_reach_what_may_be_written_only(void **state)
{
	static const struct {
		uint8_t unit;
		uint16_t address, count, value;
		enum modbus_exception exception;
	} cases[] = {
		{1, 30, 1, 500, MODBUS_EXCEPTION_NONE},
		{1, 30, 1, 501, MODBUS_EXCEPTION_ILLEGAL_DATA_VALUE},
		{1, 30, 2, 1, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS},
		{1, 0, 1, 1, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS},
		{1, 99, 2, 1, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS},
		{1, 100, 10, 1, MODBUS_EXCEPTION_NONE},
		{1, 100, 11, 1, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS},
		{0, 100, 1, 1, MODBUS_EXCEPTION_NONE},
		{255, 100, 1, 1, MODBUS_EXCEPTION_NONE},
	};
	struct modbus_sim *sim;

	(void)state;
	assert_int_equal(modbus_sim_create(1, &unit_1, SCRATCH, &sim), OK);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint16_t regs[11];

		for (unsigned r = 0; r < 11; r++)
			regs[r] = cases[i].value;
		assert_int_equal(modbus_sim_model.write_regs(sim, cases[i].unit, cases[i].address,
							     cases[i].count, regs),
				 cases[i].exception);
	}
	modbus_sim_destroy(sim);
}

static void each_unit_is_a_device_of_its_own(void **state)
{
	static const uint8_t write[] = {6, 0, 100, 0, 9}, read[] = {3, 0, 100, 0, 1}, id[] = {43, 14, 1, 0};
	static const struct {
		uint8_t unit, answer[4];
		size_t len;
	} cases[] = {
		{3, {3, 2, 0, 9}, 4},   {5, {3, 2, 0, 0}, 4}, {0, {3, 2, 0, 9}, 4},
		{255, {3, 2, 0, 9}, 4}, {4, {0x83, 11}, 2},
	};
	struct modbus_units units = {0};
	uint8_t out[MODBUS_PDU_MAX];
	struct modbus_sim *sim;

	(void)state;
	modbus_units_add(&units, 3);
	modbus_units_add(&units, 5);
	assert_int_equal(modbus_sim_create(1, &units, SCRATCH, &sim), OK);
	assert_int_equal(modbus_model_answer(&modbus_sim_model, sim, 3, span_of(write, 5), out), 5);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(
			modbus_model_answer(&modbus_sim_model, sim, cases[i].unit, span_of(read, 5), out),
			cases[i].len);
		assert_memory_equal(out, cases[i].answer, cases[i].len);
	}
	assert_true(modbus_model_answer(&modbus_sim_model, sim, 5, span_of(id, 4), out) > 7);
	assert_int_equal(modbus_model_answer(&modbus_sim_model, sim, 6, span_of(id, 4), out), 2);
	modbus_sim_destroy(sim);
}

static void creating_it_may_fail_for_memory(void **state)
{
	struct modbus_sim *sim = NULL;

	(void)state;
	for (long n = 1; n <= 2; n++) {
		alloc_fail_at(n);
		assert_int_equal(modbus_sim_create(1, &unit_1, SCRATCH, &sim), ERR_NOMEM);
		assert_true(alloc_fail_end());
		assert_null(sim);
	}
	modbus_sim_destroy(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seed_gives_one_course_however_often_it_steps),
		cmocka_unit_test(its_values_stay_in_their_ranges_for_days),
		cmocka_unit_test(the_alarm_follows_the_limit_and_the_relay_the_current),
		cmocka_unit_test(writes_reach_what_may_be_written_only),
		cmocka_unit_test(each_unit_is_a_device_of_its_own),
		cmocka_unit_test(creating_it_may_fail_for_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
