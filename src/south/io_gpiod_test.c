/* The driver over a chip of the test's own: its lines are queues of edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc_fail.h"
#include "south/gpio_port.h"
#include "south/io_rack.h"
#include "south/io_registers.h"

#define LINES 4
#define EDGES 2000

/* ---- a chip "board" with lines "0" to "3" ---- */

struct edge {
	bool on;
	uint64_t at_us;
};

static struct fake_line {
	bool level, is_taken, is_broken;
	struct gpio_settings settings;
	int fd; /* an eventfd */
	struct edge edges[EDGES];
	unsigned nedges, next;
} fake[LINES];

static bool chip_is_there;
static unsigned opens;

static struct fake_line *fake_of(struct gpio_line *l)
{
	return (struct fake_line *)(void *)l;
}

static int fake_open(const char *chip, const char *point, const struct gpio_settings *set,
		     struct gpio_line **out)
{
	struct fake_line *l = &fake[point[0] - '0'];

	opens++;
	if (!chip_is_there || strcmp(chip, "board") != 0)
		return ERR_NOT_FOUND;
	if (point[0] < '0' || point[0] >= '0' + LINES)
		return ERR_RANGE;
	if (l->is_taken)
		return ERR_BUSY;
	l->fd = eventfd(0, EFD_NONBLOCK);
	assert_true(l->fd >= 0);
	l->is_taken = true;
	l->settings = *set;
	if (set->is_output)
		l->level = set->on;
	*out = (struct gpio_line *)(void *)l;
	return OK;
}

static int fake_get(struct gpio_line *l)
{
	return fake_of(l)->is_broken ? ERR_IO : fake_of(l)->level;
}

static int fake_set(struct gpio_line *l, bool on)
{
	if (fake_of(l)->is_broken)
		return ERR_IO;
	fake_of(l)->level = on;
	return OK;
}

static int fake_fd(struct gpio_line *l)
{
	return fake_of(l)->fd;
}

static int fake_edge(struct gpio_line *l, bool *on, uint64_t *at_us)
{
	struct fake_line *f = fake_of(l);

	if (f->is_broken)
		return ERR_IO;
	if (f->next == f->nedges)
		return 0;
	*on = f->edges[f->next].on;
	*at_us = f->edges[f->next].at_us;
	f->next++;
	return 1;
}

static void fake_close(struct gpio_line *l)
{
	close(fake_of(l)->fd);
	fake_of(l)->is_taken = false;
}

static const struct gpio_ops fake_ops = {.open = fake_open,
					 .get = fake_get,
					 .set = fake_set,
					 .fd = fake_fd,
					 .edge = fake_edge,
					 .close = fake_close};

static int create(struct loop *loop, const struct config_line *line, struct io_host *host,
		  struct io_driver **out)
{
	return io_gpiod_make(&fake_ops, loop, line, host, out);
}

/* ---- a rack of two inputs, an output and a relay ---- */

static const char *inputs[] = {"0", "1"}, *output[] = {"2"}, *relay[] = {"3"};
static const struct config_module modules[] = {
	{.kind = CONFIG_AREA_DO,
	 .channels = 1,
	 .device = "board",
	 .points = output,
	 .npoints = 1,
	 .drive = CONFIG_DRIVE_OPEN_DRAIN,
	 .pulse_on_ms = 1,
	 .pulse_off_ms = 1,
	 .pulse_count = 3},
	{.kind = CONFIG_AREA_DI,
	 .channels = 2,
	 .device = "board",
	 .points = inputs,
	 .npoints = 2,
	 .active_low = true,
	 .bias = CONFIG_BIAS_PULL_UP},
	{.kind = CONFIG_AREA_RELAY, .channels = 1, .device = "board", .points = relay, .npoints = 1},
};
static const struct config_line line = {.name = "rack",
					.type = CONFIG_LINE_IO,
					.driver = CONFIG_DRIVER_GPIOD,
					.modules = (struct config_module *)(uintptr_t)modules,
					.nmodules = 3};

static struct loop *loop;
static struct source *rack;
static unsigned ndone;

