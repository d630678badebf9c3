#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "south/io_registers.h"
#include "wire/modbus_value.h"

static struct io_channel channel(const struct config_module *m)
{
	struct io_channel c;

	io_channel_init(&c, m);
	return c;
}

static void feed_level(struct io_channel *c, bool on, uint64_t at)
{
	io_channel_feed(c, &(struct io_reading){.on = on}, at);
}

static void feed_value(struct io_channel *c, double value)
{
	io_channel_feed(c, &(struct io_reading){.value = value, .raw = lround(value * 100)}, 0);
}

static enum quality quality_of(const struct io_channel *c, enum reason want)
{
	enum reason reason;
	enum quality q = io_channel_quality(c, &reason);

	assert_int_equal(reason, want);
	return q;
}

/* One attribute by its table line; numbers only. */
static int write_attribute(struct io_channel *c, enum io_attribute a, uint32_t value, uint64_t now)
{
	const struct source_attribute *at = &io_attributes[a - 1];
	struct modbus_format f = {.type = at->type, .order = value_type_default_order(at->type)};
	struct modbus_value v = {.kind = VALUE_KIND_UINT, .u = value};
	uint16_t regs[4] = {0};
	bool is_output;

	assert_int_equal(modbus_value_encode(&f, &v, regs), OK);
	return io_channel_write(c, at->offset, regs, modbus_format_registers(&f), now, &is_output);
}

/* ---- di ---- */

static void a_di_counts_the_edges_that_it_is_told_to(void **state)
{
	static const struct {
		int edge;
		uint32_t counter;
	} cases[] = {{CONFIG_EDGE_RISING, 2}, {CONFIG_EDGE_FALLING, 1}, {CONFIG_EDGE_BOTH, 3}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct io_channel c =
			channel(&(struct config_module){.kind = CONFIG_AREA_DI, .edge = cases[i].edge});

		feed_level(&c, false, 0); /* what it is at first is no edge */
		feed_level(&c, true, 1);
		feed_level(&c, true, 2);
		feed_level(&c, false, 3);
		feed_level(&c, true, 4);
		assert_int_equal(c.di.counter, cases[i].counter);
		assert_true(c.di.state);
	}
}

static void the_first_level_is_no_edge(void **state)
{
	struct io_channel c = channel(&(struct config_module){.kind = CONFIG_AREA_DI});

	(void)state;
	feed_level(&c, true, 0);
	assert_true(c.di.state);
	assert_int_equal(c.di.counter, 0);
}

static void a_level_shorter_than_the_filter_is_no_state(void **state)
{
	struct io_channel c = channel(&(struct config_module){.kind = CONFIG_AREA_DI, .filter_ms = 10});

	(void)state;
	feed_level(&c, false, 0);
	assert_int_equal(io_channel_due(&c), IO_NEVER);
	feed_level(&c, true, 100);
	assert_int_equal(io_channel_due(&c), 110);
	feed_level(&c, false, 109); /* it bounces */
	assert_int_equal(io_channel_due(&c), IO_NEVER);
	feed_level(&c, true, 112);
	assert_false(io_channel_tick(&c, 121));
	assert_false(c.di.state);
	assert_false(io_channel_tick(&c, 122));
	assert_true(c.di.state);
	assert_int_equal(c.di.counter, 1);
	feed_level(&c, false, 200);
	feed_level(&c, true, 300); /* low for long enough, though nobody looked at 210 */
	feed_level(&c, true, 310);
	assert_int_equal(c.di.counter, 2);
}

static void a_counter_that_passes_its_end_says_so_until_that_is_cleared(void **state)
{
	struct io_channel c = channel(&(struct config_module){.kind = CONFIG_AREA_DI});

	(void)state;
	assert_int_equal(write_attribute(&c, IO_ATTR_COUNTER, UINT32_MAX, 0), OK);
	feed_level(&c, false, 0);
	assert_false(c.di.overflow);
	feed_level(&c, true, 1);
	assert_true(c.di.overflow);
	assert_int_equal(c.di.counter, 0);
	assert_int_equal(write_attribute(&c, IO_ATTR_OVERFLOW_CLEAR, 0, 2), OK);
	assert_true(c.di.overflow);
	assert_int_equal(write_attribute(&c, IO_ATTR_OVERFLOW_CLEAR, 1, 2), OK);
	assert_false(c.di.overflow);
	assert_int_equal(write_attribute(&c, IO_ATTR_OVERFLOW, 1, 2), ERR_DENIED);
}

static void a_counter_that_is_stopped_leaves_edges_out(void **state)
{
	struct io_channel c = channel(&(struct config_module){.kind = CONFIG_AREA_DI});

	(void)state;
	feed_level(&c, false, 0);
	feed_level(&c, true, 1);
	assert_int_equal(write_attribute(&c, IO_ATTR_COUNTING, 0, 1), OK);
	feed_level(&c, false, 2);
	feed_level(&c, true, 3);
	assert_int_equal(c.di.counter, 1);
	assert_int_equal(write_attribute(&c, IO_ATTR_COUNTER, 0, 3), OK);
	assert_int_equal(c.di.counter, 0);
}

