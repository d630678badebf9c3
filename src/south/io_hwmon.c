/*
 * Sensors of the kernel's hwmon class: temperatures, voltages, currents, power, fans.
 * Source: Linux, Documentation/hwmon/sysfs-interface.rst.
 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "south/io_sysfs.h"

static const struct sysfs_quantity quantities[] = {
	{"temp", "°C", 1e3},    {"in", "V", 1e3},  {"curr", "A", 1e3},
	{"power", "W", 1e6},    {"fan", "rpm", 1}, {"energy", "J", 1e6},
	{"humidity", "%", 1e3}, {"freq", "Hz", 1}, {NULL, NULL, 1},
};

/* The sensor that has this label: "temp2" of a file temp2_label that says "CPU". */
static int find_label(const char *dir, const char *label, char sensor[SYSFS_TEXT_MAX])
{
	DIR *folder = opendir(dir);
	int rc = ERR_NOT_FOUND;

	for (struct dirent *e = folder ? readdir(folder) : NULL; e && rc < 0; e = readdir(folder)) {
		size_t len = strlen(e->d_name), end = strlen("_label");
		char text[SYSFS_TEXT_MAX];

		if (len <= end || len >= SYSFS_TEXT_MAX || strcmp(e->d_name + len - end, "_label") != 0 ||
		    sysfs_text(dir, e->d_name, text) < 0 || strcmp(text, label) != 0)
			continue;
		snprintf(sensor, SYSFS_TEXT_MAX, "%.*s", (int)(len - end), e->d_name);
		rc = OK;
	}
	if (folder)
		closedir(folder);
	return rc;
}

static int read_sensor(const char *dir, const char *sensor, struct io_reading *r)
{
	char file[SYSFS_TEXT_MAX + 16];
	double value, broken;
	int rc;

	snprintf(file, sizeof(file), "%s_fault", sensor);
	if (sysfs_number(dir, file, &broken) == OK && broken != 0) {
		r->is_open = true;
		return OK;
	}
	snprintf(file, sizeof(file), "%s_input", sensor);
	if ((rc = sysfs_number(dir, file, &value)) < 0)
		return rc;
	r->raw = llround(fmax(-9e18, fmin(value, 9e18)));
	r->value = value / sysfs_quantity(quantities, sensor)->divisor;
	return OK;
}

static int hwmon_read(const char *dir, const char *point, bool is_output, struct io_reading *r)
{
	char sensor[SYSFS_TEXT_MAX];
	int rc = read_sensor(dir, point, r);

	(void)is_output;
	if (rc != ERR_NOT_FOUND || find_label(dir, point, sensor) < 0)
		return rc;
	return read_sensor(dir, sensor, r);
}

static const char *hwmon_unit(const char *point)
{
	return sysfs_quantity(quantities, point)->unit;
}

int io_hwmon_create(struct loop *loop, const struct config_line *line, struct io_host *host,
		    struct io_driver **out)
{
	static const struct sysfs_class class = {
		.dir = "sys/class/hwmon", .prefix = "hwmon", .read = hwmon_read, .unit = hwmon_unit};

	(void)loop;
	(void)host;
	return io_sysfs_create(&class, line, out);
}
