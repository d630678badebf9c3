/*
 * Converters of the kernel's industrial I/O: (raw + offset) * scale, in the unit of the quantity.
 * Source: Linux, Documentation/ABI/testing/sysfs-bus-iio.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "south/io_sysfs.h"

static const struct sysfs_quantity quantities[] = {
	{"voltage", "V", 1e3},  {"altvoltage", "V", 1e3}, {"current", "mA", 1},
	{"temp", "°C", 1e3},    {"power", "W", 1e3},      {"humidityrelative", "%", 1e3},
	{"pressure", "kPa", 1}, {"resistance", "Ω", 1},   {NULL, NULL, 1},
};

/*
 * What an attribute of a point may be called, the nearest first: in_voltage0_scale of this point, in_voltage_scale of all of its
 * kind ("voltage-voltage" of differential ones).
 */
static void shared_name(const char *point, bool keep_signs, char name[SYSFS_TEXT_MAX])
{
	size_t n = 0;

	for (; *point && n < SYSFS_TEXT_MAX - 1; point++) {
		if (!keep_signs && (*point == '-' || *point == '_'))
			break;
		if (*point < '0' || *point > '9')
			name[n++] = *point;
	}
	name[n] = '\0';
}

/* `fallback` when the chip has no such attribute; ERR_IO when it cannot be read. */
static int attribute(const char *dir, const char *way, const char *point, const char *what, double fallback,
		     double *value)
{
	char own[SYSFS_TEXT_MAX], signs[SYSFS_TEXT_MAX], plain[SYSFS_TEXT_MAX], file[SYSFS_TEXT_MAX + 32];
	const char *const names[] = {own, signs, plain};
	int rc = ERR_NOT_FOUND;

	snprintf(own, sizeof(own), "%s", point);
	shared_name(point, true, signs);
	shared_name(point, false, plain);
	for (unsigned i = 0; i < 3 && rc == ERR_NOT_FOUND; i++) {
		snprintf(file, sizeof(file), "%s_%s_%s", way, names[i], what);
		rc = sysfs_number(dir, file, value);
	}
	if (rc != ERR_NOT_FOUND)
		return rc;
	*value = fallback;
	return OK;
}

static int64_t to_int(double x)
{
	return llround(fmax(-9e18, fmin(x, 9e18)));
}

static int iio_read(const char *dir, const char *point, bool is_output, struct io_reading *r)
{
	const char *way = is_output ? "out" : "in";
	double divisor = sysfs_quantity(quantities, point)->divisor, raw, scale, offset;
	char file[SYSFS_TEXT_MAX + 32];
	int rc;

	snprintf(file, sizeof(file), "%s_%s_input", way, point); /* the driver has done the sum */
	rc = sysfs_number(dir, file, &raw);
	if (rc == OK) {
		r->raw = to_int(raw);
		r->value = raw / divisor;
	}
	if (rc != ERR_NOT_FOUND)
		return rc;
	snprintf(file, sizeof(file), "%s_%s_raw", way, point);
	if ((rc = sysfs_number(dir, file, &raw)) < 0 ||
	    (rc = attribute(dir, way, point, "scale", 1, &scale)) < 0 ||
	    (rc = attribute(dir, way, point, "offset", 0, &offset)) < 0)
		return rc;
	r->raw = to_int(raw);
	r->value = (raw + offset) * scale / divisor;
	return OK;
}

static int iio_write(const char *dir, const char *point, double value)
{
	double divisor = sysfs_quantity(quantities, point)->divisor, raw, scale, offset;
	char file[SYSFS_TEXT_MAX + 32];
	int rc;

	if ((rc = attribute(dir, "out", point, "scale", 1, &scale)) < 0 ||
	    (rc = attribute(dir, "out", point, "offset", 0, &offset)) < 0)
		return rc;
	raw = round(value * divisor / scale - offset);
	if (!(fabs(raw) < 1e15))
		return ERR_RANGE;
	snprintf(file, sizeof(file), "out_%s_raw", point);
	return sysfs_put(dir, file, (int64_t)raw);
}

static const char *iio_unit(const char *point)
{
	return sysfs_quantity(quantities, point)->unit;
}

int io_iio_create(struct loop *loop, const struct config_line *line, struct io_host *host,
		  struct io_driver **out)
{
	static const struct sysfs_class class = {.dir = "sys/bus/iio/devices",
						 .prefix = "iio:device",
						 .read = iio_read,
						 .write = iio_write,
						 .unit = iio_unit};

	(void)loop;
	(void)host;
	return io_sysfs_create(&class, line, out);
}