/* ---- do ---- */

static struct io_channel pulsing(uint32_t count)
{
	return channel(&(struct config_module){
		.kind = CONFIG_AREA_DO, .pulse_on_ms = 10, .pulse_off_ms = 30, .pulse_count = count});
}

static void a_train_of_pulses_has_widths_and_an_end(void **state)
{
	static const uint64_t steps[] = {110, 140, 150}; /* off, on, off and over */
	struct io_channel c = pulsing(2);

	(void)state;
	assert_int_equal(io_channel_due(&c), IO_NEVER);
	assert_int_equal(write_attribute(&c, IO_ATTR_PULSE, 1, 100), OK);
	assert_true(c.dout.on);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(io_channel_due(&c), steps[i]);
		assert_false(io_channel_tick(&c, steps[i] - 1));
		assert_true(io_channel_tick(&c, steps[i]));
		assert_int_equal(c.dout.on, i == 1);
	}
	assert_int_equal(io_channel_due(&c), IO_NEVER);
	assert_false(c.dout.is_pulsing);
	assert_int_equal(c.dout.left, 0);
}

static void pulses_without_a_count_go_on_until_they_are_stopped(void **state)
{
	struct io_channel c = pulsing(0);
	bool is_output;

	(void)state;
	assert_int_equal(write_attribute(&c, IO_ATTR_PULSE, 1, 0), OK);
	for (int i = 0; i < 1001; i++)
		assert_true(io_channel_tick(&c, io_channel_due(&c)));
	assert_true(c.dout.is_pulsing);
	assert_int_equal(write_attribute(&c, IO_ATTR_PULSE, 0, 99999), OK);
	assert_false(c.dout.on || c.dout.is_pulsing);
	assert_int_equal(write_attribute(&c, IO_ATTR_PULSE, 1, 99999), OK);
	assert_int_equal(io_channel_write(&c, 0, (const uint16_t[]){1}, 1, 99999, &is_output), OK);
	assert_true(is_output && c.dout.on && !c.dout.is_pulsing); /* writing the output ends its pulses */
}

static void stopping_pulses_that_do_not_run_leaves_the_output(void **state)
{
	struct io_channel c = pulsing(1);
	bool is_output = true;

	(void)state;
	io_do_set(&c.dout, true);
	assert_int_equal(io_channel_write(&c, 1, (const uint16_t[]){0}, 1, 5, &is_output), OK);
	assert_true(!is_output && c.dout.on);
}

static void a_step_that_comes_late_makes_no_pulse_shorter(void **state)
{
	struct io_channel c = pulsing(0);

	(void)state;
	assert_int_equal(write_attribute(&c, IO_ATTR_PULSE, 1, 0), OK);
	assert_true(io_channel_tick(&c, 1000));
	assert_int_equal(io_channel_due(&c), 1030);
}

static void widths_of_pulses_have_limits(void **state)
{
	struct io_channel c = pulsing(0);

	(void)state;
	assert_int_equal(write_attribute(&c, IO_ATTR_PULSE_ON, 0, 0), ERR_MALFORMED);
	assert_int_equal(write_attribute(&c, IO_ATTR_PULSE_ON, 1, 0), OK);
	assert_int_equal(write_attribute(&c, IO_ATTR_PULSE_OFF, 86400000, 0), OK);
	assert_int_equal(write_attribute(&c, IO_ATTR_PULSE_OFF, 86400001, 0), ERR_MALFORMED);
	assert_int_equal(c.dout.on_ms, 1);
	assert_int_equal(c.dout.off_ms, 86400000);
	assert_int_equal(write_attribute(&c, IO_ATTR_PULSES_LEFT, 1, 0), ERR_DENIED);
}

static void a_relay_counts_how_often_it_is_switched_on(void **state)
{
	struct io_channel c = channel(&(struct config_module){.kind = CONFIG_AREA_RELAY});
	bool is_output;

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(io_channel_write(&c, 0, (const uint16_t[]){i % 3 != 2}, 1, i, &is_output),
				 OK);
		assert_true(is_output);
	}
	assert_int_equal(c.relay.total, 2);
	assert_int_equal(write_attribute(&c, IO_ATTR_RESET_COUNT, 1, 9), OK);
	assert_int_equal(c.relay.current, 0);
	assert_int_equal(c.relay.total, 2);
}

/* ---- analog ---- */

