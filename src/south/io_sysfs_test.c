#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc_fail.h"
#include "south/io_sysfs.h"

#define HWMON "sys/class/hwmon/"
#define IIO   "sys/bus/iio/devices/"

static char root[] = "/tmp/lineside-sysfs-XXXXXX";

/* ---- a folder that looks like the system's ---- */

static void put(const char *path, const char *text)
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	for (char *slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0700);
		*slash = '/';
	}
	f = fopen(full, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void move(const char *from, const char *to)
{
	char a[256], b[256];

	snprintf(a, sizeof(a), "%s/%s", root, from);
	snprintf(b, sizeof(b), "%s/%s", root, to);
	assert_int_equal(rename(a, b), 0);
}

static void link_to(const char *to, const char *path)
{
	char full[256];

	snprintf(full, sizeof(full), "%s/%s", root, path);
	assert_int_equal(symlink(to, full), 0);
}

static void read_back(const char *path, char text[32])
{
	char full[256];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", root, path);
	f = fopen(full, "r");
	assert_non_null(f);
	assert_non_null(fgets(text, 32, f));
	fclose(f);
}

static int setup(void **state)
{
	(void)state;
	strcpy(root + strlen(root) - 6, "XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command); /* NOLINT: our own folder */
}

/* ---- drivers ---- */

static const char *points[4];
static struct config_module module;
static struct config_line line;

static struct io_driver *make(io_driver_create *create, enum config_area kind, const char *chip,
			      const char *point)
{
	struct io_driver *d;

	points[0] = point;
	module = (struct config_module){
		.kind = kind, .channels = 1, .device = chip, .points = points, .npoints = 1, .factor = 1};
	line = (struct config_line){.name = "l", .root = root, .modules = &module, .nmodules = 1};
	assert_int_equal(create(NULL, &line, NULL, &d), OK);
	return d;
}

static struct io_reading read_one(struct io_driver *d)
{
	struct io_reading r = {0};

	d->ops->read(d, module.kind, 0, &r);
	return r;
}

static struct io_reading read_once(io_driver_create *create, enum config_area kind, const char *chip,
				   const char *point)
{
	struct io_driver *d = make(create, kind, chip, point);
	struct io_reading r = read_one(d);

	d->ops->destroy(d);
	return r;
}

static void a_sensor_is_found_by_name_number_or_label(void **state)
{
	static const struct {
		const char *chip, *point;
		int rc;
		double value;
		int64_t raw;
		const char *unit;
	} cases[] = {
		{"coretemp", "temp1", OK, 45.25, 45250, "°C"},
		{"coretemp", "Core 1", OK, -3, -3000, NULL},
		{"coretemp", "temp9", ERR_NOT_FOUND, 0, 0, "°C"},
		{"front", "in0", OK, 12.1, 12100, "V"},
		{"board", "power1", OK, 5000, 5000000000, "W"},
		{"board", "fan1", OK, 1200, 1200, "rpm"},
		{"board", "curr1", ERR_IO, 0, 0, "A"},
		{"1-004a", "curr2", OK, 0.5, 500, "A"},
		{"hwmon1", "fan1", ERR_NOT_FOUND, 0, 0, "rpm"},
		{"nowhere", "temp1", ERR_NOT_FOUND, 0, 0, "°C"},
	};

	(void)state;
	put(HWMON "hwmon0/name", "coretemp\n");
	put(HWMON "hwmon0/temp1_input", "45250\n");
	put(HWMON "hwmon0/temp2_input", "-3000\n");
	put(HWMON "hwmon0/temp2_label", "Core 1\n");
	put(HWMON "hwmon1/name", "board\n");
	put(HWMON "hwmon1/label", "front\n");
	put(HWMON "hwmon1/in0_input", "12100\n");
	put(HWMON "hwmon1/power1_input", "5000000000\n");
	put(HWMON "hwmon1/fan1_input", "1200\n");
	put(HWMON "hwmon1/curr1_input", "what\n");
	put(HWMON "hwmon2/name", "ina219\n");
	put(HWMON "hwmon2/curr2_input", "500\n");
	put("sys/devices/1-004a/x", "\n");
	link_to("../../../devices/1-004a", HWMON "hwmon2/device");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct io_driver *d = make(io_hwmon_create, CONFIG_AREA_AI, cases[i].chip, cases[i].point);
		struct io_reading r = read_one(d);
		const char *unit = d->ops->unit(d, CONFIG_AREA_AI, 0);

		assert_int_equal(r.rc, cases[i].rc);
		assert_true(r.value == cases[i].value && r.raw == cases[i].raw);
		assert_true(unit == cases[i].unit || strcmp(unit, cases[i].unit) == 0);
		d->ops->destroy(d);
	}
}

static void a_sensor_that_says_that_it_is_broken_is(void **state)
{
	(void)state;
	put(HWMON "hwmon0/name", "max6675\n");
	put(HWMON "hwmon0/temp1_input", "0\n");
	put(HWMON "hwmon0/temp1_fault", "0\n");
	assert_false(read_once(io_hwmon_create, CONFIG_AREA_TC, "max6675", "temp1").is_open);
	put(HWMON "hwmon0/temp1_fault", "1\n");
	assert_true(read_once(io_hwmon_create, CONFIG_AREA_TC, "max6675", "temp1").is_open);
}

static void a_chip_that_moves_is_followed_and_its_old_number_is_not(void **state)
{
	struct io_driver *d;
	char text[IO_FAULT_MAX];

	(void)state;
	put(HWMON "hwmon0/name", "a\n");
	put(HWMON "hwmon0/temp1_input", "1000\n");
	put(HWMON "hwmon1/name", "b\n");
	put(HWMON "hwmon1/temp1_input", "2000\n");
	d = make(io_hwmon_create, CONFIG_AREA_AI, "a", "temp1");
	assert_true(read_one(d).value == 1);
	move(HWMON "hwmon0", HWMON "hwmon7");
	move(HWMON "hwmon1", HWMON "hwmon0"); /* another one takes its number */
	assert_true(read_one(d).value == 1);
	move(HWMON "hwmon7", "sys/gone");
	assert_int_equal(read_one(d).rc, ERR_NOT_FOUND);
	assert_true(d->ops->fault(d, text));
	assert_non_null(strstr(text, "no chip is called \"a\" below /tmp/"));
	move("sys/gone", HWMON "hwmon3");
	assert_true(read_one(d).value == 1);
	assert_false(d->ops->fault(d, text));
	d->ops->destroy(d);
}

static void two_chips_of_one_name_are_not_guessed_between(void **state)
{
	struct io_driver *d;
	char text[IO_FAULT_MAX];

	(void)state;
	put(HWMON "hwmon0/name", "lm75\n");
	put(HWMON "hwmon1/name", "lm75\n");
	d = make(io_hwmon_create, CONFIG_AREA_AI, "lm75", "temp1");
	assert_true(read_one(d).rc < 0);
	assert_true(d->ops->fault(d, text));
	assert_non_null(strstr(text, "several chips are called \"lm75\""));
	d->ops->destroy(d);
}

static void a_converter_has_scale_and_offset_of_its_own_or_of_its_kind(void **state)
{
	static const struct {
		const char *point;
		int rc;
		double value;
		int64_t raw;
	} cases[] = {
		{"voltage0", OK, 2, 1000},
		{"voltage1", OK, 0.0625, 1000},
		{"voltage0-voltage1", OK, -0.1, -50},
		{"temp", OK, 22.5, 900},
		{"current3", OK, 12, 12},
		{"pressure", OK, 101.3, 101},
		{"temp_object", OK, 9, 18},
		{"voltage9", ERR_NOT_FOUND, 0, 0},
	};

	(void)state;
	put(IIO "iio:device0/name", "ads1115\n");
	put(IIO "iio:device0/in_voltage0_raw", "1000\n");
	put(IIO "iio:device0/in_voltage0_scale", "2\n");
	put(IIO "iio:device0/in_voltage1_raw", "1000\n");
	put(IIO "iio:device0/in_voltage_scale", "0.062500000\n");
	put(IIO "iio:device0/in_voltage0-voltage1_raw", "-50\n");
	put(IIO "iio:device0/in_voltage-voltage_scale", "2\n");
	put(IIO "iio:device0/in_temp_raw", "900\n");
	put(IIO "iio:device0/in_temp_offset", "-450\n");
	put(IIO "iio:device0/in_temp_scale", "50\n");
	put(IIO "iio:device0/in_current3_raw", "12\n");
	put(IIO "iio:device0/in_pressure_input", "101.3\n");
	put(IIO "iio:device0/in_temp_object_raw", "18\n");
	put(IIO "iio:device0/in_temp_object_scale", "500\n");
	put(IIO "iio:device0/in_temp_object_offset", "0\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct io_reading r = read_once(io_iio_create, CONFIG_AREA_AI, "ads1115", cases[i].point);

		assert_int_equal(r.rc, cases[i].rc);
		assert_float_equal(r.value, cases[i].value, 1e-9);
		assert_int_equal(r.raw, cases[i].raw);
	}
}

static void an_output_is_written_and_read_back(void **state)
{
	struct io_driver *d;
	char text[32];

	(void)state;
	put(IIO "iio:device4/name", "mcp4725\n");
	put(IIO "iio:device4/out_voltage0_raw", "0\n");
	put(IIO "iio:device4/out_voltage0_scale", "0.805664062\n");
	d = make(io_iio_create, CONFIG_AREA_AO, "mcp4725", "voltage0");
	assert_int_equal(d->ops->write(d, CONFIG_AREA_AO, 0, false, 1.65), OK);
	read_back(IIO "iio:device4/out_voltage0_raw", text);
	assert_string_equal(text, "2048\n");
	assert_float_equal(read_one(d).value, 1.65, 1e-4);
	assert_int_equal(d->ops->write(d, CONFIG_AREA_AO, 0, false, 1e300), ERR_RANGE);
	move(IIO "iio:device4", "sys/gone");
	assert_int_equal(d->ops->write(d, CONFIG_AREA_AO, 0, false, 1), ERR_IO);
	d->ops->destroy(d);
}

static void a_factor_turns_volts_at_a_resistor_into_milliamperes(void **state)
{
	struct io_driver *d;

	(void)state;
	put(IIO "iio:device0/name", "ads1115\n");
	put(IIO "iio:device0/in_voltage0_raw", "3000\n");
	d = make(io_iio_create, CONFIG_AREA_AI, "ads1115", "voltage0");
	d->ops->destroy(d);
	module.factor = 4;
	assert_int_equal(io_iio_create(NULL, &line, NULL, &d), OK);
	assert_true(read_one(d).value == 12);
	d->ops->destroy(d);
}

static void a_failing_allocation_makes_no_driver(void **state)
{
	struct io_driver *d = make(io_iio_create, CONFIG_AREA_AI, "x", "voltage0");

	(void)state;
	d->ops->destroy(d);
	for (long n = 1;; n++) {
		bool hit;
		int rc;

		alloc_fail_at(n);
		rc = io_iio_create(NULL, &line, NULL, &d);
		hit = alloc_fail_end();
		assert_int_equal(rc, hit ? ERR_NOMEM : OK);
		if (hit)
			continue;
		d->ops->destroy(d);
		break;
	}
}

static void numbers_are_read_as_the_files_hold_them(void **state)
{
	static const struct {
		const char *text;
		int rc;
		double value;
	} cases[] = {
		{"5", OK, 5},
		{"-5", OK, -5},
		{"0.000001", OK, 1e-6},
		{"12.5 dB", OK, 12.5},
		{"", ERR_MALFORMED, 0},
		{"x", ERR_MALFORMED, 0},
		{"5x", ERR_MALFORMED, 0},
		{"inf", ERR_MALFORMED, 0},
		{" 5", ERR_MALFORMED, 0},
		{"-", ERR_MALFORMED, 0},
		{"1e999", ERR_MALFORMED, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double value = 0;

		assert_int_equal(sysfs_parse(cases[i].text, &value), cases[i].rc);
		assert_true(value == cases[i].value);
	}
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(a_sensor_is_found_by_name_number_or_label),
		IN_FOLDER(a_sensor_that_says_that_it_is_broken_is),
		IN_FOLDER(a_chip_that_moves_is_followed_and_its_old_number_is_not),
		IN_FOLDER(two_chips_of_one_name_are_not_guessed_between),
		IN_FOLDER(a_converter_has_scale_and_offset_of_its_own_or_of_its_kind),
		IN_FOLDER(an_output_is_written_and_read_back),
		IN_FOLDER(a_factor_turns_volts_at_a_resistor_into_milliamperes),
		IN_FOLDER(a_failing_allocation_makes_no_driver),
		cmocka_unit_test(numbers_are_read_as_the_files_hold_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