static void done(struct source_request *r)
{
	(void)r;
	ndone++;
}

static int setup(void **state)
{
	(void)state;
	memset(fake, 0, sizeof(fake));
	chip_is_there = true;
	opens = ndone = 0;
	assert_int_equal(loop_create(&loop), OK);
	assert_int_equal(io_rack_create(loop, &line, create, &rack), OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rack->ops->destroy(rack);
	for (unsigned i = 0; i < LINES; i++)
		assert_false(fake[i].is_taken);
	loop_destroy(loop);
	return 0;
}

static int ask(enum source_op op, enum config_area area, unsigned start, unsigned count, uint16_t *regs)
{
	struct source_request r = {.op = op,
				   .area = area,
				   .start = (uint16_t)start,
				   .count = (uint16_t)count,
				   .timeout_ms = 1000,
				   .done = done};
	unsigned want = ndone + 1;

	memcpy(r.data.regs, regs, count * sizeof(*regs));
	rack->ops->submit(rack, &r);
	while (ndone < want)
		assert_int_equal(loop_turn(loop, 1000), OK);
	memcpy(regs, r.data.regs, count * sizeof(*regs));
	return r.rc;
}

static unsigned get(enum config_area area, unsigned number, unsigned offset)
{
	uint16_t reg = 0;

	assert_int_equal(ask(SOURCE_READ, area, number * SOURCE_CHANNEL_REGS + offset, 1, &reg), OK);
	return reg;
}

static unsigned counter(unsigned number)
{
	return get(CONFIG_AREA_DI, number, io_attributes[IO_ATTR_COUNTER - 1].offset + 1u);
}

static int put(enum config_area area, unsigned number, unsigned offset, uint16_t value)
{
	return ask(SOURCE_WRITE, area, number * SOURCE_CHANNEL_REGS + offset, 1, &value);
}

static void edge(unsigned i, bool on)
{
	assert_true(fake[i].nedges < EDGES);
	fake[i].level = on;
	fake[i].edges[fake[i].nedges++] = (struct edge){.on = on, .at_us = loop_now_us(loop)};
	assert_int_equal(eventfd_write(fake[i].fd, 1), 0);
}

static enum quality quality_of(enum config_area area, uint16_t number)
{
	enum reason why;

	return rack->ops->channel_quality(rack, area, number, &why);
}

static void pass_ms(unsigned ms)
{
	uint64_t end = loop_now_ms(loop) + ms;

	while (loop_now_ms(loop) < end)
		assert_int_equal(loop_turn(loop, 1), OK);
}

/* ---- tests ---- */

static void lines_are_taken_as_the_modules_say(void **state)
{
	(void)state;
	assert_int_equal(get(CONFIG_AREA_DI, 1, 0), 0);
	assert_int_equal(get(CONFIG_AREA_DO, 0, 0), 0);
	assert_true(fake[1].settings.active_low && !fake[1].settings.is_output);
	assert_int_equal(fake[1].settings.bias, CONFIG_BIAS_PULL_UP);
	assert_true(fake[2].settings.is_output && !fake[2].settings.active_low);
	assert_int_equal(fake[2].settings.drive, CONFIG_DRIVE_OPEN_DRAIN);
}

static void no_edge_is_missed_between_two_reads(void **state)
{
	(void)state;
	assert_int_equal(get(CONFIG_AREA_DI, 0, 0), 0);
	for (unsigned i = 0; i < 700; i++) { /* more than are taken at once */
		edge(0, true);
		edge(0, false);
	}
	fake[1].level = true;
	pass_ms(5);
	assert_int_equal(counter(0), 700);
	assert_int_equal(get(CONFIG_AREA_DI, 0, 0), 0);
	assert_int_equal(counter(1), 0); /* its first level is no edge */
	assert_int_equal(get(CONFIG_AREA_DI, 1, 0), 1);
}

static void an_edge_that_a_read_sees_first_counts_once(void **state)
{
	(void)state;
	assert_int_equal(get(CONFIG_AREA_DI, 0, 0), 0);
	edge(0, true);
	assert_int_equal(counter(0), 1);
	pass_ms(3);
	assert_int_equal(counter(0), 1);
}

static void outputs_are_set_and_pulse(void **state)
{
	(void)state;
	assert_int_equal(put(CONFIG_AREA_RELAY, 0, 0, 1), OK);
	assert_true(fake[3].level);
	assert_int_equal(put(CONFIG_AREA_DO, 0, io_attributes[IO_ATTR_PULSE - 1].offset, 1), OK);
	assert_true(fake[2].level);
	while (get(CONFIG_AREA_DO, 0, io_attributes[IO_ATTR_PULSE - 1].offset))
		pass_ms(1);
	assert_false(fake[2].level);
}

static void a_line_that_somebody_has_is_bad_and_the_others_are_not(void **state)
{
	(void)state;
	fake[0].is_taken = true;
	assert_int_equal(get(CONFIG_AREA_DI, 1, 0), 0);
	assert_int_equal(get(CONFIG_AREA_DI, 0, 0), 0);
	assert_int_equal(quality_of(CONFIG_AREA_DI, 0), QUALITY_BAD);
	assert_int_equal(quality_of(CONFIG_AREA_DI, 1), QUALITY_GOOD);
	opens = 0;
	for (unsigned i = 0; i < 20; i++)
		get(CONFIG_AREA_DI, 0, 0);
	assert_in_range(opens, 0, 1); /* it is not tried at each read */
	fake[0].is_taken = false;
}

static void an_output_that_was_away_comes_back_as_it_was_written(void **state)
{
	uint16_t on = 1;

	(void)state;
	assert_int_equal(get(CONFIG_AREA_DI, 0, 0), 0);
	assert_int_equal(put(CONFIG_AREA_DO, 0, 0, 1), OK);
	fake[2].is_broken = true;
	assert_int_equal(ask(SOURCE_WRITE, CONFIG_AREA_DO, 0, 1, &on), ERR_REMOTE);
	assert_int_equal(quality_of(CONFIG_AREA_DO, 0), QUALITY_BAD);
	fake[2].is_broken = fake[2].level = false;
	while (quality_of(CONFIG_AREA_DO, 0) == QUALITY_BAD) {
		pass_ms(50);
		get(CONFIG_AREA_DO, 0, 0);
	}
	assert_true(fake[2].level);
}

static void without_its_chip_a_rack_does_not_answer_until_it_is_there(void **state)
{
	uint16_t reg = 0;
	int rc;

	(void)state;
	chip_is_there = false;
	assert_int_equal(ask(SOURCE_READ, CONFIG_AREA_DI, 0, 1, &reg), ERR_IO);
	assert_string_equal(rack->fault, "GPIO line \"0\" of chip \"board\": there is no such chip");
	chip_is_there = true;
	while ((rc = ask(SOURCE_READ, CONFIG_AREA_DI, 0, 1, &reg)) == ERR_IO)
		pass_ms(50);
	assert_int_equal(rc, OK);
}

static void a_failing_allocation_makes_no_driver(void **state)
{
	(void)state;
	for (long n = 1;; n++) {
		struct io_host host;
		struct io_driver *d;
		bool hit;
		int rc;

		alloc_fail_at(n);
		rc = create(loop, &line, &host, &d);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		if (hit)
			continue;
		d->ops->destroy(d);
		break;
	}
}

#define ON_CHIP(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_CHIP(lines_are_taken_as_the_modules_say),
		ON_CHIP(no_edge_is_missed_between_two_reads),
		ON_CHIP(an_edge_that_a_read_sees_first_counts_once),
		ON_CHIP(outputs_are_set_and_pulse),
		ON_CHIP(a_line_that_somebody_has_is_bad_and_the_others_are_not),
		ON_CHIP(an_output_that_was_away_comes_back_as_it_was_written),
		ON_CHIP(without_its_chip_a_rack_does_not_answer_until_it_is_there),
		ON_CHIP(a_failing_allocation_makes_no_driver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