static void the_status_of_an_input_follows_the_limits_of_its_mode(void **state)
{
	static const struct {
		enum io_mode mode;
		double value;
		enum io_status status;
		enum quality quality;
		enum reason reason;
	} cases[] = {
		{IO_MODE_V10, 0, IO_STATUS_NORMAL, QUALITY_GOOD, REASON_NONE},
		{IO_MODE_V10, 10.2, IO_STATUS_NORMAL, QUALITY_GOOD, REASON_NONE},
		{IO_MODE_V10, 10.21, IO_STATUS_OVER, QUALITY_UNCERTAIN, REASON_RANGE},
		{IO_MODE_V10, -0.21, IO_STATUS_UNDER, QUALITY_UNCERTAIN, REASON_RANGE},
		{IO_MODE_PM10, -10.21, IO_STATUS_UNDER, QUALITY_UNCERTAIN, REASON_RANGE},
		{IO_MODE_MA20, 0, IO_STATUS_NORMAL, QUALITY_GOOD, REASON_NONE},
		{IO_MODE_MA4, 3.8, IO_STATUS_NORMAL, QUALITY_GOOD, REASON_NONE},
		{IO_MODE_MA4, 3.79, IO_STATUS_UNDER, QUALITY_UNCERTAIN, REASON_RANGE},
		{IO_MODE_MA4, 0, IO_STATUS_UNDER, QUALITY_UNCERTAIN, REASON_RANGE},
		{IO_MODE_MA4, 20.51, IO_STATUS_OVER, QUALITY_UNCERTAIN, REASON_RANGE},
		{IO_MODE_MA4_OPEN, 3.6, IO_STATUS_UNDER, QUALITY_UNCERTAIN, REASON_RANGE},
		{IO_MODE_MA4_OPEN, 3.59, IO_STATUS_OPEN, QUALITY_BAD, REASON_RANGE},
		{IO_MODE_PT100, 850.1, IO_STATUS_OVER, QUALITY_UNCERTAIN, REASON_RANGE},
		{IO_MODE_TC_B, -1, IO_STATUS_UNDER, QUALITY_UNCERTAIN, REASON_RANGE},
		{IO_MODE_ANY, 1e9, IO_STATUS_NORMAL, QUALITY_GOOD, REASON_NONE},
		{IO_MODE_ANY, NAN, IO_STATUS_OPEN, QUALITY_BAD, REASON_RANGE},
		{IO_MODE_DISABLED, 5, IO_STATUS_DISABLED, QUALITY_BAD, REASON_CONFIG},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct io_channel c =
			channel(&(struct config_module){.kind = CONFIG_AREA_AI, .mode = cases[i].mode});

		feed_value(&c, cases[i].value);
		assert_int_equal(c.analog.status, cases[i].status);
		assert_int_equal(quality_of(&c, cases[i].reason), cases[i].quality);
		assert_int_equal(isnan(c.analog.value), cases[i].quality == QUALITY_BAD);
	}
}

static void extremes_are_of_what_was_measured_and_begin_anew(void **state)
{
	struct io_channel c =
		channel(&(struct config_module){.kind = CONFIG_AREA_AI, .mode = IO_MODE_MA4_OPEN});

	(void)state;
	feed_value(&c, 12);
	feed_value(&c, 1); /* the wire breaks: that is no minimum */
	feed_value(&c, 8);
	feed_value(&c, 18);
	feed_value(&c, 10);
	assert_true(c.analog.min == 8 && c.analog.max == 18);
	assert_int_equal(write_attribute(&c, IO_ATTR_RESET_MIN, 0, 0), OK);
	assert_true(c.analog.min == 8);
	assert_int_equal(write_attribute(&c, IO_ATTR_RESET_MIN, 1, 0), OK);
	assert_true(c.analog.min == 10 && c.analog.max == 18);
	assert_int_equal(write_attribute(&c, IO_ATTR_RESET_MAX, 1, 0), OK);
	assert_true(c.analog.max == 10);
	feed_value(&c, 1);
	assert_int_equal(write_attribute(&c, IO_ATTR_RESET, 1, 0),
			 OK); /* nothing is measured: the next value is both */
	feed_value(&c, 15);
	assert_true(c.analog.min == 15 && c.analog.max == 15);
}

static void a_channel_that_cannot_be_read_is_offline_and_comes_back(void **state)
{
	static const enum config_area kinds[] = {CONFIG_AREA_DI, CONFIG_AREA_DO, CONFIG_AREA_AI,
						 CONFIG_AREA_TC};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct io_channel c = channel(&(struct config_module){.kind = kinds[i], .mode = IO_MODE_ANY});

		io_channel_feed(&c, &(struct io_reading){.rc = ERR_IO}, 0);
		assert_int_equal(quality_of(&c, REASON_OFFLINE), QUALITY_BAD);
		io_channel_feed(&c, &(struct io_reading){.value = 5}, 1);
		assert_int_equal(quality_of(&c, REASON_NONE), QUALITY_GOOD);
	}
}

/* ---- registers ---- */

static void every_attribute_has_a_place_of_its_own(void **state)
{
	(void)state;
	for (unsigned kind = CONFIG_AREA_DI; kind <= CONFIG_AREA_TC; kind++) {
		bool used[SOURCE_CHANNEL_REGS] = {true}; /* and the rest of a float64 */

		for (unsigned i = 1; kind >= CONFIG_AREA_AI && i < 4; i++)
			used[i] = true;
		for (size_t a = 0; a < IO_ATTR_COUNT - 1; a++) {
			const struct source_attribute *at = &io_attributes[a];
			struct modbus_format f = {.type = at->type, .length = at->length};

			if (!(at->areas >> kind & 1))
				continue;
			for (unsigned i = 0; i < modbus_format_registers(&f); i++) {
				assert_in_range(at->offset + i, 0, SOURCE_CHANNEL_REGS - 1);
				assert_false(used[at->offset + i]);
				used[at->offset + i] = true;
			}
		}
	}
}

static void what_is_not_a_whole_attribute_cannot_be_written(void **state)
{
	static const struct {
		enum config_area kind;
		unsigned offset, count;
		int rc;
	} cases[] = {
		{CONFIG_AREA_DI, 0, 1, ERR_DENIED}, {CONFIG_AREA_DI, 1, 1, ERR_RANGE},
		{CONFIG_AREA_DI, 1, 2, OK},         {CONFIG_AREA_DI, 31, 1, ERR_RANGE},
		{CONFIG_AREA_DO, 0, 1, OK},         {CONFIG_AREA_DO, 0, 2, ERR_RANGE},
		{CONFIG_AREA_AI, 0, 4, ERR_DENIED}, {CONFIG_AREA_AO, 0, 4, OK},
		{CONFIG_AREA_AO, 17, 1, ERR_RANGE}, {CONFIG_AREA_AO, 0, 1, ERR_RANGE},
	};
	static const uint16_t zero[4] = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct io_channel c =
			channel(&(struct config_module){.kind = cases[i].kind, .mode = IO_MODE_V10});
		bool is_output;

		assert_int_equal(io_channel_write(&c, cases[i].offset, zero, cases[i].count, 0, &is_output),
				 cases[i].rc);
	}
}

static void an_analog_output_takes_what_its_mode_is_made_for(void **state)
{
	static const struct {
		enum io_mode mode;
		double value;
		int rc;
	} cases[] = {
		{IO_MODE_MA4, 4, OK},    {IO_MODE_MA4, 3.99, ERR_MALFORMED},
		{IO_MODE_MA4, 20, OK},   {IO_MODE_MA4, 20.01, ERR_MALFORMED},
		{IO_MODE_ANY, -1e6, OK}, {IO_MODE_ANY, NAN, ERR_MALFORMED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct io_channel from = channel(&(struct config_module){.kind = CONFIG_AREA_AO});
		struct io_channel c =
			channel(&(struct config_module){.kind = CONFIG_AREA_AO, .mode = cases[i].mode});
		uint16_t regs[SOURCE_CHANNEL_REGS];
		bool is_output;

		from.analog.value = cases[i].value;
		io_channel_registers(&from, regs);
		assert_int_equal(io_channel_write(&c, 0, regs, 4, 0, &is_output), cases[i].rc);
		assert_true(cases[i].rc != OK || c.analog.value == cases[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_di_counts_the_edges_that_it_is_told_to),
		cmocka_unit_test(the_first_level_is_no_edge),
		cmocka_unit_test(a_level_shorter_than_the_filter_is_no_state),
		cmocka_unit_test(a_counter_that_passes_its_end_says_so_until_that_is_cleared),
		cmocka_unit_test(a_counter_that_is_stopped_leaves_edges_out),
		cmocka_unit_test(a_train_of_pulses_has_widths_and_an_end),
		cmocka_unit_test(pulses_without_a_count_go_on_until_they_are_stopped),
		cmocka_unit_test(stopping_pulses_that_do_not_run_leaves_the_output),
		cmocka_unit_test(a_step_that_comes_late_makes_no_pulse_shorter),
		cmocka_unit_test(widths_of_pulses_have_limits),
		cmocka_unit_test(a_relay_counts_how_often_it_is_switched_on),
		cmocka_unit_test(the_status_of_an_input_follows_the_limits_of_its_mode),
		cmocka_unit_test(extremes_are_of_what_was_measured_and_begin_anew),
		cmocka_unit_test(a_channel_that_cannot_be_read_is_offline_and_comes_back),
		cmocka_unit_test(every_attribute_has_a_place_of_its_own),
		cmocka_unit_test(what_is_not_a_whole_attribute_cannot_be_written),
		cmocka_unit_test(an_analog_output_takes_what_its_mode_is_made_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
